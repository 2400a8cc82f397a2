//! Series in columns, marks in cells, histograms and categories: what the pages of research draw.

use chronos_session::format::{count, decimal};
use chronos_session::html::axis::{Range, Tick, TimeRange, minus};
use chronos_session::html::page::escape;
use chronos_session::html::plot::{Axes, Step, bar_path, line_data, line_key, percent, push_data, push_plot, step_paths};
use std::collections::BTreeSet;

/// Columns of a series over time: points between are drawn as a band.
const COLUMNS: usize = 1_000;
/// Cells of marks, across and down; finer than an eye tells apart.
const CELLS: (f64, f64) = (500.0, 150.0);
/// Most marks of a plot, each some fifty bytes.
const MARKS_MAX: usize = 8_000;
/// Bars of a histogram.
const BARS: usize = 60;
/// The share of values that a histogram of returns leaves out at either end.
const TAIL: f64 = 0.005;

/// What is shown of the values of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    Last,
    Mean,
}

/// One plot over a time axis that several share.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) unit: String,
    /// Class of the plot: `price`, `middle` or `low`.
    pub(super) class: &'static str,
    pub(super) legend: String,
    /// Lines, each with its class; the first with its band.
    pub(super) lines: Vec<Line>,
    pub(super) range: Range,
    /// Marks over the lines, in per cent.
    pub(super) marks: String,
    /// Decimals of the read-out.
    pub(super) decimals: usize,
}

/// One series of a panel.
pub(super) struct Line {
    /// What the read-out calls it.
    pub(super) name: String,
    /// `line` for steps with a band, or the class of a curve.
    pub(super) class: String,
    columns: Vec<(usize, Step)>,
}

impl Line {
    /// A series in columns of a time axis, from instants and lowest, highest and shown value at each.
    pub(super) fn new(
        name: &str,
        class: &str,
        time: TimeRange,
        values: impl Iterator<Item = (i64, [f64; 3])>,
        shown: Shown,
    ) -> Line {
        let mut columns: Vec<(usize, Step)> = Vec::new();
        let mut in_last = 0.0;
        for (instant, [low, high, value]) in values.filter(|(_, values)| values.iter().all(|value| value.is_finite())) {
            let x = time.fraction(instant);
            let column = ((x * COLUMNS as f64) as usize).min(COLUMNS - 1);
            match columns.last_mut().filter(|(last, _)| *last == column) {
                Some((_, step)) => {
                    in_last += 1.0;
                    let mean = step.value + (value - step.value) / in_last;
                    let value = if shown == Shown::Mean { mean } else { value };
                    *step = Step { x, low: step.low.min(low), high: step.high.max(high), value };
                }
                None => {
                    in_last = 1.0;
                    columns.push((column, Step { x, low, high, value }));
                }
            }
        }
        Line { name: name.to_owned(), class: class.to_owned(), columns }
    }

    /// Everything that is drawn of it.
    pub(super) fn extent(&self) -> impl Iterator<Item = f64> + '_ {
        self.columns.iter().flat_map(|(_, step)| [step.low, step.high])
    }

    fn path(&self, range: Range) -> String {
        let steps: Vec<Step> = self.columns.iter().map(|(_, step)| *step).collect();
        if self.class == "line" {
            return step_paths(&steps, range);
        }
        // A curve among others: without its band.
        let flat: Vec<Step> = steps.iter().map(|step| Step { low: step.value, high: step.value, ..*step }).collect();
        step_paths(&flat, range).replace("class=\"line", &format!("class=\"{}", self.class))
    }

    fn values(&self) -> Vec<f64> {
        let mut values = vec![f64::NAN; COLUMNS];
        self.columns.iter().for_each(|(column, step)| values[*column] = step.value);
        values
    }
}

/// Writes panels that share a time axis, with a read-out under the pointer.
pub(super) fn push_panels(page: &mut String, of: &str, time: TimeRange, panels: &[Panel]) {
    let ticks = time.page_ticks();
    page.push_str("<div class=\"values\"><p class=\"readout\"></p>\n");
    for (place, panel) in panels.iter().enumerate() {
        let Panel { title, unit, class, legend, range, .. } = panel;
        page.push_str(&format!(
            "<figure><figcaption><b>{title}</b> <i>{}</i><span class=\"legend\">{legend}</span></figcaption>\n",
            escape(unit)
        ));
        let description = format!("{title} of {of} over time");
        let (y, x_labels) = (range.ticks(if *class == "low" { 2 } else { 5 }), place + 1 == panels.len());
        let axes = Axes { class, description: &description, y: &y, rule: range.zero(), x: &ticks, x_labels };
        let lines: String = panel.lines.iter().map(|line| line.path(*range)).collect();
        push_plot(page, &axes, &lines, &panel.marks);
        page.push_str("</figure>\n");
    }
    page.push_str(&format!("<p class=\"x-title\">Time, UTC, {}</p>\n", time.dates()));
    let width = time.length_ns() as f64 / COLUMNS as f64;
    let starts = (0..COLUMNS).map(|column| time.from.saturating_add((column as f64 * width) as i64));
    let lines = panels.iter().flat_map(|panel| panel.lines.iter().map(move |line| (panel, line)));
    let data: Vec<String> = lines.map(|(panel, line)| line_data(&line.name, "", panel.decimals, &line.values())).collect();
    push_data(page, time, starts, &data);
    page.push_str("</div>\n");
}

/// Says how a series was drawn that has more values than columns; nothing where it has not.
pub(super) fn push_drawn_note(page: &mut String, what: &str, values: usize) {
    if values > COLUMNS {
        page.push_str(&format!(
            "<p class=\"note\">{} {what} are drawn in {COLUMNS} columns: the band is least to greatest of each.</p>\n",
            count(values as u64)
        ));
    }
}

/// Marks by place (fractions of the plot) and kind, those of one kind in one cell once. The kind is the name of a mark of the page.
pub(super) fn marks<'a>(places: impl Iterator<Item = (f64, f64, &'a str)>) -> (String, usize) {
    let cells = in_cells(&places.collect::<Vec<_>>());
    let mark = |(x, y, kind): &(f64, f64, &str)| format!("<use href=\"#{kind}\" x=\"{x}%\" y=\"{y}%\"/>");
    (format!("<g class=\"marks\">{}</g>", cells.iter().map(mark).collect::<String>()), cells.len())
}

/// Spots by place (fractions of the plot) and class, those of one class in one cell once.
pub(super) fn spots<'a>(places: impl Iterator<Item = (f64, f64, &'a str)>) -> String {
    let spot = |(x, y, class): &(f64, f64, &str)| format!("<circle class=\"{class}\" cx=\"{x}%\" cy=\"{y}%\" r=\"3\"/>");
    in_cells(&places.collect::<Vec<_>>()).iter().map(spot).collect()
}

/// Places in per cent, `y` downwards: one for each kind in each cell. Cells are as fine as can be with at most [`MARKS_MAX`] places.
fn in_cells<'a>(places: &[(f64, f64, &'a str)]) -> Vec<(f64, f64, &'a str)> {
    let mut coarseness = 1.0;
    loop {
        let (across, down) = ((CELLS.0 / coarseness).floor().max(1.0), (CELLS.1 / coarseness).floor().max(1.0));
        let cell = |(x, y, kind): &(f64, f64, &'a str)| ((x * across).round() as u32, (y * down).round() as u32, *kind);
        let cells: BTreeSet<(u32, u32, &str)> = places.iter().map(cell).collect();
        if cells.len() <= MARKS_MAX {
            let place = |(x, y, kind)| (percent(f64::from(x) * 100.0 / across), percent(100.0 - f64::from(y) * 100.0 / down), kind);
            return cells.into_iter().map(place).collect();
        }
        coarseness *= 1.5;
    }
}

/// A sample of a spot for a legend.
pub(super) fn spot_key(class: &str) -> String {
    format!("<svg class=\"key\"><circle class=\"{class}\" cx=\"50%\" cy=\"50%\" r=\"3\"/></svg>")
}

/// Writes bars, one for each kind, with its count.
pub(super) fn push_categories(page: &mut String, title: &str, unit: &str, counts: &[(String, u64)]) {
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let highest = counts.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1) as f64;
    let range = Range { low: 0.0, high: highest * 1.08 };
    let width = 1.0 / counts.len().max(1) as f64;
    let x: Vec<Tick> = counts
        .iter()
        .enumerate()
        .map(|(place, (name, _))| Tick { place: (place as f64 + 0.5) * width * 100.0, label: minus(name.clone()) })
        .collect();
    let path = bar_path(counts.iter().enumerate().map(|(place, (_, count))| {
        let left = (place as f64 + 0.2) * width;
        (left, left + 0.6 * width, range.fraction(*count as f64))
    }));
    let legend: String = counts
        .iter()
        .map(|(name, number)| {
            let share = decimal(100.0 * *number as f64 / total.max(1) as f64, 1);
            format!("<span>{}: {} ({share} %)</span>", escape(&minus(name.clone())), count(*number))
        })
        .collect();
    page.push_str(&format!(
        "<figure><figcaption><b>{title}</b> <i>{unit}</i><span class=\"legend\">{legend}</span></figcaption>\n"
    ));
    let axes = Axes { class: "middle", description: title, y: &range.ticks(4), rule: None, x: &x, x_labels: true };
    push_plot(page, &axes, &format!("<path class=\"bars\" d=\"{path}\"/>"), "");
    page.push_str("</figure>\n");
}

/// A value that a histogram is read against: its class, where it stands, and what it is.
pub(super) struct Against {
    pub(super) class: &'static str,
    pub(super) value: f64,
    pub(super) name: String,
}

/// Writes a histogram of what is finite; with `cut`, without the outermost half per cent at either end.
pub(super) fn push_histogram(page: &mut String, title: &str, x_title: &str, values: &[f64], cut: bool, against: &[Against]) {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let tail = if cut { (sorted.len() as f64 * TAIL) as usize } else { 0 };
    let shown = &sorted[tail..sorted.len() - tail];
    let Some(range) = Range::around(shown.iter().copied().chain(against.iter().map(|line| line.value))) else {
        page.push_str(&format!(
            "<figure><figcaption><b>{title}</b></figcaption><p class=\"empty\">Nothing to count.</p></figure>\n"
        ));
        return;
    };
    let mut bars = [0_u64; BARS];
    for value in shown {
        bars[((range.fraction(*value) * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    let share = |bar: u64| bar as f64 * 100.0 / sorted.len().max(1) as f64;
    let shares = Range { low: 0.0, high: share(bars.into_iter().max().unwrap_or(0)).max(1e-9) * 1.05 };
    let path = bar_path(bars.iter().enumerate().filter(|(_, bar)| **bar > 0).map(|(place, bar)| {
        let left = place as f64 / BARS as f64;
        (left, left + 1.0 / BARS as f64, shares.fraction(share(*bar)))
    }));
    let mut legend: String =
        against.iter().map(|line| format!("<span>{} {}</span>", line_key(line.class), escape(&line.name))).collect();
    if tail > 0 {
        legend.push_str(&format!("<span>the outermost {} % at either end are left out</span>", TAIL * 100.0));
    }
    page.push_str(&format!(
        "<figure><figcaption><b>{title}</b> <i>per cent of {}</i><span class=\"legend\">{legend}</span></figcaption>\n",
        count(sorted.len() as u64)
    ));
    let marks: String = against.iter().map(|line| upright(line.class, range.fraction(line.value))).collect();
    let (y, x) = (shares.ticks(4), range.ticks(8));
    let axes = Axes { class: "middle", description: title, y: &y, rule: None, x: &x, x_labels: true };
    push_plot(page, &axes, &format!("<path class=\"bars\" d=\"{path}\"/>"), &marks);
    page.push_str(&format!("</figure><p class=\"x-title\">{}</p>\n", escape(x_title)));
}

/// A line from top to bottom.
pub(super) fn upright(class: &str, x: f64) -> String {
    let x = percent(x * 100.0);
    format!("<line class=\"{class}\" x1=\"{x}%\" x2=\"{x}%\" y2=\"100%\"/>")
}

/// A number to four significant digits; very large and very small ones in powers of ten.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    minus(match size {
        _ if !value.is_finite() => "n/a".into(),
        0.0 => "0".into(),
        1e-4..1e7 => decimal(value, (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize),
        _ => format!("{value:.3e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_holds_least_greatest_and_what_is_shown() {
        let time = TimeRange { from: 0, to: 10_000 };
        let values = || [(0, 3.0), (4, 1.0), (8, 5.0), (10_000, 2.0), (10_000, f64::NAN)].into_iter();
        let line = |shown| Line::new("x", "line", time, values().map(|(at, value)| (at, [value; 3])), shown);
        let first = |line: &Line| line.columns[0].1;
        assert_eq!((line(Shown::Last).columns.len(), first(&line(Shown::Last)).value), (2, 5.0));
        let mean = first(&line(Shown::Mean));
        assert_eq!((mean.low, mean.high, mean.value), (1.0, 5.0, 3.0));
        assert_eq!(line(Shown::Mean).values()[COLUMNS - 1], 2.0);
    }

    #[test]
    fn marks_on_one_another_are_one() {
        let (svg, drawn) = marks([(0.5, 0.5, "bt"), (0.5001, 0.5, "bt"), (0.5, 0.5, "st")].into_iter());
        assert_eq!((drawn, svg.matches("<use").count()), (2, 2));
        let mut random = fastrand::Rng::with_seed(1);
        let many: Vec<(f64, f64, &str)> = (0..100_000).map(|_| (random.f64(), random.f64(), "vt")).collect();
        let drawn = in_cells(&many).len();
        assert!(drawn <= MARKS_MAX && drawn > MARKS_MAX / 4, "{drawn}");
    }

    #[test]
    fn figures_have_four_digits() {
        let texts = [0.0, 1.0, -12.3456, 1_234_567.0, 0.000_12, 1e-9, f64::NAN].map(figure);
        assert_eq!(texts, ["0", "1.000", "\u{2212}12.35", "1,234,567", "0.0001200", "1.000e\u{2212}9", "n/a"]);
    }
}

//! A plot area in SVG that stretches to the width it is given: lines keep their weight and text its size.
//!
//! Lines are paths in a grid of [`GRID`] steps a side, stretched with `preserveAspectRatio="none"`; labels, grid lines and marks
//! stand in per cent of the plot area, so nothing is scaled that should not be.

use super::axis::{Range, Tick, TimeRange};
use super::page::escape;

/// Steps of the grid that paths are drawn in, along either side.
pub const GRID: f64 = 4_000.0;

/// Characters of a label on the horizontal axis that stand beside each other on a wide page, ten of them.
pub const LABEL_LONG: usize = 8;

/// What surrounds the lines of a plot.
pub struct Axes<'a> {
    /// Class of the plot, which sets its height.
    pub class: &'a str,
    /// What the plot shows, for those who cannot see it.
    pub description: &'a str,
    /// Marks of the vertical axis.
    pub y: &'a [Tick],
    /// A value that others are read against, as a place in per cent of the vertical axis.
    pub rule: Option<f64>,
    /// Marks of the horizontal axis.
    pub x: &'a [Tick],
    /// Whether the horizontal axis has its labels here.
    pub x_labels: bool,
}

/// Writes a plot: axes, then `lines` in grid units, then `marks` in per cent.
pub fn push_plot(page: &mut String, axes: &Axes<'_>, lines: &str, marks: &str) {
    page.push_str(&format!(
        "<div class=\"plot {}{}\"><svg role=\"img\" aria-label=\"{}\">\n<g class=\"grid\">",
        axes.class,
        if axes.x_labels { " labelled" } else { "" },
        escape(axes.description)
    ));
    for tick in axes.y {
        let y = percent(100.0 - tick.place);
        page.push_str(&format!("<line x2=\"100%\" y1=\"{y}%\" y2=\"{y}%\"/>"));
    }
    for tick in axes.x {
        let x = percent(tick.place);
        page.push_str(&format!("<line x1=\"{x}%\" x2=\"{x}%\" y2=\"100%\"/>"));
    }
    if let Some(place) = axes.rule {
        let y = percent(100.0 - place);
        page.push_str(&format!("<line class=\"rule\" x2=\"100%\" y1=\"{y}%\" y2=\"{y}%\"/>"));
    }
    page.push_str("</g><g class=\"y\">");
    for tick in axes.y {
        page.push_str(&format!(
            "<text x=\"-8\" y=\"{}%\" dy=\".33em\">{}</text>",
            percent(100.0 - tick.place),
            escape(&tick.label)
        ));
    }
    page.push_str("</g>");
    if axes.x_labels {
        page.push_str("<g class=\"x\">");
        for (place, tick) in axes.x.iter().enumerate() {
            // Where there is little room, the last label stays inside and every second one goes.
            let long = if tick.label.len() > LABEL_LONG { " long" } else { "" };
            let end = if tick.place > 95.0 { " end" } else { "" };
            let spare = if place % 2 == 1 { " spare" } else { "" };
            page.push_str(&format!(
                "<text class=\"t{long}{end}{spare}\" x=\"{}%\" y=\"100%\" dy=\"1.5em\">{}</text>",
                percent(tick.place),
                escape(&tick.label)
            ));
        }
        page.push_str("</g>");
    }
    page.push_str(&format!(
        "<svg width=\"100%\" height=\"100%\" viewBox=\"0 0 {GRID} {GRID}\" preserveAspectRatio=\"none\">{lines}</svg>{marks}\
         <line class=\"cross\" y2=\"100%\"/></svg></div>\n"
    ));
}

/// One interval of a series: it ends at `x` (0 to 1), ran from `low` to `high`, and shows as `value`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    /// Where the interval ends.
    pub x: f64,
    /// Least value in it.
    pub low: f64,
    /// Greatest value in it.
    pub high: f64,
    /// The value shown.
    pub value: f64,
}

impl Step {
    fn is_finite(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.value.is_finite()
    }
}

/// A band from low to high and a line, both in steps: a value holds until the next one. What is not finite leaves a gap, and what
/// stands alone is a dot.
pub fn step_paths(steps: &[Step], range: Range) -> String {
    let y = |value| grid(1.0 - range.fraction(value));
    let (mut band, mut line, mut lone) = (String::new(), String::new(), String::new());
    for run in steps.split(|step| !step.is_finite()) {
        let Some(first) = run.first() else { continue };
        if run.len() == 1 {
            lone.push_str(&format!("M{} {}h0", grid(first.x), y(first.value)));
            continue;
        }
        line.push_str(&format!("M{} {}", grid(first.x), y(first.value)));
        let mut drawn = y(first.value);
        for step in run.iter().skip(1) {
            line.push_str(&format!("H{}", grid(step.x)));
            if y(step.value) != drawn {
                drawn = y(step.value);
                line.push_str(&format!("V{drawn}"));
            }
        }
        if run.iter().all(|step| y(step.low) == y(step.high)) {
            continue;
        }
        band.push_str(&format!("M{} {}", grid(first.x), y(first.high)));
        for step in run.iter().skip(1) {
            band.push_str(&format!("V{}H{}", y(step.high), grid(step.x)));
        }
        for pair in run.windows(2).rev() {
            if let [before, step] = pair {
                band.push_str(&format!("V{}H{}", y(step.low), grid(before.x)));
            }
        }
        band.push('Z');
    }
    [("band", band), ("line", line), ("line lone", lone)]
        .into_iter()
        .filter(|(_, path)| !path.is_empty())
        .map(|(class, path)| format!("<path class=\"{class}\" d=\"{path}\"/>"))
        .collect()
}

/// A straight-line path through points in fractions of the plot, `y` upwards.
pub fn line_path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        path.push_str(&format!("{}{} {}", if path.is_empty() { 'M' } else { 'L' }, grid(x), grid(1.0 - y)));
    }
    path
}

/// Bars that stand on the horizontal axis beside each other, from their left edges, right edges and heights in fractions of the plot.
pub fn bar_path(bars: impl IntoIterator<Item = (f64, f64, f64)>) -> String {
    let mut path = String::new();
    for (left, right, height) in bars {
        path.push_str(&format!("M{} {GRID}V{}H{}V{GRID}Z", grid(left), grid(1.0 - height), grid(right)));
    }
    path
}

/// The sample of a line of this class for a legend.
pub fn line_key(class: &str) -> String {
    format!("<svg class=\"key\"><line class=\"{class}\" x2=\"100%\" y1=\"50%\" y2=\"50%\"/></svg>")
}

/// The sample of a mark of the page's definitions (`marks.svg`) for a legend.
pub fn mark_key(mark: &str, y_percent: u32) -> String {
    format!("<svg class=\"key\"><use href=\"#{mark}\" x=\"50%\" y=\"{y_percent}%\"/></svg>")
}

/// A line for the read-out under the pointer.
pub fn line_data(name: &str, unit: &str, decimals: usize, values: &[f64]) -> String {
    let (name, unit) = (json_text(name), json_text(unit));
    let number = |value: &f64| if value.is_finite() { format!("{value:.decimals$}") } else { "null".into() };
    let values: Vec<String> = values.iter().map(number).collect();
    format!("{{\"name\":\"{name}\",\"unit\":\"{unit}\",\"decimals\":{decimals},\"values\":[{}]}}", values.join(","))
}

/// What the read-out over a time axis needs: instants in milliseconds from the first one on, and lines of [`line_data`] with a value
/// for each.
pub fn push_data(page: &mut String, time: TimeRange, instants: impl Iterator<Item = i64>, lines: &[String]) {
    let length_ms = time.length_ns() as f64 / 1e6;
    let times: Vec<String> = instants.map(|instant| format!("{:.3}", time.fraction(instant) * length_ms)).collect();
    page.push_str(&format!(
        "<script type=\"application/json\">{{\"start\":{},\"span\":{length_ms:.3},\"t\":[{}],\"lines\":[{}]}}</script>\n",
        time.from.div_euclid(1_000_000),
        times.join(","),
        lines.join(",")
    ));
}

/// Text as it may stand between quotes in JSON within a script.
fn json_text(text: &str) -> String {
    let escaped = |character: char| match character {
        '"' | '\\' | '<' => format!("\\u{:04x}", u32::from(character)),
        control if control.is_control() => " ".into(),
        other => other.into(),
    };
    text.chars().map(escaped).collect()
}

fn grid(fraction: f64) -> i64 {
    (fraction.clamp(0.0, 1.0) * GRID).round() as i64
}

/// Per cent to two decimals, without spare zeros.
pub fn percent(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { low: 0.0, high: 4.0 };

    fn step(x: f64, low: f64, high: f64, value: f64) -> Step {
        Step { x, low, high, value }
    }

    #[test]
    fn a_value_holds_until_the_next() {
        let steps = [step(0.0, 1.0, 1.0, 1.0), step(0.5, 1.0, 1.0, 1.0), step(1.0, 3.0, 3.0, 3.0)];
        assert_eq!(step_paths(&steps, RANGE), "<path class=\"line\" d=\"M0 3000H2000H4000V1000\"/>");
    }

    #[test]
    fn a_band_covers_the_interval_that_ends_at_its_step() {
        let steps = [step(0.0, 1.0, 1.0, 1.0), step(1.0, 0.0, 4.0, 2.0)];
        assert_eq!(
            step_paths(&steps, RANGE),
            "<path class=\"band\" d=\"M0 3000V0H4000V4000H0Z\"/><path class=\"line\" d=\"M0 3000H4000V2000\"/>"
        );
    }

    #[test]
    fn gaps_and_lone_points() {
        let nan = f64::NAN;
        assert_eq!(step_paths(&[], RANGE), "");
        assert_eq!(step_paths(&[step(0.5, nan, nan, nan)], RANGE), "");
        let steps = [step(0.0, 1.0, 1.0, 1.0), step(0.5, nan, nan, nan), step(1.0, 3.0, 3.0, 3.0)];
        assert_eq!(step_paths(&steps, RANGE), "<path class=\"line lone\" d=\"M0 3000h0M4000 1000h0\"/>");
    }

    #[test]
    fn names_of_lines_are_text() {
        let data = line_data("a\"b</script>\\\n", " %", 1, &[1.25, f64::NAN]);
        assert!(!data.contains("</"), "{data}");
        let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!((data["name"].as_str(), data["values"][0].as_f64()), (Some("a\"b</script>\\ "), Some(1.2)));
        assert!(data["values"][1].is_null());
    }

    #[test]
    fn nothing_leaves_the_plot() {
        assert_eq!(line_path([(-1.0, 2.0), (7.0, f64::INFINITY)]), "M0 0L4000 0");
        assert_eq!(bar_path([(-1.0, 0.5, 0.25), (0.5, 2.0, 9.0)]), "M0 4000V3000H2000V4000ZM2000 4000V0H4000V4000Z");
    }
}

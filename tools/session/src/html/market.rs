//! An instrument's panels over one time axis: mid price with our fills, imbalance, VPIN, net profit.

use super::SpaceBudget;
use super::axis::{Range, TimeRange};
use super::plot::{Axes, Step, mark_key, percent, push_plot, step_paths};
use crate::format::{count, decimal};
use crate::series::{Fill, InstrumentSeries, Point};
use chronos_market::Side;
use std::collections::BTreeMap;

/// Cells that fills are gathered in, across and down; finer than an eye tells apart.
const FILL_CELLS: (f64, f64) = (1_000.0, 300.0);

/// One plot over the time axis that all share.
struct Panel<'a> {
    title: &'static str,
    unit: &'static str,
    legend: String,
    class: &'static str,
    description: String,
    range: Range,
    ticks_max: usize,
    steps: &'a [Step],
    /// A value that others are read against.
    rule: Option<f64>,
    /// Marks over the lines.
    overlay: String,
}

/// Neighbouring fills of one kind, drawn as one mark.
struct Mark {
    at_ns: i64,
    side: Side,
    is_maker: bool,
    price_first: f64,
    notional: f64,
    qty: f64,
    fills: u64,
}

/// Writes the panels of one instrument. `price_decimals` is how many decimals its mid price has.
pub(super) fn push_panels(page: &mut String, series: &InstrumentSeries, price_decimals: usize, budget: SpaceBudget) {
    let points = &series.points;
    let fills: Vec<&Fill> = series.fills.iter().filter(|fill| fill.price.is_finite() && fill.qty.is_finite()).collect();
    let instants = points.iter().map(|point| point.recv_ns).chain(fills.iter().map(|fill| fill.recv_ns));
    let prices =
        points.iter().flat_map(|point| [point.mid_low, point.mid_high, point.mid]).chain(fills.iter().map(|fill| fill.price));
    let (Some(time), Some(price)) = (TimeRange::around(instants), Range::around(prices)) else {
        page.push_str("<p class=\"empty\">No decision ticks: nothing to plot.</p>\n");
        return;
    };
    let column = |point: &Point| (time.fraction(point.recv_ns) * budget.columns as f64) as usize;
    let columns: Vec<&[Point]> = points.chunk_by(|one, other| column(one) == column(other)).collect();
    let marks = marks(&fills, time, price, budget.marks);
    let time_ticks = time.page_ticks();

    let mids = steps(&columns, time, |column| {
        (
            extreme(column, f64::min, |point| point.mid_low),
            extreme(column, f64::max, |point| point.mid_high),
            column.last().map_or(f64::NAN, |point| point.mid),
        )
    });
    let mean = |value: fn(&Point) -> f64| {
        move |column: &[Point]| {
            let finite = || column.iter().map(value).filter(|value| value.is_finite());
            (extreme(column, f64::min, value), extreme(column, f64::max, value), finite().sum::<f64>() / finite().count() as f64)
        }
    };
    let imbalances = steps(&columns, time, mean(|point| point.imbalance));
    let vpins = steps(&columns, time, mean(|point| point.vpin));
    let nets = steps(&columns, time, |column| {
        (
            extreme(column, f64::min, |point| point.net_quote),
            extreme(column, f64::max, |point| point.net_quote),
            column.last().map_or(f64::NAN, |point| point.net_quote),
        )
    });

    let (buys, sells) = (of_side(&fills, Side::Buy), of_side(&fills, Side::Sell));
    let unit = Range { low: 0.0, high: 1.0 };
    let signed = Range { low: -1.0, high: 1.0 };
    let net = Range::around(points.iter().map(|point| point.net_quote).chain([0.0])).unwrap_or(signed);
    let name = &series.symbol;
    let panels = [
        Panel {
            title: "Mid price",
            unit: "quote currency",
            legend: fill_legend(series, buys, sells, price_decimals),
            class: "price",
            description: format!("Mid price of {name}, with {} buys and {} sells", count(buys.0), count(sells.0)),
            range: price,
            ticks_max: 6,
            steps: &mids,
            rule: None,
            overlay: mark_svg(&marks, time, price),
        },
        Panel {
            title: "Imbalance",
            unit: "best five levels; 1 is all bids",
            legend: String::new(),
            class: "low",
            description: format!("Imbalance of the best five levels of {name}"),
            range: signed,
            ticks_max: 2,
            steps: &imbalances,
            rule: Some(0.0),
            overlay: String::new(),
        },
        Panel {
            title: "VPIN",
            unit: "share of volume; 1 is one-sided",
            legend: String::new(),
            class: "low",
            description: format!("VPIN of {name}"),
            range: unit,
            ticks_max: 2,
            steps: &vpins,
            rule: None,
            overlay: String::new(),
        },
        Panel {
            title: "Net profit",
            unit: "whole session, after fees, quote currency",
            legend: String::new(),
            class: "middle",
            description: "Net profit of the session".into(),
            range: net,
            ticks_max: 4,
            steps: &nets,
            rule: Some(0.0),
            overlay: String::new(),
        },
    ];
    page.push_str("<div class=\"panels\">\n<p class=\"readout\"></p>\n");
    let last = panels.len() - 1;
    for (place, panel) in panels.iter().enumerate() {
        let Panel { title, unit, legend, class, description, .. } = panel;
        page.push_str(&format!("<figure><figcaption><b>{title}</b> <i>{unit}</i>{legend}</figcaption>\n"));
        let axes = Axes {
            class,
            description,
            y: &panel.range.ticks(panel.ticks_max),
            rule: panel.rule.map(|value| panel.range.fraction(value) * 100.0),
            x: &time_ticks,
            x_labels: place == last,
        };
        push_plot(page, &axes, &step_paths(panel.steps, panel.range), &panel.overlay);
        page.push_str("</figure>\n");
    }
    page.push_str(&format!("<p class=\"x-title\">Time, UTC, {}</p>\n", time.dates()));
    let data = data(&columns, panels.each_ref().map(|panel| panel.steps), &marks, time, price_decimals);
    page.push_str(&format!("<script type=\"application/json\">{data}</script>\n</div>\n"));
}

/// A step for each column, of the low, high and shown value that `summary` makes of its points.
fn steps(columns: &[&[Point]], time: TimeRange, summary: impl Fn(&[Point]) -> (f64, f64, f64)) -> Vec<Step> {
    let step = |column: &&[Point]| {
        let (low, high, value) = summary(column);
        column.last().map(|last| Step { x: time.fraction(last.recv_ns), low, high, value })
    };
    columns.iter().filter_map(step).collect()
}

/// The least or greatest finite value of a column; NaN where there is none, as [`f64::min`] has it.
fn extreme(column: &[Point], choose: fn(f64, f64) -> f64, value: impl Fn(&Point) -> f64) -> f64 {
    column.iter().map(value).filter(|value| value.is_finite()).fold(f64::NAN, choose)
}

/// Number and average price of the fills of one side.
fn of_side(fills: &[&Fill], side: Side) -> (u64, f64) {
    let of_side = || fills.iter().filter(|fill| fill.side == side);
    let qty: f64 = of_side().map(|fill| fill.qty).sum();
    (of_side().count() as u64, of_side().map(|fill| fill.price * fill.qty).sum::<f64>() / qty)
}

/// At most `marks_max` marks, in order of time: fills of one kind in one cell of the plot are one mark.
fn marks(fills: &[&Fill], time: TimeRange, price: Range, marks_max: usize) -> Vec<Mark> {
    let mut coarseness = 1.0;
    loop {
        let mut cells: BTreeMap<(bool, bool, u64, u64), Mark> = BTreeMap::new();
        for fill in fills {
            let across = (time.fraction(fill.recv_ns) * FILL_CELLS.0 / coarseness) as u64;
            let down = (price.fraction(fill.price) * FILL_CELLS.1 / coarseness) as u64;
            let mark = cells.entry((fill.side == Side::Buy, fill.is_maker, across, down)).or_insert(Mark {
                at_ns: fill.recv_ns,
                side: fill.side,
                is_maker: fill.is_maker,
                price_first: fill.price,
                notional: 0.0,
                qty: 0.0,
                fills: 0,
            });
            mark.notional += fill.price * fill.qty;
            mark.qty += fill.qty;
            mark.fills += 1;
        }
        // Four kinds in one cell are the fewest there can be.
        if cells.len() <= marks_max.max(4) {
            let mut marks: Vec<Mark> = cells.into_values().collect();
            marks.sort_by_key(|mark| mark.at_ns);
            return marks;
        }
        coarseness *= 1.5;
    }
}

impl Mark {
    /// Average price.
    fn price(&self) -> f64 {
        let average = self.notional / self.qty;
        if average.is_finite() { average } else { self.price_first }
    }
}

fn mark_svg(marks: &[Mark], time: TimeRange, price: Range) -> String {
    let mut svg = String::from("<g class=\"marks\">");
    for mark in marks {
        let (x, y) = (percent(time.fraction(mark.at_ns) * 100.0), percent(100.0 - price.fraction(mark.price()) * 100.0));
        svg.push_str(&format!("<use href=\"#{}\" x=\"{x}%\" y=\"{y}%\"/>", symbol(mark.side, mark.is_maker)));
    }
    svg.push_str("</g>");
    svg
}

/// The name of the triangle of a fill.
fn symbol(side: Side, is_maker: bool) -> &'static str {
    match (side, is_maker) {
        (Side::Buy, false) => "bt",
        (Side::Buy, true) => "bm",
        (Side::Sell, false) => "st",
        (Side::Sell, true) => "sm",
    }
}

/// What the triangles mean and how many fills there are.
fn fill_legend(series: &InstrumentSeries, buys: (u64, f64), sells: (u64, f64), price_decimals: usize) -> String {
    if series.fills.is_empty() {
        return "<span class=\"legend\">no fills</span>".into();
    }
    let mut legend = String::from("<span class=\"legend\">");
    for (side, name, (fills, price)) in [(Side::Buy, "buys", buys), (Side::Sell, "sells", sells)] {
        if fills > 0 {
            let (taker, price) = (symbol(side, false), decimal(price, price_decimals));
            let y = if side == Side::Buy { 15 } else { 85 };
            legend.push_str(&format!("<span>{}{} {name} at {price} on average</span>", mark_key(taker, y), count(fills)));
        }
    }
    if series.fills.iter().any(|fill| fill.is_maker) {
        legend.push_str("<span><svg class=\"key two\"><use href=\"#bm\" x=\"30%\" y=\"15%\"/><use href=\"#sm\" x=\"75%\" y=\"85%\"/></svg>hollow: maker</span>");
    }
    if series.fills_omitted > 0 {
        legend.push_str(&format!("<span>{} later fills not shown</span>", count(series.fills_omitted)));
    }
    legend.push_str("</span>");
    legend
}

/// What the read-out under the pointer needs: times in milliseconds, counted from the first one.
fn data(columns: &[&[Point]], series: [&[Step]; 4], marks: &[Mark], time: TimeRange, price_decimals: usize) -> String {
    let decimals = if time.length_ns() < 1_000_000_000 { 6 } else { 3 };
    let millis = |instant: i64| number(time.fraction(instant) * time.length_ns() as f64 / 1e6, decimals);
    let list = |values: Vec<String>| format!("[{}]", values.join(","));
    let times = list(columns.iter().filter_map(|column| column.last()).map(|point| millis(point.recv_ns)).collect());
    let [mid, imbalance, vpin, net] = series;
    let values = |steps: &[Step], decimals| list(steps.iter().map(|step| number(step.value, decimals)).collect());
    let net_size = net.iter().map(|step| step.value.abs()).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let net_decimals = if net_size >= 10.0 { 2 } else { 6 };
    let fills = list(
        marks
            .iter()
            .map(|mark| {
                let (price, qty) = (number(mark.price(), price_decimals), number(mark.qty, 8));
                format!("[{},{},{},{price},{qty},{}]", millis(mark.at_ns), mark.side as u8, u8::from(mark.is_maker), mark.fills)
            })
            .collect(),
    );
    format!(
        "{{\"start\":{},\"span\":{},\"decimals\":{price_decimals},\"t\":{times},\"mid\":{},\"imbalance\":{},\"vpin\":{},\"net\":{},\"fills\":{fills}}}",
        time.from.div_euclid(1_000_000),
        number(time.length_ns() as f64 / 1e6, decimals),
        values(mid, price_decimals),
        values(imbalance, 3),
        values(vpin, 3),
        values(net, net_decimals),
    )
}

/// A number in JSON with at most so many decimals; `null` where it is not finite.
fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "null".into();
    }
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

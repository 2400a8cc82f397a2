//! Latency by stage: percentile plots on a scale of nines, and a table.

use super::axis::{Decades, Tick};
use super::page::push_table;
use super::plot::{Axes, line_path, push_plot};
use crate::format::{count, duration_ns, level_range, words};
use crate::report::{DepthDecileReport, LatencySummary, Report};
use chronos_pipeline::latency::{Latencies, Stage};

/// Points of a curve for each further nine of its percentiles.
const POINTS_PER_NINE: u32 = 10;
/// Nines after which a percentile is told from the maximum no more.
const NINES_MAX: u32 = 9;

/// The latencies of a stage by quantile: what a percentile plot draws.
#[derive(Clone, PartialEq, Debug)]
pub struct LatencyCurve {
    /// The stage, as [`Stage::name`] has it.
    pub stage: &'static str,
    /// Quantile (0 to 1, ascending; 1 is the maximum) and latency in nanoseconds.
    pub points: Vec<(f64, u64)>,
}

/// A curve for each stage that measured something: from the median on evenly on a scale of nines, as far as there are measurements to
/// tell percentiles apart, and the maximum.
pub fn latency_curves(latencies: &Latencies) -> Vec<LatencyCurve> {
    let curve = |stage: Stage| {
        let histogram = latencies.histogram(stage);
        let measured = histogram.len() as f64;
        let quantiles = std::iter::once(0.5).chain((4..=NINES_MAX * POINTS_PER_NINE).map(quantile_of_nines));
        let mut points: Vec<(f64, u64)> = quantiles
            .take_while(|quantile| (1.0 - quantile) * measured >= 1.0)
            .map(|quantile| (quantile, histogram.value_at_quantile(quantile)))
            .collect();
        points.push((1.0, histogram.max()));
        LatencyCurve { stage: stage.name(), points }
    };
    Stage::ALL.into_iter().filter(|stage| !latencies.histogram(*stage).is_empty()).map(curve).collect()
}

/// The quantile with `tenths` / 10 nines: 10 is 0.9, 20 is 0.99.
fn quantile_of_nines(tenths: u32) -> f64 {
    1.0 - 10f64.powf(-f64::from(tenths) / f64::from(POINTS_PER_NINE))
}

/// Writes the plots and the table.
pub(super) fn push_latency(page: &mut String, report: &Report, curves: &[LatencyCurve]) {
    page.push_str("<section><h2>Latency</h2>\n");
    let whole = Stage::TickToTrade.name();
    let of_size = |curve: &&LatencyCurve| curve.stage.starts_with(whole) || curve.stage == Stage::DecisionTick.name();
    let by_stage: Vec<&LatencyCurve> = curves.iter().filter(|curve| curve.stage == whole || !of_size(curve)).collect();
    let by_size: Vec<&LatencyCurve> = curves.iter().filter(of_size).collect();
    page.push_str("<div class=\"pair\">\n");
    push_curves(page, "By stage", &by_stage);
    if by_size.len() > 1 {
        push_curves(page, "Tick to trade, by what came in", &by_size);
    }
    page.push_str("</div>\n");
    let row = |(stage, summary): (Stage, LatencySummary)| {
        let at = |nanos| if summary.count == 0 { "n/a".into() } else { duration_ns(nanos) };
        vec![words(stage.name()), count(summary.count), at(summary.p50), at(summary.p99), at(summary.p999), at(summary.max)]
    };
    push_table(page, "", &["Stage", "Measured", "p50", "p99", "p99.9", "Max"], report.stages().map(row).collect());
    if !report.depth_deciles.is_empty() {
        let row = |decile: &DepthDecileReport| {
            let [p50, p99, max] = [decile.p50, decile.p99, decile.max].map(duration_ns);
            vec![level_range(decile), count(decile.count), p50, p99, max]
        };
        let rows = report.depth_deciles.iter().map(row).collect();
        push_table(page, "", &["Depth messages", "Measured", "p50", "p99", "Max"], rows);
    }
    page.push_str(
        "<p class=\"note\">Tick to trade: from a complete message in memory to the end of all it caused, up to the bytes of a \
         risk-checked order; every message counts, whether it led to an order or not.</p>\n</section>\n",
    );
}

/// Where quantiles stand: from the median, each further nine as wide as the one before, and the maximum one step after the last.
#[derive(Clone, Copy, Debug)]
struct Nines {
    /// Nines of the last percentile shown.
    last: f64,
    /// Nines where the maximum stands.
    max: f64,
}

impl Nines {
    const FIRST: f64 = std::f64::consts::LOG10_2;

    fn around(curves: &[&LatencyCurve]) -> Nines {
        let finite = curves.iter().flat_map(|curve| &curve.points).map(|point| nines(point.0)).filter(|nines| nines.is_finite());
        let last = finite.fold(1.0, f64::max);
        Nines { last, max: last + 0.35 * (last / 3.0).max(1.0) }
    }

    fn fraction(self, quantile: f64) -> f64 {
        let at = if quantile < 1.0 { nines(quantile).clamp(Nines::FIRST, self.last) } else { self.max };
        (at - Nines::FIRST) / (self.max - Nines::FIRST)
    }

    fn ticks(self) -> Vec<Tick> {
        let whole = (1..=self.last as i32).map(|nines| 1.0 - 10f64.powi(-nines));
        let tick = |quantile| Tick { place: self.fraction(quantile) * 100.0, label: percentile_label(quantile) };
        std::iter::once(0.5).chain(whole).chain([1.0]).map(tick).collect()
    }
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn percentile_label(quantile: f64) -> String {
    if quantile >= 1.0 {
        return "max".into();
    }
    let decimals = (nines(quantile).round() as usize).saturating_sub(2);
    format!("{:.decimals$}", quantile * 100.0)
}

/// Writes one plot of several curves, with its legend.
fn push_curves(page: &mut String, title: &str, curves: &[&LatencyCurve]) {
    let drawn = |point: &&(f64, u64)| (0.5..=1.0).contains(&point.0);
    let Some(decades) = Decades::around(curves.iter().flat_map(|curve| curve.points.iter().filter(drawn)).map(|point| point.1))
    else {
        page.push_str("<p class=\"empty\">No latency was measured.</p>\n");
        return;
    };
    let scale = Nines::around(curves);
    let (mut lines, mut legend, mut data) = (String::new(), String::new(), Vec::new());
    for (place, curve) in curves.iter().enumerate() {
        let class = if curve.stage == Stage::TickToTrade.name() { "curve whole".into() } else { format!("curve c{}", place % 6) };
        let points = || curve.points.iter().filter(drawn).map(|&(quantile, nanos)| (scale.fraction(quantile), nanos));
        lines.push_str(&format!(
            "<path class=\"{class}\" d=\"{}\"/>",
            line_path(points().map(|(x, nanos)| (x, decades.fraction(nanos))))
        ));
        let name = words(curve.stage);
        legend.push_str(&format!(
            "<span><svg class=\"key\"><line class=\"{class}\" x2=\"100%\" y1=\"50%\" y2=\"50%\"/></svg>{name}</span>"
        ));
        let places: Vec<String> = points().map(|(x, _)| format!("{x:.4}")).collect();
        let values: Vec<String> = points().map(|(_, nanos)| nanos.to_string()).collect();
        data.push(format!("{{\"name\":\"{name}\",\"x\":[{}],\"ns\":[{}]}}", places.join(","), values.join(",")));
    }
    page.push_str(&format!(
        "<div class=\"curves\"><figure><figcaption><b>{title}</b> <i>time, logarithmic</i><span class=\"legend\">{legend}</span></figcaption>\n"
    ));
    let (y, x) = (decades.ticks(), scale.ticks());
    push_plot(
        page,
        &Axes {
            class: "price",
            description: &format!("Percentiles of latency: {title}"),
            y: &y,
            rule: None,
            x: &x,
            x_labels: true,
        },
        &lines,
        "",
    );
    page.push_str("</figure><p class=\"x-title\">Percentile</p>\n<p class=\"readout\"></p>\n");
    page.push_str(&format!(
        "<script type=\"application/json\">{{\"first\":{:.6},\"last\":{:.6},\"max\":{:.6},\"curves\":[{}]}}</script></div>\n",
        Nines::FIRST,
        scale.last,
        scale.max,
        data.join(",")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_holds_the_percentiles_that_can_be_told_apart() {
        let mut latencies = Latencies::new();
        (1..=1_000).for_each(|nanos| latencies.record(Stage::Decode, nanos));
        let curves = latency_curves(&latencies);
        assert_eq!(curves.iter().map(|curve| curve.stage).collect::<Vec<_>>(), ["decode"]);
        let points = &curves[0].points;
        let at = |quantile: f64| points.iter().find(|point| (point.0 - quantile).abs() < 1e-9).map(|point| point.1);
        assert_eq!([0.5, 0.9, 0.99, 1.0].map(at), [500, 900, 990, 1_000].map(Some));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        // A thousand measurements tell no percentile beyond 99.9 from the maximum.
        assert!(points.iter().all(|point| point.0 <= 0.999 || point.0 == 1.0), "{points:?}");
    }

    #[test]
    fn one_measurement_is_its_maximum() {
        let mut latencies = Latencies::new();
        latencies.record(Stage::Risk, 77);
        assert_eq!(latency_curves(&latencies), [LatencyCurve { stage: "risk", points: vec![(1.0, 77)] }]);
        assert_eq!(latency_curves(&Latencies::new()), []);
    }

    #[test]
    fn nines_are_evenly_spaced_and_the_maximum_is_last() {
        let curve = LatencyCurve { stage: "decode", points: vec![(0.5, 1), (0.9999, 2), (1.0, 3)] };
        let ticks = Nines::around(&[&curve]).ticks();
        assert_eq!(ticks.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>(), ["50", "90", "99", "99.9", "99.99", "max"]);
        let gaps: Vec<f64> = ticks.windows(2).map(|pair| pair[1].place - pair[0].place).collect();
        assert!((gaps[1] - gaps[2]).abs() < 1e-9 && (gaps[2] - gaps[3]).abs() < 1e-9 && gaps.iter().all(|gap| *gap > 0.0));
        assert_eq!((ticks[0].place, ticks[5].place), (0.0, 100.0));
    }
}

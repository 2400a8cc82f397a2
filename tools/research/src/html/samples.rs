//! Samples as a page: what labels say and what ended them, barrier hits on the price, uniqueness over time.

use super::drawing::{Against, Line, Panel, Shown, figure, marks, push_categories, push_drawn_note, push_histogram, push_panels};
use crate::dataset::{Built, Dataset, Observed, Recipe, SourceSection};
use crate::labels::Barrier;
use chronos_session::format::{count, date_utc, decimal, span_ns};
use chronos_session::html::axis::{Range, TimeRange, minus};
use chronos_session::html::page::{begin_page, end_page, escape, push_figure_row, push_notices, push_table};
use chronos_session::html::plot::mark_key;

/// What [`samples_page`] shows.
#[derive(Clone, Copy, Debug)]
pub struct SamplesPage<'a> {
    /// `labels` or `dataset`.
    pub kind: &'static str,
    /// The samples.
    pub built: &'a Built,
    /// From what they were made.
    pub source: &'a SourceSection,
    /// How.
    pub recipe: &'a Recipe,
    /// Whether features are part of what was asked for, and have a table.
    pub with_features: bool,
    /// What a reader should know first.
    pub notices: &'a [String],
}

/// The page.
pub fn samples_page(of: &SamplesPage<'_>) -> String {
    let Built { dataset, observed, counts, look_ahead } = of.built;
    let mut page = begin_page(&format!("{} of {}", of.kind, of.source.instrument));
    page.push_str(&format!(
        "<header><p class=\"kind\">Chronos {}</p><h1>{}</h1>\n<p>{}</p>\n<p class=\"files\">{}</p></header>\n",
        of.kind,
        escape(&of.source.instrument),
        escape(&span_text(observed)),
        escape(&of.source.files.iter().map(|file| file.name.as_str()).take(4).collect::<Vec<_>>().join(", "))
    ));
    push_notices(&mut page, of.notices);
    let mut lengths: Vec<u64> = dataset.event_ns.iter().zip(&dataset.end_ns).map(|(event, end)| end.abs_diff(*event)).collect();
    lengths.sort_unstable();
    let length = |place: usize| lengths.get(place).map_or("n/a".into(), |length| span_ns(*length));
    let unique: f64 = dataset.uniqueness.iter().sum();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let figures = [
        ("Samples", count(counts.samples), format!("of {} events", count(counts.events))),
        ("Prices", count(counts.prices), format!("{} rows of features", count(counts.feature_rows))),
        ("Mean uniqueness", decimal(mean(&dataset.uniqueness), 3), "1: no label overlaps".into()),
        ("Independent samples", decimal(unique, 0), "sum of uniqueness".into()),
        ("Label length", length(lengths.len() / 2), format!("median; {} at most", length(lengths.len().saturating_sub(1)))),
        ("Mean return", format!("{} bps", figure(1e4 * mean(&dataset.simple_return))), "of a label, before costs".into()),
        ("Look-ahead", "none".into(), format!("{} cuts, {} rows again", look_ahead.cuts, count(look_ahead.rows))),
    ];
    push_figure_row(&mut page, figures);
    page.push_str("<section><h2>Labels</h2>\n<div class=\"pair\"><div>\n");
    let counted = |counts: &std::collections::BTreeMap<String, u64>| {
        let mut counted: Vec<(String, u64)> = counts.iter().map(|(name, count)| (name.clone(), *count)).collect();
        counted.sort_by_key(|(name, _)| name.parse::<i64>().unwrap_or(0));
        counted
    };
    push_categories(&mut page, "Labels", "samples", &counted(&counts.labels));
    page.push_str("</div><div>\n");
    let has_side = dataset.side.iter().any(Option::is_some);
    let barriers: Vec<(String, u64)> =
        counted(&counts.barriers).into_iter().map(|(name, count)| (barrier_text(&name, has_side).to_owned(), count)).collect();
    push_categories(&mut page, "What ended them", "samples", &barriers);
    page.push_str("</div></div></section>\n");
    push_prices(&mut page, of, has_side);
    page.push_str("<section><h2>Returns of labels</h2>\n");
    let returns: Vec<f64> = dataset.simple_return.iter().map(|value| 1e4 * value).collect();
    let against = [Against { class: "rule-line", value: mean(&returns), name: format!("mean {} bps", figure(mean(&returns))) }];
    push_histogram(&mut page, "Returns", "Simple return from event to end, basis points, before costs", &returns, true, &against);
    page.push_str("</section>\n");
    push_tables(&mut page, of);
    end_page(&mut page);
    page
}

fn span_text(observed: &Observed) -> String {
    match (observed.times_ns.first(), observed.times_ns.last()) {
        (Some(first), Some(last)) => {
            format!("{} to {} UTC · {}", date_utc(*first), date_utc(*last), span_ns(last.abs_diff(*first)))
        }
        _ => "no prices".into(),
    }
}

/// What a barrier is called: without a side there is no profit, only an upper one.
fn barrier_text(name: &str, has_side: bool) -> &str {
    match (Barrier::from_name(name), has_side) {
        (Some(Barrier::Profit), false) => "upper barrier",
        (Some(Barrier::Stop), false) => "lower barrier",
        (Some(Barrier::Vertical), _) => "time is up",
        _ => name,
    }
}

/// Name of the mark of a barrier, and where it stands in its sample.
fn mark(barrier: Barrier) -> (&'static str, u32) {
    match barrier {
        Barrier::Profit => ("bt", 15),
        Barrier::Stop => ("st", 85),
        Barrier::Vertical => ("vt", 50),
    }
}

/// The price with what ended each label, and uniqueness over the same time.
fn push_prices(page: &mut String, of: &SamplesPage<'_>, has_side: bool) {
    let Built { dataset, observed, .. } = of.built;
    let Some(time) = TimeRange::around(observed.times_ns.iter().copied()) else { return };
    let prices = observed.times_ns.iter().zip(&observed.prices).map(|(at, price)| (*at, [*price; 3]));
    let price = Line::new("price", "line", time, prices, Shown::Last);
    let unique = dataset.event_ns.iter().zip(&dataset.uniqueness).map(|(at, unique)| (*at, [*unique; 3]));
    let unique = Line::new("uniqueness", "line", time, unique, Shown::Mean);
    let target = dataset.event_ns.iter().zip(&dataset.target).map(|(at, target)| (*at, [1e4 * target; 3]));
    let target = Line::new("target", "line", time, target, Shown::Mean);
    let (Some(prices), Some(targets)) = (Range::around(price.extent()), Range::around(target.extent().chain([0.0]))) else {
        return;
    };
    let ends = dataset.span.iter().zip(&dataset.barrier).filter_map(|(span, barrier)| {
        let (at, price) = (observed.times_ns.get(span.end)?, observed.prices.get(span.end)?);
        Some((time.fraction(*at), prices.fraction(*price), mark(*barrier).0))
    });
    let (hits, drawn) = marks(ends);
    let legend: String = [Barrier::Profit, Barrier::Stop, Barrier::Vertical]
        .into_iter()
        .filter(|barrier| dataset.barrier.contains(barrier))
        .map(|barrier| {
            let (name, y) = mark(barrier);
            format!("<span>{} {}</span>", mark_key(name, y), barrier_text(barrier.name(), has_side))
        })
        .collect();
    page.push_str("<section><h2>Price and barriers</h2>\n");
    let panels = [
        Panel {
            title: "Price",
            unit: "quote currency; a mark where each label ended".into(),
            class: "price",
            legend,
            lines: vec![price],
            range: prices,
            marks: hits,
            decimals: 4,
        },
        Panel {
            title: "Average uniqueness",
            unit: "of the labels of events at this time, mean; 1: no other label at the time".into(),
            class: "middle",
            legend: String::new(),
            lines: vec![unique],
            range: Range { low: 0.0, high: 1.0 },
            marks: String::new(),
            decimals: 3,
        },
        Panel {
            title: "Target",
            unit: "unit of the barriers, basis points".into(),
            class: "low",
            legend: String::new(),
            lines: vec![target],
            range: targets,
            marks: String::new(),
            decimals: 2,
        },
    ];
    push_panels(page, &of.source.instrument, time, &panels);
    push_drawn_note(page, "prices", observed.prices.len());
    if drawn < dataset.rows() {
        page.push_str(&format!(
            "<p class=\"note\">{} labels are drawn as {} marks: those that would stand on one another are one.</p>\n",
            count(dataset.rows() as u64),
            count(drawn as u64)
        ));
    }
    page.push_str("</section>\n");
}

fn push_tables(page: &mut String, of: &SamplesPage<'_>) {
    let Built { dataset, counts, .. } = of.built;
    page.push_str("<section class=\"tables\">\n");
    let rows = [
        ("prices", counts.prices),
        ("events", counts.events),
        ("before every feature was known", counts.warming_up),
        ("without a side", counts.without_side),
        ("target not above the least return", counts.small),
        ("not ended by the last price", counts.unfinished),
        ("samples", counts.samples),
    ];
    push_table(page, "Events", &[], rows.into_iter().map(|(name, value)| vec![name.to_owned(), count(value)]).collect());
    let Recipe { events, volatility_span, profit, stop, horizon, return_min, side, side_min, label, weight, decay } = of.recipe;
    let multiple = |of: &Option<f64>| of.map_or("none".into(), |multiple| format!("{} targets", figure(multiple)));
    let recipe = [
        ("events", events.clone()),
        ("volatility span", format!("{} prices", figure(*volatility_span))),
        ("profit", multiple(profit)),
        ("stop", multiple(stop)),
        ("horizon", horizon.clone().unwrap_or_else(|| "none".into())),
        ("least return", figure(*return_min)),
        ("side", side.clone().unwrap_or_else(|| "none".into())),
        ("least signal of a side", figure(*side_min)),
        ("label", format!("{label:?}").to_lowercase()),
        ("weight", format!("{weight:?}").to_lowercase()),
        ("decay", figure(*decay)),
    ];
    push_table(page, "Recipe", &[], recipe.into_iter().map(|(name, value)| vec![name.to_owned(), minus(value)]).collect());
    page.push_str("</section>\n<section>\n");
    let file = |file: &crate::dataset::SourceFile| vec![file.name.clone(), count(file.bytes), file.sha256.clone()];
    push_table(page, "Sources", &["File", "Bytes", "SHA-256"], of.source.files.iter().map(file).collect());
    if of.with_features {
        let row = |place: usize| feature_row(dataset, place);
        let head = ["Feature", "Mean", "Deviation", "Least", "Greatest"];
        push_table(page, "Features of the samples", &head, (0..dataset.features.len()).map(row).collect());
    }
    page.push_str("</section>\n");
}

fn feature_row(dataset: &Dataset, place: usize) -> Vec<String> {
    let values = || dataset.column(place);
    let rows = dataset.rows().max(1) as f64;
    let mean = values().sum::<f64>() / rows;
    let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / rows).sqrt();
    let (least, greatest) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let mut row = vec![dataset.features[place].clone()];
    row.extend([mean, deviation, least, greatest].map(figure));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Ohlcv;
    use crate::dataset::{BarSource, LookAheadOptions, SourceFile, build};
    use chronos_session::html::plot::GRID;
    use chronos_tests::page::{check_page, tags};

    fn built(bars: usize, recipe: &Recipe) -> Built {
        let mut random = fastrand::Rng::with_seed(3);
        let mut close: f64 = 100.0;
        let mut bar = |place: usize| {
            let open = close;
            close *= 1.0 + 0.01 * (random.f64() - 0.5);
            let start_ns = 1_600_000_000_000_000_000 + place as i64 * 3_600_000_000_000;
            let (high, low) = (open.max(close), open.min(close));
            Ohlcv {
                start_ns,
                end_ns: start_ns + 3_600_000_000_000,
                open,
                high,
                low,
                close,
                volume: 1.0,
                notional: close,
                flow: None,
            }
        };
        let source = BarSource { instrument: "X".into(), bars: (0..bars).map(&mut bar).collect(), rule: None };
        build(&source, recipe, LookAheadOptions { cuts: 1, seed: 0 }, &mut |_| {}).unwrap()
    }

    fn page(built: &Built, recipe: &Recipe, name: &str) -> String {
        let files = vec![SourceFile { name: name.into(), bytes: 1, sha256: "5a".repeat(32) }];
        let source = SourceSection { kind: "history".into(), instrument: name.into(), bars: None, config_hash: None, files };
        samples_page(&SamplesPage { kind: "dataset", built, source: &source, recipe, with_features: true, notices: &[name.into()] })
    }

    #[test]
    fn the_page_has_its_plots_and_every_barrier() {
        let recipe = Recipe { side: Some("-return_5".into()), horizon: Some("20".into()), ..Recipe::default() };
        let built = built(4_000, &recipe);
        let text = page(&built, &recipe, "BTC");
        check_page(&text, GRID);
        for title in ["Labels", "What ended them", "Price", "Average uniqueness", "Target", "Returns"] {
            assert!(text.contains(&format!("<b>{title}</b>")), "{title}");
        }
        for (mark, barrier) in [("bt", Barrier::Profit), ("st", Barrier::Stop), ("vt", Barrier::Vertical)] {
            let of_it = built.dataset.barrier.iter().filter(|one| **one == barrier).count();
            // One in the legend, and no more on the plot than there are.
            let drawn = tags(&text).iter().filter(|tag| tag.contains(&format!("href=\"#{mark}\""))).count();
            assert!(of_it > 0 && drawn > 1 && drawn <= of_it + 1, "{mark}: {drawn} of {of_it}");
        }
        assert!(text.contains("return_5</th>") && text.contains("targets"));
        assert_eq!(text, page(&built, &recipe, "BTC"));
    }

    #[test]
    fn a_million_prices_make_a_small_page() {
        let recipe = Recipe { events: "every:1".into(), profit: Some(1.0), horizon: Some("3".into()), ..Recipe::default() };
        let mut built = built(20_000, &recipe);
        // The same samples over and over, later each time.
        let (dataset, observed) = (built.dataset.clone(), built.observed.clone());
        for round in 1..50_i64 {
            let later = round * 3_600_000_000_000 * 20_000;
            built.observed.times_ns.extend(observed.times_ns.iter().map(|at| at + later));
            built.observed.prices.extend(&observed.prices);
            built.dataset.event_ns.extend(dataset.event_ns.iter().map(|at| at + later));
            built.dataset.end_ns.extend(dataset.end_ns.iter().map(|at| at + later));
            let places = round as usize * 20_000;
            let later = |span: &crate::labels::Span| crate::labels::Span { start: span.start + places, end: span.end + places };
            built.dataset.span.extend(dataset.span.iter().map(later));
            built.dataset.barrier.extend(&dataset.barrier);
            built.dataset.uniqueness.extend(&dataset.uniqueness);
            built.dataset.target.extend(&dataset.target);
            built.dataset.simple_return.extend(&dataset.simple_return);
        }
        assert!(built.observed.prices.len() == 1_000_000 && built.dataset.rows() > 900_000);
        let text = page(&built, &recipe, "X");
        check_page(&text, GRID);
        assert!(text.contains("1,000,000 prices are drawn in 1000 columns") && text.contains("marks: those that would stand"));
        assert!(text.contains("upper barrier"));
    }

    #[test]
    fn names_are_text() {
        let recipe = Recipe::default();
        let text = page(&built(2_000, &recipe), &recipe, "</h1><img src=x>&\"");
        assert!(tags(&text).iter().all(|tag| !tag.starts_with("img")));
        assert!(text.contains("&lt;/h1&gt;&lt;img src=x&gt;&amp;&quot;"));
    }
}

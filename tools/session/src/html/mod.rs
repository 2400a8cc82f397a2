//! Reports, of a replay, of what captures hold and of a host, as one HTML file that opens anywhere: no script, style, font or picture from outside.
//!
//! Plots are SVG drawn here. A small script adds a read-out under the pointer; without it everything is there to read. The file
//! stays under 5 MB however long the session was: what is drawn has a budget of points that the instruments share.
//!
//! Pages of other crates are made of the same parts: a frame, figures and tables of [`page`], plots of [`plot`] on axes of [`axis`].

pub mod axis;
mod doctor;
mod inspect;
mod latency;
mod market;
pub mod page;
pub mod plot;

pub use doctor::render_diagnosis;
pub use inspect::render_inspection;
pub use latency::{LatencyCurve, latency_curves};

use crate::format::{clock_utc, count, date_utc, decimal, duration_ns, money, span_ns, words};
use crate::report::{InstrumentReport, LatencySummary, Report};
use crate::series::{InstrumentSeries, Series};
use axis::minus;
use page::{begin_page, end_page, escape, push_figure_row, push_notices, push_table, some_of};

/// Columns of one instrument's plots, and of all of them together: points between are drawn as bands.
const COLUMNS: (usize, usize) = (1_000, 16_000);
/// Marks for fills in one instrument's plot, and of all of them together.
const MARKS: (usize, usize) = (5_000, 20_000);
/// What one instrument may put on the page.
#[derive(Clone, Copy, Debug)]
struct SpaceBudget {
    columns: usize,
    marks: usize,
}

/// The page.
///
/// # Examples
///
/// ```no_run
/// # fn of(report: &chronos_session::report::Report, series: &chronos_session::series::Series, latencies: &chronos_pipeline::latency::Latencies) -> std::io::Result<()> {
/// use chronos_session::html::{latency_curves, render};
/// std::fs::write("report.html", render(report, series, &latency_curves(latencies)))
/// # }
/// ```
pub fn render(report: &Report, series: &Series, latency_curves: &[LatencyCurve]) -> String {
    let symbols = some_of(report.instruments.iter().map(|instrument| instrument.symbol.as_str()), 4);
    let symbols = if symbols.is_empty() { "no instrument".into() } else { symbols };
    let span = span(series);
    let date = span.map(|(from, _)| format!(", {}", date_utc(from))).unwrap_or_default();
    let mut page = begin_page(&format!("Replay of {symbols}{date}"));
    push_header(&mut page, report, &symbols, span);
    push_notices(&mut page, &report.notices);
    push_figures(&mut page, report, series);
    let drawn = series.instruments.len().max(1);
    let budget = SpaceBudget { columns: COLUMNS.0.min(COLUMNS.1 / drawn), marks: MARKS.0.min(MARKS.1 / drawn) };
    for of_one in &series.instruments {
        push_instrument(&mut page, report, of_one, budget);
    }
    latency::push_latency(&mut page, report, latency_curves);
    push_tables(&mut page, report);
    end_page(&mut page);
    page
}

/// First and last instant that something is known of.
fn span(series: &Series) -> Option<(i64, i64)> {
    let points = series.instruments.iter().flat_map(|one| one.points.iter().map(|point| point.recv_ns));
    let instants = || points.clone().chain(series.instruments.iter().flat_map(|one| one.fills.iter().map(|fill| fill.recv_ns)));
    instants().min().zip(instants().max())
}

fn push_header(page: &mut String, report: &Report, symbols: &str, span: Option<(i64, i64)>) {
    let mut venues: Vec<&str> = report.instruments.iter().map(|instrument| instrument.venue).collect();
    venues.sort_unstable();
    venues.dedup();
    page.push_str(&format!("<header><p class=\"kind\">Chronos replay</p><h1>{}</h1>\n<p>", escape(symbols)));
    if !venues.is_empty() {
        page.push_str(&format!("{} <span class=\"dot\">·</span> ", escape(&some_of(venues.into_iter(), 4))));
    }
    match span {
        Some((from, to)) => {
            let date_of_end = if date_utc(from) == date_utc(to) { String::new() } else { date_utc(to) + " " };
            page.push_str(&format!(
                "{} {} to {date_of_end}{} UTC <span class=\"dot\">·</span> {}",
                date_utc(from),
                clock_utc(from, 3),
                clock_utc(to, 3),
                span_ns(to.abs_diff(from))
            ));
        }
        None => page.push_str("no decision tick"),
    }
    page.push_str("</p>\n");
    let files = some_of(report.sources.iter().map(|source| source.path.as_str()), 3);
    page.push_str(&format!(
        "<p class=\"files\">{}</p></header>\n",
        if files.is_empty() { "no files".into() } else { escape(&files) }
    ));
}

/// The row of figures at the top.
fn push_figures(page: &mut String, report: &Report, series: &Series) {
    let whole = report.latency_ns.get("tick_to_trade").copied().unwrap_or_default();
    let latency = |nanos| if whole.count == 0 { "n/a".into() } else { duration_ns(nanos) };
    let LatencySummary { count: measured, p50, p99, p999, max } = whole;
    let rejects: u64 = report.rejects.values().sum();
    let (makers, fills) = series
        .instruments
        .iter()
        .flat_map(|one| &one.fills)
        .fold((0u64, 0u64), |(makers, fills), fill| (makers + u64::from(fill.is_maker), fills + 1));
    let makers =
        if fills == 0 { "nothing traded".into() } else { format!("{} % maker", decimal(makers as f64 / fills as f64 * 100.0, 0)) };
    let checks = report.book_checks;
    let checked = match (checks.compared, checks.mismatched + checks.crossed) {
        (0, _) => "not compared".into(),
        (_, 0) => "all equal".into(),
        _ => format!("{} differ, {} crossed", count(checks.mismatched), count(checks.crossed)),
    };
    let per_s = if report.messages_per_s.is_finite() { report.messages_per_s.max(0.0) as u64 } else { 0 };
    let figures = [
        ("Messages", count(report.messages), format!("{} a second", count(per_s))),
        ("Tick to trade p50", latency(p50), format!("of {} measured", count(measured))),
        ("Tick to trade p99", latency(p99), format!("p99.9 is {}", latency(p999))),
        ("Tick to trade max", latency(max), "slowest of all".into()),
        ("Orders", count(report.orders), format!("{} refused by risk", count(rejects))),
        ("Fills", count(report.fills), makers),
        ("Net profit", money(report.pnl_quote), format!("after fees of {}", money(report.fees_quote))),
        ("Book checks", count(checks.compared), checked),
    ];
    push_figure_row(page, figures);
}

fn push_instrument(page: &mut String, report: &Report, series: &InstrumentSeries, budget: SpaceBudget) {
    let known = report.instruments.iter().find(|one| one.symbol == series.symbol && one.venue == series.venue);
    page.push_str(&format!("<section><h2>{} <small>{}</small></h2>\n", escape(&series.symbol), escape(series.venue)));
    if let Some(InstrumentReport { tick, lot, position, synced, inverse, .. }) = known {
        page.push_str(&format!(
            "<p class=\"facts\">{}tick {} <span class=\"dot\">·</span> lot {} <span class=\"dot\">·</span> position at the end {} \
             <span class=\"dot\">·</span> book {} at the end</p>\n",
            if *inverse { "inverse contract <span class=\"dot\">·</span> " } else { "" },
            escape(tick),
            escape(lot),
            escape(&minus(position.clone())),
            if *synced { "in sync" } else { "<strong>not in sync</strong>" },
        ));
    }
    // The mid price stands between two ticks at most half a tick from either.
    let tick_decimals =
        known.and_then(|known| known.tick.split_once('.')).map(|(_, decimals)| decimals.trim_end_matches('0').len());
    let price_decimals = match tick_decimals {
        Some(decimals) => (decimals + 1).min(10),
        None => 4,
    };
    market::push_panels(page, series, price_decimals, budget);
    page.push_str("</section>\n");
}

fn push_tables(page: &mut String, report: &Report) {
    let pairs = |rows: &[(&str, u64)]| rows.iter().map(|(name, value)| vec![(*name).to_owned(), count(*value)]).collect::<Vec<_>>();
    page.push_str("<section class=\"tables\">\n");
    push_table(
        page,
        "Market data",
        &[],
        pairs(&[
            ("messages", report.messages),
            ("of no use here", report.ignored),
            ("malformed", report.malformed),
            ("gaps", report.gaps),
            ("resyncs", report.resyncs),
            ("out of time order", report.time_reversals),
            ("trades", report.trades),
        ]),
    );
    let checks = report.book_checks;
    push_table(
        page,
        "Book checks",
        &[],
        pairs(&[("compared", checks.compared), ("mismatched", checks.mismatched), ("crossed", checks.crossed)]),
    );
    push_table(
        page,
        "Decisions",
        &[],
        pairs(&[
            ("decision ticks", report.features),
            ("inferences", report.inferences),
            ("signals", report.signals),
            ("orders", report.orders),
            ("fills", report.fills),
            ("frames skipped", report.frames_skipped),
        ]),
    );
    let counted = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        counts.iter().filter(|(_, value)| **value > 0).map(|(name, value)| vec![words(name), count(*value)]).collect::<Vec<_>>()
    };
    push_table(page, "Refused by risk", &[], counted(&report.rejects));
    push_table(page, "Regimes, parameter blocks", &[], counted(&report.regimes));
    push_table(page, "Dropped, by ring", &[], counted(&report.dropped));
    page.push_str("</section>\n<section>\n");
    let instrument = |one: &InstrumentReport| {
        vec![
            one.symbol.clone(),
            one.venue.to_owned(),
            one.tick.clone(),
            one.lot.clone(),
            one.tick_source.to_owned(),
            if one.inverse { "inverse" } else { "linear" }.to_owned(),
            if one.synced { "in sync" } else { "not in sync" }.to_owned(),
            minus(one.position.clone()),
        ]
    };
    let head = ["Symbol", "Venue", "Tick", "Lot", "Steps from", "Contract", "Book", "Position"];
    push_table(page, "Instruments", &head, report.instruments.iter().map(instrument).collect());
    let source = |one: &crate::report::SourceReport| {
        vec![
            one.path.clone(),
            one.format.to_owned(),
            one.compression.to_owned(),
            one.venue.to_owned(),
            some_of(one.symbols.iter().map(String::as_str), 8),
            one.time_unit.clone(),
            count(one.lines),
        ]
    };
    let head = ["Source", "Format", "Compression", "Venue", "Symbols", "Times in", "Lines"];
    push_table(page, "Sources", &head, report.sources.iter().map(source).collect());
    let run = [
        ("engine", report.engine.as_str()),
        ("model", &report.model),
        ("model SHA-256", report.model_sha256.as_deref().unwrap_or("none")),
        ("topology", report.topology),
        ("trading at the end", report.trading_state),
        ("configuration SHA-256", &report.config_hash),
        ("digest of orders and reports", &report.digest),
        ("wall time", &format!("{} s", decimal(report.wall_s, 2))),
        ("report", report.schema),
    ];
    push_table(page, "Run", &[], run.into_iter().map(|(name, value)| vec![name.to_owned(), value.to_owned()]).collect());
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{BookChecks, SCHEMA, SourceReport, depth_deciles, summarise};
    use crate::series::{FILLS_MAX, Fill, POINTS_MAX, Point};
    use chronos_market::{Contract, Exchange, Instrument, Price, Qty, Side};
    use chronos_pipeline::latency::{Latencies, Stage};
    use chronos_tests::page::{attribute, check_page, data_of, tags};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const START: i64 = 1_723_161_254_206_652_067;

    fn series(symbols: &[&str]) -> Series {
        let instrument = |symbol: &&str| Instrument {
            exchange: Exchange::BinanceUsdm,
            symbol: (*symbol).into(),
            tick: Price(100_000_000),
            lot: Qty(100_000),
            contract: Contract::spot(),
        };
        Series::new(&symbols.iter().map(instrument).collect::<Vec<_>>())
    }

    fn report(symbol: &str, latencies: &Latencies) -> Report {
        Report {
            schema: SCHEMA,
            engine: "native-f32".into(),
            topology: "fused",
            config_hash: "c0".repeat(32),
            model_sha256: Some("5a".repeat(32)),
            messages: 1_204_331,
            malformed: 2,
            gaps: 0,
            missed: 0,
            resyncs: 0,
            trades: 48_112,
            book_checks: BookChecks { compared: 629, mismatched: 0, crossed: 0 },
            features: 101_255,
            inferences: 101_255,
            signals: 1_204,
            orders: 161,
            rejects: BTreeMap::from([("open_orders", 1_031)]),
            fills: 139,
            pnl_quote: -26.774,
            fees_quote: 51.2,
            digest: "d1".repeat(32),
            frames_skipped: 0,
            dropped: BTreeMap::new(),
            messages_per_s: 1_034_221.3,
            wall_s: 1.164,
            latency_ns: summarise(latencies),
            depth_deciles: depth_deciles(latencies),
            model: "untrained".into(),
            meta: None,
            sources: vec![SourceReport {
                path: format!("captures/{symbol}.gz"),
                format: "binance",
                compression: "gzip",
                venue: "binance-usdm",
                symbols: vec![symbol.into()],
                time_unit: "ns".into(),
                lines: 1_204_331,
            }],
            instruments: vec![InstrumentReport {
                venue: "binance-usdm",
                symbol: symbol.into(),
                tick: "0.10".into(),
                lot: "0.001".into(),
                tick_source: "gcd of the snapshot",
                inverse: false,
                synced: true,
                position: "-0.004".into(),
            }],
            ignored: 10_220,
            time_reversals: 0,
            regimes: BTreeMap::new(),
            journal: None,
            trading_state: "active",
            wire: None,
            notices: vec!["model: untrained".into()],
        }
    }

    fn point(at: i64, mid: f64) -> Point {
        Point { recv_ns: at, mid_low: mid - 1.0, mid_high: mid + 1.0, mid, imbalance: 0.25, vpin: 0.5, net_quote: mid / 100.0 }
    }

    fn measured() -> Latencies {
        let mut latencies = Latencies::new();
        let mut rng = fastrand::Rng::with_seed(1);
        for stage in Stage::ALL {
            (0..2_000).for_each(|_| latencies.record(stage, rng.u64(20..80_000)));
        }
        latencies
    }

    /// As many points and fills as a series can hold, scattered so that little of them coincides.
    fn full(symbols: &[&str]) -> Series {
        let mut series = series(symbols);
        let mut rng = fastrand::Rng::with_seed(2);
        for one in &mut series.instruments {
            for place in 0..POINTS_MAX as i64 {
                let random = point(START + place * 123_456_789, 60_000.0 + rng.f64() * 2_000.0);
                one.points.push(Point {
                    imbalance: rng.f64() * 2.0 - 1.0,
                    vpin: rng.f64(),
                    net_quote: rng.f64() * 1e6 - 5e5,
                    ..random
                });
            }
            for _ in 0..FILLS_MAX {
                one.fills.push(Fill {
                    recv_ns: START + rng.i64(0..POINTS_MAX as i64 * 123_456_789),
                    side: if rng.bool() { Side::Buy } else { Side::Sell },
                    price: 60_000.0 + rng.f64() * 2_000.0,
                    qty: rng.f64(),
                    is_maker: rng.bool(),
                });
            }
            one.fills_omitted = 7;
        }
        series
    }

    fn check(page: &str) {
        check_page(page, plot::GRID);
        for data in data_of(page) {
            let length = |name: &str| data.get(name).and_then(serde_json::Value::as_array).map(Vec::len);
            for name in ["mid", "imbalance", "vpin", "net"] {
                assert_eq!(length(name), length("t"));
            }
        }
    }

    #[test]
    fn a_long_session_stays_under_five_megabytes() {
        let latencies = measured();
        let curves = latency_curves(&latencies);
        check(&render(&report("BTCUSDT", &latencies), &full(&["BTCUSDT"]), &curves));
        check(&render(&report("BTCUSDT", &latencies), &full(&["BTCUSDT"; 64]), &curves));
    }

    #[test]
    fn every_fill_is_in_a_mark() {
        let page = render(&report("BTCUSDT", &measured()), &full(&["BTCUSDT"]), &[]);
        let data =
            page.split("<script type=\"application/json\">").nth(1).and_then(|rest| rest.split("</script>").next()).expect("data");
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        let marks = data["fills"].as_array().expect("marks");
        assert!(marks.len() <= MARKS.0);
        assert_eq!(marks.iter().filter_map(|mark| mark[5].as_u64()).sum::<u64>(), FILLS_MAX as u64);
        assert_eq!(
            tags(&page)
                .iter()
                .filter(|tag| tag.starts_with("use ") && attribute(tag, "y").is_some_and(|y| y.contains('%')))
                .count(),
            marks.len() + 4
        );
        assert!(page.contains("7 later fills not shown"));
    }

    #[test]
    fn names_from_files_are_text() {
        let nasty = "<img src=x onerror=alert(1)>&\"'</script>\u{0}";
        let mut report = report(nasty, &Latencies::new());
        report.notices = vec![nasty.into()];
        report.model = nasty.into();
        let mut series = series(&[nasty]);
        series.instruments[0].points.push(point(START, 100.0));
        let page = render(&report, &series, &[]);
        tags(&page);
        assert!(!page.contains("<img") && !page.contains('\u{0}'));
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39;&lt;/script&gt;\u{fffd}"));
    }

    #[test]
    fn little_data_is_still_a_page() {
        let nothing = Latencies::new();
        let mut bare = report("X", &nothing);
        bare.instruments.clear();
        bare.sources.clear();
        bare.notices.clear();
        bare.pnl_quote = f64::NAN;
        bare.messages_per_s = f64::INFINITY;
        bare.wall_s = f64::NAN;
        let page = render(&bare, &series(&[]), &latency_curves(&nothing));
        check(&page);
        assert!(page.contains("No latency was measured."));

        let page = render(&report("X", &nothing), &series(&["X"]), &[]);
        check(&page);
        assert!(page.contains("No decision ticks"));

        let mut single = series(&["X"]);
        single.instruments[0].points.push(point(START, 100.0));
        let page = render(&report("X", &nothing), &single, &[]);
        check(&page);
        assert!(page.contains("no fills") && page.contains("2024-08-08"));

        let mut constant = series(&["X"]);
        constant.instruments[0].points.extend((0..100).map(|at| Point {
            mid_low: 100.0,
            mid_high: 100.0,
            net_quote: 0.0,
            ..point(START + at, 100.0)
        }));
        check(&render(&report("X", &nothing), &constant, &[]));
    }

    #[test]
    fn the_first_screen_says_what_matters() {
        let latencies = measured();
        let mut series = series(&["BTCUSDT"]);
        series.instruments[0].points.extend([point(START, 100.0), point(START + 1_186_000_000_000, 101.0)]);
        let page = render(&report("BTCUSDT", &latencies), &series, &latency_curves(&latencies));
        let first_screen = page.split("</dl>").next().unwrap_or_default();
        for expected in [
            "2024-08-08 23:54:14.206 to 2024-08-09 00:14:00.206 UTC",
            "19 min 46 s",
            "<li>model: untrained</li>",
            ">1,204,331<",
            ">\u{2212}26.77<",
            ">629<",
            "binance-usdm",
            "captures/BTCUSDT.gz",
        ] {
            assert!(first_screen.contains(expected), "{expected} is missing");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_series_makes_a_sound_page(
            points in prop::collection::vec((any::<i64>(), any::<[f64; 4]>(), -2.0f64..2.0), 0..40),
            fills in prop::collection::vec((any::<i64>(), any::<[f64; 2]>(), any::<[bool; 2]>()), 0..20),
            curve in prop::collection::vec((0.0f64..=1.0, any::<u64>()), 0..20),
        ) {
            let mut series = series(&["X"]);
            let one = &mut series.instruments[0];
            one.points = points.iter().map(|&(recv_ns, [mid_low, mid_high, mid, net_quote], feature)| Point {
                recv_ns, mid_low, mid_high, mid, imbalance: feature, vpin: feature.sqrt(), net_quote,
            }).collect();
            one.fills = fills.iter().map(|&(recv_ns, [price, qty], [buy, is_maker])| Fill {
                recv_ns, side: if buy { Side::Buy } else { Side::Sell }, price, qty, is_maker,
            }).collect();
            check(&render(&report("X", &Latencies::new()), &series, &[LatencyCurve { stage: "decode", points: curve }]));
        }
    }
}

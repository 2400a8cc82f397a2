//! The report of a replay as small tables for a terminal.

use crate::tables::{lines, printable, table, terminal_width};
use chronos_session::format::{bytes, count, decimal, duration_ns, level_range, money, words};
use chronos_session::report::{Report, SourceReport};
use chronos_session::wire::WireReport;
use comfy_table::Table;
use std::collections::BTreeMap;

/// The summary, for the terminal there is.
pub(crate) fn render(report: &Report) -> String {
    render_in(report, terminal_width())
}

/// The summary in so many columns.
fn render_in(report: &Report, width: u16) -> String {
    let mut summary = String::new();
    for table in [sources(report), counts(report), latency(report), depth_deciles(report), wire(report)].into_iter().flatten() {
        summary.push_str(&lines(table, width));
        summary.push('\n');
    }
    summary.push_str(&format!(
        "{} lines in {} s, {} a second; engine {}, {}; trading {} at the end\n",
        count(report.messages),
        decimal(report.wall_s, 2),
        decimal(report.messages_per_s, 0),
        report.engine,
        report.topology,
        report.trading_state
    ));
    summary.extend(report.wire.iter().map(wire_counts));
    let model = match &report.model_sha256 {
        Some(sha256) => format!("{}, {sha256}", report.model),
        None => report.model.clone(),
    };
    if let Some(meta) = &report.meta {
        summary.push_str(&format!("meta {}, from {}, {}\n", meta.model, decimal(meta.threshold, 2), meta.sha256));
    }
    summary.push_str(&format!("model {model}\nconfig {}\ndigest {}\n", report.config_hash, report.digest));
    if let Some(journal) = &report.journal {
        summary.push_str(&format!(
            "journal {}: {} records, {}; a power loss at the worst moment could have cost the last {} records ({})\n",
            journal.path,
            count(journal.records),
            bytes(journal.bytes),
            count(journal.unsynced_records_max),
            bytes(journal.unsynced_bytes_max)
        ));
    }
    for notice in &report.notices {
        summary.push_str(&format!("note: {notice}\n"));
    }
    printable(&summary)
}

/// What was replayed.
fn sources(report: &Report) -> Option<Table> {
    let row = |source: &SourceReport| {
        let format =
            if source.compression == "none" { source.format.into() } else { format!("{}, {}", source.format, source.compression) };
        [source.path.clone(), source.venue.into(), source.symbols.join(" "), format, count(source.lines)]
    };
    table(["Source", "Venue", "Symbols", "Format", "Lines"], report.sources.iter().map(row), &[4])
}

/// Market and trading, side by side; of regimes, rings and checks those that counted something.
fn counts(report: &Report) -> Option<Table> {
    let named = |prefix: &str, counts: &BTreeMap<&'static str, u64>| {
        let some = counts.iter().filter(|(_, value)| **value > 0);
        some.map(|(name, value)| (format!("{prefix} {}", words(name)), count(*value))).collect::<Vec<_>>()
    };
    let pair = |name: &str, value: u64| (name.to_owned(), count(value));
    let checks = report.book_checks;
    let mut market = vec![
        pair("messages", report.messages),
        pair("of no use here", report.ignored),
        pair("malformed", report.malformed),
        pair("gaps", report.gaps),
        pair("missed by number", report.missed),
        pair("resyncs", report.resyncs),
        pair("out of time order", report.time_reversals),
        pair("trades", report.trades),
        pair("books compared", checks.compared),
        pair("books mismatched", checks.mismatched),
        pair("books crossed", checks.crossed),
        pair("dropped", report.dropped.values().sum()),
    ];
    market.extend(named("regime", &report.regimes));
    market.extend(named("dropped,", &report.dropped));
    let mut trading = vec![
        pair("decision ticks", report.features),
        pair("frames skipped", report.frames_skipped),
        pair("inferences", report.inferences),
        pair("signals", report.signals),
        pair("orders", report.orders),
        pair("fills", report.fills),
        ("net profit (quote)".to_owned(), money(report.pnl_quote)),
        ("fees (quote)".to_owned(), money(report.fees_quote)),
        pair("refused by risk", report.rejects.values().sum()),
    ];
    trading.extend(named("refused,", &report.rejects));
    if let Some(meta) = &report.meta {
        trading.extend([
            pair("meta: taken", meta.taken),
            pair("meta: filtered", meta.filtered),
            pair("meta: too small", meta.too_small),
        ]);
    }
    let rows = (0..market.len().max(trading.len())).map(|place| {
        let (left, right) = (market.get(place).cloned().unwrap_or_default(), trading.get(place).cloned().unwrap_or_default());
        [left.0, left.1, right.0, right.1]
    });
    table(["Market", "", "Trading", ""], rows, &[1, 3])
}

/// Latency by stage; stages that measured nothing are left out.
fn latency(report: &Report) -> Option<Table> {
    let rows = report.stages().filter(|(_, summary)| summary.count > 0).map(|(stage, summary)| {
        let [p50, p99, p999, max] = [summary.p50, summary.p99, summary.p999, summary.max].map(duration_ns);
        [words(stage.name()), count(summary.count), p50, p99, p999, max]
    });
    table(["Latency", "Measured", "p50", "p99", "p99.9", "Max"], rows, &[1, 2, 3, 4, 5])
}

/// Tick-to-trade of depth messages by size.
fn depth_deciles(report: &Report) -> Option<Table> {
    let rows = report.depth_deciles.iter().map(|decile| {
        let [p50, p99, max] = [decile.p50, decile.p99, decile.max].map(duration_ns);
        [level_range(decile), count(decile.count), p50, p99, max]
    });
    table(["Depth messages", "Measured", "p50", "p99", "Max"], rows, &[1, 2, 3, 4])
}

/// Latency from socket to socket.
fn wire(report: &Report) -> Option<Table> {
    let rows = report.wire.iter().flat_map(|wire| wire.latencies()).filter(|(_, summary)| summary.count > 0);
    let rows = rows.map(|(latency, summary)| {
        let [p50, p99, p999, max] = [summary.p50, summary.p99, summary.p999, summary.max].map(duration_ns);
        [words(latency.name()), count(summary.count), p50, p99, p999, max]
    });
    table(["Sockets", "Measured", "p50", "p99", "p99.9", "Max"], rows, &[1, 2, 3, 4, 5])
}

/// What the sockets carried, in one line.
fn wire_counts(wire: &WireReport) -> String {
    let speed = wire.speed.map_or("as fast as taken".into(), |speed| format!("at {} times its pace", decimal(speed, 2)));
    format!(
        "over {}, {speed}: {} messages sent, {} received, {} lost and {} overtaken on purpose, {} missing otherwise; {} of {} orders \
         arrived over {}\n",
        wire.transport,
        count(wire.sent),
        count(wire.received),
        count(wire.lost),
        count(wire.reordered),
        count(wire.missing),
        count(wire.orders_received),
        count(wire.orders_sent),
        wire.orders_by
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_session::report::{BookChecks, DepthDecileReport, JournalReport, LatencySummary, MetaReport, SCHEMA};

    fn report() -> Report {
        let summary = LatencySummary { count: 1_204_331, p50: 842, p99: 12_340, p999: 99_960, max: 4_000_000 };
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
            rejects: BTreeMap::from([("rate", 12), ("open_orders", 1_031), ("stale", 0)]),
            fills: 139,
            pnl_quote: -26.774,
            fees_quote: 0.001_234,
            digest: "d1".repeat(32),
            frames_skipped: 0,
            dropped: BTreeMap::new(),
            messages_per_s: 1_034_221.3,
            wall_s: 1.164,
            latency_ns: BTreeMap::from([("tick_to_trade", summary), ("decode", summary), ("risk", LatencySummary::default())]),
            depth_deciles: vec![
                DepthDecileReport { levels_min: 1, levels_max: 1, count: 12, p50: 842, p99: 12_340, max: 20_000 },
                DepthDecileReport { levels_min: 2, levels_max: 1_226, count: 13, p50: 1_842, p99: 22_340, max: 30_000 },
            ],
            model: "untrained".into(),
            meta: Some(MetaReport {
                model: "models/meta".into(),
                sha256: "3e".repeat(32),
                threshold: 0.65,
                taken: 161,
                filtered: 1_043,
                too_small: 0,
            }),
            sources: vec![SourceReport {
                path: "/data/captures/of/a/long/name/binance/usdm_btcusdt_20240808.gz".into(),
                format: "binance",
                compression: "gzip",
                venue: "binance-usdm",
                symbols: vec!["BTCUSDT".into()],
                time_unit: "ns".into(),
                lines: 1_204_331,
            }],
            instruments: Vec::new(),
            ignored: 10_220,
            time_reversals: 0,
            regimes: BTreeMap::from([("high_volatility", 3)]),
            journal: Some(JournalReport {
                path: "out/journal".into(),
                records: 1_312,
                segments: 1,
                bytes: 123_456,
                unsynced_records_max: 17,
                unsynced_bytes_max: 1_700,
                syncs: 12,
                sync_ns_max: 1_000_000,
            }),
            trading_state: "active",
            wire: None,
            notices: vec!["model: untrained".into(), "a \u{1b}[31mred\u{1b}[0m path".into()],
        }
    }

    /// The fields of the first line that begins with `name`.
    fn fields<'a>(summary: &'a str, name: &str) -> Vec<&'a str> {
        let line = summary.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        line.split("  ").map(str::trim).filter(|field| !field.is_empty()).collect()
    }

    #[test]
    fn figures_stand_beside_their_names() {
        let summary = render_in(&report(), 100);
        for [name, value] in [
            ["messages", "1,204,331"],
            ["decision ticks", "101,255"],
            ["trades", "48,112"],
            ["net profit (quote)", "-26.77"],
            ["books compared", "629"],
            ["fees (quote)", "0.00123"],
            ["books mismatched", "0"],
            ["refused by risk", "1,043"],
            ["books crossed", "0"],
            ["refused, open orders", "1,031"],
        ] {
            let is_beside = |line: &str| {
                let fields: Vec<&str> = line.split("  ").map(str::trim).filter(|field| !field.is_empty()).collect();
                fields.windows(2).any(|pair| pair == [name, value])
            };
            assert!(summary.lines().any(is_beside), "{name} {value}: {summary}");
        }
        assert!(!summary.contains("refused, stale"));
        assert!(summary.contains("meta: filtered") && summary.contains("meta models/meta, from 0.65"), "{summary}");
        assert_eq!(fields(&summary, "regime")[..2], ["regime high volatility", "3"]);
        assert_eq!(fields(&summary, "decode"), ["decode", "1,204,331", "842 ns", "12.3 µs", "100 µs", "4.00 ms"]);
        assert_eq!(fields(&summary, "1 level"), ["1 level", "12", "842 ns", "12.3 µs", "20.0 µs"]);
        assert_eq!(fields(&summary, "2 to 1,226 levels"), ["2 to 1,226 levels", "13", "1.84 µs", "22.3 µs", "30.0 µs"]);
        assert!(summary.contains("note: model: untrained\n"));
        assert!(
            summary.contains("journal out/journal: 1,312 records") && summary.contains("the last 17 records (1.70 kB)"),
            "{summary}"
        );
    }

    #[test]
    fn stages_stand_in_the_order_of_the_pipeline_and_idle_ones_are_left_out() {
        let summary = render_in(&report(), 100);
        let at = |name: &str| summary.find(name);
        assert!(at("\n decode").is_some() && at("\n decode") < at("\n tick to trade"), "{summary}");
        assert_eq!(at("\n risk"), None);
    }

    #[test]
    fn figures_end_in_one_column() {
        let summary = render_in(&report(), 100);
        let ends = ["messages", "trades", "malformed"].map(|name| {
            let line = summary.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
            let figure = fields(&summary, name)[1];
            line.find(figure).map(|start| start + figure.len())
        });
        assert!(ends[0].is_some() && ends.iter().all(|end| *end == ends[0]), "{summary}");
    }

    #[test]
    fn tables_fit_the_width() {
        for width in [48, 60, 80, 120] {
            let summary = render_in(&report(), width);
            let tables = summary.split("lines in").next().unwrap_or_default();
            let widest = tables.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(usize::from(width)), "{width}:\n{summary}");
        }
    }

    #[test]
    fn nothing_from_a_file_controls_the_terminal() {
        assert!(!render_in(&report(), 80).contains('\u{1b}'));
    }

    #[test]
    fn a_session_without_files_has_a_summary() {
        let mut empty = report();
        empty.sources.clear();
        empty.latency_ns.clear();
        empty.pnl_quote = f64::NAN;
        let summary = render_in(&empty, 0);
        assert!(!summary.contains("NaN") && !summary.contains("Source"), "{summary}");
    }
}

//! What a session did, as one object: printed as JSON, as tables, or drawn as HTML.

use crate::meta::MetaDirectory;
use crate::wire::WireReport;
use chronos_pipeline::decision::MetaCounters;
use chronos_pipeline::journal::JournalSummary;
use chronos_pipeline::latency::{DepthDecile, Latencies, Stage};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the report's shape; it grows when a field changes its meaning or goes.
pub const SCHEMA: &str = "chronos.replay/1";

/// The report of a replay. Amounts of money are rounded to double precision here, and exact in the journal.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What ran the model: `native-f32`, `tract`, or `none`.
    pub engine: String,
    /// `fused` or `split`.
    pub topology: &'static str,
    /// SHA-256 of the configuration that was in force, in canonical form.
    pub config_hash: String,
    /// SHA-256 of `model.onnx`; absent without a model.
    pub model_sha256: Option<String>,
    /// Lines read, the snapshot's too.
    pub messages: u64,
    /// Lines that had no effect because they are broken or make no sense here.
    pub malformed: u64,
    /// Breaks in the chain of update ids.
    pub gaps: u64,
    /// Messages that never came, by the numbers of a feed that numbers them (ITCH, IEX).
    pub missed: u64,
    /// Times a book came back into sync after having been in sync before.
    pub resyncs: u64,
    /// Trades seen.
    pub trades: u64,
    /// Books compared with quotes at equal update ids (`--verify`).
    pub book_checks: BookChecks,
    /// Feature frames made: decision ticks.
    pub features: u64,
    /// Steps of the model.
    pub inferences: u64,
    /// Decisions whose signal was strong enough to act on.
    pub signals: u64,
    /// Orders sent.
    pub orders: u64,
    /// Orders refused before they left, by the check that refused them.
    pub rejects: BTreeMap<&'static str, u64>,
    /// Fills.
    pub fills: u64,
    /// Profit with open positions at their last mid price, fees subtracted, in quote currency.
    pub pnl_quote: f64,
    /// Fees paid less rebates, in quote currency.
    pub fees_quote: f64,
    /// SHA-256 over the canonical bytes of every order and report.
    pub digest: String,
    /// Decision ticks skipped because the trade group was behind; always 0 in a replay that follows no journal.
    pub frames_skipped: u64,
    /// What was dropped, by ring.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Lines a second of wall time, reading and decompression included.
    pub messages_per_s: f64,
    /// Wall time of the replay in seconds.
    pub wall_s: f64,
    /// Latency by stage, in nanoseconds.
    pub latency_ns: BTreeMap<&'static str, LatencySummary>,
    /// Tick-to-trade of depth messages by deciles of their size, the smallest first.
    pub depth_deciles: Vec<DepthDecileReport>,
    /// What the model is: `untrained`, `none`, or its folder.
    pub model: String,
    /// What the meta model made of the orders that would have opened a position; absent without one.
    pub meta: Option<MetaReport>,
    /// The files, in the order they were read within their connection.
    pub sources: Vec<SourceReport>,
    /// The instruments.
    pub instruments: Vec<InstrumentReport>,
    /// Lines that are known and of no use to book or features.
    pub ignored: u64,
    /// Lines received earlier than the one before them.
    pub time_reversals: u64,
    /// Parameter blocks of the cold path that took effect, by the regime they named.
    pub regimes: BTreeMap<&'static str, u64>,
    /// Whether trading was `active`, `reducing` or `halted` at the end.
    pub trading_state: &'static str,
    /// Of a replay over sockets: what the sockets did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<WireReport>,
    /// The journal that was written; absent without one.
    pub journal: Option<JournalReport>,
    /// What the user should know: degraded service, assumptions made, damage found.
    pub notices: Vec<String>,
}

impl Report {
    /// Latency by stage, in the order of [`Stage::ALL`].
    pub fn stages(&self) -> impl Iterator<Item = (Stage, LatencySummary)> {
        Stage::ALL.into_iter().filter_map(|stage| self.latency_ns.get(stage.name()).map(|summary| (stage, *summary)))
    }
}

/// What a meta model made of the orders that would have opened a position.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MetaReport {
    /// Its folder.
    pub model: String,
    /// SHA-256 of its `meta.json`.
    pub sha256: String,
    /// Probability below which a decision is neutral.
    pub threshold: f64,
    /// Orders sent on, at their size times the probability.
    pub taken: u64,
    /// Orders dropped because the probability was below the threshold.
    pub filtered: u64,
    /// Orders dropped because their size times the probability was less than a lot.
    pub too_small: u64,
}

impl MetaReport {
    pub(crate) fn new(folder: String, meta: &MetaDirectory, counters: MetaCounters) -> MetaReport {
        MetaReport {
            model: folder,
            sha256: meta.manifest.meta.sha256.clone(),
            threshold: meta.manifest.decision.threshold,
            taken: counters.taken,
            filtered: counters.filtered,
            too_small: counters.too_small,
        }
    }
}

/// A journal, and what a power loss at the worst moment could have cost.
#[derive(Clone, Debug, Serialize)]
pub struct JournalReport {
    /// Its folder.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Segments it fills.
    pub segments: u32,
    /// Bytes it takes.
    pub bytes: u64,
    /// Most records that were appended and not yet on the disk.
    pub unsynced_records_max: u64,
    /// The same in bytes.
    pub unsynced_bytes_max: u64,
    /// Times it was synced.
    pub syncs: u64,
    /// The longest of them, in nanoseconds.
    pub sync_ns_max: u64,
}

impl From<JournalSummary> for JournalReport {
    fn from(summary: JournalSummary) -> JournalReport {
        JournalReport {
            path: summary.folder.display().to_string(),
            records: summary.records,
            segments: summary.segments,
            bytes: summary.bytes,
            unsynced_records_max: summary.unsynced_records_max,
            unsynced_bytes_max: summary.unsynced_bytes_max,
            syncs: summary.syncs,
            sync_ns_max: u64::try_from(summary.sync_max.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// Books compared with an independent witness.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct BookChecks {
    /// Pairs compared.
    pub compared: u64,
    /// Pairs that differ in a price or a size.
    pub mismatched: u64,
    /// Whole messages after which bid and ask touched or crossed.
    pub crossed: u64,
}

/// One stage's latency.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct LatencySummary {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// Tick-to-trade of depth messages of similar size, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct DepthDecileReport {
    /// Level changes of the smallest message.
    pub levels_min: u32,
    /// Level changes of the largest.
    pub levels_max: u32,
    /// Messages.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// Its path, as given or found.
    pub path: String,
    /// Its format.
    pub format: &'static str,
    /// `gzip`, `zstd` or `none`.
    pub compression: &'static str,
    /// The venue its content tells of.
    pub venue: &'static str,
    /// The symbols in it.
    pub symbols: Vec<String>,
    /// Unit of its receive times.
    pub time_unit: String,
    /// Lines read from it.
    pub lines: u64,
}

/// One instrument.
#[derive(Clone, Debug, Serialize)]
pub struct InstrumentReport {
    /// The venue.
    pub venue: &'static str,
    /// The venue's symbol.
    pub symbol: String,
    /// Price step.
    pub tick: String,
    /// Quantity step.
    pub lot: String,
    /// Where tick and lot come from: `config`, or `gcd of the snapshot`.
    pub tick_source: &'static str,
    /// Whether its contract is inverse.
    pub inverse: bool,
    /// Whether its book was in sync at the end.
    pub synced: bool,
    /// Position at the end, in units of quantity.
    pub position: String,
}

/// Latency summaries by stage name; stages that measured nothing are there with zeros.
pub fn summarise(latencies: &Latencies) -> BTreeMap<&'static str, LatencySummary> {
    Stage::ALL.into_iter().map(|stage| (stage.name(), summary_of(latencies.histogram(stage)))).collect()
}

/// Tick-to-trade of depth messages by size.
pub fn depth_deciles(latencies: &Latencies) -> Vec<DepthDecileReport> {
    let told = |decile: DepthDecile| {
        let DepthDecile { levels_min, levels_max, count, p50_ns: p50, p99_ns: p99, max_ns: max } = decile;
        DepthDecileReport { levels_min, levels_max, count, p50, p99, max }
    };
    latencies.depth_deciles().into_iter().map(told).collect()
}

/// What a histogram of nanoseconds says; zeros for an empty one.
pub(crate) fn summary_of(histogram: &Histogram<u64>) -> LatencySummary {
    let at = |quantile| if histogram.is_empty() { 0 } else { histogram.value_at_quantile(quantile) };
    LatencySummary {
        count: histogram.len(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: if histogram.is_empty() { 0 } else { histogram.max() },
    }
}

//! The configuration file: TOML, one table a section, every key documented here, unknown keys refused with the nearest name.
//!
//! ```toml
//! [model]
//! path = "models/mine"
//!
//! [venue]
//! order_latency_us = 2000.0
//! taker_fee_bps = 4.5
//!
//! [risk]
//! order_notional_quote_max = 5000.0
//!
//! [[instruments]]
//! venue = "binance-usdm"
//! symbol = "BTCUSDT"
//! tick = "0.1"
//! lot = "0.001"
//! ```

mod risk;

pub use risk::RiskSection;

use crate::format::sha256_hex;
use chronos_exchange::SimulatedVenueConfig;
use chronos_inference::EngineChoice;
use chronos_market::book::PARTIAL_LEVELS_MAX;
use chronos_market::decode::new_york_midnight_of_date;
use chronos_market::features::FeatureConfig;
use chronos_market::tick::TickConfig;
use chronos_market::{Instrument, NANOS_PER_MILLI, Qty, Timestamp};
use chronos_pipeline::decision::ThresholdConfig;
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::topology::{HotThread, Waiting, WindowSchedule};
use risk::order_rules;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that can be set. The default of each key is what holds where it is left out.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is followed of the captures.
    pub source: SourceSection,
    /// What is known of instruments, in place of what is derived from the capture.
    pub instruments: Vec<InstrumentConfig>,
    /// Books.
    pub book: BookSection,
    /// Decision ticks where there is no model; a model's manifest has its own.
    pub tick: TickSection,
    /// Features.
    pub features: FeaturesSection,
    /// The model.
    pub model: ModelSection,
    /// The strategy.
    pub decision: DecisionSection,
    /// Pre-trade limits.
    pub risk: RiskSection,
    /// The simulated venue.
    pub venue: VenueSection,
    /// Threads and cores.
    pub topology: TopologySection,
    /// Event-time windows for parameters from the cold path.
    pub parameters: ParametersSection,
    /// The journal.
    pub journal: JournalSection,
    /// Recording.
    pub record: RecordSection,
    /// The gate a model passes before it may trade.
    pub promotion: PromotionSection,
}

/// `[source]`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceSection {
    /// Symbols to follow, as the venue writes them; all others are passed over. Empty: all.
    pub symbols: Vec<String>,
    /// The day in New York, `2019-12-30`, of files that name none (a NASDAQ BinaryFILE). Empty: not known, and their times are counted
    /// from 1970.
    pub date: String,
}

/// One instrument.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct InstrumentConfig {
    /// The venue's name, as reports have it: `binance-usdm`, `kraken`.
    pub venue: String,
    /// The venue's symbol.
    pub symbol: String,
    /// Price step, a decimal in quotes.
    pub tick: String,
    /// Quantity step, a decimal in quotes.
    pub lot: String,
    /// Inverse contracts: quote currency in one contract. Empty: 100 for BTC, 10 for others on
    /// `binance-coinm`, 1 on `bybit-inverse`.
    #[serde(default)]
    pub contract_quote: String,
    /// Lowest price of an order. Empty, here and below: no limit.
    #[serde(default)]
    pub price_min: String,
    /// Highest price of an order.
    #[serde(default)]
    pub price_max: String,
    /// Smallest quantity of an order.
    #[serde(default)]
    pub qty_min: String,
    /// Largest quantity of an order.
    #[serde(default)]
    pub qty_max: String,
    /// Smallest value of an order, in quote currency.
    #[serde(default)]
    pub notional_min: String,
}

/// `[book]`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BookSection {
    /// Order messages after which a book of orders counts as in sync that no snapshot began; 0, the default, waits for a snapshot. For
    /// captures that begin in the middle of a session and hold none: orders from before them are missing from the book, so that only
    /// its best prices can be relied on, and those only once every older order near them is gone (20,000 messages for Bitstamp in
    /// 2015).
    pub cold_start_messages: u32,
    /// For feeds without a whole book, how many best levels of a side they have, up to 1,000: 1 where quotes are all there is (bookTicker,
    /// TOPS, MBP-1), 5, 10 or 20 for streams of partial depth. Those are the book then, and what keeps a whole one is not read. 0, the
    /// default, for whole books: quotes and partial depth beside them are no part of it.
    pub levels: usize,
}

/// `[tick]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TickSection {
    /// Shortest time between decision ticks of an instrument, in milliseconds.
    pub min_interval_ms: f64,
    /// A batch that changes one of the best so many levels asks for a tick, 1 to 10.
    pub top_levels: usize,
    /// Ticks after a reset before a signal may be acted on.
    pub warmup_ticks: u32,
}

/// `[features]`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FeaturesSection {
    /// Volume of a VPIN bucket in units of quantity; 0 derives it from the first trades.
    pub vpin_bucket_qty: f64,
}

/// `[model]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSection {
    /// A model folder, `untrained` (one is made from the seed) or `none` (no inference).
    pub path: String,
    /// `auto` (native where it knows the graph), `native` or `tract`.
    pub engine: String,
    /// Seed of the untrained model.
    pub seed: u64,
    /// A folder of a meta model, which judges what the strategy opens, or `none`.
    pub meta: String,
}

/// `[decision]`: the threshold strategy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct DecisionSection {
    /// Signal from which a position is opened, where there is no model; a model's manifest has its own.
    pub entry: f64,
    /// Signal against the position from which it is closed, where there is no model.
    pub exit: f64,
    /// Value of an opening order in quote currency.
    pub order_notional_quote: f64,
    /// How long a position is held, in milliseconds.
    pub horizon_ms: f64,
    /// Widest spread at which a position is opened, in basis points.
    pub spread_bps_max: f64,
    /// Ticks beyond the opposite best that an order may pay.
    pub slippage_ticks: i64,
    /// Standard deviations of an ensemble's members by which its signal is drawn towards 0; a single model has none.
    pub spread_penalty: f64,
}

/// `[venue]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct VenueSection {
    /// From a decision to the order's arrival at the venue, in microseconds.
    pub order_latency_us: f64,
    /// From what happens at the venue to its report's arrival here, in microseconds.
    pub report_latency_us: f64,
    /// Fee on fills that make liquidity, in basis points of their value; negative is a rebate.
    pub maker_fee_bps: f64,
    /// Fee on fills that take liquidity, in basis points of their value.
    pub taker_fee_bps: f64,
}

/// `[topology]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TopologySection {
    /// `fused` (both groups on one core) or `split` (one core each).
    pub mode: String,
    /// Cores to pin to: one where fused; ingest's and trade's, two different ones, where split. Empty: no pinning. The cold path is
    /// never pinned.
    pub cores: Vec<usize>,
    /// Priority of the hot threads under `SCHED_FIFO`, 1 to 99; 0 leaves them to the ordinary scheduler. Refused where the
    /// system does not allow it.
    pub fifo_priority: u8,
    /// Keep all memory of the process that was once touched in RAM. Refused where the system does not allow it.
    pub lock_memory: bool,
    /// How hot threads wait: `spin`, `yield`, `park`, or `auto`, which spins where there is a core for every thread and parks
    /// where not.
    pub waiting: String,
    /// Lines of the capture that a copy of the hot path takes before the first one counts, so that its code is warm; 0 for none.
    pub warm_up_lines: u64,
}

/// `[parameters]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ParametersSection {
    /// Length of a window, in milliseconds.
    pub window_ms: f64,
    /// From a window's end to when what was learnt takes effect, in milliseconds; at most eight windows.
    pub lag_ms: f64,
}

/// `[journal]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalSection {
    /// Size of a segment of the journal that `--record` writes, in MiB.
    pub segment_mib: u64,
    /// How often the journal is synced to the disk, in milliseconds: what a power loss can cost.
    pub sync_interval_ms: f64,
}

/// `[record]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordSection {
    /// Rows in one Parquet segment.
    pub rows_per_segment: usize,
}

/// `[promotion]`: what `chronos promote` asks of a model, and `chronos validate` tells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PromotionSection {
    /// The probability of backtest overfitting (PBO) has to be below this, above 0 to 1.
    pub pbo_below: f64,
    /// The probability of the deflated Sharpe ratio (DSR) has to be above this, 0 to 1.
    pub dsr_above: f64,
    /// Blocks that the history is cut into for the PBO: an even number, 2 to 18.
    pub blocks: usize,
}

impl Default for PromotionSection {
    fn default() -> Self {
        PromotionSection { pbo_below: 0.5, dsr_above: 0.95, blocks: 16 }
    }
}

impl From<&TickConfig> for TickSection {
    fn from(tick: &TickConfig) -> Self {
        TickSection {
            min_interval_ms: tick.min_interval_ns as f64 / NANOS_PER_MILLI as f64,
            top_levels: tick.top_levels,
            warmup_ticks: tick.warmup_ticks,
        }
    }
}

impl Default for TickSection {
    fn default() -> Self {
        TickSection::from(&TickConfig::default())
    }
}

impl Default for ModelSection {
    fn default() -> Self {
        ModelSection { path: "untrained".into(), engine: "auto".into(), seed: 1, meta: "none".into() }
    }
}

impl Default for DecisionSection {
    fn default() -> Self {
        let threshold = ThresholdConfig::default();
        DecisionSection {
            entry: threshold.entry,
            exit: threshold.exit,
            order_notional_quote: threshold.order_notional_quote,
            horizon_ms: threshold.horizon_ns as f64 / NANOS_PER_MILLI as f64,
            spread_bps_max: threshold.spread_bps_max,
            slippage_ticks: threshold.slippage_ticks,
            spread_penalty: threshold.spread_penalty,
        }
    }
}

impl Default for VenueSection {
    fn default() -> Self {
        VenueSection { order_latency_us: 2_000.0, report_latency_us: 2_000.0, maker_fee_bps: 2.0, taker_fee_bps: 5.0 }
    }
}

impl Default for TopologySection {
    fn default() -> Self {
        TopologySection {
            mode: "fused".into(),
            cores: Vec::new(),
            fifo_priority: 0,
            lock_memory: false,
            waiting: "auto".into(),
            warm_up_lines: 0,
        }
    }
}

impl Default for ParametersSection {
    fn default() -> Self {
        let windows = WindowSchedule::default();
        ParametersSection {
            window_ms: windows.window_ns as f64 / NANOS_PER_MILLI as f64,
            lag_ms: windows.lag_ns as f64 / NANOS_PER_MILLI as f64,
        }
    }
}

impl Default for JournalSection {
    fn default() -> Self {
        JournalSection { segment_mib: 16, sync_interval_ms: 50.0 }
    }
}

impl Default for RecordSection {
    fn default() -> Self {
        RecordSection { rows_per_segment: 1_000_000 }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("config {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or a value has the wrong type.
    #[error("config {path}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A key that does not exist.
    #[error("config {path}, line {line}: unknown key `{key}`; {remedy}", path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line of the key, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The nearest name, or those that exist.
        remedy: String,
    },
    /// A value out of its range.
    #[error("config: `{key}` {message}")]
    Range {
        /// The key with its section.
        key: &'static str,
        /// What it must be.
        message: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], with the place and the remedy.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Config::parse(&text, path)
    }

    /// Reads the text of a file; `path` is for messages only.
    ///
    /// # Errors
    /// [`ConfigError`], with the place and the remedy.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let syntax = |message: String| ConfigError::Syntax { path: path.to_owned(), message };
        let table: Table = text.parse().map_err(|error: toml::de::Error| syntax(error.to_string()))?;
        refuse_unknown_keys(&table, text, path)?;
        let config: Config = toml::from_str(text).map_err(|error| syntax(error.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the key and what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |is_good: bool, key: &'static str, message: &str| {
            if is_good { Ok(()) } else { Err(ConfigError::Range { key, message: message.to_owned() }) }
        };
        let between = |value: f64, low: f64, high: f64| value >= low && value <= high;
        range(self.source.date.is_empty() || self.midnight().is_some(), "source.date", "must be a date, as `2019-12-30`")?;
        range(between(self.tick.min_interval_ms, 0.0, 60_000.0), "tick.min_interval_ms", "must be 0 to 60000")?;
        range(self.book.levels <= PARTIAL_LEVELS_MAX, "book.levels", "must be 1 to 1000, or 0 for whole books")?;
        range((1..=10).contains(&self.tick.top_levels), "tick.top_levels", "must be 1 to 10")?;
        range(between(self.features.vpin_bucket_qty, 0.0, 9e10), "features.vpin_bucket_qty", "must be 0 (automatic) to 9e10")?;
        self.engine()?;
        range(between(self.decision.entry, 1e-9, 1.0), "decision.entry", "must be above 0 and at most 1")?;
        range(between(self.decision.exit, 0.0, 1.0), "decision.exit", "must be 0 to 1")?;
        range(between(self.decision.order_notional_quote, 0.0, 1e9), "decision.order_notional_quote", "must be 0 to 1e9")?;
        range(between(self.decision.horizon_ms, 0.001, 86_400_000.0), "decision.horizon_ms", "must be 0.001 to 86400000")?;
        range(between(self.decision.spread_bps_max, 0.0, 10_000.0), "decision.spread_bps_max", "must be 0 to 10000")?;
        range((0..=10_000).contains(&self.decision.slippage_ticks), "decision.slippage_ticks", "must be 0 to 10000")?;
        range(between(self.decision.spread_penalty, 0.0, 1_000.0), "decision.spread_penalty", "must be 0 to 1000")?;
        self.risk.validate()?;
        self.instruments.iter().try_for_each(|entry| order_rules(entry).map(|_| ()))?;
        range(between(self.venue.order_latency_us, 0.001, 6e7), "venue.order_latency_us", "must be 0.001 to 6e7")?;
        range(between(self.venue.report_latency_us, 0.001, 6e7), "venue.report_latency_us", "must be 0.001 to 6e7")?;
        range(between(self.venue.maker_fee_bps, -100.0, 1_000.0), "venue.maker_fee_bps", "must be -100 to 1000")?;
        range(between(self.venue.taker_fee_bps, -100.0, 1_000.0), "venue.taker_fee_bps", "must be -100 to 1000")?;
        range(matches!(self.topology.mode.as_str(), "fused" | "split"), "topology.mode", "must be `fused` or `split`")?;
        range(
            match self.topology.cores.as_slice() {
                [] => true,
                [_] => self.topology.mode == "fused",
                [ingest, trade] => self.topology.mode == "split" && ingest != trade,
                _ => false,
            },
            "topology.cores",
            "must name one core where the mode is `fused`, two different ones where it is `split`, or none",
        )?;
        range(self.topology.fifo_priority <= 99, "topology.fifo_priority", "must be 1 to 99, or 0 for none")?;
        let waitings = ["auto", "spin", "yield", "park"];
        range(waitings.contains(&self.topology.waiting.as_str()), "topology.waiting", "must be `auto`, `spin`, `yield` or `park`")?;
        range(between(self.parameters.window_ms, 1.0, 86_400_000.0), "parameters.window_ms", "must be 1 to 86400000")?;
        range(
            between(self.parameters.lag_ms, 0.0, 8.0 * self.parameters.window_ms),
            "parameters.lag_ms",
            "must be 0 to eight times `parameters.window_ms`",
        )?;
        range((1..=65_536).contains(&self.journal.segment_mib), "journal.segment_mib", "must be 1 to 65536")?;
        range(between(self.journal.sync_interval_ms, 1.0, 60_000.0), "journal.sync_interval_ms", "must be 1 to 60000")?;
        range((1_000..=100_000_000).contains(&self.record.rows_per_segment), "record.rows_per_segment", "must be 1000 to 1e8")?;
        let promotion = &self.promotion;
        range(between(promotion.pbo_below, f64::MIN_POSITIVE, 1.0), "promotion.pbo_below", "must be above 0 and at most 1")?;
        range(between(promotion.dsr_above, 0.0, 1.0), "promotion.dsr_above", "must be 0 to 1")?;
        let are_blocks = (2..=18).contains(&promotion.blocks) && promotion.blocks.is_multiple_of(2);
        range(are_blocks, "promotion.blocks", "must be an even number, 2 to 18")
    }

    /// SHA-256 of the configuration in canonical form, in lower-case hex. Two sessions with the same hash were set up alike.
    pub fn hash(&self) -> String {
        // Serialising plain numbers and strings cannot fail; field order is the order of declaration.
        let canonical = toml::to_string(self).unwrap_or_default();
        sha256_hex(canonical.as_bytes())
    }

    /// SHA-256 of what can change an order: everything but threads, the journal, recording, and the model, whose file has a hash of
    /// its own.
    /// `disturbances` tells what is done to the messages on the way.
    pub fn decision_hash(&self, disturbances: &str) -> [u8; 32] {
        let (topology, model) = (TopologySection::default(), ModelSection::default());
        let (journal, record) = (JournalSection::default(), RecordSection::default());
        let decisive = Config { topology, model, journal, record, ..self.clone() };
        // Serialising plain numbers and strings cannot fail, see `hash`.
        let mut hash = Sha256::new_with_prefix(toml::to_string(&decisive).unwrap_or_default());
        hash.update(disturbances);
        hash.finalize().into()
    }

    /// The engine asked for.
    ///
    /// # Errors
    /// [`ConfigError::Range`] where it is not one.
    pub fn engine(&self) -> Result<EngineChoice, ConfigError> {
        match self.model.engine.as_str() {
            "auto" => Ok(EngineChoice::Auto),
            "native" => Ok(EngineChoice::Native),
            "tract" => Ok(EngineChoice::Tract),
            _ => Err(ConfigError::Range { key: "model.engine", message: "must be `auto`, `native` or `tract`".into() }),
        }
    }

    /// Midnight in New York at the beginning of `source.date`.
    pub(crate) fn midnight(&self) -> Option<Timestamp> {
        new_york_midnight_of_date(&self.source.date)
    }

    pub(crate) fn cold_start(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.book.cold_start_messages)
    }

    /// How many best levels a feed without a whole book has; `None` for a whole book.
    pub(crate) fn levels(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.book.levels)
    }

    /// When decision ticks happen, where there is no model.
    pub fn tick(&self) -> TickConfig {
        TickConfig {
            min_interval_ns: nanos(self.tick.min_interval_ms, 1e6),
            top_levels: self.tick.top_levels,
            warmup_ticks: self.tick.warmup_ticks,
        }
    }

    pub(crate) fn features(&self) -> FeatureConfig {
        let vpin_bucket = Qty::from_f64(self.features.vpin_bucket_qty).filter(|bucket| bucket.0 > 0);
        FeatureConfig { vpin_bucket, ..FeatureConfig::default() }
    }

    pub(crate) fn threshold(&self) -> ThresholdConfig {
        ThresholdConfig {
            entry: self.decision.entry,
            exit: self.decision.exit,
            order_notional_quote: self.decision.order_notional_quote,
            horizon_ns: nanos(self.decision.horizon_ms, 1e6),
            spread_bps_max: self.decision.spread_bps_max,
            slippage_ticks: self.decision.slippage_ticks,
            spread_penalty: self.decision.spread_penalty,
        }
    }

    pub(crate) fn limits(&self, instruments: &[Instrument]) -> RiskLimits {
        self.risk.limits(instruments, &self.instruments)
    }

    pub(crate) fn venue(&self) -> SimulatedVenueConfig {
        let ppb = |bps: f64| (bps * 1e5).round() as i64;
        SimulatedVenueConfig {
            order_latency_ns: nanos(self.venue.order_latency_us, 1e3).max(1),
            report_latency_ns: nanos(self.venue.report_latency_us, 1e3).max(1),
            maker_fee_ppb: ppb(self.venue.maker_fee_bps),
            taker_fee_ppb: ppb(self.venue.taker_fee_bps),
            ..SimulatedVenueConfig::default()
        }
    }

    /// How each hot thread asks its host to be run: ingest (everything, where fused), then trade.
    pub(crate) fn hot_threads(&self) -> [HotThread; 2] {
        let fifo_priority = Some(self.topology.fifo_priority).filter(|priority| *priority > 0);
        [0, 1].map(|place| HotThread { core: self.topology.cores.get(place).copied(), fifo_priority })
    }

    /// How the hot threads of a session of so many threads wait.
    pub(crate) fn waiting(&self, threads: usize) -> Waiting {
        match self.topology.waiting.as_str() {
            "spin" => Waiting::Spin,
            "yield" => Waiting::Yield,
            "park" => Waiting::Park,
            _ => Waiting::for_threads(threads),
        }
    }

    /// The same configuration with decision ticks as a model wants them.
    pub fn with_tick(mut self, tick: &TickConfig) -> Config {
        self.tick = TickSection::from(tick);
        self
    }

    /// Event-time windows for parameters from the cold path.
    pub fn windows(&self) -> WindowSchedule {
        WindowSchedule { window_ns: nanos(self.parameters.window_ms, 1e6).max(1), lag_ns: nanos(self.parameters.lag_ms, 1e6) }
    }
}

/// A documented sample of the whole configuration with its defaults, as `chronos replay --print-config` shows it.
pub fn default_toml() -> String {
    toml::to_string(&Config::default()).unwrap_or_default()
}

fn nanos(value: f64, scale: f64) -> i64 {
    (value * scale).round() as i64
}

/// Keys of `[[instruments]]`.
const INSTRUMENT_KEYS: [&str; 10] =
    ["venue", "symbol", "tick", "lot", "contract_quote", "price_min", "price_max", "qty_min", "qty_max", "notional_min"];

/// What to say of a key that is none of `names`: the nearest of them, where one is near, else all.
pub fn unknown_key_remedy(key: &str, names: &[&str]) -> String {
    let nearest = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, key), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(key.len()) / 2);
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", names.join(", ")),
    }
}

fn refuse_unknown_keys(table: &Table, text: &str, path: &Path) -> Result<(), ConfigError> {
    let known = Table::try_from(Config::default()).unwrap_or_default();
    let unknown = |section: &str, key: &str, names: &[&str]| {
        let key_path = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        let remedy = unknown_key_remedy(key, names);
        Err(ConfigError::UnknownKey { path: path.to_owned(), line: line_of(text, section, key), key: key_path, remedy })
    };
    for (section, value) in table {
        let Some(known_section) = known.get(section) else {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            return unknown("", section, &names);
        };
        let (tables, names): (Vec<&Table>, Vec<&str>) = match (value, known_section) {
            (Value::Table(table), Value::Table(known)) => (vec![table], known.keys().map(String::as_str).collect()),
            (Value::Array(items), _) => (items.iter().filter_map(Value::as_table).collect(), INSTRUMENT_KEYS.to_vec()),
            // A value of the wrong type is told by the typed read that follows.
            _ => continue,
        };
        for key in tables.iter().flat_map(|table| table.keys()) {
            if !names.contains(&key.as_str()) {
                return unknown(section, key, &names);
            }
        }
    }
    Ok(())
}

/// The line, from 1, on which a key of a section stands; 1 where it is written in some other way.
fn line_of(text: &str, section: &str, key: &str) -> usize {
    let mut current = "";
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            current = line.trim_matches(|c| c == '[' || c == ']').trim();
            if section.is_empty() && current == key {
                return place + 1;
            }
        } else if current == section && line.split('=').next().is_some_and(|name| name.trim().trim_matches('"') == key) {
            return place + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_reads_back_and_an_empty_file_is_the_default() {
        assert_eq!(parse(&default_toml()), Ok(Config::default()));
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_name() {
        assert_eq!(
            parse("[model]\nseed = 2\n\n[risk]\norder_notionl_quote_max = 5.0\n"),
            Err("config c.toml, line 5: unknown key `risk.order_notionl_quote_max`; did you mean `order_notional_quote_max`?"
                .into())
        );
        assert_eq!(parse("[rsik]\n"), Err("config c.toml, line 1: unknown key `rsik`; did you mean `risk`?".into()));
        let instrument = parse("[[instruments]]\nvenue = \"binance-spot\"\nsymbl = \"X\"\ntick = \"1\"\nlot = \"1\"\n");
        assert_eq!(instrument, Err("config c.toml, line 3: unknown key `instruments.symbl`; did you mean `symbol`?".into()));
        assert!(
            parse("[journal]\nzzzzzzzzzzzz = 1\n").is_err_and(|error| error.contains("known here: segment_mib, sync_interval_ms"))
        );
    }

    #[test]
    fn wrong_types_and_ranges_are_told_with_their_key() {
        assert!(parse("[risk]\ncollar_bps = \"x\"\n").is_err_and(|error| error.contains("line 2")));
        assert!(parse("[risk\n").is_err_and(|error| error.contains("c.toml")));
        for (text, key) in [
            ("[risk]\nopen_orders_max = 65\n", "risk.open_orders_max"),
            ("[source]\ndate = \"2019-02-29\"\n", "source.date"),
            ("[risk]\ncdar_alpha = 1.0\n", "risk.cdar_alpha"),
            ("[risk]\npause_ms = 0.0\n", "risk.pause_ms"),
            ("[risk]\ndrawdown_quote_max = -1.0\n", "risk.drawdown_quote_max"),
            ("[venue]\norder_latency_us = 0.0\n", "venue.order_latency_us"),
            ("[topology]\nmode = \"both\"\n", "topology.mode"),
            ("[topology]\ncores = [0, 1]\n", "topology.cores"),
            ("[topology]\nmode = \"split\"\ncores = [1]\n", "topology.cores"),
            ("[topology]\nmode = \"split\"\ncores = [1, 1]\n", "topology.cores"),
            ("[topology]\nfifo_priority = 100\n", "topology.fifo_priority"),
            ("[topology]\nwaiting = \"sleep\"\n", "topology.waiting"),
            ("[model]\nengine = \"gpu\"\n", "model.engine"),
            ("[parameters]\nlag_ms = 90000.0\n", "parameters.lag_ms"),
            ("[decision]\nentry = nan\n", "decision.entry"),
            ("[promotion]\npbo_below = 0.0\n", "promotion.pbo_below"),
            ("[promotion]\ndsr_above = 1.01\n", "promotion.dsr_above"),
            ("[promotion]\nblocks = 7\n", "promotion.blocks"),
        ] {
            assert!(parse(text).is_err_and(|error| error.contains(key)), "{text}");
        }
    }

    #[test]
    fn the_hash_tells_configurations_apart() {
        let mut other = Config::default();
        other.venue.taker_fee_bps += 0.1;
        assert_eq!(Config::default().hash(), Config::default().hash());
        assert_ne!(Config::default().hash(), other.hash());
        assert_ne!(Config::default().decision_hash(""), other.decision_hash(""));
    }

    #[test]
    fn threads_and_recording_do_not_change_what_decisions_depend_on() {
        let mut other = Config::default();
        other.topology.mode = "split".into();
        other.journal.segment_mib += 1;
        other.record.rows_per_segment += 1;
        other.model.path = "elsewhere".into();
        other.model.meta = "elsewhere".into();
        assert_eq!(Config::default().decision_hash(""), other.decision_hash(""));
        assert_ne!(other.decision_hash(""), other.decision_hash("lost messages"));
        assert_ne!(Config::default().hash(), other.hash());
    }
}

//! Bars for research: read from histories, summed up from trades of captures or from finer bars, by any of the market crate's rules.
//!
//! A bar's `end_ns` is when it was known; whatever is computed from it stands at that time and no sooner.

mod capture_bars;
mod coarser;
mod history;
mod rule;
mod table;
mod time_text;

pub(crate) use capture_bars::TradeBars;
pub use capture_bars::{CaptureBars, capture_bars};
pub use coarser::coarser_bars;
pub use history::{History, HistoryError, HistoryOptions, TimeColumn, ZeroVolume, is_history, read_history};
pub use rule::{RULES_TEXT, RuleError, parse_duration, parse_rule};
pub use table::write_bars;
pub use time_text::time_ns;

/// One bar.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ohlcv {
    /// When it began, or its first trade was received; nanoseconds since the epoch.
    pub start_ns: i64,
    /// When it was known.
    pub end_ns: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Volume, in the units of its source: base coin, contracts or quote currency.
    pub volume: f64,
    /// Price times volume; close times volume where the source does not say.
    pub notional: f64,
    /// Trades, and volume whose aggressor bought, where the source says so.
    pub flow: Option<Flow>,
}

/// What trades tell of a bar and histories usually do not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flow {
    /// Number of trades.
    pub trades: u64,
    /// Volume of those whose aggressor bought.
    pub buy_volume: f64,
}

/// Closing prices of bars.
pub fn closes(bars: &[Ohlcv]) -> Vec<f64> {
    bars.iter().map(|bar| bar.close).collect()
}

/// When each bar was known.
pub fn ends_ns(bars: &[Ohlcv]) -> Vec<i64> {
    bars.iter().map(|bar| bar.end_ns).collect()
}

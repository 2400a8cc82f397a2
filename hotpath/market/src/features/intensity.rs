//! How busy the market is.

use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::trade_flow::TradeSums;
use super::window::SlidingSums;
use crate::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, Timestamp};

pub(super) const SPECS: [FeatureSpec; 9] = [
    trade_spec("trade_intensity_1s", 2, 1),
    trade_spec("trade_intensity_10s", 1, 10),
    book_spec("book_intensity_1s", 2, 1),
    book_spec("book_intensity_10s", 1, 10),
    spec(
        "time_since_trade_log_ms",
        2,
        Unit::Log,
        None,
        "log10(1 + milliseconds since the last trade); 0 before the first",
        "duration since the last event; Engle and Russell 1998",
    ),
    spec(
        "time_since_mid_change_log_ms",
        1,
        Unit::Log,
        None,
        "log10(1 + milliseconds since the mid of the book last changed); 0 before it did",
        "price duration; Engle and Russell 1998",
    ),
    spec(
        "trade_burst_1s",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(1)),
        "a / (a + b), a = trades over 1 s, b = trades over 60 s / 60; 1/2 where the pace is even, 0 without trades",
        "arrival rate against its recent level",
    ),
    spec(
        "volume_burst_1s",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(1)),
        "a / (a + b), a = volume over 1 s, b = volume over 60 s / 60; 1/2 where the pace is even, 0 without trades",
        "volume rate against its recent level",
    ),
    spec(
        "trade_duration_dispersion_60s",
        1,
        Unit::Log,
        Some(FeatureWindow::Seconds(60)),
        "ln(n * sum of d^2 / (sum of d)^2) / 2 over the window's n trades but the very first, d = time since the trade before; 0 \
         where every d is the same and without any",
        "coefficient of variation of durations; Engle and Russell 1998",
    ),
];

const fn trade_spec(name: &'static str, version: u16, seconds: u32) -> FeatureSpec {
    let formula = "log10(1 + trades a second over the window)";
    spec(name, version, Unit::Log, Some(FeatureWindow::Seconds(seconds)), formula, "arrival rate")
}

const fn book_spec(name: &'static str, version: u16, seconds: u32) -> FeatureSpec {
    let formula = "log10(1 + book batches and quotes a second over the window)";
    spec(name, version, Unit::Log, Some(FeatureWindow::Seconds(seconds)), formula, "arrival rate")
}

#[derive(Clone, Debug)]
pub(super) struct Intensity {
    last_trade: Option<Timestamp>,
    last_mid_change: Option<Timestamp>,
    /// 1 for each trade but the first, the time since the one before in seconds, its square.
    durations: SlidingSums<3>,
    updates_1s: SlidingSums<1>,
    updates_10s: SlidingSums<1>,
}

impl Intensity {
    pub(super) fn new() -> Self {
        Intensity {
            last_trade: None,
            last_mid_change: None,
            durations: SlidingSums::new(60),
            updates_1s: SlidingSums::new(1),
            updates_10s: SlidingSums::new(10),
        }
    }

    #[inline]
    pub(super) fn on_trade(&mut self, now: Timestamp) {
        if let Some(last) = self.last_trade.replace(now) {
            let duration = now.since_ns(last) as f64 / NANOS_PER_SECOND as f64;
            self.durations.add(now, [1.0, duration, duration * duration]);
        }
    }

    #[inline(always)]
    pub(super) fn on_update(&mut self, now: Timestamp) {
        self.updates_1s.add(now, [1.0]);
        self.updates_10s.add(now, [1.0]);
    }

    #[inline(always)]
    pub(super) fn on_mid_change(&mut self, now: Timestamp) {
        self.last_mid_change = Some(now);
    }

    pub(super) fn clear(&mut self) {
        (self.last_trade, self.last_mid_change) = (None, None);
        self.durations.clear();
        self.updates_1s.clear();
        self.updates_10s.clear();
    }

    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp, trades: &TradeSums) -> [f64; SPECS.len()] {
        let [_, volume_1s, trades_1s] = trades.over_1s;
        let [_, _, trades_10s, ..] = trades.over_10s;
        let [_, volume_60s, trades_60s, ..] = trades.over_60s;
        let [count, sum, squares] = self.durations.sums(now);
        let [updates_1s] = self.updates_1s.sums(now);
        let [updates_10s] = self.updates_10s.sums(now);
        let log_ms = |since: Option<Timestamp>| {
            since.map_or(0.0, |since| log10_1p(now.since_ns(since).max(0) as f64 / NANOS_PER_MILLI as f64))
        };
        let burst = |second: f64, minute: f64| if second > 0.0 { second / (second + minute / 60.0) } else { 0.0 };
        [
            log10_1p(trades_1s),
            log10_1p(trades_10s / 10.0),
            log10_1p(updates_1s),
            log10_1p(updates_10s / 10.0),
            log_ms(self.last_trade),
            log_ms(self.last_mid_change),
            burst(trades_1s, trades_60s),
            burst(volume_1s, volume_60s),
            if sum > 0.0 { 0.5 * (count * squares / (sum * sum)).ln() } else { 0.0 },
        ]
    }
}

/// By the natural logarithm, which costs less.
#[inline(always)]
fn log10_1p(value: f64) -> f64 {
    (1.0 + value).ln() * std::f64::consts::LOG10_E
}

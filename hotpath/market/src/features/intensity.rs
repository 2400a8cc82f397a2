//! How busy the market is.

use super::registry::{FeatureSpec, FeatureWindow, Unit};
use super::window::SlidingSums;
use crate::time::{NANOS_PER_MILLI, Timestamp};

pub(super) const SPECS: [FeatureSpec; 3] = [
    FeatureSpec {
        name: "trade_intensity_1s",
        version: 1,
        unit: Unit::Log,
        window: Some(FeatureWindow::Seconds(1)),
        formula: "ln(1 + trades a second over the window)",
        source: "arrival rate",
    },
    FeatureSpec {
        name: "book_intensity_1s",
        version: 1,
        unit: Unit::Log,
        window: Some(FeatureWindow::Seconds(1)),
        formula: "ln(1 + book batches and quotes a second over the window)",
        source: "arrival rate",
    },
    FeatureSpec {
        name: "time_since_trade_log_ms",
        version: 1,
        unit: Unit::Log,
        window: None,
        formula: "ln(1 + milliseconds since the last trade); 0 before the first",
        source: "duration since the last event; Engle and Russell 1998",
    },
];

#[derive(Clone, Debug)]
pub(super) struct Intensity {
    last_trade: Option<Timestamp>,
    trades: SlidingSums<1>,
    updates: SlidingSums<1>,
}

impl Intensity {
    pub(super) fn new() -> Self {
        Intensity { last_trade: None, trades: SlidingSums::new(1), updates: SlidingSums::new(1) }
    }

    #[inline]
    pub(super) fn on_trade(&mut self, now: Timestamp) {
        self.last_trade = Some(now);
        self.trades.add(now, [1.0]);
    }

    #[inline]
    pub(super) fn on_update(&mut self, now: Timestamp) {
        self.updates.add(now, [1.0]);
    }

    pub(super) fn clear(&mut self) {
        self.last_trade = None;
        self.trades.clear();
        self.updates.clear();
    }

    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let [trades] = self.trades.sums(now);
        let [updates] = self.updates.sums(now);
        let waited_ms = self.last_trade.map_or(0.0, |last| now.since_ns(last).max(0) as f64 / NANOS_PER_MILLI as f64);
        [trades.ln_1p(), updates.ln_1p(), waited_ms.ln_1p()]
    }
}

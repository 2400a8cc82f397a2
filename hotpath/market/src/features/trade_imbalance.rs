//! Which side the takers are on.

use super::registry::{FeatureSpec, FeatureWindow, Unit};
use super::window::SlidingSums;
use crate::event::Side;
use crate::fixed::Qty;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 2] =
    [trade_imbalance_spec("trade_imbalance_1s", 1), trade_imbalance_spec("trade_imbalance_10s", 10)];

const fn trade_imbalance_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    FeatureSpec {
        name,
        version: 1,
        unit: Unit::Ratio,
        window: Some(FeatureWindow::Seconds(seconds)),
        formula: "(buy - sell) / (buy + sell), volumes by aggressor over the window; 0 without trades",
        source: "Chordia, Roll and Subrahmanyam 2002",
    }
}

#[derive(Clone, Debug)]
pub(super) struct TradeImbalance {
    /// Signed volume and volume, in units of [`Qty`].
    windows: [SlidingSums<2>; SPECS.len()],
}

impl TradeImbalance {
    pub(super) fn new() -> Self {
        TradeImbalance { windows: [SlidingSums::new(1), SlidingSums::new(10)] }
    }

    #[inline]
    pub(super) fn on_trade(&mut self, now: Timestamp, qty: Qty, aggressor: Side) {
        let volume = qty.0 as f64;
        for window in &mut self.windows {
            window.add(now, [volume * aggressor.sign() as f64, volume]);
        }
    }

    pub(super) fn clear(&mut self) {
        self.windows.iter_mut().for_each(SlidingSums::clear);
    }

    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        self.windows.each_mut().map(|window| {
            let [signed, volume] = window.sums(now);
            if volume > 0.0 { signed / volume } else { 0.0 }
        })
    }
}

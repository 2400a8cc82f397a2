//! How far and how roughly the mid has moved.

use super::registry::{FeatureSpec, FeatureWindow, Unit};
use super::window::SlidingSums;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 5] = [
    volatility_spec("realized_volatility_1s_bps", 1),
    volatility_spec("realized_volatility_10s_bps", 10),
    volatility_spec("realized_volatility_60s_bps", 60),
    return_spec("mid_return_1s_bps", 1),
    return_spec("mid_return_10s_bps", 10),
];

const fn volatility_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    FeatureSpec {
        name,
        version: 1,
        unit: Unit::BasisPoints,
        window: Some(FeatureWindow::Seconds(seconds)),
        formula: "1e4 * sqrt(sum of r^2) over the window, r = ln(mid / mid') from book batch to book batch, not scaled to a year; 0 \
                  without changes",
        source: "Andersen, Bollerslev, Diebold and Labys 2003",
    }
}

const fn return_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    FeatureSpec {
        name,
        version: 1,
        unit: Unit::BasisPoints,
        window: Some(FeatureWindow::Seconds(seconds)),
        formula: "1e4 * sum of r over the window, r = ln(mid / mid') from book batch to book batch; 0 without changes",
        source: "log return of the mid",
    }
}

#[derive(Clone, Debug)]
pub(super) struct Volatility {
    last_mid: Option<f64>,
    /// Return and squared return.
    over_1s: SlidingSums<2>,
    over_10s: SlidingSums<2>,
    /// Squared return.
    over_60s: SlidingSums<1>,
}

impl Volatility {
    pub(super) fn new() -> Self {
        Volatility { last_mid: None, over_1s: SlidingSums::new(1), over_10s: SlidingSums::new(10), over_60s: SlidingSums::new(60) }
    }

    /// A batch without a mid breaks the chain: the next one starts anew.
    #[inline]
    pub(super) fn on_book(&mut self, now: Timestamp, mid: Option<f64>) {
        let before = std::mem::replace(&mut self.last_mid, mid);
        if let (Some(before), Some(mid)) = (before, mid)
            && before != mid
        {
            let change = (mid / before).ln();
            let squared = change * change;
            self.over_1s.add(now, [change, squared]);
            self.over_10s.add(now, [change, squared]);
            self.over_60s.add(now, [squared]);
        }
    }

    pub(super) fn clear(&mut self) {
        self.last_mid = None;
        self.over_1s.clear();
        self.over_10s.clear();
        self.over_60s.clear();
    }

    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let [change_1s, squared_1s] = self.over_1s.sums(now);
        let [change_10s, squared_10s] = self.over_10s.sums(now);
        let [squared_60s] = self.over_60s.sums(now);
        [1e4 * squared_1s.sqrt(), 1e4 * squared_10s.sqrt(), 1e4 * squared_60s.sqrt(), 1e4 * change_1s, 1e4 * change_10s]
    }
}

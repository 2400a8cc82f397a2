//! How far, how roughly and which way the mid has moved.

use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 11] = [
    volatility_spec("realized_volatility_1s_bps", 1, 1),
    volatility_spec("realized_volatility_10s_bps", 2, 10),
    volatility_spec("realized_volatility_60s_bps", 2, 60),
    return_spec("mid_return_1s_bps", 1, 1),
    return_spec("mid_return_10s_bps", 2, 10),
    return_spec("mid_return_60s_bps", 1, 60),
    signed_spec("signed_variance_10s", 10),
    signed_spec("signed_variance_60s", 60),
    over_60s_spec(
        "path_efficiency_60s",
        "|sum of r| / sum of |r| over the window, r as in mid_return_60s_bps; 0 without changes",
        "efficiency ratio; Kaufman 1995",
    ),
    over_60s_spec(
        "return_autocorrelation_60s",
        "sum of r * r' / sum of r^2 over the window's changes, r' the change before; 0 without changes",
        "first autocorrelation of mid changes",
    ),
    over_60s_spec(
        "volatility_burst_10s",
        "v / (v + w), v = sum of r^2 over 10 s, w = sum of r^2 over 60 s / 6; 1/2 where the pace is even, 0 without changes",
        "realized variance against its recent level",
    ),
];

const fn volatility_spec(name: &'static str, version: u16, seconds: u32) -> FeatureSpec {
    spec(
        name,
        version,
        Unit::BasisPointsPerRootSecond,
        Some(FeatureWindow::Seconds(seconds)),
        "1e4 * sqrt(sum of r^2 / T) over the window of T seconds, r = ln(mid / mid') from book batch to book batch; 0 without \
         changes",
        "Andersen, Bollerslev, Diebold and Labys 2003",
    )
}

const fn return_spec(name: &'static str, version: u16, seconds: u32) -> FeatureSpec {
    spec(
        name,
        version,
        Unit::BasisPointsPerRootSecond,
        Some(FeatureWindow::Seconds(seconds)),
        "1e4 * sum of r / sqrt(T) over the window of T seconds, r = ln(mid / mid') from book batch to book batch; 0 without \
         changes",
        "log return of the mid",
    )
}

const fn signed_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    spec(
        name,
        1,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(seconds)),
        "(sum of r^2 over rises - over falls) / sum of r^2 over the window, r = ln(mid / mid') from book batch to book batch; 0 \
         without changes",
        "realized semivariance; Barndorff-Nielsen, Kinnebrock and Shephard 2010",
    )
}

const fn over_60s_spec(name: &'static str, formula: &'static str, source: &'static str) -> FeatureSpec {
    spec(name, 1, Unit::Ratio, Some(FeatureWindow::Seconds(60)), formula, source)
}

const ROOT_10: f64 = 3.162_277_660_168_379_5;
const ROOT_60: f64 = 7.745_966_692_414_834;

#[derive(Clone, Debug)]
pub(super) struct Volatility {
    last_mid: Option<f64>,
    last_change: f64,
    /// Return and squared return.
    over_1s: SlidingSums<2>,
    /// And squared return with the sign of the return.
    over_10s: SlidingSums<3>,
    /// And absolute return, return times the one before.
    over_60s: SlidingSums<5>,
}

impl Volatility {
    pub(super) fn new() -> Self {
        Volatility {
            last_mid: None,
            last_change: 0.0,
            over_1s: SlidingSums::new(1),
            over_10s: SlidingSums::new(10),
            over_60s: SlidingSums::new(60),
        }
    }

    /// A batch without a mid breaks the chain: the next one starts anew. Returns whether the mid changed.
    #[inline(always)]
    pub(super) fn on_book(&mut self, now: Timestamp, mid: Option<f64>) -> bool {
        let before = std::mem::replace(&mut self.last_mid, mid);
        let (Some(before), Some(mid)) = (before, mid) else { return false };
        if before == mid {
            return false;
        }
        let change = (mid / before).ln();
        let squared = change * change;
        self.over_1s.add(now, [change, squared]);
        self.over_10s.add(now, [change, squared, change * change.abs()]);
        self.over_60s.add(now, [change, squared, change * change.abs(), change.abs(), change * self.last_change]);
        self.last_change = change;
        true
    }

    pub(super) fn clear(&mut self) {
        (self.last_mid, self.last_change) = (None, 0.0);
        self.over_1s.clear();
        self.over_10s.clear();
        self.over_60s.clear();
    }

    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let [change_1s, squared_1s] = self.over_1s.sums(now);
        let [change_10s, squared_10s, signed_10s] = self.over_10s.sums(now);
        let [change_60s, squared_60s, signed_60s, sizes_60s, with_before_60s] = self.over_60s.sums(now);
        let share = |of: f64| if of > 0.0 { 1.0 / of } else { 0.0 };
        let of_squared_60s = share(squared_60s);
        [
            1e4 * squared_1s.sqrt(),
            1e4 * (squared_10s / 10.0).sqrt(),
            1e4 * (squared_60s / 60.0).sqrt(),
            1e4 * change_1s,
            1e4 * change_10s / ROOT_10,
            1e4 * change_60s / ROOT_60,
            signed_10s * share(squared_10s),
            signed_60s * of_squared_60s,
            change_60s.abs() * share(sizes_60s),
            with_before_60s * of_squared_60s,
            squared_10s * share(squared_10s + squared_60s / 6.0),
        ]
    }
}

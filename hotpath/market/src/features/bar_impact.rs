//! How much flow moves the price, from bars.

use super::BAR_TRADES;
use super::estimators::{PairSums, amihud, corwin_schultz, corwin_schultz_alpha};
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::RollingSums;
use crate::bars::Bar;

pub(super) const SPECS: [FeatureSpec; 6] = [
    kyle_spec("kyle_lambda_20_bps", SHORT),
    kyle_spec("kyle_lambda_60_bps", LONG),
    spec(
        "kyle_r2_60",
        2,
        Unit::Ratio,
        Some(FeatureWindow::Bars(LONG)),
        "share of the variance of y explained by x, both as in kyle_lambda_60_bps; 0 before a full window and where either does \
         not vary",
        KYLE,
    ),
    spec(
        "hasbrouck_lambda_20_bps",
        2,
        Unit::BasisPoints,
        Some(FeatureWindow::Bars(SHORT)),
        "1e4 * slope of y on x through the origin * mean |x| over the window, y = log return of the close, x = sign * sqrt(|d|), \
         d = bought less sold notional of the bar, signs as in trade_count_imbalance_10s; 0 before a full window and where every \
         x is 0",
        "Hasbrouck 2009",
    ),
    spec(
        "amihud_20_log_bps",
        1,
        Unit::Log,
        Some(FeatureWindow::Bars(SHORT)),
        "ln(1 + 1e4 * mean(|log return of the close| / notional) * mean notional) over the window; 0 before it is full",
        "Amihud 2002",
    ),
    spec(
        "corwin_schultz_20_bps",
        1,
        Unit::BasisPoints,
        Some(FeatureWindow::Bars(SHORT)),
        "1e4 * mean of max(s, 0) over the window's pairs of neighbouring bars, s = 2 (e^a - 1) / (e^a + 1), a = (sqrt(2 b) - \
         sqrt(b)) / (3 - 2 sqrt(2)) - sqrt(g / (3 - 2 sqrt(2))), b = sum of both squared log ranges, g = the squared log range of \
         both together; 0 before a full window",
        "Corwin and Schultz 2012",
    ),
];

const KYLE: &str = "Kyle 1985";

const fn kyle_spec(name: &'static str, bars: u32) -> FeatureSpec {
    spec(
        name,
        2,
        Unit::BasisPoints,
        Some(FeatureWindow::Bars(bars)),
        "1e4 * slope of y on x with an intercept * mean |x| / close over the window, y = change of the close, x = bought less \
         sold volume of the bar, signs as in trade_count_imbalance_10s; 0 before a full window and where x does not vary",
        KYLE,
    )
}

const SHORT: u32 = 20;
const LONG: u32 = 60;
const _: () = assert!(BAR_TRADES == 25, "formulas of features name bars of 25 trades");

/// What a bar adds to Kyle's regression: the pair's columns and `|x|`.
const KYLE_COLUMNS: usize = PairSums::COLUMNS + 1;

#[derive(Clone, Debug)]
pub(super) struct BarImpact {
    last: Option<Bar>,
    kyle_short: RollingSums<KYLE_COLUMNS>,
    kyle_long: RollingSums<KYLE_COLUMNS>,
    /// `x^2`, `x * y`, `|x|`.
    hasbrouck: RollingSums<3>,
    /// Illiquidity and notional.
    amihud: RollingSums<2>,
    corwin_schultz: RollingSums<1>,
    values: [f64; SPECS.len()],
}

impl BarImpact {
    pub(super) fn new() -> Self {
        let (short, long) = (SHORT as usize, LONG as usize);
        BarImpact {
            last: None,
            kyle_short: RollingSums::new(short),
            kyle_long: RollingSums::new(long),
            hasbrouck: RollingSums::new(short),
            amihud: RollingSums::new(short),
            corwin_schultz: RollingSums::new(short),
            values: [0.0; SPECS.len()],
        }
    }

    /// Bars whose prices are not all positive are passed over.
    pub(super) fn on_bar(&mut self, bar: &Bar) {
        if bar.low.0 <= 0 {
            return;
        }
        let Some(before) = self.last.replace(*bar) else { return };
        let (close, close_before) = (bar.close.to_f64(), before.close.to_f64());
        let (flow, change) = (bar.signed_volume(), close - close_before);
        let [count, x, y, xx, xy, yy] = PairSums::columns(flow, change);
        self.kyle_short.push([count, x, y, xx, xy, yy, flow.abs()]);
        self.kyle_long.push([count, x, y, xx, xy, yy, flow.abs()]);
        let log_return = (close / close_before).ln();
        let signed = bar.signed_notional();
        let root = signed.abs().sqrt().copysign(signed);
        self.hasbrouck.push([root * root, root * log_return, root.abs()]);
        self.amihud.push([amihud(log_return, bar.notional()), bar.notional()]);
        let range = |bar: &Bar| (bar.high.to_f64(), bar.low.to_f64());
        self.corwin_schultz.push([corwin_schultz(corwin_schultz_alpha(range(&before), range(bar))).max(0.0)]);
        self.values = self.estimates(close);
    }

    pub(super) fn clear(&mut self) {
        self.last = None;
        self.kyle_short.clear();
        self.kyle_long.clear();
        self.hasbrouck.clear();
        self.amihud.clear();
        self.corwin_schultz.clear();
        self.values = [0.0; SPECS.len()];
    }

    /// As of the last bar.
    #[inline(always)]
    pub(super) fn values(&self) -> [f64; SPECS.len()] {
        self.values
    }

    fn estimates(&self, close: f64) -> [f64; SPECS.len()] {
        let (short, long) = (kyle(&self.kyle_short), kyle(&self.kyle_long));
        let lambda_bps = |(sums, mean_flow): (PairSums, f64)| sums.slope().map_or(0.0, |slope| 1e4 * slope * mean_flow / close);
        let mean = |sum: f64| sum / f64::from(SHORT);
        let [xx, xy, sizes] = full(&self.hasbrouck).unwrap_or_default();
        let hasbrouck = PairSums { xx, xy, ..PairSums::default() }.slope_through_origin().unwrap_or(0.0);
        let [illiquidity, notional] = full(&self.amihud).unwrap_or_default();
        let [spreads] = full(&self.corwin_schultz).unwrap_or_default();
        [
            short.map_or(0.0, lambda_bps),
            long.map_or(0.0, lambda_bps),
            long.and_then(|(sums, _)| sums.r2()).unwrap_or(0.0),
            1e4 * hasbrouck * mean(sizes),
            (1e4 * mean(illiquidity) * mean(notional)).ln_1p(),
            1e4 * mean(spreads),
        ]
    }
}

/// Kyle's regression and the mean absolute flow, once the window is full.
fn kyle(window: &RollingSums<KYLE_COLUMNS>) -> Option<(PairSums, f64)> {
    let [count, x, y, xx, xy, yy, flows] = full(window)?;
    Some((PairSums { count, x, y, xx, xy, yy }, flows / count))
}

fn full<const N: usize>(window: &RollingSums<N>) -> Option<[f64; N]> {
    window.is_full().then(|| window.sums())
}

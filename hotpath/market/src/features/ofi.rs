//! Order flow imbalance: what was added to bids and taken from asks, less the reverse.
//!
//! The best level has features of its own and the multi-level ones leave it out: where most of the depth stands at the best
//! prices, a mean over all levels says what level 1 says already (correlation 0.95 to 0.98 in Bitcoin and Ether captures).

use super::registry::{FeatureSpec, FeatureWindow, Unit};
use super::window::SlidingSums;
use crate::book::{DepthView, TOP_LEVELS};
use crate::fixed::QTY_SCALE;
use crate::frame::Level;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 4] = [
    ofi_spec(
        "ofi_1_1s",
        1,
        "sum of e over the window / mean over its book batches of (bid_qty + ask_qty) / 2 at level 1, e = 1{b >= b'} bid_qty - \
         1{b <= b'} bid_qty' - 1{a <= a'} ask_qty + 1{a >= a'} ask_qty' from batch to batch; 0 without batches",
        "Cont, Kukanov and Stoikov 2014",
    ),
    ofi_spec("ofi_1_10s", 10, "as ofi_1_1s", "Cont, Kukanov and Stoikov 2014"),
    ofi_spec(
        "ofi_2_to_5_1s",
        1,
        "as ofi_1_1s, with e and the depth averaged over levels 2 to 5, each level compared with itself by its number",
        "Xu, Gould and Howison 2019",
    ),
    ofi_spec("ofi_2_to_10_10s", 10, "as ofi_2_to_5_1s, over levels 2 to 10", "Xu, Gould and Howison 2019"),
];

const fn ofi_spec(name: &'static str, seconds: u32, formula: &'static str, source: &'static str) -> FeatureSpec {
    FeatureSpec { name, version: 1, unit: Unit::Ratio, window: Some(FeatureWindow::Seconds(seconds)), formula, source }
}

/// Order flow imbalance of each level between two states of a book, in quantity: positive for buying pressure.
///
/// `e = 1{b >= b'} q_b - 1{b <= b'} q_b' - 1{a <= a'} q_a + 1{a >= a'} q_a'` with the state before primed (Cont, Kukanov and
/// Stoikov 2014), for each level by its number (Xu, Gould and Howison 2019). A level that comes or goes counts in full.
#[inline]
pub fn order_flow(before: &DepthView, after: &DepthView) -> [f64; TOP_LEVELS] {
    flow_units(before, after).map(|flow| flow / QTY_SCALE as f64)
}

/// Mean quantity a side over the best `levels` of both, `mean of (bid_qty + ask_qty) / 2`: what order flow is measured by.
#[inline]
pub fn mean_depth(view: &DepthView, levels: usize) -> f64 {
    let levels = levels.clamp(1, TOP_LEVELS);
    depth_units(view)[..levels].iter().sum::<f64>() / (levels as f64 * QTY_SCALE as f64)
}

#[derive(Clone, Debug)]
pub(super) struct OrderFlow {
    /// Flow and depth at level 1, flow and depth over levels 2 to 5, batches.
    over_1s: SlidingSums<5>,
    /// Flow and depth at level 1, flow and depth over levels 2 to 10, batches.
    over_10s: SlidingSums<5>,
}

impl OrderFlow {
    pub(super) fn new() -> Self {
        OrderFlow { over_1s: SlidingSums::new(1), over_10s: SlidingSums::new(10) }
    }

    /// `before` is `None` at the first batch, which has no flow but has depth.
    #[inline]
    pub(super) fn on_book(&mut self, now: Timestamp, before: Option<&DepthView>, after: &DepthView) {
        let flow = before.map_or([0.0; TOP_LEVELS], |before| flow_units(before, after));
        let depth = depth_units(after);
        let behind_best = |values: &[f64; TOP_LEVELS], levels: usize| values[1..levels].iter().sum::<f64>() / (levels - 1) as f64;
        self.over_1s.add(now, [flow[0], depth[0], behind_best(&flow, 5), behind_best(&depth, 5), 1.0]);
        self.over_10s.add(now, [flow[0], depth[0], behind_best(&flow, TOP_LEVELS), behind_best(&depth, TOP_LEVELS), 1.0]);
    }

    pub(super) fn clear(&mut self) {
        self.over_1s.clear();
        self.over_10s.clear();
    }

    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let [flow_1, depth_1, flow_2_to_5, depth_2_to_5, batches_1s] = self.over_1s.sums(now);
        let [flow_1_10s, depth_1_10s, flow_2_to_10, depth_2_to_10, batches_10s] = self.over_10s.sums(now);
        let by_depth = |flow: f64, depth: f64, batches: f64| if depth > 0.0 { flow / (depth / batches) } else { 0.0 };
        [
            by_depth(flow_1, depth_1, batches_1s),
            by_depth(flow_1_10s, depth_1_10s, batches_10s),
            by_depth(flow_2_to_5, depth_2_to_5, batches_1s),
            by_depth(flow_2_to_10, depth_2_to_10, batches_10s),
        ]
    }
}

/// Sums stay in fixed-point units, whole numbers that `f64` adds exactly up to 2^53.
#[inline]
fn flow_units(before: &DepthView, after: &DepthView) -> [f64; TOP_LEVELS] {
    // An absent level has price 0 and no quantity; on the ask side it must count as beyond every price.
    let ask_rank = |level: Level| if level.qty.0 == 0 { i64::MIN } else { level.price.0.saturating_neg() };
    std::array::from_fn(|place| {
        let (bid, bid_before) = (after.bids[place], before.bids[place]);
        let (ask, ask_before) = (after.asks[place], before.asks[place]);
        side_flow(bid.price.0, bid, bid_before.price.0, bid_before)
            - side_flow(ask_rank(ask), ask, ask_rank(ask_before), ask_before)
    })
}

/// Quantity that came to a side at one level; a higher rank is a better price.
#[inline]
fn side_flow(rank: i64, level: Level, rank_before: i64, level_before: Level) -> f64 {
    // Whole numbers, which the compiler selects without a branch: prices move in ways no branch predictor knows.
    let came = if rank >= rank_before { level.qty.0 } else { 0 };
    let went = if rank <= rank_before { level_before.qty.0 } else { 0 };
    came.saturating_sub(went) as f64
}

/// Mean of both sides' quantities at each level.
#[inline]
fn depth_units(view: &DepthView) -> [f64; TOP_LEVELS] {
    std::array::from_fn(|place| 0.5 * (view.bids[place].qty.0 as f64 + view.asks[place].qty.0 as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{Price, Qty};

    fn view(bid: (i64, i64), ask: (i64, i64)) -> DepthView {
        let mut view = DepthView { bid_levels: 1, ask_levels: 1, ..DepthView::default() };
        view.bids[0] = Level { price: Price(bid.0), qty: Qty(bid.1 * QTY_SCALE) };
        view.asks[0] = Level { price: Price(ask.0), qty: Qty(ask.1 * QTY_SCALE) };
        view
    }

    #[test]
    fn each_way_a_level_can_move() {
        let before = view((100, 5), (110, 7));
        for (after, flow) in [
            (view((100, 8), (110, 7)), 3.0),
            (view((100, 5), (110, 9)), -2.0),
            (view((101, 2), (110, 7)), 2.0),
            (view((99, 4), (110, 7)), -5.0),
            (view((100, 5), (109, 1)), -1.0),
            (view((100, 5), (111, 6)), 7.0),
            (view((100, 5), (0, 0)), 7.0),
            (DepthView::default(), 2.0),
        ] {
            assert_eq!(order_flow(&before, &after)[0], flow, "{after:?}");
        }
        assert_eq!(order_flow(&DepthView::default(), &before)[0], -2.0);
        assert_eq!(mean_depth(&before, 1), 6.0);
        assert_eq!(mean_depth(&before, 5), 1.2);
    }
}

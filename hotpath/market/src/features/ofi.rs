//! Order flow imbalance: what was added to bids and taken from asks, less the reverse.
//!
//! The best level has features of its own and the multi-level ones leave it out: where most of the depth stands at the best
//! prices, a mean over all levels says what level 1 says already (correlation 0.95 to 0.98 in Bitcoin and Ether captures).

use super::estimators::{PairSums, PrincipalWeights};
use super::imbalance::Depths;
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::{RollingSums, SlidingSums};
use crate::book::{DepthView, TOP_LEVELS};
use crate::fixed::QTY_SCALE;
use crate::frame::Level;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 11] = [
    best_spec("ofi_1_1s", 1),
    best_spec("ofi_1_10s", 10),
    best_spec("ofi_1_60s", 60),
    ofi_spec(
        "ofi_2_to_5_1s",
        2,
        1,
        "as ofi_1_1s, with e and the depth averaged over levels 2 to 5, each level compared with itself by its number",
        XU_GOULD_HOWISON,
    ),
    ofi_spec(
        "ofi_2_to_10_10s",
        2,
        10,
        "as ofi_1_1s, with e and the depth averaged over levels 2 to 10, each level compared with itself by its number",
        XU_GOULD_HOWISON,
    ),
    integrated_spec("ofi_integrated_1s", 1),
    integrated_spec("ofi_integrated_10s", 10),
    spec(
        "book_turnover_1s",
        1,
        Unit::Log,
        Some(FeatureWindow::Seconds(1)),
        "ln(1 + sum of |e| over the window / mean depth), e and depth at level 1 as in ofi_1_1s; 0 without batches",
        "gross order flow; Cont, Kukanov and Stoikov 2014",
    ),
    spec(
        "ofi_persistence_10s",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(10)),
        "sum of e * e' / sum of e^2 over the window, e at level 1 as in ofi_1_1s, e' that of the batch before; 0 where every e is \
         0",
        "first autocorrelation of the order flow",
    ),
    spec(
        "ofi_impact_bps",
        1,
        Unit::BasisPoints,
        Some(FeatureWindow::Batches(IMPACT_BATCHES)),
        "slope of y on x with an intercept over the last 30 blocks of 20 book batches; x = sum over levels of w * integrated flow \
         of the block / its mean depth, w from the blocks before; y = 1e4 * (mid - mid') / mid' from the end of the block before; \
         0 below 3 blocks with a mid and where x does not vary",
        CONT_CUCURINGU_ZHANG,
    ),
    spec(
        "ofi_impact_r2",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Batches(IMPACT_BATCHES)),
        "share of the variance of y explained by x, both as in ofi_impact_bps; 0 where that is not defined",
        CONT_CUCURINGU_ZHANG,
    ),
];

const CONT_KUKANOV_STOIKOV: &str = "Cont, Kukanov and Stoikov 2014";
const XU_GOULD_HOWISON: &str = "Xu, Gould and Howison 2019";
const CONT_CUCURINGU_ZHANG: &str = "Cont, Cucuringu and Zhang 2023";

const fn ofi_spec(name: &'static str, version: u16, seconds: u32, formula: &'static str, source: &'static str) -> FeatureSpec {
    spec(name, version, Unit::Ratio, Some(FeatureWindow::Seconds(seconds)), formula, source)
}

const fn best_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    ofi_spec(
        name,
        2,
        seconds,
        "sum of e over the window / (mean over its n book batches of (bid_qty + ask_qty) / 2 * sqrt(n)) at level 1, e = 1{b >= b'} \
         bid_qty - 1{b <= b'} bid_qty' - 1{a <= a'} ask_qty + 1{a >= a'} ask_qty' from batch to batch; 0 without batches",
        CONT_KUKANOV_STOIKOV,
    )
}

const fn integrated_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    ofi_spec(
        name,
        1,
        seconds,
        "sum over levels 1 to 10 of w * e over the window / (mean depth of the 10 levels * sqrt(n)), e as in ofi_1_1s; w, of \
         absolute sum 1 and positive sum, starts equal and moves with each block of 20 book batches by one power iteration to the \
         first principal component of all blocks' flows by mean depth so far; 0 without batches",
        CONT_CUCURINGU_ZHANG,
    )
}

/// Book batches of a block, the sample that weights and price impact are estimated from.
const BLOCK: u32 = 20;
/// Blocks that price impact is estimated from.
const BLOCKS: u32 = 30;
const IMPACT_BATCHES: u32 = BLOCK * BLOCKS;

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
    depth_units(&Depths::of(view))[..levels].iter().sum::<f64>() / (levels as f64 * QTY_SCALE as f64)
}

#[derive(Clone, Debug)]
pub(super) struct OrderFlow {
    over_1s: SlidingSums<{ Batch::COLUMNS }>,
    over_10s: SlidingSums<{ Batch::COLUMNS }>,
    /// Flow and depth at level 1, and 1 for each batch.
    over_60s: SlidingSums<3>,
    last_flow: f64,
    block: Block,
    weights: PrincipalWeights<TOP_LEVELS>,
    /// Order flow and return of each block.
    impact: RollingSums<{ PairSums::COLUMNS }>,
    /// Slope and share explained as of the last block.
    impact_values: [f64; 2],
}

/// The block of book batches under way.
#[derive(Clone, Copy, Default, Debug)]
struct Block {
    batches: u32,
    flow: [f64; TOP_LEVELS],
    depth: f64,
    /// Mid at the end of the block before.
    mid_before: Option<f64>,
}

/// What one batch adds to a window.
struct Batch;

impl Batch {
    const FLOW: usize = 0;
    const DEPTH_1: usize = TOP_LEVELS;
    const DEPTH_2_TO_5: usize = TOP_LEVELS + 1;
    const DEPTH_2_TO_10: usize = TOP_LEVELS + 2;
    const GROSS: usize = TOP_LEVELS + 3;
    const SQUARE: usize = TOP_LEVELS + 4;
    const WITH_BEFORE: usize = TOP_LEVELS + 5;
    const BATCHES: usize = TOP_LEVELS + 6;
    const COLUMNS: usize = TOP_LEVELS + 7;
}

impl OrderFlow {
    pub(super) fn new() -> Self {
        OrderFlow {
            over_1s: SlidingSums::new(1),
            over_10s: SlidingSums::new(10),
            over_60s: SlidingSums::new(60),
            last_flow: 0.0,
            block: Block::default(),
            weights: PrincipalWeights::new(),
            impact: RollingSums::new(BLOCKS as usize),
            impact_values: [0.0; 2],
        }
    }

    /// `before` is `None` at the first batch, which has no flow but has depth.
    #[inline(always)]
    pub(super) fn on_book(
        &mut self,
        now: Timestamp,
        before: Option<&DepthView>,
        after: &DepthView,
        depths: &Depths,
        mid: Option<f64>,
    ) {
        let flow = before.map_or([0.0; TOP_LEVELS], |before| flow_units(before, after));
        let depth = depth_units(depths);
        let (to_5, to_10) = depth[1..].split_at(4);
        let depth_2_to_5 = to_5.iter().sum::<f64>();
        let depth_2_to_10 = depth_2_to_5 + to_10.iter().sum::<f64>();
        let best = flow[0];
        let mut batch = [0.0; Batch::COLUMNS];
        batch[..TOP_LEVELS].copy_from_slice(&flow);
        batch[TOP_LEVELS..].copy_from_slice(&[
            depth[0],
            depth_2_to_5,
            depth_2_to_10,
            best.abs(),
            best * best,
            best * self.last_flow,
            1.0,
        ]);
        self.over_1s.add(now, batch);
        self.over_10s.add(now, batch);
        self.over_60s.add(now, [best, depth[0], 1.0]);
        self.last_flow = best;
        self.add_to_block(&flow, depth[0] + depth_2_to_10, mid);
    }

    #[inline(always)]
    fn add_to_block(&mut self, flow: &[f64; TOP_LEVELS], depth: f64, mid: Option<f64>) {
        let block = &mut self.block;
        block.batches += 1;
        block.depth += depth;
        for (sum, flow) in block.flow.iter_mut().zip(flow) {
            *sum += flow;
        }
        if block.batches == BLOCK {
            self.end_block(mid);
        }
    }

    fn end_block(&mut self, mid: Option<f64>) {
        let block = std::mem::replace(&mut self.block, Block { mid_before: mid, ..Block::default() });
        let depth = block.depth / f64::from(BLOCK * TOP_LEVELS as u32);
        if depth <= 0.0 {
            return;
        }
        let flow = block.flow.map(|flow| flow / depth);
        if let (Some(before), Some(mid)) = (block.mid_before, mid) {
            self.impact.push(PairSums::columns(self.weighted(&flow), 1e4 * (mid - before) / before));
            let line = PairSums::of_columns(self.impact.sums());
            self.impact_values = [line.slope().unwrap_or(0.0), line.r2().unwrap_or(0.0)];
        }
        self.weights.observe(&flow);
    }

    #[inline(always)]
    fn weighted(&self, flow: &[f64]) -> f64 {
        self.weights.weights().iter().zip(flow).map(|(weight, flow)| weight * flow).sum()
    }

    pub(super) fn clear(&mut self) {
        self.over_1s.clear();
        self.over_10s.clear();
        self.over_60s.clear();
        (self.last_flow, self.block, self.weights) = (0.0, Block::default(), PrincipalWeights::new());
        self.impact.clear();
        self.impact_values = [0.0; 2];
    }

    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let (over_1s, over_10s, over_60s) = (self.over_1s.sums(now), self.over_10s.sums(now), self.over_60s.sums(now));
        let (root_1s, root_10s) = (over_1s[Batch::BATCHES].sqrt(), over_10s[Batch::BATCHES].sqrt());
        // With d the sum of depths over n batches, flow / (d / n * sqrt(n)).
        let per = |flow: f64, depth: f64, root: f64| if depth > 0.0 { flow * root / depth } else { 0.0 };
        let behind_best = |sums: &[f64; Batch::COLUMNS], levels: usize| sums[1..levels].iter().sum::<f64>();
        let all_depth = |sums: &[f64; Batch::COLUMNS]| 0.1 * (sums[Batch::DEPTH_1] + sums[Batch::DEPTH_2_TO_10]);
        let flows = |sums: &[f64; Batch::COLUMNS]| self.weighted(&sums[Batch::FLOW..TOP_LEVELS]);
        let squares = over_10s[Batch::SQUARE];
        let [impact, explained] = self.impact_values;
        [
            per(over_1s[Batch::FLOW], over_1s[Batch::DEPTH_1], root_1s),
            per(over_10s[Batch::FLOW], over_10s[Batch::DEPTH_1], root_10s),
            per(over_60s[0], over_60s[1], over_60s[2].sqrt()),
            per(behind_best(&over_1s, 5), over_1s[Batch::DEPTH_2_TO_5], root_1s),
            per(behind_best(&over_10s, TOP_LEVELS), over_10s[Batch::DEPTH_2_TO_10], root_10s),
            per(flows(&over_1s), all_depth(&over_1s), root_1s),
            per(flows(&over_10s), all_depth(&over_10s), root_10s),
            (1.0 + per(over_1s[Batch::GROSS], over_1s[Batch::DEPTH_1], over_1s[Batch::BATCHES])).ln(),
            if squares > 0.0 { over_10s[Batch::WITH_BEFORE] / squares } else { 0.0 },
            impact,
            explained,
        ]
    }
}

/// Sums stay in fixed-point units, whole numbers that `f64` adds exactly up to 2^53.
#[inline(always)]
fn flow_units(before: &DepthView, after: &DepthView) -> [f64; TOP_LEVELS] {
    std::array::from_fn(|place| level_flow((before.bids[place], before.asks[place]), (after.bids[place], after.asks[place])))
}

/// Order flow imbalance of one level's `(bid, ask)` between two states, in fixed-point units.
#[inline(always)]
pub(super) fn level_flow((bid_before, ask_before): (Level, Level), (bid, ask): (Level, Level)) -> f64 {
    // An absent level has price 0 and no quantity; on the ask side it must count as beyond every price.
    let ask_rank = |level: Level| if level.qty.0 == 0 { i64::MIN } else { level.price.0.wrapping_neg() };
    let bids = side_flow(bid.price.0, bid, bid_before.price.0, bid_before);
    bids.wrapping_sub(side_flow(ask_rank(ask), ask, ask_rank(ask_before), ask_before)) as f64
}

/// Quantity that came to a side at one level; a higher rank is a better price. Quantities are not negative, so that a difference of
/// two fits; one of four wraps beyond half the range, 46 billion coins.
#[inline(always)]
fn side_flow(rank: i64, level: Level, rank_before: i64, level_before: Level) -> i64 {
    // Whole numbers, which the compiler selects without a branch: prices move in ways no branch predictor knows.
    let came = if rank >= rank_before { level.qty.0 } else { 0 };
    let went = if rank <= rank_before { level_before.qty.0 } else { 0 };
    came.wrapping_sub(went)
}

/// Mean of both sides' quantities at each level.
#[inline(always)]
fn depth_units(depths: &Depths) -> [f64; TOP_LEVELS] {
    std::array::from_fn(|place| 0.5 * (depths.bids[place] + depths.asks[place]))
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

//! Where the weight of the book lies: how deep, how far, how even.

use super::imbalance::Depths;
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::book::{DepthView, TOP_LEVELS};
use crate::frame::Level;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 10] = [
    spec(
        "depth_slope_log_ratio",
        1,
        Unit::Log,
        None,
        "ln(slope of bids / slope of asks), slope = quantity over 10 levels / distance of the last of them from the mid; 0 while \
         a side is empty or not beyond the mid",
        "after the order book slope of Naes and Skjeltorp 2006",
    ),
    spec(
        "depth_ratio_log",
        1,
        Unit::Log,
        None,
        "ln(quantity of both sides over 10 levels / at the best level); 0 while a side is empty",
        "share of depth behind the best prices",
    ),
    spec(
        "depth_relative_60s",
        1,
        Unit::Log,
        Some(FeatureWindow::Seconds(60)),
        "ln(quantity of both sides over 10 levels / its mean over the window's book batches); 0 for an empty book",
        "depth against its recent level",
    ),
    centre_spec("depth_centre_bid", "k * quantity over the bid levels k = 0 to 9 / (9 * quantity); 0 without bids"),
    centre_spec("depth_centre_ask", "k * quantity over the ask levels k = 0 to 9 / (9 * quantity); 0 without asks"),
    concentration_spec("depth_concentration_bid", "sum of squared shares of the 10 bid levels in their quantity; 0 without bids"),
    concentration_spec("depth_concentration_ask", "sum of squared shares of the 10 ask levels in their quantity; 0 without asks"),
    range_spec("depth_range_bid_bps", "1e4 * (best - last of 10 bid levels) / mid; 0 while a side is empty"),
    range_spec("depth_range_ask_bps", "1e4 * (last of 10 ask levels - best) / mid; 0 while a side is empty"),
    spec(
        "level_gap_imbalance",
        1,
        Unit::Ratio,
        None,
        "(b - a) / (b + a), distances of the second from the best bid and ask; 0 while a side has less than two levels",
        "gaps behind the best prices; Farmer et al. 2004",
    ),
];

const fn centre_spec(name: &'static str, formula: &'static str) -> FeatureSpec {
    spec(name, 1, Unit::Ratio, None, formula, "centre of mass of the depth by level")
}

const fn concentration_spec(name: &'static str, formula: &'static str) -> FeatureSpec {
    spec(name, 1, Unit::Ratio, None, formula, "Herfindahl index of the depth by level")
}

const fn range_spec(name: &'static str, formula: &'static str) -> FeatureSpec {
    spec(name, 1, Unit::BasisPoints, None, formula, "price range of the visible book")
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Quantity of both sides, and 1 for each batch.
    over_60s: SlidingSums<2>,
}

impl Shape {
    pub(super) fn new() -> Self {
        Shape { over_60s: SlidingSums::new(60) }
    }

    #[inline(always)]
    pub(super) fn on_book(&mut self, now: Timestamp, depths: &Depths) {
        self.over_60s.add(now, [depths.total(), 1.0]);
    }

    pub(super) fn clear(&mut self) {
        self.over_60s.clear();
    }

    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp, view: &DepthView, depths: &Depths) -> [f64; SPECS.len()] {
        let [sum, batches] = self.over_60s.sums(now);
        let bids = Side::of(&view.bids, view.bid_levels, &depths.bids);
        let asks = Side::of(&view.asks, view.ask_levels, &depths.asks);
        let total = bids.quantity + asks.quantity;
        // Prices are in units, which every quotient cancels.
        let twice_mid = bids.best + asks.best;
        let is_two_sided = bids.best_quantity > 0.0 && asks.best_quantity > 0.0 && twice_mid > 0.0;
        let [slope, ratio, bid_range, ask_range] = if is_two_sided {
            let (bid_distance, ask_distance) = (twice_mid - 2.0 * bids.last, 2.0 * asks.last - twice_mid);
            let is_beyond = bid_distance > 0.0 && ask_distance > 0.0;
            let bps = 2e4 / twice_mid;
            [
                if is_beyond { log_ratio(bids.quantity * ask_distance, asks.quantity * bid_distance) } else { 0.0 },
                log_ratio(total, bids.best_quantity + asks.best_quantity),
                bps * (bids.best - bids.last),
                bps * (asks.last - asks.best),
            ]
        } else {
            [0.0; 4]
        };
        let gaps = bids.gap + asks.gap;
        let has_gaps = view.bid_levels > 1 && view.ask_levels > 1 && gaps > 0.0;
        [
            slope,
            ratio,
            log_ratio(total * batches, sum),
            bids.centre,
            asks.centre,
            bids.concentration,
            asks.concentration,
            bid_range,
            ask_range,
            if has_gaps { (bids.gap - asks.gap) / gaps } else { 0.0 },
        ]
    }
}

/// What one side of the book looks like. Quantities and prices are in fixed-point units.
struct Side {
    quantity: f64,
    best_quantity: f64,
    best: f64,
    last: f64,
    /// From the best to the second price.
    gap: f64,
    centre: f64,
    concentration: f64,
}

impl Side {
    #[inline(always)]
    fn of(levels: &[Level; TOP_LEVELS], count: usize, quantities: &[f64; TOP_LEVELS]) -> Side {
        let (mut quantity, mut moment, mut squares) = (0.0, 0.0, 0.0);
        for (place, qty) in quantities.iter().enumerate() {
            quantity += qty;
            moment += place as f64 * qty;
            squares += qty * qty;
        }
        let share = if quantity > 0.0 { 1.0 / quantity } else { 0.0 };
        let price = |place: usize| levels[place].price.0 as f64;
        Side {
            quantity,
            best_quantity: quantities[0],
            best: price(0),
            last: price(count.clamp(1, TOP_LEVELS) - 1),
            gap: (price(0) - price(1)).abs(),
            centre: moment * share / (TOP_LEVELS - 1) as f64,
            concentration: squares * share * share,
        }
    }
}

#[inline(always)]
fn log_ratio(above: f64, below: f64) -> f64 {
    if above > 0.0 && below > 0.0 { (above / below).ln() } else { 0.0 }
}

//! The shape of the book at rest: which side is heavier, and where its weight lies.

use super::registry::{FeatureSpec, Unit};
use crate::book::{DepthView, TOP_LEVELS};
use crate::frame::Level;

pub(super) const SPECS: [FeatureSpec; 5] = [
    imbalance_spec("imbalance_1", "(b - a) / (b + a), quantities of bids and asks at the best level; 0 for an empty book"),
    imbalance_spec("imbalance_5", "(b - a) / (b + a), quantities of bids and asks over 5 levels; 0 for an empty book"),
    imbalance_spec("imbalance_10", "(b - a) / (b + a), quantities of bids and asks over 10 levels; 0 for an empty book"),
    FeatureSpec {
        name: "depth_slope_log_ratio",
        version: 1,
        unit: Unit::Log,
        window: None,
        formula: "ln(slope of bids / slope of asks), slope = quantity over 10 levels / distance of the last of them from the mid; \
                  0 while a side is empty or not beyond the mid",
        source: "after the order book slope of Naes and Skjeltorp 2006",
    },
    FeatureSpec {
        name: "depth_ratio_log",
        version: 1,
        unit: Unit::Log,
        window: None,
        formula: "ln(quantity of both sides over 10 levels / at the best level); 0 while a side is empty",
        source: "share of depth behind the best prices",
    },
];

const fn imbalance_spec(name: &'static str, formula: &'static str) -> FeatureSpec {
    FeatureSpec { name, version: 1, unit: Unit::Ratio, window: None, formula, source: "Cao, Hansch and Wang 2009" }
}

/// `(b - a) / (b + a)` of the quantities over the best `levels` of each side, from -1 (only asks) to 1 (only bids); 0 where
/// there are none (Cao, Hansch and Wang 2009).
#[inline]
pub fn imbalance(view: &DepthView, levels: usize) -> f64 {
    let (bid, ask) = (quantity(&view.bids, levels), quantity(&view.asks, levels));
    let total = bid + ask;
    if total > 0.0 { (bid - ask) / total } else { 0.0 }
}

pub(super) fn values(view: &DepthView, book_mid: Option<f64>) -> [f64; SPECS.len()] {
    let [slope, ratio] = book_mid.map_or([0.0, 0.0], |mid| [slope_log_ratio(view, mid), depth_ratio_log(view)]);
    [imbalance(view, 1), imbalance(view, 5), imbalance(view, TOP_LEVELS), slope, ratio]
}

fn slope_log_ratio(view: &DepthView, mid: f64) -> f64 {
    let last_price = |side: &[Level], count: usize| side.iter().take(count).next_back().map_or(mid, |level| level.price.to_f64());
    let bid_distance = mid - last_price(&view.bids, view.bid_levels);
    let ask_distance = last_price(&view.asks, view.ask_levels) - mid;
    if bid_distance > 0.0 && ask_distance > 0.0 {
        let (bid, ask) = (quantity(&view.bids, TOP_LEVELS), quantity(&view.asks, TOP_LEVELS));
        log_ratio(bid / bid_distance, ask / ask_distance)
    } else {
        0.0
    }
}

fn depth_ratio_log(view: &DepthView) -> f64 {
    let both = |levels| quantity(&view.bids, levels) + quantity(&view.asks, levels);
    log_ratio(both(TOP_LEVELS), both(1))
}

fn log_ratio(above: f64, below: f64) -> f64 {
    if above > 0.0 && below > 0.0 { (above / below).ln() } else { 0.0 }
}

#[inline]
fn quantity(side: &[Level; TOP_LEVELS], levels: usize) -> f64 {
    side.iter().take(levels).map(|level| level.qty.0 as f64).sum()
}

//! Which side of the book is heavier.

use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::book::{DepthView, TOP_LEVELS};
use crate::frame::Level;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 4] = [
    imbalance_spec("imbalance_1", 1),
    imbalance_spec("imbalance_5", 5),
    imbalance_spec("imbalance_10", 10),
    spec(
        "imbalance_5_change_10s",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(10)),
        "imbalance_5 - its mean over the window's book batches; 0 without any",
        "imbalance against its recent level",
    ),
];

const fn imbalance_spec(name: &'static str, levels: u32) -> FeatureSpec {
    spec(
        name,
        1,
        Unit::Ratio,
        Some(FeatureWindow::Levels(levels)),
        "(b - a) / (b + a), quantities of bids and asks over the best levels; 0 for an empty book",
        "Cao, Hansch and Wang 2009",
    )
}

/// `(b - a) / (b + a)` of the quantities over the best `levels` of each side, from -1 (only asks) to 1 (only bids); 0 where
/// there are none (Cao, Hansch and Wang 2009).
#[inline]
pub fn imbalance(view: &DepthView, levels: usize) -> f64 {
    let (bid, ask) = (quantity(&view.bids, levels), quantity(&view.asks, levels));
    let total = bid + ask;
    if total > 0.0 { (bid - ask) / total } else { 0.0 }
}

#[derive(Clone, Debug)]
pub(super) struct Imbalance {
    /// Over 5 levels, and 1 for each batch.
    over_10s: SlidingSums<2>,
}

impl Imbalance {
    pub(super) fn new() -> Self {
        Imbalance { over_10s: SlidingSums::new(10) }
    }

    #[inline]
    pub(super) fn on_book(&mut self, now: Timestamp, view: &DepthView) {
        self.over_10s.add(now, [imbalance(view, 5), 1.0]);
    }

    pub(super) fn clear(&mut self) {
        self.over_10s.clear();
    }

    pub(super) fn values(&mut self, now: Timestamp, view: &DepthView) -> [f64; SPECS.len()] {
        let [sum, batches] = self.over_10s.sums(now);
        let over_5 = imbalance(view, 5);
        let change = if batches > 0.0 { over_5 - sum / batches } else { 0.0 };
        [imbalance(view, 1), over_5, imbalance(view, TOP_LEVELS), change]
    }
}

#[inline]
pub(super) fn quantity(side: &[Level; TOP_LEVELS], levels: usize) -> f64 {
    side.iter().take(levels).map(|level| level.qty.0 as f64).sum()
}

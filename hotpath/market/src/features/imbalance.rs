//! Which side of the book is heavier.

use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::book::{DepthView, TOP_LEVELS};
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
#[inline(always)]
pub fn imbalance(view: &DepthView, levels: usize) -> f64 {
    Depths::of(view).imbalance(levels.min(TOP_LEVELS))
}

/// The quantities of the best levels in fixed-point units, for all families that weigh the book: read off once a batch.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Depths {
    pub(super) bids: [f64; TOP_LEVELS],
    pub(super) asks: [f64; TOP_LEVELS],
}

impl Depths {
    #[inline(always)]
    pub(super) fn of(view: &DepthView) -> Depths {
        Depths { bids: view.bids.map(|level| level.qty.0 as f64), asks: view.asks.map(|level| level.qty.0 as f64) }
    }

    /// Of both sides.
    #[inline(always)]
    pub(super) fn total(&self) -> f64 {
        self.bids.iter().sum::<f64>() + self.asks.iter().sum::<f64>()
    }

    #[inline(always)]
    fn imbalance(&self, levels: usize) -> f64 {
        let (bid, ask) = (self.bids[..levels].iter().sum::<f64>(), self.asks[..levels].iter().sum::<f64>());
        let total = bid + ask;
        if total > 0.0 { (bid - ask) / total } else { 0.0 }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Imbalance {
    latest: [f64; 3],
    /// Over 5 levels, and 1 for each batch.
    over_10s: SlidingSums<2>,
}

impl Imbalance {
    pub(super) fn new() -> Self {
        Imbalance { latest: [0.0; 3], over_10s: SlidingSums::new(10) }
    }

    #[inline(always)]
    pub(super) fn on_book(&mut self, now: Timestamp, depths: &Depths) {
        self.latest = [depths.imbalance(1), depths.imbalance(5), depths.imbalance(TOP_LEVELS)];
        self.over_10s.add(now, [self.latest[1], 1.0]);
    }

    pub(super) fn clear(&mut self) {
        self.latest = [0.0; 3];
        self.over_10s.clear();
    }

    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let [sum, batches] = self.over_10s.sums(now);
        let [over_1, over_5, over_10] = self.latest;
        [over_1, over_5, over_10, if batches > 0.0 { over_5 - sum / batches } else { 0.0 }]
    }
}

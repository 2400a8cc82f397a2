//! Spreads: what a round trip costs, as quoted and as paid.

use super::registry::{FeatureSpec, FeatureWindow, Unit};
use crate::event::Side;
use crate::fixed::Price;
use crate::frame::Bbo;

pub(super) const SPECS: [FeatureSpec; 2] = [
    FeatureSpec {
        name: "spread_bps",
        version: 1,
        unit: Unit::BasisPoints,
        window: None,
        formula: "1e4 * (ask - bid) / mid of the book; 0 while a side is empty",
        source: "quoted spread; Huang and Stoll 1996",
    },
    FeatureSpec {
        name: "effective_spread_bps",
        version: 1,
        unit: Unit::BasisPoints,
        window: Some(FeatureWindow::Trades(EWM_TRADES)),
        formula: "x = 1e4 * 2 * sign * (price - mid) / mid a trade, sign +1 for a buying aggressor, mid of the latest quote before it \
                  (of the book before the first quote); s += (x - s) / 32 from s = x at the first; 0 before a trade with a mid",
        source: "effective spread; Huang and Stoll 1996",
    },
];

const EWM_TRADES: u32 = 32;

/// What a taker paid over the mid for a round trip: `2 * sign * (price - mid)`, in quote currency (Huang and Stoll 1996).
/// Negative where the mid had moved past the price.
#[inline]
pub fn effective_spread(price: Price, mid: f64, aggressor: Side) -> f64 {
    2.0 * aggressor.sign() as f64 * (price.to_f64() - mid)
}

#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    effective_bps: Option<f64>,
}

impl Spread {
    #[inline]
    pub(super) fn on_trade(&mut self, price: Price, aggressor: Side, mid: f64) {
        let paid_bps = 1e4 * effective_spread(price, mid, aggressor) / mid;
        self.effective_bps = Some(match self.effective_bps {
            Some(mean) => mean + (paid_bps - mean) / f64::from(EWM_TRADES),
            None => paid_bps,
        });
    }

    pub(super) fn values(&self, book: &Bbo, book_mid: Option<f64>) -> [f64; SPECS.len()] {
        let quoted = book_mid.map(|mid| 1e4 * (book.ask.price.to_f64() - book.bid.price.to_f64()) / mid);
        [quoted.unwrap_or(0.0), self.effective_bps.unwrap_or(0.0)]
    }
}

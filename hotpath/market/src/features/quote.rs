//! What the venue's best-price stream says that the book does not say yet: it arrives before the depth update.

use super::ofi::level_flow;
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::frame::Bbo;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 3] = [
    spec(
        "microprice_offset_bps",
        1,
        Unit::BasisPoints,
        None,
        "1e4 * (microprice - mid) / mid of the latest quote (of the book before the first quote), microprice = (bid * ask_qty + \
         ask * bid_qty) / (bid_qty + ask_qty); 0 while a side is empty",
        "Gatheral and Oomen 2010; Stoikov 2018 (weighted mid)",
    ),
    spec(
        "quote_lead_bps",
        1,
        Unit::BasisPoints,
        None,
        "1e4 * (mid of the latest quote - mid of the book) / mid of the book; 0 before either",
        "best-price stream against depth stream of one venue",
    ),
    spec(
        "quote_ofi_1s",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(1)),
        "as ofi_1_1s, from quote to quote: sum of e over the window / (mean over its n quotes of (bid_qty + ask_qty) / 2 * \
         sqrt(n)); 0 without quotes",
        "Cont, Kukanov and Stoikov 2014",
    ),
];

/// The mid weighted by the opposite sizes, `(bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)`, in quote currency;
/// `None` while a side is empty (Gatheral and Oomen 2010).
#[inline(always)]
pub fn microprice(bbo: &Bbo) -> Option<f64> {
    bbo.is_two_sided().then(|| {
        let (bid_qty, ask_qty) = (bbo.bid.qty.to_f64(), bbo.ask.qty.to_f64());
        (bbo.bid.price.to_f64() * ask_qty + bbo.ask.price.to_f64() * bid_qty) / (bid_qty + ask_qty)
    })
}

/// The mid where there is one to divide by.
#[inline(always)]
pub(super) fn positive_mid(bbo: &Bbo) -> Option<f64> {
    let mid = bbo.mid();
    (bbo.is_two_sided() && mid > 0.0).then_some(mid)
}

#[derive(Clone, Debug)]
pub(super) struct Quotes {
    /// The latest.
    latest: Option<Bbo>,
    /// Flow, depth and 1 for each quote.
    over_1s: SlidingSums<3>,
}

impl Quotes {
    pub(super) fn new() -> Self {
        Quotes { latest: None, over_1s: SlidingSums::new(1) }
    }

    #[inline]
    pub(super) fn on_quote(&mut self, now: Timestamp, quote: &Bbo) {
        let flow = self.latest.map_or(0.0, |before| level_flow((before.bid, before.ask), (quote.bid, quote.ask)));
        let depth = 0.5 * (quote.bid.qty.0 as f64 + quote.ask.qty.0 as f64);
        self.over_1s.add(now, [flow, depth, 1.0]);
        self.latest = Some(*quote);
    }

    /// The latest quote.
    pub(super) fn latest(&self) -> Option<&Bbo> {
        self.latest.as_ref()
    }

    pub(super) fn clear(&mut self) {
        self.latest = None;
        self.over_1s.clear();
    }

    /// `book` is used before the first quote.
    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp, book: &Bbo, book_mid: Option<f64>) -> [f64; SPECS.len()] {
        let latest = self.latest.as_ref().unwrap_or(book);
        let [flow, depth, quotes] = self.over_1s.sums(now);
        let order_flow = if depth > 0.0 { flow * quotes.sqrt() / depth } else { 0.0 };
        match (positive_mid(latest), microprice(latest)) {
            (Some(mid), Some(micro)) => {
                [1e4 * (micro - mid) / mid, book_mid.map_or(0.0, |book_mid| 1e4 * (mid - book_mid) / book_mid), order_flow]
            }
            _ => [0.0, 0.0, order_flow],
        }
    }
}

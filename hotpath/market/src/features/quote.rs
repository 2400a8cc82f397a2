//! What the venue's best-price stream says that the book does not say yet: it arrives before the depth update.

use super::registry::{FeatureSpec, Unit, spec};
use crate::frame::Bbo;

pub(super) const SPECS: [FeatureSpec; 3] = [
    spec(
        "microprice_offset_bps",
        1,
        Unit::BasisPoints,
        None,
        "1e4 * (microprice - mid) / mid of the latest quote (of the book before the first quote), microprice = (bid * ask_qty + ask * \
         bid_qty) / (bid_qty + ask_qty); 0 while a side is empty",
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
        "quote_imbalance",
        1,
        Unit::Ratio,
        None,
        "(b - a) / (b + a), quantities at the best prices of the latest quote (of the book before the first quote); 0 while a side is \
         empty",
        "Cao, Hansch and Wang 2009",
    ),
];

/// The mid weighted by the opposite sizes, `(bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)`, in quote currency;
/// `None` while a side is empty (Gatheral and Oomen 2010).
#[inline]
pub fn microprice(bbo: &Bbo) -> Option<f64> {
    bbo.is_two_sided().then(|| {
        let (bid_qty, ask_qty) = (bbo.bid.qty.to_f64(), bbo.ask.qty.to_f64());
        (bbo.bid.price.to_f64() * ask_qty + bbo.ask.price.to_f64() * bid_qty) / (bid_qty + ask_qty)
    })
}

/// The mid where there is one to divide by.
#[inline]
pub(super) fn positive_mid(bbo: &Bbo) -> Option<f64> {
    let mid = bbo.mid();
    (bbo.is_two_sided() && mid > 0.0).then_some(mid)
}

/// `latest` is the quote, or the book's best prices before the first quote.
pub(super) fn values(latest: &Bbo, book_mid: Option<f64>) -> [f64; SPECS.len()] {
    let (Some(mid), Some(micro)) = (positive_mid(latest), microprice(latest)) else {
        return [0.0; SPECS.len()];
    };
    let (bid, ask) = (latest.bid.qty.to_f64(), latest.ask.qty.to_f64());
    [1e4 * (micro - mid) / mid, book_mid.map_or(0.0, |book_mid| 1e4 * (mid - book_mid) / book_mid), (bid - ask) / (bid + ask)]
}

//! All features of one instrument, kept up to date event by event.

use super::imbalance;
use super::intensity::Intensity;
use super::ofi::OrderFlow;
use super::quote::{self, positive_mid};
use super::registry::FEATURE_COUNT;
use super::spread::Spread;
use super::trade_imbalance::TradeImbalance;
use super::volatility::Volatility;
use super::vpin::{DEFAULT_BUCKETS, Vpin};
use crate::book::DepthView;
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, FEATURES_MAX};
use crate::time::Timestamp;
use std::num::NonZeroUsize;

/// What of the features can be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeatureConfig {
    /// Volume of a VPIN bucket; `None` (the default) to set it from the first trades, see [`Vpin::new`].
    pub vpin_bucket: Option<Qty>,
    /// Full buckets VPIN rolls over; 50 by default.
    pub vpin_buckets: NonZeroUsize,
}

impl Default for FeatureConfig {
    fn default() -> Self {
        FeatureConfig { vpin_bucket: None, vpin_buckets: DEFAULT_BUCKETS }
    }
}

/// All features of one instrument.
///
/// Events come in the order of their logical times; one that is earlier than the latest seen counts as simultaneous with it.
/// All memory is taken when the engine is made.
#[derive(Clone, Debug)]
pub struct FeatureEngine {
    latest: Timestamp,
    view: Option<DepthView>,
    book_mid: Option<f64>,
    quote: Option<Bbo>,
    quote_mid: Option<f64>,
    spread: Spread,
    order_flow: OrderFlow,
    trade_imbalance: TradeImbalance,
    vpin: Vpin,
    volatility: Volatility,
    intensity: Intensity,
}

impl FeatureEngine {
    /// An engine that has seen nothing.
    pub fn new(config: &FeatureConfig) -> FeatureEngine {
        FeatureEngine {
            latest: Timestamp::MIN,
            view: None,
            book_mid: None,
            quote: None,
            quote_mid: None,
            spread: Spread::default(),
            order_flow: OrderFlow::new(),
            trade_imbalance: TradeImbalance::new(),
            vpin: Vpin::new(config.vpin_bucket, config.vpin_buckets),
            volatility: Volatility::new(),
            intensity: Intensity::new(),
        }
    }

    /// The book after a whole batch of changes; call it only while the book is in sync.
    #[inline]
    pub fn on_book(&mut self, now: Timestamp, view: &DepthView) {
        let now = self.clock(now);
        self.book_mid = positive_mid(&view.bbo());
        self.order_flow.on_book(now, self.view.as_ref(), view);
        self.volatility.on_book(now, self.book_mid);
        self.intensity.on_update(now);
        self.view = Some(*view);
    }

    /// A trade; one without a positive quantity is passed over.
    #[inline]
    pub fn on_trade(&mut self, now: Timestamp, price: Price, qty: Qty, aggressor: Side) {
        let now = self.clock(now);
        if qty.0 <= 0 {
            return;
        }
        let mid = if self.quote.is_some() { self.quote_mid } else { self.book_mid };
        if let Some(mid) = mid {
            self.spread.on_trade(price, aggressor, mid);
        }
        self.trade_imbalance.on_trade(now, qty, aggressor);
        self.vpin.on_trade(qty, aggressor);
        self.intensity.on_trade(now);
    }

    /// The venue's best prices (bookTicker); they come before the depth update that says the same.
    #[inline]
    pub fn on_quote(&mut self, now: Timestamp, bbo: &Bbo) {
        let now = self.clock(now);
        self.quote_mid = positive_mid(bbo);
        self.quote = Some(*bbo);
        self.intensity.on_update(now);
    }

    /// Forgets everything, for a book that went stale: what broke it may have hidden trades and quotes too.
    pub fn reset(&mut self) {
        (self.view, self.book_mid) = (None, None);
        (self.quote, self.quote_mid) = (None, None);
        self.spread = Spread::default();
        self.order_flow.clear();
        self.trade_imbalance.clear();
        self.vpin.reset();
        self.volatility.clear();
        self.intensity.clear();
    }

    /// Writes every feature as of `now`, in the order of the [`registry`](super::registry()), and zeros behind. All are finite.
    ///
    /// `now` may be later than the last event: windows slide on. Writing changes no later value, but for events earlier than `now`
    /// which then count as at `now`.
    pub fn write(&mut self, now: Timestamp, out: &mut [f64; FEATURES_MAX]) {
        let now = self.clock(now);
        let view = self.view.unwrap_or_default();
        let book = view.bbo();
        let latest = self.quote.unwrap_or(book);
        let mut row = Row { out, place: 0 };
        row.put(self.spread.values(&book, self.book_mid));
        row.put(quote::values(&latest, self.book_mid));
        row.put(imbalance::values(&view, self.book_mid));
        row.put(self.order_flow.values(now));
        row.put(self.trade_imbalance.values(now));
        row.put(self.vpin.values());
        row.put(self.volatility.values(now));
        row.put(self.intensity.values(now));
        debug_assert_eq!(row.place, FEATURE_COUNT);
        row.out[FEATURE_COUNT..].fill(0.0);
    }

    #[inline]
    fn clock(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// Writes one family behind the other, in the registry's order of families.
struct Row<'a> {
    out: &'a mut [f64; FEATURES_MAX],
    place: usize,
}

impl Row<'_> {
    fn put<const N: usize>(&mut self, values: [f64; N]) {
        for (slot, value) in self.out.iter_mut().skip(self.place).zip(values) {
            *slot = value;
        }
        self.place += N;
    }
}

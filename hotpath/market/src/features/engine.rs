//! All features of one instrument, kept up to date event by event.

use super::BAR_TRADES;
use super::bar_impact::BarImpact;
use super::bar_volatility::BarVolatility;
use super::calendar::Calendar;
use super::imbalance::{Depths, Imbalance};
use super::intensity::Intensity;
use super::ofi::OrderFlow;
use super::quote::{Quotes, positive_mid};
use super::registry::FEATURE_COUNT;
use super::shape::Shape;
use super::spread::Spread;
use super::trade_flow::{self, TradeFlow};
use super::volatility::Volatility;
use super::vpin::{DEFAULT_BUCKETS, VolumeBuckets};
use crate::bars::{BarRule, Bars};
use crate::book::DepthView;
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, FEATURES_MAX};
use crate::time::Timestamp;
use std::num::NonZeroUsize;

/// What of the features can be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeatureConfig {
    /// Volume of a VPIN bucket; `None` (the default) to set it from the first trades, see `vpin`'s formula.
    pub vpin_bucket: Option<Qty>,
    /// Full buckets VPIN rolls over; 10 by default.
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
    /// The latest book, and whether there was one.
    view: DepthView,
    has_view: bool,
    depths: Depths,
    book_mid: Option<f64>,
    quotes: Quotes,
    quote_mid: Option<f64>,
    bars: Bars,
    spread: Spread,
    imbalance: Imbalance,
    shape: Shape,
    order_flow: OrderFlow,
    trade_flow: TradeFlow,
    volume_buckets: VolumeBuckets,
    bar_impact: BarImpact,
    volatility: Volatility,
    bar_volatility: BarVolatility,
    intensity: Intensity,
    calendar: Calendar,
}

impl FeatureEngine {
    /// An engine that has seen nothing.
    pub fn new(config: &FeatureConfig) -> FeatureEngine {
        FeatureEngine {
            latest: Timestamp::MIN,
            view: DepthView::default(),
            has_view: false,
            depths: Depths::default(),
            book_mid: None,
            quotes: Quotes::new(),
            quote_mid: None,
            bars: Bars::new(BarRule::Trades(BAR_TRADES)),
            spread: Spread::new(),
            imbalance: Imbalance::new(),
            shape: Shape::new(),
            order_flow: OrderFlow::new(),
            trade_flow: TradeFlow::new(),
            volume_buckets: VolumeBuckets::new(config.vpin_bucket, config.vpin_buckets),
            bar_impact: BarImpact::new(),
            volatility: Volatility::new(),
            bar_volatility: BarVolatility::new(),
            intensity: Intensity::new(),
            calendar: Calendar::default(),
        }
    }

    /// The book after a whole batch of changes; call it only while the book is in sync.
    #[inline]
    pub fn on_book(&mut self, now: Timestamp, view: &DepthView) {
        let now = self.clock(now);
        let bbo = view.bbo();
        self.book_mid = positive_mid(&bbo);
        let quoted = self.book_mid.map(|mid| Price(bbo.ask.price.0.saturating_sub(bbo.bid.price.0)).to_f64() / mid);
        self.spread.on_book(now, self.book_mid, quoted);
        self.depths = Depths::of(view);
        self.imbalance.on_book(now, &self.depths);
        self.shape.on_book(now, &self.depths);
        self.order_flow.on_book(now, self.has_view.then_some(&self.view), view, &self.depths, self.book_mid);
        if self.volatility.on_book(now, self.book_mid) {
            self.intensity.on_mid_change(now);
        }
        self.intensity.on_update(now);
        (self.view, self.has_view) = (*view, true);
    }

    /// A trade; one without a positive quantity is passed over.
    #[inline]
    pub fn on_trade(&mut self, now: Timestamp, price: Price, qty: Qty, aggressor: Side) {
        let now = self.clock(now);
        if qty.0 <= 0 {
            return;
        }
        let mid = if self.quotes.latest().is_some() { self.quote_mid } else { self.book_mid };
        self.spread.on_trade(now, price, aggressor, mid);
        self.trade_flow.on_trade(now, price, qty, aggressor);
        self.volume_buckets.on_trade(qty, aggressor);
        self.intensity.on_trade(now);
        if let Some(bar) = self.bars.on_trade(now, price, qty, aggressor) {
            self.volume_buckets.on_bar(&bar);
            self.bar_impact.on_bar(&bar);
            self.bar_volatility.on_bar(&bar);
        }
    }

    /// The venue's best prices (bookTicker); they come before the depth update that says the same.
    #[inline]
    pub fn on_quote(&mut self, now: Timestamp, bbo: &Bbo) {
        let now = self.clock(now);
        self.quote_mid = positive_mid(bbo);
        self.quotes.on_quote(now, bbo);
        self.intensity.on_update(now);
    }

    /// Forgets everything, for a book that went stale: what broke it may have hidden trades and quotes too.
    pub fn reset(&mut self) {
        (self.view, self.has_view) = (DepthView::default(), false);
        (self.depths, self.book_mid) = (Depths::default(), None);
        self.quotes.clear();
        self.quote_mid = None;
        self.bars.clear();
        self.spread.clear();
        self.imbalance.clear();
        self.shape.clear();
        self.order_flow.clear();
        self.trade_flow.clear();
        self.volume_buckets.clear();
        self.bar_impact.clear();
        self.volatility.clear();
        self.bar_volatility.clear();
        self.intensity.clear();
    }

    /// Writes every feature as of `now`, in the order of the [`registry`](super::registry()), and zeros behind. All are finite.
    ///
    /// `now` may be later than the last event: windows slide on. Writing changes no later value, but for events earlier than `now`
    /// which then count as at `now`.
    pub fn write(&mut self, now: Timestamp, out: &mut [f64; FEATURES_MAX]) {
        let now = self.clock(now);
        let mut row = Row { out, place: 0 };
        row.put(self.spread.values(now));
        row.put(self.quotes.values(now, &self.view.bbo(), self.book_mid));
        row.put(self.imbalance.values(now));
        row.put(self.shape.values(now, &self.view, &self.depths));
        row.put(self.order_flow.values(now));
        let trades = self.trade_flow.sums(now);
        row.put(trade_flow::values(&trades, self.book_mid));
        row.put(self.volume_buckets.values());
        row.put(self.bar_impact.values());
        row.put(self.volatility.values(now));
        row.put(self.bar_volatility.values());
        row.put(self.intensity.values(now, &trades));
        row.put(self.calendar.values(now));
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

//! All features of one instrument, kept up to date event by event.

use super::BAR_TRADES;
use super::bar_impact::BarImpact;
use super::bar_volatility::BarVolatility;
use super::calendar::Calendar;
use super::estimators::TradeSide;
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
    trade_side: TradeSide,
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
    instructions: Instructions,
}

/// The vector instructions of this machine. What is done for each book batch is compiled for each of them, all of it inlined, since
/// what is not would be compiled once, for the baseline. Each gives the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Instructions {
    /// What every machine of the target has.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    fn widest() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if has_avx512 {
                return Instructions::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Instructions::Avx2;
            }
        }
        Instructions::Baseline
    }
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
            trade_side: TradeSide::default(),
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
            instructions: Instructions::widest(),
        }
    }

    /// The book after a whole batch of changes; call it only while the book is in sync.
    #[inline]
    pub fn on_book(&mut self, now: Timestamp, view: &DepthView) {
        match self.instructions {
            Instructions::Baseline => self.take_book(now, view),
            // SAFETY: the machine has these instructions, or the engine would not have been made for them.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { self.take_book_avx2(now, view) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => unsafe { self.take_book_avx512(now, view) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn take_book_avx2(&mut self, now: Timestamp, view: &DepthView) {
        self.take_book(now, view);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn take_book_avx512(&mut self, now: Timestamp, view: &DepthView) {
        self.take_book(now, view);
    }

    #[inline(always)]
    fn take_book(&mut self, now: Timestamp, view: &DepthView) {
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

    /// A trade; one without a positive quantity is passed over. Where the venue does not say who took, the trade's sign is told from
    /// the mid it met and the prices before ([`TradeSide`]), and where that tells nothing, features of signs go without it.
    #[inline]
    pub fn on_trade(&mut self, now: Timestamp, price: Price, qty: Qty, aggressor: Option<Side>) {
        let now = self.clock(now);
        if qty.0 <= 0 {
            return;
        }
        let mid = if self.quotes.latest().is_some() { self.quote_mid } else { self.book_mid };
        let side = self.trade_side.of(price, aggressor, mid);
        self.spread.on_trade(now, price, side, mid);
        self.trade_flow.on_trade(now, price, qty, side);
        self.volume_buckets.on_trade(qty, side);
        self.intensity.on_trade(now);
        if let Some(bar) = self.bars.on_trade(now, price, qty, side) {
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
        (self.quote_mid, self.trade_side) = (None, TradeSide::default());
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
    #[inline]
    pub fn write(&mut self, now: Timestamp, out: &mut [f64; FEATURES_MAX]) {
        match self.instructions {
            Instructions::Baseline => self.write_row(now, out),
            // SAFETY: the machine has these instructions, or the engine would not have been made for them.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { self.write_avx2(now, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => unsafe { self.write_avx512(now, out) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn write_avx2(&mut self, now: Timestamp, out: &mut [f64; FEATURES_MAX]) {
        self.write_row(now, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn write_avx512(&mut self, now: Timestamp, out: &mut [f64; FEATURES_MAX]) {
        self.write_row(now, out);
    }

    #[inline(always)]
    fn write_row(&mut self, now: Timestamp, out: &mut [f64; FEATURES_MAX]) {
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
    #[inline(always)]
    fn put<const N: usize>(&mut self, values: [f64; N]) {
        if let Some(slots) = self.out.get_mut(self.place..self.place + N) {
            slots.copy_from_slice(&values);
        }
        self.place += N;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{PRICE_SCALE, QTY_SCALE};
    use crate::frame::Level;
    use proptest::prelude::*;

    proptest! {
        /// To the last bit: a digest must not depend on the machine.
        #[test]
        fn every_instruction_set_gives_the_same_row(
            steps in prop::collection::vec((1i64..40_000_000, -3i64..=3, prop::array::uniform20(0i64..900), 0u8..4), 1..120)
        ) {
            let mut widest = FeatureEngine::new(&FeatureConfig::default());
            let mut others = vec![FeatureEngine { instructions: Instructions::Baseline, ..widest.clone() }];
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                others.push(FeatureEngine { instructions: Instructions::Avx2, ..widest.clone() });
            }
            let (mut now, mut bid) = (0, 60_000i64);
            for (step, drift, quantities, kind) in steps {
                now += step;
                bid += drift;
                let level = |side: i64, place: usize, qty: i64| Level {
                    price: Price((bid + (side - 1) / 2 + side * place as i64 + 1) * PRICE_SCALE / 10),
                    qty: Qty(qty * QTY_SCALE / 1_000),
                };
                let mut view = DepthView { bid_levels: 10, ask_levels: 10, ..DepthView::default() };
                for (place, slot) in view.bids.iter_mut().enumerate() {
                    *slot = level(-1, place, quantities[place] + 1);
                }
                for (place, slot) in view.asks.iter_mut().enumerate() {
                    *slot = level(1, place, quantities[place + 10] + 1);
                }
                let rows = std::iter::once(&mut widest).chain(&mut others).map(|engine| {
                    match kind {
                        0 => engine.on_trade(Timestamp(now), view.asks[0].price, Qty(quantities[0] + 1), (quantities[1] % 3 > 0).then_some(Side::Buy)),
                        1 => engine.on_quote(Timestamp(now), &view.bbo()),
                        _ => engine.on_book(Timestamp(now), &view),
                    }
                    let mut row = [0.0; FEATURES_MAX];
                    engine.write(Timestamp(now), &mut row);
                    row.map(f64::to_bits)
                });
                let rows: Vec<_> = rows.collect();
                prop_assert!(rows.iter().all(|row| *row == rows[0]));
            }
        }
    }
}

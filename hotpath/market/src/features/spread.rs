//! Spreads: what a round trip costs, as quoted and as paid, and what of it the market took back.

use super::estimators::{PairSums, effective_spread, price_impact, realized_spread, roll_spread};
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::event::Side;
use crate::fixed::Price;
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 7] = [
    spec("spread_bps", 1, Unit::BasisPoints, None, "1e4 * (ask - bid) / mid of the book; 0 while a side is empty", HUANG_STOLL),
    spec(
        "spread_relative_60s",
        1,
        Unit::Log,
        Some(FeatureWindow::Seconds(60)),
        "ln(spread_bps / its mean over the window's book batches); 0 while a side is empty or the spread is not positive",
        "quoted spread against its recent level",
    ),
    spec(
        "effective_spread_bps",
        2,
        Unit::BasisPoints,
        Some(FeatureWindow::Trades(EWM_TRADES)),
        "x = 1e4 * 2 * sign * (price - mid) / mid a trade, sign as in trade_count_imbalance_10s (none, no x), mid of the latest \
         quote before it (of the book before the first quote); s += (x - s) / 32 from s = x at the first; 0 before a trade with a mid",
        HUANG_STOLL,
    ),
    spec(
        "realized_spread_bps",
        2,
        Unit::BasisPoints,
        Some(FeatureWindow::Batches(REALIZED_BATCHES as u32)),
        "x = 1e4 * 2 * sign * (price - later mid) / mid for the last trade before a book batch, mid as in effective_spread_bps, \
         later mid of the book at the 5th batch after the trade; s += (x - s) / 32 from s = x at the first; 0 before",
        HUANG_STOLL,
    ),
    spec(
        "price_impact_bps",
        2,
        Unit::BasisPoints,
        Some(FeatureWindow::Batches(IMPACT_BATCHES as u32)),
        "x = 1e4 * 2 * sign * (later mid - mid) / mid for the last trade before a book batch, mid as in effective_spread_bps, \
         later mid of the book at the 20th batch after the trade; s += (x - s) / 32 from s = x at the first; 0 before",
        HUANG_STOLL,
    ),
    roll_spec("roll_spread_10s_bps", 10),
    roll_spec("roll_spread_60s_bps", 60),
];

const HUANG_STOLL: &str = "Huang and Stoll 1996";

const fn roll_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    spec(
        name,
        1,
        Unit::BasisPoints,
        Some(FeatureWindow::Seconds(seconds)),
        "1e4 * 2 * sqrt(-c), c = sample covariance over the window's trades of r and the r before, r = (price - price') / price' \
         from trade to trade; 0 where c is not negative, and below two pairs",
        "Roll 1984",
    )
}

const EWM_TRADES: u32 = 32;
const REALIZED_BATCHES: usize = 5;
const IMPACT_BATCHES: usize = 20;

#[derive(Clone, Debug)]
pub(super) struct Spread {
    quoted: Option<f64>,
    /// Quoted spread and 1 for each batch.
    over_60s: SlidingSums<2>,
    effective_bps: Mean,
    realized_bps: Mean,
    impact_bps: Mean,
    /// The last trade before each of the latest batches, each at the batch's number modulo their count.
    last_trades: [Option<PricedTrade>; IMPACT_BATCHES],
    batches: usize,
    /// The last trade since the latest batch.
    last_trade: Option<PricedTrade>,
    last_price: Option<f64>,
    last_return: Option<f64>,
    /// Each return with the one before.
    roll_10s: SlidingSums<{ PairSums::COLUMNS }>,
    roll_60s: SlidingSums<{ PairSums::COLUMNS }>,
}

/// A trade, and the mid it met.
#[derive(Clone, Copy, Debug)]
struct PricedTrade {
    price: Price,
    side: Side,
    mid: f64,
}

impl Spread {
    pub(super) fn new() -> Self {
        Spread {
            quoted: None,
            over_60s: SlidingSums::new(60),
            effective_bps: Mean(None),
            realized_bps: Mean(None),
            impact_bps: Mean(None),
            last_trades: [None; IMPACT_BATCHES],
            batches: 0,
            last_trade: None,
            last_price: None,
            last_return: None,
            roll_10s: SlidingSums::new(10),
            roll_60s: SlidingSums::new(60),
        }
    }

    /// `quoted` is the spread over the mid, where there are both.
    #[inline(always)]
    pub(super) fn on_book(&mut self, now: Timestamp, mid: Option<f64>, quoted: Option<f64>) {
        self.quoted = quoted;
        if let Some(quoted) = quoted {
            self.over_60s.add(now, [quoted, 1.0]);
        }
        self.batches = (self.batches + 1) % IMPACT_BATCHES;
        self.last_trades[self.batches] = self.last_trade.take();
        // The batch that ended a trade's wait is its first.
        let before = |batches: usize| self.last_trades[(self.batches + IMPACT_BATCHES + 1 - batches) % IMPACT_BATCHES];
        let (for_impact, for_realized) = (before(IMPACT_BATCHES), before(REALIZED_BATCHES));
        let Some(later_mid) = mid else { return };
        if let Some(trade) = for_impact {
            self.impact_bps.add(1e4 * price_impact(trade.mid, later_mid, trade.side) / trade.mid);
        }
        if let Some(trade) = for_realized {
            self.realized_bps.add(1e4 * realized_spread(trade.price, later_mid, trade.side) / trade.mid);
        }
    }

    /// `mid` is that of the latest quote, or of the book before the first quote.
    #[inline]
    pub(super) fn on_trade(&mut self, now: Timestamp, price: Price, side: Option<Side>, mid: Option<f64>) {
        self.last_trade = side.zip(mid).map(|(side, mid)| PricedTrade { price, side, mid });
        if let Some(trade) = self.last_trade {
            self.effective_bps.add(1e4 * effective_spread(price, trade.mid, trade.side) / trade.mid);
        }
        let price = Some(price.to_f64()).filter(|price| *price > 0.0);
        let before = std::mem::replace(&mut self.last_price, price);
        let change = price.zip(before).map(|(price, before)| (price - before) / before);
        if let (Some(change), Some(change_before)) = (change, self.last_return) {
            let pair = PairSums::columns(change, change_before);
            self.roll_10s.add(now, pair);
            self.roll_60s.add(now, pair);
        }
        self.last_return = change;
    }

    pub(super) fn clear(&mut self) {
        self.quoted = None;
        self.over_60s.clear();
        (self.effective_bps, self.realized_bps, self.impact_bps) = (Mean(None), Mean(None), Mean(None));
        (self.last_trades, self.batches, self.last_trade) = ([None; IMPACT_BATCHES], 0, None);
        (self.last_price, self.last_return) = (None, None);
        self.roll_10s.clear();
        self.roll_60s.clear();
    }

    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let [sum, batches] = self.over_60s.sums(now);
        let quoted = self.quoted.unwrap_or(0.0);
        let relative = if quoted > 0.0 && sum > 0.0 { (quoted * batches / sum).ln() } else { 0.0 };
        let roll = |columns| 1e4 * PairSums::of_columns(columns).covariance().map_or(0.0, roll_spread);
        [
            1e4 * quoted,
            relative,
            self.effective_bps.value(),
            self.realized_bps.value(),
            self.impact_bps.value(),
            roll(self.roll_10s.sums(now)),
            roll(self.roll_60s.sums(now)),
        ]
    }
}

/// An exponentially weighted mean that starts at the first value.
#[derive(Clone, Copy, Debug)]
struct Mean(Option<f64>);

impl Mean {
    #[inline]
    fn add(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |mean| mean + (value - mean) / f64::from(EWM_TRADES)));
    }

    fn value(self) -> f64 {
        self.0.unwrap_or(0.0)
    }
}

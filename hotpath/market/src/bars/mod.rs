//! Bars: trades summed up by time, count, volume, notional, imbalance or runs (Lopez de Prado 2018, chapter 2).
//!
//! [`Bars`] takes one trade after the other in constant time and hands out each bar as it closes, from trades up to then and
//! nothing else. Indicators that follow closing prices are in [`indicators`].

pub mod indicators;

use crate::event::Side;
use crate::fixed::{PRICE_SCALE, Price, QTY_SCALE, Qty};
use crate::time::Timestamp;

/// A run of trades summed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// Time of the first trade.
    pub first: Timestamp,
    /// Time of the last trade.
    pub last: Timestamp,
    /// Price of the first trade.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Price of the last trade.
    pub close: Price,
    /// Number of trades, at least 1.
    pub trades: u64,
    /// Number of trades whose aggressor bought.
    pub buy_trades: u64,
    /// Volume.
    pub volume: Qty,
    /// Volume of the trades whose aggressor bought.
    pub buy_volume: Qty,
    /// Sum of price times quantity in units of 1e-17: both units multiplied, so that nothing is rounded.
    pub notional_units: i128,
    /// That of the trades whose aggressor bought.
    pub buy_notional_units: i128,
}

impl Bar {
    fn of(trade: &Trade) -> Bar {
        let empty = Bar {
            first: trade.time,
            last: trade.time,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            trades: 0,
            buy_trades: 0,
            volume: Qty::ZERO,
            buy_volume: Qty::ZERO,
            notional_units: 0,
            buy_notional_units: 0,
        };
        empty.with(trade)
    }

    #[inline]
    fn with(mut self, trade: &Trade) -> Bar {
        self.last = trade.time;
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.trades += 1;
        self.volume = Qty(self.volume.0.saturating_add(trade.qty.0));
        self.notional_units = self.notional_units.saturating_add(trade.notional_units());
        if trade.aggressor == Side::Buy {
            self.buy_trades += 1;
            self.buy_volume = Qty(self.buy_volume.0.saturating_add(trade.qty.0));
            self.buy_notional_units = self.buy_notional_units.saturating_add(trade.notional_units());
        }
        self
    }

    /// Price times quantity, in quote currency (contracts: price times contracts).
    pub fn notional(&self) -> f64 {
        to_notional(self.notional_units)
    }

    /// Volume-weighted mean price.
    pub fn vwap(&self) -> f64 {
        self.notional() / self.volume.to_f64()
    }

    /// Bought less sold volume.
    pub fn signed_volume(&self) -> f64 {
        self.buy_volume.to_f64() - Qty(self.volume.0 - self.buy_volume.0).to_f64()
    }

    /// Bought less sold notional, in quote currency.
    pub fn signed_notional(&self) -> f64 {
        to_notional(self.buy_notional_units) - to_notional(self.notional_units.saturating_sub(self.buy_notional_units))
    }
}

/// When a bar closes. A trade that closes a bar belongs to it whole, and nothing is carried over.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum BarRule {
    /// At the end of each interval of so many nanoseconds since the epoch; the first trade after it (or [`Bars::close_before`])
    /// hands the bar out. Intervals without trades have no bar.
    Time(i64),
    /// At so many trades.
    Trades(u64),
    /// At so much volume.
    Volume(Qty),
    /// At so much notional, in quote currency (dollar bars).
    Notional(f64),
    /// When bought less sold, either way, is at least what was to be expected of a whole bar.
    Imbalance(Measure, Expectation),
    /// When the heavier of bought and sold is at least what was to be expected of a whole bar.
    Runs(Measure, Expectation),
}

/// What imbalance and runs bars sum up of a trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// 1 a trade.
    Trades,
    /// Its quantity.
    Volume,
    /// Its price times quantity.
    Notional,
}

/// What imbalance and runs bars expect: `trades a bar * |bought - sold a trade|`, or `* max(bought, sold a trade)`, each an
/// exponentially weighted mean over the bars before, from the first one on.
///
/// The published rule feeds on itself: bars that shrink to single trades or grow without end are common. The bounds end both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// Trades of the first bar, which has nothing before it to expect from.
    pub first_trades: u64,
    /// Span of the mean of trades a bar, in bars: the newest weighs `2 / (span + 1)`.
    pub bars_span: u32,
    /// Span of the means of bought and sold a trade, in trades.
    pub trades_span: u32,
    /// A bar has at least so many trades.
    pub trades_min: u64,
    /// A bar has at most so many trades.
    pub trades_max: u64,
}

impl Default for Expectation {
    fn default() -> Self {
        Expectation { first_trades: 100, bars_span: 20, trades_span: 2_000, trades_min: 10, trades_max: 10_000 }
    }
}

/// Makes bars of one kind from one instrument's trades.
#[derive(Clone, Debug)]
pub struct Bars {
    rule: BarRule,
    open: Option<Bar>,
    expected: Expected,
}

impl Bars {
    /// Bars by `rule`, before the first trade.
    pub fn new(rule: BarRule) -> Bars {
        Bars { rule, open: None, expected: Expected::default() }
    }

    /// Takes a trade, and returns the bar that it closed. Times must not decrease; one without a positive quantity is passed over.
    #[inline]
    pub fn on_trade(&mut self, time: Timestamp, price: Price, qty: Qty, aggressor: Side) -> Option<Bar> {
        if qty.0 <= 0 {
            return None;
        }
        let trade = Trade { time, price, qty, aggressor };
        if let BarRule::Time(_) = self.rule {
            let closed = self.close_before(time);
            self.open = Some(self.open.map_or_else(|| Bar::of(&trade), |bar| bar.with(&trade)));
            return closed;
        }
        let bar = self.open.map_or_else(|| Bar::of(&trade), |bar| bar.with(&trade));
        let is_closed = match self.rule {
            BarRule::Time(_) => false,
            BarRule::Trades(trades) => bar.trades >= trades,
            BarRule::Volume(volume) => bar.volume >= volume,
            BarRule::Notional(notional) => bar.notional() >= notional,
            BarRule::Imbalance(measure, expectation) => {
                self.expected.on_trade(&trade, &bar, (measure, &expectation), |bought, sold| (bought - sold).abs())
            }
            BarRule::Runs(measure, expectation) => self.expected.on_trade(&trade, &bar, (measure, &expectation), f64::max),
        };
        self.open = (!is_closed).then_some(bar);
        is_closed.then_some(bar)
    }

    /// The time bar that ended at or before `now`, where there is one; for markets that may fall silent. `None` for other rules.
    #[inline]
    pub fn close_before(&mut self, now: Timestamp) -> Option<Bar> {
        let BarRule::Time(width_ns) = self.rule else { return None };
        let interval = |time: Timestamp| time.0.div_euclid(width_ns.max(1));
        self.open.take_if(|bar| interval(bar.first) < interval(now))
    }

    /// The bar under way.
    pub fn open(&self) -> Option<&Bar> {
        self.open.as_ref()
    }

    /// Forgets everything, expectations too.
    pub fn clear(&mut self) {
        (self.open, self.expected) = (None, Expected::default());
    }
}

#[derive(Clone, Copy)]
struct Trade {
    time: Timestamp,
    price: Price,
    qty: Qty,
    aggressor: Side,
}

impl Trade {
    #[inline]
    fn notional_units(&self) -> i128 {
        i128::from(self.price.0) * i128::from(self.qty.0)
    }
}

/// What is to be expected of a bar, from the bars before it.
#[derive(Clone, Copy, Default, Debug)]
struct Expected {
    /// Trades a bar.
    trades: Option<f64>,
    /// Bought and sold a trade, over every trade so far.
    a_trade: Option<[f64; 2]>,
    /// What closes the bar under way: fixed when it began.
    threshold: f64,
}

impl Expected {
    /// Whether the bar, this trade its last, closes: by `weigh(bought, sold)` of it against that of an expected one.
    #[inline]
    fn on_trade(
        &mut self,
        trade: &Trade,
        bar: &Bar,
        (measure, expectation): (Measure, &Expectation),
        weigh: impl Fn(f64, f64) -> f64,
    ) -> bool {
        let size = measure.of_trade(trade);
        let [to_bought, to_sold] = if trade.aggressor == Side::Buy { [size, 0.0] } else { [0.0, size] };
        let [bought, sold] = self.a_trade.map_or([to_bought, to_sold], |[bought, sold]| {
            [ewm(bought, to_bought, expectation.trades_span), ewm(sold, to_sold, expectation.trades_span)]
        });
        self.a_trade = Some([bought, sold]);
        let is_closed = match self.trades {
            None => bar.trades >= expectation.first_trades,
            Some(_) if bar.trades < expectation.trades_min => false,
            Some(_) => {
                let (bought, sold) = measure.of_bar(bar);
                bar.trades >= expectation.trades_max || weigh(bought, sold) >= self.threshold
            }
        };
        if is_closed {
            let trades = bar.trades as f64;
            let trades = self.trades.map_or(trades, |mean| ewm(mean, trades, expectation.bars_span));
            self.trades = Some(trades);
            self.threshold = trades * weigh(bought, sold);
        }
        is_closed
    }
}

impl Measure {
    #[inline]
    fn of_trade(self, trade: &Trade) -> f64 {
        match self {
            Measure::Trades => 1.0,
            Measure::Volume => trade.qty.to_f64(),
            Measure::Notional => to_notional(trade.notional_units()),
        }
    }

    /// Bought and sold.
    #[inline]
    fn of_bar(self, bar: &Bar) -> (f64, f64) {
        match self {
            Measure::Trades => (bar.buy_trades as f64, (bar.trades - bar.buy_trades) as f64),
            Measure::Volume => (bar.buy_volume.to_f64(), Qty(bar.volume.0 - bar.buy_volume.0).to_f64()),
            Measure::Notional => {
                (to_notional(bar.buy_notional_units), to_notional(bar.notional_units.saturating_sub(bar.buy_notional_units)))
            }
        }
    }
}

fn ewm(mean: f64, value: f64, span: u32) -> f64 {
    mean + (value - mean) * 2.0 / (f64::from(span) + 1.0)
}

fn to_notional(units: i128) -> f64 {
    units as f64 / (PRICE_SCALE as f64 * QTY_SCALE as f64)
}

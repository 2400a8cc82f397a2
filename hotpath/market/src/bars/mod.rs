//! Bars: trades summed up by time, count, volume, notional, imbalance or runs (Lopez de Prado 2018, chapter 2).
//!
//! [`Bars`] takes one trade after the other in constant time and hands out each bar as it closes, from trades up to then and
//! nothing else. Indicators that follow closing prices are in [`indicators`].

pub mod indicators;

use crate::event::Side;
use crate::features::estimators::TradeSide;
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
    /// Number of trades whose aggressor sold: the others, but for those of which nobody knows.
    pub sell_trades: u64,
    /// Volume.
    pub volume: Qty,
    /// Volume of the trades whose aggressor bought.
    pub buy_volume: Qty,
    /// Volume of the trades whose aggressor sold.
    pub sell_volume: Qty,
    /// Sum of price times quantity in units of 1e-17: both units multiplied, so that nothing is rounded.
    pub notional_units: i128,
    /// That of the trades whose aggressor bought.
    pub buy_notional_units: i128,
    /// That of the trades whose aggressor sold.
    pub sell_notional_units: i128,
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
            sell_trades: 0,
            volume: Qty::ZERO,
            buy_volume: Qty::ZERO,
            sell_volume: Qty::ZERO,
            notional_units: 0,
            buy_notional_units: 0,
            sell_notional_units: 0,
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
        let (trades, volume, notional_units) = match trade.side {
            Some(Side::Buy) => (&mut self.buy_trades, &mut self.buy_volume, &mut self.buy_notional_units),
            Some(Side::Sell) => (&mut self.sell_trades, &mut self.sell_volume, &mut self.sell_notional_units),
            None => return self,
        };
        *trades += 1;
        *volume = Qty(volume.0.saturating_add(trade.qty.0));
        *notional_units = notional_units.saturating_add(trade.notional_units());
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
        self.buy_volume.to_f64() - self.sell_volume.to_f64()
    }

    /// Bought less sold notional, in quote currency.
    pub fn signed_notional(&self) -> f64 {
        to_notional(self.buy_notional_units) - to_notional(self.sell_notional_units)
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
    trade_side: TradeSide,
}

impl Bars {
    /// Bars by `rule`, before the first trade.
    pub fn new(rule: BarRule) -> Bars {
        Bars { rule, open: None, expected: Expected::default(), trade_side: TradeSide::default() }
    }

    /// Takes a trade, and returns the bar that it closed. Times must not decrease; one without a positive quantity is passed over.
    /// Where nobody says who took, the tick rule does (Lopez de Prado 2018, section 2.3.2); before the first change of the price the
    /// trade counts as neither bought nor sold.
    #[inline]
    pub fn on_trade(&mut self, time: Timestamp, price: Price, qty: Qty, aggressor: Option<Side>) -> Option<Bar> {
        if qty.0 <= 0 {
            return None;
        }
        let trade = Trade { time, price, qty, side: self.trade_side.of(price, aggressor, None) };
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
            // Both rounded once from their exact values, so that equal ones are equal.
            BarRule::Notional(notional) => bar.notional_units as f64 >= notional * NOTIONAL_SCALE,
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
        (self.open, self.expected, self.trade_side) = (None, Expected::default(), TradeSide::default());
    }
}

#[derive(Clone, Copy)]
struct Trade {
    time: Timestamp,
    price: Price,
    qty: Qty,
    side: Option<Side>,
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
        let [to_bought, to_sold] = [Side::Buy, Side::Sell].map(|side| if trade.side == Some(side) { size } else { 0.0 });
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
            Measure::Trades => (bar.buy_trades as f64, bar.sell_trades as f64),
            Measure::Volume => (bar.buy_volume.to_f64(), bar.sell_volume.to_f64()),
            Measure::Notional => (to_notional(bar.buy_notional_units), to_notional(bar.sell_notional_units)),
        }
    }
}

fn ewm(mean: f64, value: f64, span: u32) -> f64 {
    mean + (value - mean) * 2.0 / (f64::from(span) + 1.0)
}

/// Units of a notional of 1.
const NOTIONAL_SCALE: f64 = PRICE_SCALE as f64 * QTY_SCALE as f64;

fn to_notional(units: i128) -> f64 {
    units as f64 / NOTIONAL_SCALE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type TradeOf = (i64, i64, i64, bool);

    /// Milliseconds, whole prices and quantities.
    fn feed(bars: &mut Bars, (at, price, qty, is_buy): TradeOf) -> Option<Bar> {
        let aggressor = if is_buy { Side::Buy } else { Side::Sell };
        bars.on_trade(Timestamp(at * 1_000_000), Price(price * PRICE_SCALE), Qty(qty * QTY_SCALE), Some(aggressor))
    }

    fn lengths(rule: BarRule, trades: &[TradeOf]) -> Vec<u64> {
        let mut bars = Bars::new(rule);
        trades.iter().filter_map(|trade| feed(&mut bars, *trade)).map(|bar| bar.trades).collect()
    }

    #[test]
    fn a_bar_holds_its_trades_whole() {
        let mut bars = Bars::new(BarRule::Trades(3));
        assert_eq!([feed(&mut bars, (1, 10, 2, true)), feed(&mut bars, (2, 13, 1, false))], [None, None]);
        assert_eq!(feed(&mut bars, (2, 13, 0, false)), None);
        let bar = feed(&mut bars, (5, 9, 3, true)).unwrap();
        let prices = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_f64());
        assert_eq!(prices, [10.0, 13.0, 9.0, 9.0]);
        assert_eq!((bar.first, bar.last), (Timestamp(1_000_000), Timestamp(5_000_000)));
        assert_eq!((bar.trades, bar.buy_trades, bar.volume.to_f64(), bar.buy_volume.to_f64()), (3, 2, 6.0, 5.0));
        assert_eq!((bar.notional(), bar.vwap(), bar.signed_volume(), bar.signed_notional()), (60.0, 10.0, 4.0, 34.0));
        assert_eq!(bars.open(), None);
    }

    #[test]
    fn a_trade_without_a_side_has_that_of_the_tick_rule_and_none_before_a_change() {
        let mut bars = Bars::new(BarRule::Trades(6));
        let unknown = [(10, 1), (10, 2), (11, 4), (11, 8), (9, 16)];
        let mut put = |(price, qty): (i64, i64), aggressor| {
            bars.on_trade(Timestamp(0), Price(price * PRICE_SCALE), Qty(qty * QTY_SCALE), aggressor)
        };
        unknown.into_iter().for_each(|trade| assert_eq!(put(trade, None), None));
        let bar = put((8, 32), Some(Side::Buy)).unwrap();
        assert_eq!((bar.trades, bar.buy_trades, bar.sell_trades), (6, 3, 1));
        assert_eq!([bar.volume, bar.buy_volume, bar.sell_volume].map(Qty::to_f64), [63.0, 44.0, 16.0]);
        assert_eq!((bar.signed_volume(), bar.signed_notional()), (28.0, 44.0 + 88.0 + 256.0 - 144.0));
    }

    #[test]
    fn time_bars_end_with_their_interval_and_silence_has_none() {
        let mut bars = Bars::new(BarRule::Time(10_000_000));
        assert_eq!([feed(&mut bars, (3, 10, 1, true)), feed(&mut bars, (9, 11, 1, true))], [None, None]);
        // The first trade at the edge is the next bar's.
        assert_eq!(feed(&mut bars, (10, 12, 1, true)).map(|bar| (bar.trades, bar.close.to_f64())), Some((2, 11.0)));
        assert_eq!(bars.close_before(Timestamp(19_999_999)), None);
        assert_eq!(bars.close_before(Timestamp(20_000_000)).map(|bar| bar.trades), Some(1));
        assert_eq!((bars.close_before(Timestamp(50_000_000)), feed(&mut bars, (55, 12, 1, true))), (None, None));
        assert_eq!(feed(&mut bars, (-1, 12, 1, true)), None, "times that go back close nothing");
    }

    #[test]
    fn a_trade_beyond_the_threshold_closes_one_bar() {
        let trades = [(1, 10, 4, true), (2, 10, 9, true), (3, 10, 1, true), (4, 10, 4, true), (5, 20, 5, true)];
        assert_eq!(lengths(BarRule::Volume(Qty(5 * QTY_SCALE)), &trades), [2, 2, 1]);
        assert_eq!(lengths(BarRule::Notional(100.0), &trades), [2, 3]);
    }

    #[test]
    fn imbalance_bars_by_hand() {
        let expectation = Expectation { first_trades: 4, bars_span: 1, trades_span: 1, trades_min: 1, trades_max: 6 };
        let side = |is_buy: bool| (0, 10, 1, is_buy);
        // The first bar has 4 trades, the last of them a buy: with spans of 1 that alone is expected, so 4 * 1 closes the next.
        let first = [true, false, false, true].map(side);
        let rule = BarRule::Imbalance(Measure::Trades, expectation);
        assert_eq!(lengths(rule, &[&first[..], &[true, true, true, true].map(side)[..]].concat()), [4, 4]);
        assert_eq!(lengths(rule, &[&first[..], &[false; 4].map(side)[..]].concat()), [4, 4]);
        // Balanced trades never get there; the bound ends the bar.
        assert_eq!(lengths(rule, &[&first[..], &[true, false, true, false, true, false].map(side)[..]].concat()), [4, 6]);
        // Runs: 4 of one side, whatever the other does.
        let rule = BarRule::Runs(Measure::Trades, expectation);
        assert_eq!(lengths(rule, &[&first[..], &[true, false, true, true, true].map(side)[..]].concat()), [4, 5]);
    }

    fn trades() -> impl Strategy<Value = Vec<TradeOf>> {
        prop::collection::vec((0i64..40, 1i64..100, 1i64..30, any::<bool>()), 1..300).prop_map(|steps| {
            let mut at = -500;
            let mut place = |(step, price, qty, is_buy)| {
                at += step;
                (at, price, qty, is_buy)
            };
            steps.into_iter().map(&mut place).collect()
        })
    }

    fn measure() -> impl Strategy<Value = Measure> {
        prop_oneof![Just(Measure::Trades), Just(Measure::Volume), Just(Measure::Notional)]
    }

    /// Ends of bars, each found by looking at all trades of the bar so far.
    fn ends(trades: &[TradeOf], mut is_closed: impl FnMut(usize, &[TradeOf]) -> bool) -> Vec<usize> {
        let (mut ends, mut first) = (Vec::new(), 0);
        for end in 1..=trades.len() {
            if is_closed(end, &trades[first..end]) {
                ends.push(end);
                first = end;
            }
        }
        ends
    }

    fn assert_equal(rule: BarRule, trades: &[TradeOf], ends: &[usize]) -> Result<(), TestCaseError> {
        let mut bars = Bars::new(rule);
        let made: Vec<Bar> = trades.iter().filter_map(|trade| feed(&mut bars, *trade)).collect();
        prop_assert_eq!(made.len(), ends.len());
        let mut first = 0;
        for (bar, end) in made.iter().zip(ends) {
            let inside = &trades[first..*end];
            let sum = |of: fn(&TradeOf) -> i64| inside.iter().map(of).sum::<i64>();
            let prices = inside.iter().map(|trade| trade.1);
            prop_assert_eq!((bar.open.0, bar.close.0), (inside[0].1 * PRICE_SCALE, inside[inside.len() - 1].1 * PRICE_SCALE));
            prop_assert_eq!(bar.high.0, prices.clone().max().unwrap() * PRICE_SCALE);
            prop_assert_eq!(bar.low.0, prices.min().unwrap() * PRICE_SCALE);
            prop_assert_eq!((bar.trades, bar.buy_trades as i64), (inside.len() as u64, sum(|trade| i64::from(trade.3))));
            prop_assert_eq!(bar.sell_trades, bar.trades - bar.buy_trades);
            prop_assert_eq!(bar.volume.0, QTY_SCALE * sum(|trade| trade.2));
            prop_assert_eq!(bar.sell_volume.0, bar.volume.0 - bar.buy_volume.0);
            prop_assert_eq!(bar.sell_notional_units, bar.notional_units - bar.buy_notional_units);
            prop_assert_eq!(bar.buy_volume.0, QTY_SCALE * sum(|trade| if trade.3 { trade.2 } else { 0 }));
            let notional = i128::from(sum(|trade| trade.1 * trade.2));
            prop_assert_eq!(bar.notional_units, notional * i128::from(PRICE_SCALE) * i128::from(QTY_SCALE));
            prop_assert_eq!((bar.first.0, bar.last.0), (inside[0].0 * 1_000_000, inside[inside.len() - 1].0 * 1_000_000));
            first = *end;
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn standard_bars_equal_a_naive_model(trades in trades(), threshold in 1i64..3_000) {
            let sum = |bar: &[TradeOf], of: fn(&TradeOf) -> i64| bar.iter().map(of).sum::<i64>();
            assert_equal(BarRule::Trades(threshold as u64), &trades, &ends(&trades, |_, bar| bar.len() as i64 >= threshold))?;
            let volume = ends(&trades, |_, bar| sum(bar, |trade| trade.2) >= threshold);
            assert_equal(BarRule::Volume(Qty(threshold * QTY_SCALE)), &trades, &volume)?;
            let notional = ends(&trades, |_, bar| sum(bar, |trade| trade.1 * trade.2) >= threshold);
            assert_equal(BarRule::Notional(threshold as f64), &trades, &notional)?;
            // A time bar's end is known by the trade after it.
            let interval = |place: usize| trades[place].0.div_euclid(threshold);
            let time: Vec<usize> = (1..trades.len()).filter(|place| interval(*place) > interval(*place - 1)).collect();
            assert_equal(BarRule::Time(threshold * 1_000_000), &trades, &time)?;
        }

        #[test]
        fn imbalance_and_runs_bars_equal_a_naive_model(
            trades in trades(),
            measure in measure(),
            is_runs in any::<bool>(),
            (first_trades, bars_span, trades_span) in (1u64..20, 1u32..6, 1u32..40),
            (trades_min, trades_more) in (1u64..5, 0u64..40),
        ) {
            let trades_max = trades_min + trades_more;
            let expectation = Expectation { first_trades, bars_span, trades_span, trades_min, trades_max };
            let sizes = |bar: &[TradeOf], is_buy: bool| -> Vec<f64> {
                let size = |trade: &TradeOf| match measure {
                    Measure::Trades => 1.0,
                    Measure::Volume => trade.2 as f64,
                    Measure::Notional => (trade.1 * trade.2) as f64,
                };
                bar.iter().map(|trade| if trade.3 == is_buy { size(trade) } else { 0.0 }).collect()
            };
            let weigh = |bought: f64, sold: f64| if is_runs { bought.max(sold) } else { (bought - sold).abs() };
            let weighted = |values: &[f64], span: u32| {
                values[1..].iter().fold(values[0], |mean, value| mean + (value - mean) * 2.0 / (f64::from(span) + 1.0))
            };
            let mut lengths: Vec<f64> = Vec::new();
            let ends = ends(&trades, |end, bar| {
                let is_closed = if lengths.is_empty() {
                    bar.len() as u64 >= first_trades
                } else {
                    // Expected of the trades before the bar, and of the bars before it.
                    let before = &trades[..end - bar.len()];
                    let a_trade = weigh(weighted(&sizes(before, true), trades_span), weighted(&sizes(before, false), trades_span));
                    let threshold = weighted(&lengths, bars_span) * a_trade;
                    let weight = weigh(sizes(bar, true).iter().sum(), sizes(bar, false).iter().sum());
                    let length = bar.len() as u64;
                    length >= trades_min && (length >= trades_max || weight >= threshold)
                };
                if is_closed {
                    lengths.push(bar.len() as f64);
                }
                is_closed
            });
            let rule = if is_runs { BarRule::Runs(measure, expectation) } else { BarRule::Imbalance(measure, expectation) };
            assert_equal(rule, &trades, &ends)?;
        }
    }
}

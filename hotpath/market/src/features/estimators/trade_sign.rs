//! Which side a trade was on, told from prices.

use crate::event::Side;
use crate::fixed::Price;

/// The tick rule: a trade above the one before is a buy, below it a sell, at the same price what the one before was.
#[derive(Clone, Copy, Default, Debug)]
pub struct TickRule {
    last: Option<Price>,
    sign: i8,
}

impl TickRule {
    /// Takes a trade's price; 1 for a buy, -1 for a sell, 0 before the first change.
    #[inline]
    pub fn sign(&mut self, price: Price) -> i8 {
        if let Some(last) = self.last.replace(price)
            && last != price
        {
            self.sign = if price > last { 1 } else { -1 };
        }
        self.sign
    }
}

/// Lee and Ready 1991: a trade above the mid is a buy, below it a sell, at the mid what the tick rule says.
#[inline]
pub fn lee_ready(price: Price, mid: f64, tick_sign: i8) -> i8 {
    let price = price.to_f64();
    if price > mid {
        1
    } else if price < mid {
        -1
    } else {
        tick_sign
    }
}

/// The side that took, of each trade: as the venue says, and where it does not, by Lee and Ready's rule.
#[derive(Clone, Copy, Default, Debug)]
pub struct TradeSide {
    tick_rule: TickRule,
}

impl TradeSide {
    /// Takes a trade and the mid it met, where there is one: without one, and at it, the tick rule decides. `None` where nobody can
    /// tell: before the first change of the price.
    #[inline]
    pub fn of(&mut self, price: Price, aggressor: Option<Side>, mid: Option<f64>) -> Option<Side> {
        let tick_sign = self.tick_rule.sign(price);
        aggressor.or_else(|| match mid.map_or(tick_sign, |mid| lee_ready(price, mid, tick_sign)) {
            0 => None,
            sign => Some(if sign > 0 { Side::Buy } else { Side::Sell }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::PRICE_SCALE;

    #[test]
    fn an_unknown_side_is_told_from_the_mid_then_from_the_price_before_and_else_stays_unknown() {
        use Side::{Buy, Sell};
        let mut sides = TradeSide::default();
        let mut of = |price: i64, aggressor, mid| sides.of(Price(price * PRICE_SCALE), aggressor, mid);
        assert_eq!(of(100, None, None), None);
        assert_eq!(of(100, None, Some(100.0)), None);
        assert_eq!(of(100, None, Some(100.5)), Some(Sell));
        assert_eq!(of(101, None, Some(100.5)), Some(Buy));
        // At the mid by the tick rule, from the last change on.
        assert_eq!(of(101, None, Some(101.0)), Some(Buy));
        assert_eq!(of(99, None, None), Some(Sell));
        assert_eq!(of(99, None, Some(99.0)), Some(Sell));
        // What the venue says counts, and its price too.
        assert_eq!(of(98, Some(Buy), Some(99.0)), Some(Buy));
        assert_eq!(of(99, None, None), Some(Buy));
    }
}

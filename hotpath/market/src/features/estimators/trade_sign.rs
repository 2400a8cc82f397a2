//! Which side a trade was on, told from prices.

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

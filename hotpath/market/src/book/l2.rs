//! A level book: total quantity by price, both sides sorted.

use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, Level};

/// The largest number of levels held on one side.
pub const LEVELS_MAX: usize = 65_536;

/// Levels a side that features and the decision tick look at.
pub const TOP_LEVELS: usize = 10;

/// A side has [`LEVELS_MAX`] levels already; the change was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookFull;

/// A level book. Each side is one sorted array with its best level at the end, so that changes near the best, which are most,
/// move few elements. All memory is taken when it is made.
#[derive(Clone, Debug)]
pub struct L2Book {
    /// Ascending: the best bid is last.
    bids: Vec<Level>,
    /// Descending: the best ask is last.
    asks: Vec<Level>,
}

impl Default for L2Book {
    fn default() -> Self {
        Self::new()
    }
}

impl L2Book {
    /// An empty book.
    pub fn new() -> L2Book {
        L2Book { bids: Vec::with_capacity(LEVELS_MAX), asks: Vec::with_capacity(LEVELS_MAX) }
    }

    /// Sets a level's total quantity; 0 removes it, and removing what is not there is normal.
    ///
    /// Returns how many levels are better than this one (0 at the best), or `None` where nothing changed.
    ///
    /// # Errors
    /// [`BookFull`] where a new level finds no room.
    #[inline]
    pub fn set(&mut self, side: Side, price: Price, qty: Qty) -> Result<Option<usize>, BookFull> {
        let levels = match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let place = match side {
            Side::Buy => search(levels, |level| level.price < price),
            Side::Sell => search(levels, |level| level.price > price),
        };
        let better = levels.len().saturating_sub(place + 1);
        let is_full = levels.len() == LEVELS_MAX;
        match levels.get_mut(place) {
            Some(level) if level.price == price => {
                if level.qty == qty {
                    return Ok(None);
                }
                if qty.0 == 0 {
                    levels.remove(place);
                } else {
                    level.qty = qty;
                }
                Ok(Some(better))
            }
            _ if qty.0 == 0 => Ok(None),
            _ if is_full => Err(BookFull),
            _ => {
                levels.insert(place, Level { price, qty });
                Ok(Some(levels.len() - 1 - place))
            }
        }
    }

    /// Empties both sides and keeps their memory.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Best bid and ask; a side without levels is zero.
    #[inline]
    pub fn bbo(&self) -> Bbo {
        Bbo { bid: self.bids.last().copied().unwrap_or_default(), ask: self.asks.last().copied().unwrap_or_default() }
    }

    /// Quantity at a price; 0 where there is no such level.
    #[inline]
    pub fn qty_at(&self, side: Side, price: Price) -> Qty {
        let levels = match side {
            Side::Buy => self.bids.binary_search_by(|level| level.price.cmp(&price)).map(|place| self.bids[place]),
            Side::Sell => self.asks.binary_search_by(|level| price.cmp(&level.price)).map(|place| self.asks[place]),
        };
        levels.map(|level| level.qty).unwrap_or_default()
    }

    /// The levels of a side, best first.
    #[inline]
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> + '_ {
        match side {
            Side::Buy => self.bids.iter().rev().copied(),
            Side::Sell => self.asks.iter().rev().copied(),
        }
    }

    /// Number of levels of a side.
    #[inline]
    pub fn depth(&self, side: Side) -> usize {
        match side {
            Side::Buy => self.bids.len(),
            Side::Sell => self.asks.len(),
        }
    }

    /// Copies the best [`TOP_LEVELS`] of both sides.
    #[inline]
    pub fn view(&self, view: &mut DepthView) {
        view.bid_levels = copy_best(&self.bids, &mut view.bids);
        view.ask_levels = copy_best(&self.asks, &mut view.asks);
    }
}

/// The best levels of a book, best first: the one view that features read, whatever the book behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DepthView {
    /// Bids, best first; places beyond `bid_levels` are zero.
    pub bids: [Level; TOP_LEVELS],
    /// Asks, best first; places beyond `ask_levels` are zero.
    pub asks: [Level; TOP_LEVELS],
    /// Bid levels present.
    pub bid_levels: usize,
    /// Ask levels present.
    pub ask_levels: usize,
}

impl DepthView {
    /// Best bid and ask.
    #[inline]
    pub fn bbo(&self) -> Bbo {
        Bbo { bid: self.bids[0], ask: self.asks[0] }
    }
}

fn copy_best(levels: &[Level], best: &mut [Level; TOP_LEVELS]) -> usize {
    let count = levels.len().min(TOP_LEVELS);
    for (place, slot) in best.iter_mut().enumerate() {
        *slot = if place < count { levels[levels.len() - 1 - place] } else { Level::default() };
    }
    count
}

/// First place for which `is_before` is false. Looks near the end first, where most changes are.
#[inline]
fn search(levels: &[Level], is_before: impl Fn(&Level) -> bool) -> usize {
    let mut high = levels.len();
    let mut step = 8;
    // Gallop from the best outwards, then halve within the last stride.
    let mut low = loop {
        if high < step {
            break 0;
        }
        let probe = high - step;
        if is_before(&levels[probe]) {
            break probe + 1;
        }
        high = probe;
        step *= 2;
    };
    while low < high {
        let middle = (low + high) / 2;
        if is_before(&levels[middle]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equals_two_sorted_maps(changes in prop::collection::vec((any::<bool>(), 1i64..60, 0i64..4), 1..400)) {
            let mut book = L2Book::new();
            let mut naive: [BTreeMap<i64, i64>; 2] = Default::default();
            for (is_bid, price, qty) in changes {
                let side = if is_bid { Side::Buy } else { Side::Sell };
                let map = &mut naive[side as usize];
                let before = map.get(&price).copied().unwrap_or(0);
                if qty == 0 { map.remove(&price); } else { map.insert(price, qty); }
                let better = if is_bid { map.range(price + 1..).count() } else { map.range(..price).count() };
                let changed = book.set(side, Price(price), Qty(qty)).unwrap();
                prop_assert_eq!(changed, (before != qty).then_some(better));
                prop_assert_eq!(book.qty_at(side, Price(price)), Qty(qty));
                let level = |(&price, &qty): (&i64, &i64)| Level { price: Price(price), qty: Qty(qty) };
                let bids: Vec<Level> = naive[0].iter().rev().map(level).collect();
                let asks: Vec<Level> = naive[1].iter().map(level).collect();
                prop_assert_eq!(book.levels(Side::Buy).collect::<Vec<_>>(), bids.clone());
                prop_assert_eq!(book.levels(Side::Sell).collect::<Vec<_>>(), asks.clone());
                let mut view = DepthView::default();
                book.view(&mut view);
                prop_assert_eq!(&view.bids[..view.bid_levels], &bids[..bids.len().min(TOP_LEVELS)]);
                prop_assert_eq!(&view.asks[..view.ask_levels], &asks[..asks.len().min(TOP_LEVELS)]);
                prop_assert_eq!(view.bbo(), book.bbo());
            }
        }
    }

    #[test]
    fn a_full_side_refuses_new_levels_and_still_changes_old_ones() {
        let mut book = L2Book::new();
        for price in 1..=LEVELS_MAX as i64 {
            book.set(Side::Buy, Price(price), Qty(1)).unwrap();
        }
        assert_eq!(book.set(Side::Buy, Price(LEVELS_MAX as i64 + 1), Qty(1)), Err(BookFull));
        assert_eq!(book.set(Side::Buy, Price(1), Qty(2)), Ok(Some(LEVELS_MAX - 1)));
        assert_eq!(book.set(Side::Sell, Price(1), Qty(2)), Ok(Some(0)));
    }
}

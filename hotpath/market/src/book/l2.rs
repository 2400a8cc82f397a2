//! A level book: total quantity by price, both sides sorted.
//!
//! A side is a ladder around its best level, with sorted blocks for the levels beyond.

use super::ladder::Ladder;
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, Level};
use std::hint::black_box;

/// The largest number of levels held on one side.
pub const LEVELS_MAX: usize = 65_536;

/// Levels a side that features and the decision tick look at.
pub const TOP_LEVELS: usize = 10;

/// A side has [`LEVELS_MAX`] levels already; the change was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookFull;

/// A level book. Room for its memory is reserved when it is made.
#[derive(Clone, Debug)]
pub struct L2Book {
    /// Keys are prices: the larger, the better.
    bids: Ladder,
    /// Keys are negated prices: the larger, the better.
    asks: Ladder,
}

impl Default for L2Book {
    fn default() -> Self {
        Self::new()
    }
}

impl L2Book {
    /// An empty book.
    pub fn new() -> L2Book {
        L2Book { bids: Ladder::new(), asks: Ladder::new() }
    }

    /// Sets a level's total quantity; 0 removes it, and removing what is not there is normal.
    ///
    /// Returns whether that changed anything.
    ///
    /// # Errors
    /// [`BookFull`] where a new level finds no room.
    #[inline]
    pub fn set(&mut self, side: Side, price: Price, qty: Qty) -> Result<bool, BookFull> {
        match side {
            Side::Buy => self.bids.set(price.0, qty.0),
            Side::Sell => self.asks.set(-price.0, qty.0),
        }
    }

    /// How many levels of a side are better than a price: told exactly below [`TOP_LEVELS`], as at least that from there on.
    #[inline]
    pub fn better_levels(&self, side: Side, price: Price) -> usize {
        match side {
            Side::Buy => self.bids.better(price.0),
            Side::Sell => self.asks.better(-price.0),
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
        let level = |sign: i64, (key, qty): (i64, i64)| Level { price: Price(sign * key), qty: Qty(qty) };
        Bbo { bid: level(1, self.bids.best()), ask: level(-1, self.asks.best()) }
    }

    /// Quantity at a price; 0 where there is no such level.
    #[inline]
    pub fn qty_at(&self, side: Side, price: Price) -> Qty {
        match side {
            Side::Buy => Qty(self.bids.get(price.0)),
            Side::Sell => Qty(self.asks.get(-price.0)),
        }
    }

    /// The levels of a side, best first.
    #[inline]
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        let (levels, sign) = match side {
            Side::Buy => (&self.bids, 1),
            Side::Sell => (&self.asks, -1),
        };
        levels.iter().map(move |(key, qty)| Level { price: Price(sign * key), qty: Qty(qty) })
    }

    /// Reads a part of the levels, so that they stay in the core's cache: for a thread that waits. Each `turn` takes another part; some
    /// seventy of them go once round.
    pub fn keep_near(&self, turn: usize) {
        let side = if turn.is_multiple_of(2) { &self.bids } else { &self.asks };
        black_box(side.touch(turn / 2));
    }

    /// Number of levels of a side.
    #[inline]
    pub fn depth(&self, side: Side) -> usize {
        match side {
            Side::Buy => self.bids.count(),
            Side::Sell => self.asks.count(),
        }
    }

    /// Copies the best [`TOP_LEVELS`] of both sides.
    #[inline]
    pub fn view(&self, view: &mut DepthView) {
        view.bid_levels = copy_best(self.levels(Side::Buy), &mut view.bids);
        view.ask_levels = copy_best(self.levels(Side::Sell), &mut view.asks);
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

#[inline]
fn copy_best(mut levels: impl Iterator<Item = Level>, best: &mut [Level; TOP_LEVELS]) -> usize {
    let mut count = 0;
    for slot in best {
        let level = levels.next();
        count += usize::from(level.is_some());
        *slot = level.unwrap_or_default();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equals_two_sorted_maps(changes in prop::collection::vec((any::<bool>(), 1i64..400, 0i64..4), 1..1_500)) {
            let mut book = L2Book::new();
            let mut naive: [BTreeMap<i64, i64>; 2] = Default::default();
            for (is_bid, price, qty) in changes {
                let side = if is_bid { Side::Buy } else { Side::Sell };
                let map = &mut naive[side as usize];
                let before = map.get(&price).copied().unwrap_or(0);
                if qty == 0 { map.remove(&price); } else { map.insert(price, qty); }
                let better = if is_bid { map.range(price + 1..).count() } else { map.range(..price).count() };
                let changed = book.set(side, Price(price), Qty(qty)).unwrap();
                prop_assert_eq!(changed, before != qty);
                prop_assert_eq!(book.better_levels(side, Price(price)).min(TOP_LEVELS), better.min(TOP_LEVELS));
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

    /// A price near a best one that wanders, far from it, off its ticks, or at an end of what there is.
    fn price() -> impl Strategy<Value = i64> {
        let centre = prop::sample::select(vec![500_000, 530_000, 540_000, 700_000, 9_000_000i64]);
        let near = (centre, -300i64..300).prop_map(|(centre, off)| (centre + off) * 1_000_000);
        let far = (1i64..9_000_000_000).prop_map(|price| price * 1_000_000);
        let off_tick = (530_000_000i64..540_000_000).prop_map(|price| price * 1_000 + 7);
        let end = prop::sample::select(vec![1, 2, i64::MAX, i64::MAX - 1, -1, -5_000_000, 0, -i64::MAX]);
        prop_oneof![40 => near.clone(), 10 => far, 1 => off_tick, 1 => end, 10 => near]
    }

    proptest! {
        #[test]
        fn equals_two_sorted_maps_wherever_prices_are(
            changes in prop::collection::vec((any::<bool>(), price(), prop::sample::select(vec![0, 0, 1, 2])), 1..300), repeat in 0usize..8
        ) {
            let mut book = L2Book::new();
            let mut naive: [BTreeMap<i64, i64>; 2] = Default::default();
            for (step, (is_bid, price, qty)) in changes.into_iter().enumerate() {
                let side = if is_bid { Side::Buy } else { Side::Sell };
                let map = &mut naive[side as usize];
                // Often the best one goes, or one that is there.
                let price = match (qty, step % 8 > repeat) {
                    (0, true) if is_bid => map.last_key_value().map_or(price, |(best, _)| *best),
                    (0, true) => map.first_key_value().map_or(price, |(best, _)| *best),
                    _ => price,
                };
                let before = map.get(&price).copied().unwrap_or(0);
                if qty == 0 { map.remove(&price); } else { map.insert(price, qty); }
                let better = if is_bid { map.range(price..).filter(|(held, _)| **held != price).count() } else { map.range(..price).count() };
                prop_assert_eq!(book.set(side, Price(price), Qty(qty)), Ok(before != qty));
                prop_assert_eq!(book.better_levels(side, Price(price)), better.min(TOP_LEVELS));
                prop_assert_eq!(book.qty_at(side, Price(price)), Qty(qty));
                prop_assert_eq!(book.depth(side), map.len());
                let level = |(&price, &qty): (&i64, &i64)| Level { price: Price(price), qty: Qty(qty) };
                prop_assert!(book.levels(Side::Buy).eq(naive[0].iter().rev().map(level)));
                prop_assert!(book.levels(Side::Sell).eq(naive[1].iter().map(level)));
                let best = |(price, qty): (&i64, &i64)| Level { price: Price(*price), qty: Qty(*qty) };
                prop_assert_eq!(book.bbo().bid, naive[0].last_key_value().map(best).unwrap_or_default());
                prop_assert_eq!(book.bbo().ask, naive[1].first_key_value().map(best).unwrap_or_default());
                if step % 97 == 96 {
                    book.clear();
                    naive = Default::default();
                }
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
        assert!(book.set(Side::Buy, Price(1), Qty(2)) == Ok(true));
        assert_eq!(book.set(Side::Sell, Price(1), Qty(2)), Ok(true));
    }
}

//! A level book: total quantity by price, both sides sorted.
//!
//! A side is a list of blocks of up to 64 levels, sorted within and among each other, the best level last. A change moves at most
//! one block's levels: with one array for a side, updates far from the best, which real feeds are full of, moved most of it
//! (45 % of all instructions of a replay).

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

/// A level book. Room for its memory is reserved when it is made.
#[derive(Clone, Debug)]
pub struct L2Book {
    /// Keys are prices: the larger, the better.
    bids: Levels,
    /// Keys are negated prices: the larger, the better.
    asks: Levels,
}

impl Default for L2Book {
    fn default() -> Self {
        Self::new()
    }
}

impl L2Book {
    /// An empty book.
    pub fn new() -> L2Book {
        L2Book { bids: Levels::new(), asks: Levels::new() }
    }

    /// Sets a level's total quantity; 0 removes it, and removing what is not there is normal.
    ///
    /// Returns how many levels are better than this one (0 at the best), told exactly below [`TOP_LEVELS`] and as at least that
    /// from there on; `None` where nothing changed.
    ///
    /// # Errors
    /// [`BookFull`] where a new level finds no room.
    #[inline]
    pub fn set(&mut self, side: Side, price: Price, qty: Qty) -> Result<Option<usize>, BookFull> {
        match side {
            Side::Buy => self.bids.set(price.0, qty.0),
            Side::Sell => self.asks.set(-price.0, qty.0),
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

    /// Number of levels of a side.
    #[inline]
    pub fn depth(&self, side: Side) -> usize {
        match side {
            Side::Buy => self.bids.count,
            Side::Sell => self.asks.count,
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

/// Levels in one block.
const BLOCK: usize = 64;
/// Blocks a side: room for all its levels with blocks a quarter full on average, which merging keeps them above.
const BLOCKS_MAX: usize = 4 * LEVELS_MAX / BLOCK;

/// One side, ascending by key.
#[derive(Clone, Debug)]
struct Levels {
    /// For each block in order, a bound: no key in it is smaller, every key before it is. The first one's is the smallest number.
    bounds: Vec<i64>,
    /// For each block in order, its place in `pool`.
    order: Vec<u32>,
    pool: Vec<Block>,
    /// Places in `pool` that are not in use.
    spare: Vec<u32>,
    count: usize,
    /// The block changed last: a message's changes come sorted, so the next one is often there too.
    latest: usize,
}

#[derive(Clone, Debug)]
struct Block {
    keys: [i64; BLOCK],
    qtys: [i64; BLOCK],
    len: usize,
}

impl Levels {
    fn new() -> Levels {
        let mut levels = Levels {
            bounds: Vec::with_capacity(BLOCKS_MAX),
            order: Vec::with_capacity(BLOCKS_MAX),
            pool: Vec::with_capacity(BLOCKS_MAX),
            spare: Vec::with_capacity(BLOCKS_MAX),
            count: 0,
            latest: 0,
        };
        levels.pool.push(Block::EMPTY);
        levels.clear();
        levels
    }

    fn clear(&mut self) {
        self.bounds.clear();
        self.order.clear();
        self.spare.clear();
        self.spare.extend((1..self.pool.len() as u32).rev());
        self.bounds.push(i64::MIN);
        self.order.push(0);
        self.pool[0].len = 0;
        self.count = 0;
    }

    #[inline]
    fn set(&mut self, key: i64, qty: i64) -> Result<Option<usize>, BookFull> {
        let at = if self.holds(self.latest, key) { self.latest } else { self.block_of(key) };
        self.latest = at;
        let block = &mut self.pool[self.order[at] as usize];
        let place = block.search(key);
        let is_there = place < block.len && block.keys[place] == key;
        if is_there && block.qtys[place] == qty || !is_there && qty == 0 {
            return Ok(None);
        }
        if is_there {
            let better = block.len - 1 - place;
            if qty != 0 {
                block.qtys[place] = qty;
                return Ok(Some(self.better(at, better)));
            }
            block.remove(place);
            self.count -= 1;
            let better = self.better(at, better);
            self.tidy(at);
            return Ok(Some(better));
        }
        if self.count == LEVELS_MAX {
            return Err(BookFull);
        }
        if block.len == BLOCK {
            self.split(at)?;
            return self.set(key, qty);
        }
        block.insert(place, key, qty);
        let better = block.len - 1 - place;
        self.count += 1;
        Ok(Some(self.better(at, better)))
    }

    #[inline]
    fn get(&self, key: i64) -> i64 {
        let block = &self.pool[self.order[self.block_of(key)] as usize];
        let place = block.search(key);
        if place < block.len && block.keys[place] == key { block.qtys[place] } else { 0 }
    }

    /// Best key and its quantity, zeros where there is none.
    #[inline]
    fn best(&self) -> (i64, i64) {
        let blocks = self.order.iter().rev().map(|&place| &self.pool[place as usize]);
        blocks
            .filter_map(|block| Some((block.keys[block.len.checked_sub(1)?], block.qtys[block.len - 1])))
            .next()
            .unwrap_or_default()
    }

    /// Keys and quantities, best first.
    #[inline]
    fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let blocks = self.order.iter().rev().map(|&place| &self.pool[place as usize]);
        blocks.flat_map(|block| (0..block.len).rev().map(|place| (block.keys[place], block.qtys[place])))
    }

    /// Whether a key belongs to a block.
    #[inline]
    fn holds(&self, at: usize, key: i64) -> bool {
        self.bounds.get(at).is_some_and(|bound| *bound <= key) && self.bounds.get(at + 1).is_none_or(|next| key < *next)
    }

    /// The block a key belongs to. Looks at the best ones first, where most changes are.
    #[inline]
    fn block_of(&self, key: i64) -> usize {
        let last = self.bounds.len() - 1;
        if self.bounds[last] <= key {
            return last;
        }
        self.bounds.partition_point(|bound| *bound <= key) - 1
    }

    /// Better levels than one that has `in_block` better ones in its own block; exact below [`TOP_LEVELS`].
    #[inline]
    fn better(&self, at: usize, in_block: usize) -> usize {
        let mut better = in_block;
        for &place in self.order[at + 1..].iter().rev() {
            if better >= TOP_LEVELS {
                break;
            }
            better += self.pool[place as usize].len;
        }
        better
    }

    /// Moves the better half of a full block to a new one behind it.
    #[cold]
    fn split(&mut self, at: usize) -> Result<(), BookFull> {
        let place = match self.spare.pop() {
            Some(place) => place,
            None if self.pool.len() == BLOCKS_MAX => return Err(BookFull),
            None => {
                self.pool.push(Block::EMPTY);
                self.pool.len() as u32 - 1
            }
        };
        let mut upper = Block::EMPTY;
        let lower = &mut self.pool[self.order[at] as usize];
        upper.append(&lower.keys[BLOCK / 2..], &lower.qtys[BLOCK / 2..]);
        lower.len = BLOCK / 2;
        self.bounds.insert(at + 1, upper.keys[0]);
        self.order.insert(at + 1, place);
        self.pool[place as usize] = upper;
        Ok(())
    }

    /// Merges a block that has become small with the one before it, where both fit well into one.
    #[inline]
    fn tidy(&mut self, at: usize) {
        let at = at.max(1);
        let Some(&upper) = self.order.get(at) else { return };
        let lower = self.order[at - 1];
        let (upper_len, lower_len) = (self.pool[upper as usize].len, self.pool[lower as usize].len);
        let is_worth_it = upper_len.min(lower_len) <= BLOCK / 8 && upper_len + lower_len <= BLOCK / 2;
        if !is_worth_it && upper_len != 0 && lower_len != 0 {
            return;
        }
        let moved = self.pool[upper as usize].clone();
        self.pool[lower as usize].append(&moved.keys[..moved.len], &moved.qtys[..moved.len]);
        self.bounds.remove(at);
        self.order.remove(at);
        self.spare.push(upper);
    }
}

impl Block {
    const EMPTY: Block = Block { keys: [0; BLOCK], qtys: [0; BLOCK], len: 0 };

    /// First place whose key is not smaller.
    #[inline]
    fn search(&self, key: i64) -> usize {
        self.keys[..self.len].partition_point(|held| *held < key)
    }

    #[inline]
    fn insert(&mut self, place: usize, key: i64, qty: i64) {
        self.keys.copy_within(place..self.len, place + 1);
        self.qtys.copy_within(place..self.len, place + 1);
        self.keys[place] = key;
        self.qtys[place] = qty;
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, place: usize) {
        self.keys.copy_within(place + 1..self.len, place);
        self.qtys.copy_within(place + 1..self.len, place);
        self.len -= 1;
    }

    fn append(&mut self, keys: &[i64], qtys: &[i64]) {
        let end = self.len + keys.len();
        self.keys[self.len..end].copy_from_slice(keys);
        self.qtys[self.len..end].copy_from_slice(qtys);
        self.len = end;
    }
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
                prop_assert_eq!(changed.map(|told| told.min(TOP_LEVELS)), (before != qty).then_some(better.min(TOP_LEVELS)));
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
        assert!(book.set(Side::Buy, Price(1), Qty(2)).is_ok_and(|better| better.is_some_and(|better| better >= TOP_LEVELS)));
        assert_eq!(book.set(Side::Sell, Price(1), Qty(2)), Ok(Some(0)));
    }
}

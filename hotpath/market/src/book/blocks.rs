//! Levels in sorted blocks: those far from the best, where a ladder would need a place for every tick between.
//!
//! Blocks of up to 64 levels are sorted within and among each other, the best level last. A change moves at most one block's levels.

use super::l2::{BookFull, LEVELS_MAX};

/// Levels in one block.
const BLOCK: usize = 64;
/// Blocks a side: room for all its levels with blocks a quarter full on average, which merging keeps them above.
const BLOCKS_MAX: usize = 4 * LEVELS_MAX / BLOCK;

/// One side, ascending by key.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
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

impl Blocks {
    pub(super) fn new() -> Blocks {
        let mut levels = Blocks {
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

    pub(super) fn clear(&mut self) {
        self.bounds.clear();
        self.order.clear();
        self.spare.clear();
        self.spare.extend((1..self.pool.len() as u32).rev());
        self.bounds.push(i64::MIN);
        self.order.push(0);
        self.pool[0].len = 0;
        self.count = 0;
    }

    /// Sets the quantity of a key; 0 removes it. Returns whether that changed anything.
    #[inline]
    pub(super) fn set(&mut self, key: i64, qty: i64) -> Result<bool, BookFull> {
        let at = if self.holds(self.latest, key) { self.latest } else { self.block_of(key) };
        self.latest = at;
        let block = &mut self.pool[self.order[at] as usize];
        let place = block.search(key);
        let is_there = place < block.len && block.keys[place] == key;
        if is_there && block.qtys[place] == qty || !is_there && qty == 0 {
            return Ok(false);
        }
        if is_there && qty != 0 {
            block.qtys[place] = qty;
        } else if is_there {
            block.remove(place);
            self.count -= 1;
            self.tidy(at);
        } else if self.count == LEVELS_MAX {
            return Err(BookFull);
        } else if block.len == BLOCK {
            self.split(at)?;
            return self.set(key, qty);
        } else {
            block.insert(place, key, qty);
            self.count += 1;
        }
        Ok(true)
    }

    #[inline]
    pub(super) fn get(&self, key: i64) -> i64 {
        let block = &self.pool[self.order[self.block_of(key)] as usize];
        let place = block.search(key);
        if place < block.len && block.keys[place] == key { block.qtys[place] } else { 0 }
    }

    /// Best key and its quantity, zeros where there is none.
    #[inline]
    pub(super) fn best(&self) -> (i64, i64) {
        let blocks = self.order.iter().rev().map(|&place| &self.pool[place as usize]);
        blocks
            .filter_map(|block| Some((block.keys[block.len.checked_sub(1)?], block.qtys[block.len - 1])))
            .next()
            .unwrap_or_default()
    }

    /// Keys and quantities, best first.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
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

    /// How many there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
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

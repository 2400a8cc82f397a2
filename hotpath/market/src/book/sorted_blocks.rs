//! A sorted map in blocks: the levels of one side of a book by price, where a ladder would need a place for every tick between.
//!
//! Blocks of up to 64 keys are sorted within and among each other, the best key last: a key that comes or goes moves at most one
//! block.

/// Keys in one block.
const BLOCK: usize = 64;

/// No room for another key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

/// A sorted map from a price's key (the larger, the better) to a number.
#[derive(Clone, Debug)]
pub(super) struct SortedBlocks {
    /// For each block in order, a bound: no key in it is smaller, every key before it is. The first one's is the smallest number.
    bounds: Vec<i64>,
    /// For each block in order, its place in `pool`. None but the only block is ever empty.
    order: Vec<u32>,
    pool: Vec<Block>,
    /// Places in `pool` that are not in use.
    spare: Vec<u32>,
    blocks_max: usize,
    len: usize,
}

/// Where a key is, or would stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// Which block, in order.
    at: usize,
    /// Which key of it.
    place: usize,
}

#[derive(Clone, Debug)]
struct Block {
    keys: [i64; BLOCK],
    values: [i64; BLOCK],
    len: usize,
}

impl SortedBlocks {
    /// Room for `keys_max` keys. Merging keeps blocks a quarter full on average, so four times the blocks are set aside.
    pub(super) fn new(keys_max: usize) -> SortedBlocks {
        let blocks_max = (4 * keys_max / BLOCK).max(4);
        let mut blocks = SortedBlocks {
            bounds: Vec::with_capacity(blocks_max),
            order: Vec::with_capacity(blocks_max),
            pool: Vec::with_capacity(blocks_max),
            spare: Vec::with_capacity(blocks_max),
            blocks_max,
            len: 0,
        };
        blocks.pool.push(Block::empty());
        blocks.clear();
        blocks
    }

    pub(super) fn clear(&mut self) {
        self.bounds.clear();
        self.order.clear();
        self.spare.clear();
        self.spare.extend((1..self.pool.len() as u32).rev());
        self.bounds.push(i64::MIN);
        self.order.push(0);
        self.pool[0].len = 0;
        self.len = 0;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where a key is or would stand, and its value where it is there.
    #[inline]
    pub(super) fn find(&self, key: i64) -> (Cursor, Option<i64>) {
        let at = self.block_of(key);
        let block = &self.pool[self.order[at] as usize];
        let place = block.search(key);
        let is_there = place < block.len && block.keys[place] == key;
        (Cursor { at, place }, is_there.then(|| block.values[place]))
    }

    /// Puts a key where [`SortedBlocks::find`] said it would stand.
    #[inline]
    pub(super) fn insert(&mut self, mut cursor: Cursor, key: i64, value: i64) -> Result<(), Full> {
        if self.pool[self.order[cursor.at] as usize].len == BLOCK {
            self.split(cursor.at)?;
            if cursor.place > BLOCK / 2 {
                cursor.at += 1;
                cursor.place -= BLOCK / 2;
            }
        }
        self.pool[self.order[cursor.at] as usize].insert(cursor.place, key, value);
        self.len += 1;
        Ok(())
    }

    /// Gives another value to the key that [`SortedBlocks::find`] found there.
    #[inline]
    pub(super) fn set(&mut self, cursor: Cursor, value: i64) {
        self.pool[self.order[cursor.at] as usize].values[cursor.place] = value;
    }

    /// Removes the key that [`SortedBlocks::find`] found there.
    #[inline]
    pub(super) fn remove(&mut self, cursor: Cursor) {
        self.pool[self.order[cursor.at] as usize].remove(cursor.place);
        self.len -= 1;
        self.tidy(cursor.at);
    }

    /// The best key and its value.
    #[inline]
    pub(super) fn best(&self) -> Option<(i64, i64)> {
        let block = &self.pool[*self.order.last()? as usize];
        let place = block.len.checked_sub(1)?;
        Some((block.keys[place], block.values[place]))
    }

    /// Keys and values, best first.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let blocks = self.order.iter().rev().map(|&place| &self.pool[place as usize]);
        blocks.flat_map(|block| (0..block.len).rev().map(|place| (block.keys[place], block.values[place])))
    }

    /// The block a key belongs to. Looks at the best one first, where most changes are.
    #[inline]
    fn block_of(&self, key: i64) -> usize {
        let last = self.bounds.len() - 1;
        if self.bounds[last] <= key {
            return last;
        }
        self.bounds.partition_point(|bound| *bound <= key) - 1
    }

    /// Moves the better half of a full block to a new one behind it.
    #[cold]
    fn split(&mut self, at: usize) -> Result<(), Full> {
        let place = match self.spare.pop() {
            Some(place) => place,
            None if self.pool.len() == self.blocks_max => return Err(Full),
            None => {
                self.pool.push(Block::empty());
                self.pool.len() as u32 - 1
            }
        };
        let mut upper = Block::empty();
        let lower = &mut self.pool[self.order[at] as usize];
        upper.append(&lower.keys[BLOCK / 2..], &lower.values[BLOCK / 2..]);
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
        self.pool[lower as usize].append(&moved.keys[..moved.len], &moved.values[..moved.len]);
        self.bounds.remove(at);
        self.order.remove(at);
        self.spare.push(upper);
    }
}

impl Block {
    fn empty() -> Block {
        Block { keys: [0; BLOCK], values: [0; BLOCK], len: 0 }
    }

    /// First place whose key is not smaller.
    #[inline]
    fn search(&self, key: i64) -> usize {
        self.keys[..self.len].partition_point(|held| *held < key)
    }

    #[inline]
    fn insert(&mut self, place: usize, key: i64, value: i64) {
        self.keys.copy_within(place..self.len, place + 1);
        self.values.copy_within(place..self.len, place + 1);
        self.keys[place] = key;
        self.values[place] = value;
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, place: usize) {
        self.keys.copy_within(place + 1..self.len, place);
        self.values.copy_within(place + 1..self.len, place);
        self.len -= 1;
    }

    fn append(&mut self, keys: &[i64], values: &[i64]) {
        let end = self.len + keys.len();
        self.keys[self.len..end].copy_from_slice(keys);
        self.values[self.len..end].copy_from_slice(values);
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
        fn equals_a_sorted_map(changes in prop::collection::vec((-300i64..300, any::<bool>()), 1..3_000)) {
            let mut order = SortedBlocks::new(1_024);
            let mut naive = BTreeMap::new();
            for (step, (key, is_insert)) in changes.into_iter().enumerate() {
                let value = step as i64;
                let (cursor, found) = order.find(key);
                prop_assert_eq!(found, naive.get(&key).copied());
                match found {
                    Some(_) if is_insert => {
                        order.set(cursor, value);
                        naive.insert(key, value);
                    }
                    Some(_) => {
                        order.remove(cursor);
                        naive.remove(&key);
                    }
                    None if is_insert => {
                        order.insert(cursor, key, value).unwrap();
                        naive.insert(key, value);
                    }
                    _ => {}
                }
                prop_assert_eq!(order.best(), naive.last_key_value().map(|(&key, &value)| (key, value)));
            }
            prop_assert_eq!(order.len(), naive.len());
            prop_assert!(order.iter().eq(naive.iter().rev().map(|(&key, &value)| (key, value))));
        }
    }
}

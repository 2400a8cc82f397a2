//! Where an order is: from its id to its place in the store.

/// An open-addressing table with linear probing, at most half full. A slot holds the upper half of the id's hash beside the
/// place, so that a probe reads one cache line and, but for one id in 2^32, no order but the right one.
#[derive(Clone, Debug)]
pub(super) struct IdIndex {
    /// `tag << 32 | place + 1`; 0 is empty.
    slots: Vec<u64>,
    /// A tag shifted by so much is the slot where it belongs.
    shift: u32,
}

impl IdIndex {
    /// Room for `ids_max` ids.
    pub(super) fn new(ids_max: usize) -> IdIndex {
        let slots = (2 * ids_max).next_power_of_two().max(16);
        IdIndex { slots: vec![0; slots], shift: 32 - slots.trailing_zeros() }
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
    }

    /// The place that `is_it` recognises among those whose id has the same tag, or the slot where it would go.
    #[inline]
    pub(super) fn find(&self, id: u64, is_it: impl Fn(u32) -> bool) -> Result<(usize, u32), usize> {
        let tag = tag(id);
        let mut slot = self.home(tag);
        loop {
            let held = self.slots[slot];
            if held == 0 {
                return Err(slot);
            }
            let place = (held as u32).wrapping_sub(1);
            if (held >> 32) as u32 == tag && is_it(place) {
                return Ok((slot, place));
            }
            slot = self.next(slot);
        }
    }

    /// Fills a slot that [`IdIndex::find`] said is free.
    #[inline]
    pub(super) fn insert(&mut self, slot: usize, id: u64, place: u32) {
        self.slots[slot] = (u64::from(tag(id)) << 32) | (u64::from(place) + 1);
    }

    /// Empties a slot and moves later ones up, so that no probe ends early.
    #[inline]
    pub(super) fn remove(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let mut hole = slot;
        let mut next = self.next(slot);
        loop {
            let held = self.slots[next];
            if held == 0 {
                break;
            }
            let home = self.home((held >> 32) as u32);
            // It may move up where its home is not between the hole and itself.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = held;
                hole = next;
            }
            next = self.next(next);
        }
        self.slots[hole] = 0;
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        (tag >> self.shift) as usize
    }

    #[inline]
    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }
}

/// The upper and lower half of a product, folded (as in wyhash): ids of any regular pattern spread.
#[inline]
fn tag(id: u64) -> u32 {
    let product = u128::from(id ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (((product >> 64) as u64 ^ product as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn equals_a_hash_map(changes in prop::collection::vec((0u64..200, any::<bool>()), 1..2_000), stride in any::<u64>()) {
            let mut index = IdIndex::new(200);
            let mut naive = HashMap::new();
            for (step, (id, is_insert)) in changes.into_iter().enumerate() {
                let id = id.wrapping_mul(stride | 1);
                let place = step as u32;
                let expected = naive.get(&id).copied();
                match index.find(id, |held| Some(held) == expected) {
                    Ok((slot, found)) => {
                        prop_assert_eq!(Some(found), expected);
                        if !is_insert {
                            index.remove(slot);
                            naive.remove(&id);
                        }
                    }
                    Err(slot) => {
                        prop_assert_eq!(expected, None);
                        if is_insert {
                            index.insert(slot, id, place);
                            naive.insert(id, place);
                        }
                    }
                }
            }
            for (id, place) in naive {
                prop_assert_eq!(index.find(id, |held| held == place).map(|found| found.1), Ok(place));
            }
        }
    }

    #[test]
    fn one_tag_for_two_ids_is_told_apart_by_the_order() {
        let mut index = IdIndex::new(8);
        let slot = index.find(1, |_| true).unwrap_err();
        index.insert(slot, 1, 7);
        // The same tag, and the order says that it is another's.
        let second = index.find(1, |_| false).unwrap_err();
        index.insert(second, 1, 8);
        assert_eq!(index.find(1, |place| place == 8), Ok((second, 8)));
        index.remove(slot);
        assert_eq!(index.find(1, |place| place == 8).map(|found| found.1), Ok(8));
    }
}

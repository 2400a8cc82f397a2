//! Messages that come over two connections, handed on once.

use super::Slot;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Messages remembered, a power of two: some seconds of the busiest stream.
const REMEMBERED: usize = 8_192;
/// Places looked at for one message.
const PROBES: usize = 8;

/// Remembers what came over either connection and finds what comes over the other one as well. Two messages are the same if they
/// have the same bytes (64 bits of SipHash). What is too old is forgotten.
#[derive(Debug)]
pub struct CopyFilter {
    /// Within its places the newest message stands first.
    seen: Box<[Seen]>,
    copies: u64,
}

/// A message that one connection had oftener than the other.
#[derive(Clone, Copy, Debug)]
struct Seen {
    hash: u64,
    /// How much oftener the first had it; below 0 the second. 0 where nothing is remembered.
    lead: i32,
}

const VACANT: Seen = Seen { hash: 0, lead: 0 };

impl Default for CopyFilter {
    fn default() -> Self {
        Self::new()
    }
}

impl CopyFilter {
    /// A filter that has seen nothing, its memory taken.
    pub fn new() -> CopyFilter {
        CopyFilter { seen: vec![VACANT; REMEMBERED].into_boxed_slice(), copies: 0 }
    }

    /// Whether a message came over the other connection before. The venue may well send the same bytes twice over one connection: then
    /// both come twice, and two are handed on.
    #[inline]
    pub fn is_copy(&mut self, slot: Slot, message: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        let step = if slot == Slot::A { 1 } else { -1 };
        let first = hash as usize & (REMEMBERED - 1) & !(PROBES - 1);
        let Some(places) = self.seen.get_mut(first..first + PROBES) else { return false };
        if let Some(seen) = places.iter_mut().find(|seen| seen.lead != 0 && seen.hash == hash) {
            let is_copy = seen.lead.signum() != step;
            seen.lead += step;
            self.copies += u64::from(is_copy);
            return is_copy;
        }
        let room = places.iter().position(|seen| seen.lead == 0).unwrap_or(PROBES - 1);
        places[..=room].rotate_right(1);
        places[0] = Seen { hash, lead: step };
        false
    }

    /// Forgets everything: the overlap is over.
    pub fn clear(&mut self) {
        self.seen.fill(VACANT);
    }

    /// Copies found so far.
    pub fn copies(&self) -> u64 {
        self.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However two connections with the same messages interleave, each message leaves once, in order of its first coming.
        #[test]
        fn each_message_leaves_once(messages in prop::collection::vec(0_u8..6, 0..60), turns in prop::collection::vec(any::<bool>(), 0..200)) {
            let mut filter = CopyFilter::new();
            let (mut at, mut passed) = ([0_usize; 2], Vec::new());
            for is_first in turns.into_iter().chain(std::iter::repeat_n(true, 60)).chain(std::iter::repeat_n(false, 60)) {
                let slot = if is_first { Slot::A } else { Slot::B };
                let Some(message) = messages.get(at[slot.index()]) else { continue };
                at[slot.index()] += 1;
                if !filter.is_copy(slot, &[*message]) {
                    passed.push(*message);
                }
            }
            prop_assert_eq!(&passed, &messages);
            prop_assert_eq!(filter.copies(), messages.len() as u64);
        }
    }

    #[test]
    fn what_was_cleared_is_new() {
        let mut filter = CopyFilter::new();
        assert!(!filter.is_copy(Slot::A, b"one"));
        filter.clear();
        assert!(!filter.is_copy(Slot::B, b"one"));
        assert!(filter.is_copy(Slot::A, b"one"));
    }
}

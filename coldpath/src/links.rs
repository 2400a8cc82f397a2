//! The rings between the hot path and the cold path, and who holds which end.

use chronos_market::{ColdRecord, ParameterBlock};
use rtrb::{Consumer, Producer, RingBuffer};

/// Records the ring holds where nothing else is asked for: 8 MiB, a good 50 ms of the busiest market seen.
pub const RECORDS_CAPACITY: usize = 1 << 16;

/// Bytes the quarantine ring holds: 1 MiB, some 250 messages of the greatest length kept.
pub const QUARANTINE_CAPACITY: usize = 1 << 20;

/// Parameter blocks in circulation, and the capacity of each ring that carries them, so that neither can ever be full.
///
/// The hot side holds the block in force and those not yet due; a window's block is due soon after the window, so this is far
/// more than it needs. While none is free the cold side keeps its answers in a queue of its own and waits for nothing.
pub const BLOCKS: usize = 16;

/// The hot path's ends of the rings. None of its operations blocks, allocates or frees.
#[derive(Debug)]
pub struct HotEnds {
    /// What the cold path is told, in order.
    pub records: Producer<ColdRecord>,
    /// Malformed messages, framed by [`push_quarantine`](crate::push_quarantine).
    pub quarantine: Producer<u8>,
    /// One block for each `WindowEnd`, in order. Abandoned: the cold path failed, and no block will come.
    pub blocks: Consumer<Box<ParameterBlock>>,
    /// Blocks no longer needed go back here, never to the allocator. It has room for all there are.
    pub retired: Producer<Box<ParameterBlock>>,
}

/// The cold path's ends of the rings.
#[derive(Debug)]
pub struct ColdLinks {
    /// What the hot path tells.
    pub records: Consumer<ColdRecord>,
    /// Framed malformed messages.
    pub quarantine: Consumer<u8>,
    /// Answers to `WindowEnd`.
    pub blocks: Producer<Box<ParameterBlock>>,
    /// Blocks that come back.
    pub retired: Consumer<Box<ParameterBlock>>,
}

/// Makes the rings, with room for `records_capacity` records (at least 1; [`RECORDS_CAPACITY`] is a good choice).
pub fn cold_links(records_capacity: usize) -> (HotEnds, ColdLinks) {
    let (records_in, records_out) = RingBuffer::new(records_capacity.max(1));
    let (quarantine_in, quarantine_out) = RingBuffer::new(QUARANTINE_CAPACITY);
    let (blocks_in, blocks_out) = RingBuffer::new(BLOCKS);
    let (retired_in, retired_out) = RingBuffer::new(BLOCKS);
    (
        HotEnds { records: records_in, quarantine: quarantine_in, blocks: blocks_out, retired: retired_in },
        ColdLinks { records: records_out, quarantine: quarantine_out, blocks: blocks_in, retired: retired_out },
    )
}

//! The hot side of the rings to and from the cold path.

use super::{BackPressure, Waiting};
use chronos_market::{ColdRecord, ParameterBlock};

/// Part of the ring of records that telemetry leaves free in a live session, for what parameters are made from.
const RESERVED_PART: usize = 8;

/// The hot side's ends of the rings to and from the cold path.
pub struct ColdLink {
    /// Records; what a full ring does is the session's [`BackPressure`].
    pub records: rtrb::Producer<ColdRecord>,
    /// Parameter blocks, one for each window that was ended.
    pub blocks: rtrb::Consumer<Box<ParameterBlock>>,
    /// Blocks that are no longer in force, so that this side never frees.
    pub retired: rtrb::Producer<Box<ParameterBlock>>,
    /// How to wait.
    pub waiting: Waiting,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// The cold path will see it.
    Yes,
    /// There was no room, and it was dropped.
    Dropped,
    /// There is no cold path any more.
    Lost,
}

impl ColdLink {
    /// Sends a record.
    #[inline]
    pub(super) fn send(&mut self, record: ColdRecord, back_pressure: BackPressure) -> Sent {
        match back_pressure {
            BackPressure::Lossless => self.send_waiting(record),
            BackPressure::Live => self.send_or_drop(record),
        }
    }

    #[inline]
    fn send_waiting(&mut self, record: ColdRecord) -> Sent {
        let mut record = record;
        let mut idle = 0;
        while let Err(rtrb::PushError::Full(back)) = self.records.push(record) {
            if self.records.is_abandoned() {
                return Sent::Lost;
            }
            record = back;
            self.waiting.pause(idle);
            idle = idle.saturating_add(1);
        }
        Sent::Yes
    }

    #[inline]
    fn send_or_drop(&mut self, record: ColdRecord) -> Sent {
        let reserved = match record {
            ColdRecord::Sample { .. } | ColdRecord::WindowEnd(_) => 0,
            _ => self.records.buffer().capacity() / RESERVED_PART,
        };
        if self.records.slots() <= reserved || self.records.push(record).is_err() {
            return if self.records.is_abandoned() { Sent::Lost } else { Sent::Dropped };
        }
        Sent::Yes
    }
}

//! What happens where a part of the path is slower than the one before it.
//!
//! | between | [`Lossless`](BackPressure::Lossless), a replay | [`Live`](BackPressure::Live) |
//! | --- | --- | --- |
//! | the wire and decoding | the reader waits | nothing is conflated: whoever lost messages for want of room says so (`on_overrun`), and every book of that source is [`Stale(Overrun)`](chronos_market::StaleReason::Overrun) until its next snapshot |
//! | ingest and trade, events | ingest waits | ingest waits: its own source then overflows, which is the row above |
//! | ingest and trade, frames | ingest waits; every frame is dealt with | as events; but a frame is skipped where a newer one of its instrument is at hand, counted and journaled |
//! | orders, reports, control | within trade, never conflated | the same |
//! | trade and the cold path, telemetry | trade waits | dropped and counted where the ring is nearly full |
//! | trade and the cold path, samples and window ends | trade waits | they have the last eighth of the ring to themselves; dropped and counted where that is full too |
//! | the cold path and trade, parameters | trade waits for the block that is due | a late block takes effect at the first event after it came, journaled with its time |
//!
//! What a live session left out or did late is in its journal ([`Reapplied`]), and a replay of its capture does the same again.

use crate::journal::{Record, RecordKind};
use chronos_market::{Frame, InstrumentId, Timestamp};
use std::collections::VecDeque;

/// What a full ring does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum BackPressure {
    /// Whoever pushes waits: for replays, whose orders must not depend on how fast a thread is.
    #[default]
    Lossless,
    /// Nothing waits for the cold path, and a frame gives way to a newer one: for sessions that cannot make the market wait.
    Live,
}

/// A frame that was skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SkippedFrame {
    /// Its `seq`.
    pub seq: u64,
    /// Its instrument.
    pub instrument: InstrumentId,
}

impl SkippedFrame {
    /// Bytes of [`SkippedFrame::to_bytes`].
    pub const BYTES: usize = 10;

    pub(super) fn of(frame: &Frame) -> SkippedFrame {
        SkippedFrame { seq: frame.seq, instrument: frame.instrument }
    }

    /// As the journal has it.
    pub fn to_bytes(self) -> [u8; SkippedFrame::BYTES] {
        let mut bytes = [0; SkippedFrame::BYTES];
        bytes[..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[8..].copy_from_slice(&self.instrument.0.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<SkippedFrame> {
        let (seq, instrument) = bytes.split_first_chunk::<8>()?;
        let instrument = InstrumentId(u16::from_le_bytes(instrument.try_into().ok()?));
        Some(SkippedFrame { seq: u64::from_le_bytes(*seq), instrument })
    }
}

/// What a live session left out or did late, to be done again in a replay of its capture.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reapplied {
    /// Frames skipped, in order.
    skips: VecDeque<SkippedFrame>,
    /// Index of each window whose block took effect, and when that was, in order. Blocks of other windows never did.
    parameters: VecDeque<(i64, Timestamp)>,
}

impl Reapplied {
    /// Takes a record of the session's journal, in order; those that are no part of this are passed over.
    pub fn take(&mut self, record: &Record<'_>) {
        match record.kind {
            RecordKind::Skip => self.skips.extend(SkippedFrame::from_bytes(record.payload)),
            RecordKind::Parameters => {
                if let Some((index, _)) = record.payload.split_first_chunk::<8>() {
                    self.parameters.push_back((i64::from_le_bytes(*index), Timestamp(record.recv_ns)));
                }
            }
            _ => {}
        }
    }

    /// Whether this frame, the next in order, was skipped.
    #[inline]
    pub(super) fn skips(&mut self, frame: &Frame) -> bool {
        let is_next = self.skips.front() == Some(&SkippedFrame::of(frame));
        if is_next {
            self.skips.pop_front();
        }
        is_next
    }

    /// When the block of a window took effect; `None` where it never did.
    pub(super) fn parameters_at(&self, window: i64) -> Option<Timestamp> {
        self.parameters.front().filter(|next| next.0 == window).map(|next| next.1)
    }

    /// The block of the next window took effect.
    pub(super) fn parameters_taken(&mut self) {
        self.parameters.pop_front();
    }
}

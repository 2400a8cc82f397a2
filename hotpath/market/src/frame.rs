//! What crosses from `ingest` to `trade` at a decision tick.

use crate::fixed::{Price, Qty};
use crate::instrument::InstrumentId;

/// Room for features in a [`Frame`]; the registry says how many are used.
pub const FEATURES_MAX: usize = 96;

/// One price level: price and total quantity.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Level {
    /// Price.
    pub price: Price,
    /// Total quantity at rest.
    pub qty: Qty,
}

/// Best bid and ask with their sizes. A side with no level has price and quantity 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bbo {
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
}

impl Bbo {
    /// Whether both sides have a level.
    #[inline]
    pub fn is_two_sided(&self) -> bool {
        self.bid.qty.0 > 0 && self.ask.qty.0 > 0
    }

    /// Whether bid and ask touch or cross; never true while a side is empty.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        self.is_two_sided() && self.bid.price >= self.ask.price
    }

    /// Middle of best bid and ask, in quote currency. Meaningful while two-sided.
    #[inline]
    pub fn mid(&self) -> f64 {
        (self.bid.price.to_f64() + self.ask.price.to_f64()) * 0.5
    }
}

/// Whether a book may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BookState {
    /// No snapshot has been joined yet.
    Unsynced = 0,
    /// Snapshot and every update since: the venue's book.
    Synced = 1,
    /// Was in sync; waits for a new snapshot.
    Stale(StaleReason),
}

/// Why a book went stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum StaleReason {
    /// Update ids do not continue.
    Gap = 0,
    /// A fixed buffer was too small.
    Overrun = 1,
    /// A resync was asked for, or the connection began anew.
    Reset = 2,
    /// Bid and ask touched or crossed: something was lost without a trace in the ids.
    Crossed = 3,
    /// The venue's checksum of the book differs from ours.
    Checksum = 4,
}

/// The state of one instrument at a decision tick: all that `trade` knows of the market then. Self-contained, so that the two
/// groups share no memory.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C, align(64))]
pub struct Frame {
    /// `seq` of the last event before the tick.
    pub seq: u64,
    /// Logical time of the tick: of the event that fired it, or the deadline of its timer.
    pub recv_ns: i64,
    /// Logical time since the instrument's previous tick, in nanoseconds; 0 at the first after a reset.
    pub elapsed_ns: i64,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Whether the book may be used.
    pub book: BookState,
    /// Ticks still to pass before a signal may be acted on; 0 when warm.
    pub warmup_left: u32,
    /// Best bid and ask of the book.
    pub bbo: Bbo,
    /// Features in registry order; unused places are 0.
    pub features: [f64; FEATURES_MAX],
}

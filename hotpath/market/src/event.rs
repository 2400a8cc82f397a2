//! The normalised market event that every venue's messages become.

use crate::fixed::{Price, Qty};
use crate::instrument::InstrumentId;
use std::ops::BitOr;

/// One change of the market: 64 bytes, one cache line.
///
/// A message becomes one or more events; the last one carries [`EventFlags::BATCH_END`], and nobody looks at the state between.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarketEvent {
    /// Place in the session, from 1, without holes.
    pub seq: u64,
    /// Receive time, logical nanoseconds since the epoch.
    pub recv_ns: i64,
    /// The exchange's time, nanoseconds since the epoch; 0 where the message has none.
    pub exchange_ns: i64,
    /// Price, where the kind has one.
    pub price: Price,
    /// Quantity, where the kind has one; for [`EventKind::LevelSet`] the new total, 0 removes the level.
    pub qty: Qty,
    /// Update id of a book change or quote, trade id of a trade, order id of an order.
    pub id: u64,
    /// The instrument.
    pub instrument: InstrumentId,
    /// What changed.
    pub kind: EventKind,
    /// Side of the book; for a trade, the aggressor's (see [`MarketEvent::aggressor`]).
    pub side: Side,
    /// Batch end, snapshot, no side.
    pub flags: EventFlags,
}

impl MarketEvent {
    /// The side that took, of a trade; `None` where the venue does not say.
    #[inline]
    pub fn aggressor(&self) -> Option<Side> {
        (!self.flags.contains(EventFlags::NO_SIDE)).then_some(self.side)
    }
}

/// What a [`MarketEvent`] says.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// A level's total quantity is now `qty`.
    LevelSet = 0,
    /// A trade; `side` is the aggressor's, unless the flags say that nobody knows it.
    Trade = 1,
    /// The venue's best price and its quantity on `side`; two events a message, bid then ask.
    Bbo = 2,
    /// Every level is gone; the book is rebuilt by what follows.
    BookCleared = 3,
    /// From here on the book is in sync.
    BookSynced = 4,
    /// From here on the book must not be used.
    BookStale = 5,
    /// A mark price.
    Mark = 6,
    /// A forced order.
    Liquidation = 7,
    /// An order came to rest.
    OrderAdd = 8,
    /// An order at rest changed.
    OrderModify = 9,
    /// An order left the book.
    OrderDelete = 10,
    /// An order at rest traded.
    OrderExecute = 11,
    /// Time passed.
    Heartbeat = 12,
}

/// A side of the book, or the direction of an order or trade.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Bids; buying.
    Buy = 0,
    /// Asks; selling.
    Sell = 1,
}

impl Side {
    /// The other side.
    #[inline]
    pub fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }

    /// +1 for buy, -1 for sell.
    #[inline]
    pub fn sign(self) -> i64 {
        match self {
            Side::Buy => 1,
            Side::Sell => -1,
        }
    }
}

/// Flags of a [`MarketEvent`].
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventFlags(pub u8);

impl EventFlags {
    /// Nothing set.
    pub const NONE: EventFlags = EventFlags(0);
    /// Last event of its message: the state may be looked at.
    pub const BATCH_END: EventFlags = EventFlags(1);
    /// Part of a snapshot.
    pub const SNAPSHOT: EventFlags = EventFlags(2);
    /// A trade of which the venue does not say who took: `side` means nothing.
    pub const NO_SIDE: EventFlags = EventFlags(4);

    /// Whether all of `other` is set.
    #[inline]
    pub fn contains(self, other: EventFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for EventFlags {
    type Output = EventFlags;
    #[inline]
    fn bitor(self, other: EventFlags) -> EventFlags {
        EventFlags(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout_is_one_cache_line() {
        assert_eq!((size_of::<MarketEvent>(), align_of::<MarketEvent>()), (64, 64));
        assert_eq!(offset_of!(MarketEvent, id), 40);
        assert_eq!(offset_of!(MarketEvent, kind), 50);
        assert_eq!(offset_of!(MarketEvent, flags), 52);
    }
}

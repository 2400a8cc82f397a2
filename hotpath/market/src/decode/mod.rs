//! Decoders: bytes of one whole message in, one [`Message`] out. No sockets, no clocks, no allocation after the first messages,
//! no panic on any input.
//!
//! A [`Message`] reaches the sink only when every part of it has been read, so nobody downstream ever sees half of one.

mod binance;
mod capture_line;
mod digits;
mod json;
mod reader;
mod scan;

pub use binance::BinanceDecoder;
pub use capture_line::{CaptureLine, LineError, split_capture_line};

use crate::event::Side;
use crate::fixed::{FixedError, Price, Qty};
use crate::frame::Bbo;
use crate::instrument::Exchange;
use crate::time::Timestamp;
use std::fmt;

/// The longest message taken, in bytes: a snapshot of 5,000 levels a side is about 300 kB.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The largest number of levels taken from one message.
pub const MESSAGE_LEVELS_MAX: usize = 20_000;

/// Turns the bytes of whole messages into [`Message`]s.
pub trait Decoder {
    /// Decodes one message and hands it to `out`, at most once.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the message; `out` was not called then, and the next message is not affected.
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError>;
}

/// Where a decoder hands its messages.
pub trait DecodeSink {
    /// Takes one whole message.
    fn message(&mut self, recv: Timestamp, message: &Message<'_>);
}

/// One venue message in normal form.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Message<'a> {
    /// A change of some levels.
    Depth(DepthMessage<'a>),
    /// The whole book (or its best part), as a REST reply.
    Snapshot(SnapshotMessage<'a>),
    /// A trade.
    Trade(TradeMessage<'a>),
    /// Best bid and ask.
    Quote(QuoteMessage<'a>),
    /// A mark price.
    Mark(MarkMessage<'a>),
    /// A forced order.
    Liquidation(LiquidationMessage<'a>),
    /// Known, and of no use to the book or the features.
    Ignored(Ignored),
}

/// A change of levels: quantities are new totals, 0 removes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DepthMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// First update id in the message.
    pub first_id: u64,
    /// Last update id in the message.
    pub final_id: u64,
    /// Last update id of the symbol's previous message, where the venue sends it (futures).
    pub previous_id: Option<u64>,
    /// The exchange's time in nanoseconds; 0 where there is none.
    pub exchange_ns: i64,
    /// The changes, bids first.
    pub levels: &'a [LevelChange],
}

/// The whole book at an update id.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SnapshotMessage<'a> {
    /// The venue's symbol, where the reply names it.
    pub symbol: Option<&'a str>,
    /// The last update id contained.
    pub last_id: u64,
    /// The exchange's time in nanoseconds; 0 where there is none.
    pub exchange_ns: i64,
    /// The levels, bids first.
    pub levels: &'a [LevelChange],
}

/// A trade.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TradeMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// The venue's trade id.
    pub id: u64,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// Side of the order that took.
    pub aggressor: Side,
    /// The exchange's time in nanoseconds.
    pub exchange_ns: i64,
}

/// Best bid and ask.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QuoteMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// Update id of the book it was taken at.
    pub id: u64,
    /// The quote.
    pub bbo: Bbo,
    /// The exchange's time in nanoseconds; 0 where there is none (spot).
    pub exchange_ns: i64,
}

/// A mark price.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MarkMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// The mark price.
    pub price: Price,
    /// The exchange's time in nanoseconds.
    pub exchange_ns: i64,
}

/// A forced order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LiquidationMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// Side of the forced order: sell where a long was liquidated.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// The exchange's time in nanoseconds.
    pub exchange_ns: i64,
}

/// One level's new total.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelChange {
    /// Side of the book.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// New total quantity; 0 removes the level.
    pub qty: Qty,
}

/// Known messages that neither the book nor the features use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Ignored {
    /// An aggregate trade: its single trades are in the trade stream.
    AggregateTrade,
    /// A bar.
    Kline,
    /// A 24-hour or window ticker, or an average price.
    Ticker,
    /// The best levels only: not a change that continues the book.
    PartialDepth,
    /// A trade outside the order book (insurance fund, auto-deleveraging).
    OffBookTrade,
    /// A reply to a subscription, or a notice of the connection.
    Control,
}

/// Why a message could not be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    TooLong,
    /// More than [`MESSAGE_LEVELS_MAX`] levels.
    TooManyLevels,
    /// Not JSON; the byte at which that shows.
    Json(usize),
    /// JSON, but neither an event nor a snapshot.
    Unrecognised,
    /// An event type that is not known: its first bytes.
    UnknownEvent(EventName),
    /// A field that must be there is not.
    Missing(&'static str),
    /// A field has the wrong JSON type.
    WrongType(&'static str),
    /// A field is not the decimal it should be.
    Decimal(&'static str, FixedError),
    /// A field's number makes no sense (a negative quantity, a price of 0, a time out of range).
    OutOfRange(&'static str),
}

/// The first bytes of an event's name, for an error message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventName([u8; 24]);

impl EventName {
    /// Keeps the first 24 bytes, at a character boundary.
    pub fn new(name: &str) -> EventName {
        let mut kept = [0; 24];
        let mut length = name.len().min(24);
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        kept[..length].copy_from_slice(&name.as_bytes()[..length]);
        EventName(kept)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..length]).fmt(f)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl DecodeError {
    /// A number a reason, for records: stable, never reused.
    pub fn code(self) -> u8 {
        match self {
            DecodeError::TooLong => 1,
            DecodeError::TooManyLevels => 2,
            DecodeError::Json(_) => 3,
            DecodeError::Unrecognised => 4,
            DecodeError::UnknownEvent(_) => 5,
            DecodeError::Missing(_) => 6,
            DecodeError::WrongType(_) => 7,
            DecodeError::Decimal(..) => 8,
            DecodeError::OutOfRange(_) => 9,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooLong => write!(f, "longer than {} MiB", MESSAGE_BYTES_MAX >> 20),
            DecodeError::TooManyLevels => write!(f, "more than {MESSAGE_LEVELS_MAX} levels"),
            DecodeError::Json(at) => write!(f, "not JSON from byte {at} on"),
            DecodeError::Unrecognised => f.write_str("neither an event nor a depth snapshot"),
            DecodeError::UnknownEvent(name) => write!(f, "unknown event type `{name}`"),
            DecodeError::Missing(field) => write!(f, "field `{field}` is missing"),
            DecodeError::WrongType(field) => write!(f, "field `{field}` has the wrong type"),
            DecodeError::Decimal(field, error) => write!(f, "field `{field}`: {error}"),
            DecodeError::OutOfRange(field) => write!(f, "field `{field}` is out of range"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What a message tells of the venue it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VenueEvidence {
    /// Only this venue sends such a message.
    Only(Exchange),
    /// Any venue of the family could have sent it.
    Any,
}

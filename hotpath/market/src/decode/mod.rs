//! Decoders: bytes of one whole message in, one [`Message`] out. No sockets, no clocks, no allocation after the first messages,
//! no panic on any input.
//!
//! A [`Message`] reaches the sink only when every part of it has been read, so nobody downstream ever sees half of one.

mod binance;
mod bitfinex;
mod bitstamp;
mod bybit;
mod calendar;
mod capture_line;
mod coinbase;
mod cryptofeed_line;
mod dbn;
mod decimal;
mod digits;
mod exchange_info;
mod feed;
mod iex;
mod iex_tp;
mod itch;
mod itch_decoder;
mod json;
mod kraken;
mod levels;
mod lobster;
mod mold_udp;
mod new_york;
mod order_id;
mod packet;
mod packet_decoder;
mod pcap;
mod reader;
#[cfg(target_arch = "x86_64")]
mod reader_avx512;
mod scan;
mod sequence;
mod symbol_state;
mod tape;
mod tardis_csv;
mod tardis_line;
mod time_text;
mod wire;

pub use binance::BinanceDecoder;
pub use bitfinex::BitfinexDecoder;
pub use bitstamp::BitstampDecoder;
pub use bybit::BybitDecoder;
pub use capture_line::{CaptureLine, LineError, split_capture_line};
pub use coinbase::CoinbaseDecoder;
pub use cryptofeed_line::{CryptofeedLine, reply_symbol, split_cryptofeed_line};
pub use dbn::{DbnDecoder, DbnMetadata, DbnStep, split_dbn_record};
pub use exchange_info::{ListedInstrument, read_exchange_info};
pub use feed::{Feed, FeedDecoder};
pub use itch::{AddOrder, DirectListing, Imbalance, ItchBody, ItchMessage, StockDirectory};
pub use itch_decoder::{BinaryFileStep, ItchDecoder, split_binary_file};
pub use kraken::KrakenDecoder;
pub use lobster::{LobsterDecoder, LobsterFile, read_lobster_book};
pub use new_york::{new_york_midnight, new_york_midnight_of_date};
pub use packet::{LinkType, UdpDatagram};
pub use packet_decoder::{FeedProtocol, PacketDecoder};
pub use pcap::{INTERFACES_MAX, Packet, PcapReader, PcapStep};
pub use sequence::ReorderWindow;
pub use tardis_csv::TardisCsvDecoder;
pub use tardis_line::{TardisLine, split_tardis_line};
pub use time_text::iso_ns;

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
    /// Decodes one message (of a feed of packets: one packet) and hands every whole [`Message`] in it to `out`, in order.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the message. What stood before the fault in a packet has been handed over; of a
    /// message that is one text, nothing was. The next one is not affected.
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
    /// A change of some levels, to be joined to a [`Message::Snapshot`] that came another way.
    Depth(DepthMessage<'a>),
    /// The whole book (or its best part), as a REST reply.
    Snapshot(SnapshotMessage<'a>),
    /// Levels of a book whose snapshots and changes come in one stream.
    Book(BookMessage<'a>),
    /// The best levels, whole and by themselves: they continue nothing and are no part of a book kept by changes.
    PartialDepth(SnapshotMessage<'a>),
    /// What happened to one resting order.
    Order(OrderMessage<'a>),
    /// Every resting order, as a reply or as the first message of a stream.
    OrderSnapshot(OrderSnapshotMessage<'a>),
    /// A trade.
    Trade(TradeMessage<'a>),
    /// All trades of one taking order at one price. A stream of single trades, where there is one too, says the same.
    AggregateTrade(AggregateTradeMessage<'a>),
    /// Best bid and ask.
    Quote(QuoteMessage<'a>),
    /// A mark price.
    Mark(MarkMessage<'a>),
    /// A forced order.
    Liquidation(LiquidationMessage<'a>),
    /// A bar made by the venue.
    Bar(BarMessage<'a>),
    /// Whether an instrument trades.
    Status(StatusMessage<'a>),
    /// The feed itself: it began, lost something, began anew, ended.
    Feed(FeedMessage),
    /// Known, and of no use to the book or the features.
    Ignored(Ignored),
}

impl<'a> Message<'a> {
    /// The venue's symbol; `None` where the message names none or concerns the whole feed.
    #[inline]
    pub fn symbol(&self) -> Option<&'a str> {
        match self {
            Message::Depth(depth) => Some(depth.symbol),
            Message::Snapshot(snapshot) | Message::PartialDepth(snapshot) => snapshot.symbol,
            Message::Book(book) => Some(book.symbol),
            Message::Order(order) => Some(order.symbol),
            Message::OrderSnapshot(snapshot) => snapshot.symbol,
            Message::Trade(trade) | Message::AggregateTrade(AggregateTradeMessage { trade, .. }) => Some(trade.symbol),
            Message::Quote(quote) => Some(quote.symbol),
            Message::Mark(mark) => Some(mark.symbol),
            Message::Liquidation(liquidation) => Some(liquidation.symbol),
            Message::Bar(bar) => Some(bar.symbol),
            Message::Status(status) => Some(status.symbol),
            Message::Feed(_) | Message::Ignored(_) => None,
        }
    }
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

/// Levels of a book whose snapshots and changes come in one stream: quantities are new totals, 0 removes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BookMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// How it continues the symbol's previous message.
    pub link: Link,
    /// The exchange's time in nanoseconds; 0 where there is none.
    pub exchange_ns: i64,
    /// Whether the levels are the whole book: what was known before is dropped.
    pub is_snapshot: bool,
    /// Whether the book may be looked at after this message; where not, more of the same event follows.
    pub is_last: bool,
    /// Levels a side that the venue keeps in step; what is pushed beyond must be dropped. `None`: all of them.
    pub depth_max: Option<u16>,
    /// The venue's checksum of the book after this message.
    pub checksum: Option<BookChecksum>,
    /// The changes, in the order they have to be applied.
    pub levels: &'a [LevelChange],
}

/// How a message continues the previous one of its symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// The venue sends nothing that would tell.
    None,
    /// A number that rises by one with each message.
    Consecutive(u64),
    /// The previous message's id and this one's.
    Chained {
        /// Id of the message before.
        previous: u64,
        /// Id of this message.
        this: u64,
    },
    /// A number that never falls; a message at or below a snapshot's is older than it.
    Rising(u64),
}

impl Link {
    /// The id the book stands at after this message, where it has one.
    #[inline]
    pub fn id(self) -> Option<u64> {
        match self {
            Link::None => None,
            Link::Consecutive(id) | Link::Rising(id) | Link::Chained { this: id, .. } => Some(id),
        }
    }
}

/// Kraken's CRC32 over the ten best levels a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookChecksum {
    /// The value sent.
    pub crc32: u32,
    /// Decimals with which the venue writes prices of this symbol.
    pub price_decimals: u8,
    /// Decimals with which it writes quantities.
    pub qty_decimals: u8,
}

/// What happened to one resting order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OrderMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// How it continues the symbol's previous message.
    pub link: Link,
    /// The exchange's time in nanoseconds; 0 where there is none.
    pub exchange_ns: i64,
    /// Whether the book may be looked at after this message; where not, more of the same event follows.
    pub is_last: bool,
    /// What happened.
    pub action: OrderAction,
}

/// What happened to one resting order. Ids are the venue's; one longer than 64 bits is folded to 64, and two that fold alike show
/// as a known id added again, never as one order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderAction {
    /// It came to rest, last in the queue of its price.
    Add(RestingOrder),
    /// It now has this price and remaining quantity. It keeps its place while the price stays and the quantity does not grow.
    Modify(RestingOrder),
    /// So much of it was cancelled; it keeps its place, and leaves at 0.
    Reduce {
        /// The order.
        id: u64,
        /// Quantity taken away.
        qty: Qty,
    },
    /// It left.
    Delete {
        /// The order.
        id: u64,
    },
    /// So much of it traded; it keeps its place, and leaves at 0. This message is the trade too.
    Execute {
        /// The order.
        id: u64,
        /// Quantity traded.
        qty: Qty,
        /// Price of the trade where it is not the order's own.
        price: Option<Price>,
        /// The venue's trade id.
        trade_id: u64,
        /// Whether the trade counts towards volume; one that does not is reported again in a cross.
        is_printable: bool,
    },
    /// It left, and another came to rest at the end of its price's queue, on the same side.
    Replace {
        /// The order that left.
        id: u64,
        /// The order that came.
        new_id: u64,
        /// Its price.
        price: Price,
        /// Its quantity.
        qty: Qty,
    },
    /// Every order left; what follows rebuilds the book.
    Clear,
    /// Nothing that the book shows; the link goes on.
    Nothing,
}

/// An order at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestingOrder {
    /// The venue's order id.
    pub id: u64,
    /// Side of the book.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Remaining visible quantity.
    pub qty: Qty,
}

/// Every resting order of a symbol.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OrderSnapshotMessage<'a> {
    /// The venue's symbol, where the reply names it.
    pub symbol: Option<&'a str>,
    /// The id of the last message contained; [`Link::None`] where the stream goes on from here by itself.
    pub link: Link,
    /// The exchange's time in nanoseconds; 0 where there is none.
    pub exchange_ns: i64,
    /// The orders; at one price in the order of the queue.
    pub orders: &'a [RestingOrder],
}

/// All trades of one taking order at one price.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AggregateTradeMessage<'a> {
    /// The trade; its id is the aggregate's.
    pub trade: TradeMessage<'a>,
    /// Id of the first single trade.
    pub first_trade_id: u64,
    /// Id of the last single trade.
    pub last_trade_id: u64,
}

/// A bar made by the venue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BarMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// Start of the bar, nanoseconds.
    pub open_ns: i64,
    /// Its length in nanoseconds; 0 where it is a calendar month.
    pub interval_ns: i64,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Quantity traded.
    pub volume: Qty,
    /// Whether the bar will not change any more.
    pub is_closed: bool,
}

/// Whether an instrument trades.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusMessage<'a> {
    /// The venue's symbol.
    pub symbol: &'a str,
    /// The exchange's time in nanoseconds; 0 where there is none.
    pub exchange_ns: i64,
    /// What holds from here on.
    pub status: TradingStatus,
}

/// Whether an instrument trades.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TradingStatus {
    /// Orders are matched.
    Trading = 0,
    /// Nothing is matched and nothing quoted.
    Halted = 1,
    /// Orders are taken and not matched (auction, quotation only, pause).
    QuotesOnly = 2,
}

/// The feed itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeedMessage {
    /// The first message of a feed that begins with empty books: they are in sync from here on.
    Started,
    /// Messages were lost: no book of the feed may be used.
    Gap {
        /// Sequence number of the first message lost.
        first: u64,
        /// Sequence number of the last message lost.
        last: u64,
    },
    /// The numbering began anew; books begin empty again.
    Restarted {
        /// The sequence number expected.
        expected: u64,
        /// The one that came.
        received: u64,
    },
    /// Nothing new, and nothing lost.
    Heartbeat,
    /// The feed is over.
    Ended,
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
    /// Side of the order that took; `None` where the venue does not say.
    pub aggressor: Option<Side>,
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
    /// Price of the underlying index, where it is sent.
    pub index_price: Option<Price>,
    /// Funding rate of the present interval in units of 1e-9, where it is sent: 100,000 is one basis point. Signed.
    pub funding_rate: Option<i64>,
    /// When funding is next paid, in nanoseconds; 0 where it is not sent.
    pub next_funding_ns: i64,
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
    /// A 24-hour or window ticker, or an average price.
    Ticker,
    /// What instruments there are, and their terms.
    Definition,
    /// Statistics, auction imbalances, and other facts about the session.
    Statistics,
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
    /// A binary message or packet is shorter than it says, or than its type must be: bytes needed and bytes there.
    Truncated(usize, usize),
    /// A header field has a value that is not known (version, protocol, link type): its name and the value.
    Unsupported(&'static str, u64),
    /// More symbols, messages or fragments than there is room for.
    Capacity(&'static str),
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
            DecodeError::Truncated(..) => 10,
            DecodeError::Unsupported(..) => 11,
            DecodeError::Capacity(_) => 12,
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
            DecodeError::Truncated(needed, there) => write!(f, "cut short: {needed} bytes needed, {there} there"),
            DecodeError::Unsupported(field, value) => write!(f, "{field} {value} ({value:#x}) is not supported"),
            DecodeError::Capacity(what) => write!(f, "no room for more {what}"),
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

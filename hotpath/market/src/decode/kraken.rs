//! Kraken spot: WebSocket v1 (`book`, `trade`, `spread`) and v2 (`book`, `level3`, `trade`, `ticker`).
//!
//! Neither numbers its messages. A book is checked by a CRC32 over the digits of its best levels, so the decoder tells with how
//! many decimals the venue writes them. A trade's side is the taker's in both; v1 gives trades no id. The trades that v2 sends on
//! subscribing were before the feed and are not handed over.

use super::decimal::decimals_written;
use super::levels::{book_price, push_level, push_order};
use super::order_id::fold_id;
use super::tape::{Discard, Items, Tape, Value};
use super::time_text::{iso_ns, seconds_ns};
use super::{
    BookChecksum, BookMessage, DecodeError, DecodeSink, Decoder, EventName, Ignored, LevelChange, Link, MESSAGE_LEVELS_MAX,
    Message, OrderAction, OrderMessage, OrderSnapshotMessage, QuoteMessage, RestingOrder, TradeMessage,
};
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, Level};
use crate::time::Timestamp;

/// Symbols of v2 books whose depth and decimals are remembered.
const SYMBOLS_MAX: usize = 1_024;

/// Decodes both versions of the WebSocket feed.
pub struct KrakenDecoder {
    tape: Tape,
    state: State,
}

struct State {
    levels: Vec<LevelChange>,
    orders: Vec<RestingOrder>,
    books: Vec<BookTerms>,
}

/// What v2 says once of a symbol's book. Its messages leave out the zeros at the end of a number, so the decimals are the most
/// seen since the snapshot.
struct BookTerms {
    symbol: String,
    depth_max: Option<u16>,
    price_decimals: u8,
    qty_decimals: u8,
}

impl Default for KrakenDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl KrakenDecoder {
    /// A decoder with its memory taken.
    pub fn new() -> KrakenDecoder {
        KrakenDecoder {
            tape: Tape::new(),
            state: State {
                levels: Vec::with_capacity(MESSAGE_LEVELS_MAX),
                orders: Vec::with_capacity(MESSAGE_LEVELS_MAX),
                books: Vec::with_capacity(SYMBOLS_MAX),
            },
        }
    }

    /// Whether a message has the shape of this venue's, by its key fields.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        self.tape.read(raw).is_ok_and(|root| Shape::of(root).is_some())
    }
}

impl Decoder for KrakenDecoder {
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let root = self.tape.read(raw)?;
        match Shape::of(root).ok_or(DecodeError::Unrecognised)? {
            Shape::Control => {
                self.state.note_subscription(root)?;
                out.message(recv, &Message::Ignored(Ignored::Control));
                Ok(())
            }
            Shape::V1(message) if message.channel == "trade" => {
                message.trades(recv, &mut Discard)?;
                message.trades(recv, out)
            }
            Shape::V1(message) => {
                let message = message.read(&mut self.state.levels)?;
                out.message(recv, &message);
                Ok(())
            }
            Shape::V2(message) => {
                if message.channel != "book" || message.data.clone().nth(1).is_some() {
                    self.state.v2(&message, recv, &mut Discard)?;
                }
                self.state.v2(&message, recv, out)
            }
        }
    }
}

enum Shape<'t> {
    V1(V1<'t>),
    V2(V2<'t>),
    Control,
}

/// `[channel id, content …, "channel", "symbol"]`.
struct V1<'t> {
    contents: std::iter::Take<Items<'t>>,
    channel: &'t str,
    symbol: &'t str,
}

/// `{"channel": …, "type": …, "data": […]}`.
struct V2<'t> {
    channel: &'t str,
    is_snapshot: bool,
    data: Items<'t>,
}

impl<'t> Shape<'t> {
    fn of(root: Value<'t>) -> Option<Shape<'t>> {
        if root.is_array() {
            let count = root.items().count();
            let mut items = root.items();
            items.next().filter(|id| id.number().is_some())?;
            let contents = items.clone().take(count.checked_sub(3).filter(|&contents| contents > 0)?);
            let mut names = items.skip(count - 3);
            let (channel, symbol) = (names.next()?.string()?, names.next()?.string()?);
            let kind = channel.split('-').next()?;
            return matches!(kind, "book" | "trade" | "spread" | "ticker" | "ohlc").then_some(Shape::V1(V1 {
                contents,
                channel,
                symbol,
            }));
        }
        let text = |name| root.field(name).and_then(Value::string);
        if let Some(event) = text("event") {
            return matches!(event, "systemStatus" | "subscriptionStatus" | "heartbeat").then_some(Shape::Control);
        }
        if let Some(method) = text("method") {
            return matches!(method, "subscribe" | "unsubscribe" | "ping" | "pong").then_some(Shape::Control);
        }
        match (text("channel")?, text("type")) {
            ("heartbeat", None) => Some(Shape::Control),
            (channel @ ("book" | "level3" | "trade" | "ticker" | "ohlc" | "instrument" | "status"), Some(kind)) => {
                let data = root.field("data").filter(|data| data.is_array())?.items();
                let is_snapshot = kind == "snapshot";
                (is_snapshot || kind == "update").then_some(Shape::V2(V2 { channel, is_snapshot, data }))
            }
            _ => None,
        }
    }
}

impl<'t> V1<'t> {
    fn read<'l>(self, levels: &'l mut Vec<LevelChange>) -> Result<Message<'l>, DecodeError>
    where
        't: 'l,
    {
        match self.channel {
            "spread" => self.spread().map(Message::Quote),
            "ticker" => Ok(Message::Ignored(Ignored::Ticker)),
            channel => match channel.split_once('-') {
                Some(("book", depth)) => {
                    let depth = depth.parse().map_err(|_| DecodeError::UnknownEvent(EventName::new(channel)))?;
                    self.book(depth, levels).map(Message::Book)
                }
                Some(("ohlc", _)) => Ok(Message::Ignored(Ignored::Statistics)),
                _ => Err(DecodeError::UnknownEvent(EventName::new(channel))),
            },
        }
    }

    /// A snapshot is `{"as": …, "bs": …}`; a change `{"a": …, "c": "…"}`, `{"b": …, "c": "…"}`, or both one after the other.
    fn book<'l>(self, depth: u16, levels: &'l mut Vec<LevelChange>) -> Result<BookMessage<'l>, DecodeError>
    where
        't: 'l,
    {
        levels.clear();
        let (mut has_levels, mut is_snapshot, mut crc32, mut exchange_ns) = (false, false, None, 0);
        let (mut price_decimals, mut qty_decimals) = (0, 0);
        for (key, value) in self.contents.flat_map(Value::entries) {
            let (side, name) = match key {
                "a" => (Side::Sell, "a"),
                "b" => (Side::Buy, "b"),
                "as" => (Side::Sell, "as"),
                "bs" => (Side::Buy, "bs"),
                "c" => {
                    crc32 = Some(u32::try_from(value.to_unsigned("c")?).map_err(|_| DecodeError::OutOfRange("c"))?);
                    continue;
                }
                _ => continue,
            };
            if !value.is_array() {
                return Err(DecodeError::WrongType(name));
            }
            has_levels = true;
            is_snapshot |= matches!(key, "as" | "bs");
            for level in value.items() {
                let mut parts = level.items();
                let (Some(price), Some(qty), Some(time)) = (parts.next(), parts.next(), parts.next()) else {
                    return Err(DecodeError::WrongType(name));
                };
                push_level(levels, name, side, price, qty)?;
                price_decimals = price_decimals.max(price.digits().map_or(0, decimals_written));
                qty_decimals = qty_decimals.max(qty.digits().map_or(0, decimals_written));
                exchange_ns = exchange_ns.max(read_seconds(time)?);
            }
        }
        if !has_levels {
            return Err(DecodeError::Missing("a"));
        }
        Ok(BookMessage {
            symbol: self.symbol,
            link: Link::None,
            exchange_ns,
            is_snapshot,
            is_last: true,
            depth_max: Some(depth),
            checksum: crc32.map(|crc32| BookChecksum { crc32, price_decimals, qty_decimals }),
            levels,
        })
    }

    /// `[[price, quantity, time, side, order type, misc], …]`.
    fn trades(&self, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        for list in self.contents.clone() {
            for trade in list.items() {
                let mut parts = trade.items();
                let mut part = |name| parts.next().ok_or(DecodeError::Missing(name));
                let message = TradeMessage {
                    symbol: self.symbol,
                    id: 0,
                    price: part("price")?.to_positive_price("price")?,
                    qty: part("volume")?.to_qty("volume")?,
                    exchange_ns: read_seconds(part("time")?)?,
                    aggressor: match part("side")?.to_text("side")? {
                        "b" => Some(Side::Buy),
                        "s" => Some(Side::Sell),
                        _ => return Err(DecodeError::OutOfRange("side")),
                    },
                };
                out.message(recv, &Message::Trade(message));
            }
        }
        Ok(())
    }

    /// `[bid, ask, time, bid quantity, ask quantity]`.
    fn spread(mut self) -> Result<QuoteMessage<'t>, DecodeError> {
        let mut parts = self.contents.next().ok_or(DecodeError::Missing("spread"))?.items();
        let mut part = || parts.next().ok_or(DecodeError::Missing("spread"));
        let (bid, ask, time, bid_qty, ask_qty) = (part()?, part()?, part()?, part()?, part()?);
        Ok(QuoteMessage {
            symbol: self.symbol,
            id: 0,
            bbo: Bbo {
                bid: Level { price: bid.to_price("bid")?, qty: bid_qty.to_qty("bidVolume")? },
                ask: Level { price: ask.to_price("ask")?, qty: ask_qty.to_qty("askVolume")? },
            },
            exchange_ns: read_seconds(time)?,
        })
    }
}

impl State {
    /// Every entry of `data` is of one symbol.
    fn v2(&mut self, message: &V2<'_>, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let ignored = match (message.channel, message.is_snapshot) {
            ("book", _) => {
                for entry in message.data.clone() {
                    out.message(recv, &Message::Book(self.v2_book(entry, message.is_snapshot)?));
                }
                return Ok(());
            }
            ("level3", true) => {
                for entry in message.data.clone() {
                    out.message(recv, &Message::OrderSnapshot(self.level3_snapshot(entry)?));
                }
                return Ok(());
            }
            ("level3", false) => {
                for entry in message.data.clone() {
                    self.level3_update(entry, recv, out)?;
                }
                return Ok(());
            }
            ("trade", false) => {
                for entry in message.data.clone() {
                    out.message(recv, &Message::Trade(v2_trade(entry)?));
                }
                return Ok(());
            }
            ("ticker", _) => {
                for entry in message.data.clone() {
                    out.message(recv, &Message::Quote(v2_quote(entry)?));
                }
                return Ok(());
            }
            ("instrument", _) => Ignored::Definition,
            ("status", _) => Ignored::Control,
            _ => Ignored::Statistics,
        };
        out.message(recv, &Message::Ignored(ignored));
        Ok(())
    }

    fn v2_book<'l>(&'l mut self, entry: Value<'l>, is_snapshot: bool) -> Result<BookMessage<'l>, DecodeError> {
        self.levels.clear();
        let symbol = entry.required_text("symbol")?;
        let (mut price_decimals, mut qty_decimals) = (0, 0);
        for (name, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
            for level in entry.required_items(name)? {
                let (price, qty) = (level.required("price")?, level.required("qty")?);
                push_level(&mut self.levels, name, side, price, qty)?;
                price_decimals = price_decimals.max(price.digits().map_or(0, decimals_written));
                qty_decimals = qty_decimals.max(qty.digits().map_or(0, decimals_written));
            }
        }
        let crc32 = read_checksum(entry)?;
        let exchange_ns = read_iso(entry)?;
        let terms = terms_of(&mut self.books, symbol)?;
        if is_snapshot {
            (terms.price_decimals, terms.qty_decimals) = (0, 0);
        }
        terms.price_decimals = terms.price_decimals.max(price_decimals);
        terms.qty_decimals = terms.qty_decimals.max(qty_decimals);
        Ok(BookMessage {
            symbol,
            link: Link::None,
            exchange_ns,
            is_snapshot,
            is_last: true,
            depth_max: terms.depth_max,
            checksum: crc32.map(|crc32| BookChecksum {
                crc32,
                price_decimals: terms.price_decimals,
                qty_decimals: terms.qty_decimals,
            }),
            levels: &self.levels,
        })
    }

    fn level3_snapshot<'l>(&'l mut self, entry: Value<'l>) -> Result<OrderSnapshotMessage<'l>, DecodeError> {
        self.orders.clear();
        for (name, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
            for order in entry.required_items(name)? {
                push_order(&mut self.orders, level3_order(order, side)?.1)?;
            }
        }
        Ok(OrderSnapshotMessage {
            symbol: Some(entry.required_text("symbol")?),
            link: Link::None,
            exchange_ns: read_iso(entry)?,
            orders: &self.orders,
        })
    }

    /// The last order of an entry ends the event; the checksum of orders is not the one of [`BookChecksum`].
    fn level3_update(&self, entry: Value<'_>, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let symbol = entry.required_text("symbol")?;
        let bids = entry.required_items("bids")?.map(|order| (order, Side::Buy));
        let mut orders = bids.chain(entry.required_items("asks")?.map(|order| (order, Side::Sell))).peekable();
        while let Some((order, side)) = orders.next() {
            let (id, resting) = level3_order(order, side)?;
            let action = match (order.required_text("event")?, resting) {
                ("add", Some(order)) => OrderAction::Add(order),
                ("modify", Some(order)) => OrderAction::Modify(order),
                ("add", None) => OrderAction::Nothing,
                // An amended price is out of reach.
                ("modify", None) | ("delete", _) => OrderAction::Delete { id },
                (other, _) => return Err(DecodeError::UnknownEvent(EventName::new(other))),
            };
            let exchange_ns = read_iso(order)?;
            let is_last = orders.peek().is_none();
            out.message(recv, &Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last, action }));
        }
        Ok(())
    }

    /// Keeps the depth that the reply to a subscription names.
    fn note_subscription(&mut self, root: Value<'_>) -> Result<(), DecodeError> {
        let Some(result) = root.field("result") else { return Ok(()) };
        let text = |name| result.field(name).and_then(Value::string);
        if let (Some("book"), Some(symbol), Some(depth)) = (text("channel"), text("symbol"), result.field("depth")) {
            let depth = u16::try_from(depth.to_unsigned("depth")?).map_err(|_| DecodeError::OutOfRange("depth"))?;
            terms_of(&mut self.books, symbol)?.depth_max = Some(depth);
        }
        Ok(())
    }
}

/// The entry of a symbol, made where there is none.
fn terms_of<'b>(books: &'b mut Vec<BookTerms>, symbol: &str) -> Result<&'b mut BookTerms, DecodeError> {
    let place = match books.iter().position(|terms| terms.symbol == symbol) {
        Some(place) => place,
        None if books.len() < SYMBOLS_MAX => {
            books.push(BookTerms { symbol: symbol.to_owned(), depth_max: None, price_decimals: 0, qty_decimals: 0 });
            books.len() - 1
        }
        None => return Err(DecodeError::Capacity("symbols")),
    };
    Ok(&mut books[place])
}

/// Its id, and what is at rest; nothing is, where the price is out of reach.
fn level3_order(order: Value<'_>, side: Side) -> Result<(u64, Option<RestingOrder>), DecodeError> {
    let id = fold_id(order.required_text("order_id")?);
    let price = book_price(order.required("limit_price")?, side, "limit_price")?;
    let qty = order.required_qty("order_qty")?;
    Ok((id, price.map(|price| RestingOrder { id, side, price, qty })))
}

fn v2_trade(entry: Value<'_>) -> Result<TradeMessage<'_>, DecodeError> {
    Ok(TradeMessage {
        symbol: entry.required_text("symbol")?,
        id: entry.required_unsigned("trade_id")?,
        price: entry.required_positive_price("price")?,
        qty: entry.required_qty("qty")?,
        aggressor: match entry.required_text("side")? {
            "buy" => Some(Side::Buy),
            "sell" => Some(Side::Sell),
            _ => return Err(DecodeError::OutOfRange("side")),
        },
        exchange_ns: read_iso(entry)?,
    })
}

fn v2_quote(entry: Value<'_>) -> Result<QuoteMessage<'_>, DecodeError> {
    let level = |price, qty| -> Result<Level, DecodeError> {
        let level = Level { price: entry.required(price)?.to_price(price)?, qty: entry.required_qty(qty)? };
        // A side with nothing on it.
        Ok(if level.qty == Qty::ZERO { Level { price: Price::ZERO, qty: Qty::ZERO } } else { level })
    };
    Ok(QuoteMessage {
        symbol: entry.required_text("symbol")?,
        id: 0,
        bbo: Bbo { bid: level("bid", "bid_qty")?, ask: level("ask", "ask_qty")? },
        exchange_ns: read_iso(entry)?,
    })
}

fn read_checksum(entry: Value<'_>) -> Result<Option<u32>, DecodeError> {
    let Some(checksum) = entry.field("checksum") else { return Ok(None) };
    u32::try_from(checksum.to_unsigned("checksum")?).map(Some).map_err(|_| DecodeError::OutOfRange("checksum"))
}

fn read_seconds(time: Value<'_>) -> Result<i64, DecodeError> {
    let text = time.digits().ok_or(DecodeError::WrongType("time"))?;
    seconds_ns(text).ok_or(DecodeError::OutOfRange("time"))
}

/// The entry's time; 0 where it has none.
fn read_iso(entry: Value<'_>) -> Result<i64, DecodeError> {
    match entry.field("timestamp") {
        Some(time) => iso_ns(time.to_text("timestamp")?).ok_or(DecodeError::OutOfRange("timestamp")),
        None => Ok(0),
    }
}

//! Bitstamp: WebSocket channels, REST order books, and the `<event> <json>` lines that recorders of its first feed wrote.
//!
//! `live_orders` tells of every order: what it says of an order is its remaining quantity, so fills need no other source and
//! `live_trades` must not be taken off the book again. Since 2026 each message names the one before; both ids begin with a time in
//! microseconds, the clock that REST replies and diffs carry too, and that time is the id handed over: a reply with an id at or
//! above an event's contains it. The venue's symbols are lower case without separator.

use super::decimal::{nearest_price, nearest_qty};
use super::levels::{book_price, push_level, push_order, push_pairs};
use super::order_id::uuid;
use super::tape::{Items, Tape, Value};
use super::time_text::unix_ns;
use super::{
    BookMessage, DecodeError, DecodeSink, Decoder, EventName, Ignored, LevelChange, Link, MESSAGE_LEVELS_MAX, Message, OrderAction,
    OrderMessage, OrderSnapshotMessage, RestingOrder, SnapshotMessage, TradeMessage,
};
use crate::event::Side;
use crate::fixed::Price;
use crate::time::{TimeUnit, Timestamp};

/// Room for the symbol of replies; the longest pair has ten letters.
const SYMBOL_BYTES: usize = 64;

/// Decodes every public channel of one or more symbols.
pub struct BitstampDecoder {
    tape: Tape,
    buffers: Buffers,
    /// The symbol of messages that name none.
    symbol: String,
}

struct Buffers {
    levels: Vec<LevelChange>,
    orders: Vec<RestingOrder>,
}

impl Default for BitstampDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl BitstampDecoder {
    /// A decoder with its memory taken.
    pub fn new() -> BitstampDecoder {
        BitstampDecoder {
            tape: Tape::new(),
            buffers: Buffers { levels: Vec::with_capacity(MESSAGE_LEVELS_MAX), orders: Vec::with_capacity(MESSAGE_LEVELS_MAX) },
            symbol: String::with_capacity(SYMBOL_BYTES),
        }
    }

    /// Says whose messages follow that name no symbol: the REST reply from a certain address, the lines of a log.
    pub fn set_symbol(&mut self, symbol: &str) {
        self.symbol.clear();
        self.symbol.push_str(symbol);
    }

    /// Whether a message has the shape of this venue's, by its key fields.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        let (event, json) = split_log_line(raw);
        self.tape.read(json).is_ok_and(|root| Shape::of(event, root).is_some())
    }
}

impl Decoder for BitstampDecoder {
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let (event, json) = split_log_line(raw);
        let root = self.tape.read(json)?;
        let message = match Shape::of(event, root).ok_or(DecodeError::Unrecognised)? {
            Shape::Control => Message::Ignored(Ignored::Control),
            Shape::Reply => self.buffers.reply(root, &self.symbol)?,
            Shape::Logged(event) => self.buffers.logged(event, root, &self.symbol)?,
            Shape::Channel(channel) => self.buffers.channel(&channel)?,
        };
        out.message(recv, &message);
        Ok(())
    }
}

/// The event before the JSON, where the line is of a log.
fn split_log_line(raw: &[u8]) -> (Option<&str>, &[u8]) {
    let event = raw.iter().take_while(|byte| byte.is_ascii_lowercase() || **byte == b'_').count();
    match (std::str::from_utf8(&raw[..event]), raw.get(event)) {
        (Ok(name), Some(b' ')) if event > 0 => (Some(name), &raw[event + 1..]),
        _ => (None, raw),
    }
}

enum Shape<'t> {
    /// A line of a log: its event.
    Logged(&'t str),
    /// A REST order book.
    Reply,
    Channel(Channel<'t>),
    Control,
}

struct Channel<'t> {
    kind: &'static str,
    symbol: &'t str,
    event: &'t str,
    data: Value<'t>,
    /// The ids of the message before and of this one.
    chain: Option<(&'t str, &'t str)>,
}

/// Beginnings of channel names, each followed by the symbol. A name that ends with another one comes first.
const CHANNELS: [&str; 5] = ["detail_order_book_", "diff_order_book_", "order_book_", "live_orders_", "live_trades_"];

impl<'t> Shape<'t> {
    fn of(logged: Option<&'t str>, root: Value<'t>) -> Option<Shape<'t>> {
        if let Some(event) = logged {
            let is_known = event == "trade" || event == "order_book" || is_order_event(event);
            return (is_known && root.is_object()).then_some(Shape::Logged(event));
        }
        let text = |name| root.field(name).and_then(Value::string);
        let Some(event) = text("event") else {
            let names = ["timestamp", "bids", "asks"];
            return names.iter().all(|name| root.field(name).is_some()).then_some(Shape::Reply);
        };
        if event.starts_with("bts:") {
            return Some(Shape::Control);
        }
        let channel = text("channel")?;
        let (kind, symbol) = CHANNELS.iter().find_map(|kind| Some((*kind, channel.strip_prefix(kind)?)))?;
        let chain = text("pre_event_id").zip(text("event_id"));
        Some(Shape::Channel(Channel { kind, symbol, event, data: root.field("data")?, chain }))
    }
}

fn is_order_event(event: &str) -> bool {
    matches!(event, "order_created" | "order_changed" | "order_deleted")
}

impl Buffers {
    fn channel<'l>(&'l mut self, channel: &Channel<'l>) -> Result<Message<'l>, DecodeError> {
        let (symbol, data) = (channel.symbol, channel.data);
        match (channel.kind, channel.event) {
            ("live_orders_", event) if is_order_event(event) => {
                let time = read_micros(data, "microtimestamp")?;
                let link = match channel.chain {
                    Some((previous, this)) => Link::Chained {
                        previous: event_micros(previous).ok_or(DecodeError::WrongType("pre_event_id"))?,
                        this: event_micros(this).ok_or(DecodeError::WrongType("event_id"))?,
                    },
                    None => Link::Rising(time.0),
                };
                order(event, data, symbol, link, time.1).map(Message::Order)
            }
            ("live_trades_", "trade") => trade(data, symbol).map(Message::Trade),
            ("diff_order_book_", "data") => {
                let (micros, exchange_ns) = read_micros(data, "microtimestamp")?;
                self.levels.clear();
                for (name, side) in SIDES {
                    push_pairs(&mut self.levels, name, side, data.required_items(name)?)?;
                }
                Ok(Message::Book(BookMessage {
                    symbol,
                    link: Link::Rising(micros),
                    exchange_ns,
                    is_snapshot: false,
                    is_last: true,
                    depth_max: None,
                    checksum: None,
                    levels: &self.levels,
                }))
            }
            // A REST reply that a recorder put into the channel.
            ("diff_order_book_", "snapshot") => self.reply(data, symbol),
            ("order_book_" | "detail_order_book_", "data") => {
                let (last_id, exchange_ns) = read_time(data)?;
                self.sum_levels(data)?;
                Ok(Message::PartialDepth(SnapshotMessage { symbol: Some(symbol), last_id, exchange_ns, levels: &self.levels }))
            }
            (_, event) => Err(DecodeError::UnknownEvent(EventName::new(event))),
        }
    }

    /// A whole book: of orders where its rows have ids (`group=2`), else of levels.
    fn reply<'l>(&'l mut self, reply: Value<'l>, symbol: &'l str) -> Result<Message<'l>, DecodeError> {
        let (micros, exchange_ns) = read_time(reply)?;
        let first = SIDES.iter().filter_map(|(name, _)| reply.field(name)?.items().next()).next();
        if first.is_none_or(|row| row.items().nth(2).is_none()) {
            self.sum_levels(reply)?;
            return Ok(Message::Book(BookMessage {
                symbol,
                link: Link::Rising(micros),
                exchange_ns,
                is_snapshot: true,
                is_last: true,
                depth_max: None,
                checksum: None,
                levels: &self.levels,
            }));
        }
        self.orders.clear();
        for (name, side) in SIDES {
            for row in reply.required_items(name)? {
                let (price, qty, id) = parts(row, name)?;
                let id = id.ok_or(DecodeError::WrongType(name))?.to_unsigned(name)?;
                let (price, qty) = (book_price(price, side, name)?, qty.to_qty(name)?);
                push_order(&mut self.orders, price.map(|price| RestingOrder { id, side, price, qty }))?;
            }
        }
        let link = Link::Rising(micros);
        Ok(Message::OrderSnapshot(OrderSnapshotMessage { symbol: Some(symbol), link, exchange_ns, orders: &self.orders }))
    }

    fn logged<'l>(&'l mut self, event: &str, data: Value<'l>, symbol: &'l str) -> Result<Message<'l>, DecodeError> {
        match event {
            "order_book" => {
                self.sum_levels(data)?;
                Ok(Message::PartialDepth(SnapshotMessage {
                    symbol: Some(symbol),
                    last_id: 0,
                    exchange_ns: 0,
                    levels: &self.levels,
                }))
            }
            "trade" => {
                // Who took is not said, so it is no trade for the features; its fills are in the orders' messages.
                read_nearest(data)?;
                Ok(Message::Ignored(Ignored::Statistics))
            }
            event => {
                let exchange_ns = unix_ns(data.required_unsigned("datetime")?, TimeUnit::Seconds);
                let exchange_ns = exchange_ns.ok_or(DecodeError::OutOfRange("datetime"))?;
                order(event, data, symbol, Link::None, exchange_ns).map(Message::Order)
            }
        }
    }

    /// The levels of both sides; orders of one price that follow one another are one level.
    fn sum_levels(&mut self, data: Value<'_>) -> Result<(), DecodeError> {
        self.levels.clear();
        for (name, side) in SIDES {
            for row in data.required_items(name)? {
                let (price, qty, _) = parts(row, name)?;
                let count = self.levels.len();
                push_level(&mut self.levels, name, side, price, qty)?;
                if self.levels.len() > count
                    && let [.., before, last] = self.levels.as_mut_slice()
                    && (before.side, before.price) == (last.side, last.price)
                {
                    before.qty.0 = before.qty.0.checked_add(last.qty.0).ok_or(DecodeError::OutOfRange(name))?;
                    self.levels.pop();
                }
            }
        }
        Ok(())
    }
}

const SIDES: [(&str, Side); 2] = [("bids", Side::Buy), ("asks", Side::Sell)];

/// Price, quantity and, where it is there, order id of a row.
fn parts<'t>(row: Value<'t>, name: &'static str) -> Result<(Value<'t>, Value<'t>, Option<Value<'t>>), DecodeError> {
    let mut parts: Items<'t> = row.items();
    let (Some(price), Some(qty)) = (parts.next(), parts.next()) else { return Err(DecodeError::WrongType(name)) };
    Ok((price, qty, parts.next()))
}

fn order<'l>(event: &str, data: Value<'l>, symbol: &'l str, link: Link, exchange_ns: i64) -> Result<OrderMessage<'l>, DecodeError> {
    // Prices are strings in the log, and strings beside numbers in the channel.
    let either = |first: &'static str, second: &'static str| match data.field(first) {
        Some(value) => Ok((value, first)),
        None => Ok((data.required(second)?, second)),
    };
    let (id, name) = either("id_str", "id")?;
    let id = id.to_unsigned(name)?;
    let action = if event == "order_deleted" {
        OrderAction::Delete { id }
    } else {
        let (price, price_name) = either("price_str", "price")?;
        let (qty, qty_name) = either("amount_str", "amount")?;
        let side = read_side(data, "order_type")?;
        let (price, qty) = (book_price(price, side, price_name)?, qty.to_qty(qty_name)?);
        match price.map(|price| RestingOrder { id, side, price, qty }) {
            Some(order) if event == "order_created" => OrderAction::Add(order),
            Some(order) => OrderAction::Modify(order),
            // Out of reach.
            None if event == "order_created" => OrderAction::Nothing,
            None => OrderAction::Delete { id },
        }
    };
    Ok(OrderMessage { symbol, link, exchange_ns, is_last: true, action })
}

fn trade<'l>(data: Value<'l>, symbol: &'l str) -> Result<TradeMessage<'l>, DecodeError> {
    Ok(TradeMessage {
        symbol,
        id: data.required_unsigned("id")?,
        price: data.required_positive_price("price_str")?,
        qty: data.required_qty("amount_str")?,
        aggressor: Some(read_side(data, "type")?),
        exchange_ns: read_micros(data, "microtimestamp")?.1,
    })
}

/// A logged trade's price, to see that it is one: the log writes binary floats with 17 digits.
fn read_nearest(data: Value<'_>) -> Result<Price, DecodeError> {
    let number = |name| data.required(name)?.number().ok_or(DecodeError::WrongType(name));
    nearest_qty(number("amount")?).map_err(|error| DecodeError::Decimal("amount", error))?;
    nearest_price(number("price")?).map_err(|error| DecodeError::Decimal("price", error))
}

fn read_side(data: Value<'_>, name: &'static str) -> Result<Side, DecodeError> {
    match data.required_unsigned(name)? {
        0 => Ok(Side::Buy),
        1 => Ok(Side::Sell),
        _ => Err(DecodeError::OutOfRange(name)),
    }
}

/// A time in microseconds, as it is and in nanoseconds.
fn read_micros(data: Value<'_>, name: &'static str) -> Result<(u64, i64), DecodeError> {
    let micros = data.required_unsigned(name)?;
    Ok((micros, unix_ns(micros, TimeUnit::Micros).ok_or(DecodeError::OutOfRange(name))?))
}

/// The time of a book; the oldest ones have it in seconds only.
fn read_time(data: Value<'_>) -> Result<(u64, i64), DecodeError> {
    if data.field("microtimestamp").is_some() {
        return read_micros(data, "microtimestamp");
    }
    let seconds = data.required_unsigned("timestamp")?;
    let nanos = unix_ns(seconds, TimeUnit::Seconds).ok_or(DecodeError::OutOfRange("timestamp"))?;
    Ok((seconds * 1_000_000, nanos))
}

/// The time an event id begins with.
fn event_micros(id: &str) -> Option<u64> {
    uuid(id).map(|uuid| (uuid >> 64) as u64)
}

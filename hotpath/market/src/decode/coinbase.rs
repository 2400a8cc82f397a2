//! Coinbase Exchange: `level2`, `ticker`, `matches`, `full` and `level3`, and REST order books.
//!
//! `full` and `level3` number the messages of each product, one by one; every number is handed over, also of those that leave the
//! book as it is. A match names the side of the order at rest, so its aggressor is the other. It is a trade by itself on `matches`,
//! and the execution of a resting order on `full`; once the connection has shown that it is subscribed to `full`, the latter.
//! A limit order that is filled in full is not deleted again by its `done`; one that was cancelled before it rested is.

use super::levels::{book_price, push_level, push_order};
use super::order_id::fold_id;
use super::tape::{Items, Tape, Value};
use super::time_text::iso_ns;
use super::{
    BookMessage, DecodeError, DecodeSink, Decoder, EventName, Ignored, LevelChange, Link, MESSAGE_LEVELS_MAX, Message, OrderAction,
    OrderMessage, OrderSnapshotMessage, QuoteMessage, RestingOrder, SnapshotMessage, TradeMessage,
};
use crate::event::Side;
use crate::frame::{Bbo, Level};
use crate::time::Timestamp;

/// Room for the symbol of replies.
const SYMBOL_BYTES: usize = 64;

/// Decodes the messages of one connection.
pub struct CoinbaseDecoder {
    tape: Tape,
    levels: Vec<LevelChange>,
    orders: Vec<RestingOrder>,
    /// The symbol of replies, which name none.
    symbol: String,
    /// Whether matches are those of `full`.
    is_full: bool,
    schema: [Columns; LEVEL3_TYPES.len()],
}

/// Types of a `level3` row.
const LEVEL3_TYPES: [&str; 5] = ["change", "done", "match", "noop", "open"];

/// Where a `level3` row of one type has its parts; they are told on subscribing.
#[derive(Clone, Copy, Default)]
struct Columns {
    symbol: Option<usize>,
    sequence: Option<usize>,
    order_id: Option<usize>,
    side: Option<usize>,
    price: Option<usize>,
    size: Option<usize>,
    time: Option<usize>,
}

impl Default for CoinbaseDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl CoinbaseDecoder {
    /// A decoder with its memory taken.
    pub fn new() -> CoinbaseDecoder {
        CoinbaseDecoder {
            tape: Tape::new(),
            levels: Vec::with_capacity(MESSAGE_LEVELS_MAX),
            orders: Vec::with_capacity(MESSAGE_LEVELS_MAX),
            symbol: String::with_capacity(SYMBOL_BYTES),
            is_full: false,
            schema: Default::default(),
        }
    }

    /// Says whose the replies are that follow.
    pub fn set_symbol(&mut self, symbol: &str) {
        self.symbol.clear();
        self.symbol.push_str(symbol);
    }

    /// Whether a message has the shape of this venue's, by its key fields.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        self.tape.read(raw).is_ok_and(|root| Shape::of(root).is_some())
    }
}

impl Decoder for CoinbaseDecoder {
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let root = self.tape.read(raw)?;
        let message = match Shape::of(root).ok_or(DecodeError::Unrecognised)? {
            Shape::Subscriptions => {
                let mut channels = root.required_items("channels")?;
                self.is_full |= channels.any(|channel| channel.field("name").and_then(Value::string) == Some("full"));
                Message::Ignored(Ignored::Control)
            }
            Shape::Schema(schema) => {
                for (columns, name) in self.schema.iter_mut().zip(LEVEL3_TYPES) {
                    *columns = Columns::of(schema.required_items(name)?);
                }
                Message::Ignored(Ignored::Control)
            }
            Shape::Control => Message::Ignored(Ignored::Control),
            Shape::Products => Message::Ignored(Ignored::Definition),
            Shape::Level3(kind) => Message::Order(level3(root, LEVEL3_TYPES[kind], &self.schema[kind])?),
            Shape::Reply => {
                let symbol = Some(self.symbol.as_str()).filter(|symbol| !symbol.is_empty());
                reply(root, symbol, &mut self.levels, &mut self.orders)?
            }
            Shape::Product { kind, symbol } => match kind {
                "snapshot" | "l2update" => Message::Book(book(root, kind, symbol, &mut self.levels)?),
                "ticker" => ticker(root, symbol)?,
                // The last one before the subscription.
                "last_match" => Message::Ignored(Ignored::Statistics),
                "match" if !self.is_full => Message::Trade(trade(root, symbol)?),
                _ => {
                    let order = order(root, kind, symbol)?;
                    self.is_full = true;
                    Message::Order(order)
                }
            },
        };
        out.message(recv, &message);
        Ok(())
    }
}

enum Shape<'t> {
    /// A message about one product.
    Product {
        kind: &'t str,
        symbol: &'t str,
    },
    /// A row of `level3`: the place of its type.
    Level3(usize),
    Schema(Value<'t>),
    Subscriptions,
    Products,
    /// A REST order book.
    Reply,
    Control,
}

impl<'t> Shape<'t> {
    fn of(root: Value<'t>) -> Option<Shape<'t>> {
        if root.is_array() {
            let kind = root.items().next()?.string()?;
            return LEVEL3_TYPES.iter().position(|known| *known == kind).map(Shape::Level3);
        }
        let text = |name| root.field(name).and_then(Value::string);
        let has = |name| root.field(name).is_some();
        match text("type") {
            Some("subscriptions") if has("channels") => Some(Shape::Subscriptions),
            Some("level3") => root.field("schema").map(Shape::Schema),
            Some("status") if has("products") => Some(Shape::Products),
            Some("error") if has("message") => Some(Shape::Control),
            Some("heartbeat") if has("sequence") => Some(Shape::Control),
            Some(kind) => text("product_id").map(|symbol| Shape::Product { kind, symbol }),
            None => ["sequence", "bids", "asks"].into_iter().all(has).then_some(Shape::Reply),
        }
    }
}

impl Columns {
    fn of(names: Items<'_>) -> Columns {
        let mut columns = Columns::default();
        for (place, name) in names.enumerate() {
            let column = match name.string() {
                Some("product_id") => &mut columns.symbol,
                Some("sequence") => &mut columns.sequence,
                Some("order_id" | "maker_order_id") => &mut columns.order_id,
                Some("side") => &mut columns.side,
                Some("price") => &mut columns.price,
                Some("size") => &mut columns.size,
                Some("time") => &mut columns.time,
                _ => continue,
            };
            *column = Some(place);
        }
        columns
    }
}

fn book<'l>(
    root: Value<'l>,
    kind: &str,
    symbol: &'l str,
    levels: &'l mut Vec<LevelChange>,
) -> Result<BookMessage<'l>, DecodeError> {
    levels.clear();
    let is_snapshot = kind == "snapshot";
    if is_snapshot {
        for (name, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
            for level in root.required_items(name)? {
                let mut parts = level.items();
                let (Some(price), Some(size)) = (parts.next(), parts.next()) else { return Err(DecodeError::WrongType(name)) };
                push_sound_level(levels, name, side, price, size)?;
            }
        }
    } else {
        for change in root.required_items("changes")? {
            let mut parts = change.items();
            let (Some(side), Some(price), Some(size)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(DecodeError::WrongType("changes"));
            };
            push_sound_level(levels, "changes", read_side(side, "changes")?, price, size)?;
        }
    }
    Ok(BookMessage {
        symbol,
        link: Link::None,
        exchange_ns: read_time(root)?,
        is_snapshot,
        is_last: true,
        depth_max: None,
        checksum: None,
        levels,
    })
}

/// The venue has sent sizes such as `0.-10000`; such a level is left out.
fn push_sound_level(
    levels: &mut Vec<LevelChange>,
    name: &'static str,
    side: Side,
    price: Value<'_>,
    size: Value<'_>,
) -> Result<(), DecodeError> {
    if size.string().is_some_and(|size| size.starts_with("0.-")) {
        return Ok(());
    }
    push_level(levels, name, side, price, size)
}

/// A quote, where the sizes are sent too; they were not before 2022.
fn ticker<'l>(root: Value<'l>, symbol: &'l str) -> Result<Message<'l>, DecodeError> {
    if root.field("best_bid_size").is_none() || root.field("best_ask_size").is_none() {
        return Ok(Message::Ignored(Ignored::Ticker));
    }
    let level = |price, size| -> Result<Level, DecodeError> {
        Ok(Level { price: root.required(price)?.to_price(price)?, qty: root.required_qty(size)? })
    };
    Ok(Message::Quote(QuoteMessage {
        symbol,
        id: root.required_unsigned("sequence")?,
        bbo: Bbo { bid: level("best_bid", "best_bid_size")?, ask: level("best_ask", "best_ask_size")? },
        exchange_ns: read_time(root)?,
    }))
}

fn trade<'l>(root: Value<'l>, symbol: &'l str) -> Result<TradeMessage<'l>, DecodeError> {
    Ok(TradeMessage {
        symbol,
        id: root.required_unsigned("trade_id")?,
        price: root.required_positive_price("price")?,
        qty: root.required_qty("size")?,
        aggressor: Some(read_side(root.required("side")?, "side")?.opposite()),
        exchange_ns: read_time(root)?,
    })
}

/// A message of `full`.
fn order<'l>(root: Value<'l>, kind: &str, symbol: &'l str) -> Result<OrderMessage<'l>, DecodeError> {
    let id = |name| Ok(fold_id(root.required_text(name)?));
    let resting = |price: &'static str, size: &'static str| -> Result<Option<RestingOrder>, DecodeError> {
        let side = read_side(root.required("side")?, "side")?;
        let price = book_price(root.required(price)?, side, price)?;
        let (id, qty) = (id("order_id")?, root.required_qty(size)?);
        Ok(price.map(|price| RestingOrder { id, side, price, qty }))
    };
    let action = match kind {
        "received" | "activate" => OrderAction::Nothing,
        "open" => resting("price", "remaining_size")?.map_or(OrderAction::Nothing, OrderAction::Add),
        // Its matches took it off, or it was a market order and never rested.
        "done" if root.field("price").is_none() || root.field("reason").and_then(Value::string) == Some("filled") => {
            OrderAction::Nothing
        }
        "done" => OrderAction::Delete { id: id("order_id")? },
        "match" => OrderAction::Execute {
            id: id("maker_order_id")?,
            qty: root.required_qty("size")?,
            price: None,
            trade_id: root.required_unsigned("trade_id")?,
            is_printable: true,
        },
        // Of a market order the funds change.
        "change" if root.field("new_size").is_none() => OrderAction::Nothing,
        "change" => {
            let price = if root.field("new_price").is_some() { "new_price" } else { "price" };
            match root.field(price) {
                None => OrderAction::Nothing,
                Some(_) => resting(price, "new_size")?.map_or(OrderAction::Delete { id: id("order_id")? }, OrderAction::Modify),
            }
        }
        other => return Err(DecodeError::UnknownEvent(EventName::new(other))),
    };
    let link = Link::Consecutive(root.required_unsigned("sequence")?);
    Ok(OrderMessage { symbol, link, exchange_ns: read_time(root)?, is_last: true, action })
}

fn level3<'l>(root: Value<'l>, kind: &str, columns: &Columns) -> Result<OrderMessage<'l>, DecodeError> {
    let part = |place: Option<usize>, name| {
        let place = place.ok_or(DecodeError::Missing("schema"))?;
        root.items().nth(place).ok_or(DecodeError::Missing(name))
    };
    let id = || Ok::<_, DecodeError>(fold_id(part(columns.order_id, "order_id")?.to_text("order_id")?));
    let size = || part(columns.size, "size")?.to_qty("size");
    let action = match kind {
        "noop" => OrderAction::Nothing,
        "done" => OrderAction::Delete { id: id()? },
        "match" => OrderAction::Execute { id: id()?, qty: size()?, price: None, trade_id: 0, is_printable: true },
        "open" => {
            let side = read_side(part(columns.side, "side")?, "side")?;
            let price = book_price(part(columns.price, "price")?, side, "price")?;
            let (id, qty) = (id()?, size()?);
            price.map_or(OrderAction::Nothing, |price| OrderAction::Add(RestingOrder { id, side, price, qty }))
        }
        // The side is not told again. The order goes to the end of its queue, which is wrong where only its size fell.
        _ => {
            let price = part(columns.price, "price")?.to_positive_price("price")?;
            OrderAction::Replace { id: id()?, new_id: id()?, price, qty: size()? }
        }
    };
    Ok(OrderMessage {
        symbol: part(columns.symbol, "product_id")?.to_text("product_id")?,
        link: Link::Consecutive(part(columns.sequence, "sequence")?.to_unsigned("sequence")?),
        exchange_ns: to_time(part(columns.time, "time")?)?,
        is_last: true,
        action,
    })
}

/// Every order where the rows end with an order id (`level=3`), else levels.
fn reply<'l>(
    root: Value<'l>,
    symbol: Option<&'l str>,
    levels: &'l mut Vec<LevelChange>,
    orders: &'l mut Vec<RestingOrder>,
) -> Result<Message<'l>, DecodeError> {
    let sequence = root.required_unsigned("sequence")?;
    let exchange_ns = read_time(root)?;
    levels.clear();
    orders.clear();
    let sides = [("bids", Side::Buy), ("asks", Side::Sell)];
    let first = sides.iter().filter_map(|(name, _)| root.field(name)?.items().next()).next();
    let has_ids = first.is_some_and(|row| row.items().nth(2).is_some_and(|id| id.string().is_some()));
    for (name, side) in sides {
        for row in root.required_items(name)? {
            let mut parts = row.items();
            let (Some(price), Some(size)) = (parts.next(), parts.next()) else { return Err(DecodeError::WrongType(name)) };
            if has_ids {
                let id = fold_id(parts.next().ok_or(DecodeError::WrongType(name))?.to_text(name)?);
                let (price, qty) = (book_price(price, side, name)?, size.to_qty(name)?);
                push_order(orders, price.map(|price| RestingOrder { id, side, price, qty }))?;
            } else {
                push_level(levels, name, side, price, size)?;
            }
        }
    }
    Ok(if has_ids {
        Message::OrderSnapshot(OrderSnapshotMessage { symbol, link: Link::Consecutive(sequence), exchange_ns, orders })
    } else {
        Message::Snapshot(SnapshotMessage { symbol, last_id: sequence, exchange_ns, levels })
    })
}

fn read_side(side: Value<'_>, name: &'static str) -> Result<Side, DecodeError> {
    match side.to_text(name)? {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        _ => Err(DecodeError::OutOfRange(name)),
    }
}

/// The message's time; 0 where it has none.
fn read_time(root: Value<'_>) -> Result<i64, DecodeError> {
    root.field("time").map_or(Ok(0), to_time)
}

/// A time; the venue writes the first day of year 1 where it knows none.
fn to_time(time: Value<'_>) -> Result<i64, DecodeError> {
    let text = time.to_text("time")?;
    if text.starts_with("0001-01-01T") { Ok(0) } else { iso_ns(text).ok_or(DecodeError::OutOfRange("time")) }
}

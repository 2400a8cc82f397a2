//! Bitfinex, WebSocket v2: raw books (`R0`, order by order), books by level (`P0` to `P4`), trades.
//!
//! A message carries the number of its channel; what the channel is about was said once, when it was subscribed to. A raw book
//! sends a new order and a changed one alike, so the decoder keeps the ids at rest to tell which it is: at most 250 a side.
//! Messages have no times unless the client asked for them.

use super::levels::push_order;
use super::tape::{Items, Tape, Value};
use super::time_text::unix_ns;
use super::{
    BookMessage, DecodeError, DecodeSink, Decoder, EventName, Ignored, LevelChange, Link, MESSAGE_LEVELS_MAX, Message, OrderAction,
    OrderMessage, OrderSnapshotMessage, RestingOrder, TradeMessage,
};
use crate::event::Side;
use crate::fixed::Qty;
use crate::time::{NANOS_PER_MILLI, TimeUnit, Timestamp};

/// Channels of one connection; the venue allows 30.
const CHANNELS_MAX: usize = 64;
/// Orders at rest in a raw book: the venue keeps 250 a side, and a few may come before others leave.
const ORDERS_MAX: usize = 1_024;

/// Decodes the messages of one connection.
pub struct BitfinexDecoder {
    tape: Tape,
    levels: Vec<LevelChange>,
    orders: Vec<RestingOrder>,
    channels: Vec<Channel>,
}

struct Channel {
    id: u64,
    kind: ChannelKind,
    symbol: String,
    /// Ids at rest, ascending.
    resting: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ChannelKind {
    Orders,
    Levels,
    Trades,
    Other,
}

impl Default for BitfinexDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl BitfinexDecoder {
    /// A decoder with its memory taken, but for what each subscription needs.
    pub fn new() -> BitfinexDecoder {
        BitfinexDecoder {
            tape: Tape::new(),
            levels: Vec::with_capacity(MESSAGE_LEVELS_MAX),
            orders: Vec::with_capacity(MESSAGE_LEVELS_MAX),
            channels: Vec::with_capacity(CHANNELS_MAX),
        }
    }

    /// Whether a message has the shape of this venue's, by its key fields.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        self.tape.read(raw).is_ok_and(|root| Shape::of(root).is_some())
    }
}

impl Decoder for BitfinexDecoder {
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let root = self.tape.read(raw)?;
        let message = match Shape::of(root).ok_or(DecodeError::Unrecognised)? {
            Shape::Event(event) => {
                note_event(&mut self.channels, event, root)?;
                Message::Ignored(Ignored::Control)
            }
            Shape::Content { channel, content } => {
                let id = channel.to_unsigned("chanId")?;
                let channel = self.channels.iter_mut().find(|channel| channel.id == id);
                let channel = channel.ok_or(DecodeError::Unsupported("channel", id))?;
                channel.message(content, read_time(root)?, &mut self.levels, &mut self.orders)?
            }
        };
        out.message(recv, &message);
        Ok(())
    }
}

enum Shape<'t> {
    Event(&'t str),
    /// `[channel, content …]`
    Content {
        channel: Value<'t>,
        content: Items<'t>,
    },
}

impl<'t> Shape<'t> {
    fn of(root: Value<'t>) -> Option<Shape<'t>> {
        if root.is_object() {
            let event = root.field("event")?.string()?;
            let is_known = match event {
                "info" => root.field("version").is_some() || root.field("code").is_some(),
                "subscribed" | "unsubscribed" => root.field("chanId").is_some(),
                "conf" => root.field("flags").is_some(),
                "pong" => root.field("ts").is_some(),
                "error" => root.field("code").is_some(),
                _ => false,
            };
            return is_known.then_some(Shape::Event(event));
        }
        let mut content = root.items();
        let channel = content.next().filter(|id| id.number().is_some())?;
        let first = content.clone().next()?;
        let is_content = first.is_array() && first.items().next().is_none_or(|part| part.is_array() || part.number().is_some());
        let is_notice = matches!(first.string(), Some("hb" | "cs" | "te" | "tu"));
        // Another venue's lists name their channel at the end.
        let is_named = content.clone().skip(1).any(|part| part.string().is_some());
        ((is_content || is_notice) && !is_named).then_some(Shape::Content { channel, content })
    }
}

impl Channel {
    fn message<'l>(
        &'l mut self,
        mut content: Items<'l>,
        exchange_ns: i64,
        levels: &'l mut Vec<LevelChange>,
        orders: &'l mut Vec<RestingOrder>,
    ) -> Result<Message<'l>, DecodeError> {
        let body = content.next().ok_or(DecodeError::Missing("content"))?;
        match (self.kind, body.string()) {
            (_, Some("hb" | "cs")) => Ok(Message::Ignored(Ignored::Control)),
            // `tu` says again what `te` said.
            (ChannelKind::Trades, Some("tu")) => Ok(Message::Ignored(Ignored::Statistics)),
            (ChannelKind::Trades, Some("te")) => {
                let trade = content.next().ok_or(DecodeError::Missing("trade"))?;
                read_trade(trade, &self.symbol).map(Message::Trade)
            }
            (_, Some(other)) => Err(DecodeError::UnknownEvent(EventName::new(other))),
            // Trades that were before the subscription.
            (ChannelKind::Trades, None) => Ok(Message::Ignored(Ignored::Statistics)),
            (ChannelKind::Other, None) => Ok(Message::Ignored(Ignored::Ticker)),
            (ChannelKind::Orders, None) if is_snapshot(body) => {
                orders.clear();
                for row in body.items() {
                    push_order(orders, Some(read_order(row)?.ok_or(DecodeError::OutOfRange("price"))?))?;
                }
                if orders.len() > ORDERS_MAX {
                    return Err(DecodeError::Capacity("orders"));
                }
                self.resting.clear();
                self.resting.extend(orders.iter().map(|order| order.id));
                self.resting.sort_unstable();
                let (symbol, link) = (Some(self.symbol.as_str()), Link::None);
                Ok(Message::OrderSnapshot(OrderSnapshotMessage { symbol, link, exchange_ns, orders }))
            }
            (ChannelKind::Orders, None) => {
                let action = self.order_action(body)?;
                Ok(Message::Order(OrderMessage { symbol: &self.symbol, link: Link::None, exchange_ns, is_last: true, action }))
            }
            (ChannelKind::Levels, None) => {
                levels.clear();
                let is_snapshot = is_snapshot(body);
                if is_snapshot {
                    for row in body.items() {
                        if levels.len() >= MESSAGE_LEVELS_MAX {
                            return Err(DecodeError::TooManyLevels);
                        }
                        levels.push(read_level(row)?);
                    }
                } else {
                    levels.push(read_level(body)?);
                }
                Ok(Message::Book(BookMessage {
                    symbol: &self.symbol,
                    link: Link::None,
                    exchange_ns,
                    is_snapshot,
                    is_last: true,
                    depth_max: None,
                    checksum: None,
                    levels,
                }))
            }
        }
    }

    /// What a row of a raw book does to the orders at rest.
    fn order_action(&mut self, row: Value<'_>) -> Result<OrderAction, DecodeError> {
        let Some(order) = read_order(row)? else {
            let id = row.items().next().ok_or(DecodeError::Missing("id"))?.to_unsigned("id")?;
            if let Ok(place) = self.resting.binary_search(&id) {
                self.resting.remove(place);
            }
            return Ok(OrderAction::Delete { id });
        };
        match self.resting.binary_search(&order.id) {
            Ok(_) => Ok(OrderAction::Modify(order)),
            Err(_) if self.resting.len() >= ORDERS_MAX => Err(DecodeError::Capacity("orders")),
            Err(place) => {
                self.resting.insert(place, order.id);
                Ok(OrderAction::Add(order))
            }
        }
    }
}

fn note_event(channels: &mut Vec<Channel>, event: &str, root: Value<'_>) -> Result<(), DecodeError> {
    match event {
        // The first message of a connection; channels of an earlier one are gone.
        "info" if root.field("version").is_some() => channels.clear(),
        "unsubscribed" => {
            let id = root.required_unsigned("chanId")?;
            channels.retain(|channel| channel.id != id);
        }
        "subscribed" => {
            let id = root.required_unsigned("chanId")?;
            let symbol = root.field("symbol").and_then(Value::string).unwrap_or("");
            let precision = root.field("prec").and_then(Value::string).unwrap_or("");
            // Symbols that begin with `f` are of loans: other rows, other units.
            let kind = match root.required_text("channel")? {
                _ if !symbol.starts_with('t') => ChannelKind::Other,
                "book" if precision == "R0" => ChannelKind::Orders,
                "book" => ChannelKind::Levels,
                "trades" => ChannelKind::Trades,
                _ => ChannelKind::Other,
            };
            channels.retain(|channel| channel.id != id);
            if channels.len() >= CHANNELS_MAX {
                return Err(DecodeError::Capacity("channels"));
            }
            let resting = Vec::with_capacity(if kind == ChannelKind::Orders { ORDERS_MAX } else { 0 });
            channels.push(Channel { id, kind, symbol: symbol.to_owned(), resting });
        }
        _ => {}
    }
    Ok(())
}

/// `[id, price, amount]`, bids above 0 and asks below; `None` where the price is 0 and the order gone.
fn read_order(row: Value<'_>) -> Result<Option<RestingOrder>, DecodeError> {
    let [id, price, amount] = three(row)?;
    let (id, price) = (id.to_unsigned("id")?, price.to_price("price")?);
    let (side, qty) = read_amount(amount)?;
    Ok((price.0 > 0).then_some(RestingOrder { id, side, price, qty }))
}

/// `[price, count, amount]`; the level is gone where no order is left to count.
fn read_level(row: Value<'_>) -> Result<LevelChange, DecodeError> {
    let [price, count, amount] = three(row)?;
    let price = price.to_positive_price("price")?;
    let (side, qty) = read_amount(amount)?;
    Ok(LevelChange { side, price, qty: if count.to_unsigned("count")? == 0 { Qty::ZERO } else { qty } })
}

/// `[id, time in ms, amount, price]`, the amount above 0 where the taker bought.
fn read_trade<'l>(row: Value<'l>, symbol: &'l str) -> Result<TradeMessage<'l>, DecodeError> {
    let [id, time, amount] = three(row)?;
    let price = row.items().nth(3).ok_or(DecodeError::Missing("price"))?.to_positive_price("price")?;
    let (aggressor, qty) = read_amount(amount)?;
    Ok(TradeMessage {
        symbol,
        id: id.to_unsigned("id")?,
        price,
        qty,
        aggressor: Some(aggressor),
        exchange_ns: unix_ns(time.to_unsigned("mts")?, TimeUnit::Millis).ok_or(DecodeError::OutOfRange("mts"))?,
    })
}

fn read_amount(amount: Value<'_>) -> Result<(Side, Qty), DecodeError> {
    let amount = amount.to_signed_qty("amount")?;
    match amount.0 {
        0 => Err(DecodeError::OutOfRange("amount")),
        1.. => Ok((Side::Buy, amount)),
        below => Ok((Side::Sell, Qty(below.checked_neg().ok_or(DecodeError::OutOfRange("amount"))?))),
    }
}

fn three(row: Value<'_>) -> Result<[Value<'_>; 3], DecodeError> {
    let mut parts = row.items();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(first), Some(second), Some(third)) => Ok([first, second, third]),
        _ => Err(DecodeError::WrongType("row")),
    }
}

/// A list of rows, perhaps of none; a change is one row by itself.
fn is_snapshot(body: Value<'_>) -> bool {
    body.items().next().is_none_or(Value::is_array)
}

/// The time at the end of a message, where the client asked for it; the sequence number that may stand there too is far smaller.
fn read_time(root: Value<'_>) -> Result<i64, DecodeError> {
    let last = root.items().skip(2).last().and_then(Value::number).and_then(|number| number.parse::<i64>().ok());
    match last {
        Some(time) if TimeUnit::of_magnitude(time) == Some(TimeUnit::Millis) => Ok(time * NANOS_PER_MILLI),
        _ => Ok(0),
    }
}

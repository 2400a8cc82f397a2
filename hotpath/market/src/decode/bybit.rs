//! Bybit: the v5 feed (`orderbook`, `publicTrade`, `tickers`) and the one before it (`orderBookL2_25`, `orderBook_200`, `trade`).
//!
//! Update ids of a v5 book rise by one and begin again with a snapshot numbered 1 when the service restarts. The older feed numbers
//! the whole market. A level that leaves a book's depth is deleted by name in both.

use super::decimal::nearest_price;
use super::levels::{book_price, push_level, push_pairs};
use super::order_id::fold_id;
use super::tape::{Discard, Items, Tape, Value};
use super::time_text::unix_ns;
use super::{
    BookMessage, DecodeError, DecodeSink, Decoder, EventName, Ignored, LevelChange, Link, MESSAGE_LEVELS_MAX, MarkMessage, Message,
    QuoteMessage, TradeMessage,
};
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, Level};
use crate::time::{TimeUnit, Timestamp};

/// Decodes both feeds, spot, linear and inverse.
pub struct BybitDecoder {
    tape: Tape,
    levels: Vec<LevelChange>,
}

impl Default for BybitDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl BybitDecoder {
    /// A decoder with its memory taken.
    pub fn new() -> BybitDecoder {
        BybitDecoder { tape: Tape::new(), levels: Vec::with_capacity(MESSAGE_LEVELS_MAX) }
    }

    /// Whether a message has the shape of this venue's, by its key fields.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        self.tape.read(raw).is_ok_and(|root| Shape::of(root).is_some())
    }
}

impl Decoder for BybitDecoder {
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let root = self.tape.read(raw)?;
        let Shape::Topic { kind, symbol, data } = Shape::of(root).ok_or(DecodeError::Unrecognised)? else {
            out.message(recv, &Message::Ignored(Ignored::Control));
            return Ok(());
        };
        let message = match kind {
            "orderbook" => Message::Book(book(root, symbol, data, &mut self.levels)?),
            "orderBookL2_25" | "orderBook_200" => Message::Book(old_book(root, symbol, data, &mut self.levels)?),
            "publicTrade" | "trade" => {
                let is_old = kind == "trade";
                trades(root.required_items("data")?, is_old, recv, &mut Discard)?;
                return trades(data.items(), is_old, recv, out);
            }
            "tickers" => return ticker(root, data, recv, out),
            "instrument_info" => Message::Ignored(Ignored::Ticker),
            "kline" | "klineV2" | "candle" | "insurance" | "liquidation" | "allLiquidation" | "adlAlert" | "priceLimit" => {
                Message::Ignored(Ignored::Statistics)
            }
            other => return Err(DecodeError::UnknownEvent(EventName::new(other))),
        };
        out.message(recv, &message);
        Ok(())
    }
}

enum Shape<'t> {
    /// Its name is `kind.symbol`, perhaps with a depth or a speed between.
    Topic {
        kind: &'t str,
        symbol: &'t str,
        data: Value<'t>,
    },
    Control,
}

impl<'t> Shape<'t> {
    fn of(root: Value<'t>) -> Option<Shape<'t>> {
        let Some(topic) = root.field("topic") else {
            return root.field("conn_id").and_then(Value::string).map(|_| Shape::Control);
        };
        let (kind, rest) = topic.string()?.split_once('.')?;
        let symbol = rest.rsplit('.').next()?;
        Some(Shape::Topic { kind, symbol, data: root.field("data")? })
    }
}

fn book<'l>(
    root: Value<'l>,
    symbol: &'l str,
    data: Value<'l>,
    levels: &'l mut Vec<LevelChange>,
) -> Result<BookMessage<'l>, DecodeError> {
    let id = data.required_unsigned("u")?;
    let is_snapshot = read_is_snapshot(root)? || id == 1;
    // The time of the matching engine, where it is sent, before the one of the message.
    let time = if root.field("cts").is_some() { "cts" } else { "ts" };
    levels.clear();
    push_pairs(levels, "b", Side::Buy, data.required_items("b")?)?;
    push_pairs(levels, "a", Side::Sell, data.required_items("a")?)?;
    Ok(book_message(symbol, Link::Consecutive(id), read_time(root, time, TimeUnit::Millis)?, is_snapshot, levels))
}

/// A snapshot is a list of levels, in some feeds under `order_book`; a change has three of them.
fn old_book<'l>(
    root: Value<'l>,
    symbol: &'l str,
    data: Value<'l>,
    levels: &'l mut Vec<LevelChange>,
) -> Result<BookMessage<'l>, DecodeError> {
    let link = Link::Rising(root.required_unsigned("cross_seq")?);
    let exchange_ns = read_time(root, "timestamp_e6", TimeUnit::Micros)?;
    let is_snapshot = read_is_snapshot(root)?;
    levels.clear();
    if is_snapshot {
        let list = if data.is_array() { data.items() } else { data.required_items("order_book")? };
        old_levels(list, levels)?;
    } else {
        for level in data.required_items("delete")? {
            let side = read_side(level, "side")?;
            if let Some(price) = book_price(level.required("price")?, side, "price")? {
                levels.push(LevelChange { side, price, qty: Qty::ZERO });
            }
            if levels.len() > MESSAGE_LEVELS_MAX {
                return Err(DecodeError::TooManyLevels);
            }
        }
        old_levels(data.required_items("update")?, levels)?;
        old_levels(data.required_items("insert")?, levels)?;
    }
    Ok(book_message(symbol, link, exchange_ns, is_snapshot, levels))
}

fn old_levels(list: Items<'_>, levels: &mut Vec<LevelChange>) -> Result<(), DecodeError> {
    for level in list {
        push_level(levels, "price", read_side(level, "side")?, level.required("price")?, level.required("size")?)?;
    }
    Ok(())
}

fn book_message<'l>(
    symbol: &'l str,
    link: Link,
    exchange_ns: i64,
    is_snapshot: bool,
    levels: &'l [LevelChange],
) -> BookMessage<'l> {
    BookMessage { symbol, link, exchange_ns, is_snapshot, is_last: true, depth_max: None, checksum: None, levels }
}

fn trades(list: Items<'_>, is_old: bool, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
    for trade in list {
        // Agreed off the book.
        if trade.field("BT").and_then(Value::bool) == Some(true) {
            out.message(recv, &Message::Ignored(Ignored::OffBookTrade));
            continue;
        }
        let [symbol, id, price, qty, side, time] =
            if is_old { ["symbol", "trade_id", "price", "size", "side", "trade_time_ms"] } else { ["s", "i", "p", "v", "S", "T"] };
        let message = TradeMessage {
            symbol: trade.required_text(symbol)?,
            id: fold_id(trade.required_text(id)?),
            price: trade.required_positive_price(price)?,
            qty: trade.required_qty(qty)?,
            aggressor: Some(read_side(trade, side)?),
            exchange_ns: read_time(trade, time, TimeUnit::Millis)?,
        };
        out.message(recv, &Message::Trade(message));
    }
    Ok(())
}

/// A change tells only of what changed: a mark price where there is one, a quote where all four of its parts are there.
fn ticker(root: Value<'_>, data: Value<'_>, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
    // What does not apply is an empty string.
    let sent = |name: &'static str| data.field(name).filter(|value| value.string() != Some(""));
    let symbol = data.required_text("symbol")?;
    let exchange_ns = read_time(root, "ts", TimeUnit::Millis)?;
    let mark = match sent("markPrice") {
        None => None,
        Some(price) => Some(MarkMessage {
            symbol,
            price: price.to_price("markPrice")?,
            index_price: sent("indexPrice").map(|price| price.to_price("indexPrice")).transpose()?,
            funding_rate: sent("fundingRate").map(read_rate).transpose()?,
            next_funding_ns: match sent("nextFundingTime") {
                Some(_) => read_time(data, "nextFundingTime", TimeUnit::Millis)?,
                None => 0,
            },
            exchange_ns,
        }),
    };
    let quote = match (sent("bid1Price"), sent("bid1Size"), sent("ask1Price"), sent("ask1Size")) {
        (Some(bid), Some(bid_qty), Some(ask), Some(ask_qty)) => Some(QuoteMessage {
            symbol,
            id: 0,
            bbo: Bbo {
                bid: Level { price: bid.to_price("bid1Price")?, qty: bid_qty.to_qty("bid1Size")? },
                ask: Level { price: ask.to_price("ask1Price")?, qty: ask_qty.to_qty("ask1Size")? },
            },
            exchange_ns,
        }),
        _ => None,
    };
    if let Some(mark) = mark {
        out.message(recv, &Message::Mark(mark));
    }
    if let Some(quote) = quote {
        out.message(recv, &Message::Quote(quote));
    }
    if mark.is_none() && quote.is_none() {
        out.message(recv, &Message::Ignored(Ignored::Ticker));
    }
    Ok(())
}

/// A rate in units of 1e-9.
fn read_rate(rate: Value<'_>) -> Result<i64, DecodeError> {
    let digits = rate.digits().ok_or(DecodeError::WrongType("fundingRate"))?;
    nearest_price(digits).map(|Price(rate)| rate).map_err(|error| DecodeError::Decimal("fundingRate", error))
}

fn read_is_snapshot(root: Value<'_>) -> Result<bool, DecodeError> {
    match root.required_text("type")? {
        "snapshot" => Ok(true),
        "delta" => Ok(false),
        _ => Err(DecodeError::OutOfRange("type")),
    }
}

fn read_side(value: Value<'_>, name: &'static str) -> Result<Side, DecodeError> {
    match value.required_text(name)? {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        _ => Err(DecodeError::OutOfRange(name)),
    }
}

fn read_time(value: Value<'_>, name: &'static str, unit: TimeUnit) -> Result<i64, DecodeError> {
    unix_ns(value.required_unsigned(name)?, unit).ok_or(DecodeError::OutOfRange(name))
}

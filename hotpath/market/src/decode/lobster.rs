//! LOBSTER: message and order book files made from NASDAQ's ITCH feed.
//!
//! A message file starts in mid-session and shows only what touches its depth, so it changes orders that it never showed coming.
//! What a row says of such an order goes to a stand-in: one order a side and price, first in its queue, whose id is
//! [`LobsterDecoder::stand_in_id`]. [`LobsterDecoder::seed`] puts the stand-ins to rest from the first row of the order book file;
//! without it a book meets ids it does not know.
//!
//! Times are seconds after midnight in New York; the date is in the file's name ([`LobsterFile`]). There is no receive time: messages
//! are handed over at the exchange's.

use super::new_york::new_york_midnight;
use super::time_text::{day_ns, seconds_ns};
use super::{
    DecodeError, DecodeSink, Decoder, Ignored, LevelChange, Link, Message, OrderAction, OrderMessage, OrderSnapshotMessage,
    RestingOrder, StatusMessage, TradeMessage, TradingStatus,
};
use crate::event::Side;
use crate::fixed::{FixedError, PRICE_SCALE, Price, QTY_SCALE, Qty};
use crate::time::{NANOS_PER_SECOND, Timestamp};
use std::collections::HashMap;

/// Orders shown coming and not yet leaving; those that leave while out of sight stay here.
const KNOWN_MAX: usize = 1 << 20;
/// Orders for which memory is taken at once.
const USUAL_KNOWN: usize = 1 << 16;
/// Units of a [`Price`] in LOBSTER's unit, 0.0001 USD.
const PRICE_UNIT: i64 = PRICE_SCALE / 10_000;
/// Where a level of the order book file is empty; bids have it below zero.
const NO_PRICE: i64 = 9_999_999_999;
/// Most levels of an order book file.
const LEVELS_MAX: usize = 1_000;

/// What the name of a file says: `AAPL_2012-06-21_34200000_57600000_message_10.csv`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LobsterFile<'a> {
    /// The ticker.
    pub symbol: &'a str,
    /// Midnight of the day in New York, nanoseconds since 1970.
    pub midnight_ns: i64,
    /// Whether it holds the order book after each message, and not the messages.
    pub is_orderbook: bool,
    /// Levels a side that are in sight.
    pub depth: u16,
}

impl<'a> LobsterFile<'a> {
    /// Reads a file's name, without its folder; anything may follow the depth. `None` where it is not LOBSTER's.
    pub fn of_name(name: &'a str) -> Option<LobsterFile<'a>> {
        let mut parts = name.split('_');
        let symbol = parts.next().filter(|symbol| !symbol.is_empty())?;
        let mut date = parts.next()?.splitn(3, '-').map(|number| number.parse().ok());
        // New York's midnight is a few hours after the one of UTC, so the last before noon is the day's.
        let noon_ns = day_ns(date.next()??, date.next()??, date.next()??)? + 12 * 3_600 * NANOS_PER_SECOND;
        let midnight_ns = new_york_midnight(Timestamp(noon_ns)).0;
        let is_time = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        parts.next().filter(|start| is_time(start))?;
        parts.next().filter(|end| is_time(end))?;
        let is_orderbook = match parts.next()? {
            "message" => false,
            "orderbook" => true,
            _ => return None,
        };
        let depth = parts.next()?.split('.').next()?.parse().ok()?;
        Some(LobsterFile { symbol, midnight_ns, is_orderbook, depth })
    }
}

/// Decodes the rows of a message file.
pub struct LobsterDecoder {
    symbol: String,
    midnight_ns: i64,
    /// Shares left of the orders that the file showed coming.
    known: HashMap<u64, i64>,
    levels: Vec<LevelChange>,
    orders: Vec<RestingOrder>,
}

impl LobsterDecoder {
    /// A decoder for a symbol and a day, given by its midnight in New York (nanoseconds since 1970).
    pub fn new(symbol: &str, midnight_ns: i64) -> LobsterDecoder {
        LobsterDecoder {
            symbol: symbol.to_owned(),
            midnight_ns,
            known: HashMap::with_capacity(USUAL_KNOWN),
            levels: Vec::with_capacity(2 * LEVELS_MAX),
            orders: Vec::with_capacity(2 * LEVELS_MAX),
        }
    }

    /// The id of the order that stands for all those at a price that came before the file begins.
    pub fn stand_in_id(side: Side, price: Price) -> u64 {
        // Ids of the exchange are far below.
        1 << 63 | (side as u64) << 62 | (price.0 / PRICE_UNIT) as u64
    }

    /// Hands over the stand-ins at rest in a row of the order book file. The row shows the book after the message of the same number,
    /// so decoding goes on with the next one. Orders seen before are forgotten.
    ///
    /// # Errors
    /// [`DecodeError`] where it is not such a row.
    pub fn seed(&mut self, book_row: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        read_lobster_book(book_row, &mut self.levels)?;
        self.known.clear();
        self.orders.clear();
        self.orders.extend(self.levels.iter().map(|&LevelChange { side, price, qty }| RestingOrder {
            id: LobsterDecoder::stand_in_id(side, price),
            side,
            price,
            qty,
        }));
        let symbol = Some(self.symbol.as_str());
        let snapshot = OrderSnapshotMessage { symbol, link: Link::None, exchange_ns: recv.0, orders: &self.orders };
        out.message(recv, &Message::OrderSnapshot(snapshot));
        Ok(())
    }

    /// Whether a line has the shape of a message row.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        Row::read(raw).is_ok()
    }

    fn order_action(&mut self, row: &Row) -> Result<OrderAction, DecodeError> {
        let (id, qty, price) = (row.id, row.qty()?, row.price()?);
        let side = row.side()?;
        if row.kind == 1 {
            if self.known.len() >= KNOWN_MAX {
                return Err(DecodeError::Capacity("orders"));
            }
            self.known.insert(id, row.size);
            return Ok(OrderAction::Add(RestingOrder { id, side, price, qty }));
        }
        let Some(left) = self.known.get_mut(&id) else {
            let id = LobsterDecoder::stand_in_id(side, price);
            return Ok(match row.kind {
                4 => OrderAction::Execute { id, qty, price: Some(price), trade_id: 0, is_printable: true },
                _ => OrderAction::Reduce { id, qty },
            });
        };
        *left -= row.size;
        if *left <= 0 || row.kind == 3 {
            self.known.remove(&id);
        }
        Ok(match row.kind {
            2 => OrderAction::Reduce { id, qty },
            3 => OrderAction::Delete { id },
            _ => OrderAction::Execute { id, qty, price: None, trade_id: 0, is_printable: true },
        })
    }
}

impl Decoder for LobsterDecoder {
    /// Decodes one row without its line end; `_recv` is not used.
    fn decode(&mut self, raw: &[u8], _recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let row = Row::read(raw)?;
        let exchange_ns = self.midnight_ns.checked_add(row.time_ns).ok_or(DecodeError::OutOfRange("time"))?;
        let message = match row.kind {
            1..=4 => {
                let action = self.order_action(&row)?;
                Message::Order(OrderMessage { symbol: &self.symbol, link: Link::None, exchange_ns, is_last: true, action })
            }
            // A hidden order, which the book never showed. The direction is the resting order's.
            5 => Message::Trade(TradeMessage {
                symbol: &self.symbol,
                id: 0,
                price: row.price()?,
                qty: row.qty()?,
                aggressor: Some(row.side()?.opposite()),
                exchange_ns,
            }),
            // An auction.
            6 => Message::Ignored(Ignored::OffBookTrade),
            7 => {
                let status = match row.price {
                    -1 => TradingStatus::Halted,
                    0 => TradingStatus::QuotesOnly,
                    1 => TradingStatus::Trading,
                    _ => return Err(DecodeError::OutOfRange("price")),
                };
                Message::Status(StatusMessage { symbol: &self.symbol, exchange_ns, status })
            }
            kind => return Err(DecodeError::Unsupported("event type", kind)),
        };
        out.message(Timestamp(exchange_ns), &message);
        Ok(())
    }
}

/// Reads a row of an order book file into `levels`, best first, bids before asks; empty levels are left out.
///
/// # Errors
/// [`DecodeError`] where it is not a row of `ask price, ask size, bid price, bid size` over and over.
pub fn read_lobster_book(row: &[u8], levels: &mut Vec<LevelChange>) -> Result<(), DecodeError> {
    levels.clear();
    let text = text(row)?;
    if text.split(',').count() % 4 != 0 {
        return Err(DecodeError::Missing("bid size"));
    }
    for (name, side, first) in [("bid", Side::Buy, 2), ("ask", Side::Sell, 0)] {
        let mut columns = text.split(',').skip(first);
        while let (Some(price), Some(size)) = (columns.next(), columns.next()) {
            let (price, size) = (integer(price, name)?, integer(size, name)?);
            if price.checked_abs() != Some(NO_PRICE) && size != 0 {
                let level = LevelChange { side, price: positive_price(price, name)?, qty: positive_qty(size, name)? };
                if levels.len() >= 2 * LEVELS_MAX {
                    return Err(DecodeError::TooManyLevels);
                }
                levels.push(level);
            }
            // The other side's pair lies between.
            columns.nth(1);
        }
    }
    Ok(())
}

/// A row of a message file.
struct Row {
    time_ns: i64,
    kind: u64,
    id: u64,
    size: i64,
    price: i64,
    direction: i64,
}

impl Row {
    fn read(raw: &[u8]) -> Result<Row, DecodeError> {
        let mut columns = text(raw)?.split(',');
        let mut column = |name| columns.next().ok_or(DecodeError::Missing(name));
        let time_ns = seconds_ns(column("time")?).ok_or(DecodeError::OutOfRange("time"))?;
        let row = Row {
            time_ns,
            kind: unsigned(column("type")?, "type")?,
            id: unsigned(column("order id")?, "order id")?,
            size: integer(column("size")?, "size")?,
            price: integer(column("price")?, "price")?,
            direction: integer(column("direction")?, "direction")?,
        };
        // Some files have a seventh column that says `null`.
        match (columns.next(), columns.next()) {
            (None | Some("null"), None) => Ok(row),
            _ => Err(DecodeError::Unrecognised),
        }
    }

    fn side(&self) -> Result<Side, DecodeError> {
        match self.direction {
            1 => Ok(Side::Buy),
            -1 => Ok(Side::Sell),
            _ => Err(DecodeError::OutOfRange("direction")),
        }
    }

    fn price(&self) -> Result<Price, DecodeError> {
        positive_price(self.price, "price")
    }

    fn qty(&self) -> Result<Qty, DecodeError> {
        positive_qty(self.size, "size")
    }
}

fn positive_price(price: i64, name: &'static str) -> Result<Price, DecodeError> {
    price.checked_mul(PRICE_UNIT).filter(|&price| price > 0).map(Price).ok_or(DecodeError::OutOfRange(name))
}

fn positive_qty(shares: i64, name: &'static str) -> Result<Qty, DecodeError> {
    shares.checked_mul(QTY_SCALE).filter(|&qty| qty > 0).map(Qty).ok_or(DecodeError::OutOfRange(name))
}

fn text(raw: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(raw.trim_ascii_end()).map_err(|_| DecodeError::Unrecognised)
}

fn integer(text: &str, name: &'static str) -> Result<i64, DecodeError> {
    text.parse().map_err(|_| DecodeError::Decimal(name, FixedError::Syntax))
}

fn unsigned(text: &str, name: &'static str) -> Result<u64, DecodeError> {
    text.parse().map_err(|_| DecodeError::Decimal(name, FixedError::Syntax))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_symbol_day_kind_and_depth() {
        let file = LobsterFile::of_name("AAPL_2012-06-21_34200000_57600000_message_10.csv").unwrap();
        assert_eq!((file.symbol, file.midnight_ns, file.is_orderbook, file.depth), ("AAPL", 1_340_251_200_000_000_000, false, 10));
        assert!(LobsterFile::of_name("A_2012-06-21_0_1_orderbook_50_first999.csv").unwrap().is_orderbook);
        for name in
            ["AAPL_2012-06-31_1_2_message_10.csv", "AAPL_2012-06-21_x_2_message_10", "AAPL_2012-06-21_1_2_trades_10", "AAPL"]
        {
            assert_eq!(LobsterFile::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_book_row_has_bids_first_and_no_empty_levels() {
        let mut levels = Vec::new();
        read_lobster_book(b"5859400,200,5853300,18,9999999999,0,5853000,150\n", &mut levels).unwrap();
        let seen: Vec<_> = levels.iter().map(|l| (l.side, l.price.0, l.qty.0)).collect();
        assert_eq!(
            seen,
            [
                (Side::Buy, 585_330_000_000, 1_800_000_000),
                (Side::Buy, 585_300_000_000, 15_000_000_000),
                (Side::Sell, 585_940_000_000, 20_000_000_000)
            ]
        );
        for row in ["1,2,3", "1,2", "1,2,3,x", "-5,2,3,4", "1,2,3,4,5,6"] {
            assert!(read_lobster_book(row.as_bytes(), &mut levels).is_err(), "{row}");
        }
    }
}

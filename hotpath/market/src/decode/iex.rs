//! The messages of IEX's DEEP 1.0 and TOPS 1.5 and 1.6: price levels, quotes, trades, statuses.
//!
//! DEEP's levels are new totals, and a trade is followed by the levels it changed. IEX says of no trade who took; see
//! `symbol_state`. Lengths are those of the specifications; a longer message has fields added at its end, which are skipped.

use super::symbol_state::SymbolStates;
use super::wire::{at_least, i64_le, u32_le, u64_le};
use super::{
    BookMessage, DecodeError, DecodeSink, FeedMessage, Ignored, LevelChange, Link, Message, QuoteMessage, StatusMessage,
    TradeMessage, TradingStatus,
};
use crate::event::Side;
use crate::fixed::{Price, QTY_SCALE, Qty};
use crate::frame::{Bbo, Level};
use crate::time::Timestamp;

/// Units of [`Price`] in one of IEX's (1e-4 dollars).
const PRICE_UNIT: i64 = 100_000;

/// Event flag of a price level: the book is whole again after it.
const EVENT_COMPLETE: u8 = 0x01;

/// Decodes single DEEP and TOPS messages.
pub(super) struct IexDecoder {
    symbols: SymbolStates,
}

impl IexDecoder {
    /// A decoder with its memory taken.
    pub(super) fn new() -> IexDecoder {
        IexDecoder { symbols: SymbolStates::new() }
    }

    /// Decodes the message of that number.
    ///
    /// # Errors
    /// [`DecodeError`] where it is shorter than its type, or a field makes no sense.
    #[inline]
    pub(super) fn decode(
        &mut self,
        number: u64,
        raw: &[u8],
        recv: Timestamp,
        out: &mut impl DecodeSink,
    ) -> Result<(), DecodeError> {
        at_least(raw, 1)?;
        let message = match raw[0] {
            b'8' | b'5' => {
                let fields = Fields::of(raw, 30)?;
                let level = LevelChange {
                    side: if raw[0] == b'8' { Side::Buy } else { Side::Sell },
                    price: price(raw, 22)?,
                    qty: qty(raw, 18),
                };
                let book = BookMessage {
                    symbol: fields.symbol,
                    link: Link::None,
                    exchange_ns: fields.exchange_ns,
                    is_snapshot: false,
                    is_last: raw[1] & EVENT_COMPLETE != 0,
                    depth_max: None,
                    checksum: None,
                    levels: &[level],
                };
                out.message(recv, &Message::Book(book));
                return Ok(());
            }
            b'Q' => {
                let fields = Fields::of(raw, 42)?;
                let bbo = Bbo { bid: level(raw, 22, 18)?, ask: level(raw, 30, 38)? };
                Message::Quote(QuoteMessage { symbol: fields.symbol, id: number, bbo, exchange_ns: fields.exchange_ns })
            }
            b'T' => {
                let fields = Fields::of(raw, 38)?;
                let price = price(raw, 22)?;
                Message::Trade(TradeMessage {
                    symbol: fields.symbol,
                    id: u64_le(raw, 30),
                    price,
                    qty: qty(raw, 18),
                    aggressor: None,
                    exchange_ns: fields.exchange_ns,
                })
            }
            b'H' => {
                let fields = Fields::of(raw, 22)?;
                let status = match raw[1] {
                    b'T' => TradingStatus::Trading,
                    b'H' => TradingStatus::Halted,
                    b'O' | b'P' => TradingStatus::QuotesOnly,
                    other => return Err(DecodeError::Unsupported("trading status", other.into())),
                };
                fields.status(self.symbols.on_status(fields.key, status))
            }
            b'O' => {
                let fields = Fields::of(raw, 18)?;
                match self.symbols.on_operational_halt(fields.key, raw[1] == b'O') {
                    Some(status) => fields.status(status),
                    None => Message::Ignored(Ignored::Statistics),
                }
            }
            b'S' => {
                at_least(raw, 10)?;
                if raw[1] == b'C' { Message::Feed(FeedMessage::Ended) } else { Message::Ignored(Ignored::Control) }
            }
            b'D' => Message::Ignored(Ignored::Definition),
            b'A' | b'B' | b'E' | b'I' | b'P' | b'X' => Message::Ignored(Ignored::Statistics),
            _ => Message::Ignored(Ignored::Control),
        };
        out.message(recv, &message);
        Ok(())
    }
}

/// What every message about a symbol begins with.
struct Fields<'a> {
    exchange_ns: i64,
    symbol: &'a str,
    /// The symbol as a number.
    key: u64,
}

impl<'a> Fields<'a> {
    #[inline(always)]
    fn of(raw: &'a [u8], length: usize) -> Result<Fields<'a>, DecodeError> {
        at_least(raw, length)?;
        let exchange_ns = i64_le(raw, 2);
        if exchange_ns < 0 {
            return Err(DecodeError::OutOfRange("timestamp"));
        }
        let symbol = raw[10..18].trim_ascii_end();
        if symbol.is_empty() || !symbol.iter().all(u8::is_ascii_graphic) {
            return Err(DecodeError::OutOfRange("symbol"));
        }
        let symbol = str::from_utf8(symbol).map_err(|_| DecodeError::OutOfRange("symbol"))?;
        Ok(Fields { exchange_ns, symbol, key: u64_le(raw, 10) })
    }

    fn status(&self, status: TradingStatus) -> Message<'a> {
        Message::Status(StatusMessage { symbol: self.symbol, exchange_ns: self.exchange_ns, status })
    }
}

#[inline(always)]
fn price(raw: &[u8], at: usize) -> Result<Price, DecodeError> {
    match i64_le(raw, at).checked_mul(PRICE_UNIT) {
        Some(price) if price > 0 => Ok(Price(price)),
        _ => Err(DecodeError::OutOfRange("price")),
    }
}

/// Shares; 32 bits of them always fit.
#[inline(always)]
fn qty(raw: &[u8], at: usize) -> Qty {
    Qty(i64::from(u32_le(raw, at)) * QTY_SCALE)
}

/// One side of a quote; without shares it has no price either.
#[inline(always)]
fn level(raw: &[u8], price_at: usize, qty_at: usize) -> Result<Level, DecodeError> {
    match qty(raw, qty_at) {
        Qty(0) => Ok(Level::default()),
        qty => Ok(Level { price: price(raw, price_at)?, qty }),
    }
}

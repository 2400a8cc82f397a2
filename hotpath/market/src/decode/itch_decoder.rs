//! ITCH 5.0 in normal form, and the files NASDAQ keeps it in.

use super::itch::{AddOrder, ItchBody, ItchMessage};
use super::symbol_state::SymbolStates;
use super::wire::u16_be;
use super::{
    DecodeError, DecodeSink, Decoder, FeedMessage, Ignored, Link, Message, OrderAction, OrderMessage, RestingOrder, StatusMessage,
    TradeMessage, TradingStatus,
};
use crate::fixed::{Price, QTY_SCALE, Qty};
use crate::time::Timestamp;
use std::fmt::Write;

/// Decodes single ITCH messages, without a length before them.
///
/// Most name their stock only by the day's number of it. Symbols are learnt from the directory and from every other message that
/// holds one; a number nobody has explained yet stands as `#` and the number.
pub struct ItchDecoder {
    /// Midnight in New York at the beginning of the feed's day.
    midnight: Timestamp,
    symbols: LocateTable,
    states: SymbolStates,
}

/// Symbols by locate code.
struct LocateTable {
    /// Eight characters a code, padded with spaces; ASCII only, so that a part of it is text without another look.
    text: String,
    /// Their lengths without padding.
    lengths: Vec<u8>,
}

impl LocateTable {
    fn new() -> LocateTable {
        let mut table = LocateTable { text: String::with_capacity(8 << 16), lengths: Vec::with_capacity(1 << 16) };
        for locate in 0..=u16::MAX {
            // A string takes every text.
            let _ = write!(table.text, "#{locate:<7}");
            table.lengths.push(2 + locate.checked_ilog10().unwrap_or(0) as u8);
        }
        table
    }

    #[inline(always)]
    fn symbol(&self, locate: u16) -> &str {
        let begin = usize::from(locate) * 8;
        let length = usize::from(self.lengths[usize::from(locate)]);
        self.text.get(begin..begin + length).unwrap_or_default()
    }

    /// Learns a symbol, padded as sent.
    #[inline(always)]
    fn learn(&mut self, locate: u16, stock: &[u8; 8]) -> Result<(), DecodeError> {
        let begin = usize::from(locate) * 8;
        if self.text.as_bytes()[begin..begin + 8] == *stock { Ok(()) } else { self.replace(locate, stock) }
    }

    #[cold]
    fn replace(&mut self, locate: u16, stock: &[u8; 8]) -> Result<(), DecodeError> {
        let symbol = stock.trim_ascii_end();
        if symbol.is_empty() || !symbol.iter().all(u8::is_ascii_graphic) {
            return Err(DecodeError::OutOfRange("stock"));
        }
        let padded = str::from_utf8(stock).map_err(|_| DecodeError::OutOfRange("stock"))?;
        let begin = usize::from(locate) * 8;
        self.text.replace_range(begin..begin + 8, padded);
        self.lengths[usize::from(locate)] = symbol.len() as u8;
        Ok(())
    }
}

impl ItchDecoder {
    /// A decoder with its memory taken. ITCH tells the time of day only: `midnight` is the instant of midnight in New York at the
    /// beginning of the day (04:00 UTC in summer, 05:00 in winter).
    pub fn new(midnight: Timestamp) -> ItchDecoder {
        ItchDecoder { midnight, symbols: LocateTable::new(), states: SymbolStates::new() }
    }
}

impl Decoder for ItchDecoder {
    #[inline]
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let message = ItchMessage::parse(raw)?;
        // 48 bits of nanoseconds are three days.
        let exchange_ns = self.midnight.plus_nanos(message.since_midnight_ns as i64).0;
        let locate = message.locate;
        let action = match message.body {
            ItchBody::AddOrder(AddOrder { reference, side, shares, stock, price, .. }) => {
                self.symbols.learn(locate, stock)?;
                OrderAction::Add(RestingOrder { id: reference, side, price, qty: qty(shares) })
            }
            ItchBody::OrderExecuted { reference, shares, match_number } => {
                OrderAction::Execute { id: reference, qty: qty(shares), price: None, trade_id: match_number, is_printable: true }
            }
            ItchBody::OrderExecutedWithPrice { reference, shares, match_number, printable, price } => OrderAction::Execute {
                id: reference,
                qty: qty(shares),
                price: Some(price),
                trade_id: match_number,
                is_printable: printable == b'Y',
            },
            ItchBody::OrderCancel { reference, shares } => OrderAction::Reduce { id: reference, qty: qty(shares) },
            ItchBody::OrderDelete { reference } => OrderAction::Delete { id: reference },
            ItchBody::OrderReplace { reference, new_reference, shares, price } => {
                OrderAction::Replace { id: reference, new_id: new_reference, price, qty: qty(shares) }
            }
            other => return self.decode_other(locate, exchange_ns, other, recv, out),
        };
        let symbol = self.symbols.symbol(locate);
        out.message(recv, &Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last: true, action }));
        Ok(())
    }
}

impl ItchDecoder {
    /// Everything that concerns no resting order.
    fn decode_other(
        &mut self,
        locate: u16,
        exchange_ns: i64,
        body: ItchBody<'_>,
        recv: Timestamp,
        out: &mut impl DecodeSink,
    ) -> Result<(), DecodeError> {
        let message = match body {
            ItchBody::Trade { shares, stock, price, match_number, .. } => {
                self.symbols.learn(locate, stock)?;
                self.trade(locate, match_number, price, qty(shares), exchange_ns)?
            }
            ItchBody::CrossTrade { shares: 0, .. } => Message::Ignored(Ignored::Statistics),
            ItchBody::CrossTrade { shares, stock, price, match_number, .. } => {
                self.symbols.learn(locate, stock)?;
                let qty = i64::try_from(shares).ok().and_then(|shares| shares.checked_mul(QTY_SCALE));
                let qty = qty.map(Qty).ok_or(DecodeError::OutOfRange("shares"))?;
                self.trade(locate, match_number, price, qty, exchange_ns)?
            }
            ItchBody::TradingAction { stock, state, .. } => {
                self.symbols.learn(locate, stock)?;
                let status = match state {
                    b'T' => TradingStatus::Trading,
                    b'H' => TradingStatus::Halted,
                    b'P' | b'Q' => TradingStatus::QuotesOnly,
                    other => return Err(DecodeError::Unsupported("trading state", other.into())),
                };
                let status = self.states.on_status(key(stock), status);
                Message::Status(StatusMessage { symbol: self.symbols.symbol(locate), exchange_ns, status })
            }
            // On another market it is of no concern here.
            ItchBody::OperationalHalt { stock, market: b'Q', action } => {
                self.symbols.learn(locate, stock)?;
                match self.states.on_operational_halt(key(stock), action == b'H') {
                    Some(status) => Message::Status(StatusMessage { symbol: self.symbols.symbol(locate), exchange_ns, status }),
                    None => Message::Ignored(Ignored::Statistics),
                }
            }
            ItchBody::StockDirectory(directory) => {
                self.symbols.learn(locate, directory.stock)?;
                Message::Ignored(Ignored::Definition)
            }
            ItchBody::SystemEvent { event: b'O' } => Message::Feed(FeedMessage::Started),
            ItchBody::SystemEvent { event: b'C' } => Message::Feed(FeedMessage::Ended),
            ItchBody::SystemEvent { .. } | ItchBody::Unknown { .. } => Message::Ignored(Ignored::Control),
            _ => Message::Ignored(Ignored::Statistics),
        };
        out.message(recv, &message);
        Ok(())
    }

    /// A trade of which ITCH does not say who took.
    fn trade(&self, locate: u16, id: u64, price: Price, qty: Qty, exchange_ns: i64) -> Result<Message<'_>, DecodeError> {
        if price.0 == 0 {
            return Err(DecodeError::OutOfRange("price"));
        }
        Ok(Message::Trade(TradeMessage { symbol: self.symbols.symbol(locate), id, price, qty, aggressor: None, exchange_ns }))
    }
}

/// Shares; 32 bits of them always fit.
#[inline(always)]
fn qty(shares: u32) -> Qty {
    Qty(i64::from(shares) * QTY_SCALE)
}

#[inline(always)]
fn key(stock: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*stock)
}

/// What the next bytes of a BinaryFILE are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BinaryFileStep<'a> {
    /// A message.
    Message {
        /// Bytes done with, from the start of the buffer.
        consumed: usize,
        /// The message.
        message: &'a [u8],
    },
    /// The file says that it ends here.
    End,
    /// Not all there: the buffer has to hold at least so many bytes.
    NeedMore(usize),
}

/// The next message of a BinaryFILE, NASDAQ's form of a day of ITCH: each message after its length in two bytes, and a length of 0
/// at the end.
#[inline]
pub fn split_binary_file(buffer: &[u8]) -> BinaryFileStep<'_> {
    if buffer.len() < 2 {
        return BinaryFileStep::NeedMore(2);
    }
    let consumed = 2 + usize::from(u16_be(buffer, 0));
    match buffer.get(2..consumed) {
        Some([]) => BinaryFileStep::End,
        Some(message) => BinaryFileStep::Message { consumed, message },
        None => BinaryFileStep::NeedMore(consumed),
    }
}

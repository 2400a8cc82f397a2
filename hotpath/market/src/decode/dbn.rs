//! Databento's binary encoding, versions 1 to 3: metadata, then records of fixed layouts, little-endian.
//!
//! Files are usually compressed as a whole; these are the bytes inside. Prices come in units of 1e-9, which [`Price`] counts too.
//! Records of types that say nothing of book, trades, bars or status are known by their length alone and count as ignored.

use super::calendar::day_number;
use super::wire::{at_least, i64_le, u16_le, u32_le, u64_le};
use super::{
    BarMessage, DecodeError, DecodeSink, Decoder, Ignored, LevelChange, Link, Message, OrderAction, OrderMessage, QuoteMessage,
    RestingOrder, SnapshotMessage, StatusMessage, TradeMessage, TradingStatus,
};
use crate::event::Side;
use crate::fixed::{Price, QTY_SCALE, Qty};
use crate::frame::{Bbo, Level};
use crate::time::{NANOS_PER_SECOND, Timestamp};
use std::fmt::Write;
use std::ops::Range;

/// The longest metadata taken, in bytes: a million symbols with a mapping each.
const METADATA_BYTES_MAX: usize = 256 << 20;
/// Length of a record's header.
const RECORD_HEADER: usize = 16;
/// A price that is none.
const NO_PRICE: i64 = i64::MAX;
/// A time that is none.
const NO_TIME: u64 = u64::MAX;
/// Flag: the last record of an event.
const FLAG_LAST: u8 = 0x80;
/// Levels a side in MBP-10.
const MBP_10_LEVELS: usize = 10;
const LEVEL_BYTES: usize = 32;

/// What stands before the records: which instruments the numbers in them are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DbnMetadata {
    /// Version of the encoding.
    pub version: u8,
    /// Where the data comes from, as `GLBX.MDP3`.
    pub dataset: String,
    /// Number of the schema; `None` where records are of several.
    pub schema: Option<u16>,
    /// Symbols of instruments in ascending order of instrument and first day.
    mappings: Vec<Mapping>,
}

/// An instrument's symbol over some days.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mapping {
    instrument: u32,
    /// From the first instant of the first day to that of the day after the last.
    time_ns: Range<i64>,
    symbol: String,
}

/// What the next bytes of a DBN file are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DbnStep<'a> {
    /// A record.
    Record {
        /// Bytes done with, from the start of the buffer.
        consumed: usize,
        /// When Databento received it; where the record does not say, when it happened.
        recv: Timestamp,
        /// The record.
        record: &'a [u8],
    },
    /// Not all there: the buffer has to hold at least so many bytes.
    NeedMore(usize),
}

impl DbnMetadata {
    /// Length of the metadata at the beginning of a file, told by its first 8 bytes; the records follow.
    ///
    /// # Errors
    /// [`DecodeError::Unsupported`] where it is not DBN or of another version, and [`DecodeError::OutOfRange`] for a length
    /// beyond 256 MiB.
    pub fn length(beginning: &[u8; 8]) -> Result<usize, DecodeError> {
        match (&beginning[..3], beginning[3]) {
            (b"DBN", 1..=3) => {}
            (b"DBN", version) => return Err(DecodeError::Unsupported("DBN version", version.into())),
            _ => return Err(DecodeError::Unsupported("file beginning", u32_le(beginning, 0).into())),
        }
        match 8 + u32_le(beginning, 4) as usize {
            length @ ..=METADATA_BYTES_MAX => Ok(length),
            _ => Err(DecodeError::OutOfRange("metadata length")),
        }
    }

    /// Reads the metadata, whole as by [`DbnMetadata::length`].
    ///
    /// # Errors
    /// [`DecodeError`] where it is not what it says.
    pub fn parse(raw: &[u8]) -> Result<DbnMetadata, DecodeError> {
        let beginning = raw.first_chunk().ok_or(DecodeError::Truncated(8, raw.len()))?;
        let length = DbnMetadata::length(beginning)?;
        at_least(raw, length)?;
        at_least(&raw[..length], 112)?;
        let version = raw[3];
        let (symbol_types, symbol_bytes) = if version == 1 { (58, 22) } else { (50, usize::from(u16_le(raw, 53))) };
        if symbol_bytes == 0 {
            return Err(DecodeError::OutOfRange("symbol length"));
        }
        let mut rest = Cursor { bytes: &raw[108..length], symbol_bytes };
        let definition = rest.u32()? as usize;
        rest.take(definition)?;
        // The symbols asked for, those found in part and those not found: all that were found are in the mappings.
        for _ in 0..3 {
            let count = rest.u32()? as usize;
            rest.take(count.saturating_mul(symbol_bytes))?;
        }
        let mut mappings = Vec::new();
        for _ in 0..rest.u32()? {
            let asked = rest.symbol()?;
            for _ in 0..rest.u32()? {
                let time_ns = midnight_ns(rest.u32()?)?..midnight_ns(rest.u32()?)?;
                let answer = rest.symbol()?;
                // One of the two is the instrument's number: what was asked for, or what was answered.
                let (instrument, symbol) = match raw[symbol_types] {
                    0 => (asked, answer),
                    _ => (answer, asked),
                };
                // Without an answer there is no symbol for those days.
                if let Ok(instrument) = instrument.parse()
                    && !symbol.is_empty()
                {
                    mappings.push(Mapping { instrument, time_ns, symbol: symbol.to_owned() });
                }
            }
        }
        mappings.sort_by_key(|mapping| (mapping.instrument, mapping.time_ns.start));
        let schema = u16_le(raw, 24);
        Ok(DbnMetadata {
            version,
            dataset: text(&raw[8..24])?.to_owned(),
            schema: (schema != u16::MAX).then_some(schema),
            mappings,
        })
    }
}

/// Reads metadata from its beginning on.
struct Cursor<'a> {
    bytes: &'a [u8],
    symbol_bytes: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        at_least(self.bytes, count)?;
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32_le(self.take(4)?, 0))
    }

    fn symbol(&mut self) -> Result<&'a str, DecodeError> {
        text(self.take(self.symbol_bytes)?)
    }
}

/// Text of a fixed length, filled up with zeros.
fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    str::from_utf8(&bytes[..end]).map_err(|_| DecodeError::OutOfRange("symbol"))
}

/// The first instant of a date written as YYYYMMDD, in UTC.
fn midnight_ns(date: u32) -> Result<i64, DecodeError> {
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(DecodeError::OutOfRange("mapping date"));
    }
    let seconds = day_number(year.into(), month.into(), day.into()) * 86_400;
    Ok(seconds.saturating_mul(NANOS_PER_SECOND))
}

/// The next record of a DBN file, behind the metadata.
///
/// # Errors
/// [`DecodeError::OutOfRange`] where a record says it is shorter than its header; there is no way on from there.
#[inline]
pub fn split_dbn_record(buffer: &[u8]) -> Result<DbnStep<'_>, DecodeError> {
    let Some(&words) = buffer.first() else { return Ok(DbnStep::NeedMore(RECORD_HEADER)) };
    let consumed = usize::from(words) * 4;
    if consumed < RECORD_HEADER {
        return Err(DecodeError::OutOfRange("record length"));
    }
    match buffer.get(..consumed) {
        Some(record) => Ok(DbnStep::Record { consumed, recv: Timestamp(index_ns(record)), record }),
        None => Ok(DbnStep::NeedMore(consumed)),
    }
}

/// The time a record is sorted and its symbol looked up by: when it was received, else when it happened; 0 where neither is told.
#[inline]
fn index_ns(record: &[u8]) -> i64 {
    let recv_at = match record[1] {
        0x00 | 0x01 | 0x0A => 32,
        0xA0 => 40,
        // Statuses, definitions, imbalances and statistics have it first.
        0x12 | 0x13 | 0x14 | 0x18 => 16,
        // Consolidated prices and intervals.
        0xB1 | 0xC0..=0xC4 => 32,
        _ => 8,
    };
    let recv = if record.len() >= recv_at + 8 { u64_le(record, recv_at) } else { NO_TIME };
    time_ns(if recv == NO_TIME { u64_le(record, 8) } else { recv })
}

/// Nanoseconds since the epoch; 0 where there are none.
#[inline(always)]
fn time_ns(raw: u64) -> i64 {
    i64::try_from(raw).unwrap_or(0)
}

/// Decodes single records.
pub struct DbnDecoder {
    mappings: Vec<Mapping>,
    /// Place of the mapping that was used last.
    last_mapping: usize,
    /// The number of an instrument without a symbol, as text.
    number: String,
    levels: Vec<LevelChange>,
}

impl DbnDecoder {
    /// A decoder of the records behind that metadata, with its memory taken. Instruments without a symbol are called by their
    /// number.
    pub fn new(metadata: DbnMetadata) -> DbnDecoder {
        DbnDecoder {
            mappings: metadata.mappings,
            last_mapping: 0,
            number: String::with_capacity(10),
            levels: Vec::with_capacity(2 * MBP_10_LEVELS),
        }
    }

    /// Hands over the trade in a record of a trade.
    fn trade(&mut self, fields: &Fields, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let price = fields.price.ok_or(DecodeError::OutOfRange("price"))?;
        let (id, qty, exchange_ns) = (fields.sequence.into(), fields.qty, fields.exchange_ns);
        let symbol = symbol(&self.mappings, &mut self.last_mapping, &mut self.number, fields);
        out.message(recv, &Message::Trade(TradeMessage { symbol, id, price, qty, aggressor: fields.side, exchange_ns }));
        Ok(())
    }
}

impl Decoder for DbnDecoder {
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        at_least(raw, RECORD_HEADER)?;
        match raw[1] {
            0xA0 => self.market_by_order(raw, recv, out),
            kind @ (0x00 | 0x01 | 0x0A) => self.market_by_price(kind, raw, recv, out),
            kind @ 0x20..=0x24 => self.bar(kind, raw, recv, out),
            0x12 => self.status(raw, recv, out),
            other => {
                let ignored = match other {
                    0x13 => Ignored::Definition,
                    0x14 | 0x18 => Ignored::Statistics,
                    // Bars of a kind no more written, and best prices of several venues or at the ends of intervals.
                    0x11 | 0xB1 | 0xC0..=0xC4 => Ignored::Ticker,
                    _ => Ignored::Control,
                };
                out.message(recv, &Message::Ignored(ignored));
                Ok(())
            }
        }
    }
}

impl DbnDecoder {
    fn market_by_order(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        at_least(raw, 56)?;
        let id = u64_le(raw, 16);
        let fields = Fields::of(raw, Places { price: 24, size: 32, action: 38, sequence: 52 })?;
        let is_last = raw[36] & FLAG_LAST != 0;
        let resting = || {
            let price = fields.price.ok_or(DecodeError::OutOfRange("price"))?;
            let side = fields.side.ok_or(DecodeError::OutOfRange("side"))?;
            Ok(RestingOrder { id, side, price, qty: fields.qty })
        };
        let action = match fields.action {
            b'A' => OrderAction::Add(resting()?),
            b'M' => OrderAction::Modify(resting()?),
            b'C' => OrderAction::Reduce { id, qty: fields.qty },
            b'R' => OrderAction::Clear,
            b'T' => {
                self.trade(&fields, recv, out)?;
                // The orders it met follow as cancellations, unless the event ends here.
                if !is_last {
                    return Ok(());
                }
                OrderAction::Nothing
            }
            // A fill tells again what a trade and a cancellation tell.
            b'F' | b'N' => OrderAction::Nothing,
            other => return Err(DecodeError::Unsupported("action", other.into())),
        };
        let exchange_ns = fields.exchange_ns;
        let symbol = symbol(&self.mappings, &mut self.last_mapping, &mut self.number, &fields);
        out.message(recv, &Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last, action }));
        Ok(())
    }

    /// Trades, and the best one or ten levels after each event.
    fn market_by_price(&mut self, kind: u8, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let levels = match kind {
            0x00 => 0,
            0x01 => 1,
            _ => MBP_10_LEVELS,
        };
        at_least(raw, 48 + levels * LEVEL_BYTES)?;
        let fields = Fields::of(raw, Places { price: 16, size: 24, action: 28, sequence: 44 })?;
        if fields.action == b'T' {
            self.trade(&fields, recv, out)?;
        }
        if levels == 0 {
            return Ok(());
        }
        let (id, exchange_ns) = (fields.sequence.into(), fields.exchange_ns);
        let symbol = symbol(&self.mappings, &mut self.last_mapping, &mut self.number, &fields);
        if levels == 1 {
            let bbo = Bbo { bid: level(raw, 48, 64), ask: level(raw, 56, 68) };
            out.message(recv, &Message::Quote(QuoteMessage { symbol, id, bbo, exchange_ns }));
            return Ok(());
        }
        self.levels.clear();
        for (side, price_at, qty_at) in [(Side::Buy, 48, 64), (Side::Sell, 56, 68)] {
            for place in 0..MBP_10_LEVELS {
                let Level { price, qty } = level(raw, price_at + place * LEVEL_BYTES, qty_at + place * LEVEL_BYTES);
                if qty.0 > 0 {
                    self.levels.push(LevelChange { side, price, qty });
                }
            }
        }
        let book = SnapshotMessage { symbol: Some(symbol), last_id: id, exchange_ns, levels: &self.levels };
        out.message(recv, &Message::PartialDepth(book));
        Ok(())
    }

    fn bar(&mut self, kind: u8, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        at_least(raw, 56)?;
        let seconds = match kind {
            0x20 => 1,
            0x21 => 60,
            0x22 => 3_600,
            _ => 86_400,
        };
        let price = |at| price(raw, at).ok_or(DecodeError::OutOfRange("price"));
        let volume = i64::try_from(u64_le(raw, 48)).ok().and_then(|volume| volume.checked_mul(QTY_SCALE));
        let (instrument, open_ns) = (u32_le(raw, 4), time_ns(u64_le(raw, 8)));
        let bar = BarMessage {
            symbol: symbol_at(&self.mappings, &mut self.last_mapping, &mut self.number, instrument, open_ns),
            open_ns,
            interval_ns: seconds * NANOS_PER_SECOND,
            open: price(16)?,
            high: price(24)?,
            low: price(32)?,
            close: price(40)?,
            volume: volume.map(Qty).ok_or(DecodeError::OutOfRange("volume"))?,
            is_closed: true,
        };
        out.message(recv, &Message::Bar(bar));
        Ok(())
    }

    fn status(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        at_least(raw, 40)?;
        let status = match u16_le(raw, 24) {
            7 => TradingStatus::Trading,
            // Before the open, crossing, quoting, rotating, indicating, paused, before the close.
            1..=6 | 9 | 11 => TradingStatus::QuotesOnly,
            // Halted, suspended, closed, after the close, not available.
            8 | 10 | 12 | 13 | 15 => TradingStatus::Halted,
            _ => {
                out.message(recv, &Message::Ignored(Ignored::Statistics));
                return Ok(());
            }
        };
        let (instrument, index_ns) = (u32_le(raw, 4), index_ns(raw));
        let symbol = symbol_at(&self.mappings, &mut self.last_mapping, &mut self.number, instrument, index_ns);
        let exchange_ns = time_ns(u64_le(raw, 8));
        out.message(recv, &Message::Status(StatusMessage { symbol, exchange_ns, status }));
        Ok(())
    }
}

/// Where the fields that records of orders, trades and prices share are.
struct Places {
    price: usize,
    size: usize,
    /// The side follows it.
    action: usize,
    sequence: usize,
}

struct Fields {
    instrument: u32,
    exchange_ns: i64,
    index_ns: i64,
    price: Option<Price>,
    qty: Qty,
    action: u8,
    side: Option<Side>,
    sequence: u32,
}

impl Fields {
    #[inline(always)]
    fn of(raw: &[u8], places: Places) -> Result<Fields, DecodeError> {
        let side = match raw[places.action + 1] {
            b'A' => Some(Side::Sell),
            b'B' => Some(Side::Buy),
            b'N' => None,
            other => return Err(DecodeError::Unsupported("side", other.into())),
        };
        Ok(Fields {
            instrument: u32_le(raw, 4),
            exchange_ns: time_ns(u64_le(raw, 8)),
            index_ns: index_ns(raw),
            price: price(raw, places.price),
            qty: qty(raw, places.size),
            action: raw[places.action],
            side,
            sequence: u32_le(raw, places.sequence),
        })
    }
}

#[inline]
fn symbol<'a>(mappings: &'a [Mapping], last: &mut usize, number: &'a mut String, fields: &Fields) -> &'a str {
    symbol_at(mappings, last, number, fields.instrument, fields.index_ns)
}

/// An instrument's symbol at a time, else its number.
fn symbol_at<'a>(mappings: &'a [Mapping], last: &mut usize, number: &'a mut String, instrument: u32, time_ns: i64) -> &'a str {
    let holds = |mapping: &Mapping| mapping.instrument == instrument && mapping.time_ns.contains(&time_ns);
    if !mappings.get(*last).is_some_and(holds) {
        let begun = mappings.partition_point(|mapping| (mapping.instrument, mapping.time_ns.start) <= (instrument, time_ns));
        *last = begun.wrapping_sub(1);
    }
    match mappings.get(*last) {
        Some(mapping) if holds(mapping) => &mapping.symbol,
        _ => {
            number.clear();
            // A string takes every text.
            let _ = write!(number, "{instrument}");
            number
        }
    }
}

#[inline(always)]
fn price(raw: &[u8], at: usize) -> Option<Price> {
    match i64_le(raw, at) {
        NO_PRICE => None,
        price => Some(Price(price)),
    }
}

/// A size; 32 bits of them always fit.
#[inline(always)]
fn qty(raw: &[u8], at: usize) -> Qty {
    Qty(i64::from(u32_le(raw, at)) * QTY_SCALE)
}

/// A level; without a price or a size it is none.
#[inline(always)]
fn level(raw: &[u8], price_at: usize, qty_at: usize) -> Level {
    match (price(raw, price_at), qty(raw, qty_at)) {
        (Some(price), qty) if qty.0 > 0 => Level { price, qty },
        _ => Level::default(),
    }
}

//! Tardis CSV files: book changes and snapshots, trades, quotes, derivative tickers, liquidations; option chains are passed over.
//!
//! The first line names the columns. The receive time of a message is the row's `local_timestamp`. Rows of one symbol and one
//! `local_timestamp` in a row are one message of the venue, so a book change is handed over when the next one begins, and the last
//! by [`TardisCsvDecoder::finish`]. A book begins anew where `is_snapshot` turns true; what follows in the same run adds to it.

use super::decimal;
use super::order_id::fold_id;
use super::{
    BookMessage, DecodeError, DecodeSink, Decoder, Ignored, LevelChange, Link, LiquidationMessage, MESSAGE_LEVELS_MAX, MarkMessage,
    Message, QuoteMessage, SnapshotMessage, TradeMessage,
};
use crate::event::Side;
use crate::fixed::{FixedError, Price, Qty};
use crate::frame::{Bbo, Level};
use crate::time::{TimeUnit, Timestamp};
use std::collections::HashMap;

/// Columns of the widest file, a snapshot of 25 levels.
const COLUMNS_MAX: usize = 128;
/// Symbols in one file.
const SYMBOLS_MAX: usize = 4_096;
/// How every file begins.
const HEADER: &[u8] = b"exchange,symbol,timestamp,local_timestamp,";

/// Decodes the lines of one file.
pub struct TardisCsvDecoder {
    has_liquidations: bool,
    table: Option<Table>,
    changes: Changes,
}

/// Which column is where.
struct Table {
    kind: Kind,
    names: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    BookChanges,
    BookSnapshots,
    Trades,
    Liquidations,
    Quotes,
    Derivatives,
    Options,
}

/// The book change that rows are being added to; none where there are no levels and nothing is begun.
struct Changes {
    is_begun: bool,
    symbol: String,
    exchange_ns: i64,
    recv: Timestamp,
    is_snapshot: bool,
    levels: Vec<LevelChange>,
    /// Whether a symbol's latest rows were of a snapshot.
    in_snapshot: HashMap<String, bool>,
}

impl TardisCsvDecoder {
    /// A decoder for a file of that name: only the name tells trades from liquidations.
    pub fn new(file_name: &str) -> TardisCsvDecoder {
        TardisCsvDecoder {
            has_liquidations: file_name.contains("liquidations"),
            table: None,
            changes: Changes {
                is_begun: false,
                symbol: String::with_capacity(64),
                exchange_ns: 0,
                recv: Timestamp::default(),
                is_snapshot: false,
                levels: Vec::with_capacity(MESSAGE_LEVELS_MAX),
                in_snapshot: HashMap::with_capacity(64),
            },
        }
    }

    /// Whether a line is the first of such a file.
    pub fn recognises(&mut self, raw: &[u8]) -> bool {
        raw.starts_with(HEADER)
    }

    /// Hands over the book change that no later row has ended.
    pub fn finish(&mut self, out: &mut impl DecodeSink) {
        self.changes.hand_over(out);
    }
}

impl Decoder for TardisCsvDecoder {
    /// Decodes one line without its newline; `_recv` is not used. A row that is refused does not end a book change.
    fn decode(&mut self, raw: &[u8], _recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let line = std::str::from_utf8(raw.trim_ascii_end()).map_err(|_| DecodeError::Unrecognised)?;
        if raw.starts_with(HEADER) {
            let table = Table::of_header(line, self.has_liquidations)?;
            self.changes.hand_over(out);
            // Another file: its first snapshot begins the book anew.
            self.changes.in_snapshot.clear();
            self.table = Some(table);
            return Ok(());
        }
        let table = self.table.as_ref().ok_or(DecodeError::Missing("header"))?;
        let mut fields = [""; COLUMNS_MAX];
        let mut count = 0;
        for field in line.split(',') {
            *fields.get_mut(count).ok_or(DecodeError::Unrecognised)? = field;
            count += 1;
        }
        if count != table.names.len() {
            return Err(DecodeError::Missing("column"));
        }
        let row = Row { table, fields: &fields[..count] };
        let recv = Timestamp(row.time_ns("local_timestamp")?);
        let message = match table.kind {
            Kind::BookChanges => return self.changes.add(&row, recv, out),
            Kind::BookSnapshots => Message::PartialDepth(row.book(&mut self.changes.levels)?),
            Kind::Trades => row.trade()?,
            Kind::Liquidations => Message::Liquidation(row.liquidation()?),
            Kind::Quotes => Message::Quote(row.quote()?),
            Kind::Derivatives => row.derivative()?,
            Kind::Options => Message::Ignored(Ignored::Ticker),
        };
        out.message(recv, &message);
        Ok(())
    }
}

impl Table {
    fn of_header(line: &str, has_liquidations: bool) -> Result<Table, DecodeError> {
        let names: Vec<String> = line.split(',').take(COLUMNS_MAX + 1).map(str::to_owned).collect();
        if names.len() > COLUMNS_MAX {
            return Err(DecodeError::Capacity("columns"));
        }
        let has = |name: &str| names.iter().any(|known| known == name);
        let kind = if has("is_snapshot") {
            Kind::BookChanges
        } else if has("asks[0].price") {
            Kind::BookSnapshots
        } else if has("strike_price") {
            Kind::Options
        } else if has("funding_rate") {
            Kind::Derivatives
        } else if has("bid_price") {
            Kind::Quotes
        } else if has("side") && has_liquidations {
            Kind::Liquidations
        } else if has("side") {
            Kind::Trades
        } else {
            return Err(DecodeError::Unrecognised);
        };
        Ok(Table { kind, names })
    }
}

impl Changes {
    fn add(&mut self, row: &Row<'_, '_>, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        let symbol = row.symbol()?;
        let exchange_ns = row.time_ns("timestamp")?;
        let is_snapshot = match row.field("is_snapshot")? {
            "true" => true,
            "false" => false,
            _ => return Err(DecodeError::WrongType("is_snapshot")),
        };
        let side = match row.field("side")? {
            "bid" => Side::Buy,
            "ask" => Side::Sell,
            _ => return Err(DecodeError::OutOfRange("side")),
        };
        let qty = read_qty(row.field("amount")?, "amount")?;
        let price = match read_price(row.field("price")?, "price") {
            // Out of reach: see `levels`.
            Err(DecodeError::Decimal(_, FixedError::Range)) if side == Side::Sell => None,
            Ok(Price(0)) => return Err(DecodeError::OutOfRange("price")),
            price => Some(price?),
        };
        let goes_on = self.is_begun && (self.recv, self.is_snapshot) == (recv, is_snapshot) && self.symbol == symbol;
        if goes_on && self.levels.len() >= MESSAGE_LEVELS_MAX {
            return Err(DecodeError::TooManyLevels);
        }
        if !goes_on {
            if !self.in_snapshot.contains_key(symbol) {
                if self.in_snapshot.len() >= SYMBOLS_MAX {
                    return Err(DecodeError::Capacity("symbols"));
                }
                self.in_snapshot.insert(symbol.to_owned(), false);
            }
            self.hand_over(out);
            self.is_begun = true;
            self.symbol.push_str(symbol);
            self.recv = recv;
            self.is_snapshot = is_snapshot;
        }
        self.exchange_ns = exchange_ns;
        self.levels.extend(price.map(|price| LevelChange { side, price, qty }));
        Ok(())
    }

    fn hand_over(&mut self, out: &mut impl DecodeSink) {
        if self.is_begun {
            let was_snapshot = self.in_snapshot.get_mut(&self.symbol).map(|was| std::mem::replace(was, self.is_snapshot));
            let book = BookMessage {
                symbol: &self.symbol,
                link: Link::None,
                exchange_ns: self.exchange_ns,
                is_snapshot: self.is_snapshot && was_snapshot != Some(true),
                is_last: true,
                depth_max: None,
                checksum: None,
                levels: &self.levels,
            };
            out.message(self.recv, &Message::Book(book));
        }
        self.is_begun = false;
        self.symbol.clear();
        self.levels.clear();
    }
}

/// One line's fields.
struct Row<'t, 'r> {
    table: &'t Table,
    fields: &'r [&'r str],
}

impl<'r> Row<'_, 'r> {
    fn field(&self, name: &'static str) -> Result<&'r str, DecodeError> {
        let place = self.table.names.iter().position(|known| known == name).ok_or(DecodeError::Missing(name))?;
        Ok(self.fields[place])
    }

    fn symbol(&self) -> Result<&'r str, DecodeError> {
        self.field("symbol").and_then(|symbol| if symbol.is_empty() { Err(DecodeError::Missing("symbol")) } else { Ok(symbol) })
    }

    /// A time in microseconds, as nanoseconds.
    fn time_ns(&self, name: &'static str) -> Result<i64, DecodeError> {
        let time: i64 = self.field(name)?.parse().map_err(|_| DecodeError::WrongType(name))?;
        match TimeUnit::of_magnitude(time) {
            Some(TimeUnit::Micros) => time.checked_mul(1_000).ok_or(DecodeError::OutOfRange(name)),
            _ => Err(DecodeError::OutOfRange(name)),
        }
    }

    fn price(&self, name: &'static str) -> Result<Price, DecodeError> {
        read_price(self.field(name)?, name)
    }

    /// `None` where the field is empty.
    fn optional_price(&self, name: &'static str) -> Result<Option<Price>, DecodeError> {
        match self.field(name)? {
            "" => Ok(None),
            text => read_price(text, name).map(Some),
        }
    }

    fn qty(&self, name: &'static str) -> Result<Qty, DecodeError> {
        read_qty(self.field(name)?, name)
    }

    /// `asks[i].price, asks[i].amount, bids[i].price, bids[i].amount`, level after level; those that are not there are empty.
    fn book<'l>(&self, levels: &'l mut Vec<LevelChange>) -> Result<SnapshotMessage<'l>, DecodeError>
    where
        'r: 'l,
    {
        levels.clear();
        for (name, prefix, side) in [("bids", "bids[", Side::Buy), ("asks", "asks[", Side::Sell)] {
            for (place, column) in self.table.names.iter().enumerate() {
                if !(column.starts_with(prefix) && column.ends_with("].price")) || self.fields[place].is_empty() {
                    continue;
                }
                let amount = self.fields.get(place + 1).ok_or(DecodeError::Missing(name))?;
                levels.push(LevelChange { side, price: read_price(self.fields[place], name)?, qty: read_qty(amount, name)? });
            }
        }
        Ok(SnapshotMessage { symbol: Some(self.symbol()?), last_id: 0, exchange_ns: self.time_ns("timestamp")?, levels })
    }

    fn trade(&self) -> Result<Message<'r>, DecodeError> {
        let trade = |aggressor| {
            Ok(TradeMessage {
                symbol: self.symbol()?,
                id: match self.field("id")? {
                    "" => 0,
                    id => fold_id(id),
                },
                price: self.price("price")?,
                qty: self.qty("amount")?,
                aggressor,
                exchange_ns: self.time_ns("timestamp")?,
            })
        };
        match self.field("side")? {
            "buy" => trade(Some(Side::Buy)).map(Message::Trade),
            "sell" => trade(Some(Side::Sell)).map(Message::Trade),
            "unknown" => trade(None).map(Message::Trade),
            _ => Err(DecodeError::OutOfRange("side")),
        }
    }

    /// `sell` is a long position that was closed by force.
    fn liquidation(&self) -> Result<LiquidationMessage<'r>, DecodeError> {
        Ok(LiquidationMessage {
            symbol: self.symbol()?,
            side: match self.field("side")? {
                "buy" => Side::Buy,
                "sell" => Side::Sell,
                _ => return Err(DecodeError::OutOfRange("side")),
            },
            price: self.price("price")?,
            qty: self.qty("amount")?,
            exchange_ns: self.time_ns("timestamp")?,
        })
    }

    fn quote(&self) -> Result<QuoteMessage<'r>, DecodeError> {
        let level = |price, qty| -> Result<Level, DecodeError> {
            match self.optional_price(price)? {
                Some(price) => Ok(Level { price, qty: self.qty(qty)? }),
                None => Ok(Level::default()),
            }
        };
        Ok(QuoteMessage {
            symbol: self.symbol()?,
            id: 0,
            bbo: Bbo { bid: level("bid_price", "bid_amount")?, ask: level("ask_price", "ask_amount")? },
            exchange_ns: self.time_ns("timestamp")?,
        })
    }

    /// A mark price, where there is one.
    fn derivative(&self) -> Result<Message<'r>, DecodeError> {
        let Some(price) = self.optional_price("mark_price")? else { return Ok(Message::Ignored(Ignored::Ticker)) };
        let funding_rate = match self.field("funding_rate")? {
            "" => None,
            rate => {
                let rate = decimal::nearest_price(rate).map_err(|error| DecodeError::Decimal("funding_rate", error))?;
                Some(rate.0)
            }
        };
        Ok(Message::Mark(MarkMessage {
            symbol: self.symbol()?,
            price,
            index_price: self.optional_price("index_price")?,
            funding_rate,
            next_funding_ns: if self.field("funding_timestamp")?.is_empty() { 0 } else { self.time_ns("funding_timestamp")? },
            exchange_ns: self.time_ns("timestamp")?,
        }))
    }
}

fn read_price(text: &str, name: &'static str) -> Result<Price, DecodeError> {
    if text.starts_with('-') {
        return Err(DecodeError::OutOfRange(name));
    }
    decimal::price(text).map_err(|error| DecodeError::Decimal(name, error))
}

fn read_qty(text: &str, name: &'static str) -> Result<Qty, DecodeError> {
    let qty = decimal::qty(text).map_err(|error| DecodeError::Decimal(name, error))?;
    if qty.0 < 0 { Err(DecodeError::OutOfRange(name)) } else { Ok(qty) }
}

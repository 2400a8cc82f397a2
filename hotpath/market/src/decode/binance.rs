//! Binance spot, USD-M and COIN-M market streams and REST depth snapshots, raw or in the combined-stream envelope.
//!
//! Field names are case-sensitive (`u` and `U` differ) and their order varies between markets. Unknown fields are skipped: the
//! venue adds some from time to time.

use super::json::{JsonReader, after};
use super::scan::Scanner;
use super::{
    AggregateTradeMessage, BarMessage, DecodeError, DecodeSink, Decoder, DepthMessage, EventName, Ignored, LevelChange,
    LiquidationMessage, MESSAGE_LEVELS_MAX, MarkMessage, Message, QuoteMessage, SnapshotMessage, TradeMessage, VenueEvidence,
};
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, Level};
use crate::instrument::Exchange;
use crate::time::{NANOS_PER_SECOND, TimeUnit, Timestamp};
use simd_json::{Node, StaticNode};

/// Room for a symbol; the longest are those of dated futures and index baskets.
const SYMBOL_BYTES: usize = 64;

/// Decodes every Binance market; which one a message comes from makes no difference to its form.
pub struct BinanceDecoder {
    scanner: Scanner,
    reader: JsonReader,
    levels: Vec<LevelChange>,
    /// The upper-case symbol of a stream's name, for the one message that has no other.
    symbol: String,
}

impl Default for BinanceDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl BinanceDecoder {
    /// A decoder with its memory taken.
    pub fn new() -> BinanceDecoder {
        BinanceDecoder {
            scanner: Scanner::detect(),
            reader: JsonReader::new(),
            levels: Vec::with_capacity(MESSAGE_LEVELS_MAX),
            symbol: String::with_capacity(SYMBOL_BYTES),
        }
    }

    /// What a message tells of its venue, whether or not it is of use otherwise.
    ///
    /// # Errors
    /// [`DecodeError`] where it is not a Binance message at all.
    pub fn venue_evidence(&mut self, raw: &[u8]) -> Result<VenueEvidence, DecodeError> {
        self.reader.read(raw, |nodes| Envelope::open(nodes).map(|envelope| envelope.fields.venue_evidence(nodes)))
    }

    /// Decodes any message, the usual ones too.
    pub(super) fn decode_general<T>(
        &mut self,
        raw: &[u8],
        use_message: &mut impl FnMut(&Message<'_>) -> T,
    ) -> Result<T, DecodeError> {
        let (levels, symbol) = (&mut self.levels, &mut self.symbol);
        self.reader.read(raw, |nodes| {
            let message = Envelope::open(nodes)?.message(nodes, levels, symbol)?;
            Ok(use_message(&message))
        })
    }
}

impl Decoder for BinanceDecoder {
    #[inline]
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        if let Some(message) = self.scanner.scan(raw, &mut self.levels) {
            out.message(recv, &message);
            return Ok(());
        }
        self.decode_general(raw, &mut |message: &Message<'_>| out.message(recv, message))
    }
}

/// Where the fields of a payload are; 0 (the root) stands for "absent".
#[derive(Default)]
struct Fields {
    event: usize,
    event_time: usize,
    transaction_time: usize,
    symbol: usize,
    first_id: usize,
    final_id: usize,
    previous_id: usize,
    bids: usize,
    asks: usize,
    bid_qty: usize,
    ask_qty: usize,
    trade_id: usize,
    price: usize,
    qty: usize,
    trade_kind: usize,
    buyer_is_maker: usize,
    spot_only: usize,
    last_update_id: usize,
    snapshot_bids: usize,
    snapshot_asks: usize,
    snapshot_symbol: usize,
    pair: usize,
    market: usize,
    order: usize,
    order_side: usize,
    first_trade_id: usize,
    last_trade_id: usize,
    bar: usize,
    index_price: usize,
    funding_rate: usize,
    is_control: bool,
}

struct Envelope<'a> {
    stream: Option<&'a str>,
    fields: Fields,
}

impl<'a> Envelope<'a> {
    fn open(nodes: &[Node<'a>]) -> Result<Envelope<'a>, DecodeError> {
        let mut stream = None;
        let mut data = None;
        if !matches!(nodes.first(), Some(Node::Object { .. })) {
            return Err(DecodeError::Unrecognised);
        }
        // The envelope has two fields; a bare payload is recognised by its first one.
        for (place, (key, value)) in entries(nodes, 0).enumerate() {
            match key {
                "stream" => stream = string(nodes, value),
                "data" => data = Some(value),
                _ if place == 0 => break,
                _ => {}
            }
        }
        let payload = data.unwrap_or(0);
        if !matches!(nodes.get(payload), Some(Node::Object { .. })) {
            return Err(DecodeError::WrongType("data"));
        }
        Ok(Envelope { stream, fields: Fields::find(nodes, payload) })
    }

    fn message<'l>(
        &self,
        nodes: &[Node<'a>],
        levels: &'l mut Vec<LevelChange>,
        symbol: &'l mut String,
    ) -> Result<Message<'l>, DecodeError>
    where
        'a: 'l,
    {
        let fields = &self.fields;
        if fields.last_update_id != 0 {
            let snapshot = fields.snapshot(nodes, levels)?;
            let Some(stream) = self.stream else { return Ok(Message::Snapshot(snapshot)) };
            // In a stream this is `depth5/10/20`: the best levels over and over, not a snapshot to start from.
            symbol.clear();
            symbol.extend(
                stream.chars().take_while(|&char| char != '@').take(SYMBOL_BYTES / 4).map(|char| char.to_ascii_uppercase()),
            );
            return Ok(Message::PartialDepth(SnapshotMessage { symbol: snapshot.symbol.or(Some(symbol)), ..snapshot }));
        }
        let Some(event) = string(nodes, fields.event) else {
            return if fields.final_id != 0 && fields.bid_qty != 0 {
                // Spot bookTicker names no event.
                fields.quote(nodes).map(Message::Quote)
            } else if fields.is_control {
                Ok(Message::Ignored(Ignored::Control))
            } else {
                Err(DecodeError::Unrecognised)
            };
        };
        match event {
            "depthUpdate" if self.stream.is_some_and(|stream| is_partial_depth(stream.as_bytes())) => {
                let depth = fields.depth(nodes, levels)?;
                Ok(Message::PartialDepth(SnapshotMessage {
                    symbol: Some(depth.symbol),
                    last_id: depth.final_id,
                    exchange_ns: depth.exchange_ns,
                    levels: depth.levels,
                }))
            }
            "depthUpdate" => fields.depth(nodes, levels).map(Message::Depth),
            "bookTicker" => fields.quote(nodes).map(Message::Quote),
            "trade" if string(nodes, fields.trade_kind).is_some_and(|kind| kind != "MARKET") => {
                Ok(Message::Ignored(Ignored::OffBookTrade))
            }
            "trade" => fields.trade(nodes).map(Message::Trade),
            "markPriceUpdate" => fields.mark(nodes).map(Message::Mark),
            "forceOrder" => fields.liquidation(nodes).map(Message::Liquidation),
            "aggTrade" => fields.aggregate_trade(nodes).map(Message::AggregateTrade),
            "kline" => fields.bar(nodes).map(Message::Bar),
            "continuous_kline" | "indexPrice_kline" | "markPrice_kline" | "24hrTicker" | "24hrMiniTicker" | "1hTicker"
            | "4hTicker" | "1dTicker" | "avgPrice" | "indexPriceUpdate" | "compositeIndex" | "assetIndexUpdate"
            | "referencePrice" => Ok(Message::Ignored(Ignored::Ticker)),
            "serverShutdown" | "contractInfo" => Ok(Message::Ignored(Ignored::Control)),
            "blockTrade" => Ok(Message::Ignored(Ignored::OffBookTrade)),
            other => Err(DecodeError::UnknownEvent(EventName::new(other))),
        }
    }
}

impl Fields {
    fn find(nodes: &[Node<'_>], payload: usize) -> Fields {
        let mut fields = Fields::default();
        for (key, value) in entries(nodes, payload) {
            match key {
                "e" => fields.event = value,
                "E" => fields.event_time = value,
                "T" => fields.transaction_time = value,
                "s" => fields.symbol = value,
                "U" => fields.first_id = value,
                "u" => fields.final_id = value,
                "pu" => fields.previous_id = value,
                "b" => fields.bids = value,
                "a" => fields.asks = value,
                "B" => fields.bid_qty = value,
                "A" => fields.ask_qty = value,
                "t" => fields.trade_id = value,
                "f" => fields.first_trade_id = value,
                "l" => fields.last_trade_id = value,
                "k" => fields.bar = value,
                "i" => fields.index_price = value,
                "r" => fields.funding_rate = value,
                "p" => fields.price = value,
                "q" => fields.qty = value,
                "X" => fields.trade_kind = value,
                "m" => fields.buyer_is_maker = value,
                "M" => fields.spot_only = value,
                "lastUpdateId" => fields.last_update_id = value,
                "bids" => fields.snapshot_bids = value,
                "asks" => fields.snapshot_asks = value,
                "symbol" => fields.snapshot_symbol = value,
                "pair" | "ps" => fields.pair = value,
                "st" => fields.market = value,
                "o" => fields.order = value,
                "S" => fields.order_side = value,
                "result" | "code" | "error" => fields.is_control = true,
                _ => {}
            }
        }
        fields
    }

    fn venue_evidence(&self, nodes: &[Node<'_>]) -> VenueEvidence {
        let symbol = string(nodes, self.symbol).or_else(|| string(nodes, self.snapshot_symbol)).unwrap_or("");
        match (unsigned(nodes, self.market), symbol.split_once('_')) {
            (Some(1), _) => return VenueEvidence::Only(Exchange::BinanceUsdm),
            (Some(2), _) => return VenueEvidence::Only(Exchange::BinanceCoinm),
            (_, Some((pair, _))) if pair.ends_with("USD") => return VenueEvidence::Only(Exchange::BinanceCoinm),
            _ => {}
        }
        if self.last_update_id != 0 {
            return match (self.pair, self.event_time) {
                (0, 0) => VenueEvidence::Only(Exchange::BinanceSpot),
                (0, _) => VenueEvidence::Only(Exchange::BinanceUsdm),
                _ => VenueEvidence::Only(Exchange::BinanceCoinm),
            };
        }
        match string(nodes, self.event) {
            None if self.final_id != 0 && self.bid_qty != 0 => VenueEvidence::Only(Exchange::BinanceSpot),
            Some("bookTicker") => VenueEvidence::Only(Exchange::BinanceUsdm),
            Some("depthUpdate") if self.previous_id == 0 => VenueEvidence::Only(Exchange::BinanceSpot),
            Some("depthUpdate") => VenueEvidence::Only(Exchange::BinanceUsdm),
            Some("trade" | "aggTrade") if self.spot_only != 0 => VenueEvidence::Only(Exchange::BinanceSpot),
            Some("trade") if self.trade_kind != 0 => VenueEvidence::Only(Exchange::BinanceUsdm),
            Some("markPriceUpdate" | "forceOrder") => VenueEvidence::Only(Exchange::BinanceUsdm),
            _ => VenueEvidence::Any,
        }
    }

    fn depth<'a: 'l, 'l>(&self, nodes: &[Node<'a>], levels: &'l mut Vec<LevelChange>) -> Result<DepthMessage<'l>, DecodeError> {
        let symbol = required_string(nodes, self.symbol, "s")?;
        let first_id = required_unsigned(nodes, self.first_id, "U")?;
        let final_id = required_unsigned(nodes, self.final_id, "u")?;
        if first_id > final_id {
            return Err(DecodeError::OutOfRange("U"));
        }
        let previous_id = if self.previous_id == 0 { None } else { Some(required_unsigned(nodes, self.previous_id, "pu")?) };
        let exchange_ns = self.exchange_ns(nodes)?;
        levels.clear();
        read_levels(nodes, self.bids, "b", Side::Buy, levels)?;
        read_levels(nodes, self.asks, "a", Side::Sell, levels)?;
        Ok(DepthMessage { symbol, first_id, final_id, previous_id, exchange_ns, levels })
    }

    fn snapshot<'a: 'l, 'l>(
        &self,
        nodes: &[Node<'a>],
        levels: &'l mut Vec<LevelChange>,
    ) -> Result<SnapshotMessage<'l>, DecodeError> {
        let last_id = required_unsigned(nodes, self.last_update_id, "lastUpdateId")?;
        let exchange_ns = if self.event_time == 0 && self.transaction_time == 0 { 0 } else { self.exchange_ns(nodes)? };
        levels.clear();
        read_levels(nodes, self.snapshot_bids, "bids", Side::Buy, levels)?;
        read_levels(nodes, self.snapshot_asks, "asks", Side::Sell, levels)?;
        Ok(SnapshotMessage { symbol: string(nodes, self.snapshot_symbol), last_id, exchange_ns, levels })
    }

    fn quote<'a>(&self, nodes: &[Node<'a>]) -> Result<QuoteMessage<'a>, DecodeError> {
        let level = |price: usize, price_name, qty: usize, qty_name| -> Result<Level, DecodeError> {
            Ok(Level { price: read_price(nodes, price, price_name)?, qty: read_qty(nodes, qty, qty_name)? })
        };
        Ok(QuoteMessage {
            symbol: required_string(nodes, self.symbol, "s")?,
            id: required_unsigned(nodes, self.final_id, "u")?,
            bbo: Bbo { bid: level(self.bids, "b", self.bid_qty, "B")?, ask: level(self.asks, "a", self.ask_qty, "A")? },
            exchange_ns: if self.event_time == 0 && self.transaction_time == 0 { 0 } else { self.exchange_ns(nodes)? },
        })
    }

    fn trade<'a>(&self, nodes: &[Node<'a>]) -> Result<TradeMessage<'a>, DecodeError> {
        self.trade_with_id(nodes, required_unsigned(nodes, self.trade_id, "t")?)
    }

    fn aggregate_trade<'a>(&self, nodes: &[Node<'a>]) -> Result<AggregateTradeMessage<'a>, DecodeError> {
        // `a` is the aggregate's id here.
        let trade = self.trade_with_id(nodes, required_unsigned(nodes, self.asks, "a")?)?;
        let first_trade_id = required_unsigned(nodes, self.first_trade_id, "f")?;
        let last_trade_id = required_unsigned(nodes, self.last_trade_id, "l")?;
        if first_trade_id > last_trade_id {
            return Err(DecodeError::OutOfRange("f"));
        }
        Ok(AggregateTradeMessage { trade, first_trade_id, last_trade_id })
    }

    fn trade_with_id<'a>(&self, nodes: &[Node<'a>], id: u64) -> Result<TradeMessage<'a>, DecodeError> {
        Ok(TradeMessage {
            symbol: required_string(nodes, self.symbol, "s")?,
            id,
            price: read_price(nodes, self.price, "p").and_then(|price| above_zero(price, "p"))?,
            qty: read_qty(nodes, self.qty, "q")?,
            aggressor: match nodes.get(self.buyer_is_maker).filter(|_| self.buyer_is_maker != 0) {
                Some(Node::Static(StaticNode::Bool(true))) => Some(Side::Sell),
                Some(Node::Static(StaticNode::Bool(false))) => Some(Side::Buy),
                Some(_) => return Err(DecodeError::WrongType("m")),
                None => return Err(DecodeError::Missing("m")),
            },
            exchange_ns: self.exchange_ns(nodes)?,
        })
    }

    fn mark<'a>(&self, nodes: &[Node<'a>]) -> Result<MarkMessage<'a>, DecodeError> {
        Ok(MarkMessage {
            symbol: required_string(nodes, self.symbol, "s")?,
            price: read_price(nodes, self.price, "p")?,
            index_price: if self.index_price == 0 { None } else { Some(read_price(nodes, self.index_price, "i")?) },
            funding_rate: self.funding_rate(nodes)?,
            // `T` is the next funding time here; dated futures have none and send 0.
            next_funding_ns: match unsigned(nodes, self.transaction_time) {
                None | Some(0) => 0,
                Some(time) => time_ns(time).ok_or(DecodeError::OutOfRange("T"))?,
            },
            exchange_ns: read_time(nodes, self.event_time, "E")?,
        })
    }

    /// The funding rate in 1e-9; dated futures have none and send an empty string.
    fn funding_rate(&self, nodes: &[Node<'_>]) -> Result<Option<i64>, DecodeError> {
        if self.funding_rate == 0 {
            return Ok(None);
        }
        match required_string(nodes, self.funding_rate, "r")? {
            "" => Ok(None),
            rate => Price::parse(rate.as_bytes()).map(|rate| Some(rate.0)).map_err(|error| DecodeError::Decimal("r", error)),
        }
    }

    fn bar<'a>(&self, nodes: &[Node<'a>]) -> Result<BarMessage<'a>, DecodeError> {
        let symbol = required_string(nodes, self.symbol, "s")?;
        if self.bar == 0 {
            return Err(DecodeError::Missing("k"));
        }
        let mut bar = BarFields::default();
        for (key, value) in entries(nodes, self.bar) {
            match key {
                "t" => bar.open_time = value,
                "i" => bar.interval = value,
                "o" => bar.open = value,
                "h" => bar.high = value,
                "l" => bar.low = value,
                "c" => bar.close = value,
                "v" => bar.volume = value,
                "x" => bar.is_closed = value,
                _ => {}
            }
        }
        let is_closed = match nodes.get(bar.is_closed).filter(|_| bar.is_closed != 0) {
            Some(Node::Static(StaticNode::Bool(is_closed))) => *is_closed,
            Some(_) => return Err(DecodeError::WrongType("k.x")),
            None => return Err(DecodeError::Missing("k.x")),
        };
        Ok(BarMessage {
            symbol,
            open_ns: read_time(nodes, bar.open_time, "k.t")?,
            interval_ns: interval_ns(required_string(nodes, bar.interval, "k.i")?).ok_or(DecodeError::OutOfRange("k.i"))?,
            open: read_price(nodes, bar.open, "k.o")?,
            high: read_price(nodes, bar.high, "k.h")?,
            low: read_price(nodes, bar.low, "k.l")?,
            close: read_price(nodes, bar.close, "k.c")?,
            volume: read_qty(nodes, bar.volume, "k.v")?,
            is_closed,
        })
    }

    fn liquidation<'a>(&self, nodes: &[Node<'a>]) -> Result<LiquidationMessage<'a>, DecodeError> {
        if self.order == 0 {
            return Err(DecodeError::Missing("o"));
        }
        let order = Fields::find(nodes, self.order);
        Ok(LiquidationMessage {
            symbol: required_string(nodes, order.symbol, "o.s")?,
            side: match required_string(nodes, order.order_side, "o.S")? {
                "BUY" => Side::Buy,
                "SELL" => Side::Sell,
                _ => return Err(DecodeError::OutOfRange("o.S")),
            },
            price: read_price(nodes, order.price, "o.p")?,
            qty: read_qty(nodes, order.qty, "o.q")?,
            exchange_ns: read_time(nodes, order.transaction_time, "o.T")?,
        })
    }

    /// Transaction time where there is one, else event time.
    fn exchange_ns(&self, nodes: &[Node<'_>]) -> Result<i64, DecodeError> {
        if self.transaction_time != 0 {
            read_time(nodes, self.transaction_time, "T")
        } else {
            read_time(nodes, self.event_time, "E")
        }
    }
}

/// Where the fields of a bar are; 0 stands for "absent".
#[derive(Default)]
struct BarFields {
    open_time: usize,
    interval: usize,
    open: usize,
    high: usize,
    low: usize,
    close: usize,
    volume: usize,
    is_closed: usize,
}

/// Nanoseconds in `1s`, `15m`, `4h`, `3d`, `1w`; 0 for `1M`, a calendar month.
fn interval_ns(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let count: i64 = text[..text.len() - unit.len_utf8()].parse().ok().filter(|count| (1..=1_000).contains(count))?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        'M' => 0,
        _ => return None,
    };
    Some(count * seconds * NANOS_PER_SECOND)
}

/// Whether a stream is `<symbol>@depth5`, `10` or `20`, at any speed.
#[inline]
pub(super) fn is_partial_depth(stream: &[u8]) -> bool {
    let kind = stream.split(|&byte| byte == b'@').nth(1).unwrap_or_default();
    matches!(kind, b"depth5" | b"depth10" | b"depth20")
}

/// Keys of the object at `at`, with the places of their values.
fn entries<'n, 'a>(nodes: &'n [Node<'a>], at: usize) -> impl Iterator<Item = (&'a str, usize)> + use<'n, 'a> {
    let len = match nodes.get(at) {
        Some(Node::Object { len, .. }) => *len,
        _ => 0,
    };
    let mut place = at + 1;
    (0..len).map_while(move |_| {
        let Some(Node::String(key)) = nodes.get(place) else { return None };
        let value = place + 1;
        place = after(nodes, value);
        Some((*key, value))
    })
}

fn read_levels(
    nodes: &[Node<'_>],
    at: usize,
    name: &'static str,
    side: Side,
    levels: &mut Vec<LevelChange>,
) -> Result<(), DecodeError> {
    if at == 0 {
        return Err(DecodeError::Missing(name));
    }
    let Some(Node::Array { len, .. }) = nodes.get(at) else { return Err(DecodeError::WrongType(name)) };
    if levels.len() + len > MESSAGE_LEVELS_MAX {
        return Err(DecodeError::TooManyLevels);
    }
    let mut place = at + 1;
    for _ in 0..*len {
        let (Some(Node::Array { len: 2.., .. }), Some(Node::String(price)), Some(Node::String(qty))) =
            (nodes.get(place), nodes.get(place + 1), nodes.get(place + 2))
        else {
            return Err(DecodeError::WrongType(name));
        };
        let price = Price::parse(price.as_bytes()).map_err(|error| DecodeError::Decimal(name, error))?;
        let qty = Qty::parse(qty.as_bytes()).map_err(|error| DecodeError::Decimal(name, error))?;
        if price.0 <= 0 || qty.0 < 0 {
            return Err(DecodeError::OutOfRange(name));
        }
        levels.push(LevelChange { side, price, qty });
        place = after(nodes, place);
    }
    Ok(())
}

#[inline]
fn string<'a>(nodes: &[Node<'a>], at: usize) -> Option<&'a str> {
    match nodes.get(at) {
        Some(Node::String(text)) => Some(text),
        _ => None,
    }
}

#[inline]
fn unsigned(nodes: &[Node<'_>], at: usize) -> Option<u64> {
    match nodes.get(at) {
        Some(Node::Static(StaticNode::U64(value))) => Some(*value),
        Some(Node::Static(StaticNode::I64(value))) => u64::try_from(*value).ok(),
        _ => None,
    }
}

fn required_string<'a>(nodes: &[Node<'a>], at: usize, name: &'static str) -> Result<&'a str, DecodeError> {
    if at == 0 {
        return Err(DecodeError::Missing(name));
    }
    string(nodes, at).ok_or(DecodeError::WrongType(name))
}

fn required_unsigned(nodes: &[Node<'_>], at: usize, name: &'static str) -> Result<u64, DecodeError> {
    if at == 0 {
        return Err(DecodeError::Missing(name));
    }
    unsigned(nodes, at).ok_or(DecodeError::WrongType(name))
}

fn read_price(nodes: &[Node<'_>], at: usize, name: &'static str) -> Result<Price, DecodeError> {
    let price = Price::parse(required_string(nodes, at, name)?.as_bytes()).map_err(|error| DecodeError::Decimal(name, error))?;
    if price.0 < 0 { Err(DecodeError::OutOfRange(name)) } else { Ok(price) }
}

fn above_zero(price: Price, name: &'static str) -> Result<Price, DecodeError> {
    if price.0 > 0 { Ok(price) } else { Err(DecodeError::OutOfRange(name)) }
}

fn read_qty(nodes: &[Node<'_>], at: usize, name: &'static str) -> Result<Qty, DecodeError> {
    let qty = Qty::parse(required_string(nodes, at, name)?.as_bytes()).map_err(|error| DecodeError::Decimal(name, error))?;
    if qty.0 < 0 { Err(DecodeError::OutOfRange(name)) } else { Ok(qty) }
}

/// A time in nanoseconds, from ms or, where the stream was asked for them, us.
fn read_time(nodes: &[Node<'_>], at: usize, name: &'static str) -> Result<i64, DecodeError> {
    time_ns(required_unsigned(nodes, at, name)?).ok_or(DecodeError::OutOfRange(name))
}

/// A time in nanoseconds; `None` where it is in neither ms nor us.
#[inline]
pub(super) fn time_ns(value: u64) -> Option<i64> {
    let value = i64::try_from(value).ok()?;
    match TimeUnit::of_magnitude(value)? {
        unit @ (TimeUnit::Millis | TimeUnit::Micros) => value.checked_mul(unit.nanos()),
        TimeUnit::Seconds | TimeUnit::Nanos => None,
    }
}

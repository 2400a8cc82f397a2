//! The Binance decoder against a slow one that shares no code with it: one JSON tree a message, owned strings, exact integers.

use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Ignored, LevelChange, Message};
use chronos_market::{Side, Timestamp};
use flate2::read::MultiGzDecoder;
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A JSON value with its fields in the order written, repeated ones too.
#[derive(Clone, PartialEq, Debug)]
enum Json {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Json {
    /// The last field of that name.
    fn field(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.field(name) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn unsigned(&self, name: &str) -> Option<u64> {
        match self.field(name) {
            Some(Json::Unsigned(value)) => Some(*value),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    fn holds_a_float(&self) -> bool {
        match self {
            Json::Float(_) => true,
            Json::List(values) => values.iter().any(Json::holds_a_float),
            Json::Object(fields) => fields.iter().any(|(_, value)| value.holds_a_float()),
            _ => false,
        }
    }
}

/// A level change: whether it is a bid, price, quantity.
type Level = (bool, i64, i64);

/// What a message says, owned.
#[derive(PartialEq, Debug)]
enum Owned {
    Depth { symbol: String, first: u64, last: u64, previous: Option<u64>, exchange_ns: i64, levels: Vec<Level> },
    Snapshot { symbol: Option<String>, last: u64, exchange_ns: i64, levels: Vec<Level> },
    Trade { symbol: String, id: u64, price: i64, qty: i64, sells: bool, exchange_ns: i64 },
    Quote { symbol: String, id: u64, prices_and_sizes: [i64; 4], exchange_ns: i64 },
    PartialDepth { symbol: Option<String>, last: u64, exchange_ns: i64, levels: Vec<Level> },
    AggregateTrade { symbol: String, ids: [u64; 3], price: i64, qty: i64, sells: bool, exchange_ns: i64 },
    Bar { symbol: String, open_ns: i64, seconds: i64, prices: [i64; 4], volume: i64, is_closed: bool },
    Mark { symbol: String, price: i64, index: Option<i64>, funding: Option<i64>, next_funding_ns: i64, exchange_ns: i64 },
    Liquidation { symbol: String, sells: bool, price: i64, qty: i64, exchange_ns: i64 },
    Ignored(Ignored),
}

/// The slow decoder; `None` where the message is refused.
fn reference(root: &Json) -> Option<Owned> {
    let Json::Object(fields) = root else { return None };
    let is_envelope = fields.first().is_some_and(|(name, _)| name == "stream" || name == "data");
    let stream = if is_envelope { root.text("stream") } else { None };
    let payload = if is_envelope { root.field("data").unwrap_or(root) } else { root };
    let Json::Object(_) = payload else { return None };

    if payload.has("lastUpdateId") {
        let mut levels = levels(payload, "bids", true)?;
        levels.extend(self::levels(payload, "asks", false)?);
        let symbol = payload.text("symbol").map(str::to_owned);
        let (last, exchange_ns) = (payload.unsigned("lastUpdateId")?, optional_time(payload)?);
        return Some(match stream.and_then(|stream| stream.split('@').next()) {
            Some(name) => {
                let from_stream: String = name.chars().take(16).collect();
                let symbol = symbol.or(Some(from_stream.to_ascii_uppercase()));
                Owned::PartialDepth { symbol, last, exchange_ns, levels }
            }
            None => Owned::Snapshot { symbol, last, exchange_ns, levels },
        });
    }
    let Some(event) = payload.text("e") else {
        return if payload.has("u") && payload.has("B") {
            quote(payload)
        } else if ["result", "code", "error"].iter().any(|name| payload.has(name)) {
            Some(Owned::Ignored(Ignored::Control))
        } else {
            None
        };
    };
    let symbol = || payload.text("s").map(str::to_owned);
    let ignored = match event {
        "depthUpdate" => {
            let kind = stream.and_then(|stream| stream.split('@').nth(1));
            let is_partial = matches!(kind, Some("depth5" | "depth10" | "depth20"));
            let (first, last) = (payload.unsigned("U")?, payload.unsigned("u")?);
            let mut levels = levels(payload, "b", true)?;
            levels.extend(self::levels(payload, "a", false)?);
            let previous = if payload.has("pu") { Some(payload.unsigned("pu")?) } else { None };
            let exchange_ns = transaction_time(payload)?;
            let symbol = symbol()?;
            return (first <= last).then_some(if is_partial {
                Owned::PartialDepth { symbol: Some(symbol), last, exchange_ns, levels }
            } else {
                Owned::Depth { symbol, first, last, previous, exchange_ns, levels }
            });
        }
        "bookTicker" => return quote(payload),
        "trade" => {
            if payload.text("X").is_some_and(|kind| kind != "MARKET") {
                return Some(Owned::Ignored(Ignored::OffBookTrade));
            }
            let Some(Json::Bool(sells)) = payload.field("m") else { return None };
            return Some(Owned::Trade {
                symbol: symbol()?,
                id: payload.unsigned("t")?,
                price: decimal(payload.text("p")?, 9).filter(|price| *price > 0)?,
                qty: decimal(payload.text("q")?, 8).filter(|qty| *qty >= 0)?,
                sells: *sells,
                exchange_ns: transaction_time(payload)?,
            });
        }
        "markPriceUpdate" => {
            let index = match payload.field("i") {
                Some(_) => Some(decimal(payload.text("i")?, 9).filter(|price| *price >= 0)?),
                None => None,
            };
            let funding = match payload.field("r") {
                Some(_) => Some(payload.text("r")?).filter(|rate| !rate.is_empty()),
                None => None,
            };
            return Some(Owned::Mark {
                symbol: symbol()?,
                price: decimal(payload.text("p")?, 9).filter(|price| *price >= 0)?,
                index,
                funding: match funding {
                    Some(rate) => Some(decimal(rate, 9)?),
                    None => None,
                },
                next_funding_ns: match payload.unsigned("T") {
                    None | Some(0) => 0,
                    Some(_) => time(payload, "T")?,
                },
                exchange_ns: time(payload, "E")?,
            });
        }
        "forceOrder" => {
            let order = payload.field("o")?;
            return Some(Owned::Liquidation {
                symbol: order.text("s")?.to_owned(),
                sells: match order.text("S")? {
                    "BUY" => false,
                    "SELL" => true,
                    _ => return None,
                },
                price: decimal(order.text("p")?, 9).filter(|price| *price >= 0)?,
                qty: decimal(order.text("q")?, 8).filter(|qty| *qty >= 0)?,
                exchange_ns: time(order, "T")?,
            });
        }
        "aggTrade" => {
            let Some(Json::Bool(sells)) = payload.field("m") else { return None };
            let ids = [payload.unsigned("a")?, payload.unsigned("f")?, payload.unsigned("l")?];
            return (ids[1] <= ids[2]).then_some(Owned::AggregateTrade {
                symbol: symbol()?,
                ids,
                price: decimal(payload.text("p")?, 9).filter(|price| *price > 0)?,
                qty: decimal(payload.text("q")?, 8).filter(|qty| *qty >= 0)?,
                sells: *sells,
                exchange_ns: transaction_time(payload)?,
            });
        }
        "kline" => {
            let bar = payload.field("k")?;
            let price = |name| decimal(bar.text(name)?, 9).filter(|price| *price >= 0);
            let (interval, Some(Json::Bool(is_closed))) = (bar.text("i")?, bar.field("x")) else { return None };
            let split = interval.char_indices().next_back()?.0;
            let count: i64 = interval[..split].parse().ok().filter(|count| (1..=1_000).contains(count))?;
            let unit = ["s", "m", "h", "d", "w", "M"].iter().position(|unit| *unit == &interval[split..])?;
            return Some(Owned::Bar {
                symbol: symbol()?,
                open_ns: time(bar, "t")?,
                seconds: count * [1, 60, 3_600, 24 * 3_600, 7 * 24 * 3_600, 0][unit],
                prices: [price("o")?, price("h")?, price("l")?, price("c")?],
                volume: decimal(bar.text("v")?, 8).filter(|qty| *qty >= 0)?,
                is_closed: *is_closed,
            });
        }
        "continuous_kline" | "indexPrice_kline" | "markPrice_kline" | "24hrTicker" | "24hrMiniTicker" | "1hTicker" | "4hTicker"
        | "1dTicker" | "avgPrice" | "indexPriceUpdate" | "compositeIndex" | "assetIndexUpdate" | "referencePrice" => {
            Ignored::Ticker
        }
        "serverShutdown" | "contractInfo" => Ignored::Control,
        "blockTrade" => Ignored::OffBookTrade,
        _ => return None,
    };
    Some(Owned::Ignored(ignored))
}

fn quote(payload: &Json) -> Option<Owned> {
    let part = |name, decimals| decimal(payload.text(name)?, decimals).filter(|value| *value >= 0);
    Some(Owned::Quote {
        symbol: payload.text("s")?.to_owned(),
        id: payload.unsigned("u")?,
        prices_and_sizes: [part("b", 9)?, part("B", 8)?, part("a", 9)?, part("A", 8)?],
        exchange_ns: optional_time(payload)?,
    })
}

fn levels(payload: &Json, name: &str, is_bid: bool) -> Option<Vec<Level>> {
    let Some(Json::List(levels)) = payload.field(name) else { return None };
    let level = |level: &Json| match level {
        Json::List(parts) => match &parts[..] {
            [Json::Text(price), Json::Text(qty), ..] => {
                let (price, qty) = (decimal(price, 9)?, decimal(qty, 8)?);
                (price > 0 && qty >= 0).then_some((is_bid, price, qty))
            }
            _ => None,
        },
        _ => None,
    };
    levels.iter().map(level).collect()
}

/// A plain decimal in units of 10^-`decimals`.
fn decimal(text: &str, decimals: u32) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = !(whole.is_empty() && fraction.is_empty()) && (whole.to_owned() + fraction).bytes().all(|b| b.is_ascii_digit());
    if !is_plain {
        return None;
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(decimals as usize));
    if beyond.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let digits = format!("{whole}{kept:0<width$}", width = decimals as usize);
    let digits = digits.trim_start_matches('0');
    let value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    i64::try_from(value).ok().map(|value| sign * value)
}

fn optional_time(payload: &Json) -> Option<i64> {
    if payload.has("T") || payload.has("E") { transaction_time(payload) } else { Some(0) }
}

fn transaction_time(payload: &Json) -> Option<i64> {
    time(payload, if payload.has("T") { "T" } else { "E" })
}

/// Milliseconds from 1973 to 2286, or microseconds, to nanoseconds.
fn time(payload: &Json, name: &str) -> Option<i64> {
    let value = i128::from(payload.unsigned(name)?);
    let nanos = match value {
        100_000_000_000..10_000_000_000_000 => value * 1_000_000,
        100_000_000_000_000..10_000_000_000_000_000 => value * 1_000,
        _ => return None,
    };
    i64::try_from(nanos).ok()
}

#[derive(Default)]
struct Kept(Option<Owned>);

impl DecodeSink for Kept {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        let levels = |levels: &[LevelChange]| levels.iter().map(|l| (l.side == Side::Buy, l.price.0, l.qty.0)).collect();
        assert!(self.0.is_none(), "the sink was called twice");
        self.0 = Some(match message {
            Message::Depth(depth) => Owned::Depth {
                symbol: depth.symbol.into(),
                first: depth.first_id,
                last: depth.final_id,
                previous: depth.previous_id,
                exchange_ns: depth.exchange_ns,
                levels: levels(depth.levels),
            },
            Message::Snapshot(snapshot) => Owned::Snapshot {
                symbol: snapshot.symbol.map(str::to_owned),
                last: snapshot.last_id,
                exchange_ns: snapshot.exchange_ns,
                levels: levels(snapshot.levels),
            },
            Message::Trade(trade) => Owned::Trade {
                symbol: trade.symbol.into(),
                id: trade.id,
                price: trade.price.0,
                qty: trade.qty.0,
                sells: trade.aggressor == Some(Side::Sell),
                exchange_ns: trade.exchange_ns,
            },
            Message::Quote(quote) => Owned::Quote {
                symbol: quote.symbol.into(),
                id: quote.id,
                prices_and_sizes: [quote.bbo.bid.price.0, quote.bbo.bid.qty.0, quote.bbo.ask.price.0, quote.bbo.ask.qty.0],
                exchange_ns: quote.exchange_ns,
            },
            Message::PartialDepth(depth) => Owned::PartialDepth {
                symbol: depth.symbol.map(str::to_owned),
                last: depth.last_id,
                exchange_ns: depth.exchange_ns,
                levels: levels(depth.levels),
            },
            Message::AggregateTrade(aggregate) => Owned::AggregateTrade {
                symbol: aggregate.trade.symbol.into(),
                ids: [aggregate.trade.id, aggregate.first_trade_id, aggregate.last_trade_id],
                price: aggregate.trade.price.0,
                qty: aggregate.trade.qty.0,
                sells: aggregate.trade.aggressor == Some(Side::Sell),
                exchange_ns: aggregate.trade.exchange_ns,
            },
            Message::Bar(bar) => Owned::Bar {
                symbol: bar.symbol.into(),
                open_ns: bar.open_ns,
                seconds: bar.interval_ns / 1_000_000_000,
                prices: [bar.open.0, bar.high.0, bar.low.0, bar.close.0],
                volume: bar.volume.0,
                is_closed: bar.is_closed,
            },
            Message::Mark(mark) => Owned::Mark {
                symbol: mark.symbol.into(),
                price: mark.price.0,
                index: mark.index_price.map(|price| price.0),
                funding: mark.funding_rate,
                next_funding_ns: mark.next_funding_ns,
                exchange_ns: mark.exchange_ns,
            },
            Message::Liquidation(order) => Owned::Liquidation {
                symbol: order.symbol.into(),
                sells: order.side == Side::Sell,
                price: order.price.0,
                qty: order.qty.0,
                exchange_ns: order.exchange_ns,
            },
            Message::Ignored(ignored) => Owned::Ignored(*ignored),
            other => panic!("not a Binance message: {other:?}"),
        });
    }
}

/// Says how the two decoders differ on a message; `None` where they agree.
fn difference(decoder: &mut BinanceDecoder, raw: &[u8]) -> Option<String> {
    let mut kept = Kept::default();
    let decoded = decoder.decode(raw, Timestamp(0), &mut kept);
    if decoded.is_ok() != kept.0.is_some() {
        return Some(format!("{decoded:?}, yet the sink had {:?}", kept.0));
    }
    let expected = match serde_json::from_slice::<Json>(raw) {
        Ok(root) => {
            // A number beyond 64 bits sends the message to the bounded reader, which leaves escapes as they are written.
            if raw.contains(&b'\\') && root.holds_a_float() {
                return None;
            }
            reference(&root)
        }
        Err(error) => {
            // Stricter than the decoder on a field nobody reads: a lone surrogate, a float beyond the range, deep nesting.
            let text = error.to_string();
            if ["surrogate", "number out of range", "recursion limit", "hex escape"].iter().any(|reason| text.contains(reason)) {
                return None;
            }
            None
        }
    };
    (kept.0 != expected).then(|| format!("decoder: {decoded:?} {:?}\nreference: {expected:?}", kept.0))
}

fn assert_agreement(decoder: &mut BinanceDecoder, raw: &[u8]) {
    if let Some(difference) = difference(decoder, raw) {
        panic!("{}\n{difference}", String::from_utf8_lossy(raw));
    }
}

/// The committed messages, good and bad.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/__fuzz__/binance_message/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn agrees_on_the_committed_messages() {
    let mut decoder = BinanceDecoder::new();
    let corpus = corpus();
    let taken = corpus.iter().filter(|raw| serde_json::from_slice(raw).is_ok_and(|root| reference(&root).is_some())).count();
    assert!(taken >= 8 && taken < corpus.len(), "{taken} good messages of {}", corpus.len());
    for raw in &corpus {
        assert_agreement(&mut decoder, raw);
    }
}

#[test]
fn agrees_on_real_captures() {
    let Some(folder) = chronos_tests::data_file("binance_ws") else { return };
    let mut decoder = BinanceDecoder::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let mut compared = 0;
        let lines = BufReader::new(MultiGzDecoder::new(std::fs::File::open(&path).unwrap())).lines();
        // A sample, and every snapshot.
        for (number, line) in lines.enumerate() {
            let line = line.unwrap();
            if number % 50 == 0 || line.contains("lastUpdateId") {
                let (_, message) = line.split_once(' ').unwrap();
                assert_agreement(&mut decoder, message.as_bytes());
                assert!(reference(&serde_json::from_str(message).unwrap()).is_some(), "{message}");
                compared += 1;
            }
        }
        assert!(compared > 100, "{}", path.display());
    }
}

/// A message whose fields can be told apart and changed.
fn good_messages() -> Vec<Json> {
    corpus().iter().filter_map(|raw| serde_json::from_slice(raw).ok()).filter(|root| reference(root).is_some()).collect()
}

/// What to put in the place of a value, as it is written.
const ODD_VALUES: [&str; 22] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e3",
    "\"\"",
    "\"0\"",
    "\"-0.1\"",
    "\"1e5\"",
    "\"9223372036.854775807\"",
    "\"9223372036.854775808\"",
    "\"0.0000000001\"",
    "\"\\u0041\\n\\\"\"",
    "\"MARKET\"",
    "[]",
    "[[\"1\",\"2\",\"3\"],[\"1\"]]",
    "{\"e\":\"trade\"}",
];

#[derive(Clone, Debug)]
enum Mutation {
    Shuffle(u64),
    Remove(usize),
    Replace(usize, usize),
    Add(usize, usize),
    Repeat(usize),
    Escape(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u64>().prop_map(Mutation::Shuffle),
        any::<usize>().prop_map(Mutation::Remove),
        (any::<usize>(), any::<usize>()).prop_map(|(place, value)| Mutation::Replace(place, value)),
        (any::<usize>(), any::<usize>()).prop_map(|(place, value)| Mutation::Add(place, value)),
        any::<usize>().prop_map(Mutation::Repeat),
        any::<usize>().prop_map(Mutation::Escape),
    ]
}

/// The fields of the payload as they are written, and what stands around them.
fn mutate(message: &Json, mutations: &[Mutation]) -> String {
    let (prefix, payload, suffix) = match (message.text("stream"), message.field("data")) {
        (Some(stream), Some(data)) => (format!("{{\"stream\":\"{stream}\",\"data\":"), data, "}"),
        _ => (String::new(), message, ""),
    };
    let Json::Object(fields) = payload else { panic!("a payload is an object") };
    let mut fields: Vec<(String, String)> = fields.iter().map(|(name, value)| (format!("{name:?}"), write(value))).collect();
    for mutation in mutations {
        let count = fields.len().max(1);
        match *mutation {
            Mutation::Shuffle(seed) => fields.sort_by_key(|(name, _)| {
                name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17))
            }),
            Mutation::Remove(place) if !fields.is_empty() => {
                fields.remove(place % count);
            }
            Mutation::Replace(place, value) if !fields.is_empty() => {
                fields[place % count].1 = ODD_VALUES[value % ODD_VALUES.len()].to_owned();
            }
            Mutation::Add(place, value) => {
                fields.insert(place % count, ("\"unheard_of\"".into(), ODD_VALUES[value % ODD_VALUES.len()].to_owned()));
            }
            Mutation::Repeat(place) if !fields.is_empty() => fields.push(fields[place % count].clone()),
            Mutation::Escape(place) if !fields.is_empty() => {
                let name = &mut fields[place % count].0;
                if let Some(first) = name.as_bytes().get(1).copied().filter(u8::is_ascii_alphanumeric) {
                    *name = format!("\"\\u{first:04x}{}", &name[2..]);
                }
            }
            _ => {}
        }
    }
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    format!("{prefix}{{{}}}{suffix}", fields.join(","))
}

fn write(value: &Json) -> String {
    match value {
        Json::Null => "null".into(),
        Json::Bool(value) => value.to_string(),
        Json::Unsigned(value) => value.to_string(),
        Json::Signed(value) => value.to_string(),
        Json::Float(value) => value.to_string(),
        Json::Text(text) => format!("{text:?}"),
        Json::List(values) => format!("[{}]", values.iter().map(write).collect::<Vec<_>>().join(",")),
        Json::Object(fields) => {
            format!("{{{}}}", fields.iter().map(|(name, value)| format!("{name:?}:{}", write(value))).collect::<Vec<_>>().join(","))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_on_changed_messages(choice in any::<prop::sample::Index>(), mutations in prop::collection::vec(mutation(), 0..4)) {
        thread_local! {
            static GOOD: Vec<Json> = good_messages();
        }
        let raw = GOOD.with(|good| mutate(choice.get(good), &mutations));
        let difference = difference(&mut BinanceDecoder::new(), raw.as_bytes());
        prop_assert!(difference.is_none(), "{}\n{}", raw, difference.unwrap_or_default());
    }

    #[test]
    fn agrees_on_damaged_messages(
        choice in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..3)
    ) {
        thread_local! {
            static CORPUS: Vec<Vec<u8>> = corpus();
        }
        let mut raw = CORPUS.with(|corpus| choice.get(corpus).clone());
        if flips.is_empty() {
            raw.truncate(cut.index(raw.len() + 1));
        }
        for (place, bit) in &flips {
            let count = raw.len().max(1);
            if let Some(byte) = raw.get_mut(place.index(count)) {
                *byte ^= 1 << bit;
            }
        }
        let difference = difference(&mut BinanceDecoder::new(), &raw);
        prop_assert!(difference.is_none(), "{}\n{}", String::from_utf8_lossy(&raw), difference.unwrap_or_default());
    }
}

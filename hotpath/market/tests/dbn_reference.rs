//! DBN against Databento's own decoder.

mod captures;

use captures::{Lines, hex};
use chronos_market::decode::{
    BarMessage, DbnDecoder, DbnMetadata, DbnStep, DecodeError, Decoder, Ignored, LevelChange, Link, Message, OrderAction,
    OrderMessage, QuoteMessage, RestingOrder, SnapshotMessage, StatusMessage, TradeMessage, TradingStatus, split_dbn_record,
};
use chronos_market::{Bbo, Level, Price, Qty, Side, Timestamp};
use dbn::decode::{DbnMetadata as _, DecodeRecordRef};
use dbn::{BidAskPair, MboMsg, Mbp1Msg, Mbp10Msg, OhlcvMsg, Record, RecordRef, StatusMsg, TradeMsg, TsSymbolMap};
use proptest::prelude::*;
use std::fs::File;
use std::io::Read;

/// What is inside a compressed file of Databento's; `None` where it is missing.
fn unpacked(name: &str) -> Option<Vec<u8>> {
    let path = chronos_tests::data_file(&format!("databento/{name}"))?;
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::new(File::open(path).expect("open")).expect("zstd").read_to_end(&mut bytes).expect("unpack");
    Some(bytes)
}

/// Every message of a file.
fn decode(file: &[u8]) -> Result<Lines, DecodeError> {
    let metadata = DbnMetadata::parse(file)?;
    let length = DbnMetadata::length(file.first_chunk().expect("parsed"))?;
    let (mut decoder, mut lines, mut rest) = (DbnDecoder::new(metadata), Lines::default(), &file[length..]);
    while !rest.is_empty() {
        match split_dbn_record(rest)? {
            DbnStep::Record { consumed, recv, record } => {
                decoder.decode(record, recv, &mut lines)?;
                rest = &rest[consumed..];
            }
            DbnStep::NeedMore(needed) => return Err(DecodeError::Truncated(needed, rest.len())),
        }
    }
    Ok(lines)
}

/// Databento's records in normal form.
struct Reference {
    symbols: TsSymbolMap,
    lines: Vec<String>,
}

fn reference(file: &[u8]) -> Vec<String> {
    let mut decoder = dbn::decode::dbn::Decoder::new(file).expect("metadata");
    let symbols = decoder.metadata().symbol_map().expect("symbols");
    let mut reference = Reference { symbols, lines: Vec::new() };
    while let Some(record) = decoder.decode_record_ref().expect("a record") {
        reference.record(record);
    }
    reference.lines
}

const UNITS: i64 = 100_000_000;

fn letter(byte: std::ffi::c_char) -> char {
    byte as u8 as char
}

fn side(byte: std::ffi::c_char) -> Option<Side> {
    match letter(byte) {
        'A' => Some(Side::Sell),
        'B' => Some(Side::Buy),
        _ => None,
    }
}

fn time(raw: u64) -> i64 {
    if raw == u64::MAX { 0 } else { raw as i64 }
}

impl Reference {
    fn tell(&mut self, message: Message<'_>) {
        self.lines.push(format!("{message:?}"));
    }

    fn symbol<T: Record>(&self, record: &T, instrument: u32) -> String {
        // A record that was received at no known time is one of when it happened.
        let index = match record.raw_index_ts() {
            u64::MAX => record.raw_ts_event(),
            index => index,
        };
        self.symbols.get_for_ts(index, instrument).cloned().unwrap_or_else(|| instrument.to_string())
    }

    fn trade(&mut self, symbol: &str, id: u32, price: i64, size: u32, aggressor: Option<Side>, exchange_ns: i64) {
        let (price, qty) = (Price(price), Qty(i64::from(size) * UNITS));
        self.tell(Message::Trade(TradeMessage { symbol, id: id.into(), price, qty, aggressor, exchange_ns }));
    }

    fn record(&mut self, record: RecordRef<'_>) {
        let instrument = record.header().instrument_id;
        let exchange_ns = time(record.header().ts_event);
        let level = |price: i64, size: u32| match price {
            i64::MAX => Level::default(),
            _ if size == 0 => Level::default(),
            price => Level { price: Price(price), qty: Qty(i64::from(size) * UNITS) },
        };
        if let Some(mbo) = record.get::<MboMsg>() {
            let symbol = self.symbol(mbo, instrument);
            let (id, qty) = (mbo.order_id, Qty(i64::from(mbo.size) * UNITS));
            let resting = || RestingOrder { id, side: side(mbo.side).expect("a side"), price: Price(mbo.price), qty };
            let action = match letter(mbo.action) {
                'A' => OrderAction::Add(resting()),
                'M' => OrderAction::Modify(resting()),
                'C' => OrderAction::Reduce { id, qty },
                'R' => OrderAction::Clear,
                'T' => {
                    self.trade(&symbol, mbo.sequence, mbo.price, mbo.size, side(mbo.side), exchange_ns);
                    if !mbo.flags.is_last() {
                        return;
                    }
                    OrderAction::Nothing
                }
                _ => OrderAction::Nothing,
            };
            let (symbol, is_last) = (symbol.as_str(), mbo.flags.is_last());
            self.tell(Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last, action }));
        } else if let Some(trade) = record.get::<TradeMsg>() {
            let symbol = self.symbol(trade, instrument);
            if letter(trade.action) == 'T' {
                self.trade(&symbol, trade.sequence, trade.price, trade.size, side(trade.side), exchange_ns);
            }
        } else if let Some(mbp) = record.get::<Mbp1Msg>() {
            let symbol = self.symbol(mbp, instrument);
            if letter(mbp.action) == 'T' {
                self.trade(&symbol, mbp.sequence, mbp.price, mbp.size, side(mbp.side), exchange_ns);
            }
            let best = &mbp.levels[0];
            let bbo = Bbo { bid: level(best.bid_px, best.bid_sz), ask: level(best.ask_px, best.ask_sz) };
            self.tell(Message::Quote(QuoteMessage { symbol: &symbol, id: mbp.sequence.into(), bbo, exchange_ns }));
        } else if let Some(mbp) = record.get::<Mbp10Msg>() {
            let symbol = self.symbol(mbp, instrument);
            if letter(mbp.action) == 'T' {
                self.trade(&symbol, mbp.sequence, mbp.price, mbp.size, side(mbp.side), exchange_ns);
            }
            let change = |side, Level { price, qty }: Level| LevelChange { side, price, qty };
            let bids = mbp.levels.iter().map(|pair: &BidAskPair| change(Side::Buy, level(pair.bid_px, pair.bid_sz)));
            let asks = mbp.levels.iter().map(|pair| change(Side::Sell, level(pair.ask_px, pair.ask_sz)));
            let levels: Vec<LevelChange> = bids.chain(asks).filter(|level| level.qty.0 > 0).collect();
            let (symbol, last_id) = (Some(symbol.as_str()), mbp.sequence.into());
            self.tell(Message::PartialDepth(SnapshotMessage { symbol, last_id, exchange_ns, levels: &levels }));
        } else if let Some(bar) = record.get::<OhlcvMsg>() {
            let symbol = self.symbol(bar, instrument);
            let seconds = [1, 60, 3_600, 86_400, 86_400][usize::from(record.header().rtype - 0x20)];
            self.tell(Message::Bar(BarMessage {
                symbol: &symbol,
                open_ns: exchange_ns,
                interval_ns: seconds * 1_000_000_000,
                open: Price(bar.open),
                high: Price(bar.high),
                low: Price(bar.low),
                close: Price(bar.close),
                volume: Qty(bar.volume as i64 * UNITS),
                is_closed: true,
            }));
        } else if let Some(status) = record.get::<StatusMsg>() {
            let symbol = self.symbol(status, instrument);
            let status = match status.action {
                7 => TradingStatus::Trading,
                1..=6 | 9 | 11 => TradingStatus::QuotesOnly,
                8 | 10 | 12 | 13 | 15 => TradingStatus::Halted,
                _ => return self.tell(Message::Ignored(Ignored::Statistics)),
            };
            self.tell(Message::Status(StatusMessage { symbol: &symbol, exchange_ns, status }));
        } else {
            self.tell(Message::Ignored(match record.header().rtype {
                0x13 => Ignored::Definition,
                0x14 | 0x18 => Ignored::Statistics,
                _ => Ignored::Control,
            }));
        }
    }
}

#[test]
fn reads_every_file_as_databento_does() {
    let counts = [
        ("es-glbx-mdp3-20240508_000000_000002.mbo", 13_796),
        ("es_futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02", 2_288),
        ("dbn_unit/test_data.definition.v3", 0),
        ("dbn_unit/test_data.imbalance.v3", 0),
        ("dbn_unit/test_data.mbo.v1", 0),
        ("dbn_unit/test_data.mbo.v2", 0),
        ("dbn_unit/test_data.mbo.v3", 0),
        ("dbn_unit/test_data.mbp-1.v3", 0),
        ("dbn_unit/test_data.mbp-10.v3", 0),
        ("dbn_unit/test_data.ohlcv-1m.v3", 0),
        ("dbn_unit/test_data.statistics.v3", 0),
        ("dbn_unit/test_data.status.v3", 0),
        ("dbn_unit/test_data.tbbo.v3", 0),
        ("dbn_unit/test_data.trades.v3", 0),
    ];
    for (name, count) in counts {
        let Some(file) = unpacked(&format!("{name}.dbn.zst")) else { continue };
        let lines = decode(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(lines.0, reference(&file), "{name}");
        match count {
            13_796 => assert_eq!(lines.0.len(), count + lines.count("Trade(") - trades_without_event_end(&file)),
            2_288 => assert_eq!(lines.count("Quote("), count),
            _ => assert!(!lines.0.is_empty() || name.contains("statistics"), "{name}"),
        }
    }
}

/// Trades in an MBO file that are told by one message: their event goes on.
fn trades_without_event_end(file: &[u8]) -> usize {
    let length = DbnMetadata::length(file.first_chunk().expect("a file")).expect("DBN");
    let is_open_trade = |record: &&[u8]| record[38] == b'T' && record[36] < 0x80;
    file[length..].chunks_exact(56).filter(is_open_trade).count()
}

#[test]
fn reads_the_records_of_the_specification() {
    let mut file = metadata(3, &[("ESH1".into(), vec![(20_201_228, 20_201_229, "5482".into())])]);
    file.extend(hex(
        "0ea001006a15000007afa6acdbe254168945fed29600000080fb30c56203000001000000800043413cdeaaacdbe25416d1590000b0db1100",
    ));
    file.extend(hex("0c0001006a150000410784b2dbe2541680022e30620300000500000054418100e90889b2dbe25416334b0000ccdb1100"));
    file.extend(hex(
        "140101006a1500004fb3fbacdbe2541600b5143f62030000010000004141800009c2fdacdbe254163e430000badb110080022e306203000000b5143f62030000180000000b0000000f00000009000000",
    ));
    let symbol = "ESH1";
    let order = OrderMessage {
        symbol,
        link: Link::None,
        exchange_ns: 1_609_160_400_000_429_831,
        is_last: true,
        action: OrderAction::Reduce { id: 647_784_973_705, qty: Qty(UNITS) },
    };
    let trade = TradeMessage {
        symbol,
        id: 1_170_380,
        price: Price(3_720_250_000_000),
        qty: Qty(5 * UNITS),
        aggressor: Some(Side::Sell),
        exchange_ns: 1_609_160_400_098_821_953,
    };
    let bid = Level { price: Price(3_720_250_000_000), qty: Qty(24 * UNITS) };
    let ask = Level { price: Price(3_720_500_000_000), qty: Qty(11 * UNITS) };
    let quote = QuoteMessage { symbol, id: 1_170_362, bbo: Bbo { bid, ask }, exchange_ns: 1_609_160_400_006_001_487 };
    let lines = decode(&file).expect("decodes");
    assert_eq!(lines.0, [Message::Order(order), Message::Trade(trade), Message::Quote(quote)].map(|it| format!("{it:?}")));
}

/// A symbol and, by its days from and to, the instrument's number.
type Mapping = (String, Vec<(u32, u32, String)>);

/// Metadata as the format lays it down.
fn metadata(version: u8, mappings: &[Mapping]) -> Vec<u8> {
    let symbol_bytes = if version == 1 { 22 } else { 71 };
    let mut file = [&b"DBN"[..], &[version], &[0; 4], b"GLBX.MDP3\0\0\0\0\0\0\0", &[0; 26]].concat();
    if version == 1 {
        file.extend(u64::MAX.to_le_bytes());
    }
    // From raw symbols to instrument ids, without send times.
    file.extend([1, 0, 0]);
    if version > 1 {
        file.extend((symbol_bytes as u16).to_le_bytes());
    }
    file.resize(112, 0);
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend(text.as_bytes());
        file.resize(file.len() + symbol_bytes - text.len(), 0);
    };
    for symbols in [&["ES.FUT"][..], &["IN", "PART"], &[]] {
        file.extend((symbols.len() as u32).to_le_bytes());
        symbols.iter().for_each(|symbol| text(&mut file, symbol));
    }
    file.extend((mappings.len() as u32).to_le_bytes());
    for (symbol, intervals) in mappings {
        text(&mut file, symbol);
        file.extend((intervals.len() as u32).to_le_bytes());
        for (from, to, instrument) in intervals {
            file.extend([from.to_le_bytes(), to.to_le_bytes()].concat());
            text(&mut file, instrument);
        }
    }
    if version == 3 {
        file.resize(file.len().next_multiple_of(8), 0);
    }
    let length = file.len() as u32 - 8;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    file
}

/// Symbols of instruments 0 and 1 from 2020-01-01 on, some days with and some without.
fn mappings(days: &[u8]) -> Vec<Mapping> {
    let interval = |(day, &instrument): (usize, &u8)| {
        let date = 20_200_101 + day as u32;
        (date, date + 1, if instrument < 2 { instrument.to_string() } else { String::new() })
    };
    let own = |instrument: u8| {
        let is_of_it = |(_, other): &(usize, &u8)| [instrument, 2].contains(other);
        (format!("NAME{instrument}"), days.iter().enumerate().filter(is_of_it).map(interval).collect())
    };
    vec![own(0), own(1)]
}

/// A record of some type from a seed, `extra` bytes longer than its type.
fn record(kind: usize, seed: u64, extra: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        state >> 32
    };
    let (rtype, length) = [
        (0xA0, 56),
        (0xA0, 56),
        (0x00, 48),
        (0x01, 80),
        (0x0A, 368),
        (0x20, 56),
        (0x21, 56),
        (0x22, 56),
        (0x23, 56),
        (0x24, 56),
        (0x12, 40),
    ][kind];
    let mut raw = vec![0; length + extra];
    raw[0] = (raw.len() / 4) as u8;
    raw[1] = rtype;
    raw[4] = (next() % 3) as u8;
    // The first days of 2020, or no time at all.
    let mut time = |raw: &mut [u8], at: usize| {
        let nanos = 1_577_836_800_000_000_000 + (next() % 5) * 86_400_000_000_000 + next() % 7;
        let nanos = if next() % 8 == 0 { u64::MAX } else { nanos };
        raw[at..at + 8].copy_from_slice(&nanos.to_le_bytes());
    };
    let (recv_at, price_at, size_at, action_at) = match rtype {
        0xA0 => (40, 24, 32, 38),
        0x12 => (16, 24, 28, 30),
        0x20..=0x24 => (8, 16, 24, 28),
        _ => (32, 16, 24, 28),
    };
    time(&mut raw, 8);
    time(&mut raw, recv_at);
    match rtype {
        0x12 => raw[24] = (next() % 18) as u8,
        0x20..=0x24 => raw[16..].chunks_exact_mut(8).for_each(|field| field[..4].copy_from_slice(&(next() as u32).to_le_bytes())),
        _ => {
            raw[price_at..price_at + 8].copy_from_slice(&(next() as i64 % 3 - 1).to_le_bytes());
            raw[size_at..size_at + 4].copy_from_slice(&(next() as u32).to_le_bytes());
            let actions: &[u8] = if rtype == 0xA0 { b"ACMRTFN" } else { b"ACMRT" };
            raw[action_at] = actions[next() as usize % actions.len()];
            // Orders have a side; trades may have none.
            let sides: &[u8] = if matches!(raw[action_at], b'A' | b'M') { b"AB" } else { b"ABN" };
            raw[action_at + 1] = sides[next() as usize % sides.len()];
            if rtype == 0xA0 {
                raw[36] = [0x80, 0, 0xA8][next() as usize % 3];
                raw[16..20].copy_from_slice(&(next() as u32).to_le_bytes());
            }
            raw[price_at + 28] = next() as u8;
            if length > 48 && rtype != 0xA0 {
                for level in raw[48..length].chunks_exact_mut(32) {
                    for at in [0, 8] {
                        let price = if next() % 4 == 0 { i64::MAX } else { next() as i64 };
                        level[at..at + 8].copy_from_slice(&price.to_le_bytes());
                    }
                    for at in [16, 20] {
                        level[at..at + 4].copy_from_slice(&(next() as u32 % 3).to_le_bytes());
                    }
                }
            }
        }
    }
    raw
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_on_made_up_files(
        version in 1..=3_u8, days in prop::collection::vec(0..3_u8, 0..5), records in prop::collection::vec((0..11_usize, any::<u64>()), 0..40)
    ) {
        let mut file = metadata(version, &mappings(&days));
        for (kind, seed) in records {
            file.extend(record(kind, seed, 0));
        }
        let found = decode(&file);
        prop_assert_eq!(found.map(|lines| lines.0), Ok(reference(&file)));
    }

    #[test]
    fn a_send_time_at_the_end_changes_nothing(kind in 0..11_usize, seed: u64) {
        let file = metadata(3, &[]);
        let with = |extra| decode(&[&file[..], &record(kind, seed, extra)].concat()).expect("decodes").0;
        prop_assert_eq!(with(0), with(8));
    }
}

#[test]
fn says_what_is_wrong() {
    let file = metadata(2, &[]);
    let changed = |at: usize, value: u8| {
        let mut file = file.clone();
        file[at] = value;
        decode(&file).err()
    };
    assert_eq!(changed(3, 4), Some(DecodeError::Unsupported("DBN version", 4)));
    assert_eq!(changed(0, b'E'), Some(DecodeError::Unsupported("file beginning", 0x024E_4245)));
    assert_eq!(changed(7, 0x7F), Some(DecodeError::OutOfRange("metadata length")));
    assert!(matches!(changed(5, 0x7F), Some(DecodeError::Truncated(..))));
    assert_eq!(split_dbn_record(&[3, 0, 0, 0]), Err(DecodeError::OutOfRange("record length")));
    assert_eq!(split_dbn_record(&[14, 0xA0]), Ok(DbnStep::NeedMore(56)));
    let mut none = record(0, 1, 0);
    none[38] = b'Z';
    let mut decoder = DbnDecoder::new(DbnMetadata::parse(&file).expect("parses"));
    let error = decoder.decode(&none, Timestamp(0), &mut Lines::default());
    assert_eq!(error, Err(DecodeError::Unsupported("action", b'Z'.into())));
}

//! Books of levels.

use crate::{Books, recorded, text, unpacked};
use chronos_market::book::{BookEvent, BookSync, MarketBook, QuoteCheck, SyncOutcome};
use chronos_market::decode::{
    BinanceDecoder, BitstampDecoder, BybitDecoder, CoinbaseDecoder, DecodeSink, Decoder, KrakenDecoder, Message, PacketDecoder,
    PcapReader, PcapStep, ReorderWindow,
};
use chronos_market::{BookState, Price, Qty, Side, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

#[test]
fn every_checksum_of_kraken_matches() {
    let Some(texts) = text("cryptofeed/KRAKEN.ws.50.0.txt.zst") else { return };
    let (mut books, mut decoder) = (Books::new(MarketBook::new), KrakenDecoder::new());
    for (_, message) in recorded(&[texts]) {
        books.take(&mut decoder, Timestamp(0), message.as_bytes());
    }
    let counters = books.counters();
    assert_eq!((counters.checksums_compared, counters.checksum_mismatches), (4_269, 0));
    assert_eq!((books.by_symbol.len(), books.are_synced(), counters.crossed), (10, true, 0));
}

/// Neither numbers the changes of its books in a way that shows a hole: that they never cross is what can be seen.
#[test]
fn coinbases_and_bybits_books_never_cross() {
    let Some(coinbase) = text("cryptofeed/COINBASE.ws.28.0.txt.zst") else { return };
    let Some(bybit) = text("cryptofeed/BYBIT.ws.26.0.txt.zst") else { return };
    let mut books = Books::new(MarketBook::new);
    let mut decoder = CoinbaseDecoder::new();
    for (_, message) in recorded(&[coinbase]) {
        books.take(&mut decoder, Timestamp(0), message.as_bytes());
    }
    let applied = books.outcomes.iter().filter(|outcome| matches!(outcome, SyncOutcome::Applied(_))).count();
    assert_eq!((books.by_symbol.len(), books.are_synced(), applied), (10, true, 9_719));
    assert_eq!((books.counters().crossed, books.counters().resyncs), (0, 0));

    let mut books = Books::new(MarketBook::new);
    let mut decoder = BybitDecoder::new();
    for (_, message) in recorded(&[bybit]) {
        books.take(&mut decoder, Timestamp(0), message.as_bytes());
    }
    let counters = books.counters();
    assert_eq!((books.by_symbol.len(), books.are_synced()), (2, true));
    assert_eq!((counters.crossed, counters.gaps, counters.resyncs, counters.old), (0, 0, 0, 0));
}

#[test]
fn bitstamps_changes_join_their_replies_and_never_cross() {
    let Some(stream) = text("cryptofeed/BITSTAMP.ws.1.0.txt.zst") else { return };
    let Some(replies) = text("cryptofeed/BITSTAMP.http.0.0.txt.zst") else { return };
    let (mut books, mut decoder) = (Books::new(MarketBook::new), BitstampDecoder::new());
    for (address, message) in recorded(&[stream, replies]) {
        if let Some((_, symbol)) = address.rsplit_once('/') {
            decoder.set_symbol(symbol);
        }
        books.take(&mut decoder, Timestamp(0), message.as_bytes());
    }
    let counters = books.counters();
    assert_eq!((books.by_symbol.len(), counters.crossed, counters.gaps), (10, 0, 0));
    // A pair that did not change after its reply waits for the first change.
    let waiting = books.by_symbol.values().filter(|book| book.state() != BookState::Synced).count();
    let loaded = books.outcomes.iter().filter(|outcome| **outcome == SyncOutcome::SnapshotLoaded).count();
    let joined = books.outcomes.iter().filter(|outcome| **outcome == SyncOutcome::Synced).count();
    assert_eq!((loaded, joined, waiting), (10, 10 - waiting, loaded - joined));
}

#[test]
fn binances_books_equal_its_quotes_at_equal_ids() {
    let mut compared = Vec::new();
    for name in ["BINANCE", "BINANCE_FUTURES", "BINANCE_DELIVERY"] {
        let Some(stream) = text(&format!("cryptofeed/{name}.ws.1.0.txt.zst")) else { return };
        let Some(replies) = text(&format!("cryptofeed/{name}.http.0.0.txt.zst")) else { return };
        let mut books = Quoted { books: Books::new(MarketBook::new), checks: BTreeMap::new() };
        let mut decoder = BinanceDecoder::new();
        for (address, message) in recorded(&[stream, replies]) {
            if let Some((_, symbol)) = address.split_once("symbol=") {
                books.books.symbol = symbol.split('&').next().unwrap().to_owned();
            }
            decoder.decode(message.as_bytes(), Timestamp(0), &mut books).unwrap();
        }
        let counters = books.books.counters();
        assert_eq!((counters.gaps, counters.crossed, counters.resyncs, counters.overruns), (0, 0, 0, 0), "{name}");
        assert!(books.books.are_synced(), "{name}");
        assert!(books.checks.values().all(|check| check.mismatched() == 0), "{name}");
        compared.push(books.checks.values().map(QuoteCheck::compared).sum::<u64>());
    }
    println!("books compared with quotes: {compared:?}");
    assert!(compared.iter().all(|&compared| compared > 0), "{compared:?}");
}

struct Quoted {
    books: Books,
    checks: BTreeMap<String, QuoteCheck>,
}

impl DecodeSink for Quoted {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        if let Message::Quote(quote) = message {
            self.checks.entry(quote.symbol.to_owned()).or_default().on_quote(quote.id, quote.bbo);
        }
        self.books.message(recv, message);
        if let Message::Depth(depth) = message
            && let Some(SyncOutcome::Applied(_) | SyncOutcome::Synced) = self.books.outcomes.last()
        {
            let book = &self.books.by_symbol[depth.symbol];
            self.checks.entry(depth.symbol.to_owned()).or_default().on_book(book.last_id(), book.bbo());
        }
    }
}

#[test]
fn binances_bootstraps_end_in_the_book_hashed_beside_them() {
    for name in ["spot/bootstrap_LRCBTC", "spot/bootstrap_NKNUSDT", "usdm/bootstrap_KEEPUSDT", "usdm/bootstrap_SUSHIUSDT"] {
        let Some(path) = chronos_tests::data_file(&format!("../formats/samples/binance-{name}.json")) else { return };
        let sample: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        // What was received before the snapshot, the snapshot, the rest.
        let mut messages: Vec<_> = sample["events"].as_array().unwrap().iter().map(|one| (&one["recv"], &one["msg"])).collect();
        messages.push((&sample["snapshot_recv"], &sample["snapshot"]));
        messages.sort_by(|one, other| one.0.as_f64().unwrap().total_cmp(&other.0.as_f64().unwrap()));

        struct Follow(BookSync);
        let (mut follow, mut texts) = (Follow(BookSync::new()), BTreeMap::new());
        impl DecodeSink for Follow {
            fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
                let emit = &mut |_: BookEvent| {};
                match message {
                    Message::Depth(depth) => drop(self.0.on_depth(depth, emit)),
                    Message::Snapshot(snapshot) => drop(self.0.on_snapshot(snapshot, emit)),
                    other => panic!("{other:?}"),
                }
            }
        }
        let mut decoder = BinanceDecoder::new();
        for (_, message) in messages {
            decoder.decode(message.to_string().as_bytes(), Timestamp(0), &mut follow).unwrap();
            remember_texts(message, &mut texts);
        }
        let (sync, expected) = (follow.0, &sample["expected"]);
        assert_eq!((sync.state(), sync.last_id()), (BookState::Synced, expected["final_update_id"].as_u64().unwrap()), "{name}");
        // The book in the venue's own digits.
        let mut text = String::new();
        for (letter, side) in [('B', Side::Buy), ('A', Side::Sell)] {
            for level in sync.book().levels(side) {
                let (price, qty) = &texts[&(side as u8, level.price)];
                assert_eq!(Qty::parse(qty.as_bytes()), Ok(level.qty), "{name} {price}");
                writeln!(text, "{letter} {price} {qty}").unwrap();
            }
        }
        let hash: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, expected["sha256_of_text"].as_str().unwrap(), "{name}");
    }
}

/// The digits of each price and of its last quantity as they were on the wire.
fn remember_texts(message: &serde_json::Value, texts: &mut BTreeMap<(u8, Price), (String, String)>) {
    let body = message.get("data").unwrap_or(message);
    for (side, names) in [(Side::Buy, ["b", "bids"]), (Side::Sell, ["a", "asks"])] {
        let levels = names.iter().find_map(|name| body.get(name)?.as_array()).unwrap();
        for level in levels {
            let (price, qty) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
            let key = (side as u8, Price::parse(price.as_bytes()).unwrap());
            texts.insert(key, (price.to_owned(), qty.to_owned()));
        }
    }
}

#[test]
fn iex_books_survive_eleven_restarts() {
    let Some(bytes) = unpacked("iex/deep10_20170425_part1.pcap.gz") else { return };
    let mut books = Books::new(MarketBook::new);
    let mut decoder = PacketDecoder::new(Timestamp(0), ReorderWindow::default());
    let (mut reader, mut rest) = (PcapReader::new(), bytes.as_slice());
    while !rest.is_empty() {
        let consumed = match reader.next(rest).unwrap() {
            PcapStep::Packet { consumed, packet } => {
                decoder.set_link_type(packet.link_type);
                books.take(&mut decoder, packet.recv, packet.bytes);
                consumed
            }
            PcapStep::Skip { consumed } => consumed,
            PcapStep::NeedMore(_) => break,
        };
        rest = &rest[consumed..];
    }
    decoder.finish(Timestamp(0), &mut books).unwrap();
    // The venue's test system sends books that cross: such a book is not used until the feed begins anew.
    let counters = books.counters();
    let told = books.by_symbol.values().map(|book| book.counters().restarts).max();
    println!("{} books, {counters:?}", books.by_symbol.len());
    assert_eq!((books.restarts, counters.gaps, counters.overruns), (11, 0, 0));
    assert!(told.is_some_and(|told| told > 0));
    assert!(books.outcomes.iter().filter(|outcome| matches!(outcome, SyncOutcome::Applied(_))).count() > 1_000);
}

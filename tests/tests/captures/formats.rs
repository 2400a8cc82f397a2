//! Every format of capture through the whole path, against what is known of the files.

use chronos_exchange::itch_capture::{ItchConfig, ItchSummary, PacketContainer, write_itch_file};
use chronos_market::book::MarketBook;
use chronos_market::decode::{DecodeSink, Decoder, FeedMessage, Message};
use chronos_market::{BookState, InstrumentId, Side, StaleReason, Timestamp};
use chronos_session::capture::{Capture, CaptureItem};
use chronos_session::config::Config;
use chronos_session::report::Report;
use chronos_session::{ReplayOptions, Resync, replay};
use chronos_tests::data_file;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn replayed(paths: &[PathBuf], symbols: &[&str]) -> Report {
    let mut config = Config::default();
    config.model.path = "none".into();
    config.source.symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    replay(&ReplayOptions { paths: paths.to_vec(), config, ..ReplayOptions::default() }, &mut |_| {}).expect("a replay").report
}

/// The number before a text in the notices, of all instruments together.
fn told(report: &Report, text: &str) -> u64 {
    let number =
        |notice: &String| notice.split(text).next().and_then(|before| before.split_whitespace().last()?.parse::<u64>().ok());
    report.notices.iter().filter(|notice| notice.contains(text)).filter_map(number).sum()
}

#[test]
fn json_of_every_venue_is_replayed_to_books_in_sync() {
    // Records as the data's description counts them, the recorder's own lines not among them.
    for (names, venue, symbols) in [
        (&["cryptofeed/KRAKEN.ws.50.0.txt.zst"][..], "kraken", 10),
        (&["cryptofeed/COINBASE.ws.28.0.txt.zst"], "coinbase", 10),
        (&["cryptofeed/BYBIT.ws.26.0.txt.zst"], "bybit-inverse", 2),
        (&["cryptofeed/BINANCE_FUTURES.ws.1.0.txt.zst", "cryptofeed/BINANCE_FUTURES.http.0.0.txt.zst"], "binance-usdm", 4),
        (&["cryptofeed/BINANCE.ws.1.0.txt.zst", "cryptofeed/BINANCE.http.0.0.txt.zst"], "binance-spot", 4),
        (&["bybit/2024-12-01_XRPUSDT_ob500_first50.data.zip"], "bybit-linear", 1),
        (&["l3_bitfinex/bitfinex_tBTCUSD_R0_first40000.jsonl.zst"], "bitfinex", 1),
    ] {
        let Some(paths) = names.iter().map(|name| data_file(name)).collect::<Option<Vec<PathBuf>>>() else { return };
        let report = replayed(&paths, &[]);
        assert!(report.sources.iter().all(|source| source.venue == venue), "{names:?}: {:?}", report.sources);
        assert_eq!(report.instruments.len(), symbols, "{names:?}");
        assert!(report.instruments.iter().all(|instrument| instrument.synced), "{names:?}: {:?}", report.notices);
        assert_eq!((report.malformed, report.gaps, report.book_checks.crossed), (0, 0, 0), "{names:?}: {:?}", report.notices);
        assert!(report.features > 0, "{names:?}");
    }
}

#[test]
fn the_checksums_of_kraken_all_agree() {
    let Some(path) = data_file("cryptofeed/KRAKEN.ws.50.0.txt.zst") else { return };
    let report = replayed(&[path], &[]);
    assert_eq!(told(&report, " of "), 4_269, "{:?}", report.notices);
    assert_eq!(told(&report, " checksums of the venue differed"), 0);
}

#[test]
fn a_log_of_orders_without_a_snapshot_is_in_sync_only_where_it_may_start_cold() {
    let Some(path) = data_file("l3_bitstamp/bitstamp_btcusd_2015-05-01.log.xz") else { return };
    let report = replayed(std::slice::from_ref(&path), &[]);
    assert!(!report.instruments[0].synced && report.features == 0, "{:?}", report.notices);
    let mut config = Config::default();
    config.model.path = "none".into();
    config.book.cold_start_messages = 15_000;
    let options = ReplayOptions { paths: vec![path], config, ..ReplayOptions::default() };
    let report = replay(&options, &mut |_| {}).expect("a replay").report;
    assert!(report.instruments[0].synced && report.features > 1_000, "{:?}", report.notices);
    assert!(report.notices.iter().any(|notice| notice.contains("book.cold_start_messages")), "{:?}", report.notices);
}

#[test]
fn a_book_that_is_dropped_on_request_decides_nothing_until_its_next_snapshot() {
    let Some(path) = data_file("binance_ws/usdm_btcusdt_20240808.gz") else { return };
    let replayed = |mode: &str, limit: u64, resyncs: Vec<Resync>| {
        let mut config = Config::default();
        (config.model.path, config.topology.mode) = ("none".into(), mode.into());
        let options = ReplayOptions { paths: vec![path.clone()], config, limit: Some(limit), resyncs, ..ReplayOptions::default() };
        replay(&options, &mut |_| {}).expect("a replay").report
    };
    let before = replayed("fused", 5_000, Vec::new());
    assert!(before.features > 100 && before.instruments[0].synced);
    for mode in ["fused", "split"] {
        // The capture holds no second snapshot.
        let report = replayed(mode, 10_000, vec![Resync { after_lines: 5_000, instrument: InstrumentId(0) }]);
        assert_eq!(report.features, before.features, "{mode}: {:?}", report.notices);
        assert!(report.notices.iter().any(|notice| notice.contains("out of sync at the end (Reset)")), "{:?}", report.notices);
    }
}

#[test]
fn packets_and_records_are_replayed() {
    let file = |name: &str| data_file(name).map(|path| vec![path]);
    let Some(deep) = file("iex/deep10_20170425_part1.pcap.gz") else { return };
    let refused = replay(&ReplayOptions { paths: deep.clone(), ..ReplayOptions::default() }, &mut |_| {}).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("--symbols"), "{refused}");
    let report = replayed(&deep, &["ZIEXT"]);
    assert_eq!((report.messages, report.malformed, report.gaps), (72_789, 0, 0), "{:?}", report.notices);
    assert_eq!(told(&report, " times its feed's numbering began anew"), 11, "{:?}", report.notices);

    let Some(tops) = file("iex/tops16_20170710_part1.pcap.gz") else { return };
    let report = replayed(&tops, &["ZIEXT"]);
    assert_eq!((report.messages, report.malformed, report.gaps), (7_813, 0, 0), "{:?}", report.notices);

    let Some(dbn) = file("databento/es-glbx-mdp3-20240508_000000_000002.mbo.dbn.zst") else { return };
    let report = replayed(&dbn, &[]);
    assert_eq!((report.messages, report.malformed, report.gaps), (13_796, 0, 0), "{:?}", report.notices);
    assert!(report.instruments[0].synced);
    assert_eq!(told(&report, " changes of orders that were not in the book"), 0);

    let Some(lobster) = file("lobster/AAPL_2012-06-21_34200000_57600000_message_10_first999.csv") else { return };
    let report = replayed(&lobster, &[]);
    assert_eq!((report.messages, report.malformed), (999, 0));
    assert!(report.instruments[0].synced, "seeded from the file beside: {:?}", report.notices);

    let Some(tardis) = file("tardis_csv/deribit_incremental_book_L2_BTC-PERPETUAL.csv") else { return };
    let report = replayed(&tardis, &[]);
    assert_eq!((report.messages, report.malformed), (16, 0), "rows and their header");
    assert!(report.instruments[0].synced, "{:?}", report.notices);
}

/// A book for each symbol, from nothing but the messages.
#[derive(Default)]
struct Books {
    books: BTreeMap<String, MarketBook>,
    /// Whether the feed has begun: a book met later began then too, empty.
    has_begun: bool,
    gaps: u64,
}

impl DecodeSink for Books {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        let has_begun = self.has_begun;
        match (message.symbol(), message) {
            (Some(symbol), _) => {
                let book = self.books.entry(symbol.to_owned()).or_insert_with(|| {
                    let mut book = MarketBook::new();
                    if has_begun {
                        book.on_message(&Message::Feed(FeedMessage::Started), &mut |_| {});
                    }
                    book
                });
                book.on_message(message, &mut |_| {});
            }
            (None, Message::Feed(feed)) => {
                match feed {
                    FeedMessage::Started => self.has_begun = true,
                    FeedMessage::Gap { first, last } => {
                        self.gaps += last - first + 1;
                        self.has_begun = false;
                    }
                    _ => {}
                }
                for book in self.books.values_mut() {
                    book.on_message(message, &mut |_| {});
                }
            }
            (None, _) => {}
        }
    }
}

/// Reads a generated feed back.
fn books_of(path: &Path) -> Books {
    let mut capture = Capture::open(&[path.to_owned()], &Config::default()).expect("a capture");
    let mut decoder = capture.sources()[0].feed.decoder();
    let mut books = Books::default();
    let mut now = Timestamp(0);
    while let Some(item) = capture.next() {
        let CaptureItem::Message { recv, message, .. } = item else { panic!("{item:?}") };
        decoder.decode(message, recv, &mut books).expect("a message");
        now = recv;
    }
    decoder.finish(now, &mut books).expect("what was held");
    assert!(capture.files[0].damage.is_none());
    books
}

fn assert_true(books: &Books, truth: &ItchSummary, case: &str) {
    for expected in &truth.books {
        let MarketBook::Orders(sync) = &books.books[&expected.symbol] else { panic!("{case}: no book of orders") };
        assert_eq!(sync.state(), BookState::Synced, "{case}");
        let best =
            |side: Side| sync.book().levels(side).next().map(|best| (best.level.price, best.level.qty.0 as u64 / 100_000_000));
        assert_eq!((best(Side::Buy), best(Side::Sell)), (expected.bid, expected.ask), "{case}: {}", expected.symbol);
        assert_eq!(sync.book().len() as u64, expected.orders, "{case}: {}", expected.symbol);
    }
}

#[test]
fn a_generated_itch_feed_gives_the_books_of_its_exchange_whatever_the_network_does() {
    let folder = tempfile::tempdir().unwrap();
    let clean = ItchConfig { messages: 60_000, instruments: 3, ..ItchConfig::default() };
    for (name, config) in [
        ("clean.pcap", clean.clone()),
        ("tagged.pcapng", ItchConfig { container: PacketContainer::Pcapng, vlan: Some(7), ..clean.clone() }),
        ("late_and_twice.pcap.zst", ItchConfig { duplicate_rate: 0.1, reorder_rate: 0.1, ..clean.clone() }),
    ] {
        let path = folder.path().join(name);
        let truth = write_itch_file(&config, &path, &mut |_| {}).unwrap();
        let books = books_of(&path);
        assert_eq!(books.gaps, 0, "{name}");
        assert_true(&books, &truth, name);
    }

    // Lost packets are told, message for message, and no book is used after that.
    let path = folder.path().join("lossy.pcap");
    let truth = write_itch_file(&ItchConfig { gap_rate: 0.01, ..clean }, &path, &mut |_| {}).unwrap();
    let books = books_of(&path);
    let lost: u64 = truth.dropped.iter().map(|range| range.last - range.first + 1).sum();
    assert!(lost > 0);
    assert_eq!(books.gaps, lost);
    let states: Vec<(&String, BookState)> = books.books.iter().map(|(symbol, book)| (symbol, book.state())).collect();
    // One that had no order before the first loss was never in sync.
    let is_out = |state: &BookState| matches!(state, BookState::Stale(StaleReason::Gap) | BookState::Unsynced);
    assert!(states.iter().all(|(_, state)| is_out(state)), "{states:?}");
}

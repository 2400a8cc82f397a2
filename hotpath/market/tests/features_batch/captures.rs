//! Every capture as steps for engines, one for each instrument: what the ingest stage would tell it, and when it would ask.
//!
//! Left out are snapshots of the best 5 or 25 levels over and over, of which no book is made, records of one message, and the small
//! packet captures of one message a type.

use crate::whole_file::unpacked;
use crate::{Event, Step};
use chronos_market::book::{BookEvent, BookSync, DepthView, MarketBook, SyncOutcome};
use chronos_market::decode::*;
use chronos_market::{EventKind, Timestamp};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Messages read of a capture that is not one of the Binance recordings, so that the whole takes seconds in the dev profile. Shorter
/// ones, which are most, are read whole.
const MESSAGES_MAX: usize = 30_000;
/// Order messages after which Bitstamp's best prices are known: its log holds no snapshot.
const COLD_MESSAGES: NonZeroU32 = NonZeroU32::new(15_000).unwrap();

/// One instrument of a capture.
pub(crate) struct Instrument {
    /// Capture and symbol.
    pub(crate) name: String,
    /// From its first message on. A decision is asked for after each batch that changed one of the best levels; where there is no book,
    /// after each quote and trade.
    pub(crate) steps: Vec<(i64, Step)>,
}

impl Instrument {
    pub(crate) fn decisions(&self) -> usize {
        self.steps.iter().filter(|(_, step)| matches!(step, Step::Decide)).count()
    }
}

/// How a capture is cut into messages, and who reads them.
enum Form {
    /// `<receive time> <message>`.
    Timed(FeedDecoder),
    /// Lines of the cryptofeed recorder, and a second file with the replies.
    Cryptofeed(FeedDecoder),
    /// Messages alone; the exchange's times stand in for receive times, or where there are none a millisecond a line.
    Untimed(FeedDecoder),
    Dbn,
    Packets,
}

/// Every instrument of every capture of books; `None` where the captures are missing.
pub(crate) fn instruments() -> Option<Vec<Instrument>> {
    use Form::{Cryptofeed, Dbn, Packets, Timed, Untimed};
    let binance = || FeedDecoder::Binance(BinanceDecoder::new());
    let mut all = Vec::new();
    // Each connection's files in the order they were recorded.
    for files in [
        &["usdm_btcusdt_20240808"][..],
        &["usdm_ethusdt_20240808"],
        &["spot_btcusdt_20240808", "spot_btcusdt_20240809"],
        &["spot_ethusdt_20240808", "spot_ethusdt_20240809"],
        &["cm_btcusd_perp_20240808", "cm_btcusd_perp_20240809"],
    ] {
        let names: Vec<String> = files.iter().map(|file| format!("binance_ws/{file}.gz")).collect();
        all.extend(capture(&names, Timed(binance()), usize::MAX)?);
    }
    let cryptofeed = |name: &str| vec![format!("cryptofeed/{name}.txt.zst")];
    let with_replies = |name: &str, number: u32| {
        vec![format!("cryptofeed/{name}.ws.{number}.0.txt.zst"), format!("cryptofeed/{name}.http.0.0.txt.zst")]
    };
    let lobster = LobsterFile::of_name("AAPL_2012-06-21_34200000_57600000_message_10_first999.csv")?;
    let lobster = LobsterDecoder::new(lobster.symbol, lobster.midnight_ns);
    let tardis = |name: &str, extension: &str| {
        let decoder = FeedDecoder::TardisCsv(TardisCsvDecoder::new(&format!("{name}.csv")));
        (vec![format!("tardis_csv/{name}.csv{extension}")], Untimed(decoder))
    };
    for (names, form) in [
        (with_replies("BINANCE", 1), Cryptofeed(binance())),
        (with_replies("BINANCE_FUTURES", 1), Cryptofeed(binance())),
        (with_replies("BINANCE_DELIVERY", 1), Cryptofeed(binance())),
        (with_replies("BITSTAMP", 1), Cryptofeed(FeedDecoder::Bitstamp(BitstampDecoder::new()))),
        (cryptofeed("COINBASE.ws.28.0"), Cryptofeed(FeedDecoder::Coinbase(CoinbaseDecoder::new()))),
        (cryptofeed("KRAKEN.ws.50.0"), Cryptofeed(FeedDecoder::Kraken(KrakenDecoder::new()))),
        (cryptofeed("BYBIT.ws.26.0"), Cryptofeed(FeedDecoder::Bybit(BybitDecoder::new()))),
        (vec!["bybit/2024-12-01_XRPUSDT_ob500_first50.data.zip".into()], Untimed(FeedDecoder::Bybit(BybitDecoder::new()))),
        (vec!["l3_bitstamp/bitstamp_btcusd_2015-05-01.log.xz".into()], Timed(FeedDecoder::Bitstamp(BitstampDecoder::new()))),
        (
            vec!["l3_bitfinex/bitfinex_tBTCUSD_R0_first40000.jsonl.zst".into()],
            Untimed(FeedDecoder::Bitfinex(BitfinexDecoder::new())),
        ),
        (vec!["lobster/AAPL_2012-06-21_34200000_57600000_message_10_first999.csv".into()], Untimed(FeedDecoder::Lobster(lobster))),
        (vec!["databento/es-glbx-mdp3-20240508_000000_000002.mbo.dbn.zst".into()], Dbn),
        (vec!["databento/es_futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst".into()], Dbn),
        (vec!["iex/deep10_20170425_part1.pcap.gz".into()], Packets),
        (vec!["iex/tops16_20170710_part1.pcap.gz".into()], Packets),
        tardis("deribit_incremental_book_L2_BTC-PERPETUAL", ""),
        tardis("binance-futures_quotes_2020-02-22_BTCUSDT_first7000", ".zst"),
        tardis("binance-futures_trades_2020-02-22_BTCUSDT_first7000", ".zst"),
    ] {
        all.extend(capture(&names, form, MESSAGES_MAX)?);
    }
    Some(all)
}

/// The instruments of one connection.
fn capture(names: &[String], form: Form, messages_max: usize) -> Option<Vec<Instrument>> {
    let texts: Option<Vec<Vec<u8>>> = names.iter().map(|name| unpacked(name)).collect();
    let texts = texts?;
    let mut listener = Listener {
        capture: names[0].clone(),
        markets: BTreeMap::new(),
        symbol: String::new(),
        feed: None,
        recv: None,
        latest: i64::MIN,
        messages: 0,
    };
    match form {
        Form::Timed(mut decoder) => {
            for line in texts.iter().flat_map(|text| lines(text)).take(messages_max) {
                let line = split_capture_line(line).unwrap();
                listener.take(&mut decoder, Some(line.recv), line.message);
            }
        }
        Form::Untimed(mut decoder) => {
            let mut seeded = 0;
            if let FeedDecoder::Lobster(lobster) = &mut decoder {
                // The book after the first message.
                let book = unpacked(&names[0].replace("_message_", "_orderbook_"))?;
                lobster.seed(lines(&book).next().unwrap(), Timestamp(0), &mut listener).unwrap();
                seeded = 1;
            }
            for line in texts.iter().flat_map(|text| lines(text)).skip(seeded).take(messages_max) {
                listener.take(&mut decoder, None, line);
            }
            decoder.finish(Timestamp(0), &mut listener).unwrap();
        }
        Form::Cryptofeed(mut decoder) => {
            let mut received = Vec::new();
            for line in texts.iter().flat_map(|text| lines(text)) {
                match split_cryptofeed_line(line) {
                    Ok(CryptofeedLine::Received { recv, message }) => received.push((recv, None, message)),
                    Ok(CryptofeedLine::Reply { url, recv, message }) => received.push((recv, reply_symbol(url), message)),
                    _ => {}
                }
            }
            received.sort_by_key(|(recv, ..)| *recv);
            for (recv, symbol, message) in received.into_iter().take(messages_max) {
                if let Some(symbol) = symbol {
                    decoder.set_symbol(symbol);
                    symbol.clone_into(&mut listener.symbol);
                }
                listener.take(&mut decoder, Some(recv), message);
            }
        }
        Form::Dbn => {
            let length = DbnMetadata::length(texts[0].first_chunk().unwrap()).unwrap();
            let mut decoder = DbnDecoder::new(DbnMetadata::parse(&texts[0][..length]).unwrap());
            let mut rest = &texts[0][length..];
            while let Ok(DbnStep::Record { consumed, recv, record }) = split_dbn_record(rest)
                && listener.messages < messages_max
            {
                listener.take(&mut decoder, Some(recv), record);
                rest = &rest[consumed..];
            }
        }
        Form::Packets => {
            let mut decoder = PacketDecoder::new(Timestamp(0), ReorderWindow::default());
            let (mut reader, mut rest) = (PcapReader::new(), texts[0].as_slice());
            while !rest.is_empty() && listener.messages < messages_max {
                let consumed = match reader.next(rest).unwrap() {
                    PcapStep::Packet { consumed, packet } => {
                        decoder.set_link_type(packet.link_type);
                        listener.take(&mut decoder, Some(packet.recv), packet.bytes);
                        consumed
                    }
                    PcapStep::Skip { consumed } => consumed,
                    PcapStep::NeedMore(_) => break,
                };
                rest = &rest[consumed..];
            }
            decoder.finish(Timestamp(listener.latest), &mut listener).unwrap();
        }
    }
    let instrument = |(symbol, market): (String, Market)| {
        let has_book = market.steps.iter().any(|(_, step)| matches!(step, Step::Event(Event::Book(_))));
        let decided = |(now, step): (i64, Step)| [(now, step), (now, Step::Decide)];
        let steps = if has_book { market.steps } else { market.steps.into_iter().flat_map(decided).collect() };
        Instrument { name: format!("{} {symbol}", names[0]), steps }
    };
    Some(listener.markets.into_iter().map(instrument).collect())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty())
}

struct Market {
    book: MarketBook,
    has_trades: bool,
    steps: Vec<(i64, Step)>,
}

/// Tells each instrument's engine what the ingest stage would.
struct Listener {
    capture: String,
    markets: BTreeMap<String, Market>,
    /// The symbol of messages that name none.
    symbol: String,
    /// What the feed last said of books.
    feed: Option<FeedMessage>,
    /// When the message at hand was received, if anybody knows.
    recv: Option<Timestamp>,
    latest: i64,
    messages: usize,
}

impl Listener {
    fn take(&mut self, decoder: &mut impl Decoder, recv: Option<Timestamp>, raw: &[u8]) {
        self.recv = recv;
        self.messages += 1;
        if let Err(error) = decoder.decode(raw, recv.unwrap_or_default(), self) {
            panic!("{}: {error}: {}", self.capture, String::from_utf8_lossy(&raw[..raw.len().min(200)]));
        }
    }

    /// The time of a message, which never goes back.
    fn now(&mut self, told: Timestamp, message: &Message<'_>) -> i64 {
        let exchange_ns = match message {
            Message::Book(book) => book.exchange_ns,
            Message::Order(order) => order.exchange_ns,
            Message::Trade(trade) => trade.exchange_ns,
            _ => 0,
        };
        let now = match self.recv {
            Some(recv) => recv.0,
            None if told.0 != 0 => told.0,
            None if exchange_ns != 0 => exchange_ns,
            None => self.messages as i64 * 1_000_000,
        };
        self.latest = self.latest.max(now);
        self.latest
    }
}

impl Market {
    fn new(capture: &str, feed: Option<FeedMessage>) -> Market {
        let mut book = match capture {
            _ if capture.starts_with("binance_ws") => MarketBook::Depth(BookSync::new()),
            _ if capture.starts_with("l3_bitstamp") => MarketBook::with_cold_start(COLD_MESSAGES),
            _ => MarketBook::new(),
        };
        if let Some(feed) = feed {
            book.on_feed(&feed, &mut |_| {});
        }
        Market { book, has_trades: false, steps: Vec::new() }
    }

    fn after_book(&mut self, now: i64, outcome: SyncOutcome) {
        let is_decided = match outcome {
            SyncOutcome::Synced => {
                self.steps.push((now, Step::Reset));
                true
            }
            SyncOutcome::WentStale(_) => return self.steps.push((now, Step::Reset)),
            SyncOutcome::Applied(changed) => changed.is_some(),
            _ => return,
        };
        let mut view = DepthView::default();
        self.book.view(&mut view);
        self.steps.push((now, Step::Event(Event::Book(Box::new(view)))));
        if is_decided {
            self.steps.push((now, Step::Decide));
        }
    }
}

impl DecodeSink for Listener {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        let now = self.now(recv, message);
        if let Message::Feed(feed) = message {
            if !matches!(feed, FeedMessage::Heartbeat | FeedMessage::Ended) {
                self.feed = Some(*feed);
            }
            for market in self.markets.values_mut() {
                let outcome = market.book.on_feed(feed, &mut |_| {});
                market.after_book(now, outcome);
            }
            return;
        }
        if matches!(
            message,
            Message::Ignored(_) | Message::Status(_) | Message::Mark(_) | Message::Liquidation(_) | Message::Bar(_)
        ) {
            return;
        }
        let symbol = match (message.symbol(), self.markets.len()) {
            (Some(symbol), _) => symbol.to_owned(),
            // A snapshot of the one instrument there is.
            (None, 1) => self.markets.keys().next().cloned().unwrap_or_default(),
            (None, _) => self.symbol.clone(),
        };
        let market = self.markets.entry(symbol).or_insert_with(|| Market::new(&self.capture, self.feed));
        let traded = |trade: &TradeMessage<'_>| (now, Step::Event(Event::Trade(trade.price.0, trade.qty.0, trade.aggressor)));
        match message {
            Message::Trade(trade) => {
                market.has_trades = true;
                market.steps.push(traded(trade));
            }
            Message::AggregateTrade(aggregate) if !market.has_trades => market.steps.push(traded(&aggregate.trade)),
            Message::Quote(quote) => market.steps.push((now, Step::Event(Event::Quote(quote.bbo)))),
            _ => {
                let mut executed = None;
                let outcome = market.book.on_message(message, &mut |event: BookEvent| {
                    if event.kind == EventKind::OrderExecute {
                        executed = Some((event.price, event.side));
                    }
                });
                if let (Some((at_rest, side)), Message::Order(order)) = (executed, message)
                    && let OrderAction::Execute { qty, price, is_printable: true, .. } = order.action
                {
                    let price = price.unwrap_or(at_rest);
                    market.steps.push((now, Step::Event(Event::Trade(price.0, qty.0, Some(side.opposite())))));
                }
                market.after_book(now, outcome);
            }
        }
    }
}

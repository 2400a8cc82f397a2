//! What the beginning of a file tells: form, feed, symbols, steps of price and quantity.

use super::bytes::{Bytes, OpenError};
use super::records::{Framing, Records, Step, read_dbn_metadata};
use super::{BrokenLine, CaptureError};
use chronos_market::decode::{
    BinanceDecoder, DecodeError, DecodeSink, Decoder, Feed, FeedDecoder, FeedProtocol, LevelChange, LobsterFile, Message,
    OrderAction, PcapReader, PcapStep, RestingOrder, UdpDatagram, VenueEvidence, new_york_midnight, split_capture_line,
    split_cryptofeed_line, split_tardis_line,
};
use chronos_market::{Exchange, NANOS_PER_SECOND, Price, Qty, TimeUnit, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Records looked at whatever they say, so that every symbol of the connection is met.
const RECORDS_MIN: u64 = 2_000;
/// Records looked at while no snapshot has been met, where the feed has snapshots.
const RECORDS_MAX: u64 = 20_000;
/// Lines that tell how a file is cut into lines.
const LINES_JUDGED: usize = 100;
/// Packets looked at for one that tells its feed.
const PACKETS_MAX: usize = 10_000;
/// Magic numbers of packet captures, as the first four bytes have them.
const PCAP_MAGICS: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// Midnight in New York of a day that nobody named: before the epoch, so no day's.
const NO_DATE: Timestamp = Timestamp(-19 * 3_600 * NANOS_PER_SECOND);

/// What the beginning of a file tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileProbe {
    /// `gzip`, `zstd`, `xz`, `zip` or `none`.
    pub compression: &'static str,
    /// How it is cut into records.
    pub framing: Framing,
    /// Who speaks.
    pub feed: Feed,
    /// Unit of the receive times.
    pub time_unit: TimeUnit,
    /// Receive time of the first good record.
    pub first_recv: Timestamp,
    symbols: BTreeMap<String, Seen>,
}

/// What the beginning of a file tells of a symbol: messages, and greatest common divisors; 0 where nothing was seen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Seen {
    messages: u64,
    snapshot_price: i64,
    snapshot_qty: i64,
    message_price: i64,
    message_qty: i64,
}

impl FileProbe {
    /// Reads the beginning of a file. `midnight` begins the day of a file that names none.
    ///
    /// # Errors
    /// [`CaptureError`] where the file cannot be read, is empty, or is nothing that is known.
    pub(super) fn of(path: &Path, midnight: Option<Timestamp>) -> Result<FileProbe, CaptureError> {
        let refuse = |reason: String| CaptureError::Unrecognised { path: path.to_owned(), records: 0, reason };
        let io_error = |source: io::Error| CaptureError::Read { path: path.to_owned(), source };
        let (mut bytes, compression) = open(path)?;
        while bytes.window().len() < 1 << 16 && bytes.extend().map_err(io_error)? {}
        let beginning = bytes.window();
        if beginning.is_empty() {
            return Err(CaptureError::EmptyFile { path: path.to_owned() });
        }
        if beginning.get(257..262) == Some(b"ustar") {
            return Err(CaptureError::Packed { path: path.to_owned(), kind: "a tar archive", remedy: "tar -xf FILE" });
        }
        if beginning.starts_with(b"DBN") {
            let (metadata, _) = read_dbn_metadata(&mut bytes).map_err(io_error)?;
            return FileProbe::with_feed(path, compression, bytes, Framing::Dbn, Feed::Dbn(metadata));
        }
        if PCAP_MAGICS.iter().any(|magic| beginning.starts_with(magic)) {
            let (feed, framing) = packets_feed(&mut bytes).map_err(refuse)?;
            let (bytes, _) = open(path)?;
            return FileProbe::with_feed(path, compression, bytes, framing, feed);
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(file) = LobsterFile::of_name(name)
            && !file.is_orderbook
        {
            let midnight = Timestamp(file.midnight_ns);
            let feed = Feed::Lobster { symbol: file.symbol.to_owned(), midnight };
            return FileProbe::with_feed(path, compression, bytes, Framing::LobsterRows { midnight }, feed);
        }
        if beginning.starts_with(b"exchange,symbol,timestamp,local_timestamp,") {
            return FileProbe::with_feed(path, compression, bytes, Framing::TardisCsvRows, Feed::TardisCsv(name.to_owned()));
        }
        if is_binary_file(beginning) {
            let midnight = midnight.unwrap_or(NO_DATE);
            return FileProbe::with_feed(path, compression, bytes, Framing::BinaryFile { midnight }, Feed::ItchFile { midnight });
        }
        FileProbe::of_lines(path, compression, bytes)
    }

    /// What the records tell, where feed and framing are known.
    fn with_feed(
        path: &Path,
        compression: &'static str,
        bytes: Bytes,
        framing: Framing,
        feed: Feed,
    ) -> Result<FileProbe, CaptureError> {
        let mut records = Records::new(bytes, framing).map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
        let mut candidate = Candidate::new(feed);
        let mut first = None;
        let mut count = 0;
        while count < RECORDS_MIN {
            let Ok(step) = records.advance() else { break };
            match step {
                Step::End => break,
                Step::Broken(_) | Step::Aside => {}
                Step::Record => candidate.take(&records),
            }
            first = first.or(Some(records.recv()).filter(|recv| recv.0 != 0));
            count += 1;
        }
        if count == 0 {
            return Err(CaptureError::EmptyFile { path: path.to_owned() });
        }
        // What a decoder holds back names symbols too. A fault in it is told when the file is replayed.
        let _ = candidate.decoder.finish(records.recv(), &mut candidate.symbols);
        Ok(FileProbe {
            compression,
            framing,
            feed: candidate.feed,
            time_unit: records.unit(),
            first_recv: first.unwrap_or(Timestamp(0)),
            symbols: candidate.symbols.named,
        })
    }

    /// What lines of text are, told by which decoder takes most of them.
    fn of_lines(path: &Path, compression: &'static str, bytes: Bytes) -> Result<FileProbe, CaptureError> {
        let framing = lines_framing(bytes.window());
        let mut records = Records::new(bytes, framing).map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
        let feeds = [
            Feed::Binance(Exchange::BinanceSpot),
            Feed::Coinbase,
            Feed::Kraken,
            Feed::Bitstamp,
            Feed::Bybit(Exchange::BybitLinear),
            Feed::Bitfinex,
        ];
        let mut candidates = feeds.map(Candidate::new);
        let mut evidence = Evidence::default();
        let mut first = None;
        let mut first_reason = None;
        let mut count = 0;
        while count < RECORDS_MAX && (count < RECORDS_MIN || candidates.iter().all(|candidate| !candidate.symbols.has_snapshot)) {
            // Damage further on is told when the file is replayed.
            let Ok(step) = records.advance() else { break };
            count += 1;
            match step {
                Step::End => {
                    count -= 1;
                    break;
                }
                Step::Aside => {}
                Step::Broken(error) => {
                    let reason = match error {
                        BrokenLine::Line(error) => error.to_string(),
                        BrokenLine::TooLong => error.to_string(),
                    };
                    first_reason.get_or_insert(reason);
                }
                Step::Record => {
                    for candidate in &mut candidates {
                        candidate.take(&records);
                    }
                    evidence.take(records.current());
                    if candidates.iter().any(|candidate| candidate.taken > 0) {
                        first.get_or_insert((records.unit(), records.recv()));
                    } else {
                        let reason = candidates
                            .iter()
                            .filter_map(|candidate| candidate.reason)
                            .find(|reason| !matches!(reason, DecodeError::Unrecognised));
                        first_reason.get_or_insert_with(|| reason.unwrap_or(DecodeError::Unrecognised).to_string());
                    }
                }
            }
        }
        if count == 0 {
            return Err(CaptureError::EmptyFile { path: path.to_owned() });
        }
        let unrecognised = || CaptureError::Unrecognised {
            path: path.to_owned(),
            records: count,
            reason: first_reason.unwrap_or_else(|| "tells of no venue".into()),
        };
        // Of two that take as many, the first: a control message is much the same everywhere.
        let best = candidates.into_iter().rev().max_by_key(|candidate| candidate.useful);
        let (Some(mut best), Some((time_unit, first_recv))) = (best.filter(|best| best.useful > 0), first) else {
            return Err(unrecognised());
        };
        match &mut best.feed {
            Feed::Binance(exchange) => *exchange = evidence.exchange(path)?.ok_or_else(unrecognised)?,
            // Inverse contracts are on a coin and settled in it: `BTCUSD`; all others name the coin they are settled in.
            Feed::Bybit(exchange) if best.symbols.named.keys().all(|symbol| symbol.ends_with("USD")) => {
                *exchange = Exchange::BybitInverse;
            }
            _ => {}
        }
        Ok(FileProbe { compression, framing, feed: best.feed, time_unit, first_recv, symbols: best.symbols.into_named() })
    }

    /// The name of the form, for reports.
    pub fn format(&self) -> &'static str {
        match (&self.feed, self.framing) {
            (_, Framing::CryptofeedLines) => "cryptofeed",
            (_, Framing::TardisLines) => "tardis-raw",
            (Feed::TardisCsv(_), _) => "tardis-csv",
            (Feed::Binance(_), Framing::UntimedLines) => "binance-json",
            (Feed::Binance(_), _) => "binance-raw",
            (Feed::Bitfinex, Framing::UntimedLines) => "bitfinex-json",
            (Feed::Bitfinex, _) => "bitfinex-raw",
            (Feed::Bitstamp, Framing::UntimedLines) => "bitstamp-json",
            (Feed::Bitstamp, _) => "bitstamp-raw",
            (Feed::Bybit(_), Framing::UntimedLines) => "bybit-json",
            (Feed::Bybit(_), _) => "bybit-raw",
            (Feed::Coinbase, Framing::UntimedLines) => "coinbase-json",
            (Feed::Coinbase, _) => "coinbase-raw",
            (Feed::Kraken, Framing::UntimedLines) => "kraken-json",
            (Feed::Kraken, _) => "kraken-raw",
            (Feed::Lobster { .. }, _) => "lobster",
            (Feed::Packets { protocol, .. }, _) => match protocol {
                FeedProtocol::Itch50 => "pcap, itch-5.0",
                FeedProtocol::Deep10 => "pcap, iex-deep-1.0",
                FeedProtocol::Tops15 => "pcap, iex-tops-1.5",
                FeedProtocol::Tops16 => "pcap, iex-tops-1.6",
            },
            (Feed::ItchFile { .. }, _) => "itch-5.0 file",
            (Feed::Dbn(_), _) => "dbn",
        }
    }

    /// Whether nothing tells its day, so that its times are counted from 1970.
    pub fn has_no_date(&self) -> bool {
        self.feed == Feed::ItchFile { midnight: NO_DATE }
    }

    /// Whether the file may go on where another one ended: the same connection, the same decoder.
    pub(super) fn continues(&self, other: &FileProbe) -> bool {
        self.is_text()
            && self.framing != Framing::CryptofeedLines
            && self.framing == other.framing
            && self.feed == other.feed
            && self.symbols.keys().eq(other.symbols.keys())
    }

    /// Whether it is lines of one connection, on which every symbol was asked for. Other feeds carry whatever the venue has.
    pub(super) fn is_text(&self) -> bool {
        use Framing::{CryptofeedLines, TardisLines, TimedLines, UntimedLines};
        matches!(self.framing, TimedLines | UntimedLines | CryptofeedLines | TardisLines)
    }

    /// The venue.
    pub fn exchange(&self) -> Exchange {
        self.feed.exchange()
    }

    /// Whether the receive times are not the file's: it has none.
    pub fn has_no_times(&self) -> bool {
        self.framing == Framing::UntimedLines && self.first_recv.0 < NANOS_PER_SECOND * 86_400
    }

    /// The symbols, sorted.
    pub fn symbols(&self) -> Vec<String> {
        self.symbols.keys().cloned().collect()
    }

    /// The symbols, those of most messages first.
    pub(super) fn busiest(&self) -> Vec<&str> {
        let mut symbols: Vec<(&str, u64)> = self.symbols.iter().map(|(symbol, seen)| (symbol.as_str(), seen.messages)).collect();
        symbols.sort_by_key(|&(symbol, messages)| (std::cmp::Reverse(messages), symbol));
        symbols.into_iter().map(|(symbol, _)| symbol).collect()
    }

    /// Steps of price and quantity of a symbol, from its snapshot or from its other messages.
    pub(super) fn steps(&self, symbol: &str, from_snapshot: bool) -> Option<(Price, Qty)> {
        let seen = self.symbols.get(symbol)?;
        let (price, qty) =
            if from_snapshot { (seen.snapshot_price, seen.snapshot_qty) } else { (seen.message_price, seen.message_qty) };
        (price > 0 && qty > 0).then_some((Price(price), Qty(qty)))
    }
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<(Bytes, &'static str), CaptureError> {
    Bytes::open(path).map_err(|error| match error {
        OpenError::Io(source) => CaptureError::Read { path: path.to_owned(), source },
        OpenError::Packed(kind, remedy) => CaptureError::Packed { path: path.to_owned(), kind, remedy },
    })
}

/// How the first lines are cut: into what most of them are.
fn lines_framing(beginning: &[u8]) -> Framing {
    let count = |is_such: &dyn Fn(&[u8]) -> bool| {
        let lines = beginning.split(|&byte| byte == b'\n').take(LINES_JUDGED);
        lines.filter(|line| !line.is_empty() && is_such(line)).count()
    };
    let candidates = [
        (Framing::TimedLines, count(&|line| split_capture_line(line).is_ok())),
        (Framing::CryptofeedLines, count(&|line| split_cryptofeed_line(line).is_ok())),
        (Framing::TardisLines, count(&|line| split_tardis_line(line).is_ok())),
        (Framing::UntimedLines, count(&|line| matches!(line.first(), Some(b'{' | b'[')) && split_tardis_line(line).is_err())),
    ];
    // Of two that are as many, the first.
    candidates.into_iter().rev().max_by_key(|(_, count)| *count).map_or(Framing::TimedLines, |(framing, _)| framing)
}

/// Whether bytes begin as NASDAQ's files do: the length of a system event, its type, and the event.
fn is_binary_file(beginning: &[u8]) -> bool {
    beginning.starts_with(&[0, 12, b'S']) && beginning.get(13) == Some(&b'O')
}

/// The feed in the first packets that can be told; why there is none otherwise.
fn packets_feed(bytes: &mut Bytes) -> Result<(Feed, Framing), String> {
    let mut pcap = PcapReader::new();
    let mut reason = None;
    let mut packets = 0;
    while packets < PACKETS_MAX {
        let (consumed, found) = match pcap.next(bytes.window()).map_err(|error| error.to_string())? {
            PcapStep::Packet { consumed, packet } => {
                packets += 1;
                let detected =
                    UdpDatagram::parse(packet.link_type, packet.bytes).and_then(|datagram| FeedProtocol::detect(&datagram));
                (consumed, Some(detected.map(|protocol| (protocol, packet.link_type, packet.recv))))
            }
            PcapStep::Skip { consumed } => (consumed, None),
            PcapStep::NeedMore(_) => {
                if bytes.extend().map_err(|error| error.to_string())? {
                    continue;
                }
                break;
            }
        };
        bytes.consume(consumed);
        match found {
            Some(Ok((protocol, link_type, recv))) => {
                let feed = Feed::Packets { protocol, link_type, midnight: new_york_midnight(recv) };
                return Ok((feed, Framing::Packets { link_type }));
            }
            Some(Err(error)) => {
                reason.get_or_insert(error.to_string());
            }
            None => {}
        }
    }
    Err(match reason {
        Some(reason) => format!("none of its first {packets} packets is of a known feed; the first: {reason}"),
        None => "it holds no packet".into(),
    })
}

/// A feed that a file may be, and what its decoder makes of it.
struct Candidate {
    feed: Feed,
    decoder: FeedDecoder,
    symbols: Symbols,
    /// Records that could be decoded, and those of them that were of use.
    taken: u64,
    useful: u64,
    /// Why the first that could not be decoded could not.
    reason: Option<DecodeError>,
}

impl Candidate {
    fn new(feed: Feed) -> Candidate {
        let decoder = feed.decoder();
        Candidate { feed, decoder, symbols: Symbols::default(), taken: 0, useful: 0, reason: None }
    }

    fn take(&mut self, records: &Records) {
        let before = self.symbols.useful;
        let symbol = records.symbol();
        if let Some(symbol) = symbol {
            self.decoder.set_symbol(symbol);
        }
        self.symbols.beside.clear();
        self.symbols.beside.push_str(symbol.unwrap_or_default());
        match self.decoder.decode(records.current(), records.recv(), &mut self.symbols) {
            Ok(()) => self.taken += 1,
            Err(error) => _ = self.reason.get_or_insert(error),
        }
        self.useful += u64::from(self.symbols.useful > before);
    }
}

/// Which of Binance's markets messages come from.
struct Evidence {
    decoder: BinanceDecoder,
    counts: BTreeMap<Exchange, u64>,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence { decoder: BinanceDecoder::new(), counts: BTreeMap::new() }
    }
}

impl Evidence {
    fn take(&mut self, record: &[u8]) {
        if let Ok(VenueEvidence::Only(exchange)) = self.decoder.venue_evidence(record) {
            *self.counts.entry(exchange).or_default() += 1;
        }
    }

    fn exchange(&self, path: &Path) -> Result<Option<Exchange>, CaptureError> {
        let most = self.counts.iter().max_by_key(|(_, count)| **count).map(|(exchange, count)| (*exchange, *count));
        let Some((exchange, most)) = most else { return Ok(None) };
        // A stray line does not make a file mixed.
        if let Some((second, _)) = self.counts.iter().find(|(other, count)| **other != exchange && **count * 100 > most) {
            return Err(CaptureError::MixedVenues { path: path.to_owned(), first: exchange, second: *second });
        }
        Ok(Some(exchange))
    }
}

#[derive(Default)]
struct Symbols {
    named: BTreeMap<String, Seen>,
    unnamed: Seen,
    /// The symbol that stands beside the present message; empty where none does.
    beside: String,
    has_snapshot: bool,
    useful: u64,
}

impl Symbols {
    fn seen(&mut self, symbol: Option<&str>) -> &mut Seen {
        let Some(symbol) = symbol else { return &mut self.unnamed };
        if !self.named.contains_key(symbol) {
            self.named.insert(symbol.to_owned(), Seen::default());
        }
        self.named.entry(symbol.to_owned()).or_default()
    }

    fn into_named(mut self) -> BTreeMap<String, Seen> {
        // A snapshot without a symbol belongs to the only one there is.
        if let (1, Some(mut entry)) = (self.named.len(), self.named.first_entry()) {
            let seen = entry.get_mut();
            seen.snapshot_price = gcd(seen.snapshot_price, self.unnamed.snapshot_price);
            seen.snapshot_qty = gcd(seen.snapshot_qty, self.unnamed.snapshot_qty);
        }
        self.named
    }
}

impl DecodeSink for Symbols {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        if let Message::Ignored(_) | Message::Feed(_) = message {
            return;
        }
        self.useful += 1;
        self.has_snapshot |= matches!(message, Message::Snapshot(_) | Message::OrderSnapshot(_))
            || matches!(message, Message::Book(book) if book.is_snapshot);
        let beside = std::mem::take(&mut self.beside);
        let seen = self.seen(message.symbol().or(Some(beside.as_str()).filter(|symbol| !symbol.is_empty())));
        seen.messages += 1;
        match message {
            Message::Depth(depth) => seen.changes(depth.levels),
            Message::Book(book) if book.is_snapshot => seen.snapshot(book.levels),
            Message::Book(book) => seen.changes(book.levels),
            Message::Snapshot(snapshot) => seen.snapshot(snapshot.levels),
            Message::OrderSnapshot(snapshot) => {
                for order in snapshot.orders {
                    seen.snapshot_price = gcd(seen.snapshot_price, order.price.0);
                    seen.snapshot_qty = gcd(seen.snapshot_qty, order.qty.0);
                }
            }
            Message::Order(order) => {
                if let OrderAction::Add(RestingOrder { price, qty, .. }) = order.action {
                    seen.change(price, qty);
                }
            }
            Message::Quote(quote) => {
                seen.change(quote.bbo.bid.price, quote.bbo.bid.qty);
                seen.change(quote.bbo.ask.price, quote.bbo.ask.qty);
            }
            _ => {}
        }
        self.beside = beside;
    }
}

impl Seen {
    fn snapshot(&mut self, levels: &[LevelChange]) {
        for level in levels {
            self.snapshot_price = gcd(self.snapshot_price, level.price.0);
            self.snapshot_qty = gcd(self.snapshot_qty, level.qty.0);
        }
    }

    fn changes(&mut self, levels: &[LevelChange]) {
        levels.iter().for_each(|level| self.change(level.price, level.qty));
    }

    fn change(&mut self, price: Price, qty: Qty) {
        self.message_price = gcd(self.message_price, price.0);
        self.message_qty = gcd(self.message_qty, qty.0);
    }
}

/// Greatest common divisor of numbers that are not negative; 0 is neutral.
fn gcd(mut one: i64, mut two: i64) -> i64 {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}

//! What captures hold: `chronos inspect`.
//!
//! Every record is decoded and counted, and every book kept as a replay would keep it; nothing is computed and nothing traded. Memory
//! is bounded whatever the size of the files: times are counted in buckets that widen, clock offsets in a histogram, and books are
//! followed for [`BOOKS_MAX`] instruments.

mod activity;
mod clock;
mod kind;
mod report;
mod warnings;

pub use activity::{BUCKETS_MAX, Buckets, Extent, KindCounts, MarketBucket, Merge};
pub use clock::{OffsetHistogram, OffsetSummary};
pub use kind::{KINDS, MessageKind};
pub use report::{
    BookInspection, FeedInspection, FileInspection, Incident, IncidentKind, Inspection, InstrumentInspection, MalformedRecord,
    ReceiveClock, SCHEMA, Span, SyncState, Warning, WarningKind, utc,
};

use crate::capture::{Broken, Capture, CaptureReader, Framing, Reason, Received};
use crate::config::Config;
use crate::replay::{Progress, SessionError};
use chronos_market::book::{MarketBook, OrderSync, SyncOutcome};
use chronos_market::decode::{DecodeSink, Decoder, FeedDecoder, FeedMessage, Ignored, Message};
use chronos_market::{Bbo, BookState, Exchange, StaleReason, Timestamp};
use kind::{is_event_end, kind_and_time, update_id};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Instruments whose books are followed.
pub const BOOKS_MAX: usize = 64;
/// Orders a book has room for: fewer than a replay's has, so that [`BOOKS_MAX`] books fit into little memory. A book of more is told.
const BOOK_ORDERS_MAX: usize = 1 << 17;
/// Instruments that are counted.
pub const TRACKED_MAX: usize = 16_384;
/// Incidents that are kept.
pub const INCIDENTS_MAX: usize = 1_000;
/// Fineness of the histograms of clock offsets, of a feed and of an instrument, as [`OffsetHistogram::new`] takes it.
const OFFSET_BITS: (u32, u32) = (12, 8);

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct InspectOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Symbols to look at, as the venue writes them; empty for all.
    pub symbols: Vec<String>,
    /// The day in New York, `2019-12-30`, of files that name none; empty where it is not known.
    pub date: String,
    /// Stop after so many records.
    pub limit: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// What is told.
    pub inspection: Inspection,
    /// What plots are drawn from.
    pub activity: Activity,
}

/// What happened when.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Messages of all instruments.
    pub rates: Buckets<KindCounts>,
    /// Receive time less exchange time over all feeds.
    pub offsets: OffsetHistogram,
    /// The same over time, in nanoseconds.
    pub offset_times: Buckets<Extent>,
    /// The market of the first instruments that had best prices, at most [`BOOKS_MAX`]: index of the instrument, and its series. In order of
    /// that index.
    pub markets: Vec<(usize, Buckets<MarketBucket>)>,
}

/// Reads captures from end to end and tells what they hold. `progress` is called now and then.
///
/// # Errors
/// [`SessionError`] where a file cannot be opened or is nothing that is known. A broken record is no error.
pub fn inspect(options: &InspectOptions, progress: &mut dyn FnMut(Progress)) -> Result<Inspected, SessionError> {
    let mut config = Config::default();
    config.source.symbols.clone_from(&options.symbols);
    config.source.date.clone_from(&options.date);
    config.validate()?;
    let mut capture = Capture::open_all(&options.paths, &config)?;
    let sources = capture.sources();
    let mut decoders: Vec<FeedDecoder> = sources.iter().map(|source| source.feed.decoder()).collect();
    let mut files: Vec<TrackedFile> = capture.files.iter().map(TrackedFile::of).collect();
    let mut tracker = Tracker::new(&options.symbols, sources.iter().map(|source| source.feed.exchange()));
    let mut reader = Inspecting { decoders: &mut decoders, files: &mut files, tracker: &mut tracker };
    let (records, is_complete) = capture.read(options.limit, progress, &mut reader);
    if is_complete {
        for (feed, decoder) in decoders.iter_mut().enumerate() {
            let recv = tracker.feeds[feed].last_recv.unwrap_or_default();
            let mut sink = Sink { tracker: &mut tracker, feed, only_symbol: None, is_clocked: true };
            if let Err(error) = decoder.finish(recv, &mut sink) {
                let last = files.iter().rposition(|file| file.records > 0 && file.feed == feed).unwrap_or(0);
                if let Some(file) = files.get_mut(last) {
                    file.malformed += 1;
                    let reason = format!("held back to the end: {error}");
                    file.first_malformed.get_or_insert(MalformedRecord { record: file.records, reason });
                }
            }
        }
    }
    progress(Progress::of(&capture, records));
    Ok(tracker.finish(&capture, files, records, is_complete))
}

/// What an inspection reads captures with.
struct Inspecting<'r, 't> {
    decoders: &'r mut [FeedDecoder],
    files: &'r mut [TrackedFile],
    tracker: &'r mut Tracker<'t>,
}

impl CaptureReader for Inspecting<'_, '_> {
    fn is_done(&mut self, _records: u64) -> bool {
        false
    }

    fn take(&mut self, received: &Received<'_>) -> Result<(), Reason> {
        let &Received { connection, recv, symbol, message, place } = received;
        let file = &mut self.files[place.file];
        file.on_record(connection, recv);
        self.tracker.feeds[connection].on_record(recv);
        let decoder = &mut self.decoders[connection];
        if let Some(symbol) = symbol {
            decoder.set_symbol(symbol);
        }
        let only_symbol = symbol.or(file.only_symbol.as_deref());
        let mut sink = Sink { tracker: self.tracker, feed: connection, only_symbol, is_clocked: file.is_clocked() };
        let decoded = decoder.decode(message, recv, &mut sink);
        decoded.map_err(|error| Reason { code: error.code(), text: error.to_string() })
    }

    fn on_broken(&mut self, broken: &Broken<'_>) {
        let file = &mut self.files[broken.place.file];
        // A message has been counted as a record already.
        file.records += u64::from(!broken.is_message);
        file.malformed += 1;
        let first = || MalformedRecord { record: broken.place.line, reason: broken.reason.text.clone() };
        file.first_malformed.get_or_insert_with(first);
    }
}

/// What is known of a file so far.
struct TrackedFile {
    feed: usize,
    clock: ReceiveClock,
    /// Whose messages that name no symbol are, where the file is of one alone.
    only_symbol: Option<String>,
    records: u64,
    malformed: u64,
    first_malformed: Option<MalformedRecord>,
    /// Least and greatest receive time.
    received: Option<(i64, i64)>,
    last_recv: Timestamp,
    time_reversals: u64,
}

impl TrackedFile {
    fn of(file: &crate::capture::CaptureFile) -> TrackedFile {
        let clock = match file.probe.framing {
            _ if file.probe.has_no_times() => ReceiveClock::None,
            Framing::UntimedLines | Framing::LobsterRows { .. } | Framing::BinaryFile { .. } => ReceiveClock::Exchange,
            _ => ReceiveClock::Recorder,
        };
        let mut symbols = file.probe.symbols();
        TrackedFile {
            feed: 0,
            clock,
            only_symbol: if symbols.len() == 1 { symbols.pop() } else { None },
            records: 0,
            malformed: 0,
            first_malformed: None,
            received: None,
            last_recv: Timestamp::MIN,
            time_reversals: 0,
        }
    }

    /// Whether receive times say anything about the exchange's.
    fn is_clocked(&self) -> bool {
        self.clock == ReceiveClock::Recorder
    }

    fn on_record(&mut self, feed: usize, recv: Timestamp) {
        self.feed = feed;
        self.records += 1;
        // Nothing before the first time is told has one.
        if recv.0 == 0 && self.clock != ReceiveClock::None {
            return;
        }
        self.time_reversals += u64::from(recv < self.last_recv);
        self.last_recv = recv;
        if self.clock != ReceiveClock::None {
            widen(&mut self.received, recv.0);
        }
    }
}

/// What is known of a feed so far.
struct TrackedFeed {
    exchange: Exchange,
    records: u64,
    last_recv: Option<Timestamp>,
    longest_silence: Option<(i64, i64)>,
    gaps: u64,
    messages_lost: u64,
    restarts: u64,
    heartbeats: u64,
    ignored: BTreeMap<&'static str, u64>,
    without_symbol: u64,
    offsets: OffsetHistogram,
    /// A book that takes no message but the feed's own: how every book of the feed begins.
    beginning: MarketBook,
}

impl TrackedFeed {
    fn on_record(&mut self, recv: Timestamp) {
        self.records += 1;
        let before = self.last_recv.filter(|before| before.0 != 0);
        if let Some(before) = before
            && recv.since_ns(before) > self.longest_silence.map_or(0, |(from, to)| to - from)
        {
            self.longest_silence = Some((before.0, recv.0));
        }
        self.last_recv = before.max(Some(recv));
    }
}

/// What is known of an instrument so far.
struct TrackedInstrument {
    exchange: Exchange,
    symbol: String,
    feed: usize,
    kinds: KindCounts,
    exchange_time: Option<(i64, i64)>,
    offsets: OffsetHistogram,
    trades: Numbering,
    aggregates: Numbering,
    updates: Numbering,
    book: Option<Box<MarketBook>>,
    /// Its place among the series, where it has one.
    market: Option<usize>,
}

impl TrackedInstrument {
    fn messages(&self) -> u64 {
        self.kinds.iter().sum()
    }
}

/// Numbers that should rise.
#[derive(Clone, Copy, Default)]
struct Numbering {
    last: Option<u64>,
    /// Numbers left out.
    missing: u64,
    /// Messages whose numbers had all been there.
    repeated: u64,
}

impl Numbering {
    fn take(&mut self, first: u64, last: u64) {
        if let Some(before) = self.last {
            self.missing += first.saturating_sub(before.saturating_add(1));
            self.repeated += u64::from(last <= before);
        }
        self.last = self.last.max(Some(last));
    }
}

struct Tracker<'a> {
    /// Symbols to look at; empty for all.
    wanted: &'a [String],
    feeds: Vec<TrackedFeed>,
    instruments: Vec<TrackedInstrument>,
    /// Places of the instruments of a symbol, one for each venue.
    places: HashMap<String, Vec<usize>>,
    untracked_messages: u64,
    books: usize,
    incidents: Vec<Incident>,
    incidents_omitted: u64,
    activity: Activity,
}

/// Takes the messages of one record.
struct Sink<'s, 'a> {
    tracker: &'s mut Tracker<'a>,
    feed: usize,
    /// Whose a message is that names no symbol.
    only_symbol: Option<&'s str>,
    /// Whether its receive time is of the recorder's clock.
    is_clocked: bool,
}

impl DecodeSink for Sink<'_, '_> {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        match message {
            Message::Feed(feed) => self.tracker.on_feed(self.feed, recv, feed),
            Message::Ignored(ignored) => {
                *self.tracker.feeds[self.feed].ignored.entry(ignored_name(*ignored)).or_default() += 1;
            }
            _ => match message.symbol().or(self.only_symbol) {
                Some(symbol) => self.tracker.on_message(self.feed, symbol, recv, self.is_clocked, message),
                None => self.tracker.feeds[self.feed].without_symbol += 1,
            },
        }
    }
}

impl<'a> Tracker<'a> {
    fn new(wanted: &'a [String], exchanges: impl Iterator<Item = Exchange>) -> Tracker<'a> {
        let feed = |exchange| TrackedFeed {
            exchange,
            records: 0,
            last_recv: None,
            longest_silence: None,
            gaps: 0,
            messages_lost: 0,
            restarts: 0,
            heartbeats: 0,
            ignored: BTreeMap::new(),
            without_symbol: 0,
            offsets: OffsetHistogram::new(OFFSET_BITS.0),
            beginning: MarketBook::new(),
        };
        Tracker {
            wanted,
            feeds: exchanges.map(feed).collect(),
            instruments: Vec::new(),
            places: HashMap::new(),
            untracked_messages: 0,
            books: 0,
            incidents: Vec::new(),
            incidents_omitted: 0,
            activity: Activity {
                rates: Buckets::default(),
                offsets: OffsetHistogram::new(OFFSET_BITS.0),
                offset_times: Buckets::default(),
                markets: Vec::new(),
            },
        }
    }

    /// The place of an instrument; `None` where it is not looked at.
    fn instrument(&mut self, feed: usize, symbol: &str) -> Option<usize> {
        let exchange = self.feeds[feed].exchange;
        if let Some(places) = self.places.get(symbol)
            && let Some(place) = places.iter().find(|place| self.instruments[**place].exchange == exchange)
        {
            return Some(*place);
        }
        if !self.wanted.is_empty() && !self.wanted.iter().any(|wanted| wanted == symbol) {
            return None;
        }
        let place = self.instruments.len();
        if place == TRACKED_MAX {
            self.untracked_messages += 1;
            return None;
        }
        self.places.entry(symbol.to_owned()).or_default().push(place);
        self.instruments.push(TrackedInstrument {
            exchange,
            symbol: symbol.to_owned(),
            feed,
            kinds: [0; KINDS],
            exchange_time: None,
            offsets: OffsetHistogram::new(OFFSET_BITS.1),
            trades: Numbering::default(),
            aggregates: Numbering::default(),
            updates: Numbering::default(),
            book: None,
            market: None,
        });
        Some(place)
    }

    fn on_message(&mut self, feed: usize, symbol: &str, recv: Timestamp, is_clocked: bool, message: &Message<'_>) {
        let Some((kind, exchange_ns)) = kind_and_time(message) else { return };
        let Some(place) = self.instrument(feed, symbol) else { return };
        self.activity.rates.at(recv.0)[kind as usize] += 1;
        let instrument = &mut self.instruments[place];
        instrument.kinds[kind as usize] += 1;
        match message {
            Message::Trade(trade) => instrument.trades.take(trade.id, trade.id),
            Message::AggregateTrade(trade) => instrument.aggregates.take(trade.first_trade_id, trade.last_trade_id),
            _ => {
                if let Some(id) = update_id(message) {
                    instrument.updates.take(id, id);
                }
            }
        }
        let mut offset_ns = None;
        if exchange_ns != 0 {
            widen(&mut instrument.exchange_time, exchange_ns);
            if is_clocked && is_event_end(message) {
                let offset = recv.0.saturating_sub(exchange_ns);
                instrument.offsets.add(offset);
                self.feeds[feed].offsets.add(offset);
                self.activity.offset_times.at(recv.0).add(offset as f64);
                offset_ns = Some(offset as f64);
            }
        }
        let quote = match message {
            Message::Quote(quote) => Some(quote.bbo),
            _ => None,
        };
        let of_book = kind.is_of_book().then(|| self.on_book(place, recv, message)).flatten();
        let instrument = &self.instruments[place];
        let has_book = instrument.book.as_ref().is_some_and(|book| book.state() == BookState::Synced);
        self.draw(place, recv, of_book.or(quote.filter(|_| !has_book)), offset_ns);
    }

    /// Lets an instrument's book take a message. Gives best bid and ask where they may be looked at.
    fn on_book(&mut self, place: usize, recv: Timestamp, message: &Message<'_>) -> Option<Bbo> {
        let instrument = &mut self.instruments[place];
        let book = match &mut instrument.book {
            Some(book) => book,
            None if self.books == BOOKS_MAX => return None,
            vacant => {
                self.books += 1;
                let mut book = match message {
                    Message::Order(_) | Message::OrderSnapshot(_) => MarketBook::Orders(OrderSync::new(BOOK_ORDERS_MAX)),
                    _ => MarketBook::new(),
                };
                if let MarketBook::Empty { has_begun: true, .. } = self.feeds[instrument.feed].beginning {
                    book.on_feed(&FeedMessage::Started, &mut |_| {});
                }
                vacant.insert(Box::new(book))
            }
        };
        let outcome = book.on_message(message, &mut |_| {});
        match outcome {
            SyncOutcome::Applied(_) | SyncOutcome::Synced if book.state() == BookState::Synced => Some(book.bbo()),
            SyncOutcome::WentStale(reason) => {
                let feed = instrument.feed;
                if let Some(kind) = incident(reason) {
                    self.note(recv, feed, Some(place), kind);
                }
                None
            }
            _ => None,
        }
    }

    /// What a feed says of itself concerns every book it feeds.
    fn on_feed(&mut self, place: usize, recv: Timestamp, message: &FeedMessage) {
        let feed = &mut self.feeds[place];
        match *message {
            FeedMessage::Gap { first, last } => {
                feed.gaps += 1;
                feed.messages_lost = feed.messages_lost.saturating_add(last.saturating_sub(first).saturating_add(1));
                self.note(recv, place, None, IncidentKind::FeedGap { first, last });
            }
            FeedMessage::Restarted { expected, received } => {
                feed.restarts += 1;
                self.note(recv, place, None, IncidentKind::FeedRestart { expected, received });
            }
            FeedMessage::Heartbeat => {
                feed.heartbeats += 1;
                return;
            }
            FeedMessage::Started | FeedMessage::Ended => {}
        }
        self.feeds[place].beginning.on_feed(message, &mut |_| {});
        for instrument in self.instruments.iter_mut().filter(|instrument| instrument.feed == place) {
            if let Some(book) = &mut instrument.book {
                book.on_feed(message, &mut |_| {});
            }
        }
    }

    fn draw(&mut self, place: usize, recv: Timestamp, bbo: Option<Bbo>, offset_ns: Option<f64>) {
        let bbo = bbo.filter(Bbo::is_two_sided);
        let markets = &mut self.activity.markets;
        let market = match self.instruments[place].market {
            Some(market) => market,
            None if bbo.is_none() || markets.len() == BOOKS_MAX => return,
            None => {
                markets.push((place, Buckets::default()));
                *self.instruments[place].market.insert(markets.len() - 1)
            }
        };
        let bucket = markets[market].1.at(recv.0);
        if let Some(bbo) = bbo {
            bucket.mid.add(bbo.mid());
            bucket.spread.add(bbo.ask.price.to_f64() - bbo.bid.price.to_f64());
        }
        if let Some(offset_ns) = offset_ns {
            bucket.offset_ns.add(offset_ns);
        }
    }

    fn note(&mut self, recv: Timestamp, feed: usize, instrument: Option<usize>, kind: IncidentKind) {
        if self.incidents.len() == INCIDENTS_MAX {
            self.incidents_omitted += 1;
            return;
        }
        self.incidents.push(Incident { at_ns: recv.0, at_utc: utc(recv.0), instrument, feed, kind });
    }

    fn finish(mut self, capture: &Capture, files: Vec<TrackedFile>, records: u64, is_complete: bool) -> Inspected {
        for feed in &self.feeds {
            self.activity.offsets.merge(&feed.offsets);
        }
        // Those of most messages come first from here on.
        let mut order: Vec<usize> = (0..self.instruments.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(self.instruments[*place].messages()));
        let mut place_after = vec![0; order.len()];
        order.iter().enumerate().for_each(|(after, before)| place_after[*before] = after);
        self.activity.markets.iter_mut().for_each(|(place, _)| *place = place_after[*place]);
        self.activity.markets.sort_by_key(|(place, _)| *place);
        for incident in &mut self.incidents {
            incident.instrument = incident.instrument.map(|place| place_after[place]);
        }
        let has_untracked_book = |instrument: &&TrackedInstrument| {
            instrument.book.is_none()
                && MessageKind::ALL.iter().any(|kind| kind.is_of_book() && instrument.kinds[*kind as usize] > 0)
        };
        let files: Vec<FileInspection> =
            capture.files.iter().zip(files).map(|(file, tracked)| file_inspection(file, tracked)).collect();
        let spans = || files.iter().filter_map(|file| file.received.as_ref());
        let received = spans()
            .map(|span| span.first_ns)
            .min()
            .zip(spans().map(|span| span.last_ns).max())
            .map(|(first, last)| Span::of(first, last));
        let has_gaps: Vec<bool> = self.feeds.iter().map(|feed| feed.gaps > 0).collect();
        let instrument = |place: &usize| instrument_inspection(&self.instruments[*place], has_gaps[self.instruments[*place].feed]);
        let mut inspection = Inspection {
            schema: SCHEMA,
            is_complete,
            records,
            malformed: files.iter().map(|file| file.malformed).sum(),
            received,
            files,
            books_not_followed: self.instruments.iter().filter(has_untracked_book).count() as u64,
            feeds: self.feeds.into_iter().map(feed_inspection).collect(),
            instruments: order.iter().map(instrument).collect(),
            untracked_messages: self.untracked_messages,
            incidents: self.incidents,
            incidents_omitted: self.incidents_omitted,
            skipped: capture.skipped.iter().map(|file| file.0.to_string()).collect(),
            warnings: Vec::new(),
        };
        inspection.warnings = warnings::warnings(&inspection);
        Inspected { inspection, activity: self.activity }
    }
}

fn file_inspection(file: &crate::capture::CaptureFile, tracked: TrackedFile) -> FileInspection {
    FileInspection {
        path: file.path.display().to_string(),
        feed: tracked.feed,
        format: file.probe.format(),
        framing: framing_name(file.probe.framing),
        has_date: !file.probe.has_no_date(),
        compression: file.probe.compression,
        venue: file.probe.exchange().name(),
        // Gone since it was read: then nothing is known of its size.
        bytes: std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len()),
        records: tracked.records,
        malformed: tracked.malformed,
        first_malformed: tracked.first_malformed,
        received: tracked.received.map(|(first, last)| Span::of(first, last)),
        time_unit: if tracked.clock == ReceiveClock::None { "none".into() } else { file.probe.time_unit.to_string() },
        receive_clock: tracked.clock,
        time_reversals: tracked.time_reversals,
        damage: file.damage.clone(),
    }
}

fn feed_inspection(feed: TrackedFeed) -> FeedInspection {
    FeedInspection {
        venue: feed.exchange.name(),
        records: feed.records,
        clock_offset: feed.offsets.summary(),
        gaps: feed.gaps,
        messages_lost: feed.messages_lost,
        restarts: feed.restarts,
        heartbeats: feed.heartbeats,
        ignored: feed.ignored,
        without_symbol: feed.without_symbol,
        longest_silence: feed.longest_silence.map(|(from, to)| Span::of(from, to)),
    }
}

fn instrument_inspection(instrument: &TrackedInstrument, has_feed_gaps: bool) -> InstrumentInspection {
    let kinds = MessageKind::ALL.into_iter().map(|kind| (kind.name(), instrument.kinds[kind as usize]));
    let is_numbered = matches!(instrument.exchange, Exchange::BinanceSpot | Exchange::BinanceUsdm | Exchange::BinanceCoinm);
    let TrackedInstrument { trades, aggregates, updates, .. } = instrument;
    InstrumentInspection {
        venue: instrument.exchange.name(),
        symbol: instrument.symbol.clone(),
        messages: instrument.messages(),
        kinds: kinds.filter(|(_, count)| *count > 0).collect(),
        exchange_time: instrument.exchange_time.map(|(first, last)| Span::of(first, last)),
        clock_offset: instrument.offsets.summary(),
        trade_ids_missing: is_numbered.then_some(if trades.last.is_some() { trades.missing } else { aggregates.missing }),
        repeated: updates.repeated + if is_numbered { trades.repeated + aggregates.repeated } else { 0 },
        book: instrument.book.as_ref().map(|book| book_inspection(book, has_feed_gaps)),
    }
}

fn book_inspection(book: &MarketBook, has_feed_gaps: bool) -> BookInspection {
    let counters = book.counters();
    let bbo = book.bbo();
    let (state, reason) = match book.state() {
        BookState::Synced => (SyncState::InSync, None),
        BookState::Stale(reason) => (SyncState::OutOfSync, Some(stale_words(reason).to_owned())),
        BookState::Unsynced => {
            let reason = if counters.snapshots_too_old > 0 {
                "its snapshots are older than the first changes"
            } else if bbo != Bbo::default() {
                "no change joins its snapshot"
            } else if has_feed_gaps {
                "its feed lost messages before it began, and there is no snapshot"
            } else {
                "there is no snapshot"
            };
            (SyncState::NeverInSync, Some(reason.to_owned()))
        }
    };
    let side = |level: chronos_market::Level| (level.qty.0 > 0).then(|| (level.price.to_string(), level.qty.to_string()));
    let ((bid, bid_qty), (ask, ask_qty)) = (side(bbo.bid).unzip(), side(bbo.ask).unzip());
    BookInspection {
        state,
        reason,
        bid,
        bid_qty,
        ask,
        ask_qty,
        last_id: book.last_id(),
        gaps: counters.gaps,
        resyncs: counters.resyncs,
        restarts: counters.restarts,
        crossed: counters.crossed,
        checksums_compared: counters.checksums_compared,
        checksum_mismatches: counters.checksum_mismatches,
        unknown_orders: counters.unknown_orders,
        contradictions: counters.contradictions,
        withheld: counters.withheld,
        old: counters.old,
        snapshots_too_old: counters.snapshots_too_old,
        overruns: counters.overruns,
    }
}

/// Why a book may no longer be used; `None` where that was asked for.
fn incident(reason: StaleReason) -> Option<IncidentKind> {
    match reason {
        StaleReason::Gap => Some(IncidentKind::BookGap),
        StaleReason::Overrun => Some(IncidentKind::BookOverrun),
        StaleReason::Crossed => Some(IncidentKind::BookCrossed),
        StaleReason::Checksum => Some(IncidentKind::BookChecksum),
        StaleReason::Reset => None,
    }
}

fn stale_words(reason: StaleReason) -> &'static str {
    match reason {
        StaleReason::Gap => "messages are missing, and no snapshot follows",
        StaleReason::Overrun => "it has more changes or levels than a buffer holds",
        StaleReason::Reset => "the feed began anew, and no snapshot follows",
        StaleReason::Crossed => "bid and ask crossed, and no snapshot follows",
        StaleReason::Checksum => "its checksum differs, and no snapshot follows",
    }
}

fn framing_name(framing: Framing) -> &'static str {
    match framing {
        Framing::TimedLines => "lines with receive times",
        Framing::UntimedLines => "lines without receive times",
        Framing::CryptofeedLines => "cryptofeed lines",
        Framing::TardisLines => "tardis lines",
        Framing::TardisCsvRows => "csv rows",
        Framing::LobsterRows { .. } => "csv rows without receive times",
        Framing::Packets { .. } => "packets",
        Framing::BinaryFile { .. } => "messages with lengths",
        Framing::Dbn => "dbn records",
    }
}

fn ignored_name(ignored: Ignored) -> &'static str {
    match ignored {
        Ignored::Ticker => "ticker",
        Ignored::Definition => "definition",
        Ignored::Statistics => "statistics",
        Ignored::OffBookTrade => "off_book_trade",
        Ignored::Control => "control",
    }
}

fn widen(span: &mut Option<(i64, i64)>, instant: i64) {
    let (first, last) = span.unwrap_or((instant, instant));
    *span = Some((first.min(instant), last.max(instant)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const START_MS: i64 = 1_723_161_254_000;

    fn inspected(lines: &[String], options: InspectOptions) -> Inspected {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        inspect(&InspectOptions { paths: vec![file.path().to_owned()], ..options }, &mut |_| {}).unwrap()
    }

    /// A trade of Binance's spot market, received and made so many milliseconds after the start.
    fn trade(symbol: &str, recv_ms: i64, made_ms: i64, id: u64) -> String {
        let (recv, made) = (START_MS + recv_ms, START_MS + made_ms);
        format!(
            "{recv} {{\"e\":\"trade\",\"E\":{made},\"s\":\"{symbol}\",\"t\":{id},\"p\":\"100\",\"q\":\"1\",\"T\":{made},\"m\":true,\"M\":true}}"
        )
    }

    fn kinds(inspection: &Inspection) -> Vec<WarningKind> {
        inspection.warnings.iter().map(|warning| warning.kind).collect()
    }

    #[test]
    fn a_capture_without_fault_has_no_warning() {
        let lines: Vec<String> = (0..50).map(|at| trade("X", at * 100, at * 100 - 3, at as u64)).collect();
        let Inspection { warnings, instruments, feeds, .. } = inspected(&lines, InspectOptions::default()).inspection;
        assert_eq!(warnings, []);
        let offset = instruments[0].clock_offset.unwrap();
        assert_eq!((offset.count, offset.min_ns, offset.max_ns), (50, 3_000_000, 3_000_000));
        assert_eq!(feeds[0].clock_offset, instruments[0].clock_offset);
        let span = instruments[0].exchange_time.clone().unwrap();
        assert_eq!((span.length_ns(), span.first_utc.as_str()), (4_900_000_000, "2024-08-08 23:54:13.997"));
    }

    #[test]
    fn every_fault_is_told_where_it_stands() {
        let mut lines: Vec<String> = (0..200).map(|at| trade("X", at * 10, at * 10 + 40, at as u64)).collect();
        // Nothing for ten seconds; then three trades left out, one told again, time set back, and a line that is nothing.
        lines.push(trade("X", 12_000, 12_040, 203));
        lines.push(trade("X", 12_010, 12_050, 203));
        lines.push(trade("X", 12_005, 12_045, 204));
        lines.push("nothing".into());
        let inspection = inspected(&lines, InspectOptions::default()).inspection;
        use WarningKind::*;
        assert_eq!(kinds(&inspection), [Malformed, TimeReversals, ClockBehind, Silence, TradeIds, Repeated]);
        let (file, feed, instrument) = (&inspection.files[0], &inspection.feeds[0], &inspection.instruments[0]);
        assert_eq!((inspection.records, inspection.malformed, file.time_reversals), (204, 1, 1));
        assert_eq!(file.first_malformed.as_ref().map(|first| first.record), Some(204));
        let silence = feed.longest_silence.as_ref().unwrap();
        assert_eq!((silence.first_utc.as_str(), silence.length_ns()), ("2024-08-08 23:54:15.990", 10_010_000_000));
        assert_eq!((instrument.trade_ids_missing, instrument.repeated, instrument.kinds["trade"]), (Some(3), 1, 203));
        let median = feed.clock_offset.unwrap().p50_ns;
        assert!((-40_010_000..=-39_990_000).contains(&median), "{median}");
    }

    #[test]
    fn symbols_and_a_limit_choose() {
        let lines: Vec<String> = (0..90).map(|at| trade(["X", "Y", "Z"][at as usize % 3], at, at, at as u64 / 3)).collect();
        let options = InspectOptions { symbols: vec!["Y".into()], limit: Some(30), ..InspectOptions::default() };
        let Inspected { inspection, activity } = inspected(&lines, options);
        let told: Vec<(&str, u64)> = inspection.instruments.iter().map(|one| (one.symbol.as_str(), one.messages)).collect();
        assert_eq!((told, inspection.records, inspection.is_complete), (vec![("Y", 10)], 30, false));
        assert_eq!(kinds(&inspection), [WarningKind::Limited]);
        assert_eq!(activity.rates.iter().map(|(_, counts)| counts[MessageKind::Trade as usize]).sum::<u64>(), 10);
    }

    #[test]
    fn books_beyond_the_most_are_told() {
        let depth = |symbol: usize| {
            format!(
                "{START_MS} {{\"e\":\"depthUpdate\",\"E\":{START_MS},\"s\":\"S{symbol}\",\"U\":1,\"u\":2,\"b\":[[\"9\",\"1\"]],\"a\":[]}}"
            )
        };
        let lines: Vec<String> = (0..BOOKS_MAX + 3).map(depth).collect();
        let inspection = inspected(&lines, InspectOptions::default()).inspection;
        assert_eq!(inspection.instruments.iter().filter(|instrument| instrument.book.is_some()).count(), BOOKS_MAX);
        assert_eq!(inspection.books_not_followed, 3);
        // Four of the books that were never in sync are told, and how many more there are.
        let never = inspection.warnings.iter().filter(|warning| warning.kind == WarningKind::NeverInSync);
        assert_eq!(never.map(|warning| warning.about.as_str()).collect::<Vec<_>>()[4..], ["60 more"]);
        assert_eq!(inspection.warnings.last().map(|warning| warning.kind), Some(WarningKind::NotFollowed));
    }
}

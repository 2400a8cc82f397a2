//! A replay: captures in, orders out, and a report of what happened.

use crate::assembly::{Assembly, AssemblyOptions, ReplayFused, ReplayStrategy, ReplayTrade, ReplayVenue, assemble};
use crate::capture::{Broken, Capture, CaptureError, CaptureReader, Place, Reason, Received, TickSource};
use crate::config::{Config, ConfigError};
use crate::controls::{ControlsError, DoneByHand, Schedule, read_controls};
use crate::html::{LatencyCurve, latency_curves};
use crate::journal::{Beginning, FollowError, SessionInput};
use crate::meta::MetaDirectory;
use crate::model::{ChosenModel, ModelError};
use crate::report::{
    BookChecks, InstrumentReport, JournalReport, MetaReport, Report, SCHEMA, SourceReport, depth_deciles, summarise,
};
use crate::series::Series;
use crate::warm_up::WarmUp;
use crate::wire::{self, WireError, WireOptions, WireReport};
use chronos_coldpath::store::StoreError;
use chronos_coldpath::{ColdError, ColdSummary, push_quarantine};
use chronos_exchange::VenueConfigError;
use chronos_market::decode::{Feed, LinkType};
use chronos_market::{BookState, Contract, Instrument, InstrumentId, PRICE_SCALE, Regime, Timestamp};
use chronos_pipeline::gateway::WiredVenue;
use chronos_pipeline::journal::{AppendError, Difference, JournalError, Recovery, overruns};
use chronos_pipeline::risk::TradingState;
use chronos_pipeline::topology::{
    BackPressure, ByHand, Fused, HostError, Ingest, IngestError, Overrun, Source, Split, SplitError, TradeError, Waiting,
    available_cores, lock_memory,
};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a replay is asked to do.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Everything that can be set.
    pub config: Config,
    /// Compare books with every quote at an equal update id.
    pub verify: bool,
    /// Stop after so many lines.
    pub limit: Option<u64>,
    /// Record events, orders, reports, the journal and malformed lines to this folder.
    pub record: Option<PathBuf>,
    /// Books to drop on the way, each to start over from its next snapshot. Over sockets none is.
    pub resyncs: Vec<Resync>,
    /// Things done by hand on the way, in order. A replay that follows a journal does those of the journal instead.
    pub by_hand: Vec<DoneByHand>,
    /// A file of things done by hand, in place of `by_hand`.
    pub controls: Option<PathBuf>,
    /// Play the capture through sockets on loopback.
    pub over: Option<WireOptions>,
    /// Follow this journal of an earlier session: reports are the journal's, and so must be the orders.
    pub journal: Option<PathBuf>,
    /// For tests: makes the cold path dawdle at random, from this seed.
    pub cold_delay: Option<u64>,
}

/// Control input: drop an instrument's book, as after a reconnection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resync {
    /// After so many lines.
    pub after_lines: u64,
    /// Index of the instrument in the report.
    pub instrument: InstrumentId,
}

/// What a replay gives.
#[derive(Debug)]
pub struct Replayed {
    /// The report.
    pub report: Report,
    /// What plots are drawn from.
    pub series: Series,
    /// Latency by percentile.
    pub latency_curves: Vec<LatencyCurve>,
}

/// How far a replay is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes read of all files, as they are on disk.
    pub bytes_read: u64,
    /// Bytes of all files, as they are on disk.
    pub bytes_total: u64,
    /// Lines read.
    pub lines: u64,
}

impl Progress {
    pub(crate) fn of(capture: &Capture, lines: u64) -> Progress {
        Progress { bytes_read: capture.bytes_read(), bytes_total: capture.bytes_total(), lines }
    }
}

/// Why there is no replay, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was to be done by hand.
    #[error(transparent)]
    Controls(#[from] ControlsError),
    /// The captures.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The simulated venue.
    #[error("simulated venue: {0}")]
    Venue(#[from] VenueConfigError),
    /// The cold path.
    #[error(transparent)]
    Cold(#[from] ColdError),
    /// A table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The host did not give what was asked of it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A thread that never gives its core away and one it waits for would share it.
    #[error(
        "under SCHED_FIFO a thread that waits by `{waiting}` keeps its core from all others, and there are {cores} cores for \
         {threads} threads; set `topology.waiting` to `park`, or leave `topology.fifo_priority` at 0"
    )]
    Starving {
        /// How threads would wait.
        waiting: String,
        /// Cores there are.
        cores: usize,
        /// Threads there would be.
        threads: usize,
    },
    /// The journal took no record.
    #[error("journal: {0}")]
    Append(#[from] AppendError),
    /// The journal to follow is of another session.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The replay did something else than the session did.
    #[error("journal {path}: the replay is not the session again. {difference}", path = path.display())]
    Different {
        /// The journal.
        path: PathBuf,
        /// The first difference.
        difference: Box<Difference>,
    },
    /// The trade thread.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The sockets.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The trade group stopped.
    #[error("the replay stopped: {0}")]
    Trade(#[from] TradeError),
}

/// Malformed lines told one by one.
const TOLD_MAX: u64 = 8;
/// Threads of a split session: ingest, trade, cold path. A fused one has one less.
const SPLIT_THREADS: usize = 3;

/// Replays captures through the hot path. `progress` is called now and then.
///
/// # Errors
/// [`SessionError`], with the place and the remedy. A broken line is no error: it is counted and told in the report's notices.
pub fn replay(options: &ReplayOptions, progress: &mut dyn FnMut(Progress)) -> Result<Replayed, SessionError> {
    let config = &options.config;
    config.validate()?;
    let is_split = config.topology.mode == "split";
    if let Some(over) = &options.over {
        over.validate()?;
        if is_split {
            return Err(WireError::NotFused.into());
        }
    }
    let mut capture = Capture::open(&options.paths, config)?;
    let mut schedule = Schedule::new(match (&options.controls, &options.journal) {
        (Some(path), Some(_)) => return Err(ControlsError::Following { path: path.clone() }.into()),
        (Some(path), None) => read_controls(path, config, &capture.instruments)?,
        (None, Some(_)) => Vec::new(),
        (None, None) => options.by_hand.clone(),
    });
    let followed = options.journal.as_deref().map(|path| Recovery::open(path).map(|recovery| (recovery, path))).transpose()?;
    let lost = followed.as_ref().map(|(recovery, _)| overruns(recovery)).transpose()?;
    let mut lost = lost.unwrap_or_default().into_iter().peekable();
    let limit = match &followed {
        Some((recovery, _)) => options.limit.or(Beginning::read(recovery)?.and_then(|then| then.start.limit)),
        None => options.limit,
    };
    let model = ChosenModel::of(config)?;
    let meta = match config.model.meta.as_str() {
        "none" => None,
        folder => Some(MetaDirectory::open(folder.as_ref())?),
    };
    let mut notices = Vec::new();
    let threads = if is_split { SPLIT_THREADS } else { SPLIT_THREADS - 1 };
    let waiting = config.waiting(threads);
    if config.topology.fifo_priority > 0 && waiting != Waiting::Park && available_cores() < threads {
        return Err(SessionError::Starving { waiting: config.topology.waiting.clone(), cores: available_cores(), threads });
    }
    if is_split && waiting == Waiting::Park && available_cores() < threads {
        notices.push(format!(
            "split: {} cores for {SPLIT_THREADS} threads, so threads park instead of spinning; latency is to be quoted fused",
            available_cores()
        ));
    }
    note_instruments(&capture, &mut notices);

    match &model {
        ChosenModel::Untrained(..) => notices.push(
            "model: untrained, made from the seed; it exercises the whole path and its signals mean nothing (`--model DIR` for a \
             trained one, `--model none` for the path without inference)"
                .into(),
        ),
        ChosenModel::Directory(model) if model.is_untrained() => {
            notices.push("model: untrained; its signals mean nothing".into());
        }
        ChosenModel::Directory(_) | ChosenModel::None => {}
    }
    notices.extend(meta.as_ref().and_then(|meta| meta.notice(&model)));
    let captures: Vec<PathBuf> = capture.files.iter().map(|file| file.path.clone()).collect();
    let disturbances = disturbances(options);
    let options_of_groups = AssemblyOptions {
        meta: meta.as_ref(),
        watch: None,
        verify: options.verify,
        record: options.record.as_deref(),
        cold_delay: options.cold_delay,
        back_pressure: BackPressure::Lossless,
        follow: followed.as_ref().map(|(recovery, path)| (recovery, *path)),
        input: SessionInput { captures: &captures, limit, disturbances: &disturbances },
    };
    if config.topology.lock_memory {
        lock_memory()?;
    }
    // Both cold paths are started before this thread becomes a hot one, whose core and priority they would inherit.
    let warm_up = WarmUp::prepare(&options.paths, config, &model, meta.as_ref(), waiting)?;
    let sources = if options.over.is_some() { datagram_sources(&capture) } else { capture.sources() };
    let Assembly { ingest, trade, cold, mut quarantine, engine } =
        assemble(config, &model, &capture.instruments, sources, waiting, &options_of_groups)?;
    let [first, _] = config.hot_threads();
    let hot = first.enter()?;
    let mut driver = Driver::start(ingest, trade, config, waiting)?;
    if let Some(warm_up) = warm_up {
        warm_up.run()?;
    }
    hot.begin();
    let mut counted = Counted { is_recording: options.record.is_some(), ..Counted::default() };
    let started = Instant::now();
    let wire = match (&options.over, &mut driver) {
        (Some(over), Driver::Fused(fused)) => {
            let instruments = capture.instruments.clone();
            let limit = limit.unwrap_or(u64::MAX);
            let run = play_over(over, capture, limit, fused, &instruments, &mut counted, &mut quarantine, &mut schedule, progress)?;
            capture = run.0;
            Some(run.1)
        }
        (_, driver) => {
            let (counted, quarantine, schedule) = (&mut counted, &mut quarantine, &mut schedule);
            let resyncs = &options.resyncs;
            let mut replaying = Replaying { driver, counted, quarantine, schedule, lost: &mut lost, resyncs };
            let (lines, _) = capture.read(limit, progress, &mut replaying);
            replaying.have_lost();
            replaying.do_by_hand(lines, Timestamp::MIN);
            replaying.counted.lines = lines;
            None
        }
    };
    progress(Progress::of(&capture, counted.lines));
    let (ingest, mut trade) = driver.finish()?;
    let wall_s = started.elapsed().as_secs_f64();
    drop(hot);
    if schedule.left() > 0 {
        notices.push(format!("{} of what was to be done by hand was not: the captures end before", schedule.left()));
    }
    let missing = wire.as_ref().map_or(0, |wire| wire.missing);
    if missing > 0 && options.record.is_some() {
        notices.push(format!(
            "{missing} messages did not arrive, and a replay of the captures has them: it may differ from the journal of this session"
        ));
    }
    counted.malformed += ingest.end_errors().len() as u64;
    notices.extend(ingest.end_errors().iter().map(|(_, error)| format!("what a feed still held at the end: {error}")));
    if let Some(messages) = config.cold_start() {
        notices.push(format!(
            "book.cold_start_messages: a book of orders without a snapshot counts as in sync after {messages} messages; orders from \
             before the capture are missing from it"
        ));
    }

    let journal = trade.close_journal()?;
    if let (Some((_, path)), Some(difference)) = (&followed, trade.difference()) {
        return Err(SessionError::Different { path: path.to_path_buf(), difference: Box::new(difference.clone()) });
    }
    let trade_error = trade.error().filter(|error| *error != TradeError::JournalEnded);
    if let Some((recovery, path)) = &followed {
        notices.push(note_followed(recovery, path, trade.records_followed()));
    }
    let mut report = report(options, &capture, &ingest, &trade, &counted, engine, wall_s);
    report.wire = wire;
    report.model_sha256 = model.directory().map(|model| model.manifest.model.sha256.clone());
    report.model = match &model {
        ChosenModel::None => "none".into(),
        ChosenModel::Untrained(..) => "untrained".into(),
        ChosenModel::Directory(_) => config.model.path.clone(),
    };
    report.meta = meta.map(|meta| MetaReport::new(config.model.meta.clone(), &meta, trade.strategy().counters()));
    let mut latencies = ingest.latencies().clone();
    latencies.merge(trade.latencies());
    report.latency_ns = summarise(&latencies);
    report.depth_deciles = depth_deciles(&latencies);
    report.journal = journal.map(JournalReport::from);
    // Dropping the hot side's ends lets the cold path finish.
    let series = trade.into_observer();
    drop(quarantine);
    let cold = match cold.join() {
        Ok(summary) => summary,
        Err(ColdError::Incomplete { errors, summary }) => {
            notices.extend(errors.iter().map(|error| format!("recording is not whole: {error}")));
            *summary
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(error) = trade_error {
        return Err(error.into());
    }
    finish_report(&mut report, &cold, notices, &capture, &counted);
    Ok(Replayed { report, series, latency_curves: latency_curves(&latencies) })
}

/// Plays a capture through sockets and gives it back.
#[expect(clippy::too_many_arguments, reason = "the parts of a session, lent for as long as it runs")]
fn play_over(
    over: &WireOptions,
    capture: Capture,
    limit: u64,
    fused: &mut ReplayFused,
    instruments: &[Instrument],
    counted: &mut Counted,
    quarantine: &mut rtrb::Producer<u8>,
    schedule: &mut Schedule,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Capture, WireReport), WireError> {
    let waiting = Waiting::for_threads(wire::BUSY_THREADS);
    let mut session = wire::Session { fused, instruments, counted, quarantine, schedule, progress, waiting };
    let run = wire::drive(capture, over, limit, &mut session)?;
    counted.lines = run.lines;
    counted.note_unsent(run.malformed, run.told);
    Ok((run.capture, run.report))
}

/// What is done to the messages on the way, in words: with the same a session can happen again.
fn disturbances(options: &ReplayOptions) -> String {
    let faults = options.over.filter(|over| over.loss > 0.0 || over.reorder > 0.0);
    let faults = faults.map(|WireOptions { loss, reorder, seed, .. }| format!("{loss} lost, {reorder} overtaken, seed {seed}"));
    let resyncs = options.resyncs.iter().map(|resync| format!("book {} dropped after {}", resync.instrument.0, resync.after_lines));
    faults.into_iter().chain(resyncs).collect::<Vec<_>>().join("; ")
}

/// The sources of a capture as sockets give them: of captured packets the payloads of their datagrams.
fn datagram_sources(capture: &Capture) -> Vec<Source> {
    let mut sources = capture.sources();
    for source in &mut sources {
        if let Feed::Packets { link_type, .. } = &mut source.feed {
            *link_type = LinkType::UDP_PAYLOAD;
        }
    }
    sources
}

/// The chosen topology over the groups of a replay.
enum Driver {
    Fused(Box<ReplayFused>),
    Split(Box<Split<ReplayStrategy, WiredVenue<ReplayVenue>, Series>>),
}

impl Driver {
    fn start(ingest: Ingest, trade: ReplayTrade, config: &Config, waiting: Waiting) -> Result<Driver, SessionError> {
        let [_, second] = config.hot_threads();
        if config.topology.mode == "split" {
            Ok(Driver::Split(Box::new(Split::start(ingest, trade, second, waiting)?)))
        } else {
            let mut fused = Box::new(Fused::new(ingest, trade));
            fused.warm_up();
            Ok(Driver::Fused(fused))
        }
    }

    fn set_symbol(&mut self, source: usize, symbol: &str) {
        match self {
            Driver::Fused(fused) => fused.set_symbol(source, symbol),
            Driver::Split(split) => split.set_symbol(source, symbol),
        }
    }

    fn resync(&mut self, instrument: InstrumentId) {
        match self {
            Driver::Fused(fused) => fused.resync(instrument),
            Driver::Split(split) => split.resync(instrument),
        }
    }

    /// As the session whose journal is followed. A source that there is not here was none there: captures and settings are the same.
    #[cold]
    fn on_overrun(&mut self, overrun: &Overrun) {
        let _ = match self {
            Driver::Fused(fused) => fused.on_overrun(overrun.source.into(), overrun.recv),
            Driver::Split(split) => split.on_overrun(overrun.source.into(), overrun.recv),
        };
    }

    /// Messages taken so far.
    #[inline]
    fn messages(&self) -> u64 {
        match self {
            Driver::Fused(fused) => fused.ingest().counters().messages,
            Driver::Split(split) => split.ingest().counters().messages,
        }
    }

    /// Between two messages: at a time, or now.
    #[cold]
    fn by_hand(&mut self, time: Option<Timestamp>, what: &ByHand) {
        match self {
            Driver::Fused(fused) => fused.by_hand(later(fused.ingest(), time), what),
            Driver::Split(split) => split.by_hand(later(split.ingest(), time), what),
        }
    }

    #[inline]
    fn on_message(&mut self, source: usize, recv: Timestamp, raw: &[u8]) -> Result<(), IngestError> {
        match self {
            Driver::Fused(fused) => fused.on_message(source, recv, raw),
            Driver::Split(split) => split.on_message(source, recv, raw),
        }
    }

    #[inline]
    fn has_stopped(&self) -> bool {
        match self {
            Driver::Fused(fused) => fused.error().is_some(),
            Driver::Split(split) => split.has_stopped(),
        }
    }

    fn finish(self) -> Result<(Ingest, ReplayTrade), SplitError> {
        match self {
            Driver::Fused(fused) => Ok(fused.finish()),
            Driver::Split(split) => split.finish(),
        }
    }
}

/// A time, or the present one where that is later or there is none.
pub(crate) fn later(ingest: &Ingest, time: Option<Timestamp>) -> Timestamp {
    time.map_or(ingest.now(), |time| time.max(ingest.now()))
}

/// What a replay reads captures for.
struct Replaying<'a> {
    driver: &'a mut Driver,
    counted: &'a mut Counted,
    quarantine: &'a mut rtrb::Producer<u8>,
    schedule: &'a mut Schedule,
    /// Where the session whose journal is followed lost messages.
    lost: &'a mut Peekable<std::vec::IntoIter<Overrun>>,
    resyncs: &'a [Resync],
}

impl Replaying<'_> {
    /// Does what is due after so many lines, or before a message received at `recv`.
    #[inline]
    fn do_by_hand(&mut self, lines: u64, recv: Timestamp) {
        while let Some((time, what)) = self.schedule.next_due(lines, recv) {
            self.driver.by_hand(time, &what);
        }
    }

    /// Drops the books that the session had to drop after as many messages.
    #[inline]
    fn have_lost(&mut self) {
        while self.lost.peek().is_some_and(|overrun| overrun.messages <= self.driver.messages()) {
            if let Some(overrun) = self.lost.next() {
                self.driver.on_overrun(&overrun);
            }
        }
    }
}

impl CaptureReader for Replaying<'_> {
    #[inline]
    fn is_done(&mut self, records: u64) -> bool {
        for resync in self.resyncs.iter().filter(|resync| resync.after_lines == records) {
            self.driver.resync(resync.instrument);
        }
        self.do_by_hand(records, Timestamp::MIN);
        self.driver.has_stopped()
    }

    #[inline]
    fn take(&mut self, received: &Received<'_>) -> Result<(), Reason> {
        self.have_lost();
        self.do_by_hand(0, received.recv);
        if let Some(symbol) = received.symbol {
            self.driver.set_symbol(received.connection, symbol);
        }
        let taken = self.driver.on_message(received.connection, received.recv, received.message);
        taken.map_err(|error| Reason { code: error.code(), text: error.to_string() })
    }

    #[cold]
    fn on_broken(&mut self, broken: &Broken<'_>) {
        self.counted.note(broken, self.quarantine);
    }
}

/// Lines, and those that had no effect.
#[derive(Default)]
pub(crate) struct Counted {
    is_recording: bool,
    lines: u64,
    malformed: u64,
    quarantine_dropped: u64,
    told: Vec<(Place, String)>,
}

impl Counted {
    /// Counts a line and, where the session is recorded, keeps it.
    #[cold]
    pub(crate) fn note(&mut self, broken: &Broken<'_>, quarantine: &mut rtrb::Producer<u8>) {
        self.malformed += 1;
        if self.is_recording && !push_quarantine(quarantine, broken.place.line, broken.recv.0, broken.reason.code, broken.raw) {
            self.quarantine_dropped += 1;
        }
        if self.malformed <= TOLD_MAX {
            self.told.push((broken.place, broken.reason.text.clone()));
        }
    }

    /// Counts lines that were broken before they could be sent: nobody kept them.
    fn note_unsent(&mut self, malformed: u64, told: Vec<(Place, String)>) {
        self.malformed += malformed;
        self.quarantine_dropped += if self.is_recording { malformed } else { 0 };
        self.told.extend(told);
        self.told.sort_by_key(|(place, _)| (place.file, place.line));
        self.told.truncate(TOLD_MAX as usize);
    }
}

/// What following a journal came to, where nothing differed.
fn note_followed(recovery: &Recovery, path: &Path, made: u64) -> String {
    let end = match (&recovery.damage, recovery.is_closed) {
        _ if made < recovery.records => "what stopped the session follows".into(),
        (Some(damage), _) => format!("it is damaged there ({damage})"),
        (None, true) => "the end of the session".into(),
        (None, false) => "the session was cut off there".into(),
    };
    format!("journal {}: each of {made} records was made again, the same to the byte; {end}", path.display())
}

fn note_instruments(capture: &Capture, notices: &mut Vec<String>) {
    for (instrument, source) in capture.instruments.iter().zip(&capture.tick_sources) {
        if *source == TickSource::Messages {
            notices.push(format!(
                "{} {}: no snapshot at the beginning; tick {} and lot {} are the greatest common divisors of the first messages",
                instrument.exchange, instrument.symbol, instrument.tick, instrument.lot
            ));
        }
    }
}

fn report(
    options: &ReplayOptions,
    capture: &Capture,
    ingest: &Ingest,
    trade: &ReplayTrade,
    counted: &Counted,
    engine: String,
    wall_s: f64,
) -> Report {
    let (ingested, traded) = (ingest.counters(), trade.counters());
    let quote = |amount: i128| amount as f64 / PRICE_SCALE as f64;
    let account = trade.account();
    let mut checks = BookChecks::default();
    for (compared, mismatched, _) in ingest.checks() {
        checks.compared += compared;
        checks.mismatched += mismatched;
    }
    let (mut gaps, mut resyncs) = (0, 0);
    for counters in ingest.sync_counters() {
        gaps += counters.gaps;
        resyncs += counters.resyncs;
        checks.crossed += counters.crossed;
    }
    let mut report = Report {
        schema: SCHEMA,
        engine,
        topology: if options.config.topology.mode == "split" { "split" } else { "fused" },
        config_hash: options.config.hash(),
        model_sha256: None,
        messages: counted.lines,
        malformed: counted.malformed,
        gaps,
        missed: ingested.missed,
        resyncs,
        trades: ingested.trades,
        book_checks: checks,
        features: ingested.frames,
        inferences: traded.inferences,
        signals: trade.signals(),
        orders: traded.orders,
        rejects: trade.rejects().map(|(check, count)| (check.name(), count)).collect(),
        fills: account.fills(),
        pnl_quote: quote(account.pnl_quote() - account.fees_quote()),
        fees_quote: quote(account.fees_quote()),
        digest: trade.digest(),
        frames_skipped: traded.frames_skipped,
        dropped: BTreeMap::from([
            ("intents", trade.intents_dropped()),
            ("quarantine", counted.quarantine_dropped),
            ("telemetry", traded.telemetry_dropped),
            ("samples", traded.samples_dropped),
            ("windows", traded.windows_dropped),
        ]),
        messages_per_s: if wall_s > 0.0 { counted.lines as f64 / wall_s } else { 0.0 },
        wall_s,
        latency_ns: BTreeMap::new(),
        depth_deciles: Vec::new(),
        model: String::new(),
        meta: None,
        sources: capture.files.iter().map(source_report).collect(),
        instruments: Vec::new(),
        ignored: ingested.ignored,
        time_reversals: ingested.time_reversals,
        regimes: BTreeMap::new(),
        wire: None,
        journal: None,
        trading_state: match trade.trading_state() {
            TradingState::Active => "active",
            TradingState::Reducing => "reducing",
            TradingState::Halted => "halted",
        },
        notices: Vec::new(),
    };
    let states: Vec<BookState> = ingest.book_states().collect();
    for (place, (instrument, source)) in capture.instruments.iter().zip(&capture.tick_sources).enumerate() {
        let id = chronos_market::InstrumentId(place as u16);
        report.instruments.push(InstrumentReport {
            venue: instrument.exchange.name(),
            symbol: instrument.symbol.clone(),
            tick: instrument.tick.to_string(),
            lot: instrument.lot.to_string(),
            tick_source: source.name(),
            inverse: matches!(instrument.contract, Contract::Inverse { .. }),
            synced: states.get(place) == Some(&BookState::Synced),
            position: account.position(id).to_string(),
        });
        if let (Some(state), Some(counters)) = (states.get(place), ingest.sync_counters().nth(place)) {
            note_book(instrument, *state, counters, &mut report.notices);
        }
    }
    for (place, (_, _, mismatch)) in ingest.checks().enumerate() {
        if let (Some(mismatch), Some(instrument)) = (mismatch, capture.instruments.get(place)) {
            report.notices.push(format!(
                "{} {}: the book differs from the quote at update id {}: book {:?}, quote {:?}",
                instrument.exchange, instrument.symbol, mismatch.id, mismatch.book, mismatch.quote
            ));
        }
    }
    if traded.inference_failures > 0 {
        report.notices.push(format!("{} model steps failed; no signal came of them", traded.inference_failures));
    }
    if traded.venue_rejects > 0 {
        report.notices.push(format!("the simulated venue rejected {} commands", traded.venue_rejects));
    }
    if traded.submit_errors > 0 {
        report.notices.push(format!("{} commands could not be sent", traded.submit_errors));
    }
    match trade.trading_state() {
        TradingState::Active => {}
        TradingState::Reducing => {
            report.notices.push(format!("trading was reduced to closing positions and stayed so: {}", latched(trade)))
        }
        TradingState::Halted => {
            report.notices.push(format!("trading was halted; nothing was sent after that: {}", latched(trade)));
        }
    }
    report
}

/// What holds trading, in words.
fn latched(trade: &ReplayTrade) -> String {
    let causes: Vec<&str> = trade.latches().iter().map(|cause| cause.description()).collect();
    causes.join(" ")
}

fn source_report(file: &crate::capture::CaptureFile) -> SourceReport {
    SourceReport {
        path: file.path.display().to_string(),
        format: file.probe.format(),
        compression: file.probe.compression,
        venue: file.probe.exchange().name(),
        symbols: file.probe.symbols(),
        time_unit: if file.probe.has_no_times() { "none".into() } else { file.probe.time_unit.to_string() },
        lines: file.lines,
    }
}

fn note_book(
    instrument: &chronos_market::Instrument,
    state: BookState,
    counters: chronos_market::book::SyncCounters,
    notices: &mut Vec<String>,
) {
    let name = format!("{} {}", instrument.exchange, instrument.symbol);
    match state {
        BookState::Unsynced => notices.push(format!(
            "{name}: never in sync, no snapshot joined its updates; no decision was made on it. Record a REST depth snapshot into \
             the capture, or replay the file that holds one before this one; a feed of quotes or of partial depth alone is decided on \
             where `book.levels` in the configuration says how many best levels it has"
        )),
        BookState::Stale(reason) => {
            notices.push(format!("{name}: out of sync at the end ({reason:?}); a newer snapshot would bring it back"));
        }
        BookState::Synced => {}
    }
    if counters.gaps > 0 {
        notices.push(format!(
            "{name}: {} breaks in the chain of update ids; nothing was traded until the next snapshot",
            counters.gaps
        ));
    }
    for (count, what) in [
        (counters.restarts, "times its feed's numbering began anew, and the book with it"),
        (counters.checksum_mismatches, "checksums of the venue differed from the book; it was not used until the next snapshot"),
        (counters.unknown_orders, "changes of orders that were not in the book; they changed nothing"),
        (counters.contradictions, "order messages that contradict the book"),
    ] {
        if count > 0 {
            notices.push(format!("{name}: {count} {what}"));
        }
    }
    if counters.checksums_compared > 0 {
        let same = counters.checksums_compared - counters.checksum_mismatches.min(counters.checksums_compared);
        notices.push(format!("{name}: {same} of {} checksums of the venue equal the book's", counters.checksums_compared));
    }
    if counters.snapshots_too_old > 0 {
        notices.push(format!(
            "{name}: {} snapshots were older than the updates at hand and could not be joined",
            counters.snapshots_too_old
        ));
    }
    if counters.overruns > 0 {
        notices.push(format!("{name}: {} times more updates or levels than a buffer holds", counters.overruns));
    }
}

fn finish_report(report: &mut Report, cold: &ColdSummary, notices: Vec<String>, capture: &Capture, counted: &Counted) {
    for (regime, count) in Regime::ALL.into_iter().zip(cold.regimes) {
        report.regimes.insert(regime.name(), count);
    }
    if let Some(dropped) = report.dropped.get_mut("quarantine") {
        *dropped += cold.quarantine_dropped;
    }
    let own = std::mem::replace(&mut report.notices, notices);
    report.notices.extend(own);
    report.notices.extend(capture.notices());
    for file in &capture.files {
        if file.probe.has_no_times() {
            report.notices.push(format!(
                "{}: has no times; a line counts as a millisecond, so nothing that depends on time means anything",
                file.path.display()
            ));
        }
        if let Some(damage) = &file.damage {
            report.notices.push(format!(
                "{}: cut off or damaged ({damage}); what came before was replayed. Record or download it again for the rest",
                file.path.display()
            ));
        }
    }
    for (place, reason) in &counted.told {
        let path = capture.files.get(place.file).map(|file| file.path.display().to_string()).unwrap_or_default();
        report.notices.push(format!("{path}, line {}: {reason}; the line had no effect", place.line));
    }
    if counted.malformed > TOLD_MAX {
        report.notices.push(format!(
            "{} more lines had no effect; `--record DIR` keeps each of them in DIR/quarantine.txt",
            counted.malformed - TOLD_MAX
        ));
    }
    if report.time_reversals > 0 {
        report
            .notices
            .push(format!("{} lines were received earlier than the one before them; time was held", report.time_reversals));
    }
}

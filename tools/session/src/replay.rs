//! A replay: captures in, orders out, and a report of what happened.

use crate::assembly::{Assembly, AssemblyOptions, ReplayTrade, ReplayVenue, assemble};
use crate::capture::{Capture, CaptureError, CaptureItem, Place, TickSource};
use crate::config::{Config, ConfigError};
use crate::html::{LatencyCurve, latency_curves};
use crate::journal::{Beginning, FollowError};
use crate::model::{ChosenModel, ModelError};
use crate::report::{BookChecks, InstrumentReport, JournalReport, Report, SCHEMA, SourceReport, summarise};
use crate::series::Series;
use chronos_coldpath::store::StoreError;
use chronos_coldpath::{ColdError, ColdSummary, push_quarantine};
use chronos_exchange::VenueConfigError;
use chronos_market::{BookState, Contract, PRICE_SCALE, Regime, Timestamp};
use chronos_pipeline::decision::ThresholdStrategy;
use chronos_pipeline::journal::{AppendError, Difference, JournalError, Recovery};
use chronos_pipeline::risk::TradingState;
use chronos_pipeline::topology::{
    Fused, Ingest, IngestError, PinError, Split, SplitError, TradeError, Waiting, available_cores, pin_current_thread,
};
use std::collections::BTreeMap;
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
    /// Follow this journal of an earlier session: reports are the journal's, and so must be the orders.
    pub journal: Option<PathBuf>,
    /// For tests: makes the cold path dawdle at random, from this seed.
    pub cold_delay: Option<u64>,
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
    /// A core.
    #[error("{0}; `--cores` takes the numbers of cores this process may use")]
    Pin(#[from] PinError),
    /// The trade thread.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The trade group stopped.
    #[error("the replay stopped: {0}")]
    Trade(#[from] TradeError),
}

/// Lines between two calls of the progress function.
const PROGRESS_LINES: u64 = 4_096;
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
    let mut capture = Capture::open(&options.paths, config)?;
    let followed = options.journal.as_deref().map(|path| Recovery::open(path).map(|recovery| (recovery, path))).transpose()?;
    let limit = match &followed {
        Some((recovery, _)) => options.limit.or(Beginning::read(recovery)?.and_then(|then| then.start.limit)),
        None => options.limit,
    };
    let model = ChosenModel::of(config)?;
    let mut notices = Vec::new();
    let is_split = config.topology.mode == "split";
    let waiting = Waiting::for_threads(if is_split { SPLIT_THREADS } else { SPLIT_THREADS - 1 });
    if is_split && waiting == Waiting::Park {
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
    let files: Vec<PathBuf> = capture.files.iter().map(|file| file.path.clone()).collect();
    let options_of_groups = AssemblyOptions {
        verify: options.verify,
        record: options.record.as_deref(),
        cold_delay: options.cold_delay,
        follow: followed.as_ref().map(|(recovery, path)| (recovery, *path)),
        captures: &files,
        limit,
    };
    let Assembly { ingest, trade, cold, mut quarantine, engine } =
        assemble(config, &model, &capture.instruments, capture.sources(), waiting, &options_of_groups)?;
    let mut driver = Driver::start(ingest, trade, config, waiting)?;
    let mut counted = Counted::default();
    let started = Instant::now();
    while counted.lines < limit.unwrap_or(u64::MAX) && !driver.has_stopped() {
        if counted.lines.is_multiple_of(PROGRESS_LINES) {
            progress(Progress::of(&capture, counted.lines));
        }
        let Some(item) = capture.next() else { break };
        counted.lines += 1;
        let broken = match item {
            CaptureItem::Message { connection, recv, symbol, message, place } => {
                if let Some(symbol) = symbol {
                    driver.set_symbol(connection, symbol);
                }
                match driver.on_message(connection, recv, message) {
                    Ok(()) => continue,
                    Err(error) => Broken { place, recv, raw: message, code: error.code(), reason: error.to_string() },
                }
            }
            CaptureItem::Broken { error, raw, place } => {
                Broken { place, recv: Timestamp(0), raw, code: error.code(), reason: error.to_string() }
            }
        };
        let is_kept =
            options.record.is_some() && push_quarantine(&mut quarantine, broken.place.line, broken.recv.0, broken.code, broken.raw);
        counted.note(&broken, is_kept, options.record.is_some());
    }
    progress(Progress::of(&capture, counted.lines));
    let (ingest, mut trade) = driver.finish()?;
    let wall_s = started.elapsed().as_secs_f64();

    let journal = trade.close_journal()?;
    if let (Some((_, path)), Some(difference)) = (&followed, trade.difference()) {
        return Err(SessionError::Different { path: path.to_path_buf(), difference: Box::new(difference.clone()) });
    }
    let trade_error = trade.error().filter(|error| *error != TradeError::JournalEnded);
    if let Some((recovery, path)) = &followed {
        notices.push(note_followed(recovery, path));
    }
    let mut report = report(options, &capture, &ingest, &trade, &counted, engine, wall_s);
    report.model_sha256 = model.directory().map(|model| model.manifest.model.sha256.clone());
    report.model = match &model {
        ChosenModel::None => "none".into(),
        ChosenModel::Untrained(..) => "untrained".into(),
        ChosenModel::Directory(_) => config.model.path.clone(),
    };
    let mut latencies = ingest.latencies().clone();
    latencies.merge(trade.latencies());
    report.latency_ns = summarise(&latencies);
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

/// The chosen topology over the groups of a replay.
enum Driver {
    Fused(Box<Fused<ThresholdStrategy, ReplayVenue, Series>>),
    Split(Box<Split<ThresholdStrategy, ReplayVenue, Series>>),
}

impl Driver {
    fn start(ingest: Ingest, trade: ReplayTrade, config: &Config, waiting: Waiting) -> Result<Driver, SessionError> {
        let cores = &config.topology.cores;
        if let Some(core) = cores.first() {
            pin_current_thread(*core)?;
        }
        if config.topology.mode == "split" {
            Ok(Driver::Split(Box::new(Split::start(ingest, trade, cores.get(1).copied(), waiting)?)))
        } else {
            Ok(Driver::Fused(Box::new(Fused::new(ingest, trade))))
        }
    }

    fn set_symbol(&mut self, source: usize, symbol: &str) {
        match self {
            Driver::Fused(fused) => fused.set_symbol(source, symbol),
            Driver::Split(split) => split.set_symbol(source, symbol),
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

/// A line that had no effect.
struct Broken<'a> {
    place: Place,
    recv: Timestamp,
    raw: &'a [u8],
    code: u8,
    reason: String,
}

#[derive(Default)]
struct Counted {
    lines: u64,
    malformed: u64,
    quarantine_dropped: u64,
    told: Vec<(Place, String)>,
}

impl Counted {
    #[cold]
    fn note(&mut self, broken: &Broken<'_>, is_kept: bool, is_recording: bool) {
        self.malformed += 1;
        self.quarantine_dropped += u64::from(is_recording && !is_kept);
        if self.malformed <= TOLD_MAX {
            self.told.push((broken.place, broken.reason.clone()));
        }
    }
}

/// What following a journal came to, where nothing differed.
fn note_followed(recovery: &Recovery, path: &Path) -> String {
    let end = match (&recovery.damage, recovery.is_closed) {
        (Some(damage), _) => format!("it is damaged there ({damage})"),
        (None, true) => "the end of the session".into(),
        (None, false) => "the session was cut off there".into(),
    };
    format!("journal {}: each of its {} records was made again, the same to the byte; {end}", path.display(), recovery.records)
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
        dropped: BTreeMap::from([("intents", trade.intents_dropped()), ("quarantine", counted.quarantine_dropped)]),
        messages_per_s: if wall_s > 0.0 { counted.lines as f64 / wall_s } else { 0.0 },
        wall_s,
        latency_ns: BTreeMap::new(),
        model: String::new(),
        sources: capture.files.iter().map(source_report).collect(),
        instruments: Vec::new(),
        ignored: ingested.ignored,
        time_reversals: ingested.time_reversals,
        regimes: BTreeMap::new(),
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
            report.notices.push("trading was reduced to closing positions: model steps failed one after another".into());
        }
        TradingState::Halted => report.notices.push(
            "trading was halted: the loss, fees included, passed `risk.loss_quote_max`, or somebody ordered it; nothing was \
                   sent after that"
                .into(),
        ),
    }
    report
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
             the capture, or replay the file that holds one before this one"
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

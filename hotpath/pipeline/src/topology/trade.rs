//! The second group: inference, decision, risk, journal, venue.

use super::cold_link::Sent;
use super::hot_thread::touch_ring;
use super::{BackPressure, ByHand, ColdLink, Overrun};
use crate::account::{Account, OpenOrder};
use crate::decision::{Control, Input, Intent, OrderBuffer, OrderIntent, Strategy, TIMERS_MAX, TimerId};
use crate::gateway::{OrderBytes, encode_order};
use crate::journal::content::{
    control_bytes, limits_bytes, overrun_bytes, parameters_bytes, report_bytes, skip_bytes, unsent_bytes,
};
use crate::journal::{
    AppendError, Comparison, Difference, DroppedRecord, Journal, JournalError, JournalFollower, JournalSummary, JournaledHand,
    RecordKind, SessionEnd, UnsentReason,
};
use crate::latency::{Latencies, Stage};
use crate::predictor::Predictor;
use crate::risk::{FailedChecks, Origin, Risk, RiskCheck, RiskLimits, TradingState};
use crate::stopwatch::{Started, Stopwatch};
use chronos_market::{
    BookState, ColdRecord, DecisionTelemetry, EventKind, ExecutionReport, Frame, Instrument, InstrumentId, MarketEvent, NewOrder,
    OrderCommand, OrderId, ParameterBlock, Price, ReportBuffer, StaleReason, Timestamp, Venue, Window, canonical_command,
    canonical_report,
};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt;

/// What the trade group is made from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TradeConfig {
    /// Number of the session, part of every order id.
    pub session: u32,
    /// Limits of the pre-trade stage.
    pub limits: RiskLimits,
    /// Event-time windows for parameters from the cold path.
    pub windows: WindowSchedule,
    /// Whether market events and telemetry go to the cold path, to be recorded.
    pub is_recording: bool,
    /// What a full ring does.
    pub back_pressure: BackPressure,
}

/// Event-time windows: what is learnt from `[k * window_ns, (k + 1) * window_ns)` takes effect `lag_ns` after its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowSchedule {
    /// Length of a window, above 0.
    pub window_ns: i64,
    /// From a window's end to when its block takes effect, 0 to eight windows: longer is held at that.
    pub lag_ns: i64,
}

impl Default for WindowSchedule {
    fn default() -> Self {
        WindowSchedule { window_ns: 10_000_000_000, lag_ns: 1_000_000_000 }
    }
}

/// Most windows ended and not yet in effect.
const WINDOWS_MAX: usize = 10;
/// Steps of each model before the first tick.
const WARM_UP_STEPS: usize = 8;
/// Market events kept for the venue until the decision they lead to is made.
const DEFERRED_MAX: usize = 4_096;

/// Sees what happens, after the latency that is measured. For reports and plots; it must not feed back.
pub trait Observer {
    /// A decision tick was dealt with. `net_quote` is profit less fees, in quote currency, units of 1e-9.
    fn frame(&mut self, frame: &Frame, net_quote: i128);
    /// The venue reported.
    fn report(&mut self, report: &ExecutionReport);
}

/// Counts of the trade group.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TradeCounters {
    /// Steps of the model.
    pub inferences: u64,
    /// Steps that failed: no signal came of them.
    pub inference_failures: u64,
    /// Orders sent.
    pub orders: u64,
    /// Cancels sent.
    pub cancels: u64,
    /// Orders the venue side refused before they left.
    pub submit_errors: u64,
    /// Orders the venue rejected.
    pub venue_rejects: u64,
    /// Parameter blocks put in force.
    pub parameters: u64,
    /// Decision ticks skipped because a newer one was at hand.
    pub frames_skipped: u64,
    /// Records for the cold path that found no room, and nothing depends on.
    pub telemetry_dropped: u64,
    /// Samples that found no room: parameters were made without them. Each is journaled.
    pub samples_dropped: u64,
    /// Windows whose end found no room: no parameters came of them. Each is journaled.
    pub windows_dropped: u64,
}

/// What stops a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TradeError {
    /// The cold path ended while a parameter block was due from it.
    ColdPathLost,
    /// The cold path sent a block for another window than the one due.
    WrongBlock,
    /// A record could not be journaled: no order may leave unjournaled, so trading was halted.
    Journal(AppendError),
    /// The replay made something else than the journal it follows holds.
    Different,
    /// The journal that the replay follows ends here, and the session did not.
    JournalEnded,
}

impl TradeError {
    /// A number an error, for records: stable, never reused.
    pub fn code(self) -> u8 {
        match self {
            TradeError::ColdPathLost => 1,
            TradeError::WrongBlock => 2,
            TradeError::Journal(_) => 3,
            TradeError::Different => 4,
            TradeError::JournalEnded => 5,
        }
    }
}

impl fmt::Display for TradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TradeError::ColdPathLost => f.write_str("the cold path stopped while parameters were due from it"),
            TradeError::WrongBlock => f.write_str("the cold path sent parameters for another window than the one due"),
            TradeError::Journal(error) => write!(f, "trading was halted: {error}"),
            TradeError::Different => f.write_str("the replay differs from the journal it follows"),
            TradeError::JournalEnded => f.write_str("the journal ends before the session"),
        }
    }
}

impl std::error::Error for TradeError {}

/// The second group.
pub struct Trade<S, V, O> {
    strategy: S,
    venue: V,
    observer: O,
    predictors: Vec<Predictor>,
    /// Whose turn it is in [`Trade::idle`].
    idle_predictor: usize,
    account: Account,
    risk: Risk,
    config: TradeConfig,
    journal: Option<Journal>,
    /// The journal that a replay follows.
    follower: Option<Box<JournalFollower>>,
    /// Number of what was taken in last: events, frames, reports, timers, window ends, parameters and what is done by hand. A
    /// skipped frame is not taken in.
    entry: u64,
    cold: ColdLink,
    parameters: Box<ParameterBlock>,
    now: Timestamp,
    next_order: u32,
    timers: Vec<(Timestamp, TimerId)>,
    /// Index of the window that has samples and has not ended.
    open_window: Option<i64>,
    ended_windows: VecDeque<Window>,
    /// Logical time of skipped ticks that each instrument's model has still to be told, in nanoseconds.
    skipped_ns: Vec<i64>,
    deferred: Vec<MarketEvent>,
    observed: Option<(Frame, DecisionTelemetry)>,
    /// Of the frame observed last, what the cold path has still to be told.
    sample: Option<Sample>,
    out: OrderBuffer,
    reports: ReportBuffer,
    order_bytes: OrderBytes,
    digest: Sha256,
    counters: TradeCounters,
    error: Option<TradeError>,
    stopwatch: Stopwatch,
    latencies: Latencies,
}

impl<S: Strategy, V: Venue, O: Observer> Trade<S, V, O> {
    /// A group without positions. `predictors` has one for each instrument, or none where the session has no model.
    #[expect(clippy::too_many_arguments, reason = "the parts of the group, each made by the session")]
    pub fn new(
        instruments: &[Instrument],
        config: TradeConfig,
        strategy: S,
        venue: V,
        predictors: Vec<Predictor>,
        journal: Option<Journal>,
        cold: ColdLink,
        observer: O,
    ) -> Trade<S, V, O> {
        let mut cold = cold;
        touch_ring(&mut cold.records);
        Trade {
            strategy,
            venue,
            observer,
            predictors,
            idle_predictor: 0,
            account: Account::new(instruments),
            risk: Risk::new(&config.limits, instruments),
            config,
            journal,
            follower: None,
            entry: 0,
            cold,
            parameters: Box::new(ParameterBlock::initial()),
            now: Timestamp::MIN,
            next_order: 1,
            timers: Vec::with_capacity(TIMERS_MAX),
            open_window: None,
            ended_windows: VecDeque::with_capacity(WINDOWS_MAX),
            skipped_ns: vec![0; instruments.len()],
            deferred: Vec::with_capacity(DEFERRED_MAX),
            observed: None,
            sample: None,
            out: OrderBuffer::new(),
            reports: ReportBuffer::new(),
            order_bytes: OrderBytes::new(),
            digest: Sha256::new(),
            counters: TradeCounters::default(),
            error: None,
            stopwatch: Stopwatch::new(),
            latencies: Latencies::new(),
        }
    }

    /// Follows the journal of an earlier session from here on, which must be the beginning: with the same captures and a
    /// [`JournaledVenue`](crate::journal::JournaledVenue), every record is then made again, and [`Trade::difference`] tells the
    /// first that is not. What that session left out is left out, what it did late is done then, and nothing else is: this one is
    /// lossless. To be called before anything is taken in.
    pub fn follow(&mut self, journal: JournalFollower) {
        self.follower = Some(Box::new(journal));
        self.config.back_pressure = BackPressure::Lossless;
    }

    /// What a full ring does.
    pub fn back_pressure(&self) -> BackPressure {
        self.config.back_pressure
    }

    /// Steps every model some times on nothing and puts its state back to zero, so that its code and its weights are near when the
    /// first tick comes. To be called before the first event: nothing of what follows is different for it.
    pub fn warm_up(&mut self) {
        for predictor in &mut self.predictors {
            predictor.warm_up(WARM_UP_STEPS);
        }
    }

    /// Moves logical time to `until`: everything due at or before it happens now, in order of `(due, rank)`, rank being reports,
    /// then timers, then parameters. A driver may do so while nothing comes, as long as no event follows with an earlier time.
    #[inline]
    pub fn advance(&mut self, until: Timestamp) {
        if until <= self.now {
            while self.take_journaled_hand(self.now) {}
            return;
        }
        self.flush();
        self.send_sample();
        while self.error.is_none() {
            if self.take_journaled_hand(until) {
                continue;
            }
            let venue = self.report_due();
            let timer = self.timers.first().map_or(Timestamp::MAX, |timer| timer.0);
            let window_end = self.open_window_end().unwrap_or(Timestamp::MAX);
            let parameters = self.parameters_due();
            let due = venue.min(timer).min(window_end).min(parameters);
            if due > until {
                if self.has_late_block(until) {
                    self.now = self.now.max(until);
                    self.take_parameters();
                    continue;
                }
                break;
            }
            self.now = self.now.max(due);
            if due == venue {
                self.take_reports(due);
            } else if due == timer {
                self.fire_timer();
            } else if due == window_end {
                self.end_window();
            } else {
                self.take_parameters();
            }
        }
        self.now = self.now.max(until);
    }

    /// Takes a market event.
    #[inline]
    pub fn on_event(&mut self, event: &MarketEvent) {
        self.advance(Timestamp(event.recv_ns));
        self.entry += 1;
        self.risk.on_event(self.now, event);
        match event.kind {
            EventKind::BookSynced => self.on_book_state(event.instrument, BookState::Synced),
            // Which reason it was is told by the ingest group; here every stale book is as unusable as any other.
            EventKind::BookStale => self.on_book_state(event.instrument, BookState::Stale(StaleReason::Gap)),
            _ => {}
        }
        self.strategy.on_input(self.now, Input::Market(event), &self.account.view(), &mut self.out);
        if !self.out.intents().is_empty() || !self.out.timers().is_empty() {
            self.route();
        }
        if self.deferred.len() == DEFERRED_MAX {
            self.flush();
        }
        self.deferred.push(*event);
    }

    /// Takes a decision tick that began at `started`.
    #[inline]
    pub fn on_frame(&mut self, frame: &Frame, started: Started) {
        self.advance(Timestamp(frame.recv_ns));
        if self.follower.as_ref().is_some_and(|journal| journal.skips(frame)) {
            return self.skip_frame(frame);
        }
        self.entry += 1;
        let later;
        let frame = match self.take_skipped_ns(frame) {
            0 => frame,
            ns => {
                later = Frame { elapsed_ns: frame.elapsed_ns + ns, ..*frame };
                &later
            }
        };
        if self.observed.is_some() {
            self.observe();
        }
        self.send_sample();
        self.risk.on_quote(self.now, frame.instrument, frame.bbo);
        self.account.set_mark(frame.instrument, mid_price(frame));
        if self.account.fills() > 0 {
            self.risk.on_equity(self.now, frame.instrument, &self.account);
        }
        self.note_changes();
        let mut inference_ns = 0;
        let prediction = match self.predictors.get_mut(frame.instrument.index()) {
            None => Some(None),
            Some(predictor) => {
                let begun = self.stopwatch.start();
                self.counters.inferences += 1;
                let result = predictor.step(frame, &self.parameters.embedding).copied();
                let is_failing = predictor.is_failing();
                inference_ns = self.stopwatch.elapsed_ns(begun);
                self.latencies.record(Stage::Inference, inference_ns);
                if result.is_err() {
                    self.counters.inference_failures += 1;
                    if is_failing {
                        self.risk.latch(RiskCheck::Reducing, Origin::Model);
                        self.note_changes();
                    }
                }
                result.ok().map(Some)
            }
        };
        // A failed step is no signal, and not a reason to decide without the model.
        if let Some(prediction) = prediction {
            let begun = self.stopwatch.start();
            let input = Input::Decision(frame, prediction.as_ref());
            self.strategy.on_input(self.now, input, &self.account.view(), &mut self.out);
            self.latencies.record(Stage::Decision, self.stopwatch.elapsed_ns(begun));
            self.route();
        }
        let tick_ns = self.stopwatch.elapsed_ns(started);
        self.latencies.record(Stage::DecisionTick, tick_ns);
        let (recv, instrument, seq) = (self.now, frame.instrument, frame.seq);
        self.observed = Some((*frame, DecisionTelemetry { recv, instrument, seq, inference_ns, tick_ns }));
    }

    /// Passes over a decision tick in whose place a newer one is dealt with. It counts as a tick of warming up, and the next step's
    /// elapsed time covers it.
    #[cold]
    pub fn skip_frame(&mut self, frame: &Frame) {
        self.advance(Timestamp(frame.recv_ns));
        if self.observed.is_some() {
            self.observe();
        }
        self.send_sample();
        self.counters.frames_skipped += 1;
        let skipped_ns = self.take_skipped_ns(frame);
        if let Some(ns) = self.skipped_ns.get_mut(frame.instrument.index()) {
            *ns = skipped_ns.saturating_add(frame.elapsed_ns);
        }
        self.journal_record(RecordKind::Skip, self.now.0, &skip_bytes(frame.seq, frame.instrument));
    }

    /// Keeps the models in the core's cache, a part with each call: for a thread that waits. (A step whose weights another process
    /// drove out of the cache takes twice as long.)
    #[inline]
    pub fn idle(&mut self) {
        let count = self.predictors.len();
        if let Some(predictor) = self.predictors.get_mut(self.idle_predictor) {
            predictor.keep_near();
            self.idle_predictor = (self.idle_predictor + 1) % count;
        }
    }

    /// Does what may wait until the decision is made: the simulated venue and the cold path see the market, the observer the tick.
    #[inline]
    pub fn flush(&mut self) {
        for event in &self.deferred {
            self.venue.on_market(event);
        }
        if self.config.is_recording {
            for place in 0..self.deferred.len() {
                self.send_cold(ColdRecord::Market(self.deferred[place]));
            }
        }
        self.deferred.clear();
        if self.observed.is_some() {
            self.observe();
        }
    }

    /// Ends the session at `end`: everything due by then happens.
    pub fn finish(&mut self, end: Timestamp) {
        self.advance(end);
        self.flush();
        self.send_sample();
    }

    /// Does what somebody wants done, between two events.
    #[cold]
    pub fn by_hand(&mut self, what: &ByHand) {
        match what {
            ByHand::Control(control) => self.control(*control),
            ByHand::Limits(limits) => self.set_limits(limits),
        }
    }

    /// Gives an order to the system, by hand.
    #[cold]
    pub fn control(&mut self, control: Control) {
        self.entry += 1;
        if !self.journal_record(RecordKind::Control, self.now.0, &control_bytes(control, self.entry)) {
            // Halted by that, and not to be resumed.
            return;
        }
        self.risk.control(control);
        self.note_changes();
        self.strategy.on_input(self.now, Input::Control(control), &self.account.view(), &mut self.out);
        self.route();
    }

    /// Is told that messages were lost before ingest: it is journaled, so that a replay has the same books dropped where this one had
    /// ([`overruns`](crate::journal::overruns)).
    #[cold]
    pub fn on_overrun(&mut self, overrun: &Overrun) {
        self.journal_record(RecordKind::Overrun, self.now.0, &overrun_bytes(overrun));
    }

    /// Replaces the limits, between two events; what changes is journaled with it, in as many records as that takes, each a change of
    /// its own.
    #[cold]
    pub fn set_limits(&mut self, limits: &RiskLimits) {
        loop {
            let step = self.risk.limits().step_towards(limits);
            let record = self.risk.set_limits(&step);
            self.entry += 1;
            let (bytes, length) = limits_bytes(&record, self.entry);
            let is_journaled = self.journal_record(RecordKind::Limits, self.now.0, &bytes[..length]);
            self.note_changes();
            if step == *limits || !is_journaled {
                return;
            }
        }
    }

    /// What stopped the session, if anything did.
    #[inline]
    pub fn error(&self) -> Option<TradeError> {
        self.error
    }

    /// SHA-256 over the canonical bytes of every order and report, in lower-case hex.
    pub fn digest(&self) -> String {
        self.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Journals the end of the session and closes the journal; `None` where there is none. To be called after
    /// [`Trade::finish`], and nothing may be taken in after it.
    ///
    /// # Errors
    /// [`JournalError`] of anything that went wrong since the journal was made.
    pub fn close_journal(&mut self) -> Result<Option<JournalSummary>, JournalError> {
        let end = SessionEnd {
            digest: self.digest.clone().finalize().into(),
            orders: self.counters.orders,
            cancels: self.counters.cancels,
            fills: self.account.fills(),
            entries: self.entry,
            error: self.error.map_or(0, TradeError::code),
        };
        let is_written = self.journal_record(RecordKind::SessionEnd, self.now.0, &end.to_bytes());
        // Without its end it stays as long as it is, so that it cannot be taken for a whole one that was cut.
        self.journal.take().map(|journal| if is_written { journal.close() } else { journal.leave() }).transpose()
    }

    /// Where the replay and the journal it follows first differ; `None` where they do not.
    pub fn difference(&self) -> Option<&Difference> {
        self.follower.as_ref().and_then(|journal| journal.difference())
    }

    /// Records of the journal that is followed which were made again, those of the session's beginning among them.
    pub fn records_followed(&self) -> u64 {
        self.follower.as_ref().map_or(0, |journal| journal.records_made())
    }

    /// The counts so far.
    pub fn counters(&self) -> TradeCounters {
        self.counters
    }

    /// Decisions whose signal was strong enough to act on.
    pub fn signals(&self) -> u64 {
        self.out.signals()
    }

    /// Intents and timers that found no room.
    pub fn intents_dropped(&self) -> u64 {
        self.out.dropped()
    }

    /// Rejections by check.
    pub fn rejects(&self) -> impl Iterator<Item = (RiskCheck, u64)> + '_ {
        self.risk.rejects()
    }

    /// What the system may do now.
    pub fn trading_state(&self) -> TradingState {
        self.risk.state()
    }

    /// What holds trading until it is reset by hand.
    pub fn latches(&self) -> FailedChecks {
        self.risk.latches()
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The limits in force.
    pub fn limits(&self) -> &RiskLimits {
        self.risk.limits()
    }

    /// What was measured so far.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The venue.
    #[inline]
    pub fn venue_mut(&mut self) -> &mut V {
        &mut self.venue
    }

    /// The strategy.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// The observer.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// Ends the group: its rings are dropped, so that the cold path ends too, and the observer is given back.
    pub fn into_observer(self) -> O {
        self.observer
    }

    fn net_quote(&self) -> i128 {
        self.account.pnl_quote() - self.account.fees_quote()
    }

    #[cold]
    fn on_book_state(&mut self, id: InstrumentId, book: BookState) {
        self.risk.on_book_state(id, book);
        if let Some(predictor) = self.predictors.get_mut(id.index()) {
            predictor.reset();
        }
    }

    /// Elapsed time of skipped ticks before this one; none across a reset, after which elapsed time begins anew.
    #[inline]
    fn take_skipped_ns(&mut self, frame: &Frame) -> i64 {
        let skipped = self.skipped_ns.get_mut(frame.instrument.index()).map_or(0, std::mem::take);
        if frame.elapsed_ns == 0 { 0 } else { skipped }
    }

    /// When the venue has something to do or to report.
    #[inline]
    fn report_due(&self) -> Timestamp {
        let due = match &self.follower {
            None => self.venue.next_due(),
            Some(journal) => journal.report_due(self.entry + 1),
        };
        due.unwrap_or(Timestamp::MAX)
    }

    /// Does by hand what the journal has here, if it has that by `until`.
    #[inline]
    fn take_journaled_hand(&mut self, until: Timestamp) -> bool {
        let Some(journal) = self.follower.as_ref().filter(|_| self.error.is_none()) else { return false };
        let Some((at, order)) = journal.hand_due(self.entry + 1, until) else { return false };
        self.now = self.now.max(at);
        match order {
            JournaledHand::Control(control) => self.control(control),
            JournaledHand::Limits(changes) => match self.risk.limits().with_changes(changes) {
                Some(limits) => self.set_limits(&limits),
                None => self.miss_journaled(),
            },
        }
        true
    }

    /// What the journal has here cannot be done again.
    #[cold]
    fn miss_journaled(&mut self) {
        if let Some(journal) = &mut self.follower {
            journal.missed();
        }
        self.stop(TradeError::Different);
    }

    fn take_reports(&mut self, until: Timestamp) {
        self.reports.clear();
        self.venue.poll(until, &mut self.reports);
        if self.follower.is_some() && self.reports.as_slice().is_empty() {
            self.miss_journaled();
        }
        for place in 0..self.reports.as_slice().len() {
            let report = self.reports.as_slice()[place];
            let bytes = canonical_report(&report);
            self.entry += 1;
            self.journal_record(RecordKind::Report, self.now.0, &report_bytes(&bytes, self.entry));
            self.digest.update(bytes);
            if self.risk.is_news(self.now, &report) {
                let closed = self.account.on_report(&report);
                self.risk.on_report(self.now, &report, closed, &self.account);
            }
            self.note_changes();
            self.counters.venue_rejects += u64::from(report.kind == chronos_market::ReportKind::Rejected);
            self.observer.report(&report);
            self.send_cold(ColdRecord::Report(report));
            self.strategy.on_input(self.now, Input::Report(&report), &self.account.view(), &mut self.out);
            self.route();
        }
    }

    fn fire_timer(&mut self) {
        let (_, id) = self.timers.remove(0);
        self.entry += 1;
        self.journal_record(RecordKind::Timer, self.now.0, &id.0.to_le_bytes());
        self.strategy.on_input(self.now, Input::Timer(id), &self.account.view(), &mut self.out);
        self.route();
    }

    fn open_window_end(&self) -> Option<Timestamp> {
        let window_ns = self.config.windows.window_ns.max(1);
        self.open_window.map(|index| Timestamp(index.saturating_add(1).saturating_mul(window_ns)))
    }

    fn end_window(&mut self) {
        let Some(end) = self.open_window_end() else { return };
        let Some(index) = self.open_window.take() else { return };
        self.entry += 1;
        let lag_ns = self.config.windows.lag_ns.clamp(0, self.config.windows.window_ns.saturating_mul(8));
        let window = Window { index, end, effective: end.plus_nanos(lag_ns) };
        // A replay has as many as it takes: it may be one of a session whose blocks were late.
        let has_room = self.config.back_pressure == BackPressure::Lossless || self.ended_windows.len() < WINDOWS_MAX;
        if self.send_for_parameters(ColdRecord::WindowEnd(window), DroppedRecord::WindowEnd { window: index }, has_room) {
            self.ended_windows.push_back(window);
        }
    }

    /// When the next block takes effect, if it can then.
    #[inline]
    fn parameters_due(&self) -> Timestamp {
        let Some(window) = self.ended_windows.front() else { return Timestamp::MAX };
        match &self.follower {
            // The time of one that never took effect is when there is nothing to wait for any more.
            Some(journal) if journal.takes(window) => journal.parameters_due().unwrap_or(Timestamp::MAX),
            None if self.config.back_pressure == BackPressure::Live
                && (window.effective <= self.now || self.cold.blocks.is_empty()) =>
            {
                Timestamp::MAX
            }
            _ => window.effective,
        }
    }

    /// Whether a block was due by `until`, had not come then, and is here now. Nothing else is due when this is asked, so that its
    /// place in the order of things is told by its time alone.
    #[inline]
    fn has_late_block(&mut self, until: Timestamp) -> bool {
        let is_due = self.ended_windows.front().is_some_and(|window| window.effective <= until);
        if !is_due || self.config.back_pressure == BackPressure::Lossless {
            return false;
        }
        if self.cold.blocks.is_empty() && self.cold.blocks.is_abandoned() {
            self.stop(TradeError::ColdPathLost);
        }
        !self.cold.blocks.is_empty()
    }

    fn take_parameters(&mut self) {
        let Some(window) = self.ended_windows.pop_front() else { return };
        let mut idle = 0;
        let block = loop {
            match self.cold.blocks.pop() {
                Ok(block) => break block,
                // What was pushed before the other end was dropped is still to be had.
                Err(_) if self.cold.blocks.is_abandoned() && self.cold.blocks.is_empty() => {
                    self.stop(TradeError::ColdPathLost);
                    return;
                }
                Err(_) => {
                    self.cold.waiting.pause(idle);
                    idle = idle.saturating_add(1);
                }
            }
        };
        if block.window != window {
            self.stop(TradeError::WrongBlock);
            return;
        }
        if self.follower.as_ref().is_some_and(|journal| !journal.takes(&window)) {
            let _ = self.cold.retired.push(block);
            return;
        }
        let retired = std::mem::replace(&mut self.parameters, block);
        // The ring back has room for every block there is; one lost with the cold path is freed here, after the session.
        let _ = self.cold.retired.push(retired);
        self.counters.parameters += 1;
        self.entry += 1;
        let payload = parameters_bytes(&self.parameters);
        self.journal_record(RecordKind::Parameters, self.now.0, &payload);
        self.strategy.on_input(self.now, Input::Parameters(&self.parameters), &self.account.view(), &mut self.out);
        self.route();
    }

    /// Sends what the strategy wants, in order, through risk.
    #[inline]
    fn route(&mut self) {
        for place in 0..self.out.timers().len() {
            let (id, deadline) = self.out.timers()[place];
            self.set_timer(id, deadline);
        }
        for place in 0..self.out.intents().len() {
            match self.out.intents()[place] {
                Intent::Place(order) => self.place(&order),
                Intent::CancelAll(instrument) => self.cancel_all(instrument),
            }
        }
        self.out.clear();
    }

    #[inline]
    fn place(&mut self, intent: &OrderIntent) {
        let begun = self.stopwatch.start();
        if self.risk.check(self.now, intent).is_err() {
            return;
        }
        let order = NewOrder {
            id: OrderId::new(self.config.session, self.next_order),
            instrument: intent.instrument,
            side: intent.side,
            price: intent.price,
            qty: intent.qty,
            time_in_force: intent.time_in_force,
            reduce_only: intent.reduce_only,
            signal: intent.signal,
        };
        if self.send(&OrderCommand::New(order), begun) {
            self.next_order += 1;
            self.counters.orders += 1;
            self.risk.on_sent(self.now, &order, intent.strategy);
            self.account.on_sent(&order);
        }
    }

    fn cancel_all(&mut self, instrument: InstrumentId) {
        for place in 0..self.account.open_orders().len() {
            let open = self.account.open_orders()[place];
            if open.order.instrument == instrument {
                self.cancel(&open);
            }
        }
    }

    fn cancel(&mut self, open: &OpenOrder) {
        let command = OrderCommand::Cancel { id: open.order.id, instrument: open.order.instrument };
        if !open.is_cancelling && self.send(&command, self.stopwatch.start()) {
            self.counters.cancels += 1;
            self.risk.on_cancel_sent(self.now);
            self.account.on_cancel_sent(open.order.id);
        }
    }

    /// Journals, encodes and submits a command. `false` where it did not leave.
    #[inline]
    fn send(&mut self, command: &OrderCommand, begun: Started) -> bool {
        let id = match command {
            OrderCommand::New(order) => order.instrument,
            OrderCommand::Cancel { instrument, .. } => *instrument,
        };
        let bytes = canonical_command(self.now, command);
        if !self.journal_record(RecordKind::Order, self.now.0, &bytes) {
            return false;
        }
        let is_encoded = self
            .account
            .instruments()
            .get(id.index())
            .is_some_and(|instrument| encode_order(command, instrument, &mut self.order_bytes).is_ok());
        self.latencies.record(Stage::Risk, self.stopwatch.elapsed_ns(begun));
        let refused = match is_encoded {
            true => self.venue.submit(self.now, command).err().map(UnsentReason::Submit),
            false => Some(UnsentReason::Encode),
        };
        if let Some(reason) = refused {
            self.counters.submit_errors += 1;
            self.journal_record(RecordKind::Unsent, self.now.0, &unsent_bytes(command, reason));
            self.risk.on_submit_error(self.now, id);
            self.note_changes();
            return false;
        }
        self.digest.update(bytes);
        self.send_cold(ColdRecord::Order { now: self.now, command: *command });
        true
    }

    fn set_timer(&mut self, id: TimerId, deadline: Timestamp) {
        self.timers.retain(|timer| timer.1 != id);
        if self.timers.len() < TIMERS_MAX {
            let entry = (deadline, id);
            let place = self.timers.partition_point(|timer| *timer < entry);
            self.timers.insert(place, entry);
        }
    }

    /// `false` where there is a journal and it did not take the record, or where it is not the record of the journal that is
    /// followed; trading is halted then.
    #[inline]
    fn journal_record(&mut self, kind: RecordKind, recv_ns: i64, payload: &[u8]) -> bool {
        if self.follower.is_some() && !self.is_journaled(kind, recv_ns, payload) {
            return false;
        }
        let Some(journal) = &mut self.journal else { return true };
        match journal.append(kind, recv_ns, payload) {
            Ok(()) => true,
            Err(error) => {
                self.stop(TradeError::Journal(error));
                false
            }
        }
    }

    /// Whether the journal that is followed has this record here.
    #[cold]
    fn is_journaled(&mut self, kind: RecordKind, recv_ns: i64, payload: &[u8]) -> bool {
        let comparison = self.follower.as_mut().map(|journal| journal.compare(kind, recv_ns, payload));
        match comparison {
            None | Some(Comparison::Same) => return true,
            Some(Comparison::Different) => self.stop(TradeError::Different),
            // No reason to halt: everything there is was done again.
            Some(Comparison::AtEnd) => {
                self.error.get_or_insert(TradeError::JournalEnded);
            }
        }
        false
    }

    /// Journals what changed of the trading state, and cancels the orders that must not stay open then.
    #[inline]
    fn note_changes(&mut self) {
        while let Some(change) = self.risk.take_change() {
            self.journal_record(RecordKind::State, self.now.0, &change.to_bytes());
            for place in 0..self.account.open_orders().len() {
                let open = self.account.open_orders()[place];
                if self.risk.cancels(&change, &open) {
                    self.cancel(&open);
                }
            }
        }
    }

    #[cold]
    fn stop(&mut self, error: TradeError) {
        self.error.get_or_insert(error);
        self.risk.latch(RiskCheck::KillSwitch, Origin::Session);
        self.note_changes();
    }

    /// Tells the cold path what nothing depends on.
    #[inline]
    fn send_cold(&mut self, record: ColdRecord) {
        match self.cold.send(record, self.config.back_pressure) {
            Sent::Yes => {}
            Sent::Lost => self.stop(TradeError::ColdPathLost),
            Sent::Dropped => self.counters.telemetry_dropped += 1,
        }
    }

    /// Tells the cold path what parameters are made from; `false` where it will not see it. That is journaled, and a replay of the journal
    /// does not tell it either. To be called at a place in the order of things that does not depend on when this thread is idle.
    #[inline]
    fn send_for_parameters(&mut self, record: ColdRecord, dropped: DroppedRecord, has_room: bool) -> bool {
        let is_dropped = !has_room || self.follower.as_ref().is_some_and(|journal| journal.drops(dropped));
        let sent = if is_dropped { Sent::Dropped } else { self.cold.send(record, self.config.back_pressure) };
        match sent {
            Sent::Yes => return true,
            Sent::Lost => self.stop(TradeError::ColdPathLost),
            Sent::Dropped => {
                match dropped {
                    DroppedRecord::Sample { .. } => self.counters.samples_dropped += 1,
                    DroppedRecord::WindowEnd { .. } => self.counters.windows_dropped += 1,
                }
                self.journal_record(RecordKind::Dropped, self.now.0, &dropped.to_bytes());
            }
        }
        false
    }

    /// The sample for the regime.
    #[inline]
    fn send_sample(&mut self) {
        let Some(Sample { seq, recv, instrument, mid }) = self.sample.take() else { return };
        self.open_window.get_or_insert(recv.0.div_euclid(self.config.windows.window_ns.max(1)));
        let record = ColdRecord::Sample { recv, instrument, mid };
        self.send_for_parameters(record, DroppedRecord::Sample { seq, instrument }, true);
    }

    /// The observer's turn.
    fn observe(&mut self) {
        let Some((frame, telemetry)) = self.observed.take() else { return };
        if frame.book == BookState::Synced && frame.bbo.is_two_sided() {
            let recv = Timestamp(frame.recv_ns);
            self.sample = Some(Sample { seq: frame.seq, recv, instrument: frame.instrument, mid: frame.bbo.mid() });
        }
        if self.config.is_recording {
            self.send_cold(ColdRecord::Decision(telemetry));
        }
        let net_quote = if self.account.fills() > 0 { self.net_quote() } else { 0 };
        self.observer.frame(&frame, net_quote);
    }
}

/// What the regime is told from.
struct Sample {
    /// `seq` of its frame.
    seq: u64,
    recv: Timestamp,
    instrument: InstrumentId,
    mid: f64,
}

fn mid_price(frame: &Frame) -> Price {
    Price(frame.bbo.bid.price.0 / 2 + frame.bbo.ask.price.0 / 2)
}

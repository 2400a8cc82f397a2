//! Each rule of back-pressure, with a stage that is as slow as the test wants: it stands at a gate until the test opens it.

use chronos_coldpath::regime::{RegimeEstimator, embedding};
use chronos_coldpath::{ColdConfig, ColdHandle, ColdPath, RECORDS_CAPACITY, RegimeConfig, cold_links};
use chronos_exchange::{SimulatedVenue, SimulatedVenueConfig};
use chronos_market::features::FeatureConfig;
use chronos_market::tick::TickConfig;
use chronos_market::{
    BookState, ColdRecord, EventKind, ExecutionReport, Frame, Instrument, InstrumentId, MarketEvent, ParameterBlock, Price, Qty,
    Side, StaleReason, Timestamp, Venue, Window,
};
use chronos_pipeline::account::AccountView;
use chronos_pipeline::decision::{Input, OrderBuffer, Strategy, ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::journal::{
    Journal, JournalConfig, JournalFollower, JournaledVenue, RecordKind, Recovery, SEGMENT_BYTES_MIN, WhenLate, overruns,
};
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::{
    BackPressure, ColdLink, Crossing, Fused, HotThread, Ingest, IngestConfig, Observer, Source, Split, Trade, TradeConfig,
    TradeCounters, TradeError, Waiting, WindowSchedule,
};
use generated::{instrument, market, predictor, source};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

mod generated;

/// Windows short enough for some to end in a few seconds.
const WINDOWS: WindowSchedule = WindowSchedule { window_ns: 500_000_000, lag_ns: 100_000_000 };

/// A place where a stage stands until it may go on.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    /// The slow stage: tells that it is here, and waits.
    fn stand(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    fn wait_until_reached(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !state.0).unwrap());
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// Trades by the threshold, and stands at the gate with its first decision.
struct Gated {
    inner: ThresholdStrategy,
    gate: Option<Arc<Gate>>,
}

impl Strategy for Gated {
    fn on_input(&mut self, now: Timestamp, input: Input<'_>, view: &AccountView<'_>, out: &mut OrderBuffer) {
        if let Input::Decision(..) = input
            && let Some(gate) = self.gate.take()
        {
            gate.stand();
        }
        self.inner.on_input(now, input, view, out);
    }
}

/// What the trade group dealt with.
#[derive(Default)]
struct Seen {
    frames: Vec<(u64, InstrumentId)>,
}

impl Observer for Seen {
    fn frame(&mut self, frame: &Frame, _net_quote: i128) {
        self.frames.push((frame.seq, frame.instrument));
    }

    fn report(&mut self, _report: &ExecutionReport) {}
}

type Group<V = SimulatedVenue> = Trade<Gated, V, Seen>;

/// A generated market, and sessions of it.
struct Market {
    instruments: Vec<Instrument>,
    source: Source,
    messages: Vec<(Timestamp, Vec<u8>)>,
    folder: tempfile::TempDir,
}

impl Market {
    fn new(seconds: u32, symbols: u16) -> Market {
        let instruments: Vec<Instrument> = (1..=symbols)
            .map(|number| Instrument {
                symbol: if number == 1 { "BTCUSDT".into() } else { format!("SIM{number}USDT") },
                ..instrument()
            })
            .collect();
        let source = Source { instruments: (0..symbols).map(InstrumentId).collect(), ..source() };
        Market { instruments, source, messages: market(seconds, symbols), folder: tempfile::tempdir().unwrap() }
    }

    fn ingest(&self) -> Ingest {
        let config = IngestConfig {
            tick: TickConfig { warmup_ticks: 20, ..TickConfig::default() },
            features: FeatureConfig::default(),
            verify: true,
            cold_start: None,
            levels: None,
        };
        Ingest::new(&self.instruments, vec![self.source.clone()], &config)
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trade(&self, back_pressure: BackPressure, gate: Option<&Arc<Gate>>, cold: ColdLink, journal: &str) -> Group {
        let venue = SimulatedVenue::new(SimulatedVenueConfig::default(), &self.instruments).unwrap();
        self.trade_at(venue, back_pressure, gate, cold, journal)
    }

    fn trade_at<V: Venue>(
        &self,
        venue: V,
        back_pressure: BackPressure,
        gate: Option<&Arc<Gate>>,
        cold: ColdLink,
        journal: &str,
    ) -> Group<V> {
        let threshold = ThresholdConfig { entry: 0.1, horizon_ns: 200_000_000, ..ThresholdConfig::default() };
        let journal = JournalConfig {
            folder: self.journal(journal),
            session: 1,
            segment_bytes: SEGMENT_BYTES_MIN,
            sync_interval: Duration::from_millis(5),
            when_late: WhenLate::Wait,
        };
        Trade::new(
            &self.instruments,
            TradeConfig { session: 1, limits: RiskLimits::default(), windows: WINDOWS, is_recording: true, back_pressure },
            Gated { inner: ThresholdStrategy::new(threshold), gate: gate.cloned() },
            venue,
            self.instruments.iter().map(|_| predictor()).collect(),
            Some(Journal::create(&journal).unwrap()),
            cold,
            Seen::default(),
        )
    }

    /// A group that follows the journal of a session.
    fn following(&self, session: &str, cold: ColdLink, journal: &str) -> Group<JournaledVenue> {
        let session = Recovery::open(&self.journal(session)).unwrap();
        let mut trade = self.trade_at(JournaledVenue::new(&session), BackPressure::Live, None, cold, journal);
        trade.follow(JournalFollower::new(&session).unwrap());
        trade
    }

    /// A lossless replay on one core.
    fn replay(&self, journal: &str) -> (Ingest, Group) {
        let (link, handle, _quarantine) = running_cold();
        let parts = self.run(self.trade(BackPressure::Lossless, None, link, journal));
        drop(handle);
        parts
    }

    /// A replay on one core that follows the journal of a session.
    fn replay_of(&self, session: &str, journal: &str) -> Group<JournaledVenue> {
        let (link, handle, _quarantine) = running_cold();
        let (_, trade) = self.run(self.following(session, link, journal));
        drop(handle);
        assert_eq!((trade.error(), trade.difference()), (None, None));
        trade
    }

    /// Runs a group on one core.
    fn run<V: Venue>(&self, trade: Group<V>) -> (Ingest, Group<V>) {
        let mut fused = Fused::new(self.ingest(), trade);
        for (recv, message) in &self.messages {
            fused.on_message(0, *recv, message).unwrap();
        }
        closed(fused.finish())
    }

    /// Every frame that ingest makes, in order.
    fn frames(&self) -> Vec<(u64, InstrumentId)> {
        let (mut ingest, mut told) = (self.ingest(), Told::default());
        for (recv, message) in &self.messages {
            ingest.advance(*recv, &mut told);
            ingest.on_message(0, message, &mut told).unwrap();
        }
        told.frames.iter().map(|frame| (frame.seq, frame.instrument)).collect()
    }
}

/// What ingest hands on.
#[derive(Default)]
struct Told {
    events: Vec<MarketEvent>,
    frames: Vec<Frame>,
}

impl Crossing for Told {
    fn event(&mut self, event: &MarketEvent) {
        self.events.push(*event);
    }

    fn frame(&mut self, frame: &Frame, _started: Started) {
        self.frames.push(*frame);
    }
}

fn regime() -> RegimeConfig {
    RegimeConfig { window_ns: WINDOWS.window_ns, sampling_ns: WINDOWS.window_ns / 10, ..RegimeConfig::default() }
}

fn running_cold() -> (ColdLink, ColdHandle, rtrb::Producer<u8>) {
    let (ends, links) = cold_links(RECORDS_CAPACITY);
    let handle = ColdPath::start(ColdConfig { regime: regime(), ..ColdConfig::default() }, links).unwrap();
    let link = ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting: Waiting::Park };
    (link, handle, ends.quarantine)
}

/// The other side of a link whose cold path is the test itself.
struct ColdByHand {
    records: rtrb::Consumer<ColdRecord>,
    blocks: rtrb::Producer<Box<ParameterBlock>>,
    _retired: rtrb::Consumer<Box<ParameterBlock>>,
}

fn cold_by_hand(capacity: usize) -> (ColdLink, ColdByHand) {
    let (records, records_out) = rtrb::RingBuffer::new(capacity);
    let (blocks_in, blocks) = rtrb::RingBuffer::new(64);
    let (retired, retired_out) = rtrb::RingBuffer::new(64);
    let link = ColdLink { records, blocks, retired, waiting: Waiting::Park };
    (link, ColdByHand { records: records_out, blocks: blocks_in, _retired: retired_out })
}

/// A block that changes what is traded.
fn block(window: Window) -> Box<ParameterBlock> {
    let size_scale = if window.index % 2 == 0 { 0.25 } else { 1.0 };
    Box::new(ParameterBlock { window, size_scale, ..ParameterBlock::initial() })
}

/// The journal's records: kind, time, payload.
fn records(path: &Path) -> Vec<(RecordKind, i64, Vec<u8>)> {
    let mut reader = Recovery::open(path).unwrap().reader();
    let mut records = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        records.push((record.kind, record.recv_ns, record.payload.to_vec()));
    }
    records
}

/// Closes the journal.
fn closed<V: Venue>((ingest, mut trade): (Ingest, Group<V>)) -> (Ingest, Group<V>) {
    trade.close_journal().unwrap();
    (ingest, trade)
}

/// Counters but that of what the cold path was not told and nothing depends on.
fn of_trading(counters: TradeCounters) -> TradeCounters {
    TradeCounters { telemetry_dropped: 0, ..counters }
}

/// Runs a split session whose trade stage stands at its first decision until ingest has taken the whole market.
fn gated_split(market: &Market, back_pressure: BackPressure, journal: &str) -> (Ingest, Group) {
    let gate = Arc::new(Gate::default());
    let (link, _handle, _quarantine) = running_cold();
    let trade = market.trade(back_pressure, Some(&gate), link, journal);
    let mut split = Split::start(market.ingest(), trade, HotThread::default(), Waiting::Park).unwrap();
    let mut messages = market.messages.iter();
    while split.ingest().counters().frames == 0 {
        let (recv, message) = messages.next().unwrap();
        split.on_message(0, *recv, message).unwrap();
    }
    gate.wait_until_reached();
    for (recv, message) in messages {
        split.on_message(0, *recv, message).unwrap();
    }
    gate.open();
    closed(split.finish().unwrap())
}

#[test]
fn a_replay_loses_nothing_to_a_slow_trade_stage() {
    let market = Market::new(6, 1);
    let (_, expected) = market.replay("expected");
    let (ingest, trade) = gated_split(&market, BackPressure::Lossless, "split");
    assert_eq!(trade.counters(), expected.counters());
    assert_eq!((trade.digest(), trade.counters().frames_skipped), (expected.digest(), 0));
    assert_eq!(trade.observer().frames.len() as u64, ingest.counters().frames);
    assert!(trade.counters().orders > 5, "{:?}", trade.counters());
}

/// More frames than the ring holds: ingest has to wait for the trade stage, and nothing is lost by it.
#[test]
fn a_full_ring_makes_ingest_wait() {
    let market = Market::new(16, 1);
    let (_, expected) = market.replay("expected");
    let gate = Arc::new(Gate::default());
    let (link, _handle, _quarantine) = running_cold();
    let trade = market.trade(BackPressure::Lossless, Some(&gate), link, "split");
    let mut split = Split::start(market.ingest(), trade, HotThread::default(), Waiting::Park).unwrap();
    let (taken, is_taken) = std::sync::mpsc::channel();
    let gate = &gate;
    let trade = std::thread::scope(|scope| {
        scope.spawn(move || {
            gate.wait_until_reached();
            // Ingest cannot be done: there are more frames than places, and nobody takes them.
            assert!(is_taken.try_recv().is_err());
            gate.open();
        });
        for (recv, message) in &market.messages {
            split.on_message(0, *recv, message).unwrap();
        }
        // The other side may have seen what it wanted and be gone.
        let _ = taken.send(());
        split.finish().unwrap().1
    });
    assert!(trade.observer().frames.len() > 1_024, "too few frames to fill the ring");
    assert_eq!((trade.digest(), trade.counters()), (expected.digest(), expected.counters()));
}

#[test]
fn a_live_session_skips_to_the_newest_frame_and_its_replay_skips_the_same() {
    let market = Market::new(6, 1);
    let frames = market.frames();
    let (_, trade) = gated_split(&market, BackPressure::Live, "live");
    // The one at the gate, and the newest of those that came meanwhile.
    assert_eq!(trade.observer().frames, [frames[0], frames[frames.len() - 1]]);
    assert_eq!(trade.counters().frames_skipped as usize, frames.len() - 2);
    let journaled = records(&market.journal("live"));
    let skips: Vec<u64> = journaled
        .iter()
        .filter(|record| record.0 == RecordKind::Skip)
        .map(|record| u64::from_le_bytes(record.2[..8].try_into().unwrap()))
        .collect();
    assert_eq!(skips, frames[1..frames.len() - 1].iter().map(|frame| frame.0).collect::<Vec<_>>());

    let again = market.replay_of("live", "again");
    assert_eq!(again.digest(), trade.digest());
    assert_eq!(of_trading(again.counters()), of_trading(trade.counters()));
    assert_eq!(records(&market.journal("again")), journaled);
    let (_, without) = market.replay("without");
    assert_ne!(without.counters().inferences, again.counters().inferences);
}

#[test]
fn the_newest_frame_of_each_instrument_wins() {
    let market = Market::new(4, 3);
    let frames = market.frames();
    let (_, trade) = gated_split(&market, BackPressure::Live, "live");
    let seen = &trade.observer().frames;
    for id in (0..3).map(InstrumentId) {
        let newest = frames.iter().rfind(|frame| frame.1 == id);
        assert_eq!(seen.iter().rfind(|frame| frame.1 == id), newest, "{id:?}");
    }
    assert_eq!(seen.len() as u64 + trade.counters().frames_skipped, frames.len() as u64);
    // At the gate one, and of each instrument one.
    assert_eq!(seen.len(), 4);
    let again = market.replay_of("live", "again");
    assert_eq!(records(&market.journal("again")), records(&market.journal("live")));
    assert_eq!(again.observer().frames, *seen);
}

/// A queue of few messages before a decoder that stands still, then goes on: what found no room is gone.
#[test]
fn an_overflow_before_decoding_makes_the_book_stale_until_the_next_snapshot() {
    const QUEUE: usize = 50;
    let market = Market::new(8, 1);
    let (link, _handle, _quarantine) = running_cold();
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Live, None, link, "live"));
    let (mut truth, mut told) = (market.ingest(), Told::default());
    let (mut queue, mut is_overrun) = (VecDeque::new(), false);
    let (stops_at, goes_on_at) = (market.messages.len() / 3, market.messages.len() / 2);
    let (mut at_overrun, mut taken) = (None, Vec::new());
    for (place, (recv, message)) in market.messages.iter().enumerate() {
        truth.advance(*recv, &mut told);
        truth.on_message(0, message, &mut told).unwrap();
        match queue.len() < QUEUE {
            true => queue.push_back((*recv, message.clone())),
            false => is_overrun = true,
        }
        if (stops_at..goes_on_at).contains(&place) {
            continue;
        }
        while let Some((recv, message)) = queue.pop_front() {
            fused.on_message(0, recv, &message).unwrap();
            taken.push((recv, message));
        }
        if std::mem::take(&mut is_overrun) {
            assert_eq!(fused.ingest().book_states().next(), Some(BookState::Synced));
            fused.on_overrun(0, *recv).unwrap();
            assert_eq!(fused.ingest().book_states().next(), Some(BookState::Stale(StaleReason::Overrun)));
            at_overrun = Some(fused.ingest().counters());
        }
        if place == goes_on_at + 200 {
            let since = fused.ingest().counters().frames - at_overrun.unwrap().frames;
            assert_eq!((since, fused.ingest().book_states().next()), (0, Some(BookState::Stale(StaleReason::Overrun))));
            let snapshot = snapshot(&told.events);
            fused.on_message(0, *recv, &snapshot).unwrap();
            taken.push((*recv, snapshot));
        }
    }
    let (ingest, trade) = closed(fused.finish());
    assert_eq!((ingest.counters().overruns, ingest.sync_counters().map(|counters| counters.gaps).sum::<u64>()), (1, 0));
    assert_eq!(ingest.book_states().collect::<Vec<_>>(), [BookState::Synced]);
    assert!(ingest.counters().frames > at_overrun.unwrap().frames + 50);
    assert!(ingest.checks().all(|(compared, mismatched, _)| compared > 10 && mismatched == 0));

    // What was taken is what a recorder has: with the journal it is the session again.
    let market = Market { messages: taken, ..market };
    let live = Recovery::open(&market.journal("live")).unwrap();
    for name in ["again fused", "again split"] {
        let mut lost = overruns(&live).unwrap().into_iter().peekable();
        assert_eq!(lost.len(), 1);
        let (link, _handle, _quarantine) = running_cold();
        let again = market.following("live", link, name);
        let (_, again) = closed(if name == "again split" {
            let mut split = Split::start(market.ingest(), again, HotThread::default(), Waiting::Park).unwrap();
            for (recv, message) in &market.messages {
                if let Some(lost) = lost.next_if(|lost| lost.messages == split.ingest().counters().messages) {
                    split.on_overrun(lost.source.into(), lost.recv).unwrap();
                }
                split.on_message(0, *recv, message).unwrap();
            }
            split.finish().unwrap()
        } else {
            let mut fused = Fused::new(market.ingest(), again);
            for (recv, message) in &market.messages {
                if let Some(lost) = lost.next_if(|lost| lost.messages == fused.ingest().counters().messages) {
                    fused.on_overrun(lost.source.into(), lost.recv).unwrap();
                }
                fused.on_message(0, *recv, message).unwrap();
            }
            fused.finish()
        });
        assert_eq!((again.error(), again.difference()), (None, None), "{name}");
        assert_eq!(again.digest(), trade.digest(), "{name}");
        assert_eq!(records(&market.journal(name)), records(&market.journal("live")), "{name}");
    }
}

/// The venue's REST reply at the state that events have led to.
fn snapshot(events: &[MarketEvent]) -> Vec<u8> {
    let mut sides: [BTreeMap<Price, Qty>; 2] = Default::default();
    let mut last_id = 0;
    for event in events {
        match event.kind {
            EventKind::BookCleared => sides = Default::default(),
            EventKind::LevelSet => {
                let side = &mut sides[usize::from(event.side == Side::Sell)];
                match event.qty {
                    Qty::ZERO => _ = side.remove(&event.price),
                    qty => _ = side.insert(event.price, qty),
                }
                last_id = event.id;
            }
            _ => {}
        }
    }
    let [bids, asks] = sides.map(|side| {
        let levels: Vec<String> = side.iter().map(|(price, qty)| format!("[\"{price}\",\"{qty}\"]")).collect();
        levels.join(",")
    });
    format!("{{\"lastUpdateId\":{last_id},\"E\":1700000000000,\"T\":1700000000000,\"bids\":[{bids}],\"asks\":[{asks}]}}")
        .into_bytes()
}

#[test]
fn a_cold_path_that_stands_still_costs_telemetry_and_holds_up_nothing() {
    let market = Market::new(6, 1);
    let (link, cold) = cold_by_hand(512);
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Live, None, link, "live"));
    for (recv, message) in &market.messages {
        fused.on_message(0, *recv, message).unwrap();
    }
    let (ingest, trade) = closed(fused.finish());
    let counters = trade.counters();
    assert!(counters.telemetry_dropped > 10 * 512 && counters.orders > 5 && trade.error().is_none(), "{counters:?}");
    assert_eq!((counters.parameters, counters.frames_skipped), (0, 0));
    // Of what parameters are made from, the last eighth of the ring had room for so much, in spite of all the telemetry.
    let kept = cold.records.slots();
    assert_eq!(kept, 512);
    let ends = counters.windows_dropped;
    assert!(counters.samples_dropped + ends < ingest.counters().frames, "{counters:?}");
    let dropped = records(&market.journal("live")).iter().filter(|record| record.0 == RecordKind::Dropped).count() as u64;
    assert!(counters.samples_dropped > 10 && dropped == counters.samples_dropped + ends, "{dropped} journaled, {counters:?}");
    // Reports and orders are all journaled, whatever the cold path saw of them.
    let again = market.replay_of("live", "again");
    assert_eq!((again.digest(), of_trading(again.counters())), (trade.digest(), of_trading(counters)));
    assert_eq!(records(&market.journal("again")), records(&market.journal("live")));
}

/// What parameters are made from finds no room now and then: they are made from the rest, and a replay makes the same.
#[test]
fn parameters_of_what_was_not_dropped_are_made_again_in_a_replay() {
    let market = Market::new(8, 1);
    let (link, mut cold) = cold_by_hand(64);
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Live, None, link, "live"));
    let mut estimator = RegimeEstimator::new(regime()).unwrap();
    let (mut answered, mut is_reading) = (0, false);
    for (place, (recv, message)) in market.messages.iter().enumerate() {
        fused.on_message(0, *recv, message).unwrap();
        // It reads along for a while, then for a while not at all.
        is_reading = if place % 100 == 0 { place % 700 != 0 } else { is_reading };
        while let Some(record) = is_reading.then(|| cold.records.pop().ok()).flatten() {
            match record {
                ColdRecord::Sample { recv, mid, .. } => _ = estimator.on_sample(recv, mid),
                ColdRecord::WindowEnd(window) => {
                    let assessment = estimator.on_window_end(window);
                    answered += 1;
                    let size_scale = regime().size_scale[assessment.regime as usize];
                    let embedding = embedding(&assessment);
                    let block = ParameterBlock { seq: answered, window, regime: assessment.regime, size_scale, embedding };
                    cold.blocks.push(Box::new(block)).unwrap();
                }
                _ => {}
            }
        }
    }
    let (_, trade) = closed(fused.finish());
    let counters = trade.counters();
    assert!(counters.samples_dropped > 10 && counters.windows_dropped > 0 && counters.parameters > 5, "{counters:?}");
    let again = market.replay_of("live", "again");
    assert_eq!((again.digest(), of_trading(again.counters())), (trade.digest(), of_trading(counters)));
    assert_eq!(records(&market.journal("again")), records(&market.journal("live")));
}

#[test]
fn samples_and_window_ends_find_room_where_telemetry_does_not() {
    let market = Market::new(4, 1);
    let (link, mut cold) = cold_by_hand(4_096);
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Live, None, link, "live"));
    for (recv, message) in &market.messages {
        fused.on_message(0, *recv, message).unwrap();
    }
    let (_, trade) = fused.finish();
    let counters = trade.counters();
    assert!(counters.telemetry_dropped > 0 && counters.inferences < 512, "{counters:?}");
    assert_eq!((counters.samples_dropped, counters.windows_dropped), (0, 0));
    let mut ends = 0;
    while let Ok(record) = cold.records.pop() {
        ends += u64::from(matches!(record, ColdRecord::WindowEnd(_)));
    }
    assert!(ends >= 5, "{ends}");
}

/// Blocks that come long after they were due, as the test hands them over.
#[test]
fn late_parameters_take_effect_when_they_come_and_a_replay_takes_them_then() {
    let market = Market::new(8, 1);
    let (link, mut cold) = cold_by_hand(RECORDS_CAPACITY);
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Live, None, link, "live"));
    let (mut windows, mut answered) = (VecDeque::new(), 0);
    for (place, (recv, message)) in market.messages.iter().enumerate() {
        fused.on_message(0, *recv, message).unwrap();
        while let Ok(record) = cold.records.pop() {
            windows.extend(if let ColdRecord::WindowEnd(window) = record { Some(window) } else { None });
        }
        // Each block stays away for a different time, some for more than one window; the last ones for ever.
        if windows.len() > 1 + answered % 3 && place % 7 == 0 {
            cold.blocks.push(block(windows[0])).unwrap();
            windows.pop_front();
            answered += 1;
        }
    }
    let (_, trade) = closed(fused.finish());
    assert!(answered > 8 && trade.counters().parameters as usize == answered && trade.error().is_none());
    let journaled = records(&market.journal("live"));
    let late = journaled.iter().filter(|record| record.0 == RecordKind::Parameters);
    let effective = |payload: &[u8]| i64::from_le_bytes(payload[8..16].try_into().unwrap());
    assert!(late.clone().all(|(_, now, payload)| *now > effective(payload)) && late.count() == answered);

    // A lossless replay, whose cold path answers every window at once.
    let (link, mut cold) = cold_by_hand(RECORDS_CAPACITY);
    let again = market.following("live", link, "again");
    let answer = std::thread::spawn(move || {
        while !(cold.records.is_abandoned() && cold.records.is_empty()) {
            match cold.records.pop() {
                Ok(ColdRecord::WindowEnd(window)) => cold.blocks.push(block(window)).unwrap(),
                Ok(_) => {}
                Err(_) => std::thread::yield_now(),
            }
        }
    });
    let (_, again) = market.run(again);
    assert_eq!((again.error(), again.difference()), (None, None));
    assert_eq!((again.digest(), again.counters().parameters), (trade.digest(), trade.counters().parameters));
    assert_eq!(records(&market.journal("again")), journaled);
    drop(again);
    answer.join().unwrap();
}

/// What a stop by an error does to the system is journaled, and no part of what a replay does again.
#[test]
fn a_session_whose_cold_path_was_lost_happens_again_up_to_there() {
    let market = Market::new(6, 1);
    let (link, cold) = cold_by_hand(RECORDS_CAPACITY);
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Live, None, link, "live"));
    let mut messages = market.messages.iter();
    for (recv, message) in messages.by_ref().take(market.messages.len() * 3 / 4) {
        fused.on_message(0, *recv, message).unwrap();
    }
    assert_eq!(fused.error(), None);
    drop(cold);
    let mut stopped = messages.skip_while(|(recv, message)| fused.on_message(0, *recv, message).is_ok() && fused.error().is_none());
    assert!(stopped.next().is_some());
    let (_, trade) = closed(fused.finish());
    assert_eq!(trade.error(), Some(TradeError::ColdPathLost));
    let journaled = records(&market.journal("live"));
    let stop = journaled.iter().position(|record| record.0 == RecordKind::State).expect("what the stop did");
    assert!(stop > 10 && trade.counters().orders > 5, "{:?}", trade.counters());
    assert_eq!(journaled.last().map(|record| record.0), Some(RecordKind::SessionEnd));

    let (link, _handle, _quarantine) = running_cold();
    let (_, again) = market.run(market.following("live", link, "again"));
    assert_eq!((again.error(), again.difference()), (Some(TradeError::JournalEnded), None));
    assert_eq!(again.records_followed(), stop as u64);
    assert_eq!(records(&market.journal("again")), journaled[..stop]);
}

#[test]
fn warming_up_changes_nothing_that_follows() {
    let market = Market::new(4, 1);
    let (plain, expected) = market.replay("cold");
    let (link, _handle, _quarantine) = running_cold();
    let mut fused = Fused::new(market.ingest(), market.trade(BackPressure::Lossless, None, link, "warm"));
    fused.warm_up();
    for (recv, message) in &market.messages {
        fused.on_message(0, *recv, message).unwrap();
    }
    let (ingest, trade) = closed(fused.finish());
    assert_eq!((trade.digest(), trade.counters()), (expected.digest(), expected.counters()));
    assert_eq!(ingest.counters(), plain.counters());
    assert_eq!(records(&market.journal("warm")), records(&market.journal("cold")));
}

/// A thread that waits keeps things near; whatever it touches is as it was, on either side of the rings.
#[test]
fn waiting_changes_nothing_that_follows() {
    let market = Market::new(4, 2);
    let (plain, expected) = market.replay("busy");
    assert!(expected.counters().orders > 5, "{:?}", expected.counters());
    // From one call to several rounds of all there is to keep near.
    let mut rng = fastrand::Rng::with_seed(3);
    let mut moments = || 0..rng.u32(1..40);
    for is_split in [false, true] {
        let journal = if is_split { "idle split" } else { "idle fused" };
        let (link, _handle, _quarantine) = running_cold();
        let trade = market.trade(BackPressure::Lossless, None, link, journal);
        let (ingest, trade) = closed(if is_split {
            let mut split = Split::start(market.ingest(), trade, HotThread::default(), Waiting::Spin).unwrap();
            for (recv, message) in &market.messages {
                moments().for_each(|_| split.idle());
                split.on_message(0, *recv, message).unwrap();
            }
            split.finish().unwrap()
        } else {
            let mut fused = Fused::new(market.ingest(), trade);
            for (recv, message) in &market.messages {
                moments().for_each(|_| fused.idle());
                fused.on_message(0, *recv, message).unwrap();
            }
            fused.finish()
        });
        assert_eq!((trade.digest(), trade.counters()), (expected.digest(), expected.counters()), "{journal}");
        assert_eq!(ingest.counters(), plain.counters(), "{journal}");
        assert!(ingest.checks().all(|(compared, mismatched, _)| compared > 0 && mismatched == 0), "{journal}");
        assert_eq!(records(&market.journal(journal)), records(&market.journal("busy")), "{journal}");
    }
}

#[test]
fn a_core_that_does_not_exist_is_told_at_the_start() {
    let market = Market::new(1, 1);
    let (link, _handle, _quarantine) = running_cold();
    let trade = market.trade(BackPressure::Lossless, None, link, "none");
    let host = HotThread { core: Some(100_000), fifo_priority: None };
    let error = Split::start(market.ingest(), trade, host, Waiting::Park).err().expect("no such core");
    assert!(error.to_string().contains("core 100000"), "{error}");
}

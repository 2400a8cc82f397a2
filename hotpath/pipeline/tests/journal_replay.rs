//! A session whose venue answered as it liked, with things done by hand and skipped ticks thrown in, happens again from its captures
//! and its journal: fused and split, to the byte.

use chronos_coldpath::{ColdConfig, ColdHandle, ColdPath, RECORDS_CAPACITY, RegimeConfig, cold_links};
use chronos_market::features::FeatureConfig;
use chronos_market::tick::TickConfig;
use chronos_market::{
    ExecutionReport, Frame, InstrumentId, MarketEvent, OrderCommand, Price, QTY_SCALE, Qty, ReportBuffer, ReportKind, SubmitError,
    Timestamp, Venue,
};
use chronos_pipeline::account::OpenOrder;
use chronos_pipeline::decision::{Control, Scope, ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::journal::{
    Content, Journal, JournalConfig, JournalFollower, JournaledVenue, RecordKind, Recovery, SEGMENT_BYTES_MIN, WhenLate, restore,
};
use chronos_pipeline::risk::{RiskCheck, RiskLimits, TradingState};
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::{
    BackPressure, ByHand, ColdLink, Crossing, Fused, HotThread, Ingest, IngestConfig, Observer, Split, Trade, TradeConfig,
    TradeError, Waiting, WindowSchedule,
};
use generated::{instrument, market, predictor, source};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

mod generated;

const ENTRY: f64 = 0.1;
/// Of the market.
const SECONDS: u32 = 8;
const MILLI: i64 = 1_000_000;
const LOT: i64 = QTY_SCALE / 1_000;

/// Answers from a seed: late and early, in parts, with refusals before and after the wire.
struct RandomVenue {
    rng: fastrand::Rng,
    reports: Vec<ExecutionReport>,
}

impl RandomVenue {
    fn new(seed: u64) -> RandomVenue {
        RandomVenue { rng: fastrand::Rng::with_seed(seed), reports: Vec::new() }
    }

    fn report(&mut self, report: ExecutionReport) {
        // Behind those of the same time.
        let place = self.reports.partition_point(|other| other.recv <= report.recv);
        self.reports.insert(place, report);
    }
}

impl Venue for RandomVenue {
    fn submit(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        let order = match command {
            _ if self.rng.u32(0..8) == 0 => return Err([SubmitError::Full, SubmitError::Disconnected][self.rng.usize(0..2)]),
            OrderCommand::New(order) => order,
            OrderCommand::Cancel { .. } => return Ok(()),
        };
        // Stamped before the present now and then: a report that was read late.
        let mut recv = now.plus_nanos(self.rng.i64(-MILLI..30 * MILLI));
        let mut report = ExecutionReport {
            order: order.id,
            instrument: order.instrument,
            kind: ReportKind::Accepted,
            side: order.side,
            is_maker: self.rng.bool(),
            recv,
            venue_time: now,
            price: Price::ZERO,
            qty: Qty::ZERO,
            leaves: order.qty,
            fee_quote: 0,
        };
        if self.rng.u32(0..6) == 0 {
            self.report(ExecutionReport { kind: ReportKind::Rejected, leaves: Qty::ZERO, ..report });
            return Ok(());
        }
        self.report(report);
        for _ in 0..self.rng.u32(0..3) {
            recv = recv.plus_nanos(self.rng.i64(0..3) * MILLI);
            let qty = Qty(if self.rng.bool() { report.leaves.0 } else { report.leaves.0 / 2 / LOT * LOT });
            if qty.0 > 0 {
                report.leaves.0 -= qty.0;
                let fee_quote = self.rng.i64(0..1_000_000);
                let fill = ExecutionReport { kind: ReportKind::Fill, recv, price: order.price, qty, fee_quote, ..report };
                self.report(fill);
                if self.rng.u32(0..16) == 0 {
                    // Told twice: it counts once, and halts trading.
                    self.report(fill);
                }
            }
        }
        if report.leaves.0 > 0 {
            self.report(ExecutionReport { kind: ReportKind::Cancelled, recv: recv.plus_nanos(1), ..report });
        }
        Ok(())
    }

    fn on_market(&mut self, _event: &MarketEvent) {}

    fn next_due(&self) -> Option<Timestamp> {
        self.reports.first().map(|report| report.recv)
    }

    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer) {
        while self.reports.first().is_some_and(|report| report.recv <= until && out.push(*report).is_ok()) {
            self.reports.remove(0);
        }
    }
}

struct Nobody;

impl Observer for Nobody {
    fn frame(&mut self, _frame: &Frame, _net_quote: i128) {}
    fn report(&mut self, _report: &ExecutionReport) {}
}

/// A capture's messages, each with its receive time.
type Messages = [(Timestamp, Vec<u8>)];

fn journal(folder: &Path) -> Journal {
    let config = JournalConfig {
        folder: folder.to_owned(),
        session: 11,
        segment_bytes: SEGMENT_BYTES_MIN,
        sync_interval: Duration::from_millis(5),
        when_late: WhenLate::Wait,
    };
    Journal::create(&config).unwrap()
}

fn groups<V: Venue>(venue: V, entry: f64, journal: Journal) -> (Ingest, Trade<ThresholdStrategy, V, Nobody>, ColdHandle) {
    let instruments = [instrument()];
    let windows = WindowSchedule { window_ns: 1_000 * MILLI, lag_ns: 100 * MILLI };
    let (ends, links) = cold_links(RECORDS_CAPACITY);
    let regime = RegimeConfig { window_ns: windows.window_ns, ..RegimeConfig::default() };
    let cold = ColdPath::start(ColdConfig { regime, ..ColdConfig::default() }, links).unwrap();
    let trade = Trade::new(
        &instruments,
        TradeConfig {
            session: 1,
            limits: RiskLimits::default(),
            windows,
            is_recording: false,
            back_pressure: BackPressure::Lossless,
        },
        ThresholdStrategy::new(ThresholdConfig { entry, horizon_ns: 150 * MILLI, ..ThresholdConfig::default() }),
        venue,
        vec![predictor()],
        Some(journal),
        ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting: Waiting::Park },
        Nobody,
    );
    let tick = TickConfig { warmup_ticks: 5, ..TickConfig::default() };
    let config = IngestConfig { tick, features: FeatureConfig::default(), verify: false, cold_start: None, levels: None };
    let ingest = Ingest::new(&instruments, vec![source()], &config);
    (ingest, trade, cold)
}

/// Hands on as a live driver does that is behind now and then.
struct Live<'a, V: Venue> {
    trade: &'a mut Trade<ThresholdStrategy, V, Nobody>,
    rng: &'a mut fastrand::Rng,
}

impl<V: Venue> Crossing for Live<'_, V> {
    fn event(&mut self, event: &MarketEvent) {
        self.trade.on_event(event);
    }

    fn frame(&mut self, frame: &Frame, started: Started) {
        if self.rng.u32(0..10) == 0 { self.trade.skip_frame(frame) } else { self.trade.on_frame(frame, started) }
    }
}

/// What a session came to: digest, position, fills, fees, orders still open, what the system was allowed, and what held it.
type Outcome = (String, Qty, u64, i128, Vec<OpenOrder>, TradingState, Vec<RiskCheck>);

/// Now and then something is done by hand, and soon after it what lets all go on.
fn by_hand(rng: &mut fastrand::Rng) -> Option<ByHand> {
    let instrument = Scope::Instrument(InstrumentId(0));
    Some(ByHand::Control(match rng.u32(0..800) {
        0 => Control::Halt,
        1 => Control::Reduce,
        2 => Control::Kill(instrument),
        3..20 => Control::Resume,
        20..30 => Control::Restore(instrument),
        30..34 => {
            let mut limits = RiskLimits { collar_bps: rng.i64(5..100), open_orders_max: rng.usize(1..10), ..RiskLimits::default() };
            // Half the time more than a record holds.
            for limits in limits.instruments.iter_mut().skip(if rng.bool() { 64 } else { 1 }) {
                (limits.is_spot, limits.is_restricted, limits.qty_min) = (rng.bool(), rng.bool(), Qty(rng.i64(0..5)));
            }
            return Some(ByHand::Limits(limits));
        }
        _ => return None,
    }))
}

/// The session: time moves on between messages, and things are done by hand.
fn live(messages: &Messages, seed: u64, folder: &Path) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut ingest, mut trade, cold) = groups(RandomVenue::new(seed), ENTRY, journal(folder));
    let mut last = messages[0].0;
    for (recv, message) in messages {
        by_hand(&mut rng).inspect(|what| trade.by_hand(what));
        if rng.u32(0..3) == 0 && *recv > last {
            let until = Timestamp(rng.i64(last.0..=recv.0));
            let now = ingest.advance(until, &mut Live { trade: &mut trade, rng: &mut rng });
            trade.advance(now);
            by_hand(&mut rng).inspect(|what| trade.by_hand(what));
        }
        last = last.max(*recv);
        let now = ingest.advance(*recv, &mut Live { trade: &mut trade, rng: &mut rng });
        trade.advance(now);
        ingest.on_message(0, message, &mut Live { trade: &mut trade, rng: &mut rng }).unwrap();
        by_hand(&mut rng).inspect(|what| trade.by_hand(what));
        trade.flush();
    }
    trade.finish(ingest.now());
    assert_eq!(trade.error(), None);
    closed(trade, cold)
}

fn closed<V: Venue>(mut trade: Trade<ThresholdStrategy, V, Nobody>, cold: ColdHandle) -> Outcome {
    trade.close_journal().unwrap();
    let (account, id) = (trade.account(), InstrumentId(0));
    let (position, fees) = (account.position(id), account.fees_quote());
    let (open, latches) = (account.open_orders().to_vec(), trade.latches().iter().collect());
    let outcome = (trade.digest(), position, account.fills(), fees, open, trade.trading_state(), latches);
    drop(trade);
    cold.join().unwrap();
    outcome
}

/// A session of a driver, with things done by hand between messages.
fn driven(messages: &Messages, seed: u64, folder: &Path, is_split: bool) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (ingest, trade, cold) = groups(RandomVenue::new(seed), ENTRY, journal(folder));
    // At the time of the message before, or later and before the next one.
    let mut hands = messages
        .iter()
        .zip(&messages[1..])
        .map(|((recv, _), (next, _))| by_hand(&mut rng).map(|what| (Timestamp(rng.i64(recv.0..=next.0.max(recv.0))), what)));
    let trade = if is_split {
        let mut split = Split::start(ingest, trade, HotThread::default(), Waiting::Park).unwrap();
        for (recv, message) in messages {
            split.on_message(0, *recv, message).unwrap();
            if let Some((now, what)) = hands.next().flatten() {
                split.by_hand(now, &what);
            }
        }
        split.finish().unwrap().1
    } else {
        let mut fused = Fused::new(ingest, trade);
        for (recv, message) in messages {
            fused.on_message(0, *recv, message).unwrap();
            if let Some((now, what)) = hands.next().flatten() {
                fused.by_hand(now, &what);
            }
        }
        fused.finish().1
    };
    assert_eq!(trade.error(), None);
    closed(trade, cold)
}

/// What following a journal came to.
struct Followed {
    error: Option<TradeError>,
    difference: Option<String>,
    digest: String,
}

fn follow(messages: &Messages, old: &Path, new: &Path, is_split: bool, entry: f64) -> Followed {
    let recovery = Recovery::open(old).unwrap();
    let (ingest, mut trade, cold) = groups(JournaledVenue::new(&recovery), entry, journal(new));
    trade.follow(JournalFollower::new(&recovery).unwrap());
    let mut trade = if is_split {
        let mut split = Split::start(ingest, trade, HotThread::default(), Waiting::Park).unwrap();
        messages.iter().for_each(|(recv, message)| split.on_message(0, *recv, message).unwrap());
        split.finish().unwrap().1
    } else {
        let mut fused = Fused::new(ingest, trade);
        messages
            .iter()
            .take_while(|(recv, message)| fused.on_message(0, *recv, message).is_ok() && fused.error().is_none())
            .count();
        fused.finish().1
    };
    trade.close_journal().unwrap();
    let followed =
        Followed { error: trade.error(), difference: trade.difference().map(ToString::to_string), digest: trade.digest() };
    drop(trade);
    cold.join().unwrap();
    followed
}

/// Name and bytes of each file.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

fn counts(folder: &Path) -> BTreeMap<&'static str, u64> {
    let recovery = Recovery::open(folder).unwrap();
    assert!(recovery.is_closed && recovery.damage.is_none());
    let (mut reader, mut counts) = (recovery.reader(), BTreeMap::new());
    while let Some(record) = reader.next().unwrap() {
        assert!(Content::of(&record).is_some(), "{record:?}");
        *counts.entry(record.kind.name()).or_default() += 1;
    }
    counts
}

#[test]
fn the_session_happens_again_to_the_byte() {
    let messages = market(SECONDS, 1);
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let (old, fused, split) = (folder.path().join("old"), folder.path().join("fused"), folder.path().join("split"));
        let outcome = live(&messages, seed, &old);
        let restored = restore(&Recovery::open(&old).unwrap(), &[instrument()], &RiskLimits::default()).unwrap();
        let (account, id) = (restored.account, InstrumentId(0));
        let open = account.open_orders().to_vec();
        let whole = restored.in_force.iter().filter(|change| change.scope.is_none()).map(|change| change.cause);
        let latches: Vec<RiskCheck> =
            RiskCheck::ALL.into_iter().filter(|check| whole.clone().any(|cause| cause == *check)).collect();
        let (position, fills, fees) = (account.position(id), account.fills(), account.fees_quote());
        let again = (outcome.0.clone(), position, fills, fees, open, restored.state, latches);
        assert_eq!(again, outcome, "seed {seed}: restored");
        let counts = counts(&old);
        use RecordKind as Kind;
        for kind in [Kind::Order, Kind::Report, Kind::Control, Kind::Limits, Kind::State, Kind::Skip] {
            assert!(counts.get(kind.name()) >= Some(&10), "seed {seed}: too little happened: {counts:?}");
        }
        for kind in [Kind::Unsent, Kind::Timer, Kind::Parameters] {
            assert!(counts.get(kind.name()) >= Some(&2), "seed {seed}: too little happened: {counts:?}");
        }
        for (new, is_split) in [(fused, false), (split, true)] {
            let followed = follow(&messages, &old, &new, is_split, ENTRY);
            assert_eq!((followed.error, followed.difference), (None, None), "seed {seed}, split {is_split}");
            assert_eq!(followed.digest, outcome.0, "seed {seed}, split {is_split}");
            assert!(files(&old) == files(&new), "seed {seed}, split {is_split}: the journals differ");
        }
    }
}

/// Limits are changed and trading is halted by hand, the process dies, and a session goes on from what it left behind.
#[test]
fn limits_and_a_halt_hold_again_after_a_crash() {
    let messages = market(SECONDS, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let small = RiskLimits { collar_bps: 7, open_orders_max: 2, ..RiskLimits::default() };
    let kill = ByHand::Control(Control::Kill(Scope::Instrument(InstrumentId(0))));
    let (ingest, trade, cold) = groups(RandomVenue::new(1), ENTRY, journal(&path("old")));
    let mut fused = Fused::new(ingest, trade);
    for (place, (recv, message)) in messages.iter().enumerate() {
        fused.on_message(0, *recv, message).unwrap();
        if place == messages.len() * 3 / 4 {
            assert!(fused.trade().counters().orders > 5, "{:?}", fused.trade().counters());
            for what in [ByHand::Limits(small), ByHand::Control(Control::Halt), kill] {
                fused.by_hand(*recv, &what);
            }
            // What is in the files now is what a crash leaves behind.
            std::fs::create_dir(path("crashed")).unwrap();
            for (name, bytes) in files(&path("old")) {
                std::fs::write(path("crashed").join(name), bytes).unwrap();
            }
        }
    }
    closed(fused.finish().1, cold);

    let recovery = Recovery::open(&path("crashed")).unwrap();
    assert!(!recovery.is_closed);
    let restored = restore(&recovery, &[instrument()], &RiskLimits::default()).unwrap();
    assert_eq!((restored.limits, restored.state), (small, TradingState::Halted));
    assert_eq!(restored.by_hand(), [ByHand::Limits(small), ByHand::Control(Control::Halt), kill]);
    let (ingest, trade, cold) = groups(RandomVenue::new(2), ENTRY, journal(&path("next")));
    let mut fused = Fused::new(ingest, trade);
    restored.by_hand().iter().for_each(|what| fused.by_hand(messages[0].0, what));
    messages.iter().for_each(|(recv, message)| fused.on_message(0, *recv, message).unwrap());
    let trade = fused.finish().1;
    assert_eq!((*trade.limits(), trade.trading_state(), trade.counters().orders), (small, TradingState::Halted, 0));
    assert!(trade.rejects().any(|(check, count)| check == RiskCheck::KillSwitch && count > 5));
    closed(trade, cold);
    // It is part of that session's own journal: crash again, restore again.
    let again = restore(&Recovery::open(&path("next")).unwrap(), &[instrument()], &RiskLimits::default()).unwrap();
    assert_eq!((again.limits, again.state, again.by_hand()), (small, TradingState::Halted, restored.by_hand()));
    let followed = follow(&messages, &path("next"), &path("followed"), true, ENTRY);
    assert_eq!((followed.error, followed.difference), (None, None));
    assert!(files(&path("next")) == files(&path("followed")), "the journals differ");
}

#[test]
fn what_is_done_by_hand_has_one_place_whatever_the_topology() {
    let messages = market(SECONDS, 1);
    for seed in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let outcome = driven(&messages, seed, &path("fused"), false);
        assert_eq!(driven(&messages, seed, &path("split"), true), outcome, "seed {seed}");
        assert!(files(&path("fused")) == files(&path("split")), "seed {seed}: the journals differ");
        let counts = counts(&path("split"));
        for kind in [RecordKind::Order, RecordKind::Control, RecordKind::Limits, RecordKind::State] {
            assert!(counts.get(kind.name()) >= Some(&10), "seed {seed}: too little happened: {counts:?}");
        }
        for (new, is_split) in [("again fused", false), ("again split", true)] {
            let followed = follow(&messages, &path("split"), &path(new), is_split, ENTRY);
            assert_eq!((followed.error, followed.difference), (None, None), "seed {seed}, split {is_split}");
            assert!(files(&path("split")) == files(&path(new)), "seed {seed}, split {is_split}: the journals differ");
        }
    }
}

#[test]
fn the_first_difference_is_told() {
    let messages = market(SECONDS, 1);
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    live(&messages, 1, &old);
    for (name, is_split) in [("fused", false), ("split", true)] {
        let followed = follow(&messages, &old, &folder.path().join(name), is_split, ENTRY * 2.0);
        assert_eq!(followed.error, Some(TradeError::Different));
        let difference = followed.difference.expect("a difference");
        assert!(difference.contains("record ") && difference.contains("Order"), "{difference}");
    }
}

#[test]
fn a_session_that_was_cut_off_happens_again_up_to_there() {
    let messages = market(SECONDS, 1);
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    live(&messages, 2, &old);
    // The last segment goes, and half of the one before.
    let mut segments: Vec<_> = files(&old).into_iter().collect();
    std::fs::remove_file(old.join(segments.pop().expect("several").0)).unwrap();
    let (name, bytes) = segments.pop().expect("several");
    std::fs::write(old.join(name), &bytes[..bytes.len() / 2 + 1]).unwrap();
    let whole = Recovery::open(&old).unwrap();
    assert!(whole.damage.is_some() && whole.records > 50);
    for (name, is_split) in [("fused", false), ("split", true)] {
        let new = folder.path().join(name);
        let followed = follow(&messages, &old, &new, is_split, ENTRY);
        assert_eq!((followed.error, followed.difference), (Some(TradeError::JournalEnded), None));
        let again = Recovery::open(&new).unwrap();
        assert_eq!((again.records, again.is_closed, again.damage.as_ref()), (whole.records, false, None));
        let (mut one, mut two) = (whole.reader(), again.reader());
        while let (Some(one), Some(two)) = (one.next().unwrap(), two.next().unwrap()) {
            assert_eq!(one, two);
        }
    }
}

//! Risk within the trade group: what it changes is journaled with its reason, and what must not stay open is cancelled.

use chronos_coldpath::{ColdLinks, RECORDS_CAPACITY, cold_links};
use chronos_market::{
    Bbo, BookState, Contract, EventFlags, EventKind, Exchange, ExecutionReport, FEATURES_MAX, Frame, Instrument, InstrumentId,
    Level, MarketEvent, NewOrder, OrderCommand, OrderId, PRICE_SCALE, Price, QTY_SCALE, Qty, ReportBuffer, ReportKind, Side,
    SubmitError, TimeInForce, Timestamp, Venue,
};
use chronos_pipeline::account::AccountView;
use chronos_pipeline::decision::{Control, Input, OrderBuffer, OrderIntent, Scope, Strategy, StrategyId};
use chronos_pipeline::journal::{Content, Journal, JournalConfig, RecordKind, Recovery, SEGMENT_BYTES_MIN, WhenLate};
use chronos_pipeline::risk::{LimitChange, Origin, RiskCheck, RiskLimits, StateChange, TradingState};
use chronos_pipeline::stopwatch::Stopwatch;
use chronos_pipeline::topology::{BackPressure, ColdLink, Observer, Trade, TradeConfig, Waiting, WindowSchedule};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Buys one at every decision, and leaves it there.
struct Buyer;

impl Strategy for Buyer {
    fn on_input(&mut self, _now: Timestamp, input: Input<'_>, _view: &AccountView<'_>, out: &mut OrderBuffer) {
        if let Input::Decision(frame, _) = input {
            out.place(OrderIntent {
                strategy: StrategyId(3),
                instrument: frame.instrument,
                side: Side::Buy,
                price: frame.bbo.bid.price,
                qty: Qty(QTY_SCALE),
                time_in_force: TimeInForce::GoodTilCancelled,
                reduce_only: false,
                signal: 1.0,
            });
        }
    }
}

/// Notes commands and gives the reports it was handed.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<(Vec<OrderCommand>, Vec<ExecutionReport>)>>);

impl Venue for Script {
    fn submit(&mut self, _now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        self.0.borrow_mut().0.push(*command);
        Ok(())
    }

    fn on_market(&mut self, _event: &MarketEvent) {}

    fn next_due(&self) -> Option<Timestamp> {
        self.0.borrow().1.first().map(|report| report.recv)
    }

    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer) {
        self.0.borrow_mut().1.retain(|report| report.recv > until || out.push(*report).is_err());
    }
}

struct Nobody;

impl Observer for Nobody {
    fn frame(&mut self, _frame: &Frame, _net_quote: i128) {}
    fn report(&mut self, _report: &ExecutionReport) {}
}

const ID: InstrumentId = InstrumentId(0);

struct Session {
    trade: Trade<Buyer, Script, Nobody>,
    venue: Script,
    stopwatch: Stopwatch,
    folder: tempfile::TempDir,
    /// Nobody reads what goes there; no window ends within these sessions.
    _cold: ColdLinks,
}

impl Session {
    fn new(limits: RiskLimits) -> Session {
        let instruments = [Instrument {
            exchange: Exchange::BinanceUsdm,
            symbol: "X".into(),
            tick: Price(PRICE_SCALE),
            lot: Qty(QTY_SCALE),
            contract: Contract::spot(),
        }];
        let (ends, links) = cold_links(RECORDS_CAPACITY);
        let folder = tempfile::tempdir().unwrap();
        let venue = Script::default();
        let journal = JournalConfig {
            folder: folder.path().join("journal"),
            session: 1,
            segment_bytes: SEGMENT_BYTES_MIN,
            sync_interval: Duration::from_millis(5),
            when_late: WhenLate::Wait,
        };
        let trade = Trade::new(
            &instruments,
            TradeConfig {
                session: 1,
                limits,
                windows: WindowSchedule::default(),
                is_recording: false,
                back_pressure: BackPressure::Lossless,
            },
            Buyer,
            venue.clone(),
            Vec::new(),
            Some(Journal::create(&journal).unwrap()),
            ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting: Waiting::Park },
            Nobody,
        );
        let mut session = Session { trade, venue, stopwatch: Stopwatch::new(), folder, _cold: links };
        for kind in [EventKind::BookSynced, EventKind::LevelSet] {
            session.trade.on_event(&MarketEvent {
                seq: 1,
                recv_ns: 1,
                exchange_ns: 0,
                price: Price(1),
                qty: Qty(1),
                id: 1,
                instrument: ID,
                kind,
                side: Side::Buy,
                flags: EventFlags::BATCH_END,
            });
        }
        session
    }

    /// A decision tick at `at` with the bid at `bid`.
    fn tick(&mut self, at: i64, bid: i64) {
        let level = |quote: i64| Level { price: Price(quote * PRICE_SCALE), qty: Qty(QTY_SCALE) };
        let frame = Frame {
            seq: 1,
            recv_ns: at,
            elapsed_ns: 0,
            instrument: ID,
            book: BookState::Synced,
            warmup_left: 0,
            bbo: Bbo { bid: level(bid), ask: level(bid + 2) },
            features: [0.0; FEATURES_MAX],
        };
        self.trade.on_frame(&frame, self.stopwatch.start());
    }

    fn fill(&mut self, order: OrderId, at: i64) {
        self.venue.0.borrow_mut().1.push(ExecutionReport {
            order,
            instrument: ID,
            kind: ReportKind::Fill,
            side: Side::Buy,
            is_maker: true,
            recv: Timestamp(at),
            venue_time: Timestamp(at),
            price: Price(100 * PRICE_SCALE),
            qty: Qty(QTY_SCALE),
            leaves: Qty::ZERO,
            fee_quote: 0,
        });
        self.trade.advance(Timestamp(at));
    }

    fn commands(&self) -> Vec<String> {
        let name = |command: &OrderCommand| match command {
            OrderCommand::New(NewOrder { id, .. }) => format!("new {id}"),
            OrderCommand::Cancel { id, .. } => format!("cancel {id}"),
        };
        self.venue.0.borrow().0.iter().map(name).collect()
    }

    /// Kind and content of every record.
    fn journal(&self) -> Vec<(RecordKind, Content)> {
        let mut reader = Recovery::open(self.folder.path()).unwrap().reader();
        let mut records = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            records.push((record.kind, Content::of(&record).expect("of its kind's shape")));
        }
        records
    }

    fn states(&self) -> Vec<StateChange> {
        let state = |(_, content)| if let Content::State(change) = content { Some(change) } else { None };
        self.journal().into_iter().filter_map(state).collect()
    }
}

#[test]
fn a_halt_by_hand_is_journaled_with_its_reason_and_cancels_what_is_open() {
    let mut session = Session::new(RiskLimits::default());
    session.tick(10, 100);
    session.tick(20, 100);
    session.trade.control(Control::Kill(Scope::Strategy(StrategyId(3))));
    session.tick(30, 100);
    assert_eq!(session.commands(), ["new 1-1", "new 1-2", "cancel 1-1", "cancel 1-2"]);
    let records = session.journal();
    let kinds: Vec<RecordKind> = records.iter().map(|(kind, _)| *kind).collect();
    use RecordKind as Kind;
    assert_eq!(kinds, [Kind::Order, Kind::Order, Kind::Control, Kind::State, Kind::Order, Kind::Order]);
    let scope = Scope::Strategy(StrategyId(3));
    // Two events and two ticks were before it.
    assert_eq!(records[2].1, Content::Control { control: Control::Kill(scope), entry: 5 });
    let change = StateChange {
        state: TradingState::Active,
        cause: RiskCheck::KillSwitch,
        origin: Origin::Hand,
        value: 1,
        scope: Some(scope),
        until: Timestamp::MAX,
    };
    assert_eq!(session.states(), [change]);
    assert_eq!(session.trade.rejects().find(|(_, count)| *count > 0), Some((RiskCheck::KillSwitch, 1)));
    session.trade.control(Control::Restore(Scope::Strategy(StrategyId(3))));
    session.tick(40, 100);
    assert_eq!(session.trade.counters().orders, 3);
}

#[test]
fn a_loss_halts_cancels_and_stays_until_it_is_reset() {
    let limits = RiskLimits { loss_quote_max: 5 * i128::from(PRICE_SCALE), ..RiskLimits::default() };
    let mut session = Session::new(limits);
    session.tick(10, 100);
    session.fill(OrderId::new(1, 1), 15);
    session.tick(20, 99);
    session.tick(30, 90);
    assert_eq!(session.trade.trading_state(), TradingState::Halted);
    session.tick(40, 120);
    assert_eq!(session.commands(), ["new 1-1", "new 1-2", "cancel 1-2"]);
    let states = session.states();
    assert_eq!(states.len(), 1);
    let StateChange { state, cause, origin, value, scope, .. } = states[0];
    assert_eq!((state, cause, origin, value, scope), (TradingState::Halted, RiskCheck::Loss, Origin::Limit, 1, None));
    session.trade.control(Control::Resume);
    session.tick(50, 120);
    assert_eq!(session.trade.counters().orders, 3);
}

#[test]
fn an_execution_told_twice_changes_nothing_but_the_state() {
    let mut session = Session::new(RiskLimits::default());
    session.tick(10, 100);
    session.fill(OrderId::new(1, 1), 15);
    session.fill(OrderId::new(1, 1), 16);
    assert_eq!(session.trade.account().position(ID), Qty(QTY_SCALE));
    assert_eq!(session.trade.latches().first(), Some(RiskCheck::RepeatedExecution));
    assert_eq!(session.trade.trading_state(), TradingState::Halted);
}

#[test]
fn a_change_of_limits_is_journaled_with_both_hashes_and_what_changed() {
    let old = RiskLimits::default();
    let mut session = Session::new(old);
    session.tick(10, 100);
    let new = RiskLimits { order_qty_max: Qty(QTY_SCALE - 1), ..old };
    session.trade.set_limits(&new);
    session.tick(20, 100);
    assert_eq!(session.trade.rejects().find(|(_, count)| *count > 0), Some((RiskCheck::Size, 1)));
    let (_, content) = session.journal().pop().unwrap();
    let change = LimitChange { field: 0, instrument: None, old: i128::from(i64::MAX), new: i128::from(QTY_SCALE - 1) };
    assert_eq!(change.name(), "order_qty_max");
    assert_eq!(content, Content::Limits { hashes: [old.hash(), new.hash()], changes: vec![change], entry: 4 });
}

#[test]
fn a_change_of_more_limits_than_a_record_holds_is_several() {
    let mut session = Session::new(RiskLimits::default());
    let mut new = RiskLimits { order_qty_max: Qty(QTY_SCALE - 1), ..RiskLimits::default() };
    for limits in &mut new.instruments {
        (limits.is_restricted, limits.qty_min) = (true, Qty(2));
    }
    session.trade.set_limits(&new);
    assert_eq!(session.trade.limits(), &new);
    let mut limits = RiskLimits::default();
    let records = session.journal();
    assert_eq!(records.len(), 2);
    for (place, (_, content)) in records.into_iter().enumerate() {
        let Content::Limits { hashes, changes, entry } = content else { panic!("{content:?}") };
        let before = limits.hash();
        limits = limits.with_changes(changes).expect("changes of fields");
        assert_eq!((hashes, entry), ([before, limits.hash()], place as u64 + 3));
    }
    assert_eq!(limits, new);
}

//! From the bytes of a message to an order: once warm, the hot path takes no memory and gives none back.

use chronos_coldpath::{ColdConfig, ColdPath, RECORDS_CAPACITY, RegimeConfig, cold_links};
use chronos_exchange::{GeneratorConfig, SimulatedVenue, SimulatedVenueConfig, generate};
use chronos_inference::{NativeModel, StepSpec, StepWeights};
use chronos_market::decode::Feed;
use chronos_market::decode::split_capture_line;
use chronos_market::features::{FeatureConfig, registry};
use chronos_market::tick::TickConfig;
use chronos_market::{
    Contract, Exchange, ExecutionReport, Frame, Instrument, InstrumentId, PRICE_SCALE, Price, QTY_SCALE, Qty, Timestamp,
};
use chronos_pipeline::decision::{ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::journal::{Journal, JournalConfig, SEGMENT_BYTES_MIN, WhenLate};
use chronos_pipeline::predictor::{Predictor, Scale};
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::topology::{
    ColdLink, Fused, Ingest, IngestConfig, Observer, Source, Trade, TradeConfig, Waiting, WindowSchedule,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to `System` with the arguments it came with; the counter is a thread-local without a destructor that
// itself never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps `dealloc`'s contract, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of this thread alone: the cold path may do as it likes on its own.
fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

struct Nobody;

impl Observer for Nobody {
    fn frame(&mut self, _frame: &Frame, _net_quote: i128) {}
    fn report(&mut self, _report: &ExecutionReport) {}
}

/// Receive time and message of each line, in memory before anything is counted.
fn messages(seconds: u32) -> Vec<(Timestamp, Vec<u8>)> {
    let mut capture = Vec::new();
    generate(&GeneratorConfig { seconds, depth_interval_ms: 10, ..GeneratorConfig::default() }, &mut capture, &mut |_| {}).unwrap();
    let lines = capture.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| split_capture_line(line).map(|line| (line.recv, line.message.to_vec())).unwrap()).collect()
}

fn predictor() -> Predictor {
    let features = registry().len();
    let spec = StepSpec { features, d_model: 32, layers: 2, d_state: 8, d_conv: 4, expand: 2, dt_rank: 4, head_hidden: 32 };
    let scales = (0..features).map(|feature| Scale { feature, mean: 0.0, std: 1.0, clip: 5.0 }).collect();
    Predictor::new(Box::new(NativeModel::new(&StepWeights::untrained(&spec, 1))), scales)
}

#[test]
fn a_warm_session_allocates_nothing() {
    let before = CALLS.with(Cell::get);
    drop(std::hint::black_box(Box::new(1_u64)));
    assert_eq!(CALLS.with(Cell::get) - before, 2, "the counter does not count");

    let instruments = [Instrument {
        exchange: Exchange::BinanceUsdm,
        symbol: "BTCUSDT".into(),
        tick: Price(PRICE_SCALE / 10),
        lot: Qty(QTY_SCALE / 1_000),
        contract: Contract::spot(),
    }];
    let messages = messages(20);
    let folder = tempfile::tempdir().unwrap();
    let windows = WindowSchedule { window_ns: 1_000_000_000, lag_ns: 100_000_000 };
    let (ends, links) = cold_links(RECORDS_CAPACITY);
    let regime = RegimeConfig { window_ns: windows.window_ns, ..RegimeConfig::default() };
    let cold = ColdPath::start(ColdConfig { regime, record: None, quarantine: None, delay: None }, links).unwrap();
    // Small segments, so that the next one is taken many times; waiting for it takes no memory either.
    let journal = JournalConfig {
        folder: folder.path().to_owned(),
        session: 1,
        segment_bytes: SEGMENT_BYTES_MIN,
        sync_interval: Duration::from_millis(1),
        when_late: WhenLate::Wait,
    };
    let trade = Trade::new(
        &instruments,
        TradeConfig { session: 1, limits: RiskLimits::default(), windows, is_recording: true },
        ThresholdStrategy::new(ThresholdConfig { entry: 0.1, horizon_ns: 200_000_000, ..ThresholdConfig::default() }),
        SimulatedVenue::new(SimulatedVenueConfig::default(), &instruments).unwrap(),
        vec![predictor()],
        Some(Journal::create(&journal).unwrap()),
        ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting: Waiting::Park },
        Nobody,
    );
    let config = IngestConfig {
        tick: TickConfig { warmup_ticks: 20, ..TickConfig::default() },
        features: FeatureConfig::default(),
        verify: true,
    };
    let ingest = Ingest::new(
        &instruments,
        vec![Source { feed: Feed::Binance(Exchange::BinanceUsdm), instruments: vec![InstrumentId(0)], is_filtered: false }],
        &config,
    );
    let mut fused = Fused::new(ingest, trade);

    // Warm: snapshot joined, first orders, a first block of parameters.
    let warm = messages.len() / 4;
    let mut first = None;
    for (place, (recv, message)) in messages.iter().enumerate() {
        let before = CALLS.with(Cell::get);
        let result = fused.on_message(0, *recv, message);
        let calls = CALLS.with(Cell::get) - before;
        assert_eq!(result, Ok(()));
        if place >= warm && calls > 0 && first.is_none() {
            first = Some((place, calls));
        }
    }
    let (ingest, mut trade) = fused.finish();
    let summary = trade.close_journal().unwrap().expect("a journal");
    assert!(summary.segments > 1, "too little was journaled: {summary:?}");
    let counters = trade.counters();
    assert!(counters.orders > 10 && trade.account().fills() > 10, "too little happened: {counters:?}");
    assert!(counters.inferences > 1_000 && counters.parameters > 10, "too little happened: {counters:?}");
    assert!(ingest.checks().all(|(compared, mismatched, _)| compared > 10 && mismatched == 0));
    if let Some((place, calls)) = first {
        panic!("{calls} calls of the allocator at message {place}: {}", String::from_utf8_lossy(&messages[place].1));
    }
    drop((trade, ends.quarantine));
    cold.join().unwrap();
}

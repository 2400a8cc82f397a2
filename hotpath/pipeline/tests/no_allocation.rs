//! From the bytes of a message to an order: once warm, the hot path takes no memory and gives none back.

use chronos_coldpath::{ColdConfig, ColdPath, RECORDS_CAPACITY, RegimeConfig, cold_links};
use chronos_exchange::{SimulatedVenue, SimulatedVenueConfig};
use chronos_market::features::FeatureConfig;
use chronos_market::tick::TickConfig;
use chronos_market::{ExecutionReport, Frame};
use chronos_pipeline::decision::{ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::journal::MappedJournal;
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::topology::{
    BackPressure, ColdLink, Fused, Ingest, IngestConfig, Observer, Trade, TradeConfig, Waiting, WindowSchedule,
};
use chronos_tests::allocation::{CountingAllocator, allocator_calls_of};
use generated::{instrument, market, predictor, source};

mod generated;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Nobody;

impl Observer for Nobody {
    fn frame(&mut self, _frame: &Frame, _net_quote: i128) {}
    fn report(&mut self, _report: &ExecutionReport) {}
}

#[test]
fn a_warm_session_allocates_nothing() {
    let instruments = [instrument()];
    let messages = market(20, 1);
    let folder = tempfile::tempdir().unwrap();
    let windows = WindowSchedule { window_ns: 1_000_000_000, lag_ns: 100_000_000 };
    let (ends, links) = cold_links(RECORDS_CAPACITY);
    let regime = RegimeConfig { window_ns: windows.window_ns, ..RegimeConfig::default() };
    let cold = ColdPath::start(ColdConfig { regime, record: None, quarantine: None, delay: None }, links).unwrap();
    let trade = Trade::new(
        &instruments,
        TradeConfig {
            session: 1,
            limits: RiskLimits::default(),
            windows,
            is_recording: true,
            back_pressure: BackPressure::default(),
        },
        ThresholdStrategy::new(ThresholdConfig { entry: 0.1, horizon_ns: 200_000_000, ..ThresholdConfig::default() }),
        SimulatedVenue::new(SimulatedVenueConfig::default(), &instruments).unwrap(),
        vec![predictor()],
        Some(MappedJournal::create(&folder.path().join("journal.bin"), 16 << 20).unwrap()),
        ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting: Waiting::Park },
        Nobody,
    );
    let config = IngestConfig {
        tick: TickConfig { warmup_ticks: 20, ..TickConfig::default() },
        features: FeatureConfig::default(),
        verify: true,
        cold_start: None,
    };
    let ingest = Ingest::new(&instruments, vec![source()], &config);
    let mut fused = Fused::new(ingest, trade);

    // Warm: snapshot joined, first orders, a first block of parameters.
    let warm = messages.len() / 4;
    let mut first = None;
    for (place, (recv, message)) in messages.iter().enumerate() {
        let calls = allocator_calls_of(|| assert_eq!(fused.on_message(0, *recv, message), Ok(())));
        if place >= warm && calls > 0 && first.is_none() {
            first = Some((place, calls));
        }
    }
    let (ingest, trade) = fused.finish();
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

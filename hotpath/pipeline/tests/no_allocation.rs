//! From the bytes of a message to an order: once warm, the hot path takes no memory and gives none back.

use chronos_coldpath::{ColdConfig, ColdPath, RECORDS_CAPACITY, RegimeConfig, cold_links};
use chronos_exchange::{SimulatedVenue, SimulatedVenueConfig};
use chronos_inference::trees::{Calibration, Forest, ForestParts, Link, Node, Precision, Split, Tree};
use chronos_market::features::{FeatureConfig, registry};
use chronos_market::tick::TickConfig;
use chronos_market::{ExecutionReport, Frame, PRICE_SCALE};
use chronos_pipeline::decision::{MetaFilter, MetaModel, ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::journal::{Journal, JournalConfig, SEGMENT_BYTES_MIN, WhenLate};
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::topology::{
    BackPressure, ColdLink, Fused, Ingest, IngestConfig, Observer, Trade, TradeConfig, Waiting, WindowSchedule,
};
use chronos_tests::allocation::{CountingAllocator, allocator_calls_of};
use generated::{instrument, market, predictor, source};
use std::time::Duration;

mod generated;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Nobody;

impl Observer for Nobody {
    fn frame(&mut self, _frame: &Frame, _net_quote: i128) {}
    fn report(&mut self, _report: &ExecutionReport) {}
}

/// Every limit in force, and wide.
fn every_limit() -> RiskLimits {
    let wide = 1_000_000_000 * i128::from(PRICE_SCALE);
    RiskLimits {
        position_gross_notional_quote_max: wide,
        exposure_notional_quote_max: wide,
        balance_quote: wide,
        open_orders_per_instrument_max: 64,
        open_positions_max: 64,
        turnover_quote_max: wide,
        messages_per_second_max: 1_000,
        messages_per_window_max: 4_000,
        duplicate_window_ns: 1,
        fills_per_order_max: 100,
        fills_per_strategy_max: 100,
        clock_offset_ns_max: 1_000_000_000_000,
        period_collar_bps: 5_000,
        market_move_bps: 5_000,
        pause_move_bps: 5_000,
        loss_per_trade_quote_max: wide,
        losses_in_a_row_max: 2,
        cooldown_ns: 1_000_000,
        daily_loss_quote_max: wide,
        drawdown_quote_max: wide,
        cdar_quote_max: wide,
        cdar_sample_ns: 10_000_000,
        breaker_failures_min: 5,
        ..RiskLimits::default()
    }
}

/// Lets sales through and most purchases not, by features and side.
fn meta_model() -> MetaModel {
    let features: Vec<usize> = (0..registry().len()).collect();
    let imbalance = registry().iter().position(|spec| spec.name == "imbalance_1").unwrap();
    let split = |feature, threshold, left, right| {
        Node::split(Split { feature, threshold, missing_left: true, zero_is_missing: false, left, right, gain: 1.0 }, 1.0)
    };
    let nodes = vec![
        split(features.len(), 0.0, 1, 2),
        Node::leaf(2.0, 1.0),
        split(imbalance, 0.0, 3, 4),
        Node::leaf(2.0, 1.0),
        Node::leaf(-2.0, 1.0),
    ];
    let parts = ForestParts {
        link: Link::Logistic { slope: 1.0 },
        precision: Precision::Single,
        features: features.len() + 2,
        feature_names: Vec::new(),
        base_margins: vec![0.0],
        trees: vec![Tree { output: 0, root: 0, nodes }],
    };
    MetaModel::new(Forest::new(parts).unwrap(), Calibration::Platt { a: -1.0, b: 0.0 }, features, 0.65).unwrap()
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
        TradeConfig { session: 1, limits: every_limit(), windows, is_recording: true, back_pressure: BackPressure::default() },
        MetaFilter::new(
            ThresholdStrategy::new(ThresholdConfig { entry: 0.1, horizon_ns: 200_000_000, ..ThresholdConfig::default() }),
            Some(meta_model()),
        ),
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
        cold_start: None,
        levels: None,
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
    let (ingest, mut trade) = fused.finish();
    let summary = trade.close_journal().unwrap().expect("a journal");
    assert!(summary.segments > 1, "too little was journaled: {summary:?}");
    let counters = trade.counters();
    assert!(
        counters.orders > 10 && trade.account().fills() > 10,
        "too little happened: {counters:?} {:?} {:?}",
        trade.strategy().counters(),
        trade.rejects().filter(|reject| reject.1 > 0).collect::<Vec<_>>()
    );
    assert!(counters.inferences > 1_000 && counters.parameters > 10, "too little happened: {counters:?}");
    let judged = trade.strategy().counters();
    assert!(judged.taken > 5 && judged.filtered > 5, "too little was judged: {judged:?}");
    assert!(ingest.checks().all(|(compared, mismatched, _)| compared > 10 && mismatched == 0));
    if let Some((place, calls)) = first {
        panic!("{calls} calls of the allocator at message {place}: {}", String::from_utf8_lossy(&messages[place].1));
    }
    drop((trade, ends.quarantine));
    cold.join().unwrap();
}

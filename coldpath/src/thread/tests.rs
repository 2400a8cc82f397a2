use super::*;
use crate::links::{HotEnds, cold_links};
use crate::store::Written;
use chronos_market::*;

const SECOND: i64 = NANOS_PER_SECOND;

/// Plays the hot side: sends the records, waits for the block of each window, retires it two windows later. `Err` where the cold
/// side went.
fn play(hot: &mut HotEnds, records: &[ColdRecord]) -> Result<Vec<ParameterBlock>, &'static str> {
    let (mut blocks, mut held) = (Vec::new(), std::collections::VecDeque::new());
    for &record in records {
        let mut record = record;
        while let Err(rtrb::PushError::Full(back)) = hot.records.push(record) {
            if hot.records.is_abandoned() {
                return Err("records abandoned");
            }
            record = back;
            std::thread::yield_now();
        }
        if let ColdRecord::WindowEnd(window) = record {
            let block = loop {
                let is_abandoned = hot.blocks.is_abandoned();
                match hot.blocks.pop() {
                    Ok(block) => break block,
                    Err(_) if is_abandoned => return Err("blocks abandoned"),
                    Err(_) => std::thread::yield_now(),
                }
            };
            assert_eq!(block.window, window);
            blocks.push((*block).clone());
            held.push_back(block);
            if held.len() > 2 {
                hot.retired.push(held.pop_front().expect("held")).expect("room for every block");
            }
        }
    }
    Ok(blocks)
}

/// Samples of two instruments, market events between them, and window ends, with windows without samples and a jump in time.
fn a_session(seed: u64, windows: i64) -> Vec<ColdRecord> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut records, mut log_mid, mut jump) = (Vec::new(), 10.0f64, 0);
    for index in 0..windows {
        if index == windows / 2 {
            jump = 20;
        }
        let index = index + jump;
        let samples = if rng.u32(0..6) == 0 { 0 } else { rng.i64(1..60) };
        for place in 0..samples {
            let recv = Timestamp(index * 10 * SECOND + place * 10 * SECOND / 60);
            log_mid += 1e-4 * (rng.f64() - 0.48);
            records.push(ColdRecord::Sample { recv, instrument: InstrumentId(0), mid: log_mid.exp() });
            records.push(ColdRecord::Sample { recv, instrument: InstrumentId(1), mid: rng.f64() * 100.0 });
            if rng.bool() {
                records.push(market_event(place as u64));
            }
        }
        let end = Timestamp((index + 1) * 10 * SECOND);
        records.push(ColdRecord::WindowEnd(Window { index, end, effective: end.plus_nanos(SECOND) }));
    }
    records
}

fn market_event(seq: u64) -> ColdRecord {
    ColdRecord::Market(MarketEvent {
        seq,
        recv_ns: 1,
        exchange_ns: 0,
        price: Price::ZERO,
        qty: Qty::ZERO,
        id: 0,
        instrument: InstrumentId(0),
        kind: EventKind::Heartbeat,
        side: Side::Buy,
        flags: EventFlags::NONE,
    })
}

/// Every bit of a block.
fn bytes(block: &ParameterBlock) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(block.seq.to_le_bytes());
    bytes.extend(block.window.index.to_le_bytes());
    bytes.extend(block.window.end.0.to_le_bytes());
    bytes.extend(block.window.effective.0.to_le_bytes());
    bytes.push(block.regime as u8);
    bytes.extend(block.size_scale.to_bits().to_le_bytes());
    bytes.extend(block.embedding.iter().flat_map(|place| place.to_bits().to_le_bytes()));
    bytes
}

fn run(config: ColdConfig, capacity: usize, records: &[ColdRecord]) -> (Vec<Vec<u8>>, ColdSummary) {
    let (mut hot, links) = cold_links(capacity);
    let handle = ColdPath::start(config, links).expect("starts");
    let blocks = play(&mut hot, records).expect("a block for each window");
    assert!(hot.blocks.is_empty(), "no block but the answers");
    drop(hot);
    (blocks.iter().map(bytes).collect(), handle.join().expect("ends well"))
}

#[test]
fn blocks_do_not_depend_on_delays_portions_or_room() {
    let records = a_session(7, 60);
    let (expected, summary) = run(ColdConfig::default(), 1 << 16, &records);
    assert_eq!(expected.len(), 60);
    assert_eq!((summary.records, summary.windows), (records.len() as u64, 60));
    assert_eq!(summary.regimes.iter().sum::<u64>(), 60);
    assert!(summary.regimes.iter().filter(|&&count| count > 0).count() >= 3, "{:?}", summary.regimes);
    for seed in 0..4 {
        for capacity in [3, 1 << 12] {
            let delayed = run(ColdConfig { delay: Some(seed), ..ColdConfig::default() }, capacity, &records);
            assert_eq!(delayed, (expected.clone(), summary.clone()));
        }
    }
}

#[test]
fn only_the_first_instrument_counts() {
    let mut records = a_session(7, 30);
    let (expected, _) = run(ColdConfig::default(), 1 << 16, &records);
    records.retain(|record| !matches!(record, ColdRecord::Sample { instrument: InstrumentId(1), .. }));
    assert_eq!(run(ColdConfig::default(), 1 << 16, &records).0, expected);
    records.retain(|record| !matches!(record, ColdRecord::Sample { instrument: InstrumentId(0), .. }));
    assert_ne!(run(ColdConfig::default(), 1 << 16, &records).0, expected);
}

#[test]
fn a_hot_side_that_takes_no_blocks_stops_nothing() {
    let (mut hot, links) = cold_links(4);
    let handle = ColdPath::start(ColdConfig::default(), links).expect("starts");
    let windows = 10 * crate::BLOCKS as i64;
    for index in 0..windows {
        let end = Timestamp(index * SECOND);
        let mut record = ColdRecord::WindowEnd(Window { index, end, effective: end });
        while let Err(rtrb::PushError::Full(back)) = hot.records.push(record) {
            record = back;
            std::thread::yield_now();
        }
    }
    drop(hot);
    assert_eq!(handle.join().expect("ends well").windows, windows as u64);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::with_cases(40) })]

    #[test]
    fn each_window_end_gets_one_block(
        kinds in proptest::collection::vec((0..4u8, proptest::prelude::any::<i64>(), proptest::prelude::any::<f64>()), 1..200),
        seed in proptest::option::of(0..100u64),
        capacity in 1..50usize,
    ) {
        let records: Vec<ColdRecord> = kinds.into_iter().map(|(kind, time, mid)| {
            let recv = Timestamp(time);
            match kind {
                0 => ColdRecord::WindowEnd(Window { index: time, end: recv, effective: recv }),
                1 => market_event(1),
                _ => ColdRecord::Sample { recv, instrument: InstrumentId(u16::from(kind) - 2), mid },
            }
        }).collect();
        let (mut hot, links) = cold_links(capacity);
        let handle = ColdPath::start(ColdConfig { delay: seed, ..ColdConfig::default() }, links).expect("starts");
        // `play` checks that each answer is for its window.
        let blocks = play(&mut hot, &records).expect("a block for each window");
        let ends = records.iter().filter(|record| matches!(record, ColdRecord::WindowEnd(_))).count();
        proptest::prop_assert_eq!(blocks.len(), ends);
        proptest::prop_assert!(blocks.iter().map(|block| block.seq).eq(1..=ends as u64));
        proptest::prop_assert!(hot.blocks.is_empty());
        drop(hot);
        proptest::prop_assert_eq!(handle.join().expect("ends well").windows, ends as u64);
    }
}

/// Takes a few rows, then does something else.
struct FailingSink {
    rows_left: u32,
    fail: fn() -> StoreError,
}

impl Sink for FailingSink {
    fn write(&mut self, _: &ColdRecord) -> Result<(), StoreError> {
        if self.rows_left == 0 {
            return Err((self.fail)());
        }
        self.rows_left -= 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn written(&self) -> Written {
        Written { rows: 3 - u64::from(self.rows_left), segments: Vec::new() }
    }
}

fn failing(fail: fn() -> StoreError) -> Option<Box<dyn Sink>> {
    Some(Box::new(FailingSink { rows_left: 3, fail }))
}

#[test]
fn a_panic_reaches_join_and_the_hot_side_does_not_wait_for_ever() {
    let (mut hot, links) = cold_links(8);
    let sink = failing(|| panic!("the disk of row {} is on fire", 3));
    let handle = start_with_sink(ColdConfig::default(), sink, links).expect("starts");
    let gone = play(&mut hot, &a_session(1, 100)).expect_err("no more blocks");
    assert!(gone.ends_with("abandoned"), "{gone}");
    let error = handle.join().expect_err("the panic");
    assert_eq!(error.to_string(), "cold path: recording panicked: the disk of row 3 is on fire");
}

#[test]
fn a_store_that_fails_ends_recording_and_nothing_else() {
    let records = a_session(1, 30);
    let (expected, summary) = run(ColdConfig::default(), 64, &records);
    let (mut hot, links) = cold_links(64);
    let sink = failing(|| StoreError::Io { action: "write", path: "disk".into(), source: std::io::Error::other("no space left") });
    let handle = start_with_sink(ColdConfig::default(), sink, links).expect("starts");
    let blocks = play(&mut hot, &records).expect("a block for each window");
    assert_eq!(blocks.iter().map(bytes).collect::<Vec<_>>(), expected);
    drop(hot);
    let error = handle.join().expect_err("the failure");
    assert_eq!(error.to_string(), "cold path: not everything was stored: cannot write disk: no space left");
    let ColdError::Incomplete { summary: got, .. } = error else { panic!("{error:?}") };
    assert_eq!(*got, ColdSummary { rows_written: 3, ..summary });
}

#[test]
fn a_refused_start_abandons_the_hot_side() {
    let (hot, links) = cold_links(8);
    let config = ColdConfig { regime: RegimeConfig { window_ns: 0, ..RegimeConfig::default() }, ..ColdConfig::default() };
    let error = ColdPath::start(config, links).map(|_| ()).expect_err("refused");
    assert_eq!(error.to_string(), "cold path: regime.window_ns must be above 0");
    assert!(hot.blocks.is_abandoned() && hot.records.is_abandoned());
}

#[test]
fn malformed_messages_land_beside_the_recording() {
    let folder = tempfile::tempdir().expect("folder");
    let record = RecordConfig::new(folder.path().join("run"));
    let (mut hot, links) = cold_links(8);
    let handle = ColdPath::start(ColdConfig { record: Some(record.clone()), ..ColdConfig::default() }, links).expect("starts");
    assert!(crate::push_quarantine(&mut hot.quarantine, 17, 42, 3, b"{\"e\":\n"));
    play(&mut hot, &[market_event(1), market_event(2)]).expect("takes them");
    drop(hot);
    let summary = handle.join().expect("ends well");
    assert_eq!((summary.quarantined, summary.quarantine_dropped, summary.rows_written), (1, 0, 2));
    assert_eq!(summary.segments, [record.folder.join("market-000001.parquet")]);
    let text = std::fs::read_to_string(record.folder.join("quarantine.txt")).expect("file");
    assert_eq!(text, "# line\trecv_ns\treason\traw\n17\t42\t3\t{\"e\":\\n\n");
}

#[test]
fn malformed_messages_with_nowhere_to_go_are_counted() {
    let (mut hot, links) = cold_links(8);
    let handle = ColdPath::start(ColdConfig::default(), links).expect("starts");
    assert!(crate::push_quarantine(&mut hot.quarantine, 1, 2, 3, b"x"));
    drop(hot);
    let summary = handle.join().expect("ends well");
    assert_eq!((summary.quarantined, summary.quarantine_dropped), (0, 1));
}

//! One order into the journal: what the hot path pays before each order leaves, and the same over many segments. And what the journal
//! costs the whole hot path: `--capture` drives a capture by turns without and with one, and prints the difference.
//!
//! For counting instructions, one pass and no more: `--appends N` appends N orders, `--drive with|without` drives a capture;
//! `valgrind --tool=callgrind --toggle-collect='*measured*' BENCH --appends 100000`, divided by N;
//! `valgrind --tool=callgrind --toggle-collect='*driven*' BENCH --drive with`, less that of `without`, divided by the records.

use chronos_benches::input::Input;
use chronos_benches::table;
use chronos_exchange::{SimulatedVenue, SimulatedVenueConfig};
use chronos_market::features::FeatureConfig;
use chronos_market::tick::TickConfig;
use chronos_market::{
    ExecutionReport, Frame, InstrumentId, NewOrder, OrderCommand, OrderId, Price, Qty, Side, TimeInForce, Timestamp,
    canonical_command,
};
use chronos_pipeline::decision::{ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::journal::{Journal, JournalConfig, RecordKind, Recovery, WhenLate};
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::topology::{
    BackPressure, ColdLink, Fused, Ingest, IngestConfig, Observer, Trade, TradeConfig, Waiting, WindowSchedule,
};
use chronos_session::capture::{Capture, CaptureItem};
use chronos_session::config::Config;
use criterion::{BatchSize, Criterion, Throughput};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// Orders appended to one journal.
const APPENDS: usize = 8_192;
/// Seconds of the generated session, where there is no real capture.
const DEMO_SECONDS: u32 = 60;
/// Pairs of runs over a capture, without and with a journal.
const PAIRS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let value_of = |name: &str| arguments.iter().position(|word| word == name).and_then(|place| arguments.get(place + 1));
    if let Some(appends) = value_of("--appends") {
        let folder = tempfile::tempdir()?;
        measured(&mut journal(&folder.path().join("journal"), 64 << 20), appends.parse()?);
        return Ok(());
    }
    if let Some(which) = value_of("--drive") {
        let drive = Drive::new()?;
        let run = drive.run(which == "with")?;
        println!("{} messages, {} records", drive.messages.len(), run.records);
        return Ok(());
    }
    if arguments.iter().any(|word| word == "--capture") {
        return compare();
    }
    let configured = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut criterion = configured.sample_size(20).configure_from_args();
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(APPENDS as u64));
    for (name, segment_bytes) in [("append an order", 4 << 20), ("append an order, segments of 64 KiB", 64 << 10)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut number = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || {
                    number += 1;
                    journal(&folder.path().join(number.to_string()), segment_bytes)
                },
                |journal| measured(journal, APPENDS),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Drives a capture by turns without and with a journal, and prints what the journal costs a message and a record.
fn compare() -> Result<(), Box<dyn Error>> {
    println!("{}", table::circumstances());
    let drive = Drive::new()?;
    println!("\ninput: {}\nsha256 (decompressed): {}", drive.input.name, drive.input.sha256);
    // The first pair only warms.
    let (mut differences, mut plain, mut journaled) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = 0;
    for pair in 0..=PAIRS {
        // Each goes first in every other pair: a host that slows down or speeds up favours neither.
        let is_first = pair % 2 == 0;
        let (one, other) = (drive.run(is_first)?, drive.run(!is_first)?);
        let (with, without) = if is_first { (one, other) } else { (other, one) };
        assert_eq!(with.digest, without.digest, "a journal changes no order");
        records = with.records;
        if pair > 0 {
            differences.push(with.nanos - without.nanos);
            plain.push(without.nanos);
            journaled.push(with.nanos);
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0])
    };
    let messages = drive.messages.len() as f64;
    println!("{messages} messages, {records} records; {PAIRS} pairs of runs, nanoseconds of the whole path, back to back");
    for (name, values) in [("without a journal", &mut plain), ("with a journal", &mut journaled)] {
        let (middle, best) = median(values);
        println!("  {name:<28} a message: median {:>8.1}, best {:>8.1}", middle / messages, best / messages);
    }
    let (difference, _) = median(&mut differences);
    let best = journaled[0] - plain[0];
    for (name, count) in [("a message", messages), ("a record", records as f64)] {
        println!("  difference, {name:<16} median of pairs {:>8.1}, of the best {:>8.1}", difference / count, best / count);
    }
    println!(
        "  spread of the pairs' differences: {:.1} to {:.1} a record",
        differences[0] / records as f64,
        differences[PAIRS - 1] / records as f64
    );
    Ok(())
}

/// A capture's messages in memory.
struct Drive {
    input: Input,
    capture: Capture,
    messages: Vec<(usize, Timestamp, Vec<u8>)>,
}

/// One pass over the messages.
struct Run {
    nanos: f64,
    /// Records of the journal; 0 without one.
    records: u64,
    digest: String,
}

struct Nobody;

impl Observer for Nobody {
    fn frame(&mut self, _frame: &Frame, _net_quote: i128) {}
    fn report(&mut self, _report: &ExecutionReport) {}
}

impl Drive {
    fn new() -> Result<Drive, Box<dyn Error>> {
        let input = match Input::real()? {
            Some(real) => real,
            None => Input::demo(DEMO_SECONDS)?,
        };
        let mut capture = Capture::open(std::slice::from_ref(&input.path), &Config::default())?;
        let mut messages = Vec::new();
        while let Some(item) = capture.next() {
            let CaptureItem::Message { connection, recv, message, .. } = item else { continue };
            messages.push((connection, recv, message.to_vec()));
        }
        Ok(Drive { input, capture, messages })
    }

    /// The fused driver without a model and with a strategy that trades often, so that there are records.
    fn run(&self, has_journal: bool) -> Result<Run, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("journal");
        let instruments = &self.capture.instruments;
        // Nobody reads the samples: each takes a message at least, so there is room for all.
        let (records, _records) = rtrb::RingBuffer::new(self.messages.len() + 1);
        let (_blocks, blocks) = rtrb::RingBuffer::new(1);
        let (retired, _retired) = rtrb::RingBuffer::new(1);
        let trade = Trade::new(
            instruments,
            TradeConfig {
                session: 1,
                limits: RiskLimits { orders_per_second_max: usize::MAX, ..RiskLimits::default() },
                // None ends: there is no cold path.
                windows: WindowSchedule { window_ns: i64::MAX / 4, lag_ns: 0 },
                is_recording: false,
                back_pressure: BackPressure::Lossless,
            },
            ThresholdStrategy::new(ThresholdConfig { entry: 0.05, horizon_ns: 20_000_000, ..ThresholdConfig::default() }),
            SimulatedVenue::new(SimulatedVenueConfig::default(), instruments)?,
            Vec::new(),
            has_journal.then(|| journal(&path, 16 << 20)),
            ColdLink { records, blocks, retired, waiting: Waiting::Spin },
            Nobody,
        );
        let config = IngestConfig {
            tick: TickConfig::default(),
            features: FeatureConfig::default(),
            verify: false,
            cold_start: None,
            levels: None,
        };
        let mut fused = Fused::new(Ingest::new(instruments, self.capture.sources(), &config), trade);
        let started = Instant::now();
        driven(&mut fused, &self.messages);
        let nanos = started.elapsed().as_nanos() as f64;
        let (_, mut trade) = fused.finish();
        let digest = trade.digest();
        trade.close_journal()?;
        let records = if has_journal { Recovery::open(&path)?.records } else { 0 };
        Ok(Run { nanos, records, digest })
    }
}

#[inline(never)]
fn driven(fused: &mut Fused<ThresholdStrategy, SimulatedVenue, Nobody>, messages: &[(usize, Timestamp, Vec<u8>)]) {
    for (connection, recv, message) in messages {
        // A message that cannot be used costs both the same.
        let _ = fused.on_message(*connection, *recv, message);
    }
}

fn journal(folder: &Path, segment_bytes: u64) -> Journal {
    let (folder, sync_interval, when_late) = (folder.to_owned(), Duration::from_millis(50), WhenLate::Wait);
    let config = JournalConfig { folder, session: 1, segment_bytes, sync_interval, when_late };
    Journal::create(&config).expect("room in the temporary folder")
}

#[inline(never)]
fn measured(journal: &mut Journal, appends: usize) {
    let command = OrderCommand::New(NewOrder {
        id: OrderId::new(1, 1),
        instrument: InstrumentId(0),
        side: Side::Buy,
        price: Price(61_804_700_000_000),
        qty: Qty(1_400_000),
        time_in_force: TimeInForce::ImmediateOrCancel,
        reduce_only: false,
        signal: 0.5,
    });
    for _ in 0..appends {
        let bytes = canonical_command(Timestamp(1), black_box(&command));
        journal.append(RecordKind::Order, 1, &bytes).expect("the journal takes it");
    }
}

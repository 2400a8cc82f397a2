//! One order into the journal: what the hot path pays before each order leaves, and the same over many segments.
//!
//! `--appends N` appends N orders once and no more, for counting instructions:
//! `valgrind --tool=callgrind --toggle-collect='*measured*' BENCH --appends 100000`, divided by N.

use chronos_market::{InstrumentId, NewOrder, OrderCommand, OrderId, Price, Qty, Side, TimeInForce, Timestamp, canonical_command};
use chronos_pipeline::journal::{Journal, JournalConfig, RecordKind, WhenLate};
use criterion::{BatchSize, Criterion, Throughput};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

/// Orders appended to one journal.
const APPENDS: usize = 8_192;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let appends = arguments.iter().position(|word| word == "--appends").and_then(|place| arguments.get(place + 1)?.parse().ok());
    if let Some(appends) = appends {
        let folder = tempfile::tempdir().expect("a temporary folder");
        measured(&mut journal(&folder.path().join("journal"), 64 << 20), appends);
        return;
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

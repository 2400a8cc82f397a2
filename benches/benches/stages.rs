//! Each stage of the hot path alone, beside an anchor measured in the same run where there is a plain way to do the same.
//!
//! Inputs come from the seeded generator, so that they run anywhere.

use chronos_benches::input::{demo_bytes, demo_snapshot};
use chronos_inference::{EngineChoice, Prediction, StepInput, StepSpec, StepWeights, load, write_onnx};
use chronos_market::book::{BookSync, DepthView, L2Book};
use chronos_market::decode::{
    BinanceDecoder, DecodeSink, Decoder, DepthMessage, LevelChange, Message, QuoteMessage, SnapshotMessage, TradeMessage,
    split_capture_line,
};
use chronos_market::features::{FeatureConfig, FeatureEngine, registry};
use chronos_market::{
    Contract, EventFlags, EventKind, Exchange, FEATURES_MAX, Frame, Instrument, InstrumentId, MarketEvent, NewOrder, OrderCommand,
    OrderId, Price, Qty, REGIME_EMBEDDING, Side, TimeInForce, Timestamp,
};
use chronos_pipeline::decision::{OrderIntent, StrategyId};
use chronos_pipeline::gateway::{OrderBytes, encode_order};
use chronos_pipeline::risk::{Risk, RiskLimits};
use criterion::{BatchSize, Criterion, Throughput};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

/// Seconds of the generated session.
const SECONDS: u32 = 20;

fn main() {
    let configured = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut criterion = configured.sample_size(30).configure_from_args();
    for stage in [decode, book, features, inference, order_path, ring] {
        stage(&mut criterion);
    }
    criterion.final_summary();
}

/// One message of each size that is decoded.
fn decode(criterion: &mut Criterion) {
    let session = Session::load();
    let mut sizes = vec![("bookTicker", session.raw_quotes[0].clone()), ("trade", session.raw_trades[0].clone())];
    for (name, levels) in [("depth of 20", 20), ("depth of 100", 100)] {
        sizes.push((name, depth_update(&session.changes, levels)));
    }
    sizes.push(("snapshot of 2 x 1,000", demo_snapshot(1_000).expect("written to memory")));
    for (name, raw) in &sizes {
        let mut group = criterion.benchmark_group(format!("decode/{name}"));
        group.throughput(Throughput::Bytes(raw.len() as u64));
        let mut decoder = BinanceDecoder::new();
        group.bench_function("chronos", |bencher| {
            bencher.iter(|| decoder.decode(black_box(raw), Timestamp(0), &mut Blind).expect("the generator's messages are sound"));
        });
        let mut buffers = simd_json::Buffers::new(1 << 20);
        group.bench_function("simd-json tape, anchor", |bencher| {
            bencher.iter_batched_ref(
                || raw.clone(),
                |bytes| simd_json::to_tape_with_buffers(bytes, &mut buffers).map(|tape| tape.0.len()).expect("JSON"),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("serde_json Value, anchor", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(raw)).expect("JSON"));
        });
    }
}

/// One level change with both best levels read, and the view that features read.
fn book(criterion: &mut Criterion) {
    let session = Session::load();
    let mut group = criterion.benchmark_group("book");
    group.throughput(Throughput::Elements(session.changes.len() as u64));
    let mut book = L2Book::new();
    group.bench_function("update and both bests, all changes", |bencher| {
        bencher.iter(|| {
            for change in &session.changes {
                let _ = book.set(change.side, change.price, change.qty);
                black_box(book.bbo());
            }
        });
    });
    let mut maps: [BTreeMap<i64, i64>; 2] = Default::default();
    group.bench_function("two BTreeMaps, anchor", |bencher| {
        bencher.iter(|| {
            for change in &session.changes {
                let map = &mut maps[change.side as usize];
                if change.qty.0 == 0 {
                    map.remove(&change.price.0);
                } else {
                    map.insert(change.price.0, change.qty.0);
                }
                black_box((maps[0].last_key_value(), maps[1].first_key_value()));
            }
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut view = DepthView::default();
    group.bench_function("view of the best 10", |bencher| bencher.iter(|| black_box(&book).view(black_box(&mut view))));
    group.throughput(Throughput::Elements(session.depths.len() as u64));
    group.bench_function("sync and apply, all depth messages", |bencher| {
        bencher.iter_batched_ref(
            BookSync::new,
            |sync| {
                let mut events = 0u64;
                for depth in &session.depths {
                    depth.apply(sync, &mut events);
                }
                events
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Streaming features, one event or one row.
fn features(criterion: &mut Criterion) {
    let session = Session::load();
    let mut engine = FeatureEngine::new(&FeatureConfig::default());
    let mut sync = BookSync::new();
    let mut views = Vec::new();
    for depth in &session.depths {
        depth.apply(&mut sync, &mut 0);
        let mut view = DepthView::default();
        sync.book().view(&mut view);
        views.push((depth.recv, view));
    }
    let mut group = criterion.benchmark_group("features");
    let mut place = 0;
    let mut now = Timestamp(0);
    let mut next = |len: usize| {
        place += 1;
        now = now.plus_nanos(1_000_000);
        (place % len, now)
    };
    group.bench_function("on_book", |bencher| {
        bencher.iter(|| {
            let (at, now) = next(views.len());
            engine.on_book(now, &views[at].1);
        });
    });
    group.bench_function("on_quote", |bencher| {
        bencher.iter(|| {
            let (at, now) = next(session.quotes.len());
            engine.on_quote(now, &session.quotes[at]);
        });
    });
    group.bench_function("on_trade", |bencher| {
        bencher.iter(|| {
            let (at, now) = next(session.trades.len());
            let (price, qty, aggressor) = session.trades[at];
            engine.on_trade(now, price, qty, aggressor);
        });
    });
    let mut row = [0.0; FEATURES_MAX];
    group.bench_function("write a row", |bencher| bencher.iter(|| engine.write(next(1).1, black_box(&mut row))));
    group.finish();
}

/// One step of a model of the standard size.
fn inference(criterion: &mut Criterion) {
    let spec = StepSpec::standard(registry().len());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.onnx");
    write_onnx(&StepWeights::untrained(&spec, 1), &[], &path).expect("written to a temporary folder");
    let values: Vec<f32> = (0..spec.features).map(|place| place as f32 * 0.1 - 1.0).collect();
    let input = StepInput { features: &values, dt_s: 0.05, regime: &[0.0; REGIME_EMBEDDING] };
    let mut prediction = Prediction::default();
    let mut group = criterion.benchmark_group(format!("step of {} parameters", spec.parameter_count()));
    for (name, choice) in [("native f32", EngineChoice::Native), ("tract", EngineChoice::Tract)] {
        let mut model = load(&path, choice).expect("a model of ours");
        group.bench_function(name, |bencher| {
            bencher.iter(|| model.step(black_box(&input), &mut prediction).expect("a sound input"))
        });
    }
    group.finish();
}

/// From an intent to bytes.
fn order_path(criterion: &mut Criterion) {
    let id = InstrumentId(0);
    let price = |units: i64| Price(units * 1_000_000_000);
    let instrument = Instrument {
        exchange: Exchange::BinanceUsdm,
        symbol: "BTCUSDT".into(),
        tick: Price(100_000_000),
        lot: Qty(100_000),
        contract: Contract::spot(),
    };
    let mut risk = Risk::new(&RiskLimits::default(), std::slice::from_ref(&instrument));
    let level = |price| chronos_market::Level { price, qty: Qty(100_000_000) };
    risk.on_book_state(id, chronos_market::BookState::Synced);
    risk.on_quote(Timestamp(0), id, chronos_market::Bbo { bid: level(price(60_000)), ask: level(price(60_001)) });
    let change = MarketEvent {
        seq: 1,
        recv_ns: 0,
        exchange_ns: 0,
        price: price(60_000),
        qty: Qty(1),
        id: 1,
        instrument: id,
        kind: EventKind::LevelSet,
        side: Side::Buy,
        flags: EventFlags::BATCH_END,
    };
    risk.on_event(Timestamp(0), &change);
    let intent = OrderIntent {
        strategy: StrategyId(0),
        instrument: id,
        side: Side::Buy,
        price: price(60_001),
        qty: Qty(1_000_000),
        time_in_force: TimeInForce::ImmediateOrCancel,
        reduce_only: false,
        signal: 0.5,
    };
    let command = OrderCommand::New(NewOrder {
        id: OrderId::new(1, 1),
        instrument: id,
        side: intent.side,
        price: intent.price,
        qty: intent.qty,
        time_in_force: intent.time_in_force,
        reduce_only: false,
        signal: 0.5,
    });
    assert_eq!(risk.check(Timestamp(1), &intent), Ok(()), "an order that passes every check is measured");
    let mut group = criterion.benchmark_group("order");
    group.bench_function("risk check", |bencher| bencher.iter(|| risk.check(Timestamp(1), black_box(&intent))));
    let mut bytes = OrderBytes::new();
    group.bench_function("encode", |bencher| bencher.iter(|| encode_order(black_box(&command), &instrument, &mut bytes)));
    group.finish();
}

/// A frame through a ring, on one thread: the cost of both ends, without the way between two cores.
fn ring(criterion: &mut Criterion) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Frame>::new(64);
    let frame = Frame {
        seq: 1,
        recv_ns: 1,
        elapsed_ns: 1,
        instrument: InstrumentId(0),
        book: chronos_market::BookState::Synced,
        warmup_left: 0,
        bbo: chronos_market::Bbo::default(),
        features: [1.0; FEATURES_MAX],
    };
    criterion.bench_function("ring/push and pop a frame", |bencher| {
        bencher.iter(|| {
            let _ = producer.push(black_box(frame));
            consumer.pop()
        });
    });
}

/// A generated session, decoded.
#[derive(Default)]
struct Session {
    raw_quotes: Vec<Vec<u8>>,
    raw_trades: Vec<Vec<u8>>,
    changes: Vec<LevelChange>,
    depths: Vec<Depth>,
    quotes: Vec<chronos_market::Bbo>,
    trades: Vec<(Price, Qty, Option<Side>)>,
}

/// A depth message or snapshot that owns its levels.
struct Depth {
    recv: Timestamp,
    /// First, final and previous id; `None` for a snapshot.
    ids: Option<(u64, Option<u64>)>,
    final_id: u64,
    levels: Vec<LevelChange>,
}

impl Depth {
    fn apply(&self, sync: &mut BookSync, events: &mut u64) {
        let mut emit = |event| {
            black_box(&event);
            *events += 1;
        };
        match self.ids {
            Some((first_id, previous_id)) => {
                let (final_id, levels) = (self.final_id, self.levels.as_slice());
                sync.on_depth(&DepthMessage { symbol: "", first_id, final_id, previous_id, exchange_ns: 0, levels }, &mut emit);
            }
            None => {
                sync.on_snapshot(
                    &SnapshotMessage { symbol: None, last_id: self.final_id, exchange_ns: 0, levels: &self.levels },
                    &mut emit,
                );
            }
        }
    }
}

impl Session {
    fn load() -> Session {
        let bytes = demo_bytes(SECONDS).expect("written to memory");
        let mut session = Session::default();
        let mut decoder = BinanceDecoder::new();
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line = split_capture_line(line).expect("the generator's lines are sound");
            let mut keep = Keep { session: &mut session, raw: line.message };
            decoder.decode(line.message, line.recv, &mut keep).expect("the generator's messages are sound");
        }
        session
    }
}

struct Keep<'a> {
    session: &'a mut Session,
    raw: &'a [u8],
}

impl DecodeSink for Keep<'_> {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        let session = &mut *self.session;
        match *message {
            Message::Depth(DepthMessage { first_id, final_id, previous_id, levels, .. }) => {
                session.changes.extend_from_slice(levels);
                session.depths.push(Depth { recv, ids: Some((first_id, previous_id)), final_id, levels: levels.to_vec() });
            }
            Message::Snapshot(SnapshotMessage { last_id, levels, .. }) => {
                session.depths.push(Depth { recv, ids: None, final_id: last_id, levels: levels.to_vec() });
            }
            Message::Quote(QuoteMessage { bbo, .. }) => {
                session.raw_quotes.push(self.raw.to_vec());
                session.quotes.push(bbo);
            }
            Message::Trade(TradeMessage { price, qty, aggressor, .. }) => {
                session.raw_trades.push(self.raw.to_vec());
                session.trades.push((price, qty, aggressor));
            }
            _ => {}
        }
    }
}

/// A sink that only makes sure the message is made.
struct Blind;

impl DecodeSink for Blind {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        black_box(message);
    }
}

/// A depth update of so many levels in the form of the venue, from the session's own changes.
fn depth_update(changes: &[LevelChange], levels: usize) -> Vec<u8> {
    let side = |side| {
        let of_side = changes.iter().filter(|change| change.side == side).take(levels / 2);
        of_side.map(|change| format!("[\"{:.2}\",\"{}\"]", change.price.to_f64(), change.qty)).collect::<Vec<_>>().join(",")
    };
    format!(
        "{{\"stream\":\"btcusdt@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1723161256299,\"T\":1723161256298,\"s\":\"BTCUSDT\",\
         \"U\":5123107832006,\"u\":5123107837557,\"pu\":5123107831937,\"b\":[{}],\"a\":[{}]}}}}",
        side(Side::Buy),
        side(Side::Sell)
    )
    .into_bytes()
}

//! Tick-to-trade of the whole hot path, on a generated session and, where there is one, on the real capture.
//!
//! **Throughput** replays a memory-mapped plain file as fast as it goes. **Paced** lets each message arrive at its intended time,
//! whether or not the one before it is done, and measures the response from that time, so that waiting behind a slow message
//! counts (no coordinated omission). Gaps between messages are as they were received, but idle time is cut to [`GAP_NS_MAX`]: the
//! bursts stay as they were, and a capture of minutes runs in seconds. Where a step of the model is longer than that cut, a queue
//! has less time to empty than it had in the market, so the response with a model is worse here than there.
//!
//! `--quick` takes a tenth of the messages, `--core N` pins the measuring thread, `--model none|native|tract|DIR` paces with that one alone, `DIR`
//! being the folder of a model.

use chronos_benches::input::Input;
use chronos_benches::table;
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Message};
use chronos_market::{Frame, MarketEvent, Timestamp};
use chronos_pipeline::latency::Stage;
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::{Crossing, Fused, Waiting, pin_current_thread};
use chronos_session::assembly::{Assembly, AssemblyOptions, assemble};
use chronos_session::capture::{Capture, CaptureItem};
use chronos_session::config::Config;
use chronos_session::model::ChosenModel;
use hdrhistogram::Histogram;
use std::error::Error;
use std::time::Instant;

/// Longest gap between the intended arrivals of two messages.
const GAP_NS_MAX: u64 = 1_000_000;
/// Seconds of the generated session.
const DEMO_SECONDS: u32 = 60;
/// Runs of the throughput mode; the median is told.
const THROUGHPUT_RUNS: usize = 5;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The allocator of the `chronos` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Outcome<()> {
    let arguments = Arguments::read()?;
    println!("{}", table::circumstances());
    let mut inputs = vec![Input::demo(if arguments.is_quick { DEMO_SECONDS / 10 } else { DEMO_SECONDS })?];
    match Input::real()? {
        Some(real) => inputs.push(real),
        None => println!("no real capture: set CHRONOS_DATA to a folder that holds one"),
    }
    for input in &inputs {
        println!("\ninput: {}\nsha256 (decompressed): {}", input.name, input.sha256);
        measure_throughput(input, &arguments)?;
        println!("{}", table::heading("paced; microseconds"));
        let chosen = arguments.model.as_deref().map(|model| vec![model]);
        for engine in chosen.unwrap_or_else(|| ENGINES.to_vec()) {
            measure_paced(input, engine, &arguments)?;
        }
    }
    Ok(())
}

/// What is paced.
const ENGINES: [&str; 3] = ["none", "native", "tract"];

struct Arguments {
    is_quick: bool,
    core: Option<usize>,
    model: Option<String>,
}

impl Arguments {
    fn read() -> Outcome<Arguments> {
        let mut arguments = Arguments { is_quick: false, core: None, model: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // What `cargo bench` passes to every bench.
                "--bench" => {}
                "--quick" => arguments.is_quick = true,
                "--core" => arguments.core = Some(words.next().ok_or("--core takes the number of a core")?.parse()?),
                "--model" => {
                    arguments.model = Some(words.next().ok_or("--model takes none, native, tract or the folder of a model")?);
                }
                other => return Err(format!("`{other}` is not an option; there are --quick, --core N and --model NAME").into()),
            }
        }
        Ok(arguments)
    }
}

fn config(engine: &str) -> Config {
    let mut config = Config::default();
    match engine {
        "none" => config.model.path = "none".into(),
        "native" | "tract" => {
            config.model.path = "untrained".into();
            config.model.engine = engine.into();
        }
        folder => config.model.path = folder.into(),
    }
    config
}

fn parts(capture: &Capture, config: &Config, arguments: &Arguments) -> Outcome<Assembly> {
    let model = ChosenModel::of(config)?;
    let waiting = Waiting::for_threads(2);
    let assembly = assemble(config, &model, &capture.instruments, capture.sources(), waiting, &AssemblyOptions::default())?;
    if let Some(core) = arguments.core {
        pin_current_thread(core)?;
    }
    Ok(assembly)
}

/// Lines a second of one core, from a mapped file, no inference: lines split, decoded, booked, features and decision ticks; then the
/// same with the trade group and the simulated venue, which keeps a second book.
fn measure_throughput(input: &Input, arguments: &Arguments) -> Outcome<()> {
    throughput(input, arguments, "ingest (decode, book, features, ticks)", |assembly, messages| {
        let Assembly { mut ingest, trade, cold, quarantine, .. } = assembly;
        let measured = messages(&mut |connection, recv, raw| {
            ingest.advance(recv, &mut Nowhere);
            Ok(ingest.on_message(connection, raw, &mut Nowhere)?)
        })?;
        drop((ingest, trade, quarantine));
        cold.join()?;
        Ok(measured)
    })?;
    throughput(input, arguments, "ingest, trade and simulated venue", |assembly, messages| {
        let Assembly { ingest, trade, cold, quarantine, .. } = assembly;
        let mut fused = Fused::new(ingest, trade);
        let measured = messages(&mut |connection, recv, raw| Ok(fused.on_message(connection, recv, raw)?))?;
        drop((fused.finish(), quarantine));
        cold.join()?;
        Ok(measured)
    })
}

/// Feeds every message of a capture to its argument; gives the number of lines and the seconds they took.
type Messages<'a> = dyn FnMut(&mut dyn FnMut(usize, Timestamp, &[u8]) -> Outcome<()>) -> Outcome<(usize, f64)> + 'a;

fn throughput(
    input: &Input,
    arguments: &Arguments,
    what: &str,
    run: impl Fn(Assembly, &mut Messages<'_>) -> Outcome<(usize, f64)>,
) -> Outcome<()> {
    let config = config("none");
    let mut rates = Vec::new();
    let mut lines = 0;
    for _ in 0..THROUGHPUT_RUNS {
        let mut capture = Capture::open(std::slice::from_ref(&input.path), &config)?;
        let assembly = parts(&capture, &config, arguments)?;
        let (count, seconds) = run(assembly, &mut |take| {
            let mut lines = 0;
            let started = Instant::now();
            while let Some(item) = capture.next() {
                lines += 1;
                match item {
                    CaptureItem::Message { connection, recv, message, .. } => take(connection, recv, message)?,
                    CaptureItem::Broken { error, .. } => return Err(error.into()),
                }
            }
            Ok((lines, started.elapsed().as_secs_f64()))
        })?;
        lines = count;
        rates.push(lines as f64 / seconds);
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "throughput, {what}: {:.0} messages/s a core (median of {THROUGHPUT_RUNS}; {:.0} to {:.0}); {lines} messages of {} bytes",
        rates[THROUGHPUT_RUNS / 2],
        rates[0],
        rates[THROUGHPUT_RUNS - 1],
        input.bytes.len() / lines.max(1)
    );
    Ok(())
}

/// Takes what `ingest` hands on, and does nothing with it.
struct Nowhere;

impl Crossing for Nowhere {
    fn event(&mut self, event: &MarketEvent) {
        std::hint::black_box(event);
    }

    fn frame(&mut self, frame: &Frame, _started: Started) {
        std::hint::black_box(frame);
    }
}

/// A message and when it is to arrive.
struct Arrival {
    connection: usize,
    recv: Timestamp,
    raw: Vec<u8>,
    depth: Option<Stage>,
    /// Nanoseconds from the arrival before.
    gap_ns: u64,
}

fn arrivals(input: &Input, config: &Config, arguments: &Arguments) -> Outcome<(Capture, Vec<Arrival>)> {
    let mut capture = Capture::open(std::slice::from_ref(&input.path), config)?;
    let mut arrivals: Vec<Arrival> = Vec::new();
    let mut decoder = BinanceDecoder::new();
    while let Some(CaptureItem::Message { connection, recv, message, .. }) = capture.next() {
        let mut levels = Levels(None);
        decoder.decode(message, recv, &mut levels)?;
        let gap_ns = arrivals.last().map_or(0, |last| u64::try_from(recv.0 - last.recv.0).unwrap_or(0).min(GAP_NS_MAX));
        arrivals.push(Arrival { connection, recv, raw: message.to_vec(), depth: levels.0.map(Stage::of_depth), gap_ns });
    }
    if arguments.is_quick {
        arrivals.truncate(arrivals.len() / 10);
    }
    Ok((capture, arrivals))
}

struct Levels(Option<usize>);

impl DecodeSink for Levels {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        self.0 = match message {
            Message::Depth(depth) => Some(depth.levels.len()),
            Message::Snapshot(snapshot) => Some(snapshot.levels.len()),
            _ => None,
        };
    }
}

fn measure_paced(input: &Input, engine: &str, arguments: &Arguments) -> Outcome<()> {
    let config = config(engine);
    let (capture, arrivals) = arrivals(input, &config, arguments)?;
    let Assembly { ingest, trade, cold, quarantine, engine } = parts(&capture, &config, arguments)?;
    let mut fused = Fused::new(ingest, trade);
    let mut responses = Responses::new()?;
    let mut busy_ns = 0;
    let mut receive_buffer = Vec::with_capacity(arrivals.iter().map(|arrival| arrival.raw.len()).max().unwrap_or(0));
    let clock = quanta::Clock::new();
    let began = clock.raw();
    let elapsed_ns = || clock.delta_as_nanos(began, clock.raw());
    let (mut intended, mut recv) = (0, arrivals.first().map_or(0, |first| first.recv.0));
    for arrival in &arrivals {
        let last_intended = intended;
        intended += arrival.gap_ns;
        loop {
            let now = elapsed_ns();
            if now >= intended {
                break;
            }
            // Timers fire when they are due: idle time was cut from the middle of the gap.
            let (gone, left) = (now.saturating_sub(last_intended), intended - now);
            let logical = if gone < arrival.gap_ns / 2 { recv + gone as i64 } else { arrival.recv.0 - left as i64 };
            fused.advance(Timestamp(logical.clamp(recv, arrival.recv.0.max(recv))));
            fused.flush();
            fused.idle();
        }
        recv = recv.max(arrival.recv.0);
        // What a socket's read leaves behind: the message in a buffer that the core has just written.
        receive_buffer.clear();
        receive_buffer.extend_from_slice(&arrival.raw);
        let frames = fused.ingest().counters().frames;
        let begun = elapsed_ns();
        fused.advance(arrival.recv);
        let taken = fused.take(arrival.connection, &receive_buffer);
        let done = elapsed_ns();
        taken?;
        responses.record(arrival.depth, fused.ingest().counters().frames > frames, done.saturating_sub(intended));
        fused.flush();
        busy_ns += elapsed_ns() - begun;
    }
    let wall_ns = elapsed_ns();
    let (ingest, trade) = fused.finish();
    println!(
        "model {engine}: {} messages in {:.1} s, {:.0}% busy, {} orders, digest {}",
        arrivals.len(),
        wall_ns as f64 / 1e9,
        100.0 * busy_ns as f64 / wall_ns as f64,
        trade.counters().orders,
        &trade.digest()[..16]
    );
    let service = ingest.latencies();
    for (name, stage) in [
        ("tick-to-trade, all messages", Stage::TickToTrade),
        ("tick-to-trade, depth up to 20 levels", Stage::TickToTradeDepthTo20),
        ("tick-to-trade, depth 21 to 100", Stage::TickToTradeDepthTo100),
        ("tick-to-trade, depth over 100", Stage::TickToTradeDepthOver100),
        ("of it: decode", Stage::Decode),
        ("of it: book, depth messages", Stage::Book),
        ("of it: features", Stage::Features),
    ] {
        println!("{}", table::row(name, service.histogram(stage)));
    }
    println!("{}", table::row("decision ticks, from what fired them", trade.latencies().histogram(Stage::DecisionTick)));
    println!("{}", table::row("one step of the model", trade.latencies().histogram(Stage::Inference)));
    responses.print();
    drop((trade, quarantine));
    cold.join()?;
    Ok(())
}

/// From the intended arrival to the end of what a message caused, nanoseconds.
struct Responses {
    all: Histogram<u64>,
    depth: Histogram<u64>,
    by_size: [Histogram<u64>; 3],
    ticks: Histogram<u64>,
}

impl Responses {
    fn new() -> Outcome<Responses> {
        let empty = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(Responses {
            all: empty.clone(),
            depth: empty.clone(),
            by_size: [empty.clone(), empty.clone(), empty.clone()],
            ticks: empty,
        })
    }

    fn record(&mut self, depth: Option<Stage>, fired: bool, nanos: u64) {
        self.all.saturating_record(nanos);
        if let Some(size) = depth {
            self.depth.saturating_record(nanos);
            let place = match size {
                Stage::TickToTradeDepthTo20 => 0,
                Stage::TickToTradeDepthTo100 => 1,
                _ => 2,
            };
            self.by_size[place].saturating_record(nanos);
        }
        if fired {
            self.ticks.saturating_record(nanos);
        }
    }

    fn print(&self) {
        let [to_20, to_100, over_100] = &self.by_size;
        for (name, histogram) in [
            ("response from intended arrival, all", &self.all),
            ("response, depth messages", &self.depth),
            ("response, depth up to 20 levels", to_20),
            ("response, depth 21 to 100", to_100),
            ("response, depth over 100", over_100),
            ("response, messages that fired a tick", &self.ticks),
        ] {
            println!("{}", table::row(name, histogram));
        }
    }
}

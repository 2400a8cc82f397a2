//! Labels at scale, beside numpy and pandas on the same input in the same run, where Python has them.
//!
//! `CHRONOS_PYTHON` names the interpreter (default `python3`); without numpy and pandas there the reference is skipped, and the run says so.
//! The reference (`reference/labels.py`) takes a part of the work and is scaled up by it: whole it would take hours.

use chronos_benches::measure::{float_bytes, input_sha256, integer_bytes, measure, reference};
use chronos_benches::table::circumstances;
use chronos_research::labels::{Adjust, Horizon, Span, TripleBarrier, cusum_events, one_bar_volatility, triple_barrier};
use chronos_research::weights::{SequentialBootstrap, average_uniqueness, concurrency};
use std::error::Error;

const BARS: usize = 1_000_000;
const LABELS: usize = 100_000;
const RUNS: usize = 20;
/// Runs of what takes seconds.
const RUNS_LONG: usize = 3;
/// The parts that the reference takes.
const REFERENCE: [usize; 2] = [5_000, 100];

fn main() -> Result<(), Box<dyn Error>> {
    println!("{}\n", circumstances());
    let closes = walk();
    println!("input: a walk of {BARS} bars, SHA-256 of its closes {}\n", input_sha256([&float_bytes(&closes)[..]]));
    let times: Vec<i64> = (0..BARS as i64).map(|row| row * 60_000_000_000).collect();
    let targets = one_bar_volatility(&closes, 100.0, Adjust::Yes).expect("prices are positive");
    let logs: Vec<f64> = closes.iter().map(|close| close.ln()).collect();
    let thresholds: Vec<f64> = targets.iter().map(|target| if *target > 0.0 { 2.0 * target } else { f64::NAN }).collect();
    let every: Vec<usize> = (0..BARS).collect();
    let moves = cusum_events(&logs, &thresholds).expect("thresholds are positive");

    println!("triple barrier, {BARS} bars; goal 0.25 s");
    let near = TripleBarrier { profit: Some(2.0), stop: Some(2.0), horizon: Some(Horizon::Bars(100)), return_min: 0.0 };
    let far = TripleBarrier { profit: Some(200.0), horizon: Some(Horizon::Bars(100_000)), ..near };
    for (name, events, barriers) in [
        ("an event at each bar, 2 targets, 100 bars", &every, near),
        ("an event at each bar, 200 targets, 100,000 bars", &every, far),
        ("CUSUM events of 2 targets, 2 targets, 100 bars", &moves, near),
    ] {
        let label = || triple_barrier(&times, &closes, events, &targets, None, &barriers).expect("sound input").labels.len();
        measure(&format!("{name}, {} events", events.len()), RUNS, label);
    }
    let all: Vec<Span> = triple_barrier(&times, &closes, &every, &targets, None, &near)
        .expect("sound input")
        .labels
        .iter()
        .map(|label| label.span)
        .collect();
    measure(&format!("concurrency and average uniqueness, {} labels", all.len()), RUNS, || {
        concurrency(&all, BARS).expect("sound spans").len() + average_uniqueness(&all, BARS).expect("sound spans").len()
    });

    println!("\nsequential bootstrap, {LABELS} draws of {LABELS} labels over {BARS} bars; goal 30 s");
    let mut random = fastrand::Rng::with_seed(2);
    let mut starts: Vec<usize> = (0..LABELS).map(|_| random.usize(0..BARS - 2_000)).collect();
    starts.sort_unstable();
    let spans_of = |length_max: usize, random: &mut fastrand::Rng| -> Vec<Span> {
        starts.iter().map(|start| Span { start: *start, end: start + random.usize(0..length_max) }).collect()
    };
    let short = spans_of(100, &mut random);
    for (name, spans) in [("labels of 1 to 100 bars", &short), ("labels of 1 to 2,000 bars", &spans_of(2_000, &mut random))] {
        measure(name, RUNS_LONG, || {
            let mut bootstrap = SequentialBootstrap::new(spans, BARS).expect("sound spans");
            bootstrap.sample(LABELS, &mut fastrand::Rng::with_seed(3)).len()
        });
    }

    println!("\nthe same by Python");
    let folder = tempfile::tempdir()?;
    for (name, bytes) in [
        ("closes", float_bytes(&closes)),
        ("targets", float_bytes(&targets)),
        ("starts", integer_bytes(short.iter().map(|span| span.start as i64))),
        ("ends", integer_bytes(short.iter().map(|span| span.end as i64))),
    ] {
        std::fs::write(folder.path().join(name), bytes)?;
    }
    let counts = [REFERENCE[0], REFERENCE[1], BARS, LABELS].map(|count| count.to_string());
    reference("labels.py", &[&[folder.path().display().to_string()][..], &counts].concat());
    Ok(())
}

/// A walk with quiet and wild times.
fn walk() -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut close: f64 = 100.0;
    let mut next = |row: usize| {
        let size = if (row / 5_000).is_multiple_of(3) { 0.004 } else { 0.001 };
        close *= 1.0 + size * (random.f64() - 0.5);
        close
    };
    (0..BARS).map(&mut next).collect()
}

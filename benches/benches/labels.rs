//! Labels at scale, beside numpy and pandas on the same input in the same run, where Python has them.
//!
//! `CHRONOS_PYTHON` names the interpreter (default `python3`); without numpy and pandas there the reference is skipped, and the run says so.
//! The references take a part of the work and are scaled up by it: whole they would take hours.

use chronos_benches::table::circumstances;
use chronos_research::labels::{Adjust, Horizon, Span, TripleBarrier, cusum_events, one_bar_volatility, triple_barrier};
use chronos_research::weights::{SequentialBootstrap, average_uniqueness, concurrency};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const BARS: usize = 1_000_000;
const LABELS: usize = 100_000;
const RUNS: usize = 5;

fn main() {
    println!("{}\n", circumstances());
    let closes = walk();
    let times: Vec<i64> = (0..BARS as i64).map(|row| row * 60_000_000_000).collect();
    let targets = one_bar_volatility(&closes, 100.0, Adjust::Yes).expect("prices are positive");
    let logs: Vec<f64> = closes.iter().map(|close| close.ln()).collect();
    let thresholds: Vec<f64> = targets.iter().map(|target| if *target > 0.0 { 2.0 * target } else { f64::NAN }).collect();
    let every: Vec<usize> = (0..BARS).collect();
    let moves = cusum_events(&logs, &thresholds).expect("thresholds are positive");

    println!("triple barrier, {BARS} bars, median of {RUNS}; goal 0.25 s");
    let near = TripleBarrier { profit: Some(2.0), stop: Some(2.0), horizon: Some(Horizon::Bars(100)), return_min: 0.0 };
    let far = TripleBarrier { profit: Some(200.0), horizon: Some(Horizon::Bars(100_000)), ..near };
    for (name, events, barriers) in [
        ("an event at each bar, 2 targets, 100 bars", &every, near),
        ("an event at each bar, 200 targets, 100,000 bars", &every, far),
        ("CUSUM events of 2 targets, 2 targets, 100 bars", &moves, near),
    ] {
        let label = || triple_barrier(&times, &closes, events, &targets, None, &barriers).expect("sound input").labels.len();
        println!("  {name:<52} {:>9} events {:>9.3} s", events.len(), median(label));
    }
    let all: Vec<Span> = triple_barrier(&times, &closes, &every, &targets, None, &near)
        .expect("sound input")
        .labels
        .iter()
        .map(|label| label.span)
        .collect();
    println!(
        "  {:<52} {:>9} labels {:>9.3} s",
        "their concurrency and average uniqueness",
        all.len(),
        median(|| {
            concurrency(&all, BARS).expect("sound spans").len() + average_uniqueness(&all, BARS).expect("sound spans").len()
        })
    );

    println!("\nsequential bootstrap, {LABELS} draws of {LABELS} labels over {BARS} bars, once; goal 30 s");
    let mut random = fastrand::Rng::with_seed(2);
    let mut starts: Vec<usize> = (0..LABELS).map(|_| random.usize(0..BARS - 2_000)).collect();
    starts.sort_unstable();
    let spans_of = |length_max: usize, random: &mut fastrand::Rng| -> Vec<Span> {
        starts.iter().map(|start| Span { start: *start, end: start + random.usize(0..length_max) }).collect()
    };
    let short = spans_of(100, &mut random);
    for (name, spans) in [("labels of 1 to 100 bars", &short), ("labels of 1 to 2,000 bars", &spans_of(2_000, &mut random))] {
        let started = Instant::now();
        let mut bootstrap = SequentialBootstrap::new(spans, BARS).expect("sound spans");
        black_box(bootstrap.sample(LABELS, &mut fastrand::Rng::with_seed(3)).len());
        println!("  {name:<52} {:>26.2} s", started.elapsed().as_secs_f64());
    }
    println!();
    if let Err(reason) = reference(&closes, &targets, &short) {
        println!("reference skipped: {reason}");
    }
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

fn median(mut run: impl FnMut() -> usize) -> f64 {
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            black_box(run());
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[RUNS / 2]
}

/// The book's code for the barriers (snippet 3.2) on some events, and the bootstrap by numpy with prefix sums for some draws.
const REFERENCE: &str = r#"
import sys, time
import numpy as np, pandas as pd
folder, events_count, draws = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
close = pd.Series(np.fromfile(folder + "/closes", np.float64))
target = np.fromfile(folder + "/targets", np.float64)
events = np.arange(1000, 1000 + events_count)
started = time.perf_counter()
for event in events:
    path = close.iloc[event:event + 101]
    path = path / path.iloc[0] - 1
    (path[path > 2 * target[event]].index.min(), path[path < -2 * target[event]].index.min())
barriers = time.perf_counter() - started
start, end = np.fromfile(folder + "/starts", np.int64), np.fromfile(folder + "/ends", np.int64)
count = np.zeros(len(close))
rng = np.random.default_rng(0)
started = time.perf_counter()
for _ in range(draws):
    sums = np.concatenate(([0.0], np.cumsum(1.0 / (1.0 + count))))
    average = (sums[end + 1] - sums[start]) / (end - start + 1)
    cumulative = np.cumsum(average)
    label = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    count[start[label]:end[label] + 1] += 1
bootstrap = time.perf_counter() - started
print(f"numpy {np.__version__}, pandas {pd.__version__}: {barriers} {bootstrap}")
"#;

fn reference(closes: &[f64], targets: &[f64], spans: &[Span]) -> Result<(), String> {
    const EVENTS: usize = 5_000;
    const DRAWS: usize = 100;
    let python = std::env::var("CHRONOS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let floats =
        |name: &str, values: &[f64]| write(folder.path(), name, values.iter().flat_map(|value| value.to_le_bytes()).collect());
    let places = |name: &str, of: fn(&Span) -> usize| {
        write(folder.path(), name, spans.iter().flat_map(|span| (of(span) as i64).to_le_bytes()).collect())
    };
    floats("closes", closes)?;
    floats("targets", targets)?;
    places("starts", |span| span.start)?;
    places("ends", |span| span.end)?;
    let arguments = [folder.path().display().to_string(), EVENTS.to_string(), DRAWS.to_string()];
    let ran = Command::new(&python).arg("-c").arg(REFERENCE).args(arguments).output();
    let output = ran.map_err(|error| format!("{python}: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{python}: {}", errors.lines().last().unwrap_or("it failed")));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (versions, seconds) = text.trim().rsplit_once(": ").ok_or("its answer has no figures")?;
    let seconds: Vec<f64> = seconds.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [barriers, bootstrap] = seconds[..] else { return Err("its answer has no figures".to_owned()) };
    println!("reference, {versions}");
    let scaled = |seconds: f64, of: usize, part: usize| seconds * of as f64 / part as f64;
    println!("  the book's barriers, {EVENTS} events {barriers:.2} s; for {BARS} {:.0} s", scaled(barriers, BARS, EVENTS));
    println!(
        "  bootstrap with prefix sums, {DRAWS} draws {bootstrap:.2} s; for {LABELS} {:.0} s",
        scaled(bootstrap, LABELS, DRAWS)
    );
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: Vec<u8>) -> Result<(), String> {
    std::fs::write(folder.join(name), bytes).map_err(|error| format!("{name}: {error}"))
}

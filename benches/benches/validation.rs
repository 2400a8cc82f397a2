//! Index sets of combinatorial purged cross-validation on a million labels, 10 folds of which 2 are tested, beside Python in the
//! same run.
//!
//! `cargo bench -p chronos-benches --bench validation`; `PYTHON` names an interpreter that has numpy, and skfolio if it shall be
//! measured.

use chronos_research::validation::{Embargo, LabelSpans, Split, Splitter};
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

/// Labels.
const ROWS: usize = 1_000_000;
/// A label lasts up to so many rows.
const LABEL_ROWS: i64 = 50;
/// Rows purged on both sides, in bars.
const PURGE_BARS: usize = 50;
/// Rows of the embargo.
const EMBARGO_BARS: usize = 100;
/// Runs, of which the median counts.
const RUNS: usize = 9;
/// Seconds it may take.
const TARGET: f64 = 1.0;

fn main() {
    let mut random = fastrand::Rng::with_seed(1);
    let starts: Vec<i64> = (0..ROWS as i64).collect();
    let ends: Vec<i64> = starts.iter().map(|start| start + random.i64(1..=LABEL_ROWS)).collect();
    let splitter =
        |purge_bars| Splitter::CombinatorialPurged { folds: 10, test_folds: 2, purge_bars, embargo: Embargo::bars(EMBARGO_BARS) };
    let by_times = || {
        let spans = LabelSpans::labels(&starts, &ends).expect("sorted, and no label ends before it starts");
        splitter(0).splits(&spans).expect("there is enough to train on")
    };
    let by_bars = || splitter(PURGE_BARS).splits(&LabelSpans::bars(ROWS)).expect("there is enough to train on");
    println!("{ROWS} labels, 10 folds, 2 tested: median of {RUNS} runs, seconds (target {TARGET})");
    measure("ranges, purged by label times", by_times);
    measure("ranges, purged by bars", by_bars);
    measure("row numbers, purged by label times", || rows(&by_times()));
    measure("row numbers, purged by bars", || rows(&by_bars()));
    reference();
}

/// Every row number of every split, as Python gives them.
fn rows(splits: &[Split]) -> usize {
    let rows = |split: &Split| {
        let (train, test): (Vec<usize>, Vec<usize>) = (split.train_rows().collect(), split.test_rows().collect());
        black_box((&train, &test));
        train.len()
    };
    splits.iter().map(rows).sum()
}

fn measure<T>(name: &str, of: impl Fn() -> T) {
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            black_box(of());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("{name:40} {:.6}", seconds[RUNS / 2]);
}

/// The same by Python, purged by bars, which is what it knows.
fn reference() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/combinatorial_splits.py");
    let arguments = [ROWS, 10, 2, PURGE_BARS, EMBARGO_BARS].map(|value| value.to_string());
    match Command::new(&python).arg(script).args(arguments).output() {
        Ok(output) if output.status.success() => {
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let mut words = line.split_whitespace();
                let (name, seconds) = (words.next().unwrap_or_default(), words.next().and_then(|seconds| seconds.parse().ok()));
                println!("{:40} {:.6}", format!("row numbers, purged by bars, {name}"), seconds.unwrap_or(f64::NAN));
            }
        }
        Ok(output) => {
            println!("{python} has no numpy: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default())
        }
        Err(error) => println!("{python} cannot be run: {error}"),
    }
}

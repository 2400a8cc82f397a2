//! Index sets of combinatorial purged cross-validation on a million labels, 10 folds of which 2 are tested, beside Python in the
//! same run.
//!
//! `cargo bench -p chronos-benches --bench validation`; `CHRONOS_PYTHON` names an interpreter (default `python3`) that has numpy, and
//! skfolio if it shall be measured.

use chronos_benches::measure::{input_sha256, integer_bytes, measure, reference};
use chronos_benches::table::circumstances;
use chronos_research::validation::{Embargo, LabelSpans, Split, Splitter};
use std::hint::black_box;

/// Labels.
const ROWS: usize = 1_000_000;
/// A label lasts up to so many rows.
const LABEL_ROWS: i64 = 50;
/// Rows purged on both sides, in bars.
const PURGE_BARS: usize = 50;
/// Rows of the embargo.
const EMBARGO_BARS: usize = 100;
/// Runs of each.
const RUNS: usize = 20;
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
    println!("{}\n", circumstances());
    let hash = input_sha256([&integer_bytes(starts.iter().copied())[..], &integer_bytes(ends.iter().copied())]);
    println!("{ROWS} labels, SHA-256 of their starts and ends {hash}; 10 folds, 2 tested; goal {TARGET} s");
    measure("ranges, purged by label times", RUNS, by_times);
    measure("ranges, purged by bars", RUNS, by_bars);
    measure("row numbers, purged by label times", RUNS, || rows(&by_times()));
    measure("row numbers, purged by bars", RUNS, || rows(&by_bars()));
    // Purged by bars, which is what these know.
    println!("\nthe same by Python");
    reference("combinatorial_splits.py", &[ROWS, 10, 2, PURGE_BARS, EMBARGO_BARS].map(|value| value.to_string()));
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

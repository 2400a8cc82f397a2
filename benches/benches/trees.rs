//! Boosted trees: one row scored on the hot path, and exact contributions of many rows, beside XGBoost and the shap package.
//!
//! The anchors run on the same model and rows in the same run where `CHRONOS_PYTHON` names a Python that has xgboost and shap.

use chronos_benches::table;
use chronos_inference::trees::{Forest, write_xgboost};
use chronos_research::trees::{Loss, Rows, Sample, TrainConfig, TreeShap, interventional_contributions, train};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const FEATURES: usize = 20;
const TRAINING_ROWS: usize = 20_000;
const EXPLAINED_ROWS: usize = 10_000;
const BACKGROUND_ROWS: usize = 50;
const TREES: usize = 100;
const DEPTH: usize = 6;
/// Runs of each measurement; the fastest and the median are told.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", table::circumstances());
    let values = values();
    let rows = Rows::new(&values, FEATURES)?;
    let labels = labels(rows);
    let config = TrainConfig { rounds: TREES, depth_max: DEPTH, ..TrainConfig::new(Loss::Logistic) };
    let sample = Sample { rows, labels: &labels, weights: None };
    tell(&format!("train {TREES} trees of depth {DEPTH} on {TRAINING_ROWS} rows x {FEATURES}"), 2, || {
        black_box(train(&config, &[], sample, None).map(|trained| trained.validation.len()).unwrap_or_default());
    });
    let forest = train(&config, &[], sample, None)?.forest;
    let leaves: usize = forest.trees().iter().map(|tree| tree.nodes.iter().filter(|node| node.split.is_none()).count()).sum();
    println!("forest: {} trees, {leaves} leaves", forest.trees().len());

    score(&forest, rows);
    let explained = Rows::new(&values[..EXPLAINED_ROWS * FEATURES], FEATURES)?;
    let shap = TreeShap::new(&forest)?;
    tell(&format!("contributions of {EXPLAINED_ROWS} rows"), RUNS, || {
        black_box(shap.contributions(black_box(explained)).map(|all| all.len()).unwrap_or_default());
    });
    let background = Rows::new(&values[values.len() - BACKGROUND_ROWS * FEATURES..], FEATURES)?;
    let few = Rows::new(&values[..1_000 * FEATURES], FEATURES)?;
    tell(&format!("interventional contributions of 1000 rows, {BACKGROUND_ROWS} of background"), 2, || {
        black_box(interventional_contributions(&forest, few, background).map(|all| all.len()).unwrap_or_default());
    });
    match std::env::var_os("CHRONOS_PYTHON") {
        Some(python) => anchors(Path::new(&python), &forest, explained),
        None => {
            println!("anchors: set CHRONOS_PYTHON to a Python with xgboost and shap");
            Ok(())
        }
    }
}

/// Nanoseconds of one row, the rows in turn.
fn score(forest: &Forest, rows: Rows<'_>) {
    let mut sum = 0.0;
    let elapsed = fastest(RUNS, || {
        for row in rows.iter() {
            sum += forest.predict(black_box(row)).unwrap_or_default();
        }
    });
    black_box(sum);
    println!("score one row: {:.0} ns", elapsed.0.as_nanos() as f64 / rows.len() as f64);
}

/// Rows of a generator that needs no crate, a twentieth of the values missing.
fn values() -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..TRAINING_ROWS * FEATURES).map(|_| if next() < 0.05 { f64::NAN } else { f64::from((next() * 8.0 - 4.0) as f32) }).collect()
}

/// What depends on some of the features, singly and together.
fn labels(rows: Rows<'_>) -> Vec<f64> {
    let label = |(number, row): (usize, &[f64])| {
        let at = |feature: usize| if row[feature].is_nan() { 0.0 } else { row[feature] };
        let noise = ((number as f64) * 0.754_877_666).fract() * 6.0 - 3.0;
        f64::from(u8::from(at(0) + at(1) * at(2) - at(3).abs() + (at(4) * 2.0).sin() + noise > 0.0))
    };
    rows.iter().enumerate().map(label).collect()
}

fn fastest(runs: usize, mut work: impl FnMut()) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[0], times[runs / 2])
}

fn tell(what: &str, runs: usize, work: impl FnMut()) {
    let (best, median) = fastest(runs, work);
    println!("{what}: {:.3} s, median {:.3}", best.as_secs_f64(), median.as_secs_f64());
}

const SCRIPT: &str = "
import sys, time, numpy, xgboost, shap
booster = xgboost.Booster(); booster.load_model(sys.argv[1])
rows = numpy.fromfile(sys.argv[2]).reshape(-1, int(sys.argv[3]))
ours = numpy.fromfile(sys.argv[4]).reshape(len(rows), -1)
matrix = xgboost.DMatrix(rows)
def tell(what, work):
    work(); begun = time.perf_counter(); out = work(); print(f'{what}: {time.perf_counter() - begun:.3f} s'); return out
contributions = tell(f'xgboost {xgboost.__version__} pred_contribs, anchor', lambda: booster.predict(matrix, pred_contribs=True))
tell(f'shap {shap.__version__} TreeExplainer, anchor', lambda: shap.TreeExplainer(booster).shap_values(rows))
print('largest difference to ours:', float(abs(contributions - ours).max()))
";

/// The same contributions by the Python packages.
fn anchors(python: &Path, forest: &Forest, rows: Rows<'_>) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [model, input, ours] = ["model.json", "rows", "ours"].map(|name| folder.path().join(name));
    std::fs::write(&model, write_xgboost(forest)?)?;
    let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    std::fs::write(&input, bytes(rows.values()))?;
    let contributions = TreeShap::new(forest)?.contributions(rows)?;
    let all: Vec<f64> = (0..contributions.len()).flat_map(|row| contributions.of(row, 0)).copied().collect();
    std::fs::write(&ours, bytes(&all))?;
    let status = Command::new(python).arg("-c").arg(SCRIPT).args([&model, &input]).arg(FEATURES.to_string()).arg(&ours).status()?;
    if status.success() { Ok(()) } else { Err(format!("{} failed", python.display()).into()) }
}

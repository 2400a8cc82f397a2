//! Boosted trees: one row scored on the hot path, and exact contributions of many rows, beside XGBoost and the shap package.
//!
//! The anchors run on the same model and rows in the same run where the Python that `CHRONOS_PYTHON` names (default `python3`) has them.

use chronos_benches::measure::{float_bytes, input_sha256, measure, reference};
use chronos_benches::table;
use chronos_inference::trees::{Forest, write_xgboost};
use chronos_research::trees::{Loss, Rows, Sample, TrainConfig, TreeShap, interventional_contributions, train};
use std::error::Error;
use std::hint::black_box;

const FEATURES: usize = 20;
const TRAINING_ROWS: usize = 20_000;
const EXPLAINED_ROWS: usize = 10_000;
const BACKGROUND_ROWS: usize = 50;
const TREES: usize = 100;
const DEPTH: usize = 6;
/// Runs of each.
const RUNS: usize = 20;
/// Runs of what takes seconds.
const RUNS_LONG: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", table::circumstances());
    let values = values();
    println!("\ninput: {TRAINING_ROWS} rows x {FEATURES}, SHA-256 {}", input_sha256([&float_bytes(&values)[..]]));
    let rows = Rows::new(&values, FEATURES)?;
    let labels = labels(rows);
    let config = TrainConfig { rounds: TREES, depth_max: DEPTH, ..TrainConfig::new(Loss::Logistic) };
    let sample = Sample { rows, labels: &labels, weights: None };
    measure(&format!("train {TREES} trees of depth {DEPTH} on {TRAINING_ROWS} rows x {FEATURES}"), RUNS_LONG, || {
        train(&config, &[], sample, None).map(|trained| trained.validation.len()).unwrap_or_default()
    });
    let forest = train(&config, &[], sample, None)?.forest;
    let leaves: usize = forest.trees().iter().map(|tree| tree.nodes.iter().filter(|node| node.split.is_none()).count()).sum();
    println!("forest: {} trees, {leaves} leaves", forest.trees().len());

    // Divided by the rows, the time of one.
    measure(&format!("score {TRAINING_ROWS} rows, one by one"), RUNS, || {
        rows.iter().map(|row| forest.predict(black_box(row)).unwrap_or_default()).sum::<f64>()
    });
    let explained = Rows::new(&values[..EXPLAINED_ROWS * FEATURES], FEATURES)?;
    let shap = TreeShap::new(&forest)?;
    measure(&format!("contributions of {EXPLAINED_ROWS} rows; goal 2 s"), RUNS, || {
        shap.contributions(black_box(explained)).map(|all| all.len()).unwrap_or_default()
    });
    let background = Rows::new(&values[values.len() - BACKGROUND_ROWS * FEATURES..], FEATURES)?;
    let few = Rows::new(&values[..1_000 * FEATURES], FEATURES)?;
    measure(&format!("interventional contributions of 1000 rows, {BACKGROUND_ROWS} of background"), RUNS_LONG, || {
        interventional_contributions(&forest, few, background).map(|all| all.len()).unwrap_or_default()
    });
    println!("\nthe same by Python");
    anchors(&forest, explained)
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

/// The same contributions by the Python packages.
fn anchors(forest: &Forest, rows: Rows<'_>) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [model, input, ours] = ["model.json", "rows", "ours"].map(|name| folder.path().join(name));
    std::fs::write(&model, write_xgboost(forest)?)?;
    std::fs::write(&input, float_bytes(rows.values()))?;
    let contributions = TreeShap::new(forest)?.contributions(rows)?;
    let all: Vec<f64> = (0..contributions.len()).flat_map(|row| contributions.of(row, 0)).copied().collect();
    std::fs::write(&ours, float_bytes(&all))?;
    let [model, input, ours] = [model, input, ours].map(|path| path.display().to_string());
    reference("tree_contributions.py", &[model, input, FEATURES.to_string(), ours]);
    Ok(())
}

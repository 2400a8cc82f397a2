//! One step of the standard model after the other: the native kernel on every instruction set of the machine, tract, and onnxruntime on
//! the same file and rows in the same run, where Python has it.
//!
//! `CHRONOS_PYTHON` names the interpreter (default `python3`). onnxruntime runs on one thread and its figures hold the call from Python,
//! which takes a few microseconds. All start from a state of zeros, and their last logits are compared.

use chronos_benches::table;
use chronos_inference::{EngineChoice, NativeModel, Prediction, StepInput, StepModel, StepSpec, StepWeights, load, write_onnx};
use chronos_market::features::registry;
use hdrhistogram::Histogram;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const SEED: u64 = 1;
const STEPS: usize = 20_000;
/// Rows of features, taken in turn.
const ROWS: usize = 512;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The allocator of the `chronos` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Outcome<()> {
    let features = registry().len();
    let weights = StepWeights::untrained(&StepSpec::standard(features), SEED);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.onnx");
    write_onnx(&weights, &[], &path)?;
    let mut random = fastrand::Rng::with_seed(SEED);
    // Sums of twelve uniform numbers less six: nearly normal.
    let rows: Vec<f32> = (0..ROWS * features).map(|_| (0..12).map(|_| random.f32()).sum::<f32>() - 6.0).collect();
    let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.path().join("rows"), &bytes)?;

    println!("{}", table::circumstances());
    println!("{} parameters, {features} features, {STEPS} steps over {ROWS} rows", weights.spec().parameter_count());
    println!("sha256: model {}, rows {}\n", sha256(&std::fs::read(&path)?), sha256(&bytes));
    println!("{}", table::heading("one step; microseconds"));
    let mut last = Vec::new();
    for (name, mut native) in NativeModel::for_each_instruction_set(&weights) {
        last.push(measure(&format!("native-f32, {name}"), &mut native, &rows, features)?);
    }
    last.push(measure("tract", load(&path, EngineChoice::Tract)?.as_mut(), &rows, features)?);
    match onnxruntime(folder.path(), features) {
        Ok((name, histogram, logits)) => {
            println!("{}", table::row(&name, &histogram));
            last.push(logits);
        }
        Err(reason) => println!("  onnxruntime skipped: {reason}"),
    }
    let differences = last.iter().flat_map(|logits| logits.iter().zip(last[0]).map(|(a, b)| (a - b).abs()));
    println!("\nlargest difference of the last logits: {:.1e}", differences.fold(0.0, f32::max));
    Ok(())
}

fn measure(name: &str, model: &mut dyn StepModel, rows: &[f32], features: usize) -> Outcome<[f32; 3]> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    let mut out = Prediction::default();
    for row in rows.chunks_exact(features).cycle().take(STEPS) {
        let started = Instant::now();
        model.step(&StepInput { features: row, dt_s: 0.001, regime: &[0.0; 128] }, &mut out)?;
        histogram.saturating_record(started.elapsed().as_nanos() as u64);
    }
    println!("{}", table::row(name, &histogram));
    Ok(out.logits)
}

/// The name with its version, the times, and the logits of the last step.
fn onnxruntime(folder: &Path, features: usize) -> Outcome<(String, Histogram<u64>, [f32; 3])> {
    let python = std::env::var("CHRONOS_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/onnx_step.py");
    let mut command = Command::new(&python);
    command.arg(script).arg(folder.join("model.onnx")).arg(folder.join("rows"));
    let run = command.arg(features.to_string()).arg(STEPS.to_string()).output().map_err(|error| format!("{python}: {error}"))?;
    if !run.status.success() {
        let errors = String::from_utf8_lossy(&run.stderr).into_owned();
        return Err(errors.lines().last().unwrap_or("it failed and did not say why").to_owned().into());
    }
    let printed = String::from_utf8(run.stdout)?;
    let mut lines = printed.lines();
    let mut line = || lines.next().ok_or("the script printed too little");
    let name = format!("onnxruntime {}, 1 thread", line()?);
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    for nanos in line()?.split_whitespace() {
        histogram.saturating_record(nanos.parse()?);
    }
    let logits: Vec<f32> = line()?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let logits = logits.try_into().map_err(|logits: Vec<f32>| format!("{} logits instead of 3", logits.len()))?;
    Ok((name, histogram, logits))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

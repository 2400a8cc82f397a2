//! Makes an untrained model, writes it as ONNX, and asks both engines for a few steps.
//!
//! `cargo run -p chronos-inference --example step`

use chronos_inference::{EngineChoice, Prediction, StepInput, StepModel, StepSpec, StepWeights, load, write_onnx};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let spec = StepSpec::standard(24);
    let weights = StepWeights::untrained(&spec, 7);
    let path = std::env::temp_dir().join(format!("chronos-step-{}.onnx", std::process::id()));
    write_onnx(&weights, &[("note", "untrained")], &path)?;
    println!("{} parameters in {}", spec.parameter_count(), path.display());
    for choice in [EngineChoice::Native, EngineChoice::Tract] {
        let mut model = load(&path, choice)?;
        for step in 0..3 {
            let out = step_once(model.as_mut(), step)?;
            let [down, flat, up] = out.probabilities();
            println!("{:>10} step {step}: down {down:.4} flat {flat:.4} up {up:.4} forecast {:+.5}", model.engine(), out.forecast);
        }
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

fn step_once(model: &mut dyn StepModel, step: u32) -> Result<Prediction, Box<dyn Error>> {
    let features: [f32; 24] = std::array::from_fn(|place| ((step as usize * 24 + place) as f32 * 0.7).sin());
    let mut out = Prediction::default();
    model.step(&StepInput { features: &features, dt_s: 0.001, regime: &[0.0; 128] }, &mut out)?;
    Ok(out)
}

//! A model for other tools: step and window graphs as ONNX files that say by themselves what they are to be given.

use crate::model::{ModelDirectory, ModelError};
use chronos_inference::{CLASSES, OPSET, StepSpec, StepWeights, encode_onnx, encode_window_onnx};
use chronos_market::REGIME_EMBEDDING;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of [`Export`]'s fields.
pub const EXPORT_SCHEMA: u32 = 1;
/// Name of the description's file.
pub const SIGNATURE_FILE: &str = "signature.json";

/// What was written, and how to call it; [`SIGNATURE_FILE`] holds the same.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Export {
    /// [`EXPORT_SCHEMA`].
    pub schema: u32,
    /// Name of the model.
    pub name: String,
    /// Version of the ONNX operator set.
    pub opset: i64,
    /// Files of each member of an ensemble; of a single model one entry.
    pub members: Vec<ExportedMember>,
    /// Inputs of both graphs. `steps` stands for 1 in the step graph and for any number in the window graph.
    pub inputs: Vec<Value>,
    /// Outputs of both graphs.
    pub outputs: Vec<Value>,
    /// Names of the features, in the order of a row.
    pub features: Vec<String>,
    /// What a feature is given as: `clamp((value - mean) / std, -clip, clip)`. Mean of each.
    pub mean: Vec<f64>,
    /// Standard deviation of each.
    pub std: Vec<f64>,
    /// Largest magnitude after scaling.
    pub clip: f64,
    /// What the forecast looks ahead, nanoseconds.
    pub horizon_ns: i64,
}

/// The two files of a member.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ExportedMember {
    /// The step graph: one row, states in and out.
    pub step: String,
    /// The window graph: a row a step, states in and out.
    pub window: String,
}

/// An input or output.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// Its shape; all values are 32-bit floats.
    pub shape: [String; 2],
    /// What it holds.
    pub meaning: &'static str,
}

/// Writes the step and the window graph of every member into a new folder, with [`SIGNATURE_FILE`] beside them. Same model, same bytes.
///
/// # Errors
/// [`ModelError`] where the model's file holds a graph that only tract knows, or the folder exists or cannot be written.
pub fn export(model: &ModelDirectory, out: &Path) -> Result<Export, ModelError> {
    let members = model.weights()?;
    let io = |path: PathBuf, remedy: &'static str| move |source| ModelError::Io { path, source, remedy };
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent).map_err(io(parent.to_owned(), ""))?;
    }
    std::fs::create_dir(out).map_err(io(out.to_owned(), "; name a folder that is not there yet"))?;
    let described = describe(model, &members[0]);
    let metadata = metadata(&described);
    let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    for (files, weights) in described.members.iter().zip(&members) {
        for (file, bytes) in
            [(&files.step, encode_onnx(weights, &metadata)), (&files.window, encode_window_onnx(weights, &metadata))]
        {
            let path = out.join(file);
            std::fs::write(&path, bytes).map_err(io(path, ""))?;
        }
    }
    let path = out.join(SIGNATURE_FILE);
    let text = serde_json::to_string_pretty(&described)
        .map_err(|error| ModelError::Manifest { path: path.clone(), message: error.to_string() })?;
    std::fs::write(&path, text + "\n").map_err(io(path, ""))?;
    Ok(described)
}

fn describe(model: &ModelDirectory, first: &StepWeights) -> Export {
    let manifest = &model.manifest;
    let member = |place: usize| match place {
        1 => ExportedMember { step: "step.onnx".into(), window: "window.onnx".into() },
        _ => ExportedMember { step: format!("step_{place}.onnx"), window: format!("window_{place}.onnx") },
    };
    let spec = first.spec();
    Export {
        schema: EXPORT_SCHEMA,
        name: manifest.model.name.clone(),
        opset: OPSET,
        members: (1..=1 + manifest.members.len()).map(member).collect(),
        inputs: inputs(spec),
        outputs: outputs(spec),
        features: manifest.features.names.clone(),
        mean: manifest.scaler.mean.clone(),
        std: manifest.scaler.std.clone(),
        clip: manifest.scaler.clip,
        horizon_ns: manifest.outputs.horizon_ns,
    }
}

fn inputs(spec: &StepSpec) -> Vec<Value> {
    let mut inputs = vec![
        value("features", "steps", spec.features, "scaled features, in the order of `features`"),
        value("dt_s", "steps", 1, "seconds since the step before, 0 at the first"),
        value("regime", "steps", REGIME_EMBEDDING, "embedding of the market's regime; zeros when there is none"),
    ];
    inputs.extend(states(spec, "", "state; zeros before the first step"));
    inputs
}

fn outputs(spec: &StepSpec) -> Vec<Value> {
    let mut outputs = vec![
        value("logits", "steps", CLASSES, "unnormalised log-probabilities of down, flat, up"),
        value("forecast", "steps", 1, "forecast, in the unit the model was trained on"),
    ];
    outputs.extend(states(spec, "_next", "state after the last step"));
    outputs
}

fn states(spec: &StepSpec, suffix: &str, meaning: &'static str) -> Vec<Value> {
    let of_layer = |layer: usize| {
        let shapes = [("ssm", spec.d_state), ("conv", spec.d_conv - 1)];
        shapes.map(|(state, rows)| value(&format!("{state}_{layer}{suffix}"), &rows.to_string(), spec.d_inner(), meaning))
    };
    (0..spec.layers).flat_map(of_layer).collect()
}

fn value(name: &str, rows: &str, columns: usize, meaning: &'static str) -> Value {
    Value { name: name.to_owned(), shape: [rows.to_owned(), columns.to_string()], meaning }
}

/// What the files carry in themselves.
fn metadata(described: &Export) -> Vec<(&'static str, String)> {
    let list = |values: &[f64]| serde_json::Value::from(values.to_vec()).to_string();
    vec![
        ("chronos.name", described.name.clone()),
        ("chronos.features", serde_json::Value::from(described.features.clone()).to_string()),
        ("chronos.mean", list(&described.mean)),
        ("chronos.std", list(&described.std)),
        ("chronos.clip", described.clip.to_string()),
        ("chronos.horizon_ns", described.horizon_ns.to_string()),
    ]
}

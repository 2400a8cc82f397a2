//! Exported graphs, looked at by the official checker and run by ONNX Runtime.

use assert_cmd::Command;
use chronos_inference::{LayerTensor, NativeModel, Prediction, StepInput, StepModel, StepSpec, StepWeights, Tensor};
use chronos_market::features::registry;
use chronos_session::model::ModelDirectory;
use std::path::{Path, PathBuf};

const ROWS: usize = 200;

#[test]
fn exported_graphs_pass_the_checker_and_equal_onnx_runtime() {
    let Some(python) = python_with_onnx() else { return };
    let folder = tempfile::tempdir().unwrap();
    let members = [1, 2].map(trained);
    let single = ModelDirectory::create(&folder.path().join("single"), &members[0], "planted").unwrap();
    ModelDirectory::write(&folder.path().join("model"), &members, single.manifest).unwrap();
    let output = chronos(folder.path(), "export model --out exported --json");
    let signature: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(signature["features"].as_array().unwrap().len(), registry().len());
    answers(&members[0], folder.path());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_runtime.py");
    let mut command = Command::new(python);
    let output = command.arg(script).arg("exported").arg("answers").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{report}");
    for graph in ["step", "window_64", "window_all"] {
        assert!(report[graph].as_f64().unwrap() <= 1e-5, "{graph}: {report}");
    }
    let others = report["others"].as_array().unwrap();
    assert!(others.len() == 1 && others[0].as_f64().unwrap() <= 1e-5, "{report}");
}

#[test]
fn an_export_names_its_files_and_refuses_a_folder_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    chronos(folder.path(), "model new --seed 3 --out model");
    let text = String::from_utf8(chronos(folder.path(), "export model --out exported")).unwrap();
    assert!(text.contains("conv_3_next") && text.contains("step.onnx, window.onnx, signature.json"), "{text}");
    let again =
        Command::cargo_bin("chronos").unwrap().current_dir(folder.path()).args(["export", "model", "--out", "exported"]).output();
    let again = again.unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("name a folder that is not there yet"));
}

/// Weights as training may leave them: every part of the graph is heard.
fn trained(seed: u64) -> StepWeights {
    let spec = StepSpec::standard(registry().len());
    let mut weights = StepWeights::untrained(&spec, seed);
    let mut random = fastrand::Rng::with_seed(!seed);
    for tensor in spec.tensors() {
        let (gain, shift, noise) = match tensor {
            Tensor::VolatilityWeight => (1.0, 0.0, 0.3),
            Tensor::Layer(_, LayerTensor::DtProjBias) => (1.0, 3.0, 0.02),
            Tensor::Layer(_, LayerTensor::InProjWeight | LayerTensor::XProjWeight) => (2.0, 0.0, 0.02),
            _ => (1.0, 0.0, 0.02),
        };
        for value in weights.values_mut(tensor) {
            *value = gain * *value + shift + noise * (random.f32() - 0.5);
        }
    }
    weights
}

/// Random rows and what the native kernel says to them, as the script reads them.
fn answers(weights: &StepWeights, folder: &Path) {
    let mut model = NativeModel::new(weights);
    let mut random = fastrand::Rng::with_seed(7);
    let mut columns: [(&str, Vec<f32>); 5] = ["features", "dt_s", "regime", "logits", "forecast"].map(|name| (name, Vec::new()));
    for _ in 0..ROWS {
        let features: Vec<f32> = (0..weights.spec().features).map(|_| 4.0 * random.f32() - 2.0).collect();
        let dt_s = 10_f32.powf(5.0 * random.f32() - 4.0);
        let regime: [f32; 128] = std::array::from_fn(|_| random.f32() - 0.5);
        let mut said = Prediction::default();
        model.step(&StepInput { features: &features, dt_s, regime: &regime }, &mut said).unwrap();
        for ((_, column), values) in columns.iter_mut().zip([&features[..], &[dt_s], &regime, &said.logits, &[said.forecast]]) {
            column.extend_from_slice(values);
        }
    }
    std::fs::create_dir(folder.join("answers")).unwrap();
    for (name, values) in columns {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.join("answers").join(name), bytes).unwrap();
    }
}

fn chronos(folder: &Path, line: &str) -> Vec<u8> {
    let output = Command::cargo_bin("chronos").unwrap().current_dir(folder).args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The interpreter of a virtual environment with the packages of `onnx-requirements.txt`, made once beside the build. `None`, after saying
/// so, where Python is missing or the packages cannot be had; with `CHRONOS_REQUIRE_PYTHON=1` the test fails there.
fn python_with_onnx() -> Option<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx-requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("onnx");
    let (python, done) = (folder.join("bin/python"), folder.join("requirements"));
    let wanted = std::fs::read(&requirements).unwrap();
    if std::fs::read(&done).is_ok_and(|found| found == wanted) {
        return Some(python);
    }
    let run = |program: &Path, arguments: &[&str]| -> Result<(), String> {
        let output = Command::new(program).args(arguments).output().map_err(|error| format!("{}: {error}", program.display()))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements.to_str().unwrap()];
    let made =
        run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()]).and_then(|()| run(&python, &install));
    match made {
        Ok(()) => {
            std::fs::write(done, wanted).unwrap();
            Some(python)
        }
        Err(reason) => {
            println!("skipped: ONNX Runtime is not here: {reason}");
            assert!(
                std::env::var_os("CHRONOS_REQUIRE_PYTHON").is_none_or(|value| value != "1"),
                "python3 or the packages of onnx-requirements.txt are missing and CHRONOS_REQUIRE_PYTHON=1: {reason}"
            );
            None
        }
    }
}

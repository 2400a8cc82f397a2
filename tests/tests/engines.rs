//! The engines of the step model over a real capture, on every instruction set of this machine; and a model rounded to bfloat16.

use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_inference::{EngineChoice, NativeModel, StepModel, StepSpec, StepWeights, load, write_onnx};
use chronos_market::features::registry;
use chronos_market::{Frame, MarketEvent, REGIME_EMBEDDING};
use chronos_pipeline::predictor::{Predictor, Scale};
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::{Crossing, Waiting};
use chronos_session::assembly::{Assembly, AssemblyOptions, assemble};
use chronos_session::bfloat16::{RoundingOptions, round_to_bfloat16};
use chronos_session::capture::{Capture, CaptureItem};
use chronos_session::config::Config;
use chronos_session::model::{ChosenModel, ModelDirectory};
use std::path::Path;

const STEPS: usize = 10_000;
const TOLERANCE: f32 = 1e-5;

/// Keeps the frames of a capture.
#[derive(Default)]
struct Frames(Vec<Frame>);

impl Crossing for Frames {
    fn event(&mut self, _event: &MarketEvent) {}

    fn frame(&mut self, frame: &Frame, _started: Started) {
        self.0.push(*frame);
    }
}

/// The first frames of a capture in several files; `None` where one is missing.
fn frames(names: &[&str]) -> Option<Vec<Frame>> {
    let paths = names.iter().map(|name| chronos_tests::data_file(name)).collect::<Option<Vec<_>>>()?;
    let mut config = Config::default();
    config.model.path = "none".into();
    let mut capture = Capture::open(&paths, &config).unwrap();
    let model = ChosenModel::of(&config).unwrap();
    let parts =
        assemble(&config, &model, &capture.instruments, capture.sources(), Waiting::for_threads(2), &AssemblyOptions::default());
    let Assembly { mut ingest, cold, trade, quarantine, .. } = parts.unwrap();
    let mut frames = Frames::default();
    while let Some(item) = capture.next() {
        let CaptureItem::Message { connection, recv, message, .. } = item else { continue };
        ingest.advance(recv, &mut frames);
        ingest.on_message(connection, message, &mut frames).unwrap();
        if frames.0.len() >= STEPS {
            break;
        }
    }
    drop((trade, quarantine));
    cold.join().unwrap();
    frames.0.truncate(STEPS);
    Some(frames.0)
}

/// What makes each feature of mean 0 and deviation 1 over the frames.
fn scales(frames: &[Frame]) -> Vec<Scale> {
    let scale = |feature: usize| {
        let values = || frames.iter().map(|frame| frame.features[feature]);
        let mean = values().sum::<f64>() / frames.len() as f64;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / frames.len() as f64;
        Scale { feature, mean, std: if variance > 0.0 { variance.sqrt() } else { 1.0 }, clip: 5.0 }
    };
    (0..registry().len()).map(scale).collect()
}

#[test]
fn native_equals_tract_over_a_real_capture() {
    let Some(frames) = frames(&["binance_ws/cm_btcusd_perp_20240808.gz", "binance_ws/cm_btcusd_perp_20240809.gz"]) else { return };
    assert_eq!(frames.len(), STEPS, "the capture is too short");
    let scales = scales(&frames);
    let weights = StepWeights::untrained(&StepSpec::standard(scales.len()), 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    write_onnx(&weights, &[], &path).unwrap();

    let predictor = |model: Box<dyn StepModel>| Predictor::new(model, scales.clone());
    let mut tract = predictor(load(&path, EngineChoice::Tract).unwrap());
    let natives = NativeModel::for_each_instruction_set(&weights).into_iter();
    let mut natives: Vec<_> = natives.map(|(name, model)| (name, predictor(Box::new(model)), 0.0_f32)).collect();
    let mut largest = 0.0_f32;
    for (step, frame) in frames.iter().enumerate() {
        // A regime changes now and then.
        let regime: [f32; REGIME_EMBEDDING] = std::array::from_fn(|place| ((step / 500 * 31 + place) as f32).sin());
        let wanted = *tract.step(frame, &regime).unwrap();
        largest = wanted.logits.iter().fold(largest, |largest, logit| largest.max(logit.abs()));
        for (_, native, worst) in &mut natives {
            let got = native.step(frame, &regime).unwrap();
            let logits = got.logits.iter().zip(&wanted.logits).map(|(got, wanted)| (got - wanted).abs());
            *worst = logits.fold(worst.max((got.forecast - wanted.forecast).abs()), f32::max);
        }
    }
    for (name, _, worst) in &natives {
        println!("{name}: largest difference {worst:.1e} over {STEPS} steps");
        assert!(*worst < TOLERANCE, "{name}: {worst:e}");
    }
    assert!(largest > 0.1, "the comparison is of nothing: largest logit {largest}");
}

/// What rounding a model of these weights does on a generated market.
fn rounded(folder: &Path, weights: &StepWeights, difference_max: f64) -> chronos_session::bfloat16::RoundingReport {
    let capture = folder.join("capture.gz");
    let market = GeneratorConfig { seed: 5, seconds: 6, depth_interval_ms: 20, ..GeneratorConfig::default() };
    generate_file(&market, &capture, &mut |_| {}).unwrap();
    ModelDirectory::create(&folder.join("whole"), weights, "whole").unwrap();
    let options = RoundingOptions {
        model: folder.join("whole"),
        paths: vec![capture],
        config: Config::default(),
        limit: None,
        out: folder.join("rounded"),
        difference_max,
    };
    round_to_bfloat16(&options, &mut |_| {}).unwrap()
}

fn small() -> StepWeights {
    let spec = StepSpec { d_model: 16, layers: 1, head_hidden: 16, ..StepSpec::standard(registry().len()) };
    StepWeights::untrained(&spec, 3)
}

/// Weights with bits that bfloat16 has not.
fn whole() -> StepWeights {
    let halves = small();
    StepWeights::from_fn(halves.spec(), |tensor| halves.values(tensor).iter().map(|value| value / 3.0).collect()).unwrap()
}

#[test]
fn a_rounded_model_is_written_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let report = rounded(folder.path(), &whole(), 0.05);
    assert!(report.is_written && report.steps > 100 && report.weights_changed > 1_000, "{report:?}");
    let differences = [report.probability_difference_mean, report.probability_difference_max];
    assert!(0.0 < differences[0] && differences[0] <= differences[1] && differences[1] <= 0.05, "{report:?}");
    let written = ModelDirectory::open(&folder.path().join("rounded")).unwrap();
    assert_eq!(written.manifest.model.sha256, report.sha256);
    assert_eq!(written.weights().unwrap(), [whole().rounded_to_bfloat16()]);
    assert!(!written.is_promoted());
}

#[test]
fn a_model_that_rounding_changes_too_much_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let report = rounded(folder.path(), &whole(), 0.0);
    assert!(!report.is_written && report.sha256.is_empty() && report.probability_difference_max > 0.0, "{report:?}");
    assert!(!folder.path().join("rounded").exists());
}

#[test]
fn a_model_that_is_rounded_already_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let report = rounded(folder.path(), &small(), 0.0);
    assert!(report.is_written && report.steps > 100, "{report:?}");
    assert_eq!((report.weights_changed, report.decisions_changed), (0, 0));
    assert_eq!([report.probability_difference_max, report.forecast_difference_max], [0.0, 0.0]);
}

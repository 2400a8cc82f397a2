//! Training on ticks: to the same model when cut off, and to one that steps as its windows say.
#![cfg(feature = "train")]

use burn::tensor::{Device, Tensor, TensorData};
use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_inference::{NativeModel, StepWeights};
use chronos_market::REGIME_EMBEDDING;
use chronos_research::ticks::{Scaler, TickData, Ticks, read_ticks, step_through};
use chronos_training::device::TrainingDevice;
use chronos_training::fit::{Event, ScheduleBy};
use chronos_training::network::{Network, NetworkConfig, Read, WindowInput};
use chronos_training::optimiser::Schedule;
use chronos_training::ticks::{TickTrainConfig, TickTrainOptions, TrainedTicks, Training, TrainingPlace, train_ticks};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn small() -> TickTrainConfig {
    let network = NetworkConfig {
        d_model: 16,
        layers: 2,
        d_state: 4,
        expand: 2,
        dt_rank: 2,
        head_hidden: 16,
        dropout: 0.1,
        ..NetworkConfig::default()
    };
    let mut config = TickTrainConfig { network, ..TickTrainConfig::default() };
    config.window.steps = 32;
    config.training.epochs = 3;
    config.training.learning_rate = 3e-3;
    config.training.schedule = Schedule::Constant;
    config.training.schedule_by = ScheduleBy::Step;
    config
}

fn read(path: &Path, config: &TickTrainConfig) -> TickData {
    read_ticks(&[path.to_owned()], config.horizon_ns().unwrap(), &config.session, &mut |_| {}).unwrap()
}

/// Trains; ends after `epochs` where there are some.
fn train(data: TickData, config: &TickTrainConfig, checkpoints: Option<PathBuf>, epochs: Option<u64>) -> Option<TrainedTicks> {
    let mut observe = |_: TrainingPlace, event: Event<'_>| match event {
        Event::Epoch(record) if Some(record.epoch + 1) == epochs => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let mut options = TickTrainOptions {
        members: 1,
        device: TrainingDevice::Cpu,
        checkpoints,
        resume: true,
        cost_bps: 1.0,
        time_ns: 0,
        code: "test",
        clock: &|| 0.0,
        observe: &mut observe,
    };
    match train_ticks(data, config, &mut options).unwrap() {
        Training::Done(trained) => Some(*trained),
        Training::Stopped => None,
    }
}

fn market(folder: &Path, strength: f64, seconds: u32) -> PathBuf {
    let path = folder.join("market");
    let config = GeneratorConfig { seconds, seed: 2, plant: Some(strength), ..GeneratorConfig::default() };
    generate_file(&config, &path, &mut |_| {}).unwrap();
    path
}

#[test]
fn folds_walk_forward_and_the_last_is_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small();
    config.training.epochs = 2;
    (config.split.at, config.split.folds) = ("0.55".into(), 3);
    let data = read(&market(folder.path(), 0.8, 240), &config);
    let checkpoints = folder.path().join("checkpoints");
    let walked = train(data.clone(), &config, Some(checkpoints.clone()), None).unwrap();
    let folds = &walked.report.folds;
    assert_eq!(folds.len(), 3);
    assert!(checkpoints.join("fold-2/member-1/latest.checkpoint").exists());
    assert_eq!(folds.iter().map(|fold| fold.scores.samples).sum::<usize>(), walked.report.test.samples);
    for (fold, next) in folds.iter().zip(&folds[1..]) {
        assert!(fold.span_ns[1] <= next.span_ns[0] && fold.train < next.train);
    }
    // The last fold is what a run without the others is, split where it begins.
    config.split.folds = 1;
    let first = walked.report.counts.samples - folds[2].scores.samples;
    config.split.at = (first as f64 / walked.report.counts.samples as f64).to_string();
    let alone = train(data.clone(), &config, None, None).unwrap();
    assert_eq!(alone.members, walked.members);
    assert_eq!((&alone.report.test, &alone.report.yardstick), (&folds[2].scores, &walked.report.yardstick));
    assert!(alone.report.folds.is_empty());
    // And the first, that of the whole test part cut after it: the same training, so the same member.
    config.split.at = "0.55".into();
    let first = train(data, &config, None, None).unwrap();
    assert_eq!(first.report.members, folds[0].members);
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let config = small();
    let data = read(&market(folder.path(), 0.5, 150), &config);
    let whole = train(data.clone(), &config, None, None).unwrap();
    let checkpoints = folder.path().join("checkpoints");
    assert!(train(data.clone(), &config, Some(checkpoints.clone()), Some(1)).is_none());
    let resumed = train(data, &config, Some(checkpoints), None).unwrap();
    assert_eq!(whole.members, resumed.members);
    assert_eq!(whole.report.test, resumed.report.test);
    assert_eq!(whole.report.members[0].curves, resumed.report.members[0].curves);
}

/// The largest difference between a window over each whole segment, and steps.
fn difference(weights: &StepWeights, config: &NetworkConfig, ticks: &Ticks) -> f64 {
    let device = Device::flex();
    let network = Network::from_weights(weights, config, 0, &device).unwrap();
    let stepped = step_through(&mut NativeModel::new(weights), ticks, 0..ticks.rows()).unwrap();
    let mut largest = 0.0_f64;
    for segment in ticks.segments() {
        let (rows, columns) = (segment.len(), ticks.columns());
        let values = ticks.values[segment.start * columns..segment.end * columns].to_vec();
        let mut input = WindowInput::from_rows([1, rows, columns], values, ticks.elapsed_s[segment.clone()].to_vec(), &device);
        let regime: Vec<f32> = segment.clone().flat_map(|row| *ticks.regime(row)).collect();
        input.regime = Some(Tensor::from_data(TensorData::new(regime, [1, rows, REGIME_EMBEDDING]), &device));
        let output = network.forward(input, Read::Every, None);
        let logits: Vec<f32> = output.logits.into_data().try_into_vec().unwrap();
        let forecasts: Vec<f32> = output.forecast.into_data().try_into_vec().unwrap();
        for (place, row) in segment.enumerate() {
            let pairs = stepped[row].logits.iter().zip(&logits[3 * place..]).chain([(&stepped[row].forecast, &forecasts[place])]);
            for (step, window) in pairs {
                // Relative to numbers above 1: f32 has 24 bits whatever the size.
                let scale = f64::from(step.abs()).max(1.0);
                largest = largest.max(f64::from((step - window).abs()) / scale);
            }
        }
    }
    largest
}

#[test]
fn a_trained_model_steps_as_its_windows_say_over_a_whole_capture() {
    let folder = tempfile::tempdir().unwrap();
    let generated = (small(), market(folder.path(), 0.5, 150));
    // The model that users train; an epoch is enough to take its weights away from where they began.
    let mut default = TickTrainConfig::default();
    default.training.epochs = 1;
    let real = chronos_tests::data_file("binance_ws/spot_btcusdt_20240808.gz").map(|path| (default, path));
    for (config, path) in std::iter::once(generated).chain(real) {
        let data = read(&path, &config);
        let trained = train(data.clone(), &config, None, None).unwrap();
        let mut ticks = data.ticks;
        let manifest = &trained.manifest;
        ticks.keep_features(&manifest.features.names).unwrap();
        let scaler = &manifest.scaler;
        Scaler { mean: scaler.mean.clone(), std: scaler.std.clone(), clip: scaler.clip }.apply(&mut ticks);
        assert!(ticks.regimes.len() > 5);
        let found = difference(&trained.members[0], &config.network, &ticks);
        println!(
            "{} ticks of {}, {} parameters: {found:.1e} apart",
            ticks.rows(),
            path.display(),
            trained.members[0].spec().parameter_count()
        );
        assert!(found < 1e-5, "{}: {found}", path.display());
    }
}

//! The training loop on problems that must be learnt, and what it promises of seeds, checkpoints and failures.
#![cfg(feature = "train")]

use burn::module::{Module, Param};
use burn::tensor::activation::tanh;
use burn::tensor::{DType, Device, Tensor, TensorData};
use chronos_training::fit::{
    Augmentation, Checkpoints, Ended, Event, Fit, FitError, Fitted, Objective, Plan, Samples, Saved, Windows,
};
use chronos_training::fit::{load_parameters, mean_loss, shuffled};
use chronos_training::losses::{self, Loss};
use chronos_training::optimiser::{OptimiserConfig, Schedule};
use chronos_training::parameters::{Parameter, read_parameters};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::Path;

fn matrix(values: Vec<f32>, rows: usize, device: &Device) -> Tensor<2> {
    let columns = values.len() / rows;
    Tensor::from_data(TensorData::new(values, [rows, columns]), (device, DType::F32))
}

/// Two layers with dropout between them.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Param<Tensor<2>>,
    hidden_bias: Param<Tensor<1>>,
    output: Param<Tensor<2>>,
    dropout: f64,
    loss_scale: f64,
}

impl Perceptron {
    fn new(inputs: usize, hidden: usize, dropout: f64, device: &Device) -> Self {
        let mut random = fastrand::Rng::with_seed(11);
        let mut uniform = |count: usize| -> Vec<f32> { (0..count).map(|_| 2.0 * random.f32() - 1.0).collect() };
        Self {
            hidden: Param::from_tensor(matrix(uniform(inputs * hidden), inputs, device)),
            hidden_bias: Param::from_tensor(Tensor::zeros([hidden], (device, DType::F32))),
            output: Param::from_tensor(matrix(uniform(hidden), hidden, device)),
            dropout,
            loss_scale: 1.0,
        }
    }

    fn forward(&self, inputs: Tensor<2>, random: Option<&mut fastrand::Rng>) -> Tensor<1> {
        let mut hidden = tanh(inputs.matmul(self.hidden.val()) + self.hidden_bias.val().unsqueeze());
        if let Some(random) = random.filter(|_| self.dropout > 0.0) {
            let [rows, columns] = hidden.dims();
            let keep = 1.0 - self.dropout;
            let mask = (0..rows * columns).map(|_| if random.f64() < keep { 1.0 / keep as f32 } else { 0.0 }).collect();
            hidden = hidden.clone() * matrix(mask, rows, &hidden.device());
        }
        hidden.matmul(self.output.val()).squeeze_dim(1)
    }
}

struct Batch {
    inputs: Tensor<2>,
    targets: Tensor<1>,
    weights: Option<Tensor<1>>,
}

impl Objective for Perceptron {
    type Batch = Batch;

    fn loss(&self, batch: &Batch, random: Option<&mut fastrand::Rng>) -> Loss {
        let squared = losses::squared(self.forward(batch.inputs.clone(), random), batch.targets.clone());
        let total = losses::weighted_mean(squared, batch.weights.clone());
        let value = total.clone().into_scalar::<f64>();
        Loss { total, parts: vec![("squared", value)] }
    }

    fn loss_scale(&self) -> f64 {
        self.loss_scale
    }
}

/// Rows of inputs with a target each.
struct Rows {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    width: usize,
    /// One a row, or none where all weigh the same.
    weights: Vec<f32>,
    /// Whether a batch may be cut.
    is_mean: bool,
    device: Device,
}

impl Rows {
    fn xor(device: &Device) -> Self {
        let inputs = vec![-1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0];
        Self { inputs, targets: vec![0.0, 1.0, 1.0, 0.0], width: 2, weights: Vec::new(), is_mean: false, device: device.clone() }
    }

    /// What a perceptron cannot learn by heart: a smooth function of many columns, with noise.
    fn smooth(rows: usize, width: usize, device: &Device) -> Self {
        let mut random = fastrand::Rng::with_seed(2);
        let inputs: Vec<f32> = (0..rows * width).map(|_| 2.0 * random.f32() - 1.0).collect();
        let target = |row: &[f32]| (row[0] - 0.5 * row[1]).sin() + 0.1 * row[2] + 0.02 * (random.f32() - 0.5);
        let targets = inputs.chunks(width).map(target).collect();
        Self { inputs, targets, width, weights: Vec::new(), is_mean: false, device: device.clone() }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.targets.len()).collect()
    }
}

impl Samples for Rows {
    type Batch = Batch;

    fn batch(&self, samples: &[usize], _training_epoch: Option<u64>) -> Batch {
        let inputs = samples.iter().flat_map(|row| &self.inputs[row * self.width..(row + 1) * self.width]).copied().collect();
        let vector = |of: &[f32]| {
            let values: Vec<f32> = samples.iter().map(|row| of[*row]).collect();
            Tensor::from_data(TensorData::new(values, [samples.len()]), (&self.device, DType::F32))
        };
        let weights = (!self.weights.is_empty()).then(|| vector(&self.weights));
        Batch { inputs: matrix(inputs, samples.len(), &self.device), targets: vector(&self.targets), weights }
    }

    fn weight(&self, samples: &[usize]) -> Option<f64> {
        let weight = |row: &usize| self.weights.get(*row).map_or(1.0, |weight| f64::from(*weight));
        self.is_mean.then(|| samples.iter().map(weight).sum())
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn parameters(module: &Perceptron) -> Vec<Parameter> {
    read_parameters(module).unwrap()
}

/// A plan that uses all there is to go wrong: dropout, accumulation, an uneven last batch, moments, a schedule over steps.
fn busy_plan() -> Plan {
    Plan {
        seed: 5,
        epochs: 4,
        batch: 8,
        accumulate: 2,
        learning_rate: 0.02,
        schedule: Schedule::WarmupCosine { warmup: 3, total: 20, floor: 1e-4 },
        optimiser: OptimiserConfig::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1, amsgrad: true },
        ..Plan::default()
    }
}

/// A run on `rows`, watched on the last quarter of them.
fn fit<'a>(plan: Plan, rows: &'a Rows) -> Fit<'a, Perceptron, Rows> {
    let split = rows.targets.len() * 3 / 4;
    let (all, seed) = (rows.all(), plan.seed);
    let (train, watched) = (all[..split].to_vec(), all[split..].to_vec());
    Fit::new(plan, rows, move |epoch| shuffled(&train, seed, epoch), move |module, _| mean_loss(module, rows, &watched, 16))
}

fn kept_in(folder: &Path) -> Checkpoints {
    Checkpoints { folder: folder.to_owned(), every_steps: None, keep: 2, resume: false }
}

#[test]
fn exclusive_or_is_learnt() {
    let rows = Rows::xor(&device());
    let plan = Plan { epochs: 300, batch: 4, learning_rate: 0.05, clip_norm: None, ..Plan::default() };
    let fit = Fit::new(plan, &rows, |_| rows.all(), |module, _| mean_loss(module, &rows, &rows.all(), 4));
    let fitted = fit.run(Perceptron::new(2, 6, 0.0, &device())).unwrap();
    assert!(fitted.best_epoch.unwrap().value < 1e-2, "{:?}", fitted.best_epoch);
    assert_eq!((fitted.curves.epochs.len(), fitted.ended), (300, Ended::Epochs));
    let outputs: Vec<f32> = fitted.best.forward(rows.batch(&rows.all(), None).inputs, None).into_data().try_into_vec().unwrap();
    assert_eq!(outputs.iter().map(|output| output.round()).collect::<Vec<_>>(), rows.targets);
}

#[test]
fn each_rule_learns_a_smooth_function() {
    let rows = Rows::smooth(200, 4, &device());
    for (optimiser, learning_rate) in [
        (OptimiserConfig::adamw(0.001), 0.01),
        (OptimiserConfig::adam(1e-6), 0.01),
        (OptimiserConfig::nesterov(0.9), 0.02),
        (OptimiserConfig::rms_prop(), 0.003),
    ] {
        let plan = Plan { epochs: 30, batch: 16, learning_rate, optimiser, ..Plan::default() };
        let fitted = fit(plan, &rows).run(Perceptron::new(4, 12, 0.0, &device())).unwrap();
        let (first, best) = (fitted.curves.epochs[0].validation, fitted.best_epoch.unwrap().value);
        assert!(best < 0.01 && best < first / 3.0, "{optimiser:?}: {first} to {best}");
    }
}

#[test]
fn one_seed_gives_the_same_bits_on_any_number_of_threads() {
    // In pieces: five batches of an epoch are cut into six, the last into one.
    let rows = Rows { is_mean: true, ..Rows::smooth(400, 64, &device()) };
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let plan = Plan { seed, batch: 96, accumulate: 1, ..busy_plan() };
        let fitted = pool.install(|| fit(plan, &rows).run(Perceptron::new(64, 300, 0.1, &device())).unwrap());
        (parameters(&fitted.last), fitted.curves)
    };
    let one = run(1, 5);
    assert_eq!(one, run(1, 5));
    assert_eq!(one, run(3, 5));
    assert_ne!(one.0, run(1, 6).0);
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped() {
    let rows = Rows::smooth(111, 5, &device());
    let module = || Perceptron::new(5, 7, 0.2, &device());
    let whole = fit(busy_plan(), &rows).run(module()).unwrap();
    let steps = whole.curves.epochs.last().unwrap().steps;
    // Broken off after every number of steps, and again after the same number.
    for every in 1..=steps {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("run");
        let resumed = loop {
            let mut run = fit(busy_plan(), &rows);
            run.checkpoints = Some(Checkpoints { resume: true, ..kept_in(&folder) });
            let mut left = every;
            run.observe = Box::new(move |event| {
                left -= u64::from(matches!(event, Event::Step(_)));
                if left == 0 && matches!(event, Event::Step(_)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let fitted: Fitted<Perceptron> = run.run(module()).unwrap();
            if fitted.ended != Ended::Asked {
                break fitted;
            }
        };
        assert_eq!(parameters(&resumed.last), parameters(&whole.last), "every {every}");
        assert_eq!(parameters(&resumed.best), parameters(&whole.best), "every {every}");
        assert_eq!(resumed.curves, whole.curves, "every {every}");
    }
}

#[test]
fn a_run_is_resumed_only_with_its_plan_and_data() {
    let rows = Rows::smooth(40, 3, &device());
    let folder = tempfile::tempdir().unwrap();
    let start = |plan: Plan, data: &str, resume: bool| {
        let mut run = fit(plan, &rows);
        run.data = data.into();
        run.checkpoints = Some(Checkpoints { resume, ..kept_in(folder.path()) });
        run.run(Perceptron::new(3, 4, 0.0, &device()))
    };
    start(busy_plan(), "a", false).unwrap();
    assert!(matches!(start(busy_plan(), "a", false), Err(FitError::Exists { .. })));
    assert!(matches!(start(busy_plan(), "b", true), Err(FitError::OtherRun { what: "data", .. })));
    let other = Plan { batch: 4, ..busy_plan() };
    assert!(matches!(start(other, "a", true), Err(FitError::OtherRun { what: "plan", .. })));
    assert_eq!(start(busy_plan(), "a", true).unwrap().ended, Ended::Epochs);
    let path = folder.path().join("latest.checkpoint");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(matches!(start(busy_plan(), "a", true), Err(FitError::Checkpoint(_))));
}

#[test]
fn the_best_epochs_are_kept() {
    let rows = Rows::smooth(40, 3, &device());
    let folder = tempfile::tempdir().unwrap();
    let watched = [5.0, 3.0, 4.0, 1.0, 2.0, 9.0];
    let plan = Plan { epochs: 6, ..busy_plan() };
    let mut run = Fit::new(plan, &rows, |_| rows.all(), |_, epoch| watched[epoch as usize]);
    run.checkpoints = Some(kept_in(folder.path()));
    let fitted = run.run(Perceptron::new(3, 4, 0.0, &device())).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["best-00003.parameters", "best-00004.parameters", "latest.checkpoint"]);
    assert_eq!(load_parameters(&folder.path().join("best-00003.parameters")).unwrap(), parameters(&fitted.best));
    assert_eq!(load_parameters(&folder.path().join("latest.checkpoint")).unwrap(), parameters(&fitted.last));
    assert_eq!(fitted.best_epoch.unwrap().epoch, 3);
}

#[test]
fn patience_ends_a_run() {
    let rows = Rows::smooth(40, 3, &device());
    let watched = [5.0, 3.0, 4.0, 3.0, 3.5, 1.0, 0.5];
    let plan = Plan { epochs: 7, patience: Some(3), ..busy_plan() };
    let fitted = Fit::new(plan, &rows, |_| rows.all(), |_: &Perceptron, epoch| watched[epoch as usize]);
    let fitted = fitted.run(Perceptron::new(3, 4, 0.0, &device())).unwrap();
    assert_eq!((fitted.ended, fitted.curves.epochs.len(), fitted.best_epoch.unwrap().epoch), (Ended::Patience, 5, 1));
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let rows = Rows::smooth(100, 4, &device());
    let run = |batch: usize, accumulate: usize| {
        let optimiser = OptimiserConfig::Sgd { momentum: 0.0, nesterov: false, l2: 0.0 };
        let plan = Plan { epochs: 3, batch, accumulate, optimiser, learning_rate: 0.1, ..Plan::default() };
        let fitted = fit(plan, &rows).run(Perceptron::new(4, 6, 0.0, &device())).unwrap();
        (parameters(&fitted.last), fitted.curves.epochs)
    };
    // 75 samples: the last step has a batch of 8 and one of 3, or one of 11.
    let ((large, large_epochs), (small, small_epochs)) = (run(16, 1), run(8, 2));
    for (one, two) in large.iter().zip(&small) {
        for (one, two) in one.values.iter_f64().zip(two.values.iter_f64()) {
            assert!((one - two).abs() < 1e-5, "{one} {two}");
        }
    }
    assert_eq!(large_epochs[2].steps, 15);
    assert!((large_epochs[2].training_loss - small_epochs[2].training_loss).abs() < 1e-6);
    assert!((large_epochs[2].parts[0].1 - large_epochs[2].training_loss).abs() < 1e-12);
}

/// The pieces are computed beside each other, weigh differently, and one of them nothing.
#[test]
fn a_batch_in_pieces_trains_as_a_whole_one() {
    let run = |is_mean: bool| {
        let mut rows = Rows { is_mean, ..Rows::smooth(80, 4, &device()) };
        rows.weights = (0..80).map(|row| if (16..32).contains(&row) { 0.0 } else { 0.25 * (row % 5) as f32 }).collect();
        let optimiser = OptimiserConfig::Sgd { momentum: 0.0, nesterov: false, l2: 0.0 };
        let plan = Plan { epochs: 3, batch: 60, optimiser, learning_rate: 0.1, ..Plan::default() };
        let watch = |module: &Perceptron, _| mean_loss(module, &rows, &rows.all(), 80);
        let fitted = Fit::new(plan, &rows, |_| rows.all(), watch).run(Perceptron::new(4, 6, 0.0, &device())).unwrap();
        (parameters(&fitted.last), fitted.curves.epochs[2].clone())
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let ((whole, whole_epoch), (pieces, pieces_epoch)) = pool.install(|| (run(false), run(true)));
    for (one, two) in whole.iter().zip(&pieces) {
        for (one, two) in one.values.iter_f64().zip(two.values.iter_f64()) {
            assert!((one - two).abs() < 1e-6, "{one} {two}");
        }
    }
    assert!((whole_epoch.gradient_norm - pieces_epoch.gradient_norm).abs() < 1e-6);
    assert_ne!(whole, pieces, "sums of other pieces round otherwise");
}

#[test]
fn a_scaled_loss_trains_as_it_is() {
    let rows = Rows::smooth(80, 5, &device());
    let trained = |loss_scale: f64| {
        let module = Perceptron { loss_scale, ..Perceptron::new(5, 7, 0.0, &device()) };
        let fitted = fit(busy_plan(), &rows).run(module).unwrap();
        (parameters(&fitted.last), fitted.curves)
    };
    // Powers of two change exponents alone; with one that nothing can be multiplied by, the gradients are seen to be.
    assert_eq!(trained(1.0), trained(1_024.0));
    let module = Perceptron { loss_scale: f64::MAX, ..Perceptron::new(5, 7, 0.0, &device()) };
    assert!(matches!(fit(busy_plan(), &rows).run(module), Err(FitError::Diverged { .. })));
}

#[test]
fn a_loss_that_is_nan_or_explodes_stops_with_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Rows::smooth(40, 3, &device());
    rows.inputs[7 * 3] = f32::NAN;
    let start = |rows: &Rows, plan: Plan, folder: Option<&Path>| {
        let mut run = Fit::new(plan, rows, |_| rows.all(), |_, _| 0.0);
        run.checkpoints = folder.map(kept_in);
        run.run(Perceptron::new(3, 4, 0.0, &device())).unwrap_err()
    };
    let plan = Plan { batch: 4, accumulate: 1, ..busy_plan() };
    let error = start(&rows, plan.clone(), Some(folder.path()));
    let FitError::Diverged { what: "the loss", value, epoch: 0, step: 1, saved: Saved::In(path) } = &error else {
        panic!("{error}")
    };
    assert!(value.is_nan() && error.to_string().contains("diverged-1.json"), "{error}");
    let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(saved["batch"]["samples"], serde_json::json!([4, 5, 6, 7]));
    assert_eq!(load_parameters(&folder.path().join(saved["parameters"].as_str().unwrap())).unwrap().len(), 3);
    assert!(start(&rows, plan.clone(), None).to_string().contains("checkpoints"));

    let rows = Rows::smooth(40, 3, &device());
    let optimiser = OptimiserConfig::Sgd { momentum: 0.0, nesterov: false, l2: 0.0 };
    let wild = Plan { optimiser, learning_rate: 3.0, clip_norm: None, explosion: 100.0, ..plan };
    let wild = Plan { epochs: 50, schedule: Schedule::Constant, ..wild };
    let FitError::Diverged { value, step, .. } = start(&rows, wild, None) else { panic!("it did not explode") };
    assert!(step >= 10 && value > 1.0 && value.is_finite(), "{step} {value}");
}

#[test]
fn a_watched_value_that_is_nan_stops() {
    let rows = Rows::smooth(12, 3, &device());
    let error =
        Fit::new(busy_plan(), &rows, |_| rows.all(), |_, _| f64::NAN).run(Perceptron::new(3, 4, 0.0, &device())).unwrap_err();
    assert!(matches!(error, FitError::Diverged { what: "the watched value", saved: Saved::NoBatch, .. }), "{error}");
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let rows = Rows::smooth(12, 3, &device());
    let untracked = Rows::smooth(12, 3, &Device::flex());
    let run = |rows: &Rows, order: Vec<usize>, device: &Device| {
        Fit::new(busy_plan(), rows, move |_| order.clone(), |_, _| 0.0).run(Perceptron::new(3, 4, 0.0, device)).unwrap_err()
    };
    assert!(matches!(run(&untracked, untracked.all(), &Device::flex()), FitError::NoGradients));
    assert!(matches!(run(&rows, Vec::new(), &device()), FitError::NoSamples { epoch: 0 }));
    let error = Fit::new(Plan { batch: 0, ..Plan::default() }, &rows, |_| rows.all(), |_, _| 0.0)
        .run(Perceptron::new(3, 4, 0.0, &device()))
        .unwrap_err();
    assert!(matches!(error, FitError::Plan(_)), "{error}");
}

#[test]
fn a_block_that_dies_is_told_once() {
    let rows = Rows::smooth(40, 3, &device());
    // Coupled L2 as strong as this leaves nothing of the hidden layer.
    let optimiser = OptimiserConfig::Sgd { momentum: 0.0, nesterov: false, l2: 8.0 };
    let plan =
        Plan { optimiser, learning_rate: 0.1, schedule: Schedule::Constant, clip_norm: None, epochs: 8, batch: 8, ..busy_plan() };
    let told = RefCell::new(Vec::new());
    let mut run = Fit::new(plan, &rows, |_| rows.all(), |_, _| 0.0);
    run.observe = Box::new(|event| {
        if let Event::Dying { start, now } = event {
            assert!(now.rms < 1e-3 * start.rms);
            told.borrow_mut().push(now.name.clone());
        }
        ControlFlow::Continue(())
    });
    run.run(Perceptron::new(3, 4, 0.0, &device())).unwrap();
    told.borrow_mut().sort();
    assert_eq!(*told.borrow(), ["hidden", "output"]);
}

#[test]
fn progress_is_told_by_the_clock_that_is_given() {
    let rows = Rows::smooth(32, 3, &device());
    let plan = Plan { epochs: 2, batch: 8, accumulate: 1, ..busy_plan() };
    let (seconds, told) = (Cell::new(0.0), RefCell::new(Vec::new()));
    let mut run = Fit::new(plan, &rows, |_| rows.all(), |_, _| 0.0);
    run.clock = Box::new(|| seconds.replace(seconds.get() + 2.0));
    run.observe = Box::new(|event| {
        if let Event::Step(progress) = event {
            told.borrow_mut().push(progress);
        }
        ControlFlow::Continue(())
    });
    run.run(Perceptron::new(3, 4, 0.0, &device())).unwrap();
    let told = told.borrow();
    assert_eq!(told.iter().map(|progress| progress.step).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!(told.iter().all(|progress| progress.steps == 8 && progress.samples_per_s == 4.0));
    assert_eq!(told.iter().map(|progress| progress.left_s).collect::<Vec<_>>(), [14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0, 0.0]);
    assert!(told[0].learning_rate > 0.0 && told[0].gradient_norm > 0.0 && told[0].loss > 0.0);
}

/// The mean over a window, as a module over windows of one array with augmentation.
struct WindowRows<'a> {
    windows: Windows<'a>,
    augmentation: Augmentation,
    device: Device,
}

impl Samples for WindowRows<'_> {
    type Batch = Batch;

    fn batch(&self, samples: &[usize], training_epoch: Option<u64>) -> Batch {
        let mut values = self.windows.gather(samples);
        let features = self.windows.features();
        let targets: Vec<f32> =
            values.chunks(self.windows.steps() * features).map(|window| window[0] - window[window.len() - 1]).collect();
        if let Some(epoch) = training_epoch {
            for (window, sample) in values.chunks_mut(self.windows.steps() * features).zip(samples) {
                self.augmentation.apply(window, features, 1, epoch, *sample);
            }
        }
        let targets = Tensor::from_data(TensorData::new(targets, [samples.len()]), (&self.device, DType::F32));
        Batch { inputs: matrix(values, samples.len(), &self.device), targets, weights: None }
    }
}

#[test]
fn windows_with_augmentation_are_learnt() {
    let mut random = fastrand::Rng::with_seed(9);
    let rows: Vec<f32> = (0..2 * 300).map(|_| random.f32() - 0.5).collect();
    let samples = WindowRows {
        windows: Windows::new(&rows, 2, 4, &[0, 120]).unwrap(),
        augmentation: Augmentation { jitter: 0.02, magnitude_warp: 0.02, time_warp: 0.05, knots: 3 },
        device: device(),
    };
    let ends = samples.windows.ends();
    let (train, watched) = ends.split_at(ends.len() * 3 / 4);
    let plan = Plan { epochs: 25, batch: 32, learning_rate: 0.02, ..Plan::default() };
    let fit = Fit::new(plan, &samples, |epoch| shuffled(train, 3, epoch), |module, _| mean_loss(module, &samples, watched, 64));
    let fitted = fit.run(Perceptron::new(8, 8, 0.0, &device())).unwrap();
    assert!(fitted.best_epoch.unwrap().value < 0.01, "{:?}", fitted.best_epoch);
}

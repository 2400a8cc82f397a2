//! The network on a graphics card says and learns what it does on the processor. Built with the feature `gpu`; a machine
//! without one is told.
#![cfg(feature = "gpu")]

use burn::tensor::Device;
use chronos_research::ticks::Ticks;
use chronos_training::device::{TrainingDevice, half_precision};
use chronos_training::fit::{Fit, Objective, Plan, Samples};
use chronos_training::losses::HeadLoss;
use chronos_training::network::{Network, NetworkConfig};
use chronos_training::parameters::{ModuleGradients, read_parameters};
use chronos_training::ticks::{DirectionModel, TickWindows};

const FEATURES: usize = 9;
const STEPS: usize = 37;
const WINDOWS: usize = 20;

/// The card, or nothing where there is none.
fn card() -> Option<Device> {
    TrainingDevice::Gpu.open().inspect_err(|error| println!("skipped: {error}")).ok()
}

fn ticks() -> Ticks {
    let mut rng = fastrand::Rng::with_seed(1);
    let rows = WINDOWS * STEPS;
    let mut uniform = |count: usize| -> Vec<f32> { (0..count).map(|_| 4.0 * rng.f32() - 2.0).collect() };
    Ticks {
        features: (0..FEATURES).map(|place| (place.to_string(), 1)).collect(),
        times_ns: (0..rows as i64).collect(),
        values: uniform(rows * FEATURES),
        elapsed_s: uniform(rows).into_iter().map(|value| 10_f32.powf(value - 2.0)).collect(),
        starts: vec![0],
        ..Ticks::default()
    }
}

fn windows<'a>(ticks: &'a Ticks, device: &Device) -> TickWindows<'a> {
    let mut windows = TickWindows::new(ticks, STEPS, 5, device).unwrap();
    for row in 0..ticks.rows() {
        windows.label(row, row % 3, (row as f32).sin(), 1.0);
    }
    windows
}

fn ends() -> Vec<usize> {
    (1..=WINDOWS).map(|window| window * STEPS - 1).collect()
}

fn model(mixed_precision: bool, device: &Device) -> DirectionModel {
    let config = NetworkConfig { d_model: 48, layers: 3, dropout: 0.0, mixed_precision, ..NetworkConfig::default() };
    DirectionModel::new(Network::untrained(&config, FEATURES, 3, device).unwrap(), HeadLoss::default())
}

/// The loss of all windows, and the gradient of every parameter.
fn loss_and_gradients(mixed_precision: bool, device: &Device) -> (f64, Vec<(String, Vec<f64>)>) {
    let (device, ticks) = (device.clone().autodiff(), ticks());
    let model = model(mixed_precision, &device);
    let loss = model.loss(&windows(&ticks, &device).batch(&ends(), None), None).total;
    let mut gradients = ModuleGradients::take(&model, &mut loss.clone().mul_scalar(model.loss_scale()).backward()).unwrap();
    gradients.scale(1.0 / model.loss_scale());
    let names = read_parameters(&model).unwrap().into_iter().map(|parameter| parameter.name);
    let values = gradients.values.iter().map(|values| values.as_ref().map_or(Vec::new(), |values| values.iter_f64().collect()));
    (loss.into_scalar(), names.zip(values).collect())
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

#[track_caller]
fn assert_same(mixed_precision: bool, device: &Device, tolerance: f64) {
    let (wanted_loss, wanted) = loss_and_gradients(false, &Device::flex());
    let (loss, gradients) = loss_and_gradients(mixed_precision, device);
    let of_loss = (loss / wanted_loss - 1.0).abs();
    let mut worst = (0.0, "");
    for ((name, wanted), (_, got)) in wanted.iter().zip(&gradients) {
        assert_eq!(wanted.len(), got.len(), "{name}");
        let difference = norm(wanted.iter().zip(got).map(|(wanted, got)| wanted - got)) / norm(wanted.iter().copied()).max(1e-6);
        if difference > worst.0 {
            worst = (difference, name);
        }
    }
    println!("mixed {mixed_precision}: loss differs by {of_loss:.1e}, gradients by up to {:.1e} ({})", worst.0, worst.1);
    assert!(of_loss < tolerance && worst.0 < tolerance, "more than {tolerance:e}");
}

#[test]
fn a_graphics_card_says_and_learns_what_the_processor_does() {
    let Some(device) = card() else { return };
    assert_same(false, &device, 1e-3);
}

#[test]
fn mixed_precision_is_near() {
    let Some(device) = card() else { return };
    match half_precision(&device) {
        Some(dtype) => {
            println!("products in {dtype:?}");
            assert_same(true, &device, 0.1);
        }
        None => println!("skipped: the card has no half precision"),
    }
}

#[test]
fn one_seed_gives_the_same_bits_on_one_device() {
    let Some(device) = card() else { return };
    let (device, ticks) = (device.autodiff(), ticks());
    let windows = windows(&ticks, &device);
    let trained = || {
        let plan = Plan { epochs: 3, batch: 8, ..Plan::default() };
        let fitted = Fit::new(plan, &windows, |_| ends(), |_, _| 0.0).run(model(false, &device)).unwrap();
        (read_parameters(&fitted.last).unwrap(), fitted.curves.epochs.last().unwrap().training_loss)
    };
    let (first, second) = (trained(), trained());
    println!("loss after training {}", first.1);
    assert!(first.0 != read_parameters(&model(false, &device)).unwrap(), "nothing was learnt");
    assert_eq!(first, second);
}

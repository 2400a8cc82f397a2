//! Losses, optimisers, clipping, schedules and recurrent layers against torch in float64.
#![cfg(feature = "train")]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use chronos_tests::golden_json;
use chronos_training::losses;
use chronos_training::optimiser::{Optimiser, OptimiserConfig, Schedule, everything_decays};
use chronos_training::parameters::{ModuleGradients, Values, read_parameters};
use chronos_training::recurrent::{Gates, Gru, Lstm};
use serde_json::Value;

const FILE: &str = "15_nn.json";

/// Precision of the tensors, and how far their values may be from the golden ones: the file's tolerance, in words there.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-9), (DType::F32, 1e-5)];

/// A nested list of numbers, row by row, and its shape.
fn flat(value: &Value) -> (Vec<f64>, Vec<usize>) {
    fn walk(value: &Value, depth: usize, values: &mut Vec<f64>, shape: &mut Vec<usize>) {
        match value {
            Value::Array(rows) => {
                if shape.len() == depth {
                    shape.push(rows.len());
                }
                rows.iter().for_each(|row| walk(row, depth + 1, values, shape));
            }
            number => values.push(number.as_f64().unwrap()),
        }
    }
    let (mut values, mut shape) = (Vec::new(), Vec::new());
    walk(value, 0, &mut values, &mut shape);
    (values, shape)
}

fn numbers(value: &Value) -> Vec<f64> {
    flat(value).0
}

fn tensor<const D: usize>(value: &Value, dtype: DType) -> Tensor<D> {
    let (values, shape) = flat(value);
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex().autodiff(), dtype))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data_as::<f64>().try_into_vec().unwrap()
}

#[track_caller]
fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{name}[{place}]: {found}, expected {expected}");
    }
}

/// The number that follows `mark` in a name such as `adamw_lr1e-3_wd0.01`.
fn number_after(name: &str, mark: &str) -> Option<f64> {
    let rest = &name[name.find(mark)? + mark.len()..];
    rest.split('_').next().and_then(|number| number.parse().ok())
}

/// A loss a sample and its slope, checked at once.
#[track_caller]
fn assert_loss(name: &str, at: Tensor<1>, loss: impl Fn(Tensor<1>) -> Tensor<1>, expected: (&Value, &Value), tolerance: f64) {
    let at = at.require_grad();
    let losses = loss(at.clone());
    let slopes = at.grad(&losses.clone().sum().backward()).unwrap();
    assert_close(name, &values(losses), &numbers(expected.0), tolerance);
    assert_close(&format!("{name}: slope"), &values(slopes), &numbers(expected.1), tolerance);
}

#[test]
fn focal_losses_and_their_slopes() {
    let Some(golden) = golden_json(FILE) else { return };
    for (dtype, tolerance) in PRECISIONS {
        let inputs = &golden["inputs"]["focal_binary"];
        for case in golden["expected"]["focal_binary"].as_array().unwrap() {
            let (alpha, gamma) = (case["alpha"].as_f64(), case["gamma"].as_f64().unwrap());
            let name = format!("binary focal loss, alpha {alpha:?}, gamma {gamma}");
            let loss = |logits: Tensor<1>| losses::focal_binary(logits, tensor(&inputs["targets"], dtype), alpha, gamma);
            assert_loss(&name, tensor(&inputs["logits"], dtype), loss, (&case["loss"], &case["dsum_dlogit"]), tolerance);
            let mean = losses::weighted_mean(loss(tensor(&inputs["logits"], dtype)), None);
            assert_close(&name, &values(mean), &numbers(&case["mean"]), tolerance);
        }
        let inputs = &golden["inputs"]["focal_multiclass"];
        let weights = numbers(&inputs["class_weights"]);
        for case in golden["expected"]["focal_multiclass"].as_array().unwrap() {
            let gamma = case["gamma"].as_f64().unwrap();
            let name = format!("focal loss, gamma {gamma}");
            let classes: Vec<i64> = numbers(&inputs["targets"]).iter().map(|class| *class as i64).collect();
            let classes = Tensor::<1, Int>::from_ints(&classes[..], &Device::flex().autodiff());
            let logits = tensor::<2>(&inputs["logits"], dtype).require_grad();
            let losses = losses::focal(logits.clone(), classes, Some(&weights), gamma);
            assert_close(&name, &values(losses.clone()), &numbers(&case["loss"]), tolerance);
            let slopes = logits.grad(&losses.mean().backward()).unwrap();
            assert_close(&name, &values(slopes), &numbers(&case["dmean_dlogits"]), tolerance);
        }
    }
}

#[test]
fn regression_losses_and_their_slopes() {
    let Some(golden) = golden_json(FILE) else { return };
    let inputs = &golden["inputs"]["regression"];
    for (dtype, tolerance) in PRECISIONS {
        for (name, case) in golden["expected"]["regression"].as_object().unwrap() {
            let target = tensor::<1>(&inputs["target"], dtype);
            let loss = |prediction: Tensor<1>| {
                let target = target.clone();
                if let Some(delta) = number_after(name, "huber_delta") {
                    losses::huber(prediction, target, delta)
                } else if let Some(beta) = number_after(name, "smooth_l1_beta") {
                    losses::smooth_l1(prediction, target, beta)
                } else if let Some(q) = number_after(name, "quantile_") {
                    losses::quantile(prediction, target, q)
                } else if name == "mse" {
                    losses::squared(prediction, target)
                } else if name == "log_cosh" {
                    losses::log_cosh(prediction, target)
                } else {
                    panic!("no loss of the name {name}")
                }
            };
            assert_loss(name, tensor(&inputs["pred"], dtype), loss, (&case["loss"], &case["grad"]), tolerance);
        }
        let (inputs, expected) = (&golden["inputs"]["quantile"], &golden["expected"]["quantile_loss"]);
        let losses = losses::quantiles(tensor(&inputs["pred"], dtype), tensor(&inputs["y"], dtype), &numbers(&inputs["q"]));
        assert_close("quantiles", &values(losses.clone()), &numbers(&expected["per"]), tolerance);
        let mean = losses.sum_dim(1).mean();
        assert_close("quantiles", &values(mean), &numbers(&expected["mean_over_samples_sum_over_quantiles"]), tolerance);
    }
}

#[derive(Module, Debug)]
struct Weights {
    w: Param<Tensor<1>>,
}

/// The parameters after each step.
fn trajectory(golden: &Value, config: OptimiserConfig, learning_rate: f64, dtype: DType) -> Vec<Vec<f64>> {
    let mut module = Weights { w: Param::from_tensor(tensor(&golden["inputs"]["optim"]["w0"], dtype)) };
    let mut optimiser = Optimiser::new(config, &module, everything_decays).unwrap();
    let steps = golden["inputs"]["optim"]["grads"].as_array().unwrap();
    let after = steps.iter().map(|gradient| {
        let gradient = match dtype {
            DType::F64 => Values::F64(numbers(gradient)),
            _ => Values::F32(numbers(gradient).iter().map(|value| *value as f32).collect()),
        };
        module = optimiser.step(module.clone(), &ModuleGradients { values: vec![Some(gradient)] }, learning_rate).unwrap();
        read_parameters(&module).unwrap()[0].values.iter_f64().collect()
    });
    after.collect()
}

/// The rule that a name such as `adam_l2_0.01` stands for; what it does not say is torch's default.
fn rule(name: &str) -> OptimiserConfig {
    let beta = |place: usize, usual: f64| {
        let betas =
            name.find("_b0").map(|at| name[at + 2..].split('_').map(str::parse::<f64>).map_while(Result::ok).collect::<Vec<_>>());
        betas.and_then(|betas| betas.get(place).copied()).unwrap_or(usual)
    };
    let epsilon = number_after(name, "_eps").unwrap_or(1e-8);
    if name.starts_with("adamw") {
        let weight_decay = number_after(name, "_wd").unwrap_or(0.01);
        let amsgrad = name.contains("amsgrad");
        OptimiserConfig::AdamW { beta1: beta(0, 0.9), beta2: beta(1, 0.999), epsilon, weight_decay, amsgrad }
    } else if name.starts_with("adam") {
        OptimiserConfig::Adam { beta1: beta(0, 0.9), beta2: beta(1, 0.999), epsilon, l2: number_after(name, "_l2_").unwrap_or(0.0) }
    } else if name.starts_with("sgd") {
        let momentum = number_after(name, "_mom").unwrap_or(0.0);
        OptimiserConfig::Sgd { momentum, nesterov: name.contains("nesterov"), l2: number_after(name, "_wd").unwrap_or(0.0) }
    } else if name.starts_with("rmsprop") {
        OptimiserConfig::rms_prop()
    } else {
        panic!("no optimiser of the name {name}")
    }
}

#[test]
fn optimisers_take_the_same_way() {
    let Some(golden) = golden_json(FILE) else { return };
    let start = numbers(&golden["inputs"]["optim"]["w0"]);
    for (name, expected) in golden["expected"]["optim_trajectories"].as_object().unwrap() {
        let expected: Vec<Vec<f64>> = expected.as_array().unwrap().iter().map(numbers).collect();
        let config = rule(name);
        // Where a name does not say the rate, it is told from the first value of the first step, which is proportional to it.
        let unit = trajectory(&golden, config, 1.0, DType::F64);
        let rate = number_after(name, "_lr").unwrap_or((expected[0][0] - start[0]) / (unit[0][0] - start[0]));
        for (dtype, tolerance) in PRECISIONS {
            for (step, (found, expected)) in trajectory(&golden, config, rate, dtype).iter().zip(&expected).enumerate() {
                assert_close(&format!("{name}, {dtype:?}, step {step}"), found, expected, tolerance);
            }
        }
    }
}

#[test]
fn clipping_scales_all_gradients_by_their_norm() {
    let Some(golden) = golden_json(FILE) else { return };
    let tensors = |value: &Value| -> Vec<Vec<f64>> { value.as_array().unwrap().iter().map(numbers).collect() };
    let expected = &golden["expected"]["clip"];
    let values = tensors(&golden["inputs"]["clip"]).into_iter().map(|values| Some(Values::F64(values))).collect();
    let mut gradients = ModuleGradients { values };
    let norm = gradients.clip(expected["max_norm"].as_f64().unwrap());
    assert_close("norm", &[norm], &numbers(&expected["total_norm"]), 1e-9);
    for (found, expected) in gradients.values.iter().flatten().zip(tensors(&expected["clipped"])) {
        assert_close("clipped", &found.iter_f64().collect::<Vec<_>>(), &expected, 1e-9);
    }
}

#[test]
fn schedules_give_the_same_rates() {
    let Some(golden) = golden_json(FILE) else { return };
    for (name, expected) in golden["expected"].as_object().unwrap().iter().filter(|(name, _)| name.contains("_lr_")) {
        let expected = numbers(expected);
        let (schedule, peak) = if name.starts_with("cosine") {
            let total = number_after(name, "_T").unwrap() as u64;
            let floor = number_after(name, "_min").unwrap();
            (Schedule::WarmupCosine { warmup: 0, total, floor }, number_after(name, "_eta").unwrap())
        } else {
            let total = number_after(name, "_total").unwrap() as u64;
            let schedule = Schedule::OneCycle { total, warmup_share: 0.3, start_divisor: 25.0, end_divisor: 1e4 };
            (schedule, number_after(name, "_max").unwrap())
        };
        let found: Vec<f64> = (0..expected.len() as u64).map(|step| schedule.learning_rate(peak, step)).collect();
        assert_close(name, &found, &expected, 1e-9);
    }
}

#[test]
fn recurrent_layers_have_torchs_gates() {
    let Some(golden) = golden_json(FILE) else { return };
    let (inputs, expected) = (&golden["inputs"]["rnn"], &golden["expected"]);
    for (dtype, tolerance) in PRECISIONS {
        let gates = |weights: &Value| Gates {
            input_weight: Param::from_tensor(tensor::<2>(&weights["weight_ih_l0"], dtype).transpose()),
            hidden_weight: Param::from_tensor(tensor::<2>(&weights["weight_hh_l0"], dtype).transpose()),
            input_bias: Param::from_tensor(tensor(&weights["bias_ih_l0"], dtype)),
            hidden_bias: Param::from_tensor(tensor(&weights["bias_hh_l0"], dtype)),
        };
        let (outputs, cell) = Lstm::from_gates(gates(&inputs["lstm"])).forward(tensor(&inputs["x"], dtype), false);
        assert_close("lstm", &values(outputs.clone()), &numbers(&expected["lstm"]["out"]), tolerance);
        assert_close("lstm: cell", &values(cell), &numbers(&expected["lstm"]["c"]), tolerance);
        let last = outputs.dims()[1] - 1;
        assert_close("lstm: last", &values(outputs.narrow(1, last, 1)), &numbers(&expected["lstm"]["h"]), tolerance);
        let outputs = Gru::from_gates(gates(&inputs["gru"])).forward(tensor(&inputs["x"], dtype), false);
        assert_close("gru", &values(outputs.clone()), &numbers(&expected["gru"]["out"]), tolerance);
        assert_close("gru: last", &values(outputs.narrow(1, last, 1)), &numbers(&expected["gru"]["h"]), tolerance);
    }
}

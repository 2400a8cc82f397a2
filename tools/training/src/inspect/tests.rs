use super::*;
use crate::network::NetworkConfig;
use burn::tensor::{Device, Distribution};
use chronos_inference::{StepWeights, Tensor as Name};
use fastrand::Rng;

const FEATURES: usize = 5;

fn config() -> NetworkConfig {
    NetworkConfig { d_model: 8, layers: 3, d_state: 3, d_conv: 3, dt_rank: 2, head_hidden: 6, ..NetworkConfig::default() }
}

/// Weights in which everything is in use.
fn weights() -> StepWeights {
    let mut rng = Rng::with_seed(1);
    let untrained = StepWeights::untrained(&config().spec(FEATURES), 2);
    let moved = |name: Name| untrained.values(name).iter().map(|value| value + 0.2 * (2.0 * rng.f32() - 1.0)).collect();
    StepWeights::from_fn(untrained.spec(), moved).unwrap()
}

fn network(weights: &StepWeights) -> Network {
    Network::from_weights(weights, &config(), 0, &Device::flex().autodiff()).unwrap()
}

/// Two batches of windows; the classes are what the network says with some noise, so that its parts are worth something.
fn windows(network: &Network) -> Vec<LabelledWindows> {
    let mut rng = Rng::with_seed(3);
    let mut batch = |count: usize| {
        let mut uniform = |count: usize, scale: f32| -> Vec<f32> { (0..count).map(|_| scale * (2.0 * rng.f32() - 1.0)).collect() };
        let features = uniform(count * 6 * FEATURES, 2.0);
        let dt_s = uniform(count * 6, 0.1).into_iter().map(f32::abs).collect();
        let input = WindowInput::from_rows([count, 6, FEATURES], features, dt_s, &Device::flex());
        let said = network.valid().forward(input.clone(), Read::Last, None);
        let log: Vec<[f64; 3]> = values(said.logits).as_chunks().0.iter().map(log_softmax).collect();
        let classes = log.iter().map(|log| {
            let draw = rng.f64();
            usize::from(draw > log[0].exp()) + usize::from(draw > log[0].exp() + log[1].exp())
        });
        let classes = classes.collect();
        LabelledWindows { input, classes, targets: values(said.forecast).into_iter().map(|forecast| forecast as f32).collect() }
    };
    vec![batch(300), batch(301)]
}

fn names() -> Vec<String> {
    (0..FEATURES).map(|place| format!("feature {place}")).collect()
}

fn verdicts(effects: &[Effect]) -> Vec<Verdict> {
    effects.iter().map(|effect| effect.verdict).collect()
}

#[test]
fn everything_of_a_live_model_is_alive_and_worth_something() {
    let network = network(&weights());
    let found = inspect(&network, &names(), &windows(&network)).unwrap();
    assert_eq!(found.windows, 601);
    for effect in found.blocks.iter().chain(&found.gates).chain(&found.heads).chain(&found.features) {
        assert_eq!(effect.verdict, Verdict::Alive, "{effect:?}");
    }
    // The targets are what the whole says: without any part it errs.
    assert!(found.squared_error < 1e-12);
    assert!(found.blocks.iter().chain(&found.features).all(|effect| effect.squared_error_change > 0.0));
    // The head of the classes moves its own output alone, by its spread.
    let [logits, forecast] = found.heads.as_slice() else { panic!("two heads") };
    assert!((logits.probability_change - found.probability_spread).abs() < 1e-12 && logits.forecast_change == 0.0);
    assert!((forecast.forecast_change - found.forecast_spread).abs() < 1e-12 && forecast.probability_change == 0.0);
    assert!((forecast.squared_error_change - found.forecast_spread.powi(2)).abs() < 1e-9);
    assert!(logits.log_loss_change > 0.0);
    assert!(!found.is_affine && found.logits_nonlinearity > 0.01 && found.forecast_nonlinearity > 0.01);
}

#[test]
fn dead_parts_are_named() {
    let mut weights = weights();
    let named = |name: &str| weights.spec().tensors().into_iter().find(|tensor| tensor.to_string() == name).unwrap();
    let [out, time, head] = ["layers.1.out_proj.weight", "time.weight", "forecast.output.weight"].map(named);
    let [input, gate] = ["input.weight", "volatility.weight"].map(named);
    for tensor in [out, time, head] {
        weights.values_mut(tensor).fill(0.0);
    }
    // A denormal is as good as zero.
    weights.values_mut(out)[..32].fill(1e-40);
    // The network does not look at feature 2.
    for tensor in [input, gate] {
        weights.values_mut(tensor)[2 * 8..3 * 8].fill(0.0);
    }
    let network = network(&weights);
    let mut windows = windows(&network);
    windows[0].targets.fill(1.0);
    let found = inspect(&network, &names(), &windows).unwrap();
    assert_eq!(verdicts(&found.blocks), [Verdict::Alive, Verdict::Dead, Verdict::Alive]);
    assert_eq!(verdicts(&found.gates), [Verdict::Dead, Verdict::Alive]);
    assert_eq!(verdicts(&found.heads), [Verdict::Alive, Verdict::Dead]);
    let unused: Vec<&str> = found.features.iter().filter(|of| of.verdict == Verdict::Dead).map(|of| of.part.as_str()).collect();
    assert_eq!(unused, ["feature 2"]);
    let report = found.tensors.iter().find(|report| report.name == "layers.1.out_proj.weight").unwrap();
    let count = report.values as f64;
    assert_eq!((report.denormal_share, report.zero_share), (32.0 / count, 1.0 - 32.0 / count));
    assert!(report.largest < 1e-39 && report.largest > 0.0);
    // A forecast that never moves says nothing of being curved.
    assert_eq!(found.forecast_nonlinearity, 0.0);
    assert!(!found.is_affine);
}

#[test]
fn affine_maps_are_told_from_others() {
    let device = Device::flex();
    let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let (matrix, bias, one, other) = (random([7, 3]), random([1, 3]), random([50, 7]), random([50, 7]));
    let affine = |x: Tensor<2>| x.matmul(matrix.clone()) + bias.clone();
    assert!(nonlinearity(affine, one.clone(), other.clone()) < AFFINE_BELOW);
    let constant = |x: Tensor<2>| x.zeros_like().narrow(1, 0, 3) + 7.0;
    assert_eq!(nonlinearity(constant, one.clone(), other.clone()), 0.0);
    // x^2 misses the middle of x and y by (x - y)^2 / 4.
    let (x, y) = (Tensor::from_floats([[3.0_f32]], &device), Tensor::from_floats([[1.0_f32]], &device));
    let found = nonlinearity(|x: Tensor<2>| x.clone() * x, x, y);
    assert!((found - 1.0 / 4.0).abs() < 1e-6, "{found}");
    let bent = |x: Tensor<2>| affine(x.clone()) + (x.narrow(1, 0, 3) * 0.5).tanh();
    assert!(nonlinearity(bent, one, other) > AFFINE_BELOW);
}

#[test]
fn what_cannot_be_inspected_is_refused() {
    let network = network(&weights());
    let windows = windows(&network);
    let refused = |windows: &[LabelledWindows], names: &[String]| inspect(&network, names, windows).unwrap_err();
    assert_eq!(refused(&[], &names()), InspectError::TooFew(0));
    assert_eq!(refused(&windows, &names()[1..]), InspectError::Features { expected: 5, found: 4 });
    let mut wrong = windows.clone();
    wrong[1].classes[0] = 3;
    assert!(matches!(refused(&wrong, &names()), InspectError::Labels { batch: 1, .. }));
    wrong[1].classes[0] = 0;
    wrong[1].targets.pop();
    assert!(matches!(refused(&wrong, &names()), InspectError::Labels { batch: 1, .. }));
    let mut broken = weights();
    broken.values_mut(Name::InputBias)[0] = f32::NAN;
    let broken = Network::from_weights(&broken, &config(), 0, &Device::flex()).unwrap();
    assert_eq!(inspect(&broken, &names(), &windows).unwrap_err(), InspectError::NonFinite);
}

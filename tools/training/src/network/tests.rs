use super::*;
use crate::parameters::{ModuleGradients, Parameter, Values, read_parameters, write_parameters};
use burn::tensor::DType;
use chronos_inference::{NativeModel, Prediction, StepInput, StepModel, StepWeights, Tensor as Name};

/// Small, and no two sizes alike.
fn tiny() -> NetworkConfig {
    NetworkConfig {
        d_model: 6,
        layers: 3,
        d_state: 3,
        d_conv: 4,
        expand: 2,
        dt_rank: 2,
        head_hidden: 5,
        dropout: 0.3,
        mixed_precision: false,
        auxiliary_after: Some(vec![1, 2]),
        volatility: Vec::new(),
    }
}

/// Weights none of which is where training starts, of the size of trained ones: sums over many inputs have small weights.
fn perturbed(config: &NetworkConfig, features: usize, seed: u64) -> StepWeights {
    let spec = config.spec(features);
    let mut rng = Rng::with_seed(seed);
    let untrained = StepWeights::untrained(&spec, seed);
    let moved = |name: Name| {
        let by = 0.5 / (name.shape(&spec)[0] as f32).sqrt();
        untrained.values(name).iter().map(|value| value + by * (2.0 * rng.f32() - 1.0)).collect()
    };
    StepWeights::from_fn(&spec, moved).unwrap()
}

/// Flat rows, and the times between them.
struct Rows {
    shape: [usize; 3],
    features: Vec<f32>,
    dt_s: Vec<f32>,
    regime: Vec<f32>,
}

fn rows(shape: [usize; 3], seed: u64) -> Rows {
    let mut rng = Rng::with_seed(seed);
    let mut uniform = |count: usize| -> Vec<f32> { (0..count).map(|_| 4.0 * rng.f32() - 2.0).collect() };
    let [batch, steps, features] = shape;
    let (features, regime) = (uniform(batch * steps * features), uniform(batch * steps * 128));
    // From microseconds to seconds.
    let dt_s = uniform(batch * steps).into_iter().map(|value| 10f32.powf(1.5 * value - 3.0)).collect();
    Rows { shape, features, dt_s, regime: regime.into_iter().map(|value| 0.2 * value).collect() }
}

impl Rows {
    fn input(&self, device: &Device, dtype: DType, with_regime: bool) -> WindowInput {
        let [batch, steps, features] = self.shape;
        let of = |values: &[f32], width| {
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), [batch, steps, width]), (device, dtype))
        };
        WindowInput {
            features: of(&self.features, features),
            dt_s: of(&self.dt_s, 1).reshape([batch, steps]),
            regime: with_regime.then(|| of(&self.regime, 128)),
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.cast(DType::F64).into_data().try_into_vec().unwrap()
}

/// What the native step says to each row, three logits and the forecast: `[batch, steps, 4]`.
fn stepped(weights: &StepWeights, rows: &Rows, with_regime: bool) -> Vec<f64> {
    let mut model = NativeModel::new(weights);
    let ([_, steps, width], mut said) = (rows.shape, Vec::new());
    for (row, features) in rows.features.chunks(width).enumerate() {
        if row % steps == 0 {
            model.reset();
        }
        let regime: &[f32; 128] = rows.regime[row * 128..].first_chunk().unwrap();
        let regime = if with_regime { regime } else { &[0.0; 128] };
        let mut prediction = Prediction::default();
        model.step(&StepInput { features, dt_s: rows.dt_s[row], regime }, &mut prediction).unwrap();
        said.extend(prediction.logits.map(f64::from));
        said.push(prediction.forecast.into());
    }
    said
}

/// The same from the network's outputs.
fn together(output: WindowOutput) -> Vec<f64> {
    let (logits, forecasts) = (values(output.logits), values(output.forecast));
    logits.chunks(3).zip(forecasts).flat_map(|(logits, forecast)| [logits[0], logits[1], logits[2], forecast]).collect()
}

#[track_caller]
fn assert_close(got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len());
    for (place, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!((got - wanted).abs() <= tolerance * wanted.abs().max(1.0), "at {place}: {got} and {wanted} was expected");
    }
}

#[test]
fn a_window_says_what_the_steps_say() {
    let device = Device::flex();
    let cases = [(tiny(), [3, 17, 5]), (NetworkConfig::default(), [2, 40, 24])];
    for (config, shape) in cases {
        let rows = rows(shape, 1);
        for (seed, weights) in
            [StepWeights::untrained(&config.spec(shape[2]), 5), perturbed(&config, shape[2], 6)].iter().enumerate()
        {
            let network = Network::from_weights(weights, &config, 0, &device).unwrap();
            for with_regime in [false, true] {
                let wanted = stepped(weights, &rows, with_regime);
                let input = rows.input(&device, DType::F32, with_regime);
                assert_close(&together(network.forward(input.clone(), Read::Every, None)), &wanted, 1e-5);
                let last: Vec<f64> = wanted.chunks(4 * shape[1]).flat_map(|window| window[4 * (shape[1] - 1)..].to_vec()).collect();
                assert_close(&together(network.forward(input, Read::Last, None)), &last, 1e-5);
                println!("case {seed}, regime {with_regime}: equal");
            }
        }
    }
}

#[test]
fn mixed_precision_rounds_products_and_nothing_else() {
    let (config, device, rows) = (tiny(), Device::flex().autodiff(), rows([3, 9, 5], 1));
    let outcome = |mixed_precision: bool| {
        let config = NetworkConfig { mixed_precision, ..config.clone() };
        let network = Network::from_weights(&perturbed(&config, 5, 6), &config, 0, &device).unwrap();
        let loss = loss(&network, rows.input(&device, DType::F32, true), Read::Every);
        let gradients = ModuleGradients::take(&network, &mut loss.backward()).unwrap();
        let gradients: Vec<f64> = gradients.values.iter().flatten().flat_map(Values::iter_f64).collect();
        (values_of(loss), gradients)
    };
    let ((full_loss, full), (mixed_loss, mixed)) = (outcome(false), outcome(true));
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let of = norm(&mut full.iter().zip(&mixed).map(|(full, mixed)| full - mixed)) / norm(&mut full.iter().copied());
    println!("loss {full_loss} and {mixed_loss}, gradients differ by {of:.1e}");
    // bfloat16 has 8 bits of fraction: more than f32's noise, and no more than a few such roundings.
    assert!((1e-4..0.03).contains(&of), "{of:e}");
    assert!((full_loss - mixed_loss).abs() < 0.03 * full_loss.abs().max(1.0));
}

#[test]
fn auxiliary_heads_read_what_the_others_read() {
    let network = Network::untrained(&tiny(), 5, 3, &Device::flex()).unwrap();
    let input = rows([2, 4, 5], 2).input(&Device::flex(), DType::F32, false);
    let (every, last) = (network.forward(input.clone(), Read::Every, None), network.forward(input, Read::Last, None));
    assert_eq!((every.auxiliary.len(), last.auxiliary.len()), (2, 2));
    for (every, last) in every.auxiliary.into_iter().zip(last.auxiliary) {
        assert_eq!((every.dims(), last.dims()), ([8, 3], [2, 3]));
        let every = values(every);
        assert_close(&values(last), &[&every[9..12], &every[21..24]].concat(), 1e-6);
    }
}

/// A loss in which every output, auxiliary ones too, has a weight of its own.
fn loss(network: &Network, input: WindowInput, read: Read) -> Tensor<1> {
    let output = network.forward(input, read, None);
    let weighed = |tensor: Tensor<2>, phase: f64| {
        let weights: Vec<f64> = (0..tensor.shape().num_elements()).map(|place| (place as f64 + phase).cos()).collect();
        let weights = Tensor::from_data(TensorData::new(weights, tensor.dims()), (&tensor.device(), tensor.dtype()));
        (tensor * weights).sum()
    };
    let auxiliary = output.auxiliary.into_iter().enumerate().map(|(place, logits)| weighed(logits, 20.0 * (place as f64 + 1.0)));
    let main = weighed(output.logits, 0.0) + weighed(output.forecast.unsqueeze_dim(1), 10.0);
    auxiliary.fold(main, |sum, part| sum + part)
}

#[test]
fn every_gradient_is_a_slope() {
    let config = NetworkConfig { d_model: 4, layers: 2, d_state: 2, d_conv: 3, head_hidden: 3, auxiliary_after: None, ..tiny() };
    let (learning, options) = (NetworkConfig { volatility: vec![1], ..config.clone() }, (Device::flex().autodiff(), DType::F64));
    let weights = perturbed(&config, 3, 4);
    let rows = rows([2, 3, 3], 5);
    for read in [Read::Every, Read::Last] {
        let network = Network::from_weights(&weights, &config, 0, (&options.0, options.1)).unwrap();
        let input = rows.input(&options.0, DType::F64, true);
        let gradients_of = |network: &Network| {
            let mut gradients = loss(network, input.clone(), read).backward();
            ModuleGradients::take(network, &mut gradients).unwrap().values
        };
        let gradients = gradients_of(&network);
        let parameters = read_parameters(&network).unwrap();
        let plain = rows.input(&Device::flex(), DType::F64, true);
        let moved = |at: usize, place: usize, by: f64| {
            let mut parameters: Vec<Parameter> = parameters.clone();
            let Values::F64(values) = &mut parameters[at].values else { panic!("not f64") };
            values[place] += by;
            let network = write_parameters(network.clone(), &parameters).unwrap().valid();
            values_of(loss(&network, plain.clone(), read))
        };
        for (at, (parameter, gradient)) in parameters.iter().zip(&gradients).enumerate() {
            let gradient: Vec<f64> =
                gradient.as_ref().unwrap_or_else(|| panic!("{} has no gradient", parameter.name)).iter_f64().collect();
            assert_eq!(gradient.len(), parameter.values.len());
            // Of long tensors every seventh value: the rest is the same loop.
            let stride = if gradient.len() > 100 { 7 } else { 1 };
            for place in (0..gradient.len()).step_by(stride) {
                let slope = (moved(at, place, 1e-5) - moved(at, place, -1e-5)) / 2e-5;
                let name = &parameter.name;
                assert!(
                    (slope - gradient[place]).abs() < 1e-7 * slope.abs().max(1.0),
                    "{name} at {place}: {} {slope}",
                    gradient[place]
                );
            }
        }
        // With a mask the same values, and of the gate's rows only the one named learns.
        let masked = Network::from_weights(&weights, &learning, 0, (&options.0, options.1)).unwrap();
        assert_close(&values(loss(&masked, input.clone(), read)), &values(loss(&network, input.clone(), read)), 1e-14);
        for ((parameter, free), masked) in parameters.iter().zip(gradients).zip(gradients_of(&masked)) {
            let (mut free, masked): (Vec<f64>, Vec<f64>) =
                (free.unwrap().iter_f64().collect(), masked.unwrap().iter_f64().collect());
            if parameter.name == "volatility.weight" {
                free.chunks_mut(4).enumerate().filter(|(row, _)| *row != 1).for_each(|(_, row)| row.fill(0.0));
            }
            assert_close(&masked, &free, 1e-12);
        }
    }
}

fn values_of(scalar: Tensor<1>) -> f64 {
    values(scalar)[0]
}

#[test]
fn parameters_are_named_and_kept_as_in_the_model_file() {
    let config = tiny();
    let weights = perturbed(&config, 5, 7);
    let network = Network::from_weights(&weights, &config, 0, &Device::flex().autodiff()).unwrap();
    let names: Vec<String> = read_parameters(&network).unwrap().into_iter().map(|parameter| parameter.name).collect();
    let wanted: Vec<String> = weights.spec().tensors().iter().map(Name::to_string).collect();
    assert_eq!(names[..wanted.len()], wanted);
    assert!(names[wanted.len()..].iter().all(|name| name.starts_with("auxiliary.")), "{names:?}");
    assert_eq!(network.to_weights().unwrap(), weights);
    let double = Network::from_weights(&weights, &config, 0, (&Device::flex(), DType::F64)).unwrap();
    assert_eq!(double.to_weights().unwrap(), weights);
}

#[test]
fn decay_spares_norms_biases_and_rates() {
    let network = Network::untrained(&tiny(), 5, 7, &Device::flex()).unwrap();
    let spared = |name: &str| ["bias", "norm.weight", "a_log", ".d"].iter().any(|end| name.ends_with(end));
    for parameter in read_parameters(&network).unwrap() {
        assert_eq!(decays(&parameter.name), !spared(&parameter.name), "{}", parameter.name);
    }
}

#[test]
fn dropout_needs_a_generator_and_follows_it() {
    let device = Device::flex();
    let config = NetworkConfig { dropout: 0.5, ..tiny() };
    let network = Network::untrained(&config, 5, 3, &device).unwrap();
    let input = rows([2, 6, 5], 2).input(&device, DType::F32, false);
    let drop = |seed: u64| together(network.forward(input.clone(), Read::Every, Some(&mut Rng::with_seed(seed))));
    let without = together(network.forward(input.clone(), Read::Every, None));
    assert_eq!(drop(1), drop(1));
    assert_ne!(drop(1), drop(2));
    assert_ne!(drop(1), without);
    // Without dropout asked for, a generator changes nothing.
    let dry = Network::untrained(&NetworkConfig { dropout: 0.0, ..config }, 5, 3, &device).unwrap();
    assert_eq!(together(dry.forward(input, Read::Every, Some(&mut Rng::with_seed(1)))), without);
}

#[test]
fn dropout_keeps_the_mean() {
    let ones = Tensor::<2>::ones([100, 100], &Device::flex());
    let mut dropout = Dropout { probability: 0.25, rng: Some(&mut Rng::with_seed(1)) };
    let dropped = values(dropout.apply(ones));
    let zeros = dropped.iter().filter(|value| **value == 0.0).count();
    assert!((2_300..2_700).contains(&zeros), "{zeros}");
    assert!(dropped.iter().all(|value| *value == 0.0 || (*value - 4.0 / 3.0).abs() < 1e-6));
}

#[test]
fn ablation_leaves_out_what_it_names() {
    let device = Device::flex();
    let config = tiny();
    let mut weights = perturbed(&config, 5, 8);
    let (input, network) = (rows([2, 6, 5], 9).input(&device, DType::F32, false), |weights: &StepWeights| {
        Network::from_weights(weights, &config, 0, &device).unwrap()
    });
    let without =
        |weights: &StepWeights, ablation| together(network(weights).forward_without(ablation, input.clone(), Read::Last, None));
    let parts = [
        (Ablation::Block(2), "layers.2.out_proj.weight"),
        (Ablation::Time, "time.weight"),
        (Ablation::VolatilityGate, "volatility."),
    ];
    for (ablation, prefix) in parts {
        let ablated = without(&weights, ablation);
        assert_ne!(ablated, without(&weights, Ablation::None));
        // The same as a part whose weights are zero.
        for name in weights.spec().tensors().into_iter().filter(|name| name.to_string().starts_with(prefix)) {
            weights.values_mut(name).fill(0.0);
        }
        assert_close(&ablated, &without(&weights, ablation), 1e-6);
        assert_close(&ablated, &without(&weights, Ablation::None), 1e-6);
        weights = perturbed(&config, 5, 8);
    }
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut NetworkConfig)| {
        let mut config = tiny();
        change(&mut config);
        Network::untrained(&config, 5, 0, &Device::flex()).unwrap_err()
    };
    assert!(matches!(refused(|config| config.d_conv = 1), NetworkError::Sizes(_)));
    assert!(matches!(refused(|config| config.dropout = 1.0), NetworkError::Dropout(_)));
    assert!(matches!(refused(|config| config.dropout = f64::NAN), NetworkError::Dropout(_)));
    for places in [vec![0], vec![3], vec![2, 1], vec![1, 1]] {
        let config = NetworkConfig { auxiliary_after: Some(places), ..tiny() };
        assert!(matches!(config.check(5), Err(NetworkError::Auxiliary { .. })));
    }
    assert!(matches!(refused(|config| config.volatility = vec![5]), NetworkError::Volatility { place: 5, features: 5 }));
    let weights = StepWeights::untrained(&tiny().spec(5), 0);
    let other = NetworkConfig { head_hidden: 6, ..tiny() };
    assert!(matches!(Network::from_weights(&weights, &other, 0, &Device::flex()), Err(NetworkError::OtherSizes { .. })));
    assert_eq!(NetworkConfig { dropout: 0.0, ..NetworkConfig::of(&tiny().spec(5)) }.spec(5), tiny().spec(5));
    let text = toml::to_string(&tiny()).unwrap();
    assert_eq!(toml::from_str::<NetworkConfig>(&text).unwrap(), tiny());
    assert_eq!(toml::from_str::<NetworkConfig>("").unwrap(), NetworkConfig::default());
}

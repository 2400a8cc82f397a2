//! A full step of training of the default model, forward, loss, backward and AdamW, beside PyTorch with a scan of its own; and the fused
//! operations alone.
//!
//! `RAYON_NUM_THREADS` says on how many threads, Python's too. The anchor runs on the same weights and rows in the same run where the
//! Python that `CHRONOS_PYTHON` names (default `python3`) has torch; the two losses before the first step are printed to be compared.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, TensorData};
use chronos_benches::measure::{input_sha256, measure, reference};
use chronos_benches::table;
use chronos_training::losses::HeadLoss;
use chronos_training::network::{Network, NetworkConfig, Read, WindowInput, decays};
use chronos_training::operations::{ScanInput, causal_conv_silu, rms_norm, selective_scan};
use chronos_training::optimiser::{Optimiser, OptimiserConfig};
use chronos_training::parameters::{ModuleGradients, Values, read_parameters};
use std::error::Error;

/// As the command line has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 32;
const STEPS: usize = 64;
const FEATURES: usize = 95;
/// Steps of training that are timed.
const RUNS: usize = 100;
/// And by Python, which takes longer.
const ANCHOR_RUNS: usize = 30;
const SEED: u64 = 1;
const LEARNING_RATE: f64 = 1e-3;
const WEIGHT_DECAY: f64 = 0.01;

/// Rows that a step of training sees, and what they should say.
struct Samples {
    features: Vec<f32>,
    dt_s: Vec<f32>,
    classes: Vec<i64>,
    targets: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", table::circumstances());
    let samples = samples();
    let bytes: Vec<u8> = samples.features.iter().chain(&samples.dt_s).flat_map(|value| value.to_le_bytes()).collect();
    let threads = rayon::current_num_threads();
    println!(
        "threads: {threads}\ninput: {BATCH} windows x {STEPS} steps x {FEATURES} features, SHA-256 {}",
        input_sha256([&bytes[..]])
    );

    let device = Device::flex().autodiff();
    println!("\none step of training; goal 0.100 s on 2 cores");
    for dropout in [NetworkConfig::default().dropout, 0.0] {
        let network = network(dropout, &device)?;
        println!("  parameters: {}; loss before: {:.6}", network.num_params(), first_loss(&network, &samples, &device)?);
        let mut trainer = Trainer::new(network)?;
        measure(&format!("forward, loss, backward, AdamW; dropout {dropout}"), RUNS, || trainer.step(&samples, &device));
    }
    println!("\nthe operations alone, forward and backward, d_inner 256, d_state 16");
    operations(&device);
    println!("\nthe same step, dropout 0, by PyTorch with a scan of its own");
    anchor(&samples, threads)
}

fn network(dropout: f64, device: &Device) -> Result<Network, Box<dyn Error>> {
    Ok(Network::untrained(&NetworkConfig { dropout, ..NetworkConfig::default() }, FEATURES, SEED, device)?)
}

/// A network in training.
struct Trainer {
    network: Option<Network>,
    optimiser: Optimiser,
    rng: fastrand::Rng,
}

impl Trainer {
    fn new(network: Network) -> Result<Trainer, Box<dyn Error>> {
        let optimiser = Optimiser::new(OptimiserConfig::adamw(WEIGHT_DECAY), &network, |name, _| decays(name))?;
        Ok(Trainer { network: Some(network), optimiser, rng: fastrand::Rng::with_seed(SEED) })
    }

    fn step(&mut self, samples: &Samples, device: &Device) -> f64 {
        let Some(network) = self.network.take() else { return f64::NAN };
        let loss = loss(&network, samples, Some(&mut self.rng), device);
        let mut gradients = loss.backward();
        if let Ok(gradients) = ModuleGradients::take(&network, &mut gradients) {
            self.network = self.optimiser.step(network, &gradients, LEARNING_RATE).ok();
        }
        loss.into_scalar::<f64>()
    }
}

fn loss(network: &Network, samples: &Samples, dropout: Option<&mut fastrand::Rng>, device: &Device) -> Tensor<1> {
    let input = WindowInput::from_rows([BATCH, STEPS, FEATURES], samples.features.clone(), samples.dt_s.clone(), device);
    let output = network.forward(input, Read::Last, dropout);
    let classes = Tensor::<1, Int>::from_data(TensorData::new(samples.classes.clone(), [BATCH]), device);
    let targets = Tensor::from_data(TensorData::new(samples.targets.clone(), [BATCH]), device);
    HeadLoss::default().of(output.logits, output.forecast, output.auxiliary, classes, targets, None).total
}

fn first_loss(network: &Network, samples: &Samples, device: &Device) -> Result<f64, Box<dyn Error>> {
    Ok(loss(&network.valid(), samples, None, &device.clone().without_autodiff()).into_scalar::<f64>())
}

/// Each fused operation on the shapes that a block gives it.
fn operations(device: &Device) {
    let normal = |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), device).require_grad();
    let vector = |count: usize| Tensor::<1>::random([count], Distribution::Normal(0.0, 1.0), device).require_grad();
    let matrix = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Uniform(0.0, 1.0), device).require_grad();
    let (wide, narrow) = ([BATCH, STEPS, 256], [BATCH, STEPS, 16]);
    let input = ScanInput {
        u: normal(wide),
        delta: normal(wide),
        delta_bias: vector(256),
        a_log: matrix([16, 256]),
        b: normal(narrow),
        c: normal(narrow),
        d: vector(256),
        z: normal(wide),
    };
    measure("selective scan, forward", RUNS, || selective_scan(input.clone()));
    measure("selective scan", RUNS, || selective_scan(input.clone()).sum().backward());
    let (taps, bias) = (matrix([4, 256]), vector(256));
    measure("causal convolution", RUNS, || causal_conv_silu(input.u.clone(), taps.clone(), bias.clone()).sum().backward());
    let (rows, gain) = (matrix([BATCH * STEPS, 128]), vector(128));
    measure("RMS norm, rows of 128", RUNS, || rms_norm(rows.clone(), gain.clone()).sum().backward());
}

fn samples() -> Samples {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut uniform = |count: usize| -> Vec<f32> { (0..count).map(|_| 4.0 * rng.f32() - 2.0).collect() };
    let (features, targets) = (uniform(BATCH * STEPS * FEATURES), uniform(BATCH));
    let dt_s = uniform(BATCH * STEPS).into_iter().map(|value| 10_f32.powf(value - 2.0)).collect();
    Samples { features, dt_s, targets, classes: (0..BATCH).map(|place| place as i64 % 3).collect() }
}

/// The same step by PyTorch, from the same weights and rows.
fn anchor(samples: &Samples, threads: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let network = network(0.0, &Device::flex())?;
    let mut weights = Vec::new();
    let mut names = Vec::new();
    for parameter in read_parameters(&network)? {
        if let Values::F32(values) = &parameter.values {
            weights.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        names.push(serde_json::json!({ "name": parameter.name, "shape": parameter.shape, "decays": decays(&parameter.name) }));
    }
    let parts = [&samples.features, &samples.dt_s, &samples.targets];
    let rows: Vec<u8> = parts.into_iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let description = serde_json::json!({
        "batch": BATCH, "steps": STEPS, "features": FEATURES, "classes": samples.classes, "layers": network.spec().layers,
        "auxiliary_after": network.spec().layers / 2, "parameters": names, "threads": threads, "runs": ANCHOR_RUNS,
        "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY,
    });
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("weights"), weights)?;
    std::fs::write(path("rows"), rows)?;
    std::fs::write(path("description.json"), description.to_string())?;
    let arguments = ["description.json", "weights", "rows"].map(|name| path(name).display().to_string());
    reference("training_step.py", &arguments);
    Ok(())
}

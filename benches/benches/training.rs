//! A full step of training of the default model, forward, loss, backward and AdamW, beside PyTorch with a scan of its own; and the fused
//! operations alone.
//!
//! `CHRONOS_DEVICE` says where: `cpu`, as it is, or `gpu` in a build with `--features chronos-training/gpu`; there mixed precision and a wider
//! network are timed too, and PyTorch runs on the card. `RAYON_NUM_THREADS` says on how many threads, Python's too. The anchor runs on the same weights and rows in the same run where the
//! Python that `CHRONOS_PYTHON` names (default `python3`) has torch; the two losses before the first step are printed to be compared.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Device, Distribution};
use chronos_benches::measure::{input_sha256, measure, print_seconds, reference};
use chronos_benches::table;
use chronos_research::ticks::Ticks;
use chronos_training::device::{TrainingDevice, half_precision};
use chronos_training::fit::{Event, Fit, Plan, mean_loss};
use chronos_training::losses::HeadLoss;
use chronos_training::network::{Network, NetworkConfig, decays};
use chronos_training::operations::{ScanInput, causal_conv_silu, rms_norm, selective_scan};
use chronos_training::optimiser::OptimiserConfig;
use chronos_training::parameters::{Values, read_parameters};
use chronos_training::ticks::{DirectionModel, TickWindows};
use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

/// As the command line has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 32;
const STEPS: usize = 64;
const FEATURES: usize = 95;
/// Steps of training that are timed.
const RUNS: usize = 100;
/// Before they are.
const WARM_UP: usize = 3;
/// And by Python, which takes longer.
const ANCHOR_RUNS: usize = 30;
const SEED: u64 = 1;
const LEARNING_RATE: f64 = 1e-3;
const WEIGHT_DECAY: f64 = 0.01;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", table::circumstances());
    let (ticks, labels) = (ticks(), labels());
    let bytes: Vec<u8> = ticks.values.iter().chain(&ticks.elapsed_s).flat_map(|value| value.to_le_bytes()).collect();
    let threads = rayon::current_num_threads();
    println!(
        "threads: {threads}\ninput: {BATCH} windows x {STEPS} steps x {FEATURES} features, SHA-256 {}",
        input_sha256([&bytes[..]])
    );

    let kind: TrainingDevice = std::env::var("CHRONOS_DEVICE").map_or(Ok(TrainingDevice::Cpu), |name| name.parse())?;
    let device = kind.open()?.autodiff();
    println!("\none step of training on the {kind}, as chronos train makes it; goal 0.100 s on 2 cores");
    let networks = match kind {
        TrainingDevice::Cpu => vec![NetworkConfig::default(), NetworkConfig { dropout: 0.0, ..NetworkConfig::default() }],
        TrainingDevice::Gpu => {
            let wide = NetworkConfig { d_model: 512, layers: 8, dropout: 0.0, ..NetworkConfig::default() };
            let narrow = NetworkConfig { dropout: 0.0, ..NetworkConfig::default() };
            let mixed = |network: &NetworkConfig| NetworkConfig { mixed_precision: true, ..network.clone() };
            vec![mixed(&narrow), narrow, mixed(&wide), wide]
        }
    };
    for network in &networks {
        if network.mixed_precision && half_precision(&device).is_none() {
            println!("  skipped: the device has no half precision");
            continue;
        }
        train(network, &ticks, &labels, &device)?;
    }
    println!("\nthe operations alone, forward and backward, d_inner 256, d_state 16");
    operations(&device);
    println!("\nthe same step, dropout 0, by PyTorch with a scan of its own");
    anchor(kind, &ticks, &labels, threads)
}

/// Steps of a run, each from the end of the one before it.
fn train(network: &NetworkConfig, ticks: &Ticks, labels: &[(usize, f32)], device: &Device) -> Result<(), Box<dyn Error>> {
    let mut windows = TickWindows::new(ticks, STEPS, 1, device)?;
    let lasts: Vec<usize> = (1..=BATCH).map(|window| window * STEPS - 1).collect();
    for (row, (class, target)) in lasts.iter().zip(labels) {
        windows.label(*row, *class, *target, 1.0);
    }
    let model = DirectionModel::new(Network::untrained(network, FEATURES, SEED, device)?, HeadLoss::default());
    println!("  parameters: {}; loss before: {:.6}", model.num_params(), mean_loss(&model, &windows, &lasts, BATCH));
    let plan = Plan {
        epochs: 1,
        batch: BATCH,
        optimiser: OptimiserConfig::adamw(WEIGHT_DECAY),
        learning_rate: LEARNING_RATE,
        seed: SEED,
        ..Plan::default()
    };
    let order = lasts.repeat(RUNS + WARM_UP);
    let mut ends = Vec::with_capacity(RUNS + WARM_UP);
    let mut fit = Fit::new(plan, &windows, move |_| order.clone(), |_, _| 0.0);
    fit.observe = Box::new(|event| {
        if let Event::Step(_) = event {
            ends.push(Instant::now());
        }
        ControlFlow::Continue(())
    });
    fit.run(model)?;
    let seconds = ends[WARM_UP - 1..].windows(2).map(|ends| (ends[1] - ends[0]).as_secs_f64()).collect();
    let NetworkConfig { d_model, layers, dropout, mixed_precision, .. } = network;
    let name =
        format!("forward, loss, backward, AdamW; d_model {d_model}, layers {layers}, dropout {dropout}, mixed {mixed_precision}");
    print_seconds(&name, seconds);
    Ok(())
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
    let timed = |name: &str, work: &dyn Fn()| measure(name, RUNS, || (work(), device.sync().is_ok()));
    timed("selective scan, forward", &|| drop(selective_scan(input.clone())));
    timed("selective scan", &|| drop(selective_scan(input.clone()).sum().backward()));
    let (taps, bias) = (matrix([4, 256]), vector(256));
    timed("causal convolution", &|| drop(causal_conv_silu(input.u.clone(), taps.clone(), bias.clone()).sum().backward()));
    let (rows, gain) = (matrix([BATCH * STEPS, 128]), vector(128));
    timed("RMS norm, rows of 128", &|| drop(rms_norm(rows.clone(), gain.clone()).sum().backward()));
}

/// Windows that reach nowhere into each other.
fn ticks() -> Ticks {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let rows = BATCH * STEPS;
    let mut uniform = |count: usize| -> Vec<f32> { (0..count).map(|_| 4.0 * rng.f32() - 2.0).collect() };
    Ticks {
        features: (0..FEATURES).map(|place| (place.to_string(), 1)).collect(),
        times_ns: (0..rows as i64).collect(),
        values: uniform(rows * FEATURES),
        elapsed_s: uniform(rows).into_iter().map(|value| 10_f32.powf(value - 2.0)).collect(),
        starts: (0..BATCH).map(|window| window * STEPS).collect(),
        ..Ticks::default()
    }
}

/// Class and target of each window.
fn labels() -> Vec<(usize, f32)> {
    let mut rng = fastrand::Rng::with_seed(SEED + 1);
    (0..BATCH).map(|window| (window % 3, 4.0 * rng.f32() - 2.0)).collect()
}

/// The same step by PyTorch, from the same weights and rows.
fn anchor(kind: TrainingDevice, ticks: &Ticks, labels: &[(usize, f32)], threads: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let network = Network::untrained(&NetworkConfig::default(), FEATURES, SEED, &Device::flex())?;
    let mut weights = Vec::new();
    let mut names = Vec::new();
    for parameter in read_parameters(&network)? {
        if let Values::F32(values) = &parameter.values {
            weights.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        names.push(serde_json::json!({ "name": parameter.name, "shape": parameter.shape, "decays": decays(&parameter.name) }));
    }
    let targets = labels.iter().map(|(_, target)| target);
    let rows: Vec<u8> = ticks.values.iter().chain(&ticks.elapsed_s).chain(targets).flat_map(|value| value.to_le_bytes()).collect();
    let description = serde_json::json!({
        "batch": BATCH, "steps": STEPS, "features": FEATURES, "classes": labels.iter().map(|(class, _)| class).collect::<Vec<_>>(), "layers": network.spec().layers,
        "auxiliary_after": network.spec().layers / 2, "parameters": names, "threads": threads, "is_on_card": kind == TrainingDevice::Gpu, "runs": ANCHOR_RUNS,
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

//! A million rows of 80 features are trained on within 4 GiB: what stands in memory is the rows and a batch.
#![cfg(all(feature = "train", target_os = "linux"))]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use chronos_training::fit::{Fit, Objective, Plan, Samples, Windows, mean_loss, shuffled};
use chronos_training::losses::{self, Loss};

const ROWS: usize = 1_000_000;
const FEATURES: usize = 80;
const STEPS: usize = 64;

/// A linear map of the last row.
#[derive(Module, Debug)]
struct Linear {
    weight: Param<Tensor<2>>,
}

impl Objective for Linear {
    type Batch = (Tensor<3>, Tensor<1>);

    fn loss(&self, (windows, targets): &Self::Batch, _random: Option<&mut fastrand::Rng>) -> Loss {
        let last = windows.clone().narrow(1, STEPS - 1, 1).squeeze_dim::<2>(1);
        Loss::of(losses::squared(last.matmul(self.weight.val()).squeeze_dim(1), targets.clone()).mean())
    }
}

struct Series<'a> {
    windows: Windows<'a>,
    device: Device,
}

impl Samples for Series<'_> {
    type Batch = (Tensor<3>, Tensor<1>);

    fn batch(&self, samples: &[usize], _training_epoch: Option<u64>) -> Self::Batch {
        let targets: Vec<f32> = samples.iter().map(|end| self.windows.window(*end)[STEPS * FEATURES - 1]).collect();
        let options = (&self.device, DType::F32);
        let windows = TensorData::new(self.windows.gather(samples), [samples.len(), STEPS, FEATURES]);
        (Tensor::from_data(windows, options), Tensor::from_data(TensorData::new(targets, [samples.len()]), options))
    }
}

/// The most memory this process ever held, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_million_rows_are_held_once() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0 - 0.5
    };
    let rows: Vec<f32> = (0..ROWS * FEATURES).map(|_| next()).collect();
    let series =
        Series { windows: Windows::new(&rows, FEATURES, STEPS, &[0, 400_000]).unwrap(), device: Device::flex().autodiff() };
    let ends = series.windows.ends();
    assert_eq!(ends.len(), ROWS - 2 * (STEPS - 1));
    let before = peak_bytes();
    assert!(before > (ROWS * FEATURES * 4) as u64, "{before} bytes do not hold the rows");
    // An order of all samples each epoch, of which a few batches are trained here.
    let plan = Plan { epochs: 2, batch: 32, learning_rate: 0.05, ..Plan::default() };
    let order = |epoch| shuffled(&ends, 3, epoch).into_iter().take(32 * 60).collect();
    let module = Linear { weight: Param::from_tensor(Tensor::zeros([FEATURES, 1], (&series.device, DType::F32))) };
    let fitted = Fit::new(plan, &series, order, |module, _| mean_loss(module, &series, &ends[..640], 64)).run(module).unwrap();
    assert!(fitted.curves.epochs[1].training_loss < fitted.curves.epochs[0].training_loss);
    // Two orders of a million places, and batches.
    let more = peak_bytes() - before;
    assert!(more < 100 << 20, "{more} bytes beside the rows");
}

//! Windows of ticks as batches, and the loss of a network on them.

use crate::fit::{Augmentation, Objective, Samples, WindowError, Windows, seed_of};
use crate::losses::{HeadLoss, Loss};
use crate::network::{Network, Read, WindowInput, decays};
use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Device, Int, TensorData};
use chronos_market::REGIME_EMBEDDING;
use chronos_research::ticks::Ticks;

/// Of mixed precision. Losses are of the order of 1, and float16 ends at 65,504.
const LOSS_SCALE: f64 = 1_024.0;

/// What a network is trained for: direction and forecast of the ticks that are read.
#[derive(Module, Debug)]
pub struct DirectionModel {
    /// The network.
    pub network: Network,
    #[module(skip)]
    loss: HeadLoss,
}

impl DirectionModel {
    /// A network and its loss.
    pub fn new(network: Network, loss: HeadLoss) -> DirectionModel {
        DirectionModel { network, loss }
    }
}

/// Windows, and what came after each of their last ticks.
#[derive(Clone, Debug)]
pub struct TickBatch {
    input: WindowInput,
    /// How many last ticks of each window are read.
    read: usize,
    /// Class of each tick read, window after window.
    classes: Tensor<1, Int>,
    targets: Tensor<1>,
    /// 0 where a tick has no label that may be trained on.
    weights: Tensor<1>,
}

impl Objective for DirectionModel {
    type Batch = TickBatch;

    fn loss(&self, batch: &TickBatch, random: Option<&mut fastrand::Rng>) -> Loss {
        let [windows, steps, _] = batch.input.features.dims();
        let read = if batch.read == 1 { Read::Last } else { Read::Every };
        let output = self.network.forward(batch.input.clone(), read, random);
        // Of every step the last ones.
        let last = |rows: Tensor<2>| {
            let [_, width] = rows.dims();
            match read {
                Read::Last => rows,
                Read::Every => rows
                    .reshape([windows, steps, width])
                    .narrow(1, steps - batch.read, batch.read)
                    .reshape([windows * batch.read, width]),
            }
        };
        let forecast = last(output.forecast.unsqueeze_dim(1)).squeeze_dim::<1>(1);
        self.loss.of(
            last(output.logits),
            forecast,
            output.auxiliary.into_iter().map(last).collect(),
            batch.classes.clone(),
            batch.targets.clone(),
            Some(batch.weights.clone()),
        )
    }

    fn loss_scale(&self) -> f64 {
        if self.network.config().mixed_precision { LOSS_SCALE } else { 1.0 }
    }

    fn decays(&self, name: &str, _shape: &[usize]) -> bool {
        decays(name)
    }
}

/// Training windows over ticks. A sample is the row of a window's last tick.
#[derive(Clone, Debug)]
pub struct TickWindows<'a> {
    windows: Windows<'a>,
    ticks: &'a Ticks,
    read: usize,
    classes: Vec<u8>,
    targets: Vec<f32>,
    weights: Vec<f32>,
    has_regime: bool,
    augmentation: Augmentation,
    seed: u64,
    device: Device,
}

impl<'a> TickWindows<'a> {
    /// Windows of `steps` scaled ticks, of which the last `read` are trained on where they are labelled.
    ///
    /// # Errors
    /// [`WindowError`] where the ticks make no rows.
    pub fn new(ticks: &'a Ticks, steps: usize, read: usize, device: &Device) -> Result<TickWindows<'a>, WindowError> {
        let rows = ticks.rows();
        Ok(TickWindows {
            windows: Windows::new(&ticks.values, ticks.columns(), steps, &ticks.starts)?,
            ticks,
            read: read.clamp(1, steps),
            classes: vec![1; rows],
            targets: vec![0.0; rows],
            weights: vec![0.0; rows],
            has_regime: ticks.regimes.iter().flatten().any(|value| *value != 0.0),
            augmentation: Augmentation::default(),
            seed: 0,
            device: device.clone(),
        })
    }

    /// Changes training windows, from a seed.
    pub fn augmented(mut self, augmentation: Augmentation, seed: u64) -> TickWindows<'a> {
        (self.augmentation, self.seed) = (augmentation, seed);
        self
    }

    /// Labels a tick: its class, the target of its forecast, and its weight. Ticks without a label weigh nothing.
    pub fn label(&mut self, row: usize, class: usize, target: f32, weight: f32) {
        (self.classes[row], self.targets[row], self.weights[row]) = (class as u8, target, weight);
    }

    /// The windows of an epoch in a random order: they overlap so that each tick is read once, begin elsewhere in each epoch, and those that
    /// read no labelled tick are left out.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(seed_of(seed, &[epoch]));
        let offset = random.usize(..self.read);
        let is_read = |end: &usize| self.weights[end + 1 - self.read..=*end].iter().any(|weight| *weight > 0.0);
        let mut order: Vec<usize> =
            self.windows.ends().into_iter().filter(|end| (end + offset).is_multiple_of(self.read)).filter(is_read).collect();
        random.shuffle(&mut order);
        order
    }

    fn rows_of(&self, samples: &[usize], count: usize) -> impl Iterator<Item = usize> {
        let firsts: Vec<usize> = samples.iter().map(|end| end + 1 - count).collect();
        firsts.into_iter().flat_map(move |first| first..first + count)
    }
}

impl Samples for TickWindows<'_> {
    type Batch = TickBatch;

    fn weight(&self, samples: &[usize]) -> Option<f64> {
        Some(self.rows_of(samples, self.read).map(|row| f64::from(self.weights[row])).sum())
    }

    fn batch(&self, samples: &[usize], training_epoch: Option<u64>) -> TickBatch {
        let (steps, features) = (self.windows.steps(), self.windows.features());
        let mut rows = self.windows.gather(samples);
        if let Some(epoch) = training_epoch {
            for (window, sample) in rows.chunks_exact_mut(steps * features).zip(samples) {
                self.augmentation.apply(window, features, self.seed, epoch, *sample);
            }
        }
        let elapsed_s: Vec<f32> = self.rows_of(samples, steps).map(|row| self.ticks.elapsed_s[row]).collect();
        let mut input = WindowInput::from_rows([samples.len(), steps, features], rows, elapsed_s, &self.device);
        if self.has_regime {
            let values: Vec<f32> = self.rows_of(samples, steps).flat_map(|row| *self.ticks.regime(row)).collect();
            input.regime = Some(Tensor::from_data(TensorData::new(values, [samples.len(), steps, REGIME_EMBEDDING]), &self.device));
        }
        let read: Vec<usize> = self.rows_of(samples, self.read).collect();
        let floats = |of: &[f32]| {
            let values: Vec<f32> = read.iter().map(|row| of[*row]).collect();
            Tensor::from_data(TensorData::new(values, [read.len()]), &self.device)
        };
        let classes: Vec<i32> = read.iter().map(|row| i32::from(self.classes[*row])).collect();
        TickBatch {
            input,
            read: self.read,
            classes: Tensor::from_data(TensorData::new(classes, [read.len()]), &self.device),
            targets: floats(&self.targets),
            weights: floats(&self.weights),
        }
    }

    fn record(&self, samples: &[usize]) -> serde_json::Value {
        let window = |end: &usize| {
            let times_ns = &self.ticks.times_ns;
            serde_json::json!({ "last_row": end, "from_ns": times_ns[end + 1 - self.windows.steps()], "to_ns": times_ns[*end] })
        };
        serde_json::json!({ "windows": samples.iter().map(window).collect::<Vec<_>>() })
    }
}

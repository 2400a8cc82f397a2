//! Samples as the recipes take them: raw, or scaled by what the training split says.

use super::data::Split;
use crate::fit::Samples;
use burn::tensor::{DType, Device, Tensor, TensorData};
use chronos_research::bars::Ohlcv;
use std::f64::consts::TAU;

/// Nanoseconds of a week.
const WEEK_NS: f64 = 7.0 * 86_400.0 * 1e9;

/// What inputs and targets are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scaling {
    /// Dollars, seconds and billions, as published.
    Raw,
    /// Logarithms relative to the last known row; see [`Scaling::of`].
    Relative {
        /// Root mean square of each kind of channel over the training split: prices, volumes.
        prices: f64,
        /// The same of volumes.
        volumes: f64,
        /// The same of the logarithm of the close to come over the last known one.
        changes: f64,
    },
}

/// The samples of a split, ready for a network.
#[derive(Clone, Debug)]
pub struct Prepared {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    /// The last known close of each sample, and the unit of what a network says.
    last: Vec<f64>,
    scaling: Scaling,
    shape: [usize; 2],
    device: Device,
}

/// Some samples.
#[derive(Clone, Debug)]
pub struct PriceBatch {
    /// `[batch, channels, days]`.
    pub inputs: Tensor<3>,
    /// `[batch]`, in the network's unit.
    pub targets: Tensor<1>,
}

impl Scaling {
    /// Relative scaling by a training split. Prices become the logarithm of price over the last known close, volumes the logarithm of volume
    /// over that of the last known row, both over their root mean square; the time becomes the sine of the phase of the week. The target is
    /// the logarithm of the close to come over the last known one, over its root mean square, so that 0 predicts no change.
    pub fn of(train: &Split) -> Self {
        let (mut prices, mut volumes, mut changes) = (0.0, 0.0, 0.0);
        for sample in 0..train.samples() {
            let last = train.last_row(sample);
            for row in &train.rows[sample..sample + train.window] {
                prices += price_fields(row).map(|price| (price / last.close).ln().powi(2)).iter().sum::<f64>() / 4.0;
                volumes += (row.volume / last.volume).ln().powi(2);
            }
            changes += (train.target_row(sample).close / last.close).ln().powi(2);
        }
        let samples = train.samples() as f64;
        // Prices that never move would leave nothing to divide by.
        let root = |sum: f64, count: f64| if sum > 0.0 { (sum / count).sqrt() } else { 1.0 };
        let rows = samples * train.window as f64;
        Self::Relative { prices: root(prices, rows), volumes: root(volumes, rows), changes: root(changes, samples) }
    }

    fn inputs(&self, split: &Split, sample: usize, channels: usize) -> Vec<f32> {
        let Self::Relative { prices, volumes, .. } = *self else { return split.raw(sample, channels) };
        let (rows, last) = (&split.rows[sample..sample + split.window], split.last_row(sample));
        let value = |row: &Ohlcv, channel: usize| match channel {
            0 => (TAU * row.start_ns as f64 / WEEK_NS).sin(),
            1..=4 => (price_fields(row)[channel - 1] / last.close).ln() / prices,
            _ => (row.volume / last.volume).ln() / volumes,
        };
        (0..channels).flat_map(|channel| rows.iter().map(move |row| value(row, channel) as f32)).collect()
    }

    fn target(&self, split: &Split, sample: usize) -> f32 {
        let close = split.target_row(sample).close;
        match *self {
            Self::Raw => close as f32,
            Self::Relative { changes, .. } => ((close / split.last_row(sample).close).ln() / changes) as f32,
        }
    }

    /// A price from what a network says of a sample whose last known close is `last`.
    fn price(&self, said: f64, last: f64) -> f64 {
        match *self {
            Self::Raw => said,
            Self::Relative { changes, .. } => last * (said * changes).exp(),
        }
    }
}

impl Prepared {
    /// The samples of a split with so many channels.
    pub fn new(split: &Split, scaling: Scaling, channels: usize, device: &Device) -> Self {
        Self {
            inputs: (0..split.samples()).flat_map(|sample| scaling.inputs(split, sample, channels)).collect(),
            targets: (0..split.samples()).map(|sample| scaling.target(split, sample)).collect(),
            last: split.decision_prices(),
            scaling,
            shape: [channels, split.window],
            device: device.clone(),
        }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Prices that a network predicts for every sample, in their order.
    pub fn prices(&self, predict: impl Fn(Tensor<3>) -> Tensor<1>) -> Vec<f64> {
        let all: Vec<usize> = (0..self.len()).collect();
        let said = all.chunks(256).flat_map(|samples| {
            let said = predict(self.batch(samples, None).inputs).into_data();
            said.iter::<f64>().collect::<Vec<f64>>()
        });
        said.zip(&self.last).map(|(said, last)| self.scaling.price(said, *last)).collect()
    }
}

impl Samples for Prepared {
    type Batch = PriceBatch;

    fn batch(&self, samples: &[usize], _training_epoch: Option<u64>) -> PriceBatch {
        let [channels, days] = self.shape;
        let size = channels * days;
        let inputs: Vec<f32> = samples.iter().flat_map(|sample| &self.inputs[sample * size..][..size]).copied().collect();
        let targets: Vec<f32> = samples.iter().map(|sample| self.targets[*sample]).collect();
        let options = (&self.device, DType::F32);
        PriceBatch {
            inputs: Tensor::from_data(TensorData::new(inputs, [samples.len(), channels, days]), options),
            targets: Tensor::from_data(TensorData::new(targets, [samples.len()]), options),
        }
    }
}

fn price_fields(row: &Ohlcv) -> [f64; 4] {
    [row.open, row.high, row.low, row.close]
}

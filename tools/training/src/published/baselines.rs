//! The recurrent baselines of the published comparison: three layers of 100 units over the days, and a linear map of the last output.
//!
//! Their sizes follow from the published numbers of parameters: 204 thousand (LSTM), 569 thousand (Bi-LSTM), 153 thousand (GRU).

use crate::recurrent::{Gru, Lstm};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Layers, and units of each.
const LAYERS: u64 = 3;
const UNITS: usize = 100;

/// A recurrent network on tensors `[batch, channels, days]`.
#[derive(Module, Debug)]
pub struct Baseline {
    layers: Layers,
    /// `[units, 1]`; zeros at first.
    head_weight: Param<Tensor<2>>,
    head_bias: Param<Tensor<1>>,
}

/// Which kind of layers.
#[derive(Module, Debug)]
pub(super) enum Layers {
    /// Long short-term memory.
    Lstm(Vec<Lstm>),
    /// The same in both directions: each pair forward, then backward.
    BiLstm(Vec<Vec<Lstm>>),
    /// Gated recurrent units.
    Gru(Vec<Gru>),
}

/// Which baseline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BaselineKind {
    /// Long short-term memory.
    Lstm,
    /// The same in both directions.
    BiLstm,
    /// Gated recurrent units.
    Gru,
}

impl Baseline {
    /// A baseline of its first weights, the same for one seed; it predicts 0 until it is trained.
    pub fn new(kind: BaselineKind, channels: usize, seed: u64, device: &Device) -> Self {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let input = |layer: u64, directions: usize| if layer == 0 { channels } else { directions * UNITS };
        let layers = match kind {
            BaselineKind::Lstm => {
                Layers::Lstm((0..LAYERS).map(|layer| Lstm::new(input(layer, 1), UNITS, seeds.u64(..), device)).collect())
            }
            BaselineKind::Gru => {
                Layers::Gru((0..LAYERS).map(|layer| Gru::new(input(layer, 1), UNITS, seeds.u64(..), device)).collect())
            }
            BaselineKind::BiLstm => Layers::BiLstm(
                (0..LAYERS)
                    .map(|layer| (0..2).map(|_| Lstm::new(input(layer, 2), UNITS, seeds.u64(..), device)).collect())
                    .collect(),
            ),
        };
        let width = if kind == BaselineKind::BiLstm { 2 * UNITS } else { UNITS };
        let weight = TensorData::new(vec![0.0_f32; width], [width, 1]);
        Self {
            layers,
            head_weight: Param::from_tensor(Tensor::from_data(weight, (device, DType::F32))),
            head_bias: Param::from_tensor(Tensor::from_data(TensorData::new(vec![0.0_f32], [1]), (device, DType::F32))),
        }
    }

    /// Predictions `[batch]` for `[batch, channels, days]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<1> {
        let [batch, _, days] = x.dims();
        let x = x.swap_dims(1, 2);
        let at = |x: &Tensor<3>, day: usize, first: usize, width: usize| {
            x.clone().narrow(1, day, 1).narrow(2, first, width).reshape([batch, width])
        };
        let last = match &self.layers {
            Layers::Lstm(layers) => at(&layers.iter().fold(x, |x, layer| layer.forward(x, false).0), days - 1, 0, UNITS),
            Layers::Gru(layers) => at(&layers.iter().fold(x, |x, layer| layer.forward(x, false)), days - 1, 0, UNITS),
            Layers::BiLstm(layers) => {
                let both = |x: Tensor<3>, pair: &Vec<Lstm>| {
                    let run = |(place, layer): (usize, &Lstm)| layer.forward(x.clone(), place == 1).0;
                    Tensor::cat(pair.iter().enumerate().map(run).collect(), 2)
                };
                let outputs = layers.iter().fold(x, both);
                // What each direction says once it has seen all days.
                Tensor::cat(vec![at(&outputs, days - 1, 0, UNITS), at(&outputs, 0, UNITS, UNITS)], 1)
            }
        };
        last.matmul(self.head_weight.val()).reshape([batch]) + self.head_bias.val()
    }
}

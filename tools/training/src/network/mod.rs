//! The product's model as a burn module: the step graph of `chronos_inference` over windows, for training.
//!
//! A window is computed from a state of zeros with the same mathematics as the step, so that a [`NativeModel`] fed the rows of the
//! window one after the other gives the same outputs. What only training has, auxiliary heads and dropout, stays behind when
//! [`Network::to_weights`] exports.
//!
//! Parameters are named as in the model file (`layers.0.in_proj.weight`), in its order, with `auxiliary.*` after them.
//!
//! [`NativeModel`]: chronos_inference::NativeModel

mod config;
mod layers;
mod weights;

pub use config::{NetworkConfig, NetworkError};

use crate::operations::{Precision, product, rms_norm};
use burn::Tensor;
use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, TensorData};
use chronos_inference::{StepSpec, TIME_SCALES};
use fastrand::Rng;
use layers::{Affine, Block, Gain, HeadLayers, Matrix};

/// The model over windows.
#[derive(Module, Debug)]
pub struct Network {
    input: Affine,
    time: Matrix,
    regime: Matrix,
    volatility: Affine,
    layers: Vec<Block>,
    norm: Gain,
    logits: HeadLayers,
    forecast: HeadLayers,
    auxiliary: Vec<AuxiliaryHead>,
    #[module(skip)]
    config: NetworkConfig,
    #[module(skip)]
    spec: StepSpec,
}

/// A head for the direction on the residual stream between two blocks, to train the blocks before it (Lee et al., "Deeply-Supervised
/// Nets", 2015).
#[derive(Module, Debug)]
struct AuxiliaryHead {
    norm: Gain,
    head: HeadLayers,
}

/// What the network sees.
#[derive(Clone, Debug)]
pub struct WindowInput {
    /// Scaled features, `[batch, steps, features]`.
    pub features: Tensor<3>,
    /// Time since the tick before in seconds, 0 or more, `[batch, steps]`.
    pub dt_s: Tensor<2>,
    /// Embedding of the market's regime, `[batch, steps, 128]`; `None` is as good as zeros and costs nothing.
    pub regime: Option<Tensor<3>>,
}

impl WindowInput {
    /// The input of a batch from flat rows, each window's steps one after the other.
    ///
    /// # Panics
    /// Where `features` is not as long as `batch`, `steps` and the number of features ask for, or `dt_s` as `batch` and `steps`.
    pub fn from_rows([batch, steps, features]: [usize; 3], rows: Vec<f32>, dt_s: Vec<f32>, device: &Device) -> WindowInput {
        WindowInput {
            features: Tensor::from_data(TensorData::new(rows, [batch, steps, features]), device),
            dt_s: Tensor::from_data(TensorData::new(dt_s, [batch, steps]), device),
            regime: None,
        }
    }
}

/// At which steps of a window the outputs are wanted; the heads are computed for no others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// At the last step alone: a sample a window.
    Last,
    /// At every step: a sample a step, window after window.
    Every,
}

/// What the network says, a row a sample.
#[derive(Clone, Debug)]
pub struct WindowOutput {
    /// Unnormalised log-probabilities of down, flat, up, `[samples, 3]`.
    pub logits: Tensor<2>,
    /// Forecasts, `[samples]`.
    pub forecast: Tensor<1>,
    /// Logits of each auxiliary head, the one after the earliest block first, `[samples, 3]` each.
    pub auxiliary: Vec<Tensor<2>>,
}

/// What is left out of a forward pass, to learn what it is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ablation {
    /// Nothing.
    None,
    /// A block, by its number from 0: the residual stream goes past it.
    Block(usize),
    /// The volatility gate: it stands at 1.
    VolatilityGate,
    /// The encoding of elapsed time.
    Time,
}

impl Network {
    /// The outputs for a batch of windows, each from a state of zeros. Dropout happens only with a generator, and where the configuration
    /// asks for some.
    ///
    /// # Panics
    /// Where the input's shapes do not fit together or to the network, as burn's own operations do.
    pub fn forward(&self, input: WindowInput, read: Read, dropout: Option<&mut Rng>) -> WindowOutput {
        self.forward_without(Ablation::None, input, read, dropout)
    }

    /// [`Network::forward`] with a part of the network left out.
    ///
    /// # Panics
    /// As [`Network::forward`].
    pub fn forward_without(&self, ablation: Ablation, input: WindowInput, read: Read, dropout: Option<&mut Rng>) -> WindowOutput {
        let [batch, steps, _] = input.features.dims();
        let precision = self.config.precision();
        let mut dropout = Dropout { probability: self.config.dropout, rng: dropout };
        let read_rows = |rows: Tensor<2>| last_rows(rows, [batch, steps], read);
        let mut residual = self.encode(input, ablation);
        let mut auxiliary = Vec::with_capacity(self.auxiliary.len());
        for (place, block) in self.layers.iter().enumerate() {
            let is_last = place + 1 == self.layers.len();
            let reads = if is_last { read } else { Read::Every };
            if ablation == Ablation::Block(place) {
                residual = last_rows(residual, [batch, steps], reads);
            } else {
                let added = block.forward(residual.clone(), [batch, steps], reads, precision);
                residual = last_rows(residual, [batch, steps], reads) + dropout.apply(added);
            }
            if let Some(at) = self.config.auxiliary_places(self.layers.len()).iter().position(|after| *after == place + 1) {
                let head = &self.auxiliary[at];
                let rows = rms_norm(read_rows(residual.clone()), head.norm.weight.val());
                auxiliary.push(head.head.forward(rows, &mut dropout, precision));
            }
        }
        let rows = rms_norm(residual, self.norm.weight.val());
        let forecast = self.forecast.forward(rows.clone(), &mut dropout, precision);
        WindowOutput { logits: self.logits.forward(rows, &mut dropout, precision), forecast: forecast.squeeze_dim(1), auxiliary }
    }

    /// The residual stream before the first block, a row a step.
    fn encode(&self, input: WindowInput, ablation: Ablation) -> Tensor<2> {
        let [batch, steps, features] = input.features.dims();
        let (rows, options) = (batch * steps, (&input.features.device(), input.features.dtype()));
        let features = input.features.reshape([rows, features]);
        let precision = self.config.precision();
        let product = |rows, weight| product(rows, weight, precision);
        let mut residual = self.input.forward(features.clone(), precision);
        if let Some(regime) = input.regime {
            let [_, _, width] = regime.dims();
            residual = residual + product(regime.reshape([rows, width]), self.regime.weight.val());
        }
        if ablation != Ablation::Time {
            let scales = Tensor::from_data(TensorData::new(TIME_SCALES.to_vec(), [1, TIME_SCALES.len()]), options);
            residual = residual + product((input.dt_s.reshape([rows, 1]) * scales).log1p(), self.time.weight.val());
        }
        if ablation == Ablation::VolatilityGate {
            return residual;
        }
        let gate = product(features, self.volatility_weight()) + self.volatility.bias.val().unsqueeze();
        residual * sigmoid(gate) * 2.0
    }

    /// The gate's weights, of which only the rows of volatility features learn.
    fn volatility_weight(&self) -> Tensor<2> {
        let weight = self.volatility.weight.val();
        let [features, _] = weight.dims();
        if self.config.volatility.is_empty() {
            return weight;
        }
        let mut learns = vec![0.0_f32; features];
        self.config.volatility.iter().for_each(|place| learns[*place] = 1.0);
        let learns = Tensor::<2>::from_data(TensorData::new(learns, [features, 1]), (&weight.device(), weight.dtype()));
        let fixed = weight.clone().detach().set_require_grad(false);
        weight * learns.clone() + fixed * (learns.neg() + 1.0)
    }

    /// The sizes.
    pub fn spec(&self) -> &StepSpec {
        &self.spec
    }

    /// What it was made with.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }
}

/// Whether weight decay takes a parameter, by its name: matrices and taps do; norms, biases, `a_log` and `d` are spared.
pub fn decays(name: &str) -> bool {
    name.ends_with("weight") && !name.ends_with("norm.weight")
}

/// Of rows that are steps, window after window, those that are read.
fn last_rows(rows: Tensor<2>, [batch, steps]: [usize; 2], read: Read) -> Tensor<2> {
    let [_, width] = rows.dims();
    match read {
        Read::Every => rows,
        Read::Last => rows.reshape([batch, steps, width]).narrow(1, steps - 1, 1).reshape([batch, width]),
    }
}

/// Dropout with its generator (Srivastava et al., 2014): values survive with `1 - probability` and grow by as much.
struct Dropout<'a> {
    probability: f64,
    rng: Option<&'a mut Rng>,
}

impl Dropout<'_> {
    fn apply(&mut self, values: Tensor<2>) -> Tensor<2> {
        let Some(rng) = self.rng.as_deref_mut().filter(|_| self.probability > 0.0) else { return values };
        let (probability, survivor) = (self.probability as f32, (1.0 / (1.0 - self.probability)) as f32);
        let count = values.shape().num_elements();
        let mask: Vec<f32> = (0..count).map(|_| if rng.f32() < probability { 0.0 } else { survivor }).collect();
        let mask = Tensor::from_data(TensorData::new(mask, values.dims()), (&values.device(), values.dtype()));
        values * mask
    }
}

impl HeadLayers {
    fn forward(&self, rows: Tensor<2>, dropout: &mut Dropout<'_>, precision: Precision) -> Tensor<2> {
        self.output.forward(dropout.apply(self.hidden(rows, precision)), precision)
    }
}

#[cfg(test)]
mod tests;

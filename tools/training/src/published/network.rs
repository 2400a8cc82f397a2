//! The published model as a network to be trained, in f32.

use super::model::{Block, Linear, PublishedModel};
use crate::operations::{ScanInput, causal_conv_silu, layer_norm, selective_scan};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// The published CryptoMamba on tensors `[batch, channels, days]`.
#[derive(Module, Debug)]
pub struct CryptoMamba {
    stages: Vec<StageNetwork>,
    merge: LinearNetwork,
}

/// One stage: residual blocks, and the map to the next width.
#[derive(Module, Debug)]
pub(super) struct StageNetwork {
    blocks: Vec<BlockNetwork>,
    map: LinearNetwork,
}

/// One block. Projections of several things are kept apart, so that nothing has to be cut.
#[derive(Module, Debug)]
pub(super) struct BlockNetwork {
    norm_weight: Param<Tensor<1>>,
    norm_bias: Param<Tensor<1>>,
    /// `[width, units]`.
    in_x: Param<Tensor<2>>,
    /// `[width, units]`.
    in_gate: Param<Tensor<2>>,
    /// `[taps, units]`.
    taps: Param<Tensor<2>>,
    taps_bias: Param<Tensor<1>>,
    /// `[units, rank]`.
    x_step: Param<Tensor<2>>,
    /// `[units, states]`.
    x_b: Param<Tensor<2>>,
    /// `[units, states]`.
    x_c: Param<Tensor<2>>,
    /// `[rank, units]`.
    step: Param<Tensor<2>>,
    step_bias: Param<Tensor<1>>,
    /// `[states, units]`.
    a_log: Param<Tensor<2>>,
    d: Param<Tensor<1>>,
    /// `[units, width]`.
    out: Param<Tensor<2>>,
}

/// `x weight + bias` over the last dimension.
#[derive(Module, Debug)]
pub(super) struct LinearNetwork {
    /// `[in, out]`.
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Which blocks of a [`CryptoMamba`] work, counted through all stages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// Every one.
    All,
    /// None: what is left is an affine map.
    None,
    /// Every one but this.
    Without(usize),
}

impl CryptoMamba {
    /// The network of a model's weights, rounded to f32.
    pub fn new(model: &PublishedModel, device: &Device) -> Self {
        let stage = |stage: &super::model::Stage| StageNetwork {
            blocks: stage.blocks.iter().map(|block| BlockNetwork::new(block, device)).collect(),
            map: LinearNetwork::new(&stage.map, device),
        };
        Self { stages: model.stages.iter().map(stage).collect(), merge: LinearNetwork::new(&model.merge, device) }
    }

    /// Predictions `[batch]` for `[batch, channels, days]`.
    pub fn forward(&self, x: Tensor<3>, blocks: Blocks) -> Tensor<1> {
        let [batch, channels, _] = x.dims();
        let (mut x, mut place) = (x, 0);
        for stage in &self.stages {
            for block in &stage.blocks {
                let is_working = match blocks {
                    Blocks::All => true,
                    Blocks::None => false,
                    Blocks::Without(left_out) => left_out != place,
                };
                if is_working {
                    x = x.clone() + block.forward(x);
                }
                place += 1;
            }
            x = stage.map.forward(x);
        }
        self.merge.forward(x.reshape([batch, 1, channels])).reshape([batch])
    }

    /// How many blocks there are in all stages.
    pub fn blocks(&self) -> usize {
        self.stages.iter().map(|stage| stage.blocks.len()).sum()
    }

    /// The same network with the merge of channels at zero: it predicts nothing but 0 until it is trained.
    pub fn with_zero_merge(mut self) -> Self {
        self.merge.weight = self.merge.weight.map(|tensor| tensor.zeros_like().detach().require_grad());
        self.merge.bias = self.merge.bias.map(|tensor| tensor.zeros_like().detach().require_grad());
        self
    }
}

impl BlockNetwork {
    fn new(block: &Block, device: &Device) -> Self {
        let (width, units) = (block.norm_weight.len(), block.units());
        let (states, rank) = (block.a_log.len() / units, block.step_projection.inputs);
        let vector = |values: &[f64]| vector(values, device);
        // `rows` of a matrix kept by rows of `columns`, turned.
        let turned = |values: &[f64], columns: usize| matrix(&transposed(values, columns), values.len() / columns, device);
        let (in_x, in_gate) = block.in_projection.weight.split_at(units * width);
        let (x_step, x_rest) = block.x_projection.weight.split_at(rank * units);
        let (x_b, x_c) = x_rest.split_at(states * units);
        Self {
            norm_weight: vector(&block.norm_weight),
            norm_bias: vector(&block.norm_bias),
            in_x: turned(in_x, width),
            in_gate: turned(in_gate, width),
            taps: turned(&block.taps, block.taps.len() / units),
            taps_bias: vector(&block.taps_bias),
            x_step: turned(x_step, units),
            x_b: turned(x_b, units),
            x_c: turned(x_c, units),
            step: turned(&block.step_projection.weight, rank),
            step_bias: vector(&block.step_projection.bias),
            a_log: turned(&block.a_log, states),
            d: vector(&block.skip),
            out: turned(&block.out_projection.weight, units),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = layer_norm(x, self.norm_weight.val(), self.norm_bias.val());
        let u = causal_conv_silu(product(x.clone(), &self.in_x), self.taps.val(), self.taps_bias.val());
        let y = selective_scan(ScanInput {
            delta: product(product(u.clone(), &self.x_step), &self.step),
            delta_bias: self.step_bias.val(),
            a_log: self.a_log.val(),
            b: product(u.clone(), &self.x_b),
            c: product(u.clone(), &self.x_c),
            d: self.d.val(),
            z: product(x, &self.in_gate),
            u,
        });
        product(y, &self.out)
    }
}

impl LinearNetwork {
    fn new(linear: &Linear, device: &Device) -> Self {
        let weight = transposed(&linear.weight, linear.inputs);
        Self { weight: matrix(&weight, linear.outputs(), device), bias: vector(&linear.bias, device) }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        product(x, &self.weight) + self.bias.val().unsqueeze()
    }
}

/// All rows of a batch in one product.
fn product(x: Tensor<3>, weight: &Param<Tensor<2>>) -> Tensor<3> {
    let [batch, rows, width] = x.dims();
    let weight = weight.val();
    let columns = weight.dims()[1];
    x.reshape([batch * rows, width]).matmul(weight).reshape([batch, rows, columns])
}

fn vector(values: &[f64], device: &Device) -> Param<Tensor<1>> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let count = values.len();
    Param::from_tensor(Tensor::from_data(TensorData::new(values, [count]), (device, DType::F32)))
}

/// A matrix of so many columns.
fn matrix(values: &[f64], columns: usize, device: &Device) -> Param<Tensor<2>> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let rows = values.len() / columns;
    Param::from_tensor(Tensor::from_data(TensorData::new(values, [rows, columns]), (device, DType::F32)))
}

fn transposed(values: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

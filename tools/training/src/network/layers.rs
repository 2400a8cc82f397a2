//! The parts of the network, with their fields named as the model file names them.

use super::Read;
use crate::operations::{Precision, ScanInput, causal_conv_silu, product, rms_norm, selective_scan, silu};
use burn::Tensor;
use burn::module::{Module, Param};

/// A matrix, `[inputs, outputs]`.
#[derive(Module, Debug)]
pub(super) struct Matrix {
    pub(super) weight: Param<Tensor<2>>,
}

/// A matrix and a bias, or taps and theirs.
#[derive(Module, Debug)]
pub(super) struct Affine {
    pub(super) weight: Param<Tensor<2>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl Affine {
    pub(super) fn forward(&self, rows: Tensor<2>, precision: Precision) -> Tensor<2> {
        product(rows, self.weight.val(), precision) + self.bias.val().unsqueeze()
    }
}

/// The gain of a normalisation.
#[derive(Module, Debug)]
pub(super) struct Gain {
    pub(super) weight: Param<Tensor<1>>,
}

/// A head: one hidden layer.
#[derive(Module, Debug)]
pub(super) struct HeadLayers {
    hidden: Affine,
    pub(super) output: Affine,
}

impl HeadLayers {
    pub(super) fn new(hidden: Affine, output: Affine) -> HeadLayers {
        HeadLayers { hidden, output }
    }

    pub(super) fn hidden(&self, rows: Tensor<2>, precision: Precision) -> Tensor<2> {
        silu(self.hidden.forward(rows, precision))
    }
}

/// One selective state-space block.
#[derive(Module, Debug)]
pub(super) struct Block {
    pub(super) norm: Gain,
    pub(super) in_proj: Matrix,
    pub(super) conv: Affine,
    pub(super) x_proj: Matrix,
    pub(super) dt_proj: Affine,
    pub(super) a_log: Param<Tensor<2>>,
    pub(super) d: Param<Tensor<1>>,
    pub(super) out_proj: Matrix,
}

impl Block {
    /// What the block adds to the residual stream, whose rows are steps, window after window; for the steps that are read.
    pub(super) fn forward(&self, residual: Tensor<2>, [batch, steps]: [usize; 2], read: Read, precision: Precision) -> Tensor<2> {
        let [states, channels] = self.a_log.val().dims();
        let [dt_rank, _] = self.dt_proj.weight.val().dims();
        let rows = batch * steps;
        let normed = rms_norm(residual, self.norm.weight.val());
        let product = |rows, weight| product(rows, weight, precision);
        // The halves of the matrix, and not of the product: a matrix is cut at less cost than its larger product.
        let half = |place: usize| {
            let weight = self.in_proj.weight.val().narrow(1, place * channels, channels);
            product(normed.clone(), weight).reshape([batch, steps, channels])
        };
        let u = causal_conv_silu(half(0), self.conv.weight.val(), self.conv.bias.val());
        let selection = product(u.clone().reshape([rows, channels]), self.x_proj.weight.val());
        let part = |first: usize, width: usize| selection.clone().narrow(1, first, width);
        let delta = product(part(0, dt_rank), self.dt_proj.weight.val());
        let y = selective_scan(ScanInput {
            u,
            delta: delta.reshape([batch, steps, channels]),
            delta_bias: self.dt_proj.bias.val(),
            a_log: self.a_log.val(),
            b: part(dt_rank, states).reshape([batch, steps, states]),
            c: part(dt_rank + states, states).reshape([batch, steps, states]),
            d: self.d.val(),
            z: half(1),
        });
        let y = match read {
            Read::Every => y.reshape([rows, channels]),
            Read::Last => y.narrow(1, steps - 1, 1).reshape([batch, channels]),
        };
        product(y, self.out_proj.weight.val())
    }
}

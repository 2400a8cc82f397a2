//! The operations as burn's own tensors say them, one operation after the other: what the fused forms are checked against, and what
//! runs where there is no fused form.

use super::{NORM_EPSILON, ScanInput};
use burn::Tensor;
use burn::tensor::activation::{log_sigmoid, silu};

/// The outputs and the state after the last step; from zeros where there is no `state`.
pub(super) fn selective_scan(input: ScanInput, state: Option<Tensor<3>>) -> (Tensor<3>, Tensor<3>) {
    let ScanInput { u, delta, delta_bias, a_log, b, c, d, z } = input;
    let [batch, steps, channels] = u.dims();
    let [states, _] = a_log.dims();
    let mut state = state.unwrap_or_else(|| Tensor::zeros([batch, states, channels], (&u.device(), u.dtype())));
    let rate: Tensor<3> = a_log.exp().neg().unsqueeze();
    let delta = softplus(delta + delta_bias.unsqueeze());
    let entering = delta.clone() * u.clone();
    let mut rows = Vec::with_capacity(steps);
    for step in 0..steps {
        // [batch, 1, channels], and [batch, states, 1].
        let row = |sequence: &Tensor<3>| sequence.clone().narrow(1, step, 1);
        let column = |sequence: &Tensor<3>| row(sequence).swap_dims(1, 2);
        state = (row(&delta) * rate.clone()).exp() * state + column(&b) * row(&entering);
        rows.push((column(&c) * state.clone()).sum_dim(1));
    }
    let y = Tensor::cat(rows, 1) + u * d.unsqueeze();
    (y * silu(z), state)
}

/// `log(1 + exp(x))` without an overflow.
pub(super) fn softplus(x: Tensor<3>) -> Tensor<3> {
    log_sigmoid(x.neg()).neg()
}

pub(super) fn causal_conv_silu(x: Tensor<3>, taps: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    let [batch, steps, channels] = x.dims();
    let [count, _] = taps.dims();
    let before = Tensor::zeros([batch, count - 1, channels], (&x.device(), x.dtype()));
    let padded = Tensor::cat(vec![before, x], 1);
    let mut sum: Tensor<3> = bias.unsqueeze();
    for tap in 0..count {
        sum = sum + padded.clone().narrow(1, tap, steps) * taps.clone().narrow(0, tap, 1).unsqueeze();
    }
    silu(sum)
}

pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>) -> Tensor<D> {
    let mean_square = (x.clone() * x.clone()).mean_dim(D - 1);
    x / (mean_square + NORM_EPSILON).sqrt() * gain.unsqueeze()
}

pub(super) fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<D> {
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = (centred.clone() * centred.clone()).mean_dim(D - 1);
    centred / (variance + NORM_EPSILON).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

//! What the networks compute: products, the selective scan, the causal convolution, normalisations.
//!
//! Every function takes tensors of f32 or of f64, all of one kind, and is differentiable. On the flex backend, the processor, scan, convolution
//! and RMS norm are fused, and they and the product have backward passes of their own and give the same bits for any number of threads. On
//! the backends of graphics cards they are made of burn's own operations, the scan in a few rounds over all steps at once.

mod convolution;
mod fused;
mod norm;
mod parallel;
mod plain;
mod product;
mod real;
mod scan;

pub use burn::tensor::activation::silu;

use crate::device::{half_precision, is_processor};
use burn::Tensor;
use burn::backend::Dispatch;
use fused::FusedOperations;

/// Added to the mean square, or the variance, in every normalisation.
pub const NORM_EPSILON: f64 = 1e-5;

/// What a selective scan takes. `states` are the values of state that each channel has.
#[derive(Clone, Debug)]
pub struct ScanInput {
    /// The sequence, `[batch, steps, channels]`.
    pub u: Tensor<3>,
    /// Step sizes before the softplus and without the bias, `[batch, steps, channels]`.
    pub delta: Tensor<3>,
    /// Bias of the step sizes, `[channels]`.
    pub delta_bias: Tensor<1>,
    /// `A = -exp(a_log)`, `[states, channels]`.
    pub a_log: Tensor<2>,
    /// What enters the state, `[batch, steps, states]`.
    pub b: Tensor<3>,
    /// What is read from the state, `[batch, steps, states]`.
    pub c: Tensor<3>,
    /// Path around the state, `[channels]`.
    pub d: Tensor<1>,
    /// Gate, `[batch, steps, channels]`.
    pub z: Tensor<3>,
}

/// The selective scan from a state of zeros, `[batch, steps, channels]` (Gu and Dao, "Mamba", 2023, section 3.2, with `B` discretised
/// by Euler's rule as the public code does):
///
/// ```text
/// delta' = softplus(delta + delta_bias)
/// h_t    = exp(delta'_t A) h_(t-1) + delta'_t u_t B_t        A = -exp(a_log)
/// y_t    = (sum over states(C_t h_t) + D u_t) silu(z_t)
/// ```
///
/// # Panics
/// Where the shapes do not fit together, as burn's own operations do.
pub fn selective_scan(input: ScanInput) -> Tensor<3> {
    if !is_flex(&input.u) {
        return parallel::selective_scan(input);
    }
    let ScanInput { u, delta, delta_bias, a_log, b, c, d, z } = input;
    Tensor::from_dispatch(Dispatch::scan(
        u.into_dispatch(),
        delta.into_dispatch(),
        delta_bias.into_dispatch(),
        a_log.into_dispatch(),
        b.into_dispatch(),
        c.into_dispatch(),
        d.into_dispatch(),
        z.into_dispatch(),
    ))
}

/// [`selective_scan`] from `state`, `[batch, states, channels]`; also gives the state after the last step. For sequences that come in
/// pieces.
///
/// # Panics
/// As [`selective_scan`].
pub fn selective_scan_with_state(input: ScanInput, state: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    plain::selective_scan(input, Some(state))
}

/// `silu(sum over k(taps_k x_(t - K + 1 + k)) + bias)` a channel, with zeros before the first step: `x` and the result
/// `[batch, steps, channels]`, `taps` `[K, channels]`, the current step's last, `bias` `[channels]`.
///
/// # Panics
/// Where the shapes do not fit together.
pub fn causal_conv_silu(x: Tensor<3>, taps: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    if !is_flex(&x) {
        return plain::causal_conv_silu(x, taps, bias);
    }
    Tensor::from_dispatch(Dispatch::conv_silu(x.into_dispatch(), taps.into_dispatch(), bias.into_dispatch()))
}

/// `x / sqrt(mean(x^2) + 1e-5) * gain` over the last dimension (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).
///
/// # Panics
/// Where `gain` has not the length of the last dimension.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>) -> Tensor<D> {
    if !is_flex(&x) {
        return plain::rms_norm(x, gain);
    }
    Tensor::from_dispatch(Dispatch::rms(x.into_dispatch(), gain.into_dispatch()))
}

/// In what products are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Precision {
    /// In the precision of the tensors.
    #[default]
    Full,
    /// From values rounded to the device's [half precision](half_precision), gradients as well; the sums are the device's. All that is not a
    /// product keeps its precision, as everything does on a device without half precision (Micikevicius et al., "Mixed Precision Training",
    /// 2018).
    Mixed,
}

/// The product of `rows`, `[rows, inputs]`, and `weight`, `[inputs, outputs]`.
///
/// # Panics
/// Where the shapes do not fit together.
pub fn product(rows: Tensor<2>, weight: Tensor<2>, precision: Precision) -> Tensor<2> {
    let half = if precision == Precision::Mixed { half_precision(&rows.device()) } else { None };
    if let Some(half) = half {
        let dtype = rows.dtype();
        return rows.cast(half).matmul(weight.cast(half)).cast(dtype);
    }
    if !is_flex(&rows) {
        return rows.matmul(weight);
    }
    Tensor::from_dispatch(Dispatch::product(rows.into_dispatch(), weight.into_dispatch()))
}

/// `(x - mean(x)) / sqrt(var(x) + 1e-5) * gamma + beta` over the last dimension, the variance over all values (Ba, Kiros and Hinton,
/// "Layer Normalization", 2016).
///
/// # Panics
/// Where `gamma` or `beta` has not the length of the last dimension.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<D> {
    plain::layer_norm(x, gamma, beta)
}

/// Whether a tensor lives on the flex backend.
fn is_flex<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_processor(&tensor.device())
}

#[cfg(test)]
mod tests;

//! Losses of numbers, one value an element. `predictions` and `targets` have the same shape.

use super::constants_like;
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, activation::softplus_with_threshold};

/// Half the square up to `delta`, then a line (Huber, 1964): `e^2 / 2` where `|e| <= delta`, else `delta (|e| - delta / 2)`.
pub fn huber<const D: usize>(predictions: Tensor<D>, targets: Tensor<D>, delta: f64) -> Tensor<D> {
    let error = predictions - targets;
    let near = error.clone().clamp(-delta, delta);
    near.clone() * (error - near.mul_scalar(0.5))
}

/// [`huber`] over `beta`, so that its slope is 1 outside: what torch calls smooth L1.
pub fn smooth_l1<const D: usize>(predictions: Tensor<D>, targets: Tensor<D>, beta: f64) -> Tensor<D> {
    huber(predictions, targets, beta).div_scalar(beta)
}

/// The squared error; its mean is MSE, and the root of that RMSE.
pub fn squared<const D: usize>(predictions: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    let error = predictions - targets;
    error.clone() * error
}

/// `ln cosh e`: about half the square near 0, and `|e| - ln 2` far from it.
pub fn log_cosh<const D: usize>(predictions: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    let error = predictions - targets;
    // ln cosh e is softplus(2 e) - e - ln 2.
    softplus_with_threshold(error.clone().mul_scalar(2.0), 1.0, 40.0) - error.add_scalar(std::f64::consts::LN_2)
}

/// The quantile loss, also called pinball loss (Koenker and Bassett, 1978): `q e` where the target lies above the prediction by
/// `e = target - prediction`, else `(q - 1) e`. Least at the quantile `q` of the targets.
pub fn quantile<const D: usize>(predictions: Tensor<D>, targets: Tensor<D>, q: f64) -> Tensor<D> {
    let error = targets - predictions;
    error.clone().mul_scalar(q) + relu(error.neg())
}

/// [`quantile`] of several at once: predictions `[samples, quantiles]` against one target a sample.
pub fn quantiles(predictions: Tensor<2>, targets: Tensor<1>, q: &[f64]) -> Tensor<2> {
    let q = constants_like(q, &predictions).unsqueeze_dim::<2>(0);
    let error = targets.unsqueeze_dim::<2>(1) - predictions;
    error.clone() * q + relu(error.neg())
}

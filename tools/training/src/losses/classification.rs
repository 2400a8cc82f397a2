//! Losses of classes.

use super::constants_like;
use burn::tensor::activation::{log_softmax, softplus_with_threshold};
use burn::tensor::{Int, Tensor};

/// From here on softplus is its argument to the last bit of f64.
const LINEAR_FROM: f64 = 40.0;

/// Focal loss of two classes (Lin et al., "Focal Loss for Dense Object Detection", 2017, eq. 5), one value a sample:
/// `-alpha_t (1 - p_t)^gamma ln p_t`, where `p_t` is the probability given to what was so.
///
/// `logits` are log odds of the class 1, `targets` 0 or 1. `alpha` weighs the class 1 and `1 - alpha` the class 0; `None` weighs none.
/// `gamma` of 0 is cross-entropy.
pub fn focal_binary(logits: Tensor<1>, targets: Tensor<1>, alpha: Option<f64>, gamma: f64) -> Tensor<1> {
    let margin = logits * targets.clone().mul_scalar(2.0).sub_scalar(1.0);
    // ln p_t is -softplus(-margin), and ln (1 - p_t) is -softplus(margin).
    let mut loss = softplus_with_threshold(margin.clone().neg(), 1.0, LINEAR_FROM);
    if gamma != 0.0 {
        loss = loss * softplus_with_threshold(margin, 1.0, LINEAR_FROM).mul_scalar(-gamma).exp();
    }
    match alpha {
        Some(alpha) => loss * targets.mul_scalar(2.0 * alpha - 1.0).add_scalar(1.0 - alpha),
        None => loss,
    }
}

/// Focal loss of several classes, one value a sample: `-w_t (1 - p_t)^gamma ln p_t`, where `p` is the softmax of `logits`
/// `[samples, classes]` and `t` the class that was so, from 0. `class_weights` has one a class; `None` weighs none.
/// `gamma` of 0 is cross-entropy.
pub fn focal(logits: Tensor<2>, classes: Tensor<1, Int>, class_weights: Option<&[f64]>, gamma: f64) -> Tensor<1> {
    let log_p = log_softmax(logits, 1).gather(1, classes.clone().unsqueeze_dim(1)).squeeze_dim::<1>(1);
    let mut loss = log_p.clone().neg();
    if gamma != 0.0 {
        // Kept from 0, where powers below 1 have no slope.
        loss = loss * log_p.exp().neg().add_scalar(1.0).clamp_min(1e-12).powf_scalar(gamma);
    }
    match class_weights {
        Some(weights) => {
            let weights = constants_like(weights, &loss).select(0, classes);
            loss * weights
        }
        None => loss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// Heads begin at zero; a loss without a slope there would never train them.
    #[test]
    fn at_zero_there_is_a_slope() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<1>::zeros([2], &device).require_grad();
        let loss = focal_binary(logits.clone(), Tensor::from_floats([1.0, 0.0], &device), None, 0.0).sum();
        let slopes: Vec<f32> = logits.grad(&loss.backward()).unwrap().into_data().try_into_vec().unwrap();
        assert_eq!(slopes, [-0.5, 0.5]);
        let logits = Tensor::<2>::zeros([1, 4], &device).require_grad();
        let loss = focal(logits.clone(), Tensor::from_ints([2], &device), None, 0.0).sum();
        let slopes: Vec<f32> = logits.grad(&loss.backward()).unwrap().into_data().try_into_vec().unwrap();
        assert_eq!(slopes, [0.25, 0.25, -0.75, 0.25]);
    }

    #[test]
    fn what_is_certain_is_finite() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_floats([[900.0, -900.0], [900.0, -900.0]], &device).require_grad();
        for gamma in [0.0, 0.5, 2.0] {
            let losses = focal(logits.clone(), Tensor::from_ints([0, 1], &device), None, gamma);
            let slopes: Vec<f32> = logits.grad(&losses.clone().sum().backward()).unwrap().into_data().try_into_vec().unwrap();
            let losses: Vec<f32> = losses.into_data().try_into_vec().unwrap();
            assert!(
                losses[0].abs() < 1e-6 && losses[1] == 1800.0 && slopes.iter().all(|slope| slope.is_finite()),
                "{losses:?} {slopes:?}"
            );
        }
    }
}

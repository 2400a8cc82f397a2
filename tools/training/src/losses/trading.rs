//! Losses that judge a forecast by what trading on it would have made.

use super::weighted_mean;
use burn::tensor::Tensor;
use burn::tensor::activation::softplus_with_threshold;

/// Keeps the roots of [`sharpe`] and [`sortino`] from 0.
const VARIANCE_MIN: f64 = 1e-12;

/// Loss of a wrong direction, one value a sample: the logistic loss of the sign of the target, with `sharpness` times the forecast for log
/// odds, as heavy as the target is large: `|y| ln(1 + exp(-sharpness f sign y))`. A target of 0 weighs nothing. Unlike the share of right
/// signs it has a slope everywhere.
pub fn directional(forecasts: Tensor<1>, targets: Tensor<1>, sharpness: f64) -> Tensor<1> {
    let margin = forecasts * targets.clone().sign().mul_scalar(sharpness);
    softplus_with_threshold(margin.neg(), 1.0, 40.0) * targets.abs()
}

/// Minus the Sharpe ratio of what each sample made, a position times a return, not annualised (Moody and Saffell, "Learning to Trade via
/// Direct Reinforcement", 2001; Lim, Zohren and Roberts, "Enhancing Time-Series Momentum Strategies Using Deep Neural Networks", 2019).
/// Mean and variance are weighted; the variance is the population's.
pub fn sharpe(returns: Tensor<1>, weights: Option<Tensor<1>>) -> Tensor<1> {
    let mean = weighted_mean(returns.clone(), weights.clone());
    let deviation = returns - mean.clone();
    let variance = weighted_mean(deviation.clone() * deviation, weights);
    mean.neg() / variance.add_scalar(VARIANCE_MIN).sqrt()
}

/// Minus the Sortino ratio of what each sample made: as [`sharpe`], over the root mean square of losses alone (Sortino and Price, 1994, with
/// a target of 0).
pub fn sortino(returns: Tensor<1>, weights: Option<Tensor<1>>) -> Tensor<1> {
    let mean = weighted_mean(returns.clone(), weights.clone());
    let losses = returns.clamp_max(0.0);
    let downside = weighted_mean(losses.clone() * losses, weights);
    mean.neg() / downside.add_scalar(VARIANCE_MIN).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn tensor(values: &[f64]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (&Device::flex().autodiff(), DType::F64))
    }

    fn value(tensor: Tensor<1>) -> f64 {
        tensor.into_scalar()
    }

    #[test]
    fn sharpe_and_sortino_by_hand() {
        let returns = [0.02, -0.01, 0.03, 0.0];
        // Mean 0.01; deviations 0.01, -0.02, 0.02, -0.01; mean square 2.5e-4. Downside mean square 1e-4 / 4.
        assert!((value(sharpe(tensor(&returns), None)) + 0.01 / 2.5e-4_f64.sqrt()).abs() < 1e-7);
        assert!((value(sortino(tensor(&returns), None)) + 0.01 / 2.5e-5_f64.sqrt()).abs() < 1e-4);
        // A weight of two is a sample twice.
        let twice = sharpe(tensor(&[0.02, 0.02, -0.01, 0.03, 0.0]), None);
        let weighted = sharpe(tensor(&returns), Some(tensor(&[2.0, 1.0, 1.0, 1.0])));
        assert!((value(twice) - value(weighted)).abs() < 1e-12);
    }

    #[test]
    fn direction_by_hand() {
        let losses = directional(tensor(&[1.0, 1.0, 0.0, 5.0]), tensor(&[2.0, -2.0, 1.0, 0.0]), 3.0);
        let losses: Vec<f64> = losses.into_data().try_into_vec().unwrap();
        let logistic = |margin: f64| (-margin).exp().ln_1p();
        for (loss, expected) in losses.iter().zip([2.0 * logistic(3.0), 2.0 * logistic(-3.0), 2.0_f64.ln(), 0.0]) {
            assert!((loss - expected).abs() < 1e-12, "{losses:?}");
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let (forecasts, targets) = ([0.3, -0.7, 1.2, 0.4, -0.1], [0.02, 0.01, -0.03, -0.01, 0.04]);
        let losses: [fn(Tensor<1>, Tensor<1>) -> Tensor<1>; 3] = [
            |forecasts, targets| sharpe(forecasts * targets, None),
            |forecasts, targets| sortino(forecasts * targets, None),
            |forecasts, targets| directional(forecasts, targets, 2.0).mean(),
        ];
        for loss in losses {
            let at = tensor(&forecasts).require_grad();
            let gradient = at.grad(&loss(at.clone(), tensor(&targets)).backward()).unwrap();
            let gradient: Vec<f64> = gradient.into_data().try_into_vec().unwrap();
            for place in 0..forecasts.len() {
                let moved = |by: f64| {
                    let mut forecasts = forecasts;
                    forecasts[place] += by;
                    value(loss(tensor(&forecasts), tensor(&targets)))
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((slope - gradient[place]).abs() < 1e-6 * slope.abs().max(1.0), "{slope} {gradient:?}");
            }
        }
    }
}

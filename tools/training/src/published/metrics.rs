//! How far predictions of prices are from what came.

use serde::{Deserialize, Serialize};

/// The least a target counts in a relative error, as the published evaluation has it.
const TARGET_MIN: f64 = 1.17e-6;

/// Errors over the samples of a split.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct PriceErrors {
    /// Root of the mean square, in the unit of the price.
    pub rmse: f64,
    /// Mean of the size over the target, in percent.
    pub mape_percent: f64,
    /// Mean of the size, in the unit of the price.
    pub mae: f64,
}

impl PriceErrors {
    /// Of predictions and as many targets; NaN of none.
    pub fn of(predictions: &[f64], targets: &[f64]) -> Self {
        let count = predictions.len().min(targets.len()) as f64;
        let mean = |value: &dyn Fn(f64, f64) -> f64| {
            predictions.iter().zip(targets).map(|(prediction, target)| value(prediction - target, *target)).sum::<f64>() / count
        };
        Self {
            rmse: mean(&|error, _| error * error).sqrt(),
            mape_percent: 100.0 * mean(&|error, target| error.abs() / target.abs().max(TARGET_MIN)),
            mae: mean(&|error, _| error.abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let errors = PriceErrors::of(&[103.0, 46.0], &[100.0, 50.0]);
        assert!((errors.rmse - 12.5_f64.sqrt()).abs() < 1e-12 && (errors.mae - 3.5).abs() < 1e-12);
        assert!((errors.mape_percent - 5.5).abs() < 1e-12);
    }
}

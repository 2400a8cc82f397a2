//! The scores of predicted probabilities, side by side.

use super::calibration::{expected_calibration_error, reliability_curve};
use super::classification::{auc, brier, log_loss};
use serde::Serialize;

/// How good probabilities are. Weighted; NaN without rows.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ProbabilityScores {
    /// [`log_loss`].
    pub log_loss: f64,
    /// [`brier`] score.
    pub brier: f64,
    /// [`auc`].
    pub auc: f64,
    /// [`expected_calibration_error`].
    pub calibration_error: f64,
}

impl ProbabilityScores {
    /// The scores, the calibration error over so many bins.
    pub fn of(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>, bins: usize) -> ProbabilityScores {
        ProbabilityScores {
            log_loss: log_loss(probabilities, labels, weights),
            brier: brier(probabilities, labels, weights),
            auc: auc(probabilities, labels, weights),
            calibration_error: expected_calibration_error(&reliability_curve(probabilities, labels, weights, bins)),
        }
    }

    /// The scores of always saying one probability.
    pub fn of_constant(probability: f64, labels: &[bool], weights: Option<&[f64]>, bins: usize) -> ProbabilityScores {
        ProbabilityScores::of(&vec![probability; labels.len()], labels, weights, bins)
    }
}

/// The weighted share of the labels that is true; NaN without rows.
pub fn base_rate(labels: &[bool], weights: Option<&[f64]>) -> f64 {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let total: f64 = (0..labels.len()).map(weight).sum();
    labels.iter().enumerate().filter(|(_, label)| **label).map(|(row, _)| weight(row)).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_rate_by_hand() {
        let (labels, weights) = ([true, false, true], [1.0, 3.0, 2.0]);
        assert_eq!(base_rate(&labels, Some(&weights)), 0.5);
        assert_eq!(base_rate(&labels[..2], None), 0.5);
        let base = ProbabilityScores::of_constant(0.5, &labels, Some(&weights), 4);
        assert!((base.log_loss - 2.0_f64.ln()).abs() < 1e-15 && (base.brier - 0.25).abs() < 1e-15);
        assert!(base.auc == 0.5 && base.calibration_error < 1e-15);
    }
}

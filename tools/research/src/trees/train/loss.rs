//! What training minimises.

use super::grow::Gradient;
use super::{Sample, TrainError};
use chronos_inference::trees::{Link, log_odds};

/// The loss that training minimises.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Loss {
    /// Log-loss of a probability; labels of 0 to 1.
    Logistic,
    /// Squared error.
    Squared,
    /// Pinball loss of a quantile (Koenker and Bassett, "Regression Quantiles", 1978).
    Quantile {
        /// The quantile, between 0 and 1.
        alpha: f64,
    },
    /// Log-loss of the probabilities of classes; labels are their numbers from 0.
    Softmax {
        /// Number of classes, at least 2.
        classes: usize,
    },
}

/// Least hessian, so that no leaf divides by nothing.
const HESSIAN_MIN: f64 = 1e-16;

impl Loss {
    pub(super) fn link(self) -> Link {
        match self {
            Loss::Logistic => Link::Logistic { slope: 1.0 },
            Loss::Squared | Loss::Quantile { .. } => Link::Identity,
            Loss::Softmax { .. } => Link::Softmax,
        }
    }

    pub(super) fn takes(self, label: f64) -> bool {
        match self {
            Loss::Logistic => (0.0..=1.0).contains(&label),
            Loss::Squared | Loss::Quantile { .. } => (label as f32).is_finite(),
            Loss::Softmax { classes } => label >= 0.0 && label < classes as f64 && label.fract() == 0.0,
        }
    }

    pub(super) fn labels(self) -> &'static str {
        match self {
            Loss::Logistic => "one from 0 to 1",
            Loss::Squared | Loss::Quantile { .. } => "a finite one",
            Loss::Softmax { .. } => "the number of a class, from 0",
        }
    }

    /// The best constant margins: log odds of the mean, the mean, the quantile, log shares of the classes less their mean.
    pub(super) fn base_margins(self, sample: &Sample<'_>) -> Result<Vec<f32>, TrainError> {
        let weights = || (0..sample.labels.len()).map(|row| sample.weight(row));
        let total: f64 = weights().sum();
        let mean = || sample.labels.iter().zip(weights()).map(|(label, weight)| label * weight).sum::<f64>() / total;
        match self {
            // Bounded, so that labels of one kind alone have finite log odds.
            Loss::Logistic => Ok(vec![log_odds(mean().clamp(1e-6, 1.0 - 1e-6) as f32)]),
            Loss::Squared => Ok(vec![mean() as f32]),
            Loss::Quantile { alpha } => {
                let mut labels: Vec<(f64, f64)> = sample.labels.iter().copied().zip(weights()).collect();
                Ok(vec![quantile(&mut labels, alpha).unwrap_or_default() as f32])
            }
            Loss::Softmax { classes } => {
                let mut shares = vec![0.0; classes];
                for (label, weight) in sample.labels.iter().zip(weights()) {
                    shares[*label as usize] += weight / total;
                }
                if let Some(class) = shares.iter().position(|share| *share <= 0.0) {
                    return Err(TrainError::NoClass(class));
                }
                let mean = shares.iter().map(|share| share.ln()).sum::<f64>() / classes as f64;
                Ok(shares.iter().map(|share| (share.ln() - mean) as f32).collect())
            }
        }
    }

    /// First and second derivatives by each margin, row after row.
    pub(super) fn gradients(self, sample: &Sample<'_>, margins: &[f32]) -> Vec<Gradient> {
        let outputs = margins.len() / sample.labels.len();
        let mut gradients = vec![Gradient::default(); margins.len()];
        let mut probabilities = vec![0.0; outputs];
        let rows = gradients.chunks_exact_mut(outputs).zip(margins.chunks_exact(outputs)).enumerate();
        for (row, (gradients, margins)) in rows {
            let (label, weight) = (sample.labels[row], sample.weight(row));
            for (probability, margin) in probabilities.iter_mut().zip(margins) {
                *probability = f64::from(*margin);
            }
            self.link().apply(&mut probabilities);
            for (output, (gradient, p)) in gradients.iter_mut().zip(&probabilities).enumerate() {
                let (g, h) = match self {
                    Loss::Logistic => (p - label, (p * (1.0 - p)).max(HESSIAN_MIN)),
                    Loss::Squared => (p - label, 1.0),
                    Loss::Quantile { alpha } => (if label < *p { 1.0 - alpha } else { -alpha }, 1.0),
                    // Twice the diagonal of the hessian bounds the whole of it (Böhning, 1992).
                    Loss::Softmax { .. } => {
                        let is_class = f64::from(u8::from(label == output as f64));
                        (p - is_class, (2.0 * p * (1.0 - p)).max(HESSIAN_MIN))
                    }
                };
                *gradient = Gradient { g: g * weight, h: h * weight };
            }
        }
        gradients
    }

    /// The weighted mean of the loss.
    pub(super) fn mean(self, sample: &Sample<'_>, margins: &[f32]) -> f64 {
        let outputs = margins.len() / sample.labels.len();
        let mut probabilities = vec![0.0; outputs];
        let (mut sum, mut total) = (0.0, 0.0);
        for (row, margins) in margins.chunks_exact(outputs).enumerate() {
            let (label, weight) = (sample.labels[row], sample.weight(row));
            for (probability, margin) in probabilities.iter_mut().zip(margins) {
                *probability = f64::from(*margin);
            }
            self.link().apply(&mut probabilities);
            let log = |p: f64| -p.max(HESSIAN_MIN).ln();
            let p = probabilities[0];
            let loss = match self {
                Loss::Logistic => label * log(p) + (1.0 - label) * log(1.0 - p),
                Loss::Squared => (p - label) * (p - label),
                Loss::Quantile { alpha } => (label - p) * if label < p { alpha - 1.0 } else { alpha },
                Loss::Softmax { .. } => log(probabilities[label as usize]),
            };
            sum += weight * loss;
            total += weight;
        }
        sum / total
    }
}

/// The weighted quantile at rank `alpha * (n + 1)` of n values, linear between two of them (Hyndman and Fan, "Sample Quantiles in
/// Statistical Packages", 1996, definition 6): in a leaf of few rows it falls below a new one as often as it says. Ranks are
/// cumulative weights in units of the mean weight; `None` where there is no weight. Sorts the values.
pub(super) fn quantile(values: &mut Vec<(f64, f64)>, alpha: f64) -> Option<f64> {
    values.retain(|value| value.1 > 0.0);
    values.sort_unstable_by(|one, two| one.0.total_cmp(&two.0));
    let total: f64 = values.iter().map(|value| value.1).sum();
    let wanted = alpha * (total + total / values.len() as f64);
    let (mut reached, mut before) = (0.0, values.first()?.0);
    for (value, weight) in values.iter() {
        if reached + weight >= wanted {
            // The first value stands for all below it.
            let share = if reached > 0.0 { (wanted - reached) / weight } else { 1.0 };
            return Some(before + (value - before) * share);
        }
        (reached, before) = (reached + weight, *value);
    }
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::Rows;

    #[test]
    fn gradients_are_slopes_of_the_loss() {
        let labels = [1.0, 0.0, 1.0];
        let weights = [1.0, 2.0, 0.5];
        let values = [0.0; 3];
        let sample = Sample { rows: Rows::new(&values, 1).unwrap(), labels: &labels, weights: Some(&weights) };
        for loss in [Loss::Logistic, Loss::Squared, Loss::Quantile { alpha: 0.2 }, Loss::Softmax { classes: 2 }] {
            let outputs = if matches!(loss, Loss::Softmax { .. }) { 2 } else { 1 };
            let margins: Vec<f32> = (0..3 * outputs).map(|at| 0.3 + 0.25 * at as f32).collect();
            let gradients = loss.gradients(&sample, &margins);
            let total: f64 = weights.iter().sum();
            for (at, gradient) in gradients.iter().enumerate() {
                let moved = |by: f32| {
                    let mut margins = margins.clone();
                    margins[at] += by;
                    loss.mean(&sample, &margins) * total
                };
                let slope = (moved(1.0 / 128.0) - moved(-1.0 / 128.0)) * 64.0;
                let slope = if loss == Loss::Squared { slope / 2.0 } else { slope };
                assert!((slope - gradient.g).abs() < 1e-3, "{loss:?} {at}: {slope} {}", gradient.g);
                assert!(gradient.h > 0.0);
            }
        }
    }

    #[test]
    fn quantiles_by_hand() {
        let mut values = vec![(3.0, 2.0), (1.0, 2.0), (9.0, 0.0), (2.0, 2.0)];
        let wanted = [(0.1, 1.0), (0.25, 1.0), (0.5, 2.0), (0.625, 2.5), (0.75, 3.0), (0.9, 3.0)];
        for (alpha, wanted) in wanted {
            assert_eq!(quantile(&mut values, alpha), Some(wanted), "{alpha}");
        }
        // Ranks 1, 4 and 5 in weights of 5 / 3 in the mean: rank 2.5 is half way from 1 to 2.
        let mut uneven = vec![(1.0, 1.0), (2.0, 3.0), (3.0, 1.0)];
        assert!((quantile(&mut uneven, 2.5 / (5.0 + 5.0 / 3.0)).unwrap() - 1.5).abs() < 1e-12);
        assert_eq!(quantile(&mut Vec::new(), 0.5), None);
        assert_eq!(quantile(&mut vec![(1.0, 0.0)], 0.5), None);
    }
}

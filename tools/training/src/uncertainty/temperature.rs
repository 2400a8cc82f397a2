//! One number that makes a network as sure as it is right.

/// What logits are divided by before the softmax (Guo et al., "On Calibration of Modern Neural Networks", 2017): above 1 where the network is
/// too sure. The most probable class stays what it is. Dividing the last layer's weights and bias by it does the same once and for all.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Temperature(pub f64);

/// Why no temperature was fitted.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum TemperatureError {
    /// Lists that do not belong together.
    #[error(
        "temperature: {logits} logits of {classes} classes, {labels} labels; give a row of at least two logits for each label, some rows"
    )]
    Lengths {
        /// Logits in all.
        logits: usize,
        /// Classes.
        classes: usize,
        /// Labels.
        labels: usize,
    },
    /// A row that cannot be used.
    #[error("temperature: row {row} has a logit that is not finite, or a label that is no class; leave it out")]
    Row {
        /// Which row.
        row: usize,
    },
    /// Whatever the temperature, a higher one would be better.
    #[error("temperature: the logits say nothing of these labels, so no temperature is high enough; train the model first")]
    NothingSaid,
    /// Whatever the temperature, a lower one would be better.
    #[error(
        "temperature: every label has the largest logit, so no temperature is low enough; fit on rows the model was not trained on"
    )]
    AllRight,
}

impl Temperature {
    /// Probabilities of one row of logits.
    pub fn probabilities(self, logits: &[f64]) -> Vec<f64> {
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logits.iter().map(|logit| ((logit - largest) / self.0).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    /// Mean log-loss of rows of logits with this temperature.
    pub fn log_loss(self, logits: &[f64], classes: usize, labels: &[usize]) -> f64 {
        let rows = logits.chunks_exact(classes.max(1)).zip(labels);
        let sum: f64 = rows
            .map(|(row, label)| {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = row.iter().map(|logit| ((logit - largest) / self.0).exp()).sum();
                total.ln() - row.get(*label).map_or(f64::NAN, |logit| (logit - largest) / self.0)
            })
            .sum();
        sum / labels.len() as f64
    }
}

/// The least and greatest inverse that is looked at: beyond it no temperature is best.
const INVERSE_RANGE: (f64, f64) = (1e-6, 1e6);

/// The temperature of the least log-loss of held-out rows: `logits` `[rows, classes]` against the class each was, from 0.
///
/// The loss is convex in the inverse of the temperature, so its slope is followed to 0 by halving.
///
/// # Errors
/// [`TemperatureError`].
pub fn fit_temperature(logits: &[f64], classes: usize, labels: &[usize]) -> Result<Temperature, TemperatureError> {
    if classes < 2 || labels.is_empty() || logits.len() != labels.len() * classes {
        return Err(TemperatureError::Lengths { logits: logits.len(), classes, labels: labels.len() });
    }
    let rows = || logits.chunks_exact(classes).zip(labels);
    if let Some(row) = rows().position(|(row, label)| *label >= classes || row.iter().any(|logit| !logit.is_finite())) {
        return Err(TemperatureError::Row { row });
    }
    // The slope of the loss by the inverse: the mean logit by the probabilities, less that of what was so.
    let slope = |inverse: f64| -> f64 {
        rows()
            .map(|(row, label)| {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let (mut total, mut mean) = (0.0, 0.0);
                for logit in row {
                    let weight = ((logit - largest) * inverse).exp();
                    total += weight;
                    mean += weight * (logit - largest);
                }
                mean / total - (row[*label] - largest)
            })
            .sum()
    };
    let (mut low, mut high) = INVERSE_RANGE;
    if slope(low) >= 0.0 {
        return Err(TemperatureError::NothingSaid);
    }
    if slope(high) <= 0.0 {
        return Err(TemperatureError::AllRight);
    }
    // Halved in logarithms until neighbours in f64 are near.
    while high / low > 1.0 + 1e-12 {
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    Ok(Temperature(1.0 / (low * high).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Logits of three classes, and classes drawn by their softmax.
    fn drawn(rows: usize, seed: u64) -> (Vec<f64>, Vec<usize>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let row = [0; 3].map(|_| 3.0 * (random.f64() - 0.5));
            let probabilities = Temperature(1.0).probabilities(&row);
            let at = random.f64();
            labels.push(if at < probabilities[0] { 0 } else { 1 + usize::from(at >= probabilities[0] + probabilities[1]) });
            logits.extend(row);
        }
        (logits, labels)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_temperature_of_scaled_logits_is_recovered(seed in any::<u64>(), factor in 0.05_f64..20.0) {
            let (logits, labels) = drawn(4_000, seed);
            let one = fit_temperature(&logits, 3, &labels).unwrap();
            prop_assert!((one.0 - 1.0).abs() < 0.2, "{:?}", one);
            let scaled: Vec<f64> = logits.iter().map(|logit| factor * logit).collect();
            let other = fit_temperature(&scaled, 3, &labels).unwrap();
            prop_assert!((other.0 / one.0 / factor - 1.0).abs() < 1e-6, "{:?} {:?}", one, other);
        }

        /// No temperature near it is better.
        #[test]
        fn the_loss_is_least_there(seed in any::<u64>()) {
            let (logits, labels) = drawn(200, seed);
            let best = fit_temperature(&logits, 3, &labels).unwrap();
            let loss = |factor: f64| Temperature(best.0 * factor).log_loss(&logits, 3, &labels);
            prop_assert!(loss(1.0) <= loss(0.99) && loss(1.0) <= loss(1.01));
        }
    }

    #[test]
    fn two_classes_by_hand() {
        // Three of four right at log odds of 2: the best log odds are ln 3.
        let best = fit_temperature(&[2.0, 0.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0], 2, &[0, 0, 1, 1]).unwrap();
        assert!((best.0 - 2.0 / 3.0_f64.ln()).abs() < 1e-9, "{best:?}");
        assert!((best.probabilities(&[2.0, 0.0])[0] - 0.75).abs() < 1e-9);
        assert!((best.log_loss(&[2.0, 0.0], 2, &[1]) - 4.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn what_has_no_temperature_is_refused() {
        assert!(matches!(fit_temperature(&[1.0, 2.0, 3.0], 2, &[0]), Err(TemperatureError::Lengths { .. })));
        assert!(matches!(fit_temperature(&[], 2, &[]), Err(TemperatureError::Lengths { .. })));
        assert_eq!(fit_temperature(&[1.0, 2.0, 3.0, f64::NAN], 2, &[0, 1]), Err(TemperatureError::Row { row: 1 }));
        assert_eq!(fit_temperature(&[1.0, 2.0], 2, &[2]), Err(TemperatureError::Row { row: 0 }));
        assert_eq!(fit_temperature(&[1.0, 2.0, 1.0, 3.0], 2, &[0, 0]), Err(TemperatureError::NothingSaid));
        assert_eq!(fit_temperature(&[1.0, 2.0, 1.0, 3.0], 2, &[1, 1]), Err(TemperatureError::AllRight));
        assert_eq!(fit_temperature(&[1.0, 1.0], 2, &[1]), Err(TemperatureError::NothingSaid));
    }
}

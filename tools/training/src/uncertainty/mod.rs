//! How far a prediction can be trusted.
//!
//! [`fit_temperature`] makes the probabilities of a trained network as sure as they are right. Several members, trained from different
//! seeds, or several passes of one network with its dropout on ([`monte_carlo_passes`]), show where the data taught nothing:
//! [`class_spread`] and [`forecast_spread`] tell their mean and how far they disagree. [`top_label`] turns predictions of classes into what
//! [`reliability_curve`](chronos_research::trees::reliability_curve), its form of equal mass and
//! [`expected_calibration_error`](chronos_research::trees::expected_calibration_error) take.

mod spread;
mod temperature;

pub use spread::{ClassSpread, ForecastSpread, SpreadError, class_spread, forecast_spread, monte_carlo_passes};
pub use temperature::{Temperature, TemperatureError, fit_temperature};

/// What was said of the most probable class, and whether it was so: how reliability is told for several classes (Guo et al., "On Calibration
/// of Modern Neural Networks", 2017). `probabilities` are rows of `classes`; of equals the first counts. Rows beyond the shorter list are
/// left out.
pub fn top_label(probabilities: &[f64], classes: usize, labels: &[usize]) -> (Vec<f64>, Vec<bool>) {
    let top = |(row, label): (&[f64], &usize)| {
        let mut best = 0;
        for (class, probability) in row.iter().enumerate() {
            if *probability > row[best] {
                best = class;
            }
        }
        (row[best], best == *label)
    };
    probabilities.chunks_exact(classes.max(1)).zip(labels).map(top).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_research::trees::{equal_mass_reliability_curve, expected_calibration_error, reliability_curve};
    use proptest::prelude::*;

    /// Probabilities of three classes, and classes drawn by them: perfectly calibrated.
    fn calibrated(rows: usize, seed: u64) -> (Vec<f64>, Vec<usize>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let weights = [0; 3].map(|_| -(1.0 - random.f64()).ln());
            let row = weights.map(|weight| weight / weights.iter().sum::<f64>());
            let drawn = random.f64();
            labels.push(if drawn < row[0] { 0 } else { 1 + usize::from(drawn >= row[0] + row[1]) });
            probabilities.extend(row);
        }
        (probabilities, labels)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// The error of what is calibrated is chance alone: it falls with the root of the rows.
        #[test]
        fn calibrated_predictions_have_no_calibration_error(seed in any::<u64>()) {
            for (rows, error_max) in [(1_000, 0.12), (100_000, 0.012)] {
                let (probabilities, labels) = calibrated(rows, seed);
                let (said, was_so) = top_label(&probabilities, 3, &labels);
                for curve in [reliability_curve(&said, &was_so, None, 10), equal_mass_reliability_curve(&said, &was_so, None, 10)] {
                    let error = expected_calibration_error(&curve);
                    prop_assert!(error < error_max, "{} rows: {}", rows, error);
                }
            }
            // Twice as sure as it is right.
            let (probabilities, labels) = calibrated(20_000, seed);
            let (said, was_so) = top_label(&probabilities, 3, &labels);
            let surer: Vec<f64> = said.iter().map(|said| said.sqrt()).collect();
            prop_assert!(expected_calibration_error(&equal_mass_reliability_curve(&surer, &was_so, None, 10)) > 0.1);
        }
    }

    #[test]
    fn the_top_label_by_hand() {
        let (said, was_so) = top_label(&[0.2, 0.5, 0.3, 0.4, 0.4, 0.2, 0.1, 0.1, 0.8], 3, &[1, 1, 2]);
        assert_eq!((said, was_so), (vec![0.5, 0.4, 0.8], vec![true, false, true]));
    }
}

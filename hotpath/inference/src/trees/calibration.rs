//! From what a model says to how often it happens.

use std::fmt;

/// A map from a forest's prediction to a calibrated probability, applied without allocation. `chronos-research` fits it.
#[derive(Clone, PartialEq, Default, Debug)]
pub enum Calibration {
    /// The prediction as it is.
    #[default]
    None,
    /// `1 / (1 + exp(a * ln(p / (1 - p)) + b))`: Platt, "Probabilistic Outputs for Support Vector Machines" (1999), on log odds.
    Platt {
        /// Slope, below 0 where higher predictions happen more often.
        a: f64,
        /// Intercept.
        b: f64,
    },
    /// Linear between points, constant beyond them: isotonic regression (Zadrozny and Elkan, 2002).
    Isotonic(IsotonicMap),
}

/// The points of an isotonic calibration.
#[derive(Clone, PartialEq, Debug)]
pub struct IsotonicMap {
    predictions: Vec<f64>,
    probabilities: Vec<f64>,
}

/// Why points are no isotonic calibration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CalibrationError {
    /// There are no points, or not as many probabilities as predictions.
    Lengths {
        /// Predictions.
        predictions: usize,
        /// Probabilities.
        probabilities: usize,
    },
    /// The point at this place is not finite, its prediction not above the one before, its probability below that before, or outside
    /// 0 to 1.
    Point(usize),
}

impl fmt::Display for CalibrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CalibrationError::Lengths { predictions, probabilities } => {
                write!(f, "{predictions} predictions and {probabilities} probabilities; it needs as many, and at least one")
            }
            CalibrationError::Point(place) => {
                write!(f, "point {place}: predictions must rise, and probabilities from 0 to 1 must not fall")
            }
        }
    }
}

impl std::error::Error for CalibrationError {}

impl IsotonicMap {
    /// A map through `(predictions[i], probabilities[i])`.
    ///
    /// # Errors
    /// [`CalibrationError`] where predictions do not rise strictly or probabilities fall or leave 0 to 1.
    pub fn new(predictions: Vec<f64>, probabilities: Vec<f64>) -> Result<IsotonicMap, CalibrationError> {
        if predictions.is_empty() || predictions.len() != probabilities.len() {
            return Err(CalibrationError::Lengths { predictions: predictions.len(), probabilities: probabilities.len() });
        }
        for place in 0..predictions.len() {
            let is_sound = predictions[place].is_finite() && (0.0..=1.0).contains(&probabilities[place]);
            let follows =
                place == 0 || (predictions[place] > predictions[place - 1] && probabilities[place] >= probabilities[place - 1]);
            if !is_sound || !follows {
                return Err(CalibrationError::Point(place));
            }
        }
        Ok(IsotonicMap { predictions, probabilities })
    }

    /// Predictions, rising.
    pub fn predictions(&self) -> &[f64] {
        &self.predictions
    }

    /// Probabilities, not falling.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    fn at(&self, prediction: f64) -> f64 {
        let above = self.predictions.partition_point(|point| *point < prediction);
        if above == 0 {
            return self.probabilities[0];
        }
        let (Some(right), Some(high)) = (self.predictions.get(above), self.probabilities.get(above)) else {
            return self.probabilities[above - 1];
        };
        let (left, low) = (self.predictions[above - 1], self.probabilities[above - 1]);
        low + (high - low) * (prediction - left) / (right - left)
    }
}

impl Calibration {
    /// The calibrated probability of a predicted one; NaN for NaN.
    #[inline]
    pub fn apply(&self, prediction: f64) -> f64 {
        match self {
            Calibration::None => prediction,
            Calibration::Platt { a, b } => {
                let log_odds = (prediction / (1.0 - prediction)).ln();
                1.0 / (1.0 + (a * log_odds + b).exp())
            }
            Calibration::Isotonic(_) if prediction.is_nan() => f64::NAN,
            Calibration::Isotonic(map) => map.at(prediction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platt_of_log_odds() {
        let same = Calibration::Platt { a: -1.0, b: 0.0 };
        for prediction in [0.0, 1e-12, 0.3, 0.5, 0.9, 1.0] {
            assert!((same.apply(prediction) - prediction).abs() < 1e-12, "{prediction}");
        }
        // Odds of 4 to 1, halved by b = ln 2: 2 to 1.
        assert!((Calibration::Platt { a: -1.0, b: 2.0_f64.ln() }.apply(0.8) - 2.0 / 3.0).abs() < 1e-12);
        assert!(same.apply(f64::NAN).is_nan());
    }

    #[test]
    fn isotonic_between_and_beyond_its_points() {
        let map = IsotonicMap::new(vec![0.2, 0.4, 0.8], vec![0.1, 0.3, 0.3]).unwrap();
        let calibration = Calibration::Isotonic(map);
        for (prediction, wanted) in [(0.0, 0.1), (0.2, 0.1), (0.3, 0.2), (0.4, 0.3), (0.6, 0.3), (1.0, 0.3)] {
            assert!((calibration.apply(prediction) - wanted).abs() < 1e-12, "{prediction}");
        }
        assert!(calibration.apply(f64::NAN).is_nan());
    }

    #[test]
    fn points_that_are_no_calibration_are_refused() {
        let refused =
            |predictions: &[f64], probabilities: &[f64]| IsotonicMap::new(predictions.to_vec(), probabilities.to_vec()).err();
        assert_eq!(refused(&[], &[]), Some(CalibrationError::Lengths { predictions: 0, probabilities: 0 }));
        assert_eq!(refused(&[0.1, 0.1], &[0.1, 0.2]), Some(CalibrationError::Point(1)));
        assert_eq!(refused(&[0.1, 0.2], &[0.2, 0.1]), Some(CalibrationError::Point(1)));
        assert_eq!(refused(&[0.1], &[1.1]), Some(CalibrationError::Point(0)));
        assert_eq!(refused(&[f64::NAN], &[0.1]), Some(CalibrationError::Point(0)));
    }
}

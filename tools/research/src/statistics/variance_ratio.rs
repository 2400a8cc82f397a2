//! Whether returns add up like those of a random walk.

use crate::error::{SeriesError, finite, long_enough};
use statrs::distribution::{ContinuousCDF, Normal};

/// What the variance-ratio test says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct VarianceRatio {
    /// Variance of overlapping returns over `lags` rows to `lags` times that over one: above 1 for trends, below for reversals.
    pub ratio: f64,
    /// Its distance from 1 in standard errors.
    pub statistic: f64,
    /// Two-sided, by the normal distribution.
    pub p_value: f64,
}

/// Lo and MacKinlay's test (1988) of a random walk with drift, robust to changing variance, overlapping and without bias, of values
/// such as log prices.
///
/// # Errors
/// `lags` below 2, values that are not finite, not twice as many rows as lags, a series that does not vary.
pub fn variance_ratio(values: &[f64], lags: usize) -> Result<VarianceRatio, SeriesError> {
    const WHAT: &str = "the series of the variance-ratio test";
    if lags < 2 {
        return Err(SeriesError::Parameter { what: "the lags", value: lags as f64, must_be: "at least 2" });
    }
    finite(WHAT, values)?;
    long_enough(WHAT, values.len(), lags.saturating_mul(2).saturating_add(1))?;
    let changes: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (rows, span) = (changes.len() as f64, lags as f64);
    let drift = (values[values.len() - 1] - values[0]) / rows;
    let squares: Vec<f64> = changes.iter().map(|change| (change - drift).powi(2)).collect();
    let total: f64 = squares.iter().sum();
    if total <= 0.0 {
        return Err(SeriesError::Singular { what: WHAT });
    }
    let of_one = total / (rows - 1.0);
    let sum_of_many: f64 = values[lags..].iter().zip(values).map(|(late, early)| (late - early - span * drift).powi(2)).sum();
    let of_many = sum_of_many / (span * (rows - span + 1.0) * (1.0 - span / rows));
    let covariance = |lag: usize| {
        let products: f64 = squares[lag..].iter().zip(&squares).map(|(late, early)| late * early).sum();
        4.0 * (1.0 - lag as f64 / span).powi(2) * rows * products / (total * total)
    };
    let variance: f64 = (1..lags).map(covariance).sum();
    let ratio = of_many / of_one;
    let statistic = rows.sqrt() * (ratio - 1.0) / variance.sqrt();
    Ok(VarianceRatio { ratio, statistic, p_value: 2.0 * Normal::standard().sf(statistic.abs()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trends_lie_above_one_and_reversals_below() {
        let values = |step: fn(usize) -> f64| {
            let mut value = 0.0;
            let mut next = |row: usize| {
                value += step(row);
                value
            };
            (0..400).map(&mut next).collect::<Vec<f64>>()
        };
        let trends = variance_ratio(&values(|row| if row / 10 % 2 == 0 { 1.0 } else { -1.0 }), 4).unwrap();
        let reversals = variance_ratio(&values(|row| if row % 2 == 0 { 1.0 } else { -0.9 }), 4).unwrap();
        assert!(trends.ratio > 2.0 && trends.p_value < 1e-6);
        assert!(reversals.ratio < 0.1 && reversals.p_value < 1e-6);
    }

    #[test]
    fn bad_input_is_told() {
        assert!(variance_ratio(&[0.0; 9], 1).unwrap_err().to_string().contains("at least 2"));
        assert!(variance_ratio(&[0.0; 9], 5).unwrap_err().to_string().contains("11 are needed"));
        assert!(variance_ratio(&[0.0; 9], 2).is_err());
    }
}

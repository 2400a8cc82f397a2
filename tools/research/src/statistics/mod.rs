//! Statistics of series: least squares, unit roots and cointegration, hedges, conditional variance, and what residuals should not show.
//!
//! Every function takes slices, oldest value first, and refuses values that are not finite with the row they stand at. The golden
//! files are statsmodels' and arch's answers; where conventions differ between libraries the docs say which one is followed.

pub mod cointegration;
mod diebold_mariano;
pub mod garch;
pub mod hedge;
pub mod johansen;
mod mackinnon;
mod minimise;
pub mod regression;
pub mod residual_tests;
pub mod stationarity;
mod variance_ratio;

pub use diebold_mariano::diebold_mariano;
pub use mackinnon::CriticalValues;
pub use regression::{Regression, least_squares};
pub use stationarity::{LagRule, Trend, augmented_dickey_fuller, kpss};
pub use variance_ratio::{VarianceRatio, variance_ratio};

/// Pearson's correlation; `None` where one of the two does not vary, or below two rows.
pub(crate) fn correlation(left: &[f64], right: &[f64]) -> Option<f64> {
    let rows = left.len().min(right.len());
    if rows < 2 {
        return None;
    }
    let (left, right) = (&left[..rows], &right[..rows]);
    let (left_mean, right_mean) = (mean(left), mean(right));
    let (mut both, mut left_squares, mut right_squares) = (0.0, 0.0, 0.0);
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (left - left_mean, right - right_mean);
        both += left * right;
        left_squares += left * left;
        right_squares += right * right;
    }
    let scale = (left_squares * right_squares).sqrt();
    (scale > 0.0).then(|| both / scale)
}

/// Mean; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

//! Whether series that wander stay together: Engle and Granger's test, and how fast a spread comes back.

use super::mackinnon::{self, CriticalValues, SERIES_MAX};
use super::stationarity::unit_root;
use super::{LagRule, Regression, Trend, least_squares};
use crate::error::{SeriesError, finite, long_enough};
use std::f64::consts::LN_2;

/// What Engle and Granger's test says. Its null hypothesis is no cointegration: a small p-value speaks for it.
#[derive(Clone, PartialEq, Debug)]
pub struct EngleGranger {
    /// The Dickey-Fuller statistic of the residuals; minus infinity where the series are one up to a line.
    pub statistic: f64,
    /// By MacKinnon's surface for residuals of so many series.
    pub p_value: f64,
    /// For so many rows; `None` without a trend, which the tables do not give.
    pub critical: Option<CriticalValues>,
    /// The regression of the first series on the others, then the trend's columns (constant, line, square).
    pub hedge: Regression,
}

/// The two-step test of Engle and Granger (1987): least squares of `target` on `others` and the trend, then a Dickey-Fuller test of
/// the residuals without a constant. Order matters: another target, another answer.
///
/// # Errors
/// Lengths that differ, values that are not finite, more than five others, dependent columns, too few rows.
pub fn engle_granger(target: &[f64], others: &[&[f64]], trend: Trend, lags: LagRule) -> Result<EngleGranger, SeriesError> {
    if others.is_empty() || others.len() >= SERIES_MAX {
        let value = others.len() as f64;
        return Err(SeriesError::Parameter { what: "the number of other series", value, must_be: "1 to 5" });
    }
    let power = |exponent: usize| (1..=target.len()).map(|row| (row as f64).powi(exponent as i32)).collect::<Vec<f64>>();
    let deterministic: Vec<Vec<f64>> = (0..trend.columns()).map(power).collect();
    let columns: Vec<&[f64]> = others.iter().copied().chain(deterministic.iter().map(Vec::as_slice)).collect();
    let hedge = least_squares(target, &columns)?;
    let series = others.len() + 1;
    // What is left is rounding alone, of which a test says nothing.
    let is_one = hedge.r_squared >= 1.0 - 100.0 * f64::EPSILON.sqrt();
    let statistic = if is_one { f64::NEG_INFINITY } else { unit_root(&hedge.residuals, Trend::None, lags)?.statistic };
    let critical =
        if trend == Trend::None { None } else { mackinnon::critical_values(trend, series, target.len().saturating_sub(1)) };
    Ok(EngleGranger { statistic, p_value: mackinnon::p_value(statistic, trend, series), critical, hedge })
}

/// How fast a spread comes back to its mean.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HalfLife {
    /// Constant of the regression.
    pub constant: f64,
    /// The change a row for each unit of distance; negative where the spread comes back.
    pub speed: f64,
    /// t-value of the speed.
    pub t_value: f64,
    /// Rows until half of a distance is gone, `ln 2 / -speed`: that of the continuous process; `None` where it does not come back.
    pub rows: Option<f64>,
    /// The same of the discrete process, `ln 2 / -ln(1 + speed)`.
    pub rows_exact: Option<f64>,
}

/// Half-life of a spread by least squares of its change on its level (Ornstein-Uhlenbeck; Chan, *Algorithmic Trading*, 2013).
///
/// # Errors
/// Values that are not finite, fewer than 4 rows, a spread that does not vary.
pub fn half_life(spread: &[f64]) -> Result<HalfLife, SeriesError> {
    finite("the spread", spread)?;
    long_enough("the spread", spread.len(), 4)?;
    let changes: Vec<f64> = spread.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let fit = least_squares(&changes, &[&vec![1.0; changes.len()], &spread[..changes.len()]])?;
    let speed = fit.coefficients[1];
    Ok(HalfLife {
        constant: fit.coefficients[0],
        speed,
        t_value: fit.t_value(1),
        rows: (speed < 0.0).then(|| LN_2 / -speed),
        rows_exact: (-1.0 < speed && speed < 0.0).then(|| LN_2 / -speed.ln_1p()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_life_of_a_spread_that_halves() {
        // 16, 8, 4, 2, 1: the change is minus half the level.
        let got = half_life(&[16.0, 8.0, 4.0, 2.0, 1.0]).unwrap();
        assert!((got.speed + 0.5).abs() < 1e-12 && (got.rows_exact.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(half_life(&[1.0, 2.0, 4.0, 8.0, 16.0]).unwrap().rows, None);
    }

    #[test]
    fn one_series_up_to_a_line_is_as_cointegrated_as_can_be() {
        let x: Vec<f64> = (0..50).map(|place| f64::from(place * place % 17)).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 * x + 1.0).collect();
        let got = engle_granger(&y, &[&x], Trend::Constant, LagRule::Fixed(1)).unwrap();
        assert_eq!((got.statistic, got.p_value), (f64::NEG_INFINITY, 0.0));
        assert!(engle_granger(&y, &[], Trend::Constant, LagRule::Fixed(1)).unwrap_err().to_string().contains("1 to 5"));
    }
}

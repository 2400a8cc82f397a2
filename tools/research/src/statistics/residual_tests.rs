//! What residuals should not show: autocorrelation, changing variance, tails that are not normal.

use super::{least_squares, mean};
use crate::error::{SeriesError, finite, long_enough};
use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor};

/// A statistic and its chance under the null hypothesis.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TestResult {
    /// The statistic.
    pub statistic: f64,
    /// Chance of one this great.
    pub p_value: f64,
}

/// Ljung and Box (1978): whether the first `lags` autocorrelations are zero together.
///
/// # Errors
/// No lags, values that are not finite, no more rows than lags, a series that does not vary.
pub fn ljung_box(series: &[f64], lags: usize) -> Result<TestResult, SeriesError> {
    const WHAT: &str = "the series of the Ljung-Box test";
    let chi_squared = distribution(lags)?;
    finite(WHAT, series)?;
    long_enough(WHAT, series.len(), lags.saturating_add(1))?;
    let centre = mean(series);
    let about: Vec<f64> = series.iter().map(|value| value - centre).collect();
    let total: f64 = about.iter().map(|value| value * value).sum();
    if total <= 0.0 {
        return Err(SeriesError::Singular { what: WHAT });
    }
    let rows = series.len() as f64;
    let of_lag = |lag: usize| {
        let products: f64 = about[lag..].iter().zip(&about).map(|(late, early)| late * early).sum();
        (products / total).powi(2) / (rows - lag as f64)
    };
    let statistic = rows * (rows + 2.0) * (1..=lags).map(of_lag).sum::<f64>();
    Ok(TestResult { statistic, p_value: chi_squared.sf(statistic) })
}

/// Both forms of Engle's test.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ArchTest {
    /// Lagrange multiplier: rows times the share explained, chi-squared.
    pub lagrange: TestResult,
    /// The F-test of the same regression.
    pub f: TestResult,
}

/// Engle (1982): whether squared residuals follow their own last `lags` values.
///
/// # Errors
/// No lags, values that are not finite, too few rows, squares that do not vary.
pub fn arch_lm(residuals: &[f64], lags: usize) -> Result<ArchTest, SeriesError> {
    const WHAT: &str = "the residuals of the ARCH test";
    let chi_squared = distribution(lags)?;
    finite(WHAT, residuals)?;
    long_enough(WHAT, residuals.len(), lags.saturating_mul(2).saturating_add(2))?;
    let squares: Vec<f64> = residuals.iter().map(|residual| residual * residual).collect();
    let rows = squares.len() - lags;
    let ones = vec![1.0; rows];
    let columns: Vec<&[f64]> =
        std::iter::once(&ones[..]).chain((1..=lags).map(|lag| &squares[lags - lag..squares.len() - lag])).collect();
    let fit = least_squares(&squares[lags..], &columns)?;
    let statistic = rows as f64 * fit.r_squared;
    let (explained, left) = (lags as f64, fit.degrees_of_freedom() as f64);
    let f = fit.r_squared / explained / ((1.0 - fit.r_squared) / left);
    let must_be = "at least 1";
    let fisher =
        FisherSnedecor::new(explained, left).map_err(|_| SeriesError::Parameter { what: "the lags", value: explained, must_be })?;
    Ok(ArchTest {
        lagrange: TestResult { statistic, p_value: chi_squared.sf(statistic) },
        f: TestResult { statistic: f, p_value: fisher.sf(f) },
    })
}

/// What the test of Jarque and Bera says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct JarqueBera {
    /// `rows / 6 * (skewness^2 + (kurtosis - 3)^2 / 4)`, chi-squared with two degrees of freedom.
    pub test: TestResult,
    /// Third standardised moment.
    pub skewness: f64,
    /// Fourth standardised moment; 3 for the normal distribution.
    pub kurtosis: f64,
}

/// Jarque and Bera (1980): whether skewness and kurtosis are those of a normal distribution. Moments of the population.
///
/// # Errors
/// Values that are not finite, fewer than 2 rows, a series that does not vary.
pub fn jarque_bera(series: &[f64]) -> Result<JarqueBera, SeriesError> {
    const WHAT: &str = "the series of the Jarque-Bera test";
    let chi_squared = distribution(2)?;
    finite(WHAT, series)?;
    long_enough(WHAT, series.len(), 2)?;
    let (rows, centre) = (series.len() as f64, mean(series));
    let moment = |power: i32| series.iter().map(|value| (value - centre).powi(power)).sum::<f64>() / rows;
    let variance = moment(2);
    if variance <= 0.0 {
        return Err(SeriesError::Singular { what: WHAT });
    }
    let (skewness, kurtosis) = (moment(3) / variance.powf(1.5), moment(4) / (variance * variance));
    let statistic = rows / 6.0 * (skewness * skewness + (kurtosis - 3.0).powi(2) / 4.0);
    Ok(JarqueBera { test: TestResult { statistic, p_value: chi_squared.sf(statistic) }, skewness, kurtosis })
}

fn distribution(lags: usize) -> Result<ChiSquared, SeriesError> {
    let value = lags as f64;
    ChiSquared::new(value).map_err(|_| SeriesError::Parameter { what: "the lags", value, must_be: "at least 1" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_by_hand() {
        // -1, -1, 2: variance 2, third moment 2, fourth 6.
        let got = jarque_bera(&[-1.0, -1.0, 2.0]).unwrap();
        assert!((got.skewness - 0.5_f64.sqrt()).abs() < 1e-12 && (got.kurtosis - 1.5).abs() < 1e-12);
        assert!((got.test.statistic - 0.5 * (0.5 + 2.25 / 4.0)).abs() < 1e-12);
        // Two degrees of freedom: the chi-squared distribution is exponential.
        assert!((got.test.p_value - (-got.test.statistic / 2.0).exp()).abs() < 1e-12);
    }

    #[test]
    fn one_autocorrelation_by_hand() {
        // About the mean: -2, -1, 0, 1, 2; the first autocovariance sums to 4, the variance to 10.
        let got = ljung_box(&[1.0, 2.0, 3.0, 4.0, 5.0], 1).unwrap();
        assert!((got.statistic - 5.0 * 7.0 * 0.16 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn quiet_and_wild_times_are_seen() {
        let mut random = fastrand::Rng::with_seed(3);
        let series: Vec<f64> = (0..600).map(|row| (random.f64() - 0.5) * if row / 50 % 2 == 0 { 1.0 } else { 4.0 }).collect();
        let got = arch_lm(&series, 3).unwrap();
        assert!(got.lagrange.p_value < 1e-6 && got.f.p_value < 1e-6);
        assert!(ljung_box(&series, 3).unwrap().p_value > 1e-3);
    }

    #[test]
    fn bad_input_is_told() {
        assert!(ljung_box(&[1.0, 2.0], 0).unwrap_err().to_string().contains("at least 1"));
        assert!(ljung_box(&[1.0, 2.0], 2).unwrap_err().to_string().contains("3 are needed"));
        assert!(ljung_box(&[1.0; 9], 2).is_err() && jarque_bera(&[1.0; 9]).is_err() && arch_lm(&[1.0; 9], 2).is_err());
        assert!(arch_lm(&[1.0, f64::NAN, 0.0, 1.0, 2.0, 1.0], 1).unwrap_err().to_string().contains("row 1"));
    }
}

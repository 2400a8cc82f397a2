//! Whether one forecast is better than another.

use super::mean;
use super::residual_tests::TestResult;
use crate::error::{SeriesError, finite, long_enough, same_rows};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Diebold and Mariano (1995), with the correction of Harvey, Leybourne and Newbold (1997): whether two forecasts of the same values lose
/// the same on average. `losses` and `others` are the losses a forecast, squared errors for example, oldest first, of forecasts `horizon`
/// rows ahead.
///
/// The variance of the mean difference takes the `horizon - 1` autocovariances that such forecasts have, unweighted; the statistic is
/// multiplied by `sqrt((n + 1 - 2 h + h (h - 1) / n) / n)` and judged by Student's t with `n - 1` degrees of freedom. It is negative where
/// the first forecast loses less. The chance is that of a statistic as far from 0 on either side.
///
/// # Errors
/// Two lengths, values that are not finite, no horizon or too few rows for it, differences that do not vary, or whose variance with its
/// autocovariances is not positive: then a shorter horizon, or more rows, may help.
pub fn diebold_mariano(losses: &[f64], others: &[f64], horizon: usize) -> Result<TestResult, SeriesError> {
    const WHAT: &str = "the losses of the Diebold-Mariano test";
    finite(WHAT, losses)?;
    finite(WHAT, others)?;
    same_rows(WHAT, losses.len(), "those of the other forecast", others.len())?;
    long_enough(WHAT, losses.len(), horizon.max(1).saturating_mul(2).saturating_add(1))?;
    let differences: Vec<f64> = losses.iter().zip(others).map(|(loss, other)| loss - other).collect();
    let (rows, centre) = (differences.len() as f64, mean(&differences));
    let about: Vec<f64> = differences.iter().map(|difference| difference - centre).collect();
    let autocovariance = |lag: usize| about[lag..].iter().zip(&about).map(|(late, early)| late * early).sum::<f64>() / rows;
    let variance = autocovariance(0) + 2.0 * (1..horizon).map(autocovariance).sum::<f64>();
    if variance <= 0.0 {
        return Err(SeriesError::Singular { what: WHAT });
    }
    let ahead = horizon.max(1) as f64;
    let correction = ((rows + 1.0 - 2.0 * ahead + ahead * (ahead - 1.0) / rows) / rows).sqrt();
    let statistic = centre / (variance / rows).sqrt() * correction;
    let Ok(student) = StudentsT::new(0.0, 1.0, rows - 1.0) else { return Err(SeriesError::Singular { what: WHAT }) };
    Ok(TestResult { statistic, p_value: 2.0 * student.sf(statistic.abs()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared errors of two forecasts.
    fn squares() -> [Vec<f64>; 2] {
        let square = |value: i32| f64::from(value * value);
        [(0..20).map(|row| square((7 * row) % 11 - 5)).collect(), (0..20).map(|row| square((row * row) % 13 - 6)).collect()]
    }

    #[test]
    fn by_hand() {
        // Differences 1, 3, 2, 2: mean 2, variance 1/2, and with the correction of one row ahead sqrt(3/4) times 2 / sqrt(1/8).
        let test = diebold_mariano(&[2.0, 4.0, 3.0, 3.0], &[1.0; 4], 1).unwrap();
        assert!((test.statistic - 24.0_f64.sqrt()).abs() < 1e-12, "{test:?}");
        let turned = diebold_mariano(&[1.0; 4], &[2.0, 4.0, 3.0, 3.0], 1).unwrap();
        assert!(turned.statistic == -test.statistic && turned.p_value == test.p_value);
    }

    #[test]
    fn as_statsmodels_has_it() {
        // statsmodels 0.15: the t-value of a constant; two rows ahead with HAC errors of one unweighted lag, times the correction.
        let [losses, others] = squares();
        for (horizon, statistic, p_value) in
            [(1, -2.355_960_412_071_430_4, 0.029_367_830_248_198_67), (2, -2.804_940_039_112_430_4, 0.011_301_366_595_626_184)]
        {
            let test = diebold_mariano(&losses, &others, horizon).unwrap();
            assert!((test.statistic - statistic).abs() < 1e-12 && (test.p_value - p_value).abs() < 1e-12, "{test:?}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let [losses, others] = squares();
        assert!(diebold_mariano(&losses, &losses, 1).is_err(), "no difference");
        assert!(diebold_mariano(&losses, &others[1..], 1).unwrap_err().to_string().contains("19"));
        assert!(diebold_mariano(&losses[..2], &others[..2], 1).is_err());
        assert!(diebold_mariano(&losses, &others, 3).is_err(), "a variance below 0");
        assert!(diebold_mariano(&[f64::NAN; 20], &others, 1).is_err());
        assert!(diebold_mariano(&losses, &others, usize::MAX).is_err());
    }
}

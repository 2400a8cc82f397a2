//! How sure one may be of a Sharpe ratio: its error, the probability that it is real, and what many trials take from it.
//!
//! Sharpe ratios are per period throughout, never annualised: the formulas count observations.

use crate::error::{SeriesError, enough_finite};
use serde::{Deserialize, Serialize};
use statrs::function::erf::{erfc, erfc_inv};
use std::f64::consts::{E, SQRT_2};

/// The Euler-Mascheroni constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// The first four moments of returns.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moments {
    /// Number of returns.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation, dividing by n - 1.
    pub std: f64,
    /// Skewness.
    pub skewness: f64,
    /// Kurtosis; 3 for a normal distribution.
    pub kurtosis: f64,
}

impl Moments {
    /// The moments of at least two returns; skewness and kurtosis as the sample has them (biased).
    ///
    /// # Errors
    /// [`SeriesError`] where a return is not finite, there are fewer than two, or all are equal.
    pub fn of(returns: &[f64]) -> Result<Moments, SeriesError> {
        enough_finite(WHAT, returns, 2)?;
        let n = returns.len() as f64;
        let mean = returns.iter().sum::<f64>() / n;
        let central = |power: i32| returns.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
        let variance = central(2);
        // Equal values leave only what rounding left of their mean.
        if variance.sqrt() <= mean.abs() * 1e-14 {
            return Err(SeriesError::NoSpread { what: WHAT });
        }
        Ok(Moments {
            count: returns.len(),
            mean,
            std: (variance * n / (n - 1.0)).sqrt(),
            skewness: central(3) / variance.powf(1.5),
            kurtosis: central(4) / (variance * variance),
        })
    }

    /// The same with skewness and kurtosis corrected for the sample's size (Fisher-Pearson G1, G2 + 3), as pandas has them.
    ///
    /// # Errors
    /// [`SeriesError::TooShort`] for fewer than four returns.
    pub fn bias_corrected(self) -> Result<Moments, SeriesError> {
        if self.count < 4 {
            return Err(SeriesError::TooShort { what: WHAT, rows: self.count, rows_min: 4 });
        }
        let n = self.count as f64;
        let skewness = self.skewness * (n * (n - 1.0)).sqrt() / (n - 2.0);
        let excess = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * (self.kurtosis - 3.0) + 6.0);
        Ok(Moments { skewness, kurtosis: excess + 3.0, ..self })
    }

    /// The Sharpe ratio and what its error depends on.
    pub fn sharpe(&self) -> SharpeEstimate {
        let observations = self.count as f64;
        SharpeEstimate { sharpe: self.mean / self.std, observations, skewness: self.skewness, kurtosis: self.kurtosis }
    }
}

/// What messages call the returns.
const WHAT: &str = "the series of returns";

/// A Sharpe ratio estimated from returns.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct SharpeEstimate {
    /// Mean over standard deviation (n - 1), per period.
    pub sharpe: f64,
    /// Number of returns; fewer where they depend on each other.
    pub observations: f64,
    /// Skewness of the returns.
    pub skewness: f64,
    /// Kurtosis of the returns; 3 for a normal distribution.
    pub kurtosis: f64,
}

impl SharpeEstimate {
    /// Standard error (Mertens 2002; Bailey and López de Prado 2012, eq. 4).
    pub fn standard_error(&self) -> f64 {
        (self.variance_factor() / (self.observations - 1.0)).sqrt()
    }

    /// How many standard errors lie between the ratio and a benchmark.
    pub fn z(&self, benchmark: f64) -> f64 {
        (self.sharpe - benchmark) / self.standard_error()
    }

    /// Probabilistic Sharpe ratio: the probability that the true ratio is above the benchmark (Bailey and López de Prado 2012, eq.
    /// 9).
    pub fn probability_above(&self, benchmark: f64) -> f64 {
        normal_cdf(self.z(benchmark))
    }

    /// Minimum track record length: observations from which the ratio is above the benchmark with the wanted probability (Bailey
    /// and López de Prado 2012, eq. 11); infinite where it is not above.
    pub fn minimum_track_record(&self, benchmark: f64, probability: f64) -> f64 {
        if self.sharpe <= benchmark {
            return f64::INFINITY;
        }
        1.0 + self.variance_factor() * (normal_quantile(probability) / (self.sharpe - benchmark)).powi(2)
    }

    /// Deflated Sharpe ratio: the probability that the ratio is above what the best of all trials shows by luck (Bailey and López
    /// de Prado 2014, eq. 2).
    pub fn deflated(&self, trials: Trials) -> Deflated {
        let hurdle = trials.expected_maximum();
        Deflated { hurdle, z: self.z(hurdle), probability: self.probability_above(hurdle) }
    }

    fn variance_factor(&self) -> f64 {
        let SharpeEstimate { sharpe, skewness, kurtosis, .. } = self;
        1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    }
}

/// What was tried.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trials {
    /// Number of trials; they count as independent.
    pub count: usize,
    /// Variance of their Sharpe ratios per period (n - 1).
    pub sharpe_variance: f64,
}

impl Trials {
    /// What the best of so many trials without skill is expected to show, per period (False Strategy theorem, Bailey and López de
    /// Prado 2014, eq. 1); 0 for one trial.
    pub fn expected_maximum(&self) -> f64 {
        self.sharpe_variance.sqrt() * expected_normal_maximum(self.count)
    }
}

/// The verdict over a Sharpe ratio in the light of all trials.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Deflated {
    /// Sharpe ratio, per period, that luck alone is expected to show.
    pub hurdle: f64,
    /// Standard errors above the hurdle.
    pub z: f64,
    /// Probability that the true ratio is above the hurdle.
    pub probability: f64,
}

/// Minimum backtest length in years: below it the best of so many trials without skill is expected to show the target (Bailey,
/// Borwein, López de Prado and Zhu 2014, eq. 6).
pub fn minimum_backtest_years(trials: usize, target_annual_sharpe: f64) -> f64 {
    (expected_normal_maximum(trials) / target_annual_sharpe).powi(2)
}

/// Expected maximum of so many independent standard normal values; 0 for one.
fn expected_normal_maximum(count: usize) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let n = count as f64;
    // From the upper tail, where 1 - 1/n would round.
    (1.0 - EULER_GAMMA) * -normal_quantile(1.0 / n) + EULER_GAMMA * -normal_quantile(1.0 / (n * E))
}

/// Distribution function of the standard normal.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// Quantile of the standard normal.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_three_returns_by_hand() {
        let moments = Moments::of(&[0.0, 1.0, 5.0]).unwrap();
        assert_eq!((moments.count, moments.mean), (3, 2.0));
        assert!((moments.std - 7.0_f64.sqrt()).abs() < 1e-15);
        // Central sums: 4 + 1 + 9 = 14, -8 - 1 + 27 = 18, 16 + 1 + 81 = 98.
        assert!((moments.skewness - 6.0 / (14.0_f64 / 3.0).powf(1.5)).abs() < 1e-15);
        assert!((moments.kurtosis - (98.0 / 3.0) / (14.0_f64 / 3.0).powi(2)).abs() < 1e-15);
        assert!(moments.bias_corrected().is_err());
    }

    #[test]
    fn what_has_no_sharpe_is_told() {
        assert!(matches!(Moments::of(&[0.1]), Err(SeriesError::TooShort { rows: 1, rows_min: 2, .. })));
        assert!(matches!(Moments::of(&[0.1, f64::NAN]), Err(SeriesError::NotFinite { row: 1, .. })));
        assert!(matches!(Moments::of(&[0.1, 0.1, 0.1]), Err(SeriesError::NoSpread { .. })));
        assert!(matches!(Moments::of(&[0.0, 0.0]), Err(SeriesError::NoSpread { .. })));
    }

    #[test]
    fn one_trial_deflates_nothing_and_more_deflate_more() {
        let estimate = SharpeEstimate { sharpe: 0.1, observations: 400.0, skewness: 0.0, kurtosis: 3.0 };
        let probability = |count| estimate.deflated(Trials { count, sharpe_variance: 0.001 }).probability;
        assert_eq!(probability(1), estimate.probability_above(0.0));
        assert!(probability(1) > probability(2) && probability(2) > probability(100));
        assert_eq!(estimate.minimum_track_record(0.1, 0.95), f64::INFINITY);
    }

    #[test]
    fn the_quantile_inverts_the_distribution() {
        for probability in [1e-9, 0.01, 0.5, 0.95, 0.999_999] {
            assert!((normal_cdf(normal_quantile(probability)) / probability - 1.0).abs() < 1e-10, "{probability}");
        }
    }
}

//! Conditional variance: GARCH(1,1) and GJR-GARCH(1,1,1).
//!
//! `v_t = omega + alpha e_(t-1)^2 + gamma e_(t-1)^2 [e_(t-1) < 0] + beta v_(t-1)` (Bollerslev 1986; Glosten, Jagannathan and Runkle
//! 1993). The recursion starts from a backcast, the mean of the first 75 squared residuals with weights that fall by 0.94 a row, as
//! the library arch does. Scale returns to about one (per cent): parameters are found best there.

use super::mean;
use super::minimise::minimise;
use crate::error::{SeriesError, finite, long_enough};
use statrs::function::gamma::ln_gamma;
use std::f64::consts::PI;

/// Fewest returns a fit is made from.
const ROWS_MIN: usize = 50;
/// Least degrees of freedom of the t-distribution, as arch bounds them: at 2 the variance is gone.
const DEGREES_MIN: f64 = 2.05;

/// What is fitted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GarchModel {
    /// Whether returns have a mean other than zero.
    pub has_mean: bool,
    /// Whether falls weigh differently from rises (GJR).
    pub is_asymmetric: bool,
    /// Whether shocks are Student's t, rather than normal.
    pub has_heavy_tails: bool,
}

/// Parameters of a model.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GarchParameters {
    /// Mean of the returns; `None` for zero, which is no parameter.
    pub mean: Option<f64>,
    /// Constant.
    pub omega: f64,
    /// Weight of the last squared shock.
    pub alpha: f64,
    /// More of it after a fall; `None` where falls weigh as rises.
    pub gamma: Option<f64>,
    /// Weight of the last variance.
    pub beta: f64,
    /// Degrees of freedom of Student's t; `None` for the normal distribution.
    pub degrees: Option<f64>,
}

/// Variances of returns under given parameters.
#[derive(Clone, PartialEq, Debug)]
pub struct GarchPath {
    /// Variance of each return, from what was before it.
    pub variances: Vec<f64>,
    /// Log-likelihood of all returns.
    pub log_likelihood: f64,
    /// Variance of the return after the last.
    pub next_variance: f64,
}

/// A fitted model.
#[derive(Clone, PartialEq, Debug)]
pub struct GarchFit {
    /// The most likely parameters.
    pub parameters: GarchParameters,
    /// What follows from them.
    pub path: GarchPath,
    /// Akaike's criterion.
    pub aic: f64,
    /// Schwarz's criterion.
    pub bic: f64,
    /// Whether the search came to rest; the parameters of one that did not are not to be used.
    pub is_converged: bool,
}

impl GarchParameters {
    /// Sum of the weights: below 1 the variance returns to [`GarchParameters::long_run_variance`].
    pub fn persistence(&self) -> f64 {
        self.alpha + 0.5 * self.gamma.unwrap_or(0.0) + self.beta
    }

    /// `omega / (1 - persistence)`; `None` where the persistence is 1 or more.
    pub fn long_run_variance(&self) -> Option<f64> {
        let gap = 1.0 - self.persistence();
        (gap > 0.0).then(|| self.omega / gap)
    }

    /// Variances and likelihood of returns.
    ///
    /// # Errors
    /// Returns that are not finite or none; parameters that make a variance that is not positive.
    pub fn filter(&self, returns: &[f64]) -> Result<GarchPath, SeriesError> {
        finite("the returns", returns)?;
        long_enough("the returns", returns.len(), 1)?;
        self.check()?;
        let mut variances = Vec::with_capacity(returns.len());
        let start = backcast(returns, self.mean.is_some());
        let (log_likelihood, next_variance) = self.follow(returns, start, |variance| variances.push(variance));
        Ok(GarchPath { variances, log_likelihood, next_variance })
    }

    /// Variances of the next `rows` returns after the path's last.
    pub fn forecast(&self, path: &GarchPath, rows: usize) -> Vec<f64> {
        std::iter::successors(Some(path.next_variance), |last| Some(self.omega + self.persistence() * last)).take(rows).collect()
    }

    fn check(&self) -> Result<(), SeriesError> {
        let gamma = self.gamma.unwrap_or(0.0);
        let checks = [
            ("omega", self.omega, self.omega > 0.0, "positive"),
            ("alpha", self.alpha, self.alpha >= 0.0, "at least 0"),
            ("gamma", gamma, self.alpha + gamma >= 0.0, "at least minus alpha"),
            ("beta", self.beta, self.beta >= 0.0, "at least 0"),
            ("the degrees of freedom", self.degrees.unwrap_or(3.0), self.degrees.unwrap_or(3.0) > 2.0, "above 2"),
        ];
        match checks.into_iter().find(|(_, value, holds, _)| !(*holds && value.is_finite())) {
            Some((what, value, _, must_be)) => Err(SeriesError::Parameter { what, value, must_be }),
            None => Ok(()),
        }
    }

    /// Log-likelihood, and the variance after the last return.
    fn follow(&self, returns: &[f64], start: f64, mut each: impl FnMut(f64)) -> (f64, f64) {
        let (centre, gamma) = (self.mean.unwrap_or(0.0), self.gamma.unwrap_or(0.0));
        // Whether the shock before the first was a fall is not known: half of gamma.
        let mut variance = self.omega + (self.alpha + 0.5 * gamma + self.beta) * start;
        let constant = self.degrees.map_or(-0.5 * (2.0 * PI).ln(), |degrees| {
            ln_gamma((degrees + 1.0) / 2.0) - ln_gamma(degrees / 2.0) - 0.5 * (PI * (degrees - 2.0)).ln()
        });
        let mut sum = 0.0;
        for value in returns {
            let shock = value - centre;
            let square = shock * shock;
            each(variance);
            let tail = match self.degrees {
                None => square / variance,
                Some(degrees) => (degrees + 1.0) * (square / (variance * (degrees - 2.0))).ln_1p(),
            };
            sum += variance.ln() + tail;
            let weight = if shock < 0.0 { self.alpha + gamma } else { self.alpha };
            variance = self.omega + weight * square + self.beta * variance;
        }
        (constant * returns.len() as f64 - 0.5 * sum, variance)
    }
}

impl GarchModel {
    /// The most likely parameters for returns, with a persistence of at most 1.
    ///
    /// # Errors
    /// Returns that are not finite, fewer than 50, or that do not vary.
    pub fn fit(&self, returns: &[f64]) -> Result<GarchFit, SeriesError> {
        finite("the returns", returns)?;
        long_enough("the returns", returns.len(), ROWS_MIN)?;
        let centre = if self.has_mean { mean(returns) } else { 0.0 };
        let variance = returns.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / returns.len() as f64;
        if variance <= 0.0 {
            return Err(SeriesError::Singular { what: "the returns" });
        }
        let start = backcast(returns, self.has_mean);
        let loss = |at: &[f64]| -self.parameters(at).follow(returns, start, |_| {}).0;
        // The best of a coarse net, then the simplex.
        let mut best: Option<(f64, Vec<f64>)> = None;
        for persistence in [0.5, 0.8, 0.95, 0.99] {
            for alpha in [0.02, 0.08, 0.2] {
                let at = self.place(centre, variance, alpha, persistence);
                let value = loss(&at);
                if best.as_ref().is_none_or(|(least, _)| value < *least) {
                    best = Some((value, at));
                }
            }
        }
        let (_, at) = best.ok_or(SeriesError::Singular { what: "the returns" })?;
        let mut steps = vec![0.4; at.len()];
        if self.has_mean {
            steps[at.len() - 1 - usize::from(self.has_heavy_tails)] = 0.1 * variance.sqrt();
        }
        let found = minimise(loss, &at, &steps, 1e-10 * returns.len() as f64);
        let parameters = self.parameters(&found.at);
        let path = parameters.filter(returns)?;
        let count = at.len() as f64;
        Ok(GarchFit {
            aic: 2.0 * count + 2.0 * found.value,
            bic: count * (returns.len() as f64).ln() + 2.0 * found.value,
            is_converged: found.is_converged,
            parameters,
            path,
        })
    }

    /// Parameters at a place of the search, which knows no bounds: `[ln omega, shares, mean, ln(degrees - 2.05)]`, where the shares
    /// of rises, falls, the last variance and what is left of 1 are a softmax, the last of them fixed.
    fn parameters(&self, at: &[f64]) -> GarchParameters {
        let shares_count = if self.is_asymmetric { 3 } else { 2 };
        let (shares, rest) = at[1..].split_at(shares_count);
        let greatest = shares.iter().fold(0.0_f64, |greatest, share| greatest.max(*share));
        let powers: Vec<f64> = shares.iter().map(|share| (share - greatest).exp()).collect();
        let total = (-greatest).exp() + powers.iter().sum::<f64>();
        let share = |place: usize| powers[place] / total;
        let (alpha, gamma) =
            if self.is_asymmetric { (2.0 * share(0), Some(2.0 * share(1) - 2.0 * share(0))) } else { (share(0), None) };
        let mean = self.has_mean.then(|| rest[0]);
        let degrees = self.has_heavy_tails.then(|| DEGREES_MIN + rest[rest.len() - 1].exp());
        GarchParameters { mean, omega: at[0].exp(), alpha, gamma, beta: share(shares_count - 1), degrees }
    }

    /// The place of parameters with a long-run variance of `variance`, without asymmetry.
    fn place(&self, centre: f64, variance: f64, alpha: f64, persistence: f64) -> Vec<f64> {
        let left = 1.0 - persistence;
        let mut at = vec![(variance * left).ln()];
        let shocks = if self.is_asymmetric { vec![alpha / 2.0; 2] } else { vec![alpha] };
        at.extend(shocks.into_iter().chain([persistence - alpha]).map(|share| (share / left).ln()));
        at.extend(self.has_mean.then_some(centre));
        at.extend(self.has_heavy_tails.then_some(6.0_f64.ln()));
        at
    }
}

/// What the recursion starts from: a weighted mean of the first squared residuals.
fn backcast(returns: &[f64], has_mean: bool) -> f64 {
    let centre = if has_mean { mean(returns) } else { 0.0 };
    let (mut weight, mut weights, mut sum) = (1.0, 0.0, 0.0);
    for value in returns.iter().take(75) {
        sum += weight * (value - centre).powi(2);
        weights += weight;
        weight *= 0.94;
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_by_hand() {
        let parameters = GarchParameters { mean: None, omega: 1.0, alpha: 0.5, gamma: Some(0.2), beta: 0.25, degrees: None };
        let path = parameters.filter(&[2.0, -1.0]).unwrap();
        let start = (4.0 + 0.94) / 1.94;
        let first = 1.0 + 0.85 * start;
        let second = 1.0 + 0.5 * 4.0 + 0.25 * first;
        assert!((path.variances[0] - first).abs() < 1e-12 && (path.variances[1] - second).abs() < 1e-12);
        assert!((path.next_variance - (1.0 + 0.7 + 0.25 * second)).abs() < 1e-12);
        let normal = |shock: f64, variance: f64| -0.5 * ((2.0 * PI).ln() + variance.ln() + shock * shock / variance);
        assert!((path.log_likelihood - normal(2.0, first) - normal(-1.0, second)).abs() < 1e-12);
        let forecast = parameters.forecast(&path, 2);
        assert!((forecast[1] - (1.0 + 0.85 * forecast[0])).abs() < 1e-12);
        assert!((parameters.long_run_variance().unwrap() - 1.0 / 0.15).abs() < 1e-9);
    }

    #[test]
    fn parameters_are_found_again() {
        let truth = GarchParameters { mean: None, omega: 0.05, alpha: 0.1, gamma: None, beta: 0.85, degrees: None };
        let mut random = fastrand::Rng::with_seed(17);
        let mut variance = truth.long_run_variance().unwrap();
        let returns: Vec<f64> = (0..4_000)
            .map(|_| {
                let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (2.0 * PI * random.f64()).cos();
                let shock = variance.sqrt() * normal;
                variance = truth.omega + truth.alpha * shock * shock + truth.beta * variance;
                shock
            })
            .collect();
        let fit = GarchModel::default().fit(&returns).unwrap();
        assert!(fit.is_converged && fit.path.log_likelihood >= truth.filter(&returns).unwrap().log_likelihood);
        assert!((fit.parameters.alpha - 0.1).abs() < 0.03 && (fit.parameters.beta - 0.85).abs() < 0.05, "{:?}", fit.parameters);
    }

    #[test]
    fn bad_input_is_told() {
        let model = GarchModel::default();
        assert!(model.fit(&[1.0; 20]).unwrap_err().to_string().contains("50 are needed"));
        assert!(model.fit(&[0.0; 80]).is_err());
        let parameters = GarchParameters { mean: None, omega: 0.0, alpha: 0.1, gamma: None, beta: 0.8, degrees: None };
        assert!(parameters.filter(&[1.0]).unwrap_err().to_string().contains("omega is 0 and must be positive"));
    }
}

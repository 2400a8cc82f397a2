//! Logistic regression: the simplest model that learns from features.

use super::model::{FitError, Fitted, Model};
use super::samples::{Samples, Target};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Newton steps after which a fit that still moves is given up.
const STEPS_MAX: usize = 100;
/// A step this small, in standardised units, ends the fit.
const STEP_MIN: f64 = 1e-10;

/// Logistic regression by iteratively reweighted least squares, on standardised features, with an L2 penalty on all but the
/// constant.
///
/// The probability is that of a label above 0; rows without direction (label 0 of a direction) are not trained on. The objective is
/// the weighted log-loss, weights scaled to a mean of 1, plus `l2 / 2` times the squared length of the coefficients.
#[derive(Clone, Copy, Debug)]
pub struct Logistic {
    /// Strength of the penalty, above 0: one row that says nothing weighs about as much as 0.25.
    pub l2: f64,
}

impl Model for Logistic {
    fn describe(&self) -> Value {
        json!({ "kind": "logistic", "l2": self.l2 })
    }

    fn is_probabilistic(&self) -> bool {
        true
    }

    fn fit(&self, samples: &Samples<'_>, rows: &[usize], _: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedLogistic { fit: self.coefficients(samples, rows)?, target: samples.target }))
    }
}

impl Logistic {
    /// The regression itself.
    ///
    /// # Errors
    /// [`FitError`] for a penalty that is not above 0, no row with a meaning, a feature that is not finite, features too alike.
    pub fn coefficients(&self, samples: &Samples<'_>, rows: &[usize]) -> Result<LogisticFit, FitError> {
        if !self.l2.is_finite() || self.l2 <= 0.0 {
            return Err(FitError(format!("a penalty of {}: it must be above 0", self.l2)));
        }
        let has_meaning = |row: usize| samples.weights[row] > 0.0 && (samples.target == Target::Meta || samples.labels[row] != 0.0);
        let rows: Vec<usize> = rows.iter().copied().filter(|&row| has_meaning(row)).collect();
        let total: f64 = rows.iter().map(|&row| samples.weights[row]).sum();
        if rows.is_empty() {
            return Err(FitError("no row to train on has a weight above 0 and a label; label more rows or use fewer folds".into()));
        }
        let scales = samples
            .features
            .iter()
            .enumerate()
            .map(|(column, values)| Scale::of(values, column, &rows, samples.weights, total))
            .collect::<Result<Vec<Scale>, FitError>>()?;
        let width = scales.len() + 1;
        let input =
            |row: usize, column: usize| if column == 0 { 1.0 } else { scales[column - 1].apply(samples.features[column - 1][row]) };
        let matrix = DMatrix::from_fn(rows.len(), width, |place, column| input(rows[place], column));
        let targets = DVector::from_iterator(rows.len(), rows.iter().map(|&row| f64::from(u8::from(samples.labels[row] > 0.0))));
        let mean_weight = total / rows.len() as f64;
        let weights = DVector::from_iterator(rows.len(), rows.iter().map(|&row| samples.weights[row] / mean_weight));
        let coefficients = newton(&matrix, &targets, &weights, self.l2)?;
        Ok(LogisticFit {
            mean: scales.iter().map(|scale| scale.mean).collect(),
            factor: scales.iter().map(|scale| scale.factor).collect(),
            coefficients: coefficients.iter().copied().collect(),
        })
    }
}

/// A fitted regression: the probability is the logistic function of the constant and the sum over features of
/// `coefficient * (value - mean) * factor`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LogisticFit {
    /// Mean of each feature over the rows fitted.
    pub mean: Vec<f64>,
    /// One over the standard deviation of each; 0 of a constant one.
    pub factor: Vec<f64>,
    /// The constant, then a coefficient for each feature.
    pub coefficients: Vec<f64>,
}

impl LogisticFit {
    /// The probability at some features, one value for each.
    pub fn probability(&self, values: impl Iterator<Item = f64>) -> f64 {
        let scales = self.mean.iter().zip(&self.factor).map(|(&mean, &factor)| Scale { mean, factor });
        let terms = values.zip(scales.zip(self.coefficients.iter().skip(1)));
        let constant = self.coefficients.first().copied().unwrap_or_default();
        logistic(terms.fold(constant, |sum, (value, (scale, coefficient))| sum + coefficient * scale.apply(value)))
    }
}

struct FittedLogistic {
    fit: LogisticFit,
    target: Target,
}

impl Fitted for FittedLogistic {
    fn predict(&self, samples: &Samples<'_>, rows: &[usize]) -> Result<Vec<f64>, FitError> {
        if samples.features.len() != self.fit.mean.len() {
            return Err(FitError(format!("{} features where the model has {}", samples.features.len(), self.fit.mean.len())));
        }
        let score = |&row: &usize| {
            if let Some(column) = samples.features.iter().position(|values| !values[row].is_finite()) {
                return Err(not_finite(column, row));
            }
            let probability = self.fit.probability(samples.features.iter().map(|values| values[row]));
            Ok(match self.target {
                Target::Direction => 2.0 * probability - 1.0,
                Target::Meta => probability,
            })
        };
        rows.iter().map(score).collect()
    }
}

/// How a column is standardised; a constant one becomes 0.
struct Scale {
    mean: f64,
    factor: f64,
}

impl Scale {
    fn of(values: &[f64], column: usize, rows: &[usize], weights: &[f64], total: f64) -> Result<Scale, FitError> {
        if let Some(&row) = rows.iter().find(|&&row| !values[row].is_finite()) {
            return Err(not_finite(column, row));
        }
        let mean = rows.iter().map(|&row| weights[row] * values[row]).sum::<f64>() / total;
        let variance = rows.iter().map(|&row| weights[row] * (values[row] - mean).powi(2)).sum::<f64>() / total;
        let is_constant = variance.sqrt() <= mean.abs() * 1e-12;
        Ok(Scale { mean, factor: if is_constant { 0.0 } else { variance.sqrt().recip() } })
    }

    fn apply(&self, value: f64) -> f64 {
        (value - self.mean) * self.factor
    }
}

fn not_finite(column: usize, row: usize) -> FitError {
    FitError(format!(
        "feature {column} has no finite value at row {row}, and logistic regression needs one everywhere; drop the column or the row, or use a \
         model that knows missing values"
    ))
}

/// Minimises the penalised log-loss: Newton's steps, halved while they make it worse.
fn newton(matrix: &DMatrix<f64>, targets: &DVector<f64>, weights: &DVector<f64>, l2: f64) -> Result<DVector<f64>, FitError> {
    let width = matrix.ncols();
    let mut penalties = DVector::from_element(width, l2);
    // The constant is held by next to nothing, so that labels of one kind alone have a solution too.
    penalties[0] = l2.min(1.0) * 1e-6;
    let loss = |coefficients: &DVector<f64>| {
        let sums = matrix * coefficients;
        let data: f64 = sums
            .iter()
            .zip(targets.iter().zip(weights.iter()))
            .map(|(&sum, (&target, &weight))| weight * (softplus(sum) - target * sum))
            .sum();
        data + 0.5 * coefficients.iter().zip(penalties.iter()).map(|(value, penalty)| penalty * value * value).sum::<f64>()
    };
    let mut coefficients = DVector::zeros(width);
    let mut current = loss(&coefficients);
    for _ in 0..STEPS_MAX {
        let chances = (matrix * &coefficients).map(logistic);
        let residuals = (targets - &chances).component_mul(weights);
        let gradient = matrix.tr_mul(&residuals) - penalties.component_mul(&coefficients);
        let curvature = chances.map(|chance| chance * (1.0 - chance)).component_mul(weights);
        let mut scaled = matrix.clone();
        for mut column in scaled.column_iter_mut() {
            column.component_mul_assign(&curvature);
        }
        let hessian = matrix.tr_mul(&scaled) + DMatrix::from_diagonal(&penalties);
        let Some(factors) = hessian.cholesky() else {
            return Err(FitError(
                "logistic regression: the features are too large or too alike to solve for; scale or drop some".into(),
            ));
        };
        let mut step = factors.solve(&gradient);
        let mut next = loss(&(&coefficients + &step));
        while (next.is_nan() || next > current) && step.amax() > STEP_MIN {
            step *= 0.5;
            next = loss(&(&coefficients + &step));
        }
        if step.amax() <= STEP_MIN {
            return Ok(coefficients);
        }
        coefficients += &step;
        current = next;
    }
    Err(FitError(format!(
        "logistic regression did not settle within {STEPS_MAX} steps; raise the penalty or drop features that are alike"
    )))
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::super::samples::OwnedSamples;
    use super::super::samples::tests::second_by_second;
    use super::*;

    #[test]
    fn one_yes_or_no_feature_gives_the_shares_themselves() {
        // 30 of 40 rows with the feature go up, 10 of 60 without: almost unpenalised, the scores are 2 p - 1.
        let feature: Vec<f64> = (0..100).map(|row| f64::from(u8::from(row < 40))).collect();
        let returns: Vec<f64> = (0..100).map(|row| if row < 30 || (40..50).contains(&row) { 0.1 } else { -0.1 }).collect();
        let rows = second_by_second(vec![feature], returns);
        let samples = rows.samples();
        let all: Vec<usize> = (0..100).collect();
        let scores = Logistic { l2: 1e-9 }.fit(&samples, &all, 0).unwrap().predict(&samples, &[0, 99]).unwrap();
        assert!((scores[0] - 0.5).abs() < 1e-6, "{scores:?}");
        assert!((scores[1] - (2.0 / 6.0 - 1.0)).abs() < 1e-6, "{scores:?}");
        // A heavy penalty leaves the overall share, 40 of 100.
        let scores = Logistic { l2: 1e9 }.fit(&samples, &all, 0).unwrap().predict(&samples, &[0, 99]).unwrap();
        assert!(scores.iter().all(|score| (score + 0.2).abs() < 1e-5), "{scores:?}");
    }

    #[test]
    fn a_weight_of_two_is_the_row_twice() {
        let mut random = fastrand::Rng::with_seed(1);
        let feature: Vec<f64> = (0..40).map(|_| random.f64()).collect();
        let returns: Vec<f64> = feature.iter().map(|value| value - 0.3 - 0.4 * random.f64()).collect();
        let mut weighted = second_by_second(vec![feature.clone()], returns.clone());
        weighted.weights[..20].fill(2.0);
        let twice = second_by_second(vec![[&feature[..20], &feature].concat()], [&returns[..20], &returns].concat());
        // Weights are scaled to a mean of 1, so the penalty has to be scaled with the number of rows.
        let score = |rows: &OwnedSamples, l2: f64| {
            let samples = rows.samples();
            let all: Vec<usize> = (0..samples.rows()).collect();
            Logistic { l2 }.fit(&samples, &all, 0).unwrap().predict(&samples, &[0, 7]).unwrap()
        };
        let (one, two) = (score(&weighted, 40.0 / 60.0), score(&twice, 1.0));
        assert!(one.iter().zip(&two).all(|(one, two)| (one - two).abs() < 1e-7), "{one:?} {two:?}");
    }

    #[test]
    fn separable_constant_and_one_sided_data_still_fit() {
        let rows = second_by_second(
            vec![(0..20).map(f64::from).collect(), vec![7.0; 20]],
            (0..20).map(|row| f64::from(row) - 9.5).collect(),
        );
        let samples = rows.samples();
        let all: Vec<usize> = (0..20).collect();
        let scores = Logistic { l2: 0.1 }.fit(&samples, &all, 0).unwrap().predict(&samples, &all).unwrap();
        assert!(scores.is_sorted() && scores[0] < -0.9 && scores[19] > 0.9, "{scores:?}");
        let scores = Logistic { l2: 0.1 }.fit(&samples, &all[12..], 0).unwrap().predict(&samples, &all).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()) && scores[15] > 0.9, "{scores:?}");
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let mut rows = second_by_second(vec![vec![1.0, f64::NAN, 2.0, 4.0]], vec![0.1, -0.1, 0.0, 0.2]);
        let message = |rows: &OwnedSamples, model: Logistic, train: &[usize]| match model.fit(&rows.samples(), train, 0) {
            Err(error) => error.to_string(),
            Ok(_) => "fitted".into(),
        };
        assert!(message(&rows, Logistic { l2: 1.0 }, &[0, 1, 2]).contains("feature 0 has no finite value at row 1"));
        assert!(message(&rows, Logistic { l2: 0.0 }, &[0, 3]).contains("above 0"));
        assert!(message(&rows, Logistic { l2: 1.0 }, &[2]).contains("no row to train on"));
        rows.weights = vec![0.0; 4];
        assert!(message(&rows, Logistic { l2: 1.0 }, &[0, 3]).contains("no row to train on"));
    }
}

//! Stacking over purged folds.
//!
//! Base learners predict each row while they have not seen it, and a logistic regression on their log odds weighs them (Wolpert,
//! "Stacked Generalization", 1992). Because the weighted sum of boosted margins is the margin of one forest with all their trees, what
//! comes out is one [`Forest`] again.

use super::importance::predictions;
use super::rows::Rows;
use super::train::{Loss, Sample, TrainConfig, TrainError, train};
use chronos_inference::trees::{Forest, ForestParts, Link, Node, Precision, Tree, log_odds};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

/// Positions of training rows and of test rows.
pub type Fold = (Vec<usize>, Vec<usize>);

/// What learners may use on a fold, found in its training rows alone; see [`tune()`](super::tune()).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Columns they may split on, rising.
    pub columns: Vec<usize>,
    /// Rounds of each learner, at least 1.
    pub rounds: Vec<usize>,
}

/// Why nothing was stacked.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum StackError {
    /// A learner of a fold.
    #[error("fold {fold}, learner {learner}: {source}")]
    Train {
        /// The fold.
        fold: usize,
        /// The learner.
        learner: usize,
        /// Why.
        source: TrainError,
    },
    /// The learner on all rows.
    #[error("learner {learner}, on all rows: {source}")]
    Final {
        /// The learner.
        learner: usize,
        /// Why.
        source: TrainError,
    },
    /// There is none.
    #[error("stacking needs at least one learner and one fold; {learners} and {folds} were given")]
    Nothing {
        /// Learners.
        learners: usize,
        /// Folds.
        folds: usize,
    },
    /// A fold names a row there is not.
    #[error("fold {fold} names row {row} of {rows}")]
    Row {
        /// The fold.
        fold: usize,
        /// The row it names.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A row is learnt from and tested on.
    #[error("fold {fold} has row {row} in its training and in its test part; purge it")]
    Leak {
        /// The fold.
        fold: usize,
        /// The row.
        row: usize,
    },
    /// A learner has another loss.
    #[error("learner {0} has another loss; only logistic ones are stacked")]
    Loss(usize),
    /// There is not one tuning for each fold and one for all rows.
    #[error("stacking: {tunings} tunings for {folds} folds and all rows; there must be one for each, or none")]
    Tunings {
        /// Tunings.
        tunings: usize,
        /// Folds.
        folds: usize,
    },
    /// No row is tested by any fold.
    #[error("no row of a weight above 0 is in a test part")]
    Untested,
}

/// A stacked forest and how it came to be.
#[derive(Clone, PartialEq, Debug)]
pub struct Stacked {
    /// All learners, trained on all rows, in one forest; over the columns of the last tuning, where there is one.
    pub forest: Forest,
    /// Weight of each learner's log odds.
    pub weights: Vec<f64>,
    /// Added to their sum.
    pub intercept: f64,
    /// For each row the stacked probability from learners that did not see it, the mean where several folds test it; NaN where none does.
    pub out_of_fold: Vec<f64>,
}

/// For each row the mean margin of a learner over the folds that test it and so did not see it; NaN where none does. Folds go in
/// parallel; the result does not depend on how many. `tunings` as in [`stack`].
///
/// # Errors
/// [`StackError`], with the fold.
pub fn out_of_fold_margins(
    learner: usize,
    config: &TrainConfig,
    sample: Sample<'_>,
    folds: &[Fold],
    tunings: &[Tuning],
) -> Result<Vec<f64>, StackError> {
    check_folds(folds, sample.rows.len())?;
    let of_fold = |(fold, (train_rows, test_rows)): (usize, &Fold)| {
        let tuning = tunings.get(fold);
        let config = tuned(config, learner, tuning);
        let columns = tuning.map(|tuning| tuning.columns.as_slice());
        let forest =
            train_on(&config, &[], sample, train_rows, columns).map_err(|source| StackError::Train { fold, learner, source })?;
        let margin = |row: &usize| forest.margin(&narrowed(sample.rows, &[*row], columns)).unwrap_or(f64::NAN);
        Ok(test_rows.iter().map(margin).collect::<Vec<f64>>())
    };
    let margins: Vec<Vec<f64>> = folds.par_iter().enumerate().map(of_fold).collect::<Result<_, _>>()?;
    let mut sums = vec![(0.0, 0_u32); sample.rows.len()];
    for ((_, test_rows), margins) in folds.iter().zip(&margins) {
        for (row, margin) in test_rows.iter().zip(margins) {
            sums[*row].0 += margin;
            sums[*row].1 += 1;
        }
    }
    Ok(sums.into_iter().map(|(sum, count)| if count == 0 { f64::NAN } else { sum / f64::from(count) }).collect())
}

/// Trains logistic learners over folds, weighs them, and trains them on all rows. `tunings` has one for each fold and, last, one for all
/// rows; without any every learner has every column, and its own rounds.
///
/// # Errors
/// [`StackError`], with the fold and the learner.
pub fn stack(
    learners: &[TrainConfig],
    names: &[String],
    sample: Sample<'_>,
    folds: &[Fold],
    tunings: &[Tuning],
) -> Result<Stacked, StackError> {
    if learners.is_empty() || folds.is_empty() {
        return Err(StackError::Nothing { learners: learners.len(), folds: folds.len() });
    }
    if !tunings.is_empty() && tunings.len() != folds.len() + 1 {
        return Err(StackError::Tunings { tunings: tunings.len(), folds: folds.len() });
    }
    if let Some(other) = learners.iter().position(|learner| learner.loss != Loss::Logistic) {
        return Err(StackError::Loss(other));
    }
    let margins: Vec<Vec<f64>> = learners
        .iter()
        .enumerate()
        .map(|(number, learner)| out_of_fold_margins(number, learner, sample, folds, tunings))
        .collect::<Result<_, _>>()?;
    let (weights, intercept) = weigh(&margins, &sample)?;
    let columns = tunings.last().map(|tuning| tuning.columns.as_slice());
    let names: Vec<String> = match columns {
        Some(columns) => columns.iter().filter_map(|column| names.get(*column).cloned()).collect(),
        None => names.to_vec(),
    };
    let all_rows: Vec<usize> = (0..sample.rows.len()).collect();
    let on_all_rows = |(learner, config): (usize, &TrainConfig)| {
        let config = tuned(config, learner, tunings.last());
        train_on(&config, &names, sample, &all_rows, columns).map_err(|source| StackError::Final { learner, source })
    };
    let forests: Vec<Forest> = learners.iter().enumerate().map(on_all_rows).collect::<Result<_, _>>()?;
    let stacked = |row: usize| -> f64 {
        let margin = intercept + margins.iter().zip(&weights).map(|(margins, weight)| weight * margins[row]).sum::<f64>();
        1.0 / (1.0 + (-margin).exp())
    };
    let out_of_fold = (0..sample.rows.len()).map(stacked).collect();
    let forest = merged(&forests, &weights, intercept, &names).map_err(|source| StackError::Final { learner: 0, source })?;
    Ok(Stacked { forest, weights, intercept, out_of_fold })
}

/// A learner with the rounds of its tuning.
fn tuned(config: &TrainConfig, learner: usize, tuning: Option<&Tuning>) -> TrainConfig {
    let rounds = tuning.and_then(|tuning| tuning.rounds.get(learner)).copied();
    TrainConfig { rounds: rounds.unwrap_or(config.rounds), ..*config }
}

/// The values of some rows in some columns, or in all.
pub(super) fn narrowed(rows: Rows<'_>, of: &[usize], columns: Option<&[usize]>) -> Vec<f64> {
    match columns {
        None => rows.gather(of),
        Some(columns) => of.iter().flat_map(|row| columns.iter().map(|column| rows.row(*row)[*column])).collect(),
    }
}

/// Trains on some of the rows and columns.
pub(super) fn train_on(
    config: &TrainConfig,
    names: &[String],
    sample: Sample<'_>,
    rows: &[usize],
    columns: Option<&[usize]>,
) -> Result<Forest, TrainError> {
    let part = OwnedSample::of(sample, rows, columns);
    Ok(train(config, names, part.sample().ok_or(TrainError::Empty)?, None)?.forest)
}

/// Some rows and columns of a sample.
pub(crate) struct OwnedSample {
    values: Vec<f64>,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
    columns: usize,
}

impl OwnedSample {
    pub(crate) fn of(sample: Sample<'_>, rows: &[usize], columns: Option<&[usize]>) -> OwnedSample {
        OwnedSample {
            values: narrowed(sample.rows, rows, columns),
            labels: rows.iter().map(|row| sample.labels[*row]).collect(),
            weights: sample.weights.map(|weights| rows.iter().map(|row| weights[*row]).collect()),
            columns: columns.map_or(sample.rows.columns(), <[usize]>::len),
        }
    }

    /// The sample; none where it has no column.
    pub(crate) fn sample(&self) -> Option<Sample<'_>> {
        let rows = Rows::new(&self.values, self.columns).ok()?;
        Some(Sample { rows, labels: &self.labels, weights: self.weights.as_deref() })
    }
}

pub(super) fn check_folds(folds: &[Fold], rows: usize) -> Result<(), StackError> {
    for (fold, (train_rows, test_rows)) in folds.iter().enumerate() {
        let mut is_test = vec![false; rows];
        for row in test_rows {
            *is_test.get_mut(*row).ok_or(StackError::Row { fold, row: *row, rows })? = true;
        }
        for row in train_rows {
            if *is_test.get(*row).ok_or(StackError::Row { fold, row: *row, rows })? {
                return Err(StackError::Leak { fold, row: *row });
            }
        }
    }
    Ok(())
}

/// Steps of Newton's method; it converges in a few.
const NEWTON_STEPS: usize = 50;
/// How much a weight that differs from an equal share costs, in rows.
const RIDGE: f64 = 1.0;

/// Weights and intercept of the logistic regression of labels on margins, drawn slightly to the mean of the learners.
fn weigh(margins: &[Vec<f64>], sample: &Sample<'_>) -> Result<(Vec<f64>, f64), StackError> {
    let learners = margins.len();
    let weight = |row: usize| sample.weights.map_or(1.0, |weights| weights[row]);
    let is_tested = |row: &usize| weight(*row) > 0.0 && margins.iter().all(|margins| margins[*row].is_finite());
    let rows: Vec<usize> = (0..sample.rows.len()).filter(is_tested).collect();
    if rows.is_empty() {
        return Err(StackError::Untested);
    }
    let total: f64 = rows.iter().map(|row| weight(*row)).sum();
    let share = 1.0 / learners as f64;
    let mut solution = DVector::from_fn(learners + 1, |at, _| if at < learners { share } else { 0.0 });
    for _ in 0..NEWTON_STEPS {
        let mut slope = DVector::zeros(learners + 1);
        let mut curvature = DMatrix::zeros(learners + 1, learners + 1);
        for row in &rows {
            let x = DVector::from_fn(learners + 1, |at, _| margins.get(at).map_or(1.0, |margins| margins[*row]));
            let p = 1.0 / (1.0 + (-solution.dot(&x)).exp());
            let weight = weight(*row) / total * rows.len() as f64;
            slope += &x * (weight * (p - sample.labels[*row]));
            curvature += &x * x.transpose() * (weight * p * (1.0 - p));
        }
        for at in 0..=learners {
            let prior = if at < learners { share } else { 0.0 };
            slope[at] += RIDGE * (solution[at] - prior);
            curvature[(at, at)] += RIDGE;
        }
        let Some(step) = curvature.cholesky().map(|factors| factors.solve(&slope)) else { break };
        // Newton's step is held, so that it cannot overshoot where the curve is flat.
        let length = step.norm();
        solution -= step * (1.0 / length.max(1.0));
        if length < 1e-10 {
            break;
        }
    }
    Ok((solution.iter().take(learners).copied().collect(), solution[learners]))
}

/// One forest whose margin is the intercept and the weighted margins of all, up to the rounding of its float32 leaves.
fn merged(forests: &[Forest], weights: &[f64], intercept: f64, names: &[String]) -> Result<Forest, TrainError> {
    let base = |(forest, weight): (&Forest, &f64)| forest.base_margins()[0] * weight;
    let margin = intercept + forests.iter().zip(weights).map(base).sum::<f64>();
    let scaled = |node: &Node, weight: f64| Node { value: f64::from((node.value * weight) as f32), ..*node };
    let trees = forests.iter().zip(weights).flat_map(|(forest, weight)| {
        let tree = move |tree: &Tree| Tree { nodes: tree.nodes.iter().map(|node| scaled(node, *weight)).collect(), ..*tree };
        forest.trees().iter().map(tree)
    });
    let probability = (1.0 / (1.0 + (-margin).exp())).clamp(1e-6, 1.0 - 1e-6) as f32;
    Ok(Forest::new(ForestParts {
        link: Link::Logistic { slope: 1.0 },
        precision: Precision::Single,
        features: forests[0].features(),
        feature_names: names.to_vec(),
        base_margins: vec![f64::from(log_odds(probability))],
        trees: trees.collect(),
    })?)
}

/// The predictions of a forest on some of the rows.
pub(super) fn predictions_of(forest: &Forest, rows: Rows<'_>, of: &[usize]) -> Vec<f64> {
    predictions(forest, &rows.gather(of)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy() -> (Vec<f64>, Vec<f64>) {
        let mut random = fastrand::Rng::with_seed(9);
        let values: Vec<f64> = (0..900).map(|_| random.f64() - 0.5).collect();
        let labels = values.chunks(3).map(|row| f64::from(u8::from(row[0] * 4.0 + row[1] + random.f64() - 0.5 > 0.0))).collect();
        (values, labels)
    }

    fn folds(rows: usize) -> Vec<Fold> {
        let part = |fold: usize| -> Fold { (0..rows).partition(|row| row % 3 != fold) };
        (0..3).map(part).collect()
    }

    #[test]
    fn one_forest_says_what_the_weighted_learners_say() {
        let (values, labels) = noisy();
        let sample = Sample { rows: Rows::new(&values, 3).unwrap(), labels: &labels, weights: None };
        let small = TrainConfig { rounds: 20, ..TrainConfig::new(Loss::Logistic) };
        let learners = [small, TrainConfig { depth_max: 1, rounds: 40, ..small }];
        let stacked = stack(&learners, &[], sample, &folds(300), &[]).unwrap();
        let forests: Vec<Forest> = learners.iter().map(|config| train(config, &[], sample, None).unwrap().forest).collect();
        for row in sample.rows.iter() {
            let wanted = stacked.intercept
                + forests.iter().zip(&stacked.weights).map(|(forest, weight)| weight * forest.margin(row).unwrap()).sum::<f64>();
            assert!((stacked.forest.margin(row).unwrap() - wanted).abs() < 1e-4);
        }
        let labels: Vec<bool> = labels.iter().map(|label| *label > 0.5).collect();
        assert!(crate::trees::auc(&stacked.out_of_fold, &labels, None) > 0.85);
    }

    #[test]
    fn a_row_is_predicted_only_by_learners_that_did_not_see_it() {
        // Labels are noise, so a learner that saw a row would tell it, and one that did not cannot.
        let mut random = fastrand::Rng::with_seed(4);
        let values: Vec<f64> = (0..400).map(|_| random.f64()).collect();
        let labels: Vec<f64> = (0..400).map(|_| f64::from(random.u8(0..2))).collect();
        let sample = Sample { rows: Rows::new(&values, 1).unwrap(), labels: &labels, weights: None };
        let deep = TrainConfig {
            depth_max: 10,
            child_weight_min: 0.0,
            l2: 0.0,
            rounds: 30,
            learning_rate: 0.5,
            ..TrainConfig::new(Loss::Logistic)
        };
        let margins = out_of_fold_margins(0, &deep, sample, &folds(400), &[]).unwrap();
        let labels: Vec<bool> = labels.iter().map(|label| *label > 0.5).collect();
        assert!((crate::trees::auc(&margins, &labels, None) - 0.5).abs() < 0.1);
    }

    #[test]
    fn a_tuning_says_which_columns_and_how_many_rounds() {
        let (values, labels) = noisy();
        let sample = Sample { rows: Rows::new(&values, 3).unwrap(), labels: &labels, weights: None };
        let learners = [TrainConfig::new(Loss::Logistic); 2];
        let names = ["first", "second", "third"].map(str::to_owned);
        let tuning = |columns: &[usize], rounds: [usize; 2]| Tuning { columns: columns.to_vec(), rounds: rounds.to_vec() };
        // The first column decides; the first fold has to do without it.
        let tunings = [tuning(&[1, 2], [5, 7]), tuning(&[0, 2], [5, 7]), tuning(&[0], [9, 1]), tuning(&[0, 2], [3, 4])];
        let stacked = stack(&learners, &names, sample, &folds(300), &tunings).unwrap();
        assert_eq!(stacked.forest.feature_names(), ["first", "third"]);
        assert_eq!(stacked.forest.trees().len(), 7);
        let score = |fold: usize| {
            let of_fold = |values: &[f64]| values.iter().copied().skip(fold).step_by(3).collect::<Vec<f64>>();
            let labels: Vec<bool> = of_fold(&labels).iter().map(|label| *label > 0.5).collect();
            crate::trees::auc(&of_fold(&stacked.out_of_fold), &labels, None)
        };
        assert!(score(1) > score(0) + 0.2 && score(2) > score(0) + 0.2);
        let few = stack(&learners, &names, sample, &folds(300), &tunings[..3]).err();
        assert_eq!(few, Some(StackError::Tunings { tunings: 3, folds: 3 }));
    }

    #[test]
    fn folds_that_leak_or_leave_nothing_are_refused() {
        let (values, labels) = noisy();
        let sample = Sample { rows: Rows::new(&values, 3).unwrap(), labels: &labels, weights: None };
        let learner = [TrainConfig::new(Loss::Logistic)];
        let refused = |folds: &[Fold]| stack(&learner, &[], sample, folds, &[]).err();
        assert_eq!(refused(&[(vec![0, 1], vec![1])]), Some(StackError::Leak { fold: 0, row: 1 }));
        assert_eq!(refused(&[(vec![0, 300], vec![1])]), Some(StackError::Row { fold: 0, row: 300, rows: 300 }));
        assert_eq!(refused(&[(vec![], vec![1])]), Some(StackError::Train { fold: 0, learner: 0, source: TrainError::Empty }));
        assert_eq!(refused(&[((0..200).collect(), vec![])]), Some(StackError::Untested));
        assert_eq!(refused(&[]), Some(StackError::Nothing { learners: 1, folds: 0 }));
    }
}

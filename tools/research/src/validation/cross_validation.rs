//! Models trained on each split and asked about its test rows, in parallel; their answers put together to paths.

use super::model::{FitError, Model};
use super::paths::paths;
use super::samples::{Samples, SamplesError};
use super::seeds::derived;
use super::spans::SplitError;
use super::splitter::{Split, Splitter};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why a cross-validation ended early.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum CrossValidationError {
    /// The rows are not good.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The rows cannot be split so.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A model failed.
    #[error("{model}, split {split}: {source}")]
    Model {
        /// What the model says of itself.
        model: String,
        /// The split, from 0.
        split: usize,
        /// Why.
        source: FitError,
    },
    /// A model gave something else than a score for each row.
    #[error("{model}, split {split}: not a finite score for each row asked about; the model is at fault")]
    Scores {
        /// What the model says of itself.
        model: String,
        /// The split, from 0.
        split: usize,
    },
}

/// Out-of-sample scores of one model: by path, then by row; NaN where a row is never tested.
pub type PathScores = Vec<Vec<f64>>;

/// Trains every model on every split and scores the test rows, in parallel. The result does not depend on the number of threads:
/// each training has a seed of its own. `progress` is told the number of trainings done and of all.
///
/// # Errors
/// [`CrossValidationError`] where the rows are bad, cannot be split, or a model fails.
pub fn cross_validate(
    samples: &Samples<'_>,
    splitter: &Splitter,
    models: &[&dyn Model],
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<PathScores>, CrossValidationError> {
    samples.check()?;
    let splits = splitter.splits(&samples.spans()?)?;
    let (done, all) = (AtomicUsize::new(0), models.len() * splits.len());
    let work: Vec<(usize, usize)> =
        (0..models.len()).flat_map(|model| (0..splits.len()).map(move |split| (model, split))).collect();
    let scores: Vec<Vec<f64>> = work
        .par_iter()
        .map(|&(model, split)| {
            let scores =
                scores_of(samples, models[model], split, &splits[split], derived(derived(seed, model as u64), split as u64))?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);
            Ok(scores)
        })
        .collect::<Result<_, CrossValidationError>>()?;
    let paths = paths(&splits);
    let path_scores = |of_model: &[Vec<f64>]| {
        let fill = |path: &Vec<super::Segment>| {
            let mut by_row = vec![f64::NAN; samples.rows()];
            for segment in path {
                let tested = &splits[segment.split].test;
                let before: usize = tested[..segment.block].iter().map(ExactSizeIterator::len).sum();
                by_row[segment.rows.clone()].copy_from_slice(&of_model[segment.split][before..before + segment.rows.len()]);
            }
            by_row
        };
        paths.iter().map(fill).collect()
    };
    Ok(scores.chunks(splits.len()).map(path_scores).collect())
}

/// Scores of the test rows of a split.
fn scores_of(
    samples: &Samples<'_>,
    model: &dyn Model,
    number: usize,
    split: &Split,
    seed: u64,
) -> Result<Vec<f64>, CrossValidationError> {
    let named = || model.describe().to_string();
    let failed = |source| CrossValidationError::Model { model: named(), split: number, source };
    let (train, test): (Vec<usize>, Vec<usize>) = (split.train_rows().collect(), split.test_rows().collect());
    let scores = model.fit(samples, &train, seed).and_then(|fitted| fitted.predict(samples, &test)).map_err(failed)?;
    if scores.len() != test.len() || scores.iter().any(|score| !score.is_finite()) {
        return Err(CrossValidationError::Scores { model: named(), split: number });
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::super::model::Fitted;
    use super::super::samples::OwnedSamples;
    use super::super::samples::tests::second_by_second;
    use super::super::{Embargo, Logistic, Majority, Momentum};
    use super::*;
    use serde_json::{Value, json};

    const SPLITTER: Splitter =
        Splitter::CombinatorialPurged { folds: 5, test_folds: 2, purge_bars: 1, embargo: Embargo { bars: 1, time: 0 } };

    fn rows() -> OwnedSamples {
        let mut random = fastrand::Rng::with_seed(5);
        let feature: Vec<f64> = (0..200).map(|_| random.f64() - 0.5).collect();
        let returns = feature.iter().map(|value| 0.1 * value + 0.1 * (random.f64() - 0.5)).collect();
        second_by_second(vec![feature], returns)
    }

    /// Scores a row by how many rows it was trained on, which tells splits apart, and refuses to have seen it.
    struct Spy;
    struct SpyFitted(Vec<usize>, u64);

    impl Model for Spy {
        fn describe(&self) -> Value {
            json!({ "kind": "spy" })
        }
        fn fit(&self, _: &Samples<'_>, rows: &[usize], seed: u64) -> Result<Box<dyn Fitted>, FitError> {
            Ok(Box::new(SpyFitted(rows.to_vec(), seed)))
        }
    }

    impl Fitted for SpyFitted {
        fn predict(&self, _: &Samples<'_>, rows: &[usize]) -> Result<Vec<f64>, FitError> {
            match rows.iter().find(|row| self.0.contains(row)) {
                Some(row) => Err(FitError(format!("row {row} was trained on"))),
                None => Ok(rows.iter().map(|&row| row as f64 + (self.1 % 1_000) as f64 / 1e3).collect()),
            }
        }
    }

    #[test]
    fn each_path_has_a_score_of_an_untrained_row_for_every_row() {
        let rows = rows();
        let calls = AtomicUsize::new(0);
        let progress = |done, all| {
            assert!(done <= all && all == 20);
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let scores = cross_validate(&rows.samples(), &SPLITTER, &[&Spy, &Majority], 7, &progress).unwrap();
        assert_eq!((scores.len(), scores[0].len(), calls.into_inner()), (2, 4, 20));
        for path in &scores[0] {
            assert!(path.iter().enumerate().all(|(row, score)| score.floor() == row as f64));
        }
        // Paths take their answers from different splits, which have seeds of their own.
        assert!(scores[0].windows(2).all(|pair| pair[0].iter().zip(&pair[1]).all(|(one, two)| one != two)));
    }

    #[test]
    fn threads_do_not_change_the_answer() {
        let rows = rows();
        let models: [&dyn Model; 3] = [&Spy, &Logistic { l2: 1.0 }, &Momentum { labels: 3 }];
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| cross_validate(&rows.samples(), &SPLITTER, &models, 3, &|_, _| {}).unwrap())
        };
        assert_eq!(of(1), of(4));
    }

    #[test]
    fn walk_forward_leaves_the_first_rows_unscored() {
        let rows = rows();
        let splitter = Splitter::WalkForward { train_rows: 60, test_rows: 30, purge_bars: 2, expanding: false };
        let scores = cross_validate(&rows.samples(), &splitter, &[&Spy], 7, &|_, _| {}).unwrap();
        assert_eq!(scores[0].len(), 1);
        let scored: Vec<usize> = (0..200).filter(|&row| !scores[0][0][row].is_nan()).collect();
        assert_eq!(scored, (62..182).collect::<Vec<_>>());
    }

    #[test]
    fn a_model_that_fails_is_named() {
        let mut rows = rows();
        rows.features[0][3] = f64::NAN;
        let models: [&dyn Model; 1] = [&Logistic { l2: 2.0 }];
        let error = cross_validate(&rows.samples(), &SPLITTER, &models, 7, &|_, _| {}).unwrap_err().to_string();
        assert!(error.contains("\"l2\":2.0") && error.contains("split") && error.contains("row 3"), "{error}");
    }
}

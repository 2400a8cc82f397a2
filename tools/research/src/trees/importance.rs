//! Which features a forest rests on.

use super::rows::Rows;
use chronos_inference::trees::{Forest, ScoreError};
use rayon::prelude::*;

/// What the splits on one feature did in training.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct SplitImportance {
    /// Splits on it (XGBoost's `weight`, LightGBM's `split`).
    pub splits: usize,
    /// Their gains, summed (`total_gain`; LightGBM's `gain`).
    pub total_gain: f64,
    /// The training weight that came to them, summed (`total_cover`).
    pub total_cover: f64,
}

impl SplitImportance {
    /// Mean gain of a split; 0 where there is none (XGBoost's `gain`).
    pub fn gain(&self) -> f64 {
        self.total_gain / self.splits.max(1) as f64
    }

    /// Mean training weight of a split; 0 where there is none (XGBoost's `cover`).
    pub fn cover(&self) -> f64 {
        self.total_cover / self.splits.max(1) as f64
    }
}

/// What the splits on each feature did in training.
pub fn split_importance(forest: &Forest) -> Vec<SplitImportance> {
    let mut importance = vec![SplitImportance::default(); forest.features()];
    for tree in forest.trees() {
        let mut places = vec![tree.root];
        while let Some(place) = places.pop() {
            let node = tree.nodes[place];
            let Some(split) = node.split else { continue };
            let of = &mut importance[split.feature];
            of.splits += 1;
            of.total_gain += split.gain;
            of.total_cover += node.cover;
            places.extend([split.left, split.right]);
        }
    }
    importance
}

/// By how much a score falls when a feature's values are shuffled.
#[derive(Clone, PartialEq, Debug)]
pub struct PermutationImportance {
    /// Mean fall over the repeats.
    pub mean: f64,
    /// Standard deviation of the fall over the repeats, with their number as divisor.
    pub std: f64,
}

/// The permutation importance of each feature (Breiman, "Random Forests", 2001): the score of the predictions less their score with the
/// feature's column shuffled, over `repeats` shuffles. `score` is given the outputs of all rows, row after row; higher is better.
/// The same seed gives the same shuffles on any number of threads.
///
/// # Errors
/// [`ScoreError`] where rows have another length than the forest takes.
pub fn permutation_importance(
    forest: &Forest,
    rows: Rows<'_>,
    repeats: usize,
    seed: u64,
    score: impl Fn(&[f64]) -> f64 + Sync,
) -> Result<Vec<PermutationImportance>, ScoreError> {
    if rows.columns() != forest.features() {
        return Err(ScoreError::Features { expected: forest.features(), got: rows.columns() });
    }
    let whole = score(&predictions(forest, rows.values())?);
    let features = 0..forest.features();
    let falls = features.into_par_iter().map(|feature| {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add((feature as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut values = rows.values().to_vec();
        let mut column: Vec<f64> = rows.iter().map(|row| row[feature]).collect();
        let falls = (0..repeats).map(|_| {
            random.shuffle(&mut column);
            for (row, x) in values.chunks_exact_mut(rows.columns()).zip(&column) {
                row[feature] = *x;
            }
            Ok(whole - score(&predictions(forest, &values)?))
        });
        let falls: Vec<f64> = falls.collect::<Result<_, ScoreError>>()?;
        let mean = falls.iter().sum::<f64>() / repeats.max(1) as f64;
        let variance = falls.iter().map(|fall| (fall - mean).powi(2)).sum::<f64>() / repeats.max(1) as f64;
        Ok(PermutationImportance { mean, std: variance.sqrt() })
    });
    falls.collect()
}

/// The outputs of rows that stand one after another.
///
/// # Errors
/// [`ScoreError`] where the values are no whole rows of the forest's features.
pub fn predictions(forest: &Forest, values: &[f64]) -> Result<Vec<f64>, ScoreError> {
    let (features, outputs) = (forest.features(), forest.outputs());
    let mut out = vec![0.0; values.len().div_ceil(features) * outputs];
    let rows = out.par_chunks_mut(outputs).zip(values.par_chunks(features));
    rows.map(|(out, row)| forest.predict_into(row, out)).collect::<Result<(), _>>()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::{Loss, Sample, TrainConfig, train};

    #[test]
    fn the_feature_that_decides_matters_and_the_others_do_not() {
        let mut random = fastrand::Rng::with_seed(3);
        let values: Vec<f64> = (0..600).map(|_| random.f64()).collect();
        let rows = Rows::new(&values, 3).unwrap();
        let labels: Vec<f64> = rows.iter().map(|row| f64::from(u8::from(row[1] > 0.5))).collect();
        let forest =
            train(&TrainConfig::new(Loss::Logistic), &[], Sample { rows, labels: &labels, weights: None }, None).unwrap().forest;
        let squared = |out: &[f64]| -out.iter().zip(&labels).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / labels.len() as f64;
        let importance = permutation_importance(&forest, rows, 5, 1, squared).unwrap();
        assert!(importance[1].mean > 0.3 && importance[0].mean.abs() < 0.01 && importance[2].mean.abs() < 0.01, "{importance:?}");
        assert_eq!(importance, permutation_importance(&forest, rows, 5, 1, squared).unwrap());
        let splits = split_importance(&forest);
        assert!(splits[1].total_gain > 100.0 * splits[0].total_gain);
        assert!(permutation_importance(&forest, Rows::new(&values, 2).unwrap(), 1, 1, |_| 0.0).is_err());
    }
}

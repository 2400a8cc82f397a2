//! Which features to keep: those that matter on every path of the validation, and of those that say the same, one.
//!
//! On each fold a model is trained on the training part and explained on the test part. A feature is *stable* if its share of the
//! attributed margin is above a floor on enough folds; of a *cluster* of features whose ranks go together (López de Prado, "Clustered
//! Feature Importance (Presentation Slides)", 2020) the one with the largest share stays. Clusters are shuffled as one, so that a
//! feature's substitutes do not hide what it is worth.

use super::classification::log_loss;
use super::rows::Rows;
use super::shap::{ExplainError, TreeShap};
use super::stack::{Fold, StackError, check_folds, predictions_of, train_on};
use super::train::{Loss, Sample, TrainConfig};
use chronos_inference::trees::Forest;
use kodama::{Method, linkage};
use rayon::prelude::*;
use serde::Serialize;

/// What a feature must do to be kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SelectionConfig {
    /// Least share of the attributed margin on a fold, 0 to 1.
    pub share_min: f64,
    /// Least share of the folds on which it must have that, above 0 to 1.
    pub folds_min: f64,
    /// Magnitude of rank correlation from which on features are redundant, above 0 to 1.
    pub correlation_max: f64,
    /// Shuffles of each cluster on each fold.
    pub repeats: usize,
    /// Seed of the shuffles.
    pub seed: u64,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        SelectionConfig { share_min: 0.005, folds_min: 0.75, correlation_max: 0.9, repeats: 5, seed: 1 }
    }
}

/// What was kept and what was not, and why.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeatureSelection {
    /// Every feature, in the order of the columns.
    pub features: Vec<FeatureVerdict>,
    /// What each cluster is worth.
    pub clusters: Vec<ClusterImportance>,
}

impl FeatureSelection {
    /// Columns of the kept features, rising.
    pub fn kept(&self) -> Vec<usize> {
        (0..self.features.len()).filter(|column| self.features[*column].verdict == Verdict::Kept).collect()
    }
}

/// One feature.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeatureVerdict {
    /// Its name.
    pub name: String,
    /// Mean over the folds of its share of the attributed margin.
    pub share_mean: f64,
    /// Standard deviation of that share over the folds.
    pub share_std: f64,
    /// Share of the folds on which its share is above the floor.
    pub folds_above: f64,
    /// Number of its cluster.
    pub cluster: usize,
    /// Whether it is kept.
    pub verdict: Verdict,
}

/// Whether a feature is kept.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Kept,
    /// Its share is above the floor on too few folds.
    Unstable,
    /// Another feature says the same.
    Redundant {
        /// The one that stays.
        with: String,
        /// Magnitude of their rank correlation.
        correlation: f64,
    },
}

/// What a cluster of features is worth.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ClusterImportance {
    /// Names of its features.
    pub features: Vec<String>,
    /// Mean over folds and shuffles of the rise in log-loss when all of them are shuffled together.
    pub mean: f64,
    /// Standard deviation over the folds of their means.
    pub std: f64,
}

/// Why nothing was selected.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SelectionError {
    /// A fold, or the training on it.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// An explanation.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A parameter out of its range.
    #[error("selection: `{0}` is out of its range")]
    Parameter(&'static str),
    /// A fold has nothing to explain.
    #[error("selection: fold {0} has no test rows")]
    EmptyFold(usize),
    /// There is not one name for each feature.
    #[error("selection: {names} names for {features} features")]
    Names {
        /// Names.
        names: usize,
        /// Features.
        features: usize,
    },
}

/// Selects features for a logistic learner by its contributions over the folds.
///
/// # Errors
/// [`SelectionError`], with the fold.
pub fn select_features(
    config: &SelectionConfig,
    learner: &TrainConfig,
    names: &[String],
    sample: Sample<'_>,
    folds: &[Fold],
) -> Result<FeatureSelection, SelectionError> {
    config.check()?;
    let features = sample.rows.columns();
    if names.len() != features {
        return Err(SelectionError::Names { names: names.len(), features });
    }
    if learner.loss != Loss::Logistic {
        return Err(StackError::Loss(0).into());
    }
    if folds.is_empty() {
        return Err(StackError::Nothing { learners: 1, folds: 0 }.into());
    }
    check_folds(folds, sample.rows.len())?;
    if let Some(fold) = folds.iter().position(|(_, test_rows)| test_rows.is_empty()) {
        return Err(SelectionError::EmptyFold(fold));
    }
    let correlations = rank_correlations(sample.rows);
    let clusters = clusters(&correlations, features, config.correlation_max);
    let of_fold = |(fold, parts): (usize, &Fold)| on_fold(config, learner, sample, fold, parts, &clusters);
    let on_folds: Vec<OnFold> = folds.par_iter().enumerate().map(of_fold).collect::<Result<_, _>>()?;

    let cluster_of = |column: usize| clusters.iter().position(|cluster| cluster.contains(&column)).unwrap_or_default();
    let mut verdicts: Vec<FeatureVerdict> = (0..features)
        .map(|column| {
            let shares: Vec<f64> = on_folds.iter().map(|on| on.shares[column]).collect();
            let (share_mean, share_std) = moments(&shares);
            let above = shares.iter().filter(|share| **share >= config.share_min).count();
            let folds_above = above as f64 / shares.len() as f64;
            let verdict = if folds_above >= config.folds_min { Verdict::Kept } else { Verdict::Unstable };
            FeatureVerdict { name: names[column].clone(), share_mean, share_std, folds_above, cluster: cluster_of(column), verdict }
        })
        .collect();
    for cluster in &clusters {
        let stable: Vec<usize> = cluster.iter().copied().filter(|column| verdicts[*column].verdict == Verdict::Kept).collect();
        let by_share =
            |one: &usize, two: &usize| verdicts[*one].share_mean.total_cmp(&verdicts[*two].share_mean).then(two.cmp(one));
        let Some(best) = stable.iter().copied().max_by(by_share) else { continue };
        for column in stable.into_iter().filter(|column| *column != best) {
            let correlation = correlations[column * features + best].abs();
            verdicts[column].verdict = Verdict::Redundant { with: names[best].clone(), correlation };
        }
    }
    let importance = clusters.iter().enumerate().map(|(number, cluster)| {
        let rises: Vec<f64> = on_folds.iter().map(|on| on.rises[number]).collect();
        let (mean, std) = moments(&rises);
        ClusterImportance { features: cluster.iter().map(|column| names[*column].clone()).collect(), mean, std }
    });
    Ok(FeatureSelection { clusters: importance.collect(), features: verdicts })
}

impl SelectionConfig {
    fn check(&self) -> Result<(), SelectionError> {
        let is_share = |value: f64| value > 0.0 && value <= 1.0;
        match self {
            _ if !(0.0..=1.0).contains(&self.share_min) => Err(SelectionError::Parameter("share_min")),
            _ if !is_share(self.folds_min) => Err(SelectionError::Parameter("folds_min")),
            _ if !is_share(self.correlation_max) => Err(SelectionError::Parameter("correlation_max")),
            _ if self.repeats == 0 => Err(SelectionError::Parameter("repeats")),
            _ => Ok(()),
        }
    }
}

/// What one fold tells.
struct OnFold {
    /// Of each feature, its share of the attributed margin on the test rows.
    shares: Vec<f64>,
    /// Of each cluster, the rise in log-loss when it is shuffled.
    rises: Vec<f64>,
}

fn on_fold(
    config: &SelectionConfig,
    learner: &TrainConfig,
    sample: Sample<'_>,
    fold: usize,
    (train_rows, test_rows): &Fold,
    clusters: &[Vec<usize>],
) -> Result<OnFold, SelectionError> {
    let forest =
        train_on(learner, &[], sample, train_rows, None).map_err(|source| StackError::Train { fold, learner: 0, source })?;
    let features = sample.rows.columns();
    let values = sample.rows.gather(test_rows);
    let mut shares = vec![0.0; features];
    if let Ok(rows) = Rows::new(&values, features) {
        let contributions = TreeShap::new(&forest)?.contributions(rows)?;
        for row in 0..contributions.len() {
            for (share, contribution) in shares.iter_mut().zip(contributions.of(row, 0)) {
                *share += contribution.abs();
            }
        }
    }
    let total: f64 = shares.iter().sum();
    if total > 0.0 {
        shares.iter_mut().for_each(|share| *share /= total);
    }
    Ok(OnFold { shares, rises: rises(config, &forest, sample, fold, test_rows, clusters) })
}

/// Of each cluster the mean rise in log-loss over its shuffles.
fn rises(
    config: &SelectionConfig,
    forest: &Forest,
    sample: Sample<'_>,
    fold: usize,
    test_rows: &[usize],
    clusters: &[Vec<usize>],
) -> Vec<f64> {
    let labels: Vec<bool> = test_rows.iter().map(|row| sample.labels[*row] >= 0.5).collect();
    let weights: Option<Vec<f64>> = sample.weights.map(|weights| test_rows.iter().map(|row| weights[*row]).collect());
    let whole = log_loss(&predictions_of(forest, sample.rows, test_rows), &labels, weights.as_deref());
    let mut random = fastrand::Rng::with_seed(config.seed.wrapping_add(fold as u64));
    let mut others = test_rows.to_vec();
    let of_cluster = |cluster: &Vec<usize>| {
        let mut sum = 0.0;
        for _ in 0..config.repeats {
            random.shuffle(&mut others);
            let mut values = sample.rows.gather(test_rows);
            for (row, other) in values.chunks_exact_mut(sample.rows.columns()).zip(&others) {
                for column in cluster {
                    row[*column] = sample.rows.row(*other)[*column];
                }
            }
            let shuffled = super::importance::predictions(forest, &values).unwrap_or_default();
            sum += log_loss(&shuffled, &labels, weights.as_deref()) - whole;
        }
        sum / config.repeats as f64
    };
    clusters.iter().map(of_cluster).collect()
}

/// Spearman's rank correlation of each pair of columns, over the rows where neither is missing; 0 where one is constant.
fn rank_correlations(rows: Rows<'_>) -> Vec<f64> {
    let columns = rows.columns();
    let ranks: Vec<Vec<f64>> = (0..columns).into_par_iter().map(|column| ranks(rows.iter().map(|row| row[column]))).collect();
    let pairs = (0..columns * columns).into_par_iter().map(|pair| {
        let (one, two) = (pair / columns, pair % columns);
        if one == two { 1.0 } else { correlation(&ranks[one.min(two)], &ranks[one.max(two)]) }
    });
    pairs.collect()
}

/// Ranks from 0, the mean where values are equal; NaN where they are missing.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).filter(|row| !values[*row].is_nan()).collect();
    order.sort_by(|one, two| values[*one].total_cmp(&values[*two]));
    let mut ranks = vec![f64::NAN; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|one, two| values[*one] == values[*two]) {
        let rank = first as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|row| ranks[*row] = rank);
        first += tied.len();
    }
    ranks
}

fn correlation(one: &[f64], two: &[f64]) -> f64 {
    let both = || one.iter().zip(two).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let count = both().count() as f64;
    let (a_mean, b_mean) = (both().map(|(a, _)| a).sum::<f64>() / count, both().map(|(_, b)| b).sum::<f64>() / count);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in both() {
        let (a, b) = (a - a_mean, b - b_mean);
        (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
    }
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Columns whose mean correlation in magnitude is at least so large, by average linkage; ordered by their first column.
fn clusters(correlations: &[f64], columns: usize, correlation_max: f64) -> Vec<Vec<usize>> {
    let pairs = (0..columns).flat_map(|one| (one + 1..columns).map(move |two| (one, two)));
    let mut distances: Vec<f64> = pairs.map(|(one, two)| 1.0 - correlations[one * columns + two].abs()).collect();
    let mut members: Vec<Vec<usize>> = (0..columns).map(|column| vec![column]).collect();
    for step in linkage(&mut distances, columns, Method::Average).steps() {
        // A step makes a new cluster, numbered after all before it; what is too far apart stays as it is.
        let is_near = step.dissimilarity <= 1.0 - correlation_max;
        let [one, two] = [step.cluster1, step.cluster2];
        let merged = if is_near && !members[one].is_empty() && !members[two].is_empty() {
            let mut merged = std::mem::take(&mut members[one]);
            merged.append(&mut members[two]);
            merged.sort_unstable();
            merged
        } else {
            Vec::new()
        };
        members.push(merged);
    }
    members.retain(|cluster| !cluster.is_empty());
    members.sort_unstable();
    members
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_redundant_and_noise_is_unstable() {
        let mut random = fastrand::Rng::with_seed(8);
        let names: Vec<String> = ["signal", "copy", "noise", "second"].map(str::to_owned).to_vec();
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..600 {
            let (signal, second) = (random.f64(), random.f64());
            let noise = if random.f64() < 0.2 { f64::NAN } else { 0.0 };
            values.extend([signal, -(2.0 * signal).exp() + 0.01 * random.f64(), noise, second]);
            labels.push(f64::from(u8::from(signal + 0.5 * second + 0.3 * random.f64() > 0.9)));
        }
        let sample = Sample { rows: Rows::new(&values, 4).unwrap(), labels: &labels, weights: None };
        let part = |fold: usize| -> Fold { (0..600).partition(|row| row / 150 != fold) };
        let folds: Vec<Fold> = (0..4).map(part).collect();
        let config = SelectionConfig { share_min: 0.02, ..SelectionConfig::default() };
        let learner = TrainConfig { rounds: 30, ..TrainConfig::new(Loss::Logistic) };
        let selection = select_features(&config, &learner, &names, sample, &folds).unwrap();
        let verdicts: Vec<&Verdict> = selection.features.iter().map(|feature| &feature.verdict).collect();
        assert_eq!(*verdicts[2], Verdict::Unstable);
        assert_eq!(*verdicts[3], Verdict::Kept);
        let redundant =
            verdicts[..2].iter().filter(|verdict| matches!(verdict, Verdict::Redundant { correlation, .. } if *correlation > 0.95));
        assert_eq!((redundant.count(), selection.kept().len()), (1, 2), "{selection:?}");
        assert_eq!(selection.clusters.iter().map(|cluster| cluster.features.len()).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(selection.clusters[0].mean > selection.clusters[2].mean && selection.clusters[2].mean > selection.clusters[1].mean);
        assert_eq!(selection, select_features(&config, &learner, &names, sample, &folds).unwrap());
    }

    #[test]
    fn ranks_and_their_correlation_by_hand() {
        assert_eq!(ranks([3.0, 1.0, 3.0, 2.0].into_iter()), [2.5, 0.0, 2.5, 1.0]);
        assert!(ranks([f64::NAN, 1.0].into_iter())[0].is_nan());
        assert_eq!(correlation(&[0.0, 1.0, 2.0], &[2.0, 1.0, 0.0]), -1.0);
        assert_eq!(correlation(&[0.0, 0.0], &[0.0, 1.0]), 0.0);
    }
}

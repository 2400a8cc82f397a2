//! Why a meta model says what it says of the bets of a dataset.

use super::bets::{BetsError, DatasetBets};
use super::{BINS, TRAINING_FILE, primary_names};
use crate::dataset::{Dataset, Manifest};
use crate::trees::{
    ExplainError, FeatureContribution, ProbabilityScores, ReliabilityBin, Rows, TreeShap, WideRows, base_rate, log_loss,
    permutation_importance, predictions, reliability_curve,
};
use chronos_inference::trees::ScoreError;
use chronos_session::meta::MetaDirectory;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// What to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExplanationOptions {
    /// Most bets told one by one, evenly spaced over all.
    pub bets_max: usize,
    /// Features told of each of them, those with the largest contribution.
    pub top: usize,
    /// Shuffles of each feature.
    pub repeats: usize,
    /// Seed of the shuffles.
    pub seed: u64,
}

/// What a meta model makes of the bets of a dataset. Contributions are to the margin, the log odds before calibration.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MetaExplanation {
    /// What the instrument is called.
    pub instrument: String,
    /// Bets of the dataset.
    pub bets: usize,
    /// Whether the model was trained on these very bets: scores are then of what it has seen.
    pub is_training_data: bool,
    /// Share of the weight that paid.
    pub base_rate: f64,
    /// Of the calibrated probabilities.
    pub calibrated: ProbabilityScores,
    /// Of always saying the base rate.
    pub base: ProbabilityScores,
    /// What was said against how often it was so, calibrated.
    pub reliability: Vec<ReliabilityBin>,
    /// The margin expected of a training bet.
    pub expected_margin: f64,
    /// The largest difference between a bet's margin and the sum of the expected one and all contributions.
    pub additivity_error: f64,
    /// The features, side and strength, those with the largest mean contribution first.
    pub features: Vec<FeatureAttribution>,
    /// Some of the bets, one by one.
    pub explained: Vec<ExplainedBet>,
}

/// What one feature does.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeatureAttribution {
    /// Its name.
    pub name: String,
    /// Mean over the bets of the magnitude of its contribution.
    pub mean_contribution: f64,
    /// Its share of the magnitude of all contributions.
    pub share: f64,
    /// Mean over the shuffles of the rise in log-loss when it is shuffled.
    pub permutation_mean: f64,
    /// Standard deviation of that rise over the shuffles.
    pub permutation_std: f64,
    /// Its value and its contribution in each of the explained bets, in their order.
    pub points: Vec<[f64; 2]>,
}

/// One bet.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ExplainedBet {
    /// Its row in the dataset, from 0.
    pub row: usize,
    /// When it was made, nanoseconds since 1970.
    pub event_ns: i64,
    /// The log odds the forest gives it.
    pub margin: f64,
    /// Probability that it pays, before calibration.
    pub raw: f64,
    /// Calibrated probability that it pays.
    pub probability: f64,
    /// Whether it paid.
    pub paid: bool,
    /// The largest contributions.
    pub top: Vec<FeatureContribution>,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainMetaError {
    /// The dataset, or that it does not go with the model.
    #[error(transparent)]
    Bets(#[from] BetsError),
    /// The forest.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A row.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// There is nothing to explain.
    #[error("the dataset has no bets")]
    Empty,
}

/// Explains what a meta model says of every bet of a dataset: exact path-dependent contributions, permutation importance, reliability.
///
/// # Errors
/// [`ExplainMetaError`] where the dataset lacks a feature, holds bets of another primary model, or a forest without training weights
/// does not allow it.
pub fn explain_dataset(
    meta: &MetaDirectory,
    dataset: &Dataset,
    manifest: &Manifest,
    options: &ExplanationOptions,
) -> Result<MetaExplanation, ExplainMetaError> {
    let owned = DatasetBets::with_features(dataset, manifest, &meta.manifest.features.names)?;
    let (primary, model) = (manifest.recipe.side.as_deref().unwrap_or_default(), meta.manifest.primary.signal.as_str());
    if primary != model {
        return Err(BetsError::Primary { dataset: primary.to_owned(), model: model.to_owned() }.into());
    }
    let bets = owned.bets()?;
    if bets.labels.is_empty() {
        return Err(ExplainMetaError::Empty);
    }
    let (forest, calibration) = (meta.model.forest(), meta.model.calibration());
    let wide = WideRows::of(&bets, &primary_names());
    let rows = Rows::new(&wide.values, wide.names.len()).map_err(BetsError::from)?;
    let (labels, weights) = (bets.labels, bets.weights);

    let shap = TreeShap::new(forest)?;
    let contributions = shap.contributions(rows)?;
    let columns = wide.names.len();
    let (mut sums, mut additivity_error) = (vec![0.0; columns], 0.0_f64);
    let mut margins = Vec::with_capacity(rows.len());
    for (row, values) in rows.iter().enumerate() {
        let of_row = contributions.of(row, 0);
        let margin = forest.margin(values)?;
        additivity_error = additivity_error.max((of_row.iter().sum::<f64>() - margin).abs());
        margins.push(margin);
        sums.iter_mut().zip(of_row).for_each(|(sum, contribution)| *sum += contribution.abs());
    }
    let raw = predictions(forest, rows.values())?;
    let calibrated: Vec<f64> = raw.iter().map(|probability| calibration.apply(*probability)).collect();
    let loss = |raw: &[f64]| {
        let calibrated: Vec<f64> = raw.iter().map(|probability| calibration.apply(*probability)).collect();
        -log_loss(&calibrated, labels, weights)
    };
    let importance = permutation_importance(forest, rows, options.repeats, options.seed, loss)?;

    let told_max = options.bets_max.clamp(1, rows.len());
    let told: Vec<usize> = (0..told_max).map(|place| place * rows.len() / told_max).collect();
    let total: f64 = sums.iter().sum();
    let feature = |column: usize| FeatureAttribution {
        name: wide.names[column].clone(),
        mean_contribution: sums[column] / rows.len() as f64,
        share: if total > 0.0 { sums[column] / total } else { 0.0 },
        permutation_mean: importance[column].mean,
        permutation_std: importance[column].std,
        points: told.iter().map(|row| [rows.row(*row)[column], contributions.of(*row, 0)[column]]).collect(),
    };
    let mut features: Vec<FeatureAttribution> = (0..columns).map(feature).collect();
    features.sort_by(|one, two| two.mean_contribution.total_cmp(&one.mean_contribution));
    let bet = |row: &usize| {
        let named = wide.names.iter().zip(rows.row(*row)).zip(contributions.of(*row, 0));
        let mut top: Vec<FeatureContribution> = named
            .map(|((name, value), contribution)| FeatureContribution {
                name: name.clone(),
                value: *value,
                contribution: *contribution,
            })
            .collect();
        top.sort_by(|one, two| two.contribution.abs().total_cmp(&one.contribution.abs()));
        top.truncate(options.top);
        ExplainedBet {
            row: *row,
            event_ns: dataset.event_ns[*row],
            margin: margins[*row],
            raw: raw[*row],
            probability: calibrated[*row],
            paid: labels[*row],
            top,
        }
    };
    let base_rate = base_rate(labels, weights);
    Ok(MetaExplanation {
        instrument: manifest.source.instrument.clone(),
        bets: rows.len(),
        is_training_data: manifest.data.sha256 == meta.manifest.data.sha256,
        base_rate,
        calibrated: ProbabilityScores::of(&calibrated, labels, weights, BINS),
        base: ProbabilityScores::of_constant(base_rate, labels, weights, BINS),
        reliability: reliability_curve(&calibrated, labels, weights, BINS),
        expected_margin: shap.expected()[0],
        additivity_error,
        features,
        explained: told.iter().map(bet).collect(),
    })
}

/// The report that training left in a meta model's folder; `None` where there is none that can be read.
pub fn training_report(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(folder.join(TRAINING_FILE)).ok()?).ok()
}

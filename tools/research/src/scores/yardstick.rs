//! What a trained model is measured by, kept beside it so that it can be judged on other data in the same way.

use super::{Baselines, Predictions, PredictionsError, Probabilities, ScoreTable, block_bootstrap, score_table};
use crate::ticks::{Direction, Samples, Target};
use crate::validation::FitError;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Bins of a reliability curve of one direction.
pub(super) const DIRECTION_BINS: usize = 10;

/// Labels and baselines as the training part made them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Yardstick {
    /// What the labels look ahead, nanoseconds.
    pub horizon_ns: i64,
    /// What is flat, and the unit of the forecast.
    pub target: Target,
    /// What has to be beaten.
    pub baselines: Baselines,
}

/// Why a model was not judged.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum JudgeError {
    /// The model's or a baseline's predictions.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// A baseline.
    #[error(transparent)]
    Baseline(#[from] FitError),
}

/// Judges what a model said of the samples of `part` beside what the [baselines](Baselines::predict) said; `so` is what was, each for a sample of
/// the part.
///
/// # Errors
/// [`JudgeError`].
pub fn judge(
    so: &[Direction],
    baselines: Vec<(&'static str, Vec<Probabilities>)>,
    samples: &Samples,
    part: Range<usize>,
    said: &[Probabilities],
    seed: u64,
) -> Result<ScoreTable, JudgeError> {
    let model = Predictions::new(said, so)?;
    let predictions = baselines
        .into_iter()
        .map(|(name, said)| Ok((name, Predictions::new(&said, so)?)))
        .collect::<Result<Vec<_>, PredictionsError>>()?;
    let bootstrap = block_bootstrap(so.len(), samples.per_horizon(part), seed);
    Ok(score_table(("model", &model), &predictions, so, &bootstrap))
}

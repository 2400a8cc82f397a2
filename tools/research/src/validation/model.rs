//! What cross-validation asks of a model.

use super::samples::Samples;
use serde_json::Value;

/// Why a model could not be trained or asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FitError(pub String);

/// A kind of model with its parameters, before training.
///
/// The same samples, rows and seed give the same predictions, whatever else runs at the time.
pub trait Model: Send + Sync {
    /// Kind and parameters, all that tells this model from another: trials are told apart by it.
    fn describe(&self) -> Value;

    /// Trains on some rows, ascending, and their weights.
    ///
    /// # Errors
    /// [`FitError`] where the rows do not do, with the column or row and the remedy.
    fn fit(&self, samples: &Samples<'_>, rows: &[usize], seed: u64) -> Result<Box<dyn Fitted>, FitError>;
}

/// A trained model.
pub trait Fitted: Send + Sync {
    /// A score for each of the rows, from what is known at their events: -1 (short) to 1 (long) for a direction, the probability
    /// that the bet pays for a meta-label.
    ///
    /// # Errors
    /// [`FitError`] where a row cannot be scored.
    fn predict(&self, samples: &Samples<'_>, rows: &[usize]) -> Result<Vec<f64>, FitError>;
}

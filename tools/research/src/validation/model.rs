//! What cross-validation asks of a model.

use super::samples::Samples;
use serde_json::Value;

/// A model's description in one line: `logistic l2=1.0`.
pub fn model_text(description: &Value) -> String {
    let Some(fields) = description.as_object() else { return description.to_string() };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or("model");
    fields.iter().filter(|(name, _)| *name != "kind").fold(kind.to_owned(), |text, (name, value)| format!("{text} {name}={value}"))
}

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

    /// Whether a score is a probability, so that one may ask how often it was right: that the bet pays for a meta-label; `2 p - 1`
    /// where `p` is that of a label above 0 for a direction.
    fn is_probabilistic(&self) -> bool {
        false
    }

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

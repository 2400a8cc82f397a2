//! The seam: one step of a model with carried state.

use crate::spec::CLASSES;
use chronos_market::REGIME_EMBEDDING;
use std::fmt;

/// A model that is asked at each decision tick and remembers what it saw before.
pub trait StepModel: Send {
    /// Moves the state on by one tick and predicts.
    ///
    /// # Errors
    /// [`InferenceError`]; `out` is then not to be used. Inputs are checked first, and a fault there leaves the state as it was.
    /// After [`InferenceError::NonFinite`] from the outputs or [`InferenceError::Engine`] the state is worthless: call
    /// [`StepModel::reset`].
    fn step(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> Result<(), InferenceError>;

    /// Sets the state to zero, as before the first tick.
    fn reset(&mut self);

    /// Reads a part of the weights and of the state, so that they stay in the core's own cache: for a thread that has nothing else to
    /// do. One call takes about a microsecond, and some hundred of them go once round. Changes nothing. An engine that cannot does
    /// nothing.
    fn keep_near(&mut self) {}

    /// What computes the steps.
    fn engine(&self) -> Engine;
}

/// What a model sees at one tick.
#[derive(Clone, Copy, Debug)]
pub struct StepInput<'a> {
    /// Scaled features, in the model's order.
    pub features: &'a [f32],
    /// Logical time since the previous tick, in seconds, 0 or more; 0 at the first.
    pub dt_s: f32,
    /// Embedding of the market's regime; zeros when there is none.
    pub regime: &'a [f32; REGIME_EMBEDDING],
}

impl StepInput<'_> {
    /// Checks the input of a model with `expected` features.
    #[inline]
    pub(crate) fn check(&self, expected: usize) -> Result<(), InferenceError> {
        if self.features.len() != expected {
            return Err(InferenceError::FeatureCount { expected, got: self.features.len() });
        }
        if !(self.dt_s.is_finite() && all_finite(self.features) && all_finite(self.regime)) {
            return Err(InferenceError::NonFinite);
        }
        if self.dt_s < 0.0 {
            return Err(InferenceError::NegativeElapsed);
        }
        Ok(())
    }
}

/// What a model says at one tick.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Prediction {
    /// Unnormalised log-probabilities of the price going down, staying, going up.
    pub logits: [f32; CLASSES],
    /// Forecast of the regression head, in the unit the model was trained on.
    pub forecast: f32,
    /// Standard deviation of the [signals](Prediction::signal) of an [`Ensemble`](crate::Ensemble)'s members; 0 from a single model.
    pub spread: f32,
}

impl Prediction {
    /// Probabilities of down, flat, up: the softmax of the logits.
    #[inline]
    pub fn probabilities(&self) -> [f64; 3] {
        let logits = self.logits.map(f64::from);
        let largest = logits.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let weights = logits.map(|logit| (logit - largest).exp());
        let total: f64 = weights.iter().sum();
        weights.map(|weight| weight / total)
    }

    /// Probability of up less probability of down, -1 to 1.
    #[inline]
    pub fn signal(&self) -> f64 {
        let [down, _, up] = self.probabilities();
        up - down
    }

    /// The prediction, if all of it is finite.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), InferenceError> {
        if all_finite(&self.logits) && self.forecast.is_finite() { Ok(()) } else { Err(InferenceError::NonFinite) }
    }
}

/// What computes the steps of a model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Engine {
    /// [`NativeModel`](crate::NativeModel).
    Native,
    /// [`TractModel`](crate::TractModel).
    Tract,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Engine::Native => "native-f32",
            Engine::Tract => "tract",
        })
    }
}

/// Why there is no prediction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InferenceError {
    /// The model takes another number of features.
    FeatureCount {
        /// What the model takes.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// An input or an output is infinite or not a number.
    NonFinite,
    /// `dt_s` is below 0.
    NegativeElapsed,
    /// The engine failed.
    Engine,
}

impl fmt::Display for InferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InferenceError::FeatureCount { expected, got } => write!(f, "the model takes {expected} features, {got} were given"),
            InferenceError::NonFinite => f.write_str("an input or output of the model is not finite; reset its state"),
            InferenceError::NegativeElapsed => f.write_str("the time since the previous tick is negative"),
            InferenceError::Engine => f.write_str("the inference engine failed; reset its state"),
        }
    }
}

impl std::error::Error for InferenceError {}

fn all_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |finite, value| finite & value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_known_logits() {
        // Weights 1 : 2 : 5 have probabilities 1/8, 2/8, 5/8.
        let prediction = Prediction { logits: [0.0, 2.0_f32.ln(), 5.0_f32.ln()], forecast: 0.0, spread: 0.0 };
        for (got, wanted) in prediction.probabilities().into_iter().zip([0.125, 0.25, 0.625]) {
            assert!((got - wanted).abs() < 1e-7, "{got} {wanted}");
        }
        assert!((prediction.signal() - 0.5).abs() < 1e-7);
    }

    #[test]
    fn softmax_survives_logits_whose_exponential_overflows() {
        let prediction = Prediction { logits: [1e30, 0.0, -1e30], forecast: 0.0, spread: 0.0 };
        assert_eq!(prediction.probabilities(), [1.0, 0.0, 0.0]);
        assert_eq!(prediction.signal(), -1.0);
    }
}

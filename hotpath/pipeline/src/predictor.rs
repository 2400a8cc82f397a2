//! The inference stage: a frame's features scaled as the model was trained, one step, and what happens when a step fails.

use chronos_inference::{InferenceError, Prediction, StepInput, StepModel};
use chronos_market::{FEATURES_MAX, Frame, REGIME_EMBEDDING};

/// Failures in a row after which trading is reduced.
pub const FAILURES_MAX: u32 = 3;

/// How one feature is scaled: `clamp((value - mean) / std, -clip, clip)`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scale {
    /// Place of the feature in the frame.
    pub feature: usize,
    /// Mean on the training data.
    pub mean: f64,
    /// Standard deviation on the training data, above 0.
    pub std: f64,
    /// Largest magnitude after scaling.
    pub clip: f64,
}

/// A model with its scaler. The step's state belongs to one instrument; a session of several has one predictor each.
pub struct Predictor {
    model: Box<dyn StepModel>,
    scales: Vec<Scale>,
    input: Vec<f32>,
    prediction: Prediction,
    failures_in_a_row: u32,
    failures: u64,
}

impl Predictor {
    /// A predictor that gives the model the features of `scales`, in that order.
    pub fn new(model: Box<dyn StepModel>, scales: Vec<Scale>) -> Predictor {
        Predictor {
            model,
            input: vec![0.0; scales.len()],
            scales,
            prediction: Prediction::default(),
            failures_in_a_row: 0,
            failures: 0,
        }
    }

    /// One step. The state goes back to zero where it fails, and there is no prediction then.
    ///
    /// # Errors
    /// [`InferenceError`] as the model gives it.
    #[inline]
    pub fn step(&mut self, frame: &Frame, regime: &[f32; REGIME_EMBEDDING]) -> Result<&Prediction, InferenceError> {
        for (slot, scale) in self.input.iter_mut().zip(&self.scales) {
            let value = frame.features[scale.feature.min(FEATURES_MAX - 1)];
            *slot = ((value - scale.mean) / scale.std).clamp(-scale.clip, scale.clip) as f32;
        }
        let input = StepInput { features: &self.input, dt_s: (frame.elapsed_ns as f64 * 1e-9) as f32, regime };
        match self.model.step(&input, &mut self.prediction) {
            Ok(()) => {
                self.failures_in_a_row = 0;
                Ok(&self.prediction)
            }
            Err(error) => {
                self.failures += 1;
                self.failures_in_a_row += 1;
                self.model.reset();
                Err(error)
            }
        }
    }

    /// Keeps a part of the model in the core's cache, see [`StepModel::keep_near`].
    #[inline]
    pub fn keep_near(&mut self) {
        self.model.keep_near();
    }

    /// Steps so many times on nothing and puts the state back to zero: code and weights are near after it, and nothing is counted.
    pub fn warm_up(&mut self, steps: usize) {
        self.input.fill(0.0);
        let regime = [0.0; REGIME_EMBEDDING];
        for _ in 0..steps {
            let input = StepInput { features: &self.input, dt_s: 0.0, regime: &regime };
            // What fails here fails at the first tick too, and is counted there.
            let _ = self.model.step(&input, &mut self.prediction);
        }
        self.prediction = Prediction::default();
        self.model.reset();
    }

    /// Puts the state back to zero.
    pub fn reset(&mut self) {
        self.model.reset();
    }

    /// Steps that failed.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Whether so many steps failed in a row that trading must be reduced.
    pub fn is_failing(&self) -> bool {
        self.failures_in_a_row >= FAILURES_MAX
    }
}

//! Ticks through a step model, as the hot path takes them.

use super::{Ticks, TicksError};
use chronos_inference::{Prediction, StepInput, StepModel};
use std::ops::Range;

/// Steps a model through some rows of scaled ticks, from a state of zeros at the first of them and at each segment's start. Gives a prediction
/// for each row.
///
/// # Errors
/// [`TicksError::Inference`], with the row.
pub fn step_through(model: &mut dyn StepModel, ticks: &Ticks, rows: Range<usize>) -> Result<Vec<Prediction>, TicksError> {
    let mut predictions = vec![Prediction::default(); rows.len()];
    model.reset();
    for (row, prediction) in rows.zip(&mut predictions) {
        if ticks.starts.binary_search(&row).is_ok() {
            model.reset();
        }
        let input = StepInput { features: ticks.row(row), dt_s: ticks.elapsed_s[row], regime: ticks.regime(row) };
        model.step(&input, prediction).map_err(|source| TicksError::Inference { row, source })?;
    }
    Ok(predictions)
}

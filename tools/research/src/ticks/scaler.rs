//! One scale for all features, learnt from the training part.

use super::Ticks;
use crate::error::SeriesError;
use serde::{Deserialize, Serialize};

/// `clamp((value - mean) / std, -clip, clip)`, feature by feature, as the hot path does it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Scaler {
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// Standard deviation of each feature, above 0; 1 of one that never changes.
    pub std: Vec<f64>,
    /// Largest magnitude after scaling, above 0.
    pub clip: f64,
}

impl Scaler {
    /// The scaler of some rows: those trained on, and no other.
    ///
    /// # Errors
    /// [`SeriesError`] for no row, a feature that is not finite, or a clip that is not above 0.
    pub fn fit(ticks: &Ticks, rows: &[usize], clip: f64) -> Result<Scaler, SeriesError> {
        if !(clip.is_finite() && clip > 0.0) {
            return Err(SeriesError::Parameter { what: "the clip of scaled features", value: clip, must_be: "above 0" });
        }
        if rows.is_empty() {
            return Err(SeriesError::TooShort { what: "the rows to scale by", rows: 0, rows_min: 1 });
        }
        let columns = ticks.columns();
        let (mut mean, mut squares) = (vec![0.0; columns], vec![0.0; columns]);
        for (count, row) in (1..).zip(rows) {
            for (place, value) in ticks.row(*row).iter().enumerate() {
                if !value.is_finite() {
                    return Err(SeriesError::NotFinite { what: "a feature of the ticks", row: *row, value: f64::from(*value) });
                }
                // Welford, "Note on a method for calculating corrected sums of squares and products", 1962.
                let before = f64::from(*value) - mean[place];
                mean[place] += before / f64::from(count);
                squares[place] += before * (f64::from(*value) - mean[place]);
            }
        }
        let deviation = |(mean, squares): (&f64, &f64)| {
            let std = (squares / rows.len() as f64).sqrt();
            // What is left of a constant is the rounding of its mean.
            if std > mean.abs() * 1e-7 { std } else { 1.0 }
        };
        let std = mean.iter().zip(&squares).map(deviation).collect();
        Ok(Scaler { mean, std, clip })
    }

    /// Scales every row in place.
    pub fn apply(&self, ticks: &mut Ticks) {
        let columns = ticks.columns().max(1);
        for row in ticks.values.chunks_exact_mut(columns) {
            for (value, (mean, std)) in row.iter_mut().zip(self.mean.iter().zip(&self.std)) {
                *value = ((f64::from(*value) - mean) / std).clamp(-self.clip, self.clip) as f32;
            }
        }
    }
}

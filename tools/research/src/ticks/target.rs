//! What a return is to a model: one of three classes, and a number in a unit of its own.

use super::Samples;
use crate::error::SeriesError;
use crate::validation::performance::quantile;
use serde::{Deserialize, Serialize};

/// Number of directions.
pub const CLASSES: usize = 3;

/// Where the price goes, numbered as a model's logits are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Direction {
    /// Down by more than the threshold.
    Down = 0,
    /// Neither.
    Flat = 1,
    /// Up by more than the threshold.
    Up = 2,
}

impl Direction {
    /// All, in the order of a model's logits.
    pub const ALL: [Direction; CLASSES] = [Direction::Down, Direction::Flat, Direction::Up];

    /// Its place among a model's logits.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The direction of a return; up to the threshold, that included, it is flat.
    pub fn of(value: f64, threshold: f64) -> Direction {
        match value {
            value if value > threshold => Direction::Up,
            value if value < -threshold => Direction::Down,
            _ => Direction::Flat,
        }
    }
}

/// How a [`Target`] is found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum TargetRule {
    /// Moves up to so large a return are flat.
    Threshold(f64),
    /// As many of the training samples are flat, as nearly as their returns allow: the threshold is this quantile of the absolute
    /// returns. Where more of them did not move at all, those alone are flat.
    FlatShare(f64),
}

/// What returns are to a model. Chosen from the training part alone.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// A move of at most this return is flat.
    pub threshold: f64,
    /// The unit of the forecast: the standard deviation of the training returns about 0.
    pub unit: f64,
}

impl Target {
    /// The target of samples, of which `training` are known.
    ///
    /// # Errors
    /// [`SeriesError`] without a sample that moved, or for a rule out of range.
    pub fn choose(samples: &Samples, training: &[usize], rule: TargetRule) -> Result<Target, SeriesError> {
        let sizes: Vec<f64> = training.iter().map(|sample| samples.returns[*sample].abs()).collect();
        let unit = (sizes.iter().map(|size| size * size).sum::<f64>() / sizes.len().max(1) as f64).sqrt();
        if !(unit.is_finite() && unit > 0.0) {
            return Err(SeriesError::NoSpread { what: "returns of the training samples over the horizon" });
        }
        let refuse = |what, value, must_be| Err(SeriesError::Parameter { what, value, must_be });
        let threshold = match rule {
            TargetRule::Threshold(threshold) if threshold.is_finite() && threshold >= 0.0 => threshold,
            TargetRule::Threshold(threshold) => return refuse("the threshold of a move", threshold, "0 or more"),
            TargetRule::FlatShare(share) if (0.0..1.0).contains(&share) => quantile(&sizes, share),
            TargetRule::FlatShare(share) => return refuse("the share of flat samples", share, "0 or more and below 1"),
        };
        Ok(Target { threshold, unit })
    }

    /// The class of each sample: the one given with it, or that of its return.
    pub fn directions(&self, samples: &Samples) -> Vec<Direction> {
        match &samples.given {
            Some(given) => given.clone(),
            None => samples.returns.iter().map(|value| Direction::of(*value, self.threshold)).collect(),
        }
    }

    /// What the regression is to forecast of a return.
    pub fn forecast(&self, value: f64) -> f64 {
        value / self.unit
    }
}

//! Decision ticks in sequence: what a model that steps from tick to tick is trained and judged on.
//!
//! [`observe_ticks`] takes captures through the books, features and decision ticks of a replay; [`dataset_ticks`] takes the samples that
//! `chronos dataset` stored. Both give [`Ticks`], one compact table, and [`Samples`]: which of its rows have a label, and when that was
//! known. [`split_samples`] parts them by time so that no label reaches into a later part, a [`Target`] chosen from the training part says
//! which class and which number a return is, and a [`Scaler`] of the training part brings features to one scale.

mod from_dataset;
mod observe;
mod read;
mod regime;
mod samples;
mod scaler;
mod split;
mod stream;
mod target;

pub use from_dataset::dataset_ticks;
pub use observe::observe_ticks;
pub use read::{TickData, read_ticks};
pub use regime::RegimeFollower;
pub use samples::{Samples, horizon_samples};
pub use scaler::Scaler;
pub use split::{Parts, SplitAt, SplitRule, split_folds, split_samples};
pub use stream::step_through;
pub use target::{CLASSES, Direction, Target, TargetRule};

use crate::dataset::DatasetError;
use crate::error::SeriesError;
use crate::validation::SplitError;
use chronos_inference::InferenceError;
use chronos_market::REGIME_EMBEDDING;
use chronos_market::features::{FeatureWindow, index_of, registry};
use chronos_market::tick::TickConfig;
use chronos_session::SessionError;
use std::ops::Range;

/// Decision ticks in the order of their times, the features of each as a model is given them.
///
/// A row of 80 features takes 320 bytes and some thirty beside them: a million rows stay below half a gigabyte.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ticks {
    /// What the instrument is called.
    pub instrument: String,
    /// When ticks happen.
    pub tick: TickConfig,
    /// Names and versions of the features, in the order of a row.
    pub features: Vec<(String, u16)>,
    /// Logical time of each tick, nanoseconds since the epoch, never going back.
    pub times_ns: Vec<i64>,
    /// Seconds of logical time since the tick before; 0 at the first of a segment.
    pub elapsed_s: Vec<f32>,
    /// Mid price of the book; NaN where a side of it is empty, and everywhere in samples of a dataset.
    pub mids: Vec<f64>,
    /// Features, row after row; as the registry defines them until a [`Scaler`] was applied.
    pub values: Vec<f32>,
    /// Whether a signal might be acted on: the tick is past the warm-up and the book has two sides.
    pub is_warm: Vec<bool>,
    /// First row of each segment, ascending and beginning with 0. A model's state is zero there: no window may reach across.
    pub starts: Vec<usize>,
    /// The regime's embeddings, each that was in force; the first is all zeros.
    pub regimes: Vec<[f32; REGIME_EMBEDDING]>,
    /// Place in `regimes` of what was in force at each tick.
    pub regime_of: Vec<u32>,
}

impl Ticks {
    /// Number of ticks.
    pub fn rows(&self) -> usize {
        self.times_ns.len()
    }

    /// Number of features in a row.
    pub fn columns(&self) -> usize {
        self.features.len()
    }

    /// Features of one tick.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns()..(row + 1) * self.columns()]
    }

    /// The regime's embedding in force at a tick.
    pub fn regime(&self, row: usize) -> &[f32; REGIME_EMBEDDING] {
        &self.regimes[self.regime_of[row] as usize]
    }

    /// The rows of each segment, in order.
    pub fn segments(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let ends = self.starts.iter().skip(1).copied().chain([self.rows()]);
        self.starts.iter().copied().zip(ends).map(|(start, end)| start..end)
    }

    /// The rows of the segment that a row belongs to.
    pub fn segment_of(&self, row: usize) -> Range<usize> {
        let next = self.starts.partition_point(|start| *start <= row);
        self.starts[next.saturating_sub(1)]..self.starts.get(next).copied().unwrap_or(self.rows())
    }

    /// Keeps these features alone, in this order.
    ///
    /// # Errors
    /// [`TicksError`] for a name that is not there, or is there twice.
    pub fn keep_features(&mut self, names: &[String]) -> Result<(), TicksError> {
        let known = || self.features.iter().map(|(known, _)| known);
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let Some(place) = known().position(|known| known == name) else {
                let nearest = known().min_by_key(|known| strsim::damerau_levenshtein(known, name)).cloned().unwrap_or_default();
                return Err(TicksError::UnknownFeature { name: name.clone(), nearest });
            };
            if places.contains(&place) {
                return Err(TicksError::Unfit { message: format!("feature `{name}` is named twice; name each once") });
            }
            places.push(place);
        }
        let (columns, rows) = (self.columns(), self.rows());
        let mut kept = vec![0.0; places.len()];
        for row in 0..rows {
            let of = &self.values[row * columns..(row + 1) * columns];
            for (slot, place) in kept.iter_mut().zip(&places) {
                *slot = of[*place];
            }
            // There are no more columns than before, so what is written over was read.
            self.values[row * places.len()..(row + 1) * places.len()].copy_from_slice(&kept);
        }
        self.values.truncate(rows * places.len());
        self.features = places.iter().map(|place| self.features[*place].clone()).collect();
        Ok(())
    }

    /// The features whose cycle the rows `of` span at least once: what goes round once a day cannot be learnt from an hour, in which
    /// it is a slope that the next hour leaves.
    pub fn features_within(&self, of: &[usize]) -> Vec<String> {
        let span_ns = match (of.first(), of.last()) {
            (Some(first), Some(last)) => self.times_ns[*last].saturating_sub(self.times_ns[*first]),
            _ => 0,
        };
        let is_within = |name: &str| match index_of(name).and_then(|place| registry().get(place)).and_then(|spec| spec.window) {
            Some(FeatureWindow::Period(seconds)) => i64::from(seconds).saturating_mul(1_000_000_000) <= span_ns,
            _ => true,
        };
        self.features.iter().map(|(name, _)| name.clone()).filter(|name| is_within(name)).collect()
    }
}

/// Why there are no ticks, samples or parts of them.
#[derive(Debug, thiserror::Error)]
pub enum TicksError {
    /// Captures.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A series.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// Times of samples.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The captures hold several instruments, or none.
    #[error("ticks are of one instrument and the captures hold {instruments}; choose with `--symbols`")]
    Instruments {
        /// What they hold.
        instruments: String,
    },
    /// There is no tick.
    #[error(
        "no decision tick: no book of {instrument} came into sync; `chronos inspect` tells what the files hold, and a capture needs its \
         depth snapshot, or the file that holds it before it"
    )]
    NoTick {
        /// Whose.
        instrument: String,
    },
    /// No tick has a label.
    #[error(
        "no sample: of {ticks} decision ticks {warm} are past the warm-up, and none has another {horizon_s} s of the same book after it; \
         give longer captures or a shorter horizon"
    )]
    NoSample {
        /// Ticks.
        ticks: usize,
        /// Those past the warm-up.
        warm: usize,
        /// The horizon in seconds.
        horizon_s: f64,
    },
    /// A part of the split is empty.
    #[error("the split leaves no sample {part}: samples run from {first_ns} to {last_ns} ns and are split at {at_ns} ns; {remedy}")]
    EmptyPart {
        /// Which.
        part: &'static str,
        /// Time of the first sample.
        first_ns: i64,
        /// Time of the last.
        last_ns: i64,
        /// Where the test begins.
        at_ns: i64,
        /// What to do.
        remedy: &'static str,
    },
    /// A dataset that a model of ticks cannot be trained on.
    #[error("{message}")]
    Unfit {
        /// Why, and what to do.
        message: String,
    },
    /// A step of a model.
    #[error("the model gives nothing at tick {row}: {source}")]
    Inference {
        /// The tick.
        row: usize,
        /// Why.
        source: InferenceError,
    },
    /// A feature is not there.
    #[error("there is no feature `{name}`; did you mean `{nearest}`?")]
    UnknownFeature {
        /// What was asked for.
        name: String,
        /// What is called most like it.
        nearest: String,
    },
}

#[cfg(test)]
mod tests;

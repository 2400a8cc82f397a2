//! Datasets: features as of each event, what came of it, and when that was known.
//!
//! A [`Source`] is observed, a [`Recipe`] makes events, labels and weights, [`build()`] joins them and always runs [`look_ahead()`].
//! [`write_dataset`] keeps the samples as Parquet with a [`Manifest`] beside them that says how to make the same again;
//! [`read_dataset`] checks one against the other.

mod bar_features;
mod build;
mod look_ahead;
mod manifest;
mod primary;
mod recipe;
mod source;
mod store;

pub use bar_features::{BAR_FEATURE_COUNT, bar_features, bar_features_hash};
pub use build::{BuildProgress, Built, Counts, LookAheadOptions, build};
pub use look_ahead::{Leak, LookAhead, look_ahead};
pub use manifest::{DataSection, FORMAT, FeaturesSection, LookAheadSection, Manifest, SourceFile, SourceSection, source_files};
pub use primary::PrimarySignal;
pub use recipe::{LabelRule, Recipe, WeightRule};
pub use source::{BarSource, CaptureSource, FeatureRows, Observed, Source};
pub use store::{check_new_folder, read_dataset, write_dataset, write_labels};

use crate::bars::{HistoryError, RuleError};
use crate::error::SeriesError;
use crate::labels::{Barrier, Span};
use chronos_market::Side;
use chronos_session::SessionError;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// Samples in the order of their events. Every column but `features` and `values` has one entry a sample.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dataset {
    /// Names of the features, in the order of a row.
    pub features: Vec<String>,
    /// Features, sample after sample; all finite.
    pub values: Vec<f64>,
    /// When the event was known, nanoseconds since the epoch, never going back. Features are known by then.
    pub event_ns: Vec<i64>,
    /// When the label was known.
    pub end_ns: Vec<i64>,
    /// The prices the label looks at, by place, both ends included.
    pub span: Vec<Span>,
    /// -1, 0 or 1; with a side 0 or 1.
    pub label: Vec<i8>,
    /// What ended the label.
    pub barrier: Vec<Barrier>,
    /// The bet, where there is a primary model.
    pub side: Vec<Option<Side>>,
    /// Simple return from the event to the end, times the side where there is one.
    pub simple_return: Vec<f64>,
    /// Unit of the barriers, a return.
    pub target: Vec<f64>,
    /// Average uniqueness, above 0 and at most 1.
    pub uniqueness: Vec<f64>,
    /// Weight, at least 0, with a mean of 1.
    pub weight: Vec<f64>,
}

impl Dataset {
    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.event_ns.len()
    }

    /// Features of one sample.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.features.len()..(row + 1) * self.features.len()]
    }

    /// Features of a run of samples, sample after sample.
    pub fn rows_of(&self, rows: Range<usize>) -> &[f64] {
        &self.values[rows.start * self.features.len()..rows.end * self.features.len()]
    }

    /// One feature of every sample.
    pub fn column(&self, feature: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().skip(feature).step_by(self.features.len().max(1)).copied()
    }
}

/// Why there is no dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A series is wrong.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// A history is wrong.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A rule of bars is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Captures are wrong.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Something reads the future.
    #[error(transparent)]
    Leak(#[from] Leak),
    /// The recipe makes no sense.
    #[error("{message}")]
    Recipe {
        /// Why, and what to write.
        message: String,
    },
    /// A feature is not there.
    #[error("there is no feature `{name}`; did you mean `{nearest}`?")]
    UnknownFeature {
        /// What was asked for.
        name: String,
        /// What is called most like it.
        nearest: String,
    },
    /// Captures hold several instruments, or none.
    #[error("a dataset is of one instrument and the captures hold {instruments}; choose with `--symbols`")]
    Instruments {
        /// What they hold.
        instruments: String,
    },
    /// No event became a sample.
    #[error(
        "no sample: {} events of {} prices, of which {} came before every feature was known, {} had no side, {} a target not above the least \
         return, and {} had not ended; give more data, smaller thresholds or a shorter horizon",
        counts.events, counts.prices, counts.warming_up, counts.without_side, counts.small, counts.unfinished
    )]
    NoSample {
        /// How many of what.
        counts: Box<Counts>,
    },
    /// The file system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A file would be overwritten.
    #[error("{path} exists; name another, or move that one away", path = path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Parquet could not be written or read.
    #[error("{path}: {source}", path = path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: parquet::errors::ParquetError,
    },
    /// A stored dataset is not what its manifest says.
    #[error("{path}: {message}; make the dataset again (`chronos dataset`)", path = path.display())]
    Stored {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

#[cfg(test)]
mod tests;

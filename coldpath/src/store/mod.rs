//! Where recorded rows go: one trait, and the Parquet segments that need no server. And features as a table in a file.

mod feature_table;
mod parquet_sink;
mod tables;

pub use feature_table::FeatureTable;
pub use parquet_sink::{ParquetSink, RecordConfig, SCHEMA_VERSION};
pub use tables::{Order, table_schemas};

use chronos_market::ColdRecord;
use std::path::PathBuf;

/// Takes what is recorded. It runs on the cold thread and may block.
pub trait Sink: Send {
    /// Takes a record; samples and windows are no business of a sink.
    ///
    /// # Errors
    /// The store failed; nothing more will be written, [`Sink::finish`] alone may follow.
    fn write(&mut self, record: &ColdRecord) -> Result<(), StoreError>;

    /// Completes what is open.
    ///
    /// # Errors
    /// Something could not be completed; [`Sink::written`] says what was.
    fn finish(&mut self) -> Result<(), StoreError>;

    /// What is safely stored so far.
    fn written(&self) -> Written;
}

/// What a [`Sink`] has safely stored.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Written {
    /// Rows in whole segments.
    pub rows: u64,
    /// The whole segments, in the order they were completed.
    pub segments: Vec<PathBuf>,
}

/// Why something could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder holds a recording already.
    #[error("{folder} already holds a recording ({file}); name a new folder or move that one away", folder = folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// A file found there.
        file: String,
    },
    /// A file's name does not tell what it is to be.
    #[error("{path}: the name must end in {known}", path = path.display())]
    Extension {
        /// The name.
        path: PathBuf,
        /// The endings there are.
        known: &'static str,
    },
    /// A file would be overwritten.
    #[error("{path} exists; name another file or move that one away", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A setting is out of its range.
    #[error("record.{field} must be {must_be}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its range.
        must_be: &'static str,
    },
    /// The file system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// The Parquet writer refused.
    #[error("cannot write {path}: {source}", path = path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: parquet::errors::ParquetError,
    },
    /// The quarantine ring holds something else than frames; what follows in it is lost.
    #[error("the quarantine ring holds a frame of {length} bytes, at most {max} are possible: write to it with push_quarantine alone",
        max = crate::quarantine::QUARANTINE_RAW_MAX)]
    QuarantineFrame {
        /// The length it claims.
        length: u32,
    },
}

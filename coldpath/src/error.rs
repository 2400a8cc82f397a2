//! What can go wrong on the cold path.

use crate::regime::RegimeConfigError;
use crate::store::StoreError;
use crate::thread::ColdSummary;
use std::fmt;

/// Why the cold path did not start, or did not do all it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    /// A setting of the regime is out of its range.
    #[error("cold path: {0}")]
    Regime(#[from] RegimeConfigError),
    /// Recording cannot begin.
    #[error("cold path: {0}")]
    Store(#[from] StoreError),
    /// The system gave no thread.
    #[error("cold path: cannot start its thread: {0}")]
    Spawn(std::io::Error),
    /// Storing failed on the way. It stopped there; every block was sent all the same.
    #[error("cold path: not everything was stored: {}", list(errors))]
    Incomplete {
        /// What failed: recording, quarantine, or both.
        errors: Vec<StoreError>,
        /// What was done.
        summary: Box<ColdSummary>,
    },
    /// The thread panicked, which is a defect of this program. No block came after; what was recorded in whole segments stands.
    #[error("cold path: {part} panicked: {message}")]
    Panicked {
        /// What it was at.
        part: Part,
        /// The panic's message.
        message: String,
    },
}

fn list(errors: &[StoreError]) -> String {
    errors.iter().map(StoreError::to_string).collect::<Vec<_>>().join("; ")
}

/// A part of the cold path's work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Reading the rings and sending blocks.
    Links,
    /// The market regime.
    Regime,
    /// Writing segments.
    Recording,
    /// Keeping malformed messages.
    Quarantine,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Links => "the exchange with the hot path",
            Part::Regime => "the regime",
            Part::Recording => "recording",
            Part::Quarantine => "the quarantine",
        })
    }
}

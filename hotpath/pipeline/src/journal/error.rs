//! What can go wrong with a journal.

use super::FORMAT;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a record was not appended; nothing of it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendError {
    /// The segment is full and the next one was not prepared in time.
    Late,
    /// The thread that prepares and syncs segments failed, or is gone; [`Journal::close`](super::Journal::close) tells why.
    Failed,
    /// The payload is longer than [`PAYLOAD_MAX`](super::PAYLOAD_MAX).
    TooLong,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AppendError::Late => {
                "the next journal segment was not prepared in time; raise `journal.segment_mib`, or use a faster disk"
            }
            AppendError::Failed => "the journal could not be synced or continued",
            AppendError::TooLong => "the record is longer than a journal takes",
        })
    }
}

impl std::error::Error for AppendError {}

/// Why a journal cannot be made, closed or read.
#[derive(Debug)]
pub enum JournalError {
    /// A file or folder.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds a journal already.
    Exists(PathBuf),
    /// There is no segment at that path.
    NoJournal(PathBuf),
    /// Written in a layout that this build does not know.
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A whole record of a kind that this build does not know.
    UnknownKind {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The kind.
        kind: u8,
    },
    /// A change of limits that are not those in force there.
    OtherLimits {
        /// `seq` of its record.
        seq: u64,
    },
    /// The system gave no thread for the disk's part.
    Thread(io::Error),
    /// That thread ended without a word.
    Panicked,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Io { path, source } => write!(f, "journal {}: {source}", path.display()),
            JournalError::Exists(folder) => {
                write!(f, "journal {}: holds a journal already, which is never overwritten; name another folder", folder.display())
            }
            JournalError::NoJournal(path) => {
                write!(f, "journal {}: no segment here; name the folder of `NNNNNN.journal` files, or one of them", path.display())
            }
            JournalError::Version { path, found } => {
                write!(f, "journal {}: format {found} is not known to this build, which reads {FORMAT}", path.display())
            }
            JournalError::UnknownKind { path, offset, kind } => write!(
                f,
                "journal {}, byte {offset}: a record of kind {kind}, which this build does not know; read it with the build that wrote it",
                path.display()
            ),
            JournalError::OtherLimits { seq } => write!(
                f,
                "journal, record {seq}: limits change there from others than those of this configuration; use the configuration that \
                 the session began with"
            ),
            JournalError::Thread(source) => write!(f, "journal: cannot start its thread: {source}"),
            JournalError::Panicked => f.write_str("journal: its thread ended unexpectedly; this is a defect"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Io { source, .. } | JournalError::Thread(source) => Some(source),
            _ => None,
        }
    }
}

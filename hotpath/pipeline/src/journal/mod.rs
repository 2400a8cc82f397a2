//! The journal: every order before it is sent, every report, every change of parameters and state, in one append-only file.

mod mapped;
mod record;

pub use mapped::{JournalError, MappedJournal};
pub use record::{Record, RecordError, RecordKind, read_record, record_bytes, write_record};

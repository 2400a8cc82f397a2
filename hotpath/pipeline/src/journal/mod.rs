//! The journal: every order before it is sent, every report, every change of parameters and state, in files that are only ever
//! appended to.
//!
//! A journal is a folder of segments. Each is made in full before it is used, so that an append is a copy into memory that is
//! already there:
//!
//! ```text
//! journal/
//!   000001.journal   ├ header ┼ record 1 ┼ record 2 ┼ ... ┼ record n ┼ zeros, too few for record n + 1 ┤
//!   000002.journal   ├ header ┼ record n + 1 ┼ ... ┼ record m ┼ zeros: not written yet ─────────────────┤
//!   000003.journal   ├ zeros: prepared, not used yet ────────────────────────────────────────────────────┤
//!
//! header   64 bytes: magic, format, number of the segment, session, seq of its first record, its length, crc32c
//! record   24 bytes: len, kind, seq, recv_ns; then the payload, zeros, crc32c; 8-byte aligned
//! ```
//!
//! [`SegmentHeader`] and [`write_record`] have the fields to the byte, [`Content`] the payload of each kind. Numbers are
//! little-endian. The first records say what the session is ([`Content::SessionStart`], its instruments, its captures), the last one
//! how it ended; closing cuts the last segment to what is used of it and removes what was prepared beyond.
//!
//! **Writing.** [`Journal`] belongs to the hot thread and only copies. A thread of its own prepares the next segment (space taken on
//! the disk, pages touched, handed over by ring), syncs what was appended every [`JournalConfig::sync_interval`], and measures how much was not yet
//! synced: [`JournalSummary`] tells what a power loss could have cost. A crash of the process costs nothing.
//!
//! **Reading.** [`Recovery`] finds the last whole record and says what follows it. A record counts where its checksum agrees, which
//! begins with that of the segment's header, and its `seq` is the next. So none of these is taken for a record: a page of another
//! session or segment, zeros in the middle, half a page, a record twice or out of order.
//!
//! **Restarting.** [`restore`] gives positions, open orders, limits and what holds trading as of the last whole record, and what to do by
//! hand so that a session that goes on from there has the same limits and is held by the same.
//!
//! **Following.** A [`JournalFollower`] leads a replay of the session's captures along its journal, with a [`JournaledVenue`] in the
//! venue's place: reports, what was done by hand, skips and what the cold path was not told happen again where they did, and every record
//! the replay makes must equal the journal's. Messages that were lost before ingest are no part of the captures: [`overruns`] tells where,
//! for the driver.

pub(crate) mod content;
mod error;
mod follower;
mod keeper;
mod record;
mod recovery;
mod restore;
mod segment;
mod venue;
mod writer;

pub use content::{CaptureFile, Content, DroppedRecord, JournaledInstrument, SessionEnd, SessionStart, UnsentReason};
pub use error::{AppendError, JournalError};
pub(crate) use follower::{Comparison, JournaledHand};
pub use follower::{Difference, JournalFollower, OwnedRecord, overruns};
pub use keeper::JournalSummary;
pub use record::{PAYLOAD_MAX, Record, RecordError, RecordKind, read_record, record_bytes, write_record};
pub use recovery::{Damage, DamageReason, JournalReader, Recovery};
pub use restore::{Restored, restore};
pub use segment::{FORMAT, SEGMENT_HEADER_BYTES, SegmentHeader};
pub use venue::JournaledVenue;
pub use writer::{Journal, JournalConfig, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, WhenLate};

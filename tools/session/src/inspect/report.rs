//! What a capture holds, as one object: printed as JSON, as tables, or drawn as HTML.

use super::clock::OffsetSummary;
use crate::format::{clock_utc, date_utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Version of the report's shape; it grows when a field changes its meaning or goes.
pub const SCHEMA: &str = "chronos.inspect/1";

/// What captures hold. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether the files were read to their ends; not where a limit stopped it.
    pub is_complete: bool,
    /// Records read: lines, packets, binary records.
    pub records: u64,
    /// Of them, those that could not be read.
    pub malformed: u64,
    /// First and last receive time.
    pub received: Option<Span>,
    /// The files, in the order they are read within their feed.
    pub files: Vec<FileInspection>,
    /// The feeds: files that continue each other are one.
    pub feeds: Vec<FeedInspection>,
    /// The instruments, those of most messages first.
    pub instruments: Vec<InstrumentInspection>,
    /// Messages of instruments beyond [`super::TRACKED_MAX`], which were not followed.
    pub untracked_messages: u64,
    /// Instruments whose book was not followed, because there are more than [`super::BOOKS_MAX`].
    pub books_not_followed: u64,
    /// Where books broke and feeds lost messages, in order of time.
    pub incidents: Vec<Incident>,
    /// Incidents beyond [`super::INCIDENTS_MAX`].
    pub incidents_omitted: u64,
    /// Files of folders that were passed over, and why.
    pub skipped: Vec<String>,
    /// What a user of these files should know, with what to do about it.
    pub warnings: Vec<Warning>,
}

/// A stretch of time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Span {
    /// First instant.
    pub first_ns: i64,
    /// Last instant.
    pub last_ns: i64,
    /// The first in words, UTC.
    pub first_utc: String,
    /// The last in words, UTC.
    pub last_utc: String,
}

impl Span {
    /// Of two instants, in any order.
    pub fn of(one: i64, other: i64) -> Span {
        let (first_ns, last_ns) = (one.min(other), one.max(other));
        Span { first_ns, last_ns, first_utc: utc(first_ns), last_utc: utc(last_ns) }
    }

    /// Its length in nanoseconds.
    pub fn length_ns(&self) -> u64 {
        self.last_ns.abs_diff(self.first_ns)
    }
}

/// Date and time of day in UTC, to the millisecond.
pub fn utc(unix_ns: i64) -> String {
    format!("{} {}", date_utc(unix_ns), clock_utc(unix_ns, 3))
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct FileInspection {
    /// Its path, as given or found.
    pub path: String,
    /// Its feed, as an index.
    pub feed: usize,
    /// Its format.
    pub format: &'static str,
    /// How it is cut into records.
    pub framing: &'static str,
    /// Whether its day is known; where not, its times are counted from 1970.
    pub has_date: bool,
    /// `gzip`, `zstd`, `xz`, `zip` or `none`.
    pub compression: &'static str,
    /// The venue its content tells of.
    pub venue: &'static str,
    /// Size on disk.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
    /// Of them, those that could not be read.
    pub malformed: u64,
    /// The first of those.
    pub first_malformed: Option<MalformedRecord>,
    /// First and last receive time.
    pub received: Option<Span>,
    /// Unit in which receive times are written; `none` where there are none.
    pub time_unit: String,
    /// Whose clock the receive times are of.
    pub receive_clock: ReceiveClock,
    /// Records received earlier than the one before them.
    pub time_reversals: u64,
    /// What cut it short, if anything did.
    pub damage: Option<String>,
}

/// Whose clock receive times are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiveClock {
    /// The recorder's.
    Recorder,
    /// The file has none: the exchange's own times stand in for them.
    Exchange,
    /// The file has no times at all: a record counts as a millisecond.
    None,
}

/// A record that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MalformedRecord {
    /// Its number in the file, from 1.
    pub record: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// One feed.
#[derive(Clone, Debug, Serialize)]
pub struct FeedInspection {
    /// The venue.
    pub venue: &'static str,
    /// Records read.
    pub records: u64,
    /// Receive time less exchange time over all its messages (of an event of several, the last); absent where one of them is missing.
    pub clock_offset: Option<OffsetSummary>,
    /// Times it lost messages, as the numbers of its packets tell.
    pub gaps: u64,
    /// Messages lost.
    pub messages_lost: u64,
    /// Times its numbering began anew.
    pub restarts: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Messages that are known and of no use to a book, by what they are.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Messages that do not say whose they are, where it could be several.
    pub without_symbol: u64,
    /// The longest time between two records.
    pub longest_silence: Option<Span>,
}

/// One instrument.
#[derive(Clone, Debug, Serialize)]
pub struct InstrumentInspection {
    /// The venue.
    pub venue: &'static str,
    /// The venue's symbol.
    pub symbol: String,
    /// Its messages.
    pub messages: u64,
    /// The same by kind; kinds of which there is none are left out.
    pub kinds: BTreeMap<&'static str, u64>,
    /// First and last time of the exchange.
    pub exchange_time: Option<Span>,
    /// Receive time less exchange time; absent where one of them is missing.
    pub clock_offset: Option<OffsetSummary>,
    /// Trade ids left out, on venues that number trades without holes.
    pub trade_ids_missing: Option<u64>,
    /// Messages with the number of an earlier one.
    pub repeated: u64,
    /// Its book; absent where it has none, or it was not followed.
    pub book: Option<BookInspection>,
}

impl InstrumentInspection {
    /// Venue and symbol, in words.
    pub fn name(&self) -> String {
        let symbol = if self.symbol.is_empty() { "(no symbol)" } else { &self.symbol };
        format!("{} {symbol}", self.venue)
    }
}

/// A book at the end, and what happened to it.
#[derive(Clone, Debug, Serialize)]
pub struct BookInspection {
    /// Whether it may be used at the end.
    pub state: SyncState,
    /// Why not, where it may not.
    pub reason: Option<String>,
    /// Best bid; absent with its quantity where there is none.
    pub bid: Option<String>,
    /// Its quantity.
    pub bid_qty: Option<String>,
    /// Best ask; absent with its quantity where there is none.
    pub ask: Option<String>,
    /// Its quantity.
    pub ask_qty: Option<String>,
    /// The update id it stands at; 0 where the venue sends none.
    pub last_id: u64,
    /// Breaks in the chain of update ids, and messages its feed lost.
    pub gaps: u64,
    /// Times it came back into sync.
    pub resyncs: u64,
    /// Times the feed's numbering began anew and the book with it.
    pub restarts: u64,
    /// Times bid and ask touched or crossed after a whole message.
    pub crossed: u64,
    /// Checksums compared.
    pub checksums_compared: u64,
    /// Checksums that differ.
    pub checksum_mismatches: u64,
    /// Changes of orders that are not in the book.
    pub unknown_orders: u64,
    /// Order messages that contradict the book.
    pub contradictions: u64,
    /// Orders kept out of the book for a while because they would have crossed it.
    pub withheld: u64,
    /// Messages older than the book.
    pub old: u64,
    /// Snapshots that were older than the changes at hand.
    pub snapshots_too_old: u64,
    /// Times a fixed buffer was too small.
    pub overruns: u64,
}

/// Whether a book may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// It is the venue's.
    InSync,
    /// It was, and something was lost.
    OutOfSync,
    /// It never was.
    NeverInSync,
}

/// A moment at which something was lost or began anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Incident {
    /// Receive time.
    pub at_ns: i64,
    /// The same in words, UTC.
    pub at_utc: String,
    /// Whose book, as an index of [`Inspection::instruments`]; absent where the whole feed is concerned.
    pub instrument: Option<usize>,
    /// The feed, as an index.
    pub feed: usize,
    /// What happened.
    #[serde(flatten)]
    pub kind: IncidentKind,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum IncidentKind {
    /// Update ids of a book do not continue.
    BookGap,
    /// Bid and ask of a book touched or crossed.
    BookCrossed,
    /// A checksum differs from the book's.
    BookChecksum,
    /// A fixed buffer was too small for a book.
    BookOverrun,
    /// A feed lost messages.
    FeedGap {
        /// Number of the first message lost.
        first: u64,
        /// Number of the last message lost.
        last: u64,
    },
    /// A feed's numbering began anew.
    FeedRestart {
        /// The number expected.
        expected: u64,
        /// The one that came.
        received: u64,
    },
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            IncidentKind::BookGap => f.write_str("update ids break off"),
            IncidentKind::BookCrossed => f.write_str("bid and ask crossed"),
            IncidentKind::BookChecksum => f.write_str("checksum differs"),
            IncidentKind::BookOverrun => f.write_str("more than a buffer holds"),
            IncidentKind::FeedGap { first, last } => write!(f, "messages {first} to {last} lost"),
            IncidentKind::FeedRestart { expected, received } => {
                write!(f, "numbering begins anew: {received} in place of {expected}")
            }
        }
    }
}

/// Something a user of the files should know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Warning {
    /// What kind of thing, for programs.
    pub kind: WarningKind,
    /// The file, feed or instrument.
    pub about: String,
    /// What was found, and what it means.
    pub text: String,
    /// What to do.
    pub remedy: &'static str,
}

/// The kinds of [`Warning`]s.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// The reading was stopped by a limit.
    Limited,
    /// A file of a folder was passed over.
    Skipped,
    /// A file that names no date.
    NoDate,
    /// A file is cut off or damaged.
    Damaged,
    /// Records that cannot be read.
    Malformed,
    /// A file without receive times.
    NoReceiveTimes,
    /// Receive times that go back.
    TimeReversals,
    /// The recorder's clock is behind the exchange's.
    ClockBehind,
    /// A long time without a record.
    Silence,
    /// A feed lost messages.
    FeedGaps,
    /// A feed's numbering began anew.
    FeedRestarts,
    /// A book that was never in sync.
    NeverInSync,
    /// A book that is out of sync at the end.
    OutOfSync,
    /// A chain of update ids with breaks.
    BookGaps,
    /// A book that crossed.
    Crossed,
    /// Checksums that differ.
    Checksums,
    /// Changes of orders that are not known, or that contradict the book.
    UnknownOrders,
    /// Snapshots that could not be joined.
    OldSnapshots,
    /// Buffers that were too small.
    Overruns,
    /// Trade ids left out.
    TradeIds,
    /// Messages that came again.
    Repeated,
    /// Messages that do not say whose they are.
    WithoutSymbol,
    /// Instruments that were not followed.
    NotFollowed,
}

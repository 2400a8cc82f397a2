//! Following a journal: a replay of the session's captures does again what the journal says came from outside, where it came, and
//! what the replay makes of it must be what the journal holds.

use super::JournalError;
use super::content::{Content, DroppedRecord};
use super::record::{Record, RecordKind};
use super::recovery::{JournalReader, Recovery};
use crate::decision::Control;
use crate::risk::{LimitChange, Origin};
use crate::topology::Overrun;
use chronos_market::{Frame, Timestamp, Window};
use std::collections::VecDeque;
use std::fmt;

/// A journal being followed. Records that the trade group makes by itself (orders, timers, states) are compared one by one; those
/// that came from outside (reports, what was done by hand, skipped frames, what the cold path was not told, when parameters took effect)
/// are told when it is their turn, which is where every record before them was made and as much was taken in as then.
#[derive(Debug)]
pub struct JournalFollower {
    reader: JournalReader,
    /// The record to be made next; `None` at the end.
    next: Option<OwnedRecord>,
    /// Indices of the windows whose parameters take effect from here on, in order. Those of other windows never do.
    windows: VecDeque<i64>,
    records_made: u64,
    difference: Option<Difference>,
}

/// A record with its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedRecord {
    /// What it holds.
    pub kind: RecordKind,
    /// Place in the journal.
    pub seq: u64,
    /// Logical time.
    pub recv_ns: i64,
    /// The content.
    pub payload: Vec<u8>,
}

/// The first difference between a replay and the journal it follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Place in the journal.
    pub seq: u64,
    /// What the journal holds there; `None` where it ends before.
    pub journal: Option<OwnedRecord>,
    /// What the replay made; `None` where it made nothing, though it was the journal's turn.
    pub replay: Option<OwnedRecord>,
}

/// What a record made by the replay is, beside the journal's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    Same,
    Different,
    /// The journal ended before.
    AtEnd,
}

/// What the journal has done by hand.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum JournaledHand {
    Control(Control),
    Limits(Vec<LimitChange>),
}

/// Where messages of a session were lost before they came to ingest, in order. Its captures do not tell, so whoever follows its journal has
/// the same said to the driver (`on_overrun`) when ingest has taken as many messages.
///
/// # Errors
/// [`JournalError::Io`] where a segment cannot be read any more.
pub fn overruns(journal: &Recovery) -> Result<Vec<Overrun>, JournalError> {
    let (mut reader, mut overruns) = (journal.reader(), Vec::new());
    while let Some(record) = reader.next()? {
        if let Some(Content::Overrun { source, messages }) = Content::of(&record) {
            overruns.push(Overrun { recv: Timestamp(record.recv_ns), source, messages });
        }
    }
    Ok(overruns)
}

impl OwnedRecord {
    fn of(record: &Record<'_>) -> OwnedRecord {
        let Record { kind, seq, recv_ns, payload } = *record;
        OwnedRecord { kind, seq, recv_ns, payload: payload.to_vec() }
    }

    /// The last field of what came from outside: its place among everything that was taken in.
    fn entry(&self) -> Option<u64> {
        self.payload.last_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Borrows it.
    pub fn as_record(&self) -> Record<'_> {
        Record { kind: self.kind, seq: self.seq, recv_ns: self.recv_ns, payload: &self.payload }
    }
}

impl fmt::Display for OwnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Content::of(&self.as_record()) {
            Some(content) => write!(f, "{content:?} at {}", self.recv_ns),
            None => write!(f, "{} {:02x?} at {}", self.kind.name(), self.payload, self.recv_ns),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tell = |record: &Option<OwnedRecord>| record.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        write!(f, "record {}: the journal has {}, the replay {}", self.seq, tell(&self.journal), tell(&self.replay))
    }
}

impl JournalFollower {
    /// Follows a journal from its first record that is not of the session's beginning.
    ///
    /// # Errors
    /// [`JournalError::Io`] where a segment cannot be read any more.
    pub fn new(recovery: &Recovery) -> Result<JournalFollower, JournalError> {
        let (mut reader, mut windows) = (recovery.reader(), VecDeque::new());
        while let Some(record) = reader.next()? {
            if let Some(Content::Parameters { window, .. }) = Content::of(&record) {
                windows.push_back(window);
            }
        }
        let mut follower = JournalFollower { reader: recovery.reader(), next: None, windows, records_made: 0, difference: None };
        follower.advance();
        let is_beginning =
            |kind: RecordKind| matches!(kind, RecordKind::SessionStart | RecordKind::Instrument | RecordKind::Capture);
        while follower.next.as_ref().is_some_and(|record| is_beginning(record.kind)) {
            follower.records_made += 1;
            follower.advance();
        }
        Ok(follower)
    }

    /// The first difference, if there was one.
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// Records made, those of the session's beginning among them.
    pub fn records_made(&self) -> u64 {
        self.records_made
    }

    /// When a report is to be taken in as the `entry`-th of everything, if it is.
    pub(crate) fn report_due(&self, entry: u64) -> Option<Timestamp> {
        let next = self.next.as_ref().filter(|next| next.kind == RecordKind::Report && next.entry() == Some(entry))?;
        Some(Timestamp(next.recv_ns))
    }

    /// What is to be done by hand by `until`, as the `entry`-th of everything, and when, if anything is.
    pub(crate) fn hand_due(&self, entry: u64, until: Timestamp) -> Option<(Timestamp, JournaledHand)> {
        let is_by_hand = |next: &&OwnedRecord| matches!(next.kind, RecordKind::Control | RecordKind::Limits);
        let next = self.next.as_ref().filter(is_by_hand)?;
        if next.entry() != Some(entry) || next.recv_ns > until.0 {
            return None;
        }
        let what = match Content::of(&next.as_record())? {
            Content::Control { control, .. } => JournaledHand::Control(control),
            Content::Limits { changes, .. } => JournaledHand::Limits(changes),
            _ => return None,
        };
        Some((Timestamp(next.recv_ns), what))
    }

    /// Whether the parameters of this window, the next in order, take effect at some time.
    pub(crate) fn takes(&self, window: &Window) -> bool {
        self.windows.front() == Some(&window.index)
    }

    /// When parameters take effect next, if nothing else comes before them.
    pub(crate) fn parameters_due(&self) -> Option<Timestamp> {
        let next = self.next.as_ref().filter(|next| next.kind == RecordKind::Parameters)?;
        Some(Timestamp(next.recv_ns))
    }

    /// Whether this frame is to be skipped.
    pub(crate) fn skips(&self, frame: &Frame) -> bool {
        let Some(next) = self.next.as_ref().filter(|next| next.kind == RecordKind::Skip) else { return false };
        Content::of(&next.as_record()) == Some(Content::Skip { seq: frame.seq, instrument: frame.instrument })
    }

    /// Whether the cold path is not to be told this.
    pub(crate) fn drops(&self, record: DroppedRecord) -> bool {
        let Some(next) = self.next.as_ref().filter(|next| next.kind == RecordKind::Dropped) else { return false };
        Content::of(&next.as_record()) == Some(Content::Dropped(record))
    }

    /// Compares a record that the replay makes with the journal's next one.
    pub(crate) fn compare(&mut self, kind: RecordKind, recv_ns: i64, payload: &[u8]) -> Comparison {
        let Some(next) = &self.next else { return Comparison::AtEnd };
        if (next.kind, next.recv_ns, next.payload.as_slice()) != (kind, recv_ns, payload) {
            let replay = OwnedRecord { kind, seq: next.seq, recv_ns, payload: payload.to_vec() };
            self.difference.get_or_insert(Difference { seq: next.seq, journal: Some(next.clone()), replay: Some(replay) });
            return Comparison::Different;
        }
        if kind == RecordKind::Parameters {
            self.windows.pop_front();
        }
        self.records_made += 1;
        self.advance();
        Comparison::Same
    }

    /// Notes that the replay did not do what was due.
    pub(crate) fn missed(&mut self) {
        let seq = self.next.as_ref().map_or(0, |next| next.seq);
        self.difference.get_or_insert(Difference { seq, journal: self.next.clone(), replay: None });
    }

    fn advance(&mut self) {
        // A segment that cannot be read any more ends the journal here; the replay then tells where.
        let next = self.reader.next().ok().flatten();
        // So does what stopped a session by an error, which a replay does not have.
        let is_stop = |record: &Record<'_>| match Content::of(record) {
            Some(Content::SessionEnd(end)) => end.error != 0,
            Some(Content::State(change)) => change.origin == Origin::Session,
            _ => false,
        };
        self.next = next.filter(|record| !is_stop(record)).map(|record| OwnedRecord::of(&record));
    }
}

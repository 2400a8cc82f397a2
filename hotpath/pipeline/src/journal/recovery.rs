//! Reading a journal: what of it is whole, what is not, and the records up to there.

use super::JournalError;
use super::record::{Record, RecordError, RecordKind, read_record};
use super::segment::{HeaderRead, SEGMENT_HEADER_BYTES, SegmentHeader, segment_number};
use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};

/// What of a journal is whole: every record from the first to the last before any damage. Nothing is changed on the disk.
///
/// A record counts where its checksum agrees and its `seq` is the one that follows. The first place where that fails ends the
/// journal: what comes after is counted, and never used, since a record in between is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// The session that wrote it; 0 where not even the first header is whole.
    pub session: u64,
    /// Length its segments were made with.
    pub segment_bytes: u64,
    /// `seq` of the first record, 1 unless a later segment alone was opened.
    pub first_seq: u64,
    /// Whole records.
    pub records: u64,
    /// Bytes of whole records and of the headers before them.
    pub bytes: u64,
    /// Whether the last whole record ends the session. Where it does not, the session was cut off, by a crash or the damage.
    pub is_closed: bool,
    /// What is damaged, if anything is.
    pub damage: Option<Damage>,
    /// Each segment with whole records, and up to where they go.
    segments: Vec<WholePart>,
}

/// Where a journal stops being whole, and what lies beyond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// The first byte that does not belong to a whole record.
    pub offset: u64,
    /// What is wrong there.
    pub reason: DamageReason,
    /// Bytes from there on that are not used, of this segment and of those after it; ends of zeros are not counted.
    pub bytes_dropped: u64,
    /// Whole records among them.
    pub whole_records_dropped: u64,
    /// Records that were written after the last whole one, as far as what is left proves it; the whole ones dropped are among them.
    pub records_lost: u64,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamageReason {
    /// A segment's header.
    Header,
    /// The file ends before the record does, or before the segment did.
    Truncated,
    /// A checksum does not agree.
    Checksum,
    /// Zeros, and something behind them.
    Hole,
    /// A whole record that is not the next one.
    Sequence {
        /// The next one.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// The next segment (or the first) is missing, of another session, or begins with another record than the next one.
    Segment,
    /// Something follows the record that ends the session.
    AfterEnd,
}

impl fmt::Display for DamageReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageReason::Header => f.write_str("the segment's header is damaged"),
            DamageReason::Truncated => f.write_str("the file is cut off"),
            DamageReason::Checksum => f.write_str("the checksum does not agree"),
            DamageReason::Hole => f.write_str("zeros, and more behind them"),
            DamageReason::Sequence { expected, found } => write!(f, "record {found} stands where {expected} should"),
            DamageReason::Segment => f.write_str("the segment that continues here is missing, or of another session"),
            DamageReason::AfterEnd => f.write_str("something follows the end of the session"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, byte {}: {}; bytes dropped after it: {}, whole records among them: {}, records known to be lost: {}",
            self.path.display(),
            self.offset,
            self.reason,
            self.bytes_dropped,
            self.whole_records_dropped,
            self.records_lost
        )
    }
}

/// A segment's beginning that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
struct WholePart {
    path: PathBuf,
    seed: u32,
    /// Where the last whole record ends.
    end: usize,
}

impl Recovery {
    /// Reads a journal: the folder of its segments, a folder with that in a sub-folder `journal`, or one segment.
    ///
    /// # Errors
    /// [`JournalError`] where there is none, a file cannot be read, or it is of a version or holds a kind of record that this build
    /// does not know. Damage is no error.
    pub fn open(path: &Path) -> Result<Recovery, JournalError> {
        let mut scan = Scan { is_folder: path.is_dir(), ..Scan::default() };
        for path in segment_paths(path)? {
            let bytes = std::fs::read(&path).map_err(|source| JournalError::Io { path: path.clone(), source })?;
            scan.segment(path, &bytes)?;
        }
        if scan.last.is_none() && !scan.is_folder && segment_number(path).is_none() {
            // Neither its name nor its content is a segment's.
            return Err(JournalError::NoJournal(path.to_owned()));
        }
        Ok(scan.finish())
    }

    /// `seq` of the last whole record; one less than `first_seq` where there is none.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + self.records - 1
    }

    /// Segments with whole records.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Reads the whole records in order.
    pub fn reader(&self) -> JournalReader {
        JournalReader { parts: self.segments.clone().into(), seed: 0, bytes: Vec::new(), at: 0 }
    }
}

/// The whole records of a journal in order, one segment in memory at a time.
#[derive(Clone, Debug)]
pub struct JournalReader {
    parts: VecDeque<WholePart>,
    seed: u32,
    /// The segment at hand, as far as it is whole.
    bytes: Vec<u8>,
    at: usize,
}

impl JournalReader {
    /// The next record; `None` after the last.
    ///
    /// # Errors
    /// [`JournalError::Io`] where a segment cannot be read any more.
    #[expect(clippy::should_implement_trait, reason = "a record borrows from the reader, which an iterator cannot give")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        while self.at >= self.bytes.len() {
            let Some(part) = self.parts.pop_front() else { return Ok(None) };
            self.bytes = std::fs::read(&part.path).map_err(|source| JournalError::Io { path: part.path, source })?;
            self.bytes.truncate(part.end);
            (self.seed, self.at) = (part.seed, SEGMENT_HEADER_BYTES);
        }
        // It was whole when the journal was opened; a file changed since then ends here.
        let Ok((record, bytes)) = read_record(&self.bytes[self.at..], self.seed) else { return Ok(None) };
        self.at += bytes;
        Ok(Some(record))
    }
}

/// Segments in order of their numbers.
fn segment_paths(path: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let failed = |source| JournalError::Io { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(number) = segment_number(&path) {
            found.push((number, path));
        }
    }
    if found.is_empty() {
        let inside = path.join("journal");
        return if inside.is_dir() { segment_paths(&inside) } else { Err(JournalError::NoJournal(path.to_owned())) };
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// A journal being read, segment by segment.
#[derive(Default)]
struct Scan {
    /// Whether every segment is to be there, from the first.
    is_folder: bool,
    parts: Vec<WholePart>,
    /// Header of the last whole part.
    last: Option<SegmentHeader>,
    first_seq: u64,
    /// `seq` of the record that is to come next.
    next_seq: u64,
    bytes: u64,
    is_closed: bool,
    damage: Option<Damage>,
    /// The last segment ends in front of its length, where no end of the session excuses it.
    cut_off: Option<(PathBuf, u64)>,
    /// A segment that was never used, which only the last ones may be.
    unused: bool,
}

impl Scan {
    fn segment(&mut self, path: PathBuf, bytes: &[u8]) -> Result<(), JournalError> {
        let header = match SegmentHeader::read(bytes) {
            HeaderRead::Unused if bytes.iter().all(|&byte| byte == 0) => {
                self.unused = true;
                return Ok(());
            }
            HeaderRead::Version(found) => return Err(JournalError::Version { path, found }),
            HeaderRead::Unused | HeaderRead::Damaged => None,
            HeaderRead::Whole(header) => Some(header),
        };
        if self.damage.is_some() {
            self.drop_rest(bytes, 0, header);
            return Ok(());
        }
        if let Some((path, offset)) = self.cut_off.take() {
            self.damage_at(path, offset, DamageReason::Truncated);
        } else if let Some(last) = self.last
            && (self.unused || self.is_closed || header.is_some_and(|header| !self.continues(last, header)))
        {
            let part = self.parts.last().map(|part| (part.path.clone(), part.end as u64)).unwrap_or_default();
            self.damage_at(part.0, part.1, DamageReason::Segment);
        }
        let is_first = self.last.is_none();
        if self.damage.is_none() && is_first && self.is_folder && header.is_some_and(|header| header.number != 1) {
            self.damage_at(path.clone(), 0, DamageReason::Segment);
        }
        let Some(header) = header.filter(|_| self.damage.is_none()) else {
            if self.damage.is_none() {
                self.damage_at(path, 0, DamageReason::Header);
            }
            self.drop_rest(bytes, 0, header);
            return Ok(());
        };
        if is_first {
            (self.first_seq, self.next_seq) = (header.first_seq, header.first_seq);
        }
        self.last = Some(header);
        self.records(path, bytes, header)
    }

    fn continues(&self, last: SegmentHeader, header: SegmentHeader) -> bool {
        (header.number, header.session, header.first_seq) == (last.number.wrapping_add(1), last.session, self.next_seq)
    }

    /// Takes the records of a segment up to the first that is not whole.
    fn records(&mut self, path: PathBuf, bytes: &[u8], header: SegmentHeader) -> Result<(), JournalError> {
        let mut at = SEGMENT_HEADER_BYTES;
        let fault = loop {
            match read_record(&bytes[at..], header.seed()) {
                Ok((record, _)) if record.seq != self.next_seq => {
                    break Some(DamageReason::Sequence { expected: self.next_seq, found: record.seq });
                }
                Ok(_) if self.is_closed => break Some(DamageReason::AfterEnd),
                Ok((record, length)) => {
                    self.is_closed = record.kind == RecordKind::SessionEnd;
                    self.next_seq += 1;
                    at += length;
                }
                Err(RecordError::End) if bytes[at..].iter().all(|&byte| byte == 0) => break None,
                Err(RecordError::End) => break Some(DamageReason::Hole),
                Err(RecordError::Truncated) => break Some(DamageReason::Truncated),
                Err(RecordError::Corrupt) => break Some(DamageReason::Checksum),
                Err(RecordError::Unknown(kind)) => return Err(JournalError::UnknownKind { path, offset: at as u64, kind }),
            }
        };
        self.bytes += at as u64;
        self.parts.push(WholePart { path: path.clone(), seed: header.seed(), end: at });
        match fault {
            Some(reason) => {
                self.damage_at(path, at as u64, reason);
                self.drop_rest(bytes, at, Some(header));
            }
            None if !self.is_closed && (bytes.len() as u64) < header.segment_bytes => self.cut_off = Some((path, at as u64)),
            None => {}
        }
        Ok(())
    }

    fn damage_at(&mut self, path: PathBuf, offset: u64, reason: DamageReason) {
        let (bytes_dropped, whole_records_dropped, records_lost) = (0, 0, 0);
        self.damage = Some(Damage { path, offset, reason, bytes_dropped, whole_records_dropped, records_lost });
    }

    /// Counts what of a segment is not used, from `from` on.
    fn drop_rest(&mut self, bytes: &[u8], from: usize, header: Option<SegmentHeader>) {
        let Some(damage) = &mut self.damage else { return };
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(from, |last| (last + 1).max(from));
        damage.bytes_dropped += (end - from) as u64;
        let next_seq = self.next_seq.max(1);
        let lost_until = |seq: u64| seq.saturating_add(1).saturating_sub(next_seq);
        let is_own = |header: &SegmentHeader| self.last.is_none_or(|last| last.session == header.session);
        let header = header.filter(is_own);
        // A damaged header's fields may still be right, and where they are not, it was to continue the segment before it.
        let as_read = bytes.first_chunk().map(SegmentHeader::of).filter(is_own);
        let as_expected = self.last.map(|last| SegmentHeader { number: last.number.wrapping_add(1), first_seq: next_seq, ..last });
        let candidates = match header {
            Some(header) => [Some(header), None],
            None => [as_read, as_expected],
        };
        let counts = candidates.into_iter().flatten().map(|header| whole_records(&bytes[..end], from, header.seed(), next_seq));
        if let Some((count, last)) = counts.max() {
            damage.whole_records_dropped += count;
            damage.records_lost = damage.records_lost.max(if count > 0 { lost_until(last) } else { 0 });
        }
        // A record that still says its number had at least begun; a segment that begins later tells of those before it.
        if from > 0 && bytes.get(from + 8..from + 16) == Some(&next_seq.to_le_bytes()[..]) {
            damage.records_lost = damage.records_lost.max(1);
        }
        if let Some(header) = header.filter(|_| from == 0 && self.last.is_some()) {
            damage.records_lost = damage.records_lost.max(lost_until(header.first_seq.saturating_sub(1)));
        }
    }

    fn finish(mut self) -> Recovery {
        if let Some((path, offset)) = self.cut_off.take() {
            self.damage_at(path, offset, DamageReason::Truncated);
        }
        let header = self.last;
        let first_seq = self.first_seq.max(1);
        Recovery {
            session: header.map_or(0, |header| header.session),
            segment_bytes: header.map_or(0, |header| header.segment_bytes),
            first_seq,
            records: self.next_seq.max(first_seq) - first_seq,
            bytes: self.bytes,
            is_closed: self.is_closed && self.damage.is_none(),
            damage: self.damage,
            segments: self.parts,
        }
    }
}

/// Whole records from `from` on, and the `seq` of the last: those of `seed`, with a `seq` from `next_seq` on.
fn whole_records(bytes: &[u8], from: usize, seed: u32, next_seq: u64) -> (u64, u64) {
    let (mut at, mut count, mut last) = (from.next_multiple_of(8).max(SEGMENT_HEADER_BYTES), 0, 0);
    while at < bytes.len() {
        match read_record(&bytes[at..], seed) {
            Ok((record, length)) => {
                if record.seq >= next_seq {
                    count += 1;
                    last = record.seq.max(last);
                }
                at += length;
            }
            Err(_) => at += 8,
        }
    }
    (count, last)
}

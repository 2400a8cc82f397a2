//! The writing end of a journal.

use super::keeper::{Ending, JournalSummary, Keeper, Position, Shared};
use super::record::{PAYLOAD_MAX, Record, RecordKind, record_bytes, write_record};
use super::segment::{PAGE, SEGMENT_HEADER_BYTES, Segment, SegmentHeader, segment_number};
use super::{AppendError, JournalError};
use crate::topology::Waiting;
use memmap2::MmapRaw;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The least a segment may have: its header and the longest record, in whole pages.
pub const SEGMENT_BYTES_MIN: u64 = (SEGMENT_HEADER_BYTES + record_bytes(PAYLOAD_MAX)).next_multiple_of(PAGE) as u64;
/// The most a segment may have.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 36;
/// Mappings given back and not yet taken by the keeper; there are never so many.
const RETIRED_MAX: usize = 64;

/// What a journal is made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalConfig {
    /// Its folder: made where it is missing; it must hold no journal yet.
    pub folder: PathBuf,
    /// Identity of the session, part of every checksum. Different sessions should differ in it.
    pub session: u64,
    /// Length of a segment: held between [`SEGMENT_BYTES_MIN`] and [`SEGMENT_BYTES_MAX`] and rounded up to whole pages.
    pub segment_bytes: u64,
    /// How often what was appended is synced to the disk.
    pub sync_interval: Duration,
    /// What to do where the next segment is not ready.
    pub when_late: WhenLate,
}

/// What [`Journal::append`] does where the segment is full and the next one not yet prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenLate {
    /// Fails with [`AppendError::Late`]: a live session must not wait for a disk.
    Fail,
    /// Waits: a replay runs faster than any market.
    Wait,
}

/// A journal that is being written.
///
/// A record is copied into the mapping of the segment in use: the page cache has it when [`Journal::append`] returns, so it survives
/// the process; the disk has it within about [`JournalConfig::sync_interval`], so until then a power loss can cost it. A thread of
/// the journal's own makes and syncs segments; `append` makes no system call and takes no memory.
///
/// Dropping it is [`Journal::leave`], and nobody is told what went wrong.
#[derive(Debug)]
pub struct Journal {
    /// The segment in use.
    map: Arc<MmapRaw>,
    number: u32,
    used: usize,
    seed: u32,
    seq: u64,
    session: u64,
    when_late: WhenLate,
    shared: Arc<Shared>,
    ready: rtrb::Consumer<Arc<MmapRaw>>,
    retired: rtrb::Producer<Arc<MmapRaw>>,
    /// Taken when the journal ends.
    keeper: Option<JoinHandle<Result<JournalSummary, JournalError>>>,
}

impl Journal {
    /// Makes a journal: its first segment is prepared now, the next one meanwhile.
    ///
    /// # Errors
    /// [`JournalError`] where the folder holds a journal, a file cannot be made, or the system gives no thread.
    pub fn create(config: &JournalConfig) -> Result<Journal, JournalError> {
        let segment_bytes = config.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).next_multiple_of(PAGE as u64);
        let config = JournalConfig { segment_bytes, ..config.clone() };
        make_folder(&config.folder)?;
        let first = Segment::prepare(&config.folder, 1, segment_bytes as usize)?;
        let (number, map) = (first.number, Arc::clone(&first.map));
        let shared = Arc::new(Shared::new(Position { number, used: 0 }));
        let (ready, ready_out) = rtrb::RingBuffer::new(1);
        let (retired, retired_out) = rtrb::RingBuffer::new(RETIRED_MAX);
        let mut journal = Journal {
            map,
            number,
            used: 0,
            seed: 0,
            seq: 0,
            session: config.session,
            when_late: config.when_late,
            shared: Arc::clone(&shared),
            ready: ready_out,
            retired,
            keeper: None,
        };
        journal.write_header();
        let keeper = Keeper::new(config, shared, first, ready, retired_out);
        let thread = std::thread::Builder::new().name("chronos-journal".into());
        journal.keeper = Some(thread.spawn(move || keeper.run()).map_err(JournalError::Thread)?);
        Ok(journal)
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`AppendError`]; nothing is written then.
    #[inline]
    pub fn append(&mut self, kind: RecordKind, recv_ns: i64, payload: &[u8]) -> Result<(), AppendError> {
        if self.shared.has_failed() {
            return Err(AppendError::Failed);
        }
        let record = Record { kind, seq: self.seq + 1, recv_ns, payload };
        let seed = self.seed;
        let bytes = match write_record(self.room(), seed, &record) {
            Some(bytes) => bytes,
            None => self.append_to_next(&record)?,
        };
        self.used += bytes;
        self.seq += 1;
        self.shared.publish(Position { number: self.number, used: self.used }, self.seq);
        Ok(())
    }

    /// Records appended.
    pub fn records(&self) -> u64 {
        self.seq
    }

    /// Ends the journal: syncs everything and cuts the last segment to what is used of it.
    ///
    /// # Errors
    /// [`JournalError`] of anything that went wrong since the journal was made.
    pub fn close(mut self) -> Result<JournalSummary, JournalError> {
        self.end(Ending::Closed).unwrap_or(Err(JournalError::Panicked))
    }

    /// Ends the journal without cutting it: everything is synced, and the last segment keeps its length, as after a crash.
    ///
    /// # Errors
    /// [`JournalError`] of anything that went wrong since the journal was made.
    pub fn leave(mut self) -> Result<JournalSummary, JournalError> {
        self.end(Ending::Left).unwrap_or(Err(JournalError::Panicked))
    }

    /// The part of the segment that is not used yet.
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has `len` bytes and lives as long as `self.map`. From `used` on they belong to this value alone: the
        // keeper never reads or writes them, it only tells the kernel what to do with their pages.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.used), self.map.len() - self.used) }
    }

    fn write_header(&mut self) {
        let header = SegmentHeader {
            number: self.number,
            session: self.session,
            first_seq: self.seq + 1,
            segment_bytes: self.map.len() as u64,
        };
        // A segment is never shorter than its header.
        if let Some(room) = self.room().first_chunk_mut() {
            *room = header.to_bytes();
        }
        self.seed = header.seed();
        self.used = SEGMENT_HEADER_BYTES;
        self.shared.publish(Position { number: self.number, used: self.used }, self.seq);
    }

    #[cold]
    fn append_to_next(&mut self, record: &Record<'_>) -> Result<usize, AppendError> {
        if record.payload.len() > PAYLOAD_MAX {
            return Err(AppendError::TooLong);
        }
        let mut idle = 0;
        let next = loop {
            match self.ready.pop() {
                Ok(next) => break next,
                Err(_) if self.ready.is_abandoned() => return Err(AppendError::Failed),
                Err(_) if self.when_late == WhenLate::Fail => return Err(AppendError::Late),
                Err(_) => {
                    if let Some(keeper) = &self.keeper {
                        keeper.thread().unpark();
                    }
                    // A thread of higher priority has to sleep for the keeper to run.
                    Waiting::Park.pause(idle);
                    idle = idle.saturating_add(1);
                }
            }
        };
        let full = std::mem::replace(&mut self.map, next);
        // Dropped by the keeper, so that nothing is unmapped here.
        let _ = self.retired.push(full);
        self.number += 1;
        self.used = 0;
        self.write_header();
        let seed = self.seed;
        // An empty segment has room for the longest record.
        write_record(self.room(), seed, record).ok_or(AppendError::TooLong)
    }

    fn end(&mut self, ending: Ending) -> Option<Result<JournalSummary, JournalError>> {
        let keeper = self.keeper.take()?;
        self.shared.end(ending);
        keeper.thread().unpark();
        Some(keeper.join().unwrap_or(Err(JournalError::Panicked)))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever wants to know what went wrong closes it.
        let _ = self.end(Ending::Left);
    }
}

/// Makes the folder, and refuses one that holds a journal.
fn make_folder(folder: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::Io { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        if segment_number(&entry.map_err(failed)?.path()).is_some() {
            return Err(JournalError::Exists(folder.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Recovery;
    use super::*;

    fn config(folder: &Path, when_late: WhenLate) -> JournalConfig {
        let sync_interval = Duration::from_millis(2);
        JournalConfig { folder: folder.join("j"), session: 5, segment_bytes: SEGMENT_BYTES_MIN, sync_interval, when_late }
    }

    fn payload(seq: u64) -> Vec<u8> {
        vec![seq as u8; (seq % 300) as usize]
    }

    /// Reads everything back and compares; gives the number of segments.
    fn check(folder: &Path, records: u64, is_closed: bool) -> usize {
        let recovery = Recovery::open(&folder.join("j")).unwrap();
        assert_eq!((recovery.records, recovery.damage.as_ref(), recovery.is_closed), (records, None, is_closed));
        let mut reader = recovery.reader();
        for seq in 1..=records {
            let record = reader.next().unwrap().expect("as many as were counted");
            assert_eq!((record.seq, record.recv_ns, record.payload), (seq, seq as i64, payload(seq).as_slice()));
        }
        assert_eq!(reader.next().unwrap(), None);
        recovery.segments()
    }

    fn append(journal: &mut Journal, seq: u64, kind: RecordKind) {
        journal.append(kind, seq as i64, &payload(seq)).unwrap();
    }

    #[test]
    fn segments_follow_one_another_and_closing_cuts_the_last_to_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&config(folder.path(), WhenLate::Wait)).unwrap();
        for seq in 1..=999 {
            append(&mut journal, seq, RecordKind::Report);
        }
        append(&mut journal, 1_000, RecordKind::SessionEnd);
        assert_eq!(journal.append(RecordKind::Order, 0, &[0; PAYLOAD_MAX + 1]), Err(AppendError::TooLong));
        let summary = journal.close().unwrap();
        let segments = check(folder.path(), 1_000, true);
        assert_eq!((summary.records, summary.segments as usize), (1_000, segments));
        assert!(segments > 15, "{segments}");
        let lengths: Vec<u64> =
            std::fs::read_dir(folder.path().join("j")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(lengths.len(), segments, "nothing prepared is left");
        assert_eq!(lengths.iter().sum::<u64>(), summary.bytes);
        assert_eq!(lengths.iter().filter(|&&length| length == SEGMENT_BYTES_MIN).count(), segments - 1);
        // Each is synced when it is full at the latest, so less was at stake than the whole.
        assert!(summary.syncs > 0 && summary.unsynced_records_max > 0 && summary.unsynced_records_max <= 1_000);
        assert!(matches!(Journal::create(&config(folder.path(), WhenLate::Wait)), Err(JournalError::Exists(_))));
    }

    #[test]
    fn a_journal_that_is_left_is_whole_and_keeps_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&config(folder.path(), WhenLate::Wait)).unwrap();
        for seq in 1..=100 {
            append(&mut journal, seq, RecordKind::Report);
        }
        drop(journal);
        let segments = check(folder.path(), 100, false);
        let last = super::super::segment::segment_path(&folder.path().join("j"), segments as u32);
        assert_eq!(std::fs::metadata(last).unwrap().len(), SEGMENT_BYTES_MIN);
    }

    /// A keeper that looks once an hour has prepared at most the second segment when the first two are full.
    #[test]
    fn a_segment_that_is_not_prepared_in_time_is_told_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let config = JournalConfig { sync_interval: Duration::from_secs(3_600), ..config(folder.path(), WhenLate::Fail) };
        let mut journal = Journal::create(&config).unwrap();
        let mut seq = 0;
        let error = loop {
            if let Err(error) = journal.append(RecordKind::Report, seq + 1, &payload(seq as u64 + 1)) {
                break error;
            }
            seq += 1;
        };
        assert_eq!(error, AppendError::Late);
        assert_eq!(journal.records(), seq as u64);
        assert!(error.to_string().contains("journal.segment_mib"));
        drop(journal);
        assert!(check(folder.path(), seq as u64, false) <= 2);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("j"), b"a file").unwrap();
        let error = Journal::create(&config(folder.path(), WhenLate::Wait)).expect_err("no folder").to_string();
        assert!(error.contains(&folder.path().join("j").display().to_string()), "{error}");
    }

    /// The keeper fails where the folder goes, and says so at the next record and at the end.
    #[test]
    fn a_keeper_that_failed_stops_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&config(folder.path(), WhenLate::Wait)).unwrap();
        // Whenever this happens, one of the next segments cannot be made.
        while folder.path().join("j").exists() {
            // Fails where the keeper makes a file meanwhile.
            let _ = std::fs::remove_dir_all(folder.path().join("j"));
        }
        let mut seq = 0;
        let error = loop {
            seq += 1;
            if let Err(error) = journal.append(RecordKind::Report, 1, &payload(seq)) {
                break error;
            }
        };
        assert_eq!(error, AppendError::Failed);
        assert!(matches!(journal.close(), Err(JournalError::Io { .. })));
    }
}

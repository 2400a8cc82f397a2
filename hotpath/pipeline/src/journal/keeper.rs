//! The disk's part of a journal, on a thread of its own: makes the next segment before it is asked for, syncs what was appended,
//! and gives used mappings back to the system, so that whoever appends does none of it.

use super::segment::{PAGE, Segment, sync_folder};
use super::{JournalConfig, JournalError};
use memmap2::{Advice, MmapRaw};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bits of a position that count bytes within a segment.
const USED_BITS: u32 = 40;
/// Bytes ahead of the writer that are made writable again after a sync.
const AHEAD_BYTES: usize = 64 * PAGE;

/// What both threads see.
#[derive(Debug)]
pub(super) struct Shared {
    /// Where the next record goes: see [`Position`].
    position: AtomicU64,
    /// `seq` of the last record.
    records: AtomicU64,
    has_failed: AtomicBool,
    ending: AtomicU8,
}

/// A segment's number and the bytes used of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Position {
    pub(super) number: u32,
    pub(super) used: usize,
}

/// What is to become of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Ending {
    /// It goes on.
    No = 0,
    /// The writer went without closing it: it stays as it is.
    Left = 1,
    /// It is to be closed.
    Closed = 2,
}

impl Shared {
    pub(super) fn new(position: Position) -> Shared {
        let shared = Shared {
            position: AtomicU64::new(0),
            records: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            ending: AtomicU8::new(Ending::No as u8),
        };
        shared.publish(position, 0);
        shared
    }

    /// Says how far the writer is.
    #[inline]
    pub(super) fn publish(&self, position: Position, records: u64) {
        self.records.store(records, Ordering::Relaxed);
        // Released last: whoever sees the position sees the bytes before it and their count.
        self.position.store(u64::from(position.number) << USED_BITS | position.used as u64, Ordering::Release);
    }

    #[inline]
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self, ending: Ending) {
        self.ending.store(ending as u8, Ordering::Release);
    }

    fn written(&self) -> (Position, u64) {
        let packed = self.position.load(Ordering::Acquire);
        let position = Position { number: (packed >> USED_BITS) as u32, used: (packed & ((1 << USED_BITS) - 1)) as usize };
        (position, self.records.load(Ordering::Relaxed))
    }

    fn ending(&self) -> Ending {
        match self.ending.load(Ordering::Acquire) {
            0 => Ending::No,
            1 => Ending::Left,
            _ => Ending::Closed,
        }
    }
}

/// What became of a journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalSummary {
    /// Its folder.
    pub folder: PathBuf,
    /// Records in it.
    pub records: u64,
    /// Segments it fills.
    pub segments: u32,
    /// Bytes it takes, unused ends of segments included.
    pub bytes: u64,
    /// Most records that were appended and not yet on the disk: what a power loss at the worst moment could have cost.
    pub unsynced_records_max: u64,
    /// The same in bytes.
    pub unsynced_bytes_max: u64,
    /// Times something was synced.
    pub syncs: u64,
    /// The longest of them.
    pub sync_max: Duration,
}

/// The thread's work.
pub(super) struct Keeper {
    config: JournalConfig,
    shared: Arc<Shared>,
    /// Mappings ready to be written, one at a time.
    ready: rtrb::Producer<Arc<MmapRaw>>,
    /// Mappings that the writer is done with.
    retired: rtrb::Consumer<Arc<MmapRaw>>,
    /// Segments that are not wholly on the disk, oldest first: full ones, the one in use, the one prepared.
    open: VecDeque<Segment>,
    prepared: u32,
    synced: Position,
    synced_records: u64,
    summary: JournalSummary,
}

impl Keeper {
    pub(super) fn new(
        config: JournalConfig,
        shared: Arc<Shared>,
        first: Segment,
        ready: rtrb::Producer<Arc<MmapRaw>>,
        retired: rtrb::Consumer<Arc<MmapRaw>>,
    ) -> Keeper {
        let summary = JournalSummary {
            folder: config.folder.clone(),
            records: 0,
            segments: 1,
            bytes: 0,
            unsynced_records_max: 0,
            unsynced_bytes_max: 0,
            syncs: 0,
            sync_max: Duration::ZERO,
        };
        let (prepared, synced) = (first.number, Position { number: first.number, used: 0 });
        Keeper { config, shared, ready, retired, open: VecDeque::from([first]), prepared, synced, synced_records: 0, summary }
    }

    /// Works until the writer ends the journal.
    pub(super) fn run(mut self) -> Result<JournalSummary, JournalError> {
        // Also where the thread panics: nothing may be appended then that nobody will sync.
        let _guard = FailedWhenDropped(Arc::clone(&self.shared));
        let mut synced_at = Instant::now();
        loop {
            // Read before the position: what was appended before the end is synced below.
            let ending = self.shared.ending();
            if ending == Ending::No && !self.ready.is_full() {
                self.prepare_next()?;
            }
            if ending != Ending::No || synced_at.elapsed() >= self.config.sync_interval {
                self.sync()?;
                synced_at = Instant::now();
            }
            while self.retired.pop().is_ok() {}
            if ending != Ending::No {
                return self.finish(ending);
            }
            std::thread::park_timeout(self.config.sync_interval.saturating_sub(synced_at.elapsed()));
        }
    }

    fn prepare_next(&mut self) -> Result<(), JournalError> {
        let segment = Segment::prepare(&self.config.folder, self.prepared + 1, self.config.segment_bytes as usize)?;
        self.prepared = segment.number;
        // There is room: nobody else pushes.
        let _ = self.ready.push(Arc::clone(&segment.map));
        self.open.push_back(segment);
        Ok(())
    }

    /// Waits until the disk has everything appended so far.
    fn sync(&mut self) -> Result<(), JournalError> {
        let (until, records) = self.shared.written();
        if until == self.synced {
            return Ok(());
        }
        let begun = Instant::now();
        while let Some(segment) = self.open.front() {
            let from = if segment.number == self.synced.number { self.synced.used } else { 0 };
            let to = if segment.number == until.number { until.used } else { self.config.segment_bytes as usize };
            segment.map.flush_range(from, to - from).map_err(|source| JournalError::Io { path: segment.path.clone(), source })?;
            if segment.number == until.number {
                keep_writable(&segment.map, until.used);
                break;
            }
            // Full and on the disk. The writer has given its mapping back or will: the ring of retired ones holds it till then.
            self.open.pop_front();
        }
        // Until now a power loss could have cost all since the last sync, and what came meanwhile.
        let (written, written_records) = self.shared.written();
        let summary = &mut self.summary;
        summary.unsynced_records_max = summary.unsynced_records_max.max(written_records - self.synced_records);
        let bytes = self.config.bytes_until(written) - self.config.bytes_until(self.synced);
        summary.unsynced_bytes_max = summary.unsynced_bytes_max.max(bytes);
        summary.syncs += 1;
        summary.sync_max = summary.sync_max.max(begun.elapsed());
        (self.synced, self.synced_records) = (until, records);
        Ok(())
    }

    /// Removes what was prepared and not used; where the journal is closed, cuts the last segment to what is used of it.
    fn finish(mut self, ending: Ending) -> Result<JournalSummary, JournalError> {
        for segment in &self.open {
            let result = if segment.number > self.synced.number {
                std::fs::remove_file(&segment.path)
            } else if ending == Ending::Closed {
                segment.file.set_len(self.synced.used as u64).and_then(|()| segment.file.sync_all())
            } else {
                Ok(())
            };
            result.map_err(|source| JournalError::Io { path: segment.path.clone(), source })?;
        }
        sync_folder(&self.config.folder).map_err(|source| JournalError::Io { path: self.config.folder.clone(), source })?;
        self.summary.records = self.synced_records;
        self.summary.segments = self.synced.number;
        self.summary.bytes = self.config.bytes_until(self.synced);
        Ok(self.summary)
    }
}

impl JournalConfig {
    /// Bytes of a journal that has been written so far.
    fn bytes_until(&self, position: Position) -> u64 {
        u64::from(position.number - 1) * self.segment_bytes + position.used as u64
    }
}

/// A sync leaves its pages read-only until the next store, which then faults: faults them here instead.
fn keep_writable(map: &MmapRaw, used: usize) {
    #[cfg(target_os = "linux")]
    {
        let length = AHEAD_BYTES.min(map.len() - used);
        // A kernel before 5.14 does not know this advice; the writer then pays for a fault after each sync, and nothing else.
        let _ = map.advise_range(Advice::PopulateWrite, used, length);
    }
}

struct FailedWhenDropped(Arc<Shared>);

impl Drop for FailedWhenDropped {
    fn drop(&mut self) {
        self.0.has_failed.store(true, Ordering::Relaxed);
    }
}

//! A journal segment: a preallocated file, mapped into memory.

use super::record::{Record, RecordKind, write_record};
use memmap2::MmapMut;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// An open journal segment. A record is copied into the mapping: the page cache has it when `append` returns, so it survives the
/// process; the disk has it after [`MappedJournal::sync`], so until then a power loss can cost it.
#[derive(Debug)]
pub struct MappedJournal {
    path: PathBuf,
    map: MmapMut,
    used: usize,
    seq: u64,
}

/// Why a record was not journaled.
#[derive(Debug)]
pub enum JournalError {
    /// The segment is full.
    Full,
    /// The file could not be made, mapped or synced.
    Io(PathBuf, io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Full => f.write_str("the journal segment is full; raise `journal.segment_mib`"),
            JournalError::Io(path, error) => write!(f, "journal {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for JournalError {}

impl MappedJournal {
    /// Makes a new segment of `bytes` bytes, every page touched now so that none faults later.
    ///
    /// # Errors
    /// [`JournalError::Io`] where the file exists already or cannot be made.
    pub fn create(path: &Path, bytes: u64) -> Result<MappedJournal, JournalError> {
        let attempt = || {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
            file.set_len(bytes)?;
            // SAFETY: the file was made by this call alone and stays private to this process while it is mapped.
            let mut map = unsafe { MmapMut::map_mut(&file) }?;
            for page in map.chunks_mut(4_096) {
                page[0] = 0;
            }
            Ok(map)
        };
        let map = attempt().map_err(|error| JournalError::Io(path.to_path_buf(), error))?;
        Ok(MappedJournal { path: path.to_path_buf(), map, used: 0, seq: 0 })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`JournalError::Full`] where it does not fit; nothing is written then.
    #[inline]
    pub fn append(&mut self, kind: RecordKind, recv_ns: i64, payload: &[u8]) -> Result<(), JournalError> {
        let record = Record { kind, seq: self.seq + 1, recv_ns, payload };
        let room = self.map.get_mut(self.used..).unwrap_or_default();
        self.used += write_record(room, &record).ok_or(JournalError::Full)?;
        self.seq += 1;
        Ok(())
    }

    /// Waits until the disk has everything.
    ///
    /// # Errors
    /// [`JournalError::Io`] where the disk refuses.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.map.flush().map_err(|error| JournalError::Io(self.path.clone(), error))
    }

    /// Records appended.
    pub fn records(&self) -> u64 {
        self.seq
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RecordError, read_record};
    use super::*;

    #[test]
    fn what_was_appended_is_read_from_the_file_and_a_full_segment_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.bin");
        let mut journal = MappedJournal::create(&path, 200).unwrap();
        for number in 0..4u8 {
            journal.append(RecordKind::Report, i64::from(number), &[number; 20]).unwrap();
        }
        assert!(matches!(journal.append(RecordKind::Order, 9, &[0; 20]), Err(JournalError::Full)));
        journal.sync().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut at = 0;
        for number in 0..4u8 {
            let (record, length) = read_record(&bytes[at..]).unwrap();
            assert_eq!((record.seq, record.recv_ns, record.payload), (u64::from(number) + 1, i64::from(number), &[number; 20][..]));
            at += length;
        }
        assert_eq!(read_record(&bytes[at..]), Err(RecordError::End));
        assert!(MappedJournal::create(&path, 200).is_err(), "an existing journal is never overwritten");
    }
}

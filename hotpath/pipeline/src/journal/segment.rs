//! A segment: one file of a journal, its header, and its mapping.

use super::JournalError;
use memmap2::{MmapMut, MmapRaw};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a segment's header; records begin behind it.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Version of the layout of segments and records.
pub const FORMAT: u32 = 1;

/// First bytes of every segment.
const MAGIC: [u8; 8] = *b"chronosj";
/// What a segment's file is called: its number and this.
const EXTENSION: &str = "journal";
/// Bytes written at once while a segment is made.
const ZEROS: usize = 1 << 16;
/// Bytes of a page: the least that can be prefaulted at a time.
pub(super) const PAGE: usize = 4_096;

/// What stands at the beginning of a segment, little-endian:
///
/// ```text
/// 0        8        12       16        24          32              40                 60       64
/// ├ magic ─┼ format ┼ number ┼ session ┼ first_seq ┼ segment_bytes ┼ zeros ───────────┼ crc32c ┤
///  8 bytes  u32      u32      u64       u64         u64             20 bytes           u32
/// ```
///
/// The checksum is the seed of every record's checksum in the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Place among the journal's segments, from 1.
    pub number: u32,
    /// The session that wrote it.
    pub session: u64,
    /// `seq` of its first record.
    pub first_seq: u64,
    /// Length the file was made with. Only the last segment of a session that ended is shorter.
    pub segment_bytes: u64,
}

/// What the beginning of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderRead {
    Whole(SegmentHeader),
    /// All zeros, or nothing: the segment was prepared and never used.
    Unused,
    /// Whole, and of a version that this build does not know.
    Version(u32),
    Damaged,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.session.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The seed of its records' checksums.
    pub fn seed(self) -> u32 {
        let bytes = self.to_bytes();
        u32::from_le_bytes([bytes[60], bytes[61], bytes[62], bytes[63]])
    }

    pub(super) fn read(bytes: &[u8]) -> HeaderRead {
        let header = &bytes[..bytes.len().min(SEGMENT_HEADER_BYTES)];
        if header.iter().all(|&byte| byte == 0) {
            return HeaderRead::Unused;
        }
        let Some(header) = header.first_chunk::<SEGMENT_HEADER_BYTES>() else { return HeaderRead::Damaged };
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| header[at + index]));
        if header[..8] != MAGIC || word(60) != crc32c::crc32c(&header[..60]) {
            return HeaderRead::Damaged;
        }
        if word(8) != FORMAT {
            return HeaderRead::Version(word(8));
        }
        HeaderRead::Whole(SegmentHeader::of(header))
    }

    /// What the fields say, whether or not the checksum agrees.
    pub(super) fn of(header: &[u8; SEGMENT_HEADER_BYTES]) -> SegmentHeader {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| header[at + index]));
        let number = u32::from_le_bytes(std::array::from_fn(|index| header[12 + index]));
        SegmentHeader { number, session: word(16), first_seq: word(24), segment_bytes: word(32) }
    }
}

/// The path of a segment.
pub(super) fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:06}.{EXTENSION}"))
}

/// The number a file's name says it has; `None` where it is no segment's name.
pub(super) fn segment_number(path: &Path) -> Option<u32> {
    if path.extension()? != EXTENSION {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// A prepared segment, as whoever syncs it holds it; whoever writes it holds the mapping alone.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) map: Arc<MmapRaw>,
}

impl Segment {
    /// Makes segment `number` of `bytes` bytes, its space on the disk taken and every page of it touched.
    pub(super) fn prepare(folder: &Path, number: u32, bytes: usize) -> Result<Segment, JournalError> {
        let path = segment_path(folder, number);
        let attempt = || -> io::Result<(File, MmapRaw)> {
            let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            // Written, not only sized: a store to a page that finds the disk full would end the process.
            let zeros = [0; ZEROS];
            let mut left = bytes;
            while left > 0 {
                let part = left.min(ZEROS);
                file.write_all(&zeros[..part])?;
                left -= part;
            }
            // SAFETY: the file was made by this call alone, and only this process has it while it is mapped.
            let mut map = unsafe { MmapMut::map_mut(&file) }?;
            for page in map.chunks_mut(PAGE) {
                page[0] = 0;
            }
            sync_folder(folder)?;
            Ok((file, MmapRaw::from(map)))
        };
        match attempt() {
            Ok((file, map)) => Ok(Segment { number, path, file, map: Arc::new(map) }),
            Err(source) => Err(JournalError::Io { path, source }),
        }
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_notices_every_flipped_bit() {
        let header = SegmentHeader { number: 3, session: 77, first_seq: 1_000, segment_bytes: 1 << 24 };
        let bytes = header.to_bytes();
        assert_eq!(SegmentHeader::read(&bytes), HeaderRead::Whole(header));
        assert_eq!(SegmentHeader::read(&[0; 100]), HeaderRead::Unused);
        assert_eq!(SegmentHeader::read(&bytes[..63]), HeaderRead::Damaged);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::read(&flipped), HeaderRead::Damaged, "bit {bit}");
        }
        let mut newer = bytes;
        newer[8] = 9;
        let checksum = crc32c::crc32c(&newer[..60]);
        newer[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::read(&newer), HeaderRead::Version(9));
    }

    #[test]
    fn a_seed_belongs_to_its_session_segment_and_place() {
        let header = SegmentHeader { number: 3, session: 77, first_seq: 1_000, segment_bytes: 1 << 24 };
        let others = [
            SegmentHeader { number: 4, ..header },
            SegmentHeader { session: 78, ..header },
            SegmentHeader { first_seq: 1_001, ..header },
        ];
        assert!(others.iter().all(|other| other.seed() != header.seed()));
    }

    #[test]
    fn names_say_the_number() {
        let path = segment_path(Path::new("x"), 12);
        assert_eq!((path.clone(), segment_number(&path)), (PathBuf::from("x/000012.journal"), Some(12)));
        assert_eq!(segment_number(Path::new("x/1.txt")), None);
        assert_eq!(segment_number(Path::new("x/one.journal")), None);
    }
}

//! The bytes of a file, decompressed: plain files are mapped part by part, all others are read as a stream.

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use lzma_rust2::XzReader;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zip::{CompressionMethod, ZipArchive};

/// Bytes asked of a stream at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of a plain file mapped beyond what is unread. Pages that were read count as this process's memory while they are mapped.
const MAPPED_BYTES: u64 = 64 << 20;
/// Where a mapping may begin: a multiple of every page size there is.
const MAPPING_ALIGN: u64 = 1 << 16;

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What the file is and the command that makes something readable of it.
    #[error("{0} is not read; unpack it first (`{1}`)")]
    Packed(&'static str, &'static str),
}

/// The decompressed bytes of a file, from front to back, in bounded memory.
pub(super) struct Bytes {
    origin: Origin,
    at: usize,
}

enum Origin {
    /// A part of a file of `len` bytes, from `start` on.
    Mapped {
        file: File,
        map: Mmap,
        start: u64,
        len: u64,
    },
    Stream {
        stream: Box<dyn Read + Send>,
        buffer: Vec<u8>,
        read: Arc<AtomicU64>,
    },
}

impl Bytes {
    /// Opens a file; also gives the name of its compression, told by its first bytes.
    pub(super) fn open(path: &Path) -> Result<(Bytes, &'static str), OpenError> {
        let mut file = File::open(path)?;
        let mut magic = [0; 6];
        let mut known = 0;
        while known < magic.len() {
            match file.read(&mut magic[known..])? {
                0 => break,
                count => known += count,
            }
        }
        file.rewind()?;
        let read = Arc::new(AtomicU64::new(0));
        let counted = |file| BufReader::with_capacity(1 << 16, Counted { file, read: Arc::clone(&read) });
        let (stream, compression): (Box<dyn Read + Send>, _) = match magic {
            [0x1f, 0x8b, ..] => (Box::new(MultiGzDecoder::new(counted(file))), "gzip"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => (Box::new(zstd::Decoder::with_buffer(counted(file))?), "zstd"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => (Box::new(XzReader::new(counted(file), true)), "xz"),
            [b'P', b'K', 3, 4, ..] => {
                let (start, length, method) = only_entry(&file)?;
                file.seek(SeekFrom::Start(start))?;
                let entry = counted(file).take(length);
                match method {
                    CompressionMethod::Stored => (Box::new(entry), "zip"),
                    CompressionMethod::Deflated => (Box::new(DeflateDecoder::new(entry)), "zip"),
                    _ => return Err(OpenError::Packed("a zip archive of this method", "unzip FILE")),
                }
            }
            [b'B', b'Z', b'h', ..] => return Err(OpenError::Packed("bzip2", "bzip2 -d FILE")),
            _ => match file.metadata()?.len() {
                // A pipe, or nothing.
                0 => (Box::new(counted(file)), "none"),
                len => {
                    let map = map_part(&file, 0, len.min(MAPPED_BYTES))?;
                    return Ok((Bytes { origin: Origin::Mapped { file, map, start: 0, len }, at: 0 }, "none"));
                }
            },
        };
        Ok((Bytes { origin: Origin::Stream { stream, buffer: Vec::new(), read }, at: 0 }, compression))
    }

    /// What is at hand and not yet consumed.
    #[inline]
    pub(super) fn window(&self) -> &[u8] {
        let bytes: &[u8] = match &self.origin {
            Origin::Mapped { map, .. } => map,
            Origin::Stream { buffer, .. } => buffer,
        };
        bytes.get(self.at..).unwrap_or_default()
    }

    /// Passes over the first bytes of the window.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.at += count;
    }

    /// Adds to the end of the window, whose bytes may move in memory; `false` where nothing follows. A stream that fails in the
    /// middle gives what came before, then the error.
    pub(super) fn extend(&mut self) -> io::Result<bool> {
        let (stream, buffer) = match &mut self.origin {
            Origin::Stream { stream, buffer, .. } => (stream, buffer),
            Origin::Mapped { file, map, start, len } => {
                let end = *start + map.len() as u64;
                if end >= *len {
                    return Ok(false);
                }
                let position = *start + self.at as u64;
                let aligned = position - position % MAPPING_ALIGN;
                *map = map_part(file, aligned, (end - aligned + MAPPED_BYTES).min(*len - aligned))?;
                (*start, self.at) = (aligned, (position - aligned) as usize);
                return Ok(true);
            }
        };
        buffer.drain(..self.at.min(buffer.len()));
        self.at = 0;
        let old = buffer.len();
        buffer.resize(old + CHUNK_BYTES, 0);
        let mut got = 0;
        while got < CHUNK_BYTES {
            match stream.read(&mut buffer[old + got..]) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The stream fails again at the next call.
                Err(_) if got > 0 => break,
                Err(error) => {
                    buffer.truncate(old);
                    return Err(error);
                }
            }
        }
        buffer.truncate(old + got);
        Ok(got > 0)
    }

    /// Bytes read so far, as they are on disk.
    pub(super) fn bytes_read(&self) -> u64 {
        match &self.origin {
            Origin::Mapped { map, start, .. } => *start + self.at.min(map.len()) as u64,
            Origin::Stream { read, .. } => read.load(Ordering::Relaxed),
        }
    }
}

fn map_part(file: &File, start: u64, len: u64) -> io::Result<Mmap> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    // SAFETY: captures are written once; a file that another process cuts while it is replayed ends this process with SIGBUS, as it
    // would any program that maps it, and cannot corrupt anything.
    unsafe { MmapOptions::new().offset(start).len(len).map(file) }
}

/// Where the one file in a zip archive stands, how long it is there, and how it is compressed.
fn only_entry(file: &File) -> Result<(u64, u64, CompressionMethod), OpenError> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(io::Error::from)?;
    if archive.len() != 1 {
        return Err(OpenError::Packed("a zip archive of several files", "unzip FILE"));
    }
    let entry = archive.by_index_raw(0).map_err(io::Error::from)?;
    let start = entry.data_start().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((start, entry.compressed_size(), entry.compression()))
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

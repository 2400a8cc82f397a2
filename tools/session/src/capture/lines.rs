//! The lines of a file: plain files are mapped, gzip and zstd are read as a stream.

use chronos_market::decode::MESSAGE_BYTES_MAX;
use flate2::read::MultiGzDecoder;
use memmap2::Mmap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line taken: a message and its receive time.
const LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64;
/// Bytes asked of a stream at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What [`Lines::advance`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// A line; [`Lines::current`] is its text.
    Text,
    /// A line longer than any message; it was passed over.
    TooLong,
    /// The end.
    End,
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    Io(io::Error),
    /// Its kind and the command that undoes it.
    Compression(&'static str, &'static str),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io(error) => error.fmt(f),
            OpenError::Compression(kind, remedy) => write!(f, "{kind} is not read; decompress it first (`{remedy}`)"),
        }
    }
}

/// Reads a file line by line in bounded memory.
pub(super) struct Lines {
    origin: Origin,
    current: Range<usize>,
}

enum Origin {
    Mapped { map: Mmap, at: usize },
    Stream { stream: Box<dyn Read + Send>, buffer: Vec<u8>, at: usize, is_over: bool, read: Arc<AtomicU64> },
}

impl Lines {
    /// Opens a file; also gives the name of its compression, told by its first bytes.
    pub(super) fn open(path: &Path) -> Result<(Lines, &'static str), OpenError> {
        let mut file = File::open(path)?;
        let mut magic = [0; 6];
        let mut known = 0;
        while known < magic.len() {
            match file.read(&mut magic[known..])? {
                0 => break,
                count => known += count,
            }
        }
        io::Seek::rewind(&mut file)?;
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, read: Arc::clone(&read) };
        let stream = |stream: Box<dyn Read + Send>| Origin::Stream { stream, buffer: Vec::new(), at: 0, is_over: false, read };
        let (origin, compression) = match magic {
            [0x1f, 0x8b, ..] => (stream(Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, counted)))), "gzip"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => (stream(Box::new(zstd::Decoder::new(counted)?)), "zstd"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(OpenError::Compression("xz", "xz -d FILE")),
            [b'B', b'Z', b'h', ..] => return Err(OpenError::Compression("bzip2", "bzip2 -d FILE")),
            [b'P', b'K', 3, 4, ..] => return Err(OpenError::Compression("zip", "unzip FILE")),
            _ => {
                // SAFETY: captures are written once; a file that another process cuts while it is replayed ends this process with
                // SIGBUS, as it would any program that maps it, and cannot corrupt anything.
                let map = unsafe { Mmap::map(&counted.file) }?;
                (Origin::Mapped { map, at: 0 }, "none")
            }
        };
        Ok((Lines { origin, current: 0..0 }, compression))
    }

    /// Goes to the next line. A stream that fails in the middle gives the lines it has given before, then the error.
    #[inline]
    pub(super) fn advance(&mut self) -> io::Result<Line> {
        match &mut self.origin {
            Origin::Mapped { map, at } => {
                let rest = map.get(*at..).unwrap_or_default();
                if rest.is_empty() {
                    return Ok(Line::End);
                }
                let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                self.current = *at..*at + len;
                *at += len + 1;
                Ok(if len > LINE_BYTES_MAX { Line::TooLong } else { Line::Text })
            }
            Origin::Stream { stream, buffer, at, is_over, .. } => {
                let mut searched = 0;
                let mut is_too_long = false;
                loop {
                    let rest = buffer.get(*at..).unwrap_or_default();
                    if let Some(found) = memchr::memchr(b'\n', rest.get(searched..).unwrap_or_default()) {
                        let len = searched + found;
                        self.current = *at..*at + len;
                        *at += len + 1;
                        return Ok(if is_too_long || len > LINE_BYTES_MAX { Line::TooLong } else { Line::Text });
                    }
                    searched = rest.len();
                    if *is_over {
                        self.current = *at..*at + searched;
                        *at += searched;
                        return Ok(match searched {
                            0 if !is_too_long => Line::End,
                            _ if is_too_long => Line::TooLong,
                            _ => Line::Text,
                        });
                    }
                    if searched > LINE_BYTES_MAX {
                        is_too_long = true;
                        *at = buffer.len();
                        searched = 0;
                    }
                    buffer.drain(..*at);
                    *at = 0;
                    *is_over = fill(stream.as_mut(), buffer)? == 0;
                }
            }
        }
    }

    /// The text of the line that [`Lines::advance`] found, without its newline.
    #[inline]
    pub(super) fn current(&self) -> &[u8] {
        let bytes: &[u8] = match &self.origin {
            Origin::Mapped { map, .. } => map,
            Origin::Stream { buffer, .. } => buffer,
        };
        bytes.get(self.current.clone()).unwrap_or_default()
    }

    /// Bytes read so far, as they are on disk.
    pub(super) fn bytes_read(&self) -> u64 {
        match &self.origin {
            Origin::Mapped { map, at } => (*at).min(map.len()) as u64,
            Origin::Stream { read, .. } => read.load(Ordering::Relaxed),
        }
    }
}

/// Appends up to [`CHUNK_BYTES`]; 0 at the end.
fn fill(stream: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let old = buffer.len();
    buffer.resize(old + CHUNK_BYTES, 0);
    let mut got = 0;
    while got < CHUNK_BYTES {
        match stream.read(&mut buffer[old + got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What came before the damage is given first; the stream fails again at the next call.
            Err(_) if got > 0 => break,
            Err(error) => {
                buffer.truncate(old);
                return Err(error);
            }
        }
    }
    buffer.truncate(old + got);
    Ok(got)
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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn lines_of(bytes: &[u8]) -> (Vec<String>, Option<io::ErrorKind>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        std::fs::write(&path, bytes).unwrap();
        let (mut lines, _) = Lines::open(&path).unwrap();
        let (mut texts, mut too_long) = (Vec::new(), 0);
        loop {
            match lines.advance() {
                Ok(Line::Text) => texts.push(String::from_utf8_lossy(lines.current()).into_owned()),
                Ok(Line::TooLong) => too_long += 1,
                Ok(Line::End) => return (texts, None, too_long),
                Err(error) => return (texts, Some(error.kind()), too_long),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_compression_gives_the_same_lines() {
        let text = b"one\n\nthree with words\nlast without newline";
        let expected = ["one", "", "three with words", "last without newline"].map(str::to_owned).to_vec();
        for bytes in
            [text.to_vec(), gzip(text), zstd::encode_all(&text[..], 1).unwrap(), [gzip(&text[..8]), gzip(&text[8..])].concat()]
        {
            assert_eq!(lines_of(&bytes), (expected.clone(), None, 0));
        }
        assert_eq!(lines_of(b""), (vec![], None, 0));
    }

    #[test]
    fn a_cut_stream_gives_what_came_before_and_then_says_so() {
        let text: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
        let whole = gzip(text.as_bytes());
        let (lines, error, _) = lines_of(&whole[..whole.len() / 2]);
        assert!(lines.len() > 1_000 && lines[1_000] == "line 1000");
        assert_eq!(error, Some(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_line_without_end_is_passed_over_in_bounded_memory() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let text = [b"first\n".as_slice(), &long, b"\nlast\n"].concat();
        for bytes in [text.clone(), gzip(&text)] {
            assert_eq!(lines_of(&bytes), (vec!["first".into(), "last".into()], None, 1));
        }
    }
}

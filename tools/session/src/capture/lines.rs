//! The lines of a file.

use super::bytes::Bytes;
use chronos_market::decode::MESSAGE_BYTES_MAX;
use std::io;

/// The longest line taken: a message and its receive time.
const LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64;

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

/// Reads bytes line by line in bounded memory.
pub(super) struct Lines {
    bytes: Bytes,
    /// Length of the line found last, which the window begins with.
    len: usize,
    /// That, and its newline.
    taken: usize,
}

impl Lines {
    /// The lines from here on.
    pub(super) fn new(bytes: Bytes) -> Lines {
        Lines { bytes, len: 0, taken: 0 }
    }

    /// Goes to the next line. A stream that fails in the middle gives the lines it has given before, then the error.
    #[inline]
    pub(super) fn advance(&mut self) -> io::Result<Line> {
        self.bytes.consume(self.taken);
        (self.len, self.taken) = (0, 0);
        match memchr::memchr(b'\n', self.bytes.window()) {
            Some(len) if len <= LINE_BYTES_MAX => {
                (self.len, self.taken) = (len, len + 1);
                Ok(Line::Text)
            }
            _ => self.advance_beyond(),
        }
    }

    /// The next line where its end is not at hand, or further than any line's.
    #[cold]
    fn advance_beyond(&mut self) -> io::Result<Line> {
        let mut searched = 0;
        let mut is_too_long = false;
        loop {
            let window = self.bytes.window();
            let found = memchr::memchr(b'\n', &window[searched..]).map(|found| searched + found);
            searched = window.len();
            if let Some(len) = found {
                (self.len, self.taken) = (len, len + 1);
                return Ok(if is_too_long || len > LINE_BYTES_MAX { Line::TooLong } else { Line::Text });
            }
            if searched > LINE_BYTES_MAX {
                is_too_long = true;
                self.bytes.consume(searched);
                searched = 0;
            }
            if !self.bytes.extend()? {
                (self.len, self.taken) = (searched, searched);
                return Ok(match searched {
                    _ if is_too_long => Line::TooLong,
                    0 => Line::End,
                    _ => Line::Text,
                });
            }
        }
    }

    /// The text of the line that [`Lines::advance`] found, without its newline.
    #[inline]
    pub(super) fn current(&self) -> &[u8] {
        self.bytes.window().get(..self.len).unwrap_or_default()
    }

    /// Bytes read so far, as they are on disk.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes.bytes_read()
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
        let mut lines = Lines::new(Bytes::open(&path).unwrap().0);
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
    fn a_plain_file_longer_than_one_mapping_gives_every_line() {
        // 68 MiB: one line lies across the end of the first mapping.
        let line = |number: usize| format!("{number:09} {}", "x".repeat(990));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        let count = 71_000;
        let mut file = io::BufWriter::new(std::fs::File::create(&path).unwrap());
        (0..count).for_each(|number| writeln!(file, "{}", line(number)).unwrap());
        file.into_inner().unwrap();
        let mut lines = Lines::new(Bytes::open(&path).unwrap().0);
        for number in 0..count {
            assert_eq!(lines.advance().unwrap(), Line::Text);
            assert!(lines.current() == line(number).as_bytes(), "line {number}");
        }
        assert_eq!(lines.advance().unwrap(), Line::End);
        assert_eq!(lines.bytes_read(), std::fs::metadata(&path).unwrap().len());
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

//! Malformed messages: framed into a byte ring on the hot side, kept in a file on the cold side.
//!
//! A frame is, little-endian: `u32` length of the raw bytes, `u64` line, `i64` receive time in nanoseconds, `u8` reason, then the
//! raw bytes. The file is text: a heading, then one line a message with line, receive time, reason and the raw bytes between tabs,
//! in which `\`, newline and carriage return are written `\\`, `\n` and `\r`; every other byte stands as it came.

use crate::store::StoreError;
use rtrb::{Consumer, Producer};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Raw bytes of a message that are kept; what is beyond is cut.
pub const QUARANTINE_RAW_MAX: usize = 4096;

/// Length the quarantine file may have. What does not fit is counted and dropped.
pub const QUARANTINE_FILE_BYTES_MAX: u64 = 64 << 20;

const HEADER_BYTES: usize = 4 + 8 + 8 + 1;
const HEADING: &[u8] = b"# line\trecv_ns\treason\traw\n";

/// Puts a malformed message into the ring, whole (up to [`QUARANTINE_RAW_MAX`] bytes of `raw`) or not at all; returns whether it
/// had room. Neither blocks nor allocates. `line` is the message's place in its source, `reason` a code of the decoder's.
pub fn push_quarantine(ring: &mut Producer<u8>, line: u64, recv_ns: i64, reason: u8, raw: &[u8]) -> bool {
    let raw = &raw[..raw.len().min(QUARANTINE_RAW_MAX)];
    let Ok(chunk) = ring.write_chunk_uninit(HEADER_BYTES + raw.len()) else { return false };
    let length = (raw.len() as u32).to_le_bytes();
    let frame = length.into_iter().chain(line.to_le_bytes()).chain(recv_ns.to_le_bytes()).chain([reason]);
    chunk.fill_from_iter(frame.chain(raw.iter().copied()));
    true
}

/// One message from the ring.
#[derive(PartialEq, Eq, Debug)]
struct Frame {
    line: u64,
    recv_ns: i64,
    reason: u8,
    raw: Vec<u8>,
}

/// Takes the next frame out of the ring; `None` while there is none.
fn pop_frame(ring: &mut Consumer<u8>) -> Result<Option<Frame>, StoreError> {
    // A frame enters whole, so with its first byte all of it is there.
    let Ok(chunk) = ring.read_chunk(HEADER_BYTES) else { return Ok(None) };
    let mut bytes = chunk.into_iter();
    let length = u32::from_le_bytes(next_array(&mut bytes));
    let line = u64::from_le_bytes(next_array(&mut bytes));
    let recv_ns = i64::from_le_bytes(next_array(&mut bytes));
    let [reason] = next_array(&mut bytes);
    drop(bytes);
    let bad_length = || StoreError::QuarantineFrame { length };
    let raw_length = usize::try_from(length).ok().filter(|&length| length <= QUARANTINE_RAW_MAX).ok_or_else(bad_length)?;
    let raw = ring.read_chunk(raw_length).map_err(|_| bad_length())?.into_iter().collect();
    Ok(Some(Frame { line, recv_ns, reason, raw }))
}

fn next_array<const N: usize>(bytes: &mut impl Iterator<Item = u8>) -> [u8; N] {
    std::array::from_fn(|_| bytes.next().unwrap_or(0))
}

/// The cold side's end: empties the ring into the file.
pub(crate) struct Quarantine {
    ring: Consumer<u8>,
    /// Where to keep messages; `None` counts and drops them.
    path: Option<PathBuf>,
    file: Option<File>,
    file_bytes: u64,
    file_bytes_max: u64,
    text: Vec<u8>,
    /// Messages in the file.
    pub(crate) kept: u64,
    /// Messages that were not kept: no file, no room, or the file failed.
    pub(crate) dropped: u64,
    /// What went wrong, once.
    pub(crate) error: Option<StoreError>,
}

impl Quarantine {
    pub(crate) fn new(ring: Consumer<u8>, path: Option<PathBuf>, file_bytes_max: u64) -> Quarantine {
        Quarantine { ring, path, file: None, file_bytes: 0, file_bytes_max, text: Vec::new(), kept: 0, dropped: 0, error: None }
    }

    /// Whether the hot side is gone and nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        // In this order: what was pushed before the producer went is seen.
        self.ring.is_abandoned() && self.ring.is_empty()
    }

    /// Keeps every message in the ring; returns whether there was one. A failure ends the keeping, not the counting.
    pub(crate) fn drain(&mut self) -> bool {
        let mut any = false;
        loop {
            match pop_frame(&mut self.ring) {
                Ok(None) => return any,
                Ok(Some(frame)) => match self.keep(&frame) {
                    Ok(true) => self.kept += 1,
                    Ok(false) => self.dropped += 1,
                    Err(error) => {
                        self.dropped += 1;
                        self.fail(error);
                    }
                },
                Err(error) => {
                    // Where the next frame begins is not known.
                    self.dropped += 1;
                    self.fail(error);
                    let slots = self.ring.slots();
                    if let Ok(chunk) = self.ring.read_chunk(slots) {
                        chunk.commit_all();
                    }
                }
            }
            any = true;
        }
    }

    fn keep(&mut self, frame: &Frame) -> Result<bool, StoreError> {
        let Some(path) = &self.path else { return Ok(false) };
        let failed = |action| move |source| StoreError::Io { action, path: path.clone(), source };
        self.text.clear();
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed("open the quarantine file"))?;
            self.file_bytes = file.metadata().map_err(failed("read the length of"))?.len();
            self.file = Some(file);
        }
        if self.file_bytes == 0 {
            self.text.extend_from_slice(HEADING);
        }
        write_line(&mut self.text, frame);
        let Some(file) = &mut self.file else { return Ok(false) };
        if self.file_bytes + self.text.len() as u64 > self.file_bytes_max {
            return Ok(false);
        }
        file.write_all(&self.text).map_err(failed("write to the quarantine file"))?;
        self.file_bytes += self.text.len() as u64;
        Ok(true)
    }

    fn fail(&mut self, error: StoreError) {
        self.path = None;
        self.error.get_or_insert(error);
    }
}

fn write_line(text: &mut Vec<u8>, frame: &Frame) {
    text.extend_from_slice(format!("{}\t{}\t{}\t", frame.line, frame.recv_ns, frame.reason).as_bytes());
    for &byte in &frame.raw {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            _ => text.push(byte),
        }
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtrb::RingBuffer;

    /// Reads a line of the file back, by a route of its own.
    fn parse_line(line: &[u8]) -> (u64, i64, u8, Vec<u8>) {
        let mut fields = line.splitn(4, |&byte| byte == b'\t');
        let mut number = || String::from_utf8(fields.next().expect("field").to_vec()).expect("digits");
        let (line, recv, reason) = (number(), number(), number());
        let mut raw = Vec::new();
        let mut escaped = false;
        for &byte in fields.next().expect("raw") {
            match (escaped, byte) {
                (false, b'\\') => {
                    escaped = true;
                    continue;
                }
                (true, b'n') => raw.push(b'\n'),
                (true, b'r') => raw.push(b'\r'),
                (_, other) => raw.push(other),
            }
            escaped = false;
        }
        (line.parse().expect("line"), recv.parse().expect("recv"), reason.parse().expect("reason"), raw)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn messages_come_back_from_the_file_as_they_were(
            messages in prop::collection::vec(
                (any::<u64>(), any::<i64>(), any::<u8>(), prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\\')], 0..300)),
                1..20,
            ),
        ) {
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("quarantine.txt");
            // Small, so that frames wrap around its end.
            let (mut producer, consumer) = RingBuffer::new(400);
            let mut quarantine = Quarantine::new(consumer, Some(path.clone()), QUARANTINE_FILE_BYTES_MAX);
            for (line, recv_ns, reason, raw) in &messages {
                prop_assert!(push_quarantine(&mut producer, *line, *recv_ns, *reason, raw));
                prop_assert!(quarantine.drain());
            }
            prop_assert_eq!((quarantine.kept, quarantine.dropped), (messages.len() as u64, 0));
            let text = std::fs::read(&path).expect("file");
            let mut lines = text.split(|&byte| byte == b'\n');
            prop_assert_eq!(lines.next(), Some(&b"# line\trecv_ns\treason\traw"[..]));
            let read: Vec<_> = lines.filter(|line| !line.is_empty()).map(parse_line).collect();
            prop_assert_eq!(read, messages);
        }
    }

    #[test]
    fn a_frame_enters_whole_or_not_at_all_and_is_cut_at_its_greatest_length() {
        let (mut producer, mut consumer) = RingBuffer::new(HEADER_BYTES + QUARANTINE_RAW_MAX + 10);
        assert!(push_quarantine(&mut producer, 1, 2, 3, &[7; 10_000]));
        let free = producer.slots();
        assert!(!push_quarantine(&mut producer, 4, 5, 6, b""));
        assert_eq!(producer.slots(), free);
        let frame = pop_frame(&mut consumer).expect("a frame").expect("present");
        assert_eq!(frame, Frame { line: 1, recv_ns: 2, reason: 3, raw: vec![7; QUARANTINE_RAW_MAX] });
        assert!(pop_frame(&mut consumer).expect("no error").is_none());
    }

    #[test]
    fn the_file_stops_at_its_cap_also_over_sessions() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("quarantine.txt");
        // Each line has 8 bytes: room for three lines and a half.
        let cap = HEADING.len() as u64 + 28;
        let mut counts = Vec::new();
        for _ in 0..2 {
            let (mut producer, consumer) = RingBuffer::new(1000);
            let mut quarantine = Quarantine::new(consumer, Some(path.clone()), cap);
            for line in 1..=2 {
                assert!(push_quarantine(&mut producer, line, 0, 1, b"x"));
            }
            quarantine.drain();
            counts.push((quarantine.kept, quarantine.dropped));
        }
        assert_eq!(counts, [(2, 0), (1, 1)]);
        assert_eq!(std::fs::read(&path).expect("file"), [HEADING, b"1\t0\t1\tx\n2\t0\t1\tx\n1\t0\t1\tx\n"].concat());
    }

    #[test]
    fn bytes_that_are_no_frame_are_an_error_and_the_ring_still_empties() {
        let (mut producer, consumer) = RingBuffer::new(100);
        let folder = tempfile::tempdir().expect("folder");
        let mut quarantine = Quarantine::new(consumer, Some(folder.path().join("q.txt")), 1000);
        producer.push_entire_slice(&[0xff; 60]).expect("room");
        quarantine.drain();
        assert!(matches!(quarantine.error, Some(StoreError::QuarantineFrame { length: u32::MAX })));
        assert_eq!(producer.slots(), 100);
        assert!(push_quarantine(&mut producer, 1, 0, 1, b"x"));
        quarantine.drain();
        assert_eq!((quarantine.kept, quarantine.dropped), (0, 2));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told_once() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut producer, consumer) = RingBuffer::new(100);
        let mut quarantine = Quarantine::new(consumer, Some(folder.path().join("none").join("q.txt")), 1000);
        for line in 0..2 {
            assert!(push_quarantine(&mut producer, line, 0, 1, b"x"));
        }
        quarantine.drain();
        assert_eq!((quarantine.kept, quarantine.dropped), (0, 2));
        let error = quarantine.error.expect("an error").to_string();
        assert!(error.starts_with("cannot open the quarantine file ") && error.contains("q.txt"), "{error}");
    }
}

//! The journal's record.
//!
//! ```text
//! offset  0      4      5       8      16       24          24 + n    total - 4
//!         ├ len ─┼ kind ┼ zeros ┼ seq ─┼ recv_ns ┼ payload ──┼ zeros ──┼ crc32c ┤
//!          u32    u8     3       u64    i64       n bytes     0 to 7    u32
//! ```
//!
//! Little-endian. `len` is the length of the payload; `total` is a multiple of 8. `crc32c` covers every byte before it and begins
//! with the segment's seed, so that a record left over from another segment or session is none here. Zeros where a record would
//! begin mark the end.

use std::fmt;

/// Bytes before the payload.
const HEADER: usize = 24;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;
/// Longest payload.
pub const PAYLOAD_MAX: usize = 4_096;

/// What a record holds; see [`Content`](super::Content) for the payload of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// An order command, written before it is sent.
    Order = 1,
    /// An execution report.
    Report = 2,
    /// Parameters took effect.
    Parameters = 3,
    /// A timer fired.
    Timer = 4,
    /// A latch, kill switch, circuit breaker or pause changed.
    State = 5,
    /// A frame was skipped.
    Skip = 6,
    /// The command journaled last did not leave after all.
    Unsent = 8,
    /// The session began: the first record.
    SessionStart = 9,
    /// An instrument of the session.
    Instrument = 10,
    /// A file of market data that the session was fed with.
    Capture = 11,
    /// The session ended: the last record.
    SessionEnd = 12,
    /// Limits were replaced.
    Limits = 16,
    /// Somebody gave an order to the system.
    Control = 17,
    /// The cold path was not told something that parameters are made from.
    Dropped = 18,
    /// Messages were lost before they came to ingest, for want of room.
    Overrun = 19,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [RecordKind; 15] = [
        RecordKind::Order,
        RecordKind::Report,
        RecordKind::Parameters,
        RecordKind::Timer,
        RecordKind::State,
        RecordKind::Skip,
        RecordKind::Unsent,
        RecordKind::SessionStart,
        RecordKind::Instrument,
        RecordKind::Capture,
        RecordKind::SessionEnd,
        RecordKind::Limits,
        RecordKind::Control,
        RecordKind::Dropped,
        RecordKind::Overrun,
    ];

    /// The name used in listings.
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Order => "order",
            RecordKind::Report => "report",
            RecordKind::Parameters => "parameters",
            RecordKind::Timer => "timer",
            RecordKind::State => "state",
            RecordKind::Skip => "skip",
            RecordKind::Unsent => "unsent",
            RecordKind::SessionStart => "session_start",
            RecordKind::Instrument => "instrument",
            RecordKind::Capture => "capture",
            RecordKind::SessionEnd => "session_end",
            RecordKind::Limits => "limits",
            RecordKind::Control => "control",
            RecordKind::Dropped => "dropped",
            RecordKind::Overrun => "overrun",
        }
    }

    fn from_byte(byte: u8) -> Option<RecordKind> {
        RecordKind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it holds.
    pub kind: RecordKind,
    /// Place in the journal, from 1, without holes.
    pub seq: u64,
    /// Logical time.
    pub recv_ns: i64,
    /// The content.
    pub payload: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// All zeros: nothing was written here.
    End,
    /// Fewer bytes are left than the record needs.
    Truncated,
    /// The checksum does not match, or the length makes no sense.
    Corrupt,
    /// The record is whole, and of a kind that this build does not know.
    Unknown(u8),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::End => f.write_str("end of the journal"),
            RecordError::Truncated => f.write_str("the record is cut off"),
            RecordError::Corrupt => f.write_str("the record is damaged"),
            RecordError::Unknown(kind) => write!(f, "the record is of kind {kind}, which this build does not know"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Bytes a record with a payload of `payload` bytes takes.
#[inline]
pub const fn record_bytes(payload: usize) -> usize {
    (HEADER + payload + CHECKSUM).next_multiple_of(8)
}

/// Writes a record at the start of `out`; returns the bytes it takes, or `None` (and nothing written) where it does not fit or its
/// payload is longer than [`PAYLOAD_MAX`].
#[inline]
pub fn write_record(out: &mut [u8], seed: u32, record: &Record<'_>) -> Option<usize> {
    let payload = record.payload.len();
    let total = record_bytes(payload);
    if payload > PAYLOAD_MAX {
        return None;
    }
    let out = out.get_mut(..total)?;
    // The last word first: it holds what of the padding there is.
    out[total - 8..].fill(0);
    out[..8].copy_from_slice(&(payload as u64 | (record.kind as u64) << 32).to_le_bytes());
    out[8..16].copy_from_slice(&record.seq.to_le_bytes());
    out[16..24].copy_from_slice(&record.recv_ns.to_le_bytes());
    out[HEADER..HEADER + payload].copy_from_slice(record.payload);
    let (covered, checksum) = out.split_at_mut(total - CHECKSUM);
    checksum.copy_from_slice(&crc32c::crc32c_append(seed, covered).to_le_bytes());
    Some(total)
}

/// Reads the record at the start of `bytes`; also returns the bytes it takes.
///
/// # Errors
/// [`RecordError`] where there is none.
pub fn read_record(bytes: &[u8], seed: u32) -> Result<(Record<'_>, usize), RecordError> {
    let Some(header) = bytes.first_chunk::<HEADER>().filter(|header| header.iter().any(|&byte| byte != 0)) else {
        let is_empty = bytes.iter().take(HEADER).all(|&byte| byte == 0);
        return Err(if is_empty { RecordError::End } else { RecordError::Truncated });
    };
    let word = |at: usize| -> [u8; 8] { std::array::from_fn(|index| header[at + index]) };
    let payload = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if payload > PAYLOAD_MAX || header[4] == 0 {
        return Err(RecordError::Corrupt);
    }
    let total = record_bytes(payload);
    let whole = bytes.get(..total).ok_or(RecordError::Truncated)?;
    let (covered, checksum) = whole.split_at(total - CHECKSUM);
    if checksum != crc32c::crc32c_append(seed, covered).to_le_bytes() {
        return Err(RecordError::Corrupt);
    }
    let kind = RecordKind::from_byte(header[4]).ok_or(RecordError::Unknown(header[4]))?;
    let (seq, recv_ns) = (u64::from_le_bytes(word(8)), i64::from_le_bytes(word(16)));
    Ok((Record { kind, seq, recv_ns, payload: &covered[HEADER..HEADER + payload] }, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back_and_notices_every_flipped_bit(
            payload in prop::collection::vec(any::<u8>(), 0..120), seq: u64, recv_ns: i64, kind in prop::sample::select(&RecordKind::ALL[..]),
            seed: u32, flip in any::<prop::sample::Index>()
        ) {
            let record = Record { kind, seq, recv_ns, payload: &payload };
            let mut bytes = vec![0xAA; record_bytes(payload.len())];
            prop_assert_eq!(write_record(&mut bytes, seed, &record), Some(bytes.len()));
            prop_assert_eq!(read_record(&bytes, seed), Ok((record, bytes.len())));
            prop_assert!(read_record(&bytes, seed ^ 1).is_err(), "another session's record");
            for cut in 0..bytes.len() {
                prop_assert!(read_record(&bytes[..cut], seed).is_err());
            }
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read_record(&bytes, seed).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), seed: u32) {
            let _ = read_record(&bytes, seed);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut bytes = [7; 40];
        let record = Record { kind: RecordKind::Order, seq: 1, recv_ns: 2, payload: &[1; 20] };
        assert_eq!(write_record(&mut bytes, 0, &record), None);
        assert_eq!(bytes, [7; 40]);
        assert_eq!(write_record(&mut vec![0; 9_000], 0, &Record { payload: &[0; PAYLOAD_MAX + 1], ..record }), None);
    }

    #[test]
    fn a_whole_record_of_an_unknown_kind_is_not_taken_for_damage() {
        let mut bytes = [0; record_bytes(0)];
        write_record(&mut bytes, 9, &Record { kind: RecordKind::Order, seq: 1, recv_ns: 2, payload: &[] });
        bytes[4] = 250;
        let (covered, checksum) = bytes.split_at_mut(record_bytes(0) - CHECKSUM);
        checksum.copy_from_slice(&crc32c::crc32c_append(9, covered).to_le_bytes());
        assert_eq!(read_record(&bytes, 9), Err(RecordError::Unknown(250)));
    }
}

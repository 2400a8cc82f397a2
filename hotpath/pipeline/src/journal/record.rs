//! The journal's record.
//!
//! ```text
//! offset  0      4      5       8      16       24          24 + n     28 + n, then zeros to a multiple of 8
//!         ├ len ─┼ kind ┼ zeros ┼ seq ─┼ recv_ns ┼ payload ──┼ crc32c ──┤
//!          u32    u8     3       u64    i64       n bytes     u32
//! ```
//!
//! Little-endian. `len` is the length of the payload; `crc32c` covers everything before it. A `len` and `kind` of zero mark the
//! end: an empty file is all zeros.

use std::fmt;

/// Bytes before the payload.
const HEADER: usize = 24;
/// Longest payload.
pub(super) const PAYLOAD_MAX: usize = 4_096;

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// An order command in canonical bytes, written before it is sent.
    Order = 1,
    /// An execution report in canonical bytes.
    Report = 2,
    /// Parameters took effect: window index i64, effective i64, regime u8.
    Parameters = 3,
    /// A timer fired: its number u16.
    Timer = 4,
    /// A latch, kill switch, circuit breaker or pause changed: [`StateChange::to_bytes`](crate::risk::StateChange::to_bytes), the
    /// trading state first.
    State = 5,
    /// A frame was skipped: its seq u64, its instrument u16.
    Skip = 6,
    /// Limits were replaced: [`LimitsRecord`](crate::risk::LimitsRecord).
    Limits = 16,
    /// An order to the system, by hand: [`Control::to_bytes`](crate::decision::Control::to_bytes).
    Control = 17,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<RecordKind> {
        Some(match byte {
            1 => RecordKind::Order,
            2 => RecordKind::Report,
            3 => RecordKind::Parameters,
            4 => RecordKind::Timer,
            5 => RecordKind::State,
            6 => RecordKind::Skip,
            16 => RecordKind::Limits,
            17 => RecordKind::Control,
            _ => return None,
        })
    }
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it holds.
    pub kind: RecordKind,
    /// Place in the journal, from 1.
    pub seq: u64,
    /// Logical time.
    pub recv_ns: i64,
    /// The content.
    pub payload: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// All zeros: the journal ends here.
    End,
    /// Fewer bytes are left than the record needs.
    Truncated,
    /// The checksum does not match, or the kind or length makes no sense.
    Corrupt,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordError::End => "end of the journal",
            RecordError::Truncated => "the record is cut off",
            RecordError::Corrupt => "the record is damaged",
        })
    }
}

impl std::error::Error for RecordError {}

/// Bytes a record with a payload of `payload` bytes takes.
#[inline]
pub const fn record_bytes(payload: usize) -> usize {
    (HEADER + payload + 4).next_multiple_of(8)
}

/// Writes a record at the start of `out`; returns the bytes it takes, or `None` (and nothing written) where it does not fit or its
/// payload is longer than 4 KiB.
#[inline]
pub fn write_record(out: &mut [u8], record: &Record<'_>) -> Option<usize> {
    let payload = record.payload.len();
    let total = record_bytes(payload);
    if payload > PAYLOAD_MAX {
        return None;
    }
    let out = out.get_mut(..total)?;
    out[..4].copy_from_slice(&(payload as u32).to_le_bytes());
    out[4] = record.kind as u8;
    out[5..8].fill(0);
    out[8..16].copy_from_slice(&record.seq.to_le_bytes());
    out[16..24].copy_from_slice(&record.recv_ns.to_le_bytes());
    out[HEADER..HEADER + payload].copy_from_slice(record.payload);
    let checksum = crc32c::crc32c(&out[..HEADER + payload]);
    out[HEADER + payload..HEADER + payload + 4].copy_from_slice(&checksum.to_le_bytes());
    out[HEADER + payload + 4..].fill(0);
    Some(total)
}

/// Reads the record at the start of `bytes`; also returns the bytes it takes.
///
/// # Errors
/// [`RecordError`] where there is none.
pub fn read_record(bytes: &[u8]) -> Result<(Record<'_>, usize), RecordError> {
    let header =
        bytes.get(..HEADER).ok_or(if bytes.iter().all(|&byte| byte == 0) { RecordError::End } else { RecordError::Truncated })?;
    let word = |at: usize| -> [u8; 8] { std::array::from_fn(|index| header[at + index]) };
    let payload = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if payload == 0 && header[4] == 0 {
        return Err(RecordError::End);
    }
    if payload > PAYLOAD_MAX {
        return Err(RecordError::Corrupt);
    }
    let kind = RecordKind::from_byte(header[4]).ok_or(RecordError::Corrupt)?;
    let total = record_bytes(payload);
    let whole = bytes.get(..total).ok_or(RecordError::Truncated)?;
    let (covered, rest) = whole.split_at(HEADER + payload);
    let stored = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    if stored != crc32c::crc32c(covered) {
        return Err(RecordError::Corrupt);
    }
    let record =
        Record { kind, seq: u64::from_le_bytes(word(8)), recv_ns: i64::from_le_bytes(word(16)), payload: &covered[HEADER..] };
    Ok((record, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back_and_notices_every_flipped_bit(
            payload in prop::collection::vec(any::<u8>(), 0..120), seq: u64, recv_ns: i64, kind in prop_oneof![1u8..=6, 16u8..=17], flip in any::<prop::sample::Index>()
        ) {
            let record = Record { kind: RecordKind::from_byte(kind).unwrap(), seq, recv_ns, payload: &payload };
            let mut bytes = vec![0xAA; record_bytes(payload.len())];
            prop_assert_eq!(write_record(&mut bytes, &record), Some(bytes.len()));
            prop_assert_eq!(read_record(&bytes), Ok((record, bytes.len())));
            for cut in 0..bytes.len() {
                prop_assert!(read_record(&bytes[..cut]).is_err());
            }
            let covered = HEADER + payload.len() + 4;
            let bit = flip.index(covered * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read_record(&bytes).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_record(&bytes);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut bytes = [7; 40];
        let record = Record { kind: RecordKind::Order, seq: 1, recv_ns: 2, payload: &[1; 20] };
        assert_eq!(write_record(&mut bytes, &record), None);
        assert_eq!(bytes, [7; 40]);
        assert_eq!(write_record(&mut vec![0; 9_000], &Record { payload: &[0; PAYLOAD_MAX + 1], ..record }), None);
    }
}

//! Integers at fixed places of binary messages.
//!
//! Each takes a message known to be long enough: who reads one has asked [`at_least`] or holds an array.

use super::DecodeError;

/// Refuses what is shorter than its header says or its type must be.
#[inline(always)]
pub(super) fn at_least(bytes: &[u8], needed: usize) -> Result<(), DecodeError> {
    if bytes.len() < needed { Err(DecodeError::Truncated(needed, bytes.len())) } else { Ok(()) }
}

#[inline(always)]
fn bytes_at<const N: usize>(raw: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&raw[at..at + N]);
    bytes
}

#[inline(always)]
pub(super) fn u16_be(raw: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes_at(raw, at))
}

#[inline(always)]
pub(super) fn u32_be(raw: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes_at(raw, at))
}

#[inline(always)]
pub(super) fn u64_be(raw: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes_at(raw, at))
}

#[inline(always)]
pub(super) fn u16_le(raw: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(raw, at))
}

#[inline(always)]
pub(super) fn u32_le(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(raw, at))
}

#[inline(always)]
pub(super) fn u64_le(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(raw, at))
}

#[inline(always)]
pub(super) fn i64_le(raw: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes_at(raw, at))
}

/// Which end of an integer comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ByteOrder {
    /// The least significant byte.
    Little,
    /// The most significant byte.
    Big,
}

impl ByteOrder {
    #[inline(always)]
    pub(super) fn u16(self, raw: &[u8], at: usize) -> u16 {
        match self {
            ByteOrder::Little => u16_le(raw, at),
            ByteOrder::Big => u16_be(raw, at),
        }
    }

    #[inline(always)]
    pub(super) fn u32(self, raw: &[u8], at: usize) -> u32 {
        match self {
            ByteOrder::Little => u32_le(raw, at),
            ByteOrder::Big => u32_be(raw, at),
        }
    }

    #[inline(always)]
    pub(super) fn u64(self, raw: &[u8], at: usize) -> u64 {
        match self {
            ByteOrder::Little => u64_le(raw, at),
            ByteOrder::Big => u64_be(raw, at),
        }
    }
}

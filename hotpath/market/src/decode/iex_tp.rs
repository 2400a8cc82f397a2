//! IEX-TP 1.25, the datagrams that carry IEX's DEEP and TOPS.

use super::DecodeError;
use super::sequence::NumberedPacket;
use super::wire::{ByteOrder, at_least, u16_le, u32_le, u64_le};

/// Byte order of IEX-TP's integers, those before each message too.
pub(super) const ORDER: ByteOrder = ByteOrder::Little;

const HEADER: usize = 40;
const VERSION: u8 = 1;

/// One IEX-TP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IexTpSegment<'a> {
    /// Which messages it carries.
    pub(super) protocol: u16,
    /// The part of the feed.
    pub(super) channel: u32,
    /// Its messages and their numbers.
    pub(super) packet: NumberedPacket<'a>,
}

impl<'a> IexTpSegment<'a> {
    /// Reads a segment.
    ///
    /// # Errors
    /// [`DecodeError`] where it is of another version, or shorter or longer than what it says it holds.
    #[inline]
    pub(super) fn parse(payload: &'a [u8]) -> Result<IexTpSegment<'a>, DecodeError> {
        at_least(payload, HEADER)?;
        if payload[0] != VERSION {
            return Err(DecodeError::Unsupported("IEX-TP version", payload[0].into()));
        }
        let (length, count) = (usize::from(u16_le(payload, 12)), u16_le(payload, 14));
        if payload.len() != HEADER + length {
            return Err(DecodeError::OutOfRange("IEX-TP payload length"));
        }
        let mut session = [0; 10];
        session[..4].copy_from_slice(&payload[8..12]);
        Ok(IexTpSegment {
            protocol: u16_le(payload, 2),
            channel: u32_le(payload, 4),
            packet: NumberedPacket::messages(session, u64_le(payload, 24), count, &payload[HEADER..], ORDER)?,
        })
    }
}

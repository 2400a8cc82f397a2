//! MoldUDP64 1.0, the datagrams that carry NASDAQ's ITCH feeds: session, number of the first message, count, messages.

use super::DecodeError;
use super::sequence::NumberedPacket;
use super::wire::{ByteOrder, at_least, u16_be, u64_be};

/// Byte order of MoldUDP64's integers, those before each message too.
pub(super) const ORDER: ByteOrder = ByteOrder::Big;

const HEADER: usize = 20;
const END_OF_SESSION: u16 = 0xFFFF;

/// Reads a downstream packet.
///
/// # Errors
/// [`DecodeError`] where the payload is shorter or longer than what it says it holds.
#[inline]
pub(super) fn parse(payload: &[u8]) -> Result<NumberedPacket<'_>, DecodeError> {
    at_least(payload, HEADER)?;
    let mut session = [0; 10];
    session.copy_from_slice(&payload[..10]);
    let (first, count) = (u64_be(payload, 10), u16_be(payload, 18));
    match count {
        END_OF_SESSION => Ok(NumberedPacket::end(session, first)),
        _ => NumberedPacket::messages(session, first, count, &payload[HEADER..], ORDER),
    }
}

//! Packet captures: classic pcap and pcapng, told apart by their first bytes and never by a name.
//!
//! The reader holds no bytes. It is shown what has been read so far and says how much of it is done with, so the same code reads a
//! mapped file, a decompressor's output and a pipe. Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

use super::packet::LinkType;
use super::wire::{ByteOrder, at_least, u32_le};
use super::{DecodeError, MESSAGE_BYTES_MAX};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// The largest number of interfaces in one pcapng section.
pub const INTERFACES_MAX: usize = 256;

/// One captured packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// When it was captured; 0 where the capture does not say (pcapng's simple packets).
    pub recv: Timestamp,
    /// What its first bytes are.
    pub link_type: LinkType,
    /// What was kept of it.
    pub bytes: &'a [u8],
    /// Its length on the wire; more than `bytes` where the capture cut it short.
    pub wire_len: u32,
}

impl Packet<'_> {
    /// Whether the capture kept only the beginning.
    #[inline]
    pub fn is_truncated(&self) -> bool {
        self.bytes.len() < self.wire_len as usize
    }
}

/// What the next bytes of a capture are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PcapStep<'a> {
    /// A packet.
    Packet {
        /// Bytes done with, from the start of the buffer.
        consumed: usize,
        /// The packet.
        packet: Packet<'a>,
    },
    /// No packet (a header, a description, statistics).
    Skip {
        /// Bytes done with, from the start of the buffer.
        consumed: usize,
    },
    /// Not all there: the buffer has to hold at least so many bytes.
    NeedMore(usize),
}

/// Reads a capture step by step.
#[derive(Debug)]
pub struct PcapReader {
    format: Format,
    /// Of the present pcapng section.
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Unknown,
    Pcap { order: ByteOrder, nanos_per_fraction: i64, link_type: LinkType },
    Pcapng(ByteOrder),
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: LinkType,
    /// Bytes kept of a packet; 0 for all.
    snap_len: u32,
    resolution: Resolution,
    offset_seconds: i64,
}

/// Length of one unit of a pcapng interface's times.
#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// 10 to the minus this, in seconds.
    Decimal(u32),
    /// 2 to the minus this, in seconds.
    Binary(u32),
}

const PCAP_HEADER: usize = 24;
const PCAP_RECORD_HEADER: usize = 16;
const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const OPTION_END: u16 = 0;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

impl Default for PcapReader {
    fn default() -> Self {
        Self::new()
    }
}

impl PcapReader {
    /// A reader at the start of a capture.
    pub fn new() -> PcapReader {
        PcapReader { format: Format::Unknown, interfaces: Vec::with_capacity(INTERFACES_MAX) }
    }

    /// What the next bytes are. `buffer` starts where the last step ended.
    ///
    /// # Errors
    /// [`DecodeError`] where these are not the bytes of a capture; there is no way on from there.
    pub fn next<'a>(&mut self, buffer: &'a [u8]) -> Result<PcapStep<'a>, DecodeError> {
        match self.format {
            Format::Unknown => self.open(buffer),
            Format::Pcap { order, nanos_per_fraction, link_type } => record(order, nanos_per_fraction, link_type, buffer),
            Format::Pcapng(order) => self.block(order, buffer),
        }
    }

    fn open<'a>(&mut self, buffer: &'a [u8]) -> Result<PcapStep<'a>, DecodeError> {
        if buffer.len() < 4 {
            return Ok(PcapStep::NeedMore(4));
        }
        let (order, nanos_per_fraction) = match u32_le(buffer, 0) {
            SECTION_HEADER => return self.block(ByteOrder::Little, buffer),
            0xA1B2_C3D4 => (ByteOrder::Little, 1_000),
            0xA1B2_3C4D => (ByteOrder::Little, 1),
            0xD4C3_B2A1 => (ByteOrder::Big, 1_000),
            0x4D3C_B2A1 => (ByteOrder::Big, 1),
            magic => return Err(DecodeError::Unsupported("capture magic", magic.into())),
        };
        if buffer.len() < PCAP_HEADER {
            return Ok(PcapStep::NeedMore(PCAP_HEADER));
        }
        // The upper half holds flags (the length of the frame check sequence).
        let link_type = LinkType(order.u32(buffer, 20) as u16);
        self.format = Format::Pcap { order, nanos_per_fraction, link_type };
        Ok(PcapStep::Skip { consumed: PCAP_HEADER })
    }

    fn block<'a>(&mut self, order: ByteOrder, buffer: &'a [u8]) -> Result<PcapStep<'a>, DecodeError> {
        if buffer.len() < 12 {
            return Ok(PcapStep::NeedMore(12));
        }
        let kind = order.u32(buffer, 0);
        // A section says its own byte order before its length can be read.
        let order = match (kind, u32_le(buffer, 8)) {
            (SECTION_HEADER, 0x1A2B_3C4D) => ByteOrder::Little,
            (SECTION_HEADER, 0x4D3C_2B1A) => ByteOrder::Big,
            (SECTION_HEADER, magic) => return Err(DecodeError::Unsupported("pcapng byte-order magic", magic.into())),
            _ => order,
        };
        let length = order.u32(buffer, 4) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        if length < 12 || !length.is_multiple_of(4) {
            return Err(DecodeError::OutOfRange("pcapng block length"));
        }
        if buffer.len() < length {
            return Ok(PcapStep::NeedMore(length));
        }
        if order.u32(buffer, length - 4) as usize != length {
            return Err(DecodeError::OutOfRange("pcapng block length"));
        }
        let body = &buffer[8..length - 4];
        let packet = match kind {
            SECTION_HEADER => {
                at_least(body, 16)?;
                match order.u16(body, 4) {
                    1 => {}
                    version => return Err(DecodeError::Unsupported("pcapng version", version.into())),
                }
                self.interfaces.clear();
                self.format = Format::Pcapng(order);
                None
            }
            INTERFACE_DESCRIPTION => {
                if self.interfaces.len() == INTERFACES_MAX {
                    return Err(DecodeError::Capacity("pcapng interfaces"));
                }
                self.interfaces.push(Interface::read(order, body)?);
                None
            }
            ENHANCED_PACKET => {
                at_least(body, 20)?;
                Some(self.timed_packet(order, order.u32(body, 0) as usize, body)?)
            }
            OBSOLETE_PACKET => {
                at_least(body, 20)?;
                Some(self.timed_packet(order, usize::from(order.u16(body, 0)), body)?)
            }
            SIMPLE_PACKET => {
                at_least(body, 4)?;
                let interface = self.interface(0)?;
                let wire_len = order.u32(body, 0);
                let kept = if interface.snap_len == 0 { wire_len } else { wire_len.min(interface.snap_len) } as usize;
                let bytes = body[4..].get(..kept).ok_or(DecodeError::Truncated(kept, body.len() - 4))?;
                Some(Packet { recv: Timestamp(0), link_type: interface.link_type, bytes, wire_len })
            }
            _ => None,
        };
        Ok(match packet {
            Some(packet) => PcapStep::Packet { consumed: length, packet },
            None => PcapStep::Skip { consumed: length },
        })
    }

    /// The enhanced packet and its forerunner differ only in how wide the interface's number is.
    fn timed_packet<'a>(&self, order: ByteOrder, interface: usize, body: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        let interface = self.interface(interface)?;
        let units = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let kept = order.u32(body, 12) as usize;
        let bytes = body[20..].get(..kept).ok_or(DecodeError::Truncated(kept, body.len() - 20))?;
        Ok(Packet { recv: interface.time(units)?, link_type: interface.link_type, bytes, wire_len: order.u32(body, 16) })
    }

    fn interface(&self, number: usize) -> Result<&Interface, DecodeError> {
        self.interfaces.get(number).ok_or(DecodeError::OutOfRange("pcapng interface"))
    }
}

impl Interface {
    fn read(order: ByteOrder, body: &[u8]) -> Result<Interface, DecodeError> {
        at_least(body, 8)?;
        let mut interface = Interface {
            link_type: LinkType(order.u16(body, 0)),
            snap_len: order.u32(body, 4),
            resolution: Resolution::Decimal(6),
            offset_seconds: 0,
        };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            let value = options[4..].get(..length).ok_or(DecodeError::Truncated(length, options.len() - 4))?;
            match code {
                OPTION_END => break,
                OPTION_TIME_RESOLUTION if length >= 1 => interface.resolution = Resolution::read(value[0])?,
                OPTION_TIME_OFFSET if length >= 8 => interface.offset_seconds = order.u64(value, 0) as i64,
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(interface)
    }

    fn time(&self, units: u64) -> Result<Timestamp, DecodeError> {
        let nanos = u128::from(units) * NANOS_PER_SECOND as u128;
        let nanos = match self.resolution {
            Resolution::Decimal(power) => nanos / 10_u128.pow(power),
            Resolution::Binary(power) => nanos >> power,
        };
        // Less than 2^94, and an offset of less than 2^93.
        let nanos = nanos as i128 + i128::from(self.offset_seconds) * i128::from(NANOS_PER_SECOND);
        i64::try_from(nanos).map(Timestamp).map_err(|_| DecodeError::OutOfRange("packet time"))
    }
}

impl Resolution {
    fn read(byte: u8) -> Result<Resolution, DecodeError> {
        let power = u32::from(byte & 0x7F);
        match byte & 0x80 {
            0 if power <= 19 => Ok(Resolution::Decimal(power)),
            0x80 if power <= 63 => Ok(Resolution::Binary(power)),
            _ => Err(DecodeError::Unsupported("pcapng time resolution", byte.into())),
        }
    }
}

fn record(order: ByteOrder, nanos_per_fraction: i64, link_type: LinkType, buffer: &[u8]) -> Result<PcapStep<'_>, DecodeError> {
    if buffer.len() < PCAP_RECORD_HEADER {
        return Ok(PcapStep::NeedMore(PCAP_RECORD_HEADER));
    }
    let kept = order.u32(buffer, 8) as usize;
    if kept > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLong);
    }
    let consumed = PCAP_RECORD_HEADER + kept;
    if buffer.len() < consumed {
        return Ok(PcapStep::NeedMore(consumed));
    }
    // 2^32 seconds and 2^32 microseconds fit.
    let recv = i64::from(order.u32(buffer, 0)) * NANOS_PER_SECOND + i64::from(order.u32(buffer, 4)) * nanos_per_fraction;
    let bytes = &buffer[PCAP_RECORD_HEADER..consumed];
    Ok(PcapStep::Packet { consumed, packet: Packet { recv: Timestamp(recv), link_type, bytes, wire_len: order.u32(buffer, 12) } })
}

//! From a captured frame to the payload of its UDP datagram.
//!
//! Lengths are those of the IP and UDP headers, never the frame's: short Ethernet frames are padded to 60 bytes.

use super::DecodeError;
use super::wire::{at_least, u16_be, u32_le};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What the first bytes of a captured packet are: a number of the tcpdump.org list of link-layer header types.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: an address family of four bytes in the byte order of the capturing host.
    pub const BSD_LOOPBACK: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// An IP packet, nothing before it.
    pub const RAW_IP: LinkType = LinkType(101);
    /// Linux "cooked" capture.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// An IPv4 packet, nothing before it.
    pub const IPV4: LinkType = LinkType(228);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);
    /// The payload of a datagram alone, as a socket gives it; no number of that list. Its addresses are unknown.
    pub const UDP_PAYLOAD: LinkType = LinkType(u16::MAX);
}

/// A UDP datagram over IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpDatagram<'a> {
    /// Where it comes from.
    pub source: SocketAddrV4,
    /// Where it goes to: of a multicast feed, the group.
    pub destination: SocketAddrV4,
    /// What it carries.
    pub payload: &'a [u8],
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const PROTOCOL_UDP: u8 = 17;

impl<'a> UdpDatagram<'a> {
    /// Finds the datagram in a captured packet.
    ///
    /// # Errors
    /// [`DecodeError::Unsupported`] names what the packet is instead (another link, network or transport protocol, a fragment);
    /// [`DecodeError::Truncated`] where headers claim more bytes than were kept.
    #[inline]
    pub fn parse(link_type: LinkType, frame: &'a [u8]) -> Result<UdpDatagram<'a>, DecodeError> {
        if link_type == LinkType::UDP_PAYLOAD {
            let unknown = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            return Ok(UdpDatagram { source: unknown, destination: unknown, payload: frame });
        }
        let ip = network_packet(link_type, frame)?;
        at_least(ip, 20)?;
        let version = ip[0] >> 4;
        if version != 4 {
            return Err(DecodeError::Unsupported("IP version", version.into()));
        }
        let header = usize::from(ip[0] & 0x0F) * 4;
        let total = usize::from(u16_be(ip, 2));
        if header < 20 || total < header {
            return Err(DecodeError::OutOfRange("IPv4 length"));
        }
        at_least(ip, total)?;
        let fragment = u16_be(ip, 6) & 0x3FFF;
        if fragment != 0 {
            // More to follow, or not the first.
            return Err(DecodeError::Unsupported("IPv4 fragment with offset and flag", fragment.into()));
        }
        if ip[9] != PROTOCOL_UDP {
            return Err(DecodeError::Unsupported("IP protocol", ip[9].into()));
        }
        let udp = &ip[header..total];
        at_least(udp, 8)?;
        let length = usize::from(u16_be(udp, 4));
        if length < 8 {
            return Err(DecodeError::OutOfRange("UDP length"));
        }
        at_least(udp, length)?;
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        Ok(UdpDatagram {
            source: SocketAddrV4::new(address(12), u16_be(udp, 0)),
            destination: SocketAddrV4::new(address(16), u16_be(udp, 2)),
            payload: &udp[8..length],
        })
    }
}

/// The IP packet in a frame.
#[inline]
fn network_packet(link_type: LinkType, frame: &[u8]) -> Result<&[u8], DecodeError> {
    let (mut ethertype, mut rest) = match link_type {
        LinkType::ETHERNET => split(frame, 12, 14)?,
        LinkType::LINUX_SLL => split(frame, 14, 16)?,
        LinkType::LINUX_SLL2 => split(frame, 0, 20)?,
        LinkType::RAW_IP | LinkType::IPV4 => return Ok(frame),
        LinkType::BSD_LOOPBACK => {
            at_least(frame, 4)?;
            // AF_INET is 2 everywhere; a small number in one byte order is a large one in the other.
            return match u32_le(frame, 0) {
                0x0000_0002 | 0x0200_0000 => Ok(&frame[4..]),
                family => Err(DecodeError::Unsupported("address family", family.into())),
            };
        }
        LinkType(other) => return Err(DecodeError::Unsupported("link type", other.into())),
    };
    // VLAN tags, which may stack.
    while matches!(ethertype, 0x8100 | 0x88A8 | 0x9100) {
        (ethertype, rest) = split(rest, 2, 4)?;
    }
    if ethertype != ETHERTYPE_IPV4 {
        return Err(DecodeError::Unsupported("EtherType", ethertype.into()));
    }
    Ok(rest)
}

/// The EtherType in a header of a fixed length, and what follows the header.
#[inline]
fn split(bytes: &[u8], ethertype_at: usize, header: usize) -> Result<(u16, &[u8]), DecodeError> {
    at_least(bytes, header)?;
    Ok((u16_be(bytes, ethertype_at), &bytes[header..]))
}

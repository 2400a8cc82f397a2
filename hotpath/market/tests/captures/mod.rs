//! The captures that several tests read, and a whole capture taken apart in one go.

#![allow(dead_code)] // No test uses all of it.

use chronos_market::Timestamp;
use chronos_market::decode::{DecodeError, DecodeSink, LinkType, Message, PcapReader, PcapStep};
use etherparse::PacketBuilder;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::Read;

/// A packet with bytes of its own.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct OwnedPacket {
    pub(crate) recv: Timestamp,
    pub(crate) link_type: LinkType,
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_len: u32,
}

/// Every packet of a capture, and why it ended before its last byte, if it did.
pub(crate) fn packets(capture: &[u8]) -> (Vec<OwnedPacket>, Option<DecodeError>) {
    let (mut reader, mut packets, mut rest) = (PcapReader::new(), Vec::new(), capture);
    while !rest.is_empty() {
        match reader.next(rest) {
            Ok(PcapStep::Packet { consumed, packet }) => {
                let (recv, link_type, wire_len) = (packet.recv, packet.link_type, packet.wire_len);
                packets.push(OwnedPacket { recv, link_type, bytes: packet.bytes.to_vec(), wire_len });
                rest = &rest[consumed..];
            }
            Ok(PcapStep::Skip { consumed }) => rest = &rest[consumed..],
            Ok(PcapStep::NeedMore(needed)) => return (packets, Some(DecodeError::Truncated(needed, rest.len()))),
            Err(error) => return (packets, Some(error)),
        }
    }
    (packets, None)
}

/// The small captures of many venues, by name; empty where they are missing.
pub(crate) fn small_captures() -> Vec<(String, Vec<u8>)> {
    let Some(path) = chronos_tests::data_file("pcap_samples/omi_packets_public.tar.gz") else { return Vec::new() };
    let mut archive = tar::Archive::new(MultiGzDecoder::new(File::open(path).expect("open")));
    let mut captures = Vec::new();
    for entry in archive.entries().expect("tar") {
        let mut entry = entry.expect("tar entry");
        let name = entry.path().expect("name").display().to_string();
        if name.ends_with(".pcap") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("read");
            captures.push((name, bytes));
        }
    }
    captures.sort();
    captures
}

/// A gzipped capture whole; `None` where it is missing.
pub(crate) fn gzipped(name: &str) -> Option<Vec<u8>> {
    let path = chronos_tests::data_file(name)?;
    let mut bytes = Vec::new();
    MultiGzDecoder::new(File::open(path).expect("open")).read_to_end(&mut bytes).expect("gunzip");
    Some(bytes)
}

/// Every message as text, in order.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl DecodeSink for Lines {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        self.0.push(format!("{message:?}"));
    }
}

impl Lines {
    pub(crate) fn count(&self, beginning: &str) -> usize {
        self.0.iter().filter(|line| line.starts_with(beginning)).count()
    }
}

/// An Ethernet frame with a datagram to a multicast group.
pub(crate) fn frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [1, 0, 0x5E, 1, 2, 3]).ipv4([10, 0, 0, 1], [233, 1, 2, 3], 4).udp(9, port);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("write");
    frame
}

/// A MoldUDP64 packet.
pub(crate) fn mold(session: &[u8; 10], first: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = session.to_vec();
    payload.extend(first.to_be_bytes());
    payload.extend((messages.len() as u16).to_be_bytes());
    for message in messages {
        payload.extend((message.len() as u16).to_be_bytes());
        payload.extend(message);
    }
    payload
}

/// Bytes from hexadecimal digits; anything else is skipped.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

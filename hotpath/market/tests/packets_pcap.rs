//! pcap and pcapng against pcap-parser, and against what a writer of captures meant.

mod captures;

use captures::{OwnedPacket, gzipped, packets, small_captures};
use chronos_market::Timestamp;
use chronos_market::decode::{DecodeError, LinkType, PcapReader, PcapStep};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader};
use proptest::prelude::*;

/// A classic capture as pcap-parser reads it.
fn reference(capture: &[u8]) -> Vec<OwnedPacket> {
    let mut reader = LegacyPcapReader::new(1 << 20, capture).expect("a header");
    let (mut found, mut link_type, mut nanos) = (Vec::new(), 0, 0);
    loop {
        match reader.next() {
            Ok((consumed, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        link_type = header.network.0;
                        nanos = if header.is_nanosecond_precision() { 1 } else { 1_000 };
                    }
                    PcapBlockOwned::Legacy(block) => found.push(OwnedPacket {
                        recv: Timestamp(i64::from(block.ts_sec) * 1_000_000_000 + i64::from(block.ts_usec) * nanos),
                        link_type: LinkType(link_type as u16),
                        bytes: block.data.to_vec(),
                        wire_len: block.origlen,
                    }),
                    PcapBlockOwned::NG(_) => panic!("not a classic capture"),
                }
                reader.consume(consumed);
            }
            Err(PcapError::Eof) => return found,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("refill"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Bytes, lengths and link types of a pcapng capture's packets as pcap-parser reads them. It has no say on times: it takes no
/// binary resolution and reads the offset in one byte order.
fn reference_ng(capture: &[u8]) -> Vec<(u32, Vec<u8>, u32)> {
    let mut reader = PcapNGReader::new(1 << 20, capture).expect("a header");
    let (mut found, mut links) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok((consumed, PcapBlockOwned::NG(block))) => {
                match block {
                    Block::SectionHeader(_) => links.clear(),
                    Block::InterfaceDescription(interface) => links.push((interface.linktype.0 as u32, interface.snaplen)),
                    Block::EnhancedPacket(packet) => {
                        let bytes = packet.data[..packet.caplen as usize].to_vec();
                        found.push((links[packet.if_id as usize].0, bytes, packet.origlen));
                    }
                    Block::SimplePacket(packet) => {
                        let (link, snap_len) = links[0];
                        let kept = if snap_len == 0 { packet.origlen } else { packet.origlen.min(snap_len) };
                        found.push((link, packet.data[..kept as usize].to_vec(), packet.origlen));
                    }
                    _ => {}
                }
                reader.consume(consumed);
            }
            Ok(_) => panic!("not pcapng"),
            Err(PcapError::Eof) => return found,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("refill"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn reads_every_small_capture_as_pcap_parser_does() {
    let captures = small_captures();
    for (name, capture) in &captures {
        assert_eq!(packets(capture), (reference(capture), None), "{name}");
    }
    assert!(captures.is_empty() || captures.len() == 90);
}

#[test]
fn reads_the_iex_captures_as_pcap_parser_does() {
    for (name, count) in [("iex/deep10_20170425_part1.pcap.gz", 72_789), ("iex/tops16_20170710_part1.pcap.gz", 7_813)] {
        let Some(capture) = gzipped(name) else { continue };
        let (found, error) = packets(&capture);
        assert_eq!((found.len(), error), (count, None), "{name}");
        assert!(found == reference(&capture), "{name}");
        assert!(found.iter().all(|packet| packet.bytes.len() == packet.wire_len as usize));
    }
}

/// Writes integers in either order.
struct Writer {
    bytes: Vec<u8>,
    is_big: bool,
}

impl Writer {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes.extend(if self.is_big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend(if self.is_big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn padded(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.u32(kind).u32(0);
        body(self);
        let length = (self.bytes.len() - start + 4) as u32;
        self.u32(length);
        let written = if self.is_big { length.to_be_bytes() } else { length.to_le_bytes() };
        self.bytes[start + 4..start + 8].copy_from_slice(&written);
    }
}

/// What is written into a pcapng capture.
#[derive(Clone, Debug)]
enum Written {
    Section { is_big: bool },
    Interface { link: u16, snap_len: u32, resolution: Option<u8>, offset: Option<i32> },
    Enhanced { interface: usize, units: u64, data: Vec<u8>, cut: u32 },
    Obsolete { interface: usize, units: u64, data: Vec<u8>, cut: u32 },
    Simple { data: Vec<u8> },
    Unknown { kind: u32, body: Vec<u8> },
}

fn written() -> impl Strategy<Value = Written> {
    let data = || prop::collection::vec(any::<u8>(), 0..40);
    // A time that lies in the range whatever the unit, and any below.
    let units = || prop_oneof![0..1_u64 << 32, 1_400_000_000_000_000..1_800_000_000_000_000_u64];
    prop_oneof![
        1 => any::<bool>().prop_map(|is_big| Written::Section { is_big }),
        3 => (any::<u16>(), 0..20_u32, prop::option::of(prop_oneof![6..=12_u8, 0x90..=0xA0_u8]), prop::option::of(any::<i32>()))
            .prop_map(|(link, snap_len, resolution, offset)| Written::Interface { link, snap_len, resolution, offset }),
        8 => (any::<usize>(), units(), data(), 0..9_u32)
            .prop_map(|(interface, units, data, cut)| Written::Enhanced { interface, units, data, cut }),
        2 => (any::<usize>(), units(), data(), 0..9_u32)
            .prop_map(|(interface, units, data, cut)| Written::Obsolete { interface, units, data, cut }),
        2 => data().prop_map(|data| Written::Simple { data }),
        2 => (prop_oneof![Just(4_u32), Just(5), Just(0x0BAD), 100..u32::MAX], data())
            .prop_filter("a section", |(kind, _)| *kind != 0x0A0D_0D0A)
            .prop_map(|(kind, body)| Written::Unknown { kind, body }),
    ]
}

/// Writes a capture and says what has to be read from it.
fn write(parts: &[Written]) -> (Vec<u8>, Vec<OwnedPacket>) {
    let mut writer = Writer { bytes: Vec::new(), is_big: false };
    let (mut expected, mut interfaces) = (Vec::new(), Vec::<(u16, u32, u8, i32)>::new());
    let first = Written::Section { is_big: parts.len().is_multiple_of(2) };
    for part in std::iter::once(&first).chain(parts) {
        match part {
            Written::Section { is_big } => {
                writer.is_big = *is_big;
                interfaces.clear();
                writer.block(0x0A0D_0D0A, |writer| {
                    writer.u32(0x1A2B_3C4D).u16(1).u16(0).u32(u32::MAX).u32(u32::MAX);
                });
            }
            Written::Interface { link, snap_len, resolution, offset } => {
                interfaces.push((*link, *snap_len, resolution.unwrap_or(6), offset.unwrap_or(0)));
                writer.block(1, |writer| {
                    writer.u16(*link).u16(0).u32(*snap_len);
                    writer.u16(2).u16(3).padded(b"eth");
                    if let Some(resolution) = resolution {
                        writer.u16(9).u16(1).padded(&[*resolution]);
                    }
                    if let Some(offset) = offset {
                        writer.u16(14).u16(8);
                        let (high, low) = ((i64::from(*offset) >> 32) as u32, *offset as u32);
                        let words = if writer.is_big { [high, low] } else { [low, high] };
                        writer.u32(words[0]).u32(words[1]);
                    }
                    writer.u16(0).u16(0);
                });
            }
            Written::Enhanced { interface, units, data, cut } | Written::Obsolete { interface, units, data, cut } => {
                let Some(number) = interface.checked_rem(interfaces.len()) else { continue };
                let (link, _, resolution, offset) = interfaces[number];
                let wire_len = data.len() as u32 + cut;
                let is_enhanced = matches!(part, Written::Enhanced { .. });
                writer.block(if is_enhanced { 6 } else { 2 }, |writer| {
                    if is_enhanced {
                        writer.u32(number as u32);
                    } else {
                        writer.u16(number as u16).u16(7);
                    }
                    writer.u32((units >> 32) as u32).u32(*units as u32).u32(data.len() as u32).u32(wire_len).padded(data);
                });
                // By the definition, in one rational number of nanoseconds, rounded down.
                let per_second = if resolution < 0x80 { 10_u128.pow(resolution.into()) } else { 1 << (resolution & 0x7F) };
                let nanos = u128::from(*units) * 1_000_000_000 / per_second;
                let recv = i64::try_from(nanos as i128 + i128::from(offset) * 1_000_000_000);
                let Ok(recv) = recv else { break };
                expected.push(OwnedPacket { recv: Timestamp(recv), link_type: LinkType(link), bytes: data.clone(), wire_len });
            }
            Written::Simple { data } => {
                let Some(&(link, snap_len, ..)) = interfaces.first() else { continue };
                let kept = if snap_len == 0 { data.len() } else { data.len().min(snap_len as usize) };
                writer.block(3, |writer| {
                    writer.u32(data.len() as u32).padded(&data[..kept]);
                });
                let wire_len = data.len() as u32;
                expected.push(OwnedPacket {
                    recv: Timestamp(0),
                    link_type: LinkType(link),
                    bytes: data[..kept].to_vec(),
                    wire_len,
                });
            }
            Written::Unknown { kind, body } => writer.block(*kind, |writer| {
                writer.padded(body);
            }),
        }
    }
    (writer.bytes, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn reads_what_was_written(parts in prop::collection::vec(written(), 0..40)) {
        let (capture, expected) = write(&parts);
        let (found, error) = packets(&capture);
        if error != Some(DecodeError::OutOfRange("packet time")) {
            prop_assert_eq!(error, None);
        }
        prop_assert_eq!(&found, &expected);
        // pcap-parser reports no obsolete packets, and refuses unknown blocks of some kinds.
        let is_known = |part: &Written| !matches!(part, Written::Obsolete { .. } | Written::Unknown { .. });
        if error.is_none() && parts.iter().all(is_known) {
            let said: Vec<_> = found.into_iter().map(|packet| (packet.link_type.0.into(), packet.bytes, packet.wire_len)).collect();
            prop_assert_eq!(said, reference_ng(&capture));
        }
    }

    #[test]
    fn a_capture_in_pieces_reads_the_same(parts in prop::collection::vec(written(), 0..20), sizes in prop::collection::vec(1..60_usize, 1..20)) {
        let (capture, _) = write(&parts);
        let whole = packets(&capture);
        let (mut reader, mut found, mut start, mut end, mut sizes) = (PcapReader::new(), Vec::new(), 0, 0, sizes.iter().cycle());
        let error = loop {
            match reader.next(&capture[start..end]) {
                Ok(PcapStep::Packet { consumed, packet }) => {
                    let (recv, link_type, wire_len) = (packet.recv, packet.link_type, packet.wire_len);
                    found.push(OwnedPacket { recv, link_type, bytes: packet.bytes.to_vec(), wire_len });
                    start += consumed;
                }
                Ok(PcapStep::Skip { consumed }) => start += consumed,
                Ok(PcapStep::NeedMore(needed)) => {
                    prop_assert!(needed > end - start);
                    if end == capture.len() {
                        break None;
                    }
                    end = (end + sizes.next().expect("cycles")).min(capture.len());
                }
                Err(error) => break Some(error),
            }
        };
        prop_assert_eq!((found, error), whole);
    }

    #[test]
    fn classic_captures_of_every_kind_read_alike(
        is_big: bool, is_nanos: bool, records in prop::collection::vec((any::<u32>(), 0..1_000_000_000_u32, prop::collection::vec(any::<u8>(), 0..30), 0..5_u32), 0..8)
    ) {
        let mut writer = Writer { bytes: Vec::new(), is_big };
        writer.u32(if is_nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(0x1000_0071);
        let mut expected = Vec::new();
        for (seconds, fraction, data, cut) in &records {
            let fraction = if is_nanos { *fraction } else { fraction % 1_000_000 };
            let wire_len = data.len() as u32 + cut;
            writer.u32(*seconds).u32(fraction).u32(data.len() as u32).u32(wire_len);
            writer.bytes.extend(data);
            let nanos = i64::from(*seconds) * 1_000_000_000 + i64::from(fraction) * if is_nanos { 1 } else { 1_000 };
            expected.push(OwnedPacket { recv: Timestamp(nanos), link_type: LinkType::LINUX_SLL, bytes: data.clone(), wire_len });
        }
        prop_assert_eq!(packets(&writer.bytes), (expected, None));
    }
}

#[test]
fn says_what_is_wrong() {
    let unsupported = |bytes: &[u8]| packets(bytes).1;
    assert_eq!(unsupported(b"PK\x03\x04rest"), Some(DecodeError::Unsupported("capture magic", 0x0403_4B50)));
    assert_eq!(unsupported(b"\xD4\xC3"), Some(DecodeError::Truncated(4, 2)));
    let section = b"\x0A\x0D\x0D\x0A\x1C\0\0\0\x4D\x3C\x2B\x1A\x01\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x1C\0\0\0";
    assert_eq!(packets(section), (Vec::new(), None));
    let mut damaged = section.to_vec();
    damaged[24] = 0x20;
    assert_eq!(unsupported(&damaged), Some(DecodeError::OutOfRange("pcapng block length")));
    let mut next = section.to_vec();
    next.extend(b"\x06\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0");
    assert_eq!(unsupported(&next), Some(DecodeError::OutOfRange("pcapng interface")));
}

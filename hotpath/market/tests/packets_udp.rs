//! Frames against etherparse.

mod captures;

use captures::{gzipped, packets, small_captures};
use chronos_market::decode::{DecodeError, LinkType, UdpDatagram};
use etherparse::{EtherType, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, ether_type};
use proptest::prelude::*;

/// Addresses and ports, of the source before those of the destination, and payload.
type Datagram = ([u8; 4], u16, [u8; 4], u16, Vec<u8>);

/// A whole UDP datagram over IPv4, as etherparse finds it.
fn reference(link_type: LinkType, frame: &[u8]) -> Option<Datagram> {
    let sliced = match link_type {
        LinkType::ETHERNET => SlicedPacket::from_ethernet(frame),
        LinkType::LINUX_SLL => SlicedPacket::from_linux_sll(frame),
        LinkType::RAW_IP | LinkType::IPV4 => SlicedPacket::from_ip(frame),
        LinkType::LINUX_SLL2 => {
            let kind = EtherType(u16::from_be_bytes([*frame.first()?, *frame.get(1)?]));
            SlicedPacket::from_ether_type(kind, frame.get(20..)?)
        }
        LinkType::BSD_LOOPBACK => {
            let family: [u8; 4] = frame.get(..4)?.try_into().ok()?;
            (matches!(family, [2, 0, 0, 0] | [0, 0, 0, 2])).then_some(())?;
            SlicedPacket::from_ether_type(ether_type::IPV4, &frame[4..])
        }
        _ => return None,
    };
    let sliced = sliced.ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (&sliced.net, &sliced.transport) else { return None };
    let header = ip.header();
    // etherparse takes a length of 0 as that of the packet; of a feed that is damage.
    let is_whole = !ip.is_payload_fragmented() && udp.length() >= 8 && header.protocol().0 == 17;
    is_whole.then(|| (header.source(), udp.source_port(), header.destination(), udp.destination_port(), udp.payload().to_vec()))
}

fn agrees(link_type: LinkType, frame: &[u8]) -> Result<(), String> {
    let found = UdpDatagram::parse(link_type, frame);
    let said = found.ok().map(|datagram| {
        let (source, destination) = (datagram.source, datagram.destination);
        (source.ip().octets(), source.port(), destination.ip().octets(), destination.port(), datagram.payload.to_vec())
    });
    if said == reference(link_type, frame) { Ok(()) } else { Err(format!("{link_type:?} {frame:02x?}: {found:?}")) }
}

#[test]
fn finds_the_payload_of_every_captured_frame() {
    let mut captures: Vec<Vec<u8>> = small_captures().into_iter().map(|(_, bytes)| bytes).collect();
    captures.extend(gzipped("iex/deep10_20170425_part1.pcap.gz"));
    captures.extend(gzipped("iex/tops16_20170710_part1.pcap.gz"));
    for packet in captures.iter().flat_map(|capture| packets(capture).0) {
        agrees(packet.link_type, &packet.bytes).unwrap_or_else(|difference| panic!("{difference}"));
        assert!(UdpDatagram::parse(packet.link_type, &packet.bytes).is_ok());
    }
}

const LINKS: [LinkType; 6] =
    [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW_IP, LinkType::IPV4, LinkType::BSD_LOOPBACK];

/// A frame with a datagram, up to three VLAN tags and up to ten words of IP options in it, and padding behind it.
fn frame(link_type: LinkType, tags: &[u16], options: &[u8], payload: &[u8], padding: usize) -> Vec<u8> {
    let mut ip = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [224, 0, 31, 1], 3);
    builder.udp(5_000, 14_310).write(&mut ip, payload).expect("write");
    let mut header = ip[..20].to_vec();
    header.extend(options);
    header[0] = 0x40 | (header.len() / 4) as u8;
    let total = (ip.len() + options.len()) as u16;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header.extend(&ip[20..]);

    let mut kinds = tags.to_vec();
    kinds.push(0x0800);
    let mut tagged: Vec<u8> = Vec::new();
    for kind in &kinds[1..] {
        tagged.extend([0x20, 0x05]);
        tagged.extend(kind.to_be_bytes());
    }
    let kind = kinds[0].to_be_bytes();
    let mut frame = match link_type {
        LinkType::ETHERNET => [&[1; 12][..], &kind, &tagged].concat(),
        LinkType::LINUX_SLL => [&[0, 2, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &kind, &tagged].concat(),
        LinkType::LINUX_SLL2 => [&kind[..], &[0; 18], &tagged].concat(),
        LinkType::BSD_LOOPBACK => vec![0, 0, 0, 2],
        _ => Vec::new(),
    };
    frame.extend(header);
    frame.resize(frame.len() + padding, 0xEE);
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn finds_what_was_framed(
        link in prop::sample::select(&LINKS[..]), tags in prop::collection::vec(prop::sample::select(&[0x8100_u16, 0x88A8, 0x9100][..]), 0..3),
        options in prop::collection::vec(any::<u32>(), 0..10), payload in prop::collection::vec(any::<u8>(), 0..60), padding in 0..20_usize
    ) {
        let options: Vec<u8> = options.iter().flat_map(|word| word.to_be_bytes()).collect();
        let frame = frame(link, &tags, &options, &payload, padding);
        let datagram = UdpDatagram::parse(link, &frame);
        prop_assert!(datagram.is_ok_and(|datagram| datagram.payload == payload && datagram.destination.to_string() == "224.0.31.1:14310"));
        prop_assert_eq!(agrees(link, &frame), Ok(()));
    }

    #[test]
    fn agrees_on_damaged_frames(
        link in prop::sample::select(&LINKS[..]), payload in prop::collection::vec(any::<u8>(), 0..30), cut in 0..4_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)
    ) {
        let mut frame = frame(link, &[0x8100], &[], &payload, 0);
        frame.truncate(frame.len() - cut);
        for (place, value) in flips {
            let place = place.index(frame.len());
            frame[place] = value;
        }
        // etherparse knows two things more: MACsec, and packet types of a cooked capture.
        let is_beyond = |frame: &[u8]| frame.windows(2).take(20).any(|kind| kind == [0x88, 0xE5]) || link == LinkType::LINUX_SLL;
        let agreed = agrees(link, &frame);
        prop_assert!(agreed.is_ok() || is_beyond(&frame), "{:?}", agreed);
    }
}

#[test]
fn says_what_a_packet_is_instead() {
    let whole = frame(LinkType::ETHERNET, &[], &[], b"payload", 0);
    let refused = |at: usize, value: u8| {
        let mut frame = whole.clone();
        frame[at] = value;
        UdpDatagram::parse(LinkType::ETHERNET, &frame).unwrap_err().to_string()
    };
    assert_eq!(refused(23, 6), "IP protocol 6 (0x6) is not supported");
    assert_eq!(refused(20, 0x20), "IPv4 fragment with offset and flag 8192 (0x2000) is not supported");
    assert_eq!(refused(21, 0x01), "IPv4 fragment with offset and flag 1 (0x1) is not supported");
    assert_eq!(refused(12, 0x86), "EtherType 34304 (0x8600) is not supported");
    assert_eq!(refused(14, 0x65), "IP version 6 (0x6) is not supported");
    assert_eq!(refused(17, 0xFF), "cut short: 255 bytes needed, 35 there");
    let error = UdpDatagram::parse(LinkType(105), &whole).unwrap_err();
    assert_eq!(error, DecodeError::Unsupported("link type", 105));
}

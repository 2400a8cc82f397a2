//! Every small capture of many venues is decoded, or refused with the reason; run with `--nocapture` for a line each.

mod captures;

use captures::{Lines, packets, small_captures};
use chronos_market::Timestamp;
use chronos_market::decode::{Decoder, FeedProtocol, PacketDecoder, ReorderWindow, UdpDatagram, new_york_midnight};

/// What came of a capture: the feed and its messages, or the reason why there are none.
fn outcome(capture: &[u8]) -> Result<(FeedProtocol, Lines), String> {
    let (packets, error) = packets(capture);
    assert_eq!(error, None);
    let first = packets.first().ok_or("no packet")?;
    let mut decoder = PacketDecoder::new(new_york_midnight(first.recv), ReorderWindow::default());
    let (mut lines, mut protocol) = (Lines::default(), None);
    for packet in &packets {
        let datagram = UdpDatagram::parse(packet.link_type, &packet.bytes).map_err(|error| error.to_string())?;
        decoder.set_link_type(packet.link_type);
        decoder
            .decode(&packet.bytes, packet.recv, &mut lines)
            .map_err(|error| format!("UDP payload of {} bytes to {}: {error}", datagram.payload.len(), datagram.destination))?;
        protocol = FeedProtocol::detect(&datagram).ok();
    }
    decoder.finish(Timestamp::MAX, &mut lines).map_err(|error| error.to_string())?;
    Ok((protocol.ok_or("no feed")?, lines))
}

#[test]
fn every_small_capture_is_decoded_or_refused_with_the_reason() {
    let (mut decoded, mut refused) = (0, 0);
    for (name, capture) in small_captures() {
        // One of NASDAQ's lies among MEMX's.
        let is_itch = name.starts_with("Nasdaq/") || name == "Memx/Equities.MemiorDepth.v1.3/StockTradingActionMessage.pcap";
        let expected = if is_itch {
            Some(FeedProtocol::Itch50)
        } else if name.contains("Iex/Deep.") {
            Some(FeedProtocol::Deep10)
        } else if name.contains("Iex/Tops.") {
            Some(FeedProtocol::Tops16)
        } else {
            None
        };
        match outcome(&capture) {
            Ok((protocol, lines)) => {
                let messages = lines.0.len() - lines.count("Feed(");
                println!("{name}: {protocol:?}, {messages} messages, {} of the feed itself", lines.count("Feed("));
                assert_eq!(Some(protocol), expected, "{name}");
                assert!(messages > 0 || name.contains("Heartbeat"), "{name}: {:?}", lines.0);
                decoded += 1;
            }
            Err(reason) => {
                println!("{name}: refused, {reason}");
                assert_eq!(expected, None, "{name}");
                let says = if name.contains("DeepPlus") { "message protocol in IEX-TP 32773 (0x8005)" } else { "on UDP port" };
                assert!(reason.contains(says), "{name}: {reason}");
                refused += 1;
            }
        }
    }
    assert!((decoded, refused) == (0, 0) || (decoded, refused) == (28, 62), "{decoded} decoded, {refused} refused");
}

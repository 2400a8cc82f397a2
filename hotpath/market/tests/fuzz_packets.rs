//! No bytes make a reader of captures, packets or binary feeds panic, and none make it lose its place.
//!
//! Each target runs its committed corpus, then random input for a second; `cargo bolero test NAME` runs one for as long as it is let.

use chronos_market::Timestamp;
use chronos_market::decode::{
    BinaryFileStep, DbnDecoder, DbnMetadata, DbnStep, DecodeSink, Decoder, FeedMessage, ItchDecoder, ItchMessage, LinkType,
    Message, PacketDecoder, PcapReader, PcapStep, ReorderWindow, UdpDatagram, split_binary_file, split_dbn_record,
};
use std::sync::{Mutex, PoisonError};

/// Looks at what is handed over as far as every message can be judged.
#[derive(Default)]
struct Judge {
    messages: u32,
}

impl DecodeSink for Judge {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        self.messages += 1;
        match message {
            Message::Feed(FeedMessage::Gap { first, last }) => assert!(first <= last),
            Message::Trade(trade) => assert!(trade.qty.0 >= 0),
            _ => {}
        }
        assert!(message.symbol().is_none_or(|symbol| !symbol.is_empty()), "{message:?}");
    }
}

#[test]
fn capture_file() {
    bolero::check!().for_each(|capture: &[u8]| {
        let (mut reader, mut rest) = (PcapReader::new(), capture);
        loop {
            match reader.next(rest) {
                Ok(PcapStep::Packet { consumed, packet }) => {
                    assert!(packet.bytes.len() < consumed);
                    let _ = UdpDatagram::parse(packet.link_type, packet.bytes);
                    rest = &rest[consumed..];
                }
                Ok(PcapStep::Skip { consumed }) => {
                    assert!(consumed > 0);
                    rest = &rest[consumed..];
                }
                Ok(PcapStep::NeedMore(needed)) => {
                    assert!(needed > rest.len());
                    break;
                }
                Err(_) => break,
            }
        }
    });
}

/// The first byte of a packet says how many follow and the next two when it came; the rest is what a link type's packet holds.
#[test]
fn captured_packets() {
    const LINKS: [LinkType; 5] =
        [LinkType::ETHERNET, LinkType::RAW_IP, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::BSD_LOOPBACK];
    bolero::check!().for_each(|input: &[u8]| {
        let mut decoder = PacketDecoder::new(Timestamp(0), ReorderWindow { packets: 4, nanos: 10_000_000 });
        let (mut judge, mut recv, mut rest) = (Judge::default(), 0, input);
        while let [length, step, link, behind @ ..] = rest {
            let (packet, next) = behind.split_at(behind.len().min(usize::from(*length)));
            recv += i64::from(*step) * 4_000_000;
            let before = judge.messages;
            if *link < 128 {
                decoder.set_link_type(LINKS[usize::from(*link) % LINKS.len()]);
                let _ = decoder.decode(packet, Timestamp(recv), &mut judge);
            } else {
                // As the payload of a datagram, so that random bytes come further.
                decoder.set_link_type(LinkType::RAW_IP);
                let _ = decoder.decode(&datagram(packet), Timestamp(recv), &mut judge);
            }
            // Each message has two bytes of length, those of five packets at most can come at once, with a gap before each.
            assert!(judge.messages - before <= 5 * 256);
            rest = next;
        }
        let _ = decoder.finish(Timestamp(recv), &mut judge);
    });
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend((28 + payload.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 233, 1, 2, 3]);
    ip.extend([0, 9, 0, 9]);
    ip.extend((8 + payload.len() as u16).to_be_bytes());
    ip.extend([0, 0]);
    ip.extend(payload);
    ip
}

#[test]
fn itch_file() {
    let shared = Mutex::new(ItchDecoder::new(Timestamp(0)));
    bolero::check!().for_each(|file: &[u8]| {
        let mut decoder = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut judge, mut rest) = (Judge::default(), file);
        while let BinaryFileStep::Message { consumed, message } = split_binary_file(rest) {
            let before = judge.messages;
            let decoded = decoder.decode(message, Timestamp(0), &mut judge);
            assert_eq!(judge.messages - before, u32::from(decoded.is_ok()));
            assert!(decoded.is_err() || ItchMessage::parse(message).is_ok());
            rest = &rest[consumed..];
        }
    });
}

#[test]
fn dbn_file() {
    bolero::check!().for_each(|file: &[u8]| {
        let Some(length) = file.first_chunk().and_then(|beginning| DbnMetadata::length(beginning).ok()) else { return };
        let Ok(metadata) = DbnMetadata::parse(file) else { return };
        let (mut decoder, mut judge, mut rest) = (DbnDecoder::new(metadata), Judge::default(), &file[length..]);
        while let Ok(DbnStep::Record { consumed, recv, record }) = split_dbn_record(rest) {
            let before = judge.messages;
            let decoded = decoder.decode(record, recv, &mut judge);
            assert!(judge.messages - before <= 2 && (decoded.is_err() || judge.messages > before || record[1] == 0));
            rest = &rest[consumed..];
        }
    });
}

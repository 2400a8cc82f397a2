//! What an ITCH message costs: read as a struct, turned into normal form, and all the way from a captured packet.
//!
//! `cargo bench -p chronos-benches --bench itch -- [parse|decode|packet] [--passes N]`. For instruction counts
//! `valgrind --tool=callgrind --toggle-collect='*measured*' BENCH decode --passes 1`, divided by the messages.

use chronos_benches::measure::{Arguments, each, input_sha256};
use chronos_benches::table::circumstances;
use chronos_market::Timestamp;
use chronos_market::decode::{DecodeSink, Decoder, ItchDecoder, ItchMessage, Message, PacketDecoder, ReorderWindow};
use std::hint::black_box;

/// Messages in the stream that is read again and again: 14 to a packet, and within the caches as the newest packets of a feed are.
const STREAM: usize = 14 * 512;
const PER_PACKET: usize = 14;

/// Takes messages as a book would, by reference.
struct Taken;

impl DecodeSink for Taken {
    #[inline]
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        black_box(message);
    }
}

fn main() {
    let arguments = Arguments::of_process();
    let passes = arguments.passes.unwrap_or(3_000);
    let stream: Vec<Vec<u8>> = (0..STREAM as u64).map(message).collect();
    println!("{}", circumstances());
    println!("input: {STREAM} messages made up, SHA-256 {}", input_sha256(stream.iter().map(Vec::as_slice)));
    let flat = Flat::new(&stream);
    if arguments.takes("parse") {
        each(
            "parse: a message as a struct",
            STREAM,
            passes,
            || (),
            |()| {
                for raw in flat.messages() {
                    let _ = black_box(ItchMessage::parse(raw));
                }
            },
        );
    }
    if arguments.takes("decode") {
        let mut decoder = ItchDecoder::new(Timestamp(0));
        each(
            "decode: a message in normal form",
            STREAM,
            passes,
            || (),
            |()| {
                flat.messages().for_each(|raw| decoder.decode(raw, Timestamp(1), &mut Taken).expect("a message of ITCH"));
            },
        );
    }
    if arguments.takes("packet") {
        let mut packets: Vec<Vec<u8>> = stream.chunks(PER_PACKET).map(frame).collect();
        let mut decoder = PacketDecoder::new(Timestamp(0), ReorderWindow::default());
        let mut first = 1_u64;
        each(
            "packet: the same from a captured packet",
            STREAM,
            passes,
            || (),
            |()| {
                for packet in &mut packets {
                    // The number of the first message, behind Ethernet, IP and UDP headers and the session.
                    packet[52..60].copy_from_slice(&first.to_be_bytes());
                    first += PER_PACKET as u64;
                    decoder.decode(packet, Timestamp(1), &mut Taken).expect("a packet of MoldUDP64");
                }
            },
        );
    }
}

/// Messages one after the other, each behind its length, as in a packet.
struct Flat(Vec<u8>);

impl Flat {
    fn new(stream: &[Vec<u8>]) -> Flat {
        Flat(stream.iter().flat_map(|raw| [&(raw.len() as u16).to_be_bytes()[..], raw].concat()).collect())
    }

    fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
            let (message, behind) = rest[2..].split_at(length);
            rest = behind;
            Some(message)
        })
    }
}

/// The message of a number: additions, executions, cancellations, deletions and replacements in about the shares of a day, of 500
/// stocks, in an order that does not repeat.
fn message(number: u64) -> Vec<u8> {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let locate = (mixed % 500) as u16;
    let kind = b"AAAAAAAAADDDDDDDDUUUEXA"[(mixed >> 12) as usize % 23];
    let mut raw = vec![kind];
    raw.extend(locate.to_be_bytes());
    raw.extend([0, 2]);
    raw.extend(&(34_200_000_000_000 + number * 1_000).to_be_bytes()[2..]);
    raw.extend(number.to_be_bytes());
    match kind {
        b'A' => {
            raw.push(if mixed & 1 == 0 { b'B' } else { b'S' });
            raw.extend(100_u32.to_be_bytes());
            raw.extend(format!("ST{locate:<6}").as_bytes());
            raw.extend(1_500_000_u32.to_be_bytes());
        }
        b'E' => raw.extend([100_u32.to_be_bytes(), [0; 4], [7; 4]].concat()),
        b'X' => raw.extend(10_u32.to_be_bytes()),
        b'U' => raw.extend([[0; 4], [9; 4], 50_u32.to_be_bytes(), 1_500_100_u32.to_be_bytes()].concat()),
        _ => {}
    }
    raw
}

/// An Ethernet frame with a MoldUDP64 packet.
fn frame(messages: &[Vec<u8>]) -> Vec<u8> {
    let blocks = Flat::new(messages).0;
    let length = blocks.len() as u16;
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((48 + length).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 9, 17, 0, 0, 10, 0, 0, 1, 233, 54, 12, 111, 0, 9, 0, 9]);
    frame.extend((28 + length).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(b"SESSION A ");
    frame.extend([0; 8]);
    frame.extend((messages.len() as u16).to_be_bytes());
    frame.extend(blocks);
    frame
}

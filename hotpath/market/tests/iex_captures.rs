//! DEEP and TOPS on IEX's own captures, against a slow decoder that shares no code with the other.

mod captures;

use captures::{Lines, OwnedPacket, frame, gzipped, hex, packets};
use chronos_market::decode::{
    BookMessage, DecodeError, Decoder, FeedMessage, Ignored, LevelChange, Link, Message, PacketDecoder, QuoteMessage,
    ReorderWindow, StatusMessage, TradeMessage, TradingStatus,
};
use chronos_market::{Bbo, Level, Price, Qty, Side, Timestamp};
use proptest::prelude::*;
use std::collections::HashMap;

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The slow decoder: it takes packets in the order they come and knows of none that are lost, late or twice.
#[derive(Default)]
struct Reference {
    expected: u64,
    halted: HashMap<String, bool>,
    statuses: HashMap<String, TradingStatus>,
}

impl Reference {
    fn packet(&mut self, frame: &[u8], out: &mut Lines) {
        let ip = &frame[14..];
        let ip_header = usize::from(ip[0] % 16) * 4;
        let length = usize::from(ip[2]) * 256 + usize::from(ip[3]);
        let segment = &ip[ip_header + 8..length];
        let (count, first) = (little(&segment[14..16]), little(&segment[24..32]));
        let mut tell = |message: Message<'_>| out.0.push(format!("{message:?}"));
        if self.expected == 0 && first == 1 {
            tell(Message::Feed(FeedMessage::Started));
        } else if first == 1 && self.expected > 1 {
            tell(Message::Feed(FeedMessage::Restarted { expected: self.expected, received: 1 }));
        } else {
            assert_eq!(first, self.expected);
        }
        if count == 0 {
            tell(Message::Feed(FeedMessage::Heartbeat));
        }
        self.expected = first + count;
        let mut at = 40;
        for number in first..first + count {
            let length = little(&segment[at..at + 2]) as usize;
            self.message(number, &segment[at + 2..at + 2 + length], &mut tell);
            at += 2 + length;
        }
        assert_eq!(at, segment.len());
    }

    fn message(&mut self, number: u64, raw: &[u8], tell: &mut impl FnMut(Message<'_>)) {
        let exchange_ns = little(&raw[2..10]) as i64;
        let symbol = String::from_utf8_lossy(raw.get(10..18).unwrap_or_default()).trim_end().to_owned();
        let symbol = symbol.as_str();
        let price = |at: usize| Price(little(&raw[at..at + 8]) as i64 * 100_000);
        let qty = |at: usize| Qty(little(&raw[at..at + 4]) as i64 * 100_000_000);
        let level = |price_at: usize, qty_at: usize| match qty(qty_at) {
            Qty(0) => Level::default(),
            qty => Level { price: price(price_at), qty },
        };
        tell(match raw[0] as char {
            'S' if raw[1] == b'C' => Message::Feed(FeedMessage::Ended),
            'S' => Message::Ignored(Ignored::Control),
            'D' => Message::Ignored(Ignored::Definition),
            kind @ ('8' | '5') => {
                let side = if kind == '8' { Side::Buy } else { Side::Sell };
                let levels = [LevelChange { side, price: price(22), qty: qty(18) }];
                let (link, is_last) = (Link::None, raw[1] % 2 == 1);
                let (is_snapshot, depth_max, checksum) = (false, None, None);
                tell(Message::Book(BookMessage {
                    symbol,
                    link,
                    exchange_ns,
                    is_snapshot,
                    is_last,
                    depth_max,
                    checksum,
                    levels: &levels,
                }));
                return;
            }
            'Q' => {
                let bbo = Bbo { bid: level(22, 18), ask: level(30, 38) };
                Message::Quote(QuoteMessage { symbol, id: number, bbo, exchange_ns })
            }
            'T' => {
                let (id, price, qty, aggressor) = (little(&raw[30..38]), price(22), qty(18), None);
                Message::Trade(TradeMessage { symbol, id, price, qty, aggressor, exchange_ns })
            }
            'H' => {
                let status = match raw[1] as char {
                    'T' => TradingStatus::Trading,
                    'H' => TradingStatus::Halted,
                    _ => TradingStatus::QuotesOnly,
                };
                self.statuses.insert(symbol.into(), status);
                let is_halted = self.halted.get(symbol).copied().unwrap_or(false);
                let status = if is_halted { TradingStatus::Halted } else { status };
                Message::Status(StatusMessage { symbol, exchange_ns, status })
            }
            'O' => {
                let is_halted = raw[1] == b'O';
                let was_halted = self.halted.insert(symbol.into(), is_halted).unwrap_or(false);
                let status = self.statuses.get(symbol).copied().unwrap_or(TradingStatus::Trading);
                match (was_halted, is_halted) {
                    (false, true) => Message::Status(StatusMessage { symbol, exchange_ns, status: TradingStatus::Halted }),
                    (true, false) => Message::Status(StatusMessage { symbol, exchange_ns, status }),
                    _ => Message::Ignored(Ignored::Statistics),
                }
            }
            _ => Message::Ignored(Ignored::Statistics),
        });
    }
}

fn decoder() -> PacketDecoder {
    PacketDecoder::new(Timestamp(0), ReorderWindow::default())
}

fn decode(packets: &[OwnedPacket]) -> Lines {
    let (mut decoder, mut lines) = (decoder(), Lines::default());
    for packet in packets {
        decoder.set_link_type(packet.link_type);
        decoder.decode(&packet.bytes, packet.recv, &mut lines).expect("decodes");
    }
    decoder.finish(Timestamp::MAX, &mut lines).expect("nothing is held");
    lines
}

#[test]
fn deep_survives_and_tells_eleven_restarts() {
    let Some(capture) = gzipped("iex/deep10_20170425_part1.pcap.gz") else { return };
    let (packets, _) = packets(&capture);
    let lines = decode(&packets);
    assert_eq!(packets.len(), 72_789);
    let told = ["Feed(Started", "Feed(Restarted", "Feed(Gap", "Feed(Heartbeat"].map(|beginning| lines.count(beginning));
    assert_eq!(told, [1, 11, 0, 7_857]);
    assert_eq!(lines.0.len() - told.iter().sum::<usize>(), 342_829);
    assert_eq!((lines.count("Book("), lines.count("Trade(")), (10_425 + 9_947, 41_399));

    let (mut reference, mut expected) = (Reference::default(), Lines::default());
    packets.iter().for_each(|packet| reference.packet(&packet.bytes, &mut expected));
    let difference = lines.0.iter().zip(&expected.0).find(|(found, expected)| found != expected);
    assert_eq!((difference, lines.0.len()), (None, expected.0.len()));
}

#[test]
fn tops_has_no_gap() {
    let Some(capture) = gzipped("iex/tops16_20170710_part1.pcap.gz") else { return };
    let (packets, _) = packets(&capture);
    let lines = decode(&packets);
    assert_eq!(packets.len(), 7_813);
    let told = ["Feed(Started", "Feed(Restarted", "Feed(Gap"].map(|beginning| lines.count(beginning));
    assert_eq!(told, [1, 0, 0]);
    assert_eq!(lines.0.len() - 1 - lines.count("Feed(Heartbeat"), 45_589);
    assert_eq!((lines.count("Quote("), lines.count("Trade(")), (17_739, 3_942));

    let (mut reference, mut expected) = (Reference::default(), Lines::default());
    packets.iter().for_each(|packet| reference.packet(&packet.bytes, &mut expected));
    let difference = lines.0.iter().zip(&expected.0).find(|(found, expected)| found != expected);
    assert_eq!((difference, lines.0.len()), (None, expected.0.len()));
}

/// An IEX-TP segment of DEEP 1.0 or, for another protocol, that.
fn segment(protocol: u16, first: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let blocks: Vec<u8> =
        messages.iter().flat_map(|message| [&(message.len() as u16).to_le_bytes()[..], message].concat()).collect();
    let mut payload = vec![1, 0];
    payload.extend(protocol.to_le_bytes());
    payload.extend(1_u32.to_le_bytes());
    payload.extend(77_u32.to_le_bytes());
    payload.extend((blocks.len() as u16).to_le_bytes());
    payload.extend((messages.len() as u16).to_le_bytes());
    payload.extend([0; 8]);
    payload.extend(first.to_le_bytes());
    payload.extend([0; 8]);
    payload.extend(blocks);
    payload
}

#[test]
fn reads_the_quote_of_the_specification() {
    let quote = hex("5100ac63c02096866d145a49455854202020e4250000241d0f0000000000ec1d0f0000000000e8030000");
    let mut lines = Lines::default();
    decoder().decode(&frame(1, &segment(0x8003, 5, &[quote])), Timestamp(9), &mut lines).expect("decodes");
    let bid = Level { price: Price(99_050_000_000), qty: Qty(9_700 * 100_000_000) };
    let ask = Level { price: Price(99_070_000_000), qty: Qty(1_000 * 100_000_000) };
    let quote = QuoteMessage { symbol: "ZIEXT", id: 5, bbo: Bbo { bid, ask }, exchange_ns: 1_471_980_632_572_715_948 };
    assert_eq!(lines.0, ["Feed(Gap { first: 1, last: 4 })".to_owned(), format!("{:?}", Message::Quote(quote))]);
}

#[test]
fn names_a_protocol_it_does_not_know() {
    let vector = hex("0100ffff010000000000874207000200 8ca6210000000000 cac3000000000000 ec45c22096866d14 0100 69 0200 beef");
    let error = decoder().decode(&frame(1, &vector), Timestamp(9), &mut Lines::default());
    assert_eq!(error, Err(DecodeError::Unsupported("message protocol in IEX-TP", 0xFFFF)));
}

#[test]
fn a_message_that_cannot_be_read_is_lost() {
    let mut level = hex("3801ac63c02096866d145a49455854202020e4250000241d0f0000000000");
    let good = level.clone();
    level.truncate(29);
    let mut lines = Lines::default();
    let result = decoder().decode(&frame(1, &segment(0x8004, 1, &[level, good])), Timestamp(9), &mut lines);
    assert_eq!(result, Err(DecodeError::Truncated(30, 29)));
    assert_eq!(lines.0[..2], ["Feed(Started)", "Feed(Gap { first: 1, last: 1 })"]);
    assert!(lines.0[2].starts_with("Book(") && lines.0.len() == 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_on_made_up_messages(
        messages in prop::collection::vec((prop::sample::select(&b"SDHOIPE85TXBAQ"[..]), any::<bool>(), 0..5_u8, any::<u32>(), 1..1_000_000_u32, 1..1_000_000_u32), 1..30)
    ) {
        let messages: Vec<Vec<u8>> = messages.into_iter().map(|(kind, flag, stock, size, price, other)| {
            let mut raw = vec![kind, match kind { b'H' => b"HOPTT"[usize::from(stock)], b'O' => if flag { b'O' } else { b'N' }, b'S' => b"OSRMC"[usize::from(stock)], _ => u8::from(flag) }];
            raw.extend(u64::from(size).to_le_bytes());
            raw.extend(format!("ST{stock:<6}").as_bytes());
            raw.extend(size.to_le_bytes());
            raw.extend(u64::from(price).to_le_bytes());
            raw.extend(u64::from(other).to_le_bytes());
            raw.resize(80, 7);
            raw
        }).collect();
        let frame = frame(1, &segment(0x8004, 1, &messages));
        let (mut found, mut expected) = (Lines::default(), Lines::default());
        decoder().decode(&frame, Timestamp(9), &mut found).expect("decodes");
        Reference::default().packet(&frame, &mut expected);
        prop_assert_eq!(found.0, expected.0);
    }
}

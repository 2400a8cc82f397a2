//! ITCH captures, read with packet and message parsers that nobody here wrote, and followed with plain lists of orders.

use chronos_exchange::itch_capture::{
    FinalBook, ItchConfig, ItchSummary, PacketContainer, SequenceRange, write_itch_capture, write_itch_file,
};
use chronos_market::{NANOS_PER_SECOND, Price};
use itchy::{Body, EventCode, MessageStream, Side, TradingState};
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

fn captured(config: &ItchConfig) -> (Vec<u8>, ItchSummary) {
    let mut bytes = Vec::new();
    let summary = write_itch_capture(config, &mut bytes, &mut |_| {}).unwrap();
    (bytes, summary)
}

/// Capture time in nanoseconds and the frame of every packet.
fn packets(capture: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let mut reader = create_reader(1 << 16, io::Cursor::new(capture.to_vec())).unwrap();
    let mut packets = Vec::new();
    let mut units_per_s = 0;
    loop {
        let consumed = match reader.next() {
            Ok((consumed, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        assert_eq!(header.network.0, 1);
                        units_per_s = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                    }
                    PcapBlockOwned::Legacy(packet) => {
                        assert_eq!((packet.caplen, packet.caplen as usize), (packet.origlen, packet.data.len()));
                        assert!(i64::from(packet.ts_usec) < units_per_s);
                        let fraction_ns = i64::from(packet.ts_usec) * (NANOS_PER_SECOND / units_per_s);
                        packets.push((i64::from(packet.ts_sec) * NANOS_PER_SECOND + fraction_ns, packet.data.to_vec()));
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(header)) => {
                        assert_eq!((header.major_version, header.section_len), (1, -1))
                    }
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        assert_eq!((interface.linktype.0, interface.if_tsresol), (1, 9));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        assert_eq!((packet.if_id, packet.caplen, packet.block_len1), (0, packet.origlen, packet.block_len2));
                        let time_ns = i64::from(packet.ts_high) << 32 | i64::from(packet.ts_low);
                        packets.push((time_ns, packet.data[..packet.caplen as usize].to_vec()));
                    }
                    PcapBlockOwned::NG(other) => panic!("unexpected block {other:?}"),
                }
                consumed
            }
            Err(PcapError::Eof) => return packets,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().unwrap();
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        reader.consume(consumed);
    }
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// The ones' complement sum of words; all ones where a checksum among them is right.
fn ones_sum(bytes: impl Iterator<Item = u8>) -> u16 {
    let mut sum = 0u32;
    for (place, byte) in bytes.enumerate() {
        sum += u32::from(byte) << if place % 2 == 0 { 8 } else { 0 };
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

/// One MoldUDP64 packet.
#[derive(Clone, PartialEq, Debug)]
struct Mold {
    time_ns: i64,
    sequence: u64,
    count: u16,
    /// Messages with their lengths in front, as in a file of the venue.
    messages: Vec<u8>,
}

impl Mold {
    fn range(&self) -> SequenceRange {
        SequenceRange { first: self.sequence, last: self.sequence + u64::from(self.count) - 1 }
    }

    fn has_messages(&self) -> bool {
        self.count > 0 && self.count < u16::MAX
    }
}

/// Checks the headers of a frame and takes them off.
fn mold(time_ns: i64, frame: &[u8], vlan: Option<u16>) -> Mold {
    // Multicast, so the lowest bit of the first byte is set.
    assert_eq!(frame[0] & 1, 1);
    let ip = match vlan {
        Some(id) => {
            assert_eq!((be16(&frame[12..]), be16(&frame[14..]), be16(&frame[16..])), (0x8100, id, 0x0800));
            &frame[18..]
        }
        None => {
            assert_eq!(be16(&frame[12..]), 0x0800);
            &frame[14..]
        }
    };
    assert!(frame.len() >= 60);
    assert_eq!((ip[0], usize::from(be16(&ip[2..])), ip[9]), (0x45, ip.len(), 17));
    assert_eq!(ones_sum(ip[..20].iter().copied()), 0xFFFF);
    let udp = &ip[20..];
    assert_eq!(usize::from(be16(&udp[4..])), udp.len());
    assert_ne!(be16(&udp[6..]), 0);
    let pseudo = ip[12..20].iter().copied().chain([0, 17]).chain((udp.len() as u16).to_be_bytes());
    assert_eq!(ones_sum(pseudo.chain(udp.iter().copied())), 0xFFFF);
    let payload = &udp[8..];
    assert!(payload.len() <= 1_400);
    assert_eq!(&payload[..10], b"SIM0000001");
    let sequence = u64::from_be_bytes(payload[10..18].try_into().unwrap());
    Mold { time_ns, sequence, count: be16(&payload[18..]), messages: payload[20..].to_vec() }
}

fn molds(capture: &[u8], vlan: Option<u16>) -> Vec<Mold> {
    packets(capture).iter().map(|(time_ns, frame)| mold(*time_ns, frame, vlan)).collect()
}

fn messages(length_prefixed: &[u8]) -> Vec<itchy::Message> {
    MessageStream::from_reader(length_prefixed).map(|message| message.unwrap()).collect()
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Order {
    reference: u64,
    shares: u32,
    price4: u32,
}

/// One instrument's orders, a list a side in order of arrival.
#[derive(Default)]
struct NaiveBook {
    symbol: String,
    sides: [Vec<Order>; 2],
}

fn side_of(side: Side) -> usize {
    usize::from(side == Side::Sell)
}

impl NaiveBook {
    fn find(&mut self, reference: u64) -> (usize, usize) {
        let place = |side: usize| self.sides[side].iter().position(|order| order.reference == reference).map(|place| (side, place));
        place(0).or_else(|| place(1)).unwrap_or_else(|| panic!("unknown order {reference}"))
    }

    /// By price, the best first, and by arrival.
    fn queue(&self, side: usize) -> Vec<Order> {
        let mut orders = self.sides[side].clone();
        orders.sort_by_key(|order| if side == 0 { -i64::from(order.price4) } else { i64::from(order.price4) });
        orders
    }

    fn take_off(&mut self, reference: u64, shares: u32) {
        let (side, place) = self.find(reference);
        let order = &mut self.sides[side][place];
        order.shares = order.shares.checked_sub(shares).expect("no more than is open");
        if order.shares == 0 {
            self.sides[side].remove(place);
        }
    }

    /// An execution concerns the order that is first in the queue at the best price.
    fn execute(&mut self, reference: u64, shares: u32) -> Order {
        let (side, place) = self.find(reference);
        let order = self.sides[side][place];
        let best = |order: &Order| if side == 0 { u32::MAX - order.price4 } else { order.price4 };
        assert_eq!(self.sides[side].iter().min_by_key(|order| best(order)), Some(&order));
        self.take_off(reference, shares);
        order
    }

    fn add(&mut self, side: usize, order: Order) {
        assert!(order.shares > 0 && self.sides.iter().flatten().all(|other| other.reference != order.reference));
        let is_crossing = |other: &Order| if side == 0 { other.price4 <= order.price4 } else { other.price4 >= order.price4 };
        assert!(!self.sides[1 - side].iter().any(is_crossing));
        self.sides[side].push(order);
    }

    fn finished(&self, stock_locate: u16) -> FinalBook {
        let best = |side: usize| {
            let queue = self.queue(side);
            let price4 = queue.first()?.price4;
            let shares = queue.iter().filter(|order| order.price4 == price4).map(|order| u64::from(order.shares)).sum();
            Some((Price(i64::from(price4) * 100_000), shares))
        };
        let mut hash = 0xCBF2_9CE4_8422_2325u64;
        for (side, letter) in [(0, b'B'), (1, b'S')] {
            for order in self.queue(side) {
                let parts =
                    [&[letter][..], &order.reference.to_be_bytes(), &order.shares.to_be_bytes(), &order.price4.to_be_bytes()];
                hash = parts.concat().iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
            }
        }
        FinalBook {
            stock_locate,
            symbol: self.symbol.clone(),
            bid: best(0),
            ask: best(1),
            orders: self.sides.iter().map(|side| side.len() as u64).sum(),
            l3_hash: hash,
        }
    }
}

/// Follows all messages of a day, checks what a real one holds, and compares with the truth.
fn check_day(messages: &[itchy::Message], summary: &ItchSummary) {
    let mut books: BTreeMap<u16, NaiveBook> = BTreeMap::new();
    let mut by_type: BTreeMap<char, u64> = BTreeMap::new();
    let mut events = Vec::new();
    // Shares and number of the executions of a cross that is not told yet, by instrument.
    let mut crossed: HashMap<u16, u64> = HashMap::new();
    let mut paused: HashMap<u16, bool> = HashMap::new();
    let (mut time_ns, mut matches) = (0, Vec::new());
    for message in messages {
        assert!(message.timestamp >= time_ns && message.timestamp < 20 * 3_600_000_000_000);
        time_ns = message.timestamp;
        *by_type.entry(char::from(message.tag)).or_default() += 1;
        let locate = message.stock_locate;
        if let Body::StockDirectory(directory) = &message.body {
            let symbol = directory.stock.trim_end().to_owned();
            assert_eq!((directory.stock.len(), &symbol), (8, &format!("SIM{locate}")));
            assert!(directory.authenticity && !directory.round_lots_only);
            assert!(books.insert(locate, NaiveBook { symbol, ..Default::default() }).is_none());
            continue;
        }
        if let Body::SystemEvent { event } = message.body {
            assert_eq!(locate, 0);
            events.push(event);
            continue;
        }
        let book = books.get_mut(&locate).expect("an instrument of the directory");
        match &message.body {
            Body::TradingAction { stock, trading_state, .. } => {
                assert_eq!(stock.trim_end(), book.symbol);
                paused.insert(locate, *trading_state != TradingState::Trading);
                continue;
            }
            Body::CrossTrade(cross) => {
                assert_eq!(crossed.remove(&locate).unwrap_or(0), cross.shares);
                matches.push(cross.match_number);
                continue;
            }
            Body::OrderExecutedWithPrice { printable: false, .. } => {}
            _ => assert!(!paused[&locate], "{message:?}"),
        }
        match &message.body {
            Body::AddOrder(add) => {
                assert_eq!(add.stock.trim_end(), book.symbol);
                assert_eq!(add.mpid.is_some(), message.tag == b'F');
                book.add(side_of(add.side), Order { reference: add.reference, shares: add.shares, price4: add.price.raw() });
            }
            Body::OrderExecuted { reference, executed, match_number } => {
                book.execute(*reference, *executed);
                matches.push(*match_number);
            }
            Body::OrderExecutedWithPrice { reference, executed, match_number, printable, price } => {
                let order = book.execute(*reference, *executed);
                matches.push(*match_number);
                if *printable {
                    assert_eq!(price.raw().abs_diff(order.price4), 50);
                } else {
                    assert!(price.raw() >= order.price4);
                    *crossed.entry(locate).or_default() += u64::from(*executed);
                }
            }
            Body::OrderCancelled { reference, cancelled } => {
                book.take_off(*reference, *cancelled);
                book.find(*reference);
            }
            Body::DeleteOrder { reference } => {
                let (side, place) = book.find(*reference);
                book.sides[side].remove(place);
            }
            Body::ReplaceOrder(replace) => {
                let (side, place) = book.find(replace.old_reference);
                book.sides[side].remove(place);
                let order = Order { reference: replace.new_reference, shares: replace.shares, price4: replace.price.raw() };
                book.add(side, order);
            }
            Body::NonCrossTrade(trade) => {
                assert_eq!((trade.reference, trade.side, trade.stock.trim_end()), (0, Side::Buy, book.symbol.as_str()));
                matches.push(trade.match_number);
            }
            Body::BrokenTrade { match_number } => assert!(matches.contains(match_number)),
            other => panic!("unexpected {other:?}"),
        }
    }
    use EventCode::*;
    assert_eq!(
        events,
        [StartOfMessages, StartOfSystemHours, StartOfMarketHours, EndOfMarketHours, EndOfSystemHours, EndOfMessages]
    );
    assert!(crossed.is_empty());
    assert_eq!(matches, (1..=matches.len() as u64).collect::<Vec<_>>());
    assert_eq!(by_type, summary.messages_by_type);
    assert_eq!(messages.len() as u64, summary.messages);
    let finished: Vec<FinalBook> = books.iter().map(|(&locate, book)| book.finished(locate)).collect();
    assert_eq!(finished, summary.books);
}

#[test]
fn independent_readers_find_the_day_that_the_summary_tells() {
    for (container, vlan, seed, instruments) in [
        (PacketContainer::PcapNanos, None, 1, 3),
        (PacketContainer::PcapMicros, Some(0), 2, 1),
        (PacketContainer::Pcapng, Some(4_094), 3, 7),
    ] {
        let config = ItchConfig { seed, messages: 60_000, instruments, container, vlan, ..Default::default() };
        let (bytes, summary) = captured(&config);
        let molds = molds(&bytes, vlan);
        assert!((60_000..62_000).contains(&summary.messages));
        assert_eq!(summary.books.len(), usize::from(instruments));
        assert_eq!(molds.len() as u64, summary.packets_written);
        assert!(molds.is_sorted_by_key(|mold| mold.time_ns));
        let mut expected = 1;
        let (mut heartbeats, mut ends) = (0, 0);
        for mold in &molds {
            assert_eq!(mold.sequence, expected);
            match mold.count {
                0 => heartbeats += 1,
                u16::MAX => ends += 1,
                count => expected += u64::from(count),
            }
            assert!(mold.has_messages() || mold.messages.is_empty());
            assert_eq!(messages(&mold.messages).len(), if mold.has_messages() { usize::from(mold.count) } else { 0 });
            assert!(ends == 0 || mold.count == u16::MAX, "something after the end of the session");
        }
        assert_eq!((heartbeats, ends), (summary.heartbeats, 3));
        assert!(heartbeats > 10);
        // Never more than a second of silence.
        assert!(molds.windows(2).all(|pair| pair[1].time_ns - pair[0].time_ns <= NANOS_PER_SECOND + 10_000));
        let all: Vec<u8> = molds.iter().flat_map(|mold| mold.messages.iter().copied()).collect();
        check_day(&messages(&all), &summary);
        // A packet is captured right after its last message is sent.
        for mold in molds.iter().filter(|mold| mold.has_messages()) {
            let sent_ns = messages(&mold.messages).last().map(|message| message.timestamp as i64).unwrap();
            let on_its_way_ns = mold.time_ns - config.midnight_ns - sent_ns;
            assert!((4_000..1_000_000).contains(&on_its_way_ns), "{on_its_way_ns}");
        }
    }
}

/// A long enough session has every type of message, pauses among them.
#[test]
fn every_type_of_message_occurs() {
    let (bytes, summary) = captured(&ItchConfig { seed: 5, messages: 1_000_000, instruments: 2, ..Default::default() });
    assert!(summary.messages_by_type.keys().copied().eq("ABCDEFHPQRSUX".chars()), "{:?}", summary.messages_by_type);
    // Two auctions an instrument, and one for each pause, which is three trading actions after the one that opens the day.
    let (crosses, actions) = (summary.messages_by_type[&'Q'], summary.messages_by_type[&'H']);
    assert!(crosses > 4 && (actions - 2).div_ceil(3) >= crosses - 4, "{crosses} crosses, {actions} actions");
    let all: Vec<u8> = molds(&bytes, None).iter().flat_map(|mold| mold.messages.iter().copied()).collect();
    let day = messages(&all);
    let states = day.iter().filter(|message| message.stock_locate == 1).filter_map(|message| match message.body {
        Body::TradingAction { trading_state, .. } => Some(trading_state),
        _ => None,
    });
    let states: Vec<TradingState> = states.collect();
    let cycle = [TradingState::Trading, TradingState::Paused, TradingState::QuotationOnly];
    assert!(states.len() > 3 && states.iter().eq(cycle.iter().cycle().take(states.len())), "{states:?}");
}

#[test]
fn the_network_does_what_the_summary_tells() {
    let clean = ItchConfig { seed: 9, messages: 80_000, instruments: 4, ..Default::default() };
    let faulty = ItchConfig { gap_rate: 0.02, duplicate_rate: 0.03, reorder_rate: 0.05, ..clean.clone() };
    let (clean_bytes, clean_summary) = captured(&clean);
    let (bytes, summary) = captured(&faulty);
    // The exchange knows nothing of the network.
    assert_eq!((summary.messages, &summary.books), (clean_summary.messages, &clean_summary.books));
    assert_eq!(summary.packets_sent, clean_summary.packets_sent);
    assert!(clean_summary.dropped.is_empty() && clean_summary.duplicated.is_empty() && clean_summary.reordered.is_empty());
    for (ranges, rate) in [(&summary.dropped, 0.02), (&summary.duplicated, 0.03), (&summary.reordered, 0.05)] {
        let part = ranges.len() as f64 / summary.packets_sent as f64;
        assert!((part / rate - 1.0).abs() < 0.2, "{part} instead of {rate}");
    }
    let control = summary.heartbeats + 3;
    let written = summary.packets_sent - summary.dropped.len() as u64 + summary.duplicated.len() as u64 + control;
    assert_eq!(summary.packets_written, written);

    // What should be in the file, from the clean capture and the summary.
    let sent: Vec<Mold> = molds(&clean_bytes, None).into_iter().filter(Mold::has_messages).collect();
    let mut expected: Vec<&Mold> = Vec::new();
    let mut held = None;
    for packet in &sent {
        let is_in = |ranges: &[SequenceRange]| ranges.contains(&packet.range());
        if is_in(&summary.dropped) {
            continue;
        }
        if is_in(&summary.reordered) {
            assert!(held.replace(packet).is_none());
            continue;
        }
        expected.push(packet);
        expected.extend(is_in(&summary.duplicated).then_some(packet));
        expected.extend(held.take());
    }
    let received = molds(&bytes, None);
    assert_eq!(received.len() as u64, summary.packets_written);
    assert!(received.is_sorted_by_key(|mold| mold.time_ns));
    let received: Vec<(u64, &[u8])> =
        received.iter().filter(|mold| mold.has_messages()).map(|mold| (mold.sequence, mold.messages.as_slice())).collect();
    assert!(received == expected.iter().map(|mold| (mold.sequence, mold.messages.as_slice())).collect::<Vec<_>>());

    // Without looking at packets: the numbers that never come are those of the dropped.
    let mut is_missing = vec![true; summary.messages as usize + 1];
    for (sequence, messages) in &received {
        let count = self::messages(messages).len();
        is_missing[*sequence as usize..][..count].fill(false);
    }
    let missing: Vec<u64> = (1..=summary.messages).filter(|&sequence| is_missing[sequence as usize]).collect();
    assert!(missing.iter().copied().eq(summary.dropped.iter().flat_map(|range| range.first..=range.last)));
    assert_eq!(missing.len() as u64, summary.dropped.iter().map(|range| range.messages()).sum::<u64>());
}

#[test]
fn every_packet_can_be_lost_but_those_of_the_directory_and_the_end() {
    let config = ItchConfig { messages: 5_000, instruments: 2, gap_rate: 1.0, ..Default::default() };
    let (bytes, summary) = captured(&config);
    let molds = molds(&bytes, None);
    let all: Vec<u8> = molds.iter().flat_map(|mold| mold.messages.iter().copied()).collect();
    let tags: String = messages(&all).iter().map(|message| char::from(message.tag)).collect();
    assert_eq!(tags, "SSRHRH");
    assert_eq!(summary.dropped.first().map(|range| range.first), Some(7));
    assert_eq!(summary.dropped.last().map(|range| range.last), Some(summary.messages));
    assert_eq!(molds.last().map(|mold| (mold.sequence, mold.count)), Some((summary.messages + 1, u16::MAX)));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let config = ItchConfig {
        messages: 20_000,
        instruments: 3,
        gap_rate: 0.1,
        duplicate_rate: 0.1,
        reorder_rate: 0.1,
        ..Default::default()
    };
    let (bytes, summary) = captured(&config);
    assert!(captured(&config) == (bytes.clone(), summary));
    assert!(captured(&ItchConfig { seed: 2, ..config }).0 != bytes);
}

#[test]
fn a_file_is_what_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    for (name, container) in [
        ("a.pcap", Some(PacketContainer::PcapNanos)),
        ("a.PCAPNG.gz", Some(PacketContainer::Pcapng)),
        ("a.pcap.zst", Some(PacketContainer::PcapNanos)),
        ("a.txt", None),
        ("pcap", None),
    ] {
        let path = folder.path().join(name);
        assert_eq!(PacketContainer::of_path(&path), container, "{name}");
        let Some(container) = container else { continue };
        let config = ItchConfig { messages: 5_000, instruments: 1, container, ..Default::default() };
        let (bytes, summary) = captured(&config);
        assert_eq!(write_itch_file(&config, &path, &mut |_| {}).unwrap(), summary);
        let mut read = Vec::new();
        let file = std::fs::File::open(&path).unwrap();
        match path.extension().unwrap().to_str().unwrap() {
            "gz" => flate2::read::GzDecoder::new(file).read_to_end(&mut read).unwrap(),
            "zst" => zstd::Decoder::new(file).unwrap().read_to_end(&mut read).unwrap(),
            _ => io::BufReader::new(file).read_to_end(&mut read).unwrap(),
        };
        assert!(read == bytes, "{name}");
    }
}

#[test]
fn a_configuration_out_of_range_is_named() {
    let good = ItchConfig::default();
    for (config, named) in [
        (ItchConfig { instruments: 0, ..good.clone() }, "instruments"),
        (ItchConfig { instruments: 10_001, ..good.clone() }, "instruments"),
        (ItchConfig { midnight_ns: -1, ..good.clone() }, "midnight_ns"),
        (ItchConfig { midnight_ns: i64::MAX, ..good.clone() }, "midnight_ns"),
        (ItchConfig { session: [0; 10], ..good.clone() }, "session"),
        (ItchConfig { vlan: Some(4_095), ..good.clone() }, "vlan"),
        (ItchConfig { gap_rate: -0.1, ..good.clone() }, "gap_rate"),
        (ItchConfig { duplicate_rate: 1.5, ..good.clone() }, "duplicate_rate"),
        (ItchConfig { reorder_rate: f64::NAN, ..good.clone() }, "reorder_rate"),
        (ItchConfig { gap_rate: 0.6, reorder_rate: 0.6, ..good.clone() }, "add up"),
    ] {
        let error = write_itch_capture(&config, &mut io::sink(), &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(named), "{error}");
    }
}

//! Numbered feeds: what is lost, doubled, late and begun anew. The feed is ITCH over MoldUDP64 with deletions whose order id is the
//! message's number.

mod captures;

use captures::{frame, mold};
use chronos_market::decode::{DecodeSink, Decoder, FeedMessage, Message, OrderAction, PacketDecoder, ReorderWindow};
use chronos_market::{NANOS_PER_SECOND, Timestamp};
use proptest::prelude::*;

const MILLI: i64 = 1_000_000;

/// What came out: a message by its number, or something of the feed.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Out {
    Number(u64),
    Feed(FeedMessage),
}

use Out::{Feed, Number};

#[derive(Default)]
struct Heard(Vec<Out>);

impl DecodeSink for Heard {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        self.0.push(match message {
            Message::Feed(feed) => Feed(*feed),
            Message::Order(order) => match order.action {
                OrderAction::Delete { id } => Number(id),
                other => panic!("nobody sent {other:?}"),
            },
            other => panic!("nobody sent {other:?}"),
        });
    }
}

fn deletion(id: u64) -> Vec<u8> {
    let mut raw = vec![b'D', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    raw.extend(id.to_be_bytes());
    raw
}

/// A packet with the messages numbered `first` to `last`; none is a heartbeat.
fn numbered(session: &[u8; 10], first: u64, count: u64) -> Vec<u8> {
    frame(26_477, &mold(session, first, &(first..first + count).map(deletion).collect::<Vec<_>>()))
}

const SESSION: &[u8; 10] = b"SESSION A ";

struct Receiver {
    decoder: PacketDecoder,
    heard: Heard,
}

impl Receiver {
    fn new(packets: usize) -> Receiver {
        let window = ReorderWindow { packets, nanos: 10 * MILLI };
        Receiver { decoder: PacketDecoder::new(Timestamp(0), window), heard: Heard::default() }
    }

    fn take(&mut self, recv: i64, frame: &[u8]) {
        self.decoder.decode(frame, Timestamp(recv), &mut self.heard).expect("decodes");
    }

    /// What was heard since the last look.
    fn heard(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.heard.0)
    }
}

#[test]
fn late_packets_are_put_in_order_and_copies_dropped() {
    let mut receiver = Receiver::new(4);
    for (first, count) in [(1, 2), (5, 1), (1, 2), (6, 0), (3, 3), (2, 2), (6, 0)] {
        receiver.take(0, &numbered(SESSION, first, count));
    }
    let expected = [
        Feed(FeedMessage::Started),
        Number(1),
        Number(2),
        Number(3),
        Number(4),
        Number(5),
        Feed(FeedMessage::Heartbeat),
        Feed(FeedMessage::Heartbeat),
    ];
    assert_eq!(receiver.heard(), expected);
}

#[test]
fn a_hole_is_a_gap_when_the_window_is_full_or_over() {
    let gap = |first, last| Feed(FeedMessage::Gap { first, last });
    let mut receiver = Receiver::new(2);
    receiver.take(0, &numbered(SESSION, 1, 1));
    receiver.heard();
    receiver.take(0, &numbered(SESSION, 3, 1));
    receiver.take(0, &numbered(SESSION, 6, 1));
    assert_eq!(receiver.heard(), []);
    // No room for a third.
    receiver.take(0, &numbered(SESSION, 8, 1));
    assert_eq!(receiver.heard(), [gap(2, 2), Number(3)]);
    // Ten milliseconds are not over, then they are.
    receiver.take(10 * MILLI, &numbered(SESSION, 8, 1));
    assert_eq!(receiver.heard(), []);
    receiver.take(10 * MILLI + 1, &numbered(SESSION, 9, 1));
    assert_eq!(receiver.heard(), [gap(4, 5), Number(6), gap(7, 7), Number(8), Number(9)]);
    // What comes after its gap was told is too late.
    receiver.take(10 * MILLI + 1, &numbered(SESSION, 7, 1));
    assert_eq!(receiver.heard(), []);
    // At the end nothing is waited for.
    receiver.take(11 * MILLI, &numbered(SESSION, 12, 1));
    receiver.decoder.finish(Timestamp(11 * MILLI), &mut receiver.heard).expect("reads");
    assert_eq!(receiver.heard(), [gap(10, 11), Number(12)]);
}

#[test]
fn without_a_window_a_hole_is_a_gap_at_once() {
    let mut receiver = Receiver::new(0);
    receiver.take(0, &numbered(SESSION, 7, 1));
    receiver.take(0, &numbered(SESSION, 10, 0));
    let expected = [
        Feed(FeedMessage::Gap { first: 1, last: 6 }),
        Number(7),
        Feed(FeedMessage::Gap { first: 8, last: 9 }),
        Feed(FeedMessage::Heartbeat),
    ];
    assert_eq!(receiver.heard(), expected);
}

#[test]
fn a_new_session_and_an_old_number_begin_anew() {
    let restarted = |expected, received| Feed(FeedMessage::Restarted { expected, received });
    let mut receiver = Receiver::new(4);
    receiver.take(0, &numbered(SESSION, 1, 3));
    receiver.take(0, &numbered(b"SESSION B ", 1, 1));
    assert_eq!(receiver.heard()[4..], [restarted(4, 1), Number(1)]);
    receiver.take(0, &numbered(b"SESSION C ", 3, 1));
    assert_eq!(receiver.heard(), [restarted(2, 3), Feed(FeedMessage::Gap { first: 1, last: 2 }), Number(3)]);
    // A copy within a second is a copy; a number used longer ago is a new numbering.
    receiver.take(NANOS_PER_SECOND, &numbered(b"SESSION C ", 3, 1));
    assert_eq!(receiver.heard(), []);
    receiver.take(3 * NANOS_PER_SECOND, &numbered(b"SESSION C ", 3, 1));
    assert_eq!(receiver.heard(), [restarted(4, 3), Feed(FeedMessage::Gap { first: 1, last: 2 }), Number(3)]);
}

#[test]
fn a_feed_that_never_falls_silent_is_watched_as_well() {
    let mut receiver = Receiver::new(4);
    for step in 0..30 {
        receiver.take(step * NANOS_PER_SECOND / 10, &numbered(SESSION, step as u64 + 1, 1));
    }
    receiver.heard();
    // Sent 0.8 s ago, and 2.9 s ago.
    receiver.take(3 * NANOS_PER_SECOND, &numbered(SESSION, 22, 1));
    assert_eq!(receiver.heard(), []);
    receiver.take(3 * NANOS_PER_SECOND, &numbered(SESSION, 1, 1));
    assert_eq!(receiver.heard(), [Feed(FeedMessage::Restarted { expected: 31, received: 1 }), Number(1)]);
}

#[test]
fn the_end_is_told_once_and_in_its_place() {
    let mut end = mold(SESSION, 3, &[]);
    end[18..20].copy_from_slice(&[0xFF, 0xFF]);
    let end = frame(26_477, &end);
    let mut receiver = Receiver::new(4);
    receiver.take(0, &numbered(SESSION, 1, 1));
    receiver.take(0, &end);
    receiver.take(0, &numbered(SESSION, 2, 1));
    receiver.take(0, &end);
    assert_eq!(receiver.heard(), [Feed(FeedMessage::Started), Number(1), Number(2), Feed(FeedMessage::Ended)]);
}

#[test]
fn messages_without_numbers_pass() {
    let mut receiver = Receiver::new(4);
    let payload = mold(&[0; 10], 0, &[deletion(70), deletion(71)]);
    receiver.take(0, &frame(0, &payload));
    receiver.take(0, &frame(0, &payload));
    assert_eq!(receiver.heard(), [70, 71, 70, 71].map(Number));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Packets of one to four messages, some lost, some doubled, each late by at most eight places.
    #[test]
    fn every_number_leaves_once_in_order_or_in_a_gap(
        sizes in prop::collection::vec(1..5_u64, 1..60), fates in prop::collection::vec((0..10_u8, 0..8_usize), 60), window in 0..12_usize
    ) {
        let (mut first, mut sent, mut arrived, mut is_lost) = (1, Vec::new(), Vec::new(), Vec::new());
        for (place, &count) in sizes.iter().enumerate() {
            let (fate, late) = fates[place];
            // The first one comes and comes first; else its beginning would be a gap at once.
            if place == 0 || fate > 1 {
                sent.push((if place == 0 { 0 } else { place + late }, first, count));
                if fate > 7 {
                    sent.push((place + 8, first, count));
                }
                arrived.extend(first..first + count);
            }
            is_lost.extend((first..first + count).filter(|number| !arrived.contains(number)));
            first += count;
        }
        sent.sort_by_key(|(turn, first, _)| (*turn, *first));
        let mut receiver = Receiver::new(window);
        for (turn, first, count) in sent {
            receiver.take(turn as i64, &numbered(SESSION, first, count));
        }
        receiver.decoder.finish(Timestamp(0), &mut receiver.heard).expect("reads");

        let heard = receiver.heard();
        prop_assert_eq!(heard[0], Feed(FeedMessage::Started));
        let (mut expected, mut missing) = (1, Vec::new());
        for out in &heard[1..] {
            match out {
                Number(number) => {
                    prop_assert_eq!(*number, expected);
                    expected += 1;
                }
                Feed(FeedMessage::Gap { first, last }) => {
                    prop_assert!(*first == expected && first <= last);
                    missing.extend(*first..=*last);
                    expected = last + 1;
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(expected, arrived.last().map_or(1, |last| last + 1));
        is_lost.retain(|number| *number < expected);
        if window >= 8 {
            // Nothing comes so late that it finds no room to be waited for.
            prop_assert_eq!(missing, is_lost);
        } else {
            prop_assert!(is_lost.iter().all(|number| missing.contains(number)));
        }
    }
}

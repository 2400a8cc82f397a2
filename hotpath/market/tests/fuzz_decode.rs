//! No bytes make a decoder panic, and no sequence of messages makes a book claim to be what it is not.
//!
//! Each target runs its committed corpus, then random input for a second; `cargo bolero test NAME` runs one for as long as it is let.

use chronos_market::book::{BookEvent, BookSync, SyncOutcome};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Message, split_capture_line};
use chronos_market::{BookState, EventFlags, EventKind, Price, Qty, Side, Timestamp};
use std::collections::BTreeMap;

#[derive(Default)]
struct Counting(u32);

impl DecodeSink for Counting {
    fn message(&mut self, _recv: Timestamp, _message: &Message<'_>) {
        self.0 += 1;
    }
}

#[test]
fn binance_message() {
    let shared = std::sync::Mutex::new(BinanceDecoder::new());
    bolero::check!().for_each(|raw: &[u8]| {
        // A decoder that met an error is as good as a new one: its answer is that of a fresh decoder.
        let mut seasoned = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut first, mut second) = (Counting::default(), Counting::default());
        let decoded = seasoned.decode(raw, Timestamp(0), &mut first);
        assert_eq!(decoded, BinanceDecoder::new().decode(raw, Timestamp(0), &mut second));
        assert_eq!((first.0, second.0), (u32::from(decoded.is_ok()), u32::from(decoded.is_ok())));
        let _ = seasoned.venue_evidence(raw);
    });
}

#[test]
fn capture_line() {
    bolero::check!().for_each(|line: &[u8]| {
        if let Ok(split) = split_capture_line(line) {
            assert!(split.recv.0 >= 100_000_000_000_000_000, "{:?} is before 1973", split.recv);
            assert!(!split.message.is_empty() && line.windows(split.message.len()).any(|part| part == split.message));
        }
    });
}

/// What the events of a book tell somebody who hears nothing else.
#[derive(Default)]
struct Listener {
    levels: [BTreeMap<Price, Qty>; 2],
    is_synced: bool,
    last_flags: Option<EventFlags>,
}

impl Listener {
    fn hear(&mut self, event: BookEvent) {
        self.last_flags = Some(event.flags);
        match event.kind {
            EventKind::BookCleared => self.levels = Default::default(),
            EventKind::BookSynced => self.is_synced = true,
            EventKind::BookStale => self.is_synced = false,
            EventKind::LevelSet if event.qty.0 == 0 => {
                self.levels[event.side as usize].remove(&event.price);
            }
            EventKind::LevelSet => {
                self.levels[event.side as usize].insert(event.price, event.qty);
            }
            other => panic!("a book has no {other:?}"),
        }
    }
}

/// A decoded message goes to the book, its events to the listener.
#[derive(Default)]
struct Session {
    sync: BookSync,
    listener: Listener,
    outcome: Option<SyncOutcome>,
}

impl DecodeSink for Session {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        let listener = &mut self.listener;
        let mut emit = |event| listener.hear(event);
        self.outcome = match message {
            Message::Depth(depth) => Some(self.sync.on_depth(depth, &mut emit)),
            Message::Snapshot(snapshot) => Some(self.sync.on_snapshot(snapshot, &mut emit)),
            other => panic!("nobody sent {other:?}"),
        };
    }
}

#[test]
fn book_stream() {
    bolero::check!().for_each(|steps: &[u8]| {
        let (mut decoder, mut session) = (BinanceDecoder::new(), Session::default());
        let (mut last_id, mut was_synced) = (10, false);
        for step in steps.chunks_exact(5) {
            session.outcome = None;
            session.listener.last_flags = None;
            let message = message(step, &mut last_id);
            if let Some(message) = &message {
                decoder.decode(message.as_bytes(), Timestamp(0), &mut session).unwrap_or_else(|error| panic!("{message}: {error}"));
            } else {
                let listener = &mut session.listener;
                session.sync.resync(chronos_market::StaleReason::Reset, &mut |event| listener.hear(event));
            }
            check(&session, was_synced);
            was_synced = session.sync.state() == BookState::Synced;
        }
    });
}

fn check(session: &Session, was_synced: bool) {
    let (sync, listener) = (&session.sync, &session.listener);
    let is_synced = sync.state() == BookState::Synced;
    assert_eq!(is_synced, listener.is_synced);
    if let Some(flags) = listener.last_flags {
        assert!(flags.contains(EventFlags::BATCH_END), "the last event of a message ends its batch");
    }
    match session.outcome {
        Some(SyncOutcome::Synced) => assert!(is_synced && !was_synced),
        Some(SyncOutcome::Applied(_)) => assert!(is_synced && was_synced),
        Some(SyncOutcome::WentStale(reason)) => assert_eq!(sync.state(), BookState::Stale(reason)),
        Some(_) => assert_eq!(is_synced, was_synced),
        None => {}
    }
    if is_synced {
        assert!(!sync.book().bbo().is_crossed());
        for side in [Side::Buy, Side::Sell] {
            let mut heard: Vec<(Price, Qty)> = listener.levels[side as usize].iter().map(|(&price, &qty)| (price, qty)).collect();
            if side == Side::Buy {
                heard.reverse();
            }
            let held: Vec<(Price, Qty)> = sync.book().levels(side).map(|level| (level.price, level.qty)).collect();
            assert_eq!(held, heard, "{side:?}");
        }
    }
}

/// Five bytes to a message: kind, how far the first id is off, how many ids it spans, price (above 127: an ask), quantity. Mostly the ids
/// continue. `None` asks for a resync.
fn message(step: &[u8], last_id: &mut u64) -> Option<String> {
    let &[kind, gap, span, price, qty] = step else { return None };
    let (side, other) = if price > 127 { ("a", "b") } else { ("b", "a") };
    let price = u64::from(price % 128) / 8 + if price > 127 { 14 } else { 1 };
    let first = match gap % 16 {
        0..12 => *last_id + 1,
        12 | 13 => (*last_id).saturating_sub(u64::from(gap / 16)),
        _ => *last_id + 1 + u64::from(gap / 16),
    };
    let (last, qty) = (first + u64::from(span % 4), qty % 4);
    let time = 1_700_000_000_000_u64;
    Some(match kind % 16 {
        0..=6 => {
            *last_id = last;
            format!(
                r#"{{"e":"depthUpdate","E":{time},"s":"A","U":{first},"u":{last},"{side}":[["{price}","{qty}"]],"{other}":[]}}"#
            )
        }
        7..=11 => {
            *last_id = last;
            let previous = first.saturating_sub(1);
            format!(
                r#"{{"e":"depthUpdate","E":{time},"s":"A","U":{first},"u":{last},"pu":{previous},"{side}":[["{price}","{qty}"],["{price}","1"]],"{other}":[]}}"#
            )
        }
        12..=14 => {
            let id = (*last_id + u64::from(span % 2)).saturating_sub(u64::from(gap % 4));
            format!(r#"{{"lastUpdateId":{id},"bids":[["{price}","{qty}"],["1","1"]],"asks":[["{}","1"],["30","2"]]}}"#, price + 1)
        }
        _ => return None,
    })
}

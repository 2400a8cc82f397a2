//! Books on real captures: their venues' checksums, snapshots and quotes are the witnesses.

mod levels;
mod orders;
#[path = "../captures/whole_file.rs"]
mod whole_file;

use chronos_market::book::{BookEvent, MarketBook, SyncCounters, SyncOutcome};
use chronos_market::decode::{DecodeSink, Decoder, FeedMessage, Message};
use chronos_market::{BookState, Timestamp};
use std::collections::BTreeMap;
use whole_file::unpacked;

/// The books of a capture by symbol, each made when its symbol is first named.
struct Books {
    by_symbol: BTreeMap<String, MarketBook>,
    /// The symbol of messages that name none.
    symbol: String,
    /// What makes a book.
    make: fn() -> MarketBook,
    /// What the feed last said of books.
    feed: Option<FeedMessage>,
    restarts: usize,
    outcomes: Vec<SyncOutcome>,
}

impl Books {
    fn new(make: fn() -> MarketBook) -> Books {
        Books { by_symbol: BTreeMap::new(), symbol: String::new(), make, feed: None, restarts: 0, outcomes: Vec::new() }
    }

    /// Decodes a message and hands it to its book.
    fn take(&mut self, decoder: &mut impl Decoder, recv: Timestamp, raw: &[u8]) {
        if let Err(error) = decoder.decode(raw, recv, self) {
            panic!("{error}: {}", String::from_utf8_lossy(&raw[..raw.len().min(200)]));
        }
    }

    /// All counts together.
    fn counters(&self) -> SyncCounters {
        self.by_symbol.values().map(MarketBook::counters).fold(SyncCounters::default(), |sum, one| SyncCounters {
            gaps: sum.gaps + one.gaps,
            resyncs: sum.resyncs + one.resyncs,
            old: sum.old + one.old,
            snapshots_too_old: sum.snapshots_too_old + one.snapshots_too_old,
            crossed: sum.crossed + one.crossed,
            overruns: sum.overruns + one.overruns,
            restarts: sum.restarts + one.restarts,
            checksums_compared: sum.checksums_compared + one.checksums_compared,
            checksum_mismatches: sum.checksum_mismatches + one.checksum_mismatches,
            unknown_orders: sum.unknown_orders + one.unknown_orders,
            contradictions: sum.contradictions + one.contradictions,
            withheld: sum.withheld + one.withheld,
        })
    }

    fn are_synced(&self) -> bool {
        self.by_symbol.values().all(|book| book.state() == BookState::Synced)
    }
}

impl DecodeSink for Books {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        let emit = &mut |_: BookEvent| {};
        if let Message::Feed(feed) = message {
            self.restarts += usize::from(matches!(feed, FeedMessage::Restarted { .. }));
            if !matches!(feed, FeedMessage::Heartbeat | FeedMessage::Ended) {
                self.feed = Some(*feed);
            }
            self.outcomes.extend(self.by_symbol.values_mut().map(|book| book.on_feed(feed, emit)));
            return;
        }
        let is_of_book = matches!(
            message,
            Message::Depth(_) | Message::Snapshot(_) | Message::Book(_) | Message::Order(_) | Message::OrderSnapshot(_)
        );
        if !is_of_book {
            return;
        }
        let symbol = message.symbol().unwrap_or(&self.symbol);
        let (make, feed) = (self.make, self.feed);
        let book = self.by_symbol.entry(symbol.to_owned()).or_insert_with(|| {
            let mut book = make();
            if let Some(feed) = feed {
                book.on_feed(&feed, &mut |_| {});
            }
            book
        });
        self.outcomes.push(match message {
            Message::Depth(depth) => book.on_depth(depth, emit),
            Message::Snapshot(snapshot) => book.on_snapshot(snapshot, emit),
            Message::Book(levels) => book.on_book(levels, emit),
            Message::Order(order) => book.on_order(order, emit),
            Message::OrderSnapshot(snapshot) => book.on_order_snapshot(snapshot, emit),
            _ => return,
        });
    }
}

/// A capture of text.
fn text(name: &str) -> Option<String> {
    unpacked(name).map(|bytes| String::from_utf8(bytes).unwrap())
}

/// The messages of recordings made side by side, in the order they were received: the address for a REST reply, else nothing, and
/// the message. Lines are `<seconds>: <message>` and `<address> -> <seconds>: <reply>`.
fn recorded(texts: &[String]) -> Vec<(&str, &str)> {
    let mut messages = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let (address, received) = line.split_once(" -> ").unwrap_or(("", line));
        if let Some((time, message)) = received.split_once(": ")
            && let Ok(seconds) = time.parse::<f64>()
        {
            messages.push((seconds, address, message));
        }
    }
    messages.sort_by(|one, other| one.0.total_cmp(&other.0));
    messages.into_iter().map(|(_, address, message)| (address, message)).collect()
}

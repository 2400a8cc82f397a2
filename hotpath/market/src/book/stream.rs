//! Keeps a level book whose snapshots and changes come in one stream: [`Message::Book`](crate::decode::Message::Book).
//!
//! ```text
//!  Waiting ──── snapshot, feed begins ────▶ Synced ◀── snapshot ──┐
//!     │ ▲                                     │  └────────────────┘
//!     │ └──── gap, checksum, crossed, reset ──┘
//!     └── snapshot of a rising number that nothing newer has followed yet ──▶ Loaded ── change ──▶ Synced
//! ```
//!
//! What continues the book is told by the message's [`Link`]: a hole in consecutive or chained ids is a gap. A number that only rises
//! (Bitstamp's diffs, by time) tells of no hole; its snapshot is a REST reply, so changes are kept until it comes and those that it
//! contains are dropped. Where a venue sends nothing that tells (Kraken, Bitfinex), its checksum is compared, where it has one.
//! Levels beyond the depth the venue keeps in step are dropped after each message. Between the messages of one event the book is
//! not to be looked at; whether it is crossed, and its checksum, is looked at when the event is whole.

use super::best_change::BestChange;
use super::checksum::book_checksum;
use super::continuity::{Position, Standing, reaches_back};
use super::l2::L2Book;
use super::lifecycle::{Batch, Lifecycle};
use super::sync::{BookEvent, PENDING_LEVELS_MAX, PENDING_MESSAGES_MAX, SyncCounters, SyncOutcome, level_event, mark};
use crate::decode::{BookChecksum, BookMessage, FeedMessage, LevelChange, Link};
use crate::event::{EventFlags, EventKind, Side};
use crate::fixed::Qty;
use crate::frame::{BookState, StaleReason};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing usable in the book.
    Waiting,
    /// A snapshot is in the book, not yet told: it waits for the end of its event, or for the change that joins it.
    Loaded,
    Synced,
}

/// A message kept until a snapshot comes.
#[derive(Clone, Copy, Debug)]
struct Pending {
    link: Link,
    start: usize,
    len: usize,
}

/// A level book kept from one stream. All memory is taken when it is made.
#[derive(Debug)]
pub struct StreamSync {
    book: L2Book,
    phase: Phase,
    position: Position,
    lifecycle: Lifecycle,
    /// Whether an event has begun and not ended.
    is_open: bool,
    /// The best level that the event so far changed.
    best_changed: Option<usize>,
    pending: Vec<Pending>,
    pending_levels: Vec<LevelChange>,
}

impl Default for StreamSync {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamSync {
    /// A book that waits for its first snapshot, or for its feed to begin.
    pub fn new() -> StreamSync {
        StreamSync {
            book: L2Book::new(),
            phase: Phase::Waiting,
            position: Position::default(),
            lifecycle: Lifecycle::new(),
            is_open: false,
            best_changed: None,
            pending: Vec::with_capacity(PENDING_MESSAGES_MAX),
            pending_levels: Vec::with_capacity(PENDING_LEVELS_MAX),
        }
    }

    /// The book. To be used only while [`StreamSync::state`] is synced, and not after [`SyncOutcome::Partial`].
    #[inline]
    pub fn book(&self) -> &L2Book {
        &self.book
    }

    /// Whether the book may be used.
    #[inline]
    pub fn state(&self) -> BookState {
        self.lifecycle.state
    }

    /// The id the book stands at; 0 where the venue sends none.
    #[inline]
    pub fn last_id(&self) -> u64 {
        self.position.id()
    }

    /// The counts so far.
    pub fn counters(&self) -> SyncCounters {
        self.lifecycle.counters
    }

    /// Takes a message. Every event it causes goes to `emit`, the last one of an event with [`EventFlags::BATCH_END`].
    #[inline]
    pub fn on_book(&mut self, message: &BookMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if message.is_snapshot {
            return self.on_snapshot(message, emit);
        }
        if self.phase == Phase::Waiting {
            return match message.link {
                Link::Rising(_) => self.keep(message),
                _ => SyncOutcome::Unused,
            };
        }
        match self.position.standing(message.link) {
            Standing::Old => {
                self.lifecycle.counters.old += 1;
                SyncOutcome::Old
            }
            Standing::Gap => self.go_stale(StaleReason::Gap, emit),
            Standing::Next => self.apply(message, emit),
        }
    }

    /// Takes what the feed says of itself. Where it begins, or begins anew, the book is empty and in sync.
    pub fn on_feed(&mut self, feed: &FeedMessage, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match feed {
            FeedMessage::Gap { .. } if self.phase != Phase::Waiting => self.go_stale(StaleReason::Gap, emit),
            FeedMessage::Gap { .. } => {
                self.clear_pending();
                SyncOutcome::Unused
            }
            FeedMessage::Started if self.phase == Phase::Synced && self.is_empty() => SyncOutcome::Unused,
            FeedMessage::Started | FeedMessage::Restarted { .. } => {
                self.lifecycle.counters.restarts += u64::from(matches!(feed, FeedMessage::Restarted { .. }));
                self.begin(Link::None);
                self.enter_synced(emit)
            }
            FeedMessage::Heartbeat | FeedMessage::Ended => SyncOutcome::Unused,
        }
    }

    /// Drops the book and starts over from the next snapshot. `reason` says why the book is stale until then.
    pub fn resync(&mut self, reason: StaleReason, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.phase == Phase::Synced {
            return self.go_stale(reason, emit);
        }
        self.clear_pending();
        self.phase = Phase::Waiting;
        SyncOutcome::Unused
    }

    fn is_empty(&self) -> bool {
        self.book.depth(Side::Buy) + self.book.depth(Side::Sell) == 0
    }

    fn on_snapshot(&mut self, snapshot: &BookMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        let Link::Rising(id) = snapshot.link else {
            self.begin(snapshot.link);
            return self.apply(snapshot, emit);
        };
        let was_synced = self.phase == Phase::Synced;
        if was_synced && id <= self.position.id() {
            return SyncOutcome::SnapshotUnneeded;
        }
        let position = Position::of_snapshot(snapshot.link);
        let first_new = self.pending.iter().position(|message| position.standing(message.link) != Standing::Old);
        let kept = first_new.map(|place| (place, self.pending[0].link, self.pending[place].link));
        if let Some((_, oldest, first_new)) = kept
            && !reaches_back(position, oldest, first_new)
        {
            self.lifecycle.counters.snapshots_too_old += 1;
            self.phase = Phase::Waiting;
            return SyncOutcome::SnapshotTooOld;
        }
        self.lifecycle.counters.old += first_new.unwrap_or(self.pending.len()) as u64;
        self.book.clear();
        self.position = position;
        self.phase = Phase::Loaded;
        self.is_open = false;
        self.best_changed = None;
        if self.set_all(snapshot.levels).is_err() {
            return self.go_stale(StaleReason::Overrun, emit);
        }
        let Some((first_new, ..)) = kept else {
            self.clear_pending();
            // A newer whole book in mid-stream takes the place of the old one.
            return if was_synced { self.enter_synced(emit) } else { SyncOutcome::SnapshotLoaded };
        };
        for place in first_new..self.pending.len() {
            let Pending { link, start, len } = self.pending[place];
            for index in start..start + len {
                let change = self.pending_levels[index];
                if self.book.set(change.side, change.price, change.qty).is_err() {
                    return self.go_stale(StaleReason::Overrun, emit);
                }
            }
            self.position.advance(link);
        }
        self.clear_pending();
        self.enter_synced(emit)
    }

    /// An empty book, to be filled by what follows.
    fn begin(&mut self, link: Link) {
        self.book.clear();
        self.clear_pending();
        self.position = Position::of_snapshot(link);
        self.phase = Phase::Loaded;
        self.is_open = false;
        self.best_changed = None;
    }

    #[inline]
    fn apply(&mut self, message: &BookMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.phase == Phase::Synced {
            let id = message.link.id().unwrap_or(0);
            let mut batch = Batch::new(emit);
            let mut best_changed = BestChange::default();
            for change in message.levels {
                match self.book.set(change.side, change.price, change.qty) {
                    Ok(false) => {}
                    Ok(true) => best_changed.note(change),
                    Err(_) => return self.go_stale(StaleReason::Overrun, emit),
                }
                batch.push(level_event(change, id, EventFlags::NONE));
            }
            self.best_changed = [self.best_changed, best_changed.better_levels(&self.book)].into_iter().flatten().min();
            if let Some(depth_max) = message.depth_max {
                truncate(&mut self.book, depth_max, &mut |change| batch.push(level_event(&change, id, EventFlags::NONE)));
            }
            if message.is_last && self.is_open && batch.is_empty() {
                // An event whose last message changes nothing still has an end.
                batch.push(mark(EventKind::Heartbeat, id, EventFlags::NONE));
            }
            batch.flush(message.is_last);
        } else {
            if self.set_all(message.levels).is_err() {
                return self.go_stale(StaleReason::Overrun, emit);
            }
            if let Some(depth_max) = message.depth_max {
                truncate(&mut self.book, depth_max, &mut |_| {});
            }
        }
        self.position.advance(message.link);
        self.is_open = !message.is_last;
        if self.is_open {
            return SyncOutcome::Partial;
        }
        if let Some(checksum) = message.checksum
            && !self.agrees(&checksum)
        {
            return self.go_stale(StaleReason::Checksum, emit);
        }
        if self.phase != Phase::Synced {
            return self.enter_synced(emit);
        }
        if self.book.bbo().is_crossed() {
            return self.go_stale(StaleReason::Crossed, emit);
        }
        SyncOutcome::Applied(self.best_changed.take())
    }

    fn set_all(&mut self, levels: &[LevelChange]) -> Result<(), super::BookFull> {
        levels.iter().try_for_each(|change| self.book.set(change.side, change.price, change.qty).map(drop))
    }

    fn agrees(&mut self, checksum: &BookChecksum) -> bool {
        self.lifecycle.counters.checksums_compared += 1;
        book_checksum(&self.book, checksum) == checksum.crc32
    }

    fn enter_synced(&mut self, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.book.bbo().is_crossed() {
            return self.go_stale(StaleReason::Crossed, emit);
        }
        self.phase = Phase::Synced;
        let id = self.position.id();
        emit(mark(EventKind::BookCleared, id, EventFlags::SNAPSHOT));
        for side in [Side::Buy, Side::Sell] {
            for level in self.book.levels(side) {
                emit(level_event(&LevelChange { side, price: level.price, qty: level.qty }, id, EventFlags::SNAPSHOT));
            }
        }
        self.lifecycle.synced(id, emit)
    }

    #[cold]
    fn go_stale(&mut self, reason: StaleReason, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        self.clear_pending();
        self.phase = Phase::Waiting;
        self.is_open = false;
        self.best_changed = None;
        self.lifecycle.stale(reason, self.position.id(), emit)
    }

    fn keep(&mut self, message: &BookMessage<'_>) -> SyncOutcome {
        let is_full =
            self.pending.len() == PENDING_MESSAGES_MAX || self.pending_levels.len() + message.levels.len() > PENDING_LEVELS_MAX;
        if is_full {
            self.lifecycle.counters.overruns += 1;
            self.clear_pending();
        }
        self.pending.push(Pending { link: message.link, start: self.pending_levels.len(), len: message.levels.len() });
        self.pending_levels.extend_from_slice(message.levels);
        SyncOutcome::Buffered
    }

    fn clear_pending(&mut self) {
        self.pending.clear();
        self.pending_levels.clear();
    }
}

/// Drops the levels beyond the best `depth_max` of each side and tells each.
#[inline]
fn truncate(book: &mut L2Book, depth_max: u16, dropped: &mut impl FnMut(LevelChange)) {
    let depth_max = usize::from(depth_max);
    for side in [Side::Buy, Side::Sell] {
        while book.depth(side) > depth_max {
            let Some(level) = book.levels(side).nth(depth_max) else { break };
            let gone = LevelChange { side, price: level.price, qty: Qty::ZERO };
            // Removing what is there needs no room.
            if book.set(side, gone.price, gone.qty).is_ok() {
                dropped(gone);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{PRICE_SCALE, Price, QTY_SCALE};

    fn change(side: Side, price: i64, qty: i64) -> LevelChange {
        LevelChange { side, price: Price(price * PRICE_SCALE), qty: Qty(qty * QTY_SCALE) }
    }

    const BID: fn(i64, i64) -> LevelChange = |price, qty| change(Side::Buy, price, qty);
    const ASK: fn(i64, i64) -> LevelChange = |price, qty| change(Side::Sell, price, qty);

    fn update(link: Link, levels: &[LevelChange]) -> BookMessage<'_> {
        BookMessage {
            symbol: "X",
            link,
            exchange_ns: 0,
            is_snapshot: false,
            is_last: true,
            depth_max: None,
            checksum: None,
            levels,
        }
    }

    fn snapshot(link: Link, levels: &[LevelChange]) -> BookMessage<'_> {
        BookMessage { is_snapshot: true, ..update(link, levels) }
    }

    fn best(sync: &StreamSync) -> (i64, i64) {
        let bbo = sync.book().bbo();
        (bbo.bid.price.0 / PRICE_SCALE, bbo.ask.price.0 / PRICE_SCALE)
    }

    #[test]
    fn a_hole_in_consecutive_numbers_needs_a_new_snapshot() {
        let mut sync = StreamSync::new();
        let mut none = |_: BookEvent| {};
        let book = [BID(10, 1), ASK(12, 1)];
        assert_eq!(sync.on_book(&update(Link::Consecutive(4), &[BID(9, 1)]), &mut none), SyncOutcome::Unused);
        assert_eq!(sync.on_book(&snapshot(Link::Consecutive(5), &book), &mut none), SyncOutcome::Synced);
        assert_eq!(sync.on_book(&update(Link::Consecutive(6), &[BID(11, 1)]), &mut none), SyncOutcome::Applied(Some(0)));
        assert_eq!(sync.on_book(&update(Link::Consecutive(6), &[BID(11, 0)]), &mut none), SyncOutcome::Old);
        let gap = sync.on_book(&update(Link::Consecutive(8), &[BID(11, 0)]), &mut none);
        assert_eq!((gap, best(&sync)), (SyncOutcome::WentStale(StaleReason::Gap), (11, 12)));
        assert_eq!(sync.on_book(&update(Link::Consecutive(9), &[BID(11, 0)]), &mut none), SyncOutcome::Unused);
        assert_eq!(sync.on_book(&snapshot(Link::Consecutive(20), &book), &mut none), SyncOutcome::Synced);
        assert_eq!((sync.counters().gaps, sync.counters().resyncs, sync.last_id()), (1, 1, 20));
    }

    #[test]
    fn changes_by_time_wait_for_a_reply_and_join_it() {
        let mut sync = StreamSync::new();
        let mut none = |_: BookEvent| {};
        let book = [BID(10, 1), ASK(12, 1)];
        for (time, price) in [(7, 11), (8, 9), (9, 8)] {
            assert_eq!(sync.on_book(&update(Link::Rising(time), &[BID(price, 1)]), &mut none), SyncOutcome::Buffered);
        }
        // Older than all that was kept: what lies between was never seen.
        assert_eq!(sync.on_book(&snapshot(Link::Rising(6), &book), &mut none), SyncOutcome::SnapshotTooOld);
        assert_eq!(sync.on_book(&snapshot(Link::Rising(8), &book), &mut none), SyncOutcome::Synced);
        assert_eq!((best(&sync), sync.book().depth(Side::Buy), sync.counters().old), ((10, 12), 2, 2));
        assert_eq!(sync.on_book(&snapshot(Link::Rising(9), &book), &mut none), SyncOutcome::SnapshotUnneeded);
        assert_eq!(sync.on_book(&snapshot(Link::Rising(10), &book), &mut none), SyncOutcome::Synced);
        assert_eq!(sync.book().depth(Side::Buy), 1);
        assert_eq!(sync.resync(StaleReason::Reset, &mut none), SyncOutcome::WentStale(StaleReason::Reset));
        // Nothing kept: the first change that is newer joins.
        assert_eq!(sync.on_book(&snapshot(Link::Rising(12), &book), &mut none), SyncOutcome::SnapshotLoaded);
        assert_eq!(sync.state(), BookState::Stale(StaleReason::Reset));
        assert_eq!(sync.on_book(&update(Link::Rising(12), &[BID(11, 1)]), &mut none), SyncOutcome::Old);
        assert_eq!(sync.on_book(&update(Link::Rising(13), &[BID(11, 1)]), &mut none), SyncOutcome::Synced);
        assert_eq!(best(&sync), (11, 12));
    }

    #[test]
    fn a_book_may_cross_within_an_event_and_not_after_it() {
        let mut sync = StreamSync::new();
        let mut ends = 0;
        let mut count = |event: BookEvent| ends += u32::from(event.flags.contains(EventFlags::BATCH_END));
        sync.on_feed(&FeedMessage::Started, &mut count);
        fn part(levels: &[LevelChange]) -> BookMessage<'_> {
            BookMessage { is_last: false, ..update(Link::None, levels) }
        }
        assert_eq!(sync.on_book(&part(&[BID(10, 1), ASK(12, 1)]), &mut count), SyncOutcome::Partial);
        assert_eq!(sync.on_book(&part(&[BID(13, 1)]), &mut count), SyncOutcome::Partial);
        assert_eq!(sync.on_book(&part(&[ASK(12, 0)]), &mut count), SyncOutcome::Partial);
        // The last message changes nothing, and the event ends all the same.
        assert_eq!(sync.on_book(&update(Link::None, &[]), &mut count), SyncOutcome::Applied(Some(0)));
        assert_eq!(sync.on_book(&update(Link::None, &[ASK(13, 1)]), &mut count), SyncOutcome::WentStale(StaleReason::Crossed));
        assert_eq!(sync.counters().crossed, 1);
        // Begun, the event, the message that crosses, and that it did.
        assert_eq!(ends, 4);
    }

    #[test]
    fn what_is_pushed_beyond_the_depth_is_dropped_and_told() {
        let mut sync = StreamSync::new();
        let mut copy = L2Book::new();
        let mut follow = |event: BookEvent| {
            if event.kind == EventKind::LevelSet {
                copy.set(event.side, event.price, event.qty).unwrap();
            }
        };
        fn deep(message: BookMessage<'_>) -> BookMessage<'_> {
            BookMessage { depth_max: Some(2), ..message }
        }
        sync.on_book(&deep(snapshot(Link::None, &[BID(10, 1), BID(9, 1), ASK(12, 1)])), &mut follow);
        sync.on_book(&deep(update(Link::None, &[BID(11, 1)])), &mut follow);
        // The level that was pushed out does not come back by itself.
        sync.on_book(&deep(update(Link::None, &[BID(11, 0)])), &mut follow);
        assert_eq!(sync.book().levels(Side::Buy).map(|level| level.price.0 / PRICE_SCALE).collect::<Vec<_>>(), [10]);
        assert!(copy.levels(Side::Buy).eq(sync.book().levels(Side::Buy)));
    }

    #[test]
    fn a_checksum_that_differs_stops_the_book() {
        let mut sync = StreamSync::new();
        let mut none = |_: BookEvent| {};
        let written = BookChecksum { crc32: 0, price_decimals: 1, qty_decimals: 3 };
        let levels = [BID(10, 1), ASK(12, 1)];
        let crc32 = {
            let mut book = L2Book::new();
            for level in &levels {
                book.set(level.side, level.price, level.qty).unwrap();
            }
            book_checksum(&book, &written)
        };
        let checked = |crc32, message| BookMessage { checksum: Some(BookChecksum { crc32, ..written }), ..message };
        assert_eq!(sync.on_book(&checked(crc32, snapshot(Link::None, &levels)), &mut none), SyncOutcome::Synced);
        let outcome = sync.on_book(&checked(crc32, update(Link::None, &[BID(10, 2)])), &mut none);
        assert_eq!(outcome, SyncOutcome::WentStale(StaleReason::Checksum));
        assert_eq!((sync.counters().checksums_compared, sync.counters().checksum_mismatches), (2, 1));
    }

    #[test]
    fn a_feed_that_begins_anew_is_told_and_goes_on_from_empty() {
        let mut sync = StreamSync::new();
        let mut kinds = Vec::new();
        let mut note = |event: BookEvent| kinds.push(event.kind);
        assert_eq!(sync.on_feed(&FeedMessage::Started, &mut note), SyncOutcome::Synced);
        assert_eq!(sync.on_feed(&FeedMessage::Started, &mut note), SyncOutcome::Unused);
        sync.on_book(&update(Link::None, &[BID(10, 1)]), &mut note);
        assert_eq!(sync.on_feed(&FeedMessage::Restarted { expected: 9, received: 1 }, &mut note), SyncOutcome::Synced);
        assert_eq!((best(&sync), sync.counters().restarts), ((0, 0), 1));
        assert_eq!(sync.on_feed(&FeedMessage::Gap { first: 3, last: 4 }, &mut note), SyncOutcome::WentStale(StaleReason::Gap));
        assert_eq!(sync.on_book(&update(Link::None, &[BID(10, 1)]), &mut note), SyncOutcome::Unused);
        use EventKind::*;
        assert_eq!(kinds, [BookCleared, BookSynced, LevelSet, BookCleared, BookSynced, BookStale]);
    }
}

//! Keeps a level book in sync with its venue: snapshot bootstrap, sequence rules, gaps, resync.
//!
//! ```text
//!            depth: buffered            snapshot, nothing newer buffered       depth that joins
//!  Waiting ───────────────────▶ Waiting ───────────────────────────▶ Joining ─────────────────▶ Synced
//!     ▲        snapshot, buffered depth joins: straight to Synced        │  depth beyond it       │
//!     └──────────────────────────────────────────────────────────────────┴──── gap, overrun ──────┘
//! ```
//!
//! Depth messages are buffered from the first one on, whether they arrive before the snapshot or after it: the one that straddles
//! the snapshot is often received before it, and without it the book is silently wrong while later ids look continuous.
//!
//! **Spot** (ids of one symbol are consecutive): a message is old when `u <= L` (L the snapshot's id), joins when
//! `U <= L + 1 <= u`, and continues when `U <= last u + 1`. **Futures** (ids are shared by all symbols, so holes between messages are
//! normal): old when `u < L`, joins when `pu <= L <= u`, continues when `pu` equals the last `u`. `pu <= L` contains the venue's
//! documented `U <= L`, and also holds for the quiet symbol whose first message after the snapshot begins beyond it.

use super::best_change::BestChange;
use super::l2::L2Book;
use crate::decode::{DepthMessage, LevelChange, SnapshotMessage};
use crate::event::{EventFlags, EventKind, Side};
use crate::fixed::{Price, Qty};
use crate::frame::{BookState, StaleReason};

/// Depth messages buffered while a snapshot is awaited.
pub const PENDING_MESSAGES_MAX: usize = 8_192;
/// Level changes buffered while a snapshot is awaited.
pub const PENDING_LEVELS_MAX: usize = 131_072;

/// A market event without what the session adds to it (place, times, instrument).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookEvent {
    /// What changed.
    pub kind: EventKind,
    /// Side of the book.
    pub side: Side,
    /// Price of the level.
    pub price: Price,
    /// New total quantity of the level.
    pub qty: Qty,
    /// Update id.
    pub id: u64,
    /// Batch end, snapshot.
    pub flags: EventFlags,
}

/// What a message did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncOutcome {
    /// Applied. The best level changed had so many better ones; `None` where the message changed nothing.
    Applied(Option<usize>),
    /// Applied, and the book is in sync from here on.
    Synced,
    /// Kept until a snapshot arrives.
    Buffered,
    /// Older than the book.
    Old,
    /// The book may no longer be used.
    WentStale(StaleReason),
    /// A snapshot that the buffered messages do not reach back to: a newer one is needed.
    SnapshotTooOld,
    /// A snapshot that waits for the first depth message to join it.
    SnapshotLoaded,
    /// A snapshot that a synced book has no use for.
    SnapshotUnneeded,
    /// Applied, and more of the same event follows: the book may not be looked at before it has come.
    Partial,
    /// Of no use to the book as it is: it waits for a snapshot that this could not be joined to, or is of another kind.
    Unused,
}

/// Counts kept by a [`BookSync`], a [`super::StreamSync`] or an [`super::OrderSync`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SyncCounters {
    /// Breaks in the chain of update ids.
    pub gaps: u64,
    /// Times the book came back into sync after having been in sync before.
    pub resyncs: u64,
    /// Messages older than the book (duplicates, or from before the snapshot).
    pub old: u64,
    /// Snapshots that could not be joined.
    pub snapshots_too_old: u64,
    /// Times bid and ask touched or crossed after a whole message.
    pub crossed: u64,
    /// Times a fixed buffer was too small.
    pub overruns: u64,
    /// Times the feed's numbering began anew and the book with it.
    pub restarts: u64,
    /// Checksums of the venue compared with the book.
    pub checksums_compared: u64,
    /// Checksums that differed.
    pub checksum_mismatches: u64,
    /// Changes of orders that are not at rest: from before the book began, or taken out already.
    pub unknown_orders: u64,
    /// Order messages that contradict the book: an id that rests already, more taken than rests, no quantity.
    pub contradictions: u64,
    /// Orders that would have crossed the book when they came, and were kept out of it until they would not.
    pub withheld: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Waiting,
    Joining,
    Synced,
}

#[derive(Clone, Copy, Debug)]
struct PendingMessage {
    first_id: u64,
    final_id: u64,
    previous_id: Option<u64>,
    start: usize,
    len: usize,
}

/// A level book and the machine that keeps it in sync. All memory is taken when it is made.
#[derive(Debug)]
pub struct BookSync {
    book: L2Book,
    phase: Phase,
    state: BookState,
    /// The id the book stands at.
    last_id: u64,
    was_synced: bool,
    pending: Vec<PendingMessage>,
    pending_levels: Vec<LevelChange>,
    counters: SyncCounters,
}

impl Default for BookSync {
    fn default() -> Self {
        Self::new()
    }
}

impl BookSync {
    /// A book that waits for its first snapshot.
    pub fn new() -> BookSync {
        BookSync {
            book: L2Book::new(),
            phase: Phase::Waiting,
            state: BookState::Unsynced,
            last_id: 0,
            was_synced: false,
            pending: Vec::with_capacity(PENDING_MESSAGES_MAX),
            pending_levels: Vec::with_capacity(PENDING_LEVELS_MAX),
            counters: SyncCounters::default(),
        }
    }

    /// The book. To be used only while [`BookSync::state`] is synced.
    #[inline]
    pub fn book(&self) -> &L2Book {
        &self.book
    }

    /// Whether the book may be used.
    #[inline]
    pub fn state(&self) -> BookState {
        self.state
    }

    /// The update id the book stands at.
    #[inline]
    pub fn last_id(&self) -> u64 {
        self.last_id
    }

    /// The counts so far.
    pub fn counters(&self) -> SyncCounters {
        self.counters
    }

    /// Takes a depth message. Every event it causes goes to `emit`, the last one with [`EventFlags::BATCH_END`].
    #[inline]
    pub fn on_depth(&mut self, message: &DepthMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match self.phase {
            Phase::Synced if message.final_id <= self.last_id => {
                self.counters.old += 1;
                SyncOutcome::Old
            }
            Phase::Synced if continues(message.first_id, message.previous_id, self.last_id) => {
                self.apply_synced(message.final_id, message.levels, emit)
            }
            Phase::Synced => {
                self.counters.gaps += 1;
                let outcome = self.go_stale(StaleReason::Gap, emit);
                self.buffer(message);
                outcome
            }
            Phase::Joining => self.join(message, emit),
            Phase::Waiting => {
                self.buffer(message);
                SyncOutcome::Buffered
            }
        }
    }

    /// Takes a snapshot. Every event it causes goes to `emit`, the last one with [`EventFlags::BATCH_END`].
    pub fn on_snapshot(&mut self, snapshot: &SnapshotMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.phase == Phase::Synced {
            return SyncOutcome::SnapshotUnneeded;
        }
        let first_new = self.pending.iter().position(|message| !is_old(message, snapshot.last_id));
        self.counters.old += first_new.unwrap_or(self.pending.len()) as u64;
        if let Some(first) = first_new.and_then(|place| self.pending.get(place))
            && !joins(first.first_id, first.previous_id, snapshot.last_id)
        {
            self.counters.snapshots_too_old += 1;
            self.phase = Phase::Waiting;
            return SyncOutcome::SnapshotTooOld;
        }
        self.book.clear();
        self.last_id = snapshot.last_id;
        for level in snapshot.levels {
            if level.qty.0 > 0 && self.book.set(level.side, level.price, level.qty).is_err() {
                return self.go_stale(StaleReason::Overrun, emit);
            }
        }
        let Some(first_new) = first_new else {
            self.clear_pending();
            self.phase = Phase::Joining;
            return SyncOutcome::SnapshotLoaded;
        };
        self.emit_book(emit);
        for place in first_new..self.pending.len() {
            let message = self.pending[place];
            for index in message.start..message.start + message.len {
                let change = self.pending_levels[index];
                if self.book.set(change.side, change.price, change.qty).is_err() {
                    return self.go_stale(StaleReason::Overrun, emit);
                }
                emit(level_event(&change, message.final_id, EventFlags::NONE));
            }
            self.last_id = message.final_id;
        }
        self.clear_pending();
        self.enter_synced(emit)
    }

    /// Drops the book and starts over from the next snapshot. `reason` says why the book is stale until then.
    pub fn resync(&mut self, reason: StaleReason, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.phase == Phase::Synced {
            return self.go_stale(reason, emit);
        }
        self.clear_pending();
        self.phase = Phase::Waiting;
        SyncOutcome::Buffered
    }

    /// The first depth message after a snapshot that nothing buffered reached.
    fn join(&mut self, message: &DepthMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        let as_pending = pending_of(message, 0);
        if is_old(&as_pending, self.last_id) {
            self.counters.old += 1;
            return SyncOutcome::Old;
        }
        if !joins(message.first_id, message.previous_id, self.last_id) {
            self.counters.snapshots_too_old += 1;
            self.phase = Phase::Waiting;
            self.buffer(message);
            return SyncOutcome::SnapshotTooOld;
        }
        self.emit_book(emit);
        for change in message.levels {
            if self.book.set(change.side, change.price, change.qty).is_err() {
                return self.go_stale(StaleReason::Overrun, emit);
            }
            emit(level_event(change, message.final_id, EventFlags::NONE));
        }
        self.last_id = message.final_id;
        self.enter_synced(emit)
    }

    #[inline]
    fn apply_synced(&mut self, final_id: u64, levels: &[LevelChange], emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        let mut best_changed = BestChange::default();
        let last = levels.len().wrapping_sub(1);
        for (place, change) in levels.iter().enumerate() {
            match self.book.set(change.side, change.price, change.qty) {
                Ok(false) => {}
                Ok(true) => best_changed.note(change),
                Err(_) => return self.go_stale(StaleReason::Overrun, emit),
            }
            let flags = if place == last { EventFlags::BATCH_END } else { EventFlags::NONE };
            emit(level_event(change, final_id, flags));
        }
        self.last_id = final_id;
        if self.book.bbo().is_crossed() {
            self.counters.crossed += 1;
            return self.go_stale(StaleReason::Crossed, emit);
        }
        SyncOutcome::Applied(best_changed.better_levels(&self.book))
    }

    fn enter_synced(&mut self, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.book.bbo().is_crossed() {
            self.counters.crossed += 1;
            return self.go_stale(StaleReason::Crossed, emit);
        }
        self.phase = Phase::Synced;
        self.state = BookState::Synced;
        self.counters.resyncs += u64::from(self.was_synced);
        self.was_synced = true;
        emit(mark(EventKind::BookSynced, self.last_id, EventFlags::BATCH_END));
        SyncOutcome::Synced
    }

    fn emit_book(&self, emit: &mut impl FnMut(BookEvent)) {
        emit(mark(EventKind::BookCleared, self.last_id, EventFlags::SNAPSHOT));
        for side in [Side::Buy, Side::Sell] {
            for level in self.book.levels(side) {
                let change = LevelChange { side, price: level.price, qty: level.qty };
                emit(level_event(&change, self.last_id, EventFlags::SNAPSHOT));
            }
        }
    }

    #[cold]
    fn go_stale(&mut self, reason: StaleReason, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        self.counters.overruns += u64::from(reason == StaleReason::Overrun);
        self.clear_pending();
        self.phase = Phase::Waiting;
        self.state = BookState::Stale(reason);
        emit(mark(EventKind::BookStale, self.last_id, EventFlags::BATCH_END));
        SyncOutcome::WentStale(reason)
    }

    fn buffer(&mut self, message: &DepthMessage<'_>) {
        if let Some(newest) = self.pending.last() {
            if message.final_id <= newest.final_id {
                self.counters.old += 1;
                return;
            }
            if !continues(message.first_id, message.previous_id, newest.final_id) {
                // What lies before a hole can never be bridged to what lies after it.
                self.counters.gaps += 1;
                self.clear_pending();
            }
        }
        let is_full =
            self.pending.len() == PENDING_MESSAGES_MAX || self.pending_levels.len() + message.levels.len() > PENDING_LEVELS_MAX;
        if is_full {
            self.counters.overruns += 1;
            self.clear_pending();
        }
        self.pending.push(pending_of(message, self.pending_levels.len()));
        self.pending_levels.extend_from_slice(message.levels);
    }

    fn clear_pending(&mut self) {
        self.pending.clear();
        self.pending_levels.clear();
    }
}

fn pending_of(message: &DepthMessage<'_>, start: usize) -> PendingMessage {
    PendingMessage {
        first_id: message.first_id,
        final_id: message.final_id,
        previous_id: message.previous_id,
        start,
        len: message.levels.len(),
    }
}

/// Whether a message lies wholly before a snapshot: `u <= L` on spot, `u < L` on futures.
fn is_old(message: &PendingMessage, snapshot_id: u64) -> bool {
    match message.previous_id {
        None => message.final_id <= snapshot_id,
        Some(_) => message.final_id < snapshot_id,
    }
}

/// Whether a message that is not old continues a snapshot without a hole.
fn joins(first_id: u64, previous_id: Option<u64>, snapshot_id: u64) -> bool {
    match previous_id {
        None => first_id <= snapshot_id.saturating_add(1),
        Some(previous) => previous <= snapshot_id,
    }
}

/// Whether a message continues a book that stands at `last_id`.
#[inline]
fn continues(first_id: u64, previous_id: Option<u64>, last_id: u64) -> bool {
    match previous_id {
        None => first_id <= last_id.saturating_add(1),
        Some(previous) => previous == last_id,
    }
}

#[inline]
pub(super) fn level_event(change: &LevelChange, id: u64, flags: EventFlags) -> BookEvent {
    BookEvent { kind: EventKind::LevelSet, side: change.side, price: change.price, qty: change.qty, id, flags }
}

pub(super) fn mark(kind: EventKind, id: u64, flags: EventFlags) -> BookEvent {
    BookEvent { kind, side: Side::Buy, price: Price::ZERO, qty: Qty::ZERO, id, flags }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{PRICE_SCALE, QTY_SCALE};

    fn change(side: Side, price: i64, qty: i64) -> LevelChange {
        LevelChange { side, price: Price(price * PRICE_SCALE), qty: Qty(qty * QTY_SCALE) }
    }

    fn spot(first_id: u64, final_id: u64, levels: &[LevelChange]) -> DepthMessage<'_> {
        DepthMessage { symbol: "X", first_id, final_id, previous_id: None, exchange_ns: 0, levels }
    }

    fn futures(previous: u64, first_id: u64, final_id: u64, levels: &[LevelChange]) -> DepthMessage<'_> {
        DepthMessage { previous_id: Some(previous), ..spot(first_id, final_id, levels) }
    }

    fn snapshot(last_id: u64, levels: &[LevelChange]) -> SnapshotMessage<'_> {
        SnapshotMessage { symbol: None, last_id, exchange_ns: 0, levels }
    }

    fn best(sync: &BookSync) -> (i64, i64) {
        let bbo = sync.book().bbo();
        (bbo.bid.price.0 / PRICE_SCALE, bbo.ask.price.0 / PRICE_SCALE)
    }

    const BOOK: [LevelChange; 2] = [
        LevelChange { side: Side::Buy, price: Price(9 * PRICE_SCALE), qty: Qty(QTY_SCALE) },
        LevelChange { side: Side::Sell, price: Price(12 * PRICE_SCALE), qty: Qty(QTY_SCALE) },
    ];

    /// Take out the buffering of messages that arrive before the snapshot to see this fail: the ids after it still look
    /// continuous, and the bid of 10 is lost.
    #[test]
    fn the_message_that_straddles_the_snapshot_may_arrive_before_it() {
        let mut sync = BookSync::new();
        let mut drop_event = |_| {};
        assert_eq!(sync.on_depth(&spot(100, 105, &[change(Side::Buy, 10, 1)]), &mut drop_event), SyncOutcome::Buffered);
        assert_eq!(sync.on_snapshot(&snapshot(102, &BOOK), &mut drop_event), SyncOutcome::Synced);
        assert_eq!(best(&sync), (10, 12));
        assert_eq!(sync.on_depth(&spot(106, 107, &[change(Side::Sell, 11, 1)]), &mut drop_event), SyncOutcome::Applied(Some(0)));
        assert_eq!(best(&sync), (10, 11));
    }

    /// Put `<=` for `<` in the futures rule (or `<` for `<=` in the spot rule) to see this fail: it changes what is counted old,
    /// and whether the book is in sync at once.
    #[test]
    fn a_buffered_message_that_ends_at_the_snapshot_joins_on_futures_and_is_old_on_spot() {
        let mut sync = BookSync::new();
        sync.on_depth(&futures(90, 95, 100, &[change(Side::Buy, 10, 1)]), &mut |_| {});
        assert_eq!(sync.on_snapshot(&snapshot(100, &BOOK), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!(sync.counters().old, 0);
        let mut sync = BookSync::new();
        sync.on_depth(&spot(95, 100, &[change(Side::Buy, 10, 1)]), &mut |_| {});
        assert_eq!(sync.on_snapshot(&snapshot(100, &BOOK), &mut |_| {}), SyncOutcome::SnapshotLoaded);
        assert_eq!((sync.counters().old, sync.state()), (1, BookState::Unsynced));
        assert_eq!(sync.on_depth(&spot(101, 101, &[]), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!(best(&sync), (9, 12));
    }

    /// Test `U` instead of `pu` to see this fail.
    #[test]
    fn a_quiet_futures_symbol_joins_by_previous_id() {
        let mut sync = BookSync::new();
        sync.on_depth(&futures(50, 60, 70, &[change(Side::Buy, 8, 1)]), &mut |_| {});
        assert_eq!(sync.on_snapshot(&snapshot(100, &BOOK), &mut |_| {}), SyncOutcome::SnapshotLoaded);
        assert_eq!(sync.on_depth(&futures(70, 130, 140, &[change(Side::Buy, 10, 1)]), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!(best(&sync), (10, 12));
    }

    /// Drop the test for a snapshot older than the buffer to see this fail: the book would claim sync with a hole in it.
    #[test]
    fn a_snapshot_from_before_the_buffered_messages_is_refused() {
        for (early, later) in [(spot(100, 105, &[]), 99), (futures(99, 100, 105, &[]), 99)] {
            let mut sync = BookSync::new();
            sync.on_depth(&early, &mut |_| {});
            let mut events = 0;
            assert_eq!(sync.on_snapshot(&snapshot(50, &BOOK), &mut |_| events += 1), SyncOutcome::SnapshotTooOld);
            assert_eq!((sync.state(), events, sync.counters().snapshots_too_old), (BookState::Unsynced, 0, 1));
            assert_eq!(sync.on_snapshot(&snapshot(later, &BOOK), &mut |_| {}), SyncOutcome::Synced);
        }
    }

    #[test]
    fn a_gap_stops_the_book_until_a_new_snapshot() {
        let mut sync = BookSync::new();
        sync.on_depth(&spot(1, 5, &[]), &mut |_| {});
        sync.on_snapshot(&snapshot(5, &BOOK), &mut |_| {});
        sync.on_depth(&spot(6, 6, &[]), &mut |_| {});
        assert_eq!(sync.state(), BookState::Synced);
        let mut kinds = Vec::new();
        let outcome = sync.on_depth(&spot(8, 9, &[change(Side::Buy, 10, 1)]), &mut |event| kinds.push((event.kind, event.flags)));
        assert_eq!(outcome, SyncOutcome::WentStale(StaleReason::Gap));
        assert_eq!(kinds, [(EventKind::BookStale, EventFlags::BATCH_END)]);
        assert_eq!(sync.on_depth(&spot(10, 10, &[]), &mut |_| {}), SyncOutcome::Buffered);
        assert_eq!(sync.on_snapshot(&snapshot(7, &BOOK), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!((best(&sync), sync.counters().gaps, sync.counters().resyncs), ((10, 12), 1, 1));
    }

    #[test]
    fn duplicates_are_counted_and_change_nothing() {
        let mut sync = BookSync::new();
        sync.on_depth(&futures(1, 2, 5, &[]), &mut |_| {});
        sync.on_snapshot(&snapshot(5, &BOOK), &mut |_| {});
        let message = [change(Side::Buy, 10, 2)];
        sync.on_depth(&futures(5, 6, 8, &message), &mut |_| {});
        assert_eq!(sync.on_depth(&futures(5, 6, 8, &message), &mut |_| {}), SyncOutcome::Old);
        assert_eq!(sync.counters(), SyncCounters { old: 1, ..SyncCounters::default() });
        assert_eq!(sync.on_snapshot(&snapshot(9, &[]), &mut |_| {}), SyncOutcome::SnapshotUnneeded);
        assert_eq!(best(&sync), (10, 12));
    }

    #[test]
    fn a_crossed_book_is_told_and_not_used() {
        let mut sync = BookSync::new();
        sync.on_depth(&spot(1, 5, &[]), &mut |_| {});
        sync.on_snapshot(&snapshot(4, &BOOK), &mut |_| {});
        let outcome = sync.on_depth(&spot(6, 6, &[change(Side::Buy, 12, 1)]), &mut |_| {});
        assert_eq!(outcome, SyncOutcome::WentStale(StaleReason::Crossed));
        assert_eq!((sync.state(), sync.counters().crossed), (BookState::Stale(StaleReason::Crossed), 1));
    }

    #[test]
    fn a_full_buffer_starts_over_and_says_so() {
        let mut sync = BookSync::new();
        for id in 1..=PENDING_MESSAGES_MAX as u64 + 1 {
            sync.on_depth(&spot(id, id, &[]), &mut |_| {});
        }
        assert_eq!(sync.counters().overruns, 1);
        // Only what came after the overrun is left: a snapshot from before it cannot be joined.
        assert_eq!(sync.on_snapshot(&snapshot(10, &BOOK), &mut |_| {}), SyncOutcome::SnapshotTooOld);
    }

    #[test]
    fn the_events_alone_rebuild_the_book() {
        let mut sync = BookSync::new();
        let mut copy = L2Book::new();
        let mut ends = 0;
        let mut follow = |event: BookEvent| {
            match event.kind {
                EventKind::BookCleared => copy.clear(),
                EventKind::LevelSet => drop(copy.set(event.side, event.price, event.qty).unwrap()),
                _ => {}
            }
            ends += u32::from(event.flags.contains(EventFlags::BATCH_END));
        };
        sync.on_depth(&spot(3, 6, &[change(Side::Buy, 10, 1), change(Side::Sell, 12, 0)]), &mut follow);
        sync.on_snapshot(&snapshot(4, &[BOOK[0], BOOK[1], change(Side::Sell, 13, 4)]), &mut follow);
        sync.on_depth(&spot(7, 7, &[change(Side::Sell, 11, 1), change(Side::Buy, 9, 0)]), &mut follow);
        for side in [Side::Buy, Side::Sell] {
            assert!(copy.levels(side).eq(sync.book().levels(side)));
        }
        assert_eq!((best(&sync), ends), ((10, 11), 2));
    }
}

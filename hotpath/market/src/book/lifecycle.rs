//! What machines that keep a book in sync have in common: the state they tell, their counts, and whole batches of events.

use super::sync::{BookEvent, SyncCounters, SyncOutcome, mark};
use crate::event::{EventFlags, EventKind};
use crate::frame::{BookState, StaleReason};

/// Whether a book may be used, and the counts of how that changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifecycle {
    pub(super) state: BookState,
    pub(super) counters: SyncCounters,
    was_synced: bool,
}

impl Lifecycle {
    pub(super) fn new() -> Lifecycle {
        Lifecycle { state: BookState::Unsynced, counters: SyncCounters::default(), was_synced: false }
    }

    /// The book is in sync from here on.
    pub(super) fn synced(&mut self, id: u64, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        self.state = BookState::Synced;
        self.counters.resyncs += u64::from(self.was_synced);
        self.was_synced = true;
        emit(mark(EventKind::BookSynced, id, EventFlags::BATCH_END));
        SyncOutcome::Synced
    }

    /// The book may no longer be used. Counts the reason.
    #[cold]
    pub(super) fn stale(&mut self, reason: StaleReason, id: u64, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match reason {
            StaleReason::Gap => self.counters.gaps += 1,
            StaleReason::Overrun => self.counters.overruns += 1,
            StaleReason::Crossed => self.counters.crossed += 1,
            StaleReason::Checksum => self.counters.checksum_mismatches += 1,
            StaleReason::Reset => {}
        }
        self.state = BookState::Stale(reason);
        emit(mark(EventKind::BookStale, id, EventFlags::BATCH_END));
        SyncOutcome::WentStale(reason)
    }
}

/// The events of one message. Holds the last one back until it is known whether the batch ends with it.
pub(super) struct Batch<'a, F> {
    emit: &'a mut F,
    held: Option<BookEvent>,
}

impl<'a, F: FnMut(BookEvent)> Batch<'a, F> {
    pub(super) fn new(emit: &'a mut F) -> Batch<'a, F> {
        Batch { emit, held: None }
    }

    #[inline]
    pub(super) fn push(&mut self, event: BookEvent) {
        if let Some(before) = self.held.replace(event) {
            (self.emit)(before);
        }
    }

    /// Lets the last event go: as the end of a batch, or as part of one that goes on with the next message.
    #[inline]
    pub(super) fn flush(self, is_end: bool) {
        if let Some(mut event) = self.held {
            if is_end {
                event.flags = event.flags | EventFlags::BATCH_END;
            }
            (self.emit)(event);
        }
    }

    /// Whether nothing was pushed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_none()
    }
}

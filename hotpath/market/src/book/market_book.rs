//! One book for an instrument, whatever its venue sends: the interface of the stage that feeds it.

use super::l2::DepthView;
use super::l3::ORDERS_MAX;
use super::order_sync::OrderSync;
use super::stream::StreamSync;
use super::sync::{BookEvent, BookSync, SyncCounters, SyncOutcome};
use crate::decode::{BookMessage, DepthMessage, FeedMessage, Message, OrderMessage, OrderSnapshotMessage, SnapshotMessage};
use crate::frame::{Bbo, BookState, StaleReason};
use std::hint::black_box;
use std::num::NonZeroU32;

/// A book of one of three kinds. The first message that needs a book decides which, and the memory of that kind is taken then;
/// messages of another kind are [`SyncOutcome::Unused`] from there on, so that a feed which tells the same twice (levels and orders)
/// is followed once.
#[derive(Debug)]
pub enum MarketBook {
    /// No message has needed a book yet.
    Empty {
        /// Whether the feed has begun, and books with it: empty and in sync.
        has_begun: bool,
        /// A book of orders without a snapshot counts as in sync after so many messages: see [`OrderSync::cold_start`].
        cold_start: Option<NonZeroU32>,
    },
    /// Levels, changes joined to a snapshot that comes another way.
    Depth(BookSync),
    /// Levels, snapshots and changes in one stream.
    Stream(StreamSync),
    /// Orders.
    Orders(OrderSync),
}

impl Default for MarketBook {
    fn default() -> Self {
        Self::new()
    }
}

impl MarketBook {
    /// A book that waits for its first message.
    pub fn new() -> MarketBook {
        MarketBook::Empty { has_begun: false, cold_start: None }
    }

    /// The same, that a book of orders may begin empty in the middle of a session: see [`OrderSync::cold_start`].
    pub fn with_cold_start(messages: NonZeroU32) -> MarketBook {
        MarketBook::Empty { has_begun: false, cold_start: Some(messages) }
    }

    /// Takes any message; those that no book needs are [`SyncOutcome::Unused`].
    #[inline]
    pub fn on_message(&mut self, message: &Message<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match message {
            Message::Depth(depth) => self.on_depth(depth, emit),
            Message::Snapshot(snapshot) => self.on_snapshot(snapshot, emit),
            Message::Book(book) => self.on_book(book, emit),
            Message::Order(order) => self.on_order(order, emit),
            Message::OrderSnapshot(snapshot) => self.on_order_snapshot(snapshot, emit),
            Message::Feed(feed) => self.on_feed(feed, emit),
            _ => SyncOutcome::Unused,
        }
    }

    /// Takes a change to be joined to a snapshot.
    #[inline]
    pub fn on_depth(&mut self, message: &DepthMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if let MarketBook::Empty { .. } = self {
            *self = MarketBook::Depth(BookSync::new());
        }
        match self {
            MarketBook::Depth(book) => book.on_depth(message, emit),
            _ => SyncOutcome::Unused,
        }
    }

    /// Takes a snapshot that came another way.
    pub fn on_snapshot(&mut self, message: &SnapshotMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if let MarketBook::Empty { .. } = self {
            *self = MarketBook::Depth(BookSync::new());
        }
        match self {
            MarketBook::Depth(book) => book.on_snapshot(message, emit),
            _ => SyncOutcome::Unused,
        }
    }

    /// Takes levels of a book in one stream.
    #[inline]
    pub fn on_book(&mut self, message: &BookMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if let MarketBook::Empty { has_begun, .. } = *self {
            self.become_kind(MarketBook::Stream(StreamSync::new()), has_begun, emit);
        }
        match self {
            MarketBook::Stream(book) => book.on_book(message, emit),
            _ => SyncOutcome::Unused,
        }
    }

    /// Takes what happened to an order.
    #[inline]
    pub fn on_order(&mut self, message: &OrderMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if let MarketBook::Empty { has_begun, cold_start } = *self {
            let book =
                cold_start.map_or_else(|| OrderSync::new(ORDERS_MAX), |messages| OrderSync::cold_start(ORDERS_MAX, messages));
            self.become_kind(MarketBook::Orders(book), has_begun, emit);
        }
        match self {
            MarketBook::Orders(book) => book.on_order(message, emit),
            _ => SyncOutcome::Unused,
        }
    }

    /// Takes every resting order.
    pub fn on_order_snapshot(&mut self, message: &OrderSnapshotMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if let MarketBook::Empty { has_begun, cold_start } = *self {
            let book =
                cold_start.map_or_else(|| OrderSync::new(ORDERS_MAX), |messages| OrderSync::cold_start(ORDERS_MAX, messages));
            self.become_kind(MarketBook::Orders(book), has_begun, emit);
        }
        match self {
            MarketBook::Orders(book) => book.on_order_snapshot(message, emit),
            _ => SyncOutcome::Unused,
        }
    }

    /// Takes what the feed says of itself. A book that no message has needed yet remembers that the feed has begun; it is told to be in
    /// sync, as [`EventKind::BookSynced`](crate::EventKind::BookSynced), with its first message.
    pub fn on_feed(&mut self, feed: &FeedMessage, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match self {
            MarketBook::Empty { has_begun, .. } => {
                match feed {
                    FeedMessage::Started | FeedMessage::Restarted { .. } => *has_begun = true,
                    FeedMessage::Gap { .. } => *has_begun = false,
                    FeedMessage::Heartbeat | FeedMessage::Ended => {}
                }
                SyncOutcome::Unused
            }
            MarketBook::Depth(book) => match feed {
                FeedMessage::Gap { .. } | FeedMessage::Restarted { .. } => book.resync(StaleReason::Reset, emit),
                FeedMessage::Started | FeedMessage::Heartbeat | FeedMessage::Ended => SyncOutcome::Unused,
            },
            MarketBook::Stream(book) => book.on_feed(feed, emit),
            MarketBook::Orders(book) => book.on_feed(feed, emit),
        }
    }

    /// Drops the book and starts over from the next snapshot. `reason` says why the book is stale until then:
    /// [`StaleReason::Reset`] where the connection began anew or somebody asked for it, [`StaleReason::Overrun`] where messages were
    /// lost before they came here, for want of room.
    pub fn resync(&mut self, reason: StaleReason, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match self {
            MarketBook::Empty { has_begun, .. } => {
                *has_begun = false;
                SyncOutcome::Unused
            }
            MarketBook::Depth(book) => book.resync(reason, emit),
            MarketBook::Stream(book) => book.resync(reason, emit),
            MarketBook::Orders(book) => book.resync(reason, emit),
        }
    }

    /// Whether the book may be used.
    #[inline]
    pub fn state(&self) -> BookState {
        match self {
            MarketBook::Empty { .. } => BookState::Unsynced,
            MarketBook::Depth(book) => book.state(),
            MarketBook::Stream(book) => book.state(),
            MarketBook::Orders(book) => book.state(),
        }
    }

    /// Copies the best levels of both sides.
    #[inline]
    pub fn view(&self, view: &mut DepthView) {
        match self {
            MarketBook::Empty { .. } => *view = DepthView::default(),
            MarketBook::Depth(book) => book.book().view(view),
            MarketBook::Stream(book) => book.book().view(view),
            MarketBook::Orders(book) => book.book().view(view),
        }
    }

    /// Keeps what the next changes are likely to be made to in the core's cache, see [`L2Book::keep_near`](super::L2Book::keep_near); of a
    /// book of orders that is its best levels.
    pub fn keep_near(&self, turn: usize) {
        match self {
            MarketBook::Empty { .. } => {}
            MarketBook::Depth(book) => book.book().keep_near(turn),
            MarketBook::Stream(book) => book.book().keep_near(turn),
            MarketBook::Orders(book) => {
                let mut view = DepthView::default();
                book.book().view(&mut view);
                black_box(&view);
            }
        }
    }

    /// Best bid and ask; a side without levels is zero.
    #[inline]
    pub fn bbo(&self) -> Bbo {
        match self {
            MarketBook::Empty { .. } => Bbo::default(),
            MarketBook::Depth(book) => book.book().bbo(),
            MarketBook::Stream(book) => book.book().bbo(),
            MarketBook::Orders(book) => book.book().bbo(),
        }
    }

    /// The id the book stands at; 0 where the venue sends none.
    #[inline]
    pub fn last_id(&self) -> u64 {
        match self {
            MarketBook::Empty { .. } => 0,
            MarketBook::Depth(book) => book.last_id(),
            MarketBook::Stream(book) => book.last_id(),
            MarketBook::Orders(book) => book.last_id(),
        }
    }

    /// The counts so far.
    pub fn counters(&self) -> SyncCounters {
        match self {
            MarketBook::Empty { .. } => SyncCounters::default(),
            MarketBook::Depth(book) => book.counters(),
            MarketBook::Stream(book) => book.counters(),
            MarketBook::Orders(book) => book.counters(),
        }
    }

    #[cold]
    fn become_kind(&mut self, kind: MarketBook, has_begun: bool, emit: &mut impl FnMut(BookEvent)) {
        *self = kind;
        if has_begun {
            self.on_feed(&FeedMessage::Started, emit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{LevelChange, Link, OrderAction, RestingOrder};
    use crate::event::{EventKind, Side};
    use crate::fixed::{Price, Qty};

    fn level(qty: i64) -> [LevelChange; 1] {
        [LevelChange { side: Side::Buy, price: Price(10), qty: Qty(qty) }]
    }

    fn book(levels: &[LevelChange]) -> BookMessage<'_> {
        BookMessage {
            symbol: "X",
            link: Link::None,
            exchange_ns: 0,
            is_snapshot: true,
            is_last: true,
            depth_max: None,
            checksum: None,
            levels,
        }
    }

    fn order() -> OrderMessage<'static> {
        let action = OrderAction::Add(RestingOrder { id: 1, side: Side::Buy, price: Price(9), qty: Qty(1) });
        OrderMessage { symbol: "X", link: Link::None, exchange_ns: 0, is_last: true, action }
    }

    #[test]
    fn the_first_message_decides_and_others_are_of_no_use() {
        let mut none = |_: BookEvent| {};
        let mut market = MarketBook::new();
        assert_eq!(market.on_book(&book(&level(1)), &mut none), SyncOutcome::Synced);
        assert_eq!(market.on_order(&order(), &mut none), SyncOutcome::Unused);
        let snapshot = SnapshotMessage { symbol: None, last_id: 1, exchange_ns: 0, levels: &level(2) };
        assert_eq!(market.on_snapshot(&snapshot, &mut none), SyncOutcome::Unused);
        assert_eq!((market.bbo().bid.qty, market.state()), (Qty(1), BookState::Synced));
        assert_eq!(market.resync(StaleReason::Reset, &mut none), SyncOutcome::WentStale(StaleReason::Reset));
        assert_eq!(market.state(), BookState::Stale(StaleReason::Reset));
    }

    #[test]
    fn a_feed_that_began_before_the_first_message_is_remembered_unless_something_was_lost() {
        let gap = FeedMessage::Gap { first: 1, last: 2 };
        for (feed, outcome, state) in [
            (&[FeedMessage::Started][..], SyncOutcome::Applied(Some(0)), BookState::Synced),
            (&[FeedMessage::Started, gap], SyncOutcome::Unused, BookState::Unsynced),
            (&[gap, FeedMessage::Restarted { expected: 3, received: 1 }], SyncOutcome::Applied(Some(0)), BookState::Synced),
        ] {
            let mut market = MarketBook::new();
            feed.iter().for_each(|feed| assert_eq!(market.on_feed(feed, &mut |_| {}), SyncOutcome::Unused));
            assert_eq!((market.on_order(&order(), &mut |_| {}), market.state()), (outcome, state));
        }
    }

    #[test]
    fn a_book_of_any_kind_is_stale_after_an_overrun_and_comes_back_with_the_next_snapshot() {
        let mut none = |_: BookEvent| {};
        let levels = level(1);
        let snapshot = SnapshotMessage { symbol: None, last_id: 5, exchange_ns: 0, levels: &levels };
        let next = SnapshotMessage { last_id: 9, ..snapshot };
        let depth = DepthMessage { symbol: "X", first_id: 5, final_id: 6, previous_id: None, exchange_ns: 0, levels: &levels };
        let beyond = DepthMessage { first_id: 9, final_id: 10, ..depth };
        let orders = OrderSnapshotMessage { symbol: None, link: Link::None, exchange_ns: 0, orders: &[] };
        let of_changes = [Message::Snapshot(snapshot), Message::Depth(depth), Message::Snapshot(next), Message::Depth(beyond)];
        let in_one_stream = [Message::Book(book(&levels)), Message::Book(book(&levels))];
        let of_orders = [Message::OrderSnapshot(orders), Message::OrderSnapshot(orders)];
        for messages in [&of_changes[..], &in_one_stream, &of_orders] {
            let (before, after) = messages.split_at(messages.len() / 2);
            let mut market = MarketBook::new();
            before.iter().for_each(|message| _ = market.on_message(message, &mut none));
            assert_eq!(market.state(), BookState::Synced);
            let mut events = Vec::new();
            let outcome = market.resync(StaleReason::Overrun, &mut |event| events.push(event.kind));
            assert_eq!((outcome, market.counters().overruns), (SyncOutcome::WentStale(StaleReason::Overrun), 1));
            assert_eq!((market.state(), &events[..]), (BookState::Stale(StaleReason::Overrun), &[EventKind::BookStale][..]));
            assert!(!matches!(market.resync(StaleReason::Overrun, &mut none), SyncOutcome::WentStale(_)), "it is so already");
            after.iter().for_each(|message| _ = market.on_message(message, &mut none));
            assert_eq!(market.state(), BookState::Synced);
        }
    }

    #[test]
    fn a_book_of_changes_starts_over_when_its_feed_lost_something() {
        let mut none = |_: BookEvent| {};
        let mut market = MarketBook::new();
        let depth = DepthMessage { symbol: "X", first_id: 5, final_id: 6, previous_id: None, exchange_ns: 0, levels: &level(1) };
        assert_eq!(market.on_depth(&depth, &mut none), SyncOutcome::Buffered);
        let snapshot = SnapshotMessage { symbol: None, last_id: 5, exchange_ns: 0, levels: &level(2) };
        assert_eq!(market.on_snapshot(&snapshot, &mut none), SyncOutcome::Synced);
        let gap = FeedMessage::Gap { first: 1, last: 2 };
        assert_eq!(market.on_feed(&gap, &mut none), SyncOutcome::WentStale(StaleReason::Reset));
        let mut view = DepthView::default();
        market.view(&mut view);
        assert_eq!(view.bbo(), market.bbo());
    }
}

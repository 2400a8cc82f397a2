//! Keeps a book of orders in sync with its venue: [`Message::Order`](crate::decode::Message::Order) and its snapshots.
//!
//! A book comes into sync in one of these ways:
//! * A snapshot that names no id (Bitfinex, LOBSTER's seed): the stream goes on from there.
//! * A snapshot with an id (REST replies of Coinbase and Bitstamp): messages are kept from the first one on, those that the snapshot
//!   contains are dropped, the first other one must join it. With nothing newer kept, the next message must.
//! * [`OrderAction::Clear`] and what follows up to the end of the event (Databento).
//! * A feed that begins, or begins anew, with empty books (ITCH).
//! * A cold start, where it was asked for: see [`OrderSync::cold_start`].
//!
//! # Orders that would cross
//! A venue may show an order before it is matched: Bitstamp's market orders are created at an extreme price, changed by each fill, and
//! deleted. An order that touches or crosses the other side when it comes is **withheld**: it rests nowhere, follows its changes, and
//! goes to the end of its price's queue at the first message after which it would not cross any more. So a book never crosses by
//! itself; what shows that something was lost is that orders stay withheld ([`WITHHELD_MAX`], [`WITHHELD_MESSAGES_MAX`]).
//!
//! # Orders that are not known
//! A change of an order that is not at rest changes nothing and is counted: some venues tell the end of orders that never rested, and
//! after a cold start older ones are unknown. Where a venue numbers its messages, what was lost shows in the numbers.

use super::continuity::{Position, Standing, reaches_back};
use super::l3::{LevelTouch, OrderBook, OrderBookError, Touched};
use super::lifecycle::{Batch, Lifecycle};
use super::sync::{BookEvent, SyncCounters, SyncOutcome, level_event, mark};
use crate::decode::{FeedMessage, LevelChange, Link, OrderAction, OrderMessage, OrderSnapshotMessage, RestingOrder};
use crate::event::{EventFlags, EventKind, Side};
use crate::fixed::Qty;
use crate::frame::{BookState, StaleReason};
use std::num::NonZeroU32;

/// Order messages kept while a snapshot is awaited.
pub const PENDING_ORDERS_MAX: usize = 65_536;
/// Orders withheld at once; one more says that the book is wrong.
pub const WITHHELD_MAX: usize = 64;
/// Messages of the instrument through which some order may be withheld before that says that the book is wrong. (The longest in
/// five hours of Bitstamp in 2015: 48 lines.)
pub const WITHHELD_MESSAGES_MAX: u32 = 4_096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing usable in the book.
    Waiting,
    /// Orders are in the book, not yet told: it waits for the end of its event, or for the message that joins the snapshot.
    Loaded,
    Synced,
}

/// A message kept until a snapshot comes.
#[derive(Clone, Copy, Debug)]
struct Pending {
    link: Link,
    action: OrderAction,
}

/// A book of orders and the machine that keeps it in sync. All memory is taken when it is made.
#[derive(Debug)]
pub struct OrderSync {
    book: OrderBook,
    phase: Phase,
    position: Position,
    lifecycle: Lifecycle,
    /// Whether an event has begun and not ended.
    is_open: bool,
    /// The best level that the event so far changed.
    best_changed: Option<usize>,
    /// Messages still to come before a book that began without a snapshot counts as in sync.
    cold_messages_left: Option<u32>,
    pending: Vec<Pending>,
    /// Orders that would cross, by time of coming.
    withheld: Vec<RestingOrder>,
    /// Messages since none was withheld.
    withheld_messages: u32,
}

impl OrderSync {
    /// A book with room for `orders_max` orders, that waits for its first snapshot or for its feed to begin.
    pub fn new(orders_max: usize) -> OrderSync {
        OrderSync {
            book: OrderBook::new(orders_max),
            phase: Phase::Waiting,
            position: Position::default(),
            lifecycle: Lifecycle::new(),
            is_open: false,
            best_changed: None,
            cold_messages_left: None,
            pending: Vec::with_capacity(PENDING_ORDERS_MAX),
            withheld: Vec::with_capacity(WITHHELD_MAX),
            withheld_messages: 0,
        }
    }

    /// A book that begins empty in the middle of a session, for captures that hold no snapshot: it counts as in sync after `messages`
    /// order messages.
    ///
    /// Orders from before the capture are missing from it, deep ones for as long as they rest. It may be used where the best prices
    /// are all that matters and the capture is so long that none of the older orders can still be at the best: for Bitstamp in 2015
    /// best bid and ask were the venue's after 20,000 lines. Never on a live connection, which has a snapshot to ask for.
    pub fn cold_start(orders_max: usize, messages: NonZeroU32) -> OrderSync {
        OrderSync { cold_messages_left: Some(messages.get()), ..OrderSync::new(orders_max) }
    }

    /// The book. To be used only while [`OrderSync::state`] is synced, and not after [`SyncOutcome::Partial`].
    #[inline]
    pub fn book(&self) -> &OrderBook {
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

    /// Takes a message. Every event it causes goes to `emit`: what happened to the order, then the levels that changed by it; the last
    /// one of an event with [`EventFlags::BATCH_END`].
    #[inline]
    pub fn on_order(&mut self, message: &OrderMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match self.phase {
            Phase::Synced => match self.position.standing(message.link) {
                Standing::Next => self.apply(message, emit),
                Standing::Old => {
                    self.lifecycle.counters.old += 1;
                    SyncOutcome::Old
                }
                Standing::Gap => {
                    let outcome = self.go_stale(StaleReason::Gap, emit);
                    self.keep(message);
                    outcome
                }
            },
            Phase::Loaded => self.load(message, emit),
            Phase::Waiting if message.action == OrderAction::Clear => {
                self.begin(message.link);
                self.load(message, emit)
            }
            Phase::Waiting if self.cold_messages_left.is_some() => self.apply_cold(message, emit),
            Phase::Waiting => self.keep(message),
        }
    }

    /// Takes a snapshot. Every event it causes goes to `emit`, the last one with [`EventFlags::BATCH_END`].
    pub fn on_order_snapshot(&mut self, snapshot: &OrderSnapshotMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if snapshot.link == Link::None {
            self.begin(Link::None);
            self.pending.clear();
            return match self.load_all(snapshot.orders) {
                Ok(()) => self.enter_synced(emit),
                Err(reason) => self.go_stale(reason, emit),
            };
        }
        if self.phase == Phase::Synced {
            return SyncOutcome::SnapshotUnneeded;
        }
        let position = Position::of_snapshot(snapshot.link);
        let first_new = self.pending.iter().position(|message| position.standing(message.link) != Standing::Old);
        if let Some(place) = first_new
            && !reaches_back(position, self.pending[0].link, self.pending[place].link)
        {
            self.lifecycle.counters.snapshots_too_old += 1;
            self.phase = Phase::Waiting;
            return SyncOutcome::SnapshotTooOld;
        }
        self.lifecycle.counters.old += first_new.unwrap_or(self.pending.len()) as u64;
        self.begin(snapshot.link);
        if let Err(reason) = self.load_all(snapshot.orders) {
            return self.go_stale(reason, emit);
        }
        let Some(first_new) = first_new else {
            self.pending.clear();
            return SyncOutcome::SnapshotLoaded;
        };
        for place in first_new..self.pending.len() {
            let Pending { link, action } = self.pending[place];
            if let Err(reason) = self.change(&action, 0, &mut Batch::new(&mut |_| {})) {
                return self.go_stale(reason, emit);
            }
            self.position.advance(link);
        }
        self.pending.clear();
        self.enter_synced(emit)
    }

    /// Takes what the feed says of itself. Where it begins, or begins anew, the book is empty and in sync.
    pub fn on_feed(&mut self, feed: &FeedMessage, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match feed {
            FeedMessage::Gap { .. } if self.phase != Phase::Waiting => self.go_stale(StaleReason::Gap, emit),
            FeedMessage::Gap { .. } => {
                self.pending.clear();
                SyncOutcome::Unused
            }
            FeedMessage::Started if self.phase == Phase::Synced && self.book.is_empty() => SyncOutcome::Unused,
            FeedMessage::Started | FeedMessage::Restarted { .. } => {
                self.lifecycle.counters.restarts += u64::from(matches!(feed, FeedMessage::Restarted { .. }));
                self.begin(Link::None);
                self.pending.clear();
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
        self.pending.clear();
        self.phase = Phase::Waiting;
        SyncOutcome::Unused
    }

    /// An empty book, to be filled by what follows.
    fn begin(&mut self, link: Link) {
        self.book.clear();
        self.withheld.clear();
        self.withheld_messages = 0;
        self.position = Position::of_snapshot(link);
        self.phase = Phase::Loaded;
        self.is_open = false;
        self.best_changed = None;
    }

    fn load_all(&mut self, orders: &[RestingOrder]) -> Result<(), StaleReason> {
        for order in orders {
            match self.book.add(order) {
                Ok(_) => {}
                Err(OrderBookError::Full) => return Err(StaleReason::Overrun),
                Err(_) => self.lifecycle.counters.contradictions += 1,
            }
        }
        Ok(())
    }

    /// A message for a book that is not told yet.
    fn load(&mut self, message: &OrderMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        match self.position.standing(message.link) {
            // The message that began the event has the id of its snapshot.
            Standing::Old if !self.is_open && message.action != OrderAction::Clear => {
                self.lifecycle.counters.old += 1;
                return SyncOutcome::Old;
            }
            Standing::Gap => {
                self.lifecycle.counters.snapshots_too_old += 1;
                self.phase = Phase::Waiting;
                self.keep(message);
                return SyncOutcome::SnapshotTooOld;
            }
            _ => {}
        }
        if let Err(reason) = self.change(&message.action, 0, &mut Batch::new(&mut |_| {})) {
            return self.go_stale(reason, emit);
        }
        self.position.advance(message.link);
        self.is_open = !message.is_last;
        if self.is_open { SyncOutcome::Partial } else { self.enter_synced(emit) }
    }

    fn apply_cold(&mut self, message: &OrderMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if let Err(reason) = self.change(&message.action, 0, &mut Batch::new(&mut |_| {})) {
            return self.go_stale(reason, emit);
        }
        self.position.advance(message.link);
        let left = self.cold_messages_left.map_or(0, |left| left.saturating_sub(1));
        self.cold_messages_left = Some(left);
        if left == 0 && message.is_last {
            self.cold_messages_left = None;
            return self.enter_synced(emit);
        }
        SyncOutcome::Partial
    }

    #[inline]
    fn apply(&mut self, message: &OrderMessage<'_>, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        let id = message.link.id().unwrap_or(0);
        let mut batch = Batch::new(emit);
        if let Err(reason) = self.change(&message.action, id, &mut batch) {
            batch.flush(false);
            return self.go_stale(reason, emit);
        }
        if message.is_last && self.is_open && batch.is_empty() {
            // An event whose last message changes nothing still has an end.
            batch.push(mark(EventKind::Heartbeat, id, EventFlags::NONE));
        }
        batch.flush(message.is_last);
        self.position.advance(message.link);
        self.is_open = !message.is_last;
        if self.is_open { SyncOutcome::Partial } else { SyncOutcome::Applied(self.best_changed.take()) }
    }

    /// Makes a change and tells it.
    #[inline]
    fn change<F: FnMut(BookEvent)>(&mut self, action: &OrderAction, id: u64, batch: &mut Batch<'_, F>) -> Result<(), StaleReason> {
        match *action {
            OrderAction::Add(order) => self.add(&order, id, batch)?,
            OrderAction::Modify(order) => self.modify(&order, id, batch)?,
            OrderAction::Reduce { id: order, qty } => self.reduce(EventKind::OrderModify, order, qty, id, batch),
            OrderAction::Execute { id: order, qty, .. } => self.reduce(EventKind::OrderExecute, order, qty, id, batch),
            OrderAction::Delete { id: order } => self.delete(order, id, batch),
            OrderAction::Replace { id: order, new_id, price, qty } => {
                let Some(held) = self.book.order(order).or_else(|| self.withheld_order(order)) else {
                    self.lifecycle.counters.unknown_orders += 1;
                    return Ok(());
                };
                self.delete(order, id, batch);
                self.add(&RestingOrder { id: new_id, side: held.side, price, qty }, id, batch)?;
            }
            OrderAction::Clear => {
                self.book.clear();
                self.withheld.clear();
                self.best_changed = Some(0);
                batch.push(mark(EventKind::BookCleared, id, EventFlags::NONE));
            }
            OrderAction::Nothing => {}
        }
        if self.withheld.is_empty() { Ok(()) } else { self.release(id, batch) }
    }

    #[inline]
    fn add<F: FnMut(BookEvent)>(&mut self, order: &RestingOrder, id: u64, batch: &mut Batch<'_, F>) -> Result<(), StaleReason> {
        if self.crosses(order) {
            return self.withhold(order);
        }
        match self.book.add(order) {
            Ok(touch) => self.tell(EventKind::OrderAdd, order, (touch, None), id, batch),
            Err(OrderBookError::Full) => return Err(StaleReason::Overrun),
            Err(OrderBookError::DuplicateOrder) => {
                self.lifecycle.counters.contradictions += 1;
                self.delete(order.id, id, batch);
                return self.add(order, id, batch);
            }
            Err(_) => self.lifecycle.counters.contradictions += 1,
        }
        Ok(())
    }

    #[inline]
    fn modify<F: FnMut(BookEvent)>(&mut self, order: &RestingOrder, id: u64, batch: &mut Batch<'_, F>) -> Result<(), StaleReason> {
        if order.qty.0 <= 0 {
            self.delete(order.id, id, batch);
            return Ok(());
        }
        if self.crosses(order) && self.book.order(order.id).is_some() {
            self.delete(order.id, id, batch);
            return self.withhold(order);
        }
        match self.book.modify(order) {
            Ok(touched) => self.tell(EventKind::OrderModify, order, touched, id, batch),
            Err(OrderBookError::Full) => return Err(StaleReason::Overrun),
            Err(OrderBookError::UnknownOrder) => match self.withheld.iter_mut().find(|held| held.id == order.id) {
                Some(held) => *held = *order,
                None => self.lifecycle.counters.unknown_orders += 1,
            },
            Err(_) => self.lifecycle.counters.contradictions += 1,
        }
        Ok(())
    }

    #[inline]
    fn reduce<F: FnMut(BookEvent)>(&mut self, kind: EventKind, order: u64, qty: Qty, id: u64, batch: &mut Batch<'_, F>) {
        match self.book.reduce(order, qty) {
            Ok(touch) => {
                let told = match kind {
                    EventKind::OrderModify => Qty(self.book.order(order).map_or(0, |order| order.qty.0)),
                    _ => qty,
                };
                let order = RestingOrder { id: order, side: touch.side, price: touch.price, qty: told };
                self.tell(kind, &order, (touch, None), id, batch);
            }
            Err(OrderBookError::UnknownOrder) => match self.withheld.iter().position(|held| held.id == order) {
                Some(place) if self.withheld[place].qty.0 > qty.0 => self.withheld[place].qty.0 -= qty.0.max(0),
                Some(place) => drop(self.withheld.remove(place)),
                None => self.lifecycle.counters.unknown_orders += 1,
            },
            Err(_) => {
                self.lifecycle.counters.contradictions += 1;
                if qty.0 > 0 {
                    self.delete(order, id, batch);
                }
            }
        }
    }

    #[inline]
    fn delete<F: FnMut(BookEvent)>(&mut self, order: u64, id: u64, batch: &mut Batch<'_, F>) {
        match self.book.delete(order) {
            Ok(touch) => {
                let order = RestingOrder { id: order, side: touch.side, price: touch.price, qty: Qty::ZERO };
                self.tell(EventKind::OrderDelete, &order, (touch, None), id, batch);
            }
            Err(_) => match self.withheld.iter().position(|held| held.id == order) {
                Some(place) => drop(self.withheld.remove(place)),
                None => self.lifecycle.counters.unknown_orders += 1,
            },
        }
    }

    /// The order's event, then the new total of each level it touched.
    #[inline]
    fn tell<F: FnMut(BookEvent)>(
        &mut self,
        kind: EventKind,
        order: &RestingOrder,
        (first, second): Touched,
        id: u64,
        batch: &mut Batch<'_, F>,
    ) {
        let flags = EventFlags::NONE;
        batch.push(BookEvent { kind, side: order.side, price: order.price, qty: order.qty, id: order.id, flags });
        let mut level = |touch: LevelTouch| {
            self.best_changed = Some(self.best_changed.map_or(touch.better, |best| best.min(touch.better)));
            batch.push(level_event(&LevelChange { side: touch.side, price: touch.price, qty: touch.qty }, id, EventFlags::NONE));
        };
        level(first);
        if let Some(second) = second {
            level(second);
        }
    }

    /// Whether an order would touch or cross the other side.
    #[inline]
    fn crosses(&self, order: &RestingOrder) -> bool {
        self.book.best_price(order.side.opposite()).is_some_and(|best| match order.side {
            Side::Buy => order.price >= best,
            Side::Sell => order.price <= best,
        })
    }

    #[cold]
    fn withheld_order(&self, id: u64) -> Option<RestingOrder> {
        self.withheld.iter().find(|held| held.id == id).copied()
    }

    #[cold]
    fn withhold(&mut self, order: &RestingOrder) -> Result<(), StaleReason> {
        if self.withheld.len() == WITHHELD_MAX {
            return Err(StaleReason::Crossed);
        }
        self.lifecycle.counters.withheld += 1;
        self.withheld.push(*order);
        Ok(())
    }

    /// Puts to rest what no longer crosses, in the order in which it came.
    #[cold]
    fn release<F: FnMut(BookEvent)>(&mut self, id: u64, batch: &mut Batch<'_, F>) -> Result<(), StaleReason> {
        while let Some(place) = self.withheld.iter().position(|held| !self.crosses(held)) {
            let order = self.withheld.remove(place);
            self.add(&order, id, batch)?;
        }
        self.withheld_messages = if self.withheld.is_empty() { 0 } else { self.withheld_messages + 1 };
        if self.withheld_messages > WITHHELD_MESSAGES_MAX { Err(StaleReason::Crossed) } else { Ok(()) }
    }

    fn enter_synced(&mut self, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        if self.book.bbo().is_crossed() {
            return self.go_stale(StaleReason::Crossed, emit);
        }
        self.phase = Phase::Synced;
        self.best_changed = None;
        let id = self.position.id();
        emit(mark(EventKind::BookCleared, id, EventFlags::SNAPSHOT));
        for side in [Side::Buy, Side::Sell] {
            for RestingOrder { id, side, price, qty } in self.book.orders(side) {
                emit(BookEvent { kind: EventKind::OrderAdd, side, price, qty, id, flags: EventFlags::SNAPSHOT });
            }
            for level in self.book.levels(side) {
                let change = LevelChange { side, price: level.level.price, qty: level.level.qty };
                emit(level_event(&change, id, EventFlags::SNAPSHOT));
            }
        }
        self.lifecycle.synced(id, emit)
    }

    #[cold]
    fn go_stale(&mut self, reason: StaleReason, emit: &mut impl FnMut(BookEvent)) -> SyncOutcome {
        self.pending.clear();
        self.phase = Phase::Waiting;
        self.is_open = false;
        self.best_changed = None;
        self.cold_messages_left = None;
        self.lifecycle.stale(reason, self.position.id(), emit)
    }

    /// Keeps a message for a snapshot that may come; one without an id could not be joined to it.
    fn keep(&mut self, message: &OrderMessage<'_>) -> SyncOutcome {
        if message.link == Link::None {
            return SyncOutcome::Unused;
        }
        if self.pending.len() == PENDING_ORDERS_MAX {
            self.lifecycle.counters.overruns += 1;
            self.pending.clear();
        }
        self.pending.push(Pending { link: message.link, action: message.action });
        SyncOutcome::Buffered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::Price;

    fn order(id: u64, side: Side, price: i64, qty: i64) -> RestingOrder {
        RestingOrder { id, side, price: Price(price), qty: Qty(qty) }
    }

    fn add(id: u64, side: Side, price: i64, qty: i64) -> OrderAction {
        OrderAction::Add(order(id, side, price, qty))
    }

    fn message(link: Link, action: OrderAction) -> OrderMessage<'static> {
        OrderMessage { symbol: "X", link, exchange_ns: 0, is_last: true, action }
    }

    fn snapshot(link: Link, orders: &[RestingOrder]) -> OrderSnapshotMessage<'_> {
        OrderSnapshotMessage { symbol: None, link, exchange_ns: 0, orders }
    }

    fn best(sync: &OrderSync) -> (i64, i64) {
        (sync.book().bbo().bid.price.0, sync.book().bbo().ask.price.0)
    }

    fn started() -> OrderSync {
        let mut sync = OrderSync::new(64);
        assert_eq!(sync.on_feed(&FeedMessage::Started, &mut |_| {}), SyncOutcome::Synced);
        sync
    }

    #[test]
    fn messages_wait_for_a_reply_and_join_it() {
        let mut sync = OrderSync::new(64);
        for id in 4..=7 {
            let kept = sync.on_order(&message(Link::Consecutive(id), add(id, Side::Buy, 10 + id as i64, 1)), &mut |_| {});
            assert_eq!(kept, SyncOutcome::Buffered);
        }
        let asks = [order(1, Side::Sell, 30, 1)];
        assert_eq!(sync.on_order_snapshot(&snapshot(Link::Consecutive(2), &asks), &mut |_| {}), SyncOutcome::SnapshotTooOld);
        assert_eq!(sync.on_order_snapshot(&snapshot(Link::Consecutive(5), &asks), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!((best(&sync), sync.book().len(), sync.last_id(), sync.counters().old), ((17, 30), 3, 7, 2));
        let gap = sync.on_order(&message(Link::Consecutive(9), OrderAction::Nothing), &mut |_| {});
        assert_eq!(gap, SyncOutcome::WentStale(StaleReason::Gap));
        // The message after the gap was kept, and joins the next reply.
        assert_eq!(sync.on_order_snapshot(&snapshot(Link::Consecutive(8), &asks), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!((sync.last_id(), sync.counters().resyncs, sync.book().len()), (9, 1, 1));
    }

    #[test]
    fn a_reply_that_nothing_reached_waits_for_the_next_message() {
        let mut sync = OrderSync::new(64);
        let asks = [order(1, Side::Sell, 30, 1)];
        assert_eq!(sync.on_order_snapshot(&snapshot(Link::Rising(5), &asks), &mut |_| {}), SyncOutcome::SnapshotLoaded);
        let chained = |previous, this| Link::Chained { previous, this };
        assert_eq!(sync.on_order(&message(chained(2, 4), OrderAction::Delete { id: 1 }), &mut |_| {}), SyncOutcome::Old);
        assert_eq!(sync.state(), BookState::Unsynced);
        assert_eq!(sync.on_order(&message(chained(4, 6), add(2, Side::Buy, 9, 1)), &mut |_| {}), SyncOutcome::Synced);
        assert_eq!(best(&sync), (9, 30));
        let gap = sync.on_order(&message(chained(7, 8), OrderAction::Nothing), &mut |_| {});
        assert_eq!(gap, SyncOutcome::WentStale(StaleReason::Gap));
    }

    #[test]
    fn a_cleared_book_is_told_when_its_event_ends() {
        let mut sync = OrderSync::new(64);
        let mut seen = Vec::new();
        let mut note = |event: BookEvent| seen.push((event.kind, event.flags.contains(EventFlags::BATCH_END)));
        let part = |action| OrderMessage { is_last: false, ..message(Link::None, action) };
        assert_eq!(sync.on_order(&part(add(9, Side::Buy, 1, 1)), &mut note), SyncOutcome::Unused);
        assert_eq!(sync.on_order(&part(OrderAction::Clear), &mut note), SyncOutcome::Partial);
        assert_eq!(sync.on_order(&part(add(1, Side::Buy, 10, 1)), &mut note), SyncOutcome::Partial);
        assert_eq!(sync.on_order(&message(Link::None, add(2, Side::Sell, 12, 1)), &mut note), SyncOutcome::Synced);
        // In sync, an event of several messages: the orders of one side leave, and the book is looked at once.
        assert_eq!(sync.on_order(&part(OrderAction::Delete { id: 1 }), &mut note), SyncOutcome::Partial);
        assert_eq!(sync.on_order(&message(Link::None, OrderAction::Nothing), &mut note), SyncOutcome::Applied(Some(0)));
        use EventKind::*;
        let told =
            [(BookCleared, false), (OrderAdd, false), (LevelSet, false), (OrderAdd, false), (LevelSet, false), (BookSynced, true)];
        assert_eq!(seen[..6], told);
        assert_eq!(seen[6..], [(OrderDelete, false), (LevelSet, false), (Heartbeat, true)]);
    }

    #[test]
    fn an_order_that_would_cross_rests_only_when_it_no_longer_would() {
        let mut sync = started();
        let mut take = |action| sync.on_order(&message(Link::None, action), &mut |_| {});
        take(add(1, Side::Sell, 12, 2));
        take(add(2, Side::Sell, 13, 2));
        // A market order at an extreme price: not seen at all.
        assert_eq!(take(add(3, Side::Buy, 1_000, 5)), SyncOutcome::Applied(None));
        take(OrderAction::Delete { id: 1 });
        take(OrderAction::Modify(order(3, Side::Buy, 12, 3)));
        assert_eq!(best(&sync), (12, 13));
        assert_eq!((sync.book().order(3), sync.counters().withheld), (Some(order(3, Side::Buy, 12, 3)), 1));
        // Moved to where it crosses again, and gone.
        let mut take = |action| sync.on_order(&message(Link::None, action), &mut |_| {});
        take(OrderAction::Modify(order(3, Side::Buy, 13, 3)));
        take(OrderAction::Delete { id: 3 });
        assert_eq!((best(&sync), sync.counters().unknown_orders), ((0, 13), 0));
    }

    #[test]
    fn an_order_that_does_not_leave_shows_in_what_stays_withheld() {
        let mut sync = started();
        let mut take = |action| sync.on_order(&message(Link::None, action), &mut |_| {});
        take(add(1, Side::Sell, 12, 2));
        for id in 2..2 + WITHHELD_MAX as u64 {
            assert_eq!(take(add(id, Side::Buy, 12, 1)), SyncOutcome::Applied(None));
        }
        assert_eq!(take(add(999, Side::Buy, 12, 1)), SyncOutcome::WentStale(StaleReason::Crossed));

        let mut sync = started();
        let mut take = |action| sync.on_order(&message(Link::None, action), &mut |_| {});
        take(add(1, Side::Sell, 12, 2));
        take(add(2, Side::Buy, 12, 2));
        let outcomes = (0..WITHHELD_MESSAGES_MAX).map(|_| take(OrderAction::Nothing)).collect::<Vec<_>>();
        assert_eq!(outcomes.last(), Some(&SyncOutcome::WentStale(StaleReason::Crossed)));
        assert!(outcomes[..outcomes.len() - 1].iter().all(|outcome| *outcome == SyncOutcome::Applied(None)));
    }

    #[test]
    fn a_cold_start_counts_messages_and_bears_with_unknown_orders() {
        let mut sync = OrderSync::cold_start(64, NonZeroU32::new(3).unwrap());
        let mut take = |action| sync.on_order(&message(Link::None, action), &mut |_| {});
        assert_eq!(take(OrderAction::Delete { id: 77 }), SyncOutcome::Partial);
        assert_eq!(take(add(1, Side::Buy, 10, 1)), SyncOutcome::Partial);
        assert_eq!(take(add(2, Side::Sell, 11, 1)), SyncOutcome::Synced);
        assert_eq!((best(&sync), sync.counters().unknown_orders), ((10, 11), 1));
    }

    #[test]
    fn contradictions_are_counted_and_end_in_what_the_venue_says_last() {
        let mut sync = started();
        let mut take = |action| sync.on_order(&message(Link::None, action), &mut |_| {});
        take(add(1, Side::Buy, 10, 1));
        take(add(1, Side::Buy, 9, 4));
        take(add(2, Side::Buy, 9, 4));
        take(OrderAction::Reduce { id: 2, qty: Qty(5) });
        assert_eq!((sync.counters().contradictions, sync.book().len()), (2, 1));
        assert_eq!(sync.book().order(1), Some(order(1, Side::Buy, 9, 4)));
    }

    #[test]
    fn a_full_book_is_an_overrun() {
        let mut sync = OrderSync::new(1);
        sync.on_feed(&FeedMessage::Started, &mut |_| {});
        sync.on_order(&message(Link::None, add(1, Side::Buy, 10, 1)), &mut |_| {});
        let full = sync.on_order(&message(Link::None, add(2, Side::Buy, 10, 1)), &mut |_| {});
        assert_eq!((full, sync.counters().overruns), (SyncOutcome::WentStale(StaleReason::Overrun), 1));
    }
}

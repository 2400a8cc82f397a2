//! An order book: every resting order by itself, in queues by price and time.
//!
//! Orders and levels stand in stores of fixed size and never move, so a place in a store is a stable handle. A level's queue is a
//! doubly linked list through the orders' store; an id finds its order through an open-addressing table. Whatever happens to an
//! order that is known touches its own cache line, its level's, and its neighbours'. A price finds its level through a ladder.

use super::id_index::IdIndex;
use super::l2::{DepthView, LEVELS_MAX, TOP_LEVELS};
use super::ladder::Ladder;
use crate::decode::RestingOrder;
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::frame::{Bbo, Level};
use std::fmt;

/// Resting orders that a book has room for unless told otherwise.
pub const ORDERS_MAX: usize = 1 << 19;

/// No place: the end of a list.
const NONE: u32 = u32::MAX;

/// Why a change was not made. The book is as it was before, but for an order that was to move and whose new place is refused: it is
/// gone from the old one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderBookError {
    /// No order with this id is at rest.
    UnknownOrder,
    /// An order with this id is at rest already.
    DuplicateOrder,
    /// The quantity is not above 0, more than rests, or makes a level's total too large for 64 bits.
    Quantity,
    /// No room for another order or level.
    Full,
}

impl fmt::Display for OrderBookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderBookError::UnknownOrder => "no order with this id is at rest",
            OrderBookError::DuplicateOrder => "an order with this id is at rest already",
            OrderBookError::Quantity => "quantity is not above 0, more than rests, or too large",
            OrderBookError::Full => "no room for another order or level",
        })
    }
}

impl std::error::Error for OrderBookError {}

/// A level that a change touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelTouch {
    /// Side of the book.
    pub side: Side,
    /// Price of the level.
    pub price: Price,
    /// Its new total quantity; 0 where it is gone.
    pub qty: Qty,
    /// How many levels of the side are better: exact below [`TOP_LEVELS`], at least that from there on.
    pub better: usize,
}

/// What a change did: the level an order left or changed at, then the one it moved to.
pub type Touched = (LevelTouch, Option<LevelTouch>);

/// What stands before an order in the queue of its price.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct QueueAhead {
    /// Orders.
    pub orders: usize,
    /// Their quantity.
    pub qty: Qty,
}

/// A price level of an [`OrderBook`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderLevel {
    /// Price and total quantity.
    pub level: Level,
    /// Orders at rest.
    pub orders: usize,
}

/// Every resting order of an instrument, in price-time priority. All memory is reserved when it is made.
#[derive(Clone, Debug)]
pub struct OrderBook {
    orders: Vec<Order>,
    orders_max: usize,
    /// First of the unused places in `orders`, linked by `next`.
    spare_order: u32,
    orders_len: usize,
    levels: Vec<LevelQueue>,
    levels_max: usize,
    /// First of the unused places in `levels`, linked by `head`.
    spare_level: u32,
    index: IdIndex,
    /// Bids, asks: keys by [`key_of`], and the places of their levels plus 1.
    sides: [Ladder; 2],
    /// Places of the best level of each side.
    best: [u32; 2],
}

/// 32 bytes: two a cache line.
#[derive(Clone, Copy, Debug)]
struct Order {
    id: u64,
    qty: i64,
    previous: u32,
    next: u32,
    level: u32,
}

/// 32 bytes.
#[derive(Clone, Copy, Debug)]
struct LevelQueue {
    price: Price,
    qty: i64,
    head: u32,
    tail: u32,
    count: u32,
    side: Side,
}

impl OrderBook {
    /// An empty book with room for `orders_max` orders, and as many levels a side up to [`LEVELS_MAX`].
    pub fn new(orders_max: usize) -> OrderBook {
        let orders_max = orders_max.clamp(1, 1 << 30);
        let levels_a_side = orders_max.min(LEVELS_MAX);
        OrderBook {
            orders: Vec::with_capacity(orders_max),
            orders_max,
            spare_order: NONE,
            orders_len: 0,
            levels: Vec::with_capacity(2 * levels_a_side),
            levels_max: 2 * levels_a_side,
            spare_level: NONE,
            index: IdIndex::new(orders_max),
            sides: [Ladder::new(), Ladder::new()],
            best: [NONE; 2],
        }
    }

    /// Puts an order at the end of its price's queue.
    ///
    /// # Errors
    /// [`OrderBookError::DuplicateOrder`], [`OrderBookError::Quantity`], [`OrderBookError::Full`].
    #[inline]
    pub fn add(&mut self, order: &RestingOrder) -> Result<LevelTouch, OrderBookError> {
        let Err(slot) = self.find(order.id) else { return Err(OrderBookError::DuplicateOrder) };
        if order.qty.0 <= 0 {
            return Err(OrderBookError::Quantity);
        }
        let is_full = self.spare_order == NONE && self.orders.len() == self.orders_max;
        if is_full {
            return Err(OrderBookError::Full);
        }
        let (place, better) = self.level_for(order.side, order.price)?;
        let level = &mut self.levels[place as usize];
        // A new level has no quantity yet, so only an old one can overflow and nothing has to be undone.
        level.qty = level.qty.checked_add(order.qty.0).ok_or(OrderBookError::Quantity)?;
        level.count += 1;
        let tail = level.tail;
        let new = Order { id: order.id, qty: order.qty.0, previous: tail, next: NONE, level: place };
        let touch = LevelTouch { side: order.side, price: order.price, qty: Qty(level.qty), better };
        let at = self.store_order(new);
        let level = &mut self.levels[place as usize];
        level.tail = at;
        match tail {
            NONE => level.head = at,
            _ => self.orders[tail as usize].next = at,
        }
        self.index.insert(slot, order.id, at);
        Ok(touch)
    }

    /// Gives an order this side, price and remaining quantity. It keeps its place while side and price stay and the quantity does
    /// not grow, and goes to the end of the queue otherwise.
    ///
    /// # Errors
    /// [`OrderBookError::UnknownOrder`], [`OrderBookError::Quantity`], [`OrderBookError::Full`].
    #[inline]
    pub fn modify(&mut self, order: &RestingOrder) -> Result<Touched, OrderBookError> {
        let (slot, at) = self.find(order.id).map_err(|_| OrderBookError::UnknownOrder)?;
        if order.qty.0 <= 0 {
            return Err(OrderBookError::Quantity);
        }
        let held = self.orders[at as usize];
        let level = &mut self.levels[held.level as usize];
        let is_in_place = level.side == order.side && level.price == order.price && order.qty.0 <= held.qty;
        if is_in_place {
            level.qty -= held.qty - order.qty.0;
            self.orders[at as usize].qty = order.qty.0;
            return Ok((self.touch(held.level), None));
        }
        let left = self.take_out(slot, at);
        Ok((left, Some(self.add(order)?)))
    }

    /// Takes `qty` off an order, which keeps its place and leaves at 0.
    ///
    /// # Errors
    /// [`OrderBookError::UnknownOrder`]; [`OrderBookError::Quantity`] where more is taken than rests.
    #[inline]
    pub fn reduce(&mut self, id: u64, qty: Qty) -> Result<LevelTouch, OrderBookError> {
        let (slot, at) = self.find(id).map_err(|_| OrderBookError::UnknownOrder)?;
        let order = &mut self.orders[at as usize];
        if qty.0 <= 0 || qty.0 > order.qty {
            return Err(OrderBookError::Quantity);
        }
        if qty.0 == order.qty {
            return Ok(self.take_out(slot, at));
        }
        order.qty -= qty.0;
        let level = order.level;
        self.levels[level as usize].qty -= qty.0;
        Ok(self.touch(level))
    }

    /// Takes an order out.
    ///
    /// # Errors
    /// [`OrderBookError::UnknownOrder`].
    #[inline]
    pub fn delete(&mut self, id: u64) -> Result<LevelTouch, OrderBookError> {
        let (slot, at) = self.find(id).map_err(|_| OrderBookError::UnknownOrder)?;
        Ok(self.take_out(slot, at))
    }

    /// Takes an order out and puts another at the end of its price's queue, on the same side.
    ///
    /// # Errors
    /// [`OrderBookError::UnknownOrder`], [`OrderBookError::DuplicateOrder`], [`OrderBookError::Quantity`],
    /// [`OrderBookError::Full`].
    #[inline]
    pub fn replace(&mut self, id: u64, new_id: u64, price: Price, qty: Qty) -> Result<Touched, OrderBookError> {
        let (slot, at) = self.find(id).map_err(|_| OrderBookError::UnknownOrder)?;
        if qty.0 <= 0 {
            return Err(OrderBookError::Quantity);
        }
        if new_id != id && self.find(new_id).is_ok() {
            return Err(OrderBookError::DuplicateOrder);
        }
        let side = self.levels[self.orders[at as usize].level as usize].side;
        let left = self.take_out(slot, at);
        Ok((left, Some(self.add(&RestingOrder { id: new_id, side, price, qty })?)))
    }

    /// Takes every order out and keeps the memory.
    pub fn clear(&mut self) {
        self.orders.clear();
        self.spare_order = NONE;
        self.orders_len = 0;
        self.levels.clear();
        self.spare_level = NONE;
        self.index.clear();
        self.sides.iter_mut().for_each(Ladder::clear);
        self.best = [NONE; 2];
    }

    /// An order at rest.
    #[inline]
    pub fn order(&self, id: u64) -> Option<RestingOrder> {
        let (_, at) = self.find(id).ok()?;
        Some(self.resting(&self.orders[at as usize]))
    }

    /// Orders at rest.
    #[inline]
    pub fn len(&self) -> usize {
        self.orders_len
    }

    /// Whether nothing rests.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.orders_len == 0
    }

    /// What stands before an order in its queue. Walks the queue: its cost grows with the number of orders ahead.
    pub fn queue_ahead(&self, id: u64) -> Option<QueueAhead> {
        let (_, at) = self.find(id).ok()?;
        let mut ahead = QueueAhead::default();
        let mut before = self.orders[at as usize].previous;
        while let Some(order) = self.orders.get(before as usize) {
            ahead.orders += 1;
            ahead.qty.0 += order.qty;
            before = order.previous;
        }
        Some(ahead)
    }

    /// Best bid and ask; a side without orders is zero.
    #[inline]
    pub fn bbo(&self) -> Bbo {
        let best = |side| self.best_level(side).map(|level| Level { price: level.price, qty: Qty(level.qty) }).unwrap_or_default();
        Bbo { bid: best(Side::Buy), ask: best(Side::Sell) }
    }

    /// The best price of a side.
    #[inline]
    pub fn best_price(&self, side: Side) -> Option<Price> {
        self.best_level(side).map(|level| level.price)
    }

    /// Total quantity at a price; 0 where nothing rests.
    #[inline]
    pub fn qty_at(&self, side: Side, price: Price) -> Qty {
        Qty(self.place_of(side, price).map_or(0, |place| self.levels[place as usize].qty))
    }

    /// Levels of a side, best first.
    #[inline]
    pub fn levels(&self, side: Side) -> impl Iterator<Item = OrderLevel> + '_ {
        self.places(side).map(|place| OrderLevel { level: self.level(place), orders: self.levels[place as usize].count as usize })
    }

    /// Number of levels of a side.
    #[inline]
    pub fn depth(&self, side: Side) -> usize {
        self.sides[side as usize].count()
    }

    /// The orders at a price, in the order of the queue.
    pub fn orders_at(&self, side: Side, price: Price) -> impl Iterator<Item = RestingOrder> + '_ {
        self.queue(self.place_of(side, price).map_or(NONE, |place| self.levels[place as usize].head))
    }

    /// Every order of a side: best price first, at one price in the order of the queue.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = RestingOrder> + '_ {
        self.places(side).flat_map(|place| self.queue(self.levels[place as usize].head))
    }

    /// Copies the best [`TOP_LEVELS`] of both sides.
    #[inline]
    pub fn view(&self, view: &mut DepthView) {
        view.bid_levels = self.copy_best(Side::Buy, &mut view.bids);
        view.ask_levels = self.copy_best(Side::Sell, &mut view.asks);
    }

    #[inline]
    fn copy_best(&self, side: Side, best: &mut [Level; TOP_LEVELS]) -> usize {
        let mut places = self.places(side);
        let mut count = 0;
        for slot in best {
            let level = places.next().map(|place| self.level(place));
            count += usize::from(level.is_some());
            *slot = level.unwrap_or_default();
        }
        count
    }

    #[inline]
    fn find(&self, id: u64) -> Result<(usize, u32), usize> {
        self.index.find(id, |at| self.orders[at as usize].id == id)
    }

    #[inline]
    fn best_level(&self, side: Side) -> Option<&LevelQueue> {
        self.levels.get(self.best[side as usize] as usize)
    }

    #[inline]
    fn place_of(&self, side: Side, price: Price) -> Option<u32> {
        place_in(self.sides[side as usize].get(key_of(side, price.0)))
    }

    /// The places of a side's levels, best first.
    #[inline]
    fn places(&self, side: Side) -> impl Iterator<Item = u32> + '_ {
        self.sides[side as usize].iter().filter_map(|(_, held)| place_in(held))
    }

    #[inline]
    fn level(&self, place: u32) -> Level {
        let level = &self.levels[place as usize];
        Level { price: level.price, qty: Qty(level.qty) }
    }

    #[inline]
    fn resting(&self, order: &Order) -> RestingOrder {
        let level = &self.levels[order.level as usize];
        RestingOrder { id: order.id, side: level.side, price: level.price, qty: Qty(order.qty) }
    }

    fn queue(&self, head: u32) -> impl Iterator<Item = RestingOrder> + '_ {
        let first = self.orders.get(head as usize);
        std::iter::successors(first, |order| self.orders.get(order.next as usize)).map(|order| self.resting(order))
    }

    #[inline]
    fn touch(&self, place: u32) -> LevelTouch {
        let level = &self.levels[place as usize];
        let better = self.sides[level.side as usize].better(key_of(level.side, level.price.0));
        LevelTouch { side: level.side, price: level.price, qty: Qty(level.qty), better }
    }

    /// The level at a price, made where there is none, and how many are better.
    #[inline]
    fn level_for(&mut self, side: Side, price: Price) -> Result<(u32, usize), OrderBookError> {
        let key = key_of(side, price.0);
        let prices = &mut self.sides[side as usize];
        let better = prices.better(key);
        if let Some(place) = place_in(prices.get(key)) {
            return Ok((place, better));
        }
        let place = match self.spare_level {
            NONE if self.levels.len() == self.levels_max => return Err(OrderBookError::Full),
            NONE => self.levels.len() as u32,
            spare => spare,
        };
        prices.set(key, i64::from(place) + 1).map_err(|_| OrderBookError::Full)?;
        if better == 0 {
            self.best[side as usize] = place;
        }
        let new = LevelQueue { price, qty: 0, head: NONE, tail: NONE, count: 0, side };
        match self.levels.get_mut(place as usize) {
            Some(level) => {
                self.spare_level = level.head;
                *level = new;
            }
            None => self.levels.push(new),
        }
        Ok((place, better))
    }

    #[inline]
    fn store_order(&mut self, order: Order) -> u32 {
        self.orders_len += 1;
        match self.orders.get_mut(self.spare_order as usize) {
            Some(place) => {
                let at = self.spare_order;
                self.spare_order = place.next;
                *place = order;
                at
            }
            None => {
                self.orders.push(order);
                self.orders.len() as u32 - 1
            }
        }
    }

    /// Unlinks an order, and its level where it was the last there.
    #[inline]
    fn take_out(&mut self, slot: usize, at: u32) -> LevelTouch {
        let order = self.orders[at as usize];
        self.index.remove(slot);
        self.orders_len -= 1;
        self.orders[at as usize].next = self.spare_order;
        self.spare_order = at;
        let level = &mut self.levels[order.level as usize];
        level.qty -= order.qty;
        level.count -= 1;
        match order.previous {
            NONE => level.head = order.next,
            previous => self.orders[previous as usize].next = order.next,
        }
        match order.next {
            NONE => level.tail = order.previous,
            next => self.orders[next as usize].previous = order.previous,
        }
        let (side, price, qty, is_gone) = (level.side, level.price, Qty(level.qty), level.count == 0);
        let prices = &mut self.sides[side as usize];
        let key = key_of(side, price.0);
        let better = prices.better(key);
        if is_gone {
            // Nothing is refused where a level goes.
            let _ = prices.set(key, 0);
            if better == 0 {
                self.best[side as usize] = place_in(prices.best().1).unwrap_or(NONE);
            }
            level.head = self.spare_level;
            self.spare_level = order.level;
        }
        LevelTouch { side, price, qty, better }
    }
}

/// The place of a level, from what its side holds.
#[inline]
fn place_in(held: i64) -> Option<u32> {
    u32::try_from(held - 1).ok()
}

/// A key that grows as a price gets better, and back: the price of a bid, its complement for an ask. (A negation could overflow.)
#[inline]
fn key_of(side: Side, price: i64) -> i64 {
    match side {
        Side::Buy => price,
        Side::Sell => !price,
    }
}

//! A price-time priority matching engine on an order-by-order book.
//!
//! Prices are whole ticks and quantities whole lots, so that nothing rounds. A level is a queue of orders, first come first
//! served; the levels of a side are sorted by price.

use chronos_market::Side;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// How an order meets the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderType {
    /// Takes up to its price, then rests.
    Limit,
    /// Takes up to its price; the rest is cancelled.
    ImmediateOrCancel,
    /// Rests, or is refused where it would take.
    PostOnly,
    /// Takes at any price; the rest is cancelled.
    Market,
}

/// What a participant asks of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineRequest {
    /// Place an order.
    Place {
        /// Identity; must not be that of an order in the book.
        id: u64,
        /// Buy or sell.
        side: Side,
        /// Limit price in ticks; a market order's is not looked at.
        price_ticks: i64,
        /// Quantity in lots, above 0.
        qty_lots: i64,
        /// How it meets the book.
        order_type: OrderType,
    },
    /// Take an order off the book.
    Cancel {
        /// The order.
        id: u64,
    },
}

/// What a request did to the book, in the order it happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineEvent {
    /// Two orders traded, at the price of the one that rested.
    Trade {
        /// The order that rested.
        maker: u64,
        /// The order that arrived.
        taker: u64,
        /// Side of the order that arrived.
        aggressor: Side,
        /// Price in ticks.
        price_ticks: i64,
        /// Quantity in lots.
        qty_lots: i64,
    },
    /// A level has a new total. At most one a level and request.
    LevelSet {
        /// Side of the book.
        side: Side,
        /// Price in ticks.
        price_ticks: i64,
        /// New total in lots; 0 where the level is gone.
        qty_lots: i64,
    },
}

/// Why the engine refused a request; the book is as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineRefusal {
    /// An order with this id is in the book.
    DuplicateId,
    /// No order with this id is in the book.
    UnknownId,
    /// The quantity is not above 0, or would overflow the level's total.
    Quantity,
    /// A post-only order would have taken.
    WouldTake,
}

impl fmt::Display for EngineRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineRefusal::DuplicateId => "an order with this id is in the book",
            EngineRefusal::UnknownId => "no order with this id is in the book",
            EngineRefusal::Quantity => "quantity must be above 0 and must not overflow its level",
            EngineRefusal::WouldTake => "a post-only order would have taken",
        })
    }
}

impl std::error::Error for EngineRefusal {}

/// One instrument's order-by-order book and its matching.
#[derive(Debug, Default)]
pub struct MatchingEngine {
    /// By side, ascending by price.
    levels: [BTreeMap<i64, Queue>; 2],
    /// Orders of all levels; places of orders that are gone are listed in `free` and used again.
    orders: Vec<Resting>,
    free: Vec<usize>,
    place_of_id: HashMap<u64, usize>,
}

impl MatchingEngine {
    /// An empty book.
    pub fn new() -> MatchingEngine {
        MatchingEngine::default()
    }

    /// Does what `request` asks and appends what happened to `events`.
    ///
    /// # Errors
    /// [`EngineRefusal`]; the book and `events` are then as before.
    pub fn apply(&mut self, request: &EngineRequest, events: &mut Vec<EngineEvent>) -> Result<(), EngineRefusal> {
        match *request {
            EngineRequest::Place { id, side, price_ticks, qty_lots, order_type } => {
                self.place(Resting { id, side, price_ticks, qty_lots, before: None, behind: None }, order_type, events)
            }
            EngineRequest::Cancel { id } => self.cancel(id, events),
        }
    }

    /// Best price of a side and its total, in ticks and lots.
    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        self.levels(side).next()
    }

    /// Price and total of each level of a side in ticks and lots, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        let levels = &self.levels[side as usize];
        let (bids, asks) = match side {
            Side::Buy => (Some(levels.iter().rev()), None),
            Side::Sell => (None, Some(levels.iter())),
        };
        bids.into_iter().flatten().chain(asks.into_iter().flatten()).map(|(&price, queue)| (price, queue.total_lots))
    }

    /// Side, price in ticks and open quantity in lots of an order in the book.
    pub fn order(&self, id: u64) -> Option<(Side, i64, i64)> {
        let order = self.orders.get(*self.place_of_id.get(&id)?)?;
        Some((order.side, order.price_ticks, order.qty_lots))
    }

    fn place(&mut self, mut order: Resting, order_type: OrderType, events: &mut Vec<EngineEvent>) -> Result<(), EngineRefusal> {
        let total = self.levels[order.side as usize].get(&order.price_ticks).map_or(0, |queue| queue.total_lots);
        if order.qty_lots <= 0 || total.checked_add(order.qty_lots).is_none() {
            return Err(EngineRefusal::Quantity);
        }
        if self.place_of_id.contains_key(&order.id) {
            return Err(EngineRefusal::DuplicateId);
        }
        let (side, limit) = (order.side, order.price_ticks);
        let is_reached = move |price: &i64| match side {
            _ if order_type == OrderType::Market => true,
            Side::Buy => *price <= limit,
            Side::Sell => *price >= limit,
        };
        let best_reached = |engine: &Self| engine.best(side.opposite()).map(|(price, _)| price).filter(is_reached);
        if order_type == OrderType::PostOnly && best_reached(self).is_some() {
            return Err(EngineRefusal::WouldTake);
        }
        while order.qty_lots > 0
            && let Some(price) = best_reached(self)
        {
            self.take_level(&mut order, price, events);
        }
        if order.qty_lots > 0 && matches!(order_type, OrderType::Limit | OrderType::PostOnly) {
            self.rest(order, events);
        }
        Ok(())
    }

    /// Trades `taker` with one level, from the front of its queue.
    fn take_level(&mut self, taker: &mut Resting, price: i64, events: &mut Vec<EngineEvent>) {
        let side = taker.side.opposite();
        while taker.qty_lots > 0 {
            let Some(place) = self.levels[side as usize].get(&price).and_then(|queue| queue.first) else { break };
            let maker = &mut self.orders[place];
            let qty_lots = maker.qty_lots.min(taker.qty_lots);
            maker.qty_lots -= qty_lots;
            taker.qty_lots -= qty_lots;
            let (maker_id, is_done) = (maker.id, maker.qty_lots == 0);
            events.push(EngineEvent::Trade {
                maker: maker_id,
                taker: taker.id,
                aggressor: taker.side,
                price_ticks: price,
                qty_lots,
            });
            if let Some(queue) = self.levels[side as usize].get_mut(&price) {
                queue.total_lots -= qty_lots;
            }
            if is_done {
                self.unlink(place);
            }
        }
        self.tell_level(side, price, events);
    }

    /// Appends an order to the queue of its level.
    fn rest(&mut self, mut order: Resting, events: &mut Vec<EngineEvent>) {
        let (side, price, id) = (order.side, order.price_ticks, order.id);
        let queue = self.levels[side as usize].entry(price).or_default();
        queue.total_lots += order.qty_lots;
        order.before = queue.last;
        let place = match self.free.pop() {
            Some(place) => {
                self.orders[place] = order;
                place
            }
            None => {
                self.orders.push(order);
                self.orders.len() - 1
            }
        };
        match queue.last.replace(place) {
            Some(last) => self.orders[last].behind = Some(place),
            None => queue.first = Some(place),
        }
        self.place_of_id.insert(id, place);
        self.tell_level(side, price, events);
    }

    fn cancel(&mut self, id: u64, events: &mut Vec<EngineEvent>) -> Result<(), EngineRefusal> {
        let place = *self.place_of_id.get(&id).ok_or(EngineRefusal::UnknownId)?;
        let Resting { side, price_ticks, qty_lots, .. } = self.orders[place];
        if let Some(queue) = self.levels[side as usize].get_mut(&price_ticks) {
            queue.total_lots -= qty_lots;
        }
        self.unlink(place);
        self.tell_level(side, price_ticks, events);
        Ok(())
    }

    /// Takes an order out of its queue; the level goes with its last order.
    fn unlink(&mut self, place: usize) {
        let Resting { id, side, price_ticks, before, behind, .. } = self.orders[place];
        if let Some(before) = before {
            self.orders[before].behind = behind;
        }
        if let Some(behind) = behind {
            self.orders[behind].before = before;
        }
        if let Some(queue) = self.levels[side as usize].get_mut(&price_ticks) {
            if before.is_none() {
                queue.first = behind;
            }
            if behind.is_none() {
                queue.last = before;
            }
            if queue.first.is_none() {
                self.levels[side as usize].remove(&price_ticks);
            }
        }
        self.place_of_id.remove(&id);
        self.free.push(place);
    }

    fn tell_level(&self, side: Side, price_ticks: i64, events: &mut Vec<EngineEvent>) {
        let qty_lots = self.levels[side as usize].get(&price_ticks).map_or(0, |queue| queue.total_lots);
        events.push(EngineEvent::LevelSet { side, price_ticks, qty_lots });
    }
}

/// The orders of one level, by their places in `MatchingEngine::orders`.
#[derive(Debug, Default)]
struct Queue {
    first: Option<usize>,
    last: Option<usize>,
    total_lots: i64,
}

/// An order, linked to its neighbours in the queue.
#[derive(Clone, Copy, Debug)]
struct Resting {
    id: u64,
    side: Side,
    price_ticks: i64,
    qty_lots: i64,
    before: Option<usize>,
    behind: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(id: u64, side: Side, price_ticks: i64, qty_lots: i64, order_type: OrderType) -> EngineRequest {
        EngineRequest::Place { id, side, price_ticks, qty_lots, order_type }
    }

    #[test]
    fn the_best_price_trades_first_then_the_first_come() {
        let mut engine = MatchingEngine::new();
        let mut events = Vec::new();
        for (id, price) in [(1, 101), (2, 100), (3, 100)] {
            engine.apply(&place(id, Side::Sell, price, 5, OrderType::Limit), &mut events).unwrap();
        }
        events.clear();
        engine.apply(&place(4, Side::Buy, 101, 12, OrderType::Limit), &mut events).unwrap();
        let trade =
            |maker, price_ticks, qty_lots| EngineEvent::Trade { maker, taker: 4, aggressor: Side::Buy, price_ticks, qty_lots };
        let level = |price_ticks, qty_lots| EngineEvent::LevelSet { side: Side::Sell, price_ticks, qty_lots };
        assert_eq!(events, [trade(2, 100, 5), trade(3, 100, 5), level(100, 0), trade(1, 101, 2), level(101, 3)]);
        assert_eq!((engine.best(Side::Sell), engine.best(Side::Buy)), (Some((101, 3)), None));
        assert_eq!((engine.order(1), engine.order(2)), (Some((Side::Sell, 101, 3)), None));
    }

    #[test]
    fn totals_cannot_overflow() {
        let mut engine = MatchingEngine::new();
        engine.apply(&place(1, Side::Sell, 1, i64::MAX, OrderType::Limit), &mut Vec::new()).unwrap();
        let more = engine.apply(&place(2, Side::Sell, 1, 1, OrderType::Limit), &mut Vec::new());
        assert_eq!(more, Err(EngineRefusal::Quantity));
    }

    /// All orders in one list in order of arrival; everything is found by looking at all of them.
    #[derive(Default)]
    struct Naive(Vec<(u64, Side, i64, i64)>);

    impl Naive {
        fn total(&self, side: Side, price: i64) -> i64 {
            self.0.iter().filter(|order| order.1 == side && order.2 == price).map(|order| order.3).sum()
        }

        /// What is left of a taker, and its trades as (maker, price, quantity).
        fn take(&mut self, side: Side, limit: Option<i64>, mut qty: i64) -> (i64, Vec<(u64, i64, i64)>) {
            let mut trades = Vec::new();
            while qty > 0 {
                let mut best: Option<usize> = None;
                for (place, order) in self.0.iter().enumerate() {
                    let is_met = order.1 != side && limit.is_none_or(|limit| (limit - order.2) * side.sign() >= 0);
                    if is_met && best.is_none_or(|best| (self.0[best].2 - order.2) * side.sign() > 0) {
                        best = Some(place);
                    }
                }
                let Some(best) = best else { break };
                let maker = &mut self.0[best];
                let traded = qty.min(maker.3);
                maker.3 -= traded;
                qty -= traded;
                trades.push((maker.0, maker.2, traded));
                if maker.3 == 0 {
                    self.0.remove(best);
                }
            }
            (qty, trades)
        }
    }

    fn requests() -> impl Strategy<Value = Vec<EngineRequest>> {
        let order_type = prop_oneof![
            4 => Just(OrderType::Limit),
            1 => Just(OrderType::ImmediateOrCancel),
            2 => Just(OrderType::PostOnly),
            1 => Just(OrderType::Market)
        ];
        let order =
            (0u64..60, prop::bool::ANY, 1i64..20, -1i64..30, order_type).prop_map(|(id, is_buy, price, qty, order_type)| {
                place(id, if is_buy { Side::Buy } else { Side::Sell }, price, qty, order_type)
            });
        let request = prop_oneof![3 => order, 1 => (0u64..60).prop_map(|id| EngineRequest::Cancel { id })];
        prop::collection::vec(request, 1..300)
    }

    proptest! {
        #[test]
        fn equals_one_list_of_orders(requests in requests()) {
            let mut engine = MatchingEngine::new();
            let mut naive = Naive::default();
            let mut levels: [BTreeMap<i64, i64>; 2] = Default::default();
            for request in requests {
                let mut events = Vec::new();
                let result = engine.apply(&request, &mut events);
                let mut trades = Vec::new();
                for event in &events {
                    match *event {
                        EngineEvent::Trade { maker, price_ticks, qty_lots, .. } => trades.push((maker, price_ticks, qty_lots)),
                        EngineEvent::LevelSet { side, price_ticks, qty_lots: 0 } => {
                            levels[side as usize].remove(&price_ticks);
                        }
                        EngineEvent::LevelSet { side, price_ticks, qty_lots } => {
                            levels[side as usize].insert(price_ticks, qty_lots);
                        }
                    }
                }
                match request {
                    EngineRequest::Place { id, side, price_ticks, qty_lots, order_type } => {
                        let limit = (order_type != OrderType::Market).then_some(price_ticks);
                        let would_take = naive.0.iter().any(|order| order.1 != side && (price_ticks - order.2) * side.sign() >= 0);
                        if qty_lots <= 0 {
                            prop_assert_eq!(result, Err(EngineRefusal::Quantity));
                        } else if naive.0.iter().any(|order| order.0 == id) {
                            prop_assert_eq!(result, Err(EngineRefusal::DuplicateId));
                        } else if order_type == OrderType::PostOnly && would_take {
                            prop_assert_eq!(result, Err(EngineRefusal::WouldTake));
                        } else {
                            prop_assert_eq!(result, Ok(()));
                            let (left, expected) = naive.take(side, limit, qty_lots);
                            prop_assert_eq!(&trades, &expected);
                            if left > 0 && matches!(order_type, OrderType::Limit | OrderType::PostOnly) {
                                naive.0.push((id, side, price_ticks, left));
                            }
                        }
                    }
                    EngineRequest::Cancel { id } => {
                        let known = naive.0.iter().position(|order| order.0 == id);
                        prop_assert_eq!(result, known.map(|_| ()).ok_or(EngineRefusal::UnknownId));
                        known.map(|place| naive.0.remove(place));
                    }
                }
                prop_assert!(result.is_ok() || events.is_empty());
                // What the events told, what the engine shows and what the list holds are one book.
                for side in [Side::Buy, Side::Sell] {
                    let mut shown: Vec<(i64, i64)> = engine.levels(side).collect();
                    prop_assert!(shown.is_sorted_by_key(|level| -level.0 * side.sign()));
                    shown.sort_unstable();
                    prop_assert_eq!(&shown, &levels[side as usize].iter().map(|(&price, &qty)| (price, qty)).collect::<Vec<_>>());
                    for price in 1..20 {
                        prop_assert_eq!(levels[side as usize].get(&price).copied().unwrap_or(0), naive.total(side, price));
                    }
                }
            }
        }
    }
}

//! A price-time priority matching engine on an order-by-order book.
//!
//! Prices are whole ticks and quantities whole lots, so that nothing rounds. A level is a queue of orders, first come first
//! served; the levels of a side are one sorted list with the best at its end, where most of what happens needs little moved.

use chronos_market::Side;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

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
    /// Take a part of an order off the book; the rest keeps its place in the queue.
    Reduce {
        /// The order.
        id: u64,
        /// Quantity to take off in lots: above 0 and below what is open.
        qty_lots: i64,
    },
    /// Take an order off the book and place a post-only one of the same side, which queues last at its price.
    Replace {
        /// The order that goes.
        id: u64,
        /// The order that comes; must not be in the book.
        new_id: u64,
        /// Its limit price in ticks.
        price_ticks: i64,
        /// Its quantity in lots, above 0.
        qty_lots: i64,
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
    /// The quantity is not above 0, would overflow the level's total, or would leave nothing of an order to be reduced.
    Quantity,
    /// A post-only order would have taken.
    WouldTake,
}

impl fmt::Display for EngineRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineRefusal::DuplicateId => "an order with this id is in the book",
            EngineRefusal::UnknownId => "no order with this id is in the book",
            EngineRefusal::Quantity => {
                "quantity must be above 0, must not overflow its level, and a reduction must leave something"
            }
            EngineRefusal::WouldTake => "a post-only order would have taken",
        })
    }
}

impl std::error::Error for EngineRefusal {}

/// One instrument's order-by-order book and its matching.
#[derive(Debug, Default)]
pub struct MatchingEngine {
    /// By side, the best price last.
    levels: [Vec<Level>; 2],
    /// Orders of all levels; places of orders that are gone are listed in `free` and used again.
    orders: Vec<Resting>,
    free: Vec<usize>,
    place_of_id: HashMap<u64, usize, BuildHasherDefault<IdHasher>>,
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
            EngineRequest::Reduce { id, qty_lots } => self.reduce(id, qty_lots, events),
            EngineRequest::Replace { id, new_id, price_ticks, qty_lots } => self.replace(id, new_id, price_ticks, qty_lots, events),
        }
    }

    /// Best price of a side and its total, in ticks and lots.
    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        self.levels(side).next()
    }

    /// Price and total of each level of a side in ticks and lots, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.levels[side as usize].iter().rev().map(|level| (level.price_ticks, level.total_lots))
    }

    /// Id, price in ticks and open quantity in lots of each order of a side, the first to trade first.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = (u64, i64, i64)> + '_ {
        let queue = |level: &Level| {
            std::iter::successors(self.orders.get(level.first), |order| order.behind.map(|place| &self.orders[place]))
        };
        self.levels[side as usize].iter().rev().flat_map(queue).map(|order| (order.id, order.price_ticks, order.qty_lots))
    }

    /// Side, price in ticks and open quantity in lots of an order in the book.
    pub fn order(&self, id: u64) -> Option<(Side, i64, i64)> {
        let order = self.orders.get(*self.place_of_id.get(&id)?)?;
        Some((order.side, order.price_ticks, order.qty_lots))
    }

    fn place(&mut self, mut order: Resting, order_type: OrderType, events: &mut Vec<EngineEvent>) -> Result<(), EngineRefusal> {
        let found = self.find(order.side, order.price_ticks);
        self.check(&order, order_type, found)?;
        while order.qty_lots > 0 && self.would_take(&order, order_type) {
            self.take_best(&mut order, events);
        }
        if order.qty_lots > 0 && matches!(order_type, OrderType::Limit | OrderType::PostOnly) {
            // What it took was on the other side: its own level stands where it stood.
            self.rest(order, found, events);
        }
        Ok(())
    }

    /// Whether an order may enter the book, where its level was `found`.
    fn check(&self, order: &Resting, order_type: OrderType, found: Result<usize, usize>) -> Result<(), EngineRefusal> {
        let total = found.map_or(0, |at| self.levels[order.side as usize][at].total_lots);
        if order.qty_lots <= 0 || total.checked_add(order.qty_lots).is_none() {
            return Err(EngineRefusal::Quantity);
        }
        if self.place_of_id.contains_key(&order.id) {
            return Err(EngineRefusal::DuplicateId);
        }
        if order_type == OrderType::PostOnly && self.would_take(order, order_type) {
            return Err(EngineRefusal::WouldTake);
        }
        Ok(())
    }

    /// Whether an order reaches the best opposite price.
    fn would_take(&self, order: &Resting, order_type: OrderType) -> bool {
        self.best(order.side.opposite()).is_some_and(|(price, _)| match order.side {
            _ if order_type == OrderType::Market => true,
            Side::Buy => price <= order.price_ticks,
            Side::Sell => price >= order.price_ticks,
        })
    }

    /// Trades `taker` with the best opposite level, from the front of its queue.
    fn take_best(&mut self, taker: &mut Resting, events: &mut Vec<EngineEvent>) {
        let side = taker.side.opposite();
        let Some(at) = self.levels[side as usize].len().checked_sub(1) else { return };
        let price_ticks = self.levels[side as usize][at].price_ticks;
        let mut left_lots = self.levels[side as usize][at].total_lots;
        while taker.qty_lots > 0 && left_lots > 0 {
            let place = self.levels[side as usize][at].first;
            let maker = &mut self.orders[place];
            let qty_lots = maker.qty_lots.min(taker.qty_lots);
            taker.qty_lots -= qty_lots;
            events.push(EngineEvent::Trade { maker: maker.id, taker: taker.id, aggressor: taker.side, price_ticks, qty_lots });
            left_lots = self.take_off(place, at, qty_lots);
        }
        events.push(EngineEvent::LevelSet { side, price_ticks, qty_lots: left_lots });
    }

    /// Appends an order to the queue of its level, which stands or would stand where it was `found`.
    fn rest(&mut self, mut order: Resting, found: Result<usize, usize>, events: &mut Vec<EngineEvent>) {
        let Resting { id, side, price_ticks, qty_lots, .. } = order;
        let levels = &mut self.levels[side as usize];
        order.before = found.ok().map(|at| levels[at].last);
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
        let total_lots = match found {
            Ok(at) => {
                let level = &mut levels[at];
                self.orders[level.last].behind = Some(place);
                level.last = place;
                level.total_lots += qty_lots;
                level.total_lots
            }
            Err(at) => {
                levels.insert(at, Level { price_ticks, total_lots: qty_lots, first: place, last: place });
                qty_lots
            }
        };
        self.place_of_id.insert(id, place);
        events.push(EngineEvent::LevelSet { side, price_ticks, qty_lots: total_lots });
    }

    fn cancel(&mut self, id: u64, events: &mut Vec<EngineEvent>) -> Result<(), EngineRefusal> {
        let place = *self.place_of_id.get(&id).ok_or(EngineRefusal::UnknownId)?;
        self.take_off_and_tell(place, self.orders[place].qty_lots, events);
        Ok(())
    }

    fn reduce(&mut self, id: u64, qty_lots: i64, events: &mut Vec<EngineEvent>) -> Result<(), EngineRefusal> {
        let place = *self.place_of_id.get(&id).ok_or(EngineRefusal::UnknownId)?;
        if qty_lots <= 0 || qty_lots >= self.orders[place].qty_lots {
            return Err(EngineRefusal::Quantity);
        }
        self.take_off_and_tell(place, qty_lots, events);
        Ok(())
    }

    fn replace(
        &mut self,
        id: u64,
        new_id: u64,
        price_ticks: i64,
        qty_lots: i64,
        events: &mut Vec<EngineEvent>,
    ) -> Result<(), EngineRefusal> {
        let place = *self.place_of_id.get(&id).ok_or(EngineRefusal::UnknownId)?;
        let old = self.orders[place];
        let new = Resting { id: new_id, side: old.side, price_ticks, qty_lots, before: None, behind: None };
        self.check(&new, OrderType::PostOnly, self.find(new.side, price_ticks))?;
        self.take_off_and_tell(place, old.qty_lots, events);
        if old.price_ticks == price_ticks {
            // A level is told once.
            events.pop();
        }
        self.rest(new, self.find(new.side, price_ticks), events);
        Ok(())
    }

    fn take_off_and_tell(&mut self, place: usize, qty_lots: i64, events: &mut Vec<EngineEvent>) {
        let Resting { side, price_ticks, .. } = self.orders[place];
        let Ok(at) = self.find(side, price_ticks) else { return };
        let qty_lots = self.take_off(place, at, qty_lots);
        events.push(EngineEvent::LevelSet { side, price_ticks, qty_lots });
    }

    /// Takes a quantity off an order in the level that stands `at`; returns what is left of the level. The order goes with its last
    /// lot, and the level with its last order.
    fn take_off(&mut self, place: usize, at: usize, qty_lots: i64) -> i64 {
        let order = &mut self.orders[place];
        order.qty_lots -= qty_lots;
        let Resting { id, side, before, behind, qty_lots: open_lots, .. } = *order;
        let level = &mut self.levels[side as usize][at];
        level.total_lots -= qty_lots;
        let left_lots = level.total_lots;
        if open_lots > 0 {
            return left_lots;
        }
        match before {
            Some(before) => self.orders[before].behind = behind,
            None => level.first = behind.unwrap_or(level.first),
        }
        match behind {
            Some(behind) => self.orders[behind].before = before,
            None => level.last = before.unwrap_or(level.last),
        }
        if left_lots == 0 {
            self.levels[side as usize].remove(at);
        }
        self.place_of_id.remove(&id);
        self.free.push(place);
        left_lots
    }

    /// Where the level of a price stands, or as an error where it would.
    fn find(&self, side: Side, price_ticks: i64) -> Result<usize, usize> {
        let levels = &self.levels[side as usize];
        let is_worse = |level: &Level| match side {
            Side::Buy => level.price_ticks < price_ticks,
            Side::Sell => level.price_ticks > price_ticks,
        };
        // Most prices asked for are near the best: look there first, then twice as far, and so on (Bentley and Yao 1976).
        let mut reach = 1;
        while reach < levels.len() && !is_worse(&levels[levels.len() - reach]) {
            reach *= 2;
        }
        let from = levels.len().saturating_sub(reach);
        let at = from + levels[from..].partition_point(is_worse);
        match levels.get(at) {
            Some(level) if level.price_ticks == price_ticks => Ok(at),
            _ => Err(at),
        }
    }
}

/// Spreads ids, which mostly count up, by one multiplication (Knuth, TAOCP 3, 6.4): quick, and the same in every run.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 ^ u64::from(byte)));
    }

    fn write_u64(&mut self, id: u64) {
        // The table looks at the highest and the lowest bits; only the high ones of a product are mixed.
        let product = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The queue of orders at one price, by their places in `MatchingEngine::orders`; never empty.
#[derive(Debug)]
struct Level {
    price_ticks: i64,
    total_lots: i64,
    first: usize,
    last: usize,
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
    use std::collections::BTreeMap;

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
        let request = prop_oneof![
            6 => order,
            2 => (0u64..60).prop_map(|id| EngineRequest::Cancel { id }),
            1 => (0u64..60, -1i64..30).prop_map(|(id, qty_lots)| EngineRequest::Reduce { id, qty_lots }),
            1 => (0u64..60, 0u64..60, 1i64..20, -1i64..30)
                .prop_map(|(id, new_id, price_ticks, qty_lots)| EngineRequest::Replace { id, new_id, price_ticks, qty_lots }),
        ];
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
                    EngineRequest::Reduce { id, qty_lots } => match naive.0.iter_mut().find(|order| order.0 == id) {
                        None => prop_assert_eq!(result, Err(EngineRefusal::UnknownId)),
                        Some(order) if (1..order.3).contains(&qty_lots) => {
                            prop_assert_eq!(result, Ok(()));
                            order.3 -= qty_lots;
                        }
                        Some(_) => prop_assert_eq!(result, Err(EngineRefusal::Quantity)),
                    },
                    EngineRequest::Replace { id, new_id, price_ticks, qty_lots } => {
                        let known = naive.0.iter().position(|order| order.0 == id);
                        let side = known.map(|place| naive.0[place].1);
                        let would_take =
                            naive.0.iter().any(|order| Some(order.1.opposite()) == side && (price_ticks - order.2) * order.1.sign() <= 0);
                        match (known, side) {
                            (Some(place), Some(side)) if qty_lots > 0 && !would_take && naive.0.iter().all(|order| order.0 != new_id) => {
                                prop_assert_eq!(result, Ok(()));
                                naive.0.remove(place);
                                naive.0.push((new_id, side, price_ticks, qty_lots));
                            }
                            (Some(_), _) => prop_assert!(result.is_err() && result != Err(EngineRefusal::UnknownId)),
                            _ => prop_assert_eq!(result, Err(EngineRefusal::UnknownId)),
                        }
                    }
                }
                prop_assert!(result.is_ok() || events.is_empty());
                // What the events told, what the engine shows and what the list holds are one book.
                for side in [Side::Buy, Side::Sell] {
                    // Best price first, then first come: a stable sort of the list.
                    let mut queued: Vec<_> = naive.0.iter().filter(|order| order.1 == side).copied().collect();
                    queued.sort_by_key(|order| -order.2 * side.sign());
                    prop_assert!(engine.orders(side).eq(queued.iter().map(|order| (order.0, order.2, order.3))));
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

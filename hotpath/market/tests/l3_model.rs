//! The order book against a naive model: one list of orders in the order they came to rest.

use chronos_market::book::{DepthView, LevelTouch, OrderBook, OrderBookError, QueueAhead, TOP_LEVELS};
use chronos_market::decode::RestingOrder;
use chronos_market::{Level, Price, Qty, Side};
use proptest::prelude::*;

const IDS: u64 = 40;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Add(RestingOrder),
    Modify(RestingOrder),
    Reduce(u64, Qty),
    Delete(u64),
    Replace(u64, RestingOrder),
    Clear,
}

fn order() -> impl Strategy<Value = RestingOrder> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    (0..IDS, side, -20i64..20, 0i64..6).prop_map(|(id, side, price, qty)| {
        // Ids far apart, prices on both sides of zero and at the ends of what fits.
        let price = if price == 19 {
            i64::MAX
        } else if price == -20 {
            i64::MIN
        } else {
            price
        };
        RestingOrder { id: id.wrapping_mul(0x1000_0000_0000_0401), side, price: Price(price), qty: Qty(qty) }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        60 => order().prop_map(Operation::Add),
        30 => order().prop_map(Operation::Modify),
        20 => order().prop_map(|order| Operation::Reduce(order.id, order.qty)),
        20 => order().prop_map(|order| Operation::Delete(order.id)),
        20 => (order(), order()).prop_map(|(old, new)| Operation::Replace(old.id, new)),
        1 => Just(Operation::Clear),
    ]
}

/// Orders by time of coming to rest.
#[derive(Default)]
struct Naive(Vec<RestingOrder>);

impl Naive {
    fn place(&self, id: u64) -> Result<usize, OrderBookError> {
        self.0.iter().position(|order| order.id == id).ok_or(OrderBookError::UnknownOrder)
    }

    fn apply(&mut self, operation: Operation) -> Result<(), OrderBookError> {
        match operation {
            Operation::Add(order) => {
                if self.place(order.id).is_ok() {
                    return Err(OrderBookError::DuplicateOrder);
                }
                if order.qty.0 == 0 {
                    return Err(OrderBookError::Quantity);
                }
                self.0.push(order);
            }
            Operation::Modify(order) => {
                let place = self.place(order.id)?;
                if order.qty.0 == 0 {
                    return Err(OrderBookError::Quantity);
                }
                let held = self.0[place];
                if held.side == order.side && held.price == order.price && order.qty <= held.qty {
                    self.0[place] = order;
                } else {
                    self.0.remove(place);
                    self.0.push(order);
                }
            }
            Operation::Reduce(id, qty) => {
                let place = self.place(id)?;
                if qty.0 == 0 || qty > self.0[place].qty {
                    return Err(OrderBookError::Quantity);
                }
                self.0[place].qty.0 -= qty.0;
                if self.0[place].qty.0 == 0 {
                    self.0.remove(place);
                }
            }
            Operation::Delete(id) => drop(self.0.remove(self.place(id)?)),
            Operation::Replace(id, new) => {
                let place = self.place(id)?;
                if new.qty.0 == 0 {
                    return Err(OrderBookError::Quantity);
                }
                if new.id != id && self.place(new.id).is_ok() {
                    return Err(OrderBookError::DuplicateOrder);
                }
                let side = self.0.remove(place).side;
                self.0.push(RestingOrder { side, ..new });
            }
            Operation::Clear => self.0.clear(),
        }
        Ok(())
    }

    fn prices(&self, side: Side) -> Vec<Price> {
        let mut prices: Vec<Price> = self.0.iter().filter(|order| order.side == side).map(|order| order.price).collect();
        prices.sort();
        prices.dedup();
        if side == Side::Buy {
            prices.reverse();
        }
        prices
    }

    fn queue(&self, side: Side, price: Price) -> Vec<RestingOrder> {
        self.0.iter().filter(|order| order.side == side && order.price == price).copied().collect()
    }

    fn level(&self, side: Side, price: Price) -> Level {
        Level { price, qty: Qty(self.queue(side, price).iter().map(|order| order.qty.0).sum()) }
    }
}

fn apply(book: &mut OrderBook, operation: Operation) -> Result<Vec<LevelTouch>, OrderBookError> {
    let both = |(first, second): (LevelTouch, Option<LevelTouch>)| [Some(first), second].into_iter().flatten().collect();
    match operation {
        Operation::Add(order) => book.add(&order).map(|touch| vec![touch]),
        Operation::Modify(order) => book.modify(&order).map(both),
        Operation::Reduce(id, qty) => book.reduce(id, qty).map(|touch| vec![touch]),
        Operation::Delete(id) => book.delete(id).map(|touch| vec![touch]),
        Operation::Replace(id, new) => book.replace(id, new.id, new.price, new.qty).map(both),
        Operation::Clear => {
            book.clear();
            Ok(Vec::new())
        }
    }
}

proptest! {
    #[test]
    fn equals_a_list_of_orders(operations in prop::collection::vec(operation(), 1..400)) {
        let mut book = OrderBook::new(IDS as usize);
        let mut naive = Naive::default();
        for operation in operations {
            let touched = apply(&mut book, operation);
            prop_assert_eq!(touched.as_ref().err().copied(), naive.apply(operation).err(), "{:?}", operation);
            for (place, touch) in touched.iter().flatten().enumerate() {
                // The first touch tells of the side before an order moved to another level of it.
                if place == 0 && touched.as_ref().is_ok_and(|touched| touched.len() == 2) {
                    continue;
                }
                prop_assert_eq!(touch.qty, naive.level(touch.side, touch.price).qty);
                let prices = naive.prices(touch.side);
                let better = prices.iter().filter(|price| (**price > touch.price) == (touch.side == Side::Buy) && **price != touch.price);
                prop_assert_eq!(touch.better.min(TOP_LEVELS), better.count().min(TOP_LEVELS));
            }
            prop_assert_eq!(book.len(), naive.0.len());
            let mut view = DepthView::default();
            book.view(&mut view);
            for side in [Side::Buy, Side::Sell] {
                let prices = naive.prices(side);
                let levels: Vec<Level> = prices.iter().map(|&price| naive.level(side, price)).collect();
                prop_assert_eq!(book.levels(side).map(|level| level.level).collect::<Vec<_>>(), levels.clone());
                prop_assert_eq!(book.depth(side), levels.len());
                prop_assert_eq!(book.best_price(side), prices.first().copied());
                let seen = if side == Side::Buy { &view.bids[..view.bid_levels] } else { &view.asks[..view.ask_levels] };
                prop_assert_eq!(seen, &levels[..levels.len().min(TOP_LEVELS)]);
                let mut all = Vec::new();
                for (&price, level) in prices.iter().zip(book.levels(side)) {
                    let queue = naive.queue(side, price);
                    prop_assert_eq!(book.orders_at(side, price).collect::<Vec<_>>(), queue.clone());
                    prop_assert_eq!(level.orders, queue.len());
                    prop_assert_eq!(book.qty_at(side, price), level.level.qty);
                    all.extend(queue);
                }
                prop_assert_eq!(book.orders(side).collect::<Vec<_>>(), all);
            }
            prop_assert_eq!(book.bbo(), view.bbo());
            for id in 0..IDS {
                let id = id.wrapping_mul(0x1000_0000_0000_0401);
                let expected = naive.0.iter().find(|order| order.id == id).copied();
                prop_assert_eq!(book.order(id), expected);
                let ahead = expected.map(|order| {
                    let queue = naive.queue(order.side, order.price);
                    let before = queue.iter().take_while(|other| other.id != id);
                    QueueAhead { orders: before.clone().count(), qty: Qty(before.map(|other| other.qty.0).sum()) }
                });
                prop_assert_eq!(book.queue_ahead(id), ahead);
            }
        }
    }
}

#[test]
fn a_full_book_refuses_and_goes_on() {
    let mut book = OrderBook::new(3);
    let order = |id, price| RestingOrder { id, side: Side::Buy, price: Price(price), qty: Qty(1) };
    for id in 1..=3 {
        book.add(&order(id, id as i64)).unwrap();
    }
    assert_eq!(book.add(&order(4, 1)), Err(OrderBookError::Full));
    assert_eq!(book.len(), 3);
    book.delete(2).unwrap();
    book.add(&order(4, 1)).unwrap();
    assert_eq!(book.queue_ahead(4), Some(QueueAhead { orders: 1, qty: Qty(1) }));
    assert_eq!(book.replace(4, 5, Price(9), Qty(2)).map(|touched| touched.0.qty), Ok(Qty(1)));
    assert_eq!(book.bbo().bid, Level { price: Price(9), qty: Qty(2) });
}

#[test]
fn a_total_that_does_not_fit_is_refused() {
    let mut book = OrderBook::new(3);
    let order = |id, qty| RestingOrder { id, side: Side::Sell, price: Price(1), qty: Qty(qty) };
    book.add(&order(1, i64::MAX)).unwrap();
    assert_eq!(book.add(&order(2, 1)), Err(OrderBookError::Quantity));
    assert_eq!((book.len(), book.order(2), book.qty_at(Side::Sell, Price(1))), (1, None, Qty(i64::MAX)));
}

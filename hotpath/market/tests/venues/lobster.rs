use super::reference::{capture, corpus, decoded, shown};
use chronos_market::decode::*;
use chronos_market::{Price, Qty, Side, Timestamp};
use std::collections::BTreeMap;

/// Midnight in New York of 2012-06-21, summer time.
const MIDNIGHT_NS: i64 = 1_340_251_200_000_000_000;
const MESSAGES: &str = "lobster/AAPL_2012-06-21_34200000_57600000_message_10_first999.csv";
const BOOKS: &str = "lobster/AAPL_2012-06-21_34200000_57600000_orderbook_10_first999.csv";

/// Shares left of each order shown.
#[derive(Default)]
struct Reference(BTreeMap<u64, i64>);

impl Reference {
    fn decode(&mut self, row: &str) -> Option<String> {
        let mut columns: Vec<&str> = row.trim_ascii_end().split(',').collect();
        if columns.len() == 7 && columns[6] == "null" {
            columns.pop();
        }
        let &[time, kind, id, size, price, direction] = columns.as_slice() else { return None };
        let nanos = super::reference::seconds(time)?;
        let exchange_ns = MIDNIGHT_NS.checked_add(nanos)?;
        let (id, size): (u64, i64) = (id.parse().ok()?, size.parse().ok()?);
        let (price, direction): (i64, i64) = (price.parse().ok()?, direction.parse().ok()?);
        let symbol = "AAPL";
        let terms = || {
            let side = if direction == 1 {
                Side::Buy
            } else if direction == -1 {
                Side::Sell
            } else {
                return None;
            };
            let (price, qty) = (price.checked_mul(100_000)?, size.checked_mul(100_000_000)?);
            (price > 0 && qty > 0).then_some((side, Price(price), Qty(qty)))
        };
        let order = |action| Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last: true, action });
        let message = match kind.parse::<u64>().ok()? {
            1 => {
                let (side, price, qty) = terms()?;
                self.0.insert(id, size);
                order(OrderAction::Add(RestingOrder { id, side, price, qty }))
            }
            kind @ 2..=4 => {
                let (side, at, qty) = terms()?;
                let is_known = self.0.contains_key(&id);
                let shown_id = if is_known { id } else { (1 << 63) + ((side as u64) << 62) + price as u64 };
                if is_known {
                    *self.0.get_mut(&id).unwrap() -= size;
                    self.0.retain(|known, left| *left > 0 && !(kind == 3 && *known == id));
                }
                order(match kind {
                    3 if is_known => OrderAction::Delete { id },
                    4 => {
                        let price = if is_known { None } else { Some(at) };
                        OrderAction::Execute { id: shown_id, qty, price, trade_id: 0, is_printable: true }
                    }
                    _ => OrderAction::Reduce { id: shown_id, qty },
                })
            }
            5 => {
                let (side, price, qty) = terms()?;
                Message::Trade(TradeMessage { symbol, id: 0, price, qty, aggressor: Some(side.opposite()), exchange_ns })
            }
            6 => Message::Ignored(Ignored::OffBookTrade),
            7 => {
                let status = [TradingStatus::Halted, TradingStatus::QuotesOnly, TradingStatus::Trading];
                Message::Status(StatusMessage { symbol, exchange_ns, status: *status.get(usize::try_from(price + 1).ok()?)? })
            }
            _ => return None,
        };
        Some(shown(message).replacen("7 ", &format!("{exchange_ns} "), 1))
    }
}

fn decoder() -> LobsterDecoder {
    LobsterDecoder::new("AAPL", MIDNIGHT_NS)
}

#[test]
fn agrees_on_the_committed_rows() {
    let mut taken = 0;
    let rows = corpus("lobster_row");
    for row in &rows {
        let ours = decoded(&mut decoder(), row.as_bytes());
        taken += usize::from(ours.is_ok());
        assert_eq!(ours.ok(), Reference::default().decode(row).map(|message| vec![message]), "{row:?}");
    }
    assert!(taken >= 8 && taken < rows.len(), "{taken} of {}", rows.len());
}

#[test]
fn agrees_on_the_whole_sample() {
    let Some(rows) = capture(MESSAGES) else { return };
    let (mut decoder, mut reference) = (decoder(), Reference::default());
    let mut counts = [0; 8];
    for row in &rows {
        counts[row.split(',').nth(1).unwrap().parse::<usize>().unwrap()] += 1;
        let ours = decoded(&mut decoder, row.as_bytes()).unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!(ours, [reference.decode(row).unwrap()], "{row}");
    }
    assert_eq!((rows.len(), counts[1]), (999, 471));
}

/// Orders at rest by id, as the messages tell.
#[derive(Default)]
struct Resting(BTreeMap<u64, RestingOrder>);

impl DecodeSink for Resting {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        match message {
            Message::OrderSnapshot(snapshot) => self.0 = snapshot.orders.iter().map(|order| (order.id, *order)).collect(),
            Message::Order(OrderMessage { action, .. }) => match *action {
                OrderAction::Add(order) => drop(self.0.insert(order.id, order)),
                OrderAction::Delete { id } => drop(self.0.remove(&id)),
                OrderAction::Reduce { id, qty } | OrderAction::Execute { id, qty, .. } => {
                    if let Some(order) = self.0.get_mut(&id) {
                        order.qty.0 -= qty.0;
                        if order.qty.0 <= 0 {
                            self.0.remove(&id);
                        }
                    }
                }
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    }
}

/// Levels are compared while all their orders were in sight: those below the tenth come and go unseen.
#[test]
fn the_levels_in_sight_are_those_of_the_order_book_file() {
    let (Some(rows), Some(books)) = (capture(MESSAGES), capture(BOOKS)) else { return };
    let (mut decoder, mut resting) = (decoder(), Resting::default());
    let in_file = |row: usize| {
        let mut levels = Vec::new();
        read_lobster_book(books[row].as_bytes(), &mut levels).unwrap();
        levels.into_iter().map(|level| ((level.side as u8, level.price), level.qty)).collect::<BTreeMap<_, _>>()
    };
    decoder.seed(books[0].as_bytes(), Timestamp(0), &mut resting).unwrap();
    let (mut before, mut unsure, mut compared, mut left_out) = (in_file(0), Vec::new(), 0, 0);
    for (row, message) in rows.iter().enumerate().skip(1) {
        decoder.decode(message.as_bytes(), Timestamp(0), &mut resting).unwrap();
        let levels = in_file(row);
        let changed_price = Price(message.split(',').nth(4).unwrap().parse::<i64>().unwrap() * 100_000);
        let came_or_went =
            levels.keys().chain(before.keys()).filter(|level| levels.contains_key(level) != before.contains_key(level));
        unsure.extend(came_or_went.filter(|(_, price)| *price != changed_price).copied());
        for (&(side, price), &qty) in &levels {
            if unsure.contains(&(side, price)) {
                left_out += 1;
                continue;
            }
            let held =
                resting.0.values().filter(|order| (order.side as u8, order.price) == (side, price)).map(|order| order.qty.0).sum();
            assert_eq!(qty, Qty(held), "side {side}, {price} after {message}");
            compared += 1;
        }
        before = levels;
    }
    println!("{compared} levels compared, {left_out} left out");
    assert!(compared > 9_000, "{compared} of {}", compared + left_out);
}

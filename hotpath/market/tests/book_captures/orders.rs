//! Books of orders.

use crate::{Books, text, unpacked};
use chronos_market::book::{BookEvent, MarketBook, ORDERS_MAX, OrderSync, SyncOutcome};
use chronos_market::decode::{
    BitfinexDecoder, BitstampDecoder, DbnDecoder, DbnMetadata, DbnStep, DecodeSink, Decoder, LevelChange, LobsterDecoder, Message,
    RestingOrder, read_lobster_book, split_dbn_record,
};
use chronos_market::{BookState, Price, Qty, Side, Timestamp};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Order messages after which Bitstamp's best prices are known: fewer than come in the first 20,000 lines.
const COLD_MESSAGES: NonZeroU32 = NonZeroU32::new(15_000).unwrap();

/// Bitstamp's log, with the venue's own books.
struct BitstampLog {
    sync: OrderSync,
    line: usize,
    compared: usize,
    equal: usize,
    went_stale: bool,
}

impl DecodeSink for BitstampLog {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        match message {
            Message::Order(order) => {
                let outcome = self.sync.on_order(order, &mut |_| {});
                self.went_stale |= matches!(outcome, SyncOutcome::WentStale(_));
            }
            Message::PartialDepth(book) if self.line > 20_000 && self.line.is_multiple_of(10) => {
                assert_eq!(self.sync.state(), BookState::Synced, "line {}", self.line);
                for side in [Side::Buy, Side::Sell] {
                    let best = book.levels.iter().find(|level| level.side == side).unwrap();
                    self.compared += 1;
                    self.equal += usize::from(self.sync.book().best_price(side) == Some(best.price));
                }
            }
            _ => {}
        }
    }
}

fn bitstamp_log() -> Option<BitstampLog> {
    let lines = text("l3_bitstamp/bitstamp_btcusd_2015-05-01.log.xz")?;
    let sync = OrderSync::cold_start(ORDERS_MAX, COLD_MESSAGES);
    let mut log = BitstampLog { sync, line: 0, compared: 0, equal: 0, went_stale: false };
    let mut decoder = BitstampDecoder::new();
    for line in lines.lines() {
        log.line += 1;
        let (_, message) = line.split_once(' ').unwrap();
        decoder.decode(message.as_bytes(), Timestamp(0), &mut log).unwrap();
    }
    Some(log)
}

#[test]
fn bitstamps_best_prices_equal_its_own_books() {
    let Some(log) = bitstamp_log() else { return };
    println!("{:?}", log.sync.counters());
    assert_eq!((log.equal, log.compared), (642, 642));
    assert!(!log.went_stale && log.sync.counters().withheld > 0 && log.sync.counters().contradictions == 0);
}

/// The recorder's own table of the same events: id, receive ms, exchange ms, price, remaining 1e-8 BTC, action, side.
#[test]
fn bitstamps_resting_orders_equal_the_recorders_table() {
    let Some(log) = bitstamp_log() else { return };
    let Some(table) = text("l3_bitstamp/bitstamp_btcusd_2015-05-01_orders.csv.xz") else { return };
    let mut expected = BTreeMap::new();
    for row in table.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let id: u64 = fields[0].parse().unwrap();
        let side = if fields[6] == "bid" { Side::Buy } else { Side::Sell };
        let price = Price::parse(fields[3].as_bytes()).unwrap();
        let order = RestingOrder { id, side, price, qty: Qty(fields[4].parse().unwrap()) };
        match fields[5] {
            "created" => drop(expected.insert(id, order)),
            "changed" if expected.contains_key(&id) => drop(expected.insert(id, order)),
            "deleted" => drop(expected.remove(&id)),
            _ => {}
        }
    }
    let resting = [Side::Buy, Side::Sell].into_iter().flat_map(|side| log.sync.book().orders(side));
    let resting: BTreeMap<u64, RestingOrder> = resting.map(|order| (order.id, order)).collect();
    println!("{} orders at rest at the end", resting.len());
    assert!(resting.keys().eq(expected.keys()) && resting.len() > 100);
    for (id, order) in resting {
        // The recorder cut the quantities' binary fractions off instead of rounding them.
        let expected = &expected[&id];
        assert_eq!((order.side, order.price), (expected.side, expected.price), "{id}");
        assert!((order.qty.0 - expected.qty.0).abs() <= 1, "{id}: {order:?}");
    }
}

#[test]
fn bitfinex_names_no_order_that_is_not_at_rest() {
    let Some(lines) = text("l3_bitfinex/bitfinex_tBTCUSD_R0_first40000.jsonl.zst") else { return };
    let (mut books, mut decoder) = (Books::new(MarketBook::new), BitfinexDecoder::new());
    for line in lines.lines() {
        books.take(&mut decoder, Timestamp(0), line.as_bytes());
        if let Some(MarketBook::Orders(book)) = books.by_symbol.values().next() {
            assert!(book.book().len() <= 51 && !book.book().bbo().is_crossed());
        }
    }
    let counters = books.counters();
    println!("{counters:?}");
    assert_eq!((counters.unknown_orders, counters.contradictions, counters.gaps, counters.crossed), (0, 0, 0, 0));
    assert_eq!((books.outcomes.len(), books.are_synced()), (40_001, true));
}

#[test]
fn databento_names_no_order_that_is_not_at_rest() {
    let Some(bytes) = unpacked("databento/es-glbx-mdp3-20240508_000000_000002.mbo.dbn.zst") else { return };
    let length = DbnMetadata::length(bytes[..8].try_into().unwrap()).unwrap();
    let mut decoder = DbnDecoder::new(DbnMetadata::parse(&bytes[..length]).unwrap());
    let mut books = Books::new(MarketBook::new);
    let mut rest = &bytes[length..];
    while let Ok(DbnStep::Record { consumed, recv, record }) = split_dbn_record(rest) {
        books.take(&mut decoder, recv, record);
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty());
    let counters = books.counters();
    println!("{counters:?}");
    assert_eq!((counters.unknown_orders, counters.contradictions, counters.withheld), (0, 0, 0));
    let book = books.by_symbol.values().next().unwrap();
    assert_eq!((books.by_symbol.len(), book.state()), (1, BookState::Synced));
    let price = |text: &str| Price::parse(text.as_bytes()).unwrap();
    assert_eq!((book.bbo().bid.price, book.bbo().ask.price), (price("5214.00"), price("5214.25")));
}

/// LOBSTER's book after each message, its orders from before the file as one stand-in a level of the first row. A price is in sight
/// for as long as it has been among the ten best of its side in every row so far: what happens beyond is not in the messages, and a
/// level that was out of sight once is not known again.
#[test]
fn lobsters_book_file_row_by_row_from_the_first_row_alone() {
    let Some(lobster) = lobster(false) else { return };
    assert!(lobster.levels > 6_000, "{}", lobster.levels);
}

/// The same, with a new beginning wherever a row shows a level that the row before did not: so each row is checked against the one
/// before, in all levels but those that have just come into sight.
#[test]
fn lobsters_book_file_row_by_row_in_every_row() {
    let Some(lobster) = lobster(true) else { return };
    assert!(lobster.levels > 19_000 && lobster.bests == 2 * 999, "{} {}", lobster.levels, lobster.bests);
}

/// What was compared.
struct Lobster {
    levels: usize,
    /// Rows and sides of which the best level at least was in sight.
    bests: usize,
}

fn lobster(begins_anew: bool) -> Option<Lobster> {
    let messages = text("lobster/AAPL_2012-06-21_34200000_57600000_message_10_first999.csv")?;
    let rows = text("lobster/AAPL_2012-06-21_34200000_57600000_orderbook_10_first999.csv")?;
    struct Follow(OrderSync);
    impl DecodeSink for Follow {
        fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
            match message {
                Message::Order(order) => drop(self.0.on_order(order, &mut |_: BookEvent| {})),
                Message::OrderSnapshot(snapshot) => drop(self.0.on_order_snapshot(snapshot, &mut |_| {})),
                _ => {}
            }
        }
    }
    let mut follow = Follow(OrderSync::new(4_096));
    let mut decoder = LobsterDecoder::new("AAPL", 0);
    let (mut levels, mut compared) = (Vec::new(), Lobster { levels: 0, bests: 0 });
    // The worst price of each side that is in sight.
    let mut in_sight = [Price(i64::MIN), Price(i64::MAX)];
    for (number, (message, row)) in messages.lines().zip(rows.lines()).enumerate() {
        if number == 0 {
            decoder.seed(row.as_bytes(), Timestamp(0), &mut follow).unwrap();
        } else {
            decoder.decode(message.as_bytes(), Timestamp(0), &mut follow).unwrap();
        }
        read_lobster_book(row.as_bytes(), &mut levels).unwrap();
        let mut has_come_into_sight = false;
        for side in [Side::Buy, Side::Sell] {
            let shown: Vec<LevelChange> = levels.iter().filter(|level| level.side == side).copied().collect();
            let (worst, limit) = (shown.last().unwrap().price, &mut in_sight[side as usize]);
            *limit = if side == Side::Buy { worst.max(*limit) } else { worst.min(*limit) };
            let is_in_sight = |price: Price| if side == Side::Buy { price >= *limit } else { price <= *limit };
            let known: Vec<_> =
                shown.iter().filter(|level| is_in_sight(level.price)).map(|level| (level.price, level.qty)).collect();
            let ours = follow.0.book().levels(side).map(|level| (level.level.price, level.level.qty));
            let ours: Vec<_> = ours.take_while(|level| is_in_sight(level.0)).collect();
            assert_eq!(ours, known, "row {}, {side:?}", number + 1);
            compared.levels += known.len();
            compared.bests += usize::from(!known.is_empty());
            has_come_into_sight |= known.len() < shown.len();
            if begins_anew {
                *limit = worst;
            }
        }
        if begins_anew && has_come_into_sight {
            decoder.seed(row.as_bytes(), Timestamp(0), &mut follow).unwrap();
        }
    }
    println!("{} levels compared, {} bests; {:?}", compared.levels, compared.bests, follow.0.counters());
    assert_eq!(follow.0.state(), BookState::Synced);
    Some(compared)
}

//! What one change of an order book costs: on real streams (Databento's of CME, Bitstamp's) where the folder of captures holds
//! them, and on a made-up one in the manner of ITCH.
//!
//! `cargo bench -p chronos-benches --bench order_book -- [databento|bitstamp|5000|50000] [--passes N]`, and for instructions
//! `valgrind --tool=callgrind --toggle-collect='*measured*' BENCH 50000 --passes 1`, divided by the changes.
//!
//! In the made-up stream three of four orders are cancelled, most of them soon after they came; prices lie a few ticks from the best with a long tail; the
//! best queue is executed from its front. A change is told with its level, its new total, and its rank; best bid and ask are read
//! after each, as a feed handler does.

use chronos_benches::input::data_folder;
use chronos_benches::measure::{Arguments, each, input_sha256};
use chronos_benches::table::circumstances;
use chronos_market::book::{OrderBook, OrderBookError};
use chronos_market::decode::{
    BitstampDecoder, DbnDecoder, DbnMetadata, DbnStep, DecodeSink, Decoder, Message, OrderAction, RestingOrder, split_dbn_record,
};
use chronos_market::{Price, Qty, Side, Timestamp};
use std::hint::black_box;
use std::io::Read;

const TICK: i64 = 10_000_000;
const OPERATIONS: usize = 1_000_000;

fn main() {
    let arguments = Arguments::of_process();
    println!("{}", circumstances());
    for (stage, name, stream) in [("databento", "Databento, CME ES", databento()), ("bitstamp", "Bitstamp, 2015", bitstamp())] {
        match stream {
            Some(stream) if arguments.takes(stage) => measure(name, &[], &stream, arguments.passes.unwrap_or(100)),
            Some(_) => {}
            None => println!("{name}: skipped, not among the captures"),
        }
    }
    for (stage, name, resting) in [("5000", "made up, 5,000 at rest", 5_000), ("50000", "made up, 50,000 at rest", 50_000)] {
        if arguments.takes(stage) {
            let (seed, stream) = generate(resting, OPERATIONS);
            measure(name, &seed, &stream, arguments.passes.unwrap_or(15));
        }
    }
}

fn measure(name: &str, seed: &[OrderAction], stream: &[OrderAction], passes: usize) {
    let book = || {
        let mut book = OrderBook::new(1 << 18);
        replay(&mut book, seed);
        book
    };
    let mut end = book();
    replay(&mut end, stream);
    let (orders, bids, asks) = (end.len(), end.depth(Side::Buy), end.depth(Side::Sell));
    let texts: Vec<String> = seed.iter().chain(stream).map(|action| format!("{action:?}")).collect();
    println!(
        "input: SHA-256 of the changes {}; at the end {orders} orders at {bids} + {asks} levels",
        input_sha256(texts.iter().map(String::as_bytes))
    );
    each(name, stream.len(), passes, book, |book| replay(book, stream));
}

/// What happened to orders, without the messages around it.
#[derive(Default)]
struct Actions(Vec<OrderAction>);

impl DecodeSink for Actions {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        if let Message::Order(order) = message
            && order.action != OrderAction::Nothing
        {
            self.0.push(order.action);
        }
    }
}

fn data(name: &str) -> Option<Vec<u8>> {
    std::fs::read(data_folder().join(name)).ok()
}

fn databento() -> Option<Vec<OrderAction>> {
    let bytes = zstd::decode_all(data("databento/es-glbx-mdp3-20240508_000000_000002.mbo.dbn.zst")?.as_slice()).ok()?;
    let length = DbnMetadata::length(bytes.first_chunk()?).ok()?;
    let mut decoder = DbnDecoder::new(DbnMetadata::parse(&bytes[..length]).ok()?);
    let (mut actions, mut rest) = (Actions::default(), &bytes[length..]);
    while let Ok(DbnStep::Record { consumed, recv, record }) = split_dbn_record(rest) {
        decoder.decode(record, recv, &mut actions).ok()?;
        rest = &rest[consumed..];
    }
    Some(actions.0)
}

fn bitstamp() -> Option<Vec<OrderAction>> {
    let mut log = String::new();
    let compressed = data("l3_bitstamp/bitstamp_btcusd_2015-05-01.log.xz")?;
    lzma_rust2::XzReader::new(compressed.as_slice(), true).read_to_string(&mut log).ok()?;
    let (mut actions, mut decoder) = (Actions::default(), BitstampDecoder::new());
    for line in log.lines() {
        decoder.decode(line.split_once(' ')?.1.as_bytes(), Timestamp(0), &mut actions).ok()?;
    }
    Some(actions.0)
}

fn replay(book: &mut OrderBook, stream: &[OrderAction]) {
    for action in stream {
        black_box(apply(book, action).is_ok());
        black_box(book.bbo());
    }
}

#[inline]
fn apply(book: &mut OrderBook, action: &OrderAction) -> Result<usize, OrderBookError> {
    let touch = match action {
        OrderAction::Add(order) => book.add(order)?,
        OrderAction::Modify(order) => book.modify(order)?.0,
        OrderAction::Reduce { id, qty } | OrderAction::Execute { id, qty, .. } => book.reduce(*id, *qty)?,
        OrderAction::Delete { id } => book.delete(*id)?,
        OrderAction::Replace { id, new_id, price, qty } => book.replace(*id, *new_id, *price, *qty)?.0,
        OrderAction::Clear | OrderAction::Nothing => return Ok(0),
    };
    Ok(touch.better)
}

/// A book of about `resting` orders, and the stream that follows.
fn generate(resting: usize, operations: usize) -> (Vec<OrderAction>, Vec<OrderAction>) {
    let mut market = Market { book: OrderBook::new(1 << 18), live: Vec::new(), next_id: 1, random: Random(7), out: Vec::new() };
    for side in [Side::Buy, Side::Sell] {
        market.add(side, if side == Side::Buy { 100_000 } else { 100_001 });
    }
    while market.live.len() < resting {
        market.passive();
    }
    let seed = std::mem::take(&mut market.out);
    while market.out.len() < operations {
        match market.random.below(100) {
            0..=46 => market.passive(),
            47..=86 => market.cancel(),
            87..=91 => market.replace(),
            92..=93 => market.reduce(),
            _ => market.execute(),
        }
        if market.live.len() > resting + resting / 10 {
            market.cancel();
        }
        if market.live.len() < resting - resting / 10 {
            market.passive();
        }
    }
    (seed, market.out)
}

struct Market {
    book: OrderBook,
    live: Vec<u64>,
    next_id: u64,
    random: Random,
    out: Vec<OrderAction>,
}

impl Market {
    fn add(&mut self, side: Side, tick: i64) {
        // Ids are shared with all other symbols of the venue.
        self.next_id += 1 + self.random.below(40);
        let qty = Qty((1 + self.random.below(10) as i64) * 10_000_000_000);
        let order = RestingOrder { id: self.next_id, side, price: Price(tick * TICK), qty };
        self.put(OrderAction::Add(order));
        self.live.push(self.next_id);
    }

    /// A price behind the other side's best.
    fn price(&mut self, side: Side) -> i64 {
        let other = self.book.best_price(side.opposite()).map_or(100_000, |price| price.0 / TICK);
        let away = 1 + if self.random.below(20) == 0 { self.random.below(600) } else { self.random.geometric(8) };
        other - side.sign() * away as i64
    }

    fn passive(&mut self) {
        let side = if self.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let tick = self.price(side);
        self.add(side, tick);
    }

    /// The place of an order still at rest: seven of ten times one of the newest.
    fn pick(&mut self) -> Option<usize> {
        let newest = if self.random.below(10) < 7 { 300 } else { self.live.len() };
        let place = self.live.len().checked_sub(1 + self.random.below(newest as u64) as usize)?;
        if self.book.order(self.live[place]).is_some() {
            return Some(place);
        }
        self.live.remove(place);
        None
    }

    fn cancel(&mut self) {
        if let Some(place) = self.pick() {
            let id = self.live.remove(place);
            self.put(OrderAction::Delete { id });
        }
    }

    fn replace(&mut self) {
        let Some(place) = self.pick() else { return };
        let id = self.live.remove(place);
        let Some(order) = self.book.order(id) else { return };
        let tick = self.price(order.side);
        self.next_id += 1 + self.random.below(40);
        self.put(OrderAction::Replace { id, new_id: self.next_id, price: Price(tick * TICK), qty: order.qty });
        self.live.push(self.next_id);
    }

    fn reduce(&mut self) {
        let Some(place) = self.pick() else { return };
        let id = self.live[place];
        if let Some(order) = self.book.order(id).filter(|order| order.qty.0 > 1) {
            self.put(OrderAction::Reduce { id, qty: Qty(order.qty.0 / 2) });
        }
    }

    fn execute(&mut self) {
        let side = if self.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let Some(order) = self.book.orders(side).next() else { return };
        let qty = if self.random.below(2) == 0 { order.qty } else { Qty(order.qty.0 / 2 + 1) };
        self.put(OrderAction::Execute { id: order.id, qty, price: None, trade_id: 0, is_printable: true });
    }

    fn put(&mut self, action: OrderAction) {
        apply(&mut self.book, &action).expect("the stream is made from the book");
        self.out.push(action);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn geometric(&mut self, mean: u64) -> u64 {
        let mut count = 0;
        while self.below(mean + 1) != 0 {
            count += 1;
        }
        count
    }
}

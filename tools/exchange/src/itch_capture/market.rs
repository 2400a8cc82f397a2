//! The exchange's day: instruments in the order of time, and the messages that tell what happens to them.

use super::feed::MoldFeed;
use super::message::{self, DisplayedOrder, Head};
use super::{FinalBook, ItchConfig, ItchSummary};
use crate::agents::{Agents, Amendment};
use crate::matching_engine::{EngineEvent, EngineRequest, MatchingEngine, OrderType};
use chronos_market::{NANOS_PER_SECOND, Price, Side};
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Write};

const SECOND_NS: u64 = NANOS_PER_SECOND.unsigned_abs();
/// When messages begin, nanoseconds since midnight: a little before 09:30.
const MESSAGES_BEGIN_NS: u64 = (9 * 3_600 + 29 * 60 + 40) * SECOND_NS;
/// When the market opens, if what comes before is told by then.
const OPEN_NS: u64 = (9 * 3_600 + 30 * 60) * SECOND_NS;
/// Between two messages of the directory or of the opening book.
const OPENING_STEP_NS: u64 = 1_000;
const PAUSE_NS: u64 = 5 * SECOND_NS;
/// An instrument's messages in a day of six and a half hours are more than this. A session of more is a busier day, not a longer one.
const MESSAGES_PER_DAY: u64 = 10_000_000;

/// A cent, in the feed's 1e-4 dollars and as a [`Price`].
const TICK_PRICE4: i64 = 100;
const PRICE4: i64 = 100_000;

// One in so many.
const IMPROVED_TRADES: u32 = 64;
const HIDDEN_TRADES: u32 = 16;
const BROKEN_TRADES: u32 = 20_000;
const PAUSES: u32 = 200_000;
const ATTRIBUTED_ORDERS: u64 = 8;
const PARTICIPANTS: [[u8; 4]; 4] = [*b"SIMA", *b"SIMB", *b"SIMC", *b"SIMD"];

const MESSAGES_PER_PROGRESS: u64 = 1 << 14;

/// All instruments and the feed that tells about them.
pub(super) struct Market<W: Write> {
    tape: Tape<W>,
    stocks: Vec<Stock>,
    rng: Rng,
}

impl<W: Write> Market<W> {
    pub(super) fn new(config: &ItchConfig, feed: MoldFeed<W>) -> Market<W> {
        let mut rng = Rng::with_seed(config.seed);
        let stocks = (1..=config.instruments).map(|locate| Stock::new(locate, config, &mut rng)).collect();
        let tape = Tape { feed, now_ns: MESSAGES_BEGIN_NS, match_number: 0, by_type: [0; 128] };
        Market { tape, stocks, rng }
    }

    /// Runs the day until `messages` are sent, and closes it.
    pub(super) fn run(mut self, messages: u64, progress: &mut dyn FnMut(f64)) -> io::Result<ItchSummary> {
        self.open()?;
        self.trade(messages, progress)?;
        self.close()?;
        progress(1.0);
        let by_type = self.tape.by_type.iter().zip('\0'..).filter(|(count, _)| **count > 0);
        let messages_by_type: BTreeMap<char, u64> = by_type.map(|(&count, kind)| (kind, count)).collect();
        let truth = self.tape.feed.end(self.tape.now_ns)?;
        Ok(ItchSummary {
            messages: truth.messages,
            messages_by_type,
            packets_sent: truth.packets_sent,
            heartbeats: truth.heartbeats,
            packets_written: truth.packets_written,
            dropped: truth.dropped,
            duplicated: truth.duplicated,
            reordered: truth.reordered,
            books: self.stocks.iter().map(Stock::final_book).collect(),
        })
    }

    /// From the first message to the opening cross.
    fn open(&mut self) -> io::Result<()> {
        let tape = &mut self.tape;
        tape.system_event(b'O')?;
        tape.now_ns += SECOND_NS;
        tape.system_event(b'S')?;
        for stock in &self.stocks {
            tape.now_ns += OPENING_STEP_NS;
            tape.send(&message::stock_directory(tape.head(stock.locate), stock.symbol))?;
            tape.send(&message::trading_action(tape.head(stock.locate), stock.symbol, b'T', *b"    "))?;
        }
        tape.feed.turn_faults_on(tape.now_ns)?;
        tape.now_ns += SECOND_NS;
        for stock in &mut self.stocks {
            for request in stock.agents.opening() {
                tape.now_ns += OPENING_STEP_NS;
                stock.apply(&request, tape, &mut self.rng)?;
            }
        }
        tape.now_ns = tape.now_ns.max(OPEN_NS);
        tape.system_event(b'Q')?;
        self.stocks.iter_mut().try_for_each(|stock| stock.cross(b'O', tape, &mut self.rng))
    }

    /// Continuous trading.
    fn trade(&mut self, messages: u64, progress: &mut dyn FnMut(f64)) -> io::Result<()> {
        let open_ns = self.tape.now_ns;
        let pace = 1 + messages / (MESSAGES_PER_DAY * self.stocks.len() as u64);
        let mut due: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::with_capacity(self.stocks.len());
        due.extend(self.stocks.iter_mut().enumerate().map(|(place, stock)| Reverse((stock.decide(open_ns, pace), place))));
        let mut told = 0;
        while self.tape.feed.truth().messages < messages
            && let Some(mut next) = due.peek_mut()
            && let Some(stock) = self.stocks.get_mut(next.0.1)
        {
            self.tape.now_ns = self.tape.now_ns.max(next.0.0);
            stock.act(&mut self.tape, &mut self.rng)?;
            next.0.0 = stock.decide(open_ns, pace);
            let sent = self.tape.feed.truth().messages;
            if sent - told >= MESSAGES_PER_PROGRESS {
                told = sent;
                progress(sent as f64 / messages as f64);
            }
        }
        Ok(())
    }

    /// From the closing cross to the last message.
    fn close(&mut self) -> io::Result<()> {
        let tape = &mut self.tape;
        tape.now_ns += SECOND_NS / 1_000;
        tape.system_event(b'M')?;
        self.stocks.iter_mut().try_for_each(|stock| stock.cross(b'C', tape, &mut self.rng))?;
        for event in *b"EC" {
            tape.now_ns += SECOND_NS;
            tape.system_event(event)?;
        }
        Ok(())
    }
}

/// Gives messages what all have in common and sends them.
struct Tape<W: Write> {
    feed: MoldFeed<W>,
    now_ns: u64,
    match_number: u64,
    by_type: [u64; 128],
}

impl<W: Write> Tape<W> {
    fn head(&self, locate: u16) -> Head {
        // The venue's own affair; here the low bits of the sequence number.
        Head { locate, tracking: self.feed.truth().messages as u16, time_ns: self.now_ns }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(count) = message.first().and_then(|&kind| self.by_type.get_mut(usize::from(kind))) {
            *count += 1;
        }
        self.feed.send(self.now_ns, message)
    }

    fn system_event(&mut self, event: u8) -> io::Result<()> {
        self.send(&message::system_event(self.head(0), event))
    }

    fn next_match(&mut self) -> u64 {
        self.match_number += 1;
        self.match_number
    }
}

/// One instrument: its book, who trades it, and what they do next.
struct Stock {
    locate: u16,
    symbol: [u8; 8],
    engine: MatchingEngine,
    agents: Agents,
    events: Vec<EngineEvent>,
    next: Option<EngineRequest>,
    /// Time in which it did not trade.
    paused_ns: u64,
    is_paused: bool,
    /// Instruments of the day: reference numbers are unique among all of them.
    instruments: u64,
}

/// The taker in a cross: an order that is never in the book.
const CROSS_ID: u64 = u64::MAX;

impl Stock {
    fn new(locate: u16, config: &ItchConfig, rng: &mut Rng) -> Stock {
        let mut symbol = [b' '; 8];
        for (byte, letter) in symbol.iter_mut().zip(format!("SIM{locate}").bytes()) {
            *byte = letter;
        }
        let price_ticks = rng.i64(10_000..50_000);
        Stock {
            locate,
            symbol,
            engine: MatchingEngine::new(),
            agents: Agents::new(rng.u64(..), 0, price_ticks, Amendment::ReplaceAndReduce),
            events: Vec::new(),
            next: None,
            paused_ns: 0,
            is_paused: false,
            instruments: u64::from(config.instruments),
        }
    }

    /// Lets the agents decide what to do next; returns when it is done, in nanoseconds since midnight.
    fn decide(&mut self, open_ns: u64, pace: u64) -> u64 {
        let (time_ns, request) = self.agents.next(&self.engine);
        self.next = Some(request);
        open_ns + time_ns.unsigned_abs() / pace + self.paused_ns
    }

    /// Does what was decided. Now and then trading pauses after it.
    fn act<W: Write>(&mut self, tape: &mut Tape<W>, rng: &mut Rng) -> io::Result<()> {
        if self.is_paused {
            self.is_paused = false;
            self.tell_state(b'Q', *b"    ", tape)?;
            self.cross(b'H', tape, rng)?;
            self.tell_state(b'T', *b"    ", tape)?;
        }
        if let Some(request) = self.next.take() {
            self.apply(&request, tape, rng)?;
        }
        if rng.u32(..PAUSES) == 0 {
            self.is_paused = true;
            self.paused_ns += PAUSE_NS;
            self.tell_state(b'P', *b"LUDP", tape)?;
        }
        Ok(())
    }

    fn tell_state<W: Write>(&self, state: u8, reason: [u8; 4], tape: &mut Tape<W>) -> io::Result<()> {
        tape.send(&message::trading_action(tape.head(self.locate), self.symbol, state, reason))
    }

    /// Asks the engine and tells what it did; nothing where it refused.
    fn apply<W: Write>(&mut self, request: &EngineRequest, tape: &mut Tape<W>, rng: &mut Rng) -> io::Result<()> {
        self.events.clear();
        if self.engine.apply(request, &mut self.events).is_err() {
            return Ok(());
        }
        self.agents.observe(&self.events);
        let head = tape.head(self.locate);
        match *request {
            EngineRequest::Place { id, side, price_ticks, qty_lots, order_type } => {
                let traded_lots = self.tell_trades(tape, rng)?;
                let open_lots = qty_lots - traded_lots;
                if open_lots > 0 && matches!(order_type, OrderType::Limit | OrderType::PostOnly) {
                    self.tell_order(id, side, price_ticks, open_lots, tape)?;
                }
                Ok(())
            }
            EngineRequest::Cancel { id } => tape.send(&message::order_delete(head, self.reference(id))),
            EngineRequest::Reduce { id, qty_lots } => tape.send(&message::order_cancel(head, self.reference(id), shares(qty_lots))),
            EngineRequest::Replace { id, new_id, price_ticks, qty_lots } => {
                let (old, new) = (self.reference(id), self.reference(new_id));
                tape.send(&message::order_replace(head, old, new, shares(qty_lots), price4(price_ticks)))
            }
        }
    }

    fn tell_order<W: Write>(&self, id: u64, side: Side, price_ticks: i64, lots: i64, tape: &mut Tape<W>) -> io::Result<()> {
        let head = tape.head(self.locate);
        let (reference, shares, price4) = (self.reference(id), shares(lots), price4(price_ticks));
        let order = DisplayedOrder { reference, side, shares, stock: self.symbol, price4 };
        if !id.is_multiple_of(ATTRIBUTED_ORDERS) {
            return tape.send(&message::add_order(head, order));
        }
        let participant = PARTICIPANTS[(id / ATTRIBUTED_ORDERS) as usize % PARTICIPANTS.len()];
        tape.send(&message::add_order_attributed(head, order, participant))
    }

    /// Tells the trades of the last request; returns their lots in all.
    fn tell_trades<W: Write>(&self, tape: &mut Tape<W>, rng: &mut Rng) -> io::Result<i64> {
        let mut traded_lots = 0;
        for event in &self.events {
            let EngineEvent::Trade { maker, aggressor, price_ticks, qty_lots, .. } = *event else { continue };
            traded_lots += qty_lots;
            let (reference, shares, price4) = (self.reference(maker), shares(qty_lots), price4(price_ticks));
            let match_number = tape.next_match();
            let head = tape.head(self.locate);
            if rng.u32(..IMPROVED_TRADES) != 0 {
                tape.send(&message::order_executed(head, reference, shares, match_number))?;
            } else {
                // Half a cent better for the one who takes.
                let better4 = price4.saturating_add_signed(-50 * aggressor.sign() as i32);
                tape.send(&message::order_executed_with_price(head, reference, shares, match_number, true, better4))?;
            }
            if rng.u32(..HIDDEN_TRADES) == 0 {
                let hidden_match = tape.next_match();
                tape.send(&message::hidden_trade(tape.head(self.locate), self.symbol, rng.u32(1..300), price4, hidden_match))?;
            }
            if rng.u32(..BROKEN_TRADES) == 0 {
                tape.send(&message::broken_trade(tape.head(self.locate), match_number))?;
            }
        }
        Ok(traded_lots)
    }

    /// An auction: interest that was never displayed buys from the asks, all at the last price it reaches.
    fn cross<W: Write>(&mut self, cross_type: u8, tape: &mut Tape<W>, rng: &mut Rng) -> io::Result<()> {
        self.events.clear();
        let qty_lots = rng.i64(500..3_000);
        let request =
            EngineRequest::Place { id: CROSS_ID, side: Side::Buy, price_ticks: 0, qty_lots, order_type: OrderType::Market };
        // It cannot be refused: the quantity is above 0, and the id is never in the book.
        let _ = self.engine.apply(&request, &mut self.events);
        let trades = self.events.iter().filter_map(|event| match *event {
            EngineEvent::Trade { maker, price_ticks, qty_lots, .. } => Some((maker, price_ticks, qty_lots)),
            EngineEvent::LevelSet { .. } => None,
        });
        let cross_price4 = trades.clone().next_back().map_or(0, |(_, price_ticks, _)| price4(price_ticks));
        let mut crossed_shares = 0;
        for (maker, _, lots) in trades {
            let match_number = tape.next_match();
            let (head, reference, shares) = (tape.head(self.locate), self.reference(maker), shares(lots));
            tape.send(&message::order_executed_with_price(head, reference, shares, match_number, false, cross_price4))?;
            crossed_shares += u64::from(shares);
        }
        let match_number = tape.next_match();
        let head = tape.head(self.locate);
        tape.send(&message::cross_trade(head, self.symbol, crossed_shares, cross_price4, match_number, cross_type))
    }

    fn reference(&self, id: u64) -> u64 {
        id.wrapping_mul(self.instruments).wrapping_add(u64::from(self.locate) - 1)
    }

    fn final_book(&self) -> FinalBook {
        let best =
            |side| self.engine.best(side).map(|(ticks, lots)| (Price(i64::from(price4(ticks)) * PRICE4), lots.unsigned_abs()));
        let mut hash = Fnv1a::default();
        let mut orders = 0;
        for (side, letter) in [(Side::Buy, b'B'), (Side::Sell, b'S')] {
            for (id, price_ticks, lots) in self.engine.orders(side) {
                hash.write(&[letter]);
                hash.write(&self.reference(id).to_be_bytes());
                hash.write(&shares(lots).to_be_bytes());
                hash.write(&price4(price_ticks).to_be_bytes());
                orders += 1;
            }
        }
        FinalBook {
            stock_locate: self.locate,
            symbol: String::from_utf8_lossy(&self.symbol).trim_end().to_owned(),
            bid: best(Side::Buy),
            ask: best(Side::Sell),
            orders,
            l3_hash: hash.0,
        }
    }
}

/// A lot is one share. Agents ask for a few thousand at most.
fn shares(lots: i64) -> u32 {
    u32::try_from(lots).unwrap_or(u32::MAX)
}

/// Agents keep within a few thousand dollars, where the feed's 32 bits reach 200,000.
fn price4(ticks: i64) -> u32 {
    u32::try_from(ticks.saturating_mul(TICK_PRICE4)).unwrap_or(u32::MAX)
}

/// The hash of Fowler, Noll and Vo, variant 1a, 64 bits.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Fnv1a(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv1a {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }
}

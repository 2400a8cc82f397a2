//! The venue of a replay: fills our orders against its own copy of the replayed book, after a configured latency.

use chronos_market::book::L2Book;
use chronos_market::{
    Contract, EventFlags, EventKind, ExecutionReport, INSTRUMENTS_MAX, Instrument, InstrumentId, Level, MarketEvent, NewOrder,
    OrderCommand, OrderId, Price, Qty, ReportBuffer, ReportKind, Side, SubmitError, TimeInForce, Timestamp, Venue,
};
use std::collections::VecDeque;
use std::fmt;

/// Latencies, fees and capacity of a [`SimulatedVenue`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimulatedVenueConfig {
    /// From our submitting a command to its arrival, nanoseconds, at least 1.
    pub order_latency_ns: i64,
    /// From an event at the venue to our receiving its report, nanoseconds, at least 1.
    pub report_latency_ns: i64,
    /// Fee on the notional of fills that made liquidity, in units of 1e-9; negative is a rebate.
    pub maker_fee_ppb: i64,
    /// Fee on the notional of fills that took liquidity, in units of 1e-9; negative is a rebate.
    pub taker_fee_ppb: i64,
    /// Orders at rest and on their way together, at least 1. As many cancels may be on their way beside them.
    pub orders_max: usize,
}

impl Default for SimulatedVenueConfig {
    /// 1 ms each way, the fees of a regular Binance USD-M account (0.02 % maker, 0.05 % taker), 1,024 orders.
    fn default() -> Self {
        SimulatedVenueConfig {
            order_latency_ns: 1_000_000,
            report_latency_ns: 1_000_000,
            maker_fee_ppb: 200_000,
            taker_fee_ppb: 500_000,
            orders_max: 1_024,
        }
    }
}

/// Why a [`SimulatedVenue`] cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VenueConfigError {
    /// A latency below 1 ns: an order would see the event it was decided on.
    Latency,
    /// `orders_max` is 0 or above 65,536.
    OrdersMax,
    /// More instruments than [`INSTRUMENTS_MAX`].
    Instruments,
}

impl fmt::Display for VenueConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VenueConfigError::Latency => "venue latency: order and report latency must each be at least 1 ns",
            VenueConfigError::OrdersMax => "venue orders_max: must be between 1 and 65536",
            VenueConfigError::Instruments => "venue instruments: more than 64 in one session; split the session",
        })
    }
}

impl std::error::Error for VenueConfigError {}

/// A venue that fills our orders against the replayed market.
///
/// All memory is taken when it is made. Same events and commands, same reports, however often it is polled.
///
/// # Time
/// A command submitted at `now` arrives at `a = now + order_latency_ns` and sees the book after the last event with
/// `recv_ns < a`. What happens at the venue at `v` is reported to us at `v + report_latency_ns`. Receive times stand for venue
/// times: the way of the market data to us is not taken off.
///
/// # What is displayed
/// The book as the depth updates built it. Where a quote ([`EventKind::Bbo`]) has a higher update id than the last
/// [`EventKind::LevelSet`], the quote is newer: levels better than it are gone, and its own level has the quoted quantity, until
/// a depth update with the quote's id or a higher one arrives. So nothing fills on liquidity that has already left.
///
/// # Taking
/// An arriving order takes the displayed levels from the best up to its limit, one fill a level. What we took of a level stays
/// deducted until the level disappears; where less is displayed than we took, nothing is left for us. The market does not
/// react to us, but no liquidity is taken twice. A post-only order is rejected wherever it meets a displayed level, even one that
/// we have taken ourselves. While the book is out of sync new orders are rejected, and those at rest neither trade nor move.
///
/// # Resting
/// On arrival everything displayed at the price is ahead of us. A trade at our price first eats what is ahead, then fills us; a
/// trade through our price fills us up to its quantity. One trade's quantity is given out once, by price and then by arrival.
/// Where less is displayed than is ahead of us, only that much is ahead. Where the opposite side is displayed strictly through
/// our price, we are filled at our price by no more than is displayed there.
///
/// # Optimistic or left out
/// A level that shrinks by cancels is taken to shrink ahead of us only once it is smaller than what is ahead, which is cautious;
/// a trade whose effect the book already showed shortens the queue a second time, which is not. Our orders never meet each
/// other. `reduce_only` is left to the risk checks.
#[derive(Debug)]
pub struct SimulatedVenue {
    config: SimulatedVenueConfig,
    markets: Vec<Market>,
    /// Commands on their way, in order of arrival.
    arrivals: VecDeque<Arrival>,
    outbox: Outbox,
    /// Venue time of the latest thing that happened; never goes back.
    clock: Timestamp,
}

impl SimulatedVenue {
    /// A venue for these instruments; an [`InstrumentId`] is the place in the slice. Books start empty and out of sync.
    ///
    /// # Errors
    /// [`VenueConfigError`] where a latency, the capacity or the number of instruments is out of range.
    pub fn new(config: SimulatedVenueConfig, instruments: &[Instrument]) -> Result<SimulatedVenue, VenueConfigError> {
        if config.order_latency_ns < 1 || config.report_latency_ns < 1 {
            return Err(VenueConfigError::Latency);
        }
        if config.orders_max == 0 || config.orders_max > ORDERS_MAX_LIMIT {
            return Err(VenueConfigError::OrdersMax);
        }
        if instruments.len() > INSTRUMENTS_MAX {
            return Err(VenueConfigError::Instruments);
        }
        let capacity = config.orders_max * 4 + FILLS_SPARE;
        Ok(SimulatedVenue {
            config,
            markets: instruments.iter().map(|instrument| Market::new(instrument.contract, config.orders_max)).collect(),
            arrivals: VecDeque::with_capacity(config.orders_max * 2),
            outbox: Outbox {
                reports: VecDeque::with_capacity(capacity),
                capacity,
                owed: 0,
                fills_withheld: 0,
                report_latency_ns: config.report_latency_ns,
                maker_fee_ppb: config.maker_fee_ppb,
                taker_fee_ppb: config.taker_fee_ppb,
            },
            clock: Timestamp::MIN,
        })
    }

    /// Fills that did not happen because reports were not fetched and no room was left for another; 0 in a sound session.
    pub fn fills_withheld(&self) -> u64 {
        self.outbox.fills_withheld
    }

    fn execute_arrivals(&mut self, until: Timestamp) {
        while let Some(arrival) = self.arrivals.front().copied().filter(|arrival| arrival.at <= until) {
            self.arrivals.pop_front();
            self.clock = self.clock.max(arrival.at);
            match arrival.command {
                OrderCommand::New(order) => self.place(&order),
                OrderCommand::Cancel { id, instrument } => self.cancel(id, instrument),
            }
        }
    }

    fn place(&mut self, order: &NewOrder) {
        let at = self.clock;
        // `submit` let only known instruments pass.
        let Some(market) = self.markets.get_mut(order.instrument.index()) else { return };
        let mut working = Working {
            id: order.id,
            instrument: order.instrument,
            side: order.side,
            price: order.price,
            leaves: order.qty.0,
            ahead: 0,
        };
        let is_refused = !market.display.is_synced
            || order.qty.0 <= 0
            || order.price.0 <= 0
            || market.resting.iter().flatten().any(|resting| resting.id == order.id)
            || order.time_in_force == TimeInForce::PostOnly && market.display.is_marketable(order.side, order.price);
        if is_refused {
            self.outbox.end(&working, ReportKind::Rejected, at);
            self.outbox.owed -= 1;
            return;
        }
        self.outbox.accept(&working, at);
        let contract = market.contract;
        market.display.cross(&mut working, Reach::UpToLimit, |order, price, qty| {
            self.outbox.fill(order, Fill { price, qty, is_maker: false, contract, at })
        });
        if working.leaves == 0 {
            return;
        }
        if order.time_in_force == TimeInForce::ImmediateOrCancel {
            self.outbox.end(&working, ReportKind::Cancelled, at);
            return;
        }
        working.ahead = market.display.displayed(order.side, order.price).0;
        let queue = &mut market.resting[order.side as usize];
        let place = queue.partition_point(|resting| !is_better(order.side, order.price, resting.price));
        queue.insert(place, working);
    }

    fn cancel(&mut self, id: OrderId, instrument: InstrumentId) {
        let at = self.clock;
        self.outbox.owed -= 1;
        let Some(market) = self.markets.get_mut(instrument.index()) else { return };
        for queue in &mut market.resting {
            if let Some(place) = queue.iter().position(|resting| resting.id == id) {
                let order = queue.remove(place);
                self.outbox.end(&order, ReportKind::Cancelled, at);
                return;
            }
        }
        // The order is gone: its side is no longer known, and nothing of it is open.
        let gone = Working { id, instrument, side: Side::Buy, price: Price::ZERO, leaves: 0, ahead: 0 };
        self.outbox.push(&gone, ReportKind::Rejected, at);
    }

    /// Orders at rest and new orders on their way.
    fn orders_open(&self) -> usize {
        let resting: usize = self.markets.iter().map(|market| market.resting.iter().map(Vec::len).sum::<usize>()).sum();
        resting + self.arrivals.iter().filter(|arrival| matches!(arrival.command, OrderCommand::New(_))).count()
    }
}

impl Venue for SimulatedVenue {
    /// Sends a command at `now`.
    ///
    /// # Errors
    /// [`SubmitError::Full`] at `orders_max` open orders (or as many cancels on their way), or where reports were not fetched;
    /// [`SubmitError::UnknownInstrument`].
    fn submit(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        let (instrument, in_use, reports_owed) = match command {
            OrderCommand::New(order) => (order.instrument, self.orders_open(), 2),
            OrderCommand::Cancel { instrument, .. } => {
                let cancels = self.arrivals.iter().filter(|arrival| matches!(arrival.command, OrderCommand::Cancel { .. })).count();
                (*instrument, cancels, 1)
            }
        };
        if instrument.index() >= self.markets.len() {
            return Err(SubmitError::UnknownInstrument);
        }
        if in_use >= self.config.orders_max || self.outbox.room() < reports_owed {
            return Err(SubmitError::Full);
        }
        self.outbox.owed += reports_owed;
        let last = self.arrivals.back().map_or(self.clock, |arrival| arrival.at);
        let at = now.plus_nanos(self.config.order_latency_ns).max(last);
        self.arrivals.push_back(Arrival { at, command: *command });
        Ok(())
    }

    fn on_market(&mut self, event: &MarketEvent) {
        // Holds the rule of time even where the caller did not poll first.
        self.execute_arrivals(Timestamp(event.recv_ns));
        self.clock = self.clock.max(Timestamp(event.recv_ns));
        let at = self.clock;
        let Some(market) = self.markets.get_mut(event.instrument.index()) else { return };
        match event.kind {
            EventKind::Trade if market.display.is_synced => market.trade(event, at, &mut self.outbox),
            EventKind::LevelSet | EventKind::Bbo | EventKind::BookCleared | EventKind::BookSynced | EventKind::BookStale => {
                market.display.apply(event);
            }
            _ => return,
        }
        if event.flags.contains(EventFlags::BATCH_END) && market.display.is_synced {
            market.settle(at, &mut self.outbox);
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let arrival = self.arrivals.front().map(|arrival| arrival.at);
        let report = self.outbox.reports.front().map(|report| report.recv);
        arrival.into_iter().chain(report).min()
    }

    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer) {
        self.execute_arrivals(until);
        while let Some(report) = self.outbox.reports.front().filter(|report| report.recv <= until) {
            if out.push(*report).is_err() {
                return;
            }
            self.outbox.reports.pop_front();
        }
    }
}

/// Largest `orders_max`: what a fixed capacity is still sensible for.
const ORDERS_MAX_LIMIT: usize = 65_536;
/// Room for reports of fills beyond what every order is owed.
const FILLS_SPARE: usize = 4_096;
/// Levels a side that we may have taken from at once.
const CONSUMED_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Timestamp,
    command: OrderCommand,
}

/// An order at the venue.
#[derive(Clone, Copy, Debug)]
struct Working {
    id: OrderId,
    instrument: InstrumentId,
    side: Side,
    price: Price,
    /// Quantity open.
    leaves: i64,
    /// Quantity of others at our price that trades before us.
    ahead: i64,
}

#[derive(Clone, Copy)]
struct Fill {
    price: Price,
    qty: i64,
    is_maker: bool,
    contract: Contract,
    at: Timestamp,
}

/// Reports on their way to us. Venue times do not go back and the latency is one constant, so a queue is in order of `recv`.
#[derive(Debug)]
struct Outbox {
    reports: VecDeque<ExecutionReport>,
    capacity: usize,
    /// Reports that open orders and commands on their way will surely need: two for a new order (accepted, ended), one for an
    /// order at rest (ended), one for a cancel. A partial fill may only use what is left beside them.
    owed: usize,
    fills_withheld: u64,
    report_latency_ns: i64,
    maker_fee_ppb: i64,
    taker_fee_ppb: i64,
}

impl Outbox {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.reports.len() + self.owed)
    }

    fn push(&mut self, order: &Working, kind: ReportKind, at: Timestamp) {
        self.push_fill(order, kind, at, Price::ZERO, 0, false, 0);
    }

    fn accept(&mut self, order: &Working, at: Timestamp) {
        self.owed -= 1;
        self.push(order, ReportKind::Accepted, at);
    }

    fn end(&mut self, order: &Working, kind: ReportKind, at: Timestamp) {
        self.owed -= 1;
        self.push(order, kind, at);
    }

    /// Fills `order`; does nothing and returns false where a partial fill finds no room for its report.
    fn fill(&mut self, order: &mut Working, fill: Fill) -> bool {
        if fill.qty >= order.leaves {
            self.owed -= 1;
        } else if self.room() == 0 {
            self.fills_withheld += 1;
            return false;
        }
        order.leaves -= fill.qty;
        let rate = if fill.is_maker { self.maker_fee_ppb } else { self.taker_fee_ppb };
        let fee = fee_quote(fill.contract, fill.price, fill.qty, rate);
        self.push_fill(order, ReportKind::Fill, fill.at, fill.price, fill.qty, fill.is_maker, fee);
        true
    }

    #[allow(clippy::too_many_arguments)]
    fn push_fill(
        &mut self,
        order: &Working,
        kind: ReportKind,
        at: Timestamp,
        price: Price,
        qty: i64,
        is_maker: bool,
        fee_quote: i64,
    ) {
        self.reports.push_back(ExecutionReport {
            order: order.id,
            instrument: order.instrument,
            kind,
            side: order.side,
            is_maker,
            recv: at.plus_nanos(self.report_latency_ns),
            venue_time: at,
            price,
            qty: Qty(qty),
            leaves: Qty(order.leaves),
            fee_quote,
        });
    }
}

/// Fee in quote currency, units of 1e-9, rounded against us.
fn fee_quote(contract: Contract, price: Price, qty: i64, rate_ppb: i64) -> i64 {
    const BILLION: i128 = 1_000_000_000;
    let scaled = contract.notional_quote(price, Qty(qty)).saturating_mul(i128::from(rate_ppb));
    let rounded_up = scaled.div_euclid(BILLION) + i128::from(scaled.rem_euclid(BILLION) != 0);
    i64::try_from(rounded_up).unwrap_or(if rounded_up < 0 { i64::MIN } else { i64::MAX })
}

/// One instrument: what it displays, and our orders at rest.
#[derive(Debug)]
struct Market {
    contract: Contract,
    display: Display,
    /// By side; best price first, then first come.
    resting: [Vec<Working>; 2],
}

impl Market {
    fn new(contract: Contract, orders_max: usize) -> Market {
        Market {
            contract,
            display: Display {
                book: L2Book::new(),
                depth_id: 0,
                quote_id: 0,
                quote: [Level::default(); 2],
                consumed: [Vec::with_capacity(CONSUMED_MAX), Vec::with_capacity(CONSUMED_MAX)],
                is_synced: false,
            },
            resting: [Vec::with_capacity(orders_max), Vec::with_capacity(orders_max)],
        }
    }

    /// Gives a trade's quantity to what is ahead of our orders and to them. Where the venue does not say who took, a trade at or beyond
    /// one displayed best price met the orders of that side; of one between them nobody knows, and none of ours are filled.
    fn trade(&mut self, trade: &MarketEvent, at: Timestamp, outbox: &mut Outbox) {
        let Some(side) = trade.aggressor().map(Side::opposite).or_else(|| self.display.side_met(trade.price)) else { return };
        let contract = self.contract;
        let mut left = trade.qty.0.max(0);
        // What this trade took from others at its price, counted along our orders there.
        let mut eaten = 0;
        for order in &mut self.resting[side as usize] {
            if is_better(side, trade.price, order.price) {
                break;
            }
            if order.price == trade.price {
                let in_front = (order.ahead - eaten).clamp(0, left);
                left -= in_front;
                eaten += in_front;
                order.ahead = (order.ahead - eaten).max(0);
            } else {
                order.ahead = 0;
            }
            let qty = order.leaves.min(left);
            if qty > 0 && outbox.fill(order, Fill { price: order.price, qty, is_maker: true, contract, at }) {
                left -= qty;
            }
        }
        self.resting[side as usize].retain(|order| order.leaves > 0);
    }

    /// After a whole message: brings what we took and what is ahead of us in line with what is displayed, and fills the orders
    /// that the book has passed through.
    fn settle(&mut self, at: Timestamp, outbox: &mut Outbox) {
        self.display.forget_consumed();
        let contract = self.contract;
        for side in [Side::Buy, Side::Sell] {
            let queue = &mut self.resting[side as usize];
            if queue.is_empty() {
                continue;
            }
            for order in queue.iter_mut() {
                order.ahead = order.ahead.min(self.display.displayed(side, order.price).0);
            }
            for order in queue.iter_mut() {
                let limit = order.price;
                let is_reached = self.display.cross(order, Reach::Through, |order, _, qty| {
                    outbox.fill(order, Fill { price: limit, qty, is_maker: true, contract, at })
                });
                if !is_reached {
                    break;
                }
            }
            queue.retain(|order| order.leaves > 0);
        }
    }
}

/// How far [`Display::cross`] goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Levels at the order's price or better.
    UpToLimit,
    /// Levels strictly better than the order's price.
    Through,
}

/// What a market displays, less what we took.
#[derive(Debug)]
struct Display {
    book: L2Book,
    /// Update id of the last depth update.
    depth_id: u64,
    /// Update id of the last quote.
    quote_id: u64,
    /// The last quote, by side.
    quote: [Level; 2],
    /// Quantity we took of levels that are still there, by side, ascending by price.
    consumed: [Vec<Level>; 2],
    is_synced: bool,
}

impl Display {
    fn apply(&mut self, event: &MarketEvent) {
        match event.kind {
            EventKind::LevelSet => {
                self.depth_id = event.id;
                if self.book.set(event.side, event.price, Qty(event.qty.0.max(0))).is_err() {
                    // A level that is missing makes the copy worthless until the next snapshot.
                    self.is_synced = false;
                }
            }
            EventKind::Bbo => {
                self.quote_id = event.id;
                self.quote[event.side as usize] = Level { price: event.price, qty: Qty(event.qty.0.max(0)) };
            }
            EventKind::BookCleared => {
                self.book.clear();
                (self.depth_id, self.quote_id) = (0, 0);
                self.is_synced = false;
            }
            EventKind::BookSynced => self.is_synced = true,
            EventKind::BookStale => self.is_synced = false,
            _ => {}
        }
    }

    /// The quote of a side, where it is newer than the book.
    fn newer_quote(&self, side: Side) -> Option<Level> {
        (self.quote_id > self.depth_id).then(|| self.quote[side as usize])
    }

    /// Quantity displayed at a price.
    fn displayed(&self, side: Side, price: Price) -> Qty {
        match self.newer_quote(side) {
            Some(quote) if quote.qty.0 == 0 || is_better(side, price, quote.price) => Qty::ZERO,
            Some(quote) if quote.price == price => quote.qty,
            _ => self.book.qty_at(side, price),
        }
    }

    /// The side whose displayed orders a trade at a price met: the one at whose best price or beyond it was.
    fn side_met(&self, price: Price) -> Option<Side> {
        let is_met = [Side::Buy, Side::Sell].map(|side| {
            let best = levels(&self.book, side, self.newer_quote(side)).next();
            best.is_some_and(|best| !is_better(side, price, best.price))
        });
        match is_met {
            [true, false] => Some(Side::Buy),
            [false, true] => Some(Side::Sell),
            _ => None,
        }
    }

    /// Whether an order would meet anything displayed, ours to take or not.
    fn is_marketable(&self, side: Side, price: Price) -> bool {
        let book_side = side.opposite();
        levels(&self.book, book_side, self.newer_quote(book_side)).next().is_some_and(|best| !is_better(side, best.price, price))
    }

    /// Lets `order` take what is displayed as far as `reach` says, a call of `fill` a level; stops where `fill` returns false.
    /// Returns whether anything is displayed that far, ours to take or not.
    fn cross(&mut self, order: &mut Working, reach: Reach, mut fill: impl FnMut(&mut Working, Price, i64) -> bool) -> bool {
        let book_side = order.side.opposite();
        let quote = self.newer_quote(book_side);
        let consumed = &mut self.consumed[book_side as usize];
        let mut is_reached = false;
        for level in levels(&self.book, book_side, quote) {
            let is_within =
                is_better(order.side, order.price, level.price) || reach == Reach::UpToLimit && level.price == order.price;
            if !is_within || order.leaves == 0 {
                break;
            }
            is_reached = true;
            let place = consumed.binary_search_by_key(&level.price, |taken| taken.price);
            let taken = place.ok().and_then(|place| consumed.get(place)).map_or(0, |taken| taken.qty.0);
            let qty = (level.qty.0 - taken).min(order.leaves);
            if qty <= 0 {
                continue;
            }
            // With no room to remember it, nothing may be taken.
            if place.is_err() && consumed.len() == CONSUMED_MAX || !fill(order, level.price, qty) {
                break;
            }
            match place {
                Ok(place) => consumed[place].qty.0 += qty,
                Err(place) => consumed.insert(place, Level { price: level.price, qty: Qty(qty) }),
            }
        }
        is_reached || order.leaves == 0
    }

    /// Holds what we took of a level to what is displayed of it; a level that is gone is forgotten.
    fn forget_consumed(&mut self) {
        for side in [Side::Buy, Side::Sell] {
            let mut consumed = std::mem::take(&mut self.consumed[side as usize]);
            consumed.retain_mut(|taken| {
                taken.qty = taken.qty.min(self.displayed(side, taken.price));
                taken.qty.0 > 0
            });
            self.consumed[side as usize] = consumed;
        }
    }
}

/// The displayed levels of a side, best first: a newer quote, then the levels of the book behind it.
fn levels(book: &L2Book, side: Side, quote: Option<Level>) -> impl Iterator<Item = Level> + '_ {
    let behind = move |level: &Level| quote.is_none_or(|quote| quote.qty.0 > 0 && is_better(side, quote.price, level.price));
    quote.filter(|quote| quote.qty.0 > 0).into_iter().chain(book.levels(side).filter(behind))
}

/// Whether `a` comes before `b` on a side of the book.
fn is_better(side: Side, a: Price, b: Price) -> bool {
    match side {
        Side::Buy => a > b,
        Side::Sell => a < b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::Exchange;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const BTC: InstrumentId = InstrumentId(0);
    /// Latencies of the cases below: an order sent at 0 arrives at 10, its report is here at 13.
    const CONFIG: SimulatedVenueConfig =
        SimulatedVenueConfig { order_latency_ns: 10, report_latency_ns: 3, maker_fee_ppb: 0, taker_fee_ppb: 0, orders_max: 8 };

    fn instrument(contract: Contract) -> Instrument {
        Instrument { exchange: Exchange::BinanceUsdm, symbol: "BTCUSDT".into(), tick: Price(1), lot: Qty(1), contract }
    }

    fn event(recv_ns: i64, kind: EventKind, side: Side, price: i64, qty: i64, id: u64) -> MarketEvent {
        MarketEvent {
            seq: 0,
            recv_ns,
            exchange_ns: 0,
            price: Price(price),
            qty: Qty(qty),
            id,
            instrument: BTC,
            kind,
            side,
            flags: EventFlags::BATCH_END,
        }
    }

    /// A venue in sync at time 0 with bids 100 x 5, 99 x 5 and asks 102 x 5, 103 x 7, 104 x 9, all of update 1.
    fn venue() -> SimulatedVenue {
        let mut venue = SimulatedVenue::new(CONFIG, &[instrument(Contract::spot())]).unwrap();
        for (side, price, qty) in
            [(Side::Buy, 100, 5), (Side::Buy, 99, 5), (Side::Sell, 102, 5), (Side::Sell, 103, 7), (Side::Sell, 104, 9)]
        {
            level(&mut venue, 0, side, price, qty, 1);
        }
        venue.on_market(&event(0, EventKind::BookSynced, Side::Buy, 0, 0, 1));
        venue
    }

    fn level(venue: &mut SimulatedVenue, recv_ns: i64, side: Side, price: i64, qty: i64, id: u64) {
        venue.on_market(&event(recv_ns, EventKind::LevelSet, side, price, qty, id));
    }

    fn trade(venue: &mut SimulatedVenue, recv_ns: i64, aggressor: Side, price: i64, qty: i64) {
        venue.on_market(&event(recv_ns, EventKind::Trade, aggressor, price, qty, 0));
    }

    fn quote(venue: &mut SimulatedVenue, recv_ns: i64, bid: (i64, i64), ask: (i64, i64), id: u64) {
        let first = event(recv_ns, EventKind::Bbo, Side::Buy, bid.0, bid.1, id);
        venue.on_market(&MarketEvent { flags: EventFlags::NONE, ..first });
        venue.on_market(&event(recv_ns, EventKind::Bbo, Side::Sell, ask.0, ask.1, id));
    }

    fn new(id: u64, side: Side, price: i64, qty: i64, time_in_force: TimeInForce) -> OrderCommand {
        OrderCommand::New(NewOrder {
            id: OrderId(id),
            instrument: BTC,
            side,
            price: Price(price),
            qty: Qty(qty),
            time_in_force,
            reduce_only: false,
            signal: 0.0,
        })
    }

    fn submit(venue: &mut SimulatedVenue, now: i64, command: OrderCommand) {
        venue.submit(Timestamp(now), &command).unwrap();
    }

    fn poll(venue: &mut SimulatedVenue, until: i64) -> Vec<ExecutionReport> {
        let mut out = ReportBuffer::new();
        venue.poll(Timestamp(until), &mut out);
        out.as_slice().to_vec()
    }

    /// Order, kind, price, quantity and leaves of each report.
    fn said(reports: &[ExecutionReport]) -> Vec<(u64, ReportKind, i64, i64, i64)> {
        reports.iter().map(|report| (report.order.0, report.kind, report.price.0, report.qty.0, report.leaves.0)).collect()
    }

    use ReportKind::{Accepted, Cancelled, Fill as Filled, Rejected};
    use Side::{Buy, Sell};
    use TimeInForce::{GoodTilCancelled as Gtc, ImmediateOrCancel as Ioc, PostOnly};

    #[test]
    fn an_order_sees_the_last_event_before_its_arrival_and_its_report_takes_its_time() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 102, 9, Ioc));
        level(&mut venue, 9, Sell, 102, 4, 2);
        assert_eq!(venue.next_due(), Some(Timestamp(10)));
        // Arrives at 10, before this event at 10 in the venue's order.
        level(&mut venue, 10, Sell, 102, 9, 3);
        assert_eq!(venue.next_due(), Some(Timestamp(13)));
        assert!(poll(&mut venue, 12).is_empty());
        let reports = poll(&mut venue, 13);
        assert_eq!(said(&reports), [(1, Accepted, 0, 0, 9), (1, Filled, 102, 4, 5), (1, Cancelled, 0, 0, 5)]);
        assert!(reports.iter().all(|report| report.venue_time == Timestamp(10) && report.recv == Timestamp(13)));
        assert_eq!(venue.next_due(), None);
    }

    #[test]
    fn taking_walks_the_levels_and_the_rest_is_cancelled_or_rests() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 103, 13, Ioc));
        assert_eq!(
            said(&poll(&mut venue, 20)),
            [(1, Accepted, 0, 0, 13), (1, Filled, 102, 5, 8), (1, Filled, 103, 7, 1), (1, Cancelled, 0, 0, 1)]
        );
        submit(&mut venue, 20, new(2, Sell, 100, 6, Gtc));
        assert_eq!(said(&poll(&mut venue, 40)), [(2, Accepted, 0, 0, 6), (2, Filled, 100, 5, 1)]);
        // What rests is hit by the next buyer through it.
        trade(&mut venue, 50, Buy, 101, 3);
        let reports = poll(&mut venue, 60);
        assert_eq!(said(&reports), [(2, Filled, 100, 1, 0)]);
        assert!(reports[0].is_maker);
    }

    #[test]
    fn no_liquidity_is_taken_twice() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 102, 3, Ioc));
        submit(&mut venue, 1, new(2, Buy, 102, 3, Ioc));
        assert_eq!(
            said(&poll(&mut venue, 20)),
            [
                (1, Accepted, 0, 0, 3),
                (1, Filled, 102, 3, 0),
                (2, Accepted, 0, 0, 3),
                (2, Filled, 102, 2, 1),
                (2, Cancelled, 0, 0, 1)
            ]
        );
        // 4 displayed of which we took 5: held to 4, so that a rise to 6 leaves 2.
        level(&mut venue, 20, Sell, 102, 4, 2);
        level(&mut venue, 21, Sell, 102, 6, 3);
        submit(&mut venue, 22, new(3, Buy, 102, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 40))[1..], [(3, Filled, 102, 2, 7), (3, Cancelled, 0, 0, 7)]);
        // The level goes and comes back: new liquidity.
        level(&mut venue, 40, Sell, 102, 0, 4);
        level(&mut venue, 41, Sell, 102, 6, 5);
        submit(&mut venue, 42, new(4, Buy, 102, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 60))[1..], [(4, Filled, 102, 6, 3), (4, Cancelled, 0, 0, 3)]);
    }

    #[test]
    fn a_snapshot_does_not_give_back_what_was_taken() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 102, 3, Ioc));
        venue.on_market(&event(20, EventKind::BookCleared, Buy, 0, 0, 0));
        level(&mut venue, 20, Sell, 102, 5, 9);
        venue.on_market(&event(20, EventKind::BookSynced, Buy, 0, 0, 9));
        submit(&mut venue, 21, new(2, Buy, 102, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 40))[3..], [(2, Filled, 102, 2, 7), (2, Cancelled, 0, 0, 7)]);
    }

    #[test]
    fn post_only_rests_or_is_rejected() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 102, 1, PostOnly));
        submit(&mut venue, 0, new(2, Buy, 101, 1, PostOnly));
        assert_eq!(said(&poll(&mut venue, 20)), [(1, Rejected, 0, 0, 1), (2, Accepted, 0, 0, 1)]);
    }

    #[test]
    fn a_newer_quote_overrules_the_book_until_the_depth_catches_up() {
        let mut venue = venue();
        // The ask at 102 is gone and 103 has shrunk to 2.
        quote(&mut venue, 5, (100, 5), (103, 2), 7);
        submit(&mut venue, 0, new(1, Buy, 103, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 13))[1..], [(1, Filled, 103, 2, 7), (1, Cancelled, 0, 0, 7)]);
        // An older depth update changes nothing about it; what was taken stays taken.
        level(&mut venue, 14, Sell, 102, 4, 6);
        submit(&mut venue, 14, new(2, Buy, 103, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 30))[1..], [(2, Cancelled, 0, 0, 9)]);
        // One with the quote's id retires it.
        level(&mut venue, 30, Sell, 102, 0, 7);
        submit(&mut venue, 30, new(3, Buy, 103, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 50))[1..], [(3, Filled, 103, 5, 4), (3, Cancelled, 0, 0, 4)]);
        // A quote better than every level of the book is displayed too.
        quote(&mut venue, 50, (101, 2), (103, 5), 8);
        submit(&mut venue, 50, new(4, Sell, 100, 9, Ioc));
        assert_eq!(said(&poll(&mut venue, 70))[1..], [(4, Filled, 101, 2, 7), (4, Filled, 100, 5, 2), (4, Cancelled, 0, 0, 2)]);
    }

    #[test]
    fn a_trade_at_our_price_eats_the_queue_first() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 100, 4, Gtc));
        submit(&mut venue, 0, new(2, Buy, 100, 4, Gtc));
        poll(&mut venue, 20);
        trade(&mut venue, 21, Sell, 100, 3);
        // A buyer's trade is not ours.
        trade(&mut venue, 22, Buy, 100, 50);
        assert!(poll(&mut venue, 30).is_empty());
        // 2 still ahead of both; 7 are 2 for them, 4 for the first, 1 for the second.
        trade(&mut venue, 31, Sell, 100, 7);
        assert_eq!(said(&poll(&mut venue, 40)), [(1, Filled, 100, 4, 0), (2, Filled, 100, 1, 3)]);
        trade(&mut venue, 41, Sell, 100, 2);
        assert_eq!(said(&poll(&mut venue, 50)), [(2, Filled, 100, 2, 1)]);
    }

    #[test]
    fn a_trade_that_nobody_knows_the_side_of_meets_the_side_at_whose_best_price_it_was() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 101, 4, Gtc));
        submit(&mut venue, 0, new(2, Sell, 102, 4, Gtc));
        poll(&mut venue, 20);
        let mut trade = |recv_ns, price, qty| {
            let flags = EventFlags::BATCH_END | EventFlags::NO_SIDE;
            venue.on_market(&MarketEvent { flags, ..event(recv_ns, EventKind::Trade, Buy, price, qty, 0) });
            said(&poll(&mut venue, recv_ns + 5))
        };
        assert_eq!(trade(21, 101, 9), [], "between the best prices it may have been either side");
        assert_eq!(trade(31, 100, 3), [(1, Filled, 101, 3, 1)]);
        assert_eq!(trade(41, 102, 6), [(2, Filled, 102, 1, 3)], "5 of others are ahead");
        assert_eq!(trade(51, 104, 2), [(2, Filled, 102, 2, 1)]);
    }

    #[test]
    fn others_between_two_of_ours_trade_between_them() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 100, 1, Gtc));
        poll(&mut venue, 20);
        level(&mut venue, 20, Buy, 100, 8, 2);
        submit(&mut venue, 21, new(2, Buy, 100, 1, Gtc));
        poll(&mut venue, 40);
        // 5 others, ours, 3 others, ours.
        trade(&mut venue, 41, Sell, 100, 8);
        assert_eq!(said(&poll(&mut venue, 50)), [(1, Filled, 100, 1, 0)]);
        trade(&mut venue, 51, Sell, 100, 2);
        assert_eq!(said(&poll(&mut venue, 60)), [(2, Filled, 100, 1, 0)]);
    }

    #[test]
    fn a_smaller_level_shortens_the_queue() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 100, 4, Gtc));
        poll(&mut venue, 20);
        level(&mut venue, 21, Buy, 100, 1, 2);
        level(&mut venue, 22, Buy, 100, 9, 3);
        trade(&mut venue, 23, Sell, 100, 3);
        assert_eq!(said(&poll(&mut venue, 30)), [(1, Filled, 100, 2, 2)]);
    }

    #[test]
    fn a_trade_through_our_price_fills_up_to_its_quantity_and_only_once() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 99, 4, Gtc));
        submit(&mut venue, 0, new(2, Buy, 100, 4, Gtc));
        poll(&mut venue, 20);
        trade(&mut venue, 21, Sell, 98, 6);
        assert_eq!(said(&poll(&mut venue, 30)), [(2, Filled, 100, 4, 0), (1, Filled, 99, 2, 2)]);
    }

    #[test]
    fn a_book_through_our_price_fills_us_as_maker_with_what_crosses() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 101, 9, Gtc));
        poll(&mut venue, 20);
        // Touching is not passing through.
        level(&mut venue, 21, Sell, 101, 2, 2);
        assert!(poll(&mut venue, 30).is_empty());
        // Half a message is not looked at.
        let bid_gone = event(31, EventKind::LevelSet, Buy, 100, 0, 3);
        venue.on_market(&MarketEvent { flags: EventFlags::NONE, ..bid_gone });
        level(&mut venue, 31, Sell, 100, 3, 3);
        let reports = poll(&mut venue, 40);
        assert_eq!(said(&reports), [(1, Filled, 101, 3, 6)]);
        assert!(reports[0].is_maker);
        // The same 3 do not fill again.
        level(&mut venue, 41, Sell, 105, 1, 4);
        assert!(poll(&mut venue, 50).is_empty());
        level(&mut venue, 51, Sell, 100, 5, 5);
        assert_eq!(said(&poll(&mut venue, 60)), [(1, Filled, 101, 2, 4)]);
    }

    #[test]
    fn a_cancel_takes_its_time_and_is_rejected_where_the_order_is_gone() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 101, 2, Gtc));
        submit(&mut venue, 1, OrderCommand::Cancel { id: OrderId(1), instrument: BTC });
        // Between arrival and cancel it can still trade.
        trade(&mut venue, 10, Sell, 101, 1);
        submit(&mut venue, 11, OrderCommand::Cancel { id: OrderId(1), instrument: BTC });
        assert_eq!(
            said(&poll(&mut venue, 40)),
            [(1, Accepted, 0, 0, 2), (1, Filled, 101, 1, 1), (1, Cancelled, 0, 0, 1), (1, Rejected, 0, 0, 0)]
        );
    }

    #[test]
    fn out_of_sync_it_refuses_new_orders_and_leaves_the_resting_alone() {
        let mut venue = venue();
        submit(&mut venue, 0, new(1, Buy, 101, 2, Gtc));
        poll(&mut venue, 20);
        venue.on_market(&event(20, EventKind::BookStale, Buy, 0, 0, 0));
        trade(&mut venue, 21, Sell, 90, 9);
        level(&mut venue, 22, Sell, 95, 9, 2);
        submit(&mut venue, 22, new(2, Buy, 101, 2, Gtc));
        assert_eq!(said(&poll(&mut venue, 40)), [(2, Rejected, 0, 0, 2)]);
        submit(&mut venue, 41, OrderCommand::Cancel { id: OrderId(1), instrument: BTC });
        assert_eq!(said(&poll(&mut venue, 60)), [(1, Cancelled, 0, 0, 2)]);
    }

    #[test]
    fn nonsense_orders_are_rejected_and_capacity_refuses() {
        let mut venue = venue();
        for (id, price, qty) in [(1, 100, 0), (2, 100, -5), (3, 0, 1), (4, -1, 1)] {
            submit(&mut venue, 0, new(id, Buy, price, qty, Gtc));
        }
        submit(&mut venue, 0, new(5, Buy, 90, 1, Gtc));
        submit(&mut venue, 0, new(5, Buy, 91, 1, Gtc));
        let kinds: Vec<ReportKind> = poll(&mut venue, 20).iter().map(|report| report.kind).collect();
        assert_eq!(kinds, [Rejected, Rejected, Rejected, Rejected, Accepted, Rejected]);
        for id in 6..13 {
            submit(&mut venue, 20, new(id, Buy, 90, 1, Gtc));
        }
        assert_eq!(venue.submit(Timestamp(20), &new(13, Buy, 90, 1, Gtc)), Err(SubmitError::Full));
        let elsewhere = OrderCommand::Cancel { id: OrderId(5), instrument: InstrumentId(1) };
        assert_eq!(venue.submit(Timestamp(20), &elsewhere), Err(SubmitError::UnknownInstrument));
        // A cancel still finds room, and makes room.
        submit(&mut venue, 20, OrderCommand::Cancel { id: OrderId(5), instrument: BTC });
        poll(&mut venue, 40);
        submit(&mut venue, 40, new(13, Buy, 90, 1, Gtc));
    }

    #[test]
    fn fees_are_a_share_of_the_notional_rounded_against_us() {
        let fees = SimulatedVenueConfig { maker_fee_ppb: -100_000, taker_fee_ppb: 500_000, ..CONFIG };
        // 2 BTC at 50,000 USD; 3 contracts of 100 USD at any price.
        for (contract, qty, taker, maker) in [
            (Contract::spot(), 200_000_000, 50_000_000_000, -10_000_000_000),
            (Contract::inverse(100), 300_000_000, 150_000_000, -30_000_000),
            // 1e-8 BTC at 50,000 USD: 5e-4 USD x 0.05 % = 2.5e-7 USD; x 0.01 % = 5e-8 USD.
            (Contract::spot(), 1, 250, -50),
        ] {
            let mut venue = SimulatedVenue::new(fees, &[instrument(contract)]).unwrap();
            let price = 50_000_000_000_000;
            level(&mut venue, 0, Sell, price, qty, 1);
            venue.on_market(&event(0, EventKind::BookSynced, Buy, 0, 0, 1));
            submit(&mut venue, 0, new(1, Buy, price, qty, Ioc));
            submit(&mut venue, 0, new(2, Buy, price, qty, Gtc));
            poll(&mut venue, 10);
            trade(&mut venue, 11, Sell, price, qty);
            let paid: Vec<i64> =
                poll(&mut venue, 40).iter().filter(|report| report.kind == Filled).map(|report| report.fee_quote).collect();
            assert_eq!(paid, [taker, maker]);
        }
        assert_eq!(fee_quote(Contract::spot(), Price(1), 100_000_000, 1), 1);
        assert_eq!(fee_quote(Contract::spot(), Price(1), 100_000_000, -1), 0);
        assert_eq!(fee_quote(Contract::spot(), Price(i64::MAX), i64::MAX, i64::MAX), i64::MAX);
    }

    #[test]
    fn a_configuration_out_of_range_is_refused() {
        let refused = |config| SimulatedVenue::new(config, &[]).err();
        assert_eq!(refused(SimulatedVenueConfig { order_latency_ns: 0, ..CONFIG }), Some(VenueConfigError::Latency));
        assert_eq!(refused(SimulatedVenueConfig { report_latency_ns: -1, ..CONFIG }), Some(VenueConfigError::Latency));
        assert_eq!(refused(SimulatedVenueConfig { orders_max: 0, ..CONFIG }), Some(VenueConfigError::OrdersMax));
        let many = vec![instrument(Contract::spot()); INSTRUMENTS_MAX + 1];
        assert_eq!(SimulatedVenue::new(CONFIG, &many).err(), Some(VenueConfigError::Instruments));
    }

    #[test]
    fn a_full_buffer_loses_no_report() {
        let config = SimulatedVenueConfig { orders_max: 100, ..CONFIG };
        let mut venue = SimulatedVenue::new(config, &[instrument(Contract::spot())]).unwrap();
        for id in 0..100 {
            submit(&mut venue, 0, new(id, Buy, 100, 1, Gtc));
        }
        let first = poll(&mut venue, 20);
        assert_eq!(first.len(), chronos_market::REPORTS_MAX);
        assert_eq!(venue.next_due(), Some(Timestamp(13)));
        let second = poll(&mut venue, 20);
        let ids: Vec<u64> = first.iter().chain(&second).map(|report| report.order.0).collect();
        assert_eq!(ids, (0..100).collect::<Vec<u64>>());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Level(Side, i64, i64),
        Trade(Side, i64, i64),
        Quote(i64, i64, i64, i64),
        Stale,
        Synced,
        New(Side, i64, i64, TimeInForce),
        Cancel(usize),
    }

    fn side() -> impl Strategy<Value = Side> {
        prop_oneof![Just(Buy), Just(Sell)]
    }

    /// Prices overlap, so books cross and orders meet everything. `has_quotes` leaves quotes out.
    fn step(has_quotes: bool) -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (side(), 90i64..110, 0i64..8).prop_map(|(side, price, qty)| Step::Level(side, price, qty)),
            4 => (side(), 90i64..110, 1i64..12).prop_map(|(side, price, qty)| Step::Trade(side, price, qty)),
            u32::from(has_quotes) * 4 => (90i64..110, 0i64..8, 90i64..110, 0i64..8)
                .prop_map(|(bid, bid_qty, ask, ask_qty)| Step::Quote(bid, bid_qty, ask, ask_qty)),
            1 => Just(Step::Stale),
            2 => Just(Step::Synced),
            8 => (side(), 90i64..110, 0i64..15, prop_oneof![Just(Gtc), Just(Ioc), Just(PostOnly)])
                .prop_map(|(side, price, qty, time_in_force)| Step::New(side, price, qty, time_in_force)),
            3 => (0usize..200).prop_map(Step::Cancel),
        ]
    }

    /// Runs the steps 4 ns apart and returns all reports, and id and quantity of the orders sent; polls each nanosecond, or only
    /// where the caller must.
    fn run(steps: &[Step], is_fine: bool) -> (Vec<ExecutionReport>, Vec<(u64, i64)>) {
        let mut venue = venue();
        let room = capacities(&venue);
        let (mut reports, mut sent) = (Vec::new(), Vec::new());
        let mut drain = |venue: &mut SimulatedVenue, until: i64| {
            while venue.next_due().is_some_and(|due| due <= Timestamp(until)) {
                reports.extend(poll(venue, until));
            }
        };
        let mut now = 0;
        for (place, step) in steps.iter().enumerate() {
            let id = place as u64 + 2;
            if is_fine {
                (now..now + 4).for_each(|until| drain(&mut venue, until));
            }
            now += 4;
            drain(&mut venue, now);
            match *step {
                Step::Level(side, price, qty) => level(&mut venue, now, side, price, qty, id),
                Step::Trade(side, price, qty) => trade(&mut venue, now, side, price, qty),
                Step::Quote(bid, bid_qty, ask, ask_qty) => quote(&mut venue, now, (bid, bid_qty), (ask, ask_qty), id),
                Step::Stale => venue.on_market(&event(now, EventKind::BookStale, Buy, 0, 0, id)),
                Step::Synced => venue.on_market(&event(now, EventKind::BookSynced, Buy, 0, 0, id)),
                Step::New(side, price, qty, time_in_force) => {
                    if venue.submit(Timestamp(now), &new(id, side, price, qty, time_in_force)).is_ok() {
                        sent.push((id, qty));
                    }
                }
                Step::Cancel(which) => {
                    let target = sent.get(which % sent.len().max(1)).map_or(0, |order| order.0);
                    let _ = venue.submit(Timestamp(now), &OrderCommand::Cancel { id: OrderId(target), instrument: BTC });
                }
            }
        }
        // End every order that is still there.
        for &(id, _) in &sent {
            now += 20;
            drain(&mut venue, now);
            submit(&mut venue, now, OrderCommand::Cancel { id: OrderId(id), instrument: BTC });
        }
        drain(&mut venue, now + 100);
        assert_eq!((venue.outbox.owed, venue.fills_withheld()), (0, 0));
        assert_eq!(capacities(&venue), room, "something grew after it was made");
        (reports, sent)
    }

    /// Capacities of everything that holds orders, commands, reports or what we took.
    fn capacities(venue: &SimulatedVenue) -> Vec<usize> {
        let markets = venue
            .markets
            .iter()
            .flat_map(|market| market.resting.iter().map(Vec::capacity).chain(market.display.consumed.iter().map(Vec::capacity)));
        markets.chain([venue.arrivals.capacity(), venue.outbox.reports.capacity()]).collect()
    }

    proptest! {
        #[test]
        fn every_order_ends_once_and_its_quantities_add_up(steps in prop::collection::vec(step(true), 1..200)) {
            let (reports, sent) = run(&steps, false);
            prop_assert!(reports.is_sorted_by_key(|report| report.recv));
            for (id, qty) in sent {
                let Step::New(side, limit, _, time_in_force) = steps[id as usize - 2].clone() else { unreachable!() };
                let own: Vec<_> = reports.iter().filter(|report| report.order.0 == id).collect();
                let mut open = qty;
                let mut is_ended = false;
                for (place, report) in own.iter().enumerate() {
                    if is_ended {
                        // Only a late cancel may still be answered.
                        prop_assert_eq!((report.kind, report.leaves.0), (Rejected, 0));
                        continue;
                    }
                    prop_assert_eq!(report.side, side);
                    prop_assert_eq!(report.kind == Accepted || report.kind == Rejected, place == 0);
                    if report.kind == Filled {
                        open -= report.qty.0;
                        prop_assert!(report.qty.0 > 0);
                        prop_assert!((limit - report.price.0) * side.sign() >= 0);
                        prop_assert!(!report.is_maker || report.price.0 == limit);
                        prop_assert!(time_in_force != Ioc || !report.is_maker);
                        prop_assert!(time_in_force != PostOnly || report.is_maker);
                    }
                    prop_assert_eq!(report.leaves.0, open);
                    is_ended = matches!(report.kind, Cancelled | Rejected) || open == 0;
                }
                prop_assert!(is_ended);
            }
        }

        #[test]
        fn polling_often_or_seldom_gives_the_same_reports(steps in prop::collection::vec(step(true), 1..200)) {
            prop_assert_eq!(run(&steps, true), run(&steps, false));
        }

        #[test]
        fn fills_never_exceed_what_was_displayed_or_traded(steps in prop::collection::vec(step(false), 1..200)) {
            let (reports, _) = run(&steps, false);
            let mut shown: HashMap<(Side, i64), i64> =
                [((Buy, 100), 5), ((Buy, 99), 5), ((Sell, 102), 5), ((Sell, 103), 7), ((Sell, 104), 9)].into();
            let mut taken: HashMap<(Side, i64), i64> = HashMap::new();
            let mut rest = reports.iter().filter(|report| report.kind == Filled).peekable();
            for (place, step) in steps.iter().enumerate() {
                let now = 4 * (place as i64 + 1);
                // Arrivals before the event take what is displayed between two states of a level.
                while let Some(fill) = rest.next_if(|fill| fill.venue_time.0 <= now && !fill.is_maker) {
                    let level = (fill.side.opposite(), fill.price.0);
                    *taken.entry(level).or_default() += fill.qty.0;
                    prop_assert!(taken[&level] <= shown.get(&level).copied().unwrap_or(0), "level {:?} at {}", level, now);
                }
                if let Step::Level(side, price, qty) = *step {
                    shown.insert((side, price), qty);
                    taken.remove(&(side, price));
                }
                let mut made: i64 = 0;
                while let Some(fill) = rest.next_if(|fill| fill.venue_time.0 <= now) {
                    prop_assert!(fill.is_maker);
                    made += fill.qty.0;
                }
                // A trade gives what it has, a level what it shows; all else had its turn before.
                let given = match *step {
                    Step::Trade(_, _, qty) | Step::Level(_, _, qty) => qty,
                    Step::Synced => shown.values().sum(),
                    _ => 0,
                };
                prop_assert!(made <= given, "{} at {}", made, now);
            }
        }
    }
}

//! Who trades on the simulated exchange: market makers, patient orders and takers around a price they all guess at.
//!
//! The latent price is a random walk with calm and volatile regimes and occasional jumps. Makers see it late, takers at once:
//! takers trade towards it, so that order flow predicts returns for as long as makers have not followed. Trades and jumps make
//! everyone more active for a while (a self-exciting process, Hawkes 1971), which gives bursts.

use crate::matching_engine::{EngineEvent, EngineRequest, MatchingEngine, OrderType};
use chronos_market::{NANOS_PER_SECOND, Side};
use fastrand::Rng;
use std::collections::VecDeque;

/// Seeded order flow. Same seed and same engine, same requests.
#[derive(Debug)]
pub(crate) struct Agents {
    rng: Rng,
    now_ns: i64,
    /// What the price should be, in ticks.
    latent_ticks: f64,
    is_volatile: bool,
    /// Excitement: how much more often than at rest things happen.
    heat: f64,
    next_id: u64,
    makers: Vec<Maker>,
    amendment: Amendment,
    /// Ids of patient orders; some may have traded since.
    patient: Vec<u64>,
    /// Requests decided on and not sent yet.
    queued: VecDeque<EngineRequest>,
}

/// How participants change an order that is in the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Amendment {
    /// They cancel it and place another.
    Cancel,
    /// They also replace it in one request, and reduce it.
    ReplaceAndReduce,
}

/// A market maker and the quotes it believes to have in the book: id, side and price in ticks.
#[derive(Clone, Debug)]
struct Maker {
    half_spread_ticks: f64,
    step_ticks: i64,
    quotes: Vec<(u64, Side, i64)>,
}

const MAKERS: usize = 12;
/// Levels a maker quotes on each side.
const MAKER_LEVELS: usize = 6;
/// Patient orders the book tends to hold.
const PATIENT_TARGET: usize = 1_600;
/// Part of the quotes off their targets that are replaced, where that can be asked for.
const REPLACE_PART: f64 = 0.2;
/// Part of the changed minds that only reduce an order, where that can be asked for.
const REDUCE_PART: f64 = 0.2;
/// How far from the opposite best patient orders are placed at most.
const PATIENT_REACH_TICKS: f64 = 4_000.0;

// Events a second at rest.
const REQUOTES_PER_S: f64 = 16.0;
const PATIENT_PER_S: f64 = 50.0;
const TAKES_PER_S: f64 = 6.0;

const HEAT_DECAY_S: f64 = 0.4;
const HEAT_PER_TAKE: f64 = 0.06;
const HEAT_PER_JUMP: f64 = 4.0;
const HEAT_MAX: f64 = 8.0;

const JUMPS_PER_S: f64 = 0.03;
/// Volatility in ticks per square root of a second.
const CALM_TICKS: f64 = 8.0;
const VOLATILE_TICKS: f64 = 20.0;
/// Mean length of a regime in seconds.
const CALM_S: f64 = 30.0;
const VOLATILE_S: f64 = 10.0;

impl Agents {
    pub(crate) fn new(seed: u64, start_ns: i64, price_ticks: i64, amendment: Amendment) -> Agents {
        let makers = (0..MAKERS).map(|place| Maker {
            half_spread_ticks: 0.3 + 0.25 * place as f64,
            step_ticks: 1 + place as i64 % 3,
            quotes: Vec::new(),
        });
        Agents {
            rng: Rng::with_seed(seed),
            now_ns: start_ns,
            latent_ticks: price_ticks as f64 + 0.5,
            is_volatile: false,
            heat: 0.0,
            next_id: 1,
            makers: makers.collect(),
            amendment,
            patient: Vec::new(),
            queued: VecDeque::new(),
        }
    }

    /// The requests that build the book before the session starts.
    pub(crate) fn opening(&mut self) -> Vec<EngineRequest> {
        for _ in 0..PATIENT_TARGET {
            self.place_patient(None, None);
        }
        for maker in 0..MAKERS {
            self.requote(maker, &MatchingEngine::new());
        }
        self.queued.drain(..).collect()
    }

    /// The next request and its exchange time in nanoseconds. Times never go back.
    pub(crate) fn next(&mut self, engine: &MatchingEngine) -> (i64, EngineRequest) {
        loop {
            if let Some(request) = self.queued.pop_front() {
                // A participant's requests follow each other closely.
                let pause_s = self.rng.f64() * 100e-6;
                self.advance(pause_s);
                return (self.now_ns, request);
            }
            self.think(engine);
        }
    }

    /// Lets the agents see what a request did.
    pub(crate) fn observe(&mut self, events: &[EngineEvent]) {
        if events.iter().any(|event| matches!(event, EngineEvent::Trade { .. })) {
            self.heat = (self.heat + HEAT_PER_TAKE).min(HEAT_MAX);
        }
    }

    /// Waits for the next decision of anyone and queues what it asks for.
    fn think(&mut self, engine: &MatchingEngine) {
        let bid = engine.best(Side::Buy).map(|(price, _)| price);
        let ask = engine.best(Side::Sell).map(|(price, _)| price);
        let gap_ticks = match (bid, ask) {
            (Some(bid), Some(ask)) => self.latent_ticks - (bid + ask) as f64 * 0.5,
            _ => 0.0,
        };
        let takes = TAKES_PER_S * (1.0 + (gap_ticks.abs() * 0.5).min(6.0));
        let cancels = PATIENT_PER_S * self.patient.len() as f64 / PATIENT_TARGET as f64;
        let per_s = REQUOTES_PER_S + PATIENT_PER_S + cancels + takes;
        let activity = (1.0 + self.heat) * if self.is_volatile { 1.5 } else { 1.0 };
        let wait_s = self.exponential() / (per_s * activity);
        self.advance(wait_s);
        let mut which = self.rng.f64() * per_s;
        which -= REQUOTES_PER_S;
        if which < 0.0 {
            let maker = self.rng.usize(..MAKERS);
            return self.requote(maker, engine);
        }
        which -= PATIENT_PER_S;
        if which < 0.0 {
            return self.place_patient(bid, ask);
        }
        which -= cancels;
        if which < 0.0 && !self.patient.is_empty() {
            let place = self.rng.usize(..self.patient.len());
            if self.amendment == Amendment::ReplaceAndReduce && self.rng.f64() < REDUCE_PART {
                return self.reduce(self.patient[place], engine);
            }
            let id = self.patient.swap_remove(place);
            if engine.order(id).is_some() {
                self.queued.push_back(EngineRequest::Cancel { id });
            }
            return;
        }
        self.take(gap_ticks, bid, ask);
    }

    /// Moves the clock and what changes by itself.
    fn advance(&mut self, seconds: f64) {
        self.now_ns = self.now_ns.saturating_add((seconds * NANOS_PER_SECOND as f64) as i64 + 1);
        // First-order decay: steps are short against the decay time.
        self.heat *= 1.0 / (1.0 + seconds / HEAT_DECAY_S);
        let volatility = if self.is_volatile { VOLATILE_TICKS } else { CALM_TICKS };
        self.latent_ticks += volatility * seconds.sqrt() * self.normal();
        if self.rng.f64() < JUMPS_PER_S * seconds {
            let size = 15.0 + 35.0 * self.rng.f64();
            self.latent_ticks += if self.rng.bool() { size } else { -size };
            self.heat = (self.heat + HEAT_PER_JUMP).min(HEAT_MAX);
        }
        // A price that left the positive range would be no price.
        self.latent_ticks = self.latent_ticks.max(2.0 * PATIENT_REACH_TICKS);
        let mean_s = if self.is_volatile { VOLATILE_S } else { CALM_S };
        if self.rng.f64() < seconds / mean_s {
            self.is_volatile = !self.is_volatile;
        }
    }

    /// Cancels the quotes of a maker that are off its targets and places those that are missing.
    fn requote(&mut self, which: usize, engine: &MatchingEngine) {
        let fair = self.latent_ticks + 0.7 * self.normal();
        let Some(maker) = self.makers.get_mut(which) else { return };
        let (half_spread_ticks, step_ticks) = (maker.half_spread_ticks, maker.step_ticks);
        let mut quotes = std::mem::take(&mut maker.quotes);
        // A quote through the opposite best would be refused: it joins the queue in front of it, which leans the book towards the
        // latent price.
        let bid_limit = engine.best(Side::Sell).map_or(i64::MAX, |(ask, _)| ask - 1);
        let ask_limit = engine.best(Side::Buy).map_or(i64::MIN, |(bid, _)| bid + 1);
        let bid = ((fair - half_spread_ticks).floor() as i64).min(bid_limit);
        let ask = ((fair + half_spread_ticks).ceil() as i64).max(ask_limit);
        // By level and side: whether a quote is where it should be.
        let mut is_held = [[false; 2]; MAKER_LEVELS];
        // By side: quotes to be replaced.
        let mut stale = [Vec::new(), Vec::new()];
        quotes.retain(|&(id, side, price_ticks)| {
            if engine.order(id).is_none() {
                return false;
            }
            let away_ticks = if side == Side::Buy { bid - price_ticks } else { price_ticks - ask };
            let level = usize::try_from(away_ticks / step_ticks).ok().filter(|_| away_ticks >= 0 && away_ticks % step_ticks == 0);
            if let Some(held) = level.and_then(|level| is_held.get_mut(level)) {
                held[side as usize] = true;
                return true;
            }
            if self.amendment == Amendment::ReplaceAndReduce && self.rng.f64() < REPLACE_PART {
                stale[side as usize].push(id);
            } else {
                self.queued.push_back(EngineRequest::Cancel { id });
            }
            false
        });
        for (level, is_held) in is_held.into_iter().enumerate() {
            let away_ticks = level as i64 * step_ticks;
            for (side, price_ticks) in [(Side::Buy, bid - away_ticks), (Side::Sell, ask + away_ticks)] {
                if is_held[side as usize] {
                    continue;
                }
                let qty_lots = 20 + self.rng.i64(0..400);
                let id = match stale[side as usize].pop() {
                    Some(id) => self.replace(id, price_ticks, qty_lots),
                    None => self.place(side, price_ticks, qty_lots, OrderType::PostOnly),
                };
                quotes.push((id, side, price_ticks));
            }
        }
        self.queued.extend(stale.into_iter().flatten().map(|id| EngineRequest::Cancel { id }));
        if let Some(maker) = self.makers.get_mut(which) {
            maker.quotes = quotes;
        }
    }

    /// A patient order, the nearer to the opposite best the likelier (log-uniform distance).
    fn place_patient(&mut self, bid: Option<i64>, ask: Option<i64>) {
        let away = PATIENT_REACH_TICKS.powf(self.rng.f64()) as i64;
        let (side, price_ticks) = if self.rng.bool() {
            (Side::Buy, ask.unwrap_or(self.latent_ticks.ceil() as i64 + 1) - away)
        } else {
            (Side::Sell, bid.unwrap_or(self.latent_ticks.floor() as i64 - 1) + away)
        };
        let qty_lots = self.log_uniform_lots(2.5);
        // Before the session starts there is no best to keep off.
        let order_type = if bid.is_none() || ask.is_none() { OrderType::PostOnly } else { OrderType::Limit };
        let id = self.place(side, price_ticks, qty_lots, order_type);
        self.patient.push(id);
    }

    /// An order that takes, towards the latent price more often than away from it.
    fn take(&mut self, gap_ticks: f64, bid: Option<i64>, ask: Option<i64>) {
        let lean = gap_ticks / (1.5 + gap_ticks.abs());
        let side = if self.rng.f64() < 0.5 + 0.47 * lean { Side::Buy } else { Side::Sell };
        let best = match side {
            Side::Buy => ask,
            Side::Sell => bid,
        };
        let Some(best) = best else { return };
        let qty_lots = self.log_uniform_lots(2.3) * if self.rng.f64() < 0.02 { 10 } else { 1 };
        self.place(side, best + 4 * side.sign(), qty_lots, OrderType::ImmediateOrCancel);
    }

    fn place(&mut self, side: Side, price_ticks: i64, qty_lots: i64, order_type: OrderType) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.queued.push_back(EngineRequest::Place { id, side, price_ticks, qty_lots, order_type });
        id
    }

    fn replace(&mut self, id: u64, price_ticks: i64, qty_lots: i64) -> u64 {
        let new_id = self.next_id;
        self.next_id += 1;
        self.queued.push_back(EngineRequest::Replace { id, new_id, price_ticks, qty_lots });
        new_id
    }

    /// Takes half of an order off the book, where it has two lots or more.
    fn reduce(&mut self, id: u64, engine: &MatchingEngine) {
        if let Some((_, _, open_lots)) = engine.order(id)
            && open_lots > 1
        {
            self.queued.push_back(EngineRequest::Reduce { id, qty_lots: open_lots / 2 });
        }
    }

    fn log_uniform_lots(&mut self, decades: f64) -> i64 {
        10f64.powf(decades * self.rng.f64()) as i64
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.f64()).ln()
    }

    /// Nearly normal: the sum of twelve uniform numbers has variance 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0
    }
}

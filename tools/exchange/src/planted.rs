//! A market with a signal of known strength in it, or with none at all: what a search for skill is tried on.
//!
//! The [usual agents](crate::agents) make a market that can be predicted in many ways. This one can be in one way, or in none. Its mid moves
//! at the times of a Poisson process, by a whole number of ticks, up or down by a fair coin. The best levels are deep and no taker
//! empties them, so nothing else moves it, and a move is there at once: makers take back every quote, what stands in the way is
//! swept, and the new quotes stand, in one message. Takers lean towards the next move by the strength: they buy before a rise with a
//! probability of `(1 + strength) / 2`. At strength 0 they toss a coin, and whatever has been seen of the market says nothing of what comes.

use crate::matching_engine::{EngineRequest, MatchingEngine, OrderType};
use chronos_market::{NANOS_PER_SECOND, Side};
use fastrand::Rng;
use std::collections::VecDeque;

/// Order flow with a planted signal. Same seed and same engine, same requests.
#[derive(Debug)]
pub(crate) struct PlantedFlow {
    rng: Rng,
    strength: f64,
    now_ns: i64,
    /// Best bid; the best ask is one tick above.
    bid_ticks: i64,
    /// When the price moves next, and by how many ticks.
    next_move: (i64, i64),
    next_id: u64,
    /// Orders of the makers.
    quotes: Vec<u64>,
    /// Orders away from the best prices; some may have traded since.
    patient: Vec<u64>,
    /// What is asked at once with what was asked last.
    group: VecDeque<EngineRequest>,
}

/// Moves of the mid a second.
const MOVES_PER_S: f64 = 1.0;
const TAKES_PER_S: f64 = 12.0;
const PATIENT_PER_S: f64 = 30.0;
/// Patient orders the book tends to hold.
const PATIENT_TARGET: usize = 400;
/// How far from the best prices they are placed at most.
const PATIENT_REACH_TICKS: f64 = 400.0;
/// Levels that makers quote on each side.
const LEVELS: i64 = 12;
/// What they quote on each: the same, so that a move shifts all levels alike and drowns the flow at the best ones less.
const QUOTE_LOTS: i64 = 1_000;
/// A best level below this is filled up by half a quote.
const BEST_LOTS_MIN: i64 = 250;
/// A price below this would come near to none; no session is long enough to get there from where one may start.
const BID_TICKS_MIN: i64 = 1_000;

impl PlantedFlow {
    pub(crate) fn new(seed: u64, start_ns: i64, price_ticks: i64, strength: f64) -> PlantedFlow {
        let mut flow = PlantedFlow {
            rng: Rng::with_seed(seed),
            strength,
            now_ns: start_ns,
            bid_ticks: price_ticks,
            next_move: (start_ns, 0),
            next_id: 1,
            quotes: Vec::new(),
            patient: Vec::new(),
            group: VecDeque::new(),
        };
        flow.plan_move();
        flow
    }

    /// The requests that build the book before the session starts.
    pub(crate) fn opening(&mut self) -> Vec<EngineRequest> {
        for _ in 0..PATIENT_TARGET {
            self.place_patient();
        }
        self.place_quotes();
        self.group.drain(..).collect()
    }

    /// The next request and its exchange time in nanoseconds; what happens at once with it is given by [`Self::rest`].
    pub(crate) fn next(&mut self, engine: &MatchingEngine) -> (i64, EngineRequest) {
        loop {
            if let Some(request) = self.group.pop_front() {
                return (self.now_ns, request);
            }
            self.think(engine);
        }
    }

    /// What else happens in the same message.
    pub(crate) fn rest(&mut self) -> Option<EngineRequest> {
        self.group.pop_front()
    }

    fn think(&mut self, engine: &MatchingEngine) {
        let cancels = PATIENT_PER_S * self.patient.len() as f64 / PATIENT_TARGET as f64;
        let per_s = TAKES_PER_S + PATIENT_PER_S + cancels;
        let wait_ns = self.wait_ns(per_s);
        if self.now_ns.saturating_add(wait_ns) >= self.next_move.0 {
            self.now_ns = self.next_move.0;
            return self.move_price();
        }
        self.now_ns += wait_ns;
        let mut which = self.rng.f64() * per_s;
        which -= TAKES_PER_S;
        if which < 0.0 {
            return self.take(engine);
        }
        which -= PATIENT_PER_S;
        if which < 0.0 || self.patient.is_empty() {
            return self.place_patient();
        }
        let place = self.rng.usize(..self.patient.len());
        let id = self.patient.swap_remove(place);
        if engine.order(id).is_some() {
            self.group.push_back(EngineRequest::Cancel { id });
        }
    }

    /// Decides when the price moves next, and where to.
    fn plan_move(&mut self) {
        let mut ticks = 1;
        while self.rng.bool() && ticks < 8 {
            ticks += 1;
        }
        let wait_ns = self.wait_ns(MOVES_PER_S);
        self.next_move = (self.now_ns.saturating_add(wait_ns), if self.rng.bool() { ticks } else { -ticks });
    }

    fn move_price(&mut self) {
        let ticks = self.next_move.1;
        self.bid_ticks = (self.bid_ticks + ticks).max(BID_TICKS_MIN);
        self.group.extend(self.quotes.drain(..).map(|id| EngineRequest::Cancel { id }));
        let side = if ticks > 0 { Side::Buy } else { Side::Sell };
        // Everything on the way: asks up to the new bid, or bids down to the new ask.
        let price_ticks = if ticks > 0 { self.bid_ticks } else { self.bid_ticks + 1 };
        self.place(side, price_ticks, i64::from(i32::MAX), OrderType::ImmediateOrCancel);
        self.place_quotes();
        self.plan_move();
    }

    fn place_quotes(&mut self) {
        for away in 0..LEVELS {
            for (side, price_ticks) in [(Side::Buy, self.bid_ticks - away), (Side::Sell, self.bid_ticks + 1 + away)] {
                let id = self.place(side, price_ticks, QUOTE_LOTS, OrderType::PostOnly);
                self.quotes.push(id);
            }
        }
    }

    /// An order at rest behind the best price of its side, the nearer the likelier (log-uniform distance).
    fn place_patient(&mut self) {
        let away = 1 + PATIENT_REACH_TICKS.powf(self.rng.f64()) as i64;
        let (side, price_ticks) =
            if self.rng.bool() { (Side::Buy, self.bid_ticks - away) } else { (Side::Sell, self.bid_ticks + 1 + away) };
        let qty_lots = 1 + self.rng.i64(0..30);
        let id = self.place(side, price_ticks, qty_lots, OrderType::PostOnly);
        self.patient.push(id);
    }

    /// An order that takes a part of the best level, and a maker's that fills it up where little is left.
    fn take(&mut self, engine: &MatchingEngine) {
        let is_towards = self.rng.f64() < 0.5 + 0.5 * self.strength;
        let side = if is_towards == (self.next_move.1 > 0) { Side::Buy } else { Side::Sell };
        let Some((price_ticks, best_lots)) = engine.best(side.opposite()) else { return };
        let qty_lots = (20 + self.rng.i64(0..80)).min(best_lots / 4).max(1);
        self.place(side, price_ticks, qty_lots, OrderType::ImmediateOrCancel);
        if best_lots - qty_lots < BEST_LOTS_MIN {
            let id = self.place(side.opposite(), price_ticks, QUOTE_LOTS / 2, OrderType::PostOnly);
            self.quotes.push(id);
        }
    }

    fn place(&mut self, side: Side, price_ticks: i64, qty_lots: i64, order_type: OrderType) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.group.push_back(EngineRequest::Place { id, side, price_ticks, qty_lots, order_type });
        id
    }

    /// A time between events of a Poisson process, at least a nanosecond.
    fn wait_ns(&mut self, per_s: f64) -> i64 {
        (-(1.0 - self.rng.f64()).ln() / per_s * NANOS_PER_SECOND as f64) as i64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching_engine::EngineEvent;

    /// Follows the flow: by move, the sum of the signs of the takes before it and the move's ticks.
    fn moves(strength: f64, seed: u64, count: usize) -> Vec<(f64, i64)> {
        let mut flow = PlantedFlow::new(seed, 0, 600_000, strength);
        let (mut engine, mut events) = (MatchingEngine::new(), Vec::new());
        for request in flow.opening() {
            engine.apply(&request, &mut events).unwrap();
        }
        let bid_of = |engine: &MatchingEngine| engine.best(Side::Buy).unwrap().0;
        let (mut bid, mut flow_sum, mut moves, mut last_ns) = (bid_of(&engine), 0.0, Vec::new(), 0);
        while moves.len() < count {
            let (now_ns, first) = flow.next(&engine);
            assert!(now_ns >= last_ns);
            last_ns = now_ns;
            events.clear();
            let mut request = Some(first);
            while let Some(one) = request {
                // Quotes that traded away are gone already.
                let _ = engine.apply(&one, &mut events);
                request = flow.rest();
            }
            let (best_bid, best_ask) = (bid_of(&engine), engine.best(Side::Sell).unwrap().0);
            assert_eq!(best_ask, best_bid + 1, "the spread is one tick after every message");
            if best_bid != bid {
                moves.push((flow_sum, best_bid - bid));
                (bid, flow_sum) = (best_bid, 0.0);
            } else if let Some(EngineEvent::Trade { aggressor, .. }) = events.first() {
                flow_sum += aggressor.sign() as f64;
            }
        }
        moves
    }

    #[test]
    fn flow_tells_the_next_move_as_strongly_as_was_asked() {
        let agree = |strength| {
            let moves = moves(strength, 1, 2_000);
            let (sum, takes) =
                moves.iter().fold((0.0, 0.0), |(sum, takes), (flow, ticks)| (sum + flow * ticks.signum() as f64, takes + 1.0));
            // Twelve takes in the second between two moves, each towards the next by the strength.
            sum / takes / TAKES_PER_S * MOVES_PER_S
        };
        assert!(agree(0.0).abs() < 0.03, "{}", agree(0.0));
        assert!((agree(0.3) - 0.3).abs() < 0.04, "{}", agree(0.3));
        assert!((agree(1.0) - 1.0).abs() < 0.06, "{}", agree(1.0));
    }

    #[test]
    fn moves_do_not_depend_on_moves() {
        let ticks: Vec<f64> = moves(0.0, 2, 4_000).iter().map(|(_, ticks)| *ticks as f64).collect();
        let variance: f64 = ticks.iter().map(|tick| tick * tick).sum();
        let lagged: f64 = ticks.windows(2).map(|pair| pair[0] * pair[1]).sum();
        // Three standard errors of an autocorrelation.
        assert!((lagged / variance).abs() < 3.0 / 4_000_f64.sqrt());
        assert!((ticks.iter().sum::<f64>() / variance.sqrt()).abs() < 3.0);
    }
}

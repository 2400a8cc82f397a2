//! A circuit breaker on a venue's order entry: closed, open, half-open.
//!
//! The three states are those of Nygard, *Release It!* (2007): closed, everything passes and failures are counted; open, nothing
//! passes until a time is over; half-open, a few orders pass on trial and decide.

use super::limits::RiskLimits;
use chronos_market::Timestamp;

/// State of a circuit breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BreakerState {
    /// Orders pass.
    Closed = 0,
    /// No order passes.
    Open = 1,
    /// A few orders pass on trial.
    HalfOpen = 2,
}

/// Steps of the window of answers.
const STEPS: usize = 8;

/// The breaker of one venue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    /// No order passes before this.
    blocked_until: Timestamp,
    /// Orders that may still pass on trial.
    probes_left: u32,
    /// Orders on trial that were accepted.
    accepted: u32,
    /// Answers and failures among them, by step.
    steps: [(u32, u32); STEPS],
    place: usize,
    step_end: Timestamp,
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker {
            state: BreakerState::Closed,
            blocked_until: Timestamp::MIN,
            probes_left: 0,
            accepted: 0,
            steps: [(0, 0); STEPS],
            place: 0,
            step_end: Timestamp::MIN,
        }
    }

    /// Whether an order is kept from passing now.
    #[inline]
    pub(super) fn blocks(&self, now: Timestamp) -> bool {
        now < self.blocked_until
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    pub(super) fn blocked_until(&self) -> Timestamp {
        self.blocked_until
    }

    /// An order was sent. Returns whether the state changed.
    #[inline]
    pub(super) fn on_sent(&mut self, now: Timestamp, limits: &RiskLimits) -> bool {
        self.state != BreakerState::Closed && !self.blocks(now) && self.try_one(now, limits)
    }

    #[cold]
    fn try_one(&mut self, now: Timestamp, limits: &RiskLimits) -> bool {
        let begins = self.state == BreakerState::Open;
        if begins {
            (self.state, self.accepted, self.probes_left) = (BreakerState::HalfOpen, 0, limits.breaker_probes.max(1));
        }
        self.probes_left = self.probes_left.saturating_sub(1);
        if self.probes_left == 0 {
            // Answers decide. Where none comes, it is tried again after the same time.
            self.blocked_until = now.plus_nanos(limits.breaker_open_ns.max(1));
            self.probes_left = limits.breaker_probes.max(1);
        }
        begins
    }

    /// The venue answered, or the order could not be handed to it. Returns whether the state changed.
    pub(super) fn on_answer(&mut self, now: Timestamp, is_failure: bool, limits: &RiskLimits) -> bool {
        match self.state {
            BreakerState::Closed => {
                self.count(now, is_failure, limits);
                let (answers, failures) =
                    self.steps.iter().fold((0u64, 0u64), |sum, step| (sum.0 + u64::from(step.0), sum.1 + u64::from(step.1)));
                let opens = is_failure
                    && failures >= u64::from(limits.breaker_failures_min.max(1))
                    && failures * 100 >= answers * u64::from(limits.breaker_failure_percent);
                if opens {
                    self.open(now, limits);
                }
                opens
            }
            // What is answered now was asked before.
            BreakerState::Open => false,
            BreakerState::HalfOpen if is_failure => {
                self.open(now, limits);
                true
            }
            BreakerState::HalfOpen => {
                self.accepted += 1;
                let closes = self.accepted >= limits.breaker_probes.max(1);
                if closes {
                    *self = Breaker::new();
                }
                closes
            }
        }
    }

    fn open(&mut self, now: Timestamp, limits: &RiskLimits) {
        *self =
            Breaker { state: BreakerState::Open, blocked_until: now.plus_nanos(limits.breaker_open_ns.max(1)), ..Breaker::new() };
    }

    fn count(&mut self, now: Timestamp, is_failure: bool, limits: &RiskLimits) {
        if now >= self.step_end {
            let step_ns = (limits.breaker_window_ns / STEPS as i64).max(1);
            let over = match self.step_end {
                Timestamp::MIN => STEPS as i64,
                end => (now.since_ns(end) / step_ns).saturating_add(1),
            };
            for _ in 0..over.min(STEPS as i64) {
                self.place = (self.place + 1) % STEPS;
                self.steps[self.place] = (0, 0);
            }
            self.step_end = now.plus_nanos(step_ns);
        }
        let step = &mut self.steps[self.place];
        step.0 = step.0.saturating_add(1);
        step.1 = step.1.saturating_add(u32::from(is_failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> RiskLimits {
        RiskLimits {
            breaker_failures_min: 3,
            breaker_failure_percent: 50,
            breaker_window_ns: 800,
            breaker_open_ns: 1_000,
            breaker_probes: 2,
            ..RiskLimits::default()
        }
    }

    #[test]
    fn opens_at_number_and_share_and_not_below_either() {
        let limits = limits();
        let mut breaker = Breaker::new();
        for _ in 0..2 {
            assert!(!breaker.on_answer(Timestamp(0), true, &limits));
        }
        for _ in 0..4 {
            assert!(!breaker.on_answer(Timestamp(0), false, &limits));
        }
        // Three of seven are too few, four of eight are just enough.
        assert!(!breaker.on_answer(Timestamp(0), true, &limits));
        assert!(breaker.on_answer(Timestamp(5), true, &limits));
        assert!(breaker.blocks(Timestamp(1_004)) && !breaker.blocks(Timestamp(1_005)));
    }

    #[test]
    fn failures_leave_the_window() {
        let limits = limits();
        let mut breaker = Breaker::new();
        breaker.on_answer(Timestamp(0), true, &limits);
        breaker.on_answer(Timestamp(0), true, &limits);
        assert!(!breaker.on_answer(Timestamp(900), true, &limits));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    fn opened(limits: &RiskLimits) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            breaker.on_answer(Timestamp(0), true, limits);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.on_answer(Timestamp(10), false, limits), "late answers decide nothing");
        breaker
    }

    #[test]
    fn trial_orders_close_it_or_open_it_again() {
        let limits = limits();
        let mut breaker = opened(&limits);
        assert!(breaker.on_sent(Timestamp(1_000), &limits));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.blocks(Timestamp(1_000)));
        breaker.on_sent(Timestamp(1_001), &limits);
        assert!(breaker.blocks(Timestamp(1_001)), "two on trial, no third");
        assert!(!breaker.on_answer(Timestamp(1_002), false, &limits));
        assert!(breaker.on_answer(Timestamp(1_003), false, &limits));
        assert!(breaker.state() == BreakerState::Closed && !breaker.blocks(Timestamp(1_003)));

        let mut breaker = opened(&limits);
        breaker.on_sent(Timestamp(1_000), &limits);
        assert!(breaker.on_answer(Timestamp(1_001), true, &limits));
        assert!(breaker.state() == BreakerState::Open && breaker.blocks(Timestamp(2_000)) && !breaker.blocks(Timestamp(2_001)));
    }

    #[test]
    fn unanswered_trials_are_repeated_after_the_same_time() {
        let limits = limits();
        let mut breaker = opened(&limits);
        breaker.on_sent(Timestamp(1_000), &limits);
        breaker.on_sent(Timestamp(1_000), &limits);
        assert!(breaker.blocks(Timestamp(1_999)) && !breaker.blocks(Timestamp(2_000)));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }
}

//! When to connect, to connect again, and to replace a connection: decisions without sockets or clocks.
//!
//! ```text
//!            Connect           opened               rollover due            overlap over
//!  waiting ─────────▶ opening ────────▶ open ────────────────────▶ two open ────────────▶ open
//!     ▲                  │ failed, late   │ closed, silent             │ either one closed
//!     └── backoff ───────┴────────────────┘                            └──▶ the other stays
//! ```

use chronos_market::{NANOS_PER_MILLI, NANOS_PER_SECOND, Timestamp};

/// One of the two connections there may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Slot {
    /// The first.
    A = 0,
    /// The second.
    B = 1,
}

impl Slot {
    /// Both.
    pub const BOTH: [Slot; 2] = [Slot::A, Slot::B];

    /// The slot as an index.
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    pub fn other(self) -> Slot {
        if self == Slot::A { Slot::B } else { Slot::A }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Open a connection, then tell [`ConnectionKeeper::on_open`] or [`ConnectionKeeper::on_lost`].
    Connect(Slot),
    /// Drop a connection; nothing need be told.
    Close(Slot),
}

/// Times, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeeperConfig {
    /// Wait before the first new try; doubled with each further one.
    pub backoff_min_ns: i64,
    /// Longest wait.
    pub backoff_max_ns: i64,
    /// How long a connection may take to open.
    pub open_timeout_ns: i64,
    /// How long an open connection may be silent until it counts as half open: the other side is gone and nobody said so.
    pub silence_ns: i64,
    /// Age at which a connection is replaced, ahead of the venue's limit.
    pub rollover_ns: i64,
    /// How long both are kept once the replacement has said something.
    pub overlap_ns: i64,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for KeeperConfig {
    /// For Binance's streams: 24 hours of life, a ping every 20 s (spot).
    fn default() -> Self {
        KeeperConfig {
            backoff_min_ns: 250 * NANOS_PER_MILLI,
            backoff_max_ns: 30 * NANOS_PER_SECOND,
            open_timeout_ns: 10 * NANOS_PER_SECOND,
            silence_ns: 60 * NANOS_PER_SECOND,
            rollover_ns: (23 * 60 + 50) * 60 * NANOS_PER_SECOND,
            overlap_ns: 5 * NANOS_PER_SECOND,
            seed: 1,
        }
    }
}

/// Counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KeeperCounters {
    /// Tries to connect.
    pub attempts: u64,
    /// Connections that opened.
    pub opened: u64,
    /// Tries that failed or took too long.
    pub failed: u64,
    /// Open connections that were lost.
    pub lost: u64,
    /// Of those, lost by silence.
    pub half_open: u64,
    /// Connections replaced before their end.
    pub rollovers: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No connection.
    None,
    /// Being opened since.
    Opening(Timestamp),
    /// Open.
    Open { since: Timestamp, last_heard: Timestamp, first_message: Option<Timestamp> },
}

/// Keeps one connection up, two for a while when the one replaces the other. A try waits for `min(max, min * 2^n)`, of which a half is
/// random ("equal jitter"), so that many clients do not come back at the same moment.
#[derive(Clone, Debug)]
pub struct ConnectionKeeper {
    config: KeeperConfig,
    states: [State; 2],
    /// The one that counts; the other one is its replacement.
    active: Slot,
    /// Tries that failed since the last message.
    failures: u32,
    next_try: Timestamp,
    is_rollover_wanted: bool,
    random: fastrand::Rng,
    counters: KeeperCounters,
}

impl ConnectionKeeper {
    /// A keeper without a connection; the first try is due at once.
    pub fn new(config: KeeperConfig) -> ConnectionKeeper {
        ConnectionKeeper {
            config,
            states: [State::None; 2],
            active: Slot::A,
            failures: 0,
            next_try: Timestamp::MIN,
            is_rollover_wanted: false,
            random: fastrand::Rng::with_seed(config.seed),
            counters: KeeperCounters::default(),
        }
    }

    /// What is to be done at `now`: to be called until there is nothing more.
    pub fn poll(&mut self, now: Timestamp) -> Option<Action> {
        for slot in Slot::BOTH {
            match self.states[slot.index()] {
                State::Opening(since) if now.since_ns(since) > self.config.open_timeout_ns => {
                    self.on_lost(slot, now);
                    return Some(Action::Close(slot));
                }
                State::Open { last_heard, .. } if now.since_ns(last_heard) > self.config.silence_ns => {
                    self.counters.half_open += 1;
                    self.on_lost(slot, now);
                    return Some(Action::Close(slot));
                }
                _ => {}
            }
        }
        let replacement = self.active.other();
        match (self.states[self.active.index()], self.states[replacement.index()]) {
            (State::None, State::None) if now >= self.next_try => Some(self.connect(self.active, now)),
            (State::Open { since, .. }, State::None) if now >= self.next_try => {
                let is_old = now.since_ns(since) >= self.config.rollover_ns || self.is_rollover_wanted;
                is_old.then(|| self.connect(replacement, now))
            }
            (State::Open { .. }, State::Open { first_message: Some(first), .. })
                if now.since_ns(first) >= self.config.overlap_ns =>
            {
                let old = self.active;
                self.states[old.index()] = State::None;
                self.active = replacement;
                self.is_rollover_wanted = false;
                self.counters.rollovers += 1;
                Some(Action::Close(old))
            }
            _ => None,
        }
    }

    /// When [`ConnectionKeeper::poll`] may have something to say again, as far as time alone decides.
    pub fn next_due(&self) -> Timestamp {
        let mut due = Timestamp::MAX;
        for slot in Slot::BOTH {
            due = due.min(match self.states[slot.index()] {
                State::None => Timestamp::MAX,
                State::Opening(since) => since.plus_nanos(self.config.open_timeout_ns + 1),
                State::Open { last_heard, .. } => last_heard.plus_nanos(self.config.silence_ns + 1),
            });
        }
        let replacement = self.states[self.active.other().index()];
        let decision = match (self.states[self.active.index()], replacement) {
            (State::None, State::None) => self.next_try,
            (State::Open { .. }, State::None) if self.is_rollover_wanted => self.next_try,
            (State::Open { since, .. }, State::None) => self.next_try.max(since.plus_nanos(self.config.rollover_ns)),
            (State::Open { .. }, State::Open { first_message: Some(first), .. }) => first.plus_nanos(self.config.overlap_ns),
            _ => Timestamp::MAX,
        };
        due.min(decision)
    }

    /// A connection is open: handshakes done, subscriptions sent.
    pub fn on_open(&mut self, slot: Slot, now: Timestamp) {
        if let State::Opening(_) = self.states[slot.index()] {
            self.counters.opened += 1;
            self.states[slot.index()] = State::Open { since: now, last_heard: now, first_message: None };
        }
    }

    /// Something came on a connection: a message, or a ping.
    #[inline]
    pub fn on_heard(&mut self, slot: Slot, now: Timestamp, is_message: bool) {
        if let State::Open { last_heard, first_message, .. } = &mut self.states[slot.index()] {
            *last_heard = now;
            if is_message {
                first_message.get_or_insert(now);
                // Only what is heard shows that the other side is well: some take every connection and end it at once.
                self.failures = 0;
            }
        }
    }

    /// A connection failed, or was closed by the other side.
    pub fn on_lost(&mut self, slot: Slot, now: Timestamp) {
        match std::mem::replace(&mut self.states[slot.index()], State::None) {
            State::None => return,
            State::Opening(_) => self.counters.failed += 1,
            State::Open { .. } => self.counters.lost += 1,
        }
        self.next_try = now.plus_nanos(self.backoff_ns());
        self.failures = self.failures.saturating_add(1);
        let other = slot.other();
        if slot == self.active && self.states[other.index()] != State::None {
            // Its replacement is there already, or on its way.
            self.active = other;
            self.is_rollover_wanted = false;
        }
    }

    /// The venue said that it will end the connection soon (`serverShutdown`).
    pub fn request_rollover(&mut self) {
        self.is_rollover_wanted = true;
    }

    /// Whether both connections are open, so that messages may come twice.
    #[inline]
    pub fn is_overlapping(&self) -> bool {
        matches!(self.states, [State::Open { .. }, State::Open { .. }])
    }

    /// Whether a connection is open.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.states[self.active.index()], State::Open { .. })
    }

    /// The counts so far.
    pub fn counters(&self) -> KeeperCounters {
        self.counters
    }

    fn connect(&mut self, slot: Slot, now: Timestamp) -> Action {
        self.counters.attempts += 1;
        self.states[slot.index()] = State::Opening(now);
        Action::Connect(slot)
    }

    fn backoff_ns(&mut self) -> i64 {
        let doubled = self.config.backoff_min_ns.saturating_mul(1_i64 << self.failures.min(40));
        let longest = doubled.min(self.config.backoff_max_ns).max(0);
        longest / 2 + self.random.i64(0..=longest - longest / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = NANOS_PER_SECOND;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    /// A keeper whose first connection opened at 0 and said something.
    fn open() -> ConnectionKeeper {
        let mut keeper = ConnectionKeeper::new(KeeperConfig::default());
        assert_eq!(keeper.poll(at(0)), Some(Action::Connect(Slot::A)));
        assert_eq!(keeper.poll(at(0)), None);
        keeper.on_open(Slot::A, at(0));
        keeper.on_heard(Slot::A, at(0), true);
        assert!(keeper.is_open() && keeper.poll(at(0)).is_none());
        keeper
    }

    /// Hears from a slot every 20 s until `until`; nothing may be asked for meanwhile.
    fn hear(keeper: &mut ConnectionKeeper, slot: Slot, from: i64, until: i64) {
        for second in (from..=until).step_by(20) {
            keeper.on_heard(slot, at(second), false);
            assert_eq!(keeper.poll(at(second)), None, "at {second}");
        }
    }

    #[test]
    fn tries_wait_twice_as_long_each_time_up_to_a_limit() {
        let mut keeper = ConnectionKeeper::new(KeeperConfig::default());
        let (mut now, mut waits) = (at(0), Vec::new());
        for _ in 0..12 {
            assert_eq!(keeper.poll(now), Some(Action::Connect(Slot::A)));
            keeper.on_lost(Slot::A, now);
            let due = keeper.next_due();
            assert_eq!(keeper.poll(due.plus_nanos(-1)), None);
            waits.push(due.since_ns(now));
            now = due;
        }
        for (place, wait) in waits.iter().enumerate() {
            let longest = ((250 * NANOS_PER_MILLI) << place).min(30 * SECOND);
            assert!((longest / 2..=longest).contains(wait), "wait {place} is {wait}");
        }
        assert_eq!(keeper.counters().failed, 12);
        // Heard from again: short waits again.
        assert_eq!(keeper.poll(now), Some(Action::Connect(Slot::A)));
        keeper.on_open(Slot::A, now);
        keeper.on_heard(Slot::A, now, true);
        keeper.on_lost(Slot::A, now);
        assert!(keeper.next_due().since_ns(now) <= 250 * NANOS_PER_MILLI);
    }

    #[test]
    fn one_that_opens_and_ends_at_once_is_not_hammered() {
        let mut keeper = ConnectionKeeper::new(KeeperConfig::default());
        let mut now = at(0);
        for _ in 0..12 {
            assert_eq!(keeper.poll(now), Some(Action::Connect(Slot::A)));
            keeper.on_open(Slot::A, now);
            keeper.on_lost(Slot::A, now);
            now = keeper.next_due();
        }
        assert!(now.since_ns(at(0)) > 60 * SECOND);
    }

    #[test]
    fn jitter_comes_from_the_seed() {
        let waits = |seed| {
            let mut keeper = ConnectionKeeper::new(KeeperConfig { seed, ..KeeperConfig::default() });
            let tried = |now: &Timestamp| {
                keeper.poll(*now);
                keeper.on_lost(Slot::A, *now);
                Some(keeper.next_due())
            };
            std::iter::successors(Some(at(0)), tried).take(6).collect::<Vec<_>>()
        };
        assert_eq!(waits(5), waits(5));
        assert_ne!(waits(5), waits(6));
    }

    #[test]
    fn a_connection_that_takes_too_long_to_open_is_given_up() {
        let mut keeper = ConnectionKeeper::new(KeeperConfig::default());
        keeper.poll(at(0));
        assert_eq!(keeper.poll(at(10)), None);
        assert_eq!(keeper.poll(at(11)), Some(Action::Close(Slot::A)));
        assert_eq!((keeper.counters().failed, keeper.counters().lost), (1, 0));
    }

    #[test]
    fn silence_is_a_lost_connection() {
        let mut keeper = open();
        keeper.on_heard(Slot::A, at(50), false);
        assert_eq!(keeper.poll(at(110)), None);
        assert_eq!(keeper.next_due(), at(110).plus_nanos(1));
        assert_eq!(keeper.poll(at(111)), Some(Action::Close(Slot::A)));
        assert_eq!((keeper.counters().half_open, keeper.counters().lost, keeper.is_open()), (1, 1, false));
        assert_eq!(keeper.poll(at(113)), Some(Action::Connect(Slot::A)));
    }

    #[test]
    fn a_connection_is_replaced_before_its_day_is_over() {
        let mut keeper = open();
        let due = 23 * 3_600 + 50 * 60;
        hear(&mut keeper, Slot::A, 0, due - 20);
        assert_eq!(keeper.poll(at(due)), Some(Action::Connect(Slot::B)));
        keeper.on_open(Slot::B, at(due + 1));
        assert!(keeper.is_overlapping());
        // Both stay until the replacement has spoken for a while.
        keeper.on_heard(Slot::A, at(due + 30), false);
        assert_eq!(keeper.poll(at(due + 30)), None);
        keeper.on_heard(Slot::B, at(due + 31), true);
        assert_eq!(keeper.poll(at(due + 35)), None);
        assert_eq!(keeper.next_due(), at(due + 36));
        assert_eq!(keeper.poll(at(due + 36)), Some(Action::Close(Slot::A)));
        assert!(keeper.is_open() && !keeper.is_overlapping());
        assert_eq!((keeper.counters().rollovers, keeper.counters().lost), (1, 0));
        hear(&mut keeper, Slot::B, due + 40, due + 40_000);
    }

    #[test]
    fn the_old_one_stays_where_its_replacement_fails() {
        let mut keeper = open();
        keeper.request_rollover();
        assert_eq!(keeper.poll(at(1)), Some(Action::Connect(Slot::B)));
        keeper.on_lost(Slot::B, at(2));
        assert!(keeper.is_open());
        assert_eq!(keeper.poll(at(2)), None);
        assert_eq!(keeper.poll(at(3)), Some(Action::Connect(Slot::B)));
    }

    #[test]
    fn the_replacement_takes_over_where_the_old_one_ends_early() {
        let mut keeper = open();
        keeper.request_rollover();
        assert_eq!(keeper.poll(at(1)), Some(Action::Connect(Slot::B)));
        keeper.on_open(Slot::B, at(2));
        keeper.on_lost(Slot::A, at(3));
        assert!(keeper.is_open());
        keeper.on_heard(Slot::B, at(4), true);
        assert_eq!(keeper.poll(at(20)), None);
        // And is itself replaced in turn.
        keeper.request_rollover();
        keeper.on_heard(Slot::B, at(21), true);
        assert_eq!(keeper.poll(at(21)), Some(Action::Connect(Slot::A)));
    }

    /// Does what the keeper asks for; no slot is opened or closed twice.
    fn follow(keeper: &mut ConnectionKeeper, now: Timestamp, is_up: &mut [bool; 2]) {
        for _ in 0..10 {
            match keeper.poll(now) {
                None => return,
                Some(Action::Connect(slot)) => assert!(!std::mem::replace(&mut is_up[slot.index()], true), "connected twice"),
                Some(Action::Close(slot)) => assert!(std::mem::replace(&mut is_up[slot.index()], false), "closed twice"),
            }
        }
        panic!("no end of actions");
    }

    proptest! {
        /// Whatever happens: never two tries for one slot at a time, and with a friendly peer a connection is up in the end.
        #[test]
        fn whatever_happens_it_comes_back(steps in prop::collection::vec((0_u8..6, any::<bool>(), 0_i64..40), 0..200), seed: u64) {
            let mut keeper = ConnectionKeeper::new(KeeperConfig { rollover_ns: 500 * SECOND, seed, ..KeeperConfig::default() });
            let mut now = at(0);
            let mut is_up = [false; 2];
            for (step, is_first, seconds) in steps {
                now = now.plus_nanos(seconds * SECOND);
                let slot = if is_first { Slot::A } else { Slot::B };
                match step {
                    0 => keeper.on_open(slot, now),
                    1 | 2 => keeper.on_heard(slot, now, step == 1),
                    3 => { keeper.on_lost(slot, now); is_up[slot.index()] = false; }
                    4 => keeper.request_rollover(),
                    _ => {}
                }
                follow(&mut keeper, now, &mut is_up);
            }
            for _ in 0..100 {
                now = now.plus_nanos(SECOND);
                follow(&mut keeper, now, &mut is_up);
                for slot in Slot::BOTH.into_iter().filter(|slot| is_up[slot.index()]) {
                    keeper.on_open(slot, now);
                    keeper.on_heard(slot, now, true);
                }
            }
            prop_assert!(keeper.is_open());
        }
    }
}

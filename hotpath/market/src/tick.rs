//! When a model is asked: the decision ticks, which training and trading share.

use crate::book::TOP_LEVELS;
use crate::time::{NANOS_PER_MILLI, Timestamp};

/// When a model is asked; part of its manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TickConfig {
    /// Least logical time between two ticks, nanoseconds; 0 or less for a tick at every change. 1 ms by default.
    pub min_interval_ns: i64,
    /// A change counts when it is among this many best levels of a side. 10 by default.
    pub top_levels: usize,
    /// Ticks after a reset without signals. 100 by default.
    pub warmup_ticks: u32,
}

impl Default for TickConfig {
    fn default() -> Self {
        TickConfig { min_interval_ns: NANOS_PER_MILLI, top_levels: TOP_LEVELS, warmup_ticks: 100 }
    }
}

/// What follows from a change of the best levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TickDecision {
    /// A tick, now.
    Fire,
    /// Too soon after the last tick: a timer was set for [`TickClock::due`].
    Armed,
    /// Too soon after the last tick, and the timer is set already.
    Pending,
}

/// Tells when to ask the model: at a change of the best levels, but no sooner than the least interval after the last tick; a
/// change that comes sooner is answered by a timer at the end of the interval.
///
/// The owner fires a timer that is due before it takes an event of the same or a later time, with the deadline as logical time.
#[derive(Clone, Debug)]
pub struct TickClock {
    min_interval_ns: i64,
    warmup_ticks: u32,
    last: Option<Timestamp>,
    due: Option<Timestamp>,
    elapsed_ns: i64,
    warmup_left: u32,
}

impl TickClock {
    /// A clock before its first tick.
    pub fn new(config: &TickConfig) -> TickClock {
        TickClock {
            min_interval_ns: config.min_interval_ns.max(0),
            warmup_ticks: config.warmup_ticks,
            last: None,
            due: None,
            elapsed_ns: 0,
            warmup_left: config.warmup_ticks,
        }
    }

    /// The best levels changed at `now`, after a whole batch.
    #[inline]
    pub fn on_change(&mut self, now: Timestamp) -> TickDecision {
        let deadline = match self.last {
            Some(last) => last.plus_nanos(self.min_interval_ns),
            None => now,
        };
        if now >= deadline {
            self.tick(now);
            TickDecision::Fire
        } else if self.due.is_none() {
            self.due = Some(deadline);
            TickDecision::Armed
        } else {
            TickDecision::Pending
        }
    }

    /// When the timer is due; `None` while none is set.
    #[inline]
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// The timer fired: a tick at its deadline, which is returned. `None`, and no tick, where no timer is set.
    #[inline]
    pub fn fire_timer(&mut self) -> Option<Timestamp> {
        let deadline = self.due?;
        self.tick(deadline);
        Some(deadline)
    }

    /// Forgets the last tick and the timer and starts the warm-up again: for a session's start, and a book that went stale.
    pub fn reset(&mut self) {
        (self.last, self.due, self.elapsed_ns) = (None, None, 0);
        self.warmup_left = self.warmup_ticks;
    }

    /// Logical time from the tick before to the latest one, nanoseconds; 0 at the first after a reset.
    #[inline]
    pub fn elapsed_ns(&self) -> i64 {
        self.elapsed_ns
    }

    /// Ticks, the latest one included, that still pass before a signal may be acted on: `warmup_ticks` at the first tick, 0 when
    /// warm.
    #[inline]
    pub fn warmup_left(&self) -> u32 {
        self.warmup_left
    }

    #[inline]
    fn tick(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            self.elapsed_ns = now.since_ns(last);
            self.warmup_left = self.warmup_left.saturating_sub(1);
        }
        self.last = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(min_interval_ns: i64, warmup_ticks: u32) -> TickClock {
        TickClock::new(&TickConfig { min_interval_ns, warmup_ticks, ..TickConfig::default() })
    }

    #[test]
    fn changes_too_soon_share_one_timer() {
        let mut ticks = clock(10, 0);
        assert_eq!((ticks.on_change(Timestamp(100)), ticks.elapsed_ns()), (TickDecision::Fire, 0));
        assert_eq!((ticks.on_change(Timestamp(104)), ticks.due()), (TickDecision::Armed, Some(Timestamp(110))));
        assert_eq!((ticks.on_change(Timestamp(109)), ticks.due()), (TickDecision::Pending, Some(Timestamp(110))));
        assert_eq!((ticks.fire_timer(), ticks.elapsed_ns()), (Some(Timestamp(110)), 10));
        assert_eq!((ticks.fire_timer(), ticks.due()), (None, None));
        assert_eq!((ticks.on_change(Timestamp(120)), ticks.elapsed_ns()), (TickDecision::Fire, 10));
    }

    #[test]
    fn a_tick_disarms_a_timer_that_was_not_fired() {
        let mut ticks = clock(10, 0);
        ticks.on_change(Timestamp(100));
        ticks.on_change(Timestamp(101));
        assert_eq!((ticks.on_change(Timestamp(110)), ticks.due()), (TickDecision::Fire, None));
    }

    #[test]
    fn warmup_counts_ticks_and_restarts() {
        let mut ticks = clock(0, 2);
        let left = |ticks: &mut TickClock, now| {
            assert_eq!(ticks.on_change(Timestamp(now)), TickDecision::Fire);
            ticks.warmup_left()
        };
        assert_eq!([1, 2, 2, 5].map(|now| left(&mut ticks, now)), [2, 1, 0, 0]);
        ticks.reset();
        assert_eq!((ticks.warmup_left(), ticks.elapsed_ns(), ticks.due()), (2, 0, None));
        assert_eq!([[6, 7, 8].map(|now| left(&mut ticks, now))], [[2, 1, 0]]);
    }

    proptest! {
        #[test]
        fn ticks_keep_their_distance_and_miss_no_change(
            min_interval in 0i64..50,
            steps in prop::collection::vec((0i64..40, prop::bool::weighted(0.03)), 1..300),
        ) {
            let mut ticks = clock(min_interval, 3);
            // Ticks of the life since the last reset, and changes that no tick has followed yet.
            let (mut now, mut fired, mut unanswered) = (0i64, Vec::<i64>::new(), Vec::<i64>::new());
            for (step, is_reset) in steps {
                now += step;
                if let Some(due) = ticks.due().filter(|due| due.0 <= now) {
                    prop_assert_eq!(ticks.fire_timer(), Some(due));
                    prop_assert!(unanswered.drain(..).all(|change| change <= due.0 && due.0 - change <= min_interval));
                    fired.push(due.0);
                }
                if is_reset {
                    ticks.reset();
                    fired.clear();
                    unanswered.clear();
                }
                if ticks.on_change(Timestamp(now)) == TickDecision::Fire {
                    prop_assert!(unanswered.is_empty());
                    fired.push(now);
                } else {
                    unanswered.push(now);
                    prop_assert!(ticks.due().is_some_and(|due| due.0 - unanswered[0] <= min_interval));
                }
                prop_assert!(fired.windows(2).all(|pair| pair[1] - pair[0] >= min_interval));
                prop_assert_eq!(ticks.warmup_left(), 3u32.saturating_sub(fired.len() as u32 - 1));
                let elapsed = if fired.len() < 2 { 0 } else { fired[fired.len() - 1] - fired[fired.len() - 2] };
                prop_assert_eq!(ticks.elapsed_ns(), elapsed);
            }
        }
    }
}

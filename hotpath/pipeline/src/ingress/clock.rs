//! Receive times: the processor's counter anchored to UTC.

use chronos_market::{NANOS_PER_SECOND, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far an error of the anchor is worked off at most: 500 ns in a millisecond, as the kernel slews its own clock.
const SLEW_PPM_MAX: i64 = 500;
/// A forward error above this is taken at once: the system's clock was set.
const STEP_NS: i64 = NANOS_PER_SECOND;

/// Turns readings of a monotonic clock into UTC that never goes back. Reads no clock itself.
///
/// Each [`UtcAnchor::observe`] compares what the anchor says with the system's clock. The difference is worked off over the
/// [`UtcAnchor::PERIOD_NS`] that follows, by at most 500 parts in a million; a system clock that was set forward by more than a second
/// is followed at once, one that was set back never faster than that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UtcAnchor {
    /// A reading of the monotonic clock, in nanoseconds.
    monotonic_ns: u64,
    /// UTC at that reading.
    utc_ns: i64,
    slew_ppm: i64,
    last: Timestamp,
    error_ns: i64,
}

impl UtcAnchor {
    /// Time between two comparisons with the system's clock.
    pub const PERIOD_NS: u64 = NANOS_PER_SECOND as u64;

    /// An anchor at one moment on both clocks.
    pub fn new(monotonic_ns: u64, utc: Timestamp) -> UtcAnchor {
        UtcAnchor { monotonic_ns, utc_ns: utc.0, slew_ppm: 0, last: utc, error_ns: 0 }
    }

    /// UTC at a reading of the monotonic clock; never before an earlier answer.
    #[inline]
    pub fn stamp(&mut self, monotonic_ns: u64) -> Timestamp {
        self.last = self.last.max(Timestamp(self.at(monotonic_ns)));
        self.last
    }

    /// Both clocks at one moment.
    pub fn observe(&mut self, monotonic_ns: u64, utc: Timestamp) {
        let ours = self.at(monotonic_ns);
        self.error_ns = utc.0.saturating_sub(ours);
        let is_step = self.error_ns > STEP_NS;
        (self.monotonic_ns, self.utc_ns) = (monotonic_ns, if is_step { utc.0 } else { ours });
        let ppm = self.error_ns.saturating_mul(1_000_000) / Self::PERIOD_NS as i64;
        self.slew_ppm = if is_step { 0 } else { ppm.clamp(-SLEW_PPM_MAX, SLEW_PPM_MAX) };
    }

    /// Whether a comparison is due.
    #[inline]
    pub fn is_due(&self, monotonic_ns: u64) -> bool {
        monotonic_ns.saturating_sub(self.monotonic_ns) >= Self::PERIOD_NS
    }

    /// The system's clock less ours at the last comparison, in nanoseconds.
    pub fn error_ns(&self) -> i64 {
        self.error_ns
    }

    #[inline]
    fn at(&self, monotonic_ns: u64) -> i64 {
        let passed = i64::try_from(monotonic_ns.saturating_sub(self.monotonic_ns)).unwrap_or(i64::MAX);
        let slewed = passed.saturating_mul(self.slew_ppm) / 1_000_000;
        self.utc_ns.saturating_add(passed).saturating_add(slewed)
    }
}

/// UTC from the processor's counter, anchored to the system's clock about once a second; no system call.
#[derive(Clone, Debug)]
pub struct UtcClock {
    clock: quanta::Clock,
    /// Reading of the counter that the monotonic clock begins with.
    origin: u64,
    anchor: UtcAnchor,
}

impl Default for UtcClock {
    fn default() -> Self {
        Self::new()
    }
}

impl UtcClock {
    /// A clock; the first one of a process calibrates the counter, which takes some milliseconds.
    pub fn new() -> UtcClock {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        let (monotonic_ns, utc) = read_both(&clock, origin);
        UtcClock { clock, origin, anchor: UtcAnchor::new(monotonic_ns, utc) }
    }

    /// Now, never before an earlier answer of this clock.
    #[inline]
    pub fn now(&mut self) -> Timestamp {
        let monotonic_ns = self.clock.delta_as_nanos(self.origin, self.clock.raw());
        if self.anchor.is_due(monotonic_ns) {
            self.compare();
        }
        self.anchor.stamp(monotonic_ns)
    }

    /// The system's clock less ours at the last comparison, in nanoseconds.
    pub fn error_ns(&self) -> i64 {
        self.anchor.error_ns()
    }

    #[cold]
    fn compare(&mut self) {
        let (monotonic_ns, utc) = read_both(&self.clock, self.origin);
        self.anchor.observe(monotonic_ns, utc);
    }
}

/// Both clocks at one moment: of three tries the one that took least.
fn read_both(clock: &quanta::Clock, origin: u64) -> (u64, Timestamp) {
    let attempt = || {
        let before = clock.delta_as_nanos(origin, clock.raw());
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let width = clock.delta_as_nanos(origin, clock.raw()) - before;
        (width, before + width / 2, Timestamp(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)))
    };
    let best = [attempt(), attempt(), attempt()].into_iter().min_by_key(|(width, ..)| *width);
    best.map_or((0, Timestamp(0)), |(_, monotonic_ns, utc)| (monotonic_ns, utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = UtcAnchor::PERIOD_NS;
    const UTC: i64 = 1_700_000_000_000_000_000;

    #[test]
    fn an_error_is_worked_off_slowly() {
        let mut anchor = UtcAnchor::new(0, Timestamp(UTC));
        // The system's clock is 100 us ahead after a second: made up over the next one, in proportion.
        anchor.observe(SECOND, Timestamp(UTC + 1_000_100_000));
        assert_eq!(anchor.stamp(SECOND), Timestamp(UTC + 1_000_000_000));
        assert_eq!(anchor.stamp(SECOND + SECOND / 2), Timestamp(UTC + 1_500_050_000));
        assert_eq!(anchor.stamp(2 * SECOND), Timestamp(UTC + 2_000_100_000));
        anchor.observe(2 * SECOND, Timestamp(UTC + 2_000_100_000));
        assert_eq!((anchor.error_ns(), anchor.stamp(3 * SECOND)), (0, Timestamp(UTC + 3_000_100_000)));
    }

    #[test]
    fn a_clock_that_was_set_is_followed_forward_and_slewed_back() {
        let mut anchor = UtcAnchor::new(0, Timestamp(UTC));
        anchor.observe(SECOND, Timestamp(UTC + 3_600_000_000_000));
        assert_eq!(anchor.stamp(SECOND), Timestamp(UTC + 3_600_000_000_000));
        anchor.observe(2 * SECOND, Timestamp(UTC));
        let before = anchor.stamp(2 * SECOND);
        // 500 parts in a million slower, and still forward.
        assert_eq!(anchor.stamp(3 * SECOND).since_ns(before), 999_500_000);
    }

    proptest! {
        #[test]
        fn time_never_goes_back(
            moments in prop::collection::vec((0_u64..3_000_000_000, -5_000_000_000_i64..5_000_000_000, any::<bool>()), 1..60)
        ) {
            let mut anchor = UtcAnchor::new(0, Timestamp(UTC));
            let (mut monotonic_ns, mut last) = (0, Timestamp(UTC));
            for (passed, error_ns, is_observed) in moments {
                monotonic_ns += passed;
                if is_observed {
                    anchor.observe(monotonic_ns, Timestamp(UTC + monotonic_ns as i64 + error_ns));
                }
                let now = anchor.stamp(monotonic_ns);
                prop_assert!(now >= last, "{now:?} after {last:?}");
                last = now;
            }
        }
    }

    #[test]
    fn the_clock_stays_near_the_systems() {
        let mut clock = UtcClock::new();
        let (first, second) = (clock.now(), clock.now());
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        assert!(second >= first && (system - second.0).abs() < NANOS_PER_SECOND, "{first:?} {second:?} {system}");
    }
}

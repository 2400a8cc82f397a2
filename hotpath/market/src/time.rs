//! Logical time: the receive time that every decision, timer and risk check sees.

use std::fmt;

/// A logical instant: nanoseconds since the Unix epoch, stamped once at ingress.
///
/// A replay takes it from the capture; a live session from the wall clock at the socket. Measured durations (telemetry) have a
/// type of their own and no way into this one, so that no decision can depend on how fast the machine is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[repr(transparent)]
pub struct Timestamp(pub i64);

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

impl Timestamp {
    /// Before every event.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every event.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// This instant moved by `nanos` (which may be negative), held at the ends of the range.
    #[inline]
    pub fn plus_nanos(self, nanos: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this instant, held at the ends of the range.
    #[inline]
    pub fn since_ns(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The unit of a capture's receive times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl TimeUnit {
    /// The unit a Unix time is in, told by its magnitude; `None` outside 1973 to 2286, where units cannot be told apart.
    #[inline]
    pub fn of_magnitude(value: i64) -> Option<TimeUnit> {
        match value {
            100_000_000..10_000_000_000 => Some(TimeUnit::Seconds),
            100_000_000_000..10_000_000_000_000 => Some(TimeUnit::Millis),
            100_000_000_000_000..10_000_000_000_000_000 => Some(TimeUnit::Micros),
            100_000_000_000_000_000..=i64::MAX => Some(TimeUnit::Nanos),
            _ => None,
        }
    }

    /// Nanoseconds in one of this unit.
    #[inline]
    pub fn nanos(self) -> i64 {
        match self {
            TimeUnit::Seconds => NANOS_PER_SECOND,
            TimeUnit::Millis => NANOS_PER_MILLI,
            TimeUnit::Micros => 1_000,
            TimeUnit::Nanos => 1,
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimeUnit::Seconds => "s",
            TimeUnit::Millis => "ms",
            TimeUnit::Micros => "us",
            TimeUnit::Nanos => "ns",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitude_tells_the_unit() {
        let nanos = 1_723_161_254_206_652_067_i64;
        for (divisor, unit) in
            [(1, TimeUnit::Nanos), (1_000, TimeUnit::Micros), (1_000_000, TimeUnit::Millis), (1_000_000_000, TimeUnit::Seconds)]
        {
            assert_eq!(TimeUnit::of_magnitude(nanos / divisor), Some(unit));
            assert_eq!(unit.nanos(), divisor);
        }
        assert_eq!(TimeUnit::of_magnitude(5), None);
        assert_eq!(TimeUnit::of_magnitude(-5), None);
    }
}

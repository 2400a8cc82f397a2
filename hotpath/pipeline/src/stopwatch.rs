//! Measured durations: telemetry only. A [`Started`] cannot become a [`chronos_market::Timestamp`], so no decision can depend on
//! how fast the machine is.

/// Reads the processor's time-stamp counter.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: quanta::Clock,
}

/// A moment a [`Stopwatch`] was read.
#[derive(Clone, Copy, Debug)]
pub struct Started(u64);

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Stopwatch {
    /// A stopwatch; the first one of a process calibrates the counter, which takes some milliseconds.
    pub fn new() -> Stopwatch {
        Stopwatch { clock: quanta::Clock::new() }
    }

    /// Now.
    #[inline]
    pub fn start(&self) -> Started {
        Started(self.clock.raw())
    }

    /// Nanoseconds from one moment to a later one; 0 where they are the other way round.
    #[inline]
    pub fn between_ns(&self, from: Started, to: Started) -> u64 {
        self.clock.delta_as_nanos(from.0, to.0)
    }

    /// Nanoseconds since a moment.
    #[inline]
    pub fn elapsed_ns(&self, from: Started) -> u64 {
        self.between_ns(from, self.start())
    }
}

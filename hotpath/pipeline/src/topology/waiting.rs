//! How a thread waits at a ring.

use super::available_cores;
use std::time::Duration;

/// Moments a thread spins before it gives its core away.
pub const SPINS: u32 = 64;
/// Times it gives its core away before it sleeps.
pub const YIELDS: u32 = 192;
/// First sleep; each next one is twice as long.
pub const SLEEP_US_MIN: u64 = 16;
/// Longest sleep: with the system's delay on top, how late a parked thread can be.
pub const SLEEP_US_MAX: u64 = 256;

/// How a thread waits at a ring.
///
/// A parked thread sleeps for a bounded time and looks again; nobody wakes it. So whoever pushes to its ring never makes a system
/// call and never reads a flag of the other thread, and a push costs the same whether the other end spins, yields or sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Burns its core: the fastest answer, for threads that have a core each.
    Spin,
    /// Spins [`SPINS`] times, then gives the core away again and again: answers within a time slice of whoever shares the core. It
    /// does not give way to threads of lower real-time priority.
    Yield,
    /// Spins [`SPINS`] times, yields [`YIELDS`] times, then sleeps [`SLEEP_US_MIN`] to [`SLEEP_US_MAX`]: where threads share cores,
    /// or power matters.
    Park,
}

impl Waiting {
    /// Spinning needs a core for every thread; with fewer, a spinning thread keeps the one it waits for from running.
    pub fn for_threads(threads: usize) -> Waiting {
        if available_cores() >= threads { Waiting::Spin } else { Waiting::Park }
    }

    /// Waits a moment; `idle` counts the moments since there was last something to do.
    #[inline]
    pub fn pause(self, idle: u32) {
        match self.step(idle) {
            Step::Spin => std::hint::spin_loop(),
            Step::Yield => std::thread::yield_now(),
            Step::Sleep { us } => std::thread::sleep(Duration::from_micros(us)),
        }
    }

    #[inline]
    fn step(self, idle: u32) -> Step {
        match self {
            Waiting::Spin => Step::Spin,
            _ if idle < SPINS => Step::Spin,
            Waiting::Yield => Step::Yield,
            Waiting::Park if idle < SPINS + YIELDS => Step::Yield,
            Waiting::Park => {
                let doublings = (idle - SPINS - YIELDS).min(SLEEP_US_MAX.ilog2());
                Step::Sleep { us: (SLEEP_US_MIN << doublings).min(SLEEP_US_MAX) }
            }
        }
    }
}

/// What a moment of waiting is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Spin,
    Yield,
    Sleep { us: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_goes_as_far_as_it_says_and_no_sleep_is_longer_than_the_bound() {
        let steps = |waiting: Waiting| (0..SPINS + YIELDS + 40).map(move |idle| waiting.step(idle)).collect::<Vec<_>>();
        assert!(steps(Waiting::Spin).iter().all(|step| *step == Step::Spin) && Waiting::Spin.step(u32::MAX) == Step::Spin);
        let yielding = steps(Waiting::Yield);
        assert!(yielding[..SPINS as usize].iter().all(|step| *step == Step::Spin));
        assert!(yielding[SPINS as usize..].iter().all(|step| *step == Step::Yield) && Waiting::Yield.step(u32::MAX) == Step::Yield);
        let parking = steps(Waiting::Park);
        assert_eq!(parking.iter().filter(|step| **step == Step::Spin).count(), SPINS as usize);
        assert_eq!(parking.iter().filter(|step| **step == Step::Yield).count(), YIELDS as usize);
        let sleeps = parking.iter().filter_map(|step| if let Step::Sleep { us } = step { Some(*us) } else { None });
        assert_eq!(sleeps.take(6).collect::<Vec<_>>(), [16, 32, 64, 128, 256, 256]);
        assert_eq!(Waiting::Park.step(u32::MAX), Step::Sleep { us: SLEEP_US_MAX });
    }
}

//! Cores, and how a thread waits when it has nothing to do.

use core_affinity::CoreId;
use std::fmt;
use std::time::Duration;

/// A thread could not be pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PinError {
    /// The core asked for.
    pub core: usize,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot pin to core {}: it does not exist or this process may not use it", self.core)
    }
}

impl std::error::Error for PinError {}

/// Cores this process may run on.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Pins the calling thread to a core.
///
/// # Errors
/// [`PinError`] where the system refuses.
pub fn pin_current_thread(core: usize) -> Result<(), PinError> {
    if core_affinity::set_for_current(CoreId { id: core }) { Ok(()) } else { Err(PinError { core }) }
}

/// How a thread waits at a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Burns its core: the fastest answer, for threads that have a core each.
    Spin,
    /// Spins briefly, then gives the core away: where threads share cores.
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
        match self {
            Waiting::Spin => std::hint::spin_loop(),
            Waiting::Park if idle < 64 => std::hint::spin_loop(),
            Waiting::Park if idle < 256 => std::thread::yield_now(),
            Waiting::Park => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}

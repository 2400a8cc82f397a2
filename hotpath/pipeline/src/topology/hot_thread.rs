//! What a hot thread asks of its host: a core, a real-time priority, memory that stays where it is.
//!
//! Each is asked for by name and refused with a remedy where the system does not allow it; nothing is left out in silence.

use core_affinity::CoreId;
use rustix::mm::{MlockAllFlags, mlockall, munlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, sched_getaffinity, sched_setaffinity, set_current_timer_slack};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;

/// Bytes of stack touched before the first message: several times what the hot path was seen to use.
const STACK_BYTES: usize = 256 << 10;

/// How a hot thread runs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HotThread {
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// Its priority under `SCHED_FIFO`, 1 to 99: nothing of lower priority runs on its core while it does.
    pub fifo_priority: Option<u8>,
}

/// Why a host did not give what was asked of it.
#[derive(Debug)]
pub enum HostError {
    /// The core does not exist, or this process may not use it.
    Pin {
        /// The core asked for.
        core: usize,
    },
    /// The priority was refused.
    Fifo {
        /// The priority asked for.
        priority: u8,
        /// What the system said.
        source: io::Error,
    },
    /// Memory could not be locked.
    LockMemory(io::Error),
    /// Memory could be locked now, but not all that may still be asked for.
    LockMemoryLimit {
        /// The limit, in KiB.
        limit_kib: u64,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::Pin { core } => write!(
                f,
                "cannot pin to core {core}: it does not exist or this process may not use it; name cores of this process (`taskset \
                 -pc $$`), see tuning.md, \"Cores\""
            ),
            HostError::Fifo { priority, source } => write!(
                f,
                "cannot run under SCHED_FIFO at priority {priority}: {source}; it needs CAP_SYS_NICE or a real-time limit of at \
                 least {priority} (`ulimit -r`), see tuning.md, \"Real-time priority\""
            ),
            HostError::LockMemory(source) => write!(
                f,
                "cannot lock memory: {source}; it needs CAP_IPC_LOCK or `ulimit -l unlimited`, see tuning.md, \"Locked memory\""
            ),
            HostError::LockMemoryLimit { limit_kib } => write!(
                f,
                "cannot lock all memory: at most {limit_kib} KiB may be, and the session could not grow beyond that; it needs \
                 CAP_IPC_LOCK or `ulimit -l unlimited`, see tuning.md, \"Locked memory\""
            ),
        }
    }
}

impl std::error::Error for HostError {}

impl HotThread {
    /// Makes the calling thread this hot thread, until the value is dropped: pins it, sets its priority, and touches its stack.
    ///
    /// # Errors
    /// [`HostError`] where the system refuses; the thread is as it was then.
    pub fn enter(&self) -> Result<Entered, HostError> {
        let mut entered = Entered { cores: None, is_fifo: false, thread: PhantomData };
        if let Some(core) = self.core {
            let cores = sched_getaffinity(None).ok();
            pin_current_thread(core)?;
            entered.cores = cores;
        }
        if let Some(priority) = self.fifo_priority {
            set_policy(libc::SCHED_FIFO, priority).map_err(|source| HostError::Fifo { priority, source })?;
            entered.is_fifo = true;
        }
        touch_stack();
        Ok(entered)
    }
}

/// A thread that is hot until this is dropped; then it is an ordinary one again.
#[must_use = "the thread is hot as long as this lives"]
#[derive(Debug)]
pub struct Entered {
    /// Where the thread might run before it was pinned.
    cores: Option<CpuSet>,
    is_fifo: bool,
    /// It speaks of the thread it was made on.
    thread: PhantomData<*const ()>,
}

impl Entered {
    /// All is warm and the first message may come: takes the slack off the thread's timers, so that a short sleep is short. In a
    /// trace of system calls this one stands before a stretch without any, and the one that gives the slack back after it.
    pub fn begin(&self) {
        // Refused only where the kernel was built without it; then sleeps are a little longer.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // What was allowed before is allowed again, and less is always allowed; nothing depends on it.
        let _ = set_current_timer_slack(None);
        if self.is_fifo {
            let _ = set_policy(libc::SCHED_OTHER, 0);
        }
        if let Some(cores) = &self.cores {
            let _ = sched_setaffinity(None, cores);
        }
    }
}

/// Cores this process may run on.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Pins the calling thread to a core.
///
/// # Errors
/// [`HostError::Pin`] where the system refuses.
pub fn pin_current_thread(core: usize) -> Result<(), HostError> {
    // The crate indexes a set of so many cores by the number it is given.
    let is_pinned = core < CpuSet::MAX_CPU && core_affinity::set_for_current(CoreId { id: core });
    if is_pinned { Ok(()) } else { Err(HostError::Pin { core }) }
}

/// Keeps in RAM what memory of this process was touched and will be: a page that faulted once is not taken away again. Nothing is
/// touched by it; allocators reserve far more than they use.
///
/// # Errors
/// [`HostError::LockMemory`] where the system refuses, [`HostError::LockMemoryLimit`] where a limit would let a later request for
/// memory fail. Nothing is locked then.
pub fn lock_memory() -> Result<(), HostError> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|errno| HostError::LockMemory(errno.into()))?;
    let has_capability = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    match getrlimit(Resource::Memlock).current {
        Some(limit) if !has_capability => {
            let _ = munlockall();
            Err(HostError::LockMemoryLimit { limit_kib: limit / 1_024 })
        }
        _ => Ok(()),
    }
}

/// Touches the memory of a ring that is still empty, so that its first round does not fault.
pub(super) fn touch_ring<T>(ring: &mut rtrb::Producer<T>) {
    let free = ring.slots();
    if let Ok(mut chunk) = ring.write_chunk_uninit(free) {
        let (first, second) = chunk.as_mut_slices();
        for slot in first.iter_mut().chain(second) {
            *slot = MaybeUninit::zeroed();
        }
        // Dropped without a commit: nothing was pushed.
    }
}

fn set_policy(policy: libc::c_int, priority: u8) -> io::Result<()> {
    // SAFETY: a struct of integers, for which zeros are a value; its one field on Linux besides padding is set below.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = libc::c_int::from(priority);
    // SAFETY: 0 is the calling thread, and `parameters` outlives the call.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[inline(never)]
fn touch_stack() {
    let mut pages = [0u8; STACK_BYTES];
    std::hint::black_box(&mut pages);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_with_its_remedy() {
        let error = pin_current_thread(100_000).unwrap_err();
        assert!(error.to_string().contains("core 100000") && error.to_string().contains("tuning.md"), "{error}");
        // Beyond the range of the policy, so refused with every privilege.
        let error = HotThread { core: None, fifo_priority: Some(200) }.enter().unwrap_err();
        assert!(error.to_string().contains("CAP_SYS_NICE") && error.to_string().contains("tuning.md"), "{error}");
    }

    #[test]
    fn a_hot_thread_is_pinned_as_long_as_it_is_hot() {
        let run = || {
            let before = sched_getaffinity(None).unwrap();
            let core = (0..CpuSet::MAX_CPU).find(|core| before.is_set(*core)).unwrap();
            let entered = HotThread { core: Some(core), fifo_priority: None }.enter().unwrap();
            let within = sched_getaffinity(None).unwrap();
            assert!(within.count() == 1 && within.is_set(core));
            drop(entered);
            assert_eq!(sched_getaffinity(None).unwrap(), before);
            assert!(HotThread { core: Some(core), fifo_priority: Some(200) }.enter().is_err());
            assert_eq!(sched_getaffinity(None).unwrap(), before, "refused, and yet pinned");
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[test]
    fn a_touched_ring_is_empty_and_takes_all_it_should() {
        let (mut producer, mut consumer) = rtrb::RingBuffer::new(100);
        touch_ring(&mut producer);
        assert!(consumer.is_empty());
        for value in 0..100u64 {
            producer.push(value).unwrap();
        }
        assert!(producer.is_full() && (0..100).all(|value| consumer.pop() == Ok(value)));
    }
}

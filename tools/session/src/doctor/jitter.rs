//! Jitter: how often, and for how long, something else runs on a core that wants to do one thing.

use super::finding::{Check, Finding};
use super::section;
use chronos_pipeline::stopwatch::Stopwatch;
use chronos_pipeline::topology::{HostError, pin_current_thread};
use serde::Serialize;
use std::time::Duration;

/// Gaps at least so long are counted, in microseconds.
pub const GAPS_US: [u64; 5] = [1, 10, 50, 100, 1_000];

/// Where the bins of the histogram begin, in microseconds; each ends where the next one begins, the last one nowhere.
pub const GAP_BINS_US: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Gaps in a loop that does nothing but read the time-stamp counter.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Jitter {
    /// The core it ran on.
    pub core: usize,
    /// How long, in seconds.
    pub seconds: f64,
    /// Gaps at least as long as each of [`GAPS_US`].
    pub gaps: Vec<GapCount>,
    /// Gaps by length: a bin for each of [`GAP_BINS_US`].
    pub histogram: Vec<GapBin>,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
    /// Time lost in gaps of a microsecond and more, as a part of all.
    pub lost_part: f64,
}

/// Gaps of some length and more.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct GapCount {
    /// The length, in microseconds.
    pub over_us: u64,
    /// How many.
    pub count: u64,
    /// How many a second.
    pub per_second: f64,
}

/// Gaps of a bin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct GapBin {
    /// Where the bin begins, in microseconds.
    pub from_us: u64,
    /// How many gaps.
    pub count: u64,
}

/// Measures on a core for some time. The thread that does is a new one, so the caller keeps its cores.
///
/// # Errors
/// [`HostError`] where the core may not be used.
pub fn measure(core: usize, duration: Duration) -> Result<Jitter, HostError> {
    let run = || -> Result<Jitter, HostError> {
        pin_current_thread(core)?;
        Ok(spin(core, duration))
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn spin(core: usize, duration: Duration) -> Jitter {
    let stopwatch = Stopwatch::new();
    let until_ns = duration.as_nanos() as u64;
    let mut gaps = Gaps::default();
    let began = stopwatch.start();
    let mut last = began;
    loop {
        let now = stopwatch.start();
        gaps.note(stopwatch.between_ns(last, now));
        last = now;
        if stopwatch.between_ns(began, now) >= until_ns {
            break;
        }
    }
    gaps.over(core, stopwatch.between_ns(began, last))
}

#[derive(Default)]
struct Gaps {
    /// By bin.
    counts: [u64; GAP_BINS_US.len()],
    max_ns: u64,
    lost_ns: u64,
}

impl Gaps {
    #[inline]
    fn note(&mut self, gap_ns: u64) {
        self.max_ns = self.max_ns.max(gap_ns);
        // Gaps are few: most of the time this is all.
        let Some(bin) = GAP_BINS_US.partition_point(|from_us| gap_ns >= 1_000 * from_us).checked_sub(1) else { return };
        self.lost_ns += gap_ns;
        self.counts[bin] += 1;
    }

    fn over(&self, core: usize, total_ns: u64) -> Jitter {
        let seconds = total_ns as f64 / 1e9;
        let bins = || GAP_BINS_US.into_iter().zip(self.counts);
        let gaps = |over_us| {
            let count = bins().filter(|(from_us, _)| *from_us >= over_us).map(|(_, count)| count).sum();
            GapCount { over_us, count, per_second: count as f64 / seconds }
        };
        Jitter {
            core,
            seconds,
            gaps: GAPS_US.into_iter().map(gaps).collect(),
            histogram: bins().map(|(from_us, count)| GapBin { from_us, count }).collect(),
            max_ns: self.max_ns,
            lost_part: self.lost_ns as f64 / total_ns as f64,
        }
    }
}

/// What the gaps mean: fewer than one of 10 us a second is a quiet core, a hundred is the tick of an ordinary one or worse.
pub(super) fn finding(jitter: Option<&Jitter>) -> Finding {
    let check = Check { id: "jitter", weight: 20, section: section::JITTER };
    let Some(jitter) = jitter else { return check.unknown("not measured") };
    let over_10 = jitter.gaps.iter().find(|gap| gap.over_us == 10).map_or(0.0, |gap| gap.per_second);
    let observed = format!(
        "core {}: {over_10:.1} gaps of 10 us and more a second, the longest {:.0} us, {:.3} % of all time lost",
        jitter.core,
        jitter.max_ns as f64 / 1e3,
        100.0 * jitter.lost_part
    );
    let remedy = "isolate the core and take interrupts and ticks off it; the findings below say what does not let go of it";
    match over_10 {
        0.0..1.0 => check.ok(observed),
        1.0..100.0 => check.warn(observed, remedy),
        _ => check.bad(observed, remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn gaps_are_counted_by_length() {
        let mut gaps = Gaps::default();
        for gap_ns in [20, 999, 1_000, 9_999, 10_000, 60_000, 100_000, 2_000_000] {
            gaps.note(gap_ns);
        }
        let jitter = gaps.over(3, 2_000_000_000);
        assert_eq!(jitter.gaps.iter().map(|gap| gap.count).collect::<Vec<_>>(), [6, 4, 3, 2, 1]);
        assert_eq!((jitter.max_ns, jitter.gaps[1].per_second, jitter.core), (2_000_000, 2.0, 3));
        let bins: Vec<u64> = jitter.histogram.iter().map(|bin| bin.count).collect();
        assert_eq!(bins, [1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0]);
        assert!(GAPS_US.iter().all(|over_us| GAP_BINS_US.contains(over_us)), "counts from a length on are sums of bins");
        assert_eq!(jitter.lost_part, 2_180_999.0 / 2e9);
    }

    #[test]
    fn few_gaps_are_well_and_many_are_bad() {
        let level = |count: u64| {
            let mut gaps = Gaps::default();
            (0..count).for_each(|_| gaps.note(10_000));
            finding(Some(&gaps.over(0, 1_000_000_000))).level
        };
        assert_eq!([level(0), level(1), level(99), level(100)], [Level::Ok, Level::Warn, Level::Warn, Level::Bad]);
        assert_eq!(finding(None).level, Level::Unknown);
    }

    #[test]
    fn a_core_can_be_measured_and_one_that_does_not_exist_is_refused() {
        // Any core of this process: the first whose number it takes.
        let jitter = (0..1_024).find_map(|core| measure(core, Duration::from_millis(2)).ok()).expect("no core at all");
        assert!(jitter.seconds >= 0.002 && jitter.max_ns > 0 && jitter.gaps.len() == GAPS_US.len());
        assert!(measure(100_000, Duration::from_millis(1)).is_err());
    }
}

//! The doctor: reads a host, measures its jitter, and says what to change.
//!
//! [`diagnose`] looks at one core, the one a hot thread would have, and at what may disturb it. Each [`Finding`] has a weight, a
//! level, what was seen, and a remedy with the [`section`] of `tuning.md` that explains it. What cannot be read is
//! [`Level::Unknown`]: it is said, and counts neither for nor against. [`score()`] says how the levels add up.

mod ethtool;
mod finding;
mod host;
mod jitter;
mod memory;
mod network;
mod processor;
mod scheduling;

pub use finding::{Finding, Level, score};
pub use host::Host;
pub use jitter::{GAP_BINS_US, GAPS_US, GapBin, GapCount, Jitter, measure};

use chronos_pipeline::topology::HostError;
use host::parse_cores;
use serde::Serialize;
use std::time::Duration;

/// Headings of `tuning.md`.
pub mod section {
    /// What jitter is and how it is measured.
    pub const JITTER: &str = "Jitter";
    /// Pinning, and cores to pin to.
    pub const CORES: &str = "Cores";
    /// A core for one thread.
    pub const ISOLATION: &str = "Isolated cores";
    /// No scheduler tick.
    pub const TICKLESS: &str = "Tickless cores";
    /// No RCU callbacks.
    pub const RCU: &str = "RCU callbacks";
    /// Where interrupts go.
    pub const INTERRUPTS: &str = "Interrupts";
    /// The frequency governor.
    pub const GOVERNOR: &str = "Frequency governor";
    /// Turbo frequencies.
    pub const TURBO: &str = "Turbo";
    /// How deep a core sleeps.
    pub const SLEEP: &str = "Sleep states";
    /// Sibling threads of a core.
    pub const SMT: &str = "Sibling threads";
    /// The kernel's clock and the time-stamp counter.
    pub const CLOCK: &str = "Clock source";
    /// Mitigations of processor vulnerabilities.
    pub const MITIGATIONS: &str = "Mitigations";
    /// Huge pages, transparent and reserved.
    pub const HUGE_PAGES: &str = "Huge pages";
    /// Memory that stays in RAM.
    pub const LOCKED_MEMORY: &str = "Locked memory";
    /// Memory nodes.
    pub const NUMA: &str = "Memory nodes";
    /// `SCHED_FIFO` and its throttling.
    pub const REAL_TIME: &str = "Real-time priority";
    /// Network cards and sockets.
    pub const NETWORK: &str = "Network card";
    /// Guests and their hosts.
    pub const VIRTUAL_MACHINES: &str = "Virtual machines";

    /// All of them.
    pub const ALL: [&str; 18] = [
        JITTER,
        CORES,
        ISOLATION,
        TICKLESS,
        RCU,
        INTERRUPTS,
        GOVERNOR,
        TURBO,
        SLEEP,
        SMT,
        CLOCK,
        MITIGATIONS,
        HUGE_PAGES,
        LOCKED_MEMORY,
        NUMA,
        REAL_TIME,
        NETWORK,
        VIRTUAL_MACHINES,
    ];
}

/// Version of the shape of a [`Diagnosis`] as JSON.
pub const SCHEMA: &str = "chronos.doctor/1";

/// What the doctor found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// 0 to 100; none where nothing could be read. See [`score()`].
    pub score: Option<u32>,
    /// The core that was looked at.
    pub core: usize,
    /// How that core was chosen: `asked for`, `isolated`, `last allowed`, or `first`, where nothing tells which there are.
    pub core_choice: &'static str,
    /// What was measured; none where it was not to be.
    pub jitter: Option<Jitter>,
    /// Everything looked at.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// How many findings are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// The findings, the worst first, among those of a level the heaviest.
    pub fn worst_first(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), std::cmp::Reverse(finding.weight)));
        findings
    }
}

/// Looks at a host for a hot thread on `core` (where none is named: the first isolated one, or the last this process may use), and
/// measures that core for `seconds` unless they are 0 or the host is a copy.
///
/// # Errors
/// [`HostError`] where the core to be measured may not be used.
pub fn diagnose(host: &Host, core: Option<usize>, seconds: f64) -> Result<Diagnosis, HostError> {
    let (core, core_choice) = chosen(host, core);
    let jitter = match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if host.is_live() && !duration.is_zero() => Some(measure(core, duration)?),
        _ => None,
    };
    let mut findings = vec![jitter::finding(jitter.as_ref())];
    findings.extend(processor::findings(host, core));
    findings.extend(scheduling::findings(host, core));
    findings.extend(memory::findings(host, core));
    findings.extend(network::findings(host));
    Ok(Diagnosis { schema: SCHEMA, score: score(&findings), core, core_choice, jitter, findings })
}

fn chosen(host: &Host, core: Option<usize>) -> (usize, &'static str) {
    if let Some(core) = core {
        return (core, "asked for");
    }
    let allowed = host.field("/proc/self/status", "Cpus_allowed_list").and_then(|list| parse_cores(&list));
    let isolated = host.cores("/sys/devices/system/cpu/isolated").and_then(|cores| cores.first().copied());
    match (isolated, allowed.and_then(|cores| cores.last().copied())) {
        (Some(core), _) => (core, "isolated"),
        (None, Some(core)) => (core, "last allowed"),
        (None, None) => (0, "first"),
    }
}

#[cfg(test)]
mod tests;

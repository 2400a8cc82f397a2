//! Cores: isolation, ticks, frequency, sleep, siblings, clock, mitigations.

use super::finding::{Check, Finding};
use super::host::{Host, listed, parse_cores};
use super::section;

const CPU: &str = "/sys/devices/system/cpu";
/// A core that sleeps deeper than this wakes too late, in microseconds.
const WAKE_US_MAX: u64 = 10;

/// Every check of the cores, for a hot core.
pub(super) fn findings(host: &Host, core: usize) -> Vec<Finding> {
    vec![
        isolated(host, core),
        tickless(host, core),
        rcu(host, core),
        governor(host, core),
        turbo(host),
        sleep(host, core),
        smt(host, core),
        clock_source(host),
        counter(host),
        mitigations(host),
    ]
}

fn isolated(host: &Host, core: usize) -> Finding {
    let check = Check { id: "isolated_core", weight: 10, section: section::ISOLATION };
    match host.cores(&format!("{CPU}/isolated")) {
        None => check.unknown("the kernel does not list its isolated cores"),
        Some(cores) if cores.contains(&core) => check.ok(format!("core {core} is isolated (isolated: {})", listed(&cores))),
        Some(cores) if cores.is_empty() => check.bad(
            format!("no core is isolated: the scheduler puts other work on core {core}"),
            format!("boot with `isolcpus=managed_irq,domain,{core}`"),
        ),
        Some(cores) => check.bad(
            format!("core {core} is not isolated (isolated: {})", listed(&cores)),
            format!("pin to one of {}, or add {core} to `isolcpus`", listed(&cores)),
        ),
    }
}

/// A list of cores that the kernel tells in a file or, failing that, on its command line. The inner `None`: it is not set.
fn boot_cores(host: &Host, file: Option<&str>, parameter: &str) -> Option<Option<std::collections::BTreeSet<usize>>> {
    if let Some(cores) = file.and_then(|file| host.cores(file)) {
        return Some(Some(cores).filter(|cores| !cores.is_empty()));
    }
    Some(host.boot_parameter(parameter)?.and_then(|value| parse_cores(&value)))
}

fn tickless(host: &Host, core: usize) -> Finding {
    let check = Check { id: "nohz_full", weight: 4, section: section::TICKLESS };
    let remedy = format!("boot with `nohz_full={core}`");
    match boot_cores(host, Some(&format!("{CPU}/nohz_full")), "nohz_full") {
        None => check.unknown("neither nohz_full nor the kernel's command line can be read"),
        Some(Some(cores)) if cores.contains(&core) => check.ok(format!("core {core} has no scheduler tick while one thread runs")),
        Some(Some(cores)) => check.warn(format!("core {core} has a scheduler tick (without one: {})", listed(&cores)), remedy),
        Some(None) => check.warn("every core has a scheduler tick, some hundred to a thousand a second", remedy),
    }
}

fn rcu(host: &Host, core: usize) -> Finding {
    let check = Check { id: "rcu_nocbs", weight: 2, section: section::RCU };
    let tickless = boot_cores(host, Some(&format!("{CPU}/nohz_full")), "nohz_full");
    let covers = |cores: &Option<Option<std::collections::BTreeSet<usize>>>| {
        cores.as_ref().and_then(Option::as_ref).is_some_and(|cores| cores.contains(&core))
    };
    match boot_cores(host, None, "rcu_nocbs") {
        _ if host.boot_parameter("rcu_nocbs").flatten().is_some_and(|cores| cores == "all") => {
            check.ok("no core runs RCU callbacks of its own")
        }
        _ if covers(&tickless) => check.ok(format!("core {core} is in nohz_full, which takes RCU callbacks off it too")),
        None => check.unknown("the kernel's command line cannot be read"),
        some if covers(&some) => check.ok(format!("core {core} runs no RCU callbacks")),
        _ => check.warn(format!("core {core} runs RCU callbacks"), format!("boot with `rcu_nocbs={core}`")),
    }
}

fn governor(host: &Host, core: usize) -> Finding {
    let check = Check { id: "governor", weight: 6, section: section::GOVERNOR };
    match host.text(&format!("{CPU}/cpu{core}/cpufreq/scaling_governor")) {
        None => check.unknown("there is no cpufreq to be read: the hypervisor or the firmware decides the frequency"),
        Some(governor) if governor == "performance" => check.ok("performance"),
        Some(governor) => check.bad(
            format!("`{governor}`: the core slows down while there is little to do and speeds up after it was needed"),
            "`cpupower frequency-set -g performance`",
        ),
    }
}

fn turbo(host: &Host) -> Finding {
    let check = Check { id: "turbo", weight: 1, section: section::TURBO };
    let is_on = host.number::<u8>(&format!("{CPU}/intel_pstate/no_turbo")).map(|no_turbo| no_turbo == 0);
    match is_on.or_else(|| host.number::<u8>(&format!("{CPU}/cpufreq/boost")).map(|boost| boost == 1)) {
        None => check.unknown("neither intel_pstate nor cpufreq tells"),
        Some(false) => check.ok("off: one frequency"),
        Some(true) => {
            check.warn("on: faster on average, and its frequency follows load and heat", "measure both ways; off is steadier")
        }
    }
}

fn sleep(host: &Host, core: usize) -> Finding {
    let check = Check { id: "sleep_states", weight: 6, section: section::SLEEP };
    if host.boot_parameter("idle").flatten().is_some_and(|idle| idle == "poll") {
        return check.ok("idle=poll: cores never sleep");
    }
    let folder = format!("{CPU}/cpu{core}/cpuidle");
    let states = host.names(&folder).into_iter().filter(|name| name.starts_with("state"));
    let mut deepest: Option<(u64, String)> = None;
    let mut count = 0;
    for state in states {
        count += 1;
        let (Some(latency), Some(disabled)) =
            (host.number::<u64>(&format!("{folder}/{state}/latency")), host.number::<u8>(&format!("{folder}/{state}/disable")))
        else {
            return check.unknown(format!("{folder}/{state} cannot be read"));
        };
        let name = host.text(&format!("{folder}/{state}/name")).unwrap_or(state);
        if disabled == 0 && deepest.as_ref().is_none_or(|deepest| latency >= deepest.0) {
            deepest = Some((latency, name));
        }
    }
    let driver = host.text(&format!("{CPU}/cpuidle/current_driver"));
    match (deepest, driver) {
        (Some((latency, name)), _) if latency <= WAKE_US_MAX => check.ok(format!("deepest is {name}, awake within {latency} us")),
        (Some((latency, name)), _) => check.bad(
            format!("core {core} may sleep in {name} and takes {latency} us to wake"),
            format!("`cpupower idle-set -D {WAKE_US_MAX}`, or boot with `intel_idle.max_cstate=1` (or `idle=poll`)"),
        ),
        (None, _) if count > 0 => check.ok("every sleep state is disabled"),
        (None, Some(driver)) if driver == "none" => check.ok("no driver: a core halts, no deeper"),
        (None, Some(driver)) => check.unknown(format!("the driver `{driver}` lists no states")),
        (None, None) => check.unknown("there is no cpuidle to be read"),
    }
}

fn smt(host: &Host, core: usize) -> Finding {
    let check = Check { id: "smt", weight: 4, section: section::SMT };
    match host.cores(&format!("{CPU}/cpu{core}/topology/thread_siblings_list")) {
        None => check.unknown("the siblings of the core cannot be read"),
        Some(siblings) if siblings.len() <= 1 => check.ok(format!("core {core} shares its units with no other")),
        Some(siblings) => check.warn(
            format!("core {core} shares its units with its siblings ({})", listed(&siblings)),
            "leave the sibling idle and offline it (`echo 0 > /sys/devices/system/cpu/cpuN/online`), or boot with `nosmt`",
        ),
    }
}

fn clock_source(host: &Host) -> Finding {
    let check = Check { id: "clock_source", weight: 5, section: section::CLOCK };
    match host.text("/sys/devices/system/clocksource/clocksource0/current_clocksource") {
        None => check.unknown("the clock source cannot be read"),
        Some(source) if source == "tsc" => check.ok("tsc"),
        Some(source) if source == "kvm-clock" => {
            check.warn("kvm-clock: read through a page of the hypervisor", "boot with `clocksource=tsc` where the TSC is stable")
        }
        Some(source) => check.bad(
            format!("`{source}`: every reading of the wall clock takes a system call or a device access"),
            "find out why the kernel distrusts the TSC (`dmesg | grep -i tsc`), then boot with `clocksource=tsc tsc=reliable`",
        ),
    }
}

fn counter(host: &Host) -> Finding {
    let check = Check { id: "tsc_flags", weight: 5, section: section::CLOCK };
    let Some(flags) = host.field("/proc/cpuinfo", "flags") else { return check.unknown("the processor's flags cannot be read") };
    let missing: Vec<&str> =
        ["constant_tsc", "nonstop_tsc"].into_iter().filter(|flag| !flags.split_whitespace().any(|word| word == *flag)).collect();
    match missing.as_slice() {
        [] => check.ok("constant and never stops"),
        missing => check.bad(
            format!("the time-stamp counter lacks {}: durations measured with it may be wrong", missing.join(", ")),
            "on a virtual machine, pass the flag through (`+invtsc`); otherwise quote no latency of this host",
        ),
    }
}

fn mitigations(host: &Host) -> Finding {
    let check = Check { id: "mitigations", weight: 1, section: section::MITIGATIONS };
    let folder = format!("{CPU}/vulnerabilities");
    let names = host.names(&folder);
    if names.is_empty() {
        return check.unknown("the kernel does not list its mitigations");
    }
    let active = names.iter().filter(|name| host.text(&format!("{folder}/{name}")).is_some_and(|text| text.contains("Mitigation")));
    match active.count() {
        0 => check.ok("none in force"),
        count => check.warn(
            format!("{count} in force: system calls and context switches cost more"),
            "on a machine that runs nothing else, `mitigations=off` is a trade of safety for time; the hot path makes few system calls",
        ),
    }
}

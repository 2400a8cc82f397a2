//! What may run on the hot core besides the hot thread, and what the hot thread may ask for.

use super::finding::{Check, Finding};
use super::host::{Host, listed, parse_cores};
use super::section;

const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// Every check of interrupts, scheduler, limits and the machine below.
pub(super) fn findings(host: &Host, core: usize) -> Vec<Finding> {
    vec![
        interrupts(host, core),
        balancer(host),
        work_queues(host, core),
        watchdog(host),
        throttling(host, core),
        real_time_limit(host),
        locked_memory(host),
        allowed_cores(host, core),
        quota(host),
        preemption(host),
        virtualisation(host),
        steal(host),
    ]
}

fn interrupts(host: &Host, core: usize) -> Finding {
    let check = Check { id: "interrupts", weight: 5, section: section::INTERRUPTS };
    let numbers: Vec<String> =
        host.names("/proc/irq").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    let mut there = Vec::new();
    let mut known = 0;
    for number in &numbers {
        // The effective list is where it goes; without it, where it may go.
        let cores = host
            .cores(&format!("/proc/irq/{number}/effective_affinity_list"))
            .filter(|cores| !cores.is_empty())
            .or_else(|| host.cores(&format!("/proc/irq/{number}/smp_affinity_list")));
        if let Some(cores) = cores {
            known += 1;
            if cores.contains(&core) {
                there.push(number.as_str());
            }
        }
    }
    match (known, there.len()) {
        (0, _) => check.unknown("the affinity of no interrupt can be read"),
        (_, 0) => check.ok(format!("none of {known} goes to core {core}")),
        (_, count) => check.warn(
            format!("{count} of {known} go to core {core}: {}", there.iter().take(8).copied().collect::<Vec<_>>().join(" ")),
            "write other cores to /proc/irq/N/smp_affinity_list, and boot with `irqaffinity=`",
        ),
    }
}

fn balancer(host: &Host) -> Finding {
    let check = Check { id: "irqbalance", weight: 2, section: section::INTERRUPTS };
    match host.runs("irqbalance") {
        None => check.unknown("no process can be seen"),
        Some(false) => check.ok("does not run"),
        Some(true) => check.warn(
            "runs: it moves interrupts back to where they were taken from",
            "`systemctl disable --now irqbalance`, or name the hot cores in IRQBALANCE_BANNED_CPULIST",
        ),
    }
}

fn work_queues(host: &Host, core: usize) -> Finding {
    let check = Check { id: "work_queues", weight: 1, section: section::ISOLATION };
    let Some(mask) = host.text("/sys/devices/virtual/workqueue/cpumask") else {
        return check.unknown("the mask of the kernel's work queues cannot be read");
    };
    let digits: String = mask.chars().filter(char::is_ascii_hexdigit).collect();
    let place = core / 4;
    let digit = digits.chars().rev().nth(place).and_then(|digit| digit.to_digit(16)).unwrap_or(0);
    if digit >> (core % 4) & 1 == 0 {
        check.ok(format!("unbound kernel work keeps off core {core}"))
    } else {
        check.warn(
            format!("unbound kernel work may run on core {core}"),
            "write a mask without the hot cores to /sys/devices/virtual/workqueue/cpumask",
        )
    }
}

fn watchdog(host: &Host) -> Finding {
    let check = Check { id: "nmi_watchdog", weight: 1, section: section::ISOLATION };
    match host.number::<u8>("/proc/sys/kernel/nmi_watchdog") {
        None => check.unknown("kernel.nmi_watchdog cannot be read"),
        Some(0) => check.ok("off"),
        Some(_) => check.warn("on: an interrupt on every core now and then", "`sysctl kernel.nmi_watchdog=0`"),
    }
}

fn throttling(host: &Host, core: usize) -> Finding {
    let check = Check { id: "rt_throttling", weight: 2, section: section::REAL_TIME };
    let fair_server = format!("/sys/kernel/debug/sched/fair_server/cpu{core}/runtime");
    if let Some(ns) = host.number::<u64>(&fair_server).filter(|ns| *ns > 0) {
        return check.warn(
            format!("ordinary threads have {} ms of each second of core {core}, whatever runs under SCHED_FIFO", ns / 1_000_000),
            format!("`echo 0 > {fair_server}` before running with `--fifo`, and never without a free core"),
        );
    }
    let period = host.number::<i64>("/proc/sys/kernel/sched_rt_period_us");
    match (host.number::<i64>("/proc/sys/kernel/sched_rt_runtime_us"), period) {
        (None, _) => check.unknown("kernel.sched_rt_runtime_us cannot be read"),
        (Some(-1), _) => check.ok("off"),
        (Some(runtime), Some(period)) if runtime >= period => check.ok("off: the whole period may be used"),
        (Some(runtime), period) => check.warn(
            format!(
                "real-time threads may run {runtime} of {} us: one that spins under SCHED_FIFO is stopped for the rest",
                period.map_or("unknown".to_owned(), |period| period.to_string())
            ),
            "`sysctl kernel.sched_rt_runtime_us=-1` before running with `--fifo`, and never without a free core",
        ),
    }
}

/// A limit of this process: `None` where it cannot be read, `Some(None)` where there is none.
fn limit(host: &Host, name: &str) -> Option<Option<u64>> {
    let line = host.field("/proc/self/limits", name)?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => Some(Some(number.parse().ok()?)),
    }
}

fn real_time_limit(host: &Host) -> Finding {
    let check = Check { id: "rt_priority_limit", weight: 1, section: section::REAL_TIME };
    match (host.has_capability(CAP_SYS_NICE), limit(host, "Max realtime priority")) {
        (Some(true), _) => check.ok("CAP_SYS_NICE: any priority may be asked for"),
        (_, None) => check.unknown("the limits of this process cannot be read"),
        (_, Some(Some(0))) => {
            check.warn("no real-time priority may be asked for", "`rtprio` in /etc/security/limits.conf, or CAP_SYS_NICE")
        }
        (_, Some(most)) => check.ok(format!("up to {}", most.map_or("any".to_owned(), |most| most.to_string()))),
    }
}

fn locked_memory(host: &Host) -> Finding {
    let check = Check { id: "memlock_limit", weight: 1, section: section::LOCKED_MEMORY };
    match (host.has_capability(CAP_IPC_LOCK), limit(host, "Max locked memory")) {
        (Some(true), _) => check.ok("CAP_IPC_LOCK: all memory may be locked"),
        (_, None) => check.unknown("the limits of this process cannot be read"),
        (_, Some(None)) => check.ok("unlimited"),
        (_, Some(Some(bytes))) => check.warn(
            format!("{} KiB may be locked", bytes / 1_024),
            "`memlock` unlimited in /etc/security/limits.conf, or CAP_IPC_LOCK",
        ),
    }
}

fn allowed_cores(host: &Host, core: usize) -> Finding {
    let check = Check { id: "allowed_cores", weight: 6, section: section::CORES };
    match host.field("/proc/self/status", "Cpus_allowed_list").and_then(|list| parse_cores(&list)) {
        None => check.unknown("the cores of this process cannot be read"),
        Some(cores) if cores.contains(&core) => check.ok(format!("this process may use cores {}", listed(&cores))),
        Some(cores) => check.bad(
            format!("this process may use cores {}, not {core}", listed(&cores)),
            "name an allowed core, or widen the cpuset (`cpuset.cpus`, `taskset`)",
        ),
    }
}

fn quota(host: &Host) -> Finding {
    let check = Check { id: "cpu_quota", weight: 6, section: section::CORES };
    let Some(groups) = host.text("/proc/self/cgroup") else { return check.unknown("the control groups cannot be read") };
    let mut is_known = false;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let limited = if controllers.is_empty() {
            let read = host.text(&format!("/sys/fs/cgroup{path}/cpu.max"));
            is_known |= read.is_some() || path == "/";
            read.filter(|limit| !limit.starts_with("max"))
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            let read = host.text(&format!("/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us"));
            is_known |= read.is_some();
            read.filter(|quota| quota != "-1")
        } else {
            None
        };
        if let Some(limit) = limited {
            return check.bad(
                format!("the control group {path} has a quota ({limit}): a spinning thread uses it up and is stopped"),
                "run outside of the quota (`cpu.max` of `max`), with whole cores by `cpuset.cpus`",
            );
        }
    }
    if is_known { check.ok("no quota") } else { check.unknown("the quota of the control group cannot be read") }
}

fn preemption(host: &Host) -> Finding {
    let check = Check { id: "kernel", weight: 0, section: section::REAL_TIME };
    let Some(version) = host.text("/proc/version") else { return check.unknown("the kernel's version cannot be read") };
    let release = version.split_whitespace().nth(2).unwrap_or("unknown");
    let model = ["PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT"].into_iter().find(|model| version.contains(model));
    check.ok(format!("{release}, {}", model.unwrap_or("no preemption named")))
}

fn virtualisation(host: &Host) -> Finding {
    let check = Check { id: "virtual_machine", weight: 5, section: section::VIRTUAL_MACHINES };
    let Some(flags) = host.field("/proc/cpuinfo", "flags") else { return check.unknown("the processor's flags cannot be read") };
    if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
        return check.ok("no hypervisor below");
    }
    let kind = host.text("/sys/hypervisor/type").or_else(|| host.text("/sys/class/dmi/id/sys_vendor"));
    check.warn(
        format!("a virtual machine ({}): its host takes the core away when it likes", kind.unwrap_or("of a kind not told".into())),
        "a host of one's own, or dedicated cores; until then quote no tail latency of this machine",
    )
}

fn steal(host: &Host) -> Finding {
    let check = Check { id: "steal", weight: 3, section: section::VIRTUAL_MACHINES };
    let Some(line) = host.field("/proc/stat", "cpu ") else { return check.unknown("/proc/stat cannot be read") };
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let (Some(steal), total) = (ticks.get(7), ticks.iter().take(8).fold(0u64, |sum, ticks| sum.saturating_add(*ticks))) else {
        return check.unknown("/proc/stat has no steal time");
    };
    let part = 100.0 * *steal as f64 / total.max(1) as f64;
    let observed = format!("{part:.2} % of all time since boot went to other guests");
    match part {
        0.0..0.01 => check.ok(observed),
        0.01..1.0 => check.warn(observed, "dedicated cores"),
        _ => check.bad(observed, "dedicated cores"),
    }
}

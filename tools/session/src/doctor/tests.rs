//! Hosts made of files.

use super::*;
use chronos_pipeline::topology::HostError;
use std::collections::BTreeMap;
use std::path::Path;

const CPU: &str = "sys/devices/system/cpu";

/// A host whose files a test writes.
struct Made {
    root: tempfile::TempDir,
}

impl Made {
    fn new(files: &[(&str, &str)]) -> Made {
        let made = Made { root: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(path, text)| made.write(path, text));
        made
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    fn diagnose(&self, core: Option<usize>) -> Diagnosis {
        diagnose(&Host::new(self.root.path()), core, 5.0).unwrap()
    }
}

fn levels(diagnosis: &Diagnosis) -> BTreeMap<&'static str, Level> {
    diagnosis.findings.iter().map(|finding| (finding.id, finding.level)).collect()
}

/// Bare metal after all of `tuning.md`: core 3 is the hot one.
fn tuned() -> Made {
    let made = Made::new(&[
        ("proc/cmdline", "quiet isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3 mitigations=off"),
        ("proc/version", "Linux version 6.12.0-rt (x@y) (gcc) #1 SMP PREEMPT_RT"),
        ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc avx2"),
        ("proc/stat", "cpu  100 0 100 10000 0 0 0 0 0 0\ncpu0 1 1 1 1"),
        ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority"),
        ("proc/1/comm", "systemd"),
        ("proc/irq/24/effective_affinity_list", "0"),
        ("proc/irq/25/effective_affinity_list", ""),
        ("proc/irq/25/smp_affinity_list", "0-1"),
        ("proc/self/status", "Name:\tchronos\nCapEff:\t0000000000804000\nCpus_allowed_list:\t0-3"),
        ("proc/self/limits", "Max locked memory         unlimited   unlimited   bytes\nMax realtime priority     99   99   "),
        ("proc/self/cgroup", "0::/trading.slice"),
        ("sys/fs/cgroup/trading.slice/cpu.max", "max 100000"),
        ("proc/sys/kernel/nmi_watchdog", "0"),
        ("proc/sys/kernel/sched_rt_runtime_us", "-1"),
        ("proc/sys/kernel/sched_rt_period_us", "1000000"),
        ("proc/sys/kernel/numa_balancing", "0"),
        ("proc/sys/net/core/busy_read", "50"),
        ("proc/sys/net/core/busy_poll", "50"),
        ("proc/sys/net/core/rmem_max", "33554432"),
        ("sys/devices/system/cpu/isolated", "2-3"),
        ("sys/devices/system/cpu/nohz_full", "2-3"),
        ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance"),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "1"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state0/name", "POLL"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state0/latency", "0"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state0/disable", "0"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state1/name", "C1"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state1/latency", "2"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state2/name", "C6"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state2/latency", "133"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state2/disable", "1"),
        ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
        ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Vulnerable"),
        ("sys/devices/virtual/workqueue/cpumask", "3"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]"),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64"),
        ("sys/devices/system/node/online", "0"),
        ("sys/class/net/eth0/speed", "25000"),
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0"),
        ("sys/bus/pci/card/numa_node", "0"),
    ]);
    made.link("sys/class/net/eth0/device", "../../../bus/pci/card");
    made.link("sys/bus/pci/card/driver", "../drivers/mlx5_core");
    made
}

/// As it comes from a distribution.
fn stock() -> Made {
    let made = Made::new(&[
        ("proc/cmdline", "quiet splash"),
        ("proc/version", "Linux version 6.8.0-31-generic (x@y) (gcc) #31 SMP PREEMPT_DYNAMIC"),
        ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc avx2"),
        ("proc/stat", "cpu  100 0 100 10000 0 0 0 0 0 0"),
        ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/swapfile file 2097148 0 -2"),
        ("proc/1/comm", "systemd"),
        ("proc/731/comm", "irqbalance"),
        ("proc/irq/24/smp_affinity_list", "0-7"),
        ("proc/irq/31/effective_affinity_list", "7"),
        ("proc/self/status", "CapEff:\t0000000000000000\nCpus_allowed_list:\t0-7"),
        ("proc/self/limits", "Max locked memory         8388608   8388608   bytes\nMax realtime priority     0   0   "),
        ("proc/self/cgroup", "0::/user.slice"),
        ("sys/fs/cgroup/user.slice/cpu.max", "200000 100000"),
        ("proc/sys/kernel/nmi_watchdog", "1"),
        ("proc/sys/kernel/sched_rt_runtime_us", "950000"),
        ("proc/sys/kernel/sched_rt_period_us", "1000000"),
        ("proc/sys/kernel/numa_balancing", "1"),
        ("proc/sys/net/core/busy_read", "0"),
        ("proc/sys/net/core/busy_poll", "0"),
        ("proc/sys/net/core/rmem_max", "212992"),
        ("sys/devices/system/cpu/isolated", ""),
        ("sys/devices/system/cpu/nohz_full", "(null)"),
        ("sys/devices/system/cpu/cpu7/cpufreq/scaling_governor", "powersave"),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0"),
        ("sys/devices/system/cpu/cpu7/cpuidle/state0/name", "C10"),
        ("sys/devices/system/cpu/cpu7/cpuidle/state0/latency", "890"),
        ("sys/devices/system/cpu/cpu7/cpuidle/state0/disable", "0"),
        ("sys/devices/system/cpu/cpu7/topology/thread_siblings_list", "3,7"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
        ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines"),
        ("sys/devices/virtual/workqueue/cpumask", "ff"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
        ("sys/devices/system/node/online", "0-1"),
        ("sys/devices/system/cpu/cpu7/node1/cpulist", "4-7"),
    ]);
    std::fs::create_dir_all(made.root.path().join("sys/class/net/lo")).unwrap();
    made
}

#[test]
fn a_tuned_host_is_well_in_every_respect() {
    let diagnosis = tuned().diagnose(Some(3));
    let amiss: Vec<&Finding> = diagnosis.findings.iter().filter(|finding| finding.level > Level::Unknown).collect();
    assert!(amiss.is_empty(), "{amiss:#?}");
    // What a copy of a host cannot tell.
    let unknown: Vec<&str> =
        diagnosis.findings.iter().filter(|finding| finding.level == Level::Unknown).map(|finding| finding.id).collect();
    assert_eq!(unknown, ["jitter", "coalescing"]);
    assert_eq!((diagnosis.score, diagnosis.jitter.is_none()), (Some(100), true));
    let cards = diagnosis.findings.iter().find(|finding| finding.id == "network_cards").unwrap();
    assert_eq!(cards.observed, "eth0: mlx5_core, 1 receive and 1 send queues, 25000 Mbit/s, node 0");
}

#[test]
fn the_core_is_the_one_asked_for_then_an_isolated_one_then_the_last() {
    let of = |made: Made, core| {
        let diagnosis = made.diagnose(core);
        (diagnosis.core, diagnosis.core_choice)
    };
    assert_eq!(of(tuned(), Some(1)), (1, "asked for"));
    assert_eq!(of(tuned(), None), (2, "isolated"));
    assert_eq!(of(stock(), None), (7, "last allowed"));
    assert_eq!(of(Made::new(&[]), None), (0, "first"));
}

#[test]
fn a_stock_host_is_told_what_to_do_and_where_that_is_explained() {
    let diagnosis = stock().diagnose(None);
    let levels = levels(&diagnosis);
    for id in ["isolated_core", "governor", "sleep_states", "clock_source", "cpu_quota"] {
        assert_eq!(levels[id], Level::Bad, "{id}");
    }
    for id in [
        "nohz_full",
        "rcu_nocbs",
        "turbo",
        "smt",
        "mitigations",
        "interrupts",
        "irqbalance",
        "work_queues",
        "nmi_watchdog",
        "rt_throttling",
        "rt_priority_limit",
        "memlock_limit",
        "transparent_huge_pages",
        "swap",
        "numa_nodes",
        "numa_balancing",
        "busy_poll",
        "receive_buffer",
    ] {
        assert_eq!(levels[id], Level::Warn, "{id}");
    }
    for finding in diagnosis.findings.iter().filter(|finding| finding.level > Level::Unknown) {
        assert!(!finding.remedy.is_empty() && section::ALL.contains(&finding.section), "{finding:?}");
    }
    assert!(diagnosis.score.unwrap() < 50, "{:?}", diagnosis.score);
    let interrupts = diagnosis.findings.iter().find(|finding| finding.id == "interrupts").unwrap();
    assert_eq!(interrupts.observed, "2 of 2 go to core 7: 24 31");
    let nodes = diagnosis.findings.iter().find(|finding| finding.id == "numa_nodes").unwrap();
    assert_eq!(nodes.observed, "nodes 0-1; core 7 is on node1");
}

#[test]
fn a_tuned_host_is_told_that_another_core_is_not() {
    let levels = levels(&tuned().diagnose(Some(0)));
    assert_eq!((levels["isolated_core"], levels["interrupts"], levels["work_queues"]), (Level::Bad, Level::Warn, Level::Warn));
    assert_eq!((levels["nohz_full"], levels["rcu_nocbs"]), (Level::Warn, Level::Warn));
    let elsewhere = self::levels(&tuned().diagnose(Some(9)));
    assert_eq!(elsewhere["allowed_cores"], Level::Bad);
}

#[test]
fn a_newer_kernels_fair_server_counts_as_throttling() {
    let made = tuned();
    made.write("sys/kernel/debug/sched/fair_server/cpu3/runtime", "50000000");
    let diagnosis = made.diagnose(Some(3));
    let finding = diagnosis.findings.iter().find(|finding| finding.id == "rt_throttling").unwrap();
    assert!(finding.level == Level::Warn && finding.observed.contains("50 ms"), "{finding:?}");
    made.write("sys/kernel/debug/sched/fair_server/cpu3/runtime", "0");
    assert_eq!(self::levels(&made.diagnose(Some(3)))["rt_throttling"], Level::Ok);
}

#[test]
fn a_guest_is_told_from_a_machine_of_its_own() {
    let made = tuned();
    made.write("proc/cpuinfo", "flags\t\t: fpu tsc constant_tsc hypervisor");
    made.write("sys/class/dmi/id/sys_vendor", "QEMU");
    made.write("proc/stat", "cpu  100 0 100 9700 0 0 0 300 0 0");
    made.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock");
    std::fs::remove_dir_all(made.root.path().join(CPU).join("cpu3/cpufreq")).unwrap();
    std::fs::remove_dir_all(made.root.path().join(CPU).join("cpu3/cpuidle")).unwrap();
    made.write("sys/devices/system/cpu/cpuidle/current_driver", "haltpoll");
    // The older control groups.
    made.write("proc/self/cgroup", "3:cpuset:/\n1:cpu,cpuacct:/box\n0::/");
    made.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000");
    let diagnosis = made.diagnose(Some(3));
    let levels = levels(&diagnosis);
    assert_eq!((levels["virtual_machine"], levels["steal"], levels["clock_source"]), (Level::Warn, Level::Bad, Level::Warn));
    assert_eq!((levels["tsc_flags"], levels["governor"], levels["sleep_states"]), (Level::Bad, Level::Unknown, Level::Unknown));
    assert_eq!(levels["cpu_quota"], Level::Bad);
    assert!(diagnosis.findings.iter().any(|finding| finding.observed.contains("QEMU")));
}

#[test]
fn what_cannot_be_read_is_unknown_and_counts_neither_way() {
    let nothing = Made::new(&[]).diagnose(None);
    assert!(nothing.findings.iter().all(|finding| finding.level == Level::Unknown && !finding.observed.is_empty()), "{nothing:#?}");
    assert_eq!(nothing.score, None);
    // One file more is one finding more, and the score is of that one.
    let one = Made::new(&[("proc/swaps", "Filename")]).diagnose(None);
    assert_eq!((one.score, one.count(Level::Ok), one.count(Level::Unknown)), (Some(100), 1, one.findings.len() - 1));
    // Files that hold no sense.
    let garbage = tuned();
    for path in
        ["proc/self/status", "proc/self/limits", "proc/stat", "sys/devices/system/cpu/isolated", "proc/sys/kernel/numa_balancing"]
    {
        garbage.write(path, "\u{fffd} 12- x");
    }
    garbage.write("sys/devices/system/cpu/cpu3/cpuidle/state1/latency", "-");
    let levels = levels(&garbage.diagnose(Some(3)));
    for id in ["allowed_cores", "memlock_limit", "rt_priority_limit", "steal", "isolated_core", "numa_balancing", "sleep_states"] {
        assert_eq!(levels[id], Level::Unknown, "{id}");
    }
}

#[test]
fn this_host_can_be_looked_at() {
    let diagnosis = diagnose(&Host::new(Path::new("/")), None, 0.0).unwrap();
    assert!(diagnosis.jitter.is_none() && diagnosis.findings.len() > 25);
    assert!(diagnose(&Host::new(Path::new("/")), Some(100_000), 0.01).is_err());
}

/// Headings of the guide, as they stand.
fn headings() -> Vec<String> {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tuning.md")).unwrap();
    guide.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect()
}

#[test]
fn every_section_named_stands_in_the_guide() {
    let headings = headings();
    for section in section::ALL {
        assert!(headings.iter().any(|heading| heading == section), "tuning.md has no section \"{section}\"");
    }
    let refused = || std::io::Error::from_raw_os_error(1);
    for error in [
        HostError::Pin { core: 9 },
        HostError::Fifo { priority: 50, source: refused() },
        HostError::LockMemory(refused()),
        HostError::LockMemoryLimit { limit_kib: 64 },
    ] {
        let text = error.to_string();
        let named = text.split("tuning.md, \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        assert!(headings.iter().any(|heading| heading == named), "{text}");
    }
}

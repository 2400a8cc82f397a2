//! Memory: huge pages, swap, nodes.

use super::finding::{Check, Finding};
use super::host::{Host, listed};
use super::section;

/// Every check of memory.
pub(super) fn findings(host: &Host, core: usize) -> Vec<Finding> {
    vec![transparent(host), reserved(host), swap(host), nodes(host, core), balancing(host)]
}

fn transparent(host: &Host) -> Finding {
    let check = Check { id: "transparent_huge_pages", weight: 2, section: section::HUGE_PAGES };
    let chosen = |text: &str| text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(chosen, _)| chosen.to_owned());
    match host.text("/sys/kernel/mm/transparent_hugepage/enabled").as_deref().and_then(chosen) {
        None => check.unknown("the setting of transparent huge pages cannot be read"),
        Some(mode) if mode == "always" => check.warn(
            "always: a fault may wait for memory to be compacted, and khugepaged moves pages at any time",
            "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`",
        ),
        Some(mode) => check.ok(mode),
    }
}

fn reserved(host: &Host) -> Finding {
    let check = Check { id: "huge_pages", weight: 0, section: section::HUGE_PAGES };
    let counts: Vec<String> = host
        .names("/sys/kernel/mm/hugepages")
        .into_iter()
        .filter_map(|size| {
            let count = host.number::<u64>(&format!("/sys/kernel/mm/hugepages/{size}/nr_hugepages"))?;
            Some(format!("{count} of {}", size.trim_start_matches("hugepages-")))
        })
        .collect();
    if counts.is_empty() { check.unknown("reserved huge pages cannot be read") } else { check.ok(counts.join(", ")) }
}

fn swap(host: &Host) -> Finding {
    let check = Check { id: "swap", weight: 2, section: section::LOCKED_MEMORY };
    match host.text("/proc/swaps").map(|text| text.lines().count().saturating_sub(1)) {
        None => check.unknown("/proc/swaps cannot be read"),
        Some(0) => check.ok("none"),
        Some(count) => check
            .warn(format!("{count} areas: a page of the hot path can be on the disk"), "run with `--lock-memory`, or `swapoff -a`"),
    }
}

fn nodes(host: &Host, core: usize) -> Finding {
    let check = Check { id: "numa_nodes", weight: 3, section: section::NUMA };
    match host.cores("/sys/devices/system/node/online") {
        None => check.unknown("the memory nodes cannot be read"),
        Some(nodes) if nodes.len() <= 1 => check.ok("one node"),
        Some(nodes) => {
            let folder = format!("/sys/devices/system/cpu/cpu{core}");
            let own = host.names(&folder).into_iter().find(|name| {
                name.strip_prefix("node")
                    .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
            });
            check.warn(
                format!("nodes {}; core {core} is on {}", listed(&nodes), own.unwrap_or("one that is not told".into())),
                "run under `numactl --cpunodebind=N --membind=N`, N being the node of the network card",
            )
        }
    }
}

fn balancing(host: &Host) -> Finding {
    let check = Check { id: "numa_balancing", weight: 1, section: section::NUMA };
    match host.number::<u8>("/proc/sys/kernel/numa_balancing") {
        None => check.unknown("kernel.numa_balancing cannot be read"),
        Some(0) => check.ok("off"),
        Some(_) => check.warn("on: pages are unmapped now and then to see who uses them", "`sysctl kernel.numa_balancing=0`"),
    }
}

//! Network cards and the sockets' settings.

use super::ethtool::{Coalescing, coalescing, rings};
use super::finding::{Check, Finding};
use super::host::Host;
use super::section;

/// Every check of the network.
pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let mut findings = vec![busy_polling(host), receive_buffer(host)];
    let cards = host.names("/sys/class/net").into_iter().filter(|name| name != "lo").collect::<Vec<_>>();
    let physical: Vec<&String> =
        cards.iter().filter(|name| host.link_name(&format!("/sys/class/net/{name}/device")).is_some()).collect();
    let check = Check { id: "network_cards", weight: 0, section: section::NETWORK };
    findings.push(match (cards.len(), physical.len()) {
        (0, _) => check.unknown("no network card can be seen"),
        (_, 0) => check.ok(format!("no card but virtual ones: {}", cards.join(" "))),
        _ => check.ok(physical.iter().map(|name| described(host, name)).collect::<Vec<_>>().join("; ")),
    });
    findings.extend(physical.iter().map(|name| coalesced(host, name)));
    findings
}

fn described(host: &Host, name: &str) -> String {
    let folder = format!("/sys/class/net/{name}");
    let queues = host.names(&format!("{folder}/queues"));
    let count = |prefix: &str| queues.iter().filter(|queue| queue.starts_with(prefix)).count();
    let driver = host.link_name(&format!("{folder}/device/driver")).unwrap_or("a driver not told".into());
    let mut text = format!("{name}: {driver}, {} receive and {} send queues", count("rx-"), count("tx-"));
    if let Some(speed) = host.number::<i64>(&format!("{folder}/speed")).filter(|speed| *speed > 0) {
        text.push_str(&format!(", {speed} Mbit/s"));
    }
    if let Some(node) = host.number::<i64>(&format!("{folder}/device/numa_node")).filter(|node| *node >= 0) {
        text.push_str(&format!(", node {node}"));
    }
    if let Some(rings) = host.is_live().then(|| rings(name)).and_then(Result::ok) {
        text.push_str(&format!(", ring of {} (at most {}) to receive", rings.receive, rings.receive_max));
    }
    text
}

fn coalesced(host: &Host, name: &str) -> Finding {
    let check = Check { id: "coalescing", weight: 2, section: section::NETWORK };
    if !host.is_live() {
        return check.unknown(format!("{name}: only the card itself tells, and this is a copy of a host"));
    }
    match coalescing(name) {
        Err(error) => check.unknown(format!("{name}: the card does not tell ({error})")),
        Ok(Coalescing { is_adaptive: false, receive_us: 0, receive_frames: 0 | 1 }) => {
            check.ok(format!("{name}: an interrupt with each packet"))
        }
        Ok(Coalescing { is_adaptive, receive_us, receive_frames }) => check.warn(
            format!(
                "{name}: waits {receive_us} us or {receive_frames} packets{} before it tells of one",
                if is_adaptive { ", adaptively," } else { "" }
            ),
            format!("`ethtool -C {name} adaptive-rx off rx-usecs 0 rx-frames 1`"),
        ),
    }
}

fn busy_polling(host: &Host) -> Finding {
    let check = Check { id: "busy_poll", weight: 1, section: section::NETWORK };
    match (host.number::<u32>("/proc/sys/net/core/busy_read"), host.number::<u32>("/proc/sys/net/core/busy_poll")) {
        (None, _) | (_, None) => check.unknown("net.core.busy_read and busy_poll cannot be read"),
        (Some(0), Some(0)) => check.warn(
            "off: a packet waits for an interrupt and the softirq after it",
            "`sysctl net.core.busy_read=50 net.core.busy_poll=50` where the driver supports it",
        ),
        (Some(read), Some(poll)) => check.ok(format!("busy_read {read} us, busy_poll {poll} us")),
    }
}

fn receive_buffer(host: &Host) -> Finding {
    let check = Check { id: "receive_buffer", weight: 1, section: section::NETWORK };
    match host.number::<u64>("/proc/sys/net/core/rmem_max") {
        None => check.unknown("net.core.rmem_max cannot be read"),
        Some(bytes) if bytes >= 8 << 20 => check.ok(format!("a socket may have {} KiB", bytes >> 10)),
        Some(bytes) => check.warn(
            format!("a socket may have {} KiB: a burst of a multicast feed can be lost", bytes >> 10),
            "`sysctl net.core.rmem_max=33554432`",
        ),
    }
}

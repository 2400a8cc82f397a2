//! What a replay over sockets says of the sockets.

use super::{Speed, WireOptions};
use crate::report::{LatencySummary, summary_of};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a replay over sockets measured.
#[derive(Clone, Debug, Serialize)]
pub struct WireReport {
    /// `udp` or `ws`.
    pub transport: &'static str,
    /// What orders left by: `http` or `ws`.
    pub orders_by: &'static str,
    /// Times the capture's own pace; absent for as fast as it is taken.
    pub speed: Option<f64>,
    /// Messages sent back to back.
    pub burst: u32,
    /// Seed of loss and reordering.
    pub seed: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages lost on purpose.
    pub lost: u64,
    /// Messages overtaken on purpose.
    pub reordered: u64,
    /// Messages received.
    pub received: u64,
    /// Messages sent and never received, not on purpose.
    pub missing: u64,
    /// Datagrams the kernel says it dropped.
    pub kernel_drops: u64,
    /// Whether the kernel told receive times (`SO_TIMESTAMPNS`).
    pub kernel_times: bool,
    /// Orders and cancels handed to the socket.
    pub orders_sent: u64,
    /// Those of them that arrived at the sink.
    pub orders_received: u64,
    /// In nanoseconds, see [`WireLatency`].
    pub latency_ns: BTreeMap<&'static str, LatencySummary>,
}

/// What is measured. Every time begins and ends with the same processor counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireLatency {
    /// Alone on the wire, before the capture: from the sender's call of send to the message in our memory.
    CrossingIn,
    /// The same from our call of send to the order at the sink.
    CrossingOut,
    /// Both, with nothing but the encoding of an order between them.
    Crossings,
    /// During the replay: from the sender's call of send to the message in our memory, the wait for those before it included.
    MessageIn,
    /// From the kernel's receive time to ours, where the kernel tells its own.
    KernelToMemory,
    /// From the sender's call of send to our call of send with the order it caused.
    WireToWire,
    /// How long the socket took to take an order.
    OrderSend,
    /// From the sender's call of send to the order it caused at the sink: compare with `crossings`.
    WireToVenue,
}

impl WireLatency {
    /// Each, in the order they are reported.
    pub const ALL: [WireLatency; 8] = [
        WireLatency::CrossingIn,
        WireLatency::CrossingOut,
        WireLatency::Crossings,
        WireLatency::MessageIn,
        WireLatency::KernelToMemory,
        WireLatency::WireToWire,
        WireLatency::OrderSend,
        WireLatency::WireToVenue,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            WireLatency::CrossingIn => "crossing_in",
            WireLatency::CrossingOut => "crossing_out",
            WireLatency::Crossings => "crossings",
            WireLatency::MessageIn => "message_in",
            WireLatency::KernelToMemory => "kernel_to_memory",
            WireLatency::WireToWire => "wire_to_wire",
            WireLatency::OrderSend => "order_send",
            WireLatency::WireToVenue => "wire_to_venue",
        }
    }
}

impl WireReport {
    /// A report that nothing has been measured for.
    pub(super) fn new(options: &WireOptions) -> WireReport {
        WireReport {
            transport: options.transport.name(),
            orders_by: match options.transport {
                super::Transport::Udp => "http",
                super::Transport::WebSocket => "ws",
            },
            speed: match options.speed {
                Speed::Times(times) => Some(times),
                Speed::Max => None,
            },
            burst: options.burst,
            seed: options.seed,
            sent: 0,
            lost: 0,
            reordered: 0,
            received: 0,
            missing: 0,
            kernel_drops: 0,
            kernel_times: false,
            orders_sent: 0,
            orders_received: 0,
            latency_ns: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, latency: WireLatency, histogram: &Histogram<u64>) {
        self.latency_ns.insert(latency.name(), summary_of(histogram));
    }

    /// Latencies in the order of [`WireLatency::ALL`].
    pub fn latencies(&self) -> impl Iterator<Item = (WireLatency, LatencySummary)> {
        WireLatency::ALL.into_iter().filter_map(|latency| self.latency_ns.get(latency.name()).map(|summary| (latency, *summary)))
    }
}

/// An empty histogram of nanoseconds up to a minute, to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap_or_else(|_| unreachable!("1 <= 60e9/2 and 3 <= 5 digits"))
}

//! Latency by stage.

use hdrhistogram::Histogram;
use std::hint::black_box;

/// A stage whose latency is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Stage {
    /// Bytes of a message to its normal form.
    Decode = 0,
    /// Normal form to an updated, checked book. Depth messages and snapshots only.
    Book = 1,
    /// Streaming features: a message's share, and the frame where a tick fired.
    Features = 2,
    /// One step of the model.
    Inference = 3,
    /// The strategy.
    Decision = 4,
    /// Pre-trade checks, journal record and order bytes, for one order.
    Risk = 5,
    /// A complete message in memory to the end of everything it caused on the way to an encoded order, over all messages.
    TickToTrade = 6,
    /// Tick-to-trade of depth messages of at most 20 level changes.
    TickToTradeDepthTo20 = 7,
    /// Tick-to-trade of depth messages of 21 to 100 level changes.
    TickToTradeDepthTo100 = 8,
    /// Tick-to-trade of depth messages of more level changes, and of snapshots.
    TickToTradeDepthOver100 = 9,
    /// Decision ticks, from the message (or the timer) that fired them to the end of the decision.
    DecisionTick = 10,
}

impl Stage {
    /// Every stage, in the order they are reported.
    pub const ALL: [Stage; 11] = [
        Stage::Decode,
        Stage::Book,
        Stage::Features,
        Stage::Inference,
        Stage::Decision,
        Stage::Risk,
        Stage::TickToTrade,
        Stage::TickToTradeDepthTo20,
        Stage::TickToTradeDepthTo100,
        Stage::TickToTradeDepthOver100,
        Stage::DecisionTick,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Book => "book",
            Stage::Features => "features",
            Stage::Inference => "inference",
            Stage::Decision => "decision",
            Stage::Risk => "risk",
            Stage::TickToTrade => "tick_to_trade",
            Stage::TickToTradeDepthTo20 => "tick_to_trade_depth_to_20_levels",
            Stage::TickToTradeDepthTo100 => "tick_to_trade_depth_to_100_levels",
            Stage::TickToTradeDepthOver100 => "tick_to_trade_depth_over_100_levels",
            Stage::DecisionTick => "decision_tick",
        }
    }

    /// The class of a depth message by its number of level changes.
    #[inline]
    pub fn of_depth(levels: usize) -> Stage {
        match levels {
            0..=20 => Stage::TickToTradeDepthTo20,
            21..=100 => Stage::TickToTradeDepthTo100,
            _ => Stage::TickToTradeDepthOver100,
        }
    }
}

/// Longest latency told apart, in nanoseconds; longer ones count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Depth messages whose size and latency are kept one by one; later ones are only in the histograms.
pub const DEPTH_SAMPLES_MAX: usize = 1 << 20;

/// One histogram a stage, to three significant digits; and size and latency of every depth message, up to a number.
#[derive(Clone, Debug)]
pub struct Latencies {
    histograms: Vec<Histogram<u64>>,
    /// Latency recorded last in each histogram.
    last_ns: [u64; Stage::ALL.len()],
    /// Level changes and nanoseconds.
    depth: Vec<(u32, u32)>,
}

/// Tick-to-trade of depth messages of similar size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DepthDecile {
    /// Level changes of the smallest message.
    pub levels_min: u32,
    /// Level changes of the largest.
    pub levels_max: u32,
    /// Messages.
    pub count: u64,
    /// Median, in nanoseconds.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Largest.
    pub max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Empty histograms, their memory taken.
    pub fn new() -> Latencies {
        let empty =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).unwrap_or_else(|_| unreachable!("1 <= 60e9/2 and 3 <= 5 digits"));
        Latencies {
            histograms: vec![empty; Stage::ALL.len()],
            last_ns: [0; Stage::ALL.len()],
            depth: Vec::with_capacity(DEPTH_SAMPLES_MAX),
        }
    }

    /// Adds one latency.
    #[inline]
    pub fn record(&mut self, stage: Stage, nanos: u64) {
        self.histograms[stage as usize].saturating_record(nanos);
        self.last_ns[stage as usize] = nanos;
    }

    /// Adds the tick-to-trade of a depth message or a snapshot of so many level changes.
    #[inline]
    pub fn record_depth(&mut self, levels: usize, nanos: u64) {
        self.record(Stage::of_depth(levels), nanos);
        if self.depth.len() < DEPTH_SAMPLES_MAX {
            self.depth.push((u32::try_from(levels).unwrap_or(u32::MAX), u32::try_from(nanos).unwrap_or(u32::MAX)));
        }
    }

    /// Keeps what the next records change in the core's cache: for a thread that waits.
    pub fn keep_near(&self) {
        for (histogram, nanos) in self.histograms.iter().zip(self.last_ns) {
            black_box((histogram.count_at(nanos), histogram.max()));
        }
    }

    /// Tick-to-trade of depth messages by size: ten groups of about as many messages each, the smallest first, fewer where many are of one
    /// size, which are not told apart. Of the first [`DEPTH_SAMPLES_MAX`] messages.
    pub fn depth_deciles(&self) -> Vec<DepthDecile> {
        let mut samples = self.depth.clone();
        samples.sort_unstable();
        let (mut deciles, mut begin) = (Vec::new(), 0);
        for tenth in 1..=10 {
            let Some(&(levels_max, _)) = (samples.len() * tenth / 10).checked_sub(1).and_then(|last| samples.get(last)) else {
                continue;
            };
            let end = samples.partition_point(|sample| sample.0 <= levels_max);
            let Some(group) = samples.get(begin..end).filter(|group| !group.is_empty()) else { continue };
            let mut nanos: Vec<u32> = group.iter().map(|sample| sample.1).collect();
            nanos.sort_unstable();
            // The smallest latency that this share of them does not exceed.
            let at = |percent: usize| u64::from(nanos[(nanos.len() * percent).div_ceil(100) - 1]);
            let (levels_min, count) = (group[0].0, group.len() as u64);
            deciles.push(DepthDecile { levels_min, levels_max, count, p50_ns: at(50), p99_ns: at(99), max_ns: at(100) });
            begin = end;
        }
        deciles
    }

    /// The histogram of a stage.
    pub fn histogram(&self, stage: Stage) -> &Histogram<u64> {
        &self.histograms[stage as usize]
    }

    /// Adds what another thread measured.
    pub fn merge(&mut self, other: &Latencies) {
        for (ours, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            // Same bounds, so adding cannot fail.
            let _ = ours.add(theirs);
        }
        let room = DEPTH_SAMPLES_MAX - self.depth.len();
        self.depth.extend(other.depth.iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_numbered_as_listed() {
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, place);
        }
    }

    #[test]
    fn merging_adds_counts() {
        let (mut one, mut two) = (Latencies::new(), Latencies::new());
        one.record(Stage::Decode, 100);
        two.record(Stage::Decode, 300);
        two.record(Stage::Risk, u64::MAX);
        one.merge(&two);
        assert_eq!(one.histogram(Stage::Decode).len(), 2);
        assert_eq!(one.histogram(Stage::Risk).len(), 1);
    }

    #[test]
    fn deciles_of_sizes_by_hand() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.depth_deciles(), []);
        // Sizes 1 to 20, ten times each but for size 3, which half of all have.
        for (levels, times) in (1..=20).map(|levels| (levels, if levels == 3 { 190 } else { 10 })) {
            for time in 0..times {
                latencies.record_depth(levels, levels as u64 * 1_000 + time);
            }
        }
        let deciles = latencies.depth_deciles();
        let sizes: Vec<_> = deciles.iter().map(|decile| (decile.levels_min, decile.levels_max, decile.count)).collect();
        // 380 messages: the 38th is of size 3, the 228th of size 5, the 266th of size 9 and so on.
        let wanted = [(1, 3, 210), (4, 5, 20), (6, 9, 40), (10, 13, 40), (14, 17, 40), (18, 20, 30)];
        assert_eq!(sizes, wanted);
        let [second] = [deciles[1]];
        assert_eq!([second.p50_ns, second.p99_ns, second.max_ns], [4_009, 5_009, 5_009]);
    }

    #[test]
    fn as_many_depth_messages_are_kept_as_there_is_room_for() {
        let mut latencies = Latencies::new();
        (0..DEPTH_SAMPLES_MAX + 5).for_each(|_| latencies.record_depth(1, 7));
        assert_eq!(latencies.depth_deciles()[0].count, DEPTH_SAMPLES_MAX as u64);
        let other = latencies.clone();
        latencies.merge(&other);
        assert_eq!(latencies.depth_deciles()[0].count, DEPTH_SAMPLES_MAX as u64);
        assert_eq!(latencies.histogram(Stage::TickToTradeDepthTo20).len(), 2 * (DEPTH_SAMPLES_MAX as u64 + 5));
    }
}

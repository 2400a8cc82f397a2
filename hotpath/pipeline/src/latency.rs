//! Latency by stage.

use hdrhistogram::Histogram;

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

/// One histogram a stage, to three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies {
    histograms: Vec<Histogram<u64>>,
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
        Latencies { histograms: vec![empty; Stage::ALL.len()] }
    }

    /// Adds one latency.
    #[inline]
    pub fn record(&mut self, stage: Stage, nanos: u64) {
        self.histograms[stage as usize].saturating_record(nanos);
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
}

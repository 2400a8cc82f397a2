//! How far the clocks of recorder and exchange are apart, over any number of messages in little memory.

use serde::Serialize;
use std::collections::BTreeMap;

/// Receive time less exchange time: summary of a distribution, in nanoseconds. Least and greatest are exact, the others within 0.2 %
/// for an instrument and 0.02 % for a feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct OffsetSummary {
    /// Messages that carry an exchange time.
    pub count: u64,
    /// Least.
    pub min_ns: i64,
    /// Median.
    pub p50_ns: i64,
    /// 99th percentile.
    pub p99_ns: i64,
    /// Greatest.
    pub max_ns: i64,
}

/// A histogram of signed values whose buckets widen with the size of the value. Only buckets in use take memory.
#[derive(Clone, Debug)]
pub struct OffsetHistogram {
    /// Each power of two has two to this power of buckets.
    sub_bits: u32,
    buckets: BTreeMap<i32, u64>,
    count: u64,
    min: i64,
    max: i64,
}

impl OffsetHistogram {
    /// An empty one that tells values to within half of one to `2.pow(sub_bits)` of them; at most 16.
    pub fn new(sub_bits: u32) -> OffsetHistogram {
        OffsetHistogram { sub_bits: sub_bits.min(16), buckets: BTreeMap::new(), count: 0, min: 0, max: 0 }
    }

    /// Counts a value.
    pub fn add(&mut self, value: i64) {
        *self.buckets.entry(self.bucket(value)).or_default() += 1;
        (self.min, self.max) = if self.count == 0 { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        self.count += 1;
    }

    /// Counts what another one of as fine buckets has counted.
    pub fn merge(&mut self, other: &OffsetHistogram) {
        if other.count == 0 {
            return;
        }
        for (place, count) in &other.buckets {
            *self.buckets.entry(*place).or_default() += count;
        }
        (self.min, self.max) =
            if self.count == 0 { (other.min, other.max) } else { (self.min.min(other.min), self.max.max(other.max)) };
        self.count += other.count;
    }

    /// Values and how often each came, ascending; a value stands for its bucket.
    pub fn values(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.buckets.iter().map(|(&place, &count)| (self.middle(place).clamp(self.min, self.max), count))
    }

    /// The value below which a share of all lies (nearest rank); `None` where there is none.
    pub fn quantile(&self, share: f64) -> Option<i64> {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        self.values().find_map(|(value, count)| {
            below += count;
            (below >= rank).then_some(value)
        })
    }

    /// The summary; `None` where there is nothing.
    pub fn summary(&self) -> Option<OffsetSummary> {
        let (p50_ns, p99_ns) = (self.quantile(0.5)?, self.quantile(0.99)?);
        Some(OffsetSummary { count: self.count, min_ns: self.min, p50_ns, p99_ns, max_ns: self.max })
    }

    /// The bucket of a value: exact where it is small, then as many to each power of two. Ascends with the value.
    fn bucket(&self, value: i64) -> i32 {
        let size = value.unsigned_abs();
        let shift = size.max(1).ilog2().saturating_sub(self.sub_bits);
        // At most 63 << 16.
        let place = ((u64::from(shift) << self.sub_bits) + (size >> shift)) as i32;
        if value < 0 { -place } else { place }
    }

    /// The middle of a bucket.
    fn middle(&self, place: i32) -> i64 {
        let size = u64::from(place.unsigned_abs());
        let shift = (size >> self.sub_bits).saturating_sub(1);
        let low = u128::from(size - (shift << self.sub_bits)) << shift;
        let middle = i64::try_from(low + ((1_u128 << shift) - 1) / 2).unwrap_or(i64::MAX);
        if place < 0 { -middle } else { middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(OffsetHistogram::new(8).summary(), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            values in prop::collection::vec(prop_oneof![any::<i64>(), -2_000_000_000_i64..2_000_000_000], 1..200),
            sub_bits in 4_u32..=16,
        ) {
            let [mut whole, mut one, mut other] = [0; 3].map(|_| OffsetHistogram::new(sub_bits));
            for (place, value) in values.iter().enumerate() {
                whole.add(*value);
                if place % 3 == 0 { one.add(*value) } else { other.add(*value) }
            }
            one.merge(&other);
            prop_assert_eq!(one.summary(), whole.summary());
            let mut sorted = values;
            sorted.sort_unstable();
            let summary = whole.summary().unwrap();
            prop_assert_eq!((summary.min_ns, summary.max_ns), (sorted[0], sorted[sorted.len() - 1]));
            for (share, told) in [(0.5, summary.p50_ns), (0.99, summary.p99_ns)] {
                let exact = sorted[(sorted.len() as f64 * share).ceil() as usize - 1];
                let error = (i128::from(told) - i128::from(exact)).unsigned_abs();
                prop_assert!(error << (sub_bits + 1) <= u128::from(exact.unsigned_abs()), "{} for {}", told, exact);
            }
        }
    }
}

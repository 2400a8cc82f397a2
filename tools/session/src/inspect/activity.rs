//! What happened when: series in a fixed number of buckets that widen as the time they cover grows.

use super::kind::KINDS;

/// Buckets of a series at most; it has at least half as many once it is long.
pub const BUCKETS_MAX: usize = 1_024;
/// Width of a bucket at the beginning, in nanoseconds.
const WIDTH_NS: i64 = 1_000_000;

/// What a bucket holds.
pub trait Merge: Default + Clone {
    /// Adds what a later bucket holds.
    fn merge(&mut self, later: &Self);
}

/// Buckets of equal width from the first instant on.
#[derive(Clone, Debug)]
pub struct Buckets<T> {
    origin_ns: i64,
    width_ns: i64,
    buckets: Vec<T>,
}

impl<T: Merge> Default for Buckets<T> {
    fn default() -> Self {
        Buckets { origin_ns: 0, width_ns: WIDTH_NS, buckets: Vec::new() }
    }
}

impl<T: Merge> Buckets<T> {
    /// The bucket of an instant; one before the first counts as the first.
    pub fn at(&mut self, instant_ns: i64) -> &mut T {
        if self.buckets.is_empty() {
            self.origin_ns = instant_ns;
        }
        let since = instant_ns.saturating_sub(self.origin_ns).max(0);
        while since / self.width_ns >= BUCKETS_MAX as i64 {
            self.widen();
        }
        let place = (since / self.width_ns) as usize;
        if place >= self.buckets.len() {
            self.buckets.resize(place + 1, T::default());
        }
        &mut self.buckets[place]
    }

    fn widen(&mut self) {
        let merged = self.buckets.chunks(2).map(|pair| match pair {
            [earlier, later] => {
                let mut both = earlier.clone();
                both.merge(later);
                both
            }
            _ => pair[0].clone(),
        });
        self.buckets = merged.collect();
        self.width_ns *= 2;
    }

    /// Nanoseconds a bucket covers.
    pub fn width_ns(&self) -> i64 {
        self.width_ns
    }

    /// The beginning of each bucket and what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        self.buckets.iter().enumerate().map(|(place, bucket)| (self.origin_ns.saturating_add(place as i64 * self.width_ns), bucket))
    }

    /// Whether nothing has been put in.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// Messages by kind, as [`super::MessageKind`] numbers them.
pub type KindCounts = [u64; KINDS];

impl Merge for KindCounts {
    fn merge(&mut self, later: &KindCounts) {
        self.iter_mut().zip(later).for_each(|(count, later)| *count += later);
    }
}

/// Values of a bucket.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Extent {
    /// How many.
    pub count: u64,
    /// Least; 0 where there is none, as the others.
    pub low: f64,
    /// Greatest.
    pub high: f64,
    /// Last.
    pub last: f64,
    /// Sum.
    pub sum: f64,
}

impl Extent {
    /// Counts a value.
    pub fn add(&mut self, value: f64) {
        self.merge(&Extent { count: 1, low: value, high: value, last: value, sum: value });
    }

    /// Mean; NaN where there is no value.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Merge for Extent {
    fn merge(&mut self, later: &Extent) {
        *self = match (self.count, later.count) {
            (_, 0) => *self,
            (0, _) => *later,
            _ => Extent {
                count: self.count + later.count,
                low: self.low.min(later.low),
                high: self.high.max(later.high),
                last: later.last,
                sum: self.sum + later.sum,
            },
        };
    }
}

/// One instrument's market in a bucket.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct MarketBucket {
    /// Mid price, in quote currency: of the book while it is in sync, else of the venue's quotes.
    pub mid: Extent,
    /// Ask less bid, in quote currency.
    pub spread: Extent,
    /// Receive time less exchange time, in nanoseconds.
    pub offset_ns: Extent,
}

impl Merge for MarketBucket {
    fn merge(&mut self, later: &MarketBucket) {
        self.mid.merge(&later.mid);
        self.spread.merge(&later.spread);
        self.offset_ns.merge(&later.offset_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_however_long_the_series_grows(steps in prop::collection::vec((0_i64..5_000_000_000, -9.0_f64..9.0), 1..3_000)) {
            let mut buckets = Buckets::<Extent>::default();
            let (mut now, mut instants) = (1_700_000_000_000_000_000, Vec::new());
            for (step, value) in &steps {
                now += step;
                instants.push(now);
                buckets.at(now).add(*value);
            }
            prop_assert_eq!(buckets.iter().map(|(_, bucket)| bucket.count).sum::<u64>(), steps.len() as u64);
            prop_assert!(buckets.iter().count() <= BUCKETS_MAX);
            for (from, bucket) in buckets.iter() {
                let inside = instants.iter().zip(&steps).filter(|(instant, _)| (from..from + buckets.width_ns()).contains(*instant));
                let values: Vec<f64> = inside.map(|(_, step)| step.1).collect();
                prop_assert_eq!(bucket.count, values.len() as u64);
                prop_assert_eq!(values.last().copied().unwrap_or(0.0), bucket.last);
                prop_assert_eq!(values.iter().copied().reduce(f64::max).unwrap_or(0.0), bucket.high);
            }
        }
    }

    #[test]
    fn any_instant_has_a_bucket() {
        let mut buckets = Buckets::<Extent>::default();
        for instant in [0, i64::MIN, i64::MAX, -1] {
            buckets.at(instant).add(1.0);
        }
        assert_eq!(buckets.iter().map(|(_, bucket)| bucket.count).sum::<u64>(), 4);
    }
}

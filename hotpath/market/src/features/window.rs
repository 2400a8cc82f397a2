//! Sums over a sliding window of logical time.

use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Buckets of a window; more make its edge sharper.
const BUCKETS: usize = 64;

/// `N` sums over the last `seconds` of logical time.
///
/// The window is 64 buckets with edges on multiples of their width since the epoch, the newest one under way. The sums are made
/// anew from the buckets whenever one of them has passed, so that rounding errors do not gather, and what is read depends only on
/// what was added when. Times must not decrease.
#[derive(Clone, Debug)]
pub(super) struct SlidingSums<const N: usize> {
    /// First instant after the newest bucket.
    newest_end_ns: i64,
    newest: [f64; N],
    /// Sums of the passed buckets, once they were asked for.
    passed_sums: Option<[f64; N]>,
    width_ns: i64,
    /// Number of the newest bucket since the epoch.
    number: i64,
    /// The passed buckets, each at its number modulo their count; the newest one's place is zero.
    passed: [[f64; N]; BUCKETS],
}

impl<const N: usize> SlidingSums<N> {
    /// An empty window.
    pub(super) fn new(seconds: u32) -> Self {
        let width_ns = (i64::from(seconds) * NANOS_PER_SECOND / BUCKETS as i64).max(1);
        SlidingSums {
            newest_end_ns: i64::MIN,
            newest: [0.0; N],
            passed_sums: None,
            width_ns,
            number: 0,
            passed: [[0.0; N]; BUCKETS],
        }
    }

    /// Adds to the sums at `now`.
    #[inline]
    pub(super) fn add(&mut self, now: Timestamp, values: [f64; N]) {
        self.advance(now);
        for (sum, value) in self.newest.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// The sums over the window that ends at `now`.
    #[inline]
    pub(super) fn sums(&mut self, now: Timestamp) -> [f64; N] {
        self.advance(now);
        let passed = *self.passed_sums.get_or_insert_with(|| sum(&self.passed));
        std::array::from_fn(|place| passed[place] + self.newest[place])
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.newest_end_ns = i64::MIN;
        self.newest = [0.0; N];
        self.passed_sums = None;
        self.passed = [[0.0; N]; BUCKETS];
    }

    #[inline]
    fn advance(&mut self, now: Timestamp) {
        if now.0 >= self.newest_end_ns {
            self.roll(now);
        }
    }

    fn roll(&mut self, now: Timestamp) {
        let number = now.0.div_euclid(self.width_ns);
        let steps = number - self.number;
        if steps == 0 && self.newest_end_ns > i64::MIN {
            // The bucket at the end of time has no end.
            return;
        }
        self.passed[slot(self.number)] = std::mem::replace(&mut self.newest, [0.0; N]);
        self.passed_sums = None;
        if (0..BUCKETS as i64).contains(&steps) {
            for empty in self.number + 1..=number {
                self.passed[slot(empty)] = [0.0; N];
            }
        } else {
            self.passed = [[0.0; N]; BUCKETS];
        }
        self.number = number;
        self.newest_end_ns = number.saturating_add(1).saturating_mul(self.width_ns);
    }
}

fn sum<const N: usize>(buckets: &[[f64; N]; BUCKETS]) -> [f64; N] {
    // Four chains of additions, so that one does not wait for the other.
    let mut chains = [[0.0; N]; 4];
    for group in buckets.chunks_exact(chains.len()) {
        for (chain, bucket) in chains.iter_mut().zip(group) {
            for (sum, value) in chain.iter_mut().zip(bucket) {
                *sum += value;
            }
        }
    }
    let [a, b, c, d] = chains;
    std::array::from_fn(|place| (a[place] + b[place]) + (c[place] + d[place]))
}

#[inline]
fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_leaves_with_its_bucket() {
        let width = NANOS_PER_SECOND / 64;
        let mut window = SlidingSums::<1>::new(1);
        window.add(Timestamp(5 * width), [1.0]);
        window.add(Timestamp(6 * width - 1), [2.0]);
        window.add(Timestamp(6 * width), [4.0]);
        assert_eq!(window.sums(Timestamp(69 * width - 1)), [7.0]);
        assert_eq!(window.sums(Timestamp(69 * width)), [4.0]);
        assert_eq!(window.sums(Timestamp(70 * width)), [0.0]);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let mut window = SlidingSums::<1>::new(60);
        for now in [Timestamp::MIN, Timestamp(-1), Timestamp(0), Timestamp::MAX, Timestamp::MAX] {
            window.add(now, [1.0]);
        }
        assert_eq!(window.sums(Timestamp::MAX), [2.0]);
    }

    proptest! {
        #[test]
        fn equals_the_sum_over_listed_events(
            start in -3_000_000_000i64..3_000_000_000,
            steps in prop::collection::vec((0i64..400_000_000, -9i32..9, prop::bool::weighted(0.02)), 1..300),
        ) {
            let width = NANOS_PER_SECOND / 64;
            let mut window = SlidingSums::<2>::new(1);
            let (mut now, mut events) = (start, Vec::new());
            for (step, value, is_cleared) in steps {
                now += step / 8;
                if is_cleared {
                    window.clear();
                    events.clear();
                }
                window.add(Timestamp(now), [f64::from(value), 1.0]);
                events.push((now, value));
                let read = now + step;
                let newest = read.div_euclid(width);
                let inside = events.iter().filter(|(at, _)| at.div_euclid(width) > newest - 64);
                let expected = inside.fold([0.0, 0.0], |[sum, count], (_, value)| [sum + f64::from(*value), count + 1.0]);
                let mut later = window.clone();
                prop_assert_eq!(later.sums(Timestamp(read)), expected);
            }
        }
    }
}

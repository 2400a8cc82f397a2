//! Sums over the last entries, and over a sliding window of logical time.

use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Buckets of a time window; more make its edge sharper.
const BUCKETS: usize = 64;

/// Buckets ahead that are counted rather than found by division.
const COUNTED: i64 = 8;

/// `N` sums over the last so many entries, each in constant time: one array holds, before `place`, the entries of the block under
/// way, and from there on sums of the block before up to its end.
///
/// Nothing is ever subtracted, so that rounding errors do not gather and a huge entry leaves no trace.
#[derive(Clone, Debug)]
pub(crate) struct RollingSums<const N: usize> {
    entries: Box<[[f64; N]]>,
    /// Entries of the block under way, and their sums.
    place: usize,
    sums: [f64; N],
    /// Entries since the last clear.
    count: u64,
}

impl<const N: usize> RollingSums<N> {
    /// Sums over the last `window` entries (at least one).
    pub(crate) fn new(window: usize) -> Self {
        RollingSums { entries: vec![[0.0; N]; window.max(1)].into(), place: 0, sums: [0.0; N], count: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, values: [f64; N]) {
        self.push_all(&values);
    }

    #[inline]
    fn push_all(&mut self, values: &[f64; N]) {
        if self.place == self.entries.len() {
            self.turn();
        }
        self.entries[self.place] = *values;
        add(&mut self.sums, values);
        self.place += 1;
        self.count += 1;
    }

    /// The sums over what the window holds, which may not be full yet.
    #[inline(always)]
    pub(crate) fn sums(&self) -> [f64; N] {
        let mut sums = self.sums;
        if let Some(before) = self.entries.get(self.place) {
            add(&mut sums, before);
        }
        sums
    }

    /// Number of entries in the window.
    pub(crate) fn len(&self) -> usize {
        self.entries.len().min(usize::try_from(self.count).unwrap_or(usize::MAX))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.begin_at(0);
    }

    /// Empties the window, its next entry at a place of the block: sums of equal entries at equal places are equal to the last bit.
    fn begin_at(&mut self, place: usize) {
        self.entries.fill([0.0; N]);
        self.sums = [0.0; N];
        (self.place, self.count) = (place, 0);
    }

    fn turn(&mut self) {
        for place in (1..self.entries.len()).rev() {
            let after = self.entries[place];
            add(&mut self.entries[place - 1], &after);
        }
        (self.place, self.sums) = (0, [0.0; N]);
    }
}

/// `N` sums over the last `seconds` of logical time.
///
/// The window is 64 buckets with edges on multiples of their width since the epoch, the newest one under way. What is read depends
/// only on what was added when. Times must not decrease.
#[derive(Clone, Debug)]
pub(crate) struct SlidingSums<const N: usize> {
    /// First instant after the newest bucket.
    newest_end_ns: i64,
    newest: [f64; N],
    passed: RollingSums<N>,
    width_ns: i64,
    /// Number of the newest bucket since the epoch.
    number: i64,
}

impl<const N: usize> SlidingSums<N> {
    /// An empty window.
    pub(crate) fn new(seconds: u32) -> Self {
        let width_ns = (i64::from(seconds) * NANOS_PER_SECOND / BUCKETS as i64).max(1);
        SlidingSums { newest_end_ns: i64::MIN, newest: [0.0; N], passed: RollingSums::new(BUCKETS - 1), width_ns, number: 0 }
    }

    /// Adds to the sums at `now`.
    #[inline(always)]
    pub(crate) fn add(&mut self, now: Timestamp, values: [f64; N]) {
        self.advance(now);
        add(&mut self.newest, &values);
    }

    /// The sums over the window that ends at `now`.
    #[inline(always)]
    pub(crate) fn sums(&mut self, now: Timestamp) -> [f64; N] {
        self.advance(now);
        let mut sums = self.passed.sums();
        add(&mut sums, &self.newest);
        sums
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.newest_end_ns = i64::MIN;
        self.newest = [0.0; N];
        self.passed.clear();
    }

    #[inline(always)]
    fn advance(&mut self, now: Timestamp) {
        if now.0 >= self.newest_end_ns {
            self.roll(now);
        }
    }

    fn roll(&mut self, now: Timestamp) {
        // Most often the bucket is one of the next few: counting finds it faster than a division.
        let soon_ns = self.newest_end_ns.saturating_add(COUNTED * self.width_ns);
        if self.newest_end_ns > i64::MIN && now.0 < soon_ns && soon_ns < i64::MAX {
            self.passed.push_all(&self.newest);
            self.newest = [0.0; N];
            loop {
                self.number += 1;
                self.newest_end_ns += self.width_ns;
                if now.0 < self.newest_end_ns {
                    return;
                }
                self.passed.push_all(&[0.0; N]);
            }
        }
        let number = now.0.div_euclid(self.width_ns);
        let steps = number.saturating_sub(self.number);
        if steps == 0 && self.newest_end_ns > i64::MIN {
            // The bucket at the end of time has no end.
            return;
        }
        if self.newest_end_ns == i64::MIN || steps >= BUCKETS as i64 {
            self.passed.begin_at(number.rem_euclid(BUCKETS as i64 - 1) as usize);
        } else {
            self.passed.push_all(&self.newest);
            (1..steps).for_each(|_| self.passed.push_all(&[0.0; N]));
        }
        self.newest = [0.0; N];
        self.number = number;
        self.newest_end_ns = number.saturating_add(1).saturating_mul(self.width_ns);
    }
}

#[inline(always)]
fn add<const N: usize>(sums: &mut [f64; N], values: &[f64; N]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
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

        /// To the last bit: 0.1 has no exact form, so that another order of additions would show.
        #[test]
        fn reading_changes_no_later_value(steps in prop::collection::vec((0i64..400_000_000, 1i32..9), 1..300)) {
            let (mut read, mut unread, mut now) = (SlidingSums::<1>::new(1), SlidingSums::<1>::new(1), 0);
            for (step, value) in steps {
                read.sums(Timestamp(now + step / 2));
                now += step;
                read.add(Timestamp(now), [0.1 * f64::from(value)]);
                unread.add(Timestamp(now), [0.1 * f64::from(value)]);
                prop_assert_eq!(read.sums(Timestamp(now)), unread.clone().sums(Timestamp(now)));
            }
        }

        #[test]
        fn rolling_sums_are_those_of_the_last_entries(window in 1usize..12, entries in prop::collection::vec(-9i32..9, 1..60)) {
            let mut sums = RollingSums::<1>::new(window);
            for place in 0..entries.len() {
                sums.push([f64::from(entries[place])]);
                let last = &entries[(place + 1).saturating_sub(window)..=place];
                prop_assert_eq!(sums.sums(), [f64::from(last.iter().sum::<i32>())]);
                prop_assert_eq!((sums.len(), sums.is_full()), (last.len(), place + 1 >= window));
            }
        }
    }
}

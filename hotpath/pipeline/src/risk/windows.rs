//! Sliding windows over logical time that take their memory once.

use chronos_market::Timestamp;

/// Times of the newest events, and with them whether there were too many within a window: exact.
#[derive(Debug)]
pub(super) struct TimeRing {
    times: Box<[Timestamp]>,
    /// Place of the next time.
    next: usize,
}

impl TimeRing {
    /// Room for `len` times, a power of two.
    pub(super) fn new(len: usize) -> TimeRing {
        TimeRing { times: vec![Timestamp::MIN; len.next_power_of_two()].into_boxed_slice(), next: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, now: Timestamp) {
        self.times[self.next] = now;
        self.next = (self.next + 1) & (self.times.len() - 1);
    }

    /// Time of the `count`-th newest event, 1 being the newest; [`Timestamp::MIN`] where there were not so many. A `count` beyond
    /// the room is held at it.
    #[inline]
    pub(super) fn newest(&self, count: usize) -> Timestamp {
        let back = count.clamp(1, self.times.len());
        self.times[(self.next + self.times.len() - back) & (self.times.len() - 1)]
    }
}

/// Steps of a [`SumWindow`] beside the running one.
const SUM_STEPS: usize = 16;

/// A sum over a window in steps of a sixteenth. The step that is leaving the window counts until it is wholly out, so the sum is
/// never less than that of the window.
#[derive(Debug)]
pub(super) struct SumWindow {
    step_ns: i64,
    /// End of the running step.
    step_end: Timestamp,
    steps: [i128; SUM_STEPS + 1],
    /// Place of the running step.
    place: usize,
    total: i128,
}

impl SumWindow {
    pub(super) fn new(window_ns: i64) -> SumWindow {
        SumWindow {
            step_ns: (window_ns / SUM_STEPS as i64).max(1),
            step_end: Timestamp::MIN,
            steps: [0; SUM_STEPS + 1],
            place: 0,
            total: 0,
        }
    }

    /// Adds what happened at `now`. The sum is held at `max`.
    pub(super) fn add(&mut self, now: Timestamp, value: i128, max: i128) {
        self.begin(now);
        self.steps[self.place] = self.steps[self.place].saturating_add(value);
        self.total = self.steps.iter().fold(0i128, |sum, step| sum.saturating_add(*step)).min(max);
    }

    /// Lets time pass, so that [`SumWindow::sum`] has its answer at hand. Before the first value there is nothing to do.
    #[inline]
    pub(super) fn advance(&mut self, now: Timestamp) {
        if now >= self.step_end && self.step_end != Timestamp::MIN {
            self.begin(now);
            self.total = self.steps.iter().fold(0i128, |sum, step| sum.saturating_add(*step)).min(self.total);
        }
    }

    fn begin(&mut self, now: Timestamp) {
        let over = self.steps_over(now);
        if over > 0 {
            for _ in 0..over.min(self.steps.len() as i64) {
                self.place = (self.place + 1) % self.steps.len();
                self.steps[self.place] = 0;
            }
            self.step_end = match self.step_end {
                Timestamp::MIN => now.plus_nanos(self.step_ns),
                end => end.plus_nanos(self.step_ns.saturating_mul(over)),
            };
        }
    }

    /// The sum at `now`.
    #[inline]
    pub(super) fn sum(&self, now: Timestamp) -> i128 {
        if (now < self.step_end) | (self.total == 0) { self.total } else { self.sum_later(now) }
    }

    #[cold]
    fn sum_later(&self, now: Timestamp) -> i128 {
        let kept = (self.steps.len() as i64 - self.steps_over(now)).max(0) as usize;
        let newest_first = (0..kept).map(|back| self.steps[(self.place + self.steps.len() - back) % self.steps.len()]);
        newest_first.fold(0, i128::saturating_add).min(self.total)
    }

    /// Steps that ended since the running one began, it included.
    fn steps_over(&self, now: Timestamp) -> i64 {
        if now < self.step_end { 0 } else { (now.since_ns(self.step_end) / self.step_ns).saturating_add(1) }
    }
}

/// Steps of a [`PriceWindow`], the running one included.
pub(super) const PRICE_STEPS: usize = 8;

/// Low, high and reference of a price over a window in eight steps.
#[derive(Clone, Debug)]
pub(super) struct PriceWindow {
    step_ns: i64,
    step_end: Timestamp,
    steps: [Option<PriceStep>; PRICE_STEPS],
    place: usize,
}

#[derive(Clone, Copy, Debug)]
struct PriceStep {
    first: i64,
    low: i64,
    high: i64,
}

/// The mean of the prices that began the steps of a window, as a fraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reference {
    pub(super) sum: i128,
    pub(super) count: i128,
}

impl PriceWindow {
    pub(super) fn new(window_ns: i64) -> PriceWindow {
        let step_ns = (window_ns / PRICE_STEPS as i64).max(1);
        PriceWindow { step_ns, step_end: Timestamp::MIN, steps: [None; PRICE_STEPS], place: 0 }
    }

    /// Takes the price at `now`. Returns whether a step began, and the reference with it.
    #[inline]
    pub(super) fn push(&mut self, now: Timestamp, price: i64) -> bool {
        if now >= self.step_end {
            self.begin_step(now, price);
            return true;
        }
        if let Some(step) = &mut self.steps[self.place] {
            step.low = step.low.min(price);
            step.high = step.high.max(price);
        }
        false
    }

    /// Lowest and highest price.
    #[inline]
    pub(super) fn range(&self) -> (i64, i64) {
        let steps = self.steps.iter().flatten();
        steps.fold((i64::MAX, i64::MIN), |(low, high), step| (low.min(step.low), high.max(step.high)))
    }

    /// The reference price.
    pub(super) fn reference(&self) -> Reference {
        let firsts = self.steps.iter().flatten();
        firsts.fold(Reference { sum: 0, count: 0 }, |reference, step| Reference {
            sum: reference.sum + i128::from(step.first),
            count: reference.count + 1,
        })
    }

    #[cold]
    fn begin_step(&mut self, now: Timestamp, price: i64) {
        let over = match self.step_end {
            Timestamp::MIN => {
                self.step_end = now.plus_nanos(self.step_ns);
                1
            }
            end => {
                let over = (now.since_ns(end) / self.step_ns).saturating_add(1);
                self.step_end = end.plus_nanos(self.step_ns.saturating_mul(over));
                over
            }
        };
        for _ in 0..over.min(PRICE_STEPS as i64) {
            self.place = (self.place + 1) % PRICE_STEPS;
            self.steps[self.place] = None;
        }
        self.steps[self.place] = Some(PriceStep { first: price, low: price, high: price });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_ring_tells_what_a_list_does(gaps in prop::collection::vec(0i64..50, 1..80), count in 1usize..=16) {
            let (mut ring, mut list, mut now) = (TimeRing::new(16), Vec::new(), 0);
            for gap in gaps {
                now += gap;
                ring.push(Timestamp(now));
                list.push(Timestamp(now));
                let expected = list.len().checked_sub(count).map_or(Timestamp::MIN, |place| list[place]);
                prop_assert_eq!(ring.newest(count), expected);
            }
        }

        #[test]
        fn a_sum_covers_its_window_and_at_most_one_step_more(
            moves in prop::collection::vec((0i64..400, 0i128..1_000), 1..60), later in 0i64..3_000
        ) {
            let (mut window, mut list, mut now) = (SumWindow::new(1_600), Vec::new(), 0);
            for (gap, value) in moves {
                now += gap;
                window.add(Timestamp(now), value, i128::MAX);
                if value % 3 == 0 {
                    window.advance(Timestamp(now + 1));
                }
                list.push((now, value));
            }
            let within = |length: i64| -> i128 {
                list.iter().filter(|(at, _)| *at > now + later - length).map(|(_, value)| value).sum()
            };
            let sum = window.sum(Timestamp(now + later));
            prop_assert!(sum >= within(1_600) && sum <= within(1_700), "{} {} {}", within(1_600), sum, within(1_700));
        }

        #[test]
        fn a_price_window_is_that_of_its_steps(moves in prop::collection::vec((0i64..300, 1i64..1_000), 1..60)) {
            let (mut window, mut list, mut now) = (PriceWindow::new(800), Vec::new(), 5);
            for (gap, price) in moves {
                let begun = 5;
                window.push(Timestamp(now), price);
                list.push(((now - begun) / 100, price));
                now += gap;
                let running = list[list.len() - 1].0;
                let kept: Vec<(i64, i64)> =
                    list.iter().copied().filter(|(step, _)| *step > running - PRICE_STEPS as i64).collect();
                let low = kept.iter().map(|(_, price)| *price).min();
                let high = kept.iter().map(|(_, price)| *price).max();
                prop_assert_eq!((Some(window.range().0), Some(window.range().1)), (low, high));
                let mut firsts: Vec<(i64, i64)> = kept.clone();
                firsts.dedup_by_key(|(step, _)| *step);
                let sum = firsts.iter().map(|(_, price)| i128::from(*price)).sum();
                prop_assert_eq!(window.reference(), Reference { sum, count: firsts.len() as i128 });
            }
        }

        #[test]
        fn no_time_or_value_panics(moves in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i128>()), 1..20), length: i64) {
            let (mut sum, mut price, mut ring) = (SumWindow::new(length), PriceWindow::new(length), TimeRing::new(4));
            let mut times: Vec<i64> = moves.iter().map(|(at, ..)| *at).collect();
            times.sort_unstable();
            for (now, (_, value, amount)) in times.into_iter().map(Timestamp).zip(moves) {
                sum.add(now, amount, i128::MAX);
                sum.advance(now.plus_nanos(5));
                price.push(now, value);
                ring.push(now);
                let _ = (sum.sum(Timestamp::MAX), price.range(), price.reference());
            }
        }
    }
}

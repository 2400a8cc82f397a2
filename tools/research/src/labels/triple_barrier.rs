//! The triple barrier: an event ends at its profit, its stop or its time, whichever is first (Lopez de Prado 2018, snippets 3.2 to 3.7).

use super::{Barrier, Label, RangeExtremes, Span};
use crate::error::{SeriesError, are_events, in_time_order, positive, same_rows};
use chronos_market::Side;

/// Where the barriers are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TripleBarrier {
    /// Targets to the profit; `None` for no such barrier. Without a side the distance of both barriers, as in the book: which of the
    /// two is the profit is not known then.
    pub profit: Option<f64>,
    /// Targets to the stop, used with a side alone; `None` for no such barrier.
    pub stop: Option<f64>,
    /// When time is up; `None` to wait for the others.
    pub horizon: Option<Horizon>,
    /// Events are labelled where their target is greater than this return.
    pub return_min: f64,
}

/// When time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Horizon {
    /// So many bars after the event.
    Bars(usize),
    /// At the first bar that is at least so many nanoseconds after the event.
    Nanos(i64),
}

/// Labels, and what has none.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Labels {
    /// In the order of the events.
    pub labels: Vec<Label>,
    /// Events whose label has not ended by the last bar.
    pub unfinished: Vec<usize>,
    /// Number of events whose target is not above the least return, or not known yet (NaN).
    pub small: usize,
}

/// Follows each event. `targets` are returns, one for each bar, NaN where not known; `sides`, where there is a primary model, one for
/// each event. Barriers are touched where the simple return from the event goes beyond them, not where it equals them; at the bar
/// where time is up they come before time.
///
/// The time taken does not grow with the distance to the barrier: each event asks [`RangeExtremes`].
///
/// # Errors
/// Closes that are not finite and positive, times that go back, events that are not bars in rising order, lengths that differ,
/// multiples that are not positive, a negative least return, an empty horizon.
pub fn triple_barrier(
    times_ns: &[i64],
    closes: &[f64],
    events: &[usize],
    targets: &[f64],
    sides: Option<&[Side]>,
    barriers: &TripleBarrier,
) -> Result<Labels, SeriesError> {
    positive("the close", closes)?;
    same_rows("the times", times_ns.len(), "the closes", closes.len())?;
    in_time_order(times_ns)?;
    same_rows("the targets", targets.len(), "the closes", closes.len())?;
    are_events(events, closes.len())?;
    if let Some(sides) = sides {
        same_rows("the sides", sides.len(), "the events", events.len())?;
    }
    barriers.check()?;
    let extremes = RangeExtremes::new(closes);
    let mut labels = Labels { labels: Vec::with_capacity(events.len()), ..Labels::default() };
    let mut time_is_up = 0;
    for (place, &start) in events.iter().enumerate() {
        let target = targets[start];
        // A target that is not known is not above anything.
        if target.is_nan() || target <= barriers.return_min {
            labels.small += 1;
            continue;
        }
        let vertical = match barriers.horizon {
            None => None,
            Some(Horizon::Bars(bars)) => start.checked_add(bars).filter(|end| *end < closes.len()),
            Some(Horizon::Nanos(nanos)) => {
                let deadline = times_ns[start].saturating_add(nanos);
                time_is_up = time_is_up.max(start + 1);
                while times_ns.get(time_is_up).is_some_and(|time| *time < deadline) {
                    time_is_up += 1;
                }
                (time_is_up < closes.len()).then_some(time_is_up)
            }
        };
        let side = sides.map(|sides| sides[place]);
        let [lower, upper] = barriers.returns(target, side);
        let origin = closes[start];
        // Rounding keeps order, so that the extreme of a block decides for all of it.
        let touches = |least: f64, greatest: f64| least / origin - 1.0 < lower || greatest / origin - 1.0 > upper;
        let touched = extremes.first(start + 1, vertical.map_or(closes.len(), |end| end + 1), touches);
        let Some(end) = touched.or(vertical) else {
            labels.unfinished.push(start);
            continue;
        };
        let raw = closes[end] / origin - 1.0;
        let is_up = raw > 0.0;
        let barrier = match touched {
            None => Barrier::Vertical,
            Some(_) if is_up == (side != Some(Side::Sell)) => Barrier::Profit,
            Some(_) => Barrier::Stop,
        };
        let simple_return = if side == Some(Side::Sell) { -raw } else { raw };
        labels.labels.push(Label { span: Span { start, end }, barrier, target, side, simple_return });
    }
    Ok(labels)
}

impl TripleBarrier {
    fn check(&self) -> Result<(), SeriesError> {
        for (what, multiple) in [("the profit's multiple", self.profit), ("the stop's multiple", self.stop)] {
            if let Some(value) = multiple.filter(|multiple| !(*multiple > 0.0 && multiple.is_finite())) {
                return Err(SeriesError::Parameter { what, value, must_be: "positive; leave it out for no such barrier" });
            }
        }
        if !(self.return_min >= 0.0 && self.return_min.is_finite()) {
            return Err(SeriesError::Parameter { what: "the least return", value: self.return_min, must_be: "at least 0" });
        }
        match self.horizon {
            Some(Horizon::Bars(0)) => Err(SeriesError::Parameter { what: "the horizon", value: 0.0, must_be: "at least 1 bar" }),
            Some(Horizon::Nanos(nanos)) if nanos <= 0 => {
                Err(SeriesError::Parameter { what: "the horizon", value: nanos as f64, must_be: "at least 1 ns" })
            }
            _ => Ok(()),
        }
    }

    /// The returns below and above which a barrier is touched.
    fn returns(&self, target: f64, side: Option<Side>) -> [f64; 2] {
        let down = |multiple: Option<f64>| multiple.map_or(f64::NEG_INFINITY, |multiple| -multiple * target);
        let up = |multiple: Option<f64>| multiple.map_or(f64::INFINITY, |multiple| multiple * target);
        match side {
            None => [down(self.profit), up(self.profit)],
            Some(Side::Buy) => [down(self.stop), up(self.profit)],
            Some(Side::Sell) => [down(self.profit), up(self.stop)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, bar by bar.
    fn naive(closes: &[f64], start: usize, target: f64, side: Option<Side>, barriers: &TripleBarrier) -> Option<(usize, Barrier)> {
        let bars = match barriers.horizon {
            Some(Horizon::Bars(bars)) => bars,
            _ => closes.len(),
        };
        let sign = if side == Some(Side::Sell) { -1.0 } else { 1.0 };
        let stop = if side.is_none() { barriers.profit } else { barriers.stop };
        for end in start + 1..=start + bars {
            let gain = (closes.get(end)? / closes[start] - 1.0) * sign;
            if barriers.profit.is_some_and(|multiple| gain > multiple * target) {
                return Some((end, Barrier::Profit));
            }
            if stop.is_some_and(|multiple| gain < -multiple * target) {
                return Some((end, Barrier::Stop));
            }
        }
        Some((start + bars, Barrier::Vertical))
    }

    fn multiple() -> impl Strategy<Value = Option<f64>> {
        prop::option::of(prop::sample::select(vec![0.5, 1.0, 2.0, 6.0]))
    }

    proptest! {
        #[test]
        fn labels_are_those_of_the_definition(
            steps in prop::collection::vec(-3i32..=3, 2..400),
            profit in multiple(),
            stop in multiple(),
            horizon in prop::option::of(1usize..300),
            sides in prop::option::of(any::<u64>()),
        ) {
            let mut closes = vec![100.0];
            for step in steps {
                closes.push(closes[closes.len() - 1] * (1.0 + f64::from(step) / 100.0));
            }
            let events: Vec<usize> = (0..closes.len()).collect();
            let targets: Vec<f64> = events.iter().map(|event| if event % 7 == 0 { f64::NAN } else { 0.01 + (event % 5) as f64 / 100.0 }).collect();
            let mut random = fastrand::Rng::with_seed(sides.unwrap_or(0));
            let sides = sides.map(|_| events.iter().map(|_| if random.bool() { Side::Buy } else { Side::Sell }).collect::<Vec<Side>>());
            let barriers = TripleBarrier { profit, stop, horizon: horizon.map(Horizon::Bars), return_min: 0.015 };
            let times: Vec<i64> = (0..closes.len() as i64).collect();
            let got = triple_barrier(&times, &closes, &events, &targets, sides.as_deref(), &barriers).unwrap();
            let by_time = TripleBarrier { horizon: horizon.map(|bars| Horizon::Nanos(bars as i64)), ..barriers };
            prop_assert_eq!(&got, &triple_barrier(&times, &closes, &events, &targets, sides.as_deref(), &by_time).unwrap());
            let (mut labels, mut unfinished) = (got.labels.iter(), got.unfinished.iter());
            for event in events {
                if targets[event].is_nan() || targets[event] <= 0.015 {
                    continue;
                }
                let side = sides.as_ref().map(|sides| sides[event]);
                match naive(&closes, event, targets[event], side, &barriers) {
                    Some((end, barrier)) => {
                        let label = labels.next().unwrap();
                        prop_assert_eq!((label.span, label.barrier, label.side), (Span { start: event, end }, barrier, side));
                        let sign = if side == Some(Side::Sell) { -1.0 } else { 1.0 };
                        prop_assert_eq!(label.simple_return, (closes[end] / closes[event] - 1.0) * sign);
                    }
                    None => prop_assert_eq!(unfinished.next(), Some(&event)),
                }
            }
            prop_assert!(labels.next().is_none() && unfinished.next().is_none());
        }
    }

    #[test]
    fn bad_input_is_told() {
        let barriers = TripleBarrier { profit: Some(1.0), stop: Some(1.0), horizon: Some(Horizon::Bars(2)), return_min: 0.0 };
        let told = |times: &[i64], closes: &[f64], events: &[usize], barriers: &TripleBarrier| {
            triple_barrier(times, closes, events, &vec![0.01; closes.len()], None, barriers).unwrap_err().to_string()
        };
        let closes = [1.0, 1.1, 1.2];
        assert!(told(&[0, 2, 1], &closes, &[0], &barriers).contains("the time of row 2"));
        assert!(told(&[0, 1, 2], &[1.0, f64::NAN, 1.2], &[0], &barriers).contains("NaN at row 1"));
        assert!(told(&[0, 1, 2], &[1.0, -1.0, 1.2], &[0], &barriers).contains("positive"));
        assert!(told(&[0, 1, 2], &closes, &[1, 0], &barriers).contains("before the event above"));
        assert!(told(&[0, 1, 2], &closes, &[1, 1], &barriers).contains("the place of the event above"));
        assert!(told(&[0, 1, 2], &closes, &[3], &barriers).contains("no bar"));
        assert!(told(&[0, 1, 2], &closes, &[0], &TripleBarrier { profit: Some(0.0), ..barriers }).contains("leave it out"));
        assert!(told(&[0, 1, 2], &closes, &[0], &TripleBarrier { horizon: Some(Horizon::Bars(0)), ..barriers }).contains("1 bar"));
        assert!(told(&[0, 1, 2], &closes, &[0], &TripleBarrier { return_min: f64::NAN, ..barriers }).contains("least return"));
    }
}

//! Which ticks have a label at a horizon, and when it was known.

use super::{Direction, Ticks, TicksError};

/// Ticks with what came after them, in the order of their times.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples {
    /// Row of each sample among the ticks, ascending.
    pub rows: Vec<usize>,
    /// Time of each sample, nanoseconds since the epoch.
    pub times_ns: Vec<i64>,
    /// When its label was known: at the first tick at or after the horizon.
    pub ends_ns: Vec<i64>,
    /// Simple return over the horizon.
    pub returns: Vec<f64>,
    /// Simple return over as long before the sample, from what was known at it; NaN where the segment does not reach back so far.
    pub past_returns: Vec<f64>,
    /// Weight of each sample in training, 0 or more, with a mean of 1.
    pub weights: Vec<f32>,
    /// Classes that were given with the data; `None` where a [`Target`](super::Target) makes them of the returns.
    pub given: Option<Vec<Direction>>,
    /// What the labels look ahead, nanoseconds; of labels of different length their median.
    pub horizon_ns: i64,
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// About how many samples begin within one horizon, at least 1: as many labels overlap.
    pub fn per_horizon(&self, part: std::ops::Range<usize>) -> f64 {
        let times_ns = &self.times_ns[part];
        let (Some(first), Some(last)) = (times_ns.first(), times_ns.last()) else { return 1.0 };
        let span_ns = last.saturating_sub(*first).max(1) as f64;
        (times_ns.len() as f64 * self.horizon_ns as f64 / span_ns).clamp(1.0, times_ns.len() as f64)
    }
}

/// Labels every warm tick by the mid's simple return over `horizon_ns`: from the tick to the last tick at or before the horizon, whose mid
/// held until then. That this was so is known at the first tick at or after the horizon; a tick whose segment has none has no label.
///
/// # Errors
/// [`TicksError::NoSample`]; [`TicksError::Unfit`] for a horizon that is not above 0.
pub fn horizon_samples(ticks: &Ticks, horizon_ns: i64) -> Result<Samples, TicksError> {
    if horizon_ns <= 0 {
        return Err(TicksError::Unfit { message: format!("a horizon of {horizon_ns} ns: it must be above 0") });
    }
    let mut samples = Samples { horizon_ns, ..Samples::default() };
    for segment in ticks.segments() {
        let times_ns = &ticks.times_ns[segment.clone()];
        let mids = &ticks.mids[segment.clone()];
        // First tick at or after the horizon, first one after it, and the first one after as long before.
        let (mut known, mut after, mut past) = (0, 0, 0);
        for place in 0..times_ns.len() {
            let horizon = times_ns[place].saturating_add(horizon_ns);
            let before = times_ns[place].saturating_sub(horizon_ns);
            let passed = |from: usize, is_over: &dyn Fn(i64) -> bool| {
                from + times_ns[from..].iter().take_while(|time_ns| !is_over(**time_ns)).count()
            };
            known = passed(known, &|time_ns| time_ns >= horizon);
            after = passed(after, &|time_ns| time_ns > horizon);
            past = passed(past, &|time_ns| time_ns > before);
            let Some(end_ns) = times_ns.get(known) else { break };
            let (now, then) = (mids[place], mids[after - 1]);
            if !ticks.is_warm[segment.start + place] || !then.is_finite() {
                continue;
            }
            samples.rows.push(segment.start + place);
            samples.times_ns.push(times_ns[place]);
            samples.ends_ns.push(*end_ns);
            samples.returns.push(then / now - 1.0);
            samples.past_returns.push(past.checked_sub(1).map_or(f64::NAN, |past| now / mids[past] - 1.0));
        }
    }
    samples.weights = vec![1.0; samples.len()];
    if samples.is_empty() {
        let warm = ticks.is_warm.iter().filter(|is_warm| **is_warm).count();
        return Err(TicksError::NoSample { ticks: ticks.rows(), warm, horizon_s: horizon_ns as f64 * 1e-9 });
    }
    Ok(samples)
}

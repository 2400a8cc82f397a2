//! How much each label counts: labels that share bars share information (Lopez de Prado 2018, chapter 4).
//!
//! [`concurrency`] counts the labels at each bar, [`average_uniqueness`] is what of each label is its own, and weights follow from
//! that: [`return_attribution`] by the size of the return, [`time_decay`] by age. [`SequentialBootstrap`] draws labels so that those
//! that overlap what was drawn come less often.

mod sequential_bootstrap;

pub use sequential_bootstrap::SequentialBootstrap;

use crate::error::{SeriesError, positive, same_rows};
use crate::labels::{Span, are_spans};

/// Number of labels at each of `bars` bars; both ends of a label count.
///
/// # Errors
/// Labels that end before they start, or after the last bar.
pub fn concurrency(spans: &[Span], bars: usize) -> Result<Vec<u32>, SeriesError> {
    are_spans(spans, bars)?;
    let mut steps = vec![0_i64; bars + 1];
    for span in spans {
        steps[span.start] += 1;
        steps[span.end + 1] -= 1;
    }
    let mut count = 0_i64;
    let running = steps[..bars].iter().map(|step| {
        count += step;
        u32::try_from(count).unwrap_or(u32::MAX)
    });
    Ok(running.collect())
}

/// Mean over each label's bars of one over the number of labels there: 1 where it shares none (snippet 4.2).
///
/// # Errors
/// Labels that end before they start, or after the last bar.
pub fn average_uniqueness(spans: &[Span], bars: usize) -> Result<Vec<f64>, SeriesError> {
    let shares = Sums::of(concurrency(spans, bars)?.into_iter().map(|count| if count == 0 { 0.0 } else { 1.0 / f64::from(count) }));
    Ok(spans.iter().map(|span| shares.over(*span) / span.bars() as f64).collect())
}

/// Mean uniqueness over every bar of every label: the number of bars that have a label, over the sum of labels at each. What is to
/// be expected of a sample of these labels; not the mean of their averages.
///
/// # Errors
/// Labels that end before they start, or after the last bar; no labels.
pub fn sample_uniqueness(spans: &[Span], bars: usize) -> Result<f64, SeriesError> {
    crate::error::long_enough("the labels", spans.len(), 1)?;
    let counts = concurrency(spans, bars)?;
    let labelled = counts.iter().filter(|count| **count > 0).count();
    Ok(labelled as f64 / counts.iter().map(|count| f64::from(*count)).sum::<f64>())
}

/// Weights by attributed return: the size of the sum over each label's bars of the log return there over the number of labels there,
/// scaled to sum to the number of labels (snippet 4.10). The return at the first bar itself is included; the very first has none.
///
/// Where every return is zero, every weight is 1.
///
/// # Errors
/// Closes that are not finite and positive, labels that end before they start, or after the last bar.
pub fn return_attribution(spans: &[Span], closes: &[f64]) -> Result<Vec<f64>, SeriesError> {
    positive("the close", closes)?;
    let counts = concurrency(spans, closes.len())?;
    let of_bar = |(bar, count): (usize, u32)| match bar.checked_sub(1) {
        Some(before) if count > 0 => (closes[bar].ln() - closes[before].ln()) / f64::from(count),
        _ => 0.0,
    };
    let attributed = Sums::of(counts.into_iter().enumerate().map(of_bar));
    let sizes: Vec<f64> = spans.iter().map(|span| attributed.over(*span).abs()).collect();
    let total: f64 = sizes.iter().sum();
    if total <= 0.0 {
        return Ok(vec![1.0; spans.len()]);
    }
    Ok(sizes.into_iter().map(|size| size * spans.len() as f64 / total).collect())
}

/// Factors that fall with age in units of uniqueness: 1 for the newest label, on a line to `oldest` at the oldest; where `oldest` is
/// negative the line reaches 0 before, and so do the labels of that oldest share (snippet 4.11). Labels in order of time.
///
/// # Errors
/// `oldest` outside -1 (not included) to 1, uniqueness that is not finite and positive.
pub fn time_decay(uniqueness: &[f64], oldest: f64) -> Result<Vec<f64>, SeriesError> {
    positive("the uniqueness", uniqueness)?;
    if !(oldest > -1.0 && oldest <= 1.0) {
        return Err(SeriesError::Parameter { what: "the oldest label's factor", value: oldest, must_be: "above -1 and at most 1" });
    }
    let mut sum = 0.0;
    let ages: Vec<f64> = uniqueness
        .iter()
        .map(|value| {
            sum += value;
            sum
        })
        .collect();
    let slope = if oldest >= 0.0 { (1.0 - oldest) / sum } else { 1.0 / ((oldest + 1.0) * sum) };
    let constant = 1.0 - slope * sum;
    Ok(ages.into_iter().map(|age| (constant + slope * age).max(0.0)).collect())
}

/// The product of weights, scaled to a mean of 1.
///
/// # Errors
/// Lengths that differ, and weights of which none is positive.
pub fn combined(left: &[f64], right: &[f64]) -> Result<Vec<f64>, SeriesError> {
    same_rows("the weights", left.len(), "the other weights", right.len())?;
    let products: Vec<f64> = left.iter().zip(right).map(|(left, right)| left * right).collect();
    let total: f64 = products.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return Err(SeriesError::Parameter { what: "the sum of the weights", value: total, must_be: "positive" });
    }
    Ok(products.iter().map(|product| product * left.len() as f64 / total).collect())
}

/// Sums over any run of values in constant time, exact to about twice the digits of the values: what rounding takes from the
/// running sum is kept beside it.
struct Sums {
    /// Sum of the values before each place, and what it lacks.
    before: Vec<(f64, f64)>,
}

impl Sums {
    fn of(values: impl Iterator<Item = f64>) -> Sums {
        let mut running = (0.0, 0.0);
        let mut before = vec![running];
        before.extend(values.map(|value| {
            // Knuth's two-sum.
            let (high, low) = running;
            let sum = high + value;
            let part = sum - high;
            running = (sum, low + ((high - (sum - part)) + (value - part)));
            running
        }));
        Sums { before }
    }

    fn over(&self, span: Span) -> f64 {
        let ((high_after, low_after), (high, low)) = (self.before[span.end + 1], self.before[span.start]);
        (high_after - high) + (low_after - low)
    }
}

/// Spans for tests: any within `bars`.
#[cfg(test)]
pub(crate) fn any_spans(bars: usize, count: usize) -> impl proptest::strategy::Strategy<Value = Vec<Span>> {
    use proptest::prelude::*;
    let one = (0..bars, 0..bars).prop_map(|(left, right)| Span { start: left.min(right), end: left.max(right) });
    prop::collection::vec(one, 1..count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BARS: usize = 60;

    #[test]
    fn two_labels_by_hand() {
        let spans = [Span { start: 0, end: 2 }, Span { start: 2, end: 3 }];
        assert_eq!(concurrency(&spans, 5).unwrap(), [1, 1, 2, 1, 0]);
        let uniqueness = average_uniqueness(&spans, 5).unwrap();
        assert!((uniqueness[0] - 2.5 / 3.0).abs() < 1e-15 && (uniqueness[1] - 0.75).abs() < 1e-15);
        assert_eq!(sample_uniqueness(&spans, 5).unwrap(), 4.0 / 5.0);
        assert_eq!(time_decay(&[1.0, 1.0], 0.0).unwrap(), [0.5, 1.0]);
        assert_eq!(time_decay(&[1.0, 1.0], -0.5).unwrap(), [0.0, 1.0]);
        assert_eq!(combined(&[1.0, 3.0], &[1.0, 1.0]).unwrap(), [0.5, 1.5]);
    }

    #[test]
    fn bad_input_is_told() {
        let told =
            |start: usize, end: usize| concurrency(&[Span { start: 0, end: 0 }, Span { start, end }], 5).unwrap_err().to_string();
        let text = told(3, 2);
        assert!(text.contains("label 1 ends at bar 2, before its start at bar 3") && text.contains("swap"), "{text}");
        assert!(told(3, 5).contains("there are 5 bars"));
        assert!(return_attribution(&[], &[1.0, 0.0]).unwrap_err().to_string().contains("row 1"));
        assert!(time_decay(&[1.0], -1.0).is_err() && time_decay(&[0.0], 0.5).is_err());
        assert!(combined(&[1.0], &[]).is_err() && combined(&[0.0], &[1.0]).is_err());
    }

    proptest! {
        #[test]
        fn counts_and_uniqueness_are_those_of_the_definition(spans in any_spans(BARS, 40), walk in prop::collection::vec(-5i32..5, BARS)) {
            let counts = concurrency(&spans, BARS).unwrap();
            for (bar, count) in counts.iter().enumerate() {
                let expected = spans.iter().filter(|span| (span.start..=span.end).contains(&bar)).count();
                prop_assert_eq!(*count as usize, expected);
            }
            let mut close = 100.0;
            let closes: Vec<f64> = walk.iter().map(|step| { close *= 1.0 + f64::from(*step) / 100.0; close }).collect();
            let mean = |span: &Span, value: &dyn Fn(usize) -> f64| (span.start..=span.end).map(value).sum::<f64>();
            let uniqueness = average_uniqueness(&spans, BARS).unwrap();
            let weights = return_attribution(&spans, &closes).unwrap();
            let change = |bar: usize| if bar == 0 { 0.0 } else { (closes[bar] / closes[bar - 1]).ln() / f64::from(counts[bar]) };
            let sizes: Vec<f64> = spans.iter().map(|span| mean(span, &change).abs()).collect();
            let total: f64 = sizes.iter().sum();
            for (place, span) in spans.iter().enumerate() {
                let expected = mean(span, &|bar| 1.0 / f64::from(counts[bar])) / span.bars() as f64;
                prop_assert!((uniqueness[place] - expected).abs() < 1e-12);
                if total > 1e-9 {
                    prop_assert!((weights[place] - sizes[place] * spans.len() as f64 / total).abs() < 1e-9);
                }
            }
        }
    }
}

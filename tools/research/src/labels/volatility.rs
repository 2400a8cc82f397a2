//! Exponentially weighted volatility of returns: the unit in which barriers are placed.

use crate::error::{SeriesError, in_time_order, positive, same_rows};

/// How the weights of an exponentially weighted mean start (pandas' `adjust`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adjust {
    /// Weights are those of a window that ends: `(1 - a)^k` over their sum. The book's choice.
    Yes,
    /// A recursion from the first value, which weighs more than its due.
    No,
}

/// Standard deviation of the returns from bar to bar, weighted by `2 / (span + 1)`, without bias; NaN before there are two returns.
///
/// The value at a bar uses closes up to it and nothing later.
///
/// # Errors
/// Closes that are not finite and positive, a span below 1.
pub fn one_bar_volatility(closes: &[f64], span: f64, adjust: Adjust) -> Result<Vec<f64>, SeriesError> {
    positive("the close", closes)?;
    let mut deviation = EwmDeviation::new(span, adjust)?;
    let mut last = None;
    Ok(closes.iter().map(|close| last.replace(*close).map_or(f64::NAN, |last| deviation.update(close / last - 1.0))).collect())
}

/// The book's `getDailyVol` (snippet 3.1): deviation of the returns over `horizon_ns`, each from the last bar before the first one
/// that is no older than the horizon. Where bars are exactly the horizon apart that is two bars back. NaN where there is none.
///
/// # Errors
/// Closes that are not finite and positive, times that go back or are not one for each close, a span below 1.
pub fn horizon_volatility(times_ns: &[i64], closes: &[f64], horizon_ns: i64, span: f64) -> Result<Vec<f64>, SeriesError> {
    same_rows("the closes", closes.len(), "the times", times_ns.len())?;
    in_time_order(times_ns)?;
    positive("the close", closes)?;
    let mut deviation = EwmDeviation::new(span, Adjust::Yes)?;
    let mut first = 0;
    let value = |(row, close): (usize, &f64)| {
        while first < row && times_ns[first] < times_ns[row].saturating_sub(horizon_ns) {
            first += 1;
        }
        first.checked_sub(1).map_or(f64::NAN, |before| deviation.update(close / closes[before] - 1.0))
    };
    Ok(closes.iter().enumerate().map(value).collect())
}

/// Exponentially weighted standard deviation without bias, as pandas' `ewm(span).std()`.
struct EwmDeviation {
    weight: f64,
    adjust: Adjust,
    mean: f64,
    /// Weighted mean of squares about the mean.
    variance: f64,
    /// Sum of weights, and of their squares; those of the newest value are 1.
    weights: f64,
    weight_squares: f64,
}

impl EwmDeviation {
    fn new(span: f64, adjust: Adjust) -> Result<EwmDeviation, SeriesError> {
        if !(span >= 1.0 && span.is_finite()) {
            return Err(SeriesError::Parameter { what: "the span", value: span, must_be: "at least 1" });
        }
        let weight = 2.0 / (span + 1.0);
        Ok(EwmDeviation { weight, adjust, mean: 0.0, variance: 0.0, weights: 0.0, weight_squares: 0.0 })
    }

    fn update(&mut self, value: f64) -> f64 {
        let kept = 1.0 - self.weight;
        let new = match self.adjust {
            Adjust::Yes => 1.0,
            Adjust::No if self.weights == 0.0 => 1.0,
            Adjust::No => self.weight,
        };
        let before = kept * self.weights;
        self.weights = before + new;
        self.weight_squares = kept * kept * self.weight_squares + new * new;
        let change = value - self.mean;
        self.mean += new / self.weights * change;
        // West (1979), with weights.
        self.variance = before / self.weights * (self.variance + new / self.weights * change * change);
        let squares = self.weights * self.weights;
        let freedom = squares - self.weight_squares;
        if before > 0.0 && freedom > 0.0 { (squares / freedom * self.variance).sqrt() } else { f64::NAN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The definition: weights over all returns so far, and the correction for bias.
        #[test]
        fn deviation_is_that_of_the_definition(closes in prop::collection::vec(50.0f64..150.0, 3..40), span in 1.5f64..30.0) {
            for adjust in [Adjust::Yes, Adjust::No] {
                let got = one_bar_volatility(&closes, span, adjust).unwrap();
                let returns: Vec<f64> = closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
                let kept = 1.0 - 2.0 / (span + 1.0);
                for row in 0..closes.len() {
                    if row < 2 {
                        prop_assert!(got[row].is_nan());
                        continue;
                    }
                    let seen = &returns[..row];
                    let weight = |place: usize| {
                        let decayed = kept.powi((row - 1 - place) as i32);
                        if adjust == Adjust::No && place > 0 { decayed * (1.0 - kept) } else { decayed }
                    };
                    let weights: Vec<f64> = (0..row).map(weight).collect();
                    let total: f64 = weights.iter().sum();
                    let mean: f64 = weights.iter().zip(seen).map(|(weight, value)| weight * value).sum::<f64>() / total;
                    let biased: f64 = weights.iter().zip(seen).map(|(weight, value)| weight * (value - mean).powi(2)).sum::<f64>() / total;
                    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
                    let expected = (biased * total * total / (total * total - squares)).sqrt();
                    prop_assert!((got[row] - expected).abs() < 1e-9 * expected.max(1e-9), "{} {}", got[row], expected);
                }
            }
        }
    }

    #[test]
    fn the_book_looks_two_bars_back_where_bars_are_the_horizon_apart() {
        let times = [0, 10, 20, 30, 40];
        let closes = [100.0, 110.0, 99.0, 120.0, 121.0];
        let got = horizon_volatility(&times, &closes, 10, 1.5).unwrap();
        // Returns over two bars: from the third bar on; the first of them has no deviation yet.
        assert!(got[..3].iter().all(|value| value.is_nan()) && got[3..].iter().all(|value| value.is_finite()));
    }

    #[test]
    fn bad_input_is_told() {
        assert!(one_bar_volatility(&[1.0, 0.0], 5.0, Adjust::Yes).unwrap_err().to_string().contains("0 at row 1"));
        assert!(one_bar_volatility(&[1.0, 2.0], 0.5, Adjust::Yes).unwrap_err().to_string().contains("at least 1"));
        let told = horizon_volatility(&[5, 4], &[1.0, 1.0], 1, 5.0).unwrap_err().to_string();
        assert!(told.contains("row 1") && told.contains("sort"));
    }
}

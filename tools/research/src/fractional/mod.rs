//! Fractional differentiation: stationary with as much memory left as can be (Lopez de Prado 2018, chapter 5).
//!
//! The fixed-width window drops weights below a threshold, so that every value is made by the same weights and none drifts. The
//! first weight below the threshold is not used; the first weight multiplies the newest value.

mod search;

pub use search::{OrderRow, OrderSearch, smallest_stationary_order};

use crate::error::{SeriesError, finite};

/// Weights of `(1 - B)^order`, the newest value's first: `w_0 = 1`, `w_k = -w_(k-1) (order - k + 1) / k`. They never end.
pub fn weights(order: f64) -> impl Iterator<Item = f64> {
    let mut next = 1.0;
    (1_u64..).map(move |place| {
        let weight = next;
        next = -weight * (order - place as f64 + 1.0) / place as f64;
        weight
    })
}

/// The weights down to the last one that is not below `threshold` in size, at most `weights_max` of them.
///
/// A series of `weights_max - 1` values needs no more to know that it is too short.
///
/// # Errors
/// An order outside 0 to 2, a threshold outside 0 to 1.
pub fn fixed_width_weights(order: f64, threshold: f64, weights_max: usize) -> Result<Vec<f64>, SeriesError> {
    if !(0.0..=2.0).contains(&order) {
        return Err(SeriesError::Parameter { what: "the order", value: order, must_be: "from 0 to 2" });
    }
    if !(threshold > 0.0 && threshold < 1.0) {
        return Err(SeriesError::Parameter { what: "the threshold", value: threshold, must_be: "above 0 and below 1" });
    }
    Ok(weights(order).take_while(|weight| weight.abs() >= threshold).take(weights_max).collect())
}

/// Each value as the weighted sum of itself and those before it; the first result stands at row `weights.len() - 1`, and there is
/// none where the series is shorter than the weights.
///
/// # Errors
/// Values that are not finite, no weights.
pub fn difference(series: &[f64], weights: &[f64]) -> Result<Vec<f64>, SeriesError> {
    finite("the series to difference", series)?;
    if weights.is_empty() {
        return Err(SeriesError::Parameter { what: "the number of weights", value: 0.0, must_be: "at least 1" });
    }
    let sum = |window: &[f64]| window.iter().rev().zip(weights).map(|(value, weight)| value * weight).sum();
    Ok(series.windows(weights.len()).map(sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_orders_are_plain_differences() {
        let series = [3.0, 5.0, 4.0, 8.0];
        let of = |order: f64| difference(&series, &fixed_width_weights(order, 1e-6, 99).unwrap()).unwrap();
        assert_eq!(of(0.0), series);
        assert_eq!(of(1.0), [2.0, -1.0, 4.0]);
        assert_eq!(of(2.0), [-3.0, 5.0]);
        assert_eq!(weights(0.5).take(4).collect::<Vec<f64>>(), [1.0, -0.5, -0.125, -0.0625]);
    }

    #[test]
    fn two_halves_make_a_whole() {
        // (1 - B)^0.5 twice is 1 - B: the weights convolved.
        let half: Vec<f64> = weights(0.5).take(40).collect();
        for place in 0..40 {
            let sum: f64 = (0..=place).map(|other| half[other] * half[place - other]).sum();
            let expected = [1.0, -1.0].get(place).copied().unwrap_or(0.0);
            assert!((sum - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn short_series_and_bad_input_are_told() {
        let weights = fixed_width_weights(0.3, 1e-3, 100).unwrap();
        assert!(weights.len() > 20 && difference(&[1.0; 20], &weights).unwrap().is_empty());
        assert!(difference(&[1.0, f64::NAN], &[1.0]).unwrap_err().to_string().contains("row 1"));
        assert!(fixed_width_weights(-0.1, 1e-3, 9).unwrap_err().to_string().contains("from 0 to 2"));
        assert!(fixed_width_weights(0.3, 0.0, 9).unwrap_err().to_string().contains("above 0"));
        assert_eq!(fixed_width_weights(0.3, 1e-9, 9).unwrap().len(), 9);
    }
}

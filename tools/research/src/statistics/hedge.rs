//! Hedge ratios that change: over a rolling window, and as the hidden state of a Kalman filter.

use crate::error::{SeriesError, finite, long_enough, same_rows};

/// `target = intercept + beta * hedge` at one row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HedgeRatio {
    /// Constant.
    pub intercept: f64,
    /// Units of the hedge against one of the target.
    pub beta: f64,
}

/// Least squares over the last `window` rows, at each row from the first full window on; `None` before, and where the hedge does not
/// vary. Each window is summed up about its own middle row, so that no error gathers.
///
/// # Errors
/// Lengths that differ, values that are not finite, a window below 2 rows, fewer rows than the window.
pub fn rolling_hedge(target: &[f64], hedge: &[f64], window: usize) -> Result<Vec<Option<HedgeRatio>>, SeriesError> {
    same_rows("the hedge", hedge.len(), "the target", target.len())?;
    finite("the target", target)?;
    finite("the hedge", hedge)?;
    if window < 2 {
        return Err(SeriesError::Parameter { what: "the window", value: window as f64, must_be: "at least 2 rows" });
    }
    long_enough("the target", target.len(), window)?;
    let mut ratios = vec![None; window - 1];
    ratios.extend(target.windows(window).zip(hedge.windows(window)).map(|(target, hedge)| {
        let (origin_y, origin_x) = (target[window / 2], hedge[window / 2]);
        let (mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0);
        for (target, hedge) in target.iter().zip(hedge) {
            let (dy, dx) = (target - origin_y, hedge - origin_x);
            x += dx;
            y += dy;
            xx += dx * dx;
            xy += dx * dy;
        }
        let rows = window as f64;
        let spread = xx - x * x / rows;
        // A hedge that stands still leaves rounding alone.
        (spread > 1e-14 * xx).then(|| {
            let beta = (xy - x * y / rows) / spread;
            HedgeRatio { intercept: origin_y + y / rows - beta * (origin_x + x / rows), beta }
        })
    }));
    Ok(ratios)
}

/// A hedge ratio as a random walk, followed by a Kalman filter: state `[intercept, beta]`, observation `target = [1, hedge] state + e`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KalmanHedge {
    ratio: HedgeRatio,
    covariance: [[f64; 2]; 2],
    state_variance: f64,
    observation_variance: f64,
}

/// What an observation was against what the filter expected.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Innovation {
    /// Observed less expected.
    pub value: f64,
    /// Its variance by the filter.
    pub variance: f64,
}

impl KalmanHedge {
    /// A filter that starts at `ratio` with a covariance of `covariance` times the identity. Each step adds `state_variance` to both
    /// states; `observation_variance` is that of the errors.
    pub fn new(ratio: HedgeRatio, covariance: f64, state_variance: f64, observation_variance: f64) -> KalmanHedge {
        KalmanHedge { ratio, covariance: [[covariance, 0.0], [0.0, covariance]], state_variance, observation_variance }
    }

    /// Takes a row: the state's variance grows, then the observation is weighed in.
    pub fn update(&mut self, target: f64, hedge: f64) -> Innovation {
        let mut covariance = self.covariance;
        covariance[0][0] += self.state_variance;
        covariance[1][1] += self.state_variance;
        let with = [covariance[0][0] + covariance[0][1] * hedge, covariance[1][0] + covariance[1][1] * hedge];
        let variance = with[0] + with[1] * hedge + self.observation_variance;
        let value = target - (self.ratio.intercept + self.ratio.beta * hedge);
        self.ratio.intercept += with[0] / variance * value;
        self.ratio.beta += with[1] / variance * value;
        for (row, weight) in covariance.iter_mut().zip(with) {
            for (cell, other) in row.iter_mut().zip(with) {
                *cell -= weight * other / variance;
            }
        }
        self.covariance = covariance;
        Innovation { value, variance }
    }

    /// The ratio now.
    pub fn ratio(&self) -> HedgeRatio {
        self.ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::least_squares;
    use proptest::prelude::*;

    #[test]
    fn a_filter_of_a_still_ratio_is_least_squares() {
        // Without drift and with a wide prior the state is the least-squares fit of all rows so far.
        let (x, y) = ([1.0, 2.0, 4.0, 3.0, 7.0], [2.1, 3.9, 8.3, 6.0, 13.8]);
        let mut filter = KalmanHedge::new(HedgeRatio { intercept: 0.0, beta: 0.0 }, 1e9, 0.0, 1.0);
        for (x, y) in x.iter().zip(y) {
            filter.update(y, *x);
        }
        let fit = least_squares(&y, &[&[1.0; 5], &x]).unwrap();
        assert!((filter.ratio().intercept - fit.coefficients[0]).abs() < 1e-5);
        assert!((filter.ratio().beta - fit.coefficients[1]).abs() < 1e-5);
    }

    proptest! {
        #[test]
        fn each_window_is_a_regression(rows in prop::collection::vec((-9.0f64..9.0, 990.0f64..1010.0), 6..40), window in 3usize..6) {
            let (y, x): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
            let ratios = rolling_hedge(&y, &x, window).unwrap();
            prop_assert_eq!(ratios.len(), y.len());
            for (row, ratio) in ratios.iter().enumerate() {
                prop_assert_eq!(ratio.is_some(), row + 1 >= window);
                if let Some(ratio) = ratio {
                    let from = row + 1 - window;
                    let fit = least_squares(&y[from..=row], &[&vec![1.0; window], &x[from..=row]]).unwrap();
                    let scale = fit.coefficients[0].abs() + 1.0;
                    prop_assert!((ratio.intercept - fit.coefficients[0]).abs() < 1e-6 * scale);
                    prop_assert!((ratio.beta - fit.coefficients[1]).abs() < 1e-6 * (fit.coefficients[1].abs() + 1.0));
                }
            }
        }
    }
}

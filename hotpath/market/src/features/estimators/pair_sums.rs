//! Ordinary least squares and covariance from six sums.

/// Sums over pairs `(x, y)`: all that a straight line through them needs. Kyle's lambda, Hasbrouck's lambda, the price impact of
/// order flow and Roll's spread are each a line or a covariance.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct PairSums {
    /// Number of pairs.
    pub count: f64,
    /// Sum of `x`.
    pub x: f64,
    /// Sum of `y`.
    pub y: f64,
    /// Sum of `x^2`.
    pub xx: f64,
    /// Sum of `x * y`.
    pub xy: f64,
    /// Sum of `y^2`.
    pub yy: f64,
}

/// A variance below this share of the mean square is rounding, not variation.
const LEAST_VARIATION: f64 = 1e-12;

impl PairSums {
    /// Number of sums.
    pub const COLUMNS: usize = 6;

    /// What one pair adds to the sums, in the order of the fields.
    #[inline]
    pub fn columns(x: f64, y: f64) -> [f64; Self::COLUMNS] {
        [1.0, x, y, x * x, x * y, y * y]
    }

    /// The sums from their columns.
    #[inline]
    pub fn of_columns([count, x, y, xx, xy, yy]: [f64; Self::COLUMNS]) -> PairSums {
        PairSums { count, x, y, xx, xy, yy }
    }

    /// The sums over listed pairs.
    pub fn of_pairs(pairs: impl IntoIterator<Item = (f64, f64)>) -> PairSums {
        let add = |sums: [f64; Self::COLUMNS], (x, y)| {
            let pair = Self::columns(x, y);
            std::array::from_fn(|place| sums[place] + pair[place])
        };
        Self::of_columns(pairs.into_iter().fold([0.0; Self::COLUMNS], add))
    }

    /// Sample covariance, `(sum xy - sum x * sum y / n) / (n - 1)`; `None` below two pairs.
    #[inline]
    pub fn covariance(&self) -> Option<f64> {
        (self.count >= 2.0).then(|| (self.xy - self.x * self.y / self.count) / (self.count - 1.0))
    }

    /// Slope of the regression of `y` on `x` with an intercept; `None` below three pairs and where `x` does not vary.
    #[inline]
    pub fn slope(&self) -> Option<f64> {
        Some((self.xy - self.x * self.y / self.count) / self.varied(self.xx, self.x)?)
    }

    /// Intercept of the regression with [`PairSums::slope`].
    pub fn intercept(&self) -> Option<f64> {
        Some((self.y - self.slope()? * self.x) / self.count)
    }

    /// Share of the variance of `y` that `x` explains, 0 to 1; `None` below three pairs and where either does not vary.
    #[inline]
    pub fn r2(&self) -> Option<f64> {
        let cross = self.xy - self.x * self.y / self.count;
        let (x, y) = (self.varied(self.xx, self.x)?, self.varied(self.yy, self.y)?);
        Some((cross * cross / (x * y)).clamp(0.0, 1.0))
    }

    /// Student's t of the slope with an intercept; `None` where the line fits exactly or there is none.
    pub fn slope_t(&self) -> Option<f64> {
        let r2 = self.r2()?;
        let t = self.slope()?.signum() * (r2 * (self.count - 2.0) / (1.0 - r2)).sqrt();
        t.is_finite().then_some(t)
    }

    /// Slope of the regression through the origin; `None` where every `x` is 0.
    #[inline]
    pub fn slope_through_origin(&self) -> Option<f64> {
        (self.xx > 0.0).then(|| self.xy / self.xx)
    }

    /// Student's t of the slope through the origin; `None` where the line fits exactly or there is none.
    pub fn slope_through_origin_t(&self) -> Option<f64> {
        let slope = self.slope_through_origin()?;
        let t = slope / ((self.yy - slope * self.xy) / (self.count - 1.0) / self.xx).sqrt();
        t.is_finite().then_some(t)
    }

    /// Sum of squared deviations from the mean, where there are any.
    #[inline]
    fn varied(&self, squares: f64, sum: f64) -> Option<f64> {
        let deviations = squares - sum * sum / self.count;
        (self.count >= 3.0 && deviations > LEAST_VARIATION * squares).then_some(deviations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_what_does_not_vary_has_none() {
        let line = PairSums::of_pairs([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]);
        assert_eq!((line.slope(), line.intercept(), line.r2()), (Some(2.0), Some(1.0), Some(1.0)));
        assert_eq!((line.slope_t(), line.covariance()), (None, Some(2.0)));
        let through = PairSums::of_pairs([(1.0, 2.0), (2.0, 4.0)]);
        assert_eq!((through.slope_through_origin(), through.slope()), (Some(2.0), None));
        let still = PairSums::of_pairs([(0.1, 1.0), (0.1, 3.0), (0.1, 5.0)]);
        assert_eq!((still.slope(), still.r2(), PairSums::default().covariance()), (None, None, None));
        assert_eq!(PairSums::default().slope_through_origin(), None);
    }
}

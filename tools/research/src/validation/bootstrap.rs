//! How far a statistic would move on another history like this one: block bootstrap, and trades in another order.

use super::drawdown::{Wealth, drawdowns, maximum_drawdown};
use super::performance::{mean, quantile_of_sorted, sorted, standard_deviation};
use super::seeds::derived;
use super::sharpe::{normal_cdf, normal_quantile};
use crate::error::{SeriesError, enough_finite, long_enough};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a history is put together again; blocks keep what neighbouring returns have to do with each other.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// Blocks of one length (Künsch 1989); length 1 treats returns as independent.
    Moving(usize),
    /// Blocks of random length with this mean, wrapped around the end (stationary bootstrap, Politis and Romano 1994).
    Stationary(f64),
}

/// How an interval is read off the resamples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalKind {
    /// Quantiles of the resamples.
    Percentile,
    /// Bias-corrected and accelerated (Efron 1987), with a jackknife that leaves out one block at a time.
    BiasCorrected,
}

/// A seeded block bootstrap.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Histories drawn, at least 100.
    pub resamples: usize,
    /// What they are drawn from.
    pub blocks: Blocks,
    /// How the interval is read off.
    pub kind: IntervalKind,
    /// Probability that the interval covers, for example 0.95.
    pub level: f64,
    /// The same seed gives the same interval.
    pub seed: u64,
}

/// A statistic and the interval about it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic of the history itself.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation over the resamples.
    pub standard_error: f64,
}

impl Bootstrap {
    /// A stationary bootstrap with blocks of the cube root of the number of returns: 1,000 resamples, bias-corrected, at 95 %.
    pub fn standard(returns: usize, seed: u64) -> Bootstrap {
        let blocks = Blocks::Stationary((returns as f64).cbrt().max(1.0));
        Bootstrap { resamples: 1_000, blocks, kind: IntervalKind::BiasCorrected, level: 0.95, seed }
    }

    /// The interval of a statistic of returns.
    ///
    /// # Errors
    /// [`SeriesError`] for fewer than two returns, a parameter out of range, or a statistic that is NaN on a resample.
    pub fn interval(&self, returns: &[f64], statistic: impl Fn(&[f64]) -> f64 + Sync) -> Result<Interval, SeriesError> {
        enough_finite("the series of returns", returns, 2)?;
        self.interval_of(returns, statistic)
    }

    /// The interval of a statistic of anything that stands in the order of time: rows of samples, say.
    ///
    /// # Errors
    /// [`SeriesError`] for a parameter out of range, or a statistic that is NaN on a resample.
    pub fn interval_of<T: Copy + Send + Sync>(
        &self,
        returns: &[T],
        statistic: impl Fn(&[T]) -> f64 + Sync,
    ) -> Result<Interval, SeriesError> {
        const WHAT: &str = "the statistic on resampled returns";
        long_enough("the series to resample", returns.len(), 2)?;
        self.check(returns.len())?;
        let resampled: Vec<f64> = (0..self.resamples)
            .into_par_iter()
            .map_init(Vec::new, |history, resample| {
                self.draw(returns, derived(self.seed, resample as u64), history);
                statistic(history)
            })
            .collect();
        if let Some(row) = resampled.iter().position(|value| value.is_nan()) {
            return Err(SeriesError::NotFinite { what: WHAT, row, value: f64::NAN });
        }
        let estimate = statistic(returns);
        let resampled = sorted(&resampled);
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) = match self.kind {
            IntervalKind::Percentile => (tail, 1.0 - tail),
            IntervalKind::BiasCorrected => {
                let acceleration = self.acceleration(returns, &statistic);
                (corrected(&resampled, estimate, acceleration, tail), corrected(&resampled, estimate, acceleration, 1.0 - tail))
            }
        };
        Ok(Interval {
            estimate,
            low: quantile_of_sorted(&resampled, low),
            high: quantile_of_sorted(&resampled, high),
            standard_error: standard_deviation(&resampled),
        })
    }

    fn check(&self, returns: usize) -> Result<(), SeriesError> {
        let length = self.block_length();
        let [resamples, level, blocks] = ["the number of resamples", "the level of the interval", "the length of blocks"];
        for (is_good, what, value, must_be) in [
            (self.resamples >= 100, resamples, self.resamples as f64, "100 or more"),
            (self.level > 0.0 && self.level < 1.0, level, self.level, "between 0 and 1"),
            (length >= 1.0 && length <= returns as f64, blocks, length, "1 to the number of returns"),
        ] {
            if !is_good {
                return Err(SeriesError::Parameter { what, value, must_be });
            }
        }
        Ok(())
    }

    fn block_length(&self) -> f64 {
        match self.blocks {
            Blocks::Moving(length) => length as f64,
            Blocks::Stationary(mean) => mean,
        }
    }

    /// Draws one history of the same length.
    fn draw<T: Copy>(&self, returns: &[T], seed: u64, history: &mut Vec<T>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let n = returns.len();
        history.clear();
        match self.blocks {
            Blocks::Moving(length) => {
                while history.len() < n {
                    let start = random.usize(0..=n - length);
                    history.extend_from_slice(&returns[start..start + length.min(n - history.len())]);
                }
            }
            Blocks::Stationary(mean) => {
                let mut place = random.usize(0..n);
                while history.len() < n {
                    history.push(returns[place]);
                    place = if random.f64() * mean < 1.0 { random.usize(0..n) } else { (place + 1) % n };
                }
            }
        }
    }

    /// A sixth of the skewness of what leaving out a block does to the statistic.
    fn acceleration<T: Copy>(&self, returns: &[T], statistic: impl Fn(&[T]) -> f64) -> f64 {
        let length = self.block_length().ceil() as usize;
        let without = |start: usize| {
            let kept = [&returns[..start], &returns[(start + length).min(returns.len())..]].concat();
            statistic(&kept)
        };
        let left_out: Vec<f64> = (0..returns.len()).step_by(length).map(without).filter(|value| value.is_finite()).collect();
        let centre = mean(&left_out);
        let sum = |power: i32| left_out.iter().map(|value| (centre - value).powi(power)).sum::<f64>();
        let spread = sum(2).powf(1.5);
        if spread > 0.0 { sum(3) / (6.0 * spread) } else { 0.0 }
    }
}

/// The share at which to read the resamples for a share of the corrected distribution.
fn corrected(resampled: &[f64], estimate: f64, acceleration: f64, share: f64) -> f64 {
    let below = resampled.partition_point(|&value| value < estimate) as f64;
    let through = resampled.partition_point(|&value| value <= estimate) as f64;
    // Half of the equal ones lie below; never all or none, where the normal quantile is infinite.
    let count = resampled.len() as f64;
    let bias = normal_quantile((((below + through) / 2.0).clamp(0.5, count - 0.5)) / count);
    let shifted = bias + normal_quantile(share);
    normal_cdf(bias + shifted / (1.0 - acceleration * shifted))
}

/// The largest drawdowns that the same trades give in other orders.
#[derive(Clone, PartialEq, Debug)]
pub struct DrawdownDistribution {
    /// The largest drawdown in the order that happened.
    pub actual: f64,
    /// Those of the shuffles, ascending.
    pub shuffled: Vec<f64>,
}

impl DrawdownDistribution {
    /// The drawdown that this share of the orders stays below.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile_of_sorted(&self.shuffled, share)
    }

    /// Share of orders whose largest drawdown is at least the actual one: small where luck of the order flattered nothing.
    pub fn share_at_least_actual(&self) -> f64 {
        let below = self.shuffled.partition_point(|&drawdown| drawdown < self.actual);
        (self.shuffled.len() - below) as f64 / self.shuffled.len() as f64
    }
}

/// Shuffles the trades so many times and takes the largest drawdown of each order.
///
/// # Errors
/// [`SeriesError`] for fewer than two trades, one that is not finite, or no shuffle.
pub fn shuffle_trades(returns: &[f64], wealth: Wealth, shuffles: usize, seed: u64) -> Result<DrawdownDistribution, SeriesError> {
    enough_finite("the series of trades", returns, 2)?;
    if shuffles == 0 {
        return Err(SeriesError::Parameter { what: "the number of shuffles", value: 0.0, must_be: "1 or more" });
    }
    let largest = |returns: &[f64]| maximum_drawdown(&drawdowns(returns, wealth));
    let shuffled: Vec<f64> = (0..shuffles)
        .into_par_iter()
        .map(|shuffle| {
            let mut order = returns.to_vec();
            fastrand::Rng::with_seed(derived(seed, shuffle as u64)).shuffle(&mut order);
            largest(&order)
        })
        .collect();
    Ok(DrawdownDistribution { actual: largest(returns), shuffled: sorted(&shuffled) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        // The sum of twelve uniforms has variance 1 and is close to normal.
        (0..count).map(|_| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn the_mean_of_independent_values_has_the_textbooks_interval() {
        let values = noise(400, 1);
        let error = standard_deviation(&values) / 20.0;
        for blocks in [Blocks::Moving(1), Blocks::Stationary(1.0)] {
            for kind in [IntervalKind::Percentile, IntervalKind::BiasCorrected] {
                let found = Bootstrap { resamples: 4_000, blocks, kind, level: 0.95, seed: 7 }.interval(&values, mean).unwrap();
                assert!((found.standard_error / error - 1.0).abs() < 0.05, "{blocks:?} {found:?}");
                assert!((found.low - (found.estimate - 1.96 * error)).abs() < 0.15 * error, "{blocks:?} {kind:?} {found:?}");
                assert!((found.high - (found.estimate + 1.96 * error)).abs() < 0.15 * error, "{blocks:?} {kind:?} {found:?}");
            }
        }
    }

    #[test]
    fn blocks_see_that_neighbours_move_together() {
        // Each value stands ten times in a row: there are 300 values, not 3,000.
        let values: Vec<f64> = noise(300, 2).into_iter().flat_map(|value| [value; 10]).collect();
        let error = |blocks| {
            let bootstrap = Bootstrap { resamples: 1_000, blocks, kind: IntervalKind::Percentile, level: 0.9, seed: 3 };
            bootstrap.interval(&values, mean).unwrap().standard_error
        };
        let true_error = standard_deviation(&values) / 300_f64.sqrt();
        assert!(error(Blocks::Moving(1)) < 0.4 * true_error);
        assert!((error(Blocks::Moving(100)) / true_error - 1.0).abs() < 0.15);
        assert!((error(Blocks::Stationary(100.0)) / true_error - 1.0).abs() < 0.15);
    }

    #[test]
    fn a_skewed_statistic_moves_the_corrected_interval() {
        // The mean of exponential values: the corrected interval lies to the right of the plain one.
        let mut random = fastrand::Rng::with_seed(4);
        let values: Vec<f64> = (0..40).map(|_| -(1.0 - random.f64()).ln()).collect();
        let interval = |kind| {
            Bootstrap { resamples: 4_000, blocks: Blocks::Moving(1), kind, level: 0.9, seed: 5 }.interval(&values, mean).unwrap()
        };
        let (plain, corrected) = (interval(IntervalKind::Percentile), interval(IntervalKind::BiasCorrected));
        assert!(corrected.low > plain.low && corrected.high > plain.high, "{plain:?} {corrected:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values = noise(50, 3);
        let of = |seed| Bootstrap::standard(values.len(), seed).interval(&values, mean).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let bad = |bootstrap: Bootstrap| bootstrap.interval(&values, mean).unwrap_err().to_string();
        let standard = Bootstrap::standard(values.len(), 1);
        assert!(bad(Bootstrap { resamples: 9, ..standard }).contains("100 or more"));
        assert!(bad(Bootstrap { level: 1.0, ..standard }).contains("between 0 and 1"));
        assert!(bad(Bootstrap { blocks: Blocks::Moving(51), ..standard }).contains("blocks is 51"));
        assert!(standard.interval(&values, |_| f64::NAN).is_err());
    }

    #[test]
    fn shuffled_trades_of_two_have_two_orders() {
        let found = shuffle_trades(&[-0.5, 0.5, 0.5], Wealth::Additive, 3_000, 1).unwrap();
        // The loss is first, second or third: the drawdown is 0.5 each time.
        assert_eq!((found.actual, found.quantile(0.0), found.quantile(1.0)), (0.5, 0.5, 0.5));
        let found = shuffle_trades(&[-0.1, 1.0, -0.1], Wealth::Additive, 3_000, 1).unwrap();
        // The losses are neighbours in two orders of three.
        let neighbours = found.shuffled.iter().filter(|&&drawdown| drawdown > 0.15).count() as f64 / 3_000.0;
        assert!((neighbours - 2.0 / 3.0).abs() < 0.05, "{neighbours}");
        assert_eq!(found.share_at_least_actual(), 1.0);
        assert!(shuffle_trades(&[0.1], Wealth::Additive, 10, 1).is_err());
        assert!(shuffle_trades(&[0.1, 0.2], Wealth::Additive, 0, 1).is_err());
    }
}

//! Probability of backtest overfitting (PBO) by combinatorially symmetric cross-validation (CSCV).
//!
//! Bailey, Borwein, López de Prado and Zhu, *The Probability of Backtest Overfitting*, Journal of Computational Finance, 2017. The
//! history is cut into blocks; for every way to take half of them, the configuration that is best there is ranked in the other
//! half.

use super::combinations::combinations;
use super::splitter::array_split;
use crate::error::{SeriesError, enough_finite};
use rayon::prelude::*;

/// Most blocks: 18 give 48,620 combinations.
const BLOCKS_MAX: usize = 18;

/// What CSCV found; one entry a combination, in lexicographic order of the in-sample blocks.
#[derive(Clone, PartialEq, Debug)]
pub struct Overfitting {
    /// Share of combinations whose logit is 0 or less: the best in sample is in the lower half out of sample.
    pub probability: f64,
    /// `ln(w / (1 - w))` with `w` the relative rank of the best in sample, out of sample.
    pub logits: Vec<f64>,
    /// The configuration with the highest Sharpe ratio in sample; the first of equals.
    pub best_in_sample: Vec<usize>,
    /// Its rank out of sample, from 1 (worst) to the number of configurations; equals share the mean of their ranks.
    pub rank_out_of_sample: Vec<f64>,
    /// Share of combinations in which the best in sample loses out of sample (Sharpe ratio below 0).
    pub probability_of_loss: f64,
    /// Slope of the regression of its Sharpe ratio out of sample on that in sample; NaN where all are equal in sample.
    pub degradation_slope: f64,
    /// Intercept of that regression.
    pub degradation_intercept: f64,
}

/// Computes the probability of overfitting from the returns of configurations over the same periods; `blocks` is even, 2 to 18.
///
/// A configuration without any spread in its returns has a Sharpe ratio of 0: it never traded.
///
/// # Errors
/// [`SeriesError`] for fewer than two configurations, unequal lengths, fewer than two periods a block, values that are not
/// finite, or an odd number of blocks.
pub fn overfitting(configurations: &[&[f64]], blocks: usize) -> Result<Overfitting, SeriesError> {
    const WHAT: &str = "a configuration for the probability of overfitting";
    if !(2..=BLOCKS_MAX).contains(&blocks) || blocks % 2 == 1 {
        let what = "the number of blocks";
        return Err(SeriesError::Parameter { what, value: blocks as f64, must_be: "an even number, 2 to 18" });
    }
    if configurations.len() < 2 {
        let what = "the number of configurations for the probability of overfitting";
        return Err(SeriesError::Parameter { what, value: configurations.len() as f64, must_be: "2 or more" });
    }
    let periods = configurations[0].len();
    for returns in configurations {
        if returns.len() != periods {
            let other = "the first configuration";
            return Err(SeriesError::Lengths { what: WHAT, rows: returns.len(), other, other_rows: periods });
        }
        enough_finite(WHAT, returns, 2 * blocks)?;
    }
    let sums: Vec<BlockSums> = configurations.iter().map(|returns| BlockSums::of(returns, blocks)).collect();
    let chosen = combinations(blocks, blocks / 2);
    let outcomes: Vec<Outcome> = chosen.par_iter().map(|in_sample| outcome(&sums, in_sample, blocks)).collect();
    let count = outcomes.len() as f64;
    let share = |holds: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| holds(outcome)).count() as f64 / count;
    let (degradation_slope, degradation_intercept) = regression(&outcomes);
    Ok(Overfitting {
        probability: share(|outcome| outcome.logit <= 0.0),
        logits: outcomes.iter().map(|outcome| outcome.logit).collect(),
        best_in_sample: outcomes.iter().map(|outcome| outcome.best).collect(),
        rank_out_of_sample: outcomes.iter().map(|outcome| outcome.rank).collect(),
        probability_of_loss: share(|outcome| outcome.sharpe_out < 0.0),
        degradation_slope,
        degradation_intercept,
    })
}

struct Outcome {
    best: usize,
    rank: f64,
    logit: f64,
    sharpe_in: f64,
    sharpe_out: f64,
}

fn outcome(sums: &[BlockSums], in_sample: &[usize], blocks: usize) -> Outcome {
    let mut is_in = [false; BLOCKS_MAX];
    in_sample.iter().for_each(|&block| is_in[block] = true);
    let sharpes = |wanted: bool| sums.iter().map(|sums| sums.sharpe((0..blocks).filter(|&block| is_in[block] == wanted))).collect();
    let (inside, outside): (Vec<f64>, Vec<f64>) = (sharpes(true), sharpes(false));
    let best = (1..inside.len()).fold(0, |best, next| if inside[next] > inside[best] { next } else { best });
    let sharpe_out = outside[best];
    let below = outside.iter().filter(|&&sharpe| sharpe < sharpe_out).count() as f64;
    let equal = outside.iter().filter(|&&sharpe| sharpe == sharpe_out).count() as f64;
    let rank = below + (equal + 1.0) / 2.0;
    let relative = rank / (sums.len() as f64 + 1.0);
    Outcome { best, rank, logit: (relative / (1.0 - relative)).ln(), sharpe_in: inside[best], sharpe_out }
}

/// Sums of one configuration's returns in each block, about its overall mean so that little cancels.
struct BlockSums {
    mean: f64,
    /// Count, sum, sum of squares.
    blocks: Vec<(f64, f64, f64)>,
}

impl BlockSums {
    fn of(returns: &[f64], blocks: usize) -> BlockSums {
        let mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let sums = |block: &[f64]| {
            block.iter().fold((0.0, 0.0, 0.0), |(count, sum, squares), value| {
                let centred = value - mean;
                (count + 1.0, sum + centred, squares + centred * centred)
            })
        };
        BlockSums { mean, blocks: array_split(returns.len(), blocks).into_iter().map(|range| sums(&returns[range])).collect() }
    }

    fn sharpe(&self, blocks: impl Iterator<Item = usize>) -> f64 {
        let (count, sum, squares) = blocks.fold((0.0, 0.0, 0.0), |(count, sum, squares), block| {
            let (more, with, square) = self.blocks[block];
            (count + more, sum + with, squares + square)
        });
        let mean = self.mean + sum / count;
        let std = ((squares - sum * sum / count) / (count - 1.0)).max(0.0).sqrt();
        if std <= mean.abs() * 1e-14 { 0.0 } else { mean / std }
    }
}

/// Slope and intercept of the Sharpe ratios out of sample on those in sample.
fn regression(outcomes: &[Outcome]) -> (f64, f64) {
    let count = outcomes.len() as f64;
    let mean_in = outcomes.iter().map(|outcome| outcome.sharpe_in).sum::<f64>() / count;
    let mean_out = outcomes.iter().map(|outcome| outcome.sharpe_out).sum::<f64>() / count;
    let (products, squares) = outcomes.iter().fold((0.0, 0.0), |(products, squares), outcome| {
        let centred = outcome.sharpe_in - mean_in;
        (products + centred * (outcome.sharpe_out - mean_out), squares + centred * centred)
    });
    let slope = products / squares;
    (slope, mean_out - slope * mean_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_always_wins_is_not_overfitted() {
        let noise = |seed: u64, drift: f64| {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..64).map(|_| random.f64() - 0.5 + drift).collect::<Vec<f64>>()
        };
        let (one, two, three) = (noise(1, 0.0), noise(2, 0.0), noise(3, 5.0));
        let found = overfitting(&[&one, &two, &three], 8).unwrap();
        assert_eq!(found.logits.len(), 70);
        assert!(found.best_in_sample.iter().all(|&best| best == 2));
        assert_eq!((found.probability, found.probability_of_loss), (0.0, 0.0));
        assert!(found.rank_out_of_sample.iter().all(|&rank| rank == 3.0));
    }

    #[test]
    fn what_shines_in_one_half_only_is_overfitted() {
        // Each is good in one half of the history and bad in the other: the better in sample is the worse out of sample.
        let wave =
            |sign: f64| (0..40).map(|row| if row < 20 { sign } else { -sign } + 0.1 * f64::from(row % 2)).collect::<Vec<f64>>();
        let (one, two) = (wave(1.0), wave(-1.0));
        let found = overfitting(&[&one, &two], 2).unwrap();
        assert_eq!((found.probability, found.probability_of_loss), (1.0, 1.0));
        assert_eq!(found.best_in_sample, vec![0, 1]);
        assert_eq!(found.rank_out_of_sample, vec![1.0, 1.0]);
    }

    #[test]
    fn equals_share_their_rank() {
        let wave: Vec<f64> = (0..16).map(|row| f64::from(row % 3)).collect();
        let found = overfitting(&[&wave, &wave, &wave], 4).unwrap();
        assert!(found.rank_out_of_sample.iter().all(|&rank| rank == 2.0) && found.logits.iter().all(|&logit| logit == 0.0));
        assert_eq!(found.probability, 1.0);
    }

    #[test]
    fn bad_input_is_told() {
        let row = [0.1; 16];
        assert!(overfitting(&[&row], 4).unwrap_err().to_string().contains("configurations"));
        assert!(overfitting(&[&row, &row], 3).unwrap_err().to_string().contains("even"));
        assert!(
            overfitting(&[&row, &row[..9]], 4).unwrap_err().to_string().contains("has 9 rows and the first configuration has 16")
        );
        assert!(overfitting(&[&row, &row], 16).unwrap_err().to_string().contains("are needed"));
        let mut broken = row;
        broken[3] = f64::NAN;
        assert!(overfitting(&[&row, &broken], 4).unwrap_err().to_string().contains("row 3"));
    }
}

//! One trial, and what all of them together take from a Sharpe ratio.

use super::History;
use crate::validation::Trials;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// One configuration that was tried on one dataset.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// When, nanoseconds since 1970.
    pub time_ns: i64,
    /// What ran: `validate`, `meta train`.
    pub command: String,
    /// The model, as it describes itself.
    pub model: Value,
    /// SHA-256 of everything that was chosen: model, splits, costs.
    pub config_sha256: String,
    /// SHA-256 of the dataset.
    pub dataset_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// Version of the code.
    pub code: String,
    /// Periods a year, by the data's clock.
    pub periods_per_year: f64,
    /// Number of bets of a path.
    pub bets: u64,
    /// Sharpe ratio per period of each path; 0 of one that never traded.
    pub path_sharpes: Vec<f64>,
}

impl Trial {
    /// The median Sharpe ratio of the paths (of an even number of them the lower one), as it would be over another number of bets
    /// with as much luck in it: a Sharpe ratio of n bets without skill scatters by `1 / sqrt(n)`.
    pub fn sharpe_over(&self, bets: u64) -> f64 {
        lower_median(&self.path_sharpes) * (self.bets as f64 / bets.max(1) as f64).sqrt()
    }
}

/// The trials of a history, as a strategy with so many bets is deflated by them.
///
/// All count, whatever they were tried on. The very same trial run again (configuration, dataset, seed, result) counts once:
/// repeating it shows nothing new, and would narrow the spread. With the median Sharpe ratio of each trial, the variance is that over
/// trials. Those of other data are brought to the candidate's number of bets ([`Trial::sharpe_over`]); scaled by time instead, a
/// trial on a minute of ticks would be a Sharpe ratio of thousands a year, and its noise the hurdle of everything on a longer history.
pub fn trials(history: &History, bets: u64) -> Trials {
    let mut seen = BTreeSet::new();
    let mut sharpes = Vec::new();
    for trial in &history.trials {
        let results: Vec<u64> = trial.path_sharpes.iter().map(|sharpe| sharpe.to_bits()).collect();
        if seen.insert((&trial.config_sha256, &trial.dataset_sha256, trial.seed, results)) {
            sharpes.push(trial.sharpe_over(bets));
        }
    }
    let count = sharpes.len();
    let mean = sharpes.iter().sum::<f64>() / count.max(1) as f64;
    let squares: f64 = sharpes.iter().map(|sharpe| (sharpe - mean).powi(2)).sum();
    Trials { count, sharpe_variance: if count < 2 { 0.0 } else { squares / (count as f64 - 1.0) } }
}

/// The middle value, or the lower of the two in the middle; NaN of none.
pub(crate) fn lower_median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.len().checked_sub(1).map_or(f64::NAN, |last| sorted[last / 2])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn trial(seed: u64) -> Trial {
        Trial {
            time_ns: 1_700_000_000_000_000_000 + seed as i64,
            command: "validate".into(),
            model: json!({ "kind": "logistic", "l2": 0.1 * seed as f64 }),
            config_sha256: format!("config {seed}"),
            dataset_sha256: "dataset".into(),
            seed,
            code: "1.0".into(),
            periods_per_year: 400.0,
            bets: 400,
            path_sharpes: vec![0.01 * seed as f64, 0.02 * seed as f64, 0.0],
        }
    }

    #[test]
    fn trials_count_once_and_on_the_candidates_scale() {
        let mut history = History { trials: [0, 1, 2, 1].map(trial).to_vec(), hashes: Vec::new() };
        // Medians 0, 0.01, 0.02 of 400 bets are as much luck as 0, 0.02, 0.04 of 100.
        let found = trials(&history, 100);
        assert_eq!(found.count, 3);
        assert!((found.sharpe_variance - 4e-4).abs() < 1e-15);
        history.trials[3].path_sharpes[0] = 0.5;
        assert_eq!(trials(&history, 100).count, 4);
        // A trial of a few seconds, with as much luck as the others, changes little, whatever its year would be.
        let short = Trial { periods_per_year: 1e9, bets: 4, path_sharpes: vec![0.1], ..trial(9) };
        history.trials.push(short);
        let found = trials(&history, 100);
        assert!(found.count == 5 && found.sharpe_variance.sqrt() < 0.03, "{found:?}");
        assert_eq!(trials(&History { trials: vec![], hashes: vec![] }, 1), Trials { count: 0, sharpe_variance: 0.0 });
    }

    #[test]
    fn the_lower_of_two_in_the_middle() {
        assert_eq!(lower_median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(lower_median(&[4.0, 1.0, 3.0, 2.0]), 2.0);
        assert!(lower_median(&[]).is_nan());
    }
}

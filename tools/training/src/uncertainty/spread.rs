//! The mean of several predictions, and how far they disagree.

/// What members say of the classes.
#[derive(Clone, PartialEq, Debug)]
pub struct ClassSpread {
    /// Mean probability of each class.
    pub mean: Vec<f64>,
    /// Standard deviation of each class's probability over the members (over `n - 1`); 0 for a single one.
    pub deviation: Vec<f64>,
    /// Entropy of the mean, in nats: all uncertainty.
    pub entropy: f64,
    /// What members disagree on, in nats: the entropy of the mean less the mean entropy (Houlsby et al., 2011). What is left of
    /// the entropy is noise that all members see.
    pub mutual_information: f64,
}

/// What members forecast.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ForecastSpread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation over the members (over `n - 1`); 0 for a single one.
    pub deviation: f64,
}

/// Members that cannot be put together.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SpreadError {
    /// None.
    #[error("there are no members; give at least one")]
    None,
    /// Members of different lengths.
    #[error("member {member} gives {found} classes and the first one {expected}; all must have the same")]
    Classes {
        /// Which member.
        member: usize,
        /// Its classes.
        found: usize,
        /// Those of the first.
        expected: usize,
    },
    /// What is no probability.
    #[error("member {member} gives {value}, which is no probability from 0 to 1")]
    Probability {
        /// Which member.
        member: usize,
        /// What it gives.
        value: f64,
    },
}

/// Mean and disagreement of members' probabilities, a row of classes each (deep ensembles: Lakshminarayanan, Pritzel and Blundell, 2017).
///
/// # Errors
/// [`SpreadError`].
pub fn class_spread(members: &[impl AsRef<[f64]>]) -> Result<ClassSpread, SpreadError> {
    let expected = members.first().ok_or(SpreadError::None)?.as_ref().len();
    for (member, row) in members.iter().enumerate() {
        let row = row.as_ref();
        if row.len() != expected {
            return Err(SpreadError::Classes { member, found: row.len(), expected });
        }
        if let Some(value) = row.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(SpreadError::Probability { member, value: *value });
        }
    }
    let of_classes = (0..expected).map(|class| spread(members.iter().map(|row| row.as_ref()[class])));
    let (mean, deviation): (Vec<f64>, Vec<f64>) = of_classes.map(|of_class| (of_class.mean, of_class.deviation)).unzip();
    let mean_entropy = members.iter().map(|row| entropy(row.as_ref())).sum::<f64>() / members.len() as f64;
    let entropy = entropy(&mean);
    // Jensen: never below 0 but by rounding.
    Ok(ClassSpread { mean, deviation, entropy, mutual_information: (entropy - mean_entropy).max(0.0) })
}

/// Mean and disagreement of members' forecasts.
///
/// # Errors
/// [`SpreadError::None`].
pub fn forecast_spread(members: &[f64]) -> Result<ForecastSpread, SpreadError> {
    if members.is_empty() { Err(SpreadError::None) } else { Ok(spread(members.iter().copied())) }
}

/// What a network with its dropout on says in each of several passes (Gal and Ghahramani, "Dropout as a Bayesian Approximation", 2016):
/// members for [`class_spread`] and [`forecast_spread`]. `pass` takes the generator of its dropout, which depends on the seed and the number
/// of the pass alone.
pub fn monte_carlo_passes<T>(passes: u64, seed: u64, mut pass: impl FnMut(&mut fastrand::Rng) -> T) -> Vec<T> {
    (0..passes).map(|number| pass(&mut fastrand::Rng::with_seed(crate::fit::seed_of(seed, &[number])))).collect()
}

fn spread(values: impl Iterator<Item = f64> + Clone) -> ForecastSpread {
    let count = values.clone().count() as f64;
    let first = values.clone().next().unwrap_or(0.0);
    // Around the first one, so that equal members give it back to the last bit.
    let mean = first + values.clone().map(|value| value - first).sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    ForecastSpread { mean, deviation: if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
}

fn entropy(probabilities: &[f64]) -> f64 {
    probabilities.iter().filter(|probability| **probability > 0.0).map(|probability| -probability * probability.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_members_by_hand() {
        // Both certain, and of different things: all uncertainty is disagreement.
        let apart = class_spread(&[[1.0, 0.0], [0.0, 1.0]]).unwrap();
        assert_eq!((apart.mean.as_slice(), apart.entropy), (&[0.5, 0.5][..], 2.0_f64.ln()));
        assert_eq!(apart.mutual_information, 2.0_f64.ln());
        assert!((apart.deviation[0] - 0.5_f64.sqrt()).abs() < 1e-15);
        let forecast = forecast_spread(&[1.0, 3.0, 5.0]).unwrap();
        assert_eq!((forecast.mean, forecast.deviation), (3.0, 2.0));
    }

    #[test]
    fn what_is_no_ensemble_is_refused() {
        assert_eq!(class_spread(&[] as &[Vec<f64>]), Err(SpreadError::None));
        assert_eq!(forecast_spread(&[]), Err(SpreadError::None));
        let classes = class_spread(&[vec![0.5, 0.5], vec![1.0]]);
        assert_eq!(classes, Err(SpreadError::Classes { member: 1, found: 1, expected: 2 }));
        assert_eq!(class_spread(&[[1.5, 0.0]]), Err(SpreadError::Probability { member: 0, value: 1.5 }));
        assert!(class_spread(&[[f64::NAN]]).is_err());
    }

    proptest! {
        #[test]
        fn equal_members_have_no_spread(weights in prop::collection::vec(0.01_f64..1.0, 1..6), members in 1_usize..9, forecast in -1e6_f64..1e6) {
            let total: f64 = weights.iter().sum();
            let row: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            let spread = class_spread(&vec![row.clone(); members]).unwrap();
            prop_assert_eq!(&spread.mean, &row);
            prop_assert!(spread.deviation.iter().all(|deviation| *deviation == 0.0) && spread.mutual_information < 1e-12);
            prop_assert_eq!(forecast_spread(&vec![forecast; members]).unwrap(), ForecastSpread { mean: forecast, deviation: 0.0 });
        }

        #[test]
        fn disagreement_is_part_of_the_uncertainty(rows in prop::collection::vec([0.0_f64..1.0, 0.0_f64..1.0, 0.001_f64..1.0], 1..8)) {
            let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|weight| weight / row.iter().sum::<f64>()).collect()).collect();
            let spread = class_spread(&rows).unwrap();
            prop_assert!(spread.mutual_information <= spread.entropy + 1e-12 && spread.entropy <= 3.0_f64.ln() + 1e-12);
            prop_assert!((spread.mean.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }

        #[test]
        fn passes_depend_on_the_seed_alone(seed in any::<u64>()) {
            let passes = |seed| monte_carlo_passes(6, seed, |random| random.f64());
            prop_assert_eq!(passes(seed), passes(seed));
            prop_assert_ne!(passes(seed), passes(seed ^ 1));
            prop_assert!(forecast_spread(&passes(seed)).unwrap().deviation > 0.0);
        }
    }
}

//! The comparison of trained models with what was published, and with persistence.

use super::data::Split;
use super::metrics::PriceErrors;
use super::recipe::{Recipe, Trained};
use chronos_research::SeriesError;
use chronos_research::statistics::diebold_mariano;
use serde::{Deserialize, Serialize};

/// Mean and standard deviation over seeds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation of a sample; nothing for one seed.
    pub deviation: Option<f64>,
}

/// A Diebold-Mariano test against persistence.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct AgainstPersistence {
    /// Negative where the model loses less than persistence.
    pub statistic: f64,
    /// Chance of one as far from 0, were both as good.
    pub p_value: f64,
}

/// One model over its seeds, on the test split.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// Which.
    pub model: Recipe,
    /// How many seeds.
    pub seeds: usize,
    /// Root mean squared error, dollars.
    pub rmse: Spread,
    /// Mean absolute error in percent of the target.
    pub mape_percent: Spread,
    /// Mean absolute error, dollars.
    pub mae: Spread,
    /// What was published.
    pub published: Option<PriceErrors>,
    /// Test of squared errors; each day's is the mean over seeds: what one seed, drawn at random, loses. `None` where it loses just what
    /// persistence does.
    pub squared: Option<AgainstPersistence>,
    /// The same of absolute errors.
    pub absolute: Option<AgainstPersistence>,
    /// How alive its blocks are; of models that have some.
    pub blocks: Option<BlocksAlive>,
}

/// How many of a model's blocks are alive after training, over its seeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlocksAlive {
    /// In the seed that has the fewest.
    pub fewest: usize,
    /// In the seed that has the most.
    pub most: usize,
    /// All of one seed.
    pub of: usize,
    /// Seeds in which none is: the model is an affine map.
    pub dead_seeds: usize,
}

/// The table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Errors of persistence on the test split.
    pub persistence: PriceErrors,
    /// Samples of the test split.
    pub samples: usize,
    /// In the order of [`Recipe::ALL`].
    pub models: Vec<ComparisonRow>,
}

impl Comparison {
    /// Compares what was trained, in whatever order, on the test split that all of it was judged on.
    ///
    /// # Errors
    /// [`SeriesError`]: fewer samples than a test needs, or predictions of another split.
    pub fn of(trained: &[Trained], test: &Split) -> Result<Self, SeriesError> {
        let (targets, persistence) = (test.targets(), test.persistence());
        let mut models = Vec::new();
        for model in Recipe::ALL {
            let seeds: Vec<&Trained> = trained.iter().filter(|one| one.model == model).collect();
            if seeds.is_empty() {
                continue;
            }
            let spread = |value: &dyn Fn(&PriceErrors) -> f64| Spread::of(seeds.iter().map(|one| value(&one.test)).collect());
            let test_of = |loss: fn(f64) -> f64| -> Result<Option<AgainstPersistence>, SeriesError> {
                let losses = |predictions: &[f64]| -> Vec<f64> {
                    predictions.iter().zip(&targets).map(|(prediction, target)| loss(prediction - target)).collect()
                };
                let mut mean = vec![0.0; targets.len()];
                for one in &seeds {
                    mean.iter_mut().zip(losses(&one.predictions)).for_each(|(mean, loss)| *mean += loss / seeds.len() as f64);
                }
                let others = losses(&persistence);
                if mean == others {
                    return Ok(None);
                }
                let test = diebold_mariano(&mean, &others, 1)?;
                Ok(Some(AgainstPersistence { statistic: test.statistic, p_value: test.p_value }))
            };
            let blocks: Vec<[usize; 2]> =
                seeds.iter().filter_map(|one| one.blocks.as_ref()).map(|blocks| [blocks.alive, blocks.count]).collect();
            models.push(ComparisonRow {
                model,
                seeds: seeds.len(),
                rmse: spread(&|errors| errors.rmse),
                mape_percent: spread(&|errors| errors.mape_percent),
                mae: spread(&|errors| errors.mae),
                published: model.published_errors(),
                squared: test_of(|error| error * error)?,
                absolute: test_of(f64::abs)?,
                blocks: BlocksAlive::of(&blocks),
            });
        }
        Ok(Self { persistence: PriceErrors::of(&persistence, &targets), samples: targets.len(), models })
    }
}

impl ComparisonRow {
    /// What the numbers allow to say of the model beside persistence, at five percent of the squared errors.
    pub fn verdict(&self, persistence: &PriceErrors) -> &'static str {
        let is_lower = self.rmse.mean < persistence.rmse;
        match (is_lower, self.squared.is_some_and(|test| test.p_value < 0.05)) {
            (true, true) => "better than persistence",
            (true, false) => "below persistence, not significantly: no better",
            (false, true) => "worse than persistence",
            (false, false) => "no better than persistence",
        }
    }
}

impl BlocksAlive {
    /// From those alive and all, of each seed.
    fn of(seeds: &[[usize; 2]]) -> Option<Self> {
        let alive = || seeds.iter().map(|[alive, _]| *alive);
        let [_, of] = *seeds.first()?;
        Some(Self { fewest: alive().min()?, most: alive().max()?, of, dead_seeds: alive().filter(|alive| *alive == 0).count() })
    }
}

impl Spread {
    fn of(values: Vec<f64>) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_research::bars::Ohlcv;

    #[test]
    fn blocks_are_counted_over_seeds() {
        assert_eq!(BlocksAlive::of(&[]), None);
        let alive = BlocksAlive { fewest: 0, most: 8, of: 12, dead_seeds: 2 };
        assert_eq!(BlocksAlive::of(&[[4, 12], [0, 12], [8, 12], [0, 12]]), Some(alive));
    }

    fn split() -> Split {
        let row = |day: i64| {
            let close = 100.0 + f64::from(u8::try_from(day * day % 17).unwrap());
            let start_ns = day * 86_400_000_000_000;
            Ohlcv {
                start_ns,
                end_ns: start_ns,
                open: close,
                high: close,
                low: close,
                close,
                volume: 1.0,
                notional: 0.0,
                flow: None,
            }
        };
        Split { rows: (0..40).map(row).collect(), window: 14 }
    }

    fn trained(seed: u64, predictions: Vec<f64>, split: &Split) -> Trained {
        let test = PriceErrors::of(&predictions, &split.targets());
        let (model, validation) = (Recipe::Gru, test);
        let (parameters, epochs, best_epoch, watched, blocks, seconds) = (1, 1, 0, 0.0, None, 0.0);
        let (data_sha256, epochs_max) = Default::default();
        Trained {
            model,
            seed,
            parameters,
            data_sha256,
            epochs_max,
            epochs,
            best_epoch,
            watched,
            validation,
            test,
            predictions,
            blocks,
            seconds,
        }
    }

    #[test]
    fn seeds_are_summed_up_and_tested_against_persistence() {
        let split = split();
        let (targets, persistence) = (split.targets(), split.persistence());
        let near: Vec<f64> =
            targets.iter().enumerate().map(|(day, target)| target + f64::from(u8::try_from(day % 3).unwrap())).collect();
        let perfect = trained(1, targets.clone(), &split);
        let comparison = Comparison::of(&[perfect.clone(), trained(2, near, &split)], &split).unwrap();
        let row = &comparison.models[0];
        let second = row.rmse.mean * 2.0;
        assert!((row.rmse.deviation.unwrap() - second / 2.0_f64.sqrt()).abs() < 1e-12);
        assert!(
            row.squared.unwrap().statistic < 0.0 && row.verdict(&comparison.persistence) == "better than persistence",
            "{row:?}"
        );
        let same = Comparison::of(&[trained(1, persistence, &split)], &split).unwrap();
        assert_eq!((same.models[0].squared, same.models[0].rmse.deviation), (None, None));
        assert_eq!(same.models[0].verdict(&same.persistence), "no better than persistence");
    }
}

//! A validation as it is kept beside the model: every return of every path, so that the gate can compute its figures anew.

use super::backtest::{Backtest, bets};
use super::cross_validation::{CrossValidationError, cross_validate};
use super::model::{Model, model_text};
use super::performance::periods_per_year;
use super::samples::{Samples, Target};
use super::sharpe::Moments;
use super::splitter::Splitter;
use crate::error::SeriesError;
use crate::hash::sha256_hex;
use crate::ledger::{Head, Ledger, LedgerError, Trial, lower_median};
use crate::trees::{ReliabilityBin, reliability_curve};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// Version of the file's shape.
const FORMAT: u32 = 2;
/// Bins of the reliability curve.
const RELIABILITY_BINS: usize = 10;
/// The file's name in a model's folder.
pub const VALIDATION_FILE: &str = "validation.json";

/// What a validation does.
#[derive(Clone, PartialEq, Debug)]
pub struct ValidationPlan {
    /// How rows are split.
    pub splitter: Splitter,
    /// How scores become returns.
    pub backtest: Backtest,
    /// The same seed gives the same result.
    pub seed: u64,
    /// SHA-256 of the dataset, lower-case hex.
    pub dataset_sha256: String,
    /// Now, nanoseconds since 1970.
    pub time_ns: i64,
    /// Version of the code that runs.
    pub code: String,
    /// The model it is for, as [`subject_sha256`](chronos_session::model::subject_sha256) has it; empty where there is none yet.
    pub subject_sha256: String,
}

/// `validation.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Version of this shape.
    pub format: u32,
    /// When it ran, nanoseconds since 1970.
    pub time_ns: i64,
    /// Version of the code that ran.
    pub code: String,
    /// Its seed.
    pub seed: u64,
    /// SHA-256 of the dataset.
    pub dataset_sha256: String,
    /// What the labels say.
    pub target: Target,
    /// Number of rows of the dataset.
    pub rows: usize,
    /// How they were split.
    pub splitter: Splitter,
    /// How scores became returns.
    pub backtest: Backtest,
    /// Bets a year, by the data's clock.
    pub periods_per_year: f64,
    /// When each bet ended, nanoseconds since 1970.
    pub times_ns: Vec<i64>,
    /// Return of each bet with a position of 1 in it, without costs: what a configuration is compared with.
    pub benchmark: Vec<f64>,
    /// What was tried.
    pub configurations: Vec<Configuration>,
    /// The ledger's head after this validation was appended to it.
    pub ledger: Head,
}

/// One configuration that was tried.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The model, as it describes itself.
    pub model: Value,
    /// SHA-256 of everything that was chosen: model, splits, costs.
    pub config_sha256: String,
    /// Units of notional traded for each bet, on average over paths.
    pub turnover: f64,
    /// Share of bets that took a position, on average over paths.
    pub exposure: f64,
    /// What the paths belong to, see [`bound_to`].
    pub bound_to: String,
    /// Out-of-sample return of each bet, net of costs, by path.
    pub paths: Vec<Vec<f64>>,
    /// What the model said out of sample, over all paths, against how often it was so, by bins that are not empty; none of a model
    /// that gives no probabilities.
    pub reliability: Vec<ReliabilityBin>,
}

/// SHA-256 of everything that was chosen for a configuration.
fn config_sha256(model: &Value, splitter: &Splitter, backtest: &Backtest, target: Target) -> String {
    let config = json!({ "model": model, "splitter": splitter, "backtest": backtest, "target": target });
    sha256_hex(config.to_string().as_bytes())
}

/// What the paths of a configuration belong to: SHA-256 of the model they were made for and of the configuration. The gate computes
/// it anew, from the model that asks to be promoted.
pub fn bound_to(subject_sha256: &str, config_sha256: &str) -> String {
    sha256_hex(format!("{subject_sha256} {config_sha256}").as_bytes())
}

/// Why a validation could not be run, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ValidationError {
    /// Rows, splits or a model.
    #[error(transparent)]
    CrossValidation(#[from] CrossValidationError),
    /// The returns are too few or not finite.
    #[error(transparent)]
    Statistics(#[from] SeriesError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file could not be read or written.
    #[error("validation {path}: {source}{remedy}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// What to do, beginning with `; `, or nothing.
        remedy: &'static str,
    },
    /// A file is not what it should be.
    #[error("validation {path}: {message}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// Nothing was asked for.
    #[error("no model to validate; name at least one")]
    NoModel,
}

/// Validates models: trains and tests them on all splits, bets on their scores, and appends a trial for each to the ledger,
/// whatever came of it. `progress` is told the number of trainings done and of all.
///
/// # Errors
/// [`ValidationError`] where rows, splits, a model or the ledger are at fault.
pub fn validate(
    samples: &Samples<'_>,
    models: &[&dyn Model],
    plan: &ValidationPlan,
    ledger: &Ledger,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Validation, ValidationError> {
    if models.is_empty() {
        return Err(ValidationError::NoModel);
    }
    let scores = cross_validate(samples, &plan.splitter, models, plan.seed, progress)?;
    let is_tested = |row: usize| scores[0].first().is_some_and(|path| !path[row].is_nan());
    let bets = bets(samples, is_tested);
    let times_ns: Vec<i64> = bets.iter().map(|&row| samples.ends_ns[row]).collect();
    let periods_per_year = periods_per_year(&times_ns)?;
    let configurations: Vec<Configuration> = models
        .iter()
        .zip(&scores)
        .map(|(model, paths)| {
            let reliability = if model.is_probabilistic() { reliability(samples, paths) } else { Vec::new() };
            let paths: Vec<_> = paths.iter().map(|scores| plan.backtest.returns(samples, &bets, scores)).collect();
            let count = paths.len() as f64;
            let model = model.describe();
            let config_sha256 = config_sha256(&model, &plan.splitter, &plan.backtest, samples.target);
            Configuration {
                model,
                bound_to: bound_to(&plan.subject_sha256, &config_sha256),
                config_sha256,
                turnover: paths.iter().map(|path| path.turnover).sum::<f64>() / count,
                exposure: paths.iter().map(|path| path.exposure).sum::<f64>() / count,
                paths: paths.into_iter().map(|path| path.returns).collect(),
                reliability,
            }
        })
        .collect();
    let trial = |configuration: &Configuration| Trial {
        time_ns: plan.time_ns,
        command: "validate".into(),
        model: configuration.model.clone(),
        config_sha256: configuration.config_sha256.clone(),
        dataset_sha256: plan.dataset_sha256.clone(),
        seed: plan.seed,
        code: plan.code.clone(),
        periods_per_year,
        bets: times_ns.len() as u64,
        path_sharpes: configuration.path_sharpes(),
    };
    let head = ledger.append(&configurations.iter().map(trial).collect::<Vec<_>>())?;
    Ok(Validation {
        format: FORMAT,
        time_ns: plan.time_ns,
        code: plan.code.clone(),
        seed: plan.seed,
        dataset_sha256: plan.dataset_sha256.clone(),
        target: samples.target,
        rows: samples.rows(),
        splitter: plan.splitter.clone(),
        backtest: plan.backtest,
        periods_per_year,
        times_ns,
        benchmark: bets.iter().map(|&row| samples.returns[row]).collect(),
        configurations,
        ledger: head,
    })
}

/// The reliability of the scores of all paths; rows without a direction tell nothing.
fn reliability(samples: &Samples<'_>, paths: &[Vec<f64>]) -> Vec<ReliabilityBin> {
    let (mut probabilities, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for scores in paths {
        for (row, score) in scores.iter().enumerate().filter(|(_, score)| !score.is_nan()) {
            let label = samples.labels[row];
            let probability = match samples.target {
                Target::Direction if label == 0.0 => continue,
                Target::Direction => (1.0 + score) / 2.0,
                Target::Meta => *score,
            };
            probabilities.push(probability.clamp(0.0, 1.0));
            labels.push(label > 0.0);
            weights.push(samples.weights[row]);
        }
    }
    let mut curve = reliability_curve(&probabilities, &labels, Some(&weights), RELIABILITY_BINS);
    curve.retain(|bin| bin.weight > 0.0);
    curve
}

impl Configuration {
    /// The model in one line.
    pub fn name(&self) -> String {
        model_text(&self.model)
    }

    /// The path whose Sharpe ratio is the median, the lower one of two in the middle.
    pub fn median_path(&self) -> &[f64] {
        let sharpes = self.path_sharpes();
        let median = lower_median(&sharpes);
        let path = sharpes.iter().position(|sharpe| *sharpe == median).unwrap_or(0);
        self.paths.get(path).map_or(&[], Vec::as_slice)
    }

    /// Sharpe ratio per period of each path; 0 of one that never traded.
    pub fn path_sharpes(&self) -> Vec<f64> {
        self.paths.iter().map(|returns| Moments::of(returns).map_or(0.0, |moments| moments.sharpe().sharpe)).collect()
    }
}

impl Validation {
    /// Time from the end of the first bet to that of the last, nanoseconds.
    pub fn span_ns(&self) -> u64 {
        self.times_ns.first().zip(self.times_ns.last()).map_or(0, |(first, last)| last.abs_diff(*first))
    }

    /// Writes it as `validation.json` into a folder, which is made where it is missing, and gives the file's SHA-256.
    ///
    /// # Errors
    /// [`ValidationError`] where it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<String, ValidationError> {
        let path = folder.join(VALIDATION_FILE);
        let failed = |source: io::Error| ValidationError::Io { path: path.clone(), source, remedy: "" };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, &text)).map_err(failed)?;
        Ok(sha256_hex(&text))
    }

    /// Reads `validation.json` of a folder, checks it, and gives it with the file's SHA-256.
    ///
    /// # Errors
    /// [`ValidationError`] where it is missing, of an unknown format, or does not hold together.
    pub fn read(folder: &Path) -> Result<(Validation, String), ValidationError> {
        let path = folder.join(VALIDATION_FILE);
        let text = std::fs::read(&path).map_err(|source| ValidationError::Io {
            path: path.clone(),
            source,
            remedy: "; `chronos validate` writes it beside the model",
        })?;
        let refuse = |message: String| ValidationError::File { path: path.clone(), message };
        // The format first: a later one may have other fields.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        if format != FORMAT {
            return Err(refuse(format!("format {format} is not known to this build, which reads {FORMAT}; validate again")));
        }
        let validation: Validation = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        validation.check().map_err(|what| refuse(format!("{what}; validate again")))?;
        Ok((validation, sha256_hex(&text)))
    }

    fn check(&self) -> Result<(), String> {
        let clock = periods_per_year(&self.times_ns).map_err(|error| error.to_string())?;
        if (clock / self.periods_per_year - 1.0).abs() > 1e-9 {
            return Err(format!("{} periods a year where its times say {clock}", self.periods_per_year));
        }
        if self.benchmark.len() != self.times_ns.len() {
            return Err(format!("{} returns of the benchmark for {} times", self.benchmark.len(), self.times_ns.len()));
        }
        let paths = self.configurations.first().map_or(0, |configuration| configuration.paths.len());
        for (place, configuration) in self.configurations.iter().enumerate() {
            if configuration.paths.len() != paths || paths == 0 {
                return Err(format!("configuration {place} has {} paths, the first has {paths}", configuration.paths.len()));
            }
            let config = config_sha256(&configuration.model, &self.splitter, &self.backtest, self.target);
            if config != configuration.config_sha256 {
                return Err(format!(
                    "configuration {place} is not the one that its hash names: model, splits, costs or target were changed"
                ));
            }
            for (path, returns) in configuration.paths.iter().enumerate() {
                if returns.len() != self.times_ns.len() {
                    return Err(format!(
                        "configuration {place}, path {path}: {} returns for {} times",
                        returns.len(),
                        self.times_ns.len()
                    ));
                }
            }
        }
        if self.configurations.is_empty() { Err("it holds no configuration".into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::tests::second_by_second;
    use super::super::{Embargo, Majority, Momentum, Sizing};
    use super::*;

    fn validated(folder: &Path) -> (Validation, Ledger) {
        let mut random = fastrand::Rng::with_seed(5);
        let rows = second_by_second(vec![], (0..120).map(|_| random.f64() - 0.5).collect());
        let plan = ValidationPlan {
            splitter: Splitter::CombinatorialPurged { folds: 4, test_folds: 2, purge_bars: 0, embargo: Embargo::bars(1) },
            backtest: Backtest { cost_bps: 1.0, threshold: 0.0, sizing: Sizing::Unit },
            seed: 3,
            dataset_sha256: "data".into(),
            time_ns: 5,
            code: "1".into(),
            subject_sha256: "model".into(),
        };
        let ledger = Ledger::in_folder(&folder.join("ledger"));
        let models: [&dyn Model; 2] = [&Majority, &Momentum { labels: 2 }];
        (validate(&rows.samples(), &models, &plan, &ledger, &|_, _| {}).unwrap(), ledger)
    }

    /// Numbers may differ in their last bit after a way through text.
    fn is_same(one: &[f64], two: &[f64]) -> bool {
        one.len() == two.len() && one.iter().zip(two).all(|(one, two)| (one - two).abs() < 1e-15)
    }

    #[test]
    fn every_configuration_goes_to_the_ledger_and_the_file_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let (validation, ledger) = validated(folder.path());
        assert_eq!((validation.configurations.len(), validation.configurations[0].paths.len()), (2, 3));
        assert_eq!(validation.times_ns.len(), 120);
        let history = ledger.read().unwrap();
        assert_eq!(history.head(), validation.ledger);
        for (trial, configuration) in history.trials.iter().zip(&validation.configurations) {
            assert_eq!((&trial.model, &trial.config_sha256), (&configuration.model, &configuration.config_sha256));
            assert!(is_same(&trial.path_sharpes, &configuration.path_sharpes()));
        }
        assert_ne!(validation.configurations[0].config_sha256, validation.configurations[1].config_sha256);
        let sha256 = validation.write(folder.path()).unwrap();
        let (read, sha256_read) = Validation::read(folder.path()).unwrap();
        assert_eq!((read.times_ns.len(), sha256_read), (120, sha256));
        for (one, two) in read.configurations.iter().zip(&validation.configurations) {
            assert!(is_same(&one.paths.concat(), &two.paths.concat()));
        }
        for summary in validation.summaries().unwrap() {
            let sharpe = summary.sharpe.unwrap();
            assert!(sharpe.low < sharpe.estimate && sharpe.estimate < sharpe.high, "{summary:?}");
            assert!(summary.path_sharpes.contains(&sharpe.estimate), "{summary:?}");
            assert!(summary.maximum_drawdown > 0.0 && summary.shuffled_drawdown > 0.0 && summary.exposure > 0.9, "{summary:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_hold_together_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (validation, _) = validated(folder.path());
        let message = |edit: fn(&mut Validation)| {
            let mut validation = validation.clone();
            edit(&mut validation);
            validation.write(folder.path()).unwrap();
            Validation::read(folder.path()).map_or_else(|error| error.to_string(), |_| "read".into())
        };
        assert_eq!(message(|_| {}), "read");
        assert!(message(|validation| validation.format = 9).contains("format 9 is not known to this build"));
        assert!(message(|validation| validation.periods_per_year *= 2.0).contains("its times say"));
        assert!(message(|validation| validation.configurations[1].paths.truncate(1)).contains("configuration 1 has 1 paths"));
        assert!(
            message(|validation| validation.configurations[1].paths[2].truncate(7)).contains("path 2: 7 returns for 120 times")
        );
        assert!(message(|validation| validation.configurations.clear()).contains("no configuration"));
        assert!(message(|validation| validation.times_ns[4] = 0).contains("row 4"));
        // Walk-forward paths would be less dependent on each other, and deflated less.
        let walk = |validation: &mut Validation| {
            validation.splitter = Splitter::WalkForward { train_rows: 9, test_rows: 9, purge_bars: 0, expanding: true };
        };
        assert!(message(walk).contains("configuration 0 is not the one that its hash"));
        assert!(message(|validation| validation.backtest.cost_bps = 9.0).contains("costs or target were changed"));
        assert!(message(|validation| validation.benchmark.clear()).contains("0 returns of the benchmark"));
        std::fs::write(folder.path().join(VALIDATION_FILE), "{").unwrap();
        assert!(Validation::read(folder.path()).unwrap_err().to_string().contains("validation.json"));
        assert!(Validation::read(Path::new("nowhere")).unwrap_err().to_string().contains("chronos validate"));
    }
}

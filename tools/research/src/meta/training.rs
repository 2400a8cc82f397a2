//! Training a meta model on a dataset: tuned and trained over purged folds, counted in the ledger, written as the folder a replay opens.

use super::bets::{BetsError, DatasetBets};
use super::{BINS, primary_names};
use crate::dataset::{Dataset, Manifest};
use crate::hash::sha256_hex;
use crate::ledger::{Head, Ledger, LedgerError, Trial};
use crate::trees::{
    Bets, CalibrationKind, FeatureSelection, Fold, MetaConfig, MetaTrainError, MetaTrainReport, MetaTrained, OwnedSample,
    ProbabilityScores, RowsError, Sample, SelectionConfig, SelectionError, TrainConfig, Tuning, WideRows, base_rate, log_loss,
    train_meta, tune,
};
use crate::validation::performance::periods_per_year;
use crate::validation::{
    Backtest, Blocks, Bootstrap, Interval, IntervalKind, LabelSpans, Moments, OwnedSamples, SamplesError, Sizing, SplitError,
    Splitter, bets as disjoint_bets,
};
use crate::{SeriesError, WholeFileError, write_whole_file};
use chronos_session::meta::{MetaDirectory, MetaParts};
use chronos_session::model::ModelError;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Version of the report's shape.
const FORMAT: u32 = 1;
/// The report's name in a meta model's folder.
pub const TRAINING_FILE: &str = "training.json";

/// How a meta model is trained.
#[derive(Clone, PartialEq, Debug)]
pub struct MetaPlan {
    /// The learners that are stacked; their rounds are the most that early stopping may leave.
    pub learners: Vec<TrainConfig>,
    /// How the answer is calibrated.
    pub calibration: CalibrationKind,
    /// Calibrated probability below which a decision is neutral.
    pub threshold: f64,
    /// How features are selected; none keeps every one.
    pub selection: Option<SelectionConfig>,
    /// How rows are split into folds, and each fold's training rows once more to tune on.
    pub splitter: Splitter,
    /// Cost of trading one unit of notional once, basis points, in the Sharpe ratio that goes to the ledger.
    pub cost_bps: f64,
    /// The same seed gives the same result.
    pub seed: u64,
    /// Now, nanoseconds since 1970.
    pub time_ns: i64,
    /// Version of the code that runs.
    pub code: String,
}

/// A trained meta model and the evidence for it.
#[derive(Clone, PartialEq, Debug)]
pub struct MetaTraining {
    /// The model.
    pub trained: MetaTrained,
    /// The evidence.
    pub report: MetaTrainingReport,
}

/// `training.json`. Everything is out of fold: of models, columns, rounds and calibrations that did not see the bet.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MetaTrainingReport {
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
    /// What the instrument is called.
    pub instrument: String,
    /// Whose bets it judges: `strategy`, or a feature.
    pub primary: String,
    /// What was trained, as the ledger has it.
    pub model: Value,
    /// How rows were split.
    pub splitter: Splitter,
    /// What the model did to bets it had not seen.
    pub out_of_fold: MetaTrainReport,
    /// By how much its log-loss is below that of always saying the base rate, a bet in the mean, with its 95 % block bootstrap interval;
    /// blocks are as long as labels overlap.
    pub gain: Interval,
    /// Whether all of that interval is above 0.
    pub is_better: bool,
    /// The folds.
    pub folds: Vec<FoldReport>,
    /// Features the model reads, in order; side and strength follow.
    pub features: Vec<String>,
    /// Rounds of each learner of the final model.
    pub rounds: Vec<usize>,
    /// Why these features, over the folds of all rows; none where nothing was selected.
    pub selection: Option<FeatureSelection>,
    /// Bets that do not overlap, one at a time, on which the Sharpe ratios are.
    pub disjoint_bets: usize,
    /// Of these, a year, by the data's own clock.
    pub periods_per_year: f64,
    /// Sharpe ratio a bet, net of costs, of bets sized by the probability from the threshold on; 0 where none was taken.
    pub sharpe: f64,
    /// The same of taking every bet whole.
    pub sharpe_unfiltered: f64,
    /// Cost in those two, basis points.
    pub cost_bps: f64,
    /// The ledger's head after this trial was appended to it.
    pub ledger: Head,
}

/// One fold.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FoldReport {
    /// Bets learnt from.
    pub trained: usize,
    /// Bets tested.
    pub tested: usize,
    /// Features that its training rows chose.
    pub features: Vec<String>,
    /// Rounds of each learner that its training rows chose.
    pub rounds: Vec<usize>,
    /// Of the calibrated probabilities on the test.
    pub scores: ProbabilityScores,
    /// Log-loss on the test of saying the base rate of the fold's training rows.
    pub base_log_loss: f64,
}

/// Why no meta model was trained, or written.
#[derive(Debug, thiserror::Error)]
pub enum MetaTrainingError {
    /// The dataset.
    #[error(transparent)]
    Bets(#[from] BetsError),
    /// Its rows.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The folds.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The folds of a fold's training rows.
    #[error("fold {fold}, tuning on its training rows: {source}; use fewer folds, or a dataset of more bets")]
    InnerSplit {
        /// The fold.
        fold: usize,
        /// Why.
        source: SplitError,
    },
    /// Choosing features and rounds.
    #[error("{of}: {source}")]
    Tuning {
        /// Where.
        of: String,
        /// Why.
        source: SelectionError,
    },
    /// No feature is good enough.
    #[error(
        "no feature has a share of {share_min} of the attributed margin on {percent} % of the folds: there is nothing to learn from here; \
         give more bets, or `--all-features`"
    )]
    NothingStable {
        /// Least share.
        share_min: f64,
        /// On so many of the folds, per cent.
        percent: f64,
    },
    /// Learners, stacking or calibration.
    #[error(transparent)]
    Train(#[from] MetaTrainError),
    /// The returns.
    #[error(transparent)]
    Statistics(#[from] SeriesError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The folder.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The report.
    #[error(transparent)]
    File(#[from] WholeFileError),
}

/// Trains a meta model on a dataset of bets and appends the trial to the ledger, whatever came of it.
///
/// Columns and rounds are chosen in each fold's training rows, by folds of their own, and for the final model in all rows. `progress` is told
/// the number of steps done and of all.
///
/// # Errors
/// [`MetaTrainingError`], with the place and the remedy.
pub fn train_on_dataset(
    dataset: &Dataset,
    manifest: &Manifest,
    plan: &MetaPlan,
    ledger: &Ledger,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<MetaTraining, MetaTrainingError> {
    // Before the work, not after it.
    if !(0.0..=1.0).contains(&plan.threshold) {
        return Err(MetaTrainError::Threshold(plan.threshold).into());
    }
    let owned = DatasetBets::of(dataset, manifest)?;
    let bets = owned.bets()?;
    let samples = OwnedSamples::from(dataset);
    samples.samples().check()?;
    let all_rows: Vec<usize> = (0..dataset.rows()).collect();
    let folds = folds(dataset, &plan.splitter, &all_rows)?;
    let study = Study { dataset, plan, bets, samples, folds };
    let (done, steps) = (AtomicUsize::new(0), study.folds.len() + 2);
    progress(0, steps);
    let step = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, steps);
    let (tunings, selection) = study.tunings(&step)?;
    let config = MetaConfig {
        learners: plan.learners.clone(),
        calibration: plan.calibration,
        threshold: plan.threshold,
        bins: BINS,
        primary_names: primary_names(),
    };
    let trained = train_meta(&config, bets, &study.folds, &tunings)?;
    step();
    let worth = study.worth(&trained)?;
    let model = plan.describe();
    let chosen = json!({ "model": model, "splitter": plan.splitter, "cost_bps": plan.cost_bps });
    let trial = Trial {
        time_ns: plan.time_ns,
        command: "meta train".into(),
        model: model.clone(),
        config_sha256: sha256_hex(chosen.to_string().as_bytes()),
        dataset_sha256: manifest.data.sha256.clone(),
        seed: plan.seed,
        code: plan.code.clone(),
        periods_per_year: worth.periods_per_year,
        bets: worth.bets as u64,
        path_sharpes: vec![worth.sharpe],
    };
    let head = ledger.append(&[trial])?;
    let gain = study.gain(&trained)?;
    let features = trained.forest.feature_names();
    let report = MetaTrainingReport {
        format: FORMAT,
        time_ns: plan.time_ns,
        code: plan.code.clone(),
        seed: plan.seed,
        dataset_sha256: manifest.data.sha256.clone(),
        instrument: manifest.source.instrument.clone(),
        primary: manifest.recipe.side.clone().unwrap_or_default(),
        model,
        splitter: plan.splitter.clone(),
        is_better: gain.low > 0.0,
        gain,
        folds: study.fold_reports(&tunings, &trained),
        features: features[..features.len().saturating_sub(2)].to_vec(),
        rounds: tunings.last().map(|tuning| tuning.rounds.clone()).unwrap_or_default(),
        selection,
        disjoint_bets: worth.bets,
        periods_per_year: worth.periods_per_year,
        sharpe: worth.sharpe,
        sharpe_unfiltered: worth.sharpe_unfiltered,
        cost_bps: plan.cost_bps,
        ledger: head,
        out_of_fold: trained.report.clone(),
    };
    Ok(MetaTraining { trained, report })
}

impl MetaTraining {
    /// Writes the folder that a replay opens, and the report beside the model.
    ///
    /// # Errors
    /// [`MetaTrainingError`] where the folder holds a model already or cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<MetaDirectory, MetaTrainingError> {
        let parts = MetaParts {
            name,
            forest: &self.trained.forest,
            calibration: &self.trained.calibration,
            threshold: self.report.out_of_fold.threshold,
            data_sha256: &self.report.dataset_sha256,
            primary: &self.report.primary,
        };
        let directory = MetaDirectory::create(folder, &parts)?;
        write_whole_file(&folder.join(TRAINING_FILE), |file| {
            serde_json::to_writer_pretty(&mut *file, &self.report)?;
            file.write_all(b"\n")
        })?;
        Ok(directory)
    }
}

/// Folds of some rows, as places among these rows.
fn folds(dataset: &Dataset, splitter: &Splitter, rows: &[usize]) -> Result<Vec<Fold>, SplitError> {
    let [starts, ends] = [&dataset.event_ns, &dataset.end_ns].map(|times| rows.iter().map(|row| times[*row]).collect::<Vec<i64>>());
    let splits = splitter.splits(&LabelSpans::labels(&starts, &ends)?)?;
    Ok(splits.iter().map(|split| (split.train_rows().collect(), split.test_rows().collect())).collect())
}

/// A dataset split into folds.
struct Study<'a> {
    dataset: &'a Dataset,
    plan: &'a MetaPlan,
    bets: Bets<'a>,
    samples: OwnedSamples,
    folds: Vec<Fold>,
}

/// What bets that do not overlap were worth, out of fold.
struct Worth {
    bets: usize,
    periods_per_year: f64,
    sharpe: f64,
    sharpe_unfiltered: f64,
}

impl Study<'_> {
    /// What each fold may use, and last what the final model may, with the reasons for that.
    fn tunings(&self, step: &(dyn Fn() + Sync)) -> Result<(Vec<Tuning>, Option<FeatureSelection>), MetaTrainingError> {
        let Study { plan, bets, .. } = self;
        let wide = WideRows::of(bets, &primary_names());
        let sample = wide.sample(bets.weights).map_err(MetaTrainError::from)?;
        let always = [bets.names.len(), bets.names.len() + 1];
        let tuned = |sample: Sample<'_>, folds: &[Fold], of: &dyn Fn() -> String| {
            let tuned = tune(&plan.learners, plan.selection.as_ref(), &always, &wide.names, sample, folds);
            step();
            tuned.map_err(|source| MetaTrainingError::Tuning { of: of(), source })
        };
        let on_fold = |(fold, (train_rows, _)): (usize, &Fold)| {
            let inner = folds(self.dataset, &plan.splitter, train_rows);
            let inner = inner.map_err(|source| MetaTrainingError::InnerSplit { fold, source })?;
            let part = OwnedSample::of(sample, train_rows, None);
            let part = part.sample().ok_or(RowsError { values: 0, columns: 0 }).map_err(MetaTrainError::from)?;
            tuned(part, &inner, &|| format!("fold {fold}, tuning on its training rows")).map(|(tuning, _)| tuning)
        };
        let mut tunings: Vec<Tuning> = self.folds.par_iter().enumerate().map(on_fold).collect::<Result<_, _>>()?;
        let (tuning, selection) = tuned(sample, &self.folds, &|| "tuning on all rows".to_owned())?;
        if let Some(config) = plan.selection.filter(|_| tuning.columns == always) {
            return Err(MetaTrainingError::NothingStable { share_min: config.share_min, percent: 100.0 * config.folds_min });
        }
        tunings.push(tuning);
        Ok((tunings, selection))
    }

    fn labels_and_weights(&self, rows: &[usize]) -> (Vec<bool>, Option<Vec<f64>>) {
        let weights = self.bets.weights.map(|weights| rows.iter().map(|row| weights[*row]).collect());
        (rows.iter().map(|row| self.bets.labels[*row]).collect(), weights)
    }

    fn fold_reports(&self, tunings: &[Tuning], trained: &MetaTrained) -> Vec<FoldReport> {
        let of_fold = |((train_rows, test_rows), tuning): (&Fold, &Tuning)| {
            let probabilities: Vec<f64> = test_rows.iter().map(|row| trained.probabilities[*row]).collect();
            let (labels, weights) = self.labels_and_weights(test_rows);
            let (learnt, learnt_weights) = self.labels_and_weights(train_rows);
            let base = base_rate(&learnt, learnt_weights.as_deref());
            FoldReport {
                trained: train_rows.len(),
                tested: test_rows.len(),
                features: tuning.columns.iter().filter_map(|column| self.bets.names.get(*column).cloned()).collect(),
                rounds: tuning.rounds.clone(),
                scores: ProbabilityScores::of(&probabilities, &labels, weights.as_deref(), BINS),
                base_log_loss: ProbabilityScores::of_constant(base, &labels, weights.as_deref(), BINS).log_loss,
            }
        };
        self.folds.iter().zip(tunings).map(of_fold).collect()
    }

    /// By how much the log-loss of each tested bet is below that of the base rate, in the mean.
    fn gain(&self, trained: &MetaTrained) -> Result<Interval, SeriesError> {
        let tested: Vec<usize> = (0..self.bets.labels.len()).filter(|row| trained.probabilities[*row].is_finite()).collect();
        let (labels, weights) = self.labels_and_weights(&tested);
        let total: f64 = weights.as_ref().map_or(tested.len() as f64, |weights| weights.iter().sum());
        let weight = |place: usize| weights.as_ref().map_or(1.0, |weights| weights[place]) / total * tested.len() as f64;
        let base = trained.report.base_rate;
        let of_row = |(place, row): (usize, &usize)| {
            let loss = |probability: f64| log_loss(&[probability], &labels[place..=place], None);
            weight(place) * (loss(base) - loss(trained.probabilities[*row]))
        };
        let gains: Vec<f64> = tested.iter().enumerate().map(of_row).collect();
        let standard = Bootstrap::standard(gains.len(), self.plan.seed);
        let length = self.overlap().max((gains.len() as f64).cbrt()).clamp(1.0, gains.len().max(1) as f64);
        let bootstrap = Bootstrap { blocks: Blocks::Stationary(length), kind: IntervalKind::Percentile, ..standard };
        bootstrap.interval(&gains, |gains| gains.iter().sum::<f64>() / gains.len() as f64)
    }

    /// Events that a label sees before it ends, its own included, in the mean.
    fn overlap(&self) -> f64 {
        let (starts, ends) = (&self.dataset.event_ns, &self.dataset.end_ns);
        let seen = |row: usize| starts.partition_point(|start| *start < ends[row]).saturating_sub(row).max(1);
        (0..starts.len()).map(seen).sum::<usize>() as f64 / starts.len().max(1) as f64
    }

    fn worth(&self, trained: &MetaTrained) -> Result<Worth, SeriesError> {
        let samples = self.samples.samples();
        let bets = disjoint_bets(&samples, |row| trained.probabilities[row].is_finite());
        let times_ns: Vec<i64> = bets.iter().map(|row| samples.ends_ns[*row]).collect();
        let sharpe = |scores: &[f64], threshold: f64| {
            let backtest = Backtest { cost_bps: self.plan.cost_bps, threshold, sizing: Sizing::Proportional };
            let returns = backtest.returns(&samples, &bets, scores).returns;
            Moments::of(&returns).map_or(0.0, |moments| moments.sharpe().sharpe)
        };
        Ok(Worth {
            bets: bets.len(),
            periods_per_year: periods_per_year(&times_ns)?,
            sharpe: sharpe(&trained.probabilities, self.plan.threshold),
            sharpe_unfiltered: sharpe(&vec![1.0; samples.rows()], 0.0),
        })
    }
}

impl MetaPlan {
    /// Everything that tells this model from another.
    fn describe(&self) -> Value {
        let learner = |learner: &TrainConfig| {
            json!({
                "rounds": learner.rounds, "learning_rate": learner.learning_rate, "depth_max": learner.depth_max, "l2": learner.l2,
                "child_weight_min": learner.child_weight_min, "row_share": learner.row_share, "feature_share": learner.feature_share,
                "patience": learner.patience,
            })
        };
        let selection = self.selection.map(|selection| {
            json!({
                "share_min": selection.share_min, "folds_min": selection.folds_min, "correlation_max": selection.correlation_max,
            })
        });
        json!({
            "kind": "meta", "learners": self.learners.iter().map(learner).collect::<Vec<_>>(), "calibration": self.calibration,
            "threshold": self.threshold, "selection": selection,
        })
    }
}

//! Training a meta model: which of the primary strategy's bets to take, and how large.
//!
//! Meta-labelling (López de Prado, *Advances in Financial Machine Learning*, 2018, section 3.6). A row is the features at a bet, then its
//! side and strength; the label is whether the bet paid. Everything that is reported is out of fold: of models and calibrations that
//! did not see the row.

use super::calibration::{FitError, ReliabilityBin, fit_isotonic, fit_platt, reliability_curve};
use super::classification::Confusion;
use super::rows::{Rows, RowsError};
use super::scores::{ProbabilityScores, base_rate};
use super::stack::{Fold, StackError, Tuning, stack};
use super::train::{Sample, TrainConfig};
use chronos_inference::trees::{Calibration, Forest};
use serde::Serialize;

/// Bets of the primary strategy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bets<'a> {
    /// The features at each bet.
    pub rows: Rows<'a>,
    /// Their names.
    pub names: &'a [String],
    /// 1 for each bet on a rise, -1 for each on a fall.
    pub sides: &'a [f64],
    /// Magnitude of the primary signal at each bet.
    pub strengths: &'a [f64],
    /// Whether each bet paid.
    pub labels: &'a [bool],
    /// How much each bet counts; all alike where there are none.
    pub weights: Option<&'a [f64]>,
}

/// How a meta model is trained.
#[derive(Clone, PartialEq, Debug)]
pub struct MetaConfig {
    /// The learners that are stacked, all with a logistic loss.
    pub learners: Vec<TrainConfig>,
    /// How their answer is calibrated.
    pub calibration: CalibrationKind,
    /// Calibrated probability from which on a bet is taken.
    pub threshold: f64,
    /// Bins of the reliability curve.
    pub bins: usize,
    /// Names of the row's last two entries, side and strength.
    pub primary_names: [String; 2],
}

/// How an answer is calibrated.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationKind {
    /// Not at all.
    None,
    /// [`fit_platt`].
    #[default]
    Platt,
    /// [`fit_isotonic`]; it needs a thousand bets or more (Niculescu-Mizil and Caruana, 2005).
    Isotonic,
}

/// A meta model and what it did to bets it had not seen.
#[derive(Clone, PartialEq, Debug)]
pub struct MetaTrained {
    /// The forest; its features are named, side and strength last.
    pub forest: Forest,
    /// From its answer to how often it is right.
    pub calibration: Calibration,
    /// Calibrated out-of-fold probability of each bet; NaN where no fold tests it.
    pub probabilities: Vec<f64>,
    /// The evidence.
    pub report: MetaTrainReport,
}

/// What a meta model did to bets it had not seen.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MetaTrainReport {
    /// Bets that some fold tests.
    pub tested: usize,
    /// All of them taken.
    pub unfiltered: Taken,
    /// Those taken whose probability reaches the threshold.
    pub filtered: Taken,
    /// That threshold.
    pub threshold: f64,
    /// Share of the weight that paid: what says nothing of any one bet.
    pub base_rate: f64,
    /// Of the calibrated probabilities.
    pub calibrated: ProbabilityScores,
    /// Of the probabilities before calibration.
    pub raw: ProbabilityScores,
    /// Of always saying the base rate.
    pub base: ProbabilityScores,
    /// What was said against how often it was so.
    pub reliability: Vec<ReliabilityBin>,
    /// Weight of each stacked learner.
    pub learner_weights: Vec<f64>,
}

/// Bets taken, and how they went. Shares are weighted; one is NaN where nothing is there to divide by.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Taken {
    /// Their number.
    pub bets: usize,
    /// Those that paid, by number.
    pub win_rate: f64,
    /// Share of the weight taken that paid.
    pub precision: f64,
    /// Share of the weight that pays that was taken.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Those that did not pay, by number.
    pub false_positives: usize,
}

/// Why no meta model was trained.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum MetaTrainError {
    /// Lists of different lengths.
    #[error("meta: {bets} bets, and {others} {what}; there must be one for each")]
    Lengths {
        /// Bets.
        bets: usize,
        /// What there is another number of.
        what: &'static str,
        /// How many.
        others: usize,
    },
    /// A side is neither 1 nor -1.
    #[error("meta: bet {row} has the side {side}, and must have 1 or -1; leave out rows without a bet")]
    Side {
        /// The bet.
        row: usize,
        /// Its side.
        side: f64,
    },
    /// The threshold is not from 0 to 1.
    #[error("meta: the threshold is {0}, and must be 0 to 1")]
    Threshold(f64),
    /// A fold or a learner.
    #[error("meta: {0}")]
    Stack(#[from] StackError),
    /// The calibration.
    #[error("meta: {0}")]
    Calibration(#[from] FitError),
    /// The rows.
    #[error("meta: {0}")]
    Rows(#[from] RowsError),
}

/// Trains a meta model over purged folds; `tunings` as in [`stack`], their columns those of a row with side and strength.
///
/// # Errors
/// [`MetaTrainError`], with the place.
pub fn train_meta(config: &MetaConfig, bets: Bets<'_>, folds: &[Fold], tunings: &[Tuning]) -> Result<MetaTrained, MetaTrainError> {
    bets.check()?;
    if !(0.0..=1.0).contains(&config.threshold) {
        return Err(MetaTrainError::Threshold(config.threshold));
    }
    let wide = WideRows::of(&bets, &config.primary_names);
    let sample = wide.sample(bets.weights)?;
    let stacked = stack(&config.learners, &wide.names, sample, folds, tunings)?;

    let tested: Vec<usize> = (0..bets.rows.len()).filter(|row| stacked.out_of_fold[*row].is_finite()).collect();
    let calibration = fit(config.calibration, &stacked.out_of_fold, &bets, &tested)?;
    let probabilities = calibrated_out_of_fold(config.calibration, &stacked.out_of_fold, &bets, folds)?;
    let report = report(config, &bets, &tested, &stacked.out_of_fold, &probabilities, stacked.weights);
    Ok(MetaTrained { forest: stacked.forest, calibration, probabilities, report })
}

/// The rows that learners see: the features, then side and strength.
pub(crate) struct WideRows {
    pub(crate) values: Vec<f64>,
    pub(crate) names: Vec<String>,
    pub(crate) labels: Vec<f64>,
}

impl WideRows {
    pub(crate) fn of(bets: &Bets<'_>, primary_names: &[String; 2]) -> WideRows {
        let primary = bets.sides.iter().zip(bets.strengths);
        WideRows {
            values: bets.rows.iter().zip(primary).flat_map(|(row, (side, strength))| [row, &[*side, *strength]].concat()).collect(),
            names: bets.names.iter().chain(primary_names).cloned().collect(),
            labels: bets.labels.iter().map(|label| f64::from(u8::from(*label))).collect(),
        }
    }

    pub(crate) fn sample<'a>(&'a self, weights: Option<&'a [f64]>) -> Result<Sample<'a>, RowsError> {
        Ok(Sample { rows: Rows::new(&self.values, self.names.len())?, labels: &self.labels, weights })
    }
}

impl Bets<'_> {
    fn check(&self) -> Result<(), MetaTrainError> {
        let bets = self.rows.len();
        for (what, others, wanted) in [
            ("sides", self.sides.len(), bets),
            ("strengths", self.strengths.len(), bets),
            ("labels", self.labels.len(), bets),
            ("weights", self.weights.map_or(bets, <[f64]>::len), bets),
            ("names of features", self.names.len(), self.rows.columns()),
        ] {
            if others != wanted {
                return Err(MetaTrainError::Lengths { bets: wanted, what, others });
            }
        }
        match self.sides.iter().position(|side| side.abs() != 1.0) {
            Some(row) => Err(MetaTrainError::Side { row, side: self.sides[row] }),
            None => Ok(()),
        }
    }

    fn labels_of(&self, rows: &[usize]) -> Vec<bool> {
        rows.iter().map(|row| self.labels[*row]).collect()
    }

    fn weights_of(&self, rows: &[usize]) -> Option<Vec<f64>> {
        self.weights.map(|weights| rows.iter().map(|row| weights[*row]).collect())
    }
}

fn of(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|row| values[*row]).collect()
}

fn fit(kind: CalibrationKind, predictions: &[f64], bets: &Bets<'_>, rows: &[usize]) -> Result<Calibration, FitError> {
    let (predictions, labels, weights) = (of(predictions, rows), bets.labels_of(rows), bets.weights_of(rows));
    match kind {
        CalibrationKind::None => Ok(Calibration::None),
        CalibrationKind::Platt => fit_platt(&predictions, &labels, weights.as_deref()),
        CalibrationKind::Isotonic => fit_isotonic(&predictions, &labels, weights.as_deref()),
    }
}

/// Each bet calibrated by the training part of the folds that test it, the mean where several do.
fn calibrated_out_of_fold(
    kind: CalibrationKind,
    predictions: &[f64],
    bets: &Bets<'_>,
    folds: &[Fold],
) -> Result<Vec<f64>, FitError> {
    let mut sums = vec![(0.0, 0_u32); predictions.len()];
    for (train_rows, test_rows) in folds {
        // Training rows that no fold tests have no out-of-fold prediction to learn from.
        let known: Vec<usize> = train_rows.iter().copied().filter(|row| predictions[*row].is_finite()).collect();
        let weight = |row: &usize| bets.weights.map_or(1.0, |weights| weights[*row]);
        let is_fittable = known.iter().any(|row| weight(row) > 0.0);
        let calibration = if is_fittable { fit(kind, predictions, bets, &known)? } else { Calibration::None };
        for row in test_rows {
            sums[*row].0 += calibration.apply(predictions[*row]);
            sums[*row].1 += 1;
        }
    }
    Ok(sums.into_iter().map(|(sum, count)| if count == 0 { f64::NAN } else { sum / f64::from(count) }).collect())
}

fn report(
    config: &MetaConfig,
    bets: &Bets<'_>,
    tested: &[usize],
    raw: &[f64],
    probabilities: &[f64],
    learner_weights: Vec<f64>,
) -> MetaTrainReport {
    let (labels, weights) = (bets.labels_of(tested), bets.weights_of(tested));
    let weights = weights.as_deref();
    let (raw, probabilities) = (of(raw, tested), of(probabilities, tested));
    let base_rate = base_rate(&labels, weights);
    MetaTrainReport {
        tested: tested.len(),
        unfiltered: taken(&vec![1.0; tested.len()], &labels, weights, 0.0),
        filtered: taken(&probabilities, &labels, weights, config.threshold),
        threshold: config.threshold,
        base_rate,
        calibrated: ProbabilityScores::of(&probabilities, &labels, weights, config.bins),
        raw: ProbabilityScores::of(&raw, &labels, weights, config.bins),
        base: ProbabilityScores::of_constant(base_rate, &labels, weights, config.bins),
        reliability: reliability_curve(&probabilities, &labels, weights, config.bins),
        learner_weights,
    }
}

fn taken(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>, threshold: f64) -> Taken {
    let of = |paid: bool| {
        let count = probabilities.iter().zip(labels).filter(|(probability, label)| **probability >= threshold && **label == paid);
        count.count()
    };
    let (wins, losses) = (of(true), of(false));
    let confusion = Confusion::of(probabilities, labels, weights, threshold);
    Taken {
        bets: wins + losses,
        win_rate: wins as f64 / (wins + losses) as f64,
        precision: confusion.precision(),
        recall: confusion.recall(),
        f1: confusion.f1(),
        false_positives: losses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::Loss;

    /// Bets that pay with a chance that the first feature and the agreement of side and second feature set.
    fn bets(count: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<bool>) {
        let mut random = fastrand::Rng::with_seed(12);
        let (mut values, mut sides, mut strengths, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let row = [random.f64(), random.f64() - 0.5, random.f64()];
            let side = if random.bool() { 1.0 } else { -1.0 };
            let chance = 0.2 + 0.35 * row[0] + if side * row[1] > 0.0 { 0.3 } else { 0.0 };
            values.extend(row);
            sides.push(side);
            strengths.push(random.f64());
            labels.push(random.f64() < chance);
        }
        (values, sides, strengths, labels)
    }

    fn config(calibration: CalibrationKind) -> MetaConfig {
        let learner = TrainConfig { rounds: 40, depth_max: 3, child_weight_min: 10.0, ..TrainConfig::new(Loss::Logistic) };
        MetaConfig {
            learners: vec![learner, TrainConfig { depth_max: 2, rounds: 80, ..learner }],
            calibration,
            threshold: 0.65,
            bins: 10,
            primary_names: ["primary_side", "primary_strength"].map(str::to_owned),
        }
    }

    #[test]
    fn filtering_raises_precision_and_lowers_false_positives() {
        let (values, sides, strengths, labels) = bets(3_000);
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let rows = Rows::new(&values, 3).unwrap();
        let bets = Bets { rows, names: &names, sides: &sides, strengths: &strengths, labels: &labels, weights: None };
        // The last tenth is never tested.
        let part = |fold: usize| -> Fold {
            ((0..2_700).filter(|row| row % 5 != fold).collect(), (0..2_700).filter(|row| row % 5 == fold).collect())
        };
        let folds: Vec<Fold> = (0..5).map(part).collect();
        for kind in [CalibrationKind::Platt, CalibrationKind::Isotonic, CalibrationKind::None] {
            let trained = train_meta(&config(kind), bets, &folds, &[]).unwrap();
            let report = &trained.report;
            assert_eq!((report.tested, report.unfiltered.bets, report.unfiltered.recall), (2_700, 2_700, 1.0));
            assert!(report.filtered.precision > report.unfiltered.precision + 0.1, "{report:?}");
            assert!(report.filtered.win_rate > report.unfiltered.win_rate && report.filtered.recall < 1.0);
            assert!(report.filtered.false_positives < report.unfiltered.false_positives / 3);
            assert!(report.calibrated.auc > 0.6 && report.calibrated.log_loss < report.base.log_loss);
            assert!(report.calibrated.calibration_error < 0.06, "{report:?}");
            assert!((report.base_rate - report.unfiltered.precision).abs() < 1e-12 && report.base.auc == 0.5);
            assert_eq!(report.reliability.iter().map(|bin| bin.count).sum::<usize>(), 2_700);
            assert!(trained.probabilities[2_700..].iter().all(|probability| probability.is_nan()));
            assert_eq!(trained.forest.feature_names()[3..], config(kind).primary_names);
            let again = train_meta(&config(kind), bets, &folds, &[]).unwrap();
            assert!(again.forest == trained.forest && again.calibration == trained.calibration);
        }
    }

    #[test]
    fn bets_that_do_not_fit_are_refused() {
        let (values, mut sides, strengths, labels) = bets(20);
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let rows = Rows::new(&values, 3).unwrap();
        let folds: [Fold; 1] = [((0..10).collect(), (10..20).collect())];
        let refused = |bets: Bets<'_>| train_meta(&config(CalibrationKind::Platt), bets, &folds, &[]).err();
        let good = Bets { rows, names: &names, sides: &sides, strengths: &strengths, labels: &labels, weights: None };
        assert_eq!(refused(good), None);
        assert_eq!(
            refused(Bets { strengths: &strengths[1..], ..good }),
            Some(MetaTrainError::Lengths { bets: 20, what: "strengths", others: 19 })
        );
        sides[4] = 0.0;
        let bad = Bets { rows, names: &names, sides: &sides, strengths: &strengths, labels: &labels, weights: None };
        assert_eq!(refused(bad), Some(MetaTrainError::Side { row: 4, side: 0.0 }));
    }
}

//! Training: gradient boosting on histograms.
//!
//! Second-order boosting with learnt directions for missing values (Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", 2016)
//! on quantile bins, level by level as XGBoost's `hist` method grows trees, so that its parameters mean here what they mean there, or
//! best leaf first as LightGBM does.
//! The same rows, parameters and seed give the same forest on any number of threads. Rows keep their order: nothing is shuffled, and a
//! validation set is what the caller says it is.

mod bins;
mod grow;
mod loss;

pub use loss::Loss;

use super::rows::Rows;
use bins::Bins;
use chronos_inference::trees::{FEATURES_MAX, Flaw, Forest, ForestParts, Node, Precision, Tree};
use grow::{Gradient, Grower};
use rayon::prelude::*;

/// Most bins of a feature.
pub const BINS_MAX: usize = 4_096;

/// Parameters of training. The names XGBoost gives them stand beside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TrainConfig {
    /// What is minimised (`objective`).
    pub loss: Loss,
    /// Rounds of boosting, one tree for each output (`num_boost_round`).
    pub rounds: usize,
    /// Share of each tree that is added, above 0 to 1 (`eta`).
    pub learning_rate: f64,
    /// Most splits on the way to a leaf, 1 to 20 (`max_depth`).
    pub depth_max: usize,
    /// Most leaves, at least 2: the leaf that gains most is split next, as LightGBM grows trees (`max_leaves`). Without it all of a level
    /// are split.
    pub leaves_max: Option<usize>,
    /// Weight of the squared leaf values, 0 or more (`lambda`).
    pub l2: f64,
    /// Least sum of hessians on each side of a split, 0 or more (`min_child_weight`).
    pub child_weight_min: f64,
    /// Least number of rows on each side of a split (LightGBM's `min_data_in_leaf`).
    pub child_rows_min: usize,
    /// Least gain of a split, 0 or more (`gamma`).
    pub gain_min: f64,
    /// Most bins of a feature, 2 to [`BINS_MAX`] (`max_bin`).
    pub bins_max: usize,
    /// Share of rows each round sees, above 0 to 1 (`subsample`).
    pub row_share: f64,
    /// Share of features each tree sees, above 0 to 1 (`colsample_bytree`).
    pub feature_share: f64,
    /// Rounds without a better validation loss after which training stops, at least 1; the trees up to the best round are kept. Only with
    /// a validation set (`early_stopping_rounds`).
    pub patience: usize,
    /// Seed of the shares.
    pub seed: u64,
}

impl TrainConfig {
    /// A hundred rounds of depth 4, learning rate 0.1, L2 of 1, child weight of 1, 256 bins, no shares, patience of 20.
    pub fn new(loss: Loss) -> TrainConfig {
        TrainConfig {
            loss,
            rounds: 100,
            learning_rate: 0.1,
            depth_max: 4,
            leaves_max: None,
            l2: 1.0,
            child_weight_min: 1.0,
            child_rows_min: 1,
            gain_min: 0.0,
            bins_max: 256,
            row_share: 1.0,
            feature_share: 1.0,
            patience: 20,
            seed: 1,
        }
    }
}

/// What is learnt from, or validated on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample<'a> {
    /// Features. NaN is a missing value.
    pub rows: Rows<'a>,
    /// What is to be predicted, one for each row: 0 to 1 for [`Loss::Logistic`], the class's number for [`Loss::Softmax`].
    pub labels: &'a [f64],
    /// How much each row counts, 0 or more; all alike where there are none.
    pub weights: Option<&'a [f64]>,
}

/// What training gives.
#[derive(Clone, PartialEq, Debug)]
pub struct Trained {
    /// The forest, in XGBoost's precision: [`write_xgboost`](chronos_inference::trees::write_xgboost) takes it.
    pub forest: Forest,
    /// Validation loss after each round, those beyond the best too; empty without a validation set.
    pub validation: Vec<f64>,
}

/// Why nothing was trained.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum TrainError {
    /// A parameter out of its range.
    #[error("training: `{name}` is {value}, and must be {range}")]
    Parameter {
        /// The field of [`TrainConfig`].
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// Lists of different lengths.
    #[error("training: {rows} rows, and {others} {what}; there must be one for each row")]
    Lengths {
        /// Rows.
        rows: usize,
        /// `labels` or `weights`.
        what: &'static str,
        /// How many of them.
        others: usize,
    },
    /// Nothing to learn from.
    #[error("training: there are no rows of a weight above 0; folds or filters may have left none")]
    Empty,
    /// The validation rows have other columns.
    #[error("training: rows have {training} features, validation rows {validation}")]
    Columns {
        /// Columns of the training rows.
        training: usize,
        /// Columns of the validation rows.
        validation: usize,
    },
    /// So many names.
    #[error("training: {names} feature names for {features} features; there must be one for each, or none")]
    Names {
        /// Names.
        names: usize,
        /// Features.
        features: usize,
    },
    /// A feature is infinite.
    #[error("training: row {row}, feature {feature} is infinite; write a missing value as NaN, and clip the rest")]
    Infinite {
        /// The row.
        row: usize,
        /// The feature.
        feature: usize,
    },
    /// A label cannot be one.
    #[error("training: row {row} has the label {label}, and must have {wanted}")]
    Label {
        /// The row.
        row: usize,
        /// Its label.
        label: f64,
        /// What it may be.
        wanted: &'static str,
    },
    /// A weight cannot be one.
    #[error("training: row {row} has the weight {weight}, and must have a finite one of 0 or more")]
    Weight {
        /// The row.
        row: usize,
        /// Its weight.
        weight: f64,
    },
    /// A class nobody has.
    #[error("training: no row of a weight above 0 has the class {0}; there must be some of each")]
    NoClass(usize),
    /// The forest is none.
    #[error("training gave no forest: {0}; labels or weights may be too large for float32")]
    Forest(#[from] Flaw),
}

/// Trains a forest; `names` has one name for each feature, or none.
///
/// # Errors
/// [`TrainError`], with the place.
pub fn train(
    config: &TrainConfig,
    names: &[String],
    sample: Sample<'_>,
    validation: Option<Sample<'_>>,
) -> Result<Trained, TrainError> {
    config.check()?;
    let features = sample.rows.columns();
    if !names.is_empty() && names.len() != features {
        return Err(TrainError::Names { names: names.len(), features });
    }
    sample.check(config.loss)?;
    if let Some(validation) = &validation {
        if validation.rows.columns() != features {
            return Err(TrainError::Columns { training: features, validation: validation.rows.columns() });
        }
        validation.check(config.loss)?;
    }
    let base_margins = config.loss.base_margins(&sample)?;
    let mut parts = ForestParts {
        link: config.loss.link(),
        precision: Precision::Single,
        features,
        feature_names: names.to_vec(),
        base_margins: base_margins.iter().map(|margin| f64::from(*margin)).collect(),
        trees: Vec::new(),
    };
    let bins = Bins::new(&sample, config.bins_max);
    let mut random = fastrand::Rng::with_seed(config.seed);
    let outputs = base_margins.len();
    let mut margins = Margins::new(sample, &base_margins);
    let mut validated = validation.map(|validation| Margins::new(validation, &base_margins));
    let (mut losses, mut best) = (Vec::new(), (f64::INFINITY, 0));
    for round in 0..config.rounds {
        let gradients = config.loss.gradients(&sample, &margins.values);
        let rows = random_rows(&sample, config.row_share, &mut random);
        for output in 0..outputs {
            let columns = random_columns(features, config.feature_share, &mut random);
            let gradients: Vec<Gradient> = gradients.iter().skip(output).step_by(outputs).copied().collect();
            let nodes = Grower { bins: &bins, gradients: &gradients, columns: &columns, config }.grow(rows.clone());
            let mut tree = Tree { output, root: 0, nodes };
            if let Loss::Quantile { alpha } = config.loss {
                refit_quantiles(&mut tree, &sample, &margins.values, &rows, alpha, config.learning_rate);
            }
            parts.trees.push(tree);
        }
        let grown = &parts.trees[round * outputs..];
        margins.add(grown);
        let Some(validated) = &mut validated else { continue };
        validated.add(grown);
        let loss = config.loss.mean(&validated.sample, &validated.values);
        losses.push(loss);
        if loss < best.0 {
            best = (loss, round);
        } else if round - best.1 >= config.patience {
            break;
        }
    }
    if !losses.is_empty() {
        parts.trees.truncate((best.1 + 1) * outputs);
    }
    Ok(Trained { forest: Forest::new(parts)?, validation: losses })
}

impl TrainConfig {
    fn check(&self) -> Result<(), TrainError> {
        let share = "above 0, to 1";
        let is_share = |value: f64| value > 0.0 && value <= 1.0;
        let is_weight = |value: f64| value.is_finite() && value >= 0.0;
        let alpha = if let Loss::Quantile { alpha } = self.loss { alpha } else { 0.5 };
        let classes = if let Loss::Softmax { classes } = self.loss { classes } else { 2 };
        for (name, value, is_good, range) in [
            ("rounds", self.rounds as f64, self.rounds > 0, "at least 1"),
            ("learning_rate", self.learning_rate, is_share(self.learning_rate), share),
            ("depth_max", self.depth_max as f64, (1..=20).contains(&self.depth_max), "1 to 20"),
            ("leaves_max", self.leaves_max.unwrap_or(2) as f64, self.leaves_max.is_none_or(|most| most >= 2), "at least 2"),
            ("l2", self.l2, is_weight(self.l2), "finite, 0 or more"),
            ("child_weight_min", self.child_weight_min, is_weight(self.child_weight_min), "finite, 0 or more"),
            ("gain_min", self.gain_min, is_weight(self.gain_min), "finite, 0 or more"),
            ("bins_max", self.bins_max as f64, (2..=BINS_MAX).contains(&self.bins_max), "2 to 4096"),
            ("row_share", self.row_share, is_share(self.row_share), share),
            ("feature_share", self.feature_share, is_share(self.feature_share), share),
            ("patience", self.patience as f64, self.patience > 0, "at least 1"),
            ("loss.alpha", alpha, alpha > 0.0 && alpha < 1.0, "between 0 and 1"),
            ("loss.classes", classes as f64, (2..=1_000).contains(&classes), "2 to 1000"),
        ] {
            if !is_good {
                return Err(TrainError::Parameter { name, value, range });
            }
        }
        Ok(())
    }
}

impl Sample<'_> {
    fn check(&self, loss: Loss) -> Result<(), TrainError> {
        let (rows, features) = (self.rows.len(), self.rows.columns());
        if features > FEATURES_MAX {
            return Err(Flaw::Features(features).into());
        }
        if self.labels.len() != rows {
            return Err(TrainError::Lengths { rows, what: "labels", others: self.labels.len() });
        }
        if let Some(weights) = self.weights {
            if weights.len() != rows {
                return Err(TrainError::Lengths { rows, what: "weights", others: weights.len() });
            }
            if let Some(row) = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
                return Err(TrainError::Weight { row, weight: weights[row] });
            }
        }
        if !(0..rows).any(|row| self.weight(row) > 0.0) {
            return Err(TrainError::Empty);
        }
        // What float32 cannot hold is infinite to the trees.
        if let Some(place) = self.rows.values().iter().position(|x| (*x as f32).is_infinite()) {
            return Err(TrainError::Infinite { row: place / features, feature: place % features });
        }
        match self.labels.iter().position(|label| !loss.takes(*label)) {
            Some(row) => Err(TrainError::Label { row, label: self.labels[row], wanted: loss.labels() }),
            None => Ok(()),
        }
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}

/// The margins of a sample, row after row, in the precision in which they are scored.
struct Margins<'a> {
    sample: Sample<'a>,
    values: Vec<f32>,
}

impl<'a> Margins<'a> {
    fn new(sample: Sample<'a>, base_margins: &[f32]) -> Margins<'a> {
        Margins { values: base_margins.repeat(sample.rows.len()), sample }
    }

    fn add(&mut self, trees: &[Tree]) {
        let rows = self.sample.rows;
        // One tree for each output: as many as there are margins a row.
        self.values.par_chunks_mut(trees.len()).zip(rows.values().par_chunks(rows.columns())).for_each(|(margins, row)| {
            for tree in trees {
                margins[tree.output] += tree.nodes[tree.leaf_of(row)].value as f32;
            }
        });
    }
}

/// Each row with a chance of `share`, in order; those without weight never.
fn random_rows(sample: &Sample<'_>, share: f64, random: &mut fastrand::Rng) -> Vec<u32> {
    let mut is_in = |row: usize| (share >= 1.0 || random.f64() < share) && sample.weight(row) > 0.0;
    (0..sample.rows.len()).filter(|row| is_in(*row)).map(|row| row as u32).collect()
}

/// A share of the columns, rounded up, in order.
fn random_columns(features: usize, share: f64, random: &mut fastrand::Rng) -> Vec<usize> {
    let count = ((features as f64 * share).ceil() as usize).clamp(1, features);
    let mut columns: Vec<usize> = (0..features).collect();
    if count < features {
        for place in 0..count {
            columns.swap(place, random.usize(place..features));
        }
        columns.truncate(count);
        columns.sort_unstable();
    }
    columns
}

/// Sets each leaf to the quantile of what its rows still lack: the gradients of the pinball loss say only on which side they are.
fn refit_quantiles(tree: &mut Tree, sample: &Sample<'_>, margins: &[f32], rows: &[u32], alpha: f64, learning_rate: f64) {
    let mut residuals: Vec<Vec<(f64, f64)>> = vec![Vec::new(); tree.nodes.len()];
    for row in rows.iter().map(|row| *row as usize) {
        residuals[tree.leaf_of(sample.rows.row(row))].push((sample.labels[row] - f64::from(margins[row]), sample.weight(row)));
    }
    for (node, residuals) in tree.nodes.iter_mut().zip(&mut residuals) {
        if let Some(quantile) = loss::quantile(residuals, alpha) {
            *node = Node::leaf(f64::from((quantile * learning_rate) as f32), node.cover);
        }
    }
}

#[cfg(test)]
mod tests;

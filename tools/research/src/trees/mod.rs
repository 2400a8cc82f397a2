//! Boosted trees: training, explanation, selection, and judgement of what they say.
//!
//! [`train()`] grows a [`Forest`](chronos_inference::trees::Forest); [`stack()`] weighs several over purged folds into one, and [`tune()`]
//! finds in a fold's training rows what they may use. [`TreeShap`] says exactly what each feature contributes to a margin,
//! [`interventional_contributions`] the same against background rows, and [`permutation_importance`] what a feature is worth.
//! [`select_features`] keeps what matters on every fold. [`fit_isotonic`] and [`fit_platt`] calibrate, and [`reliability_curve`] shows how
//! well. [`train_meta`] puts them together for the filter in the decision stage, and [`explain_row`] tells why one row has its
//! prediction. All of it works on imported models as on our own.

mod calibration;
mod classification;
mod explain;
mod importance;
mod interactions;
mod interventional;
mod meta;
mod quadrature;
mod rows;
mod scores;
mod select;
mod shap;
mod stack;
pub mod train;
mod tune;

pub use calibration::{
    FitError, ReliabilityBin, equal_mass_reliability_curve, expected_calibration_error, fit_isotonic, fit_platt, reliability_curve,
};
pub use classification::{Confusion, auc, brier, log_loss};
pub use explain::{ExplainRowError, Explanation, FeatureContribution, explain_row};
pub use importance::{PermutationImportance, SplitImportance, permutation_importance, predictions, split_importance};
pub use interactions::{Interactions, interactions};
pub use interventional::interventional_contributions;
pub(crate) use meta::WideRows;
pub use meta::{Bets, CalibrationKind, MetaConfig, MetaTrainError, MetaTrainReport, MetaTrained, Taken, train_meta};
pub use rows::{Rows, RowsError};
pub use scores::{ProbabilityScores, base_rate};
pub use select::{ClusterImportance, FeatureSelection, FeatureVerdict, SelectionConfig, SelectionError, Verdict, select_features};
pub use shap::{Contributions, ExplainError, TreeShap};
pub(crate) use stack::OwnedSample;
pub use stack::{Fold, StackError, Stacked, Tuning, out_of_fold_margins, stack};
pub use train::{Loss, Sample, TrainConfig, TrainError, Trained, train};
pub use tune::tune;

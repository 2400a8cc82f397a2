//! Meta models: from a dataset of bets to the folder that a replay opens, and back to why it says what it says.
//!
//! [`train_on_dataset`] trains on [`DatasetBets`], appends the trial to the ledger and gives a [`MetaTraining`], which writes the folder;
//! [`explain_dataset`] attributes what such a model says of every bet of a dataset, [`explain_order`] what it said of one order of a
//! replay. The learning itself is in [`trees`](crate::trees).

mod bets;
mod explanation;
mod order;
mod training;

pub use bets::{BetsError, DatasetBets};
pub use chronos_pipeline::decision::META_THRESHOLD;
pub use explanation::{
    ExplainMetaError, ExplainedBet, ExplanationOptions, FeatureAttribution, MetaExplanation, explain_dataset, training_report,
};
pub use order::{OrderExplanation, explain_order};
pub use training::{FoldReport, MetaPlan, MetaTraining, MetaTrainingError, MetaTrainingReport, TRAINING_FILE, train_on_dataset};

use chronos_pipeline::decision::{PRIMARY_SIDE, PRIMARY_STRENGTH};

/// Bins of reliability curves.
const BINS: usize = 10;

/// Names of the two entries that follow the features in a row.
fn primary_names() -> [String; 2] {
    [PRIMARY_SIDE, PRIMARY_STRENGTH].map(str::to_owned)
}

#[cfg(test)]
mod tests;

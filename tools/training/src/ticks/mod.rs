//! From decision ticks to a model of the hot path.
//!
//! [`train_ticks`] takes the [`TickData`](chronos_research::ticks::TickData) of captures or a dataset: purged parts, labels and scaler of the
//! training part, one network for each member, judged as a replay will run it, tick by tick, on the test part and beside the baselines.
//! What comes of it ([`TrainedTicks`]) is written as a model directory with `training.json` and a page of learning curves beside it.
//!
#![doc = include_str!("real_ticks.md")]

mod config;
mod inspection;
mod objective;
mod train;

pub use config::{FeatureSection, LabelSection, OutputSection, SplitSection, TickTrainConfig, TickTrainConfigError, WindowSection};
pub use inspection::{TickInspectError, inspect_ticks};
pub use objective::{DirectionModel, TickBatch, TickWindows};
pub use train::{
    FoldReport, MemberReport, TRAINING_FILE, TickTrainError, TickTrainOptions, TickTraining, TrainedTicks, Training, TrainingPlace,
    train_ticks,
};

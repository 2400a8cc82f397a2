#![doc = include_str!("published.md")]

mod baselines;
mod comparison;
mod data;
mod evaluation;
mod metrics;
mod model;
mod network;
mod order;
mod prepared;
mod recipe;
mod trading;
mod weights;

pub use baselines::{Baseline, BaselineKind};
pub use comparison::{AgainstPersistence, BlocksAlive, Comparison, ComparisonRow, Spread};
pub use data::{DataError, SPLIT_FILES, Split, Splits};
pub use evaluation::{Evaluation, EvaluationError, EvaluationProgress, RUNS_FILE};
pub use metrics::PriceErrors;
pub use model::{BlockTrace, PublishedModel, Rows, Trace};
pub use network::{Blocks, CryptoMamba};
pub use order::epoch_order;
pub use prepared::{Prepared, PriceBatch, Scaling};
pub use recipe::{BlockEffect, Recipe, RecipeError, Trained, Training, WINDOW};
pub use trading::{TradingResult, TradingRule};
pub use weights::{Architecture, FILE_BYTES_MAX, Weight, Weights, WeightsError};

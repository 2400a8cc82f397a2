#![doc = include_str!("published.md")]

mod data;
mod metrics;
mod model;
mod order;
mod trading;
mod weights;

pub use data::{DataError, SPLIT_FILES, Split, Splits};
pub use metrics::PriceErrors;
pub use model::{BlockTrace, PublishedModel, Rows, Trace};
pub use order::epoch_order;
pub use trading::{TradingResult, TradingRule};
pub use weights::{Architecture, FILE_BYTES_MAX, Weight, Weights, WeightsError};

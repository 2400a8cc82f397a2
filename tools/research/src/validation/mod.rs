//! Cross-validation that does not leak, and statistics that count every trial.
//!
//! [`Splitter`] says which rows train and which test, [`paths()`] puts the tests of many splits together to histories. What the returns
//! of such a history are worth is told by [`performance`] and the drawdowns; how sure one may be of it by [`SharpeEstimate`] (PSR, DSR,
//! minimum track record) and, over many configurations, by [`overfitting()`] (PBO).

mod combinations;
mod drawdown;
mod error;
mod overfitting;
mod paths;
pub mod performance;
mod sharpe;
mod spans;
mod splitter;

pub use drawdown::{
    Wealth, average_drawdown, conditional_drawdown_at_risk, drawdown_at_risk, drawdowns, maximum_drawdown, ulcer_index,
};
pub use error::StatisticsError;
pub use overfitting::{Overfitting, overfitting};
pub use paths::{Segment, paths};
pub use sharpe::{Deflated, Moments, SharpeEstimate, Trials, minimum_backtest_years};
pub use spans::{LabelSpans, SplitError, train_times};
pub use splitter::{Embargo, Split, Splitter};

//! Cross-validation that does not leak, and statistics that count every trial.
//!
//! [`Splitter`] says which rows train and which test, [`paths()`] puts the tests of many splits together to histories. What the
//! returns of such a history are worth is told by [`performance`] and the drawdowns; how sure one may be of it by
//! [`SharpeEstimate`] (PSR, DSR, minimum track record), a [`Bootstrap`] and, over many configurations, by [`overfitting()`] (PBO).
//! [`validate()`] does it all for some [models](Model), and appends to the trial ledger what it tried.

mod backtest;
mod baselines;
mod bootstrap;
mod combinations;
mod cross_validation;
mod drawdown;
mod logistic;
mod model;
mod overfitting;
mod paths;
pub mod performance;
mod record;
mod samples;
mod seeds;
mod sharpe;
mod spans;
mod splitter;
mod summary;

pub use backtest::{Backtest, BetReturns, Sizing, bets};
pub use baselines::{Majority, Momentum, baseline};
pub use bootstrap::{Blocks, Bootstrap, DrawdownDistribution, Interval, IntervalKind, shuffle_trades};
pub use cross_validation::{CrossValidationError, PathScores, cross_validate};
pub use drawdown::{
    Wealth, average_drawdown, conditional_drawdown_at_risk, drawdown_at_risk, drawdowns, maximum_drawdown, ulcer_index,
};
pub use logistic::{Logistic, LogisticFit};
pub use model::{FitError, Fitted, Model, model_text};
pub use overfitting::{Overfitting, overfitting};
pub use paths::{Segment, paths};
pub use record::{Configuration, VALIDATION_FILE, Validation, ValidationError, ValidationPlan, bound_to, validate};
pub use samples::{OwnedSamples, Samples, SamplesError, Target};
pub use sharpe::{Deflated, Moments, SharpeEstimate, Trials, minimum_backtest_years};
pub use spans::{LabelSpans, SplitError, train_times};
pub use splitter::{Embargo, Split, Splitter};
pub use summary::Summary;

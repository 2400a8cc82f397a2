//! Cross-validation that does not leak, and statistics that count every trial.
//!
//! [`Splitter`] says which rows train and which test, [`paths()`] puts the tests of many splits together to histories.

mod combinations;
mod paths;
mod spans;
mod splitter;

pub use paths::{Segment, paths};
pub use spans::{LabelSpans, SplitError, train_times};
pub use splitter::{Embargo, Split, Splitter};

//! What decides whether a signal is real.
//!
//! From prices to a verdict: bars and series statistics, labels and their weights, cross-validation that does not leak, statistics
//! that count every trial, boosted trees and meta models made of them, and the gate a model passes before it may trade. The reference
//! is the literature (López de Prado, *Advances in Financial Machine Learning*; Bailey and López de Prado) as the field's libraries
//! compute it.

pub mod bars;
pub mod dataset;
mod error;
pub mod fractional;
mod hash;
pub mod html;
pub mod labels;
pub mod ledger;
pub mod meta;
pub mod promotion;
pub mod scores;
pub mod statistics;
pub mod ticks;
pub mod trees;
pub mod validation;
pub mod weights;
mod whole_file;

pub use error::SeriesError;
pub use whole_file::{WholeFileError, write_whole_file};

//! Why a statistic cannot be computed.

/// What is wrong with the numbers a statistic was asked of.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum StatisticsError {
    /// There are too few values.
    #[error("{what}: {given} values are too few, {needed} are needed at least; give a longer history")]
    TooFew {
        /// Of what.
        what: &'static str,
        /// Values given.
        given: usize,
        /// Values needed.
        needed: usize,
    },
    /// A value is NaN or infinite.
    #[error("{what}: the value of row {row} is not a finite number; drop the row or repair its source")]
    NotFinite {
        /// Of what.
        what: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// All values are the same.
    #[error(
        "{what}: all values are equal, so nothing can be said of their spread; a strategy that never trades has no Sharpe ratio"
    )]
    NoVariance {
        /// Of what.
        what: &'static str,
    },
    /// Series that belong together differ in length.
    #[error("{what}: {given} values where {expected} are needed, one for each of the others")]
    Lengths {
        /// Of what.
        what: &'static str,
        /// Values given.
        given: usize,
        /// Values needed.
        expected: usize,
    },
    /// A parameter is out of range.
    #[error("{0}")]
    Parameter(String),
    /// Times go back or stand still.
    #[error("{what}: the time of row {row} is not after that of the row above; sort by time and drop duplicates")]
    Unsorted {
        /// Of what.
        what: &'static str,
        /// The row, from 0.
        row: usize,
    },
}

/// Refuses fewer than `needed` values and any that is not finite.
pub(crate) fn check_finite(what: &'static str, values: &[f64], needed: usize) -> Result<(), StatisticsError> {
    if values.len() < needed {
        return Err(StatisticsError::TooFew { what, given: values.len(), needed });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(StatisticsError::NotFinite { what, row }),
        None => Ok(()),
    }
}

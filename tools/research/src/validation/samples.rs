//! The rows of a dataset, as models and the backtest see them.

use super::spans::{LabelSpans, SplitError};
use crate::dataset::Dataset;
use crate::error::{SeriesError, enough_finite};
use serde::{Deserialize, Serialize};

/// What a label says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The direction: -1, 0 or 1. A score runs from -1 (short) to 1 (long).
    Direction,
    /// Whether a bet whose side is given paid: 0 or 1. A score is a probability, and a position the size of that bet.
    Meta,
}

/// What is wrong with rows.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SamplesError {
    /// Their times.
    #[error(transparent)]
    Times(#[from] SplitError),
    /// Their values.
    #[error(transparent)]
    Values(#[from] SeriesError),
    /// A label is none of its kind.
    #[error("row {row}: label {label} is not one of {expected}; relabel the row or drop it")]
    Label {
        /// The row, from 0.
        row: usize,
        /// The label.
        label: f64,
        /// What a label may be.
        expected: &'static str,
    },
    /// A weight is negative.
    #[error("row {row}: weight {weight} is negative; a weight is 0 or more")]
    Weight {
        /// The row, from 0.
        row: usize,
        /// The weight.
        weight: f64,
    },
    /// More than everything was lost.
    #[error("row {row}: a return of {value} loses more than everything; returns are simple, as shares")]
    Return {
        /// The row, from 0.
        row: usize,
        /// The return.
        value: f64,
    },
}

/// Rows in the order of their events: features, what their labels look at, label, return, weight.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    /// Features by column, each with a value for every row; NaN where a value is missing.
    pub features: Vec<&'a [f64]>,
    /// Event times, nanoseconds, never going back.
    pub events_ns: &'a [i64],
    /// Label end times, nanoseconds, at or after the events.
    pub ends_ns: &'a [i64],
    /// Labels, as the target has them.
    pub labels: &'a [f64],
    /// Simple returns from event to label end; of a meta-label, those of the bet with its side.
    pub returns: &'a [f64],
    /// Weights, 0 or more.
    pub weights: &'a [f64],
    /// What a label says.
    pub target: Target,
}

/// The same, owned.
#[derive(Clone, PartialEq, Debug)]
pub struct OwnedSamples {
    /// Features by column.
    pub features: Vec<Vec<f64>>,
    /// Event times, nanoseconds.
    pub events_ns: Vec<i64>,
    /// Label end times, nanoseconds.
    pub ends_ns: Vec<i64>,
    /// Labels.
    pub labels: Vec<f64>,
    /// Simple returns.
    pub returns: Vec<f64>,
    /// Weights.
    pub weights: Vec<f64>,
    /// What a label says.
    pub target: Target,
}

impl OwnedSamples {
    /// The rows as models see them.
    pub fn samples(&self) -> Samples<'_> {
        Samples {
            features: self.features.iter().map(Vec::as_slice).collect(),
            events_ns: &self.events_ns,
            ends_ns: &self.ends_ns,
            labels: &self.labels,
            returns: &self.returns,
            weights: &self.weights,
            target: self.target,
        }
    }
}

impl From<&Dataset> for OwnedSamples {
    /// The samples of a dataset; with a side in any of them the labels are meta-labels.
    fn from(dataset: &Dataset) -> OwnedSamples {
        let is_meta = dataset.side.iter().any(Option::is_some);
        OwnedSamples {
            features: (0..dataset.features.len()).map(|feature| dataset.column(feature).collect()).collect(),
            events_ns: dataset.event_ns.clone(),
            ends_ns: dataset.end_ns.clone(),
            labels: dataset.label.iter().map(|label| f64::from(*label)).collect(),
            returns: dataset.simple_return.clone(),
            weights: dataset.weight.clone(),
            target: if is_meta { Target::Meta } else { Target::Direction },
        }
    }
}

impl Samples<'_> {
    /// Checks everything but the features, which models check as they need them.
    ///
    /// # Errors
    /// [`SamplesError`] with the row.
    pub fn check(&self) -> Result<(), SamplesError> {
        let rows = self.spans()?.rows();
        let lengths = [
            ("the column of labels", self.labels.len()),
            ("the column of returns", self.returns.len()),
            ("the column of weights", self.weights.len()),
        ];
        let columns = self.features.iter().map(|column| ("a feature", column.len()));
        for (what, given) in lengths.into_iter().chain(columns) {
            if given != rows {
                return Err(SeriesError::Lengths { what, rows: given, other: "the table", other_rows: rows }.into());
            }
        }
        enough_finite("the column of labels", self.labels, 1)?;
        enough_finite("the column of returns", self.returns, 1)?;
        enough_finite("the column of weights", self.weights, 1)?;
        let (allowed, expected): (&[f64], _) = match self.target {
            Target::Direction => (&[-1.0, 0.0, 1.0], "-1, 0 and 1 (directions)"),
            Target::Meta => (&[0.0, 1.0], "0 and 1 (meta-labels)"),
        };
        for row in 0..rows {
            let (label, weight, value) = (self.labels[row], self.weights[row], self.returns[row]);
            if !allowed.contains(&label) {
                return Err(SamplesError::Label { row, label, expected });
            }
            if weight < 0.0 {
                return Err(SamplesError::Weight { row, weight });
            }
            if value < -1.0 {
                return Err(SamplesError::Return { row, value });
            }
        }
        Ok(())
    }

    /// What the labels look at.
    ///
    /// # Errors
    /// [`SplitError`] with the row where times go back or a label ends before it starts.
    pub fn spans(&self) -> Result<LabelSpans<'_>, SplitError> {
        LabelSpans::labels(self.events_ns, self.ends_ns)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.events_ns.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Direction rows one second apart, each label ending at the next event.
    pub(crate) fn second_by_second(features: Vec<Vec<f64>>, returns: Vec<f64>) -> OwnedSamples {
        let rows = returns.len();
        OwnedSamples {
            features,
            events_ns: (0..rows as i64).map(|row| row * 1_000_000_000).collect(),
            ends_ns: (1..=rows as i64).map(|row| row * 1_000_000_000).collect(),
            labels: returns.iter().map(|value| if *value == 0.0 { 0.0 } else { value.signum() }).collect(),
            returns,
            weights: vec![1.0; rows],
            target: Target::Direction,
        }
    }

    #[test]
    fn bad_rows_are_named() {
        let message = |edit: fn(&mut OwnedSamples)| {
            let mut rows = second_by_second(vec![vec![1.0, f64::NAN, 3.0]], vec![0.1, 0.0, -0.2]);
            edit(&mut rows);
            rows.samples().check().map_or_else(|error| error.to_string(), |()| "accepted".into())
        };
        assert_eq!(message(|_| {}), "accepted");
        assert!(message(|rows| rows.ends_ns[1] = 0).contains("row 1: its label ends before it starts"));
        assert!(message(|rows| rows.labels[2] = 2.0).contains("row 2: label 2 is not one of -1, 0 and 1"));
        assert!(message(|rows| rows.target = Target::Meta).contains("row 2: label -1 is not one of 0 and 1"));
        assert!(message(|rows| rows.weights[0] = -1.0).contains("row 0: weight -1"));
        assert!(message(|rows| rows.returns[0] = -1.5).contains("loses more than everything"));
        assert!(message(|rows| rows.returns[0] = f64::NAN).contains("the column of returns is NaN at row 0"));
        assert!(message(|rows| rows.features[0].truncate(2)).contains("a feature has 2 rows and the table has 3"));
        assert!(message(|rows| rows.weights.truncate(2)).contains("weights has 2 rows and the table has 3"));
    }
}

//! What each row's label looks at: from its event to its end.

use std::ops::Range;

/// What is wrong with rows, or with how they are to be split.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SplitError {
    /// As many ends as starts are needed.
    #[error("{starts} event times but {ends} label end times; give one of each for every row")]
    Lengths {
        /// Number of event times.
        starts: usize,
        /// Number of label end times.
        ends: usize,
    },
    /// Event times go back.
    #[error("row {row}: its event time lies before that of the row above; sort the rows by event time")]
    Unsorted {
        /// The row, from 0.
        row: usize,
    },
    /// A label ends before its event.
    #[error("row {row}: its label ends before it starts; the end time must be at or after the event time")]
    EndsBeforeStart {
        /// The row, from 0.
        row: usize,
    },
    /// The parameters of a splitter contradict each other.
    #[error("{0}")]
    Parameters(String),
    /// There are fewer rows than the splitter needs.
    #[error("{rows} rows are too few: {needed} are needed at least; give more rows, or ask for fewer or smaller folds")]
    TooFewRows {
        /// Rows given.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// Purge and embargo leave nothing to train on.
    #[error(
        "split {split} (test rows {first} to {last}) leaves no row to train on; shorten the labels, the purge or the embargo, \
         or test fewer folds at once"
    )]
    NoTraining {
        /// The split, from 0.
        split: usize,
        /// First row tested.
        first: usize,
        /// Last row tested.
        last: usize,
    },
}

/// The rows to split: sorted by event time, and what time each one's label looks at.
///
/// A label spans `[start, end)`: one that ends where another starts shares nothing with it. Several rows may start at one time.
#[derive(Clone, Copy, Debug)]
pub struct LabelSpans<'a> {
    rows: usize,
    times: Option<(&'a [i64], &'a [i64])>,
}

impl<'a> LabelSpans<'a> {
    /// Rows whose labels look no further than the next row.
    pub fn bars(rows: usize) -> LabelSpans<'static> {
        LabelSpans { rows, times: None }
    }

    /// Rows with the times of their events and of their labels' ends, in one unit (nanoseconds, bars).
    ///
    /// # Errors
    /// [`SplitError`] with the row where times go back or a label ends before it starts.
    pub fn labels(starts: &'a [i64], ends: &'a [i64]) -> Result<LabelSpans<'a>, SplitError> {
        if starts.len() != ends.len() {
            return Err(SplitError::Lengths { starts: starts.len(), ends: ends.len() });
        }
        if let Some(row) = starts.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(SplitError::Unsorted { row: row + 1 });
        }
        if let Some(row) = starts.iter().zip(ends).position(|(start, end)| end < start) {
            return Err(SplitError::EndsBeforeStart { row });
        }
        Ok(LabelSpans { rows: starts.len(), times: Some((starts, ends)) })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Event times and label ends, where labels have times.
    pub(crate) fn times(&self) -> Option<(&'a [i64], &'a [i64])> {
        self.times
    }
}

/// The rows of AFML's `getTrainTimes` (snippet 7.1): those whose label neither starts in, nor ends in, nor envelops a test
/// interval. Intervals are closed here: a label that ends where a test starts is dropped, unlike in a
/// [`Splitter`](super::Splitter).
pub fn train_times(spans: &LabelSpans<'_>, test_intervals: &[(i64, i64)]) -> Vec<Range<usize>> {
    let is_kept = |row: usize| {
        let (start, end) = match spans.times {
            Some((starts, ends)) => (starts[row], ends[row]),
            None => (row as i64, row as i64 + 1),
        };
        test_intervals.iter().all(|&(first, last)| end < first || start > last)
    };
    runs((0..spans.rows).filter(|&row| is_kept(row)))
}

/// Ascending rows as ranges, neighbours joined.
pub(crate) fn runs(rows: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rows_are_named() {
        assert_eq!(LabelSpans::labels(&[1, 3, 2], &[4, 4, 4]).unwrap_err(), SplitError::Unsorted { row: 2 });
        assert_eq!(LabelSpans::labels(&[1, 2, 3], &[4, 1, 4]).unwrap_err(), SplitError::EndsBeforeStart { row: 1 });
        assert_eq!(LabelSpans::labels(&[1, 2], &[4]).unwrap_err(), SplitError::Lengths { starts: 2, ends: 1 });
        assert!(LabelSpans::labels(&[1, 1], &[1, 4]).is_ok());
        let message = SplitError::EndsBeforeStart { row: 1 }.to_string();
        assert!(message.contains("row 1") && message.contains("at or after"), "{message}");
    }

    #[test]
    fn rows_join_to_runs() {
        assert_eq!(runs([0, 1, 4, 6, 7].into_iter()), vec![0..2, 4..5, 6..8]);
        assert!(runs([].into_iter()).is_empty());
    }
}

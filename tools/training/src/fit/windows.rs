//! Windows over a series: views of one array of rows.
//!
//! The rows stand once in memory, `rows * features * 4` bytes (320 MB for a million rows of 80), in a list or a mapped file; a window is
//! the place of its last row. A batch is gathered when it is due and dropped after its step.

/// Windows of `steps` rows each over rows of `features` f32.
///
/// # Examples
/// ```
/// use chronos_training::fit::Windows;
///
/// let rows: Vec<f32> = (0..12).map(|value| value as f32).collect();
/// // Six rows of two features; the second segment begins at row 3.
/// let windows = Windows::new(&rows, 2, 2, &[0, 3])?;
/// assert_eq!(windows.ends(), [1, 2, 4, 5]);
/// assert_eq!(windows.gather(&[4, 1]), [6.0, 7.0, 8.0, 9.0, 0.0, 1.0, 2.0, 3.0]);
/// # Ok::<(), chronos_training::fit::WindowError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Windows<'a> {
    rows: &'a [f32],
    features: usize,
    steps: usize,
    starts: Vec<usize>,
}

/// Why there are no windows over these rows.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum WindowError {
    /// No features or no steps.
    #[error("windows of {steps} steps and {features} features; both must be at least 1")]
    Empty {
        /// Rows a window.
        steps: usize,
        /// Values a row.
        features: usize,
    },
    /// The values do not make whole rows.
    #[error("{values} values are not whole rows of {features} features")]
    PartOfRow {
        /// Values in all.
        values: usize,
        /// Values a row.
        features: usize,
    },
    /// Segments do not begin at row 0 and rise within the rows.
    #[error(
        "segment {place} begins at row {row}; the first begins at row 0, each later one after the one before and before row {rows}"
    )]
    Segment {
        /// Which segment.
        place: usize,
        /// Where it begins.
        row: usize,
        /// Rows in all.
        rows: usize,
    },
    /// A row that ends no window.
    #[error(
        "row {row} ends no window of {steps} steps: it lies within the first {steps} rows of its segment, or there is no such row"
    )]
    NoWindow {
        /// Which row.
        row: usize,
        /// Rows a window.
        steps: usize,
    },
}

impl<'a> Windows<'a> {
    /// Windows over `rows`, row after row. `starts` are the first rows of the segments (after a gap, a reset, a new session); no window
    /// reaches over the beginning of one.
    ///
    /// # Errors
    /// [`WindowError`].
    pub fn new(rows: &'a [f32], features: usize, steps: usize, starts: &[usize]) -> Result<Self, WindowError> {
        if features == 0 || steps == 0 {
            return Err(WindowError::Empty { steps, features });
        }
        if !rows.len().is_multiple_of(features) {
            return Err(WindowError::PartOfRow { values: rows.len(), features });
        }
        let count = rows.len() / features;
        for (place, &row) in starts.iter().enumerate() {
            let follows = if place == 0 { row == 0 } else { row > starts[place - 1] };
            if !follows || row >= count {
                return Err(WindowError::Segment { place, row, rows: count });
            }
        }
        if starts.is_empty() && count > 0 {
            return Err(WindowError::Segment { place: 0, row: count, rows: count });
        }
        Ok(Self { rows, features, steps, starts: starts.to_vec() })
    }

    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.rows.len() / self.features
    }

    /// Values a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Rows a window.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The last rows of all windows, in order: what lists of samples are chosen from.
    pub fn ends(&self) -> Vec<usize> {
        let next = self.starts.iter().skip(1).copied().chain([self.rows()]);
        self.starts.iter().zip(next).flat_map(|(start, next)| (start + self.steps - 1)..next).collect()
    }

    /// Whether a window ends at this row.
    ///
    /// # Errors
    /// [`WindowError::NoWindow`].
    pub fn check(&self, end: usize) -> Result<(), WindowError> {
        let segment = self.starts.partition_point(|start| *start <= end);
        let is_window =
            segment.checked_sub(1).is_some_and(|segment| end < self.rows() && end + 1 - self.starts[segment] >= self.steps);
        if is_window { Ok(()) } else { Err(WindowError::NoWindow { row: end, steps: self.steps }) }
    }

    /// The values of one window, row by row, the oldest first: `steps * features`, in place. Empty for a row that ends no window.
    pub fn window(&self, end: usize) -> &'a [f32] {
        match self.check(end) {
            Ok(()) => &self.rows[(end + 1 - self.steps) * self.features..(end + 1) * self.features],
            Err(_) => &[],
        }
    }

    /// The windows that end at these rows, one after another: `[ends, steps, features]`.
    pub fn gather(&self, ends: &[usize]) -> Vec<f32> {
        let mut batch = Vec::with_capacity(ends.len() * self.steps * self.features);
        ends.iter().for_each(|end| batch.extend_from_slice(self.window(*end)));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_series_is_refused() {
        let rows = [0.0; 12];
        let refused = |features, steps, starts: &[usize]| Windows::new(&rows, features, steps, starts).unwrap_err();
        assert_eq!(refused(0, 1, &[0]), WindowError::Empty { steps: 1, features: 0 });
        assert_eq!(refused(5, 1, &[0]), WindowError::PartOfRow { values: 12, features: 5 });
        for (starts, place, row) in [(&[1_usize][..], 0, 1), (&[0, 0], 1, 0), (&[0, 6], 1, 6), (&[], 0, 6)] {
            assert_eq!(refused(2, 1, starts), WindowError::Segment { place, row, rows: 6 });
        }
        assert!(Windows::new(&[], 3, 2, &[]).unwrap().ends().is_empty());
    }

    proptest! {
        /// A window ends at a row exactly where that many rows, itself the last, lie in one segment; and it holds them.
        #[test]
        fn windows_never_cross_a_boundary(lengths in prop::collection::vec(1_usize..9, 1..6), steps in 1_usize..6, features in 1_usize..4) {
            let segment_of: Vec<usize> = lengths.iter().enumerate().flat_map(|(place, length)| vec![place; *length]).collect();
            let starts: Vec<usize> = lengths.iter().scan(0, |at, length| { *at += length; Some(*at - length) }).collect();
            let rows: Vec<f32> = (0..segment_of.len() * features).map(|value| value as f32).collect();
            let windows = Windows::new(&rows, features, steps, &starts).unwrap();
            let naive: Vec<usize> = (0..segment_of.len())
                .filter(|end| end + 1 >= steps && (end + 1 - steps..=*end).all(|row| segment_of[row] == segment_of[*end]))
                .collect();
            prop_assert_eq!(windows.ends(), naive.clone());
            for row in 0..segment_of.len() + 2 {
                prop_assert_eq!(windows.check(row).is_ok(), naive.contains(&row));
            }
            for end in naive {
                let expected: Vec<f32> = ((end + 1 - steps) * features..(end + 1) * features).map(|value| value as f32).collect();
                prop_assert_eq!(windows.window(end), &expected[..]);
            }
        }
    }
}

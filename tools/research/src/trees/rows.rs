//! A table of numbers by rows.

/// Rows of equal length, one after another in memory. NaN is a missing value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rows<'a> {
    values: &'a [f64],
    columns: usize,
}

/// Why values are no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{values} values do not make whole rows of {columns} columns")]
pub struct RowsError {
    /// Number of values.
    pub values: usize,
    /// Number of columns.
    pub columns: usize,
}

impl<'a> Rows<'a> {
    /// A table of so many columns.
    ///
    /// # Errors
    /// [`RowsError`] where there are no columns or the last row is not whole.
    pub fn new(values: &'a [f64], columns: usize) -> Result<Rows<'a>, RowsError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(RowsError { values: values.len(), columns });
        }
        Ok(Rows { values, columns })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of columns, at least 1.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f64> {
        self.values.chunks_exact(self.columns)
    }

    /// One row.
    ///
    /// # Panics
    /// Where there is none of this number.
    pub fn row(&self, row: usize) -> &'a [f64] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// All values, row after row.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// The values of the rows of these numbers, one after another.
    ///
    /// # Panics
    /// Where there is no row of a number.
    pub fn gather(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter().flat_map(|row| self.row(*row)).copied().collect()
    }
}

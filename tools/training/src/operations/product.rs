//! The product of rows and a matrix, and its gradients. burn's own fills the memory of every result with zeros, then copies it to memory
//! that is aligned, before anything is computed.

use super::real::Real;
use gemm::Parallelism;

/// From this number of multiplications on, a product is shared among the threads: as burn does.
const SHARED_MULTIPLICATIONS: usize = 192 * 192 * 192;

/// Rows and the matrix they are multiplied by.
#[derive(Clone, Copy)]
pub(super) struct Product<'a, F> {
    /// `[rows, inputs]`.
    pub(super) rows: Matrix<'a, F>,
    /// `[inputs, outputs]`.
    pub(super) weight: Matrix<'a, F>,
}

impl<F: Real> Product<'_, F> {
    /// `[rows, outputs]`.
    pub(super) fn forward(&self) -> Vec<F> {
        multiply(self.rows, self.weight)
    }

    /// Gradient of the rows from that of the product, `[rows, outputs]`.
    pub(super) fn of_rows(&self, gradient: &[F]) -> Vec<F> {
        multiply(self.gradient(gradient), self.weight.transposed())
    }

    /// Gradient of the matrix from that of the product, `[rows, outputs]`.
    pub(super) fn of_weight(&self, gradient: &[F]) -> Vec<F> {
        multiply(self.rows.transposed(), self.gradient(gradient))
    }

    fn gradient<'g>(&self, values: &'g [F]) -> Matrix<'g, F> {
        Matrix::new(values, self.rows.rows, self.weight.columns)
    }
}

/// A matrix in a slice of `rows * columns` values.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, F> {
    values: &'a [F],
    rows: usize,
    columns: usize,
    /// Whether the values stand column after column.
    by_columns: bool,
}

impl<'a, F> Matrix<'a, F> {
    /// Values that stand row after row.
    ///
    /// # Panics
    /// Where there are not `rows * columns`.
    pub(super) fn new(values: &'a [F], rows: usize, columns: usize) -> Self {
        assert_eq!(rows.checked_mul(columns), Some(values.len()), "a matrix of {rows} x {columns} from {} values", values.len());
        Matrix { values, rows, columns, by_columns: false }
    }

    fn transposed(self) -> Self {
        Matrix { rows: self.columns, columns: self.rows, by_columns: !self.by_columns, ..self }
    }

    /// From a column to the next, and from a row to the next.
    fn strides(&self) -> (isize, isize) {
        // A slice has at most `isize::MAX` bytes.
        if self.by_columns { (self.rows as isize, 1) } else { (1, self.columns as isize) }
    }
}

/// The product, row after row.
///
/// # Panics
/// Where the left has not as many columns as the right has rows.
fn multiply<F: Real>(left: Matrix<'_, F>, right: Matrix<'_, F>) -> Vec<F> {
    assert_eq!(left.columns, right.rows, "a matrix of {} columns by one of {} rows", left.columns, right.rows);
    let (rows, inner, columns) = (left.rows, left.columns, right.columns);
    let count = rows * columns;
    if count == 0 || inner == 0 {
        return vec![F::ZERO; count];
    }
    let is_shared = count.saturating_mul(inner) >= SHARED_MULTIPLICATIONS;
    let parallelism = if is_shared { Parallelism::Rayon(0) } else { Parallelism::None };
    let ((left_column, left_row), (right_column, right_row)) = (left.strides(), right.strides());
    let mut product = Vec::<F>::with_capacity(count);
    let (is_added_to, conjugated) = (false, false);
    // SAFETY: `Matrix::new` saw that each side has all its values, `product` has room for as many as are written, and as it is not added
    // to, all `count` of them are written and none is read.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            product.as_mut_ptr(),
            1,
            columns as isize,
            is_added_to,
            left.values.as_ptr(),
            left_column,
            left_row,
            right.values.as_ptr(),
            right_column,
            right_row,
            F::ZERO,
            F::ONE,
            conjugated,
            conjugated,
            conjugated,
            parallelism,
        );
        product.set_len(count);
    }
    product
}

//! Ordinary least squares.

use super::mean;
use crate::error::{SeriesError, finite, long_enough, same_rows};
use nalgebra::{DMatrix, DVector, Dyn, QR};

/// A fitted regression.
#[derive(Clone, PartialEq, Debug)]
pub struct Regression {
    /// One for each column, in order.
    pub coefficients: Vec<f64>,
    /// Of each coefficient, of independent errors of equal variance.
    pub standard_errors: Vec<f64>,
    /// Observed less fitted.
    pub residuals: Vec<f64>,
    /// Sum of squared residuals.
    pub residual_squares: f64,
    /// Share of the variation that is explained: about the mean where a column is constant, about zero else.
    pub r_squared: f64,
}

impl Regression {
    /// Coefficient over standard error.
    pub fn t_value(&self, column: usize) -> f64 {
        self.coefficients[column] / self.standard_errors[column]
    }

    /// Rows less columns.
    pub fn degrees_of_freedom(&self) -> usize {
        self.residuals.len() - self.coefficients.len()
    }

    /// Standard deviation of the errors, over the degrees of freedom.
    pub fn sigma(&self) -> f64 {
        (self.residual_squares / self.degrees_of_freedom() as f64).sqrt()
    }

    /// Durbin and Watson (1950): squared steps of the residuals over their squares; 2 without autocorrelation, 0 with much.
    pub fn durbin_watson(&self) -> f64 {
        self.residuals.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f64>() / self.residual_squares
    }
}

/// Fits `target = sum of coefficient * column` by Householder's QR decomposition. A constant is a column of ones.
///
/// # Errors
/// Lengths that differ, values that are not finite, no more rows than columns, linearly dependent columns.
pub fn least_squares(target: &[f64], columns: &[&[f64]]) -> Result<Regression, SeriesError> {
    finite("the target of the regression", target)?;
    for column in columns {
        same_rows("a column of the regression", column.len(), "its target", target.len())?;
        finite("a column of the regression", column)?;
    }
    long_enough("the regression", target.len(), columns.len() + 1)?;
    let design = DMatrix::from_iterator(target.len(), columns.len(), columns.iter().flat_map(|column| column.iter().copied()));
    let triangle = Triangle::of(design.clone(), target, "the regression")?;
    let coefficients = triangle.coefficients(columns.len());
    let residuals = DVector::from_column_slice(target) - design * DVector::from_column_slice(&coefficients);
    let residuals: Vec<f64> = residuals.iter().copied().collect();
    let residual_squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let variance = residual_squares / (target.len() - columns.len()) as f64;
    let standard_errors = triangle.inverse_squares(columns.len()).into_iter().map(|squares| (variance * squares).sqrt()).collect();
    let is_constant = |column: &&[f64]| column[0] != 0.0 && column.iter().all(|value| *value == column[0]);
    let centre = if columns.iter().any(is_constant) { mean(target) } else { 0.0 };
    let variation: f64 = target.iter().map(|value| (value - centre).powi(2)).sum();
    let r_squared = 1.0 - residual_squares / variation;
    Ok(Regression { coefficients, standard_errors, residuals, residual_squares, r_squared })
}

/// The QR decomposition of a design, with the target turned by it: the fits on the first so many columns are all in it.
pub(super) struct Triangle {
    right: DMatrix<f64>,
    turned: DVector<f64>,
}

impl Triangle {
    /// Decomposes; refuses columns that depend on those before them.
    pub(super) fn of(design: DMatrix<f64>, target: &[f64], what: &'static str) -> Result<Triangle, SeriesError> {
        let lengths: Vec<f64> = design.column_iter().map(|column| column.norm()).collect();
        let decomposed: QR<f64, Dyn, Dyn> = design.qr();
        let right = decomposed.r();
        // What is left of a column that the others span is rounding alone.
        let is_spanned = |(place, length): (usize, &f64)| right[(place, place)].abs() <= 1e-12 * length;
        if lengths.iter().enumerate().any(is_spanned) {
            return Err(SeriesError::Singular { what });
        }
        let mut turned = DVector::from_column_slice(target);
        decomposed.q_tr_mul(&mut turned);
        Ok(Triangle { right, turned })
    }

    /// Sum of squared residuals of the fit on the first `columns`.
    pub(super) fn residual_squares(&self, columns: usize) -> f64 {
        self.turned.rows_range(columns..).norm_squared()
    }

    /// Coefficients of the fit on the first `columns`.
    pub(super) fn coefficients(&self, columns: usize) -> Vec<f64> {
        let mut coefficients = vec![0.0; columns];
        for row in (0..columns).rev() {
            let later: f64 = (row + 1..columns).map(|column| self.right[(row, column)] * coefficients[column]).sum();
            coefficients[row] = (self.turned[row] - later) / self.right[(row, row)];
        }
        coefficients
    }

    /// Diagonal of `(X'X)^-1` for the first `columns`: squared lengths of the rows of the triangle's inverse.
    pub(super) fn inverse_squares(&self, columns: usize) -> Vec<f64> {
        let mut squares = vec![0.0; columns];
        let mut inverse = vec![0.0; columns];
        for column in 0..columns {
            for row in (0..=column).rev() {
                let later: f64 = (row + 1..=column).map(|place| self.right[(row, place)] * inverse[place]).sum();
                let one = f64::from(u8::from(row == column));
                inverse[row] = (one - later) / self.right[(row, row)];
                squares[row] += inverse[row] * inverse[row];
            }
        }
        squares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_by_hand() {
        // Points (0,1), (1,2), (2,6): slope 5/2, intercept 1/2; residuals 1/2, -1, 1/2.
        let fit = least_squares(&[1.0, 2.0, 6.0], &[&[1.0; 3], &[0.0, 1.0, 2.0]]).unwrap();
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        close(fit.coefficients[0], 0.5);
        close(fit.coefficients[1], 2.5);
        close(fit.residual_squares, 1.5);
        close(fit.sigma(), 1.5_f64.sqrt());
        // Standard error of the slope: sigma / sqrt(sum of squared distances from the mean of x).
        close(fit.standard_errors[1], 0.75_f64.sqrt());
        close(fit.r_squared, 1.0 - 1.5 / 14.0);
        close(fit.durbin_watson(), 4.5 / 1.5);
    }

    #[test]
    fn fits_on_fewer_columns_are_in_the_decomposition() {
        let target = [1.0, 3.0, 2.0, 5.0, 4.0];
        let columns = [[1.0; 5], [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 4.0, 2.0, 8.0, 7.0]];
        let design = DMatrix::from_iterator(5, 3, columns.iter().flatten().copied());
        let triangle = Triangle::of(design, &target, "test").unwrap();
        for count in 1..=3 {
            let slices: Vec<&[f64]> = columns[..count].iter().map(|column| &column[..]).collect();
            let fit = least_squares(&target, &slices).unwrap();
            assert!((fit.residual_squares - triangle.residual_squares(count)).abs() < 1e-12);
        }
    }

    #[test]
    fn bad_input_is_told() {
        let told = |target: &[f64], columns: &[&[f64]]| least_squares(target, columns).unwrap_err().to_string();
        assert!(told(&[1.0, f64::NAN, 2.0], &[&[1.0; 3]]).contains("NaN at row 1"));
        assert!(told(&[1.0; 3], &[&[1.0; 2]]).contains("2 rows"));
        assert!(told(&[1.0, 2.0], &[&[1.0; 2], &[0.0, 1.0]]).contains("3 are needed"));
        assert!(told(&[1.0, 2.0, 3.0, 4.0], &[&[1.0; 4], &[2.0; 4]]).contains("linearly dependent"));
    }
}

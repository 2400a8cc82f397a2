//! The smallest order of differentiation that passes a unit-root test.

use super::{difference, fixed_width_weights};
use crate::error::SeriesError;
use crate::statistics::stationarity::DickeyFuller;
use crate::statistics::{LagRule, Trend, augmented_dickey_fuller, correlation};

/// One order tried.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OrderRow {
    /// The order.
    pub order: f64,
    /// Weights of its window.
    pub weights: usize,
    /// The unit-root test of the differenced series.
    pub test: DickeyFuller,
    /// Correlation with the series before: what memory is left; `None` where one of the two does not vary.
    pub correlation: Option<f64>,
}

/// The orders tried, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct OrderSearch {
    /// A row for each order whose window is shorter than the series.
    pub rows: Vec<OrderRow>,
    /// The smallest order whose p-value is below the level; `None` where none is.
    pub smallest: Option<f64>,
}

/// Differences a series (log prices, usually) at each of the `orders` and tests it about a constant, with lags by `lags`. Smaller
/// orders, tried first, have wider windows: one that is wider than the series is passed over.
///
/// # Errors
/// Values that are not finite, orders or a threshold out of range, a series too short for the test.
pub fn smallest_stationary_order(
    series: &[f64],
    orders: &[f64],
    threshold: f64,
    lags: LagRule,
    level: f64,
) -> Result<OrderSearch, SeriesError> {
    let mut rows = Vec::with_capacity(orders.len());
    for &order in orders {
        let weights = fixed_width_weights(order, threshold, series.len() + 1)?;
        let differenced = difference(series, &weights)?;
        if differenced.is_empty() {
            continue;
        }
        let test = augmented_dickey_fuller(&differenced, Trend::Constant, lags)?;
        let correlation = correlation(&series[weights.len() - 1..], &differenced);
        rows.push(OrderRow { order, weights: weights.len(), test, correlation });
    }
    let stationary = rows.iter().filter(|row| row.test.p_value < level).map(|row| row.order);
    let smallest = stationary.min_by(f64::total_cmp);
    Ok(OrderSearch { rows, smallest })
}

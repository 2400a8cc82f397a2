//! Whether a series has a unit root: the augmented Dickey-Fuller test, and KPSS, whose null is the other way round.

use super::mackinnon::{self, CriticalValues};
use super::regression::Triangle;
use super::{least_squares, mean};
use crate::error::{SeriesError, finite, long_enough};
use nalgebra::DMatrix;
use std::f64::consts::PI;

/// The deterministic part of a regression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trend {
    /// Nothing.
    None,
    /// A constant.
    Constant,
    /// A constant and a line.
    Linear,
    /// A constant, a line and a square.
    Quadratic,
}

impl Trend {
    /// Number of columns it adds.
    pub(super) fn columns(self) -> usize {
        match self {
            Trend::None => 0,
            Trend::Constant => 1,
            Trend::Linear => 2,
            Trend::Quadratic => 3,
        }
    }
}

/// How many lagged differences the regression has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LagRule {
    /// So many (`maxlag=1, autolag=None` in statsmodels' words, which the book uses, is 1).
    Fixed(usize),
    /// Those of the least Akaike information, all compared on the same rows; at most `lags_max`, by default
    /// `ceil(12 (rows / 100)^(1/4))` (Schwert 1989).
    Aic {
        /// The most to try.
        lags_max: Option<usize>,
    },
}

/// What the augmented Dickey-Fuller test says. Its null hypothesis is a unit root: a small p-value speaks for stationarity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DickeyFuller {
    /// t-value of the level's coefficient.
    pub statistic: f64,
    /// By MacKinnon's response surface (1994); 0 or 1 outside its range.
    pub p_value: f64,
    /// Lagged differences used.
    pub lags: usize,
    /// Rows of the regression.
    pub observations: usize,
    /// MacKinnon (2010), for so many rows; `None` where the surface has none.
    pub critical: Option<CriticalValues>,
    /// The least Akaike information, where lags were chosen by it.
    pub aic: Option<f64>,
}

/// The augmented Dickey-Fuller test (Said and Dickey 1984): `dx_t = trend + g x_(t-1) + sum of b_i dx_(t-i) + e_t`.
///
/// # Errors
/// Values that are not finite, too few rows for the lags, a series that does not vary.
pub fn augmented_dickey_fuller(series: &[f64], trend: Trend, lags: LagRule) -> Result<DickeyFuller, SeriesError> {
    let root = unit_root(series, trend, lags)?;
    Ok(DickeyFuller {
        statistic: root.statistic,
        p_value: mackinnon::p_value(root.statistic, trend, 1),
        lags: root.lags,
        observations: root.observations,
        critical: mackinnon::critical_values(trend, 1, root.observations),
        aic: root.aic,
    })
}

/// The regression without its distribution, which differs for residuals.
pub(super) struct UnitRoot {
    pub(super) statistic: f64,
    lags: usize,
    observations: usize,
    aic: Option<f64>,
}

pub(super) fn unit_root(series: &[f64], trend: Trend, rule: LagRule) -> Result<UnitRoot, SeriesError> {
    const WHAT: &str = "the series of the unit-root test";
    finite(WHAT, series)?;
    let (lags_max, is_chosen) = match rule {
        LagRule::Fixed(lags) => (lags, false),
        LagRule::Aic { lags_max: Some(lags) } => (lags, true),
        LagRule::Aic { lags_max: None } => {
            let schwert = (12.0 * (series.len() as f64 / 100.0).powf(0.25)).ceil() as usize;
            (schwert.min((series.len() / 2).saturating_sub(trend.columns() + 1)), true)
        }
    };
    // Rows: one less for the differences, one less for each lag; more of them than columns.
    long_enough(WHAT, series.len(), (lags_max + trend.columns() + 1).saturating_add(lags_max + 2))?;
    let changes: Vec<f64> = series.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let triangle = |lags: usize| {
        let rows = changes.len() - lags;
        let base = trend.columns();
        let design = DMatrix::from_fn(rows, base + 1 + lags, |row, column| match column {
            _ if column < base => ((row + 1) as f64).powi(column as i32),
            _ if column == base => series[lags + row],
            _ => changes[lags + row - (column - base)],
        });
        Triangle::of(design, &changes[lags..], WHAT)
    };
    let (lags, aic) = if is_chosen {
        let all = triangle(lags_max)?;
        let rows = (changes.len() - lags_max) as f64;
        let information = |lags: usize| {
            let columns = trend.columns() + 1 + lags;
            let variance = all.residual_squares(columns) / rows;
            (lags, rows * ((2.0 * PI).ln() + variance.ln() + 1.0) + 2.0 * columns as f64)
        };
        let least = (0..=lags_max).map(information).min_by(|left, right| left.1.total_cmp(&right.1));
        least.map_or((0, None), |(lags, aic)| (lags, Some(aic)))
    } else {
        (lags_max, None)
    };
    let chosen = triangle(lags)?;
    let (columns, level) = (trend.columns() + 1 + lags, trend.columns());
    let observations = changes.len() - lags;
    let variance = chosen.residual_squares(columns) / (observations - columns) as f64;
    let standard_error = (variance * chosen.inverse_squares(columns)[level]).sqrt();
    Ok(UnitRoot { statistic: chosen.coefficients(columns)[level] / standard_error, lags, observations, aic })
}

/// What the KPSS test says. Its null hypothesis is stationarity: a small p-value speaks for a unit root.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Kpss {
    /// Squared partial sums of the residuals over their long-run variance.
    pub statistic: f64,
    /// Interpolated in the table of the paper, so held between 0.01 and 0.10.
    pub p_value: f64,
    /// Lags of the long-run variance.
    pub lags: usize,
}

/// The test of Kwiatkowski, Phillips, Schmidt and Shin (1992), about a constant or (`is_about_a_line`) a line, the lags of the
/// long-run variance chosen by the data (Hobijn, Franses and Ooms 2004).
///
/// # Errors
/// Values that are not finite, fewer than 4 rows.
pub fn kpss(series: &[f64], is_about_a_line: bool) -> Result<Kpss, SeriesError> {
    const WHAT: &str = "the series of the KPSS test";
    finite(WHAT, series)?;
    long_enough(WHAT, series.len(), 4)?;
    let residuals = if is_about_a_line {
        let line: Vec<f64> = (1..=series.len()).map(|place| place as f64).collect();
        least_squares(series, &[&vec![1.0; series.len()], &line])?.residuals
    } else {
        let centre = mean(series);
        series.iter().map(|value| value - centre).collect()
    };
    let rows = residuals.len() as f64;
    let product = |lag: usize| residuals[lag..].iter().zip(&residuals).map(|(later, earlier)| later * earlier).sum::<f64>();
    let mut sums = (product(0) / rows, 0.0);
    if sums.0 <= 0.0 {
        return Err(SeriesError::Singular { what: WHAT });
    }
    for lag in 1..=(rows.powf(2.0 / 9.0) as usize) {
        let covariance = 2.0 * product(lag) / rows;
        sums = (sums.0 + covariance, sums.1 + lag as f64 * covariance);
    }
    let bandwidth = 1.1447 * (sums.1 / sums.0).powi(2).cbrt() * rows.cbrt();
    let lags = (bandwidth as usize).min(series.len() - 1);
    let weighted: f64 = (1..=lags).map(|lag| 2.0 * product(lag) * (1.0 - lag as f64 / (lags as f64 + 1.0))).sum();
    let long_run = (product(0) + weighted) / rows;
    let mut sum = 0.0;
    let partial_squares: f64 = residuals
        .iter()
        .map(|residual| {
            sum += residual;
            sum * sum
        })
        .sum();
    let statistic = partial_squares / (rows * rows) / long_run;
    let table = if is_about_a_line { [0.119, 0.146, 0.176, 0.216] } else { [0.347, 0.463, 0.574, 0.739] };
    Ok(Kpss { statistic, p_value: interpolated(statistic, &table, &[0.10, 0.05, 0.025, 0.01]), lags })
}

/// Between the points, and at the ends beyond them.
fn interpolated(at: f64, places: &[f64; 4], values: &[f64; 4]) -> f64 {
    let after = places.iter().take_while(|place| **place <= at).count();
    match after {
        0 => values[0],
        4 => values[3],
        _ => {
            let share = (at - places[after - 1]) / (places[after] - places[after - 1]);
            values[after - 1] + share * (values[after] - values[after - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(rows: usize, pull: f64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(5);
        let mut value = 0.0;
        let mut next = || {
            value += -pull * value + random.f64() - 0.5;
            value
        };
        (0..rows).map(|_| next()).collect()
    }

    #[test]
    fn a_walk_has_a_unit_root_and_what_is_pulled_back_has_none() {
        for lags in [LagRule::Fixed(1), LagRule::Aic { lags_max: None }] {
            let of = |pull: f64| augmented_dickey_fuller(&walk(500, pull), Trend::Constant, lags).unwrap();
            assert!(of(0.0).p_value > 0.05 && of(0.3).p_value < 1e-6);
        }
        assert!(kpss(&walk(500, 0.0), false).unwrap().p_value < 0.05);
        assert!(kpss(&walk(500, 0.3), false).unwrap().p_value >= 0.05);
    }

    #[test]
    fn without_lags_and_trend_it_is_a_regression_through_the_origin() {
        // Changes 1, 3, -1 on levels 1, 2, 5: slope (1 + 6 - 5) / 30.
        let slope = 2.0 / 30.0;
        let squares: f64 =
            [(1.0, 1.0), (3.0, 2.0), (-1.0, 5.0)].map(|(change, level)| change - slope * level).map(|e| e * e).iter().sum();
        let expected = slope / (squares / 2.0 / 30.0).sqrt();
        let got = augmented_dickey_fuller(&[1.0, 2.0, 5.0, 4.0], Trend::None, LagRule::Fixed(0)).unwrap();
        assert!((got.statistic - expected).abs() < 1e-12);
        assert_eq!((got.observations, got.lags), (3, 0));
    }

    #[test]
    fn p_values_of_kpss_are_interpolated() {
        let table = [0.347, 0.463, 0.574, 0.739];
        let of = |at: f64| interpolated(at, &table, &[0.10, 0.05, 0.025, 0.01]);
        assert_eq!((of(0.1), of(9.0)), (0.10, 0.01));
        assert!((of(0.405) - 0.075).abs() < 1e-12 && (of(0.463) - 0.05).abs() < 1e-12);
    }

    #[test]
    fn bad_input_is_told() {
        let told = |series: &[f64], lags: usize| {
            augmented_dickey_fuller(series, Trend::Constant, LagRule::Fixed(lags)).unwrap_err().to_string()
        };
        assert!(told(&[1.0, 2.0, f64::INFINITY, 3.0, 4.0], 0).contains("inf at row 2"));
        assert!(told(&[1.0, 2.0, 1.5, 2.5], 1).contains("4 rows"));
        assert!(told(&[2.0; 40], 1).contains("linearly dependent"));
        assert!(kpss(&[1.0; 10], false).is_err() && kpss(&[1.0, f64::NAN, 3.0, 4.0], false).is_err());
    }
}

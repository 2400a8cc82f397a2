//! How many combinations of several series are stationary: Johansen's test.

use crate::error::{SeriesError, finite, long_enough, same_rows};
use nalgebra::{Cholesky, DMatrix, DVector, Dyn, SymmetricEigen};

/// Most series the tables are given for.
pub const SERIES_MAX: usize = 12;

/// The deterministic part of the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deterministic {
    /// Nothing (order -1 in statsmodels' words).
    None,
    /// A constant (order 0).
    Constant,
    /// A constant and a line (order 1).
    Line,
}

/// What Johansen's test says, the greatest eigenvalue first.
#[derive(Clone, PartialEq, Debug)]
pub struct Johansen {
    /// Squared canonical correlations of changes and levels.
    pub eigenvalues: Vec<f64>,
    /// `trace[r]` against at most `r` cointegrating relations.
    pub trace: Vec<f64>,
    /// Critical values of the trace at 90, 95 and 99 %.
    pub trace_critical: Vec<[f64; 3]>,
    /// `greatest[r]` against exactly `r` relations, where the alternative is one more.
    pub greatest: Vec<f64>,
    /// Critical values of the greatest eigenvalue at 90, 95 and 99 %.
    pub greatest_critical: Vec<[f64; 3]>,
    /// A relation for each eigenvalue: weights of the series, scaled to unit variance of the residual levels; signs mean nothing.
    pub relations: Vec<Vec<f64>>,
}

impl Johansen {
    /// Number of relations by the trace at 95 %: the first null hypothesis that is not rejected.
    pub fn rank(&self) -> usize {
        self.trace.iter().zip(&self.trace_critical).take_while(|(trace, critical)| **trace > critical[1]).count()
    }
}

/// Johansen's test (1991) with so many lagged changes. Critical values: MacKinnon, Haug and Michelis (1999).
///
/// # Errors
/// Fewer than 2 or more than 12 series, lengths that differ, values that are not finite, too few rows, dependent series.
pub fn johansen(series: &[&[f64]], deterministic: Deterministic, lags: usize) -> Result<Johansen, SeriesError> {
    const WHAT: &str = "Johansen's test";
    let count = series.len();
    if !(2..=SERIES_MAX).contains(&count) {
        return Err(SeriesError::Parameter { what: "the number of series", value: count as f64, must_be: "2 to 12" });
    }
    let rows = series[0].len();
    for one in series {
        same_rows("a series", one.len(), "the first", rows)?;
        finite("a series", one)?;
    }
    long_enough(WHAT, rows, (lags + 1).saturating_mul(count + 1).saturating_add(lags + 2))?;
    let singular = || SeriesError::Singular { what: WHAT };
    let mut levels = DMatrix::from_fn(rows, count, |row, column| series[column][row]);
    match deterministic {
        Deterministic::None => {}
        Deterministic::Constant => centre(&mut levels),
        Deterministic::Line => {
            let middle = (rows as f64 - 1.0) / 2.0;
            let line = DMatrix::from_fn(rows, 2, |row, column| if column == 0 { 1.0 } else { row as f64 / middle - 1.0 });
            levels = residuals_of(levels, line);
        }
    }
    let changes = levels.rows_range(1..) - levels.rows_range(..rows - 1);
    let used = changes.nrows() - lags;
    let mut lagged = DMatrix::from_fn(used, count * lags, |row, column| changes[(lags + row - 1 - column / count, column % count)]);
    let mut now = changes.rows_range(lags..).into_owned();
    let mut level = levels.rows_range(1..=used).into_owned();
    if deterministic != Deterministic::None {
        centre(&mut lagged);
        centre(&mut now);
        centre(&mut level);
    }
    let (now, level) = (residuals_of(now, lagged.clone()), residuals_of(level, lagged));
    let moment = |left: &DMatrix<f64>, right: &DMatrix<f64>| left.tr_mul(right) / used as f64;
    let (of_levels, of_both, of_changes) = (moment(&level, &level), moment(&level, &now), moment(&now, &now));
    // The generalised problem made symmetric by the root of the levels' moments.
    let root: DMatrix<f64> = Cholesky::<f64, Dyn>::new(of_levels).ok_or_else(singular)?.l();
    let explained = &of_both * Cholesky::<f64, Dyn>::new(of_changes).ok_or_else(singular)?.solve(&of_both.transpose());
    let half = root.solve_lower_triangular(&explained).ok_or_else(singular)?;
    let whole = root.solve_lower_triangular(&half.transpose()).ok_or_else(singular)?;
    let eigen = SymmetricEigen::new((&whole + whole.transpose()) * 0.5);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|left, right| eigen.eigenvalues[*right].total_cmp(&eigen.eigenvalues[*left]));
    let eigenvalues: Vec<f64> = order.iter().map(|place| eigen.eigenvalues[*place]).collect();
    let greatest: Vec<f64> = eigenvalues.iter().map(|value| -(used as f64) * (-value).ln_1p()).collect();
    let relation = |place: &usize| {
        let vector: DVector<f64> = eigen.eigenvectors.column(*place).into_owned();
        root.transpose().solve_upper_triangular(&vector).map(|relation| relation.iter().copied().collect())
    };
    let relations = order.iter().map(relation).collect::<Option<Vec<Vec<f64>>>>().ok_or_else(singular)?;
    let (trace_table, greatest_table) = match deterministic {
        Deterministic::None => (&TRACE_NONE, &GREATEST_NONE),
        Deterministic::Constant => (&TRACE_CONSTANT, &GREATEST_CONSTANT),
        Deterministic::Line => (&TRACE_LINE, &GREATEST_LINE),
    };
    let left = |relations: usize| count - relations - 1;
    Ok(Johansen {
        trace: (0..count).map(|relations| greatest[relations..].iter().sum()).collect(),
        trace_critical: (0..count).map(|relations| trace_table[left(relations)]).collect(),
        greatest_critical: (0..count).map(|relations| greatest_table[left(relations)]).collect(),
        eigenvalues,
        greatest,
        relations,
    })
}

/// Takes each column's mean away.
fn centre(columns: &mut DMatrix<f64>) {
    for mut column in columns.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
}

/// What is left of the targets after least squares on the columns.
fn residuals_of(targets: DMatrix<f64>, columns: DMatrix<f64>) -> DMatrix<f64> {
    if columns.ncols() == 0 {
        return targets;
    }
    let base = columns.qr().q();
    let explained = &base * base.tr_mul(&targets);
    targets - explained
}

/// At 90, 95 and 99 %, for so many relations not yet found, from 1.
type Table = [[f64; 3]; SERIES_MAX];

static TRACE_NONE: Table = [
    [2.9762, 4.1296, 6.9406],
    [10.4741, 12.3212, 16.364],
    [21.7781, 24.2761, 29.5147],
    [37.0339, 40.1749, 46.5716],
    [56.2839, 60.0627, 67.6367],
    [79.5329, 83.9383, 92.7136],
    [106.7351, 111.7797, 121.7375],
    [137.9954, 143.6691, 154.7977],
    [173.2292, 179.5199, 191.8122],
    [212.4721, 219.4051, 232.8291],
    [255.6732, 263.2603, 277.9962],
    [302.9054, 311.1288, 326.9716],
];
static TRACE_CONSTANT: Table = [
    [2.7055, 3.8415, 6.6349],
    [13.4294, 15.4943, 19.9349],
    [27.0669, 29.7961, 35.4628],
    [44.4929, 47.8545, 54.6815],
    [65.8202, 69.8189, 77.8202],
    [91.109, 95.7542, 104.9637],
    [120.3673, 125.6185, 135.9825],
    [153.6341, 159.529, 171.0905],
    [190.8714, 197.3772, 210.0366],
    [232.103, 239.2468, 253.2526],
    [277.374, 285.1402, 300.2821],
    [326.5354, 334.9795, 351.215],
];
static TRACE_LINE: Table = [
    [2.7055, 3.8415, 6.6349],
    [16.1619, 18.3985, 23.1485],
    [32.0645, 35.0116, 41.0815],
    [51.6492, 55.2459, 62.5202],
    [75.1027, 79.3422, 87.7748],
    [102.4674, 107.3429, 116.9829],
    [133.7852, 139.278, 150.0778],
    [169.0618, 175.1584, 187.1891],
    [208.3582, 215.1268, 228.2226],
    [251.6293, 259.0267, 273.3838],
    [298.8836, 306.8988, 322.4264],
    [350.1125, 358.719, 375.3203],
];
static GREATEST_NONE: Table = [
    [2.9762, 4.1296, 6.9406],
    [9.4748, 11.2246, 15.0923],
    [15.7175, 17.7961, 22.2519],
    [21.837, 24.1592, 29.0609],
    [27.916, 30.4428, 35.7359],
    [33.9271, 36.6301, 42.2333],
    [39.9085, 42.7679, 48.6606],
    [45.893, 48.8795, 55.0335],
    [51.8528, 54.9629, 61.3449],
    [57.7954, 61.0404, 67.6415],
    [63.7248, 67.0756, 73.8856],
    [69.6513, 73.0946, 80.0937],
];
static GREATEST_CONSTANT: Table = [
    [2.7055, 3.8415, 6.6349],
    [12.2971, 14.2639, 18.52],
    [18.8928, 21.1314, 25.865],
    [25.1236, 27.5858, 32.7172],
    [31.2379, 33.8777, 39.3693],
    [37.2786, 40.0763, 45.8662],
    [43.2947, 46.2299, 52.3069],
    [49.2855, 52.3622, 58.6634],
    [55.2412, 58.4332, 64.996],
    [61.2041, 64.504, 71.2525],
    [67.1307, 70.5392, 77.4877],
    [73.0563, 76.5734, 83.7105],
];
static GREATEST_LINE: Table = [
    [2.7055, 3.8415, 6.6349],
    [15.0006, 17.1481, 21.7465],
    [21.8731, 24.2522, 29.2631],
    [28.2398, 30.8151, 36.193],
    [34.4202, 37.1646, 42.8612],
    [40.5244, 43.4183, 49.4095],
    [46.5583, 49.5875, 55.8171],
    [52.5858, 55.7302, 62.1741],
    [58.5316, 61.8051, 68.503],
    [64.5292, 67.904, 74.7434],
    [70.463, 73.9355, 81.0678],
    [76.4081, 79.9878, 87.2395],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Two walks with a drift, and what follows the first closely.
    fn series(seed: u64, rows: usize, drift: f64) -> [Vec<f64>; 3] {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut first, mut second) = (0.0, 0.0);
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rows {
            first += random.f64() - 0.5 + drift;
            second += random.f64() - 0.5 + drift;
            for (one, value) in all.iter_mut().zip([first, second, 2.0 * first + 0.3 * (random.f64() - 0.5)]) {
                one.push(value);
            }
        }
        all
    }

    #[test]
    fn one_relation_is_found_where_one_is() {
        let [first, second, follower] = series(1, 600, 0.1);
        let got = johansen(&[&first, &second, &follower], Deterministic::Constant, 1).unwrap();
        assert_eq!(got.rank(), 1, "{got:?}");
        // Weights of the relation: 2, 0, -1 up to scale.
        let relation: Vec<f64> = got.relations[0].iter().map(|weight| weight / got.relations[0][2]).collect();
        assert!((relation[0] + 2.0).abs() < 0.05 && relation[1].abs() < 0.05, "{relation:?}");
        assert_eq!(johansen(&[&first, &second], Deterministic::Constant, 1).unwrap().rank(), 0);
    }

    /// A test at 95 % finds a relation too many in 5 % of histories: that is its size, where the data are what its table is for.
    /// The table for a constant is for data that drift; of walks without a drift it finds too many more often (as statsmodels does,
    /// which gives the same statistics).
    #[test]
    fn a_relation_too_many_is_found_as_often_as_the_level_says() {
        const SEEDS: u64 = 200;
        for (deterministic, drift) in [(Deterministic::None, 0.0), (Deterministic::Constant, 0.1)] {
            let rank = |seed: u64| {
                let [first, second, follower] = series(seed, 400, drift);
                johansen(&[&first, &second, &follower], deterministic, 1).unwrap().rank()
            };
            let ranks: Vec<usize> = (0..SEEDS).map(rank).collect();
            assert!(ranks.iter().all(|rank| *rank >= 1));
            let too_many = ranks.iter().filter(|rank| **rank > 1).count();
            // 10 are expected; by chance more than 20 or fewer than 2 once in 1,000 times.
            assert!((2..=20).contains(&too_many), "{deterministic:?}: {too_many} of {SEEDS}");
        }
    }

    #[test]
    fn bad_input_is_told() {
        let [first, second, _] = series(1, 50, 0.0);
        let told = |series: &[&[f64]], lags: usize| johansen(series, Deterministic::Line, lags).unwrap_err().to_string();
        assert!(told(&[&first], 1).contains("2 to 12"));
        assert!(told(&[&first, &second[1..]], 1).contains("49 rows"));
        assert!(told(&[&first, &second], 40).contains("are needed"));
        assert!(told(&[&first, &first], 1).contains("linearly dependent"));
    }
}

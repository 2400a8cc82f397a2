//! Distributions of unit-root and cointegration statistics by response surfaces.
//!
//! p-values: MacKinnon, "Approximate asymptotic distribution functions for unit-root and cointegration tests" (1994), tables 3 and 4.
//! Critical values: MacKinnon, "Critical values for cointegration tests" (2010), tables 2 to 4; without a constant those of 1996.

use super::Trend;
use statrs::distribution::{ContinuousCDF, Normal};

/// Most series a surface is given for.
pub(super) const SERIES_MAX: usize = 6;

/// What a statistic must lie below to be significant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CriticalValues {
    /// At 1 %.
    pub one_percent: f64,
    /// At 5 %.
    pub five_percent: f64,
    /// At 10 %.
    pub ten_percent: f64,
}

/// Chance of a statistic this low where there is a unit root (or no cointegration), for so many series, 1 to [`SERIES_MAX`].
pub(super) fn p_value(statistic: f64, trend: Trend, series: usize) -> f64 {
    let surface = surface(trend, series);
    if statistic > surface.greatest {
        return 1.0;
    }
    if statistic < surface.least {
        return 0.0;
    }
    let quantile = if statistic <= surface.star {
        polynomial(&surface.below, &[1.0, 1.0, 1e-2], statistic)
    } else {
        polynomial(&surface.above, &[1.0, 1e-1, 1e-1, 1e-2], statistic)
    };
    Normal::standard().cdf(quantile)
}

/// Critical values for a regression of so many rows; `None` where the tables have none.
pub(super) fn critical_values(trend: Trend, series: usize, observations: usize) -> Option<CriticalValues> {
    let at = |coefficients: &[f64; 4]| polynomial(coefficients, &[1.0; 4], 1.0 / observations as f64);
    let [one, five, ten] = surface(trend, series).critical.as_ref()?;
    Some(CriticalValues { one_percent: at(one), five_percent: at(five), ten_percent: at(ten) })
}

fn surface(trend: Trend, series: usize) -> &'static Surface {
    let surfaces = match trend {
        Trend::None => &NONE,
        Trend::Constant => &CONSTANT,
        Trend::Linear => &LINEAR,
        Trend::Quadratic => &QUADRATIC,
    };
    &surfaces[series.clamp(1, SERIES_MAX) - 1]
}

fn polynomial(coefficients: &[f64], scales: &[f64], at: f64) -> f64 {
    coefficients.iter().zip(scales).rev().fold(0.0, |sum, (coefficient, scale)| sum * at + coefficient * scale)
}

/// One row of the tables, as they are printed.
struct Surface {
    /// Below it the p-value is 0.
    least: f64,
    /// Up to it the fit of the left tail holds, above it the other.
    star: f64,
    /// Above it the p-value is 1.
    greatest: f64,
    below: [f64; 3],
    above: [f64; 4],
    /// At 1, 5 and 10 %, polynomials in one over the rows.
    critical: Option<[[f64; 4]; 3]>,
}

static NONE: [Surface; SERIES_MAX] = [
    Surface {
        least: -19.04,
        star: -1.04,
        greatest: f64::INFINITY,
        below: [0.6344, 1.2378, 3.2496],
        above: [0.4797, 9.3557, -0.6999, 3.3066],
        critical: Some([[-2.56574, -2.2358, -3.627, 0.0], [-1.941, -0.2686, -3.365, 31.223], [-1.61682, 0.2656, -2.714, 25.364]]),
    },
    Surface {
        least: -19.62,
        star: -1.53,
        greatest: 1.51,
        below: [1.9129, 1.3857, 3.5322],
        above: [1.5578, 8.558, -2.083, -3.3549],
        critical: None,
    },
    Surface {
        least: -21.21,
        star: -2.68,
        greatest: 0.86,
        below: [2.7648, 1.4502, 3.4186],
        above: [2.2268, 6.8093, -3.2362, -5.4448],
        critical: None,
    },
    Surface {
        least: -23.25,
        star: -3.09,
        greatest: 0.88,
        below: [3.4336, 1.4835, 3.19],
        above: [2.7654, 6.4502, -3.0811, -4.4946],
        critical: None,
    },
    Surface {
        least: -21.63,
        star: -3.07,
        greatest: 1.05,
        below: [4.0999, 1.5533, 3.59],
        above: [3.2684, 6.8051, -2.6778, -3.4972],
        critical: None,
    },
    Surface {
        least: -25.74,
        star: -3.77,
        greatest: 1.24,
        below: [4.5388, 1.5344, 2.9807],
        above: [3.7268, 7.167, -2.3648, -2.8288],
        critical: None,
    },
];
static CONSTANT: [Surface; SERIES_MAX] = [
    Surface {
        least: -18.83,
        star: -1.61,
        greatest: 2.74,
        below: [2.1659, 1.4412, 3.8269],
        above: [1.7339, 9.3202, -1.2745, -1.0368],
        critical: Some([
            [-3.43035, -6.5393, -16.786, -79.433],
            [-2.86154, -2.8903, -4.234, -40.04],
            [-2.56677, -1.5384, -2.809, 0.0],
        ]),
    },
    Surface {
        least: -18.86,
        star: -2.62,
        greatest: 0.92,
        below: [2.92, 1.5012, 3.9796],
        above: [2.1945, 6.4695, -2.9198, -4.2377],
        critical: Some([[-3.89644, -10.9519, -33.527, 0.0], [-3.33613, -6.1101, -6.823, 0.0], [-3.04445, -4.2412, -2.72, 0.0]]),
    },
    Surface {
        least: -23.48,
        star: -3.13,
        greatest: 0.55,
        below: [3.4699, 1.4856, 3.164],
        above: [2.5893, 4.5168, -3.6529, -5.0074],
        critical: Some([
            [-4.29374, -14.4354, -33.195, 47.433],
            [-3.74066, -8.5632, -10.852, 27.982],
            [-3.45218, -6.2143, -3.718, 0.0],
        ]),
    },
    Surface {
        least: -28.07,
        star: -3.47,
        greatest: 0.61,
        below: [3.9673, 1.4777, 2.6315],
        above: [3.0387, 4.5452, -3.3666, -4.1921],
        critical: Some([[-4.64332, -18.1031, -37.972, 0.0], [-4.096, -11.2349, -11.175, 0.0], [-3.8102, -8.3931, -4.137, 0.0]]),
    },
    Surface {
        least: -25.96,
        star: -3.78,
        greatest: 0.79,
        below: [4.5509, 1.5338, 2.9545],
        above: [3.5049, 5.2098, -2.9158, -3.3468],
        critical: Some([[-4.95756, -21.8883, -45.142, 0.0], [-4.41519, -14.0405, -12.575, 0.0], [-4.13157, -10.7417, -3.784, 0.0]]),
    },
    Surface {
        least: -23.27,
        star: -3.93,
        greatest: 1.0,
        below: [5.1399, 1.6036, 3.4445],
        above: [3.9489, 5.8933, -2.5359, -2.721],
        critical: Some([
            [-5.24568, -25.6688, -57.737, 88.639],
            [-4.70693, -16.9178, -17.492, 60.007],
            [-4.42501, -13.1875, -5.104, 27.877],
        ]),
    },
];
static LINEAR: [Surface; SERIES_MAX] = [
    Surface {
        least: -16.18,
        star: -2.89,
        greatest: 0.7,
        below: [3.2512, 1.6047, 4.9588],
        above: [2.5261, 6.1654, -3.7956, -6.0285],
        critical: Some([
            [-3.95877, -9.0531, -28.428, -134.155],
            [-3.41049, -4.3904, -9.036, -45.374],
            [-3.12705, -2.5856, -3.925, -22.38],
        ]),
    },
    Surface {
        least: -21.15,
        star: -3.19,
        greatest: 0.63,
        below: [3.6646, 1.5419, 3.6448],
        above: [2.85, 5.272, -3.6622, -5.1695],
        critical: Some([
            [-4.32762, -15.4387, -35.679, 0.0],
            [-3.78057, -9.5106, -12.074, 0.0],
            [-3.49631, -7.0815, -7.538, 21.892],
        ]),
    },
    Surface {
        least: -25.37,
        star: -3.5,
        greatest: 0.71,
        below: [4.0983, 1.5173, 2.9898],
        above: [3.221, 5.255, -3.2685, -4.1501],
        critical: Some([
            [-4.66305, -18.7688, -49.793, 104.244],
            [-4.1189, -11.8922, -19.031, 77.332],
            [-3.83511, -9.0723, -8.504, 35.403],
        ]),
    },
    Surface {
        least: -26.63,
        star: -3.65,
        greatest: 0.93,
        below: [4.5844, 1.5338, 2.8796],
        above: [3.652, 5.9758, -2.7483, -3.2081],
        critical: Some([
            [-4.9694, -22.4694, -52.599, 51.314],
            [-4.42871, -14.5876, -18.228, 39.647],
            [-4.14633, -11.25, -9.873, 54.109],
        ]),
    },
    Surface {
        least: -26.53,
        star: -3.8,
        greatest: 1.19,
        below: [5.0722, 1.5634, 2.9472],
        above: [4.0712, 6.6428, -2.3464, -2.546],
        critical: Some([
            [-5.25276, -26.2183, -59.631, 50.646],
            [-4.71537, -17.3569, -22.66, 91.359],
            [-4.43422, -13.6078, -10.238, 76.781],
        ]),
    },
    Surface {
        least: -26.18,
        star: -4.36,
        greatest: 1.42,
        below: [5.53, 1.5914, 3.0392],
        above: [4.4735, 7.1757, -2.0681, -2.1196],
        critical: Some([
            [-5.51727, -29.976, -75.222, 202.253],
            [-4.98228, -20.305, -25.224, 132.03],
            [-4.70233, -16.1253, -9.836, 94.272],
        ]),
    },
];
static QUADRATIC: [Surface; SERIES_MAX] = [
    Surface {
        least: -17.17,
        star: -3.21,
        greatest: 0.54,
        below: [4.0003, 1.658, 4.8288],
        above: [3.0778, 4.9529, -4.1477, -5.9359],
        critical: Some([
            [-4.37113, -11.5882, -35.819, -334.047],
            [-3.83239, -5.9057, -12.49, -118.284],
            [-3.55326, -3.6596, -5.293, -63.559],
        ]),
    },
    Surface {
        least: -21.1,
        star: -3.51,
        greatest: 0.79,
        below: [4.3534, 1.6016, 3.7947],
        above: [3.4713, 5.967, -3.2507, -4.2286],
        critical: Some([
            [-4.69276, -20.2284, -64.919, 88.884],
            [-4.15387, -13.3114, -28.402, 72.741],
            [-3.87346, -10.4637, -17.408, 66.313],
        ]),
    },
    Surface {
        least: -24.33,
        star: -3.81,
        greatest: 1.08,
        below: [4.7343, 1.5768, 3.2396],
        above: [3.8637, 6.7852, -2.6286, -3.1381],
        critical: Some([
            [-4.99071, -23.5873, -76.924, 184.782],
            [-4.45311, -15.7732, -32.316, 122.705],
            [-4.1728, -12.4909, -17.912, 83.285],
        ]),
    },
    Surface {
        least: -24.03,
        star: -3.83,
        greatest: 1.43,
        below: [5.214, 1.6077, 3.3449],
        above: [4.2736, 7.6199, -2.1534, -2.4026],
        critical: Some([
            [-5.2678, -27.2836, -78.971, 137.871],
            [-4.73244, -18.4833, -31.875, 111.817],
            [-4.45268, -14.7199, -17.969, 101.92],
        ]),
    },
    Surface {
        least: -24.33,
        star: -4.12,
        greatest: 3.49,
        below: [5.6481, 1.6274, 3.3455],
        above: [4.6679, 8.2618, -1.822, -1.9147],
        critical: Some([
            [-5.52826, -30.9051, -92.49, 248.096],
            [-4.99491, -21.236, -37.685, 194.208],
            [-4.71587, -17.082, -18.631, 136.672],
        ]),
    },
    Surface {
        least: -28.22,
        star: -4.63,
        greatest: 1.92,
        below: [5.9296, 1.5929, 2.8223],
        above: [5.0009, 8.3735, -1.6994, -1.6928],
        critical: Some([
            [-5.77379, -34.701, -105.937, 393.991],
            [-5.24217, -24.2177, -39.153, 232.528],
            [-4.96397, -19.6064, -18.858, 174.919],
        ]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_rise_with_the_statistic_and_meet_the_critical_values() {
        for (trend, series_max) in [(Trend::None, 1), (Trend::Constant, 6), (Trend::Linear, 6), (Trend::Quadratic, 6)] {
            for series in 1..=series_max {
                let values: Vec<f64> = (-300..40).map(|tenth| p_value(f64::from(tenth) / 10.0, trend, series)).collect();
                // The two fits meet at the star to about a percent.
                assert!(values.windows(2).all(|pair| pair[1] > pair[0] - 0.02), "{trend:?} {series}");
                assert!(values[0] == 0.0 && values[values.len() - 1] > 0.9);
                let critical = critical_values(trend, series, usize::MAX).unwrap();
                // Two fits, sixteen years apart, of the same distribution.
                for (value, level) in [(critical.one_percent, 0.01), (critical.five_percent, 0.05), (critical.ten_percent, 0.10)] {
                    let p = p_value(value, trend, series);
                    assert!((p - level).abs() < 0.1 * level + 0.001, "{trend:?} {series}: {p} at {level}");
                }
            }
        }
    }
}

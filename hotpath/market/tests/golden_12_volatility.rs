//! Volatility estimators against pandas and mlfinpy.

use chronos_market::features::estimators::{EwmaVariance, OhlcVolatility};
use serde_json::Value;

const FILE: &str = "12_vol_kelly.json";

struct DailyBars {
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
}

impl DailyBars {
    fn of(golden: &Value) -> DailyBars {
        let [open, high, low, close] = ["open", "high", "low", "close"].map(|name| {
            let values: Option<Vec<f64>> = golden["inputs"][name].as_array().unwrap().iter().map(Value::as_f64).collect();
            values.unwrap()
        });
        DailyBars { open, high, low, close }
    }

    fn returns(&self) -> Vec<f64> {
        self.close.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect()
    }

    /// Every bar pushed, and what the estimator says after each.
    fn stream<T>(&self, window: usize, read: impl Fn(&OhlcVolatility) -> T) -> Vec<T> {
        let mut estimator = OhlcVolatility::new(window);
        let bars = self.open.iter().zip(&self.high).zip(self.low.iter().zip(&self.close));
        bars.map(|((open, high), (low, close))| {
            estimator.push(*open, *high, *low, *close);
            read(&estimator)
        })
        .collect()
    }
}

#[test]
fn rolling_estimators_bar_by_bar() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let (bars, window) = (DailyBars::of(&golden), golden["params"]["window"].as_u64().unwrap() as usize);
    let assert = |name: &str, estimator: fn(&OhlcVolatility) -> Option<f64>| {
        assert_equal(&bars.stream(window, estimator), &golden["expected"][name], name);
    };
    assert("close_to_close_rolling_std_ddof1", OhlcVolatility::close_to_close);
    assert("parkinson", OhlcVolatility::parkinson);
    assert("garman_klass", OhlcVolatility::garman_klass);
    assert("rogers_satchell", OhlcVolatility::rogers_satchell);
    assert("yang_zhang", OhlcVolatility::yang_zhang);
}

#[test]
fn exponentially_weighted_volatility_from_either_seed() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let (bars, window) = (DailyBars::of(&golden), golden["params"]["window"].as_u64().unwrap() as usize);
    let returns = bars.returns();
    let mut ewma = EwmaVariance::new(0.94, None);
    let mut values = vec![None];
    values.extend(returns.iter().map(|change| Some(ewma.update(*change).sqrt())));
    let name = "ewma_0.94_seed_first_squared_return";
    assert_equal(&values, &golden["expected"][name], name);

    let seed = bars.stream(window, OhlcVolatility::close_to_close)[window].unwrap();
    let mut ewma = EwmaVariance::new(0.97, Some(seed * seed));
    let mut values = vec![None; window];
    values.push(Some(seed));
    values.extend(returns[window..].iter().map(|change| Some(ewma.update(*change).sqrt())));
    let name = "ewma_0.97_seed_sample_var_of_first_window";
    assert_equal(&values, &golden["expected"][name], name);
}

#[test]
fn realized_bipower_and_median_variation_of_the_whole() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let bars = DailyBars::of(&golden);
    let returns = bars.returns().len();
    let at_the_end = |window: usize, read: fn(&OhlcVolatility) -> Option<f64>| bars.stream(window, read).pop().flatten().unwrap();
    let realized = at_the_end(returns, OhlcVolatility::realized_variance) * returns as f64;
    let bipower = at_the_end(returns - 1, OhlcVolatility::bipower_variance) * (returns - 1) as f64;
    // The sum of the medians is scaled up for the two returns that begin no triple.
    let median = at_the_end(returns - 2, OhlcVolatility::median_variance) * returns as f64;
    for (value, name) in [(realized, "realised_variance_total"), (bipower, "bipower_variation_total"), (median, "medrv_total")] {
        assert_near(value, golden["expected"][name].as_f64().unwrap(), name);
    }
}

fn assert_equal(values: &[Option<f64>], expected: &Value, what: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(values.len(), expected.len(), "{what}");
    for (place, (value, expected)) in values.iter().zip(expected).enumerate() {
        assert_eq!(value.is_some(), !expected.is_null(), "{what} at {place}");
        if let (Some(value), Some(expected)) = (value, expected.as_f64()) {
            assert_near(*value, expected, what);
        }
    }
}

fn assert_near(value: f64, expected: f64, what: &str) {
    assert!((value / expected - 1.0).abs() <= 1e-10, "{what}: {value} is not {expected}");
}

//! Fractional differentiation and the search for its order against mlfinpy and statsmodels.

mod golden;

use chronos_research::fractional::{difference, fixed_width_weights, smallest_stationary_order};
use chronos_research::statistics::stationarity::DickeyFuller;
use chronos_research::statistics::{LagRule, Trend, augmented_dickey_fuller};
use golden::{Tolerance, number, numbers, places};
use serde_json::Value;

const AIC: LagRule = LagRule::Aic { lags_max: None };

/// `d0.2_thr1e-05`: order and threshold.
fn order_and_threshold(name: &str) -> (f64, f64) {
    let (order, threshold) = name.strip_prefix('d').unwrap().split_once("_thr").unwrap();
    (order.parse().unwrap(), threshold.parse().unwrap())
}

fn correlation(left: &[f64], right: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let sum = |of: &dyn Fn(f64, f64) -> f64| left.iter().zip(right).map(|(l, r)| of(l - left_mean, r - right_mean)).sum::<f64>();
    sum(&|l, r| l * r) / (sum(&|l, _| l * l) * sum(&|_, r| r * r)).sqrt()
}

#[test]
fn weights() {
    let Some(golden) = chronos_tests::golden_json("01_fracdiff.json") else { return };
    let tolerance = Tolerance::of(&golden, "weights");
    for (name, expected) in golden["expected"]["weights"].as_object().unwrap() {
        let (order, threshold) = order_and_threshold(name);
        let weights = fixed_width_weights(order, threshold, usize::MAX).unwrap();
        assert_eq!(weights.len() as f64, number(&expected["n_weights"]), "{name}");
        tolerance.check_all(name, &weights[..weights.len().min(200)], &expected["first_200"]);
        tolerance.check_all(name, &weights[weights.len() - 5..], &expected["last_5"]);
        tolerance.check(name, weights.iter().sum(), &expected["sum"]);
        tolerance.check(name, weights.iter().map(|weight| weight.abs()).sum(), &expected["sum_abs"]);
    }
}

#[test]
fn series() {
    let Some(golden) = chronos_tests::golden_json("01_fracdiff.json") else { return };
    let tolerance = Tolerance::of(&golden, "series");
    for (series, cases) in golden["expected"]["ffd"].as_object().unwrap() {
        let values = numbers(&golden["inputs"][series]);
        for (name, expected) in cases.as_object().unwrap() {
            let (order, threshold) = order_and_threshold(name);
            let weights = fixed_width_weights(order, threshold, usize::MAX).unwrap();
            assert_eq!((weights.len() - 1) as f64, number(&expected["width"]), "{series} {name}");
            let got = difference(&values, &weights).unwrap();
            tolerance.check_all(&format!("{series} {name}"), &got, &expected["values"]);
            let first = (!got.is_empty()).then_some((weights.len() - 1) as u64);
            assert_eq!(first, expected["first_valid_index"].as_u64(), "{series} {name}");
            if let Some(truncated) = expected.get("mlfinpy_truncated") {
                let weights = fixed_width_weights(order, threshold, values.len()).unwrap();
                assert_eq!(weights.len() as f64, number(&truncated["n_weights_used"]), "{series} {name}");
                let got = difference(&values, &weights).unwrap();
                assert_eq!(got.len() as f64, number(&truncated["n_valid"]), "{series} {name}");
                tolerance.check(name, got[got.len() - 1], &truncated["last_value"]);
            }
        }
    }
}

#[test]
fn unit_roots() {
    let Some(golden) = chronos_tests::golden_json("01_fracdiff.json") else { return };
    let check = |what: &str, got: &DickeyFuller, expected: &Value| {
        let statistic = Tolerance::of(&golden, "adf stat");
        statistic.check(what, got.statistic, &expected["stat"]);
        Tolerance::of(&golden, "adf pvalue").check(what, got.p_value, &expected["pvalue"]);
        assert_eq!(got.lags as u64, expected["usedlag"].as_u64().unwrap(), "{what}");
        assert_eq!(got.observations as u64, expected["nobs"].as_u64().unwrap(), "{what}");
        let critical = got.critical.unwrap();
        for (level, value) in [("1%", critical.one_percent), ("5%", critical.five_percent), ("10%", critical.ten_percent)] {
            statistic.check(what, value, &expected["crit"][level]);
        }
        statistic.check(what, got.aic.unwrap_or(f64::NAN), &expected["icbest"]);
    };
    for (series, cases) in golden["expected"]["adf"].as_object().unwrap() {
        let values = numbers(&golden["inputs"][series]);
        for (name, expected) in cases.as_object().unwrap() {
            let (order, threshold) = order_and_threshold(name);
            let weights = fixed_width_weights(order, threshold, usize::MAX).unwrap();
            let differenced = difference(&values, &weights).unwrap();
            for (rule, expected) in expected.as_object().unwrap() {
                let what = format!("{series} {name} {rule}");
                let (trend, lags) = match rule.as_str() {
                    "afml_maxlag1_no_autolag" => (Trend::Constant, LagRule::Fixed(1)),
                    "autolag_AIC" => (Trend::Constant, AIC),
                    "ct_autolag_AIC" => (Trend::Linear, AIC),
                    "corr_with_input" => {
                        let got = correlation(&values[weights.len() - 1..], &differenced);
                        Tolerance::of(&golden, "series").check(&what, got, expected);
                        continue;
                    }
                    other => panic!("unknown rule {other}"),
                };
                check(&what, &augmented_dickey_fuller(&differenced, trend, lags).unwrap(), expected);
            }
        }
    }
}

#[test]
fn smallest_order() {
    let Some(golden) = chronos_tests::golden_json("01_fracdiff.json") else { return };
    for (series, expected) in golden["expected"]["optimal_d"].as_object().unwrap() {
        let values = numbers(&golden["inputs"][series]);
        let rows = expected["grid"].as_array().unwrap();
        let orders: Vec<f64> = rows.iter().map(|row| number(&row["d"])).collect();
        let threshold = number(&expected["threshold"]);
        let search = |lags: LagRule| smallest_stationary_order(&values, &orders, threshold, lags, 0.05).unwrap();
        let (fixed, chosen) = (search(LagRule::Fixed(1)), search(AIC));
        assert_eq!((fixed.rows.len(), chosen.rows.len()), (rows.len(), rows.len()), "{series}");
        for (place, row) in rows.iter().enumerate() {
            let what = format!("{series} at order {}", orders[place]);
            let (fixed, chosen) = (&fixed.rows[place], &chosen.rows[place]);
            let (statistic, p_value) = (Tolerance::of(&golden, "adf stat"), Tolerance::of(&golden, "adf pvalue"));
            assert_eq!(
                [fixed.weights, chosen.test.lags].to_vec(),
                places(&serde_json::json!([row["n_weights"], row["usedlag_aic"]]))
            );
            statistic.check(&what, fixed.test.statistic, &row["stat_maxlag1"]);
            p_value.check(&what, fixed.test.p_value, &row["pvalue_maxlag1"]);
            statistic.check(&what, fixed.test.critical.unwrap().five_percent, &row["crit5_maxlag1"]);
            statistic.check(&what, chosen.test.statistic, &row["stat_aic"]);
            p_value.check(&what, chosen.test.p_value, &row["pvalue_aic"]);
            Tolerance::of(&golden, "series").check(&what, fixed.correlation.unwrap(), &row["corr"]);
        }
        assert_eq!(fixed.smallest.unwrap_or(f64::NAN), number(&expected["min_d_p05_maxlag1"]), "{series}");
        assert_eq!(chosen.smallest.unwrap_or(f64::NAN), number(&expected["min_d_p05_aic"]), "{series}");
    }
}

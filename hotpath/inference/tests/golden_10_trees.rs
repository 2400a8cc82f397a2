//! Imported models against XGBoost and LightGBM: predictions, margins and leaves.

use chronos_inference::trees::{Forest, Iterations, parse_lightgbm, parse_xgboost, write_xgboost};
use serde_json::Value;

const XGBOOST: [&str; 3] = ["10_synthetic_nan_xgboost.json", "10_btc_next_day_up_xgboost.json", "10_regression_xgboost.json"];
const LIGHTGBM: [&str; 2] = ["10_synthetic_nan_lightgbm.json", "10_btc_next_day_up_lightgbm.json"];

/// The test part of the rows a file names, missing values as NaN.
fn test_rows(golden: &Value) -> Option<Vec<Vec<f64>>> {
    let name = golden["inputs"]["data"].as_str().unwrap().split_whitespace().next().unwrap();
    let data = chronos_tests::golden_json(name)?;
    let first = data["params"]["n_train"].as_u64().unwrap() as usize;
    let row = |row: &Value| row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
    Some(data["inputs"]["X"].as_array().unwrap()[first..].iter().map(row).collect())
}

/// The number after `abs` in a tolerance.
fn absolute(golden: &Value, what: &str) -> f64 {
    let text = golden["tolerance"][what].as_str().unwrap();
    text.split_whitespace().skip_while(|word| *word != "abs").nth(1).unwrap().parse().unwrap()
}

fn assert_close(got: &[f64], wanted: &Value, tolerance: f64, what: &str) {
    let wanted = wanted.as_array().unwrap();
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (place, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let wanted = wanted.as_f64().unwrap();
        assert!((got - wanted).abs() <= tolerance, "{what}, row {place}: {got} and {wanted}");
    }
}

fn assert_leaves(forest: &Forest, rows: &[Vec<f64>], wanted: &Value) {
    for (row, wanted) in rows.iter().zip(wanted.as_array().unwrap()) {
        let mut leaves = vec![0; forest.trees().len()];
        forest.leaves_into(row, &mut leaves).unwrap();
        assert_eq!(leaves, wanted.as_array().unwrap().iter().map(|leaf| leaf.as_u64().unwrap() as u32).collect::<Vec<_>>());
    }
}

fn each(forest: &Forest, rows: &[Vec<f64>], score: fn(&Forest, &[f64]) -> f64) -> Vec<f64> {
    rows.iter().map(|row| score(forest, row)).collect()
}

const MARGIN: fn(&Forest, &[f64]) -> f64 = |forest, row| forest.margin(row).unwrap();
const PREDICTION: fn(&Forest, &[f64]) -> f64 = |forest, row| forest.predict(row).unwrap();

#[test]
fn xgboost_models_predict_as_xgboost_does() {
    for name in XGBOOST {
        let Some(golden) = chronos_tests::golden_json(name) else { continue };
        let Some(rows) = test_rows(&golden) else { continue };
        let forest = parse_xgboost(&golden["inputs"]["model"].to_string(), Iterations::All).unwrap();
        let expected = &golden["expected"];
        let tolerance = golden["tolerance"].get("predictions").map_or("predictions/margins", |_| "predictions");
        let tolerance = absolute(&golden, tolerance);
        assert_close(&each(&forest, &rows, PREDICTION), &expected["pred_test"], tolerance, "predictions");
        if let Some(margins) = expected.get("margin_test") {
            assert_close(&each(&forest, &rows, MARGIN), margins, tolerance, "margins");
            assert_leaves(&forest, &rows, &expected["pred_leaf_first30_test"]);
        }
        let again = parse_xgboost(&write_xgboost(&forest).unwrap(), Iterations::All).unwrap();
        assert!(again == forest, "{name}: written and read back it is another forest");
    }
}

#[test]
fn float32_margins_are_xgboosts_bit_for_bit() {
    for name in XGBOOST {
        let Some(golden) = chronos_tests::golden_json(name) else { continue };
        let Some(rows) = test_rows(&golden) else { continue };
        let Some(margins) = golden["expected"].get("margin_test") else { continue };
        let forest = parse_xgboost(&golden["inputs"]["model"].to_string(), Iterations::All).unwrap();
        for (row, wanted) in rows.iter().zip(margins.as_array().unwrap()) {
            assert_eq!(forest.margin(row).unwrap() as f32, wanted.as_f64().unwrap() as f32, "{name}");
        }
    }
}

#[test]
fn lightgbm_models_predict_as_lightgbm_does() {
    for name in LIGHTGBM {
        let Some(golden) = chronos_tests::golden_json(name) else { continue };
        let Some(rows) = test_rows(&golden) else { continue };
        let forest = parse_lightgbm(golden["inputs"]["model_text"].as_str().unwrap()).unwrap();
        let (expected, tolerance) = (&golden["expected"], absolute(&golden, "predictions"));
        assert_close(&each(&forest, &rows, PREDICTION), &expected["pred_test"], tolerance, "predictions");
        assert_close(&each(&forest, &rows, MARGIN), &expected["raw_test"], tolerance, "margins");
        assert_leaves(&forest, &rows, &expected["pred_leaf_first30_test"]);
        assert!(write_xgboost(&forest).is_err_and(|error| error.to_string().contains("keep the file it came from")));
    }
}

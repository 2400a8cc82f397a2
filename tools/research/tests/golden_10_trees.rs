//! Boosted trees against XGBoost, LightGBM, shap and scikit-learn: contributions, interactions, importances, and our own training.

use chronos_inference::trees::{Forest, Iterations, parse_lightgbm, parse_xgboost};
use chronos_research::trees::{
    Loss, Rows, Sample, SplitImportance, TrainConfig, TreeShap, auc, interactions, interventional_contributions, log_loss,
    permutation_importance, predictions, split_importance, train,
};
use serde_json::Value;

const SETS: [&str; 2] = ["10_synthetic_nan", "10_btc_next_day_up"];

/// A set's rows, with missing values as NaN, and its labels.
struct Data {
    columns: usize,
    train: usize,
    values: Vec<f64>,
    labels: Vec<f64>,
    names: Vec<String>,
}

impl Data {
    fn of(golden: &Value) -> Option<Data> {
        let text = golden["inputs"]["data"].as_str().unwrap();
        let data = chronos_tests::golden_json(text.split_whitespace().next().unwrap())?;
        let labels = if text.contains("y_regression") { "y_regression" } else { "y" };
        let names = data["params"]["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let names: Vec<String> = names.collect();
        Some(Data {
            columns: names.len(),
            train: data["params"]["n_train"].as_u64().unwrap() as usize,
            values: data["inputs"]["X"].as_array().unwrap().iter().flat_map(numbers).collect(),
            labels: numbers(&data["inputs"][labels]),
            names,
        })
    }

    fn train_rows(&self) -> Rows<'_> {
        Rows::new(&self.values[..self.train * self.columns], self.columns).unwrap()
    }

    fn test_rows(&self) -> Rows<'_> {
        Rows::new(&self.values[self.train * self.columns..], self.columns).unwrap()
    }

    fn first_test_rows(&self, count: usize) -> Rows<'_> {
        Rows::new(&self.test_rows().values()[..count * self.columns], self.columns).unwrap()
    }

    fn test_labels(&self) -> Vec<bool> {
        self.labels[self.train..].iter().map(|label| *label > 0.5).collect()
    }

    fn sample(&self) -> Sample<'_> {
        Sample { rows: self.train_rows(), labels: &self.labels[..self.train], weights: None }
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

/// The numbers that stand after `abs` in a tolerance.
fn absolutes(golden: &Value, what: &str) -> Vec<f64> {
    let words: Vec<&str> = golden["tolerance"][what].as_str().unwrap().split([' ', ';']).collect();
    words.windows(2).filter(|pair| pair[0] == "abs").map(|pair| pair[1].parse().unwrap()).collect()
}

fn assert_close(got: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (place, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!((got - wanted).abs() <= tolerance, "{what}, {place}: {got} and {wanted}");
    }
}

fn xgboost(set: &str) -> Option<(Value, Data, Forest)> {
    let golden = chronos_tests::golden_json(&format!("{set}_xgboost.json"))?;
    let data = Data::of(&golden)?;
    let forest = parse_xgboost(&golden["inputs"]["model"].to_string(), Iterations::All).unwrap();
    Some((golden, data, forest))
}

fn lightgbm(set: &str) -> Option<(Value, Data, Forest)> {
    let golden = chronos_tests::golden_json(&format!("{set}_lightgbm.json"))?;
    let data = Data::of(&golden)?;
    let forest = parse_lightgbm(golden["inputs"]["model_text"].as_str().unwrap()).unwrap();
    Some((golden, data, forest))
}

#[test]
fn contributions_are_xgboosts_and_shaps() {
    for set in SETS {
        let Some((golden, data, forest)) = xgboost(set) else { continue };
        let [tolerance, sum_tolerance] = absolutes(&golden, "shap")[..] else { panic!("two tolerances") };
        let expected = &golden["expected"];
        let wanted = expected["pred_contribs_first150_test"].as_array().unwrap();
        let shap = TreeShap::new(&forest).unwrap();
        let contributions = shap.contributions(data.first_test_rows(wanted.len())).unwrap();
        for (row, wanted) in wanted.iter().enumerate() {
            assert_close(contributions.of(row, 0), &numbers(wanted), tolerance, set);
            let margin = forest.margin(data.test_rows().row(row)).unwrap();
            assert_close(&[contributions.of(row, 0).iter().sum()], &[margin], sum_tolerance, "sum");
        }
        let bias = expected["shap_tree_path_dependent_expected_value"].as_f64().unwrap();
        assert_close(shap.expected(), &[bias], tolerance, "expected value");
        // What shap's own explainer differs by from XGBoost's contributions is all that ours may differ by more.
        assert!(expected["max_abs_diff_shap_vs_pred_contribs"].as_f64().unwrap() <= tolerance);
    }
}

#[test]
fn interactions_are_xgboosts() {
    for set in SETS {
        let Some((golden, data, forest)) = xgboost(set) else { continue };
        let tolerance = absolutes(&golden, "shap")[0];
        let wanted = golden["expected"]["pred_interactions_first8_test"].as_array().unwrap();
        let got = interactions(&forest, data.first_test_rows(wanted.len())).unwrap();
        for (row, wanted) in wanted.iter().enumerate() {
            let wanted: Vec<f64> = wanted.as_array().unwrap().iter().flat_map(numbers).collect();
            assert_close(got.of(row, 0), &wanted, tolerance, set);
        }
    }
}

#[test]
fn interventional_contributions_are_shaps() {
    for set in SETS {
        let Some((golden, data, forest)) = xgboost(set) else { continue };
        let tolerance = absolutes(&golden, "shap")[0];
        const NAME: &str = "shap_interventional_first20_test_background_first60_train";
        let Some(wanted) = golden["expected"][NAME].as_array() else { continue };
        // The name of the field says how many rows of each.
        let counts: Vec<usize> = NAME.split("first").skip(1).map(|part| part.split('_').next().unwrap().parse().unwrap()).collect();
        let background = Rows::new(&data.values[..counts[1] * data.columns], data.columns).unwrap();
        let got = interventional_contributions(&forest, data.first_test_rows(counts[0]), background).unwrap();
        let bias = golden["expected"]["shap_interventional_expected_value"].as_f64().unwrap();
        for (row, wanted) in wanted.iter().enumerate() {
            let mut wanted = numbers(wanted);
            wanted.push(bias);
            assert_close(got.of(row, 0), &wanted, tolerance, set);
        }
    }
}

#[test]
fn contributions_are_lightgbms() {
    for set in SETS {
        let Some((golden, data, forest)) = lightgbm(set) else { continue };
        let tolerance = absolutes(&golden, "contribs")[0];
        let wanted = golden["expected"]["pred_contrib_first60_test"].as_array().unwrap();
        let contributions = TreeShap::new(&forest).unwrap().contributions(data.first_test_rows(wanted.len())).unwrap();
        for (row, wanted) in wanted.iter().enumerate() {
            assert_close(contributions.of(row, 0), &numbers(wanted), tolerance, set);
        }
    }
}

#[test]
fn split_importances_are_the_libraries() {
    for set in SETS {
        if let Some((golden, _, forest)) = xgboost(set) {
            type Measure = fn(&SplitImportance) -> f64;
            let measures: [(&str, Measure); 4] = [
                ("gain", SplitImportance::gain),
                ("weight", |of| of.splits as f64),
                ("total_gain", |of| of.total_gain),
                ("cover", SplitImportance::cover),
            ];
            for (name, measure) in measures {
                for (feature, of) in forest.feature_names().iter().zip(split_importance(&forest)) {
                    // XGBoost sums in float32; a feature it never splits on is left out.
                    let wanted = golden["expected"][name].get(feature).map_or(0.0, |value| value.as_f64().unwrap());
                    assert_close(&[measure(&of)], &[wanted], 1e-5 * wanted.abs(), name);
                }
            }
        }
        if let Some((golden, _, forest)) = lightgbm(set) {
            let importance = split_importance(&forest);
            let gains: Vec<f64> = importance.iter().map(|of| of.total_gain).collect();
            // The model's text holds gains of six digits.
            for (got, wanted) in gains.iter().zip(numbers(&golden["expected"]["gain"])) {
                assert_close(&[*got], &[wanted], 1e-4 * wanted.abs(), "gain");
            }
            let splits: Vec<f64> = importance.iter().map(|of| of.splits as f64).collect();
            assert_close(&splits, &numbers(&golden["expected"]["split"]), 0.0, "split");
        }
    }
}

#[test]
fn permutation_importance_is_scikit_learns() {
    for set in SETS {
        let Some((golden, data, forest)) = xgboost(set) else { continue };
        let tolerance = golden["tolerance"]["permutation importance"].as_str().unwrap();
        let stds: f64 = tolerance.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        let repeats = golden["function"].as_str().unwrap().split("n_repeats=").nth(1).unwrap();
        let repeats = repeats.trim_end_matches(')').parse().unwrap();
        let labels = data.test_labels();
        let score = |out: &[f64]| -log_loss(out, &labels, None);
        let got = permutation_importance(&forest, data.test_rows(), repeats, 1, score).unwrap();
        let wanted = &golden["expected"]["permutation_importance"];
        for (got, (mean, std)) in got.iter().zip(numbers(&wanted["mean"]).into_iter().zip(numbers(&wanted["std"]))) {
            assert!((got.mean - mean).abs() <= stds * std, "{set}: {got:?}, {mean} {std}");
            assert!(got.std < 2.0 * std && got.std > 0.5 * std, "{set}: {got:?}, {std}");
        }
    }
}

/// The parameters of a fixture's XGBoost training; the model tells the number of rounds.
fn config(golden: &Value, forest: &Forest, loss: Loss) -> TrainConfig {
    let params = &golden["params"];
    let number = |name: &str| params[name].as_f64().unwrap();
    TrainConfig {
        rounds: forest.trees().len() / forest.outputs(),
        learning_rate: number("eta"),
        depth_max: number("max_depth") as usize,
        l2: number("lambda"),
        child_weight_min: number("min_child_weight"),
        bins_max: number("max_bin") as usize,
        seed: number("seed") as u64,
        ..TrainConfig::new(loss)
    }
}

#[test]
fn imported_models_have_the_quality_they_had() {
    for set in SETS {
        for (golden, data, forest) in [xgboost(set), lightgbm(set)].into_iter().flatten() {
            let quality = &golden["expected"]["quality"];
            let out = predictions(&forest, data.test_rows().values()).unwrap();
            let labels = data.test_labels();
            let tolerance = 1e-6;
            assert_close(&[auc(&out, &labels, None)], &[quality["auc_test"].as_f64().unwrap()], tolerance, "AUC");
            assert_close(&[log_loss(&out, &labels, None)], &[quality["logloss_test"].as_f64().unwrap()], tolerance, "log-loss");
            if let Some(wanted) = quality.get("logloss_train") {
                let out = predictions(&forest, data.train_rows().values()).unwrap();
                let labels: Vec<bool> = data.sample().labels.iter().map(|label| *label > 0.5).collect();
                assert_close(&[log_loss(&out, &labels, None)], &[wanted.as_f64().unwrap()], tolerance, "training log-loss");
                assert_close(&[auc(&out, &labels, None)], &[quality["auc_train"].as_f64().unwrap()], tolerance, "training AUC");
            }
        }
    }
}

/// What the fixture's LightGBM training says, grown leaf by leaf; LightGBM's own defaults where it does not say.
fn config_by_leaves(golden: &Value, rounds: usize, loss: Loss) -> TrainConfig {
    let params = &golden["params"];
    let number = |name: &str| params[name].as_f64().unwrap();
    let depth = number("max_depth");
    TrainConfig {
        rounds,
        learning_rate: number("learning_rate"),
        depth_max: if depth < 1.0 { 20 } else { depth as usize },
        leaves_max: Some(number("num_leaves") as usize),
        l2: 0.0,
        child_weight_min: 1e-3,
        child_rows_min: number("min_data_in_leaf") as usize,
        bins_max: 255,
        ..TrainConfig::new(loss)
    }
}

/// "own trainer: test logloss within 0.01 and AUC within 0.01 of hist/exact": of either. LightGBM's file says: as XGBoost's.
fn assert_as_good(golden: &Value, data: &Data, forest: &Forest) {
    let text = golden["tolerance"]["training quality"].as_str().unwrap();
    let within: Vec<f64> =
        text.split("within ").skip(1).map(|part| part.split_whitespace().next().unwrap().parse().unwrap()).collect();
    let out = predictions(forest, data.test_rows().values()).unwrap();
    let labels = data.test_labels();
    let (loss, area) = (log_loss(&out, &labels, None), auc(&out, &labels, None));
    let quality = &golden["expected"]["quality"];
    let is_near = |method: &Value| {
        let [wanted_loss, wanted_area] = ["logloss_test", "auc_test"].map(|name| method[name].as_f64().unwrap());
        println!("log-loss {loss} and {wanted_loss}, AUC {area} and {wanted_area}");
        (loss - wanted_loss).abs() <= within[0] && (area - wanted_area).abs() <= within[1]
    };
    assert!(is_near(quality) || is_near(&quality["exact_method"]));
}

#[test]
fn our_training_is_as_good_as_xgboosts() {
    let set = SETS[0];
    let Some((golden, data, forest)) = xgboost(set) else { return };
    let by_levels = config(&golden, &forest, Loss::Logistic);
    assert_as_good(&golden, &data, &train(&by_levels, &data.names, data.sample(), None).unwrap().forest);
    let Some((of_lightgbm, _, forest)) = lightgbm(set) else { return };
    let by_leaves = config_by_leaves(&of_lightgbm, forest.trees().len(), Loss::Logistic);
    assert_as_good(&golden, &data, &train(&by_leaves, &data.names, data.sample(), None).unwrap().forest);
}

#[test]
fn our_regression_is_as_good_as_xgboosts() {
    let Some((golden, data, forest)) = xgboost("10_regression") else { return };
    let text = golden["tolerance"]["quality"].as_str().unwrap();
    let within = text.split_whitespace().find_map(|word| word.strip_suffix('%')?.parse::<f64>().ok()).unwrap() / 100.0;
    let labels = &data.labels[data.train..];
    let rmse = |forest: &Forest| {
        let out = predictions(forest, data.test_rows().values()).unwrap();
        (out.iter().zip(labels).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / labels.len() as f64).sqrt()
    };
    let wanted = golden["expected"]["rmse_test"].as_f64().unwrap();
    assert_close(&[rmse(&forest)], &[wanted], 1e-5, "imported");
    let trained = train(&config(&golden, &forest, Loss::Squared), &data.names, data.sample(), None).unwrap();
    let got = rmse(&trained.forest);
    println!("RMSE {got} and {wanted}");
    assert!((got / wanted - 1.0).abs() <= within, "{got} {wanted}");
}

#[test]
fn our_quantiles_are_as_good_as_lightgbms() {
    let Some((golden, data, forest)) = xgboost("10_regression") else { return };
    let text = golden["tolerance"]["quality"].as_str().unwrap();
    let within = text.split_whitespace().find_map(|word| word.strip_suffix('%')?.parse::<f64>().ok()).unwrap() / 100.0;
    // That file holds the parameters of LightGBM's training.
    let Some((of_lightgbm, ..)) = lightgbm(SETS[0]) else { return };
    for (alpha, wanted) in golden["expected"]["lightgbm_quantile"].as_object().unwrap() {
        let alpha: f64 = alpha.parse().unwrap();
        let loss = Loss::Quantile { alpha };
        let bins_max = config(&golden, &forest, loss).bins_max;
        let config = TrainConfig { bins_max, ..config_by_leaves(&of_lightgbm, forest.trees().len(), loss) };
        let trained = train(&config, &data.names, data.sample(), None).unwrap();
        let out = predictions(&trained.forest, data.test_rows().values()).unwrap();
        let labels = &data.labels[data.train..];
        let pinball = |(p, y): (&f64, &f64)| (y - p) * if y < p { alpha - 1.0 } else { alpha };
        let got = out.iter().zip(labels).map(pinball).sum::<f64>() / labels.len() as f64;
        let coverage = out.iter().zip(labels).filter(|(p, y)| y <= p).count() as f64 / labels.len() as f64;
        println!("quantile {alpha}: pinball {got} and {}, coverage {coverage} and {}", wanted["pinball_test"], wanted["coverage"]);
        assert!(got <= wanted["pinball_test"].as_f64().unwrap() * (1.0 + within), "{alpha}: {got}");
    }
}

//! Model files of kinds the golden ones do not have: read as the library that wrote them predicts, or refused with the place and the
//! remedy. The files of `trees/` were written by XGBoost and LightGBM themselves, with their predictions.

use chronos_inference::trees::{
    Forest, ForestError, Iterations, Precision, parse_lightgbm, parse_xgboost, read_forest, write_xgboost,
};
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trees")).join(name)
}

fn file(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// The text of the model in a file.
fn model_text(file: &Value) -> String {
    file["model"].as_str().map_or_else(|| file["model"].to_string(), str::to_owned)
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

fn assert_predicts(forest: &Forest, file: &Value, margins: &str, tolerance: f64) {
    let rows = file["rows"].as_array().unwrap();
    for (place, row) in rows.iter().enumerate() {
        let row = numbers(row);
        let mut out = vec![0.0; forest.outputs()];
        forest.margins_into(&row, &mut out).unwrap();
        // Digits are read to a bit of a double's last place: what was float32 is whole again, what was double is as good as equal.
        for (got, wanted) in out.iter().zip(numbers(&file[margins][place])) {
            let is_equal = match forest.precision() {
                Precision::Single => *got as f32 == wanted as f32,
                Precision::Double => (got - wanted).abs() <= 4.0 * f64::EPSILON * wanted.abs(),
            };
            assert!(is_equal, "{margins}, row {place}: {got} {wanted}");
        }
        if margins == "margins" {
            forest.predict_into(&row, &mut out).unwrap();
            for (got, wanted) in out.iter().zip(numbers(&file["predictions"][place])) {
                assert!((got - wanted).abs() <= tolerance, "prediction of row {place}: {got} {wanted}");
            }
            let mut leaves = vec![0; forest.trees().len()];
            forest.leaves_into(&row, &mut leaves).unwrap();
            let wanted = numbers(&file["leaves"][place]);
            assert_eq!(leaves.into_iter().map(f64::from).collect::<Vec<_>>(), wanted, "leaves of row {place}");
        }
    }
}

#[test]
fn xgboosts_margins_are_met_bit_for_bit() {
    for name in ["xgboost_multiclass_stopped_early.json", "xgboost_quantile.json", "xgboost_parallel_trees.json"] {
        let file = file(name);
        let forest = parse_xgboost(&model_text(&file), Iterations::All).unwrap();
        assert_predicts(&forest, &file, "margins", 1e-6);
        assert!(parse_xgboost(&write_xgboost(&forest).unwrap(), Iterations::All).unwrap() == forest, "{name}");
    }
}

#[test]
fn a_model_stopped_early_answers_with_its_best_iteration() {
    let file = file("xgboost_multiclass_stopped_early.json");
    let [all, best] = [Iterations::All, Iterations::Best].map(|iterations| parse_xgboost(&model_text(&file), iterations).unwrap());
    assert!(best.trees().len() < all.trees().len());
    assert_predicts(&best, &file, "margins_best", 0.0);
}

#[test]
fn lightgbms_margins_are_met_to_the_last_place() {
    for name in
        ["lightgbm_multiclass.json", "lightgbm_zero_as_missing.json", "lightgbm_missing_not_used.json", "lightgbm_quantile.json"]
    {
        let file = file(name);
        assert_predicts(&parse_lightgbm(&model_text(&file)).unwrap(), &file, "margins", 1e-12);
    }
}

#[test]
fn what_is_not_read_is_refused_with_its_place_and_a_remedy() {
    for (name, place, remedy) in [
        ("refused_xgboost_categorical.json", "feature_types", "encode the categories as numbers"),
        ("refused_xgboost_linear.json", "booster", "booster=\"gbtree\""),
        ("refused_xgboost_dart.json", "booster", "booster=\"gbtree\""),
        ("refused_xgboost_poisson.json", "objective", "known are binary:logistic"),
        ("refused_xgboost_targets.json", "num_target", "one model for each"),
        ("refused_lightgbm_categorical.txt", "tree 0, num_cat", "encode the categories as numbers"),
        ("refused_lightgbm_forest.txt", "average_output", "boosting=\"gbdt\""),
        ("refused_lightgbm_linear.txt", "is_linear", "linear_tree=false"),
        ("refused_lightgbm_poisson.txt", "objective", "known are binary"),
    ] {
        let message = read_forest(&path(name)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(name) && message.contains(place) && message.contains(remedy), "{name}: {message}");
    }
}

/// A small model in XGBoost's format, changed.
fn edited(edit: impl Fn(&mut Value)) -> String {
    let mut model = file("xgboost_quantile.json")["model"].clone();
    edit(&mut model);
    match parse_xgboost(&model.to_string(), Iterations::Best) {
        Ok(_) => "read".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_damaged_xgboost_model_is_refused() {
    assert_eq!(edited(|_| {}), "read");
    let tree = |model: &mut Value, edit: fn(&mut Value)| edit(&mut model["learner"]["gradient_booster"]["model"]["trees"][2]);
    for (message, wanted) in [
        (edited(|model| model["version"][0] = 4.into()), "version: [4, 2, 0] is not known"),
        (edited(|model| model["version"] = Value::Array(vec![])), "version"),
        (edited(|model| model["learner"]["attributes"]["best_iteration"] = "5".into()), "best_iteration: 5 is beyond"),
        (edited(|model| model["learner"]["learner_model_param"]["base_score"] = "[x]".into()), "base_score: `x`"),
        (edited(|model| model["learner"]["learner_model_param"]["base_score"] = "[1,2]".into()), "2 numbers for 1"),
        (edited(|model| model["learner"]["learner_model_param"]["num_feature"] = "1".into()), "a feature the model does not have"),
        (
            edited(|model| model["learner"]["gradient_booster"]["model"]["tree_info"][1] = 3.into()),
            "tree 1: it belongs to output 3",
        ),
        (edited(|model| tree(model, |tree| tree["left_children"][0] = 99.into())), "tree 2: node 99 does not exist"),
        (edited(|model| tree(model, |tree| tree["left_children"][0] = 0.into())), "more than one way"),
        (edited(|model| tree(model, |tree| drop(tree["sum_hessian"].as_array_mut().unwrap().pop()))), "tree 2:"),
        (edited(|model| tree(model, |tree| tree["split_conditions"][0] = 1e300.into())), "not finite"),
        (edited(|model| tree(model, |tree| tree["sum_hessian"] = Value::Null)), "invalid type: null"),
        (edited(|model| drop(model.as_object_mut().unwrap().remove("learner"))), "missing field `learner`"),
    ] {
        assert!(message.contains(wanted) && message.starts_with("XGBoost model, "), "{wanted}: {message}");
    }
}

#[test]
fn a_damaged_lightgbm_model_is_refused() {
    let text = model_text(&file("lightgbm_quantile.json"));
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        parse_lightgbm(&text.replacen(from, to, 1)).map_or_else(|error| error.to_string(), |_| "read".into())
    };
    assert_eq!(edited("tree\n", "tree\n"), "read");
    for (from, to, wanted) in [
        ("version=v4", "version=v5", "version: `v5` is not known"),
        ("end of trees", "end", "cut off"),
        ("Tree=1", "Tree=3", "tree 1 should stand here"),
        ("leaf_value=", "leaf_value=1 ", "leaf_value: "),
        ("decision_type=", "decision_type=x", "is not a number"),
        ("left_child=", "left_child=9", "does not exist"),
        ("max_feature_idx=2", "max_feature_idx=0", "1 features"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "no whole number of iterations"),
        ("num_leaves=5", "num_leaves=0", "num"),
        ("objective=quantile", "objection=quantile", "objective: the model has none"),
    ] {
        let message = edited(from, to);
        assert!(message.starts_with("LightGBM model, "), "{from}: {message}");
        assert!(
            message.contains(wanted) || from.starts_with("max_feature_idx") || from.starts_with("num_leaves"),
            "{from}: {message}"
        );
    }
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.ubj");
    assert!(read_forest(&path).is_err_and(|error| error.to_string().contains("cannot be read")));
    for bytes in [b"\xff\xfe{".as_slice(), b"", b"hello"] {
        std::fs::write(&path, bytes).unwrap();
        assert!(read_forest(&path).is_err_and(|error| error.to_string().contains("save_model(\"model.json\")")));
    }
}

/// Bytes of `text` overwritten, cut out or doubled.
fn damaged(text: &str, edits: &[(usize, u8, u8)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, kind, byte) in edits {
        let at = at % bytes.len().max(1);
        match kind % 4 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => bytes.insert(at, b"0123456789-.eE,[]{}\"\n ="[usize::from(*byte) % 23]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What was read can be scored.
fn scores(forest: Result<Forest, ForestError>) {
    let Ok(forest) = forest else { return };
    let mut out = vec![0.0; forest.outputs()];
    for x in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        forest.predict_into(&vec![x; forest.features()], &mut out).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_damage_makes_a_reader_panic(edits in prop::collection::vec((any::<usize>(), 0_u8..4, any::<u8>()), 1..4), lightgbm in any::<bool>()) {
        let name = if lightgbm { "lightgbm_zero_as_missing.json" } else { "xgboost_quantile.json" };
        let text = damaged(&model_text(&file(name)), &edits);
        if lightgbm { scores(parse_lightgbm(&text)) } else { scores(parse_xgboost(&text, Iterations::Best)) }
    }
}

//! The splitters against skfolio and the book's snippets.

use chronos_research::validation::{Embargo, LabelSpans, Split, Splitter, paths, train_times};
use chronos_tests::golden_json;
use serde_json::{Value, json};
use std::ops::Range;

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// Ranges as the fixture writes them: `[first, last]`, both inclusive.
fn runs(ranges: &[Range<usize>]) -> Value {
    ranges.iter().map(|range| json!([range.start, range.end - 1])).collect()
}

fn assert_splits(expected: &Value, splits: &[Split], name: &str) {
    let expected = expected["splits"].as_array().unwrap();
    assert_eq!(splits.len(), expected.len(), "{name}");
    for (number, (split, expected)) in splits.iter().zip(expected).enumerate() {
        assert_eq!(runs(&split.train), expected["train_runs"], "{name}, split {number}: train");
        assert_eq!(runs(&split.test), expected["test_runs"], "{name}, split {number}: test");
    }
}

/// Event and end of every label, in bars.
fn label_bars(golden: &Value) -> (Vec<i64>, Vec<i64>) {
    let ends: Vec<i64> = golden["inputs"]["label_end_bar_t1"].as_array().unwrap().iter().map(|end| end.as_i64().unwrap()).collect();
    ((0..).take(ends.len()).collect(), ends)
}

#[test]
fn combinatorial_splits_and_paths() {
    let Some(golden) = golden_json("03_cross_validation.json") else { return };
    for case in golden["expected"]["combinatorial_purged_cv"].as_array().unwrap() {
        let splitter = Splitter::CombinatorialPurged {
            folds: size(&case["n_folds"]),
            test_folds: size(&case["n_test_folds"]),
            purge_bars: size(&case["purged_size"]),
            embargo: Embargo::bars(size(&case["embargo_size"])),
        };
        let rows = size(&case["n_samples"]);
        let (splits, folds) = (splitter.splits(&LabelSpans::bars(rows)).unwrap(), splitter.folds(rows).unwrap());
        let name = format!("{splitter:?} of {rows}");
        assert_eq!(splits.len(), size(&case["n_splits"]), "{name}");
        assert_splits(case, &splits, &name);
        let fold_of = |block: &Range<usize>| folds.iter().position(|fold| fold == block).unwrap();
        let tested: Value = splits.iter().map(|split| split.test.iter().map(fold_of).collect::<Value>()).collect();
        assert_eq!(tested, case["test_set_index"], "{name}");

        let paths = paths(&splits);
        assert_eq!(paths.len(), size(&case["n_test_paths"]), "{name}");
        let recombined: Value = (0..folds.len()).map(|fold| paths.iter().map(|path| path[fold].split).collect::<Value>()).collect();
        assert_eq!(recombined, case["recombined_paths"], "{name}");
        let mut ids: Vec<Vec<usize>> = splits.iter().map(|split| vec![usize::MAX; split.test.len()]).collect();
        for (id, path) in paths.iter().enumerate() {
            path.iter().for_each(|segment| ids[segment.split][segment.block] = id);
        }
        assert_eq!(json!(ids), case["path_ids"], "{name}");
    }
}

#[test]
fn walk_forward() {
    let Some(golden) = golden_json("03_cross_validation.json") else { return };
    for case in golden["expected"]["walk_forward"].as_array().unwrap() {
        let splitter = Splitter::WalkForward {
            train_rows: size(&case["train_size"]),
            test_rows: size(&case["test_size"]),
            purge_bars: size(&case["purged_size"]),
            expanding: case["expand_train"].as_bool().unwrap(),
        };
        let splits = splitter.splits(&LabelSpans::bars(size(&case["n_samples"]))).unwrap();
        assert_splits(case, &splits, &format!("{splitter:?}"));
        assert_eq!(paths(&splits).len(), 1);
    }
}

#[test]
fn purged_k_fold_on_label_times() {
    let Some(golden) = golden_json("03_cross_validation.json") else { return };
    let (starts, ends) = label_bars(&golden);
    for case in golden["expected"]["afml_purged_kfold"].as_array().unwrap() {
        let embargo = Embargo::share(starts.len(), case["pct_embargo"].as_f64().unwrap());
        let splitter = Splitter::PurgedKFold { folds: size(&case["n_splits"]), embargo };
        let splits = splitter.splits(&LabelSpans::labels(&starts, &ends).unwrap()).unwrap();
        assert_splits(case, &splits, &format!("{splitter:?}"));
    }
}

#[test]
fn train_times_of_test_intervals() {
    let Some(golden) = golden_json("03_cross_validation.json") else { return };
    let (starts, ends) = label_bars(&golden);
    for case in golden["expected"]["afml_get_train_times"].as_array().unwrap() {
        let intervals: Vec<(i64, i64)> = case["test_intervals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_i64().unwrap(), pair[1].as_i64().unwrap()))
            .collect();
        let kept = train_times(&LabelSpans::labels(&starts, &ends).unwrap(), &intervals);
        assert_eq!(runs(&kept), case["train_runs"], "{intervals:?}");
    }
}

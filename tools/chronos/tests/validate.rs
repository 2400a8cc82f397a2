//! `chronos validate` as a user runs it, from a generated market on.

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;

/// Exit code, standard output, standard error.
fn chronos(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chronos")).current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn dataset() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["exchange", "generate", "--seed", "7", "--seconds", "120", "--out", "market.gz"][..],
        &["dataset", "market.gz", "--bars", "volume:2", "--horizon", "10", "--out", "data"],
    ] {
        let (code, out, err) = chronos(folder.path(), arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    }
    folder
}

#[test]
fn models_are_tried_and_every_one_goes_to_the_ledger() {
    let folder = dataset();
    let validate = ["validate", "data", "--models", "majority,momentum=3,logistic=1", "--folds", "6", "--cost", "1"];
    let (code, out, err) = chronos(folder.path(), &[&validate[..], &["--out", "model", "--json"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let configurations = found["configurations"].as_array().unwrap();
    assert_eq!(configurations.len(), 3);
    // C(5, 1) paths of 6 folds of which 2 are tested.
    assert!(configurations.iter().all(|configuration| configuration["path_sharpes"].as_array().unwrap().len() == 5), "{out}");
    assert_eq!(found["ledger"]["entries"], 3);
    assert!(folder.path().join("model/validation.json").exists());
    // Two minutes of a market say nothing of a year, and it is said.
    assert!(found["annual_caveat"].as_str().unwrap().contains("that nobody has seen"), "{out}");
    // Again, as tables: the ledger has grown, and the same trials count once.
    let (code, out, err) = chronos(folder.path(), &validate);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("a year: the bets span")
            && !out.contains("A year")
            && out.contains("6 entries in the ledger")
            && out.contains("majority")
            && out.contains("momentum")
            && out.contains("labels=3"),
        "{out}"
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("ledger/ledger.jsonl")).unwrap().lines().count(), 6);
}

#[test]
fn what_cannot_be_validated_is_told() {
    let folder = dataset();
    let error = |more: &[&str]| {
        let (code, out, err) = chronos(folder.path(), &[&["validate", "data"][..], more].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        err
    };
    assert!(error(&["--models", "forest"]).contains("no model `forest`"));
    assert!(error(&["--cost", "-1"]).contains("0 or more"));
    assert!(error(&["--folds", "1"]).contains("leave at least 1"));
    assert!(error(&["--splits", "walk-forward", "--train", "1000000"]).contains("too few"));
    // Nothing was tried, so nothing is in the ledger.
    assert!(!folder.path().join("ledger").exists());
    let (code, _, err) = chronos(folder.path(), &["validate", "nowhere"]);
    assert!(code == 2 && err.contains("nowhere"), "{err}");
}

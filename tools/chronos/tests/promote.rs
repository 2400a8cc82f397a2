//! `chronos promote` as a user runs it.

use assert_cmd::Command;
use chronos_inference::{StepSpec, StepWeights};
use chronos_research::ledger::Ledger;
use chronos_research::promotion::study::{Truth, simulated, splitter};
use chronos_research::validation::{Backtest, Logistic, Majority, Model, Momentum, Sizing, ValidationPlan, validate};
use chronos_session::html::plot::GRID;
use chronos_session::model::{ModelDirectory, subject_sha256};
use chronos_tests::page::check_page;
use std::path::Path;

/// A trained model with a validation on a simulated market beside it, and the ledger of both.
fn candidate(folder: &Path, truth: Truth) {
    let weights = StepWeights::untrained(&StepSpec::standard(chronos_market::features::registry().len()), 1);
    let model = folder.join("model");
    ModelDirectory::create(&model, &weights, "candidate").unwrap();
    let manifest = std::fs::read_to_string(model.join("manifest.toml")).unwrap();
    std::fs::write(model.join("manifest.toml"), manifest.replace("[data]\nsha256 = \"\"", "[data]\nsha256 = \"simulated\""))
        .unwrap();
    let plan = ValidationPlan {
        splitter: splitter(),
        backtest: Backtest { cost_bps: 1.0, threshold: 0.0, sizing: Sizing::Unit },
        seed: 1,
        dataset_sha256: "simulated".into(),
        time_ns: 1,
        code: "1".into(),
        subject_sha256: subject_sha256(&model).unwrap().unwrap(),
    };
    let models: [&dyn Model; 4] = [&Majority, &Momentum { labels: 3 }, &Logistic { l2: 1.0 }, &Logistic { l2: 100.0 }];
    let market = simulated(truth, 3_000, 1);
    let ledger = Ledger::in_folder(&folder.join("ledger"));
    validate(&market.samples(), &models, &plan, &ledger, &|_, _| {}).unwrap().write(&model).unwrap();
}

/// Exit code, standard output, standard error.
fn promote(folder: &Path, more: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_chronos")).current_dir(folder).args(["promote", "model"]).args(more).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_strong_signal_is_promoted_and_the_ledger_is_held_to_it() {
    let folder = tempfile::tempdir().unwrap();
    candidate(folder.path(), Truth::Signal(0.5));
    let (code, out, err) = promote(folder.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("Sharpe ratio a bet over") && out.contains("a year: "), "{out}");
    assert!(out.contains("PBO 0.") && out.contains("z ") && out.contains("4 trials") && out.contains("promoted:"), "{out}");
    assert!(ModelDirectory::open(&folder.path().join("model")).unwrap().is_promoted());
    let (code, out, _) = promote(folder.path(), &["--json"]);
    assert_eq!(code, 0);
    assert!(out.contains("\"is_promoted\": true") && out.contains("\"probability\""), "{out}");
    // A page tells the same.
    let (code, out, _) = promote(folder.path(), &["--html", "gate.html"]);
    assert!(code == 0 && out.contains("page: gate.html"), "{out}");
    let page = std::fs::read_to_string(folder.path().join("gate.html")).unwrap();
    check_page(&page, GRID);
    for part in ["promoted", "below 0.5 asked", "above 0.95 asked", "<b>PBO logits</b>", "<b>Trials</b>"] {
        assert!(page.contains(part), "{part}");
    }
    // A harder gate refuses what the usual one lets pass, by the configuration or an argument that goes before it.
    std::fs::write(folder.path().join("hard.toml"), "[promotion]\ndsr_above = 1.0\n").unwrap();
    let (code, out, _) = promote(folder.path(), &["--config", "hard.toml"]);
    assert!(code == 1 && out.contains("not above 1"), "{out}");
    let (code, _, _) = promote(folder.path(), &["--config", "hard.toml", "--dsr-above", "0.95"]);
    assert_eq!(code, 0);
    std::fs::write(folder.path().join("odd.toml"), "[promotion]\nblocks = 7\n").unwrap();
    let (code, _, err) = promote(folder.path(), &["--config", "odd.toml"]);
    assert!(code == 2 && err.contains("`promotion.blocks` must be an even number"), "{err}");
    let (code, out, _) = promote(folder.path(), &["--dsr-above", "1"]);
    assert!(code == 1 && out.contains("refused: deflated Sharpe ratio"), "{out}");

    let entries = folder.path().join("ledger/ledger.jsonl");
    let lines = std::fs::read_to_string(&entries).unwrap();
    let shorter: String = lines.split_inclusive('\n').take(3).collect();
    std::fs::write(&entries, shorter).unwrap();
    let (code, _, err) = promote(folder.path(), &[]);
    assert!(code == 2 && err.contains("3 of 4 entries are left"), "{err}");
    std::fs::remove_dir_all(folder.path().join("ledger")).unwrap();
    let (code, out, _) = promote(folder.path(), &[]);
    assert!(code == 1 && out.contains("does not hold the 4 entries the model was promoted with"), "{out}");
}

#[test]
fn a_validation_of_another_model_or_of_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    candidate(folder.path(), Truth::Signal(0.5));
    let manifest = folder.path().join("model/manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    // Other thresholds than those of the validation.
    std::fs::write(&manifest, text.replace("entry_threshold = 0.1", "entry_threshold = 0.2")).unwrap();
    let (code, out, err) = promote(folder.path(), &[]);
    assert!(code == 1 && out.contains("refused: the validation is of another model") && out.contains("`--out`"), "{out}{err}");
    // The validation of one model beside another.
    let other = folder.path().join("other");
    let weights = StepWeights::untrained(&StepSpec::standard(chronos_market::features::registry().len()), 2);
    ModelDirectory::create(&other, &weights, "candidate").unwrap();
    std::fs::copy(folder.path().join("model/validation.json"), other.join("validation.json")).unwrap();
    std::fs::remove_dir_all(folder.path().join("model")).unwrap();
    std::fs::rename(&other, folder.path().join("model")).unwrap();
    let (code, out, _) = promote(folder.path(), &[]);
    assert!(code == 1 && out.contains("refused: the validation is of another model"), "{out}");
    assert!(!ModelDirectory::open(&folder.path().join("model")).unwrap().is_promoted());
}

#[test]
fn chance_is_refused_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    candidate(folder.path(), Truth::RandomWalk);
    let (code, out, _) = promote(folder.path(), &[]);
    assert!(code == 1 && out.contains("refused: deflated Sharpe ratio has probability 0."), "{out}");
    assert!(!ModelDirectory::open(&folder.path().join("model")).unwrap().is_promoted());
}

#[test]
fn files_of_an_unknown_version_are_told() {
    let folder = tempfile::tempdir().unwrap();
    candidate(folder.path(), Truth::RandomWalk);
    let model = folder.path().join("model");
    let told = |file: &str, from: &str, to: &str| {
        let path = model.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let (code, out, err) = promote(folder.path(), &[]);
        std::fs::write(&path, text).unwrap();
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        err
    };
    let err = told("validation.json", "\"format\":2", "\"format\":9,\"later\":1");
    assert!(err.contains("validation.json: format 9 is not known") && err.contains("validate again"), "{err}");
    let err = told("manifest.toml", "format = 1", "format = 9\nlater = 1");
    assert!(err.contains("manifest.toml: format 9 is not known") && err.contains("make the model again"), "{err}");
    let err = told("manifest.toml", "sha256 = ", "sha-256 = ");
    assert!(err.contains("manifest.toml"), "{err}");
}

#[test]
fn what_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = promote(folder.path(), &[]);
    assert!(code == 2 && err.contains("chronos model new"), "{err}");
    ModelDirectory::create_untrained(&folder.path().join("model"), 1).unwrap();
    let (code, _, err) = promote(folder.path(), &[]);
    assert!(code == 2 && err.contains("validation.json") && err.contains("chronos validate"), "{err}");
}

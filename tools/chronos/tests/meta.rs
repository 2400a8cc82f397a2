//! `chronos meta train` and `chronos explain` as a user runs them, from a generated market to one explained order.

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Exit code, standard output, standard error.
fn chronos(folder: &Path, line: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chronos")).current_dir(folder).args(line.split(' ')).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked"), "{line}: {err}");
    (output.status.code().unwrap(), out, err)
}

fn succeeds(folder: &Path, line: &str) -> String {
    let (code, out, err) = chronos(folder, line);
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

fn json(folder: &Path, line: &str) -> Value {
    serde_json::from_str(&succeeds(folder, line)).expect("one JSON object and nothing else on standard output")
}

const TRAIN: &str = "meta train data/bets --depths 2 --rounds 40 --folds 4 --threshold 0.6 --json --out";

/// A folder with a market, a dataset of bets and a meta model trained on it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for line in [
                "exchange generate --seed 7 --seconds 120 --out market.gz",
                "features market.gz --out features.csv",
                "bars market.gz --rule time:250ms --out bars.csv",
                "label market.gz --events every:4 --side strategy --side-min 0.1 --horizon 2s",
                "dataset market.gz --events every:4 --side strategy --side-min 0.1 --horizon 2s --cuts 2 --out data/bets",
                "dataset market.gz --events every:9 --horizon 2s --cuts 1 --out data/directions",
                "dataset bars.csv --events every:4 --side=-return_5 --horizon 8 --cuts 1 --out data/bars",
                &format!("{TRAIN} models/meta"),
            ] {
                succeeds(folder.path(), line);
            }
            folder
        })
        .path()
}

fn is_refused(line: &str, parts: &[&str]) {
    let (code, out, err) = chronos(folder(), line);
    assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
    for part in parts {
        assert!(err.contains(part), "{line}: `{part}` is not in: {err}");
    }
}

#[test]
fn a_trained_model_filters_a_replay_and_every_order_is_explained() {
    let training: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("models/meta/training.json")).unwrap()).unwrap();
    let of = &training["out_of_fold"];
    for scores in ["calibrated", "raw", "base"] {
        assert!(of[scores]["log_loss"].as_f64().is_some_and(|loss| loss > 0.0 && loss < 2.0), "{scores}: {of}");
    }
    let base_rate = of["base_rate"].as_f64().unwrap();
    assert!(base_rate > 0.0 && base_rate < 1.0 && of["base"]["auc"] == 0.5);
    assert!(training["folds"].as_array().is_some_and(|folds| folds.len() == 4));
    assert!(training["selection"]["clusters"].as_array().is_some_and(|clusters| !clusters.is_empty()));
    // The chosen features are what the manifest names, and what was said of the whole stands in the verdict.
    let manifest: toml::Table = std::fs::read_to_string(folder().join("models/meta/manifest.toml")).unwrap().parse().unwrap();
    let chosen: Vec<&str> = training["features"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let named: Vec<&str> = manifest["features"]["names"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    assert!(chosen == named && !chosen.is_empty() && chosen.len() < 95);
    assert_eq!(training["is_better"], training["gain"]["low"].as_f64().unwrap() > 0.0);

    let replay = json(folder(), "replay market.gz --model none --meta models/meta --json");
    let (orders, taken) = (replay["orders"].as_u64().unwrap(), replay["meta"]["taken"].as_u64().unwrap());
    assert!(taken > 3 && orders > taken && replay["meta"]["threshold"] == 0.6, "{replay}");
    assert!(!replay["notices"].to_string().contains("meta:"), "its bets are those it was trained on: {replay}");
    let mut judged = 0;
    for number in 1..=orders {
        let told = json(folder(), &format!("explain models/meta market.gz --model none --order 1-{number} --json"));
        assert_eq!(told["order"]["id"], format!("1-{number}"));
        let quantity = |name: &str| told["order"][name].as_str().unwrap().parse::<f64>().unwrap();
        let meta = &told["meta"];
        assert_eq!(meta.is_null(), told["order"]["reduce_only"] == true, "{told}");
        if meta.is_null() {
            assert_eq!(quantity("sent_qty"), quantity("wanted_qty"));
            continue;
        }
        judged += 1;
        let number = |name: &str| meta[name].as_f64().unwrap();
        assert!(meta["is_same"] == true && number("probability") == number("hot_path_probability"), "{meta}");
        assert!(number("probability") >= 0.6 && number("additivity_error") < 1e-4);
        // The size is the wanted one times the probability, down to whole lots of 0.001.
        let lots = (quantity("wanted_qty") / 0.001).round() * number("probability");
        assert!(((quantity("sent_qty") / 0.001).round() - lots.floor()).abs() < 0.5, "{told}");
        let features = meta["explanation"]["features"].as_array().unwrap();
        assert_eq!(features.len(), chosen.len() + 2);
        let value = |name: &str| features.iter().find(|feature| feature["name"] == name).unwrap()["value"].as_f64().unwrap();
        let signal = told["order"]["signal"].as_f64().unwrap();
        assert_eq!((value("primary_side"), value("primary_strength")), (signal.signum(), signal.abs()));
    }
    assert_eq!(judged, taken);
    is_refused(
        &format!("explain models/meta market.gz --model none --order 1-{}", orders + 1),
        &["was not sent", &format!("1-1 to 1-{orders}"), "have to be those of the replay"],
    );
}

#[test]
fn the_same_seed_trains_the_same_model_and_each_training_is_a_trial() {
    let first: Value = serde_json::from_str(&std::fs::read_to_string(folder().join("models/meta/training.json")).unwrap()).unwrap();
    let again = json(folder(), &format!("{TRAIN} models/again"));
    let bytes = |name: &str| std::fs::read(folder().join(name)).unwrap();
    assert_eq!(bytes("models/meta/meta.json"), bytes("models/again/meta.json"));
    assert_eq!(first["gain"], again["training"]["gain"]);
    let entries = again["training"]["ledger"]["entries"].as_u64().unwrap();
    assert!(entries >= 2);
    let lines = std::fs::read_to_string(folder().join("ledger/ledger.jsonl")).unwrap();
    assert!(lines.lines().count() as u64 >= entries && lines.contains("\"command\":\"meta train\""), "{lines}");
    is_refused(&format!("{TRAIN} models/again"), &["models/again exists", "name another"]);
}

#[test]
fn a_dataset_is_explained_in_words_as_json_and_as_a_page() {
    let printed = succeeds(folder(), "explain models/meta data/bets --html explanation.html --top 4");
    for part in ["Mean |SHAP|", "Log-loss when shuffled", "additivity:", "trained on these bets", "page: explanation.html"] {
        assert!(printed.contains(part), "`{part}` is not in {printed}");
    }
    let page = std::fs::read_to_string(folder().join("explanation.html")).unwrap();
    chronos_tests::page::check_page(&page, chronos_session::html::plot::GRID);
    assert!(page.contains("Reliability") && page.contains("out of fold, as it was trained") && page.contains("spot r3"));
    let told = json(folder(), "explain models/meta data/bets --bets 20 --top 2 --json");
    let told = &told["explanation"];
    assert!(told["additivity_error"].as_f64().unwrap() < 1e-4);
    assert_eq!((told["explained"].as_array().unwrap().len(), told["is_training_data"].as_bool()), (20, Some(true)));
    assert!(told["explained"][0]["top"].as_array().unwrap().len() == 2);
    assert!(told["features"][0]["points"].as_array().unwrap().len() == 20);
    let strength = |feature: &Value| feature["mean_contribution"].as_f64().unwrap();
    assert!(told["features"].as_array().unwrap().windows(2).all(|pair| strength(&pair[0]) >= strength(&pair[1])));
}

#[test]
fn an_order_of_a_recorded_session_is_explained_by_its_journal() {
    succeeds(folder(), "replay market.gz --model none --meta models/meta --record session");
    let explain = |more: &str| format!("explain models/meta market.gz --order 1-3 --journal session {more}");
    let told = json(folder(), &explain("--model none --json"));
    assert!(told["records_followed"].as_u64().is_some_and(|records| records > 5), "{told}");
    let alone = json(folder(), "explain models/meta market.gz --order 1-3 --model none --json");
    assert_eq!((&told["order"], &told["meta"]), (&alone["order"], &alone["meta"]));
    assert!(succeeds(folder(), &explain("--model none")).contains("it is that of the journal"));
    // Other options are another session.
    is_refused(&explain("--model none --latency-us 7"), &["the configuration is not that of the session"]);
    is_refused(&explain("--model untrained"), &["the model is not that of the session"]);
}

#[test]
fn bets_of_another_primary_are_told_in_a_replay() {
    let replay = json(folder(), "replay market.gz --meta models/meta --limit 2000 --json");
    assert!(replay["notices"].to_string().contains("meta: trained on bets by `strategy`"), "{replay}");
}

#[test]
fn mistakes_are_told_with_the_remedy() {
    is_refused("meta train data/directions --out models/never", &["no side", "--side strategy"]);
    is_refused("meta train data/bars --out models/never", &["is no feature of a decision tick", "captures"]);
    is_refused("meta train nowhere --out models/never", &["nowhere"]);
    is_refused("meta train data/bets --folds 1 --out models/never", &["at least 2"]);
    is_refused("meta train data/bets --folds 2 --embargo 100000 --out models/never", &["leaves no row to train on"]);
    is_refused("meta train data/bets --folds 400 --out models/never", &["too few"]);
    is_refused("meta train data/bets --depths 0 --out models/never", &["`depth_max` is 0"]);
    is_refused("meta train data/bets --cost -1 --out models/never", &["0 or more"]);
    is_refused("meta train data/bets --threshold 2 --folds 3 --rounds 2 --out models/never", &["threshold is 2"]);
    assert!(!folder().join("models/never").exists());
    is_refused("dataset bars.csv --side strategy --out data/never", &["only captures have"]);
    is_refused("dataset market.gz --side-min 0.2 --out data/never", &["needs a side"]);

    is_refused("explain models/meta data/bets data/bars", &["name one dataset", "--order"]);
    is_refused("explain models/meta data/bars", &["has no feature"]);
    is_refused("explain models/meta data/directions", &["no side"]);
    is_refused("explain models/nowhere data/bets", &["chronos meta train"]);
    is_refused("explain models/meta market.gz --order 7", &["1-17"]);
    is_refused("explain models/meta nowhere.gz --model none --order 1-1", &["nowhere.gz"]);

    let other = folder().join("models/other");
    std::fs::create_dir_all(&other).unwrap();
    for name in ["meta.json", "manifest.toml"] {
        std::fs::copy(folder().join("models/meta").join(name), other.join(name)).unwrap();
    }
    let manifest = std::fs::read_to_string(other.join("manifest.toml")).unwrap();
    std::fs::write(other.join("manifest.toml"), manifest.replacen("format = 1", "format = 9", 1)).unwrap();
    is_refused("explain models/other data/bets", &["format 9 is not known"]);
    let renamed = manifest.replace("signal = \"strategy\"", "signal = \"vpin\"");
    std::fs::write(other.join("manifest.toml"), renamed).unwrap();
    is_refused("explain models/other data/bets", &["bets are by `strategy`", "`vpin`"]);
}

/// Every example of the help runs, in order and once.
#[test]
fn examples_of_the_help_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines: Vec<String> = Vec::new();
    for command in ["meta train", "explain"] {
        let help = succeeds(folder.path(), &format!("{command} --help"));
        let examples = help.lines().map(str::trim).filter_map(|line| line.strip_prefix("chronos "));
        let examples: Vec<&str> = examples.filter(|line| line.contains("market.gz") || line.contains("data/bets")).collect();
        assert!(examples.len() >= 4, "{command}: {help}");
        for example in examples {
            if !lines.iter().any(|line| line == example) {
                lines.push(example.to_owned());
            }
        }
    }
    for line in &lines {
        let printed = succeeds(folder.path(), line);
        if line.starts_with("meta train") {
            let is_judged =
                printed.contains("no better than always saying the base rate") || printed.contains("knows more than the base rate");
            assert!(is_judged && printed.contains("False positives") && printed.contains("entries in the ledger"), "{printed}");
        }
    }
}

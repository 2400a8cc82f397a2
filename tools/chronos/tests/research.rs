//! The commands of research as a user meets them.

use assert_cmd::Command;
use chronos_research::dataset::{Dataset, read_dataset, write_dataset};
use chronos_session::html::plot::GRID;
use chronos_tests::page::check_page;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder with a generated capture `market.gz`.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let output = Command::cargo_bin("chronos")
                .unwrap()
                .current_dir(folder.path())
                .args(["exchange", "generate", "--seed", "7", "--seconds", "60", "--out", "market.gz"])
                .output()
                .unwrap();
            assert!(output.status.success());
            folder
        })
        .path()
}

fn chronos(line: &str) -> Output {
    let output = Command::cargo_bin("chronos").unwrap().current_dir(folder()).args(line.split(' ')).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{line}: {errors}");
    output
}

fn succeeds(line: &str) -> String {
    let output = chronos(line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_refused(line: &str, parts: &[&str]) {
    let output = chronos(line);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{line}: {errors}");
    assert!(output.stdout.is_empty(), "{line}");
    for part in parts {
        assert!(errors.contains(part), "{line}: `{part}` is not in: {errors}");
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(&succeeds(line)).expect("one JSON object and nothing else on standard output")
}

fn path(name: &str) -> PathBuf {
    folder().join(name)
}

#[test]
fn from_a_capture_to_bars_to_labels_to_a_dataset() {
    let printed = succeeds("bars market.gz --rule time:250ms --out quarters.csv");
    assert!(printed.contains("BTCUSDT") && printed.contains("bars: quarters.csv"), "{printed}");
    let report = json("bars quarters.csv --rule trades:2 --json");
    let coarser = report["instruments"][0]["bars"].as_u64().unwrap();
    assert_eq!(report["instruments"][0]["inputs"].as_u64().unwrap() / 2, coarser);

    let labels = json("label quarters.csv --events every:2 --horizon 10 --out labels.csv --json");
    let samples = labels["counts"]["samples"].as_u64().unwrap();
    assert!(samples > 10 && labels["look_ahead"]["cuts"] == 8);
    let text = std::fs::read_to_string(path("labels.csv")).unwrap();
    assert_eq!(text.lines().count() as u64, samples + 1);

    let line = "dataset quarters.csv --events every:2 --horizon 10 --side=-return_5 --cuts 2 --json --out";
    let manifest = json(&format!("{line} data"));
    assert_eq!(manifest["recipe"]["side"], "-return_5");
    assert_eq!(manifest["source"]["files"][0]["name"], "quarters.csv");
    assert_eq!(manifest["data"]["sha256"].as_str().unwrap().len(), 64);
    assert!(path("data/samples.parquet").exists() && path("data/manifest.toml").exists());
    // The same again, to the byte.
    assert_eq!(json(&format!("{line} again"))["data"], manifest["data"]);
    is_refused(&format!("{line} data"), &["data exists", "name another"]);
}

#[test]
fn from_a_capture_to_a_dataset_at_once() {
    let printed = succeeds("dataset market.gz --horizon 5s --cuts 2 --out ticks");
    assert!(printed.contains("no look-ahead") && printed.contains("samples"), "{printed}");
    let manifest = json("dataset market.gz --bars volume:1 --events every:2 --horizon 20 --cuts 1 --json --out volume");
    assert_eq!((manifest["source"]["kind"].as_str(), manifest["source"]["bars"].as_str()), (Some("capture"), Some("volume:1")));
    // A recipe written by one run is read by the next.
    let written: toml::Table = std::fs::read_to_string(path("volume/manifest.toml")).unwrap().parse().unwrap();
    std::fs::write(path("recipe.toml"), toml::to_string(&written["recipe"]).unwrap()).unwrap();
    let again = json("dataset market.gz --bars volume:1 --recipe recipe.toml --cuts 1 --json --out volume-again");
    assert_eq!(again["data"], manifest["data"]);
}

/// A page that a command wrote twice, from two runs: sound, the same, and with these plots.
fn page(line: &str, plots: &[&str]) {
    let write = |name: &str| {
        succeeds(&format!("{line} --html {name}"));
        std::fs::read_to_string(path(name)).unwrap()
    };
    let [one, again] = ["one.html", "again.html"].map(write);
    check_page(&one, GRID);
    for plot in plots {
        assert!(one.contains(&format!("<b>{plot}</b>")), "{line}: {plot}");
    }
    assert_eq!(one, again, "{line}");
}

#[test]
fn every_command_writes_a_page_with_its_plots() {
    succeeds("bars market.gz --rule time:250ms --out page-bars.csv");
    page("bars market.gz --rule volume:1", &["Price", "Volume", "Length", "Bought", "Returns"]);
    page("label page-bars.csv --events every:2 --horizon 10", &["Labels", "What ended them", "Price", "Average uniqueness"]);
    let line = "dataset market.gz --bars volume:1 --events every:2 --horizon 5 --cuts 1 --out page-data --html page-data.html";
    assert!(succeeds(line).contains("page: page-data.html"));
    let dataset = std::fs::read_to_string(path("page-data.html")).unwrap();
    check_page(&dataset, GRID);
    assert!(dataset.contains("Features of the samples") && dataset.contains("microprice_offset_bps"));
    // The ledger grows from run to run, so each has one of its own.
    let validate = |ledger: &str| {
        let line = "validate page-data --models majority,logistic=1 --folds 6";
        succeeds(&format!("{line} --ledger {ledger} --html {ledger}.html"));
        std::fs::read_to_string(path(&format!("{ledger}.html"))).unwrap()
    };
    let validation = validate("page-ledger");
    check_page(&validation, GRID);
    for plot in ["Sharpe ratios of the paths", "PBO logits", "Reliability", "Trials"] {
        assert!(validation.contains(&format!("<b>{plot}</b>")), "{plot}");
    }
    assert!(validation.contains("below 0.5 asked") && validation.contains("above 0.95 asked"));
    // The day it was run on stands in the table of trials.
    assert_eq!(validation.len(), validate("page-ledger-2").len());
    is_refused("label page-bars.csv --html nowhere/page.html", &["nowhere/page.html", "cannot write the page"]);
}

#[test]
fn mistakes_are_told_with_the_remedy() {
    is_refused("bars market.gz --rule hours:1", &["`hours:1`", "time:60s"]);
    is_refused("bars market.gz --out bars.parquet", &["must end in .csv"]);
    is_refused("label market.gz --out labels.parquet", &["must end in .csv", "chronos dataset"]);
    is_refused("label market.gz --events sometimes", &["cusum:1.5"]);
    is_refused("label market.gz --horizon soon", &["30s"]);
    is_refused("dataset market.gz --side imbalance_55 --out never", &["did you mean `imbalance_"]);
    assert!(!path("never").exists());
    std::fs::write(path("bad.csv"), "time,open,high,low,close,volume\n2020-01-01,1,1,1,1,1\n2020-01-01,1,1,1,1,1\n").unwrap();
    is_refused("label bad.csv", &["bad.csv, line 3", "keep one"]);
    is_refused("label bad.csv market.gz", &["read alone"]);
}

/// Every command that reads a history names the row and the remedy.
#[test]
fn bad_rows_of_a_history_are_named() {
    let day = |day: u32, rest: &str| format!("2020-01-{day:02},{rest}\n");
    let good = "1,2,0.5,1,7";
    for (rows, parts) in [
        ([day(2, good), day(1, good)], ["line 3: the time `2020-01-01` is before that of line 2", "sort the rows by time"]),
        ([day(1, good), day(1, good)], ["line 3: the time `2020-01-01` stands in line 2 already", "keep one of the two"]),
        ([day(1, good), day(2, "1,2,0.5,NaN,7")], ["line 3: close is `NaN`, not a finite number", "fill it, or remove the row"]),
        ([day(1, good), day(2, "1,,0.5,1,7")], ["line 3: high is ``, not a finite number", "fill it, or remove the row"]),
        ([day(1, good), day(2, "1,2,0.5,1,0")], ["line 3: volume is 0", "`--zero-volume drop`"]),
        ([day(1, good), day(2, "1,2,0.5,-1,7")], ["line 3: open 1, high 2, low 0.5, close -1", "prices are positive"]),
    ] {
        std::fs::write(path("rows.csv"), format!("time,open,high,low,close,volume\n{}", rows.concat())).unwrap();
        for command in ["bars rows.csv", "label rows.csv", "dataset rows.csv --out never"] {
            is_refused(command, &[&["rows.csv"][..], &parts].concat());
        }
    }
    let ends =
        "open_time,close_time,open,high,low,close,volume\n2020-01-01,2020-01-02,1,2,0.5,1,7\n2020-01-04,2020-01-03,1,2,0.5,1,7\n";
    std::fs::write(path("ends.csv"), ends).unwrap();
    is_refused("bars ends.csv", &["ends.csv, line 3: the bar ends before it starts", "correct its times"]);
    assert!(!path("never").exists());
}

/// A dataset whose samples were changed is refused by its hash; one that was made wrong, and has the right hash, by its rows.
#[test]
fn bad_rows_of_a_dataset_are_named() {
    succeeds("bars market.gz --rule time:250ms --out sound.csv");
    succeeds("dataset sound.csv --events every:2 --horizon 10 --cuts 1 --out sound");
    let (dataset, manifest) = read_dataset(&path("sound")).unwrap();
    let refused = |name: &str, edit: &dyn Fn(&mut Dataset), parts: &[&str]| {
        let mut dataset = dataset.clone();
        edit(&mut dataset);
        write_dataset(&path(name), &dataset, manifest.clone()).unwrap();
        is_refused(&format!("validate {name} --folds 4 --ledger bad-ledger"), parts);
    };
    refused(
        "ends-early",
        &|data| data.end_ns[3] = data.event_ns[3] - 1,
        &["row 3: its label ends before it starts", "at or after"],
    );
    refused("unsorted", &|data| data.event_ns.swap(4, 9), &["row 5: its event time lies before that of the row above", "sort"]);
    refused("no-number", &|data| data.simple_return[2] = f64::NAN, &["the column of returns is NaN at row 2", "remove that row"]);
    refused("no-weight", &|data| data.weight[2] = -1.0, &["row 2: weight -1 is negative", "0 or more"]);
    let features = dataset.features.len();
    let no_feature = |data: &mut Dataset| data.values[7 * features] = f64::NAN;
    refused("no-feature", &no_feature, &["logistic", "feature 0", "row 7", "drop the column or the row"]);
    // Folds that leave no training data.
    let line = "validate sound --folds 4 --ledger bad-ledger";
    is_refused(&format!("{line} --embargo 1000000"), &["split 0", "leaves no row to train on", "shorten the labels"]);
    is_refused(&format!("{line} --purge 1000000"), &["leaves no row to train on", "the purge or the embargo"]);
    is_refused(
        "validate sound --splits k-fold --folds 100000 --ledger bad-ledger",
        &["rows are too few", "fewer or smaller folds"],
    );
    let samples = path("sound/samples.parquet");
    let bytes = std::fs::read(&samples).unwrap();
    std::fs::write(&samples, [&bytes[..], b"x"].concat()).unwrap();
    is_refused(line, &["samples.parquet: its hash is not that of the manifest", "make the dataset again"]);
    std::fs::write(&samples, bytes).unwrap();
    let manifest = path("sound/manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("format = 1", "format = 9\nlater = true", 1)).unwrap();
    is_refused(line, &["manifest.toml: format 9 is not known to this build, which reads 1", "make the dataset again"]);
    // None of these was tried, so none is in the ledger.
    assert!(!path("bad-ledger").exists());
}

/// Every example of the help runs.
#[test]
fn examples_of_the_help_run() {
    for command in ["bars", "label", "dataset"] {
        let folder = tempfile::tempdir().unwrap();
        let help = succeeds(&format!("{command} --help"));
        let is_example = |line: &&str| line.contains(".gz") || line.contains(".csv");
        let lines = help.lines().map(str::trim).filter_map(|line| line.strip_prefix("chronos ")).filter(is_example);
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        assert!(lines.len() >= 3, "{command}: {help}");
        for line in lines {
            let output = Command::cargo_bin("chronos").unwrap().current_dir(folder.path()).args(line.split(' ')).output().unwrap();
            assert!(output.status.success(), "chronos {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

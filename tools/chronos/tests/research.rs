//! The commands of research as a user meets them.

use assert_cmd::Command;
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

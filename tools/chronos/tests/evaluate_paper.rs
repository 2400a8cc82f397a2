//! `chronos evaluate paper` on a generated market.
#![cfg(feature = "train")]

use assert_cmd::Command;
use chronos_tests::data_file;
use std::fmt::Write;
use std::path::Path;

fn chronos(folder: &Path, arguments: &str) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronos"));
    command.args(arguments.split(' ')).current_dir(folder).output().unwrap()
}

fn json(output: &std::process::Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Three files of daily rows in the paper's form: a walk of prices, one file going on from the other.
fn write_data(folder: &Path, rows: [u32; 3]) {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut close, mut day) = (20_000.0, 0);
    std::fs::create_dir_all(folder).unwrap();
    for (name, rows) in ["train.csv", "val.csv", "test.csv"].into_iter().zip(rows) {
        let mut text = ",Open,High,Low,Close,Volume,Timestamp\n".to_owned();
        for row in 0..rows {
            let open: f64 = close;
            close = open * (1.0 + 0.06 * (random.f64() - 0.5));
            let (high, low) = (open.max(close) * 1.01, open.min(close) * 0.99);
            let volume = 1e10 * (1.0 + random.f64());
            writeln!(text, "{row},{open:.2},{high:.2},{low:.2},{close:.2},{volume},{}", 1_500_000_000 + day * 86_400).unwrap();
            day += 1;
        }
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn a_short_run_is_judged_kept_and_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    write_data(&folder.path().join("data"), [60, 30, 32]);
    let first = "evaluate paper --data data --out out --seeds 1 --epochs 2 --json --models published,live,gru";
    let made = json(&chronos(folder.path(), first));
    let models = made["comparison"]["models"].as_array().unwrap();
    assert_eq!(made["comparison"]["samples"], 17);
    assert_eq!(models.iter().map(|row| row["model"].as_str().unwrap()).collect::<Vec<_>>(), ["published", "live", "gru"]);
    let trained = made["trained"].as_array().unwrap();
    assert!(trained.iter().all(|one| one["epochs"] == 2 && one["predictions"].as_array().unwrap().len() == 17), "{trained:?}");
    // The live recipe begins at persistence and moves little; its blocks matter.
    let persistence = made["comparison"]["persistence"]["rmse"].as_f64().unwrap();
    let live = &trained[1];
    assert!((live["test"]["rmse"].as_f64().unwrap() / persistence - 1.0).abs() < 0.2, "{live}");
    assert!(live["blocks"]["alive"] == live["blocks"]["count"], "{}", live["blocks"]);

    // The same again is read, one more seed is trained, and both are what they are for their seed.
    let second = json(&chronos(folder.path(), &first.replace("--seeds 1", "--seeds 2")));
    let again = second["trained"].as_array().unwrap();
    assert_eq!((again.len(), &again[..3]), (6, &trained[..]));
    assert!(again[4]["seed"] == 2 && again[4]["predictions"] != live["predictions"]);
    let mut fresh = json(&chronos(folder.path(), &first.replace("--out out", "--out other").replace("published,live,gru", "live")))
        ["trained"][0]
        .take();
    fresh["seconds"] = live["seconds"].clone();
    assert_eq!(&fresh, live, "the same seed gives the same training");

    // A line cut off in the middle counts as not done; other epochs are another evaluation.
    let runs = folder.path().join("other/runs.jsonl");
    let text = std::fs::read_to_string(&runs).unwrap();
    std::fs::write(&runs, &text[..text.len() / 2]).unwrap();
    std::fs::remove_dir_all(folder.path().join("other/live-1")).unwrap();
    let arguments = "evaluate paper --data data --out other --seeds 1 --epochs 2 --models live";
    let output = chronos(folder.path(), arguments);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("persistence") && table.contains("live: ") && table.contains(" 12 of 12"), "{table}");
    let told = chronos(folder.path(), &arguments.replace("--epochs 2", "--epochs 3"));
    assert!(String::from_utf8(told.stderr).unwrap().contains("choose another folder"));
}

#[test]
fn what_is_missing_is_told_with_where_it_can_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let told = |arguments: &str| {
        let output = chronos(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let without_data = told("evaluate paper");
    assert!(
        without_data.contains("train.csv, val.csv, test.csv") && without_data.contains("github.com/MShahabSepehri/CryptoMamba")
    );
    assert!(told("evaluate paper --models lstm,transformer").contains("choose from published, live, lstm, bilstm, gru"));
    write_data(&folder.path().join("data"), [20, 15, 20]);
    assert!(told("evaluate paper --data data").contains("val.csv has 15 rows and 16 are needed"));
}

#[test]
fn one_epoch_on_the_paper_s_data() {
    let Some(data) = data_file("ohlcv/cryptomamba") else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = data.canonicalize().unwrap();
    let arguments = format!("evaluate paper --data {} --out out --seeds 1 --epochs 1 --models live --json", data.display());
    let made = json(&chronos(folder.path(), &arguments));
    let (live, persistence) = (&made["trained"][0], &made["comparison"]["persistence"]);
    println!("{} beside persistence {persistence}, blocks {}", live["test"], live["blocks"]);
    assert!(live["test"]["rmse"].as_f64().unwrap() < 1.1 * persistence["rmse"].as_f64().unwrap());
    assert_eq!(live["blocks"]["alive"], live["blocks"]["count"]);
}

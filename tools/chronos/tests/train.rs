//! `chronos train` and `chronos evaluate ticks` as a user meets them: skill where a signal was planted, none where there is none.
#![cfg(feature = "train")]

use assert_cmd::Command;
use chronos_research::ledger::Ledger;
use chronos_session::html::plot::GRID;
use chronos_tests::page::check_page;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// A network that learns in seconds.
const SMALL: &str = r#"
[labels]
horizon = "1s"

[split]
at = "0.6"

[window]
steps = 32
read = 16

[network]
d_model = 16
layers = 1
d_state = 4
expand = 1
dt_rank = 2
head_hidden = 16
dropout = 0.0

[training]
epochs = 8
learning_rate = 0.003

[training.schedule.warmup_cosine]
warmup = 1
total = 8
floor = 0.0001
"#;

fn chronos(folder: &Path, line: &str) -> Output {
    let output = Command::cargo_bin("chronos").unwrap().current_dir(folder).args(line.split(' ')).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{line}: {errors}");
    output
}

fn succeeds(folder: &Path, line: &str) -> String {
    let output = chronos(folder, line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, line: &str) -> Value {
    serde_json::from_str(&succeeds(folder, line)).unwrap()
}

fn refused(folder: &Path, line: &str) -> String {
    let output = chronos(folder, line);
    assert_eq!(output.status.code(), Some(2), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with ten minutes of a market with so strong a signal, and the configuration.
fn folder(strength: f64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), SMALL).unwrap();
    succeeds(folder.path(), &format!("exchange generate --plant {strength} --seconds 600 --seed 3 --out market.gz"));
    folder
}

#[test]
fn from_a_capture_to_a_model_that_a_replay_runs() {
    let folder = folder(0.8);
    let folder = folder.path();
    let trained = json(folder, "train --data market.gz --config small.toml --out models/planted --json");
    let training = &trained["training"];
    assert_eq!(training["test"]["has_skill"], true, "{:#}", training["test"]);
    let models = training["test"]["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["model", "majority", "last move", "order flow"]);
    assert!(models[0]["scores"]["auc"].as_f64().unwrap() > 0.7);
    assert!(training["members"][0]["curves"]["epochs"].as_array().unwrap().len() > 1);
    // No cycle of a day can be learnt from ten minutes.
    assert!(training["left_out"].as_array().unwrap().iter().any(|name| name == "time_of_day_sin"));
    check_page(&std::fs::read_to_string(folder.join("models/planted/curves.html")).unwrap(), GRID);

    // The line it ends with, with either engine.
    let line = trained["try"].as_str().unwrap().strip_prefix("chronos ").unwrap();
    for engine in ["native", "tract"] {
        let report = json(folder, &format!("{line} --engine {engine} --json"));
        assert!(report["inferences"].as_u64().unwrap() > 1_000 && report["signals"].as_u64().unwrap() > 0, "{report:#}");
    }

    // It is alive: its one block changes what it says, and it is more than an affine map.
    let inspected = json(folder, "model inspect models/planted --data market.gz --steps 32 --json");
    let inspected = &inspected[0];
    assert_eq!((&inspected["blocks"][0]["verdict"], &inspected["is_affine"]), (&"alive".into(), &false.into()), "{inspected:#}");
    assert!(succeeds(folder, "model inspect models/planted --data market.gz --windows 20").contains("more than an affine map"));

    // On other captures of the same kind there is as much skill.
    succeeds(folder, "exchange generate --plant 0.8 --seconds 300 --seed 9 --out later.gz");
    let line = "evaluate ticks --model models/planted --data later.gz --html page.html --json";
    let later = json(folder, line);
    assert_eq!(later["scores"]["has_skill"], true, "{:#}", later["scores"]);
    check_page(&std::fs::read_to_string(folder.join("page.html")).unwrap(), GRID);
    let text = succeeds(folder, "evaluate ticks --model models/planted --data market.gz");
    assert!(
        text.contains("skill is shown: its log-loss is better")
            && text.contains("these are the captures that the model was trained on"),
        "{text}"
    );
    assert!(
        refused(folder, "evaluate ticks --model models/planted --data market.gz --from 2031-01-01")
            .contains("name an earlier time")
    );

    // Nothing is overwritten; the trial is in the ledger.
    assert!(refused(folder, "train --data market.gz --out models/planted").contains("holds a model already"));
    let history = Ledger::in_folder(&folder.join("ledger")).read().unwrap();
    assert_eq!(history.trials.iter().map(|trial| trial.command.as_str()).collect::<Vec<_>>(), ["train"]);
}

#[test]
fn the_same_seed_gives_the_same_model_and_an_ensemble_is_one_model() {
    let folder = folder(0.8);
    let folder = folder.path();
    let train = |out: &str, more: &str| {
        json(folder, &format!("train --data market.gz --config small.toml --epochs 1 --out {out} --json{more}"))
    };
    let (one, again) = (train("a", ""), train("b", ""));
    assert_eq!(one["sha256"], again["sha256"]);
    let ensemble = train("c", " --members 2 --seed 1");
    assert_eq!(ensemble["training"]["members"].as_array().unwrap().len(), 2);
    assert_eq!(ensemble["sha256"], one["sha256"], "the first member is that of the seed");
    let report = json(folder, "replay market.gz --model c --json");
    assert!(report["inferences"].as_u64().unwrap() > 1_000);
}

#[test]
fn none_is_claimed_where_there_is_none() {
    let folder = folder(0.0);
    let folder = folder.path();
    let text = succeeds(folder, "train --data market.gz --config small.toml --out null");
    assert!(text.contains("no skill is shown") && text.contains("chronos replay market.gz --model null"), "{text}");
}

#[test]
fn a_dataset_and_the_printed_configuration_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = succeeds(folder, "train --print-config");
    assert!(text.contains("[network]") && text.contains("[session.tick]"), "{text}");
    let quick = text
        .replace("\nepochs = 20\n", "\nepochs = 1\n")
        .replace("d_model = 128", "d_model = 8")
        .replace("layers = 4", "layers = 2");
    assert_ne!(quick, text);
    std::fs::write(folder.join("printed.toml"), &quick).unwrap();
    succeeds(folder, "exchange generate --seconds 90 --out market.gz");
    succeeds(folder, "dataset market.gz --events every:1 --horizon 1s --out data");
    let trained = json(folder, "train --data data --config printed.toml --out models/set --json");
    assert!(trained["training"]["counts"]["train"].as_u64().unwrap() > 100);
    json(folder, "replay market.gz --model models/set --json");
    let walked = succeeds(folder, "train --data data --config printed.toml --folds 2 --out models/walked");
    assert!(
        walked.contains("folds one after the other") && walked.lines().any(|line| line.trim_start().starts_with("2 ")),
        "{walked}"
    );
    std::fs::write(folder.join("wrong.toml"), "[labels]\nhorizn = \"1s\"\n").unwrap();
    let told = refused(folder, "train --data data --config wrong.toml --out models/no");
    assert!(told.contains("did you mean `horizon`?"), "{told}");
    assert!(refused(folder, "train --data market.gz --horizon soon --out models/no").contains("labels.horizon"));
    assert!(refused(folder, "train --data market.gz --device tpu --out models/no").contains("cpu or gpu"));
    if cfg!(not(feature = "gpu")) {
        assert!(refused(folder, "train --data market.gz --device gpu --out models/no").contains("--features gpu"));
    }
}

//! The command as a user meets it: what it prints, where, and with which exit status.

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A generated capture of a few seconds, in a folder of its own.
struct Fixture {
    folder: TempDir,
    lines: Vec<String>,
}

impl Fixture {
    fn get() -> &'static Fixture {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for name in ["capture", "capture.gz"] {
                let out = folder.path().join(name);
                succeeds(&["exchange", "generate", "--seed", "3", "--seconds", "16", "--out", &text(&out)]);
            }
            let lines = std::fs::read_to_string(folder.path().join("capture")).unwrap();
            Fixture { lines: lines.lines().map(str::to_owned).collect(), folder }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a capture.
    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    }

    /// Index of the first line from `from` on that holds `what`.
    fn find(&self, from: usize, what: &str) -> usize {
        from + self.lines[from..].iter().position(|line| line.contains(what)).expect("such a line")
    }

    /// Index of a depth message well after the snapshot.
    fn late_depth(&self) -> usize {
        self.find(self.lines.len() / 2, "depthUpdate")
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn chronos(arguments: &[&str]) -> Output {
    let output = Command::cargo_bin("chronos").unwrap().args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    output
}

fn succeeds(arguments: &[&str]) -> String {
    let output = chronos(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The report of a replay without a model.
fn report(path: &Path) -> Value {
    let printed = succeeds(&["replay", &text(path), "--model", "none", "--verify", "--json"]);
    serde_json::from_str(&printed).expect("one JSON object and nothing else on standard output")
}

/// Ends with status 2, nothing on standard output, and all of `parts` on standard error.
fn is_refused(arguments: &[&str], parts: &[&str]) {
    let output = chronos(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed {}", String::from_utf8_lossy(&output.stdout));
    for part in parts {
        assert!(errors.contains(part), "{arguments:?}: `{part}` is not in: {errors}");
    }
}

/// One of the notices holds all of `parts`.
fn is_told(report: &Value, parts: &[&str]) {
    let notices: Vec<&str> = report["notices"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(notices.iter().any(|notice| parts.iter().all(|part| notice.contains(part))), "no notice holds {parts:?}: {notices:#?}");
}

#[test]
fn a_json_report_is_one_object_with_every_field() {
    let report = report(&Fixture::get().path("capture.gz"));
    for field in [
        "schema",
        "engine",
        "topology",
        "config_hash",
        "model_sha256",
        "messages",
        "malformed",
        "gaps",
        "resyncs",
        "trades",
        "book_checks",
        "features",
        "inferences",
        "signals",
        "orders",
        "rejects",
        "fills",
        "pnl_quote",
        "fees_quote",
        "digest",
        "frames_skipped",
        "dropped",
        "messages_per_s",
        "wall_s",
        "latency_ns",
    ] {
        assert!(report.get(field).is_some(), "no `{field}`");
    }
    for field in ["compared", "mismatched", "crossed"] {
        assert!(report["book_checks"][field].is_u64(), "no `book_checks.{field}`");
    }
    for stage in ["decode", "book", "features", "inference", "decision", "risk", "tick_to_trade"] {
        for field in ["count", "p50", "p99", "p999", "max"] {
            assert!(report["latency_ns"][stage][field].is_u64(), "no `latency_ns.{stage}.{field}`");
        }
    }
    assert_eq!(report["messages"], Fixture::get().lines.len());
    assert_eq!((&report["malformed"], &report["gaps"], &report["resyncs"]), (&0.into(), &0.into(), &0.into()));
    assert!(report["orders"].as_u64() > Some(0) && report["book_checks"]["compared"].as_u64() > Some(0));
    assert_eq!((&report["book_checks"]["mismatched"], &report["book_checks"]["crossed"]), (&0.into(), &0.into()));
}

#[test]
fn broken_lines_are_counted_told_and_stop_nothing() {
    let fixture = Fixture::get();
    let mut lines = fixture.lines.clone();
    let time = lines[100].split(' ').next().unwrap().to_owned();
    lines.insert(100, "this is no capture line".into());
    lines.insert(101, format!("{time} {{\"e\":\"trade\","));
    lines.insert(102, format!("{time} {{\"e\":\"balloon\",\"E\":1}}"));
    lines.insert(103, String::new());
    let report = report(&fixture.write("broken", &lines));
    assert_eq!((&report["malformed"], &report["messages"]), (&4.into(), &lines.len().into()));
    is_told(&report, &["broken, line 101", "receive time"]);
    is_told(&report, &["broken, line 102", "not JSON from byte"]);
    is_told(&report, &["broken, line 103", "unknown event type `balloon`"]);
    is_told(&report, &["broken, line 104"]);
    assert_eq!(report["digest"], self::report(&fixture.path("capture"))["digest"]);
}

#[test]
fn a_cut_gzip_is_replayed_up_to_the_cut() {
    let fixture = Fixture::get();
    let bytes = std::fs::read(fixture.path("capture.gz")).unwrap();
    let path = fixture.path("cut.gz");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let report = report(&path);
    let messages = report["messages"].as_u64().unwrap();
    assert!(messages > 0 && messages < fixture.lines.len() as u64);
    is_told(&report, &["cut.gz", "cut off or damaged", "again"]);
}

#[test]
fn without_its_snapshot_a_book_is_never_in_sync_and_nothing_is_sent() {
    let fixture = Fixture::get();
    let mut lines = fixture.lines.clone();
    lines.remove(fixture.find(0, "lastUpdateId"));
    let report = report(&fixture.write("no-snapshot", &lines));
    assert_eq!((&report["orders"], &report["features"]), (&0.into(), &0.into()));
    assert_eq!(report["instruments"][0]["synced"], false);
    is_told(&report, &["BTCUSDT", "snapshot"]);
}

#[test]
fn a_hole_in_the_ids_is_a_gap_and_a_duplicate_is_nothing() {
    let fixture = Fixture::get();
    let mut lacking = fixture.lines.clone();
    lacking.remove(fixture.late_depth());
    let report = report(&fixture.write("gap", &lacking));
    assert_eq!((&report["gaps"], &report["resyncs"]), (&1.into(), &0.into()));
    assert_eq!(report["instruments"][0]["synced"], false);
    is_told(&report, &["BTCUSDT", "1 break", "snapshot"]);

    let mut repeated = fixture.lines.clone();
    repeated.insert(fixture.late_depth(), repeated[fixture.late_depth()].clone());
    let report = self::report(&fixture.write("repeated", &repeated));
    assert_eq!((&report["gaps"], &report["malformed"]), (&0.into(), &0.into()));
    assert_eq!(report["digest"], self::report(&fixture.path("capture"))["digest"]);
}

#[test]
fn what_is_no_capture_is_refused_with_the_path_and_a_remedy() {
    let fixture = Fixture::get();
    let (empty, folder, prose) = (fixture.path("empty"), fixture.path("empty-folder"), fixture.path("prose.txt"));
    std::fs::write(&empty, "").unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&prose, "Once upon a time\nthere was a market\n").unwrap();
    is_refused(&["replay", &text(&empty)], &["error:", &text(&empty), "the file is empty"]);
    is_refused(&["replay", &text(&folder)], &["error:", &text(&folder), "the folder holds no file"]);
    is_refused(&["replay", &text(&prose)], &["error:", &text(&prose), "format not recognised", "line 1", "Expected lines"]);
    let missing = fixture.path("missing.gz");
    is_refused(&["replay", &text(&missing)], &["error:", &text(&missing), "No such file"]);
    is_refused(&["replay"], &["required", "Usage"]);
}

#[test]
fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_name() {
    let fixture = Fixture::get();
    let config = fixture.path("misspelt.toml");
    std::fs::write(&config, "[risk]\norders_per_second_max = 5\ncoller_bps = 20\n").unwrap();
    let capture = text(&fixture.path("capture"));
    is_refused(&["replay", &capture, "--config", &text(&config)], &["misspelt.toml", "line 3", "risk.coller_bps", "collar_bps"]);
    std::fs::write(&config, "[risk]\norders_per_second_max = 0\n").unwrap();
    is_refused(&["replay", &capture, "--config", &text(&config)], &["risk.orders_per_second_max", "must be 1 to 1024"]);
    let printed = succeeds(&["replay", "--print-config"]);
    std::fs::write(&config, printed).unwrap();
    succeeds(&["replay", &capture, "--config", &text(&config), "--model", "none", "--limit", "100", "--json"]);
}

#[test]
fn controls_are_done_and_a_file_that_makes_no_sense_is_refused() {
    let fixture = Fixture::get();
    let (controls, capture) = (fixture.path("controls.toml"), text(&fixture.path("capture")));
    let replayed = ["replay", &capture, "--model", "none", "--json", "--controls", &text(&controls)];
    std::fs::write(&controls, "[[control]]\nat = 200\ndo = \"halt\"\n").unwrap();
    let report: Value = serde_json::from_str(&succeeds(&replayed)).unwrap();
    assert_eq!((&report["trading_state"], report["orders"].as_u64()), (&Value::from("halted"), Some(0)));
    std::fs::write(&controls, "[[control]]\nat = 200\ndo = \"hold\"\n").unwrap();
    is_refused(&replayed, &["controls.toml", "line 1", "`do` is `hold`", "`halt`"]);
    std::fs::write(&controls, "[[control]]\nat = 200\ndo = \"kill\"\nsymbol = \"BTCUSD\"\n").unwrap();
    is_refused(&replayed, &["controls.toml", "line 1", "did you mean `BTCUSDT`?"]);
}

#[test]
fn a_model_is_made_replayed_and_refused_where_its_features_are_unknown() {
    let fixture = Fixture::get();
    let model = fixture.path("model");
    let printed = succeeds(&["model", "new", "--seed", "5", "--out", &text(&model)]);
    assert!(printed.contains("untrained") && printed.contains("sha256"), "{printed}");
    is_refused(&["model", "new", "--out", &text(&model)], &[&text(&model), "holds a model already"]);

    let capture = text(&fixture.path("capture"));
    let arguments = ["replay", &capture, "--model", &text(&model), "--limit", "3000", "--json"];
    let report: Value = serde_json::from_str(&succeeds(&arguments)).unwrap();
    assert!(report["inferences"].as_u64() > Some(0));
    assert!(printed.contains(report["model_sha256"].as_str().unwrap()));

    let manifest = model.join("manifest.toml");
    let good = std::fs::read_to_string(&manifest).unwrap();
    let names = good.find("names = [").expect("the names of the features");
    let first = good[names..].find('"').map(|at| names + at + 1).unwrap();
    let unknown = format!("{}unheard_of_{}", &good[..first], &good[first..]);
    std::fs::write(&manifest, unknown).unwrap();
    is_refused(&arguments, &["manifest.toml", "unheard_of_", "is not in this build's registry"]);
    std::fs::remove_file(&manifest).unwrap();
    is_refused(&arguments, &["manifest.toml", "chronos model new"]);
}

#[test]
fn the_same_seed_generates_the_same_bytes() {
    let fixture = Fixture::get();
    let again = fixture.path("again.gz");
    succeeds(&["exchange", "generate", "--seed", "3", "--seconds", "16", "--out", &text(&again)]);
    let bytes = std::fs::read(&again).unwrap();
    assert!(bytes == std::fs::read(fixture.path("capture.gz")).unwrap(), "the same seed gave other bytes");
    succeeds(&["exchange", "generate", "--seed", "4", "--seconds", "16", "--out", &text(&again)]);
    assert!(bytes != std::fs::read(&again).unwrap(), "another seed gave the same bytes");
}

#[test]
fn a_capture_is_as_long_as_asked_for() {
    let out = Fixture::get().path("long.txt");
    succeeds(&["exchange", "generate", "--bytes", "300kB", "--symbols", "3", "--out", &text(&out)]);
    let size = std::fs::metadata(&out).unwrap().len();
    assert!((300_000..400_000).contains(&size), "{size}");
}

#[test]
fn an_itch_feed_is_written_and_told() {
    let fixture = Fixture::get();
    let out = fixture.path("feed.pcapng");
    let told = succeeds(&[
        "exchange",
        "itch",
        "--messages",
        "9000",
        "--instruments",
        "2",
        "--gap-rate",
        "0.1",
        "--json",
        "--out",
        &text(&out),
    ]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["messages"].as_u64() >= Some(9_000) && told["books"].as_array().is_some_and(|books| books.len() == 2), "{told}");
    assert!(!told["dropped"].as_array().unwrap().is_empty() && told["reordered"].as_array().unwrap().is_empty());
    assert!(std::fs::read(&out).unwrap().starts_with(&[0x0A, 0x0D, 0x0D, 0x0A]));
    is_refused(&["exchange", "itch", "--out", &text(&fixture.path("feed.txt"))], &["feed.txt", ".pcapng"]);
}

/// What a capture holds.
fn inspection(path: &Path) -> Value {
    serde_json::from_str(&succeeds(&["inspect", &text(path), "--json"])).expect("one JSON object and nothing else")
}

#[test]
fn an_inspection_counts_what_a_capture_holds() {
    let fixture = Fixture::get();
    let inspection = inspection(&fixture.path("capture.gz"));
    let lines_with = |what: &str| fixture.lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!((&inspection["records"], &inspection["malformed"]), (&fixture.lines.len().into(), &0.into()));
    assert_eq!(
        (&inspection["files"][0]["compression"], &inspection["files"][0]["receive_clock"]),
        (&"gzip".into(), &"recorder".into())
    );
    let instrument = &inspection["instruments"][0];
    for (kind, what) in
        [("depth", "depthUpdate"), ("quote", "bookTicker\""), ("trade", "\"e\":\"trade\""), ("snapshot", "lastUpdateId")]
    {
        assert!(lines_with(what) > 0);
        assert_eq!(instrument["kinds"][kind], lines_with(what), "{kind}");
    }
    assert_eq!((&instrument["book"]["state"], &instrument["book"]["gaps"]), (&"in_sync".into(), &0.into()));
    assert!(instrument["clock_offset"]["count"].as_u64() > Some(0));
    assert_eq!(inspection["incidents"], Value::Array(Vec::new()));
}

#[test]
fn an_inspection_tells_of_a_hole_and_of_a_broken_line() {
    let fixture = Fixture::get();
    let mut lines = fixture.lines.clone();
    let hole = fixture.late_depth();
    let received = lines[fixture.find(hole + 1, "depthUpdate")].split(' ').next().unwrap().parse::<i64>().unwrap();
    lines.remove(hole);
    lines.insert(100, "this is no capture line".into());
    let path = fixture.write("holed", &lines);
    let inspection = inspection(&path);
    assert_eq!((&inspection["malformed"], &inspection["files"][0]["first_malformed"]["record"]), (&1.into(), &101.into()));
    let book = &inspection["instruments"][0]["book"];
    assert_eq!((&book["gaps"], &book["state"]), (&1.into(), &"out_of_sync".into()));
    assert_eq!((&inspection["incidents"][0]["kind"], &inspection["incidents"][0]["at_ns"]), (&"book_gap".into(), &received.into()));
    let kinds: Vec<&str> =
        inspection["warnings"].as_array().unwrap().iter().filter_map(|warning| warning["kind"].as_str()).collect();
    assert!(["malformed", "out_of_sync", "book_gaps"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");

    let page = fixture.path("holed.html");
    let printed = succeeds(&["inspect", &text(&path), "--html", &text(&page)]);
    for part in ["out of sync", "warning: ", "the first is record 101", "holed.html"] {
        assert!(printed.contains(part), "`{part}` is not in: {printed}");
    }
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("update ids break off"));
}

#[test]
fn a_replay_over_sockets_tells_what_they_did() {
    let fixture = Fixture::get();
    let path = text(&fixture.path("capture.gz"));
    let from_file = report(&fixture.path("capture.gz"));
    let over = ["replay", &path, "--model", "none", "--over", "udp", "--speed", "max"];
    let printed: Value = serde_json::from_str(&succeeds(&[&over[..], &["--json"]].concat())).unwrap();
    assert_eq!(printed["digest"], from_file["digest"]);
    let wire = &printed["wire"];
    assert_eq!((&wire["transport"], &wire["received"], &wire["missing"]), (&"udp".into(), &from_file["messages"], &0.into()));
    assert!(wire["latency_ns"]["crossings"]["p50"].as_u64() > Some(0));
    assert!(from_file["wire"].is_null(), "a replay from a file says nothing of sockets");

    let tables = succeeds(&[&over[..], &["--loss", "0.01", "--seed", "9"]].concat());
    for part in ["Sockets", "crossings", "message in", "over udp, as fast as taken", "lost"] {
        assert!(tables.contains(part), "`{part}` is not in: {tables}");
    }
    is_refused(&["replay", &path, "--loss", "0.1"], &["--over"]);
    is_refused(&["replay", &path, "--over", "ws", "--speed", "fast"], &["--speed", "max"]);
    is_refused(&["replay", &path, "--over", "ws", "--speed", "0"], &["--speed", "above 0"]);
    is_refused(&["replay", &path, "--over", "udp", "--reorder", "1"], &["--reorder", "below 1"]);
    is_refused(&["replay", &path, "--over", "udp", "--topology", "split"], &["--topology fused"]);
}

#[test]
fn every_command_explains_itself() {
    let of_exchange = [&["exchange"][..], &["exchange", "generate"], &["exchange", "itch"]];
    for command in [&[][..], &["replay"], &["demo"], &["inspect"], &["model"], &["model", "new"]].into_iter().chain(of_exchange) {
        let help = succeeds(&[command, &["--help"]].concat());
        assert!(help.contains("Usage: chronos"), "{command:?}: {help}");
    }
    assert!(succeeds(&["--version"]).starts_with("chronos "));
}

#[test]
fn a_journal_is_listed_verified_and_followed() {
    let fixture = Fixture::get();
    let (capture, record) = (text(&fixture.path("capture.gz")), fixture.path("recorded"));
    let recorded = succeeds(&["replay", &capture, "--model", "none", "--record", &text(&record)]);
    assert!(recorded.contains("a power loss at the worst moment could have cost"), "{recorded}");
    let journal = text(&record.join("journal"));

    let listed = succeeds(&["journal", "dump", &journal]);
    let kinds = ["session_start", "instrument", "capture", "order", "report", "session_end"];
    for kind in kinds {
        assert!(listed.lines().any(|line| line.contains(&format!(" {kind} "))), "{kind} is not in: {listed}");
    }
    assert!(listed.contains("symbol=BTCUSDT side="), "{listed}");
    let objects: Vec<Value> =
        succeeds(&["journal", "dump", &text(&record), "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), listed.lines().count());
    assert!(objects.iter().enumerate().all(|(place, object)| object["seq"] == place as u64 + 1));
    let order = objects.iter().find(|object| object["kind"] == "order").expect("an order");
    assert!(order["price"].is_string() && order["qty"].is_string() && order["signal"].is_number(), "{order}");

    let verified = succeeds(&["journal", "verify", &journal]);
    assert!(verified.contains("whole, and the session ended"), "{verified}");
    let followed = succeeds(&["replay", &capture, "--model", "none", "--journal", &journal]);
    assert!(followed.contains("the same to the byte"), "{followed}");
    is_refused(
        &["replay", &capture, "--model", "none", "--latency-us", "7", "--journal", &journal],
        &["the configuration", "--config"],
    );

    // A bit of the last record: the one before it is the last that counts.
    let segment = record.join("journal").join("000001.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 4;
    std::fs::write(&segment, &bytes).unwrap();
    let damaged = chronos(&["journal", "verify", &journal]);
    let told = String::from_utf8_lossy(&damaged.stdout);
    assert_eq!(damaged.status.code(), Some(1), "{told}");
    assert!(told.contains("damaged: ") && told.contains("the checksum does not agree"), "{told}");
    let verdict: Value = serde_json::from_slice(&chronos(&["journal", "verify", &journal, "--json"]).stdout).unwrap();
    assert_eq!((&verdict["records"], &verdict["damage"]["records_lost"]), (&(objects.len() as u64 - 1).into(), &1.into()));
    is_refused(&["journal", "verify", &text(&fixture.path("capture"))], &["capture"]);
    is_refused(&["journal", "dump", &text(&fixture.path("nowhere"))], &["nowhere"]);
}

#[test]
fn output_that_nobody_reads_ends_the_command_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_chronos")).args(["features", "list"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}

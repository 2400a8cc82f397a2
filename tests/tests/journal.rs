//! A recorded replay, followed by its journal: the same orders, and the journal written anew the same to the byte, whatever the
//! topology. And what is not the session is refused.

use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_pipeline::journal::Recovery;
use chronos_session::config::Config;
use chronos_session::report::Report;
use chronos_session::{ReplayOptions, SessionError, replay};
use chronos_tests::data_file;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Lines of a recorded capture that are replayed.
const LINES: u64 = 30_000;

fn options(capture: PathBuf, mode: &str) -> ReplayOptions {
    let mut config = Config::default();
    config.model.path = "none".into();
    config.topology.mode = mode.into();
    config.decision.entry = 0.15;
    config.decision.horizon_ms = 300.0;
    (config.parameters.window_ms, config.parameters.lag_ms) = (1_000.0, 100.0);
    config.journal.segment_mib = 1;
    ReplayOptions { paths: vec![capture], config, ..ReplayOptions::default() }
}

fn replayed(options: &ReplayOptions) -> Report {
    replay(options, &mut |_| {}).expect("a replay").report
}

/// Name and bytes of each segment of what was recorded.
fn segments(record: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(record.join("journal")).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

fn demo() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("capture.gz");
    let config = GeneratorConfig { seed: 5, seconds: 20, depth_interval_ms: 20, ..GeneratorConfig::default() };
    generate_file(&config, &capture, &mut |_| {}).unwrap();
    (folder, capture)
}

/// Records in one topology, follows in both, recording again.
fn follows(capture: &Path, limit: Option<u64>) {
    for mode in ["fused", "split"] {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record");
        let first = replayed(&ReplayOptions { record: Some(record.clone()), limit, ..options(capture.to_owned(), mode) });
        assert!(first.orders > 10 && first.fills > 10, "too little happened: {} orders, {} fills", first.orders, first.fills);
        let journal = first.journal.expect("what became of the journal");
        assert!(journal.records > first.orders + first.fills && journal.unsynced_records_max > 0, "{journal:?}");
        for follower in ["fused", "split"] {
            let again = folder.path().join(follower);
            let mut following = options(capture.to_owned(), follower);
            // What does not change an order may differ.
            following.config.journal.segment_mib = 2;
            let followed = replayed(&ReplayOptions { record: Some(again.clone()), journal: Some(record.clone()), ..following });
            assert_eq!((&followed.digest, followed.fills), (&first.digest, first.fills), "{mode}, then {follower}");
            assert!(segments(&record) == segments(&again), "{mode}, then {follower}: the journals differ");
            let told = followed.notices.iter().any(|notice| notice.contains("the same to the byte; the end of the session"));
            assert!(told, "{:?}", followed.notices);
        }
    }
}

#[test]
fn a_generated_session_happens_again() {
    let (_folder, capture) = demo();
    follows(&capture, None);
}

#[test]
fn a_recorded_session_happens_again() {
    if let Some(capture) = data_file("binance_ws/usdm_btcusdt_20240808.gz") {
        follows(&capture, Some(LINES));
    }
}

#[test]
fn the_same_replay_writes_the_same_journal_and_another_one_is_refused() {
    let (folder, capture) = demo();
    let record = |name: &str| folder.path().join(name);
    let base = options(capture.clone(), "fused");
    replayed(&ReplayOptions { record: Some(record("one")), ..base.clone() });
    replayed(&ReplayOptions { record: Some(record("two")), ..base.clone() });
    assert!(segments(&record("one")) == segments(&record("two")));

    let following = ReplayOptions { journal: Some(record("one")), ..base.clone() };
    let refusal = |options: &ReplayOptions| replay(options, &mut |_| {}).expect_err("another session").to_string();
    let mut other = following.clone();
    other.config.decision.entry = 0.16;
    assert!(refusal(&other).contains("the configuration is not that of the session"));
    let mut other = following.clone();
    (other.config.model.path, other.config.model.seed) = ("untrained".into(), 3);
    assert!(refusal(&other).contains("the model is not that of the session"));
    let other = ReplayOptions { limit: Some(100), ..following.clone() };
    assert!(refusal(&other).contains("leave `--limit` out"));
    let copy = folder.path().join("other.gz");
    generate_file(&GeneratorConfig { seed: 6, seconds: 20, ..GeneratorConfig::default() }, &copy, &mut |_| {}).unwrap();
    let refused = refusal(&ReplayOptions { paths: vec![copy], ..following.clone() });
    assert!(refused.contains("the capture is not that of the session") && refused.contains("capture.gz"), "{refused}");
    // A folder that holds a recording, or a journal alone, is not written into.
    let used = folder.path().join("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::rename(record("two").join("journal"), used.join("journal")).unwrap();
    let refused = refusal(&ReplayOptions { record: Some(used), ..base });
    assert!(refused.contains("holds a journal already"), "{refused}");
}

#[test]
fn an_order_that_is_not_the_journals_is_told_with_both() {
    let (folder, capture) = demo();
    let record = folder.path().join("record");
    let base = options(capture, "fused");
    replayed(&ReplayOptions { record: Some(record.clone()), ..base.clone() });
    // The journal of a session with another strategy, under the beginning of this one: made by a build that decides otherwise.
    let forged = folder.path().join("forged");
    forge(&record, &forged);
    let error = replay(&ReplayOptions { journal: Some(forged), ..base }, &mut |_| {}).expect_err("another order");
    let SessionError::Different { difference, .. } = &error else { panic!("{error}") };
    let (journal, replay) = (difference.journal.as_ref().expect("its order"), difference.replay.as_ref().expect("our order"));
    assert_eq!((journal.kind, journal.recv_ns, journal.seq), (replay.kind, replay.recv_ns, replay.seq));
    assert_ne!(journal.payload, replay.payload);
    let text = error.to_string();
    assert!(text.contains(&format!("record {}", journal.seq)) && text.matches("NewOrder").count() == 2, "{text}");
}

/// Copies a journal, with one price changed in its third order.
fn forge(from: &Path, to: &Path) {
    use chronos_pipeline::journal::{Journal, JournalConfig, RecordKind, WhenLate};
    let recovery = Recovery::open(from).unwrap();
    let (folder, session, segment_bytes) = (to.to_owned(), recovery.session, recovery.segment_bytes);
    let sync_interval = std::time::Duration::from_millis(5);
    let mut journal =
        Journal::create(&JournalConfig { folder, session, segment_bytes, sync_interval, when_late: WhenLate::Wait }).unwrap();
    let (mut reader, mut orders) = (recovery.reader(), 0);
    while let Some(record) = reader.next().unwrap() {
        let mut payload = record.payload.to_vec();
        orders += u64::from(record.kind == RecordKind::Order);
        if record.kind == RecordKind::Order && orders == 3 {
            payload[24] ^= 1;
        }
        journal.append(record.kind, record.recv_ns, &payload).unwrap();
    }
    journal.close().unwrap();
}

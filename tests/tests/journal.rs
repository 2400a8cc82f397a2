//! A recorded replay, followed by its journal: the same orders, and the journal written anew the same to the byte, whatever the
//! topology. And what is not the session is refused.

use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_market::decode::split_capture_line;
use chronos_market::{InstrumentId, Qty};
use chronos_pipeline::decision::{Control, Scope};
use chronos_pipeline::journal::{Content, Recovery};
use chronos_pipeline::risk::RiskLimits;
use chronos_pipeline::topology::{ByHand, Fused, Waiting};
use chronos_session::assembly::{Assembly, AssemblyOptions, assemble};
use chronos_session::capture::{Capture, CaptureItem};
use chronos_session::config::Config;
use chronos_session::controls::{DoneByHand, Moment};
use chronos_session::format::{clock_utc, date_utc};
use chronos_session::journal::SessionInput;
use chronos_session::model::ChosenModel;
use chronos_session::report::Report;
use chronos_session::wire::{Speed, Transport, WireOptions};
use chronos_session::{ReplayOptions, Resync, SessionError, replay};
use chronos_tests::data_file;
use flate2::read::MultiGzDecoder;
use meta_of_sides::write_meta;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

mod meta_of_sides;

/// Lines of a recorded capture that are replayed.
const LINES: u64 = 30_000;

fn options(capture: PathBuf) -> ReplayOptions {
    let mut config = Config::default();
    config.model.path = "none".into();
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

/// Records in one topology, follows in both, recording again; in both topologies it is the same session.
fn follows(base: &ReplayOptions) -> Report {
    let [fused, split] = ["fused", "split"].map(|mode| {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record");
        let mut recording = ReplayOptions { record: Some(record.clone()), ..base.clone() };
        recording.config.topology.mode = mode.into();
        let first = replayed(&recording);
        assert!(first.orders > 10 && first.fills > 10, "too little happened: {} orders, {} fills", first.orders, first.fills);
        let journal = first.journal.as_ref().expect("what became of the journal");
        assert!(journal.records > first.orders + first.fills && journal.unsynced_records_max > 0, "{journal:?}");
        for follower in ["fused", "split"] {
            let again = folder.path().join(follower);
            let (record_to, journal) = (Some(again.clone()), Some(record.clone()));
            let mut following = ReplayOptions { record: record_to, journal, controls: None, ..base.clone() };
            // What does not change an order may differ.
            following.config.topology.mode = follower.into();
            following.config.journal.segment_mib = 2;
            let followed = replayed(&following);
            assert_eq!((&followed.digest, followed.fills), (&first.digest, first.fills), "{mode}, then {follower}");
            assert!(segments(&record) == segments(&again), "{mode}, then {follower}: the journals differ");
            let told = followed.notices.iter().any(|notice| notice.contains("the same to the byte; the end of the session"));
            assert!(told, "{:?}", followed.notices);
        }
        (segments(&record), first)
    });
    assert!(fused.0 == split.0, "the journals of the two topologies differ");
    assert_eq!(fused.1.digest, split.1.digest);
    fused.1
}

/// Records of each kind in the journal of a recording, which this makes.
fn kinds(options: &ReplayOptions) -> BTreeMap<&'static str, u64> {
    let folder = tempfile::tempdir().unwrap();
    replayed(&ReplayOptions { record: Some(folder.path().to_owned()), ..options.clone() });
    let mut reader = Recovery::open(folder.path()).unwrap().reader();
    let mut kinds = BTreeMap::new();
    while let Some(record) = reader.next().unwrap() {
        assert!(Content::of(&record).is_some(), "{record:?}");
        *kinds.entry(record.kind.name()).or_default() += 1;
    }
    kinds
}

/// What somebody does within a session of so many lines.
fn by_hand(lines: u64) -> Vec<DoneByHand> {
    let instrument = Scope::Instrument(InstrumentId(0));
    let small = RiskLimits { order_qty_max: Qty(1), collar_bps: 20, ..RiskLimits::default() };
    let what = [
        ByHand::Limits(small),
        ByHand::Limits(RiskLimits::default()),
        ByHand::Control(Control::Reduce),
        ByHand::Control(Control::Resume),
        ByHand::Control(Control::Halt),
        ByHand::Control(Control::Resume),
        ByHand::Control(Control::Kill(instrument)),
        ByHand::Control(Control::Restore(instrument)),
    ];
    let place = |place: usize| lines * (place as u64 + 3) / 14;
    what.into_iter().enumerate().map(|(at, what)| DoneByHand { at: Moment::AfterLines(place(at)), what }).collect()
}

#[test]
fn a_generated_session_happens_again() {
    let (_folder, capture) = demo();
    follows(&options(capture));
}

#[test]
fn a_recorded_session_happens_again_with_what_was_done_by_hand() {
    if let Some(capture) = data_file("binance_ws/usdm_btcusdt_20240808.gz") {
        follows(&ReplayOptions { limit: Some(LINES), by_hand: by_hand(LINES), ..options(capture) });
    }
}

#[test]
fn limits_and_orders_to_the_system_happen_again() {
    let (_folder, capture) = demo();
    let plain = options(capture);
    let lines = replayed(&plain).messages;
    let base = ReplayOptions { by_hand: by_hand(lines), ..plain.clone() };
    let first = follows(&base);
    assert!(first.rejects["size"] > 5 && first.rejects["kill_switch"] > 5 && first.rejects["reducing"] > 0, "{:?}", first.rejects);
    let kinds = kinds(&base);
    assert_eq!((kinds["limits"], kinds["control"]), (2, 6), "{kinds:?}");
    // A latch each, and the kill switch of the instrument: set, and lifted.
    assert_eq!(kinds["state"], 6, "{kinds:?}");
    assert_ne!(replayed(&plain).digest, first.digest);
}

/// The same from a file: by lines it is the session of the list above, by times one of its own, and over sockets it is what it is from
/// the file.
#[test]
fn controls_of_a_file_are_done_in_every_topology_and_again_from_the_journal() {
    let (folder, capture) = demo();
    let plain = options(capture.clone());
    let (base, over) = (replayed(&plain), WireOptions { speed: Speed::Max, ..WireOptions::new(Transport::WebSocket) });
    let what = [
        "limits = { order_qty_max = 0.00000001, collar_bps = 20 }",
        "limits = { order_qty_max = 0, collar_bps = 50 }",
        "do = \"reduce\"",
        "do = \"resume\"",
        "do = \"halt\"",
        "do = \"resume\"",
        "do = \"kill\"\nsymbol = \"BTCUSDT\"",
        "do = \"restore\"\nsymbol = \"BTCUSDT\"",
    ];
    let file = |name: &str, at: &dyn Fn(usize) -> String| {
        let entries = what.iter().enumerate().map(|(place, what)| format!("[[control]]\nat = {}\n{what}\n", at(place)));
        let path = folder.path().join(name);
        std::fs::write(&path, entries.collect::<String>()).unwrap();
        path
    };
    let list = by_hand(base.messages);
    let lines = |place: usize| {
        let Moment::AfterLines(lines) = list[place].at else { panic!("lines") };
        lines
    };
    let by_lines = ReplayOptions { controls: Some(file("lines.toml", &|place| lines(place).to_string())), ..plain.clone() };
    let first = follows(&by_lines);
    assert_eq!(first.digest, replayed(&ReplayOptions { by_hand: list.clone(), ..plain.clone() }).digest);
    assert_eq!(first.digest, replayed(&ReplayOptions { over: Some(over), ..by_lines.clone() }).digest);
    assert_ne!(first.digest, base.digest);

    let times = times(&capture);
    let by_times = file("times.toml", &|place| {
        // Between two messages where there is room.
        let nanos = times[lines(place) as usize] + 1_000;
        format!("\"{}T{}Z\"", date_utc(nanos), clock_utc(nanos, 9))
    });
    let by_times = ReplayOptions { controls: Some(by_times), ..plain.clone() };
    let timed = follows(&by_times);
    assert!(timed.rejects["size"] > 5 && timed.rejects["kill_switch"] > 5, "{:?}", timed.rejects);
    assert_eq!(timed.digest, replayed(&ReplayOptions { over: Some(over), ..by_times.clone() }).digest);
    assert_eq!(kinds(&by_times)["control"], 6);

    let cut = replayed(&ReplayOptions { limit: Some(lines(5)), ..by_lines.clone() });
    assert!(cut.notices.iter().any(|notice| notice.starts_with("2 of what was to be done by hand was not")), "{:?}", cut.notices);
    let both = ReplayOptions { journal: Some(folder.path().to_owned()), ..by_lines };
    assert!(replay(&both, &mut |_| {}).is_err_and(|error| error.to_string().contains("leave `--controls` out")));
}

/// A session that lost messages before ingest drops its books there; its captures do not tell, its journal does.
#[test]
fn books_that_were_dropped_for_lost_messages_are_dropped_again() {
    let (folder, capture) = demo();
    let record = folder.path().join("record");
    let base = options(capture.clone());
    let (config, captures) = (&base.config, [capture]);
    let mut read = Capture::open(&captures, config).unwrap();
    let (model, waiting) = (ChosenModel::of(config).unwrap(), Waiting::for_threads(2));
    let input = SessionInput { captures: &captures, limit: None, disturbances: "" };
    let groups = AssemblyOptions { record: Some(&record), input, ..AssemblyOptions::default() };
    let Assembly { ingest, trade, cold, quarantine, .. } =
        assemble(config, &model, &read.instruments, read.sources(), waiting, &groups).unwrap();
    let (mut fused, mut messages) = (Fused::new(ingest, trade), 0);
    let lost_at = replayed(&base).messages * 3 / 4;
    while let Some(CaptureItem::Message { connection, recv, message, .. }) = read.next() {
        fused.on_message(connection, recv, message).unwrap();
        messages += 1;
        if messages == lost_at {
            fused.on_overrun(connection, recv).unwrap();
        }
    }
    let mut trade = fused.finish().1;
    trade.close_journal().unwrap();
    let (digest, orders) = (trade.digest(), trade.counters().orders);
    drop((trade, quarantine));
    cold.join().unwrap();
    assert!(orders > 10, "{orders}");
    assert_ne!(replayed(&base).digest, digest, "nothing came of it");
    for mode in ["fused", "split"] {
        let again = folder.path().join(mode);
        let mut following = ReplayOptions { record: Some(again.clone()), journal: Some(record.clone()), ..base.clone() };
        following.config.topology.mode = mode.into();
        assert_eq!(replayed(&following).digest, digest, "{mode}");
        assert!(segments(&record) == segments(&again), "{mode}: the journals differ");
    }
}

/// Receive time of each line, in nanoseconds.
fn times(capture: &Path) -> Vec<i64> {
    let mut text = Vec::new();
    MultiGzDecoder::new(std::fs::File::open(capture).unwrap()).read_to_end(&mut text).unwrap();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| split_capture_line(line).map(|line| line.recv.0).unwrap()).collect()
}

#[test]
fn what_a_meta_model_let_through_happens_again() {
    let (folder, capture) = demo();
    let meta = folder.path().join("meta");
    write_meta(&meta, 0.65);
    let mut base = options(capture);
    base.config.model.meta = meta.display().to_string();
    base.by_hand = by_hand(replayed(&base).messages);
    let told = follows(&base).meta.expect("it was asked");
    assert!(told.taken > 5 && told.filtered > 5, "{told:?}");

    let record = folder.path().join("record");
    replayed(&ReplayOptions { record: Some(record.clone()), ..base.clone() });
    base.journal = Some(record);
    base.config.model.meta = "none".into();
    let refused = replay(&base, &mut |_| {}).expect_err("another session").to_string();
    assert!(refused.contains("the meta model is not that of the session"), "{refused}");
}

/// The first lines of a capture warm another session up, of which nothing is journaled.
#[test]
fn warming_up_leaves_no_trace_in_the_journal() {
    let (folder, capture) = demo();
    let record = |name: &str| folder.path().join(name);
    let cold = ReplayOptions { record: Some(record("cold")), ..options(capture) };
    let mut warm = ReplayOptions { record: Some(record("warm")), ..cold.clone() };
    warm.config.topology.warm_up_lines = 2_000;
    assert_eq!(replayed(&cold).digest, replayed(&warm).digest);
    assert!(segments(&record("cold")) == segments(&record("warm")));
}

#[test]
fn the_same_replay_writes_the_same_journal_and_another_one_is_refused() {
    let (folder, capture) = demo();
    let record = |name: &str| folder.path().join(name);
    let base = options(capture.clone());
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
    let resyncs = vec![Resync { after_lines: 100, instrument: InstrumentId(0) }];
    assert!(refusal(&ReplayOptions { resyncs, ..following.clone() }).contains("the configuration is not that of the session"));
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
    let base = options(capture);
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

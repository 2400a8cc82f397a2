//! Two hundred times a process that writes a journal is killed, and nothing that it said was appended is missing.

use chronos_pipeline::journal::{Journal, JournalConfig, RecordKind, Recovery, SEGMENT_BYTES_MIN, WhenLate};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const KILLS: u64 = 200;
/// Names the folder for the process that writes.
const FOLDER: &str = "CHRONOS_TEST_JOURNAL";
const ACKNOWLEDGED: &str = "appended ";

fn payload(seq: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seq);
    (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect()
}

/// What the killed process runs: this binary again, this test alone. Without a folder it is no test.
#[test]
fn a_process_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let config = JournalConfig {
        folder,
        session: 1,
        segment_bytes: SEGMENT_BYTES_MIN,
        sync_interval: Duration::from_millis(1),
        when_late: WhenLate::Wait,
    };
    let mut journal = Journal::create(&config).unwrap();
    let mut out = std::io::stdout().lock();
    for seq in 1.. {
        journal.append(RecordKind::Report, seq as i64, &payload(seq)).unwrap();
        // One write a record, so that what is told was appended, and soon after.
        out.write_all(format!("{ACKNOWLEDGED}{seq}\n").as_bytes()).unwrap();
    }
}

#[test]
fn two_hundred_kills() {
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut written, mut segments) = (0, 0);
    for kill in 0..KILLS {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_that_writes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let enough = rng.u64(1..800);
        let (mut acknowledged, mut is_killed) = (0, false);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // What it said before it died is read to the end; a last line without its end was not said.
        while lines.read_line(&mut line).unwrap() > 0 {
            if let Some(seq) = line.strip_prefix(ACKNOWLEDGED).and_then(|rest| rest.strip_suffix('\n')) {
                acknowledged = seq.parse().unwrap();
                if acknowledged >= enough && !is_killed {
                    child.kill().unwrap();
                    is_killed = true;
                }
            }
            line.clear();
        }
        assert!(!child.wait().unwrap().success() && acknowledged >= enough);

        let recovery = Recovery::open(folder.path()).unwrap();
        let context = format!("kill {kill}, {acknowledged} acknowledged, {:?}", recovery.damage);
        assert!(recovery.records >= acknowledged, "{context}: {} found", recovery.records);
        // At most the one being appended when the process died.
        assert!(recovery.records <= acknowledged + 1, "{context}: {} found", recovery.records);
        assert!(
            !recovery.is_closed && recovery.damage.as_ref().is_none_or(|damage| damage.whole_records_dropped == 0),
            "{context}"
        );
        let mut reader = recovery.reader();
        for seq in 1..=recovery.records {
            let record = reader.next().unwrap().expect("as many as were counted");
            assert!((record.seq, record.payload) == (seq, payload(seq).as_slice()), "{context}: record {seq}");
        }
        written += recovery.records;
        segments += recovery.segments() as u64;
    }
    assert!(written > KILLS * 200 && segments > KILLS * 3, "{written} records in {segments} segments: killed too early to tell");
}

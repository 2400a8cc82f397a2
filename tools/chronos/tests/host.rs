//! What a user asks of the host: the doctor, and hot threads that make no system call.

use chronos_session::html::plot::GRID;
use chronos_tests::page::check_page;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The command as it was built for this test.
const CHRONOS: &str = env!("CARGO_BIN_EXE_chronos");

fn chronos(arguments: &[&str]) -> Output {
    Command::new(CHRONOS).args(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", errors(output)))
}

/// A generated capture, plain, in a folder of its own; without a model orders come of it.
fn capture() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    let made = chronos(&["exchange", "generate", "--seed", "3", "--seconds", "16", "--out", &path.display().to_string()]);
    assert!(made.status.success(), "{}", errors(&made));
    (folder, path)
}

fn digest(path: &Path, options: &[&str]) -> Value {
    let path = path.display().to_string();
    let mut arguments = vec!["replay", &path, "--model", "none", "--json"];
    arguments.extend(options);
    json(&chronos(&arguments))["digest"].clone()
}

#[test]
fn the_doctor_measures_and_says_what_to_do() {
    let output = chronos(&["doctor", "--seconds", "0.05", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let diagnosis = json(&output);
    assert_eq!(diagnosis["schema"], "chronos.doctor/1");
    assert!(diagnosis["jitter"]["seconds"].as_f64() >= Some(0.05) && diagnosis["jitter"]["gaps"].as_array().unwrap().len() == 5);
    let findings = diagnosis["findings"].as_array().unwrap();
    assert!(
        findings.len() > 25 && findings.iter().all(|finding| finding["section"].is_string() && finding["observed"].is_string())
    );
    let bins = diagnosis["jitter"]["histogram"].as_array().unwrap();
    let total = |bins: &[Value]| bins.iter().map(|bin| bin["count"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(Some(total(bins)), diagnosis["jitter"]["gaps"][0]["count"].as_u64(), "every gap of 1 us and more is in a bin");
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("doctor.html");
    let output = chronos(&["doctor", "--seconds", "0.05", "--html", &page.display().to_string()]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("page: "), "{}", errors(&output));
    let page = std::fs::read_to_string(page).unwrap();
    check_page(&page, GRID);
    assert!(page.contains("Gaps by length") && page.contains("isolated core") && page.contains("Section of tuning.md"));
    let tables = chronos(&["doctor", "--seconds", "0"]);
    let told = String::from_utf8(tables.stdout).unwrap();
    assert!(told.contains("isolated core") && told.contains("score"), "{told}");
}

#[test]
fn strict_fails_where_something_is_bad_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let status = |arguments: &[&str]| chronos(&[&["doctor", "--root", &root], arguments].concat()).status.code();
    // Nothing can be read, so nothing is bad.
    assert_eq!(status(&["--strict"]), Some(0));
    std::fs::create_dir_all(folder.path().join("sys/devices/system/cpu")).unwrap();
    std::fs::write(folder.path().join("sys/devices/system/cpu/isolated"), "\n").unwrap();
    assert_eq!((status(&["--strict"]), status(&[])), (Some(1), Some(0)));
    assert_eq!((status(&["--seconds", "-1"]), status(&["--seconds", "1e9"])), (Some(2), Some(2)));
    let nowhere = chronos(&["doctor", "--root", "/no/such/folder"]);
    assert!(nowhere.status.code() == Some(2) && errors(&nowhere).contains("no such folder"));
}

#[test]
fn how_threads_run_changes_no_order() {
    let (_folder, path) = capture();
    let plain = digest(&path, &[]);
    for options in
        [&["--waiting", "park"][..], &["--waiting", "yield"], &["--warm-up", "2000"], &["--topology", "split", "--waiting", "park"]]
    {
        assert_eq!(digest(&path, options), plain, "{options:?}");
    }
    // Given or refused, and never left out in silence.
    for options in [&["--lock-memory"][..], &["--fifo", "1", "--waiting", "park"]] {
        let output = chronos(&[&["replay", &path.display().to_string(), "--model", "none", "--json"], options].concat());
        match output.status.code() {
            Some(0) => assert_eq!(json(&output)["digest"], plain, "{options:?}"),
            Some(2) => assert!(errors(&output).contains("tuning.md, \""), "{}", errors(&output)),
            other => panic!("{options:?}: {other:?}"),
        }
    }
    let refused = chronos(&["replay", &path.display().to_string(), "--model", "none", "--cores", "9999"]);
    assert!(refused.status.code() == Some(2) && errors(&refused).contains("core 9999"), "{}", errors(&refused));
}

/// The system calls of the hot thread between its two markers, the calls that set its timer slack.
fn hot_calls(trace: &str, thread: &str) -> Option<Vec<String>> {
    let calls: Vec<&str> = trace.lines().filter_map(|line| line.strip_prefix(thread)).map(str::trim_start).collect();
    let markers: Vec<usize> =
        calls.iter().enumerate().filter(|(_, call)| call.starts_with("prctl(PR_SET_TIMERSLACK")).map(|(place, _)| place).collect();
    // The last is the end of the last hot stretch, the one before its beginning.
    let [.., first, last] = markers.as_slice() else { return None };
    let between = calls[first + 1..*last].iter().filter(|call| !call.starts_with("<... prctl resumed>"));
    Some(between.map(|call| (*call).to_owned()).collect())
}

/// What opens, maps and gives back a file.
const FILE_CALLS: [&str; 8] = ["openat", "read", "lseek", "statx", "mmap", "munmap", "close", "fcntl"];
/// What takes from a socket, gives to one, and waits for one where threads share a core.
const SOCKET_CALLS: [&str; 3] = ["recvmsg", "sendto", "epoll_wait"];

/// The report of a replay that spins, and the system calls of its hot thread; `None` where nothing can be traced here.
fn traced(path: &Path, options: &[&str]) -> Option<(Value, Vec<String>)> {
    let trace = path.with_extension("trace");
    let run = Command::new("strace")
        .args(["-f", "-qq", "-o", &trace.display().to_string()])
        .arg(CHRONOS)
        .args([&["replay", &path.display().to_string(), "--waiting", "spin", "--json"], options].concat())
        .output();
    match run {
        Ok(output) if output.status.success() => {
            let text = std::fs::read_to_string(&trace).unwrap();
            let thread = text.split_whitespace().next().unwrap().to_owned();
            Some((json(&output), hot_calls(&text, &thread).expect("two markers")))
        }
        Ok(output) => {
            println!("skipped: strace cannot trace here: {}", errors(&output));
            None
        }
        Err(error) => {
            println!("skipped: there is no strace: {error}");
            None
        }
    }
}

#[test]
fn a_hot_thread_makes_no_system_call() {
    let (folder, path) = capture();
    let record = folder.path().join("record").display().to_string();
    // With a model; and with orders, each journaled before it leaves.
    for (options, orders_min) in [(&["--warm-up", "1000"][..], 0), (&["--model", "none", "--record", &record], 1)] {
        let Some((report, calls)) = traced(&path, options) else { return };
        assert!(report["messages"].as_u64() > Some(1_000) && report["orders"].as_u64() >= Some(orders_min), "{options:?}");
        // Its files are opened with the first message asked for and given back at their end; that is no part of the hot path.
        let is_of_files = |call: &&String| FILE_CALLS.iter().any(|name| call.contains(name));
        let of_files = calls.iter().take_while(is_of_files).count() + calls.iter().rev().take_while(is_of_files).count();
        assert!(calls.iter().all(|call| is_of_files(&call)) && of_files >= calls.len(), "{} calls: {calls:#?}", calls.len());
    }
}

#[test]
fn a_hot_thread_at_its_sockets_makes_no_other_system_call() {
    let (folder, path) = capture();
    let record = folder.path().join("record").display().to_string();
    let options = ["--over", "udp", "--speed", "max", "--model", "none", "--record", &record];
    let Some((report, calls)) = traced(&path, &options) else { return };
    assert!(report["wire"]["orders_sent"].as_u64() > Some(0), "{report}");
    // From the first look at the socket to the last; before them sockets are opened, and after them closed.
    let is_look = |call: &String| call.contains("recvmsg");
    let (first, last) = (calls.iter().position(is_look).unwrap(), calls.iter().rposition(is_look).unwrap());
    let is_of_sockets = |call: &&String| SOCKET_CALLS.iter().any(|name| call.contains(name));
    let others: Vec<&String> = calls[first..last].iter().filter(|call| !is_of_sockets(call)).collect();
    assert!(last - first > 1_000 && others.is_empty(), "{others:#?}");
}

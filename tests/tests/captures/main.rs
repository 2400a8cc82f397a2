//! Real captures through the whole path, against counts made by a slow reading that shares no code with it.

mod files;
mod formats;
mod slow;
mod traps;

use chronos_session::config::Config;
use chronos_session::report::Report;
use chronos_session::{ReplayOptions, replay};
use chronos_tests::data_file;
use slow::SlowCounts;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A replay without a model, verified.
fn verified(paths: &[PathBuf]) -> Report {
    verified_up_to(paths, None)
}

fn verified_up_to(paths: &[PathBuf], limit: Option<u64>) -> Report {
    let mut config = Config::default();
    config.model.path = "none".into();
    // Easily moved, so that there are orders to compare in a part of a capture.
    (config.decision.entry, config.decision.horizon_ms) = (0.02, 200.0);
    let options = ReplayOptions { paths: paths.to_vec(), config, verify: true, limit, ..ReplayOptions::default() };
    replay(&options, &mut |_| {}).expect("a replay").report
}

/// The first lines of a capture.
fn lines_of(path: &Path, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    slow::each_line(path, |line| {
        lines.push(line.to_owned());
        lines.len() < count
    });
    lines
}

/// Writes lines as a plain file.
fn write_plain(path: &Path, lines: &[String]) -> PathBuf {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
    path.to_owned()
}

/// The files of each connection: names that differ in their date only, latest first, so that the session has to order them.
fn connections(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut connections: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some((connection, _date)) = name.strip_suffix(".gz").and_then(|stem| stem.rsplit_once('_')) {
            connections.entry(connection.to_owned()).or_default().push(path);
        }
    }
    for files in connections.values_mut() {
        files.sort();
        files.reverse();
    }
    connections
}

#[test]
fn every_connection_is_replayed_whole_and_its_book_agrees_with_every_quote() {
    let Some(folder) = data_file("binance_ws") else { return };
    let connections = connections(&folder);
    assert!(!connections.is_empty(), "no capture in {}", folder.display());
    for (name, files) in connections {
        let mut expected = SlowCounts::default();
        for file in &files {
            expected.read(file);
        }
        let report = verified(&files);
        let checks = report.book_checks;
        let candidates = expected.candidates();
        println!("{name}: {} messages, {} of {candidates} candidates compared", report.messages, checks.compared);
        assert_eq!((report.gaps, report.resyncs, report.malformed), (0, 0, 0), "{name}: {:?}", report.notices);
        assert_eq!((checks.mismatched, checks.crossed), (0, 0), "{name}: {:?}", report.notices);
        assert_eq!((report.messages, report.trades), (expected.lines, expected.trades), "{name}");
        assert_eq!((report.ignored, report.time_reversals), (0, 0), "{name}");
        assert!(checks.compared <= candidates, "{name}: compared more pairs than there are");
        assert!(checks.compared * 100 >= candidates * 95, "{name}: {} of {candidates} compared", checks.compared);
        assert_eq!(report.instruments.len(), 1, "{name}");
        assert!(report.instruments[0].synced, "{name}");
        assert!(report.orders > 0 && report.features > 0, "{name}: nothing was decided");
        assert_eq!(report.sources.iter().map(|source| source.lines).sum::<u64>(), report.messages, "{name}");
    }
}

#[test]
fn a_folder_is_every_connection_merged_by_receive_time() {
    let Some(folder) = data_file("binance_ws") else { return };
    let connections = connections(&folder);
    // A part of each is enough: every connection has begun and synced by then.
    let report = verified_up_to(std::slice::from_ref(&folder), Some(30_000));
    assert_eq!(report.instruments.len(), connections.len());
    assert!(report.instruments.iter().all(|instrument| instrument.synced), "{:?}", report.notices);
    assert_eq!((report.gaps, report.resyncs, report.malformed, report.time_reversals), (0, 0, 0, 0), "{:?}", report.notices);
    assert_eq!((report.book_checks.mismatched, report.book_checks.crossed), (0, 0), "{:?}", report.notices);
}

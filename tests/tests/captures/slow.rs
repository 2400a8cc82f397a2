//! The slow reading: one JSON tree a line, nothing of the hot path.

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What a connection holds.
#[derive(Default)]
pub(crate) struct SlowCounts {
    pub(crate) lines: u64,
    pub(crate) trades: u64,
    depth_ids: BTreeSet<u64>,
    quote_ids: BTreeSet<u64>,
}

impl SlowCounts {
    pub(crate) fn read(&mut self, path: &Path) {
        each_line(path, |line| {
            self.lines += 1;
            let payload = payload(line);
            match (payload["e"].as_str(), payload["u"].as_u64()) {
                (Some("depthUpdate"), Some(id)) => {
                    self.depth_ids.insert(id);
                }
                (Some("bookTicker") | None, Some(id)) => {
                    self.quote_ids.insert(id);
                }
                (Some("trade"), _) => self.trades += 1,
                _ => {}
            }
            true
        });
    }

    /// Depth messages that a quote with the same id can vouch for.
    pub(crate) fn candidates(&self) -> u64 {
        self.depth_ids.intersection(&self.quote_ids).count() as u64
    }
}

/// The message of a line, out of its envelope.
pub(crate) fn payload(line: &str) -> Value {
    let (_, message) = line.split_once(' ').expect("a receive time and a message");
    let mut value: Value = serde_json::from_str(message).expect("JSON");
    match value.get_mut("data") {
        Some(data) => data.take(),
        None => value,
    }
}

/// The receive time of a line, in nanoseconds.
pub(crate) fn receive_ns(line: &str) -> i64 {
    line.split_once(' ').and_then(|(time, _)| time.parse().ok()).expect("a receive time")
}

/// Calls `see` with each line of a gzip file until it says stop or the file ends or breaks off; a line without its end is not one.
pub(crate) fn each_line(path: &Path, mut see: impl FnMut(&str) -> bool) {
    let mut reader = BufReader::new(MultiGzDecoder::new(File::open(path).unwrap()));
    let mut line = String::new();
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if !line.ends_with('\n') || !see(line.trim_end()) {
            return;
        }
    }
}

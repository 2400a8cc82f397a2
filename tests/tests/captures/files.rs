//! Captures that are damaged, cut or packed otherwise.

use super::slow::{each_line, payload};
use super::{lines_of, verified, verified_up_to, write_plain};
use chronos_session::report::Report;
use chronos_tests::data_file;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const LINES: usize = 20_000;

/// The last depth message but so many lines, counted among `lines`.
fn depth_message_near(lines: &[String], place: usize) -> usize {
    let is_depth = |line: &String| payload(line)["e"] == "depthUpdate";
    place + lines[place..].iter().position(is_depth).expect("a depth message")
}

fn outcome(report: &Report) -> (&str, u64, u64, u64, u64) {
    (&report.digest, report.messages, report.orders, report.fills, report.features)
}

#[test]
fn a_capture_without_a_snapshot_is_never_in_sync_and_sends_no_order() {
    let Some(path) = data_file("binance_ws/spot_btcusdt_20240809.gz") else { return };
    let report = verified(&[path]);
    assert!(!report.instruments[0].synced);
    assert_eq!((report.features, report.inferences, report.signals, report.orders, report.fills), (0, 0, 0, 0, 0));
    assert_eq!((report.book_checks.compared, report.resyncs, report.malformed), (0, 0, 0));
    assert!(report.notices.iter().any(|notice| notice.contains("snapshot")), "{:?}", report.notices);
}

#[test]
fn a_lost_diff_is_a_gap_and_nothing_is_sent_after_it() {
    let Some(path) = data_file("binance_ws/usdm_btcusdt_20240808.gz") else { return };
    let mut lines = lines_of(&path, LINES);
    let lost = depth_message_near(&lines, LINES / 2);
    lines.remove(lost);
    let seen = depth_message_near(&lines, lost);
    let folder = tempfile::tempdir().unwrap();
    let file = [write_plain(&folder.path().join("gap"), &lines)];
    let before = verified_up_to(&file, Some(seen as u64));
    assert!(before.orders > 0 && before.gaps == 0 && before.instruments[0].synced);
    let report = verified(&file);
    assert_eq!((report.gaps, report.resyncs), (1, 0));
    assert!(!report.instruments[0].synced);
    assert_eq!((report.orders, report.features), (before.orders, before.features));
    assert_eq!(report.book_checks.mismatched, 0);
    assert!(report.notices.iter().any(|notice| notice.contains("update ids")), "{:?}", report.notices);
}

#[test]
fn a_duplicated_diff_changes_no_order() {
    let Some(path) = data_file("binance_ws/usdm_btcusdt_20240808.gz") else { return };
    let lines = lines_of(&path, LINES);
    let folder = tempfile::tempdir().unwrap();
    let once = verified(&[write_plain(&folder.path().join("once"), &lines)]);
    let mut twice = lines;
    let place = depth_message_near(&twice, LINES / 2);
    twice.insert(place, twice[place].clone());
    let twice = verified(&[write_plain(&folder.path().join("twice"), &twice)]);
    assert!(once.fills > 0);
    assert_eq!((twice.gaps, twice.malformed, twice.messages), (0, 0, once.messages + 1));
    assert_eq!(twice.digest, once.digest);
}

#[test]
fn a_cut_gzip_is_replayed_up_to_the_cut_and_says_so() {
    let Some(path) = data_file("binance_ws/spot_ethusdt_20240808.gz") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.gz");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    let mut lines = Vec::new();
    each_line(&cut, |line| {
        lines.push(line.to_owned());
        true
    });
    let report = verified(std::slice::from_ref(&cut));
    let whole_lines = verified(&[write_plain(&folder.path().join("lines"), &lines)]);
    assert!(report.orders > 0);
    assert_eq!(outcome(&report), outcome(&whole_lines));
    let told = report.notices.iter().find(|notice| notice.contains("cut.gz")).expect("a notice that names the file");
    assert!(told.contains("cut off"), "{told}");
}

#[test]
fn plain_gzip_and_zstd_give_the_same_orders() {
    let Some(path) = data_file("binance_ws/cm_btcusd_perp_20240808.gz") else { return };
    let lines = lines_of(&path, LINES);
    let folder = tempfile::tempdir().unwrap();
    let plain = write_plain(&folder.path().join("plain"), &lines);
    let bytes = std::fs::read(&plain).unwrap();
    let gzip = folder.path().join("gzip");
    let mut encoder = GzEncoder::new(std::fs::File::create(&gzip).unwrap(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap();
    let zstd = folder.path().join("zstd");
    std::fs::write(&zstd, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();

    let [plain, gzip, zstd] = [plain, gzip, zstd].map(|path| verified(&[path]));
    assert_eq!([&plain, &gzip, &zstd].map(|report| report.sources[0].compression), ["none", "gzip", "zstd"]);
    assert!(plain.orders > 0);
    assert_eq!(outcome(&plain), outcome(&gzip));
    assert_eq!(outcome(&plain), outcome(&zstd));
}

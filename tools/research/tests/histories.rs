//! Real histories: every file of the data folder is read, and makes a dataset.

use chronos_research::bars::{HistoryOptions, TimeColumn, ZeroVolume, coarser_bars, is_history, parse_rule, read_history};
use chronos_research::dataset::{BarSource, LookAheadOptions, Recipe, build};
use std::path::PathBuf;

const HOUR_NS: i64 = 3_600_000_000_000;

/// Files of the folder and of the folders in it whose name says that they are tables.
fn tables(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tables(path));
        } else if [".csv", ".csv.zst"].iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_history_is_read() {
    let Some(folder) = chronos_tests::data_file("ohlcv") else { return };
    let files = tables(folder);
    assert!(!files.is_empty());
    for path in files {
        assert!(is_history(&path).unwrap(), "{}", path.display());
        let drop = HistoryOptions { zero_volume: ZeroVolume::Drop, ..HistoryOptions::default() };
        let history = match read_history(&path, &drop) {
            Ok(history) => history,
            // Columns that name several instruments.
            Err(error) => {
                let told = error.to_string();
                let symbols = told.split("choose one of ").nth(1).unwrap_or_else(|| panic!("{told}"));
                let symbol = symbols.split([',', ' ']).next().map(str::to_owned);
                read_history(&path, &HistoryOptions { symbol, ..drop }).unwrap_or_else(|error| panic!("{error}"))
            }
        };
        assert!(history.bars.windows(2).all(|pair| pair[0].end_ns <= pair[1].end_ns && pair[0].start_ns < pair[1].start_ns));
        assert!(history.bars.len() > 100, "{}", path.display());
    }
}

#[test]
fn minutes_by_closing_time_make_hours() {
    let Some(folder) = chronos_tests::data_file("ohlcv") else { return };
    let Some(path) = tables(folder).into_iter().find(|path| path.to_string_lossy().contains("_1m_")) else { return };
    let options = HistoryOptions { time: TimeColumn::Close, ..HistoryOptions::default() };
    let minutes = read_history(&path, &options).unwrap().bars;
    let hours = coarser_bars(&minutes, parse_rule("time:1h").unwrap()).unwrap();
    for hour in &hours[1..] {
        assert!(hour.start_ns % HOUR_NS == 0 && hour.end_ns == hour.start_ns + HOUR_NS);
        let within: Vec<_> =
            minutes.iter().filter(|minute| hour.start_ns <= minute.start_ns && minute.end_ns <= hour.end_ns).collect();
        assert_eq!((hour.open, hour.close), (within[0].open, within[within.len() - 1].close));
        assert_eq!(hour.high, within.iter().map(|minute| minute.high).fold(0.0, f64::max));
    }
}

#[test]
fn hourly_bars_make_a_dataset() {
    let Some(folder) = chronos_tests::data_file("ohlcv") else { return };
    let Some(path) = tables(folder).into_iter().find(|path| path.to_string_lossy().contains("BTCUSDT_1h")) else { return };
    let history = read_history(&path, &HistoryOptions::default()).unwrap();
    let source = BarSource { instrument: "BTCUSDT".into(), bars: history.bars, rule: None };
    let recipe = Recipe { horizon: Some("24h".into()), side: Some("return_20".into()), ..Recipe::default() };
    let built = build(&source, &recipe, LookAheadOptions { cuts: 2, seed: 0 }, &mut |_| {}).unwrap();
    assert!(built.dataset.rows() > 1_000 && built.dataset.values.iter().all(|value| value.is_finite()));
    assert!((0..built.dataset.rows()).all(|row| built.dataset.end_ns[row] - built.dataset.event_ns[row] <= 25 * HOUR_NS));
}

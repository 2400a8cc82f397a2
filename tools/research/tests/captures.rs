//! Bars and datasets from generated captures.

use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_market::features::registry;
use chronos_research::bars::{CaptureBars, capture_bars, parse_rule};
use chronos_research::dataset::{
    CaptureSource, DatasetError, LookAheadOptions, Manifest, Recipe, Source, SourceSection, build, read_dataset, source_files,
    write_dataset,
};
use chronos_session::config::Config;
use std::path::{Path, PathBuf};

fn capture(folder: &Path, symbols: u16) -> PathBuf {
    let path = folder.join(format!("market{symbols}.gz"));
    generate_file(&GeneratorConfig { seed: 7, seconds: 40, symbols, ..GeneratorConfig::default() }, &path, &mut |_| {}).unwrap();
    path
}

fn bars(path: &Path, rule: &str) -> Vec<CaptureBars> {
    capture_bars(&[path.to_owned()], &Config::default(), parse_rule(rule).unwrap(), None, &mut |_| {}).unwrap().0
}

#[test]
fn bars_of_every_kind_hold_the_same_trades() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 1);
    let every = &bars(&path, "trades:1")[0];
    assert!(every.trades > 200 && every.bars.len() as u64 == every.trades);
    for rule in ["time:1s", "trades:20", "volume:2", "notional:100000", "imbalance:trades:20", "runs:volume:20"] {
        let one = &bars(&path, rule)[0];
        assert!(one.bars.len() > 3, "{rule}");
        let mut first = 0;
        for bar in &one.bars {
            let flow = bar.flow.unwrap();
            let trades = &every.bars[first..first + flow.trades as usize];
            first += flow.trades as usize;
            assert_eq!((bar.start_ns, bar.open), (trades[0].start_ns, trades[0].open), "{rule}");
            let last = trades[trades.len() - 1];
            assert_eq!(bar.close, last.close, "{rule}");
            assert_eq!(bar.high, trades.iter().map(|trade| trade.high).fold(0.0, f64::max), "{rule}");
            let volume: f64 = trades.iter().map(|trade| trade.volume).sum();
            assert!((bar.volume - volume).abs() < 1e-9, "{rule}");
            // Known when its interval has ended, or with its last trade.
            if rule.starts_with("time") {
                assert!(bar.end_ns % 1_000_000_000 == 0 && bar.end_ns > last.end_ns && bar.end_ns <= bar.start_ns + 1_000_000_000);
            } else {
                assert_eq!(bar.end_ns, last.end_ns, "{rule}");
            }
        }
    }
}

#[test]
fn datasets_of_ticks_and_of_bars_with_the_features_of_the_last_tick() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 1);
    let recipe = Recipe { horizon: Some("3s".into()), ..Recipe::default() };
    let check = LookAheadOptions { cuts: 3, seed: 1 };
    for name in [None, Some("trades:3"), Some("time:200ms")] {
        let rule = name.map(|rule| parse_rule(rule).unwrap());
        let source = CaptureSource { paths: vec![path.clone()], config: Config::default(), rule };
        let built = build(&source, &recipe, check, &mut |_| {}).unwrap();
        let dataset = &built.dataset;
        assert_eq!(dataset.features.len(), registry().len());
        assert!(dataset.rows() > 10 && built.look_ahead.rows > 100, "{name:?}: {:?}", built.counts);
        let ticks = &built.observed.features;
        for row in 0..dataset.rows() {
            let tick = ticks.times_ns.iter().rposition(|time_ns| *time_ns <= dataset.event_ns[row]).unwrap();
            assert_eq!(dataset.row(row), ticks.row(tick));
            assert!(dataset.end_ns[row] > dataset.event_ns[row]);
        }
        let section = SourceSection {
            kind: "capture".into(),
            instrument: built.observed.instrument.clone(),
            bars: None,
            config_hash: None,
            files: source_files(std::slice::from_ref(&path)).unwrap(),
        };
        let out = folder.path().join(format!("data {}", name.unwrap_or("ticks").replace(':', " ")));
        write_dataset(&out, dataset, Manifest::of(&built, section, &recipe, check.seed)).unwrap();
        let (read, manifest) = read_dataset(&out).unwrap();
        assert_eq!(&read, dataset);
        assert_eq!(manifest.features.registry_hash, chronos_market::features::registry_hash());
        assert_eq!((manifest.source.files.len(), manifest.source.files[0].sha256.len()), (1, 64));
    }
}

#[test]
fn a_dataset_is_of_one_instrument() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 2);
    assert_eq!(bars(&path, "time:1s").len(), 2);
    let mut source = CaptureSource { paths: vec![path], config: Config::default(), rule: None };
    let error = source.observe(None, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, DatasetError::Instruments { .. }));
    let told = error.to_string();
    assert!(told.contains("BTCUSDT") && told.contains("SIM2USDT") && told.contains("--symbols"), "{told}");
    source.config.source.symbols = vec!["SIM2USDT".into()];
    assert!(source.observe(None, &mut |_, _| {}).unwrap().instrument.contains("SIM2USDT"));
}

//! The regime that ticks carry is the one that a replay has in force: told by the hashes in its journal.

use chronos_coldpath::RegimeConfig;
use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_market::Regime;
use chronos_pipeline::journal::{Content, Recovery};
use chronos_research::ticks::observe_ticks;
use chronos_session::config::Config;
use chronos_session::{ReplayOptions, replay};
use sha2::{Digest, Sha256};

#[test]
fn embeddings_are_those_of_the_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("market");
    generate_file(&GeneratorConfig { seconds: 40, seed: 8, ..GeneratorConfig::default() }, &path, &mut |_| {}).unwrap();
    let mut config = Config::default();
    config.model.path = "none".into();
    (config.parameters.window_ms, config.parameters.lag_ms) = (2_000.0, 300.0);
    let (ticks, _) = observe_ticks(std::slice::from_ref(&path), &config, None, &mut |_| {}).unwrap();
    let record = folder.path().join("session");
    let options = ReplayOptions { paths: vec![path], config, record: Some(record.clone()), ..ReplayOptions::default() };
    replay(&options, &mut |_| {}).unwrap();
    let recovery = Recovery::open(&record.join("journal")).unwrap();
    let mut reader = recovery.reader();
    let mut compared = 0;
    let mut regimes = [false; Regime::ALL.len()];
    while let Some(record) = reader.next().unwrap() {
        let Some(Content::Parameters { window, effective, regime, seq, hash }) = Content::of(&record) else { continue };
        let row = ticks.times_ns.partition_point(|time_ns| *time_ns < effective.0);
        if row == ticks.rows() {
            break;
        }
        let mut digest = Sha256::new();
        digest.update(window.to_le_bytes());
        digest.update(effective.0.to_le_bytes());
        digest.update([regime as u8]);
        digest.update(seq.to_le_bytes());
        digest.update((effective.0 - 300_000_000).to_le_bytes());
        digest.update(RegimeConfig::default().size_scale[regime as usize].to_bits().to_le_bytes());
        for place in ticks.regime(row) {
            digest.update(place.to_bits().to_le_bytes());
        }
        assert_eq!(digest.finalize()[..8], hash.to_le_bytes(), "window {window}, tick {row}");
        regimes[regime as usize] = true;
        compared += 1;
    }
    assert!(compared > 10 && regimes.iter().filter(|is_seen| **is_seen).count() > 1, "{compared} {regimes:?}");
}

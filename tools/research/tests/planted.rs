//! Skill is found in a market that a signal was planted in, and none in one without.

use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_research::scores::{Baselines, Predictions, ScoreTable, block_bootstrap, score_table};
use chronos_research::ticks::{SplitAt, SplitRule, Target, TargetRule, horizon_samples, observe_ticks, split_samples};
use chronos_session::config::Config;

/// The regression on order flow beside the other baselines, a second ahead, on the last half of ten minutes.
fn order_flow(strength: f64, seed: u64) -> ScoreTable {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("market");
    let config = GeneratorConfig { seed, seconds: 600, plant: Some(strength), ..GeneratorConfig::default() };
    generate_file(&config, &path, &mut |_| {}).unwrap();
    let (ticks, _) = observe_ticks(&[path], &Config::default(), None, &mut |_| {}).unwrap();
    assert_eq!(ticks.starts, [0]);
    let samples = horizon_samples(&ticks, 1_000_000_000).unwrap();
    let rule = SplitRule { at: SplitAt::Share(0.5), validation_share: 0.1, embargo_ns: 0 };
    let parts = split_samples(&samples, &rule).unwrap();
    let target = Target::choose(&samples, &parts.train, TargetRule::FlatShare(0.33)).unwrap();
    let directions = target.directions(&samples);
    let baselines = Baselines::fit(&ticks, &samples, &directions, &target, &parts.train).unwrap();
    let test: Vec<usize> = parts.test.clone().collect();
    let said = baselines.predict(&ticks, &samples, &target, &test).unwrap();
    let so = &directions[parts.test.clone()];
    let predictions: Vec<_> = said.iter().map(|(name, of)| (*name, Predictions::new(of, so).unwrap())).collect();
    let bootstrap = block_bootstrap(so.len(), samples.per_horizon(parts.test), 1);
    score_table((predictions[2].0, &predictions[2].1), &predictions[..2], so, &bootstrap)
}

#[test]
fn skill_is_found_where_it_was_planted() {
    let table = order_flow(0.6, 3);
    assert!(table.has_skill && table.models[0].scores.auc > 0.65, "{table:#?}");
}

#[test]
fn none_is_claimed_where_there_is_none() {
    for seed in [4, 5] {
        let table = order_flow(0.0, seed);
        assert!(!table.has_skill && (table.models[0].scores.auc - 0.5).abs() < 0.08, "{table:#?}");
    }
}

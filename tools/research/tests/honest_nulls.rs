//! The whole chain where the truth is known: without a signal the gate stays shut, with a strong one it opens.
//!
//! A quick form of `examples/null_study.rs`, which runs 200 seeds of each.

use chronos_research::promotion::study::{Outcome, Search, Truth, run, splitter};

fn outcomes(truth: Truth, search: Search, bars: usize, seeds: std::ops::Range<u64>) -> Vec<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    seeds.map(|seed| run(truth, search, bars, &splitter(), seed, &folder.path().join(seed.to_string())).unwrap()).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[test]
fn without_a_signal_sharpe_ratios_centre_on_zero_and_next_to_nothing_is_promoted() {
    for truth in [Truth::RandomWalk, Truth::ShuffledLabels] {
        let outcomes = outcomes(truth, Search::Mixed, 1_500, 0..40);
        let scores: Vec<f64> = outcomes.iter().map(|outcome| mean(outcome.scores.concat().into_iter())).collect();
        let centre = mean(scores.iter().copied());
        let spread = mean(scores.iter().map(|score| (score - centre).powi(2))).sqrt();
        // Three standard errors of the mean over seeds.
        assert!(centre.abs() < 3.0 * spread / (scores.len() as f64).sqrt(), "{truth:?}: mean z {centre}, spread {spread}");
        let pbo = mean(outcomes.iter().map(|outcome| outcome.verdict.pbo.unwrap()));
        assert!((pbo - 0.5).abs() < 0.12, "{truth:?}: mean PBO {pbo}");
        let promoted = outcomes.iter().filter(|outcome| outcome.verdict.is_promoted).count();
        // At 5 % this many or more of 40 are promoted once in 70 times by chance.
        assert!(promoted < 6, "{truth:?}: {promoted} of {} promoted", outcomes.len());
    }
}

#[test]
fn a_strong_signal_is_promoted() {
    let outcomes = outcomes(Truth::Signal(0.5), Search::Mixed, 3_000, 0..8);
    let refused: Vec<_> = outcomes.iter().filter(|outcome| !outcome.verdict.is_promoted).map(|outcome| &outcome.verdict).collect();
    assert!(refused.len() < 2, "{refused:?}");
}

#[test]
fn the_same_seed_gives_the_same_verdict() {
    let once = || outcomes(Truth::RandomWalk, Search::Penalties, 900, 3..4);
    assert_eq!(once(), once());
}

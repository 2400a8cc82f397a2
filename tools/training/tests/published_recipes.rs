//! The recipes on a generated market: a run that was stopped, and blocks that die.
#![cfg(feature = "train")]

use chronos_research::bars::Ohlcv;
use chronos_training::published::{Recipe, Split, Splits, Trained, WINDOW};
use std::ops::ControlFlow;
use std::path::Path;

/// A walk of daily prices, one split going on from the other.
fn splits(rows: [usize; 3]) -> Splits {
    let mut random = fastrand::Rng::with_seed(9);
    let (mut close, mut day) = (30_000.0, 0_i64);
    let [train, validation, test] = rows.map(|rows| {
        let row = |_| {
            let open: f64 = close;
            close = open * (1.0 + 0.05 * (random.f64() - 0.5));
            day += 1;
            let start_ns = (1_600_000_000 + day * 86_400) * 1_000_000_000;
            let (high, low, volume) = (open.max(close) * 1.01, open.min(close) * 0.99, 1e10 * (1.0 + random.f64()));
            Ohlcv { start_ns, end_ns: start_ns, open, high, low, close, volume, notional: 0.0, flow: None }
        };
        Split { rows: (0..rows).map(row).collect(), window: WINDOW }
    });
    Splits { train, validation, test, sha256: ["a", "b", "c"].map(str::to_owned) }
}

fn train(recipe: Recipe, splits: &Splits, epochs: u64, folder: &Path, stop_at: Option<u64>) -> Option<Trained> {
    let mut observe = |training: chronos_training::published::Training| {
        if Some(training.epoch) == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    recipe.train(splits, 1, Some(epochs), folder, &|| 0.0, &mut observe).unwrap()
}

#[test]
fn a_stopped_run_goes_on_to_the_same_end() {
    let splits = splits([50, 30, 30]);
    for recipe in [Recipe::Published, Recipe::Lstm] {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = train(recipe, &splits, 4, one.path(), None).unwrap();
        assert_eq!(train(recipe, &splits, 4, other.path(), Some(2)), None);
        assert_eq!(train(recipe, &splits, 4, other.path(), None), Some(whole), "{recipe:?}");
    }
}

#[test]
fn published_blocks_that_are_left_out_do_nothing_and_live_ones_do() {
    let splits = splits([50, 30, 30]);
    let folder = tempfile::tempdir().unwrap();
    // As a run leaves it that goes on without its blocks.
    std::fs::write(folder.path().join("blocks-left-out-from"), "0").unwrap();
    let trained = train(Recipe::Published, &splits, 20, folder.path(), None).unwrap();
    assert_eq!((trained.epochs, trained.blocks.unwrap().left_out_from), (20, Some(0)));
    let whole = train(Recipe::Published, &splits, 20, tempfile::tempdir().unwrap().path(), None).unwrap();
    assert!(whole.blocks.unwrap().left_out_from.is_none() && whole.predictions != trained.predictions);
    let live = train(Recipe::Live, &splits, 3, tempfile::tempdir().unwrap().path(), None).unwrap().blocks.unwrap();
    assert_eq!((live.alive, live.count, live.left_out_from), (12, 12, None));
}

//! The samples of a stored dataset as a sequence.

use super::{Direction, Samples, Ticks, TicksError};
use crate::dataset::{Dataset, Manifest};
use chronos_market::REGIME_EMBEDDING;
use chronos_market::features::{index_of, registry};
use chronos_market::tick::TickConfig;

/// Takes the samples of `chronos dataset`, in the order of their times, for one segment of ticks, each with its label. Their features must be
/// those of decision ticks. The model steps from event to event here, while in a replay it steps at every tick: with events at every
/// price (`--events every:1`) the two are the same.
///
/// # Errors
/// [`TicksError::Unfit`] for features of bars, versions of features that this build does not compute, or meta-labels.
pub fn dataset_ticks(dataset: &Dataset, manifest: &Manifest, tick: TickConfig) -> Result<(Ticks, Samples), TicksError> {
    let unfit = |message: String| Err(TicksError::Unfit { message });
    if dataset.side.iter().any(Option::is_some) {
        return unfit(
            "the labels of the dataset judge bets (it was made with `--side`); a model of direction needs one without".into(),
        );
    }
    for (name, version) in manifest.features.names.iter().zip(&manifest.features.versions) {
        match index_of(name).and_then(|place| registry().get(place)) {
            None => {
                return unfit(format!(
                    "`{name}` is no feature of decision ticks, which a model of the hot path is given; make the dataset from captures"
                ));
            }
            Some(known) if known.version != *version => {
                return unfit(format!(
                    "feature `{name}` is version {version} in the dataset and {} here; make the dataset again",
                    known.version
                ));
            }
            Some(_) => {}
        }
    }
    let rows = dataset.rows();
    let elapsed = |pair: &[i64]| (pair[1].saturating_sub(pair[0]) as f64 * 1e-9) as f32;
    let ticks = Ticks {
        instrument: manifest.source.instrument.clone(),
        tick,
        features: manifest.features.names.iter().cloned().zip(manifest.features.versions.iter().copied()).collect(),
        times_ns: dataset.event_ns.clone(),
        elapsed_s: [0.0].into_iter().take(rows).chain(dataset.event_ns.windows(2).map(elapsed)).collect(),
        mids: vec![f64::NAN; rows],
        values: dataset.values.iter().map(|value| *value as f32).collect(),
        is_warm: vec![true; rows],
        starts: if rows == 0 { Vec::new() } else { vec![0] },
        regimes: vec![[0.0; REGIME_EMBEDDING]],
        regime_of: vec![0; rows],
    };
    let mut lengths_ns: Vec<i64> =
        dataset.end_ns.iter().zip(&dataset.event_ns).map(|(end, event)| end.saturating_sub(*event)).collect();
    lengths_ns.sort_unstable();
    let direction = |label: &i8| match label.signum() {
        1 => Direction::Up,
        -1 => Direction::Down,
        _ => Direction::Flat,
    };
    let samples = Samples {
        rows: (0..rows).collect(),
        times_ns: dataset.event_ns.clone(),
        ends_ns: dataset.end_ns.clone(),
        returns: dataset.simple_return.clone(),
        past_returns: last_known_returns(dataset),
        weights: dataset.weight.iter().map(|weight| *weight as f32).collect(),
        given: Some(dataset.label.iter().map(direction).collect()),
        horizon_ns: lengths_ns.get(rows / 2).copied().unwrap_or_default().max(1),
    };
    Ok((ticks, samples))
}

/// The return of the label that ended last by each event; NaN before the first end.
fn last_known_returns(dataset: &Dataset) -> Vec<f64> {
    let mut by_end: Vec<usize> = (0..dataset.rows()).collect();
    by_end.sort_by_key(|row| dataset.end_ns[*row]);
    let mut ended = 0;
    let mut last = f64::NAN;
    let known = |event_ns: &i64| {
        while let Some(row) = by_end.get(ended).filter(|row| dataset.end_ns[**row] <= *event_ns) {
            last = dataset.simple_return[*row];
            ended += 1;
        }
        last
    };
    dataset.event_ns.iter().map(known).collect()
}

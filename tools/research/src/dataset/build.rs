//! From prices and features to samples.

use super::look_ahead::{LookAhead, look_ahead};
use super::recipe::{EventRule, LabelRule, WeightRule};
use super::source::{Observed, Source};
use super::{Dataset, DatasetError, PrimarySignal, Recipe};
use crate::labels::{Adjust, Labels, Span, cusum_events, one_bar_volatility, triple_barrier};
use crate::weights::{average_uniqueness, combined, return_attribution, time_decay};
use chronos_market::Side;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many of what there are, and why others are no samples.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Prices.
    pub prices: u64,
    /// Rows of features.
    pub feature_rows: u64,
    /// Events by the rule, those that became no sample too.
    pub events: u64,
    /// Events before every feature was known.
    pub warming_up: u64,
    /// Events at which the primary model's signal was zero or below the least one.
    pub without_side: u64,
    /// Events whose target is not above the least return.
    pub small: u64,
    /// Events whose label had not ended by the last price.
    pub unfinished: u64,
    /// Samples.
    pub samples: u64,
    /// Samples of each label.
    pub labels: BTreeMap<String, u64>,
    /// Samples ended by each barrier.
    pub barriers: BTreeMap<String, u64>,
}

/// How the check for look-ahead is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LookAheadOptions {
    /// How often the future is cut off, at least once.
    pub cuts: u32,
    /// Where.
    pub seed: u64,
}

impl Default for LookAheadOptions {
    fn default() -> Self {
        LookAheadOptions { cuts: 8, seed: 0 }
    }
}

/// What [`build`] gives.
#[derive(Clone, PartialEq, Debug)]
pub struct Built {
    /// The samples.
    pub dataset: Dataset,
    /// What they were made from.
    pub observed: Observed,
    /// How many of what.
    pub counts: Counts,
    /// What was checked.
    pub look_ahead: LookAhead,
}

/// What is done of what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuildProgress {
    /// What is done now.
    pub step: &'static str,
    /// Units done, of `total`.
    pub done: u64,
    /// Units there are.
    pub total: u64,
}

/// Makes samples: events of the prices, features as of each event and never later, labels and weights. It always cuts off the future
/// and computes again ([`look_ahead`]) before it labels anything.
///
/// # Errors
/// [`DatasetError`]: bad input, a recipe that makes no sense, a value that reads the future, no sample at all.
pub fn build(
    source: &dyn Source,
    recipe: &Recipe,
    check: LookAheadOptions,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<Built, DatasetError> {
    let barriers = recipe.barriers()?;
    recipe.check_side()?;
    let observed = source.observe(None, &mut |done, total| progress(BuildProgress { step: "observing", done, total }))?;
    let candidates = candidates(&observed, recipe)?;
    let mut tell = |done, total| progress(BuildProgress { step: "checking for look-ahead", done, total });
    let look_ahead = look_ahead(source, &observed, recipe, check.cuts.max(1), check.seed, &mut tell)?;
    let Candidates { events, targets, sides, .. } = &candidates;
    let labels = triple_barrier(&observed.times_ns, &observed.prices, events, targets, sides.as_deref(), &barriers)?;
    let mut counts = candidates.counts.clone();
    (counts.small, counts.unfinished) = (labels.small as u64, labels.unfinished.len() as u64);
    if labels.labels.is_empty() {
        return Err(DatasetError::NoSample { counts: Box::new(counts) });
    }
    let dataset = join(&observed, &candidates, &labels, recipe)?;
    counts.samples = dataset.rows() as u64;
    for (label, barrier) in dataset.label.iter().zip(&dataset.barrier) {
        *counts.labels.entry(label.to_string()).or_default() += 1;
        *counts.barriers.entry(barrier.name().to_owned()).or_default() += 1;
    }
    Ok(Built { dataset, observed, counts, look_ahead })
}

/// Events with all that is known of them when they happen.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// Places of the events among the prices.
    pub(super) events: Vec<usize>,
    /// When each was known.
    pub(super) times_ns: Vec<i64>,
    /// The row of features as of each event.
    pub(super) feature_rows: Vec<usize>,
    /// The bet at each event.
    pub(super) sides: Option<Vec<Side>>,
    /// Targets at each price.
    pub(super) targets: Vec<f64>,
    counts: Counts,
}

pub(super) fn candidates(observed: &Observed, recipe: &Recipe) -> Result<Candidates, DatasetError> {
    let Observed { times_ns, prices, features, .. } = observed;
    let targets = one_bar_volatility(prices, recipe.volatility_span, Adjust::Yes)?;
    let places = match recipe.event_rule()? {
        EventRule::Every(count) => (count - 1..prices.len()).step_by(count).collect(),
        EventRule::Cusum(multiple) => {
            let logs: Vec<f64> = prices.iter().map(|price| price.ln()).collect();
            // Where prices stand still any move would be one.
            let threshold = |target: &f64| if *target > 0.0 { multiple * target } else { f64::NAN };
            cusum_events(&logs, &targets.iter().map(threshold).collect::<Vec<f64>>())?
        }
    };
    let names = features.features.iter().map(|(name, _)| name.as_str());
    let primary = recipe.side.as_deref().map(|side| PrimarySignal::of(side, names)).transpose()?;
    let mut counts = Counts { prices: prices.len() as u64, feature_rows: features.times_ns.len() as u64, ..Counts::default() };
    counts.events = places.len() as u64;
    let mut candidates = Candidates {
        events: Vec::new(),
        times_ns: Vec::new(),
        feature_rows: Vec::new(),
        sides: primary.map(|_| Vec::new()),
        targets,
        counts,
    };
    for event in places {
        let known = features.as_of(times_ns[event]).filter(|row| features.row(*row).iter().all(|value| value.is_finite()));
        let Some(row) = known else {
            candidates.counts.warming_up += 1;
            continue;
        };
        if let (Some(sides), Some(primary)) = (&mut candidates.sides, primary) {
            let signal = primary.signal(features.row(row));
            if signal == 0.0 || signal.abs() < recipe.side_min {
                candidates.counts.without_side += 1;
                continue;
            }
            sides.push(if signal > 0.0 { Side::Buy } else { Side::Sell });
        }
        candidates.events.push(event);
        candidates.times_ns.push(times_ns[event]);
        candidates.feature_rows.push(row);
    }
    Ok(candidates)
}

fn join(observed: &Observed, candidates: &Candidates, labels: &Labels, recipe: &Recipe) -> Result<Dataset, DatasetError> {
    let spans: Vec<Span> = labels.labels.iter().map(|label| label.span).collect();
    let uniqueness = average_uniqueness(&spans, observed.prices.len())?;
    let base = match recipe.weight {
        WeightRule::Uniqueness => uniqueness.clone(),
        WeightRule::Return => return_attribution(&spans, &observed.prices)?,
        WeightRule::Equal => vec![1.0; spans.len()],
    };
    let weight = combined(&base, &time_decay(&uniqueness, recipe.decay)?)?;
    let mut dataset = Dataset {
        features: observed.features.features.iter().map(|(name, _)| name.clone()).collect(),
        uniqueness,
        weight,
        ..Dataset::default()
    };
    dataset.values.reserve(spans.len() * dataset.features.len());
    let mut place = 0;
    for label in &labels.labels {
        // Labels are in the order of the events, some of which have none.
        while candidates.events[place] != label.span.start {
            place += 1;
        }
        dataset.values.extend_from_slice(observed.features.row(candidates.feature_rows[place]));
        dataset.event_ns.push(observed.times_ns[label.span.start]);
        dataset.end_ns.push(observed.times_ns[label.span.end]);
        dataset.span.push(label.span);
        dataset.label.push(match recipe.label {
            LabelRule::Barrier => label.by_barrier(),
            LabelRule::Return => label.by_return(),
        });
        dataset.barrier.push(label.barrier);
        dataset.side.push(label.side);
        dataset.simple_return.push(label.simple_return);
        dataset.target.push(label.target);
    }
    Ok(dataset)
}

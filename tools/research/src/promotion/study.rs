//! How often the gate errs, measured where the truth is known: on markets without any signal, and on markets with a planted one.
//!
//! `cargo run --release -p chronos-research --example null_study` runs 200 seeds of 3,000 bars each; arguments give other numbers, and
//! the first seed. What it found (combinatorial
//! splits, 8 folds of which 2 are tested, no costs, a fresh ledger for each seed):
//!
//! | market without a signal | configurations tried | mean z (error) | mean PBO (error) | DSR > 0.95 | promoted | promoted, were bets independent |
//! | --- | --- | ---: | ---: | ---: | ---: | ---: |
//! | random walk | 6, mixed | -0.036 (0.043) | 0.473 (0.016) | 0.0 % | 0.0 % | 0.5 % |
//! | shuffled labels | 6, mixed | -0.026 (0.035) | 0.493 (0.015) | 0.0 % | 0.0 % | 0.0 % |
//! | random walk | 8 penalties | -0.034 (0.067) | 0.475 (0.011) | 0.5 % | 0.5 % | 1.5 % |
//! | shuffled labels | 8 penalties | 0.005 (0.056) | 0.498 (0.011) | 0.5 % | 0.5 % | 1.0 % |
//! | random walk | 2 penalties | -0.015 (0.072) | 0.484 (0.009) | 1.5 % | 1.0 % | 2.5 % |
//! | shuffled labels | 2 penalties | 0.032 (0.063) | 0.505 (0.008) | 1.0 % | 1.0 % | 3.5 % |
//!
//! z is the Sharpe ratio times the root of the number of bets, about 264. With walk-forward splits 0 to 2 % were promoted.
//!
//! # Is the null centred on zero?
//! It has to be: the rule that bets in a fold was trained on the others, and on a random walk its sign is independent of the moves it
//! bets on; no training label reaches into a test, and bets are chosen by when labels end, never by where. The mean over seeds is
//! another matter: paths of one history are nearly copies of each other, so each seed counts once, with a standard deviation of about
//! one. 200 seeds have shown 0.19 (error 0.08) on 8,000 bars with two penalties, the largest of the twelve rows of that run. Seeds that
//! were not looked at before say it was chance: 500 of 8,000 bars (1,000 to 1,499) gave -0.11 (0.05), all 700 together -0.02 (0.04);
//! 2,000 of 3,000 bars (5,000 to 6,999) 0.005 (0.023), and batches of 100 of them scatter as independent ones do.
//!
//! | correlation with the next bar | with the labels' returns | Sharpe ratio a year of the best | mean PBO | mean DSR | promoted |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 0.00 | 0.005 | 1.86 | 0.473 | 0.482 | 0.0 % |
//! | 0.05 | 0.105 | 2.45 | 0.425 | 0.544 | 0.0 % |
//! | 0.10 | 0.201 | 3.99 | 0.295 | 0.688 | 1.5 % |
//! | 0.15 | 0.289 | 6.05 | 0.142 | 0.824 | 13.0 % |
//! | 0.20 | 0.365 | 8.14 | 0.072 | 0.912 | 42.0 % |
//! | 0.25 | 0.431 | 10.29 | 0.034 | 0.959 | 72.0 % |
//! | 0.30 | 0.485 | 12.44 | 0.019 | 0.980 | 89.5 % |
//! | 0.40 | 0.566 | 16.23 | 0.007 | 0.996 | 99.5 % |
//!
//! The gate is strict on a history as short as this one, 125 days of hourly bars. The deflated Sharpe ratio takes the spread of all
//! trials as luck, also where some of them have skill and others have none: few trials, of which a part found the signal, set a high
//! hurdle.

use super::{Candidate, Gate, PromotionError, Verdict, judge};
use crate::ledger::Ledger;
use crate::validation::{
    Backtest, Embargo, Logistic, Majority, Model, Momentum, OwnedSamples, Sizing, Splitter, Target, ValidationError,
    ValidationPlan, validate,
};
use std::f64::consts::TAU;
use std::path::Path;

/// Bars from one event to the next.
const EVENT_BARS: usize = 3;
/// A label ends after so many bars, unless a barrier is touched before.
const LABEL_BARS: usize = 10;
/// Distance of the barriers, in standard deviations of the return over a label's bars.
const BARRIER: f64 = 1.5;
/// Standard deviation of a bar's return.
const BAR_VOLATILITY: f64 = 0.01;
/// What a feature keeps of itself from bar to bar.
const PERSISTENCE: f64 = 0.9;
/// Persistent features, the first of which may tell something.
const FEATURES: usize = 3;
/// Nanoseconds of a bar: an hour.
const BAR_NS: i64 = 3_600_000_000_000;

/// What there is to find.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Truth {
    /// Nothing: prices are a random walk.
    RandomWalk,
    /// Nothing: labels with their returns are dealt out to the rows anew, each with a sign drawn anew.
    ///
    /// Without new signs this would be no null: a random walk drifts by chance, its overlapping labels count the drift again and
    /// again, and dealing them out spreads it evenly over all folds, where any model that learns a constant finds it.
    ShuffledLabels,
    /// The first feature explains this share of the standard deviation of the next bar's return (their correlation).
    Signal(f64),
}

/// What is tried on each market.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// Rules and regressions that have little to do with each other.
    Mixed,
    /// One regression with eight penalties from weak to strong: configurations that nearly agree.
    Penalties,
    /// One regression with two penalties: next to nothing for the trials to tell.
    Pair,
}

/// What one run of the whole chain found.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The gate's verdict.
    pub verdict: Verdict,
    /// Sharpe ratio of each path of each configuration, times the root of the number of bets: standard normal, were bets
    /// independent.
    pub scores: Vec<Vec<f64>>,
    /// Correlation of the first feature with the returns of the labels.
    pub information: f64,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// In validation.
    #[error(transparent)]
    Validation(#[from] ValidationError),
    /// In the gate.
    #[error(transparent)]
    Promotion(#[from] PromotionError),
}

/// Simulates one history of so many bars and runs the chain on it: validation with a fresh ledger in `folder`, then the gate. No
/// costs: a market without a signal earns nothing, neither more nor less.
///
/// # Errors
/// [`StudyError`] where there are too few bars or the folder cannot be written.
pub fn run(
    truth: Truth,
    search: Search,
    bars: usize,
    splitter: &Splitter,
    seed: u64,
    folder: &Path,
) -> Result<Outcome, StudyError> {
    let market = simulated(truth, bars, seed);
    let samples = market.samples();
    let plan = ValidationPlan {
        splitter: splitter.clone(),
        backtest: Backtest { cost_bps: 0.0, threshold: 0.0, sizing: Sizing::Unit },
        seed,
        dataset_sha256: format!("simulated {truth:?} {seed}"),
        time_ns: 0,
        code: env!("CARGO_PKG_VERSION").into(),
        subject_sha256: String::new(),
    };
    let ledger = Ledger::in_folder(folder);
    let models = search.models();
    let models: Vec<&dyn Model> = models.iter().map(Box::as_ref).collect();
    let validation = validate(&samples, &models, &plan, &ledger, &|_, _| {})?;
    let history = ledger.read().map_err(ValidationError::from)?;
    let candidate =
        Candidate { validation: &validation, trained_on: &plan.dataset_sha256, subject_sha256: "", promoted_with: None };
    let verdict = judge(&candidate, &history, &Gate::default())?;
    let root = (validation.times_ns.len() as f64).sqrt();
    let scores = |configuration: &crate::validation::Configuration| {
        configuration.path_sharpes().iter().map(|sharpe| sharpe * root).collect::<Vec<f64>>()
    };
    Ok(Outcome {
        verdict,
        scores: validation.configurations.iter().map(scores).collect(),
        information: correlation(samples.features[0], samples.returns),
    })
}

impl Search {
    fn models(self) -> Vec<Box<dyn Model>> {
        match self {
            Search::Mixed => vec![
                Box::new(Majority),
                Box::new(Momentum { labels: 1 }),
                Box::new(Momentum { labels: 5 }),
                Box::new(Momentum { labels: 20 }),
                Box::new(Logistic { l2: 1.0 }),
                Box::new(Logistic { l2: 1_000.0 }),
            ],
            Search::Penalties => regressions(&[0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]),
            Search::Pair => regressions(&[1.0, 100.0]),
        }
    }
}

fn regressions(penalties: &[f64]) -> Vec<Box<dyn Model>> {
    penalties.iter().map(|&l2| Box::new(Logistic { l2 }) as Box<dyn Model>).collect()
}

/// Simulates one history: a label every three bars by three barriers, three persistent features and the move of the last ten bars.
pub fn simulated(truth: Truth, bars: usize, seed: u64) -> OwnedSamples {
    let mut random = fastrand::Rng::with_seed(seed);
    let strength = if let Truth::Signal(strength) = truth { strength } else { 0.0 };
    let mut state: Vec<f64> = (0..FEATURES).map(|_| normal(&mut random)).collect();
    let (mut states, mut moves) = (Vec::with_capacity(bars), Vec::with_capacity(bars));
    for _ in 0..bars {
        for value in &mut state {
            *value = PERSISTENCE * *value + (1.0 - PERSISTENCE * PERSISTENCE).sqrt() * normal(&mut random);
        }
        states.push(state.clone());
        // The move of the bar after the one whose close the features stand at.
        moves.push(BAR_VOLATILITY * (strength * state[0] + (1.0 - strength * strength).sqrt() * normal(&mut random)));
    }
    let barrier = BARRIER * BAR_VOLATILITY * (LABEL_BARS as f64).sqrt();
    let mut market = OwnedSamples {
        features: vec![Vec::new(); FEATURES + 1],
        events_ns: Vec::new(),
        ends_ns: Vec::new(),
        labels: Vec::new(),
        returns: Vec::new(),
        weights: Vec::new(),
        target: Target::Direction,
    };
    for event in (LABEL_BARS..bars.saturating_sub(LABEL_BARS)).step_by(EVENT_BARS) {
        let mut earned = 0.0;
        let mut end = event;
        while end < event + LABEL_BARS && f64::abs(earned) < barrier {
            earned += moves[end];
            end += 1;
        }
        for (column, value) in market.features.iter_mut().zip(&states[event]) {
            column.push(*value);
        }
        market.features[FEATURES].push(moves[event - LABEL_BARS..event].iter().sum());
        market.events_ns.push(event as i64 * BAR_NS);
        market.ends_ns.push(end as i64 * BAR_NS);
        market.labels.push(earned.signum());
        market.returns.push(earned);
        market.weights.push(1.0);
    }
    if truth == Truth::ShuffledLabels {
        let mut order: Vec<usize> = (0..market.labels.len()).collect();
        random.shuffle(&mut order);
        let signs: Vec<f64> = order.iter().map(|_| if random.bool() { 1.0 } else { -1.0 }).collect();
        let dealt = |values: &[f64]| order.iter().zip(&signs).map(|(&row, sign)| sign * values[row]).collect();
        (market.labels, market.returns) = (dealt(&market.labels), dealt(&market.returns));
    }
    market
}

/// The splits of the study: 8 folds, 2 tested at once, purged by label times, an embargo of ten bars.
pub fn splitter() -> Splitter {
    Splitter::CombinatorialPurged {
        folds: 8,
        test_folds: 2,
        purge_bars: 0,
        embargo: Embargo { bars: 0, time: LABEL_BARS as i64 * BAR_NS },
    }
}

/// A standard normal value (Box and Muller 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (TAU * random.f64()).cos()
}

fn correlation(one: &[f64], two: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_one, mean_two) = (mean(one), mean(two));
    let sum = |of: &dyn Fn(f64, f64) -> f64| one.iter().zip(two).map(|(a, b)| of(a - mean_one, b - mean_two)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

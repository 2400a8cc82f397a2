//! Two models on the same samples.

use super::baselines::ORDER_FLOW;
use super::{DirectionScores, Predictions, Score};
use crate::ticks::Direction;
use crate::validation::{Blocks, Bootstrap, Interval, IntervalKind};
use serde::Serialize;

/// Blocks are longer than this many horizons: what overlaps stays together.
const HORIZONS_PER_BLOCK: f64 = 3.0;
/// With fewer blocks than this an interval says nothing.
const BLOCKS_MIN: f64 = 10.0;

/// What may be said of a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better, and the interval does not hold zero.
    Better,
    /// Worse, and the interval does not hold zero.
    Worse,
    /// The interval holds zero, or there is none.
    Undecided,
}

impl Verdict {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Undecided => "undecided",
        }
    }
}

/// A score of one model less that of another, over the same samples.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// Which score.
    pub score: Score,
    /// The other model.
    pub against: String,
    /// The difference and its interval; `None` where a score is not defined on some resample, or samples make too few blocks.
    pub interval: Option<Interval>,
    /// What may be said of it.
    pub verdict: Verdict,
}

/// A bootstrap for samples whose labels overlap, `per_horizon` of them in one horizon: 1,000 resamples of the stationary kind (Politis and
/// Romano 1994) in blocks of three horizons, of the cube root of the samples where that is longer, read off at 95 %.
pub fn block_bootstrap(samples: usize, per_horizon: f64, seed: u64) -> Bootstrap {
    let length = (HORIZONS_PER_BLOCK * per_horizon).max((samples as f64).cbrt()).clamp(1.0, samples.max(1) as f64);
    let blocks = Blocks::Stationary(length);
    Bootstrap { resamples: 1_000, blocks, kind: IntervalKind::Percentile, level: 0.95, seed }
}

/// Compares one model with another by a score. Both are judged on the same resamples, so that what is hard for both does not blur the
/// difference. With fewer than ten blocks there is no interval.
pub fn compare(one: &Predictions, other: &Predictions, against: &str, score: Score, bootstrap: &Bootstrap) -> Difference {
    let samples = one.samples();
    let rows: Vec<u32> = (0..samples as u32).collect();
    let difference = |drawn: &[u32]| {
        let mut counts = vec![0.0; samples];
        for row in drawn {
            counts[*row as usize] += 1.0;
        }
        one.score(score, &counts) - other.score(score, &counts)
    };
    let length = match bootstrap.blocks {
        Blocks::Moving(length) => length as f64,
        Blocks::Stationary(mean) => mean,
    };
    let is_enough = samples == other.samples() && samples as f64 >= BLOCKS_MIN * length;
    let interval = if is_enough { bootstrap.interval_of(&rows, difference).ok() } else { None };
    let verdict = match &interval {
        Some(interval) if interval.low > 0.0 && interval.high > 0.0 => {
            if score.is_higher_better() {
                Verdict::Better
            } else {
                Verdict::Worse
            }
        }
        Some(interval) if interval.low < 0.0 && interval.high < 0.0 => {
            if score.is_higher_better() {
                Verdict::Worse
            } else {
                Verdict::Better
            }
        }
        _ => Verdict::Undecided,
    };
    Difference { score, against: against.to_owned(), interval, verdict }
}

/// One model of a [`ScoreTable`].
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ScoredModel {
    /// What it is called.
    pub name: String,
    /// Its scores.
    pub scores: DirectionScores,
}

/// A model beside its baselines, on the same samples.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ScoreTable {
    /// Samples.
    pub samples: usize,
    /// Share of each direction among them: down, flat, up.
    pub shares: [f64; 3],
    /// Mean length of the bootstrap's blocks, in samples.
    pub block_samples: f64,
    /// The model first, then the baselines.
    pub models: Vec<ScoredModel>,
    /// The model less each baseline, by each score.
    pub differences: Vec<Difference>,
    /// Whether the model's log-loss is better than that of every baseline that learns nothing (majority, last move): only then is skill
    /// claimed.
    pub has_skill: bool,
    /// How its log-loss compares with that of the regression on order flow; `None` where that is not among the baselines.
    pub beside_order_flow: Option<Verdict>,
}

impl ScoreTable {
    /// What may be said of the model, in a sentence.
    pub fn in_words(&self) -> String {
        let skill = match self.has_skill {
            true => "skill is shown: its log-loss is better than what majority and last move give",
            false => "no skill is shown: its log-loss is not better than both majority and last move; do not trade on it",
        };
        match self.beside_order_flow {
            Some(Verdict::Undecided) => format!("{skill}; beside the regression on order flow it is undecided"),
            Some(verdict) => format!("{skill}; it is {} than the regression on order flow", verdict.name()),
            None => skill.to_owned(),
        }
    }
}

/// Judges a model and compares it with each baseline. `directions` are what was so, in the order of the samples' times.
pub fn score_table(
    model: (&str, &Predictions),
    baselines: &[(&str, Predictions)],
    directions: &[Direction],
    bootstrap: &Bootstrap,
) -> ScoreTable {
    let differences: Vec<Difference> = baselines
        .iter()
        .flat_map(|(name, baseline)| Score::ALL.map(|score| compare(model.1, baseline, name, score, bootstrap)))
        .collect();
    let by_log_loss = || differences.iter().filter(|difference| difference.score == Score::LogLoss);
    let mut unlearnt = by_log_loss().filter(|difference| difference.against != ORDER_FLOW).peekable();
    let has_skill = unlearnt.peek().is_some() && unlearnt.all(|difference| difference.verdict == Verdict::Better);
    let scored = |(name, predictions): (&str, &Predictions)| ScoredModel { name: name.to_owned(), scores: predictions.scores() };
    let share = |class: Direction| {
        directions.iter().filter(|direction| **direction == class).count() as f64 / directions.len().max(1) as f64
    };
    ScoreTable {
        samples: model.1.samples(),
        shares: Direction::ALL.map(share),
        block_samples: match bootstrap.blocks {
            Blocks::Moving(length) => length as f64,
            Blocks::Stationary(mean) => mean,
        },
        models: std::iter::once(model).chain(baselines.iter().map(|(name, of)| (*name, of))).map(scored).collect(),
        has_skill,
        beside_order_flow: by_log_loss().find(|difference| difference.against == ORDER_FLOW).map(|difference| difference.verdict),
        differences,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Down or up by coins, and what a model says that knows each with this probability in runs of ten.
    fn coins(samples: usize, known: f64, seed: u64) -> (Vec<Direction>, Predictions, Predictions) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut directions, mut said) = (Vec::new(), Vec::new());
        for _ in 0..samples / 10 {
            let is_up = random.bool();
            let is_said_up = if random.f64() < known { is_up } else { random.bool() };
            for _ in 0..10 {
                directions.push(if is_up { Direction::Up } else { Direction::Down });
                said.push(if is_said_up { [0.3, 0.1, 0.6] } else { [0.6, 0.1, 0.3] });
            }
        }
        let coin = vec![[0.45, 0.1, 0.45]; directions.len()];
        let [said, coin] = [&said, &coin].map(|of| Predictions::new(of, &directions).unwrap());
        (directions, said, coin)
    }

    #[test]
    fn skill_is_found_where_it_is_and_not_where_it_is_not() {
        let table = |known, seed| {
            let (directions, said, coin) = coins(4_000, known, seed);
            let bootstrap = block_bootstrap(4_000, 10.0, 1);
            assert_eq!(bootstrap.blocks, Blocks::Stationary(30.0));
            score_table(("model", &said), &[("coin", coin)], &directions, &bootstrap)
        };
        let found = table(0.6, 1);
        assert!(
            found.has_skill
                && found.differences.iter().filter(|one| one.score != Score::AucMacro).all(|one| one.verdict == Verdict::Better)
        );
        // Of 20 models without skill, whose intervals miss the truth at 5 %, on either side, hardly any is called better by log-loss; as they
        // say too much of what they do not know, they are rather worse.
        let lucky = (0..20).filter(|seed| table(0.0, 100 + seed).has_skill).count();
        assert!(lucky <= 1, "{lucky}");
        // By AUC it is as good as a coin.
        let by_luck = (0..20).filter(|seed| {
            let (_, said, coin) = coins(4_000, 0.0, 200 + seed);
            compare(&said, &coin, "coin", Score::Auc, &block_bootstrap(4_000, 10.0, 1)).verdict != Verdict::Undecided
        });
        let by_luck = by_luck.count();
        assert!(by_luck <= 4, "{by_luck}");
    }

    #[test]
    fn the_same_predictions_differ_by_nothing() {
        let (_, said, _) = coins(400, 0.5, 1);
        let difference = compare(&said, &said, "itself", Score::LogLoss, &block_bootstrap(400, 1.0, 1));
        let interval = difference.interval.unwrap();
        assert_eq!((interval.estimate, interval.low, interval.high, difference.verdict), (0.0, 0.0, 0.0, Verdict::Undecided));
    }

    #[test]
    fn too_few_blocks_decide_nothing() {
        let (_, said, coin) = coins(200, 1.0, 1);
        let difference = compare(&said, &coin, "coin", Score::Brier, &block_bootstrap(200, 10.0, 1));
        assert_eq!((difference.interval, difference.verdict), (None, Verdict::Undecided));
    }
}

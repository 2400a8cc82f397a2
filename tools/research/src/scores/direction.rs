//! Scores of three probabilities.

use crate::ticks::{CLASSES, Direction};
use serde::{Deserialize, Serialize};

/// Probabilities of down, flat and up, in the order of [`Direction::ALL`].
pub type Probabilities = [f64; CLASSES];

/// One way to judge probabilities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Mean of `-ln` of the probability given to what was; that is kept a float64's rounding above 0. Lower is better.
    LogLoss,
    /// Mean over samples of the sum over classes of the squared difference between probability and what was, 0 to 2 (Brier 1950). Lower is
    /// better.
    Brier,
    /// Share of the samples whose most probable direction was so; of equal ones the first counts. Higher is better.
    Accuracy,
    /// Area under the receiver operating characteristic of up against down, among samples that moved: the chance that one that went up has a
    /// larger `up / (up + down)` than one that went down, ties counting half. Higher is better.
    Auc,
    /// Mean over the three classes of the area of each against the rest. Higher is better.
    AucMacro,
}

impl Score {
    /// All of them.
    pub const ALL: [Score; 5] = [Score::LogLoss, Score::Brier, Score::Accuracy, Score::Auc, Score::AucMacro];

    /// Its name for a table.
    pub fn name(self) -> &'static str {
        match self {
            Score::LogLoss => "log-loss",
            Score::Brier => "Brier",
            Score::Accuracy => "accuracy",
            Score::Auc => "AUC",
            Score::AucMacro => "AUC (macro)",
        }
    }

    /// Whether more of it is better.
    pub fn is_higher_better(self) -> bool {
        !matches!(self, Score::LogLoss | Score::Brier)
    }
}

/// All scores of some predictions; NaN where one is not defined.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct DirectionScores {
    /// [`Score::LogLoss`].
    pub log_loss: f64,
    /// [`Score::Brier`].
    pub brier: f64,
    /// [`Score::Accuracy`].
    pub accuracy: f64,
    /// [`Score::Auc`].
    pub auc: f64,
    /// [`Score::AucMacro`].
    pub auc_macro: f64,
}

impl DirectionScores {
    /// One of them.
    pub fn get(&self, score: Score) -> f64 {
        match score {
            Score::LogLoss => self.log_loss,
            Score::Brier => self.brier,
            Score::Accuracy => self.accuracy,
            Score::Auc => self.auc,
            Score::AucMacro => self.auc_macro,
        }
    }
}

/// Why predictions cannot be judged.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum PredictionsError {
    /// As many predictions as samples are needed.
    #[error("{predictions} predictions of {samples} samples; give one for each, and at least one")]
    Lengths {
        /// Predictions given.
        predictions: usize,
        /// Samples there are.
        samples: usize,
    },
    /// They are no probabilities.
    #[error("the prediction of sample {sample} is {probabilities:?}, which are not three probabilities that sum to 1")]
    Probabilities {
        /// Which sample, from 0.
        sample: usize,
        /// What was said.
        probabilities: Probabilities,
    },
}

/// What one model said of some samples and what was so, sorted once: the scores of a resample are sums then.
#[derive(Clone, Debug)]
pub struct Predictions {
    log_loss: Vec<f64>,
    brier: Vec<f64>,
    accuracy: Vec<f64>,
    up_or_down: Ranking,
    by_class: [Ranking; CLASSES],
}

impl Predictions {
    /// Predictions of samples in the order of their times.
    ///
    /// # Errors
    /// [`PredictionsError`], with the sample.
    pub fn new(probabilities: &[Probabilities], directions: &[Direction]) -> Result<Predictions, PredictionsError> {
        if probabilities.len() != directions.len() || directions.is_empty() {
            return Err(PredictionsError::Lengths { predictions: probabilities.len(), samples: directions.len() });
        }
        let is_good =
            |of: &Probabilities| of.iter().all(|p| (0.0..=1.0).contains(p)) && (of.iter().sum::<f64>() - 1.0).abs() < 1e-6;
        if let Some(sample) = probabilities.iter().position(|of| !is_good(of)) {
            return Err(PredictionsError::Probabilities { sample, probabilities: probabilities[sample] });
        }
        let pairs = || probabilities.iter().zip(directions);
        let is = |class: usize, direction: Direction| class == direction.index();
        let brier = |(of, direction): (&Probabilities, &Direction)| {
            let miss = |(class, p): (usize, &f64)| (p - f64::from(u8::from(is(class, *direction)))).powi(2);
            of.iter().enumerate().map(miss).sum()
        };
        let accuracy = |(of, direction): (&Probabilities, &Direction)| {
            let first = (0..CLASSES).fold(0, |best, class| if of[class] > of[best] { class } else { best });
            f64::from(u8::from(is(first, *direction)))
        };
        let moved = pairs().enumerate().filter(|(_, (_, direction))| **direction != Direction::Flat);
        let up_share = |of: &Probabilities| if of[0] + of[2] > 0.0 { of[2] / (of[0] + of[2]) } else { 0.5 };
        Ok(Predictions {
            log_loss: pairs().map(|(of, direction)| -of[direction.index()].max(f64::EPSILON).ln()).collect(),
            brier: pairs().map(brier).collect(),
            accuracy: pairs().map(accuracy).collect(),
            up_or_down: Ranking::of(moved.map(|(sample, (of, direction))| (sample, up_share(of), *direction == Direction::Up))),
            by_class: [0, 1, 2].map(|class| {
                Ranking::of(pairs().enumerate().map(|(sample, (of, direction))| (sample, of[class], is(class, *direction))))
            }),
        })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.log_loss.len()
    }

    /// All scores.
    pub fn scores(&self) -> DirectionScores {
        let once = vec![1.0; self.samples()];
        let of = |score| self.score(score, &once);
        DirectionScores {
            log_loss: of(Score::LogLoss),
            brier: of(Score::Brier),
            accuracy: of(Score::Accuracy),
            auc: of(Score::Auc),
            auc_macro: of(Score::AucMacro),
        }
    }

    /// A score where each sample counts so many times; NaN where it is not defined.
    pub(super) fn score(&self, score: Score, counts: &[f64]) -> f64 {
        let mean = |values: &[f64]| {
            let total: f64 = counts.iter().sum();
            values.iter().zip(counts).map(|(value, count)| value * count).sum::<f64>() / total
        };
        match score {
            Score::LogLoss => mean(&self.log_loss),
            Score::Brier => mean(&self.brier),
            Score::Accuracy => mean(&self.accuracy),
            Score::Auc => self.up_or_down.area(counts),
            Score::AucMacro => self.by_class.iter().map(|ranking| ranking.area(counts)).sum::<f64>() / CLASSES as f64,
        }
    }
}

/// Samples by what was said of them, lowest first.
#[derive(Clone, Debug)]
struct Ranking {
    /// Sample, whether it was so, and whether the next one is tied with it.
    order: Vec<(u32, bool, bool)>,
}

impl Ranking {
    /// Of samples with what was said and whether it was so.
    fn of(rows: impl Iterator<Item = (usize, f64, bool)>) -> Ranking {
        let mut rows: Vec<(usize, f64, bool)> = rows.collect();
        rows.sort_by(|one, two| one.1.total_cmp(&two.1));
        let is_tied = |place: usize| rows.get(place + 1).is_some_and(|next| next.1 == rows[place].1);
        Ranking { order: rows.iter().enumerate().map(|(place, row)| (row.0 as u32, row.2, is_tied(place))).collect() }
    }

    /// The area under the receiver operating characteristic; NaN without a sample of either kind.
    fn area(&self, counts: &[f64]) -> f64 {
        let (mut below, mut area, mut yes) = (0.0, 0.0, 0.0);
        let (mut yes_here, mut no_here) = (0.0, 0.0);
        for (sample, is_so, is_tied) in &self.order {
            let kind = if *is_so { &mut yes_here } else { &mut no_here };
            *kind += counts[*sample as usize];
            if !is_tied {
                area += yes_here * (below + 0.5 * no_here);
                below += no_here;
                yes += yes_here;
                (yes_here, no_here) = (0.0, 0.0);
            }
        }
        area / (yes * below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::auc;
    use Direction::{Down, Flat, Up};
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let probabilities = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]];
        let scores = Predictions::new(&probabilities, &[Up, Down, Down, Down]).unwrap().scores();
        assert!((scores.log_loss + (0.5_f64 * 0.6 * 0.25 * 0.1).ln() / 4.0).abs() < 1e-12);
        let brier = [0.04 + 0.09 + 0.25, 0.16 + 0.09 + 0.01, 0.5625 + 0.25 + 0.0625, 0.81 + 0.01 + 0.64];
        assert!((scores.brier - brier.iter().sum::<f64>() / 4.0).abs() < 1e-12);
        assert_eq!(scores.accuracy, 0.5);
        // Shares of up: 5/7 of the one that rose; 1/7, 1/2 and 8/9 of those that fell.
        assert!((scores.auc - 2.0 / 3.0).abs() < 1e-12);
        assert!(scores.auc_macro.is_nan());
        assert!(Predictions::new(&probabilities[..3], &[Up]).is_err() && Predictions::new(&[], &[]).is_err());
        let told = Predictions::new(&[[0.5, 0.5, 0.5]], &[Up]).unwrap_err().to_string();
        assert!(told.contains("sample 0") && told.contains("sum to 1"), "{told}");
        assert!(Predictions::new(&[[f64::NAN, 0.5, 0.5]], &[Up]).is_err());
    }

    proptest! {
        /// A sample counted twice is one that stands twice, and areas are those of the two-class score.
        #[test]
        fn counts_repeat_samples(rows in prop::collection::vec((0_u8..5, 0_u8..5, 0_usize..3, 0_u8..3), 3..30)) {
            let of = |one: u8, two: u8| {
                let sum = f64::from(one + two + 1);
                [f64::from(one) / sum, 1.0 / sum, f64::from(two) / sum]
            };
            let probabilities: Vec<Probabilities> = rows.iter().map(|row| of(row.0, row.1)).collect();
            let directions: Vec<Direction> = rows.iter().map(|row| Direction::ALL[row.2]).collect();
            let counts: Vec<f64> = rows.iter().map(|row| f64::from(row.3)).collect();
            let repeated = || rows.iter().enumerate().flat_map(|(at, row)| std::iter::repeat_n(at, usize::from(row.3)));
            let many: Vec<Probabilities> = repeated().map(|at| probabilities[at]).collect();
            let so: Vec<Direction> = repeated().map(|at| directions[at]).collect();
            prop_assume!(!many.is_empty());
            let predictions = Predictions::new(&probabilities, &directions).unwrap();
            let scores = Predictions::new(&many, &so).unwrap().scores();
            for score in Score::ALL {
                let (one, two) = (predictions.score(score, &counts), scores.get(score));
                prop_assert!((one - two).abs() < 1e-12 || (one.is_nan() && two.is_nan()), "{:?} {} {}", score, one, two);
            }
            let areas = [Down, Flat, Up].map(|class| {
                let said: Vec<f64> = many.iter().map(|of| of[class.index()]).collect();
                auc(&said, &so.iter().map(|direction| *direction == class).collect::<Vec<_>>(), None)
            });
            let macro_area = areas.iter().sum::<f64>() / 3.0;
            prop_assert!((scores.auc_macro - macro_area).abs() < 1e-12 || (macro_area.is_nan() && scores.auc_macro.is_nan()));
        }
    }
}

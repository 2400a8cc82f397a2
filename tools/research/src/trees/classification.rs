//! How good predicted probabilities of a yes are.

/// Two by two: what was predicted against what was, in weights.
#[derive(Clone, Copy, PartialEq, Default, Debug, serde::Serialize)]
pub struct Confusion {
    /// Yes was said and it was so.
    pub true_positives: f64,
    /// Yes was said and it was not so.
    pub false_positives: f64,
    /// No was said and it was not so.
    pub true_negatives: f64,
    /// No was said and it was so.
    pub false_negatives: f64,
}

impl Confusion {
    /// Of probabilities from `threshold` on taken for a yes.
    pub fn of(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>, threshold: f64) -> Confusion {
        let mut confusion = Confusion::default();
        for (row, (probability, label)) in probabilities.iter().zip(labels).enumerate() {
            let cell = match (*probability >= threshold, *label) {
                (true, true) => &mut confusion.true_positives,
                (true, false) => &mut confusion.false_positives,
                (false, false) => &mut confusion.true_negatives,
                (false, true) => &mut confusion.false_negatives,
            };
            *cell += weights.map_or(1.0, |weights| weights[row]);
        }
        confusion
    }

    /// Share of the yeses said that were so; NaN where none was said.
    pub fn precision(&self) -> f64 {
        self.true_positives / (self.true_positives + self.false_positives)
    }

    /// Share of what was so that was said; NaN where nothing was so.
    pub fn recall(&self) -> f64 {
        self.true_positives / (self.true_positives + self.false_negatives)
    }

    /// Harmonic mean of precision and recall; NaN where there is neither yes nor truth.
    pub fn f1(&self) -> f64 {
        2.0 * self.true_positives / (2.0 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Share of what was said that was so.
    pub fn accuracy(&self) -> f64 {
        let right = self.true_positives + self.true_negatives;
        right / (right + self.false_positives + self.false_negatives)
    }
}

/// Weighted mean of `-ln` of the probability given to what was. Probabilities are kept a float64's rounding away from 0 and 1, as
/// scikit-learn keeps them. NaN without rows.
pub fn log_loss(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>) -> f64 {
    weighted_mean(
        weights,
        probabilities.iter().zip(labels).map(|(probability, label)| {
            let probability = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
            -(if *label { probability } else { 1.0 - probability }).ln()
        }),
    )
}

/// Weighted mean of the squared difference between probability and what was (Brier, 1950). NaN without rows.
pub fn brier(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>) -> f64 {
    weighted_mean(
        weights,
        probabilities.iter().zip(labels).map(|(probability, label)| {
            let miss = probability - f64::from(u8::from(*label));
            miss * miss
        }),
    )
}

/// Area under the receiver operating characteristic: the chance that a weighted draw of what was so has a higher probability than
/// one of what was not, ties counting half. NaN where either is missing.
pub fn auc(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>) -> f64 {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|one, two| probabilities[*one].total_cmp(&probabilities[*two]));
    let (mut below, mut area, mut yes) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|one, two| probabilities[*one] == probabilities[*two]) {
        let sum = |wanted: bool| tied.iter().filter(|row| labels[**row] == wanted).map(|row| weight(*row)).sum::<f64>();
        let (yes_here, no_here) = (sum(true), sum(false));
        area += yes_here * (below + 0.5 * no_here);
        below += no_here;
        yes += yes_here;
    }
    area / (yes * below)
}

fn weighted_mean(weights: Option<&[f64]>, values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, value) in values.enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        sum += weight * value;
        total += weight;
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROBABILITIES: [f64; 5] = [0.9, 0.8, 0.5, 0.5, 0.1];
    const LABELS: [bool; 5] = [true, false, true, false, false];

    #[test]
    fn by_hand() {
        let confusion = Confusion::of(&PROBABILITIES, &LABELS, None, 0.5);
        assert_eq!(confusion, Confusion { true_positives: 2.0, false_positives: 2.0, true_negatives: 1.0, false_negatives: 0.0 });
        assert_eq!([confusion.precision(), confusion.recall(), confusion.accuracy()], [0.5, 1.0, 0.6]);
        assert!((confusion.f1() - 2.0 / 3.0).abs() < 1e-15);
        // Pairs: 0.9 beats three; 0.5 beats 0.1, ties with 0.5, loses to 0.8.
        assert!((auc(&PROBABILITIES, &LABELS, None) - 4.5 / 6.0).abs() < 1e-15);
        assert!((brier(&PROBABILITIES, &LABELS, None) - (0.01 + 0.64 + 0.25 + 0.25 + 0.01) / 5.0).abs() < 1e-15);
        let logs = 0.9_f64.ln() + 0.2_f64.ln() + 2.0 * 0.5_f64.ln() + 0.9_f64.ln();
        assert!((log_loss(&PROBABILITIES, &LABELS, None) + logs / 5.0).abs() < 1e-15);
        assert!(log_loss(&[0.0], &[true], None).is_finite() && auc(&[0.5], &[true], None).is_nan());
    }

    proptest! {
        #[test]
        fn a_weight_of_two_is_a_row_twice(rows in prop::collection::vec((0_u8..6, any::<bool>(), 0_u8..3), 2..30)) {
            let probabilities: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 5.0).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
            let repeated = || rows.iter().enumerate().flat_map(|(at, row)| std::iter::repeat_n(at, usize::from(row.2)));
            let more_probabilities: Vec<f64> = repeated().map(|at| probabilities[at]).collect();
            let more_labels: Vec<bool> = repeated().map(|at| labels[at]).collect();
            for score in [log_loss, brier, auc] {
                let (one, two) = (score(&probabilities, &labels, Some(&weights)), score(&more_probabilities, &more_labels, None));
                prop_assert!((one - two).abs() < 1e-9 || (one.is_nan() && two.is_nan()), "{} {}", one, two);
            }
            let weighted = Confusion::of(&probabilities, &labels, Some(&weights), 0.5);
            prop_assert_eq!(weighted, Confusion::of(&more_probabilities, &more_labels, None, 0.5));
        }
    }
}

//! Fitting a [`Calibration`], and telling how well predictions are calibrated.

use chronos_inference::trees::{Calibration, CalibrationError, IsotonicMap};

/// Why no calibration was fitted.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum FitError {
    /// Lists of different lengths, or none of a weight above 0.
    #[error("calibration: {predictions} predictions, {labels} labels; there must be as many, some with a weight above 0")]
    Lengths {
        /// Predictions.
        predictions: usize,
        /// Labels.
        labels: usize,
    },
    /// A prediction is no probability.
    #[error("calibration: prediction {row} is {value}, and must be a probability from 0 to 1")]
    Prediction {
        /// Its place.
        row: usize,
        /// What it is.
        value: f64,
    },
    /// The points are no calibration.
    #[error("calibration: {0}")]
    Points(#[from] CalibrationError),
}

/// Isotonic regression of labels on predictions by pooling adjacent violators (Ayer et al., 1955; Zadrozny and Elkan, 2002): the
/// rising steps of least squared error, linear between the first and the last prediction of each pool.
///
/// # Errors
/// [`FitError`], with the place.
pub fn fit_isotonic(predictions: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Result<Calibration, FitError> {
    check(predictions, labels, weights)?;
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut order: Vec<usize> = (0..predictions.len()).filter(|row| weight(*row) > 0.0).collect();
    order.sort_by(|one, two| predictions[*one].total_cmp(&predictions[*two]));
    let mut pools: Vec<Pool> = Vec::new();
    for tied in order.chunk_by(|one, two| predictions[*one] == predictions[*two]) {
        let total: f64 = tied.iter().map(|row| weight(*row)).sum();
        let yes: f64 = tied.iter().filter(|row| labels[**row]).map(|row| weight(*row)).sum();
        let at = predictions[tied[0]];
        let mut pool = Pool { first: at, last: at, yes, total };
        while let Some(below) = pools.pop_if(|below| below.mean() >= pool.mean()) {
            pool = Pool { first: below.first, last: pool.last, yes: below.yes + pool.yes, total: below.total + pool.total };
        }
        pools.push(pool);
    }
    let (mut points, mut probabilities) = (Vec::new(), Vec::new());
    for pool in &pools {
        // Zero and minus zero are one prediction.
        let ends = if pool.first < pool.last { &[pool.first, pool.last][..] } else { &[pool.first] };
        points.extend_from_slice(ends);
        probabilities.extend(ends.iter().map(|_| pool.mean().clamp(0.0, 1.0)));
    }
    Ok(Calibration::Isotonic(IsotonicMap::new(points, probabilities)?))
}

struct Pool {
    first: f64,
    last: f64,
    yes: f64,
    total: f64,
}

impl Pool {
    fn mean(&self) -> f64 {
        self.yes / self.total
    }
}

/// Platt's sigmoid of the predictions' log odds, by Newton's method with backtracking (Lin, Lin and Weng, "A note on Platt's
/// probabilistic outputs for support vector machines", 2007). Targets are Platt's: `(yes + 1) / (yes + 2)` and `1 / (no + 2)`.
///
/// # Errors
/// [`FitError`], with the place.
pub fn fit_platt(predictions: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Result<Calibration, FitError> {
    check(predictions, labels, weights)?;
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let sum = |wanted: bool| -> f64 { (0..labels.len()).filter(|row| labels[*row] == wanted).map(weight).sum() };
    let (yes, no) = (sum(true), sum(false));
    let target = |row: usize| if labels[row] { (yes + 1.0) / (yes + 2.0) } else { 1.0 / (no + 2.0) };
    // Log odds of 0 and 1 are infinite; the calibration gives them 0 and 1 whatever its slope.
    let rows: Vec<(f64, f64, f64)> = predictions
        .iter()
        .enumerate()
        .map(|(row, p)| {
            let p = p.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
            ((p / (1.0 - p)).ln(), target(row), weight(row))
        })
        .collect();
    // -ln of the probability given to a target t at z = a x + b, p being 1 / (1 + exp(z)).
    let loss = |a: f64, b: f64| -> f64 {
        rows.iter()
            .map(|(x, t, w)| {
                let z = a * x + b;
                w * if z >= 0.0 { t * z + (-z).exp().ln_1p() } else { (t - 1.0) * z + z.exp().ln_1p() }
            })
            .sum()
    };
    let (mut a, mut b) = (0.0, ((no + 1.0) / (yes + 1.0)).ln());
    let mut now = loss(a, b);
    for _ in 0..NEWTON_STEPS_MAX {
        // The ridge keeps the hessian invertible.
        let (mut haa, mut hbb, mut hab, mut ga, mut gb) = (RIDGE, RIDGE, 0.0, 0.0, 0.0);
        for (x, t, w) in &rows {
            let p = 1.0 / (1.0 + (a * x + b).exp());
            let (slope, curvature) = (w * (t - p), w * p * (1.0 - p));
            haa += x * x * curvature;
            hbb += curvature;
            hab += x * curvature;
            ga += x * slope;
            gb += slope;
        }
        if ga.abs() < GRADIENT_MIN && gb.abs() < GRADIENT_MIN {
            break;
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = (-(hbb * ga - hab * gb) / determinant, -(haa * gb - hab * ga) / determinant);
        let slope = ga * da + gb * db;
        let steps = std::iter::successors(Some(1.0), |step| Some(step / 2.0)).take_while(|step| *step > STEP_MIN);
        let taken =
            steps.map(|step| (step, loss(a + step * da, b + step * db))).find(|(step, after)| *after < now + 1e-4 * step * slope);
        let Some((step, after)) = taken else { break };
        (a, b, now) = (a + step * da, b + step * db, after);
    }
    Ok(Calibration::Platt { a, b })
}

const PROBABILITY_MIN: f64 = 1e-12;
const NEWTON_STEPS_MAX: usize = 100;
const RIDGE: f64 = 1e-12;
const GRADIENT_MIN: f64 = 1e-9;
const STEP_MIN: f64 = 1e-10;

fn check(predictions: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Result<(), FitError> {
    let is_weighty = weights.is_none_or(|weights| weights.len() == labels.len() && weights.iter().any(|weight| *weight > 0.0));
    if predictions.len() != labels.len() || predictions.is_empty() || !is_weighty {
        return Err(FitError::Lengths { predictions: predictions.len(), labels: labels.len() });
    }
    match predictions.iter().position(|prediction| !(0.0..=1.0).contains(prediction)) {
        Some(row) => Err(FitError::Prediction { row, value: predictions[row] }),
        None => Ok(()),
    }
}

/// One bin of a reliability curve.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct ReliabilityBin {
    /// Where it begins, included.
    pub from: f64,
    /// Predictions in it.
    pub count: usize,
    /// Their weight.
    pub weight: f64,
    /// Weighted mean prediction; NaN where there is none.
    pub predicted: f64,
    /// Weighted share of what was so; NaN where there is none.
    pub observed: f64,
}

/// What was said against how often it was so, in `bins` bins of equal width from 0 to 1 (DeGroot and Fienberg, 1983).
pub fn reliability_curve(probabilities: &[f64], labels: &[bool], weights: Option<&[f64]>, bins: usize) -> Vec<ReliabilityBin> {
    let bins = bins.max(1);
    let mut sums = vec![(0_usize, 0.0, 0.0, 0.0); bins];
    for (row, (probability, label)) in probabilities.iter().zip(labels).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        let bin = &mut sums[((probability * bins as f64) as usize).min(bins - 1)];
        bin.0 += 1;
        bin.1 += weight;
        bin.2 += weight * probability;
        bin.3 += weight * f64::from(u8::from(*label));
    }
    let curve = sums.into_iter().enumerate().map(|(bin, (count, weight, predicted, observed))| ReliabilityBin {
        from: bin as f64 / bins as f64,
        count,
        weight,
        predicted: predicted / weight,
        observed: observed / weight,
    });
    curve.collect()
}

/// [`reliability_curve`] in at most `bins` bins of equal weight, so that none is judged by a few predictions. A bin begins at its least
/// prediction; equal predictions stand in one bin, and there are fewer bins where many are equal.
pub fn equal_mass_reliability_curve(
    probabilities: &[f64],
    labels: &[bool],
    weights: Option<&[f64]>,
    bins: usize,
) -> Vec<ReliabilityBin> {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut order: Vec<usize> = (0..probabilities.len().min(labels.len())).filter(|row| weight(*row) > 0.0).collect();
    order.sort_by(|one, two| probabilities[*one].total_cmp(&probabilities[*two]));
    let share = order.iter().map(|row| weight(*row)).sum::<f64>() / bins.max(1) as f64;
    let (mut curve, mut before) = (Vec::new(), 0.0);
    for tied in order.chunk_by(|one, two| probabilities[*one] == probabilities[*two]) {
        // The middle of what is tied decides which bin takes all of it.
        let tied_weight: f64 = tied.iter().map(|row| weight(*row)).sum();
        let bin = ((before + tied_weight / 2.0) / share) as usize;
        before += tied_weight;
        let at = probabilities[tied[0]];
        if curve.last().is_none_or(|(last, _)| *last != bin) {
            curve.push((bin, ReliabilityBin { from: at, count: 0, weight: 0.0, predicted: 0.0, observed: 0.0 }));
        }
        if let Some((_, sums)) = curve.last_mut() {
            sums.count += tied.len();
            sums.weight += tied_weight;
            sums.predicted += tied_weight * at;
            sums.observed += tied.iter().filter(|row| labels[**row]).map(|row| weight(*row)).sum::<f64>();
        }
    }
    let mean = |sums: ReliabilityBin| ReliabilityBin {
        predicted: sums.predicted / sums.weight,
        observed: sums.observed / sums.weight,
        ..sums
    };
    curve.into_iter().map(|(_, sums)| mean(sums)).collect()
}

/// Expected calibration error: over the bins of a curve, the weighted mean of the distance between what was said and how often it was so
/// (Naeini, Cooper and Hauskrecht, 2015). NaN where all bins are empty.
pub fn expected_calibration_error(curve: &[ReliabilityBin]) -> f64 {
    let filled = || curve.iter().filter(|bin| bin.weight > 0.0);
    let total: f64 = filled().map(|bin| bin.weight).sum();
    filled().map(|bin| bin.weight * (bin.predicted - bin.observed).abs()).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn isotonic_pools_violators() {
        // Means by prediction: 0, 1, 0, 1: the middle two are pooled to a half.
        let calibration = fit_isotonic(&[0.1, 0.2, 0.3, 0.4], &[false, true, false, true], None).unwrap();
        let Calibration::Isotonic(map) = &calibration else { panic!("{calibration:?}") };
        assert_eq!(map.predictions(), [0.1, 0.2, 0.3, 0.4]);
        assert_eq!(map.probabilities(), [0.0, 0.5, 0.5, 1.0]);
    }

    #[test]
    fn platt_finds_the_sigmoid_that_made_the_labels() {
        let mut random = fastrand::Rng::with_seed(5);
        let predictions: Vec<f64> = (0..20_000).map(|_| 0.02 + 0.96 * random.f64()).collect();
        let truth = Calibration::Platt { a: -0.6, b: 0.4 };
        let labels: Vec<bool> = predictions.iter().map(|p| random.f64() < truth.apply(*p)).collect();
        let Calibration::Platt { a, b } = fit_platt(&predictions, &labels, None).unwrap() else { panic!("no sigmoid") };
        assert!((a + 0.6).abs() < 0.05 && (b - 0.4).abs() < 0.05, "{a} {b}");
    }

    #[test]
    fn platts_targets_keep_it_off_zero_and_one() {
        let calibration = fit_platt(&[0.1, 0.2, 0.8, 0.9], &[false, false, true, true], None).unwrap();
        let (low, high) = (calibration.apply(0.1), calibration.apply(0.9));
        assert!(low > 0.1 && low < 0.4 && high < 0.9 && high > 0.6, "{low} {high}");
        let one_kind = fit_platt(&[0.3, 0.6], &[true, true], None).unwrap();
        assert!((one_kind.apply(0.5) - 0.75).abs() < 0.01, "{one_kind:?}");
    }

    #[test]
    fn what_cannot_be_calibrated_is_refused() {
        assert_eq!(fit_platt(&[], &[], None), Err(FitError::Lengths { predictions: 0, labels: 0 }));
        assert_eq!(fit_isotonic(&[0.5], &[true], Some(&[0.0])), Err(FitError::Lengths { predictions: 1, labels: 1 }));
        assert!(matches!(fit_isotonic(&[0.5, f64::NAN], &[true, true], None), Err(FitError::Prediction { row: 1, .. })));
        assert!(matches!(fit_platt(&[1.5], &[true], None), Err(FitError::Prediction { row: 0, .. })));
    }

    #[test]
    fn reliability_by_hand() {
        let curve = reliability_curve(&[0.1, 0.3, 0.9, 1.0], &[false, true, true, true], None, 2);
        assert_eq!([curve[0].count, curve[1].count], [2, 2]);
        assert!((curve[0].predicted - 0.2).abs() < 1e-15 && curve[0].observed == 0.5);
        assert!((curve[1].predicted - 0.95).abs() < 1e-15 && curve[1].observed == 1.0);
        assert!((expected_calibration_error(&curve) - (0.5 * 0.3 + 0.5 * 0.05)).abs() < 1e-12);
        assert!(reliability_curve(&[], &[], None, 3).iter().all(|bin| bin.count == 0 && bin.observed.is_nan()));
    }

    #[test]
    fn bins_of_equal_mass_by_hand() {
        let (probabilities, labels) = ([0.9, 0.1, 0.2, 0.2, 0.8, 0.3], [true, false, true, false, true, false]);
        let curve = equal_mass_reliability_curve(&probabilities, &labels, None, 3);
        let bins: Vec<_> = curve.iter().map(|bin| (bin.from, bin.count)).collect();
        // Of six, the first two, the tied pair around the second third's begin, and the rest.
        assert_eq!(bins, [(0.1, 1), (0.2, 3), (0.8, 2)]);
        assert!((curve[1].predicted - 0.7 / 3.0).abs() < 1e-12 && (curve[1].observed - 1.0 / 3.0).abs() < 1e-12);
        let doubled = equal_mass_reliability_curve(&[0.1, 0.4, 0.6], &[false, true, true], Some(&[2.0, 1.0, 0.0]), 3);
        assert_eq!(doubled.iter().map(|bin| (bin.from, bin.weight)).collect::<Vec<_>>(), [(0.1, 2.0), (0.4, 1.0)]);
        assert!(equal_mass_reliability_curve(&[], &[], None, 4).is_empty());
    }

    proptest! {
        /// Every row is in one bin, bins rise, and the order of rows does not matter.
        #[test]
        fn bins_of_equal_mass_hold_every_row(rows in prop::collection::vec((0_u8..30, any::<bool>()), 1..80), bins in 1_usize..9) {
            let curve = |rows: &[(u8, bool)]| {
                let probabilities: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 30.0).collect();
                let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
                equal_mass_reliability_curve(&probabilities, &labels, None, bins)
            };
            let one = curve(&rows);
            let mut turned = rows.clone();
            turned.reverse();
            prop_assert_eq!(&one, &curve(&turned));
            prop_assert!(one.len() <= bins && one.iter().map(|bin| bin.count).sum::<usize>() == rows.len());
            prop_assert!(one.windows(2).all(|pair| pair[0].predicted < pair[1].from));
            let yes: f64 = one.iter().map(|bin| bin.observed * bin.weight).sum();
            prop_assert!((yes - rows.iter().filter(|row| row.1).count() as f64).abs() < 1e-9);
        }

        /// Against the characterisation by Robertson, Wright and Dykstra (1988): the largest over starts of the least over ends of means.
        #[test]
        fn isotonic_is_the_greatest_of_least_means(rows in prop::collection::vec((0_u8..12, any::<bool>(), 1_u8..4), 1..25)) {
            let mut rows = rows;
            rows.sort_by_key(|row| row.0);
            let predictions: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 12.0).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
            let calibration = fit_isotonic(&predictions, &labels, Some(&weights)).unwrap();
            let distinct: Vec<u8> = rows.iter().map(|row| row.0).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            let mean = |from: u8, to: u8| {
                let of = || rows.iter().filter(|row| (from..=to).contains(&row.0));
                of().filter(|row| row.1).map(|row| f64::from(row.2)).sum::<f64>() / of().map(|row| f64::from(row.2)).sum::<f64>()
            };
            for at in &distinct {
                let least = |from: &u8| distinct.iter().filter(|to| *to >= at).map(|to| mean(*from, *to)).fold(f64::INFINITY, f64::min);
                let wanted = distinct.iter().filter(|from| *from <= at).map(least).fold(f64::NEG_INFINITY, f64::max);
                let got = calibration.apply(f64::from(*at) / 12.0);
                prop_assert!((got - wanted).abs() < 1e-9, "{} at {}: {} {}", calibration.apply(0.5), at, got, wanted);
            }
        }
    }
}

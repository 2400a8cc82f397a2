//! What learners may use, found in the rows they learn from and nowhere else.
//!
//! Columns and rounds are choices like any other: made on all rows, they have seen what the folds later test. So each fold's training rows
//! are split again, and what comes of that holds for this fold alone.

use super::select::{FeatureSelection, SelectionConfig, SelectionError, select_features};
use super::stack::{Fold, OwnedSample, StackError, Tuning, check_folds};
use super::train::{Sample, TrainConfig, train};
use rayon::prelude::*;

/// Chooses columns and rounds by folds of a sample: the columns that [`select_features`] keeps and those that always stay, then for each
/// learner the median over the folds of the rounds after which early stopping would have ended it. Without a `selection` all columns stay.
///
/// # Errors
/// [`SelectionError`], with the fold.
pub fn tune(
    learners: &[TrainConfig],
    selection: Option<&SelectionConfig>,
    always: &[usize],
    names: &[String],
    sample: Sample<'_>,
    folds: &[Fold],
) -> Result<(Tuning, Option<FeatureSelection>), SelectionError> {
    let Some(first) = learners.first().filter(|_| !folds.is_empty()) else {
        return Err(StackError::Nothing { learners: learners.len(), folds: folds.len() }.into());
    };
    check_folds(folds, sample.rows.len())?;
    let selected = selection.map(|selection| select_features(selection, first, names, sample, folds)).transpose()?;
    let columns: Vec<usize> = match &selected {
        None => (0..sample.rows.columns()).collect(),
        Some(selected) => {
            let kept = selected.kept();
            (0..sample.rows.columns()).filter(|column| kept.contains(column) || always.contains(column)).collect()
        }
    };
    let best_rounds = |learner: usize, config: &TrainConfig| -> Result<usize, SelectionError> {
        let on_fold = |(fold, (train_rows, test_rows)): (usize, &Fold)| {
            let [learnt, tested] = [train_rows, test_rows].map(|rows| OwnedSample::of(sample, rows, Some(&columns)));
            let (Some(learnt), Some(tested)) = (learnt.sample(), tested.sample()) else {
                return Err(SelectionError::EmptyFold(fold));
            };
            let trained = train(config, &[], learnt, Some(tested));
            let trained = trained.map_err(|source| StackError::Train { fold, learner, source })?;
            Ok(trained.forest.trees().len())
        };
        let mut rounds: Vec<usize> = folds.par_iter().enumerate().map(on_fold).collect::<Result<_, _>>()?;
        rounds.sort_unstable();
        Ok(rounds[(rounds.len() - 1) / 2])
    };
    let rounds = learners.iter().enumerate().map(|(learner, config)| best_rounds(learner, config)).collect::<Result<_, _>>()?;
    Ok((Tuning { columns, rounds }, selected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::{Loss, Rows};

    fn folds(rows: usize) -> Vec<Fold> {
        let part = |fold: usize| -> Fold { (0..rows).partition(|row| row / (rows / 4) != fold) };
        (0..4).map(part).collect()
    }

    #[test]
    fn noise_stops_early_and_a_signal_does_not() {
        let mut random = fastrand::Rng::with_seed(6);
        let values: Vec<f64> = (0..1_200).map(|_| random.f64()).collect();
        let rows = Rows::new(&values, 3).unwrap();
        let names = ["signal", "noise", "side"].map(str::to_owned);
        let learners = [TrainConfig { rounds: 80, depth_max: 2, patience: 10, ..TrainConfig::new(Loss::Logistic) }];
        let selection = SelectionConfig { share_min: 0.3, ..SelectionConfig::default() };
        let tuned = |labels: &[f64], selection: Option<&SelectionConfig>| {
            let sample = Sample { rows, labels, weights: None };
            tune(&learners, selection, &[2], &names, sample, &folds(400)).unwrap()
        };
        let signal: Vec<f64> = rows.iter().map(|row| f64::from(u8::from(row[0] + 0.4 * random.f64() > 0.7))).collect();
        let (tuning, selected) = tuned(&signal, Some(&selection));
        assert_eq!(tuning.columns, [0, 2], "the side always stays");
        assert!(tuning.rounds[0] > 10 && selected.is_some_and(|selected| selected.kept() == [0]));
        let noise: Vec<f64> = (0..400).map(|_| f64::from(random.u8(0..2))).collect();
        let (tuning, selected) = tuned(&noise, None);
        assert_eq!((tuning.columns, selected), (vec![0, 1, 2], None));
        assert!(tuning.rounds[0] < 10, "{:?}", tuning.rounds);
    }

    #[test]
    fn nothing_to_tune_on_is_refused() {
        let values = [0.0; 8];
        let sample = Sample { rows: Rows::new(&values, 1).unwrap(), labels: &values, weights: None };
        let learner = [TrainConfig::new(Loss::Logistic)];
        let refused = |learners: &[TrainConfig], folds: &[Fold]| tune(learners, None, &[], &["x".into()], sample, folds).err();
        assert!(matches!(refused(&learner, &[]), Some(SelectionError::Stack(StackError::Nothing { learners: 1, folds: 0 }))));
        assert!(matches!(refused(&[], &[(vec![0], vec![1])]), Some(SelectionError::Stack(StackError::Nothing { .. }))));
        assert!(matches!(refused(&learner, &[(vec![0], vec![9])]), Some(SelectionError::Stack(StackError::Row { .. }))));
    }
}

//! Scores of a model of direction, as `chronos train` and `chronos evaluate` print them.

use crate::tables::listing;
use chronos_research::scores::{Difference, Score, ScoreTable, ScoredModel};
use chronos_session::format::{count, decimal};

/// Prints scores and differences, and what they say together.
pub(crate) fn print_scores(table: &ScoreTable) {
    let [down, flat, up] = table.shares.map(|share| format!("{} %", decimal(100.0 * share, 1)));
    println!("{} samples: {down} down, {flat} flat, {up} up", count(table.samples as u64));
    let row = |model: &ScoredModel| {
        let [log_loss, brier, accuracy, auc, auc_macro] = Score::ALL.map(|score| decimal(model.scores.get(score), 4));
        [model.name.clone(), log_loss, brier, accuracy, auc, auc_macro]
    };
    let head = ["On the test", "Log-loss", "Brier", "Accuracy", "AUC", "AUC (macro)"];
    print!("{}", listing(head, table.models.iter().map(row), &[1, 2, 3, 4, 5]));
    let row = |difference: &Difference| {
        let number = |value: f64| decimal(value, 4);
        let interval = difference.interval.as_ref();
        [
            difference.against.clone(),
            difference.score.name().to_owned(),
            interval.map_or("n/a".into(), |interval| number(interval.estimate)),
            interval.map_or("too few blocks".into(), |interval| format!("{} to {}", number(interval.low), number(interval.high))),
            difference.verdict.name().to_owned(),
        ]
    };
    let head = ["Less", "Score", "Difference", "95 %", "Verdict"];
    print!("{}", listing(head, table.differences.iter().map(row), &[2, 3]));
    println!("{}", table.in_words());
}

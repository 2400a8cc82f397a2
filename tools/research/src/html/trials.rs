//! The ledger of trials: what was ever tried, and the hurdle it makes.

use super::drawing::{figure, spot_key, spots};
use super::validation::ValidationPage;
use crate::ledger::Trial;
use crate::validation::model_text;
use chronos_session::format::{count, date_utc};
use chronos_session::html::axis::Range;
use chronos_session::html::page::push_table;
use chronos_session::html::plot::{Axes, line_key, percent, push_plot};

/// Trials in the table, the last ones.
const TRIALS_LISTED: usize = 100;

/// Writes every trial in the order of the ledger, on the scale of the bets of this validation.
pub(super) fn push_trials(page: &mut String, of: &ValidationPage<'_>) {
    let trials = &of.history.trials;
    page.push_str("<section><h2>Ledger of trials</h2>\n");
    let bets = of.validation.times_ns.len() as u64;
    let sharpe = |trial: &Trial| trial.sharpe_over(bets);
    let hurdle = of.verdict.ok().and_then(|verdict| verdict.deflated).map(|deflated| deflated.hurdle);
    if let Some(range) = Range::around(trials.iter().map(sharpe).chain(hurdle).chain([0.0])).filter(|_| !trials.is_empty()) {
        let numbers = Range { low: 0.0, high: trials.len() as f64 + 1.0 };
        let is_of_it = |trial: &Trial| {
            let hash = &trial.config_sha256;
            trial.dataset_sha256 == of.validation.dataset_sha256
                && of.validation.configurations.iter().any(|configuration| configuration.config_sha256 == *hash)
        };
        let places = trials.iter().enumerate().map(|(place, trial)| {
            let class = if is_of_it(trial) { "spot chosen" } else { "spot other" };
            (numbers.fraction(place as f64 + 1.0), range.fraction(sharpe(trial)), class)
        });
        let line = hurdle.map_or(String::new(), |hurdle| {
            let y = percent(100.0 - range.fraction(hurdle) * 100.0);
            format!("<line class=\"incident\" x2=\"100%\" y1=\"{y}%\" y2=\"{y}%\"/>")
        });
        page.push_str(&format!(
            "<figure><figcaption><b>Trials</b> <i>median Sharpe ratio a bet, as over so many bets as these</i><span class=\"legend\">\
             <span>{} of this validation</span><span>{} others</span><span>{} hurdle</span></span></figcaption>\n",
            spot_key("spot chosen"),
            spot_key("spot other"),
            line_key("incident")
        ));
        let axes = Axes {
            class: "price",
            description: "Median Sharpe ratio of every trial in the ledger",
            y: &range.ticks(5),
            rule: range.zero(),
            x: &numbers.ticks(8),
            x_labels: true,
        };
        push_plot(page, &axes, "", &(spots(places) + &line));
        page.push_str("</figure><p class=\"x-title\">Number of the trial, in the order they were run</p>\n");
    }
    let row = |(place, trial): (usize, &Trial)| {
        vec![
            count(place as u64 + 1),
            date_utc(trial.time_ns),
            trial.command.clone(),
            model_text(&trial.model),
            trial.dataset_sha256.chars().take(12).collect(),
            figure(sharpe(trial)),
            count(trial.path_sharpes.len() as u64),
        ]
    };
    let head = ["Trial", "Day", "Command", "Model", "Dataset", "Median Sharpe a bet", "Paths"];
    push_table(page, "The last trials", &head, trials.iter().enumerate().rev().take(TRIALS_LISTED).map(row).collect());
    page.push_str("</section>\n");
}

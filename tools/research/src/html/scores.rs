//! Scores of a model of direction beside its baselines, and how reliable its probabilities are.

use super::reliability::push_curves;
use crate::scores::{Score, TickEvaluation};
use chronos_session::format::{clock_utc, count, date_utc, decimal, span_ns};
use chronos_session::html::page::{begin_page, end_page, escape, push_notices, push_table};

/// The page of `chronos evaluate ticks`.
pub fn evaluation_page(name: &str, of: &TickEvaluation) -> String {
    let title = format!("Evaluation of {name}");
    let mut page = begin_page(&title);
    page.push_str(&format!("<h1>{}</h1>\n", escape(&title)));
    let at = |time_ns: i64| format!("{} {}", date_utc(time_ns), clock_utc(time_ns, 0));
    page.push_str(&format!(
        "<p>{}, direction {} ahead, {} samples from {} to {}.</p>\n",
        escape(&of.instrument),
        span_ns(of.horizon_ns.unsigned_abs()),
        count(of.scores.samples as u64),
        at(of.span_ns[0]),
        at(of.span_ns[1])
    ));
    page.push_str(&format!("<p><b>{}</b></p>\n", escape(&of.scores.in_words())));
    push_notices(&mut page, &of.notices);
    let head: Vec<&str> = std::iter::once("Model").chain(Score::ALL.map(Score::name)).collect();
    let row = |model: &crate::scores::ScoredModel| {
        std::iter::once(model.name.clone()).chain(Score::ALL.map(|score| decimal(model.scores.get(score), 4))).collect()
    };
    push_table(&mut page, "Scores", &head, of.scores.models.iter().map(row).collect());
    let row = |difference: &crate::scores::Difference| {
        let interval = difference.interval.as_ref();
        let number = |value: Option<f64>| value.map_or("n/a".into(), |value| decimal(value, 4));
        vec![
            difference.score.name().to_owned(),
            difference.against.clone(),
            number(interval.map(|interval| interval.estimate)),
            number(interval.map(|interval| interval.low)),
            number(interval.map(|interval| interval.high)),
            difference.verdict.name().to_owned(),
        ]
    };
    let head = ["Score", "Against", "Difference", "From", "To (95 %)", "Verdict"];
    push_table(&mut page, "The model less each baseline", &head, of.scores.differences.iter().map(row).collect());
    let curves: Vec<_> =
        ["down", "flat", "up"].iter().zip(&of.reliability).map(|(name, bins)| ((*name).to_owned(), bins.as_slice())).collect();
    push_curves(&mut page, "Probability that the model gave", &curves);
    end_page(&mut page);
    page
}

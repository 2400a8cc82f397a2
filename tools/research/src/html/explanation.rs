//! Why a meta model says what it says: a beeswarm of contributions, permutation importance, reliability.

use super::drawing::{figure, spot_key, spots};
use super::reliability::push_curves;
use crate::meta::{FeatureAttribution, MetaExplanation};
use crate::trees::ReliabilityBin;
use chronos_session::format::{clock_utc, count, date_utc, decimal};
use chronos_session::html::axis::{Range, Tick, minus};
use chronos_session::html::page::{begin_page, end_page, escape, push_figure_row, push_notices, push_table};
use chronos_session::html::plot::{Axes, line_path, push_plot};
use serde_json::Value;

/// Features in the beeswarm.
const FEATURES_DRAWN: usize = 20;
/// Places across the beeswarm in which spots are piled on one another.
const CELLS: usize = 150;
/// Share of a feature's height from one spot to the next of a pile, and the most a pile takes of it.
const PILE: (f64, f64) = (0.06, 0.8);
/// Colours of values, from the least to the greatest.
const COLOURS: [&str; 4] = ["spot r0", "spot r1", "spot r2", "spot r3"];
/// Bets in the table.
const BETS_TOLD: usize = 10;

/// What the page is made from.
#[derive(Clone, Copy, Debug)]
pub struct ExplanationPage<'a> {
    /// Folder of the model.
    pub model: &'a str,
    /// What it says of the bets of a dataset.
    pub explanation: &'a MetaExplanation,
    /// What training wrote beside the model; none where there is nothing.
    pub training: Option<&'a Value>,
}

/// The page.
pub fn explanation_page(of: &ExplanationPage<'_>) -> String {
    let ExplanationPage { model, explanation, training } = of;
    let mut page = begin_page(&format!("Explanation of {model}"));
    page.push_str(&format!(
        "<header><p class=\"kind\">Chronos explanation</p><h1>{}</h1>\n<p>{}</p></header>\n",
        escape(model),
        escape(&explanation.instrument)
    ));
    let mut notices = Vec::new();
    if explanation.is_training_data {
        notices.push(
            "The model was trained on these bets: what it contributes to them is so, what it is worth is not shown by them. The reliability \
             below is that of its training, out of fold."
                .to_owned(),
        );
    }
    if training.and_then(|training| training["is_better"].as_bool()) == Some(false) {
        notices.push("Out of fold it was no better than always saying the base rate.".to_owned());
    }
    push_notices(&mut page, &notices);
    push_figures(&mut page, explanation);
    push_swarm(&mut page, explanation);
    let out_of_fold =
        training.filter(|_| explanation.is_training_data).and_then(|training| bins(&training["out_of_fold"]["reliability"]));
    match &out_of_fold {
        Some(bins) => push_reliability(&mut page, bins, "out of fold, as it was trained"),
        None => push_reliability(&mut page, &explanation.reliability, "on these bets"),
    }
    push_bets(&mut page, explanation);
    end_page(&mut page);
    page
}

fn push_figures(page: &mut String, explanation: &MetaExplanation) {
    let MetaExplanation { calibrated, base, .. } = explanation;
    let against = |base: f64| format!("base rate alone {}", decimal(base, 4));
    push_figure_row(
        page,
        [
            (
                "Bets",
                count(explanation.bets as u64),
                format!("{} % of their weight paid", decimal(100.0 * explanation.base_rate, 1)),
            ),
            ("Log-loss", decimal(calibrated.log_loss, 4), against(base.log_loss)),
            ("AUC", decimal(calibrated.auc, 4), "0.5 tells nothing apart".into()),
            ("Brier score", decimal(calibrated.brier, 4), against(base.brier)),
            ("Calibration error", decimal(calibrated.calibration_error, 4), "of the calibrated probabilities".into()),
            ("Expected margin", decimal(explanation.expected_margin, 4), "log odds before calibration".into()),
            ("Additivity", format!("{:.1e}", explanation.additivity_error), "largest miss of the sum of contributions".into()),
        ],
    );
}

/// One row of spots a feature: where a spot stands is what the feature contributes to a bet, its colour the feature's value.
fn push_swarm(page: &mut String, explanation: &MetaExplanation) {
    let drawn: Vec<&FeatureAttribution> = explanation.features.iter().take(FEATURES_DRAWN).collect();
    let contributions = drawn.iter().flat_map(|feature| feature.points.iter().map(|point| point[1]));
    page.push_str("<section><h2>What each feature contributes</h2>\n");
    let Some(range) = Range::around(contributions.chain([0.0])) else {
        page.push_str("<p class=\"empty\">There is nothing to draw.</p></section>\n");
        return;
    };
    let height = 1.0 / drawn.len().max(1) as f64;
    let middle = |place: usize| 1.0 - (place as f64 + 0.5) * height;
    let mut places: Vec<(f64, f64, &str)> = Vec::new();
    for (place, feature) in drawn.iter().enumerate() {
        let colours = colours(&feature.points);
        let mut piles = vec![0_usize; CELLS + 1];
        for (point, colour) in feature.points.iter().zip(colours) {
            let x = range.fraction(point[1]);
            let pile = &mut piles[(x * CELLS as f64) as usize];
            // On, above, below, and so on, as far as there is room.
            let steps = pile.div_ceil(2) as f64 * if pile.is_multiple_of(2) { 1.0 } else { -1.0 };
            *pile += 1;
            let away = (steps * PILE.0).clamp(-PILE.1 / 2.0, PILE.1 / 2.0);
            places.push((x, middle(place) + away * height, colour));
        }
    }
    let y: Vec<Tick> = drawn
        .iter()
        .enumerate()
        .map(|(place, feature)| Tick { place: middle(place) * 100.0, label: feature.name.clone() })
        .collect();
    let x = range.ticks(8);
    page.push_str(&format!(
        "<figure><figcaption><b>Contributions</b> <i>of {} bets</i><span class=\"legend\"><span>{} least value</span><span>{}{} between\
         </span><span>{} greatest</span></span></figcaption>\n",
        count(explanation.explained.len() as u64),
        spot_key(COLOURS[0]),
        spot_key(COLOURS[1]),
        spot_key(COLOURS[2]),
        spot_key(COLOURS[3])
    ));
    let zero = range.zero().map_or(String::new(), |place| {
        let x = place / 100.0;
        format!("<path class=\"grid-zero\" d=\"{}\"/>", line_path([(x, 0.0), (x, 1.0)]))
    });
    let description = "Contribution of each feature to each bet, by its value";
    let axes = Axes { class: "tall names", description, y: &y, rule: None, x: &x, x_labels: true };
    push_plot(page, &axes, &zero, &spots(places.into_iter()));
    page.push_str("</figure><p class=\"x-title\">Contribution to the margin, log odds before calibration</p>\n");
    let row = |feature: &FeatureAttribution| {
        vec![
            feature.name.clone(),
            figure(feature.mean_contribution),
            format!("{} %", decimal(100.0 * feature.share, 1)),
            figure(feature.permutation_mean),
            figure(feature.permutation_std),
        ]
    };
    let head = ["Feature", "Mean contribution, without sign", "Share", "Log-loss when shuffled", "Deviation"];
    push_table(page, "", &head, explanation.features.iter().map(row).collect());
    page.push_str("</section>\n");
}

/// The quarter of each value among all of them; the lowest one for values that are all the same.
fn colours(points: &[[f64; 2]]) -> Vec<&'static str> {
    let mut sorted: Vec<f64> = points.iter().map(|point| point[0]).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let quarter = |value: f64| sorted.partition_point(|other| *other < value) * COLOURS.len() / sorted.len().max(1);
    points.iter().map(|point| COLOURS[quarter(point[0]).min(COLOURS.len() - 1)]).collect()
}

/// The bins of a stored report; an empty bin has no mean there.
fn bins(stored: &Value) -> Option<Vec<ReliabilityBin>> {
    let number = |bin: &Value, name: &str| bin[name].as_f64().unwrap_or(f64::NAN);
    let bin = |bin: &Value| ReliabilityBin {
        from: number(bin, "from"),
        count: bin["count"].as_u64().unwrap_or(0) as usize,
        weight: number(bin, "weight"),
        predicted: number(bin, "predicted"),
        observed: number(bin, "observed"),
    };
    Some(stored.as_array()?.iter().map(bin).collect())
}

fn push_reliability(page: &mut String, bins: &[ReliabilityBin], of: &str) {
    page.push_str("<section><h2>Reliability</h2>\n");
    push_curves(page, "Calibrated probability that the bet pays", &[(of.to_owned(), bins)]);
    let row = |bin: &ReliabilityBin| {
        vec![decimal(bin.from, 1), count(bin.count as u64), decimal(bin.predicted, 3), decimal(bin.observed, 3)]
    };
    push_table(page, "", &["From", "Bets", "Said, mean", "Paid"], bins.iter().map(row).collect());
    page.push_str("</section>\n");
}

/// The likeliest bets of those told.
fn push_bets(page: &mut String, explanation: &MetaExplanation) {
    let mut bets: Vec<_> = explanation.explained.iter().collect();
    bets.sort_by(|one, two| two.probability.total_cmp(&one.probability).then(one.row.cmp(&two.row)));
    page.push_str("<section>\n");
    let row = |bet: &&crate::meta::ExplainedBet| {
        let top: Vec<String> = bet.top.iter().take(4).map(|one| minus(format!("{} {:+.3}", one.name, one.contribution))).collect();
        vec![
            count(bet.row as u64),
            format!("{} {}", date_utc(bet.event_ns), clock_utc(bet.event_ns, 3)),
            decimal(bet.probability, 4),
            if bet.paid { "paid" } else { "did not pay" }.to_owned(),
            top.join(", "),
        ]
    };
    let head = ["Row", "Time, UTC", "Probability", "Outcome", "Largest contributions"];
    push_table(page, "Likeliest bets of those drawn", &head, bets.iter().take(BETS_TOLD).map(row).collect());
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::ExplainedBet;
    use crate::trees::{FeatureContribution, ProbabilityScores};
    use chronos_session::html::plot::GRID;
    use chronos_tests::page::{check_page, tags};
    use serde_json::json;

    fn explanation(features: usize, bets: usize, name: &str) -> MetaExplanation {
        let mut random = fastrand::Rng::with_seed(4);
        let scores = ProbabilityScores { log_loss: 0.6, brier: 0.2, auc: 0.6, calibration_error: 0.02 };
        let points = |random: &mut fastrand::Rng| (0..bets).map(|_| [random.f64(), random.f64() - 0.5]).collect();
        MetaExplanation {
            instrument: name.into(),
            bets,
            is_training_data: true,
            base_rate: 0.5,
            calibrated: scores,
            base: ProbabilityScores { auc: f64::NAN, ..scores },
            reliability: vec![ReliabilityBin { from: 0.0, count: 3, weight: 3.0, predicted: 0.7, observed: 0.6 }],
            expected_margin: -0.1,
            additivity_error: 1e-7,
            features: (0..features)
                .map(|number| FeatureAttribution {
                    name: format!("{name}{number}"),
                    mean_contribution: 0.1,
                    share: 0.1,
                    permutation_mean: -1e-6,
                    permutation_std: 0.0,
                    points: points(&mut random),
                })
                .collect(),
            explained: (0..bets)
                .map(|row| ExplainedBet {
                    row,
                    event_ns: row as i64,
                    margin: 0.1,
                    raw: 0.5,
                    probability: 0.5,
                    paid: true,
                    top: vec![FeatureContribution { name: name.into(), value: f64::NAN, contribution: -0.25 }],
                })
                .collect(),
        }
    }

    #[test]
    fn every_feature_has_its_swarm_and_the_page_is_sound() {
        let explained = explanation(FEATURES_DRAWN + 5, 500, "vpin");
        let page = explanation_page(&ExplanationPage { model: "models/meta", explanation: &explained, training: None });
        check_page(&page, GRID);
        let spots = tags(&page).iter().filter(|tag| tag.starts_with("circle class=\"spot r")).count();
        assert!(spots > 4_000 && spots < 9_000, "{spots}");
        assert!(page.contains(">vpin19<") && page.contains("trained on these bets"));
    }

    #[test]
    fn reliability_is_that_of_training_on_training_data() {
        let mut explained = explanation(2, 9, "vpin");
        let bin = json!({ "from": 0.1, "count": 7, "weight": 7.0, "predicted": 0.25, "observed": 0.125 });
        let empty = json!({ "from": 0.9, "count": 0, "weight": 0.0, "predicted": null, "observed": null });
        let training = json!({ "is_better": false, "out_of_fold": { "reliability": [bin, empty] } });
        let page = |explained: &MetaExplanation| {
            let page = explanation_page(&ExplanationPage { model: "m", explanation: explained, training: Some(&training) });
            check_page(&page, GRID);
            page
        };
        let of_training = page(&explained);
        assert!(of_training.contains("0.125") && of_training.contains("out of fold, as it was trained"));
        assert!(of_training.contains("no better than always saying the base rate"));
        explained.is_training_data = false;
        assert!(page(&explained).contains("on these bets") && !page(&explained).contains("0.125"));
    }

    #[test]
    fn names_are_text_and_little_is_still_a_page() {
        let nasty = "<img src=x onerror=alert(1)>";
        let explained = explanation(3, 4, nasty);
        let page = explanation_page(&ExplanationPage { model: nasty, explanation: &explained, training: None });
        assert!(!page.contains("<img"));
        tags(&page);
        let page = explanation_page(&ExplanationPage { model: "m", explanation: &explanation(0, 0, "x"), training: None });
        check_page(&page, GRID);
        let mut constant = explanation(1, 3, "x");
        constant.features[0].points = vec![[1.0, 0.0]; 3];
        check_page(&explanation_page(&ExplanationPage { model: "m", explanation: &constant, training: None }), GRID);
    }
}

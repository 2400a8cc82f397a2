//! Reliability of probabilities: what models said out of sample against how often it was so.

use super::drawing::spots;
use super::validation::LINES_DRAWN;
use crate::trees::{ReliabilityBin, expected_calibration_error};
use crate::validation::Configuration;
use chronos_session::format::{count, decimal};
use chronos_session::html::axis::Range;
use chronos_session::html::page::{escape, push_table};
use chronos_session::html::plot::{Axes, line_key, line_path, push_plot};

/// Writes a curve for each model that gives probabilities, and their bins.
pub(super) fn push_reliability(page: &mut String, configurations: &[Configuration]) {
    page.push_str("<section><h2>Reliability of probabilities</h2>\n");
    let speaking: Vec<&Configuration> = configurations.iter().filter(|one| !one.reliability.is_empty()).collect();
    if speaking.is_empty() {
        page.push_str("<p class=\"empty\">No model of these gives probabilities.</p></section>\n");
        return;
    }
    let curves: Vec<(String, &[ReliabilityBin])> =
        speaking.iter().take(LINES_DRAWN).map(|one| (one.name(), one.reliability.as_slice())).collect();
    push_curves(page, "Probability that the model gave out of sample", &curves);
    let rows = speaking.iter().take(LINES_DRAWN).flat_map(|configuration| {
        configuration.reliability.iter().map(|bin| {
            vec![
                configuration.name(),
                format!("{:.1}", bin.from),
                count(bin.count as u64),
                decimal(bin.predicted, 3),
                decimal(bin.observed, 3),
            ]
        })
    });
    push_table(page, "", &["Model", "Bin from", "Predictions, all paths", "Said, mean", "Was so"], rows.collect());
    page.push_str("</section>\n");
}

/// Writes one plot of curves with their names and errors; empty bins are left out.
pub(super) fn push_curves(page: &mut String, x_title: &str, curves: &[(String, &[ReliabilityBin])]) {
    let unit = Range { low: 0.0, high: 1.0 };
    let (mut lines, mut legend, mut places) =
        (format!("<path class=\"grid-zero\" d=\"{}\"/>", line_path([(0.0, 0.0), (1.0, 1.0)])), String::new(), Vec::new());
    for (place, (name, bins)) in curves.iter().enumerate() {
        let points = bins.iter().filter(|bin| bin.predicted.is_finite() && bin.observed.is_finite());
        let points = points.map(|bin| (bin.predicted, bin.observed));
        lines.push_str(&format!("<path class=\"curve c{place}\" d=\"{}\"/>", line_path(points.clone())));
        places.extend(points.map(|(x, y)| (x, y, "spot other")));
        legend.push_str(&format!(
            "<span>{} {}, error {}</span>",
            line_key(&format!("curve c{place}")),
            escape(name),
            decimal(expected_calibration_error(bins), 3)
        ));
    }
    page.push_str(&format!(
        "<figure><figcaption><b>Reliability</b> <i>share that was so</i><span class=\"legend\">{legend}<span>{} as said</span></span>\
         </figcaption>\n",
        line_key("grid-zero")
    ));
    let ticks = unit.ticks(5);
    let description = "How often it was so, by what the model said";
    let axes = Axes { class: "price", description, y: &ticks, rule: None, x: &ticks, x_labels: true };
    push_plot(page, &axes, &lines, &spots(places.into_iter()));
    page.push_str(&format!("</figure><p class=\"x-title\">{}</p>\n", escape(x_title)));
}

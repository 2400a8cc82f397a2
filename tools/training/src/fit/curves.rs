//! Learning curves: how a run went, epoch by epoch.

use chronos_session::html::axis::Range;
use chronos_session::html::page::{begin_page, end_page, escape, push_table};
use chronos_session::html::plot::{Axes, line_key, line_path, push_plot};

/// One epoch.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct EpochRecord {
    /// Which, from 0.
    pub epoch: u64,
    /// Optimiser steps up to its end.
    pub steps: u64,
    /// Mean loss of its samples, each as its batch was trained.
    pub training_loss: f64,
    /// The watched value after it; less is better.
    pub validation: f64,
    /// Rate of its last step.
    pub learning_rate: f64,
    /// Mean norm of its gradients before clipping.
    pub gradient_norm: f64,
    /// Names and means of the loss's parts.
    pub parts: Vec<(String, f64)>,
}

/// Every epoch of a run.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Curves {
    /// In order.
    pub epochs: Vec<EpochRecord>,
}

impl Curves {
    /// The curves as one page that opens anywhere: losses, the watched value, rate and norm over epochs, and a table of them.
    pub fn to_html(&self, title: &str) -> String {
        let mut page = begin_page(title);
        page.push_str(&format!("<h1>{}</h1>\n", escape(title)));
        let of = |value: fn(&EpochRecord) -> f64| -> Vec<f64> { self.epochs.iter().map(value).collect() };
        let training = of(|epoch| epoch.training_loss);
        push_lines(&mut page, "Loss and watched value", &[("training", &training), ("watched", &of(|epoch| epoch.validation))]);
        let names: Vec<&str> =
            self.epochs.first().map_or(Vec::new(), |epoch| epoch.parts.iter().map(|part| part.0.as_str()).collect());
        let parts: Vec<Vec<f64>> = (0..names.len())
            .map(|place| self.epochs.iter().map(|epoch| epoch.parts.get(place).map_or(f64::NAN, |part| part.1)).collect())
            .collect();
        let lines: Vec<(&str, &Vec<f64>)> = names.iter().copied().zip(&parts).collect();
        push_lines(&mut page, "Parts of the loss", &lines);
        push_lines(&mut page, "Learning rate", &[("rate of the last step", &of(|epoch| epoch.learning_rate))]);
        push_lines(&mut page, "Gradient norm", &[("mean before clipping", &of(|epoch| epoch.gradient_norm))]);
        let row = |epoch: &EpochRecord| {
            let figures = [epoch.training_loss, epoch.validation, epoch.learning_rate, epoch.gradient_norm];
            let counts = [epoch.epoch.to_string(), epoch.steps.to_string()];
            counts.into_iter().chain(figures.map(|figure| format!("{figure:.6e}"))).collect()
        };
        let head = ["Epoch", "Steps", "Training loss", "Watched", "Learning rate", "Gradient norm"];
        push_table(&mut page, "Epochs", &head, self.epochs.iter().map(row).collect());
        end_page(&mut page);
        page
    }
}

/// Lines that a plot tells apart.
const LINES_DRAWN: usize = 6;

/// One plot of values over epochs; nothing where there are none.
fn push_lines(page: &mut String, title: &str, lines: &[(&str, &Vec<f64>)]) {
    let lines = &lines[..lines.len().min(LINES_DRAWN)];
    let Some(range) = Range::around(lines.iter().flat_map(|line| line.1.iter().copied())) else { return };
    let last = lines.iter().map(|line| line.1.len()).max().unwrap_or(1).saturating_sub(1).max(1);
    let epochs = Range { low: 0.0, high: last as f64 };
    let (mut paths, mut legend) = (String::new(), String::new());
    for (place, (name, values)) in lines.iter().enumerate() {
        let points = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let path = line_path(points.map(|(epoch, value)| (epochs.fraction(epoch as f64), range.fraction(*value))));
        paths.push_str(&format!("<path class=\"curve c{place}\" d=\"{path}\"/>"));
        legend.push_str(&format!("<span>{} {}</span>", line_key(&format!("curve c{place}")), escape(name)));
    }
    page.push_str(&format!("<figure><figcaption><b>{}</b><span class=\"legend\">{legend}</span></figcaption>\n", escape(title)));
    let axes = Axes { class: "middle", description: title, y: &range.ticks(5), rule: None, x: &epochs.ticks(8), x_labels: true };
    push_plot(page, &axes, &paths, "");
    page.push_str("</figure><p class=\"x-title\">Epoch</p>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_curve_and_its_values() {
        let epoch = |epoch: u64| EpochRecord {
            epoch,
            steps: 10 * (epoch + 1),
            training_loss: 1.0 / (epoch + 1) as f64,
            validation: 2.0 / (epoch + 1) as f64,
            learning_rate: 1e-3,
            gradient_norm: 0.5,
            parts: vec![("a < b".into(), 0.25)],
        };
        let curves = Curves { epochs: (0..3).map(epoch).collect() };
        let page = curves.to_html("Run <1>");
        for text in ["Run &lt;1&gt;", "a &lt; b", "Gradient norm", "watched", "6.666667e-1", "class=\"curve c1\""] {
            assert!(page.contains(text), "{text}");
        }
        assert!(Curves::default().to_html("none").contains("Epochs"));
        let json = serde_json::to_string(&curves).unwrap();
        assert_eq!(serde_json::from_str::<Curves>(&json).unwrap(), curves);
    }
}

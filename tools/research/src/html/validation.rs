//! A validation and what the gate says of it as a page: the gate's figures with their thresholds, Sharpe ratios of the paths, logits of
//! the probability of overfitting, reliability of probabilities, and the ledger of trials.

use super::drawing::{Against, Line, Panel, Shown, figure, push_drawn_note, push_histogram, push_panels, spot_key, spots, upright};
use super::reliability::push_reliability;
use super::trials::push_trials;
use crate::ledger::History;
use crate::promotion::{Gate, Verdict, path_overfitting};
use crate::validation::performance::annual_caveat;
use crate::validation::{Configuration, Summary, Validation, model_text};
use chronos_session::format::{count, date_utc, decimal, span_ns};
use chronos_session::html::axis::{Range, Tick, TimeRange, minus};
use chronos_session::html::page::{begin_page, end_page, escape, push_figure_row, push_notices, push_table};
use chronos_session::html::plot::{Axes, line_key, percent, push_plot};

/// Configurations whose paths are drawn.
const ROWS_DRAWN: usize = 20;
/// Configurations that get a line of their own, one for each colour.
pub(super) const LINES_DRAWN: usize = 6;
/// Characters of a model's name beside an axis.
const NAME_MAX: usize = 26;

/// What [`validation_page`] shows.
#[derive(Clone, Copy, Debug)]
pub struct ValidationPage<'a> {
    /// `validation`, or `promotion`.
    pub kind: &'static str,
    /// What was validated: the folder of the dataset, or of the model.
    pub name: &'a str,
    /// The validation.
    pub validation: &'a Validation,
    /// Its figures.
    pub summaries: &'a [Summary],
    /// What was asked.
    pub gate: &'a Gate,
    /// What the gate found, or why it could not.
    pub verdict: Result<&'a Verdict, &'a str>,
    /// The ledger.
    pub history: &'a History,
}

/// The page.
pub fn validation_page(of: &ValidationPage<'_>) -> String {
    let mut page = begin_page(&format!("{} of {}", of.kind, of.name));
    push_header(&mut page, of);
    let mut notices: Vec<String> = match of.verdict {
        Ok(verdict) => verdict.reasons.iter().map(|reason| format!("refused: {reason}")).collect(),
        Err(error) => vec![format!("no verdict: {error}")],
    };
    notices.extend(annual_caveat(of.validation.span_ns(), of.validation.periods_per_year));
    push_notices(&mut page, &notices);
    push_gate(&mut page, of);
    push_paths(&mut page, of.validation);
    push_overfitting(&mut page, of);
    push_reliability(&mut page, &of.validation.configurations);
    push_trials(&mut page, of);
    push_tables(&mut page, of);
    end_page(&mut page);
    page
}

fn push_header(page: &mut String, of: &ValidationPage<'_>) {
    let Validation { times_ns, configurations, rows, backtest, .. } = of.validation;
    page.push_str(&format!(
        "<header><p class=\"kind\">Chronos {}</p><h1>{}</h1>\n<p>{}</p>\n<p class=\"files\">dataset {}</p></header>\n",
        of.kind,
        escape(of.name),
        escape(&format!(
            "{} of {} bets to {} · {} rows · {} configurations · net of {} bps",
            span_ns(of.validation.span_ns()),
            count(times_ns.len() as u64),
            times_ns.last().map_or("n/a".into(), |last| date_utc(*last)),
            count(*rows as u64),
            count(configurations.len() as u64),
            backtest.cost_bps
        )),
        escape(&of.validation.dataset_sha256)
    ));
}

/// The gate's figures, each with what was asked of it.
fn push_gate(page: &mut String, of: &ValidationPage<'_>) {
    let (said, why) = match of.verdict {
        Ok(verdict) if verdict.is_promoted && of.kind == "promotion" => ("promoted", "the evidence stands in the manifest".into()),
        Ok(verdict) if verdict.is_promoted => ("would pass", "all that was asked".into()),
        Ok(verdict) => ("refused", format!("{} reasons, above", verdict.reasons.len())),
        Err(_) => ("none", "see above".to_owned()),
    };
    let verdict = of.verdict.ok();
    let number = |value: Option<f64>, decimals: usize| value.map_or("n/a".into(), |value| decimal(value, decimals));
    let deflated = verdict.and_then(|verdict| verdict.deflated);
    let plain = verdict.and_then(|verdict| verdict.deflated_plain);
    let trials = verdict.map_or(0, |verdict| verdict.trials.count);
    let Validation { times_ns, periods_per_year, .. } = of.validation;
    let sharpe = verdict.and_then(|verdict| verdict.sharpe).map(|sharpe| sharpe.sharpe);
    let figures = [
        ("Verdict", said.to_owned(), why),
        ("PBO", number(verdict.and_then(|verdict| verdict.pbo), 3), format!("below {} asked", of.gate.pbo_below)),
        ("DSR probability", number(deflated.map(|of| of.probability), 4), format!("above {} asked", of.gate.dsr_above)),
        ("Deflated z", number(deflated.map(|of| of.z), 2), format!("{} were bets independent", number(plain.map(|of| of.z), 2))),
        ("Sharpe a bet", number(sharpe, 4), format!("hurdle {}", number(deflated.map(|of| of.hurdle), 4))),
        ("Trials", count(trials as u64), format!("{} entries in the ledger", count(of.history.trials.len() as u64))),
        ("Bets", count(times_ns.len() as u64), format!("{} a year", decimal(*periods_per_year, 1))),
    ];
    push_figure_row(page, figures);
    if let Some(verdict) = verdict {
        page.push_str(&format!(
            "<p class=\"note\">Best configuration: {}. The hurdle is the Sharpe ratio a bet that luck alone would show over these \
             trials; DSR is the probability that the true one is above it.</p>\n",
            escape(&model_text(&verdict.model))
        ));
    }
}

/// Sharpe ratios of every path of every configuration, and how the median ones came about.
fn push_paths(page: &mut String, validation: &Validation) {
    let drawn = &validation.configurations[..validation.configurations.len().min(ROWS_DRAWN)];
    let sharpes: Vec<Vec<f64>> = drawn.iter().map(Configuration::path_sharpes).collect();
    page.push_str("<section><h2>Paths</h2>\n");
    let Some(range) = Range::around(sharpes.iter().flatten().copied().chain([0.0])) else {
        page.push_str("<p class=\"empty\">No path.</p></section>\n");
        return;
    };
    let height = |row: usize| 1.0 - (row as f64 + 0.5) / drawn.len() as f64;
    let y: Vec<Tick> = drawn
        .iter()
        .enumerate()
        .map(|(row, configuration)| Tick { place: height(row) * 100.0, label: shortened(&configuration.name()) })
        .collect();
    let places = sharpes
        .iter()
        .enumerate()
        .flat_map(|(row, sharpes)| sharpes.iter().map(move |sharpe| (range.fraction(*sharpe), height(row), "spot")));
    let median = |(row, configuration): (usize, &Configuration)| {
        let x = percent(range.fraction(sharpe_of(configuration.median_path())) * 100.0);
        let half = 0.35 / drawn.len() as f64;
        let [top, bottom] = [height(row) + half, height(row) - half].map(|edge| percent((1.0 - edge) * 100.0));
        format!("<line class=\"rule-line\" x1=\"{x}%\" x2=\"{x}%\" y1=\"{top}%\" y2=\"{bottom}%\"/>")
    };
    let medians: String = drawn.iter().enumerate().map(median).collect();
    let zero = upright("grid-zero", range.fraction(0.0));
    page.push_str(&format!(
        "<figure><figcaption><b>Sharpe ratios of the paths</b> <i>a bet, net of costs</i><span class=\"legend\"><span>{} a path</span>\
         <span>{} median</span></span></figcaption>\n",
        spot_key("spot"),
        line_key("rule-line")
    ));
    let class = if drawn.len() > 3 { "price names" } else { "middle names" };
    let description = "Sharpe ratio of each path, by configuration";
    let axes = Axes { class, description, y: &y, rule: None, x: &range.ticks(8), x_labels: true };
    push_plot(page, &axes, "", &(zero + &spots(places) + &medians));
    page.push_str("</figure><p class=\"x-title\">Sharpe ratio a bet</p>\n");
    if validation.configurations.len() > drawn.len() {
        page.push_str(&format!(
            "<p class=\"note\">Of {} configurations the first {ROWS_DRAWN} are drawn.</p>\n",
            count(validation.configurations.len() as u64)
        ));
    }
    push_wealth(page, validation);
    page.push_str("</section>\n");
}

/// What the median paths earned, summed up over time.
fn push_wealth(page: &mut String, validation: &Validation) {
    let Some(time) = TimeRange::around(validation.times_ns.iter().copied()) else { return };
    let line = |(place, configuration): (usize, &Configuration)| {
        let sums = configuration.median_path().iter().scan(0.0, |sum, value| {
            *sum += 100.0 * value;
            Some([*sum; 3])
        });
        let values = validation.times_ns.iter().copied().zip(sums);
        Line::new(&configuration.name(), &format!("curve c{place}"), time, values, Shown::Last)
    };
    let lines: Vec<Line> = validation.configurations.iter().take(LINES_DRAWN).enumerate().map(line).collect();
    let Some(range) = Range::around(lines.iter().flat_map(Line::extent).chain([0.0])) else { return };
    let legend = lines.iter().map(|line| format!("<span>{} {}</span>", line_key(&line.class), escape(&line.name))).collect();
    let panel = Panel {
        title: "Returns of the median paths, summed",
        unit: "per cent of the capital, net of costs".into(),
        class: "price",
        legend,
        lines,
        range,
        marks: String::new(),
        decimals: 2,
    };
    push_panels(page, "the median paths", time, &[panel]);
    push_drawn_note(page, "bets", validation.times_ns.len());
    if validation.configurations.len() > LINES_DRAWN {
        page.push_str(&format!("<p class=\"note\">The first {LINES_DRAWN} configurations are drawn.</p>\n"));
    }
}

/// The logits whose sign is the probability of overfitting.
fn push_overfitting(page: &mut String, of: &ValidationPage<'_>) {
    page.push_str("<section><h2>Overfitting</h2>\n");
    match path_overfitting(&of.validation.configurations, of.gate.blocks) {
        Ok(found) => {
            let logits: Vec<f64> = found.iter().flat_map(|found| found.logits.iter().copied()).collect();
            let low = logits.iter().filter(|logit| **logit <= 0.0).count() as f64 / logits.len().max(1) as f64;
            let loss = found.iter().map(|found| found.probability_of_loss).sum::<f64>() / found.len().max(1) as f64;
            page.push_str(&format!(
                "<p class=\"facts\">The best configuration of one half of the history is in the lower half in the other {} % of the time \
                 (PBO; below {} % asked) <span class=\"dot\">·</span> it loses there {} % of the time <span class=\"dot\">·</span> {} \
                 blocks, {} paths</p>\n",
                decimal(100.0 * low, 1),
                decimal(100.0 * of.gate.pbo_below, 1),
                decimal(100.0 * loss, 1),
                of.gate.blocks,
                found.len()
            ));
            let against = [Against { class: "rule-line", value: 0.0, name: "0: at or left of it is overfitting".into() }];
            let x_title = "Logit of the rank out of sample of the best in sample";
            push_histogram(page, "PBO logits", x_title, &logits, false, &against);
        }
        Err(error) => page.push_str(&format!("<p class=\"empty\">PBO cannot be computed: {}</p>\n", escape(&error.to_string()))),
    }
    page.push_str("</section>\n");
}

fn push_tables(page: &mut String, of: &ValidationPage<'_>) {
    page.push_str("<section>\n");
    let per_cent = |value: f64| if value.is_finite() { minus(format!("{} %", decimal(100.0 * value, 2))) } else { "n/a".into() };
    let bet = |of: &Summary| {
        let sharpe = of.sharpe.map_or(["n/a".to_owned(), "n/a".to_owned()], |sharpe| {
            [figure(sharpe.estimate), format!("{} to {}", figure(sharpe.low), figure(sharpe.high))]
        });
        let [estimate, interval] = sharpe;
        vec![
            model_text(&of.model),
            estimate,
            interval,
            of.probabilistic_sharpe.map_or("n/a".into(), |probability| decimal(probability, 3)),
            of.minimum_track_record.map_or("n/a".into(), figure),
            minus(format!("{} bps", figure(1e4 * of.mean_return))),
            per_cent(of.hit_rate),
            figure(of.profit_factor),
            per_cent(of.maximum_drawdown),
            per_cent(of.shuffled_drawdown),
            figure(of.turnover),
            per_cent(of.exposure),
        ]
    };
    let head = [
        "Configuration",
        "Sharpe",
        "95 %",
        "PSR",
        "Bets for PSR 95 %",
        "Mean return",
        "Hits",
        "Profit factor",
        "Max drawdown",
        "Drawdown, shuffled 95 %",
        "Turnover",
        "Exposure",
    ];
    push_table(page, "A bet, median path, net of costs", &head, of.summaries.iter().map(bet).collect());
    let year = |of: &Summary| {
        vec![
            model_text(&of.model),
            figure(of.annual_sharpe),
            per_cent(of.annual_return),
            per_cent(of.annual_volatility),
            figure(of.sortino),
            figure(of.calmar),
            figure(of.information_ratio),
            figure(of.annual_turnover),
        ]
    };
    let head = ["Configuration", "Sharpe", "Return", "Volatility", "Sortino", "Calmar", "Information ratio", "Turnover"];
    push_table(page, "A year, by the data's own clock", &head, of.summaries.iter().map(year).collect());
    let Validation { seed, code, dataset_sha256, .. } = of.validation;
    let run = [
        ("dataset SHA-256", dataset_sha256.clone()),
        ("ledger", format!("{} entries", count(of.history.trials.len() as u64))),
        ("seed", seed.to_string()),
        ("code", code.clone()),
        ("splits", serde_json::to_string(&of.validation.splitter).unwrap_or_default()),
    ];
    push_table(page, "Run", &[], run.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect());
    page.push_str("</section>\n");
}

/// Sharpe ratio a bet of a path; 0 of one that never traded.
fn sharpe_of(returns: &[f64]) -> f64 {
    crate::validation::Moments::of(returns).map_or(0.0, |moments| moments.sharpe().sharpe)
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_MAX { name.to_owned() } else { name.chars().take(NAME_MAX - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Trial};
    use crate::promotion::study::{Truth, simulated, splitter};
    use crate::promotion::{Candidate, judge};
    use crate::validation::{Backtest, Logistic, Majority, Model, Momentum, Sizing, ValidationPlan, validate};
    use chronos_session::html::plot::GRID;
    use chronos_tests::page::{check_page, tags};

    fn validated(models: &[&dyn Model], bars: usize) -> (Validation, History) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        let plan = ValidationPlan {
            splitter: splitter(),
            backtest: Backtest { cost_bps: 1.0, threshold: 0.0, sizing: Sizing::Unit },
            seed: 1,
            dataset_sha256: "da7a".repeat(16),
            time_ns: 1,
            code: "1".into(),
            subject_sha256: "model".into(),
        };
        let market = simulated(Truth::Signal(0.4), bars, 1);
        let validation = validate(&market.samples(), models, &plan, &ledger, &|_, _| {}).unwrap();
        (validation, ledger.read().unwrap())
    }

    fn page(validation: &Validation, history: &History, name: &str) -> String {
        let trained_on = &validation.dataset_sha256;
        let candidate = Candidate { validation, trained_on, subject_sha256: "model", promoted_with: None };
        let verdict = judge(&candidate, history, &Gate::default()).map_err(|error| error.to_string());
        let summaries = validation.summaries().unwrap();
        validation_page(&ValidationPage {
            kind: "validation",
            name,
            validation,
            summaries: &summaries,
            gate: &Gate::default(),
            verdict: verdict.as_ref().map_err(String::as_str),
            history,
        })
    }

    #[test]
    fn the_page_has_its_plots_and_the_gates_figures_with_thresholds() {
        let models: [&dyn Model; 3] = [&Majority, &Momentum { labels: 3 }, &Logistic { l2: 1.0 }];
        let (validation, history) = validated(&models, 2_000);
        let text = page(&validation, &history, "data/x");
        check_page(&text, GRID);
        for expected in [
            "<b>Sharpe ratios of the paths</b>",
            "<b>Returns of the median paths, summed</b>",
            "<b>PBO logits</b>",
            "<b>Reliability</b>",
            "<b>Trials</b>",
            "below 0.5 asked",
            "above 0.95 asked",
            "logistic l2=1.0",
        ] {
            assert!(text.contains(expected), "{expected}");
        }
        // 7 paths of 3 configurations: as many spots and the one in the legend, or a few less where two are one.
        let spots = tags(&text).iter().filter(|tag| tag.starts_with("circle class=\"spot\"")).count();
        assert!((15..=22).contains(&spots), "{spots}");
        assert_eq!(tags(&text).iter().filter(|tag| tag.contains("spot chosen")).count(), 4);
        let logistic = &validation.configurations[2];
        assert_eq!(logistic.reliability.iter().map(|bin| bin.count).sum::<usize>(), 7 * validation.rows);
        assert!(validation.configurations[1].reliability.is_empty());
        assert_eq!(text, page(&validation, &history, "data/x"));
    }

    #[test]
    fn much_stays_small_and_names_are_text() {
        let models: [&dyn Model; 2] = [&Momentum { labels: 1 }, &Momentum { labels: 2 }];
        let (mut validation, mut history) = validated(&models, 1_500);
        let nasty = "</h1><img>&\"";
        validation.configurations[0].model = serde_json::json!({ "kind": nasty });
        let many: Vec<Configuration> = (0..60).map(|place| validation.configurations[place % 2].clone()).collect();
        let trials: Vec<Trial> = (0..200_000)
            .map(|place| {
                let trial = &history.trials[place % 2];
                Trial { path_sharpes: vec![(place as f64).sin(); 3], ..trial.clone() }
            })
            .collect();
        let verdict = page(&validation, &history, nasty);
        check_page(&verdict, GRID);
        assert!(verdict.contains("No model of these gives probabilities"));
        validation.configurations = many;
        history.trials = trials;
        let text = page(&validation, &history, nasty);
        check_page(&text, GRID);
        assert!(tags(&text).iter().all(|tag| !tag.starts_with("img")) && text.contains("&lt;/h1&gt;&lt;img&gt;&amp;&quot;"));
        assert!(text.contains("the first 20 are drawn") && text.contains("200,000"));
    }

    #[test]
    fn what_cannot_be_judged_still_has_a_page() {
        let (validation, history) = validated(&[&Majority], 1_500);
        let text = page(&validation, &history, "one");
        check_page(&text, GRID);
        assert!(text.contains("validate at least two") && text.contains("PBO cannot be computed"));
    }
}

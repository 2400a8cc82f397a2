//! Sharpe statistics and the probability of overfitting against scipy and numpy.

mod golden;

use chronos_research::validation::{Moments, SharpeEstimate, Trials, minimum_backtest_years, overfitting};
use chronos_tests::{golden_file, golden_json};
use golden::{Tolerance, number, numbers, places};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

const FILE: &str = "04_backtest_stats.json";

/// Named series in the order of the file, which `serde_json::Value` does not keep.
struct Ordered(Vec<(String, Vec<f64>)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Ordered;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("named series")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut series = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    series.push(entry);
                }
                Ok(Ordered(series))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The strategies' returns in the order of the file.
fn strategies() -> Vec<(String, Vec<f64>)> {
    #[derive(serde::Deserialize)]
    struct File {
        inputs: Inputs,
    }
    #[derive(serde::Deserialize)]
    struct Inputs {
        returns: Ordered,
    }
    let text = std::fs::read(golden_file(FILE).unwrap()).unwrap();
    serde_json::from_slice::<File>(&text).unwrap().inputs.returns.0
}

/// The number after the last `mark` of a name.
fn after(name: &str, mark: &str) -> f64 {
    name.rsplit(mark).next().unwrap().parse().unwrap_or_else(|_| panic!("no number after `{mark}` in `{name}`"))
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn sharpe(case: &Value, name: &str, observations: f64) -> SharpeEstimate {
    SharpeEstimate { sharpe: number(&case[name]), observations, skewness: number(&case["skew"]), kurtosis: number(&case["kurt"]) }
}

#[test]
fn each_strategy() {
    let Some(golden) = golden_json(FILE) else { return };
    let tolerance = Tolerance::of(&golden, "psr/dsr/minTRL");
    let strategies = strategies();
    assert_eq!(strategies.len(), golden["expected"]["per_strategy"].as_object().unwrap().len());
    for (name, returns) in &strategies {
        let moments = Moments::of(returns).unwrap();
        let (plain, corrected) = (moments.sharpe(), moments.bias_corrected().unwrap().sharpe());
        for (check, expected) in golden["expected"]["per_strategy"][name].as_object().unwrap() {
            let n = moments.count as f64;
            let value = match check.as_str() {
                "n" => n,
                "sharpe_per_period_ddof1" => plain.sharpe,
                "sharpe_per_period_ddof0" => plain.sharpe * (n / (n - 1.0)).sqrt(),
                "skew_biased" => plain.skewness,
                "kurt_biased_raw" => plain.kurtosis,
                "skew_unbiased" => corrected.skewness,
                "kurt_unbiased_raw" => corrected.kurtosis,
                "psr_vs_0_unbiased_moments" | "quantstats_psr" => corrected.probability_above(0.0),
                "sharpe_std_error" => plain.standard_error(),
                psr if psr.starts_with("psr_vs_") => plain.probability_above(after(psr, "_")),
                trl if trl.starts_with("min_trl_") => {
                    let percent: f64 = trl.split('_').nth(2).unwrap().parse().unwrap();
                    plain.minimum_track_record(after(trl, "_"), percent / 100.0)
                }
                unknown => panic!("{unknown} is not known to this test"),
            };
            tolerance.check(&format!("{name} {check}"), value, expected);
        }
    }
}

#[test]
fn deflation_by_trials() {
    let Some(golden) = golden_json(FILE) else { return };
    let tolerance = Tolerance::of(&golden, "psr/dsr/minTRL");
    let estimates: Vec<(String, SharpeEstimate)> =
        strategies().into_iter().map(|(name, returns)| (name, Moments::of(&returns).unwrap().sharpe())).collect();
    let mean = estimates.iter().map(|(_, estimate)| estimate.sharpe).sum::<f64>() / estimates.len() as f64;
    let squares: f64 = estimates.iter().map(|(_, estimate)| (estimate.sharpe - mean).powi(2)).sum();
    let sharpe_variance = squares / (estimates.len() as f64 - 1.0);
    tolerance.check("variance of trials", sharpe_variance, &golden["expected"]["var_of_trial_sharpes_ddof1"]);
    for (case, expected) in golden["expected"]["dsr"].as_object().unwrap() {
        let (name, trials) = case.split_once("|N=").unwrap();
        let estimate = estimates.iter().find(|(strategy, _)| strategy == name).unwrap().1;
        let deflated = estimate.deflated(Trials { count: trials.parse().unwrap(), sharpe_variance });
        tolerance.check(case, deflated.hurdle, &expected["sr0"]);
        tolerance.check(case, deflated.probability, &expected["dsr"]);
    }
}

#[test]
fn closed_forms() {
    let Some(golden) = golden_json(FILE) else { return };
    let tolerance = Tolerance::of(&golden, "psr/dsr/minTRL");
    let forms = &golden["expected"]["closed_form"];
    for case in forms["expected_max_sharpe"].as_array().unwrap() {
        let trials = Trials { count: count(&case["n_trials"]), sharpe_variance: number(&case["var_trials"]) };
        tolerance.check(&case.to_string(), trials.expected_maximum(), &case["value"]);
    }
    for case in forms["min_backtest_length_years"].as_array().unwrap() {
        let years = minimum_backtest_years(count(&case["n_trials"]), number(&case["target_annual_sr"]));
        tolerance.check(&case.to_string(), years, &case["value"]);
    }
    for case in forms["psr"].as_array().unwrap() {
        let value = sharpe(case, "sr", number(&case["n"])).probability_above(number(&case["bench"]));
        tolerance.check(&case.to_string(), value, &case["value"]);
    }
    for case in forms["min_trl"].as_array().unwrap() {
        let value = sharpe(case, "sr", f64::NAN).minimum_track_record(number(&case["bench"]), number(&case["prob"]));
        tolerance.check(&case.to_string(), value, &case["value"]);
    }
    let paper = &forms["paper_example_dsr"];
    let periods = number(&paper["periods_per_year"]);
    let annual = sharpe(paper, "sr_annual", number(&paper["n"]));
    let estimate = SharpeEstimate { sharpe: annual.sharpe / periods.sqrt(), ..annual };
    let trials = Trials { count: count(&paper["n_trials"]), sharpe_variance: number(&paper["var_trials_annual"]) / periods };
    let deflated = estimate.deflated(trials);
    tolerance.check("paper sr0", deflated.hurdle, &paper["sr0_per_period"]);
    tolerance.check("paper dsr", deflated.probability, &paper["dsr"]);
    for (value, states) in [deflated.hurdle, deflated.probability].iter().zip(numbers(&paper["paper_states"])) {
        assert!((value - states).abs() <= 0.5e-4, "the paper states {states}, not {value}");
    }
}

#[test]
fn probability_of_overfitting() {
    let Some(golden) = golden_json(FILE) else { return };
    let (relative, logits) = (Tolerance::of(&golden, "psr/dsr/minTRL"), Tolerance::of(&golden, "PBO"));
    let rows: Vec<Vec<f64>> = golden["inputs"]["pbo_noise"].as_array().unwrap().iter().map(numbers).collect();
    let noise: Vec<Vec<f64>> = (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    for (name, expected) in golden["expected"]["pbo"].as_object().unwrap() {
        let matrix: Vec<Vec<f64>> = match name.rsplit_once("_S").unwrap().0 {
            "noise" => noise.clone(),
            "one_skilled" => {
                let mut matrix = noise.clone();
                let added = number(&golden["inputs"]["pbo_skill_added"]);
                matrix[count(&golden["inputs"]["pbo_skilled_column"])].iter_mut().for_each(|value| *value += added);
                matrix
            }
            "btc_strategies" => {
                // How many rows is told in the notes alone: `last 800 rows`.
                let notes = golden["notes"].as_str().unwrap();
                let last: usize = notes.split_once("last ").unwrap().1.split_once(" rows").unwrap().0.parse().unwrap();
                strategies().into_iter().map(|(_, returns)| returns[returns.len() - last..].to_vec()).collect()
            }
            unknown => panic!("matrix {unknown} is not known to this test"),
        };
        let blocks: usize = name.rsplit_once("_S").unwrap().1.split_once('_').unwrap().0.parse().unwrap();
        let columns: Vec<&[f64]> = matrix.iter().map(Vec::as_slice).collect();
        let found = overfitting(&columns, blocks).unwrap();

        let combinations = count(&expected["n_combinations"]);
        assert_eq!(found.logits.len(), combinations, "{name}");
        logits.check_all(name, &found.logits, &expected["logits"]);
        let counted = |share: f64| (share * combinations as f64).round();
        assert_eq!(counted(found.probability), counted(number(&expected["pbo_lambda_le_0"])), "{name}");
        relative.check(name, found.probability, &expected["pbo_lambda_le_0"]);
        let below = found.logits.iter().filter(|&&logit| logit < 0.0).count() as f64;
        assert_eq!(below, counted(number(&expected["pbo_lambda_lt_0"])), "{name}");
        assert_eq!(found.best_in_sample, places(&expected["is_best_index"]), "{name}");
        assert_eq!(found.rank_out_of_sample, numbers(&expected["oos_rank_of_is_best"]), "{name}");
        assert_eq!(counted(found.probability_of_loss), counted(number(&expected["prob_oos_loss"])), "{name}");
        relative.check(name, found.degradation_slope, &expected["degradation_slope"]);
        relative.check(name, found.degradation_intercept, &expected["degradation_intercept"]);
    }
}

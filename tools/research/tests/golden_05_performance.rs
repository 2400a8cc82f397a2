//! Performance figures against empyrical, quantstats, riskfolio and numpy. The file's portfolio weights are not research's.

mod golden;

use chronos_research::validation::performance::{
    annual_return, annual_volatility, calmar_ratio, conditional_value_at_risk, downside_risk, profit_factor, quantile,
    sharpe_ratio, sortino_ratio, tail_mean, tail_ratio, value_at_risk,
};
use chronos_research::validation::{
    Wealth, average_drawdown, conditional_drawdown_at_risk, drawdown_at_risk, drawdowns, maximum_drawdown, ulcer_index,
};
use chronos_tests::golden_json;
use golden::{Tolerance, numbers};
use serde_json::Value;
use std::collections::BTreeMap;

/// Simple returns of every asset, and of their equal-weight mean as `EW`.
fn returns(golden: &Value) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = golden["inputs"]["prices"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, prices)| (name.clone(), numbers(prices).windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect()))
        .collect();
    let rows = all.values().map(Vec::len).min().unwrap();
    let mean = |row: usize| all.values().map(|returns: &Vec<f64>| returns[row]).sum::<f64>() / all.len() as f64;
    let equal_weight = (0..rows).map(mean).collect();
    all.insert("EW".into(), equal_weight);
    all
}

#[test]
fn every_metric() {
    let Some(golden) = golden_json("05_portfolio.json") else { return };
    let tolerance = Tolerance::of(&golden, "metrics");
    let returns = returns(&golden);
    for (asset, expected) in golden["expected"]["metrics"].as_object().unwrap() {
        let returns = returns[asset].as_slice();
        let n = returns.len() as f64;
        let (compounded, additive) = (drawdowns(returns, Wealth::Compounded), drawdowns(returns, Wealth::Additive));
        for (check, expected) in expected.as_object().unwrap() {
            // `name`, `name(0.05)`, `name(annualization=365)` or `numpy.name_0.05`.
            let (name, argument) = match check.strip_suffix(')').and_then(|check| check.split_once('(')) {
                Some((name, argument)) => (name, argument.rsplit('=').next().unwrap().parse().unwrap()),
                None => match check.rsplit_once('_').map(|(name, last)| (name, last.parse::<f64>())) {
                    Some((name, Ok(share))) => (name, share),
                    _ => (check.as_str(), f64::NAN),
                },
            };
            let value = match name {
                "empyrical.max_drawdown" | "quantstats.max_drawdown" | "numpy.max_drawdown_start1" => {
                    -maximum_drawdown(&compounded)
                }
                "empyrical.calmar_ratio" | "quantstats.calmar" => calmar_ratio(returns, argument),
                "empyrical.sortino_ratio" | "quantstats.sortino" => sortino_ratio(returns, argument),
                "empyrical.sharpe_ratio" => sharpe_ratio(returns, argument),
                "empyrical.annual_return" => annual_return(returns, argument),
                "empyrical.annual_volatility" => annual_volatility(returns, argument),
                "empyrical.downside_risk" => downside_risk(returns, argument),
                "empyrical.omega_ratio" => profit_factor(returns),
                "empyrical.tail_ratio" => tail_ratio(returns),
                "empyrical.value_at_risk" => quantile(returns, argument),
                "empyrical.conditional_value_at_risk" => tail_mean(returns, argument),
                // quantstats divides by n - 1.
                "quantstats.ulcer_index" => ulcer_index(&compounded) * (n / (n - 1.0)).sqrt(),
                "riskfolio.VaR_Hist" => value_at_risk(returns, argument),
                "riskfolio.CVaR_Hist" | "numpy.rockafellar_cvar" => conditional_value_at_risk(returns, argument),
                "riskfolio.MDD_Rel" => maximum_drawdown(&compounded),
                "riskfolio.MDD_Abs" => maximum_drawdown(&additive),
                "riskfolio.CDaR_Abs" => conditional_drawdown_at_risk(&additive, argument),
                "riskfolio.CDaR_Rel" => conditional_drawdown_at_risk(&compounded, argument),
                "riskfolio.DaR_Abs" => drawdown_at_risk(&additive, argument),
                "riskfolio.UCI_Abs" => ulcer_index(&additive),
                "riskfolio.UCI_Rel" | "numpy.ulcer_rms_all_n" => ulcer_index(&compounded),
                "riskfolio.ADD_Abs" => average_drawdown(&additive),
                unknown => panic!("{unknown} is not known to this test"),
            };
            tolerance.check(&format!("{asset} {check}"), value, expected);
        }
    }
}

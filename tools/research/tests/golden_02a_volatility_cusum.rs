//! Exponentially weighted volatility and CUSUM events against mlfinpy and pandas.

mod golden;

use chronos_research::bars::time_ns;
use chronos_research::labels::{Adjust, cusum_events, horizon_volatility, one_bar_volatility};
use golden::{Tolerance, number, numbers, places};

const DAY_NS: i64 = 86_400_000_000_000;

#[test]
fn volatility() {
    let Some(golden) = chronos_tests::golden_json("02a_vol_cusum.json") else { return };
    let (closes, span) = (numbers(&golden["inputs"]["close"]), number(&golden["params"]["span"]));
    let dates = golden["inputs"]["date"].as_array().unwrap();
    let times: Vec<i64> = dates.iter().map(|date| time_ns(date.as_str().unwrap()).unwrap()).collect();
    let (tolerance, expected) = (Tolerance::of(&golden, "vol"), &golden["expected"]);
    let daily = horizon_volatility(&times, &closes, DAY_NS, span).unwrap();
    tolerance.check_all("the book's", &daily, &expected["vol_afml_get_daily_vol"]);
    for (adjust, name) in [(Adjust::Yes, "vol_1bar_ewm_adjust_true"), (Adjust::No, "vol_1bar_ewm_adjust_false")] {
        tolerance.check_all(name, &one_bar_volatility(&closes, span, adjust).unwrap(), &expected[name]);
    }
}

#[test]
fn events() {
    let Some(golden) = chronos_tests::golden_json("02a_vol_cusum.json") else { return };
    let closes = numbers(&golden["inputs"]["close"]);
    let logs: Vec<f64> = closes.iter().map(|close| close.ln()).collect();
    let (parameters, expected) = (&golden["params"], &golden["expected"]);
    let still = |name: &str| vec![number(&parameters[name]); closes.len()];
    assert_eq!(cusum_events(&logs, &still("h_log")).unwrap(), places(&expected["cusum_log_events"]));
    assert_eq!(cusum_events(&closes, &still("h_raw")).unwrap(), places(&expected["cusum_raw_price_events"]));
    // `1.5*vol_1bar, NaN->h_log`
    let rule = parameters["dynamic_threshold"].as_str().unwrap();
    let multiple: f64 = rule.split_once("*vol_1bar").unwrap().0.parse().unwrap();
    let filled = number(&parameters[rule.split_once("NaN->").unwrap().1]);
    let volatility = one_bar_volatility(&closes, number(&parameters["span"]), Adjust::Yes).unwrap();
    let thresholds: Vec<f64> = volatility.iter().map(|value| if value.is_nan() { filled } else { multiple * value }).collect();
    assert_eq!(cusum_events(&logs, &thresholds).unwrap(), places(&expected["cusum_log_dynamic_events"]));
}

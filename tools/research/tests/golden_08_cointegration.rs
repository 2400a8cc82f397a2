//! Least squares, unit roots, cointegration and hedges against statsmodels.

mod golden;

use chronos_research::statistics::cointegration::{engle_granger, half_life};
use chronos_research::statistics::hedge::{HedgeRatio, KalmanHedge};
use chronos_research::statistics::johansen::{Deterministic, Johansen, johansen};
use chronos_research::statistics::{LagRule, Trend, augmented_dickey_fuller, kpss, least_squares};
use golden::{Tolerance, number, numbers, places};
use serde_json::Value;

const AIC: LagRule = LagRule::Aic { lags_max: None };

/// The two series of a pair; one may be told as the swap of another.
fn pair(golden: &Value, name: &str) -> (Vec<f64>, Vec<f64>) {
    match &golden["inputs"]["pairs"][name] {
        Value::String(text) => {
            let other = text.strip_prefix("swap of ").unwrap_or_else(|| panic!("{name}: what is `{text}`?"));
            let (y, x) = pair(golden, other);
            (x, y)
        }
        series => (numbers(&series["y"]), numbers(&series["x"])),
    }
}

#[test]
fn pairs() {
    let Some(golden) = chronos_tests::golden_json("08_cointegration.json") else { return };
    for (name, expected) in golden["expected"]["pairs"].as_object().unwrap() {
        let (y, x) = pair(&golden, name);
        let fit = least_squares(&y, &[&vec![1.0; y.len()], &x]).unwrap();
        for (check, expected) in expected.as_object().unwrap() {
            let what = format!("{name} {check}");
            match check.as_str() {
                "ols" => {
                    let tolerance = Tolerance::of(&golden, "ols");
                    tolerance.check(&what, fit.coefficients[0], &expected["const"]);
                    tolerance.check(&what, fit.coefficients[1], &expected["beta"]);
                    tolerance.check_all(&what, &fit.standard_errors, &expected["bse"]);
                    tolerance.check_all(&what, &[fit.t_value(0), fit.t_value(1)], &expected["tvalues"]);
                    tolerance.check(&what, fit.r_squared, &expected["rsquared"]);
                    tolerance.check(&what, fit.sigma(), &expected["sigma_resid_ddof2"]);
                    tolerance.check(&what, fit.durbin_watson(), &expected["durbin_watson"]);
                }
                "half_life" => {
                    let tolerance = Tolerance::of(&golden, "stats");
                    let got = half_life(&fit.residuals).unwrap();
                    tolerance.check(&what, got.constant, &expected["const"]);
                    tolerance.check(&what, got.speed, &expected["lambda"]);
                    tolerance.check(&what, got.t_value, &expected["t_lambda"]);
                    tolerance.check(&what, got.rows.unwrap(), &expected["half_life_ln2_over_minus_lambda"]);
                    tolerance.check(&what, got.rows_exact.unwrap(), &expected["half_life_exact_ar1"]);
                }
                "spread_zscore_last" => {
                    let mean = fit.residuals.iter().sum::<f64>() / y.len() as f64;
                    let squares: f64 = fit.residuals.iter().map(|residual| (residual - mean).powi(2)).sum();
                    let last = fit.residuals[y.len() - 1];
                    let score = (last - mean) / (squares / (y.len() - 1) as f64).sqrt();
                    Tolerance::of(&golden, "stats").check(&what, score, expected);
                }
                "kpss_resid_auto" => {
                    let got = kpss(&fit.residuals, false).unwrap();
                    Tolerance::of(&golden, "stats").check(&what, got.statistic, &expected["stat"]);
                    Tolerance::of(&golden, "pvalues").check(&what, got.p_value, &expected["pvalue"]);
                    assert_eq!(got.lags as f64, number(&expected["lags"]), "{what}");
                }
                _ if check.starts_with("coint_") => cointegration(&golden, &what, (&y, &x), check, expected),
                _ if check.starts_with("adf_") => {
                    let series = match check.as_str() {
                        "adf_y" => &y,
                        "adf_x" => &x,
                        "adf_resid" => &fit.residuals,
                        other => panic!("unknown check {other}"),
                    };
                    let got = augmented_dickey_fuller(series, Trend::Constant, AIC).unwrap();
                    Tolerance::of(&golden, "stats").check(&what, got.statistic, &expected["stat"]);
                    Tolerance::of(&golden, "pvalues").check(&what, got.p_value, &expected["pvalue"]);
                    assert_eq!(
                        [got.lags, got.observations].to_vec(),
                        places(&serde_json::json!([expected["usedlag"], expected["nobs"]]))
                    );
                }
                _ if check.starts_with("johansen_") => {
                    let (deterministic, lags) = johansen_parameters(check);
                    relations(&golden, &what, &johansen(&[&y, &x], deterministic, lags).unwrap(), expected);
                }
                other => panic!("unknown check {other}"),
            }
        }
    }
}

/// `coint_c_aic`: the trend, then the rule for the lags.
fn cointegration(golden: &Value, what: &str, (y, x): (&[f64], &[f64]), check: &str, expected: &Value) {
    let mut parts = check.splitn(3, '_').skip(1);
    let trend = match parts.next() {
        Some("n") => Trend::None,
        Some("c") => Trend::Constant,
        Some("ct") => Trend::Linear,
        other => panic!("unknown trend {other:?}"),
    };
    let lags = match parts.next() {
        Some("aic") => AIC,
        Some(rule) => {
            LagRule::Fixed(rule.strip_prefix("maxlag").and_then(|rule| rule.strip_suffix("_nolag")).unwrap().parse().unwrap())
        }
        None => panic!("{check} names no rule"),
    };
    let got = engle_granger(y, &[x], trend, lags).unwrap();
    Tolerance::of(golden, "stats").check(what, got.statistic, &expected["stat"]);
    Tolerance::of(golden, "pvalues").check(what, got.p_value, &expected["pvalue"]);
    let critical =
        got.critical.map_or([f64::NAN; 3], |critical| [critical.one_percent, critical.five_percent, critical.ten_percent]);
    Tolerance::of(golden, "stats").check_all(what, &critical, &expected["crit_1_5_10"]);
}

/// `johansen_det0_kdiff1`: the order of the trend, then the lags.
fn johansen_parameters(check: &str) -> (Deterministic, usize) {
    let (order, lags) = check.strip_prefix("johansen_det").unwrap().split_once("_kdiff").unwrap();
    let deterministic = match order {
        "-1" => Deterministic::None,
        "0" => Deterministic::Constant,
        "1" => Deterministic::Line,
        other => panic!("unknown order {other}"),
    };
    (deterministic, lags.parse().unwrap())
}

fn relations(golden: &Value, what: &str, got: &Johansen, expected: &Value) {
    let statistics = Tolerance::of(golden, "stats");
    statistics.check_all(what, &got.eigenvalues, &expected["eig"]);
    statistics.check_all(what, &got.trace, &expected["trace_stat"]);
    statistics.check_all(what, &got.greatest, &expected["maxeig_stat"]);
    for (place, [trace, greatest]) in
        got.trace_critical.iter().zip(&got.greatest_critical).map(|(left, right)| [left, right]).enumerate()
    {
        statistics.check_all(what, trace, &expected["trace_crit_90_95_99"][place]);
        statistics.check_all(what, greatest, &expected["maxeig_crit_90_95_99"][place]);
    }
    let vectors = Tolerance::of(golden, "eigenvectors");
    for (column, relation) in got.relations.iter().enumerate() {
        // Up to sign: that of the weight that is surest.
        let surest = (0..relation.len()).max_by(|left, right| relation[*left].abs().total_cmp(&relation[*right].abs())).unwrap();
        let sign = relation[surest].signum() * number(&expected["evec"][surest][column]).signum();
        for (row, weight) in relation.iter().enumerate() {
            vectors.check(&format!("{what} weight {row} of relation {column}"), sign * weight, &expected["evec"][row][column]);
        }
    }
}

#[test]
fn three_series() {
    let Some(golden) = chronos_tests::golden_json("08_cointegration.json") else { return };
    let rows = golden["inputs"]["three"]["log_prices"].as_array().unwrap();
    let columns = golden["inputs"]["three"]["columns"].as_array().unwrap().len();
    let series: Vec<Vec<f64>> = (0..columns).map(|column| rows.iter().map(|row| number(&row[column])).collect()).collect();
    let slices: Vec<&[f64]> = series.iter().map(Vec::as_slice).collect();
    // The file does not name the order and the lags of this one; they are those of the book's example.
    let got = johansen(&slices, Deterministic::Constant, 1).unwrap();
    relations(&golden, "three series", &got, &golden["expected"]["three_series"]);
}

#[test]
fn kalman_hedge() {
    let Some(golden) = chronos_tests::golden_json("08_cointegration.json") else { return };
    let parameters = &golden["params"]["kalman"];
    let start = numbers(&parameters["theta0"]);
    let times_identity = |text: &Value| -> f64 {
        let factor = text.as_str().unwrap().strip_suffix('I').unwrap().trim();
        if factor.is_empty() { 1.0 } else { factor.parse().unwrap() }
    };
    let mut filter = KalmanHedge::new(
        HedgeRatio { intercept: start[0], beta: start[1] },
        times_identity(&parameters["P0"]),
        times_identity(&parameters["Q"]),
        number(&parameters["R"]),
    );
    let expected = &golden["expected"]["kalman_hedge_eth_on_btc"];
    let tolerance = Tolerance::of(&golden, "kalman");
    let (y, x) = pair(&golden, "eth_on_btc_log");
    for (row, (y, x)) in y.iter().zip(&x).enumerate() {
        let innovation = filter.update(*y, *x);
        if row % 50 == 0 {
            let HedgeRatio { intercept, beta } = filter.ratio();
            tolerance.check_all("theta", &[intercept, beta], &expected["theta_every_50"][row / 50]);
            let got = [innovation.value, innovation.variance];
            tolerance.check_all("innovation", &got, &expected["innovation_and_S_every_50"][row / 50]);
        }
    }
    let HedgeRatio { intercept, beta } = filter.ratio();
    tolerance.check_all("last theta", &[intercept, beta], &expected["theta_last"]);
}

//! Conditional variance and tests of returns against arch and statsmodels.

mod golden;

use chronos_research::statistics::garch::{GarchModel, GarchParameters, GarchPath};
use chronos_research::statistics::residual_tests::{arch_lm, jarque_bera, ljung_box};
use chronos_research::statistics::variance_ratio;
use golden::{Tolerance, numbers, places};
use serde_json::Value;

fn volatility(path: &GarchPath) -> Vec<f64> {
    path.variances.iter().map(|variance| variance.sqrt()).collect()
}

/// `loglik` has two tolerances: of fits and of fixed parameters.
fn likelihood_tolerance(golden: &Value, which: &str) -> Tolerance {
    let text = golden["tolerance"]["loglik"].as_str().unwrap();
    Tolerance::parse(text.split(',').find(|part| part.contains(which)).unwrap())
}

#[test]
fn fits() {
    let Some(golden) = chronos_tests::golden_json("12b_garch_tests.json") else { return };
    let returns = numbers(&golden["inputs"]["r"]);
    let tolerance = Tolerance::of(&golden, "params");
    for (name, expected) in golden["expected"]["garch"].as_object().unwrap().iter().filter(|(name, _)| !name.starts_with("fixed")) {
        let model = GarchModel {
            has_mean: name.contains("constmean"),
            is_asymmetric: name.starts_with("gjr"),
            has_heavy_tails: name.ends_with("_t"),
        };
        let fit = model.fit(&returns).unwrap();
        assert!(fit.is_converged, "{name}");
        let GarchParameters { mean, omega, alpha, gamma, beta, degrees } = fit.parameters;
        let mut seen = 0;
        for (parameter, value) in [
            ("mu", mean),
            ("omega", Some(omega)),
            ("alpha[1]", Some(alpha)),
            ("gamma[1]", gamma),
            ("beta[1]", Some(beta)),
            ("nu", degrees),
        ] {
            if let Some(value) = value {
                tolerance.check(&format!("{name} {parameter}"), value, &expected["params"][parameter]);
                seen += 1;
            }
        }
        assert_eq!(seen, expected["params"].as_object().unwrap().len(), "{name}");
        let likelihood = likelihood_tolerance(&golden, "fit");
        likelihood.check(name, fit.path.log_likelihood, &expected["loglik"]);
        // Twice the likelihood, so twice its tolerance.
        let Tolerance::Absolute(bound) = likelihood else { panic!("the likelihood of a fit has an absolute tolerance") };
        Tolerance::Absolute(2.0 * bound).check(name, fit.aic, &expected["aic"]);
        Tolerance::Absolute(2.0 * bound).check(name, fit.bic, &expected["bic"]);
        let path = volatility(&fit.path);
        tolerance.check_all(name, &path[..5], &expected["cond_vol_first5"]);
        tolerance.check_all(name, &path[path.len() - 5..], &expected["cond_vol_last5"]);
        tolerance.check_all(name, &fit.parameters.forecast(&fit.path, 5), &expected["var_forecast_h1_5"]);
    }
}

#[test]
fn fixed_parameters() {
    let Some(golden) = chronos_tests::golden_json("12b_garch_tests.json") else { return };
    let returns = numbers(&golden["inputs"]["r"]);
    let tolerance = Tolerance::of(&golden, "fixed cond vol");
    for (name, expected) in golden["expected"]["garch"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("fixed")) {
        // `fixed_params_omega.2_alpha.08_beta.9`
        let part = |parameter: &str| name.split('_').find_map(|part| part.strip_prefix(parameter));
        let value = |parameter: &str| part(parameter).map(|value| value.parse::<f64>().unwrap());
        let parameters = GarchParameters {
            mean: value("mu"),
            omega: value("omega").unwrap(),
            alpha: value("alpha").unwrap(),
            gamma: value("gamma"),
            beta: value("beta").unwrap(),
            degrees: value("nu"),
        };
        let path = parameters.filter(&returns).unwrap();
        likelihood_tolerance(&golden, "fixed").check(name, path.log_likelihood, &expected["loglik"]);
        let path = volatility(&path);
        tolerance.check_all(name, &path[..5], &expected["cond_vol_first5"]);
        let every: Vec<f64> = path.iter().step_by(50).copied().collect();
        tolerance.check_all(name, &every, &expected["cond_vol_every_50"]);
    }
}

#[test]
fn tests_of_returns() {
    let Some(golden) = chronos_tests::golden_json("12b_garch_tests.json") else { return };
    let (returns, expected) = (numbers(&golden["inputs"]["r"]), &golden["expected"]);
    let tolerance = Tolerance::of(&golden, "tests");
    let logs: Vec<f64> = numbers(&golden["inputs"]["close"]).iter().map(|close| close.ln()).collect();
    for (lags, expected) in expected["variance_ratio"].as_object().unwrap() {
        let got = variance_ratio(&logs, lags.parse().unwrap()).unwrap();
        tolerance.check("variance ratio", got.ratio, &expected["vr"]);
        tolerance.check("its statistic", got.statistic, &expected["stat"]);
        tolerance.check("its p-value", got.p_value, &expected["pvalue"]);
    }
    let squares: Vec<f64> = returns.iter().map(|value| value * value).collect();
    for (name, series) in [("ljung_box", &returns), ("ljung_box_squared", &squares)] {
        for (place, lags) in places(&expected[name]["lags"]).into_iter().enumerate() {
            let got = ljung_box(series, lags).unwrap();
            tolerance.check(name, got.statistic, &expected[name]["stat"][place]);
            tolerance.check(name, got.p_value, &expected[name]["pvalue"][place]);
        }
    }
    for (name, expected) in expected.as_object().unwrap() {
        if let Some(lags) = name.strip_prefix("arch_lm_") {
            let got = arch_lm(&returns, lags.parse().unwrap()).unwrap();
            let all = [got.lagrange.statistic, got.lagrange.p_value, got.f.statistic, got.f.p_value];
            tolerance.check_all(name, &all, expected);
        }
    }
    let got = jarque_bera(&returns).unwrap();
    let all = [got.test.statistic, got.test.p_value, got.skewness, got.kurtosis];
    tolerance.check_all("Jarque-Bera", &all, &expected["jarque_bera_stat_p_skew_kurt"]);
}

//! The published model against the files of `CHRONOS_CRYPTOMAMBA`: every file of weights there, with the JSON of its name.
#![cfg(feature = "train")]

use chronos_research::bars::Ohlcv;
use chronos_tests::{cryptomamba_files, data_file};
use chronos_training::published::{BlockTrace, PriceErrors, PublishedModel, Rows, SPLIT_FILES, Split, Trace, TradingRule, Weights};
use serde_json::Value;
use std::path::Path;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        value => vec![number(value)],
    }
}

#[track_caller]
fn close(what: &str, got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() <= tolerance, "{what}: {got}, wanted {wanted} to {tolerance}");
}

/// Rows against those of the file, which keeps ten digits.
#[track_caller]
fn close_rows(what: &str, got: &Rows, wanted: &Value) {
    let (got, wanted) = (got.concat(), flat(wanted));
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (got, wanted) in got.iter().zip(&wanted) {
        close(what, *got, *wanted, 1e-9 * wanted.abs().max(1.0));
    }
}

/// What each name of a block's insides means.
fn inside<'a>(block: &'a BlockTrace, name: &str) -> &'a Rows {
    match name {
        "norm" => &block.norm,
        "conv_silu" => &block.filtered,
        "dt" => &block.step,
        "B" => &block.b,
        "C" => &block.c,
        "scan_plus_skip" => &block.scanned,
        "gated" => &block.gated,
        "out_proj" => &block.added,
        other => panic!("the file has `{other}` of a block, which this test does not know"),
    }
}

/// Stage and block of `blocks.0.3`.
fn place(name: &str) -> (usize, usize) {
    let mut numbers = name.strip_prefix("blocks.").unwrap().split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Every intermediate value of one sample that the file has; how many there were.
fn check_trace(file: &Path, trace: &Trace, wanted: &Value) -> usize {
    let told = |name: &str| format!("{}, sample {}, {name}", file.display(), wanted["sample"]);
    let mut checked = 0;
    for (name, rows) in wanted["after"].as_object().unwrap() {
        let (stage, block) = place(name);
        let (blocks, mapped) = &trace.stages[stage];
        close_rows(&told(name), blocks.get(block).map_or(mapped, |block| &block.output), rows);
        checked += 1;
    }
    for (name, insides) in wanted["detail"].as_object().into_iter().flatten() {
        let (stage, block) = place(name);
        for (inside_name, rows) in insides.as_object().unwrap() {
            close_rows(&told(&format!("{name} {inside_name}")), inside(&trace.stages[stage].0[block], inside_name), rows);
            checked += 1;
        }
    }
    checked
}

/// The files whose format begins so.
fn files(format: &str) -> Vec<(std::path::PathBuf, Value, PublishedModel)> {
    let of_format = cryptomamba_files().into_iter().filter(|(_, json)| json["format"].as_str().unwrap().starts_with(format));
    of_format
        .map(|(path, json)| {
            let weights = Weights::read(&path).unwrap();
            assert_eq!(weights.parameters() as u64, json["parameter_count"].as_u64().unwrap(), "{}", path.display());
            assert_eq!(weights.tensors.len() as u64, json["tensor_count"].as_u64().unwrap(), "{}", path.display());
            for (name, wanted) in json["weights"].as_object().unwrap() {
                let shape: Vec<f64> = weights.get(name).unwrap().shape.iter().map(|extent| *extent as f64).collect();
                assert_eq!(shape, flat(&wanted["shape"]), "{name}");
            }
            let model = PublishedModel::new(&weights).unwrap();
            (path, json, model)
        })
        .collect()
}

const LIVE: &str = "cryptomamba-live-fixture";
const PUBLISHED: &str = "cryptomamba-fixture";

#[test]
fn cryptomamba_live_blocks_hold_to_the_last_intermediate() {
    for (path, json, model) in files(LIVE) {
        let samples: Vec<Vec<f64>> = json["inputs"].as_array().unwrap().iter().map(flat).collect();
        let tolerance = number(&json["suggested_tolerance"]["float64_abs"]);
        for (sample, wanted) in samples.iter().zip(flat(&json["outputs"])) {
            close(&path.display().to_string(), model.predict(sample).unwrap(), wanted, tolerance);
        }
        let removed =
            samples.iter().map(|sample| (model.predict(sample).unwrap() - model.predict_without_blocks(sample).unwrap()).abs());
        let (removed, wanted) =
            (removed.fold(0.0, f64::max), number(&json["smallest_output_change_if"]["all Mamba blocks removed"]));
        assert!(removed >= wanted * (1.0 - 1e-6), "removing the blocks moves the output by {removed}, wanted {wanted}");
        for wanted in json["intermediates"].as_array().unwrap() {
            let sample = &samples[wanted["sample"].as_u64().unwrap() as usize];
            let checked = check_trace(&path, &model.trace(sample).unwrap(), wanted);
            assert!(checked > model.blocks(), "{checked}");
        }
    }
}

/// The rows of the test split that the file brings, as they stand in it.
fn rows_of_file(json: &Value) -> Vec<Ohlcv> {
    let columns: Vec<&str> = json["input_rows"]["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let rows = json["input_rows"]["rows"].as_array().unwrap();
    let row = |row: &Value| {
        let value = |name: &str| columns.iter().position(|column| *column == name).map(|place| number(&row[place]));
        let (start_ns, close) = (value("Timestamp").unwrap() as i64 * 1_000_000_000, value("Close").unwrap());
        let (open, high, low) = (value("Open").unwrap(), value("High").unwrap(), value("Low").unwrap());
        // A model without volume may come without that column.
        let volume = value("Volume").unwrap_or(0.0);
        Ohlcv { start_ns, end_ns: start_ns, open, high, low, close, volume, notional: 0.0, flow: None }
    };
    rows.iter().map(row).collect()
}

fn predict(model: &PublishedModel, split: &Split) -> Vec<f64> {
    (0..split.samples())
        .map(|sample| {
            let raw: Vec<f64> = split.raw(sample, model.channels()).into_iter().map(f64::from).collect();
            model.predict(&raw).unwrap()
        })
        .collect()
}

#[track_caller]
fn check_errors(what: &str, got: PriceErrors, wanted: &Value, tolerance: f64) {
    close(&format!("{what} RMSE"), got.rmse, number(&wanted["rmse"]), tolerance);
    close(&format!("{what} MAPE"), got.mape_percent, number(&wanted["mape_percent"]), tolerance);
    close(&format!("{what} MAE"), got.mae, number(&wanted["mae"]), tolerance);
}

#[test]
fn cryptomamba_published_test_split_predictions_errors_and_intermediates() {
    for (path, json, model) in files(PUBLISHED) {
        let window = json["config"]["window"].as_u64().unwrap() as usize;
        assert_eq!(model.window(), window);
        assert_eq!(model.channels(), json["config"]["channels"].as_array().unwrap().len());
        let split = Split { rows: rows_of_file(&json), window };
        let name = path.display().to_string();
        let columns: Vec<&str> = json["columns"].as_array().unwrap().iter().map(|column| column.as_str().unwrap()).collect();
        let column = |row: &Value, name: &str| number(&row[columns.iter().position(|column| *column == name).unwrap()]);
        let samples = json["samples"].as_array().unwrap();
        assert_eq!((split.samples(), split.rows.len() as u64), (samples.len(), json["test"]["rows"].as_u64().unwrap()), "{name}");
        let (predictions, targets, persistence) = (predict(&model, &split), split.targets(), split.persistence());
        let tolerance = number(&json["suggested_tolerance"]["float64_prediction_abs"]);
        for (sample, wanted) in samples.iter().enumerate() {
            close(&name, predictions[sample], column(wanted, "prediction"), tolerance);
            assert_eq!(targets[sample], column(wanted, "target_float32"), "{name}");
            assert_eq!(persistence[sample], column(wanted, "persistence_float32"), "{name}");
            assert_eq!(split.decision_prices()[sample], column(wanted, "yesterday_close"), "{name}");
            assert_eq!((split.target_row(sample).start_ns / 1_000_000_000) as f64, column(wanted, "target_timestamp"), "{name}");
        }
        // The metrics have no rounding in them but the predictions': far closer than the file asks.
        let errors = PriceErrors::of(&predictions, &targets);
        check_errors(&name, errors, &json["test"]["model"], 1e-6);
        check_errors(&name, PriceErrors::of(&persistence, &targets), &json["test"]["persistence"], 1e-6);
        // What was published, to the digits that it was published with.
        let published = &json["published"];
        for (got, field, digit) in
            [(errors.rmse, "rmse", 0.1), (errors.mape_percent, "mape_percent", 1e-3), (errors.mae, "mae", 0.1)]
        {
            close(&format!("{name}, published {field}"), got, number(&published[field]), digit / 2.0 + 1e-9);
        }
        for wanted in json["intermediates"]["samples"].as_array().unwrap() {
            let sample = wanted["sample"].as_u64().unwrap() as usize;
            let raw: Vec<f64> = split.raw(sample, model.channels()).into_iter().map(f64::from).collect();
            close_rows(&format!("{name}, sample {sample}, input"), &vec![raw.clone()], &wanted["input"]);
            let trace = model.trace(&raw).unwrap();
            check_trace(&path, &trace, wanted);
            close(&name, trace.prediction, number(&wanted["prediction"]), tolerance);
            assert_eq!(model.predict_without_blocks(&raw), Some(trace.prediction), "the published blocks are dead");
        }
    }
}

#[test]
fn cryptomamba_published_trading() {
    const RULES: [(&str, TradingRule); 4] = [
        ("vanilla", TradingRule::Vanilla),
        ("smart", TradingRule::Smart),
        ("smart_w_short", TradingRule::SmartWithShort),
        ("buy_and_hold", TradingRule::BuyAndHold),
    ];
    for (path, json, model) in files(PUBLISHED) {
        let split = Split { rows: rows_of_file(&json), window: model.window() };
        let (predictions, prices) = (predict(&model, &split), split.decision_prices());
        let last = *split.targets().last().unwrap();
        let trading = &json["trading"];
        let (risk, tolerance) = (number(&trading["risk_percent"]), number(&json["suggested_tolerance"]["net_worth_abs_float64"]));
        for (name, rule) in RULES {
            let (result, wanted) = (rule.play(&prices, &predictions, last, risk), &trading["strategies"][name]);
            let what = format!("{}, {name}", path.display());
            close(&what, result.final_net_worth, number(&wanted["final_net_worth"]), tolerance);
            close(&what, result.max_drawdown, number(&wanted["max_drawdown"]), tolerance);
            let curve = flat(&wanted["net_worth_curve"]);
            assert_eq!(result.net_worth.len(), curve.len(), "{what}");
            result.net_worth.iter().zip(&curve).for_each(|(got, wanted)| close(&what, *got, *wanted, tolerance));
            if let Some(wanted) = trading["risk_5_final_net_worth"].get(name) {
                close(&what, rule.play(&prices, &predictions, last, 5.0).final_net_worth, number(wanted), tolerance);
            }
            if let Some(wanted) = trading["persistence_forecast_final_net_worth"].get(name) {
                let persistence = rule.play(&prices, &split.persistence(), last, risk);
                close(&what, persistence.final_net_worth, number(wanted), tolerance);
            }
        }
    }
}

#[test]
fn cryptomamba_published_on_every_split_of_the_data() {
    for (path, json, model) in files(PUBLISHED) {
        for name in SPLIT_FILES {
            let Some(file) = data_file(&format!("ohlcv/cryptomamba/{name}")) else { return };
            let split = Split::read(&file, model.window()).unwrap();
            let wanted = match name.trim_end_matches(".csv") {
                "test" => &json["test"],
                other => &json["other_splits"][other],
            };
            let what = format!("{}, {name}", path.display());
            assert_eq!(
                (split.rows.len() as f64, split.samples() as f64),
                (number(&wanted["rows"]), number(&wanted["samples"])),
                "{what}"
            );
            let day = |sample: usize| split.target_row(sample).start_ns / 86_400_000_000_000;
            let wanted_day =
                |field: &str| chronos_research::bars::time_ns(wanted[field].as_str().unwrap()).unwrap() / 86_400_000_000_000;
            assert_eq!((day(0), day(split.samples() - 1)), (wanted_day("first_target"), wanted_day("last_target")), "{what}");
            let targets = split.targets();
            check_errors(&what, PriceErrors::of(&predict(&model, &split), &targets), &wanted["model"], 1e-6);
            check_errors(&what, PriceErrors::of(&split.persistence(), &targets), &wanted["persistence"], 1e-6);
        }
    }
}

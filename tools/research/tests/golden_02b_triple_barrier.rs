//! The triple barrier and meta-labels against mlfinpy and the book.

mod golden;

use chronos_market::Side;
use chronos_research::labels::{Barrier, Horizon, Label, TripleBarrier, triple_barrier};
use golden::{Tolerance, number, numbers, places};
use serde_json::Value;

fn side(value: f64) -> Side {
    if value > 0.0 { Side::Buy } else { Side::Sell }
}

/// A multiple of 0 is no barrier.
fn barriers(parameters: &Value, horizon: &str) -> TripleBarrier {
    let multiple = |name: &str| Some(number(&parameters[name])).filter(|multiple| *multiple > 0.0);
    TripleBarrier {
        profit: multiple("pt"),
        stop: multiple("sl"),
        horizon: parameters[horizon].as_u64().map(|bars| Horizon::Bars(bars as usize)),
        return_min: parameters.get("min_ret").map_or(0.0, number),
    }
}

fn touch(barrier: Barrier) -> &'static str {
    match barrier {
        Barrier::Profit => "pt",
        Barrier::Stop => "sl",
        Barrier::Vertical => "vertical",
    }
}

#[test]
fn labels() {
    let Some(golden) = chronos_tests::golden_json("02b_triple_barrier.json") else { return };
    let inputs = &golden["inputs"];
    let (closes, events, targets) = (numbers(&inputs["close"]), places(&inputs["events"]), numbers(&inputs["target"]));
    let times: Vec<i64> = (0..closes.len() as i64).collect();
    let all_sides = numbers(&inputs["side"]);
    let sides: Vec<Side> = events.iter().map(|event| side(all_sides[*event])).collect();
    let tolerance = Tolerance::of(&golden, "ret");
    for parameters in golden["params"]["configs"].as_array().unwrap() {
        let name = parameters["name"].as_str().unwrap();
        let sides = parameters["uses_side"].as_bool().unwrap().then_some(&sides[..]);
        let got = triple_barrier(&times, &closes, &events, &targets, sides, &barriers(parameters, "vertical_bars")).unwrap();
        let rows = golden["expected"]["labels"][name].as_array().unwrap();
        let (finished, unfinished): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| !row["t1"].is_null());
        let starts: Vec<u64> = got.unfinished.iter().map(|event| *event as u64).collect();
        assert_eq!(starts, unfinished.iter().map(|row| row["t0"].as_u64().unwrap()).collect::<Vec<u64>>(), "{name}");
        assert_eq!(got.labels.len(), finished.len(), "{name}");
        assert_eq!(got.small, events.len() - rows.len(), "{name}");
        for (label, row) in got.labels.iter().zip(finished) {
            check(name, label, row, tolerance);
            assert_eq!(Some(i64::from(label.by_barrier())), row["bin_vert0"].as_i64(), "{name}: {row}");
            assert_eq!(label.target, number(&row["trgt"]), "{name}: {row}");
            assert_eq!(label.side, row.get("side").map(|value| side(number(value))), "{name}: {row}");
        }
    }
}

#[test]
fn cases_by_hand() {
    let Some(golden) = chronos_tests::golden_json("02b_triple_barrier.json") else { return };
    let tolerance = Tolerance::of(&golden, "ret");
    for case in golden["expected"]["hand_cases"].as_array().unwrap() {
        let closes = numbers(&case["close"]);
        let times: Vec<i64> = (0..closes.len() as i64).collect();
        let event = case["event"].as_u64().unwrap();
        let sides = (!case["side"].is_null()).then(|| [side(number(&case["side"]))]);
        let targets = vec![number(&case["trgt"]); closes.len()];
        let sides = sides.as_ref().map(|sides| &sides[..]);
        let got = triple_barrier(&times, &closes, &[event as usize], &targets, sides, &barriers(case, "vbars")).unwrap();
        let why = case["why"].as_str().unwrap();
        assert_eq!(got.labels.len(), 1, "{why}");
        check(why, &got.labels[0], case, tolerance);
    }
}

fn check(what: &str, label: &Label, expected: &Value, tolerance: Tolerance) {
    assert_eq!(Some(label.span.end as u64), expected["t1"].as_u64(), "{what}: {expected}");
    assert_eq!(Some(touch(label.barrier)), expected["touch"].as_str(), "{what}: {expected}");
    assert_eq!(Some(i64::from(label.by_return())), expected["bin_afml"].as_i64(), "{what}: {expected}");
    tolerance.check(&format!("{what}: {expected}"), label.simple_return, &expected["ret"]);
}

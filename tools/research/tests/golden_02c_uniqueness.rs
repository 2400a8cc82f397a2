//! Concurrency, uniqueness, weights and the sequential bootstrap against mlfinpy.

mod golden;

use chronos_research::labels::Span;
use chronos_research::weights::{
    SequentialBootstrap, average_uniqueness, concurrency, return_attribution, sample_uniqueness, time_decay,
};
use golden::{Tolerance, number, numbers, places};
use serde_json::Value;

fn spans(golden: &Value) -> Vec<Span> {
    let (starts, ends) = (places(&golden["inputs"]["t0"]), places(&golden["inputs"]["t1"]));
    starts.into_iter().zip(ends).map(|(start, end)| Span { start, end }).collect()
}

#[test]
fn uniqueness_and_weights() {
    let Some(golden) = chronos_tests::golden_json("02c_uniqueness_bootstrap.json") else { return };
    let (spans, closes, expected) = (spans(&golden), numbers(&golden["inputs"]["close"]), &golden["expected"]);
    let bars = number(&golden["params"]["n_bars"]) as usize;
    let tolerance = Tolerance::of(&golden, "uniqueness/weights");
    let counts: Vec<usize> = concurrency(&spans, bars).unwrap().into_iter().map(|count| count as usize).collect();
    assert_eq!(counts, places(&expected["concurrency_per_bar"]));
    let uniqueness = average_uniqueness(&spans, bars).unwrap();
    tolerance.check_all("average uniqueness", &uniqueness, &expected["average_uniqueness_per_label"]);
    tolerance.check("sample uniqueness", sample_uniqueness(&spans, bars).unwrap(), &expected["ind_mat_average_uniqueness"]);
    // The indicator matrix runs from the first bar of a label to the last one.
    let first = spans.iter().map(|span| span.start).min().unwrap();
    let last = spans.iter().map(|span| span.end).max().unwrap();
    assert_eq!([last - first + 1, spans.len()].to_vec(), places(&expected["indicator_matrix_shape"]));
    assert_eq!(first as f64, number(&expected["indicator_matrix_row0_is_bar"]));
    let weights = return_attribution(&spans, &closes).unwrap();
    tolerance.check_all("weights by return", &weights, &expected["weights_by_abs_log_return"]);
    for oldest in golden["params"]["time_decay_last_weight"].as_array().unwrap() {
        let name = oldest.to_string();
        tolerance.check_all(&name, &time_decay(&uniqueness, number(oldest)).unwrap(), &expected["weights_by_time_decay"][&name]);
    }
}

#[test]
fn sequential_bootstrap() {
    let Some(golden) = chronos_tests::golden_json("02c_uniqueness_bootstrap.json") else { return };
    let spans = spans(&golden);
    let bars = number(&golden["params"]["n_bars"]) as usize;
    let tolerance = Tolerance::of(&golden, "uniqueness/weights");
    for expected in golden["expected"]["sequential_bootstrap"].as_array().unwrap() {
        let mut bootstrap = SequentialBootstrap::new(&spans, bars).unwrap();
        let mut drawn = Vec::new();
        for (draw, uniform) in numbers(&expected["uniforms"]).into_iter().enumerate() {
            if let Some(probabilities) = expected.get(format!("probabilities_for_draw_index_{draw}")) {
                tolerance.check_all("probabilities", &bootstrap.probabilities(), probabilities);
            }
            drawn.push(bootstrap.draw(uniform));
        }
        assert_eq!(drawn, places(&expected["phi"]));
        let sample: Vec<Span> = drawn.iter().map(|label| spans[*label]).collect();
        let got = sample_uniqueness(&sample, bars).unwrap();
        tolerance.check("uniqueness of the sample", got, &expected["avg_uniqueness_of_sample"]);
    }
}

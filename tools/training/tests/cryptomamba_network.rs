//! The published model as a network in f32 against the same in f64, on the files of `CHRONOS_CRYPTOMAMBA`.
#![cfg(feature = "train")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use chronos_tests::cryptomamba_files;
use chronos_training::published::{Blocks, CryptoMamba, PublishedModel, Weights};
use serde_json::Value;

fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

fn predict(network: &CryptoMamba, samples: &[Vec<f64>], days: usize, blocks: Blocks) -> Vec<f64> {
    let values: Vec<f32> = samples.iter().flatten().map(|value| *value as f32).collect();
    let channels = samples[0].len() / days;
    let inputs = Tensor::from_data(TensorData::new(values, [samples.len(), channels, days]), (&Device::flex(), DType::F32));
    network.forward(inputs, blocks).into_data().iter::<f64>().collect()
}

#[test]
fn cryptomamba_network_equals_the_plain_form_and_so_do_its_blocks() {
    for (path, json) in cryptomamba_files() {
        let model = PublishedModel::new(&Weights::read(&path).unwrap()).unwrap();
        let network = CryptoMamba::new(&model, &Device::flex());
        // The published models come with their test split, whose raw numbers cost digits; the live ones with inputs of unit scale.
        let is_live = json["format"].as_str().unwrap().contains("live");
        let samples: Vec<Vec<f64>> = match is_live {
            true => json["inputs"].as_array().unwrap().iter().map(flat).collect(),
            false => json["intermediates"]["samples"].as_array().unwrap().iter().map(|sample| flat(&sample["input"])).collect(),
        };
        let tolerance = &json["suggested_tolerance"];
        let tolerance = if is_live { &tolerance["float32_abs"] } else { &tolerance["float32_prediction_abs"] }.as_f64().unwrap();
        let check = |what: &str, got: Vec<f64>, wanted: Vec<f64>| {
            for (got, wanted) in got.iter().zip(&wanted) {
                assert!((got - wanted).abs() <= tolerance, "{}, {what}: {got}, wanted {wanted} to {tolerance}", path.display());
            }
        };
        let days = model.window();
        let of = |predict: &dyn Fn(&[f64]) -> Option<f64>| samples.iter().map(|sample| predict(sample).unwrap()).collect();
        check("all blocks", predict(&network, &samples, days, Blocks::All), of(&|sample| model.predict(sample)));
        check("no blocks", predict(&network, &samples, days, Blocks::None), of(&|sample| model.predict_without_blocks(sample)));
        if is_live {
            let all = predict(&network, &samples, days, Blocks::All);
            for place in 0..network.blocks() {
                assert_ne!(all, predict(&network, &samples, days, Blocks::Without(place)), "block {place} changes nothing");
            }
        }
    }
}

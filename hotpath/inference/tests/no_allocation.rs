//! The native kernel and forests take no memory once they are made.

use chronos_inference::trees::{Calibration, IsotonicMap, read_forest};
use chronos_inference::{NativeModel, Prediction, StepInput, StepModel, StepSpec, StepWeights};
use chronos_tests::allocation::{CountingAllocator, allocator_calls_of};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn native_steps_resets_and_refusals_allocate_nothing() {
    let mut model = NativeModel::new(&StepWeights::untrained(&StepSpec::standard(24), 1));
    let mut out = Prediction::default();
    let count = allocator_calls_of(|| {
        for step in 0..50_u8 {
            let features = [f32::from(step) / 50.0; 24];
            model.step(&StepInput { features: &features, dt_s: 0.001, regime: &[0.0; 128] }, &mut out).unwrap();
            let refused = model.step(&StepInput { features: &[], dt_s: 0.001, regime: &[0.0; 128] }, &mut out);
            assert!(refused.is_err());
            std::hint::black_box(out.signal());
        }
        model.reset();
    });
    assert_eq!(count, 0);
}

#[test]
fn scores_leaves_refusals_and_calibrations_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let isotonic = Calibration::Isotonic(IsotonicMap::new(vec![0.2, 0.4, 0.8], vec![0.1, 0.3, 0.9]).unwrap());
    for name in ["xgboost_multiclass_stopped_early.json", "lightgbm_zero_as_missing.json"] {
        // The model stands in the file beside what it predicts.
        let file = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trees")).join(name);
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let model = file["model"].as_str().map_or_else(|| file["model"].to_string(), str::to_owned);
        let path = folder.path().join(name);
        std::fs::write(&path, model).unwrap();
        let forest = read_forest(&path).unwrap();
        let mut out = vec![0.0; forest.outputs()];
        let mut leaves = vec![0; forest.trees().len()];
        let mut row = vec![0.0; forest.features()];
        let count = allocator_calls_of(|| {
            for step in 0..50_u8 {
                row[0] = if step % 7 == 0 { f64::NAN } else { f64::from(step) / 10.0 - 2.5 };
                forest.predict_into(&row, &mut out).unwrap();
                forest.leaves_into(&row, &mut leaves).unwrap();
                assert!(forest.predict_into(&[], &mut out).is_err());
                std::hint::black_box(isotonic.apply(0.3 + 0.001 * out[0]) + Calibration::Platt { a: -1.0, b: 0.1 }.apply(0.3));
            }
        });
        assert_eq!(count, 0, "{name}");
    }
}

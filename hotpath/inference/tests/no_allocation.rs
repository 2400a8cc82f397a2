//! The native kernel takes no memory once it is made.

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

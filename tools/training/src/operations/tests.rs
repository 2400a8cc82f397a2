//! The fused forms against the plain ones and against finite differences.

use super::*;
use burn::tensor::{DType, Device, TensorData};
use proptest::prelude::*;

/// Values as flat lists: the output, then the gradient of each input of `sum(output * weights)`.
type Outcome = Vec<Vec<f64>>;

fn uniform(rng: &mut fastrand::Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| 2.0 * rng.f64() - 1.0).collect()
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Device::flex().autodiff(), dtype)).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.cast(DType::F64).into_data().try_into_vec().unwrap()
}

/// Weights that are not symmetric in anything, from the cosine of the place.
fn weighed<const D: usize>(output: Tensor<D>) -> Tensor<1> {
    let weights: Vec<f64> = (0..output.shape().num_elements()).map(|place| (place as f64).cos()).collect();
    let weights = Tensor::from_data(TensorData::new(weights, output.dims()), (&output.device(), output.dtype()));
    (output * weights).sum()
}

/// An operation with its inputs as flat lists.
trait Operation {
    fn inputs(&self) -> Vec<Vec<f64>>;
    /// The output and the gradients.
    fn run(&self, inputs: &[Vec<f64>], dtype: DType, is_fused: bool) -> Outcome;
}

#[derive(Clone, Copy, Debug)]
struct ScanCase {
    batch: usize,
    steps: usize,
    channels: usize,
    states: usize,
    seed: u64,
}

impl Operation for ScanCase {
    fn inputs(&self) -> Vec<Vec<f64>> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let (wide, narrow) = (self.batch * self.steps * self.channels, self.batch * self.steps * self.states);
        [wide, wide, self.channels, self.states * self.channels, narrow, narrow, self.channels, wide]
            .map(|count| uniform(&mut rng, count))
            .to_vec()
    }

    fn run(&self, inputs: &[Vec<f64>], dtype: DType, is_fused: bool) -> Outcome {
        let plain = |input| plain::selective_scan(input, None).0;
        self.run_by(inputs, dtype, if is_fused { selective_scan } else { plain })
    }
}

impl ScanCase {
    /// The output and the gradients by one form of the scan.
    fn run_by(&self, inputs: &[Vec<f64>], dtype: DType, scan: fn(ScanInput) -> Tensor<3>) -> Outcome {
        let (wide, narrow) = ([self.batch, self.steps, self.channels], [self.batch, self.steps, self.states]);
        let input = ScanInput {
            u: tensor(&inputs[0], wide, dtype),
            delta: tensor(&inputs[1], wide, dtype),
            delta_bias: tensor(&inputs[2], [self.channels], dtype),
            a_log: tensor(&inputs[3], [self.states, self.channels], dtype),
            b: tensor(&inputs[4], narrow, dtype),
            c: tensor(&inputs[5], narrow, dtype),
            d: tensor(&inputs[6], [self.channels], dtype),
            z: tensor(&inputs[7], wide, dtype),
        };
        let y = scan(input.clone());
        let gradients = weighed(y.clone()).backward();
        vec![
            values(y),
            values(input.u.grad(&gradients).unwrap()),
            values(input.delta.grad(&gradients).unwrap()),
            values(input.delta_bias.grad(&gradients).unwrap()),
            // Of a single step nothing is decayed.
            values(input.a_log.grad(&gradients).unwrap_or_else(|| input.a_log.zeros_like().inner())),
            values(input.b.grad(&gradients).unwrap()),
            values(input.c.grad(&gradients).unwrap()),
            values(input.d.grad(&gradients).unwrap()),
            values(input.z.grad(&gradients).unwrap()),
        ]
    }
}

#[derive(Clone, Copy, Debug)]
struct ConvolutionCase {
    batch: usize,
    steps: usize,
    channels: usize,
    taps: usize,
    seed: u64,
}

impl Operation for ConvolutionCase {
    fn inputs(&self) -> Vec<Vec<f64>> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        [self.batch * self.steps * self.channels, self.taps * self.channels, self.channels]
            .map(|count| uniform(&mut rng, count))
            .to_vec()
    }

    fn run(&self, inputs: &[Vec<f64>], dtype: DType, is_fused: bool) -> Outcome {
        let x = tensor(&inputs[0], [self.batch, self.steps, self.channels], dtype);
        let taps = tensor(&inputs[1], [self.taps, self.channels], dtype);
        let bias = tensor(&inputs[2], [self.channels], dtype);
        let convolve = if is_fused { causal_conv_silu } else { plain::causal_conv_silu };
        let y = convolve(x.clone(), taps.clone(), bias.clone());
        let gradients = weighed(y.clone()).backward();
        let [x, taps, bias] =
            [values(x.grad(&gradients).unwrap()), values(taps.grad(&gradients).unwrap()), values(bias.grad(&gradients).unwrap())];
        vec![values(y), x, taps, bias]
    }
}

#[derive(Clone, Copy, Debug)]
struct NormCase {
    rows: usize,
    width: usize,
    seed: u64,
}

impl Operation for NormCase {
    fn inputs(&self) -> Vec<Vec<f64>> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        [self.rows * self.width, self.width].map(|count| uniform(&mut rng, count)).to_vec()
    }

    fn run(&self, inputs: &[Vec<f64>], dtype: DType, is_fused: bool) -> Outcome {
        let (x, gain) = (tensor(&inputs[0], [self.rows, self.width], dtype), tensor(&inputs[1], [self.width], dtype));
        let norm = if is_fused { rms_norm } else { plain::rms_norm };
        let y = norm(x.clone(), gain.clone());
        let gradients = weighed(y.clone()).backward();
        vec![values(y), values(x.grad(&gradients).unwrap()), values(gain.grad(&gradients).unwrap())]
    }
}

#[derive(Clone, Copy, Debug)]
struct ProductCase {
    rows: usize,
    inputs: usize,
    outputs: usize,
    seed: u64,
}

impl Operation for ProductCase {
    fn inputs(&self) -> Vec<Vec<f64>> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        [self.rows * self.inputs, self.inputs * self.outputs].map(|count| uniform(&mut rng, count)).to_vec()
    }

    fn run(&self, inputs: &[Vec<f64>], dtype: DType, is_fused: bool) -> Outcome {
        let (rows, weight) =
            (tensor(&inputs[0], [self.rows, self.inputs], dtype), tensor(&inputs[1], [self.inputs, self.outputs], dtype));
        let y = if is_fused { product(rows.clone(), weight.clone(), Precision::Full) } else { rows.clone().matmul(weight.clone()) };
        let gradients = weighed(y.clone()).backward();
        vec![values(y), values(rows.grad(&gradients).unwrap()), values(weight.grad(&gradients).unwrap())]
    }
}

/// Largest difference, over the larger of 1 and the largest value of the list.
fn difference(left: &Outcome, right: &Outcome) -> f64 {
    let of = |(left, right): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(left.len(), right.len());
        let scale = right.iter().fold(1.0_f64, |largest, value| largest.max(value.abs()));
        left.iter().zip(right).map(|(left, right)| (left - right).abs() / scale).fold(0.0, f64::max)
    };
    left.iter().zip(right).map(of).fold(0.0, f64::max)
}

fn assert_fused_is_plain(operation: &impl Operation) -> Result<(), TestCaseError> {
    let inputs = operation.inputs();
    let exact = operation.run(&inputs, DType::F64, false);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let found = difference(&operation.run(&inputs, dtype, true), &exact);
        prop_assert!(found < tolerance, "{dtype:?}: {found:e}");
    }
    Ok(())
}

/// Every gradient against the difference quotient of the plain form's output.
fn assert_gradients_are_slopes(operation: &impl Operation) {
    let inputs = operation.inputs();
    let outcome = operation.run(&inputs, DType::F64, true);
    let loss = |inputs: &[Vec<f64>]| -> f64 {
        let y = &operation.run(inputs, DType::F64, false)[0];
        y.iter().enumerate().map(|(place, y)| y * (place as f64).cos()).sum()
    };
    for (input, gradients) in outcome[1..].iter().enumerate() {
        for (place, gradient) in gradients.iter().enumerate() {
            let moved = |by: f64| {
                let mut inputs = inputs.clone();
                inputs[input][place] += by;
                loss(&inputs)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - gradient).abs() < 1e-7 * slope.abs().max(1.0), "input {input} at {place}: {gradient}, slope {slope}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fused_scan_is_the_plain_one(batch in 1usize..4, steps in 1usize..9, channels in 1usize..80, states in 1usize..6, seed in any::<u64>()) {
        assert_fused_is_plain(&ScanCase { batch, steps, channels, states, seed })?;
    }

    #[test]
    fn parallel_scan_is_the_plain_one(batch in 1usize..4, steps in 1usize..20, channels in 1usize..9, states in 1usize..6, seed in any::<u64>()) {
        let case = ScanCase { batch, steps, channels, states, seed };
        let inputs = case.inputs();
        let exact = case.run_by(&inputs, DType::F64, |input| plain::selective_scan(input, None).0);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let found = difference(&case.run_by(&inputs, dtype, parallel::selective_scan), &exact);
            prop_assert!(found < tolerance, "{dtype:?}: {found:e}");
        }
    }

    #[test]
    fn fused_convolution_is_the_plain_one(batch in 1usize..4, steps in 1usize..9, channels in 1usize..80, taps in 1usize..6, seed in any::<u64>()) {
        assert_fused_is_plain(&ConvolutionCase { batch, steps, channels, taps, seed })?;
    }

    #[test]
    fn fused_norm_is_the_plain_one(rows in 1usize..300, width in 1usize..80, seed in any::<u64>()) {
        assert_fused_is_plain(&NormCase { rows, width, seed })?;
    }

    #[test]
    fn product_is_the_plain_one(rows in 1usize..300, inputs in 1usize..80, outputs in 1usize..80, seed in any::<u64>()) {
        assert_fused_is_plain(&ProductCase { rows, inputs, outputs, seed })?;
    }
}

#[test]
fn gradients_are_slopes() {
    assert_gradients_are_slopes(&ScanCase { batch: 2, steps: 4, channels: 3, states: 2, seed: 1 });
    assert_gradients_are_slopes(&ConvolutionCase { batch: 2, steps: 5, channels: 3, taps: 4, seed: 2 });
    assert_gradients_are_slopes(&NormCase { rows: 3, width: 5, seed: 3 });
    assert_gradients_are_slopes(&ProductCase { rows: 3, inputs: 5, outputs: 2, seed: 8 });
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let outcomes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let scan = ScanCase { batch: 7, steps: 5, channels: 70, states: 3, seed: 4 };
            let convolution = ConvolutionCase { batch: 7, steps: 5, channels: 70, taps: 4, seed: 5 };
            let norm = NormCase { rows: 1_000, width: 40, seed: 6 };
            // Shared among threads in both passes.
            let product = ProductCase { rows: 2_000, inputs: 70, outputs: 90, seed: 9 };
            [
                scan.run(&scan.inputs(), DType::F32, true),
                convolution.run(&convolution.inputs(), DType::F32, true),
                norm.run(&norm.inputs(), DType::F32, true),
                product.run(&product.inputs(), DType::F32, true),
            ]
        })
    };
    let one = outcomes(1);
    assert_eq!(one, outcomes(2));
    assert_eq!(one, outcomes(5));
}

#[test]
fn gradients_reach_only_what_asks_for_them() {
    let case = ConvolutionCase { batch: 1, steps: 3, channels: 2, taps: 2, seed: 7 };
    let inputs = case.inputs();
    let x = tensor::<3>(&inputs[0], [1, 3, 2], DType::F64).set_require_grad(false);
    let taps = tensor(&inputs[1], [2, 2], DType::F64);
    let bias = tensor::<1>(&inputs[2], [2], DType::F64).inner();
    let gradients = weighed(causal_conv_silu(x.clone(), taps.clone(), bias)).backward();
    assert!(x.grad(&gradients).is_none());
    assert_eq!(values(taps.grad(&gradients).unwrap()), case.run(&inputs, DType::F64, true)[2]);

    let case = ProductCase { rows: 3, inputs: 2, outputs: 2, seed: 10 };
    let inputs = case.inputs();
    let rows = tensor::<2>(&inputs[0], [3, 2], DType::F64).set_require_grad(false);
    let weight = tensor::<2>(&inputs[1], [2, 2], DType::F64);
    let gradients = weighed(product(rows.clone(), weight.clone(), Precision::Full)).backward();
    assert!(rows.grad(&gradients).is_none());
    assert_eq!(values(weight.grad(&gradients).unwrap()), case.run(&inputs, DType::F64, true)[2]);
}

#[test]
fn a_product_over_nothing_is_zero() {
    let product = product(tensor(&[], [2, 0], DType::F64), tensor(&[], [0, 3], DType::F64), Precision::Full);
    assert_eq!(values(product), [0.0; 6]);
}

#[test]
fn layer_norm_of_known_values() {
    // Mean 3, variance 8/3 over all three values.
    let [x, gamma, beta] = [[1.0, 3.0, 5.0], [1.0, 2.0, -1.0], [0.5, 0.0, 0.25]];
    let y = layer_norm(tensor(&x, [1, 3], DType::F64), tensor(&gamma, [3], DType::F64), tensor(&beta, [3], DType::F64));
    let root = (8.0_f64 / 3.0 + 1e-5).sqrt();
    for (got, wanted) in values(y).into_iter().zip([-2.0 / root + 0.5, 0.0, -2.0 / root + 0.25]) {
        assert!((got - wanted).abs() < 1e-12, "{got} {wanted}");
    }
}

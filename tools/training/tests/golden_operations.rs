//! Selective scan, causal convolution and RMS norm against torch in float64.
#![cfg(feature = "train")]

use burn::Tensor;
use burn::tensor::{DType, Device, TensorData};
use chronos_tests::golden_json;
use chronos_training::operations::{ScanInput, causal_conv_silu, rms_norm, selective_scan, selective_scan_with_state};
use serde_json::Value;

const FILE: &str = "15_nn.json";

/// Precision of the tensors, and how far their values may be from the golden ones: the file's tolerance, in words there.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-9), (DType::F32, 1e-5)];

/// A nested list of numbers as a tensor that takes part in gradients.
fn tensor<const D: usize>(value: &Value, dtype: DType) -> Tensor<D> {
    fn flatten(value: &Value, depth: usize, shape: &mut Vec<usize>, values: &mut Vec<f64>) {
        match value {
            Value::Array(rows) => {
                if shape.len() == depth {
                    shape.push(rows.len());
                }
                rows.iter().for_each(|row| flatten(row, depth + 1, shape, values));
            }
            number => values.push(number.as_f64().unwrap()),
        }
    }
    let (mut shape, mut values) = (Vec::new(), Vec::new());
    flatten(value, 0, &mut shape, &mut values);
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex().autodiff(), dtype)).require_grad()
}

/// The golden file keeps a channel a row, we a channel a column.
fn turned(value: &Value, dtype: DType) -> Tensor<2> {
    tensor::<2>(value, dtype).transpose().detach().require_grad()
}

fn scan_input(inputs: &Value, dtype: DType) -> ScanInput {
    ScanInput {
        u: tensor(&inputs["u"], dtype),
        delta: tensor(&inputs["delta"], dtype),
        delta_bias: tensor(&inputs["delta_bias"], dtype),
        a_log: turned(&inputs["A_log"], dtype),
        b: tensor(&inputs["B"], dtype),
        c: tensor(&inputs["C"], dtype),
        d: tensor(&inputs["D"], dtype),
        z: tensor(&inputs["z"], dtype),
    }
}

/// The steps `first..first + count` of a scan's sequences.
fn steps(input: &ScanInput, first: usize, count: usize) -> ScanInput {
    let cut = |sequence: &Tensor<3>| sequence.clone().narrow(1, first, count);
    let ScanInput { u, delta, b, c, z, .. } = input;
    ScanInput { u: cut(u), delta: cut(delta), b: cut(b), c: cut(c), z: cut(z), ..input.clone() }
}

#[track_caller]
fn assert_close<const D: usize>(name: &str, got: Tensor<D>, wanted: Tensor<D>, tolerance: f64) {
    assert_eq!(got.dims(), wanted.dims(), "{name}");
    let values = |tensor: Tensor<D>| tensor.cast(DType::F64).into_data().try_into_vec::<f64>().unwrap();
    for (place, (got, wanted)) in values(got).into_iter().zip(values(wanted)).enumerate() {
        assert!((got - wanted).abs() <= tolerance, "{name} at {place}: {got} and {wanted} was expected");
    }
}

#[test]
fn scan_values_and_state() {
    let Some(golden) = golden_json(FILE) else { return };
    let (inputs, expected) = (&golden["inputs"]["scan"], &golden["expected"]["scan"]);
    for (dtype, tolerance) in PRECISIONS {
        let input = scan_input(inputs, dtype);
        let ([batch, all, channels], [states, _]) = (input.u.dims(), input.a_log.dims());
        let start = || Tensor::zeros([batch, states, channels], (&input.u.device(), dtype));
        assert_close("y", selective_scan(input.clone()), tensor(&expected["y"], dtype), tolerance);
        let (y, state) = selective_scan_with_state(input.clone(), start());
        assert_close("y with state", y, tensor(&expected["y"], dtype), tolerance);
        assert_close("h_final", state.swap_dims(1, 2), tensor(&expected["h_final"], dtype), tolerance);

        let split = usize::try_from(golden["params"]["scan"]["chunk_split_at"].as_u64().unwrap()).unwrap();
        let (_, state) = selective_scan_with_state(steps(&input, 0, split), start());
        assert_close("h_after_split", state.clone().swap_dims(1, 2), tensor(&expected["h_after_split"], dtype), tolerance);
        let (y, state) = selective_scan_with_state(steps(&input, split, all - split), state);
        assert_close("y_after_split", y, tensor(&expected["y_after_split"], dtype), tolerance);
        assert_close("h_final of the rest", state.swap_dims(1, 2), tensor(&expected["h_final"], dtype), tolerance);
    }
}

#[test]
fn scan_gradients() {
    let Some(golden) = golden_json(FILE) else { return };
    let expected = &golden["expected"]["scan"]["grad_of_sum_y_times_cos(flat_index)"];
    for (dtype, tolerance) in PRECISIONS {
        let input = scan_input(&golden["inputs"]["scan"], dtype);
        let y = selective_scan(input.clone());
        let shape = y.dims();
        let weights: Vec<f64> = (0..y.shape().num_elements()).map(|index| (index as f64).cos()).collect();
        let weights = Tensor::<3>::from_data(TensorData::new(weights, shape), (&y.device(), dtype));
        let gradients = (y * weights).sum().backward();
        let check = |name: &str, got: Option<Tensor<3>>| {
            assert_close(name, got.unwrap(), tensor::<3>(&expected[name], dtype).inner(), tolerance);
        };
        check("u", input.u.grad(&gradients));
        check("delta", input.delta.grad(&gradients));
        check("B", input.b.grad(&gradients));
        check("C", input.c.grad(&gradients));
        check("z", input.z.grad(&gradients));
        let check = |name: &str, got: Option<Tensor<1>>| {
            assert_close(name, got.unwrap(), tensor::<1>(&expected[name], dtype).inner(), tolerance);
        };
        check("D", input.d.grad(&gradients));
        check("delta_bias", input.delta_bias.grad(&gradients));
        let a_log = input.a_log.grad(&gradients).unwrap();
        assert_close("A_log", a_log, turned(&expected["A_log"], dtype).inner(), tolerance);
    }
}

#[test]
fn causal_convolution() {
    let Some(golden) = golden_json(FILE) else { return };
    let inputs = &golden["inputs"];
    for (dtype, tolerance) in PRECISIONS {
        let got = causal_conv_silu(
            tensor(&inputs["scan"]["u"], dtype),
            turned(&inputs["conv"]["weight"], dtype),
            tensor(&inputs["conv"]["bias"], dtype),
        );
        assert_close("conv", got, tensor(&golden["expected"]["causal_conv_silu"], dtype), tolerance);
    }
}

#[test]
fn rms_normalisation() {
    let Some(golden) = golden_json(FILE) else { return };
    let inputs = &golden["inputs"];
    assert_eq!(inputs["rms_norm"]["eps"].as_f64(), Some(1e-5), "the operation has a fixed epsilon");
    for (dtype, tolerance) in PRECISIONS {
        let got = rms_norm(tensor::<3>(&inputs["scan"]["u"], dtype), tensor(&inputs["rms_norm"]["weight"], dtype));
        assert_close("rms_norm", got, tensor(&golden["expected"]["rms_norm"], dtype), tolerance);
    }
}

//! The fused operations as an extension of burn's flex backend, with their own backward passes.

use super::convolution::Convolution;
use super::norm::RmsNorm;
use super::product::{Matrix, Product};
use super::real::{Real, by_precision, contiguous};
use super::scan::Scan;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::DType;

/// The operations that [`super`] offers, on primitives.
#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOperations: Backend {
    // An extension takes tensors one by one.
    #[allow(clippy::too_many_arguments)]
    fn scan(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        delta_bias: FloatTensor<Self>,
        a_log: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        z: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn conv_silu(x: FloatTensor<Self>, taps: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    fn rms(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self>;

    fn product(rows: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl FusedOperations for Flex {
    fn scan(
        u: FlexTensor,
        delta: FlexTensor,
        delta_bias: FlexTensor,
        a_log: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        z: FlexTensor,
    ) -> FlexTensor {
        let inputs = contiguous([u, delta, delta_bias, a_log, b, c, d, z]);
        by_precision!(inputs[0], F => F::tensor(scan_of::<F>(&inputs).forward(), shape(&inputs[0])))
    }

    fn conv_silu(x: FlexTensor, taps: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let inputs = contiguous([x, taps, bias]);
        by_precision!(inputs[0], F => F::tensor(convolution_of::<F>(&inputs).forward(), shape(&inputs[0])))
    }

    fn rms(x: FlexTensor, gain: FlexTensor) -> FlexTensor {
        let inputs = contiguous([x, gain]);
        by_precision!(inputs[0], F => F::tensor(norm_of::<F>(&inputs).forward(), shape(&inputs[0])))
    }

    fn product(rows: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let inputs = contiguous([rows, weight]);
        let shape = [shape(&inputs[0])[0], shape(&inputs[1])[1]];
        by_precision!(inputs[0], F => F::tensor(product_of::<F>(&inputs).forward(), &shape))
    }
}

impl<C: CheckpointStrategy> FusedOperations for Autodiff<Flex, C> {
    fn scan(
        u: FloatTensor<Self>,
        delta: FloatTensor<Self>,
        delta_bias: FloatTensor<Self>,
        a_log: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        z: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        track::<C, _, 8>(ScanStep, [u, delta, delta_bias, a_log, b, c, d, z], |[u, delta, delta_bias, a_log, b, c, d, z]| {
            Flex::scan(u, delta, delta_bias, a_log, b, c, d, z)
        })
    }

    fn conv_silu(x: FloatTensor<Self>, taps: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        track::<C, _, 3>(ConvolutionStep, [x, taps, bias], |[x, taps, bias]| Flex::conv_silu(x, taps, bias))
    }

    fn rms(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self> {
        track::<C, _, 2>(RmsStep, [x, gain], |[x, gain]| Flex::rms(x, gain))
    }

    fn product(rows: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        track::<C, _, 2>(ProductStep, [rows, weight], |[rows, weight]| Flex::product(rows, weight))
    }
}

/// Computes an operation and records it, with its inputs, for the backward pass.
fn track<C: CheckpointStrategy, S: Backward<Flex, N, State = [FlexTensor; N]>, const N: usize>(
    step: S,
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    forward: impl FnOnce([FlexTensor; N]) -> FlexTensor,
) -> FloatTensor<Autodiff<Flex, C>> {
    let guards = inputs.each_ref().map(|input| input.node());
    // Laid out once for both passes.
    let inputs = contiguous(inputs.map(|input| input.into_primitive()));
    let output = forward(inputs.clone());
    match step.prepare::<C>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(inputs, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

/// Hands each parent its gradient, of the shape of the input it belongs to.
fn register<F: Real, const N: usize>(ops: Ops<[FlexTensor; N], N>, grads: &mut Gradients, values: [Vec<F>; N]) {
    for ((parent, input), values) in ops.parents.into_iter().zip(&ops.state).zip(values) {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, F::tensor(values, shape(input)));
        }
    }
}

#[derive(Debug)]
struct ScanStep;

impl Backward<Flex, 8> for ScanStep {
    type State = [FlexTensor; 8];

    fn backward(self, ops: Ops<Self::State, 8>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        by_precision!(gradient, F => {
            let of = scan_of::<F>(&ops.state).backward(F::values(&gradient));
            register(ops, grads, [of.u, of.delta, of.delta_bias, of.a_log, of.b, of.c, of.d, of.z]);
        });
    }
}

#[derive(Debug)]
struct ConvolutionStep;

impl Backward<Flex, 3> for ConvolutionStep {
    type State = [FlexTensor; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        by_precision!(gradient, F => {
            let of = convolution_of::<F>(&ops.state).backward(F::values(&gradient));
            register(ops, grads, [of.x, of.taps, of.bias]);
        });
    }
}

#[derive(Debug)]
struct RmsStep;

impl Backward<Flex, 2> for RmsStep {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        by_precision!(gradient, F => {
            let (of_x, of_gain) = norm_of::<F>(&ops.state).backward(F::values(&gradient));
            register(ops, grads, [of_x, of_gain]);
        });
    }
}

#[derive(Debug)]
struct ProductStep;

impl Backward<Flex, 2> for ProductStep {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        by_precision!(gradient, F => {
            let (product, gradient) = (product_of::<F>(&ops.state), F::values(&gradient));
            let [rows, weight] = &ops.parents;
            // Half the work each, so not for a parent that asks for none.
            if let Some(rows) = rows {
                grads.register::<Flex>(rows.id, F::tensor(product.of_rows(gradient), shape(&ops.state[0])));
            }
            if let Some(weight) = weight {
                grads.register::<Flex>(weight.id, F::tensor(product.of_weight(gradient), shape(&ops.state[1])));
            }
        });
    }
}

fn shape(tensor: &FlexTensor) -> &[usize] {
    tensor.layout().shape()
}

fn scan_of<F: Real>(inputs: &[FlexTensor; 8]) -> Scan<'_, F> {
    let [u, delta, delta_bias, a_log, b, c, d, z] = inputs;
    let (&[batch, steps, channels], &[states, _]) = (shape(u), shape(a_log)) else {
        panic!("a scan of other than three dimensions")
    };
    assert_eq!(shape(delta), shape(u), "the scan's step sizes have another shape than its sequence");
    assert_eq!(shape(z), shape(u), "the scan's gate has another shape than its sequence");
    assert_eq!(shape(b), [batch, steps, states], "the scan's B does not fit");
    assert_eq!(shape(c), [batch, steps, states], "the scan's C does not fit");
    assert_eq!(shape(a_log), [states, channels], "the scan's a_log does not fit");
    assert_eq!((shape(d), shape(delta_bias)), ([channels].as_slice(), [channels].as_slice()), "the scan's D or bias does not fit");
    Scan {
        batch,
        steps,
        channels,
        states,
        u: F::values(u),
        delta: F::values(delta),
        delta_bias: F::values(delta_bias),
        a_log: F::values(a_log),
        b: F::values(b),
        c: F::values(c),
        d: F::values(d),
        z: F::values(z),
    }
}

fn convolution_of<F: Real>(inputs: &[FlexTensor; 3]) -> Convolution<'_, F> {
    let [x, taps, bias] = inputs;
    let (&[_, steps, channels], &[_, width]) = (shape(x), shape(taps)) else {
        panic!("a convolution of other than three dimensions")
    };
    assert_eq!((width, shape(bias)), (channels, [channels].as_slice()), "the convolution's taps or bias do not fit");
    Convolution { steps, channels, x: F::values(x), taps: F::values(taps), bias: F::values(bias) }
}

fn norm_of<F: Real>(inputs: &[FlexTensor; 2]) -> RmsNorm<'_, F> {
    let [x, gain] = inputs;
    assert_eq!(shape(x).last(), shape(gain).last(), "the norm's gain has not the length of a row");
    RmsNorm { x: F::values(x), gain: F::values(gain) }
}

fn product_of<F: Real>(inputs: &[FlexTensor; 2]) -> Product<'_, F> {
    let matrix = |tensor| {
        let &[rows, columns] = shape(tensor) else { panic!("a product of other than two dimensions") };
        Matrix::new(F::values(tensor), rows, columns)
    };
    Product { rows: matrix(&inputs[0]), weight: matrix(&inputs[1]) }
}

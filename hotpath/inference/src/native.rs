//! The native kernel: the step graph in plain safe Rust, f32 throughout.
//!
//! Nothing is allocated after it is made, and no bit depends on the machine: sums run in the order of the step graph's inputs,
//! the elementary functions are the crate's own, and products are never fused with sums. The same code is compiled for each
//! [`InstructionSet`] and the widest one the machine has is run; the benches say what that pays. The formulas are in `step_graph.md`.

use crate::elementary::{exp2, ln, sigmoid, silu, softplus};
use crate::instruction_set::{InstructionSet, for_each_instruction_set};
use crate::matrix::{Matrix, TILES_NEAR};
use crate::spec::{Head, HeadTensor, LayerTensor, NORM_EPSILON, TIME_SCALES, Tensor};
use crate::step::{Engine, InferenceError, Prediction, StepInput, StepModel};
use crate::weights::StepWeights;
use chronos_market::REGIME_EMBEDDING;
use std::f64::consts::LOG2_E;
use std::hint::black_box;

/// The step graph of a [`StepWeights`], with its state.
#[derive(Clone, Debug)]
pub struct NativeModel {
    instruction_set: InstructionSet,
    features: usize,
    input: Matrix,
    time: Matrix,
    regime: Matrix,
    volatility: Matrix,
    volatility_bias: Vec<f32>,
    input_bias: Vec<f32>,
    /// The regime that `entered` was computed for; it changes once in a while, not with every tick.
    entered_regime: [f32; REGIME_EMBEDDING],
    /// `regime W + b`.
    entered: Vec<f32>,
    blocks: Vec<Block>,
    norm: Vec<f32>,
    logits: HeadLayers,
    forecast: HeadLayers,
    /// The residual stream.
    residual: Vec<f32>,
    scratch: Scratch,
    /// Where [`StepModel::keep_near`] goes on: the matrix and its tile.
    near: (usize, usize),
}

impl NativeModel {
    /// A model with a state of zeros. Takes its memory now.
    pub fn new(weights: &StepWeights) -> NativeModel {
        let spec = weights.spec();
        let matrix = |tensor: Tensor| Matrix::new(weights.values(tensor), tensor.shape(spec));
        let head = |head: Head| HeadLayers {
            hidden: matrix(Tensor::Head(head, HeadTensor::HiddenWeight)),
            hidden_bias: weights.values(Tensor::Head(head, HeadTensor::HiddenBias)).to_vec(),
            output: matrix(Tensor::Head(head, HeadTensor::OutputWeight)),
            output_bias: weights.values(Tensor::Head(head, HeadTensor::OutputBias)).to_vec(),
        };
        NativeModel {
            instruction_set: InstructionSet::widest(),
            features: spec.features,
            input: matrix(Tensor::InputWeight),
            time: matrix(Tensor::TimeWeight),
            regime: matrix(Tensor::RegimeWeight),
            volatility: matrix(Tensor::VolatilityWeight),
            volatility_bias: weights.values(Tensor::VolatilityBias).to_vec(),
            input_bias: weights.values(Tensor::InputBias).to_vec(),
            entered_regime: [0.0; REGIME_EMBEDDING],
            entered: weights.values(Tensor::InputBias).to_vec(),
            blocks: (0..spec.layers).map(|layer| Block::new(weights, layer)).collect(),
            norm: weights.values(Tensor::NormWeight).to_vec(),
            logits: head(Head::Logits),
            forecast: head(Head::Forecast),
            residual: vec![0.0; spec.d_model],
            near: (0, 0),
            scratch: Scratch {
                normed: vec![0.0; spec.d_model],
                projected: vec![0.0; 2 * spec.d_inner()],
                u: vec![0.0; spec.d_inner()],
                selection: vec![0.0; spec.dt_rank + 2 * spec.d_state],
                delta: vec![0.0; spec.d_inner()],
                entering: vec![0.0; spec.d_inner()],
                y: vec![0.0; spec.d_inner()],
                hidden: vec![0.0; spec.head_hidden],
            },
        }
    }
}

impl NativeModel {
    /// The model once for each set of vector instructions that this machine has, with the name of the set, the widest last. For
    /// checks: [`NativeModel::new`] takes the widest.
    pub fn for_each_instruction_set(weights: &StepWeights) -> Vec<(String, NativeModel)> {
        let with = |instruction_set| NativeModel { instruction_set, ..NativeModel::new(weights) };
        InstructionSet::available().into_iter().map(|set| (format!("{set:?}"), with(set))).collect()
    }
}

impl StepModel for NativeModel {
    fn step(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> Result<(), InferenceError> {
        input.check(self.features)?;
        compute_with(self.instruction_set, self, input, out);
        out.check()
    }

    fn reset(&mut self) {
        for block in &mut self.blocks {
            block.state.fill(0.0);
            block.window.fill(0.0);
        }
    }

    fn keep_near(&mut self) {
        let (place, tile) = self.near;
        let Some(matrix) = self.matrix(place) else {
            // Every matrix has been gone through: the small tensors and the state, then from the beginning.
            for block in &self.blocks {
                let lines = |values: &[f32]| values.iter().step_by(16).fold(0, |sum: u32, value| sum ^ value.to_bits());
                black_box(lines(&block.state) ^ lines(&block.rate) ^ lines(&block.window) ^ lines(&block.conv));
            }
            self.near = (0, 0);
            return;
        };
        black_box(matrix.touch(tile..tile + TILES_NEAR));
        self.near = if tile + TILES_NEAR < matrix.tiles() { (place, tile + TILES_NEAR) } else { (place + 1, 0) };
    }

    fn engine(&self) -> Engine {
        Engine::Native
    }
}

impl NativeModel {
    /// The matrices that every step reads, in its order.
    fn matrix(&self, place: usize) -> Option<&Matrix> {
        let heads = |place: usize| {
            [&self.logits.hidden, &self.logits.output, &self.forecast.hidden, &self.forecast.output].get(place).copied()
        };
        match place {
            0 => Some(&self.input),
            1 => Some(&self.time),
            2 => Some(&self.volatility),
            _ => match self.blocks.get((place - 3) / 4) {
                Some(block) => [&block.in_proj, &block.x_proj, &block.dt_proj, &block.out_proj].get((place - 3) % 4).copied(),
                None => heads(place - 3 - 4 * self.blocks.len()),
            },
        }
    }

    // This and all it calls are inlined: what is not would be compiled once, for the baseline.
    #[inline(always)]
    fn compute(&mut self, input: &StepInput<'_>, out: &mut Prediction) {
        if self.entered_regime != *input.regime {
            self.entered_regime = *input.regime;
            self.entered.copy_from_slice(&self.input_bias);
            self.regime.accumulate(input.regime, &mut self.entered);
        }
        self.residual.copy_from_slice(&self.entered);
        self.input.accumulate(input.features, &mut self.residual);
        self.time.accumulate(&TIME_SCALES.map(|scale| ln(1.0 + input.dt_s * scale)), &mut self.residual);
        let gate = &mut self.scratch.normed;
        gate.copy_from_slice(&self.volatility_bias);
        self.volatility.accumulate(input.features, gate);
        for (residual, gate) in self.residual.iter_mut().zip(gate) {
            *residual *= 2.0 * sigmoid(*gate);
        }
        for block in &mut self.blocks {
            block.step(&mut self.residual, &mut self.scratch);
        }
        let Scratch { normed, hidden, .. } = &mut self.scratch;
        normalise(&self.residual, &self.norm, normed);
        self.logits.predict(normed, hidden, &mut out.logits);
        self.forecast.predict(normed, hidden, std::slice::from_mut(&mut out.forecast));
    }
}

for_each_instruction_set! {
    fn compute_with(model: &mut NativeModel, input: &StepInput<'_>, out: &mut Prediction) {
        model.compute(input, out)
    }
}

/// One block: its weights and its state.
#[derive(Clone, Debug)]
struct Block {
    d_inner: usize,
    d_state: usize,
    dt_rank: usize,
    norm: Vec<f32>,
    in_proj: Matrix,
    /// Rows of taps, the current step's last.
    conv: Vec<f32>,
    conv_bias: Vec<f32>,
    x_proj: Matrix,
    dt_proj: Matrix,
    dt_bias: Vec<f32>,
    /// `-exp(a_log) / ln 2`, a row a state: the rate of decay to the base 2.
    rate: Vec<f32>,
    d: Vec<f32>,
    out_proj: Matrix,
    /// A row a state, a column a channel.
    state: Vec<f32>,
    /// The last `d_conv` inputs of the convolution, oldest first, the current step's last.
    window: Vec<f32>,
}

/// Room for what a block computes; shared by all.
#[derive(Clone, Debug)]
struct Scratch {
    normed: Vec<f32>,
    projected: Vec<f32>,
    u: Vec<f32>,
    selection: Vec<f32>,
    delta: Vec<f32>,
    entering: Vec<f32>,
    y: Vec<f32>,
    hidden: Vec<f32>,
}

impl Block {
    fn new(weights: &StepWeights, layer: usize) -> Block {
        let spec = weights.spec();
        let values = |tensor: LayerTensor| weights.values(Tensor::Layer(layer, tensor)).to_vec();
        let matrix = |tensor: LayerTensor| Matrix::new(&values(tensor), Tensor::Layer(layer, tensor).shape(spec));
        Block {
            d_inner: spec.d_inner(),
            d_state: spec.d_state,
            dt_rank: spec.dt_rank,
            norm: values(LayerTensor::NormWeight),
            in_proj: matrix(LayerTensor::InProjWeight),
            conv: values(LayerTensor::ConvWeight),
            conv_bias: values(LayerTensor::ConvBias),
            x_proj: matrix(LayerTensor::XProjWeight),
            dt_proj: matrix(LayerTensor::DtProjWeight),
            dt_bias: values(LayerTensor::DtProjBias),
            rate: values(LayerTensor::ALog).into_iter().map(|a_log| (-f64::from(a_log).exp() * LOG2_E) as f32).collect(),
            d: values(LayerTensor::D),
            out_proj: matrix(LayerTensor::OutProjWeight),
            state: vec![0.0; spec.d_state * spec.d_inner()],
            window: vec![0.0; spec.d_conv * spec.d_inner()],
        }
    }

    #[inline(always)]
    fn step(&mut self, residual: &mut [f32], scratch: &mut Scratch) {
        let Scratch { normed, projected, u, selection, delta, entering, y, .. } = scratch;
        normalise(residual, &self.norm, normed);
        projected.fill(0.0);
        self.in_proj.accumulate(normed, projected);
        let (x, z) = projected.split_at_mut(self.d_inner);
        self.convolve(x, u);

        selection.fill(0.0);
        self.x_proj.accumulate(u, selection);
        let (low, b_and_c) = selection.split_at(self.dt_rank);
        let (b, c) = b_and_c.split_at(self.d_state);
        delta.copy_from_slice(&self.dt_bias);
        self.dt_proj.accumulate(low, delta);
        for (delta, (entering, u)) in delta.iter_mut().zip(entering.iter_mut().zip(u.iter())) {
            *delta = softplus(*delta);
            *entering = *delta * u;
        }

        y.fill(0.0);
        let rows = self.state.chunks_exact_mut(self.d_inner).zip(self.rate.chunks_exact(self.d_inner));
        for ((state, rate), (b, c)) in rows.zip(b.iter().zip(c)) {
            let channels = state.iter_mut().zip(rate).zip(delta.iter()).zip(entering.iter()).zip(y.iter_mut());
            for ((((h, rate), delta), entering), y) in channels {
                *h = exp2(delta * rate) * *h + b * entering;
                *y += c * *h;
            }
        }
        for (((y, u), d), z) in y.iter_mut().zip(u.iter()).zip(&self.d).zip(z.iter()) {
            *y = (*y + u * d) * silu(*z);
        }
        self.out_proj.accumulate(y, residual);
    }

    /// Moves the window on by `x` and convolves it.
    #[inline(always)]
    fn convolve(&mut self, x: &[f32], u: &mut [f32]) {
        self.window.copy_within(self.d_inner.., 0);
        let newest = self.window.len() - self.d_inner;
        self.window[newest..].copy_from_slice(x);
        u.fill(0.0);
        for (row, taps) in self.window.chunks_exact(self.d_inner).zip(self.conv.chunks_exact(self.d_inner)) {
            for ((u, x), tap) in u.iter_mut().zip(row).zip(taps) {
                *u += x * tap;
            }
        }
        for (u, bias) in u.iter_mut().zip(&self.conv_bias) {
            *u = silu(*u + bias);
        }
    }
}

/// A head: one hidden layer.
#[derive(Clone, Debug)]
struct HeadLayers {
    hidden: Matrix,
    hidden_bias: Vec<f32>,
    output: Matrix,
    output_bias: Vec<f32>,
}

impl HeadLayers {
    #[inline(always)]
    fn predict(&self, normed: &[f32], hidden: &mut [f32], out: &mut [f32]) {
        hidden.copy_from_slice(&self.hidden_bias);
        self.hidden.accumulate(normed, hidden);
        for value in hidden.iter_mut() {
            *value = silu(*value);
        }
        out.copy_from_slice(&self.output_bias);
        self.output.accumulate(hidden, out);
    }
}

/// `out = x / sqrt(mean(x^2) + epsilon) * gain` (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).
#[inline(always)]
fn normalise(x: &[f32], gain: &[f32], out: &mut [f32]) {
    // Eight partial sums: one would wait for each addition.
    let mut sums = [0.0_f32; 8];
    for chunk in x.chunks(8) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    let mean = sums.iter().sum::<f32>() / x.len() as f32;
    let factor = 1.0 / (mean + NORM_EPSILON).sqrt();
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
        *out = x * factor * gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::StepSpec;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let spec = StepSpec { d_model: 48, ..StepSpec::standard(5) };
        let untrained = StepWeights::untrained(&spec, 3);
        // A third of each value has bits below bfloat16's.
        let whole = StepWeights::from_fn(&spec, |tensor| untrained.values(tensor).iter().map(|value| value / 3.0).collect());
        for weights in [untrained.clone(), whole.expect("the shapes of the other")] {
            let mut expected = NativeModel { instruction_set: InstructionSet::Baseline, ..NativeModel::new(&weights) };
            let mut models: Vec<NativeModel> = InstructionSet::available()
                .into_iter()
                .map(|instruction_set| NativeModel { instruction_set, ..NativeModel::new(&weights) })
                .collect();
            let mut rng = fastrand::Rng::with_seed(1);
            for _ in 0..40 {
                let features: Vec<f32> = (0..spec.features).map(|_| rng.f32() * 4.0 - 2.0).collect();
                let input = StepInput { features: &features, dt_s: rng.f32(), regime: &[0.5; REGIME_EMBEDDING] };
                let mut wanted = Prediction::default();
                expected.step(&input, &mut wanted).expect("a sound input");
                for model in &mut models {
                    let mut got = Prediction::default();
                    model.step(&input, &mut got).expect("a sound input");
                    let bits = |prediction: &Prediction| (prediction.logits.map(f32::to_bits), prediction.forecast.to_bits());
                    assert_eq!(bits(&got), bits(&wanted), "{:?}", model.instruction_set);
                }
            }
        }
    }
}

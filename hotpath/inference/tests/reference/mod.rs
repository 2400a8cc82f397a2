//! The step graph by its formulas (`src/step_graph.md`), in f64, as plainly as it can be written.

use chronos_inference::{Head, HeadTensor, LayerTensor, StepWeights, Tensor};

pub(crate) struct Reference<'a> {
    weights: &'a StepWeights,
    /// Per block `[d_state][d_inner]`.
    states: Vec<Vec<Vec<f64>>>,
    /// Per block every input of the convolution since the reset, newest last.
    inputs: Vec<Vec<Vec<f64>>>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(weights: &'a StepWeights) -> Reference<'a> {
        let spec = weights.spec();
        Reference {
            weights,
            states: vec![vec![vec![0.0; spec.d_inner()]; spec.d_state]; spec.layers],
            inputs: vec![vec![vec![0.0; spec.d_inner()]; spec.d_conv - 1]; spec.layers],
        }
    }

    /// The three logits and the forecast.
    pub(crate) fn step(&mut self, features: &[f32], dt_s: f32, regime: &[f32]) -> [f64; 4] {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
        let time: Vec<f64> = (-1..7).map(|power| (1.0 + f64::from(dt_s) * 10_f64.powi(power)).ln()).collect();
        let mut residual = sum(&self.times(&wide(features), Tensor::InputWeight), &self.row(Tensor::InputBias));
        residual = sum(&residual, &self.times(&wide(regime), Tensor::RegimeWeight));
        residual = sum(&residual, &self.times(&time, Tensor::TimeWeight));
        let volatility = sum(&self.times(&wide(features), Tensor::VolatilityWeight), &self.row(Tensor::VolatilityBias));
        residual = residual.iter().zip(&volatility).map(|(value, gate)| value * 2.0 / (1.0 + (-gate).exp())).collect();
        for layer in 0..self.weights.spec().layers {
            residual = sum(&residual, &self.block(layer, &residual));
        }
        let normed = self.rms_norm(&residual, Tensor::NormWeight);
        let [down, flat, up] = self.head(Head::Logits, &normed)[..] else { panic!("three logits") };
        [down, flat, up, self.head(Head::Forecast, &normed)[0]]
    }

    fn block(&mut self, layer: usize, residual: &[f64]) -> Vec<f64> {
        let spec = *self.weights.spec();
        let at = |tensor: LayerTensor| Tensor::Layer(layer, tensor);
        let projected = self.times(&self.rms_norm(residual, at(LayerTensor::NormWeight)), at(LayerTensor::InProjWeight));
        let (x, z) = projected.split_at(spec.d_inner());
        self.inputs[layer].push(x.to_vec());
        let recent = &self.inputs[layer][self.inputs[layer].len() - spec.d_conv..];
        let (taps, bias) = (self.rows(at(LayerTensor::ConvWeight)), self.row(at(LayerTensor::ConvBias)));
        let convolved = |channel: usize| {
            let products = (0..spec.d_conv).map(|tap| taps[tap][channel] * recent[tap][channel]);
            bias[channel] + products.sum::<f64>()
        };
        let u: Vec<f64> = (0..spec.d_inner()).map(|channel| silu(convolved(channel))).collect();
        let selection = self.times(&u, at(LayerTensor::XProjWeight));
        let (low, b_and_c) = selection.split_at(spec.dt_rank);
        let raw = sum(&self.times(low, at(LayerTensor::DtProjWeight)), &self.row(at(LayerTensor::DtProjBias)));
        let (a_log, d) = (self.rows(at(LayerTensor::ALog)), self.row(at(LayerTensor::D)));
        let mut gated = Vec::new();
        for channel in 0..spec.d_inner() {
            let delta = raw[channel].max(0.0) + (-raw[channel].abs()).exp().ln_1p();
            let mut y = d[channel] * u[channel];
            for n in 0..spec.d_state {
                let h = &mut self.states[layer][n][channel];
                *h = (-delta * a_log[n][channel].exp()).exp() * *h + delta * b_and_c[n] * u[channel];
                y += b_and_c[spec.d_state + n] * *h;
            }
            gated.push(y * silu(z[channel]));
        }
        self.times(&gated, at(LayerTensor::OutProjWeight))
    }

    fn head(&self, head: Head, normed: &[f64]) -> Vec<f64> {
        let at = |tensor: HeadTensor| Tensor::Head(head, tensor);
        let hidden = sum(&self.times(normed, at(HeadTensor::HiddenWeight)), &self.row(at(HeadTensor::HiddenBias)));
        let hidden: Vec<f64> = hidden.into_iter().map(silu).collect();
        sum(&self.times(&hidden, at(HeadTensor::OutputWeight)), &self.row(at(HeadTensor::OutputBias)))
    }

    fn rms_norm(&self, x: &[f64], gain: Tensor) -> Vec<f64> {
        let root = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-5).sqrt();
        x.iter().zip(self.row(gain)).map(|(x, gain)| x / root * gain).collect()
    }

    fn times(&self, x: &[f64], matrix: Tensor) -> Vec<f64> {
        let rows = self.rows(matrix);
        (0..rows[0].len()).map(|column| x.iter().zip(&rows).map(|(x, row)| x * row[column]).sum()).collect()
    }

    fn row(&self, tensor: Tensor) -> Vec<f64> {
        self.rows(tensor).remove(0)
    }

    fn rows(&self, tensor: Tensor) -> Vec<Vec<f64>> {
        let [_, columns] = tensor.shape(self.weights.spec());
        let rows = self.weights.values(tensor).chunks(columns);
        rows.map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect()
    }
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

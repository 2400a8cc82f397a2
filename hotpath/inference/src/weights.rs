//! The values of a step model's tensors.

use crate::spec::{Head, HeadTensor, LayerTensor, StepSpec, Tensor};
use fastrand::Rng;
use std::f64::consts::TAU;

/// Standard deviation of the untrained weights from a head's hidden layer to its output, times the square root of that layer's
/// width. Chosen so that, over standard normal features, `p_up - p_down` has a standard deviation of about 0.2: an untrained model
/// then exercises decisions and orders as a trained one would.
const HEAD_GAIN: f64 = 1.5;

/// The tensors of a step model, all of the shapes its [`StepSpec`] asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct StepWeights {
    spec: StepSpec,
    /// In the order of [`StepSpec::tensors`].
    tensors: Vec<(Tensor, Vec<f32>)>,
}

impl StepWeights {
    /// Weights before any training, the same for the same seed.
    ///
    /// Initialised as the public Mamba code does: linear layers uniform within `1/sqrt(inputs)`, `a_log = ln(1..=d_state)`, `D = 1`,
    /// the step size's bias so that its softplus is log-uniform from 1e-3 to 1e-1. All but `a_log` and that bias are then rounded to
    /// what both bfloat16 and IEEE's 16-bit floats hold; both engines keep matrices of bfloat16 values in half the bytes.
    ///
    /// # Panics
    /// Where `spec` is not [sound](StepSpec::is_sound): a fault of the program, as no model file can say so.
    pub fn untrained(spec: &StepSpec, seed: u64) -> StepWeights {
        assert!(spec.is_sound(), "a step model cannot have the sizes {spec:?}");
        let mut rng = Rng::with_seed(seed);
        let fill = |tensor: Tensor| {
            let mut values = initial_values(tensor, spec, &mut rng);
            if !matches!(tensor, Tensor::Layer(_, LayerTensor::ALog | LayerTensor::DtProjBias)) {
                values.iter_mut().for_each(|value| *value = rounded_to_halves(*value));
            }
            (tensor, values)
        };
        StepWeights { spec: *spec, tensors: spec.tensors().into_iter().map(fill).collect() }
    }

    /// Weights whose values `values` gives for each tensor, asked in the order of [`StepSpec::tensors`]; `None` where the spec is not
    /// [sound](StepSpec::is_sound) or a tensor has not the length it asks for.
    pub fn from_fn(spec: &StepSpec, mut values: impl FnMut(Tensor) -> Vec<f32>) -> Option<StepWeights> {
        if !spec.is_sound() {
            return None;
        }
        let mut tensors = Vec::new();
        for tensor in spec.tensors() {
            let values = values(tensor);
            if values.len() != tensor.len(spec) {
                return None;
            }
            tensors.push((tensor, values));
        }
        Some(StepWeights { spec: *spec, tensors })
    }

    /// The same model with the matrices of its products rounded to bfloat16, to the nearest and ties to even: a step then reads half the
    /// bytes, and sums in 32 bits as before. What is small (norms, biases, convolution, rates) stays as it is.
    pub fn rounded_to_bfloat16(&self) -> StepWeights {
        let mut rounded = self.clone();
        for (tensor, values) in &mut rounded.tensors {
            let is_matrix = match tensor {
                Tensor::InputWeight | Tensor::TimeWeight | Tensor::RegimeWeight | Tensor::VolatilityWeight => true,
                Tensor::InputBias | Tensor::VolatilityBias | Tensor::NormWeight => false,
                Tensor::Layer(_, tensor) => matches!(
                    tensor,
                    LayerTensor::InProjWeight | LayerTensor::XProjWeight | LayerTensor::DtProjWeight | LayerTensor::OutProjWeight
                ),
                Tensor::Head(_, tensor) => matches!(tensor, HeadTensor::HiddenWeight | HeadTensor::OutputWeight),
            };
            if is_matrix {
                values.iter_mut().for_each(|value| *value = nearest_bfloat16(*value));
            }
        }
        rounded
    }

    /// The sizes.
    pub fn spec(&self) -> &StepSpec {
        &self.spec
    }

    /// A tensor's values, row after row; empty for a layer that the model has not.
    pub fn values(&self, tensor: Tensor) -> &[f32] {
        self.tensors.iter().find(|(name, _)| *name == tensor).map(|(_, values)| values.as_slice()).unwrap_or_default()
    }

    /// A tensor's values, row after row, to be changed; empty for a layer that the model has not.
    pub fn values_mut(&mut self, tensor: Tensor) -> &mut [f32] {
        self.tensors.iter_mut().find(|(name, _)| *name == tensor).map(|(_, values)| values.as_mut_slice()).unwrap_or_default()
    }
}

fn initial_values(tensor: Tensor, spec: &StepSpec, rng: &mut Rng) -> Vec<f32> {
    let [rows, columns] = tensor.shape(spec);
    let count = rows * columns;
    let inverse_root = 1.0 / (rows as f64).sqrt();
    let mut uniform = |bound: f64| (0..count).map(|_| (bound * (2.0 * rng.f64() - 1.0)) as f32).collect();
    match tensor {
        Tensor::InputWeight | Tensor::RegimeWeight => uniform(inverse_root),
        // The encoding of a millisecond has a norm near 9, that of a feature vector near 5: keep time the lesser voice.
        Tensor::TimeWeight => uniform(0.1 * inverse_root),
        Tensor::NormWeight => vec![1.0; count],
        // The gate starts at 1.
        Tensor::InputBias | Tensor::VolatilityWeight | Tensor::VolatilityBias => vec![0.0; count],
        Tensor::Layer(_, tensor) => match tensor {
            LayerTensor::NormWeight | LayerTensor::D => vec![1.0; count],
            LayerTensor::InProjWeight | LayerTensor::ConvWeight | LayerTensor::XProjWeight | LayerTensor::DtProjWeight => {
                uniform(inverse_root)
            }
            LayerTensor::ConvBias => uniform(1.0 / (spec.d_conv as f64).sqrt()),
            LayerTensor::OutProjWeight => uniform(inverse_root / (spec.layers as f64).sqrt()),
            LayerTensor::ALog => (1..=rows).flat_map(|state| std::iter::repeat_n((state as f64).ln() as f32, columns)).collect(),
            LayerTensor::DtProjBias => {
                let (low, high) = (1e-3_f64.ln(), 1e-1_f64.ln());
                // The inverse of softplus: x = ln(exp(s) - 1) = s + ln(1 - exp(-s)).
                let inverse_softplus = |step: f64| step + (-(-step).exp_m1()).ln();
                (0..count).map(|_| inverse_softplus((low + (high - low) * rng.f64()).exp()) as f32).collect()
            }
        },
        Tensor::Head(head, tensor) => match (head, tensor) {
            (_, HeadTensor::HiddenWeight) => uniform(inverse_root),
            (_, HeadTensor::HiddenBias | HeadTensor::OutputBias) => vec![0.0; count],
            (Head::Logits, HeadTensor::OutputWeight) => {
                (0..count).map(|_| (HEAD_GAIN * inverse_root * normal(rng)) as f32).collect()
            }
            (Head::Forecast, HeadTensor::OutputWeight) => uniform(inverse_root),
        },
    }
}

/// The nearest value whose lower 16 bits are zero (of two as near, the one away from zero), of which what is below 2^-24, the last
/// place of a small IEEE half, is cut off. For magnitudes below 65,536.
fn rounded_to_halves(value: f32) -> f32 {
    const LAST_PLACE: f32 = 1.0 / 16_777_216.0;
    let bfloat16 = f32::from_bits((value.to_bits() + 0x8000) & 0xffff_0000);
    (bfloat16 / LAST_PLACE).trunc() * LAST_PLACE
}

/// The nearest bfloat16, of two equally near ones the even one; the largest ones stay finite.
fn nearest_bfloat16(value: f32) -> f32 {
    let bits = value.to_bits();
    let rounded = f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
    if rounded.is_finite() { rounded } else { f32::from_bits(bits & 0xffff_0000) }
}

/// A standard normal value (Box and Muller, 1958).
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_is_the_nearest_and_ties_go_to_even() {
        // A bfloat16 has 8 significant bits: from 256 to 512 those are the even numbers.
        let cases = [(257.0, 256.0), (257.5, 258.0), (259.0, 260.0), (-257.5, -258.0), (256.0, 256.0), (0.0, 0.0)];
        for (value, wanted) in cases {
            assert_eq!(nearest_bfloat16(value), wanted, "{value}");
        }
        assert!(nearest_bfloat16(f32::MAX).is_finite());
    }

    #[test]
    fn matrices_are_rounded_and_nothing_else() {
        let spec = StepSpec::standard(5);
        let untrained = StepWeights::untrained(&spec, 1);
        let weights =
            StepWeights::from_fn(&spec, |tensor| untrained.values(tensor).iter().map(|value| (value + 1.0) / 3.0).collect());
        let weights = weights.unwrap();
        let rounded = weights.rounded_to_bfloat16();
        for tensor in spec.tensors() {
            let is_same = rounded.values(tensor) == weights.values(tensor);
            let is_vector = tensor.shape(&spec)[0] == 1;
            let is_elementwise = matches!(tensor, Tensor::Layer(_, LayerTensor::ALog | LayerTensor::ConvWeight));
            assert_eq!(is_same, is_vector || is_elementwise, "{tensor:?}");
        }
        assert_eq!(rounded.rounded_to_bfloat16(), rounded);
    }
}

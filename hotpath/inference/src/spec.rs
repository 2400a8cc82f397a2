//! The shape of a step model: its sizes, and the tensors that follow from them.

use chronos_market::REGIME_EMBEDDING;
use std::fmt;

/// Scales, in 1/s, of the encoding of elapsed time: `ln(1 + scale * dt_s)` each. From ten seconds down to a microsecond, so that
/// every spacing of ticks moves some of them.
pub const TIME_SCALES: [f32; 8] = [1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// Added to the mean square in every normalisation.
pub const NORM_EPSILON: f32 = 1e-5;

/// Number of classes: down, flat, up.
pub const CLASSES: usize = 3;

/// Sizes of a step model: a stack of selective state-space blocks (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with
/// Selective State Spaces", 2023) behind an encoder with a gate, with a head for the direction and one for the forecast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepSpec {
    /// Scaled features taken.
    pub features: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub layers: usize,
    /// State a channel.
    pub d_state: usize,
    /// Taps of the causal convolution, at least 2.
    pub d_conv: usize,
    /// Channels of a block a unit of `d_model`.
    pub expand: usize,
    /// Rank of the projection to the step size.
    pub dt_rank: usize,
    /// Width of the hidden layer of each head.
    pub head_hidden: usize,
}

impl StepSpec {
    /// The model used throughout: about 540,000 parameters (544,180 with 95 features).
    pub const fn standard(features: usize) -> StepSpec {
        StepSpec { features, d_model: 128, layers: 4, d_state: 16, d_conv: 4, expand: 2, dt_rank: 8, head_hidden: 136 }
    }

    /// Channels of a block.
    pub const fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// Whether a model can have these sizes: none is 0, and the convolution has at least two taps.
    pub fn is_sound(&self) -> bool {
        let sizes = [self.features, self.d_model, self.layers, self.d_state, self.expand, self.dt_rank, self.head_hidden];
        self.d_conv >= 2 && !sizes.contains(&0)
    }

    /// Every tensor, in the order in which a model file holds them.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut tensors = vec![Tensor::InputWeight, Tensor::InputBias, Tensor::TimeWeight, Tensor::RegimeWeight];
        tensors.extend([Tensor::VolatilityWeight, Tensor::VolatilityBias]);
        for layer in 0..self.layers {
            tensors.extend(LayerTensor::ALL.map(|tensor| Tensor::Layer(layer, tensor)));
        }
        tensors.push(Tensor::NormWeight);
        for head in [Head::Logits, Head::Forecast] {
            tensors.extend(HeadTensor::ALL.map(|tensor| Tensor::Head(head, tensor)));
        }
        tensors
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> usize {
        self.tensors().into_iter().map(|tensor| tensor.len(self)).sum()
    }
}

/// A trainable tensor of a step model. Matrices are input-major, `[inputs, outputs]`, and multiply a row from the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tensor {
    /// Features to the residual stream.
    InputWeight,
    /// Bias of the residual stream.
    InputBias,
    /// Encoded elapsed time to the residual stream.
    TimeWeight,
    /// Regime embedding to the residual stream.
    RegimeWeight,
    /// Features to the volatility gate, which scales the encoded input: rows of features that tell no volatility are usually zero.
    VolatilityWeight,
    /// Bias of the volatility gate; with the weights at zero too, the gate is open at exactly 1.
    VolatilityBias,
    /// A tensor of a block, by the block's number from 0.
    Layer(usize, LayerTensor),
    /// Gain of the normalisation before the heads.
    NormWeight,
    /// A tensor of a head.
    Head(Head, HeadTensor),
}

/// A tensor of one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayerTensor {
    /// Gain of the normalisation before the block.
    NormWeight,
    /// Residual stream to channels and gates, side by side.
    InProjWeight,
    /// Taps of the causal convolution, a row a tap, the current step's last.
    ConvWeight,
    /// Bias of the convolution.
    ConvBias,
    /// Channels to step size (low rank), B and C, side by side.
    XProjWeight,
    /// Low rank to a step size a channel.
    DtProjWeight,
    /// Bias of the step size, before the softplus.
    DtProjBias,
    /// `A = -exp(a_log)`.
    ALog,
    /// Path around the state, a factor a channel.
    D,
    /// Channels back to the residual stream.
    OutProjWeight,
}

impl LayerTensor {
    /// Every tensor of a block, in the order in which a model file holds them.
    pub const ALL: [LayerTensor; 10] = [
        LayerTensor::NormWeight,
        LayerTensor::InProjWeight,
        LayerTensor::ConvWeight,
        LayerTensor::ConvBias,
        LayerTensor::XProjWeight,
        LayerTensor::DtProjWeight,
        LayerTensor::DtProjBias,
        LayerTensor::ALog,
        LayerTensor::D,
        LayerTensor::OutProjWeight,
    ];
}

/// An output of the model; the name of the graph's output is its Display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head {
    /// Direction: down, flat, up.
    Logits,
    /// Forecast.
    Forecast,
}

impl Head {
    /// Values the head gives.
    pub const fn outputs(self) -> usize {
        match self {
            Head::Logits => CLASSES,
            Head::Forecast => 1,
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Head::Logits => "logits",
            Head::Forecast => "forecast",
        })
    }
}

/// A tensor of one head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadTensor {
    /// Normalised residual stream to the hidden layer.
    HiddenWeight,
    /// Bias of the hidden layer.
    HiddenBias,
    /// Hidden layer to the output.
    OutputWeight,
    /// Bias of the output.
    OutputBias,
}

impl HeadTensor {
    /// Every tensor of a head, in the order in which a model file holds them.
    pub const ALL: [HeadTensor; 4] =
        [HeadTensor::HiddenWeight, HeadTensor::HiddenBias, HeadTensor::OutputWeight, HeadTensor::OutputBias];
}

impl Tensor {
    /// Rows and columns; vectors have one row.
    pub fn shape(self, spec: &StepSpec) -> [usize; 2] {
        let d_inner = spec.d_inner();
        match self {
            Tensor::InputWeight | Tensor::VolatilityWeight => [spec.features, spec.d_model],
            Tensor::TimeWeight => [TIME_SCALES.len(), spec.d_model],
            Tensor::RegimeWeight => [REGIME_EMBEDDING, spec.d_model],
            Tensor::InputBias | Tensor::VolatilityBias | Tensor::NormWeight => [1, spec.d_model],
            Tensor::Layer(_, tensor) => match tensor {
                LayerTensor::NormWeight => [1, spec.d_model],
                LayerTensor::InProjWeight => [spec.d_model, 2 * d_inner],
                LayerTensor::ConvWeight => [spec.d_conv, d_inner],
                LayerTensor::ConvBias | LayerTensor::DtProjBias | LayerTensor::D => [1, d_inner],
                LayerTensor::XProjWeight => [d_inner, spec.dt_rank + 2 * spec.d_state],
                LayerTensor::DtProjWeight => [spec.dt_rank, d_inner],
                LayerTensor::ALog => [spec.d_state, d_inner],
                LayerTensor::OutProjWeight => [d_inner, spec.d_model],
            },
            Tensor::Head(head, tensor) => match tensor {
                HeadTensor::HiddenWeight => [spec.d_model, spec.head_hidden],
                HeadTensor::HiddenBias => [1, spec.head_hidden],
                HeadTensor::OutputWeight => [spec.head_hidden, head.outputs()],
                HeadTensor::OutputBias => [1, head.outputs()],
            },
        }
    }

    /// Number of values.
    pub fn len(self, spec: &StepSpec) -> usize {
        let [rows, columns] = self.shape(spec);
        rows * columns
    }
}

/// The name in the model file.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tensor::InputWeight => f.write_str("input.weight"),
            Tensor::InputBias => f.write_str("input.bias"),
            Tensor::TimeWeight => f.write_str("time.weight"),
            Tensor::RegimeWeight => f.write_str("regime.weight"),
            Tensor::VolatilityWeight => f.write_str("volatility.weight"),
            Tensor::VolatilityBias => f.write_str("volatility.bias"),
            Tensor::NormWeight => f.write_str("norm.weight"),
            Tensor::Layer(layer, tensor) => {
                let name = match tensor {
                    LayerTensor::NormWeight => "norm.weight",
                    LayerTensor::InProjWeight => "in_proj.weight",
                    LayerTensor::ConvWeight => "conv.weight",
                    LayerTensor::ConvBias => "conv.bias",
                    LayerTensor::XProjWeight => "x_proj.weight",
                    LayerTensor::DtProjWeight => "dt_proj.weight",
                    LayerTensor::DtProjBias => "dt_proj.bias",
                    LayerTensor::ALog => "a_log",
                    LayerTensor::D => "d",
                    LayerTensor::OutProjWeight => "out_proj.weight",
                };
                write!(f, "layers.{layer}.{name}")
            }
            Tensor::Head(head, tensor) => {
                let name = match tensor {
                    HeadTensor::HiddenWeight => "hidden.weight",
                    HeadTensor::HiddenBias => "hidden.bias",
                    HeadTensor::OutputWeight => "output.weight",
                    HeadTensor::OutputBias => "output.bias",
                };
                write!(f, "{head}.{name}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_has_the_parameters_counted_by_hand() {
        let block = 128 + 128 * 512 + 4 * 256 + 256 + 256 * 40 + 8 * 256 + 256 + 16 * 256 + 256 + 256 * 128;
        let head = |outputs: usize| 128 * 136 + 136 + 136 * outputs + outputs;
        let input = 2 * (24 * 128 + 128) + 8 * 128 + 128 * 128;
        assert_eq!(StepSpec::standard(24).parameter_count(), input + 4 * block + 128 + head(3) + head(1));
        assert_eq!(StepSpec::standard(24).parameter_count(), 526_004);
    }

    #[test]
    fn tensor_names_are_distinct() {
        let spec = StepSpec::standard(24);
        let mut names: Vec<String> = spec.tensors().iter().map(Tensor::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

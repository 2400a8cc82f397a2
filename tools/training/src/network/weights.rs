//! A network from the weights of a step model, and back.

use super::layers::{Affine, Block, Gain, HeadLayers, Matrix};
use super::{AuxiliaryHead, Network, NetworkConfig, NetworkError};
use crate::parameters::{ParameterError, read_parameters};
use burn::Tensor;
use burn::module::Param;
use burn::tensor::{TensorCreationOptions, TensorData};
use chronos_inference::{Head, HeadTensor, LayerTensor, StepWeights, Tensor as Name};

impl Network {
    /// A network before any training, the same for the same seed: [`StepWeights::untrained`], and auxiliary heads of the same kind.
    /// `options` are a device, and a precision where it is not the device's own: `&device` or `(&device, DType::F64)`.
    ///
    /// # Errors
    /// [`NetworkConfig::check`]'s.
    pub fn untrained(
        config: &NetworkConfig,
        features: usize,
        seed: u64,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Network, NetworkError> {
        config.check(features)?;
        Network::from_weights(&StepWeights::untrained(&config.spec(features), seed), config, seed, options)
    }

    /// A network with the weights of a step model; what those do not hold, the auxiliary heads, is drawn from the seed.
    ///
    /// # Errors
    /// [`NetworkConfig::check`]'s, and [`NetworkError::OtherSizes`].
    pub fn from_weights(
        weights: &StepWeights,
        config: &NetworkConfig,
        seed: u64,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Network, NetworkError> {
        let spec = *weights.spec();
        config.check(spec.features)?;
        if config.spec(spec.features) != spec {
            return Err(NetworkError::OtherSizes { weights: Box::new(spec), config: Box::new(config.spec(spec.features)) });
        }
        let source = Source { weights, options: options.into() };
        let auxiliary = |place: usize| {
            // The logits' head of another untrained model: as wide, and as strong.
            let other = StepWeights::untrained(&spec, seed.wrapping_add(1 + place as u64));
            let source = Source { weights: &other, options: source.options.clone() };
            AuxiliaryHead { norm: source.gain(Name::NormWeight), head: source.head(Head::Logits) }
        };
        Ok(Network {
            input: source.affine(Name::InputWeight, Name::InputBias),
            time: source.matrix(Name::TimeWeight),
            regime: source.matrix(Name::RegimeWeight),
            volatility: source.affine(Name::VolatilityWeight, Name::VolatilityBias),
            layers: (0..spec.layers).map(|layer| source.block(layer)).collect(),
            norm: source.gain(Name::NormWeight),
            logits: source.head(Head::Logits),
            forecast: source.head(Head::Forecast),
            auxiliary: (0..config.auxiliary_places(spec.layers).len()).map(auxiliary).collect(),
            config: config.clone(),
            spec,
        })
    }

    /// The weights as a step model takes them, in f32; auxiliary heads stay behind.
    ///
    /// # Errors
    /// [`ParameterError::Precision`].
    pub fn to_weights(&self) -> Result<StepWeights, ParameterError> {
        let parameters = read_parameters(self)?;
        let mut weights = StepWeights::untrained(self.spec(), 0);
        for name in self.spec().tensors() {
            let own = name.to_string();
            for parameter in parameters.iter().filter(|parameter| parameter.name == own) {
                for (to, from) in weights.values_mut(name).iter_mut().zip(parameter.values.iter_f64()) {
                    *to = from as f32;
                }
            }
        }
        Ok(weights)
    }
}

/// Where parameters come from.
struct Source<'a> {
    weights: &'a StepWeights,
    options: TensorCreationOptions,
}

impl Source<'_> {
    fn matrix_of(&self, name: Name) -> Param<Tensor<2>> {
        let data = TensorData::new(self.weights.values(name).to_vec(), name.shape(self.weights.spec()));
        Param::from_tensor(Tensor::from_data(data, self.options.clone()))
    }

    fn vector_of(&self, name: Name) -> Param<Tensor<1>> {
        let values = self.weights.values(name).to_vec();
        let count = values.len();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, [count]), self.options.clone()))
    }

    fn matrix(&self, weight: Name) -> Matrix {
        Matrix { weight: self.matrix_of(weight) }
    }

    fn affine(&self, weight: Name, bias: Name) -> Affine {
        Affine { weight: self.matrix_of(weight), bias: self.vector_of(bias) }
    }

    fn gain(&self, weight: Name) -> Gain {
        Gain { weight: self.vector_of(weight) }
    }

    fn head(&self, head: Head) -> HeadLayers {
        let affine = |weight, bias| self.affine(Name::Head(head, weight), Name::Head(head, bias));
        HeadLayers::new(
            affine(HeadTensor::HiddenWeight, HeadTensor::HiddenBias),
            affine(HeadTensor::OutputWeight, HeadTensor::OutputBias),
        )
    }

    fn block(&self, layer: usize) -> Block {
        let name = |tensor: LayerTensor| Name::Layer(layer, tensor);
        Block {
            norm: self.gain(name(LayerTensor::NormWeight)),
            in_proj: self.matrix(name(LayerTensor::InProjWeight)),
            conv: self.affine(name(LayerTensor::ConvWeight), name(LayerTensor::ConvBias)),
            x_proj: self.matrix(name(LayerTensor::XProjWeight)),
            dt_proj: self.affine(name(LayerTensor::DtProjWeight), name(LayerTensor::DtProjBias)),
            a_log: self.matrix_of(name(LayerTensor::ALog)),
            d: self.vector_of(name(LayerTensor::D)),
            out_proj: self.matrix(name(LayerTensor::OutProjWeight)),
        }
    }
}

//! What a network is made of.

use crate::operations::Precision;
use chronos_inference::StepSpec;

/// Sizes of a network and how it is trained; the number of features comes from the data.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub layers: usize,
    /// State a channel.
    pub d_state: usize,
    /// Taps of the causal convolution.
    pub d_conv: usize,
    /// Channels of a block a unit of `d_model`.
    pub expand: usize,
    /// Rank of the projection to the step size.
    pub dt_rank: usize,
    /// Width of the hidden layer of each head.
    pub head_hidden: usize,
    /// Share of values that training drops, of what each block adds and of each head's hidden layer.
    pub dropout: f64,
    /// Products of training in bfloat16, or in float16 on a device without: for wide networks on a graphics card. Parameters, gradients and
    /// moments stay in f32.
    pub mixed_precision: bool,
    /// After how many blocks auxiliary heads stand, each number once, rising; absent for one in the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auxiliary_after: Option<Vec<usize>>,
    /// Places of the features whose weights to the volatility gate learn; empty for all. Set by who knows the features' names.
    #[serde(skip)]
    pub volatility: Vec<usize>,
}

impl Default for NetworkConfig {
    fn default() -> NetworkConfig {
        let StepSpec { features: _, d_model, layers, d_state, d_conv, expand, dt_rank, head_hidden } = StepSpec::standard(1);
        NetworkConfig {
            d_model,
            layers,
            d_state,
            d_conv,
            expand,
            dt_rank,
            head_hidden,
            dropout: 0.1,
            mixed_precision: false,
            auxiliary_after: None,
            volatility: Vec::new(),
        }
    }
}

/// Why there can be no such network.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum NetworkError {
    /// Sizes that no step model can have.
    #[error("a network of {0:?} cannot be: every size is at least 1 and d_conv at least 2")]
    Sizes(StepSpec),
    /// Weights of other sizes.
    #[error("the weights belong to {weights:?} and the configuration asks for {config:?}; train with the model's own sizes")]
    OtherSizes {
        /// Sizes of the weights.
        weights: Box<StepSpec>,
        /// Sizes of the configuration.
        config: Box<StepSpec>,
    },
    /// A dropout outside 0 to below 1.
    #[error("dropout is {0}; give a share from 0 to below 1")]
    Dropout(f64),
    /// An auxiliary head that does not stand between two blocks.
    #[error("auxiliary_after is {places:?}; with {layers} blocks it holds rising numbers from 1 to {}", layers.saturating_sub(1))]
    Auxiliary {
        /// What was asked for.
        places: Vec<usize>,
        /// Number of blocks.
        layers: usize,
    },
    /// A volatility feature that is none.
    #[error("feature {place} is said to tell volatility, and there are {features} features, counted from 0")]
    Volatility {
        /// What was asked for.
        place: usize,
        /// Number of features.
        features: usize,
    },
}

impl NetworkConfig {
    /// The sizes for so many features.
    pub fn spec(&self, features: usize) -> StepSpec {
        StepSpec {
            features,
            d_model: self.d_model,
            layers: self.layers,
            d_state: self.d_state,
            d_conv: self.d_conv,
            expand: self.expand,
            dt_rank: self.dt_rank,
            head_hidden: self.head_hidden,
        }
    }

    /// The configuration of a network of these sizes, with everything else at its default.
    pub fn of(spec: &StepSpec) -> NetworkConfig {
        let StepSpec { features: _, d_model, layers, d_state, d_conv, expand, dt_rank, head_hidden } = *spec;
        NetworkConfig { d_model, layers, d_state, d_conv, expand, dt_rank, head_hidden, ..NetworkConfig::default() }
    }

    /// Whether a network of so many features can be made.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self, features: usize) -> Result<(), NetworkError> {
        let spec = self.spec(features);
        if !spec.is_sound() {
            return Err(NetworkError::Sizes(spec));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(NetworkError::Dropout(self.dropout));
        }
        let places = self.auxiliary_places(self.layers);
        if !places.is_sorted_by(|one, next| one < next) || places.iter().any(|place| *place == 0 || *place >= self.layers) {
            return Err(NetworkError::Auxiliary { places, layers: self.layers });
        }
        match self.volatility.iter().find(|place| **place >= features) {
            Some(place) => Err(NetworkError::Volatility { place: *place, features }),
            None => Ok(()),
        }
    }

    /// In what products are computed.
    pub(super) fn precision(&self) -> Precision {
        if self.mixed_precision { Precision::Mixed } else { Precision::Full }
    }

    /// After how many blocks auxiliary heads stand.
    pub(super) fn auxiliary_places(&self, layers: usize) -> Vec<usize> {
        self.auxiliary_after.clone().unwrap_or_else(|| if layers > 1 { vec![layers / 2] } else { Vec::new() })
    }
}

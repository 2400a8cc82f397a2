//! What training makes small.
//!
//! Losses are written on burn tensors, f32 or f64, and give one value a sample, so that samples can be weighed: [`weighted_mean`] makes
//! one number of them. Those of [`trading`] judge all samples together.

mod classification;
mod heads;
mod regression;
pub mod trading;

pub use classification::{focal, focal_binary};
pub use heads::HeadLoss;
pub use regression::{huber, log_cosh, quantile, quantiles, smooth_l1, squared};

use burn::tensor::{Tensor, TensorData};

/// The loss of one batch, and what it is made of.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is made small.
    pub total: Tensor<1>,
    /// Names and values of its parts, before their weights; always the same names in the same order.
    pub parts: Vec<(&'static str, f64)>,
}

impl Loss {
    /// A loss that has no parts.
    pub fn of(total: Tensor<1>) -> Self {
        Self { total, parts: Vec::new() }
    }
}

/// Mean of a loss a sample, by weights of one a sample: `sum(w * l) / sum(w)`. NaN where all weights are 0.
pub fn weighted_mean(losses: Tensor<1>, weights: Option<Tensor<1>>) -> Tensor<1> {
    match weights {
        Some(weights) => (losses * weights.clone()).sum() / weights.sum(),
        None => losses.mean(),
    }
}

/// The value of a tensor that has one.
pub(crate) fn scalar(tensor: &Tensor<1>) -> f64 {
    tensor.clone().into_scalar::<f64>()
}

/// Constants on the device and in the precision of another tensor.
fn constants_like<const D: usize>(values: &[f64], like: &Tensor<D>) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (&like.device(), like.dtype()))
}

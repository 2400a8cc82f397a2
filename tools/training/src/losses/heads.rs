//! The loss of a model with heads for classes and a forecast, and auxiliary heads.

use super::{Loss, focal, huber, scalar, weighted_mean};
use burn::tensor::{Int, Tensor};

/// Focal loss of the classes, Huber loss of the forecast and the mean focal loss of auxiliary heads (deep supervision: Lee et al., 2015),
/// weighed and added.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadLoss {
    /// Exponent of the focal loss; 0 is cross-entropy.
    pub gamma: f64,
    /// One a class; empty weighs none.
    pub class_weights: Vec<f64>,
    /// Where the forecast's loss becomes a line, in units of the target.
    pub huber_delta: f64,
    /// Weight of the forecast beside the classes.
    pub forecast_weight: f64,
    /// Weight of the auxiliary heads beside the classes.
    pub auxiliary_weight: f64,
}

impl Default for HeadLoss {
    fn default() -> Self {
        Self { gamma: 2.0, class_weights: Vec::new(), huber_delta: 1.0, forecast_weight: 1.0, auxiliary_weight: 0.3 }
    }
}

impl HeadLoss {
    /// The loss of a batch: logits `[samples, classes]`, a forecast a sample and the logits of each auxiliary head, against the class and
    /// the target of each sample, with the samples' weights.
    pub fn of(
        &self,
        logits: Tensor<2>,
        forecasts: Tensor<1>,
        auxiliary: Vec<Tensor<2>>,
        classes: Tensor<1, Int>,
        targets: Tensor<1>,
        weights: Option<Tensor<1>>,
    ) -> Loss {
        let class_weights = if self.class_weights.is_empty() { None } else { Some(self.class_weights.as_slice()) };
        let mean_focal = |logits, classes| weighted_mean(focal(logits, classes, class_weights, self.gamma), weights.clone());
        let direction = mean_focal(logits, classes.clone());
        let forecast = weighted_mean(huber(forecasts, targets, self.huber_delta), weights.clone());
        let mut parts = vec![("direction", scalar(&direction)), ("forecast", scalar(&forecast))];
        let mut total = direction + forecast.mul_scalar(self.forecast_weight);
        let heads = auxiliary.len() as f64;
        if let Some(sum) = auxiliary.into_iter().map(|logits| mean_focal(logits, classes.clone())).reduce(|one, two| one + two) {
            let mean = sum.div_scalar(heads);
            parts.push(("auxiliary", scalar(&mean)));
            total = total + mean.mul_scalar(self.auxiliary_weight);
        }
        Loss { total, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn parts_are_weighed_and_added() {
        let device = Device::flex();
        let (logits, even) = (Tensor::from_floats([[2.0, 0.0], [0.0, 0.0]], &device), Tensor::zeros([2, 2], &device));
        let classes = Tensor::<1, Int>::from_ints([0, 1], &device);
        let (forecasts, targets) = (Tensor::from_floats([3.0, 1.0], &device), Tensor::from_floats([0.0, 0.5], &device));
        let loss = HeadLoss { gamma: 0.0, forecast_weight: 0.5, auxiliary_weight: 0.25, ..HeadLoss::default() };
        let of = |weights: Option<Tensor<1>>| {
            loss.of(
                logits.clone(),
                forecasts.clone(),
                vec![even.clone(), logits.clone()],
                classes.clone(),
                targets.clone(),
                weights,
            )
        };
        let (sure, even) = ((-2.0_f64).exp().ln_1p(), 2.0_f64.ln());
        let (direction, forecast, auxiliary) = ((sure + even) / 2.0, (2.5 + 0.125) / 2.0, (even + (sure + even) / 2.0) / 2.0);
        let got = of(None);
        for ((name, value), (expected_name, expected)) in
            got.parts.iter().zip([("direction", direction), ("forecast", forecast), ("auxiliary", auxiliary)])
        {
            assert!(*name == expected_name && (value - expected).abs() < 1e-6, "{name} {value} {expected}");
        }
        assert!((scalar(&got.total) - (direction + 0.5 * forecast + 0.25 * auxiliary)).abs() < 1e-6);
        // A weight of 0 leaves a sample out.
        let first = of(Some(Tensor::from_floats([1.0, 0.0], &device)));
        assert!((first.parts[0].1 - sure).abs() < 1e-6 && (first.parts[1].1 - 2.5).abs() < 1e-6, "{:?}", first.parts);
    }
}

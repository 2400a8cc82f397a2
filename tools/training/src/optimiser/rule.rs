//! The rules, and one parameter's step by them.

use crate::parameters::Real;

/// Which rule, and its settings.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimiserConfig {
    /// Adam with decay of the weights beside the gradient (Loshchilov and Hutter, 2019): `w *= 1 - lr * weight_decay`, then Adam's step.
    AdamW {
        /// Memory of the mean gradient.
        beta1: f64,
        /// Memory of the mean square.
        beta2: f64,
        /// Added to the root of the mean square after its bias is corrected.
        epsilon: f64,
        /// What a weight loses a step, times the rate; only parameters that decay.
        weight_decay: f64,
        /// Divides by the largest mean square so far (Reddi, Kale and Kumar, 2018).
        #[serde(default)]
        amsgrad: bool,
    },
    /// Adam (Kingma and Ba, 2015) with coupled L2: `l2 * w` is added to the gradient before the moments.
    Adam {
        /// Memory of the mean gradient.
        beta1: f64,
        /// Memory of the mean square.
        beta2: f64,
        /// Added to the root of the mean square after its bias is corrected.
        epsilon: f64,
        /// The penalty; only parameters that decay.
        l2: f64,
    },
    /// Gradient descent with momentum: `v = momentum * v + g`; the step is `v`, or `g + momentum * v` with Nesterov's look ahead.
    Sgd {
        /// Memory of the step; 0 for none.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
        /// The penalty; only parameters that decay.
        l2: f64,
    },
    /// Gradient over the root of its mean square (Hinton, lecture 6e).
    RmsProp {
        /// Memory of the mean square.
        alpha: f64,
        /// Added to the root.
        epsilon: f64,
        /// The penalty; only parameters that decay.
        l2: f64,
    },
}

impl OptimiserConfig {
    /// AdamW with the usual memories, 0.9 and 0.999.
    pub fn adamw(weight_decay: f64) -> Self {
        Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay, amsgrad: false }
    }

    /// Adam with the usual memories, 0.9 and 0.999.
    pub fn adam(l2: f64) -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, l2 }
    }

    /// Gradient descent with Nesterov's momentum and no penalty.
    pub fn nesterov(momentum: f64) -> Self {
        Self::Sgd { momentum, nesterov: true, l2: 0.0 }
    }

    /// RMSprop with torch's settings and no penalty.
    pub fn rms_prop() -> Self {
        Self::RmsProp { alpha: 0.99, epsilon: 1e-8, l2: 0.0 }
    }

    /// Its memories, which must lie below 1, with their names.
    pub(crate) fn memories(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::AdamW { beta1, beta2, .. } | Self::Adam { beta1, beta2, .. } => vec![("beta1", beta1), ("beta2", beta2)],
            Self::Sgd { momentum, .. } => vec![("momentum", momentum)],
            Self::RmsProp { alpha, .. } => vec![("alpha", alpha)],
        }
    }

    /// What must not be below 0, with its names.
    pub(crate) fn penalties(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::AdamW { epsilon, weight_decay, .. } => vec![("epsilon", epsilon), ("weight_decay", weight_decay)],
            Self::Adam { epsilon, l2, .. } | Self::RmsProp { epsilon, l2, .. } => vec![("epsilon", epsilon), ("l2", l2)],
            Self::Sgd { l2, .. } => vec![("l2", l2)],
        }
    }

    /// How many lists of moments it keeps for a parameter.
    pub(super) fn moments(&self) -> usize {
        match self {
            Self::AdamW { amsgrad: true, .. } => 3,
            Self::AdamW { .. } | Self::Adam { .. } => 2,
            Self::Sgd { .. } | Self::RmsProp { .. } => 1,
        }
    }
}

/// One step of one parameter.
pub(super) struct Step<'a> {
    pub(super) config: &'a OptimiserConfig,
    pub(super) decays: bool,
    /// Counts this one.
    pub(super) steps: u64,
    pub(super) learning_rate: f64,
}

impl Step<'_> {
    /// Scalars are computed in f64 and rounded once, as torch does.
    pub(super) fn take<'m, T: Real + 'm>(&self, weights: &mut [T], gradient: &[T], mut moments: impl Iterator<Item = &'m mut [T]>) {
        let (steps, learning_rate) = (self.steps, self.learning_rate);
        let mut next = || moments.next().unwrap_or_default();
        let penalty = |l2: f64| T::from_f64(if self.decays { l2 } else { 0.0 });
        let correction = |beta: f64| 1.0 - beta.powf(steps as f64);
        match *self.config {
            OptimiserConfig::AdamW { beta1, beta2, epsilon, weight_decay, amsgrad } => {
                let (first, second) = (next(), next());
                let largest = if amsgrad { Some(next()) } else { None };
                let keep = T::from_f64(if self.decays { 1.0 - learning_rate * weight_decay } else { 1.0 });
                let adam = Adam::new(beta1, beta2, epsilon, learning_rate / correction(beta1), correction(beta2));
                for weight in weights.iter_mut() {
                    *weight *= keep;
                }
                adam.step(weights, gradient, T::from_f64(0.0), first, second, largest);
            }
            OptimiserConfig::Adam { beta1, beta2, epsilon, l2 } => {
                let (first, second) = (next(), next());
                let adam = Adam::new(beta1, beta2, epsilon, learning_rate / correction(beta1), correction(beta2));
                adam.step(weights, gradient, penalty(l2), first, second, None);
            }
            OptimiserConfig::Sgd { momentum, nesterov, l2 } => {
                let (rate, momentum, l2) = (T::from_f64(learning_rate), T::from_f64(momentum), penalty(l2));
                for ((weight, gradient), velocity) in weights.iter_mut().zip(gradient).zip(next()) {
                    let gradient = *gradient + l2 * *weight;
                    *velocity = momentum * *velocity + gradient;
                    let by = if nesterov { gradient + momentum * *velocity } else { *velocity };
                    *weight = *weight - rate * by;
                }
            }
            OptimiserConfig::RmsProp { alpha, epsilon, l2 } => {
                let (rate, epsilon, l2) = (T::from_f64(learning_rate), T::from_f64(epsilon), penalty(l2));
                let (keep, take) = (T::from_f64(alpha), T::from_f64(1.0 - alpha));
                for ((weight, gradient), square) in weights.iter_mut().zip(gradient).zip(next()) {
                    let gradient = *gradient + l2 * *weight;
                    *square = keep * *square + take * gradient * gradient;
                    *weight = *weight - rate * gradient / (square.sqrt() + epsilon);
                }
            }
        }
    }
}

/// The scalars of one step of Adam.
struct Adam<T> {
    keep1: T,
    take1: T,
    keep2: T,
    take2: T,
    epsilon: T,
    rate: T,
    root_correction: T,
}

impl<T: Real> Adam<T> {
    fn new(beta1: f64, beta2: f64, epsilon: f64, rate: f64, correction2: f64) -> Self {
        Self {
            keep1: T::from_f64(beta1),
            take1: T::from_f64(1.0 - beta1),
            keep2: T::from_f64(beta2),
            take2: T::from_f64(1.0 - beta2),
            epsilon: T::from_f64(epsilon),
            rate: T::from_f64(rate),
            root_correction: T::from_f64(correction2.sqrt()),
        }
    }

    fn step(&self, weights: &mut [T], gradient: &[T], l2: T, first: &mut [T], second: &mut [T], largest: Option<&mut [T]>) {
        let each = weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second.iter_mut()));
        match largest {
            None => {
                for ((weight, gradient), (first, second)) in each {
                    self.moments(*gradient + l2 * *weight, first, second);
                    *weight = *weight - self.rate * *first / (second.sqrt() / self.root_correction + self.epsilon);
                }
            }
            Some(largest) => {
                for (((weight, gradient), (first, second)), largest) in each.zip(largest) {
                    self.moments(*gradient + l2 * *weight, first, second);
                    if *second > *largest {
                        *largest = *second;
                    }
                    *weight = *weight - self.rate * *first / (largest.sqrt() / self.root_correction + self.epsilon);
                }
            }
        }
    }

    fn moments(&self, gradient: T, first: &mut T, second: &mut T) {
        *first = self.keep1 * *first + self.take1 * gradient;
        *second = self.keep2 * *second + self.take2 * gradient * gradient;
    }
}

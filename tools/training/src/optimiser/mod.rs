//! Optimisers: how gradients change parameters.
//!
//! Own code over flat slices, element by element: the same bits on any number of threads, and a state that is a list. Formulas are
//! those of torch 2.4, in the precision of the parameters.

mod schedule;

pub use schedule::Schedule;

use crate::parameters::{ModuleGradients, ParameterError, Real, SliceMut, Values, read_parameters, update_parameters};
use burn::module::Module;

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

    /// How many lists of moments it keeps for a parameter.
    fn moments(&self) -> usize {
        match self {
            Self::AdamW { amsgrad: true, .. } => 3,
            Self::AdamW { .. } | Self::Adam { .. } => 2,
            Self::Sgd { .. } | Self::RmsProp { .. } => 1,
        }
    }
}

/// Whether weight decay takes a parameter, by its name and shape: matrices and tensors do, while norms, biases, `D` and the step bias (all of
/// one dimension, or named `bias` or `norm`) and `a_log`, the logarithm of the decay rates, are spared.
pub fn decays(name: &str, shape: &[usize]) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    shape.len() > 1 && !last.contains("bias") && !last.contains("norm") && last != "a_log"
}

/// [`decays`] for a recipe whose decay takes every parameter.
pub fn everything_decays(_name: &str, _shape: &[usize]) -> bool {
    true
}

/// Changes a module's parameters by their gradients, and remembers what its rule needs.
#[derive(Clone, PartialEq, Debug)]
pub struct Optimiser {
    config: OptimiserConfig,
    slots: Vec<Slot>,
}

/// What is remembered of one parameter.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) decays: bool,
    /// Steps it took part in.
    pub(crate) steps: u64,
    /// As many lists as the rule keeps, each as long as the parameter.
    pub(crate) moments: Vec<Values>,
}

impl Optimiser {
    /// An optimiser that has not begun. `decays` tells by name and shape what weight decay takes: [`decays`], [`everything_decays`] or
    /// the module's own rule.
    ///
    /// # Errors
    /// [`ParameterError::Precision`].
    pub fn new<M: Module>(
        config: OptimiserConfig,
        module: &M,
        decays: impl Fn(&str, &[usize]) -> bool,
    ) -> Result<Self, ParameterError> {
        let slot = |parameter: crate::parameters::Parameter| Slot {
            decays: decays(&parameter.name, &parameter.shape),
            steps: 0,
            moments: vec![parameter.values.zeros_like(); config.moments()],
            name: parameter.name,
        };
        Ok(Self { config, slots: read_parameters(module)?.into_iter().map(slot).collect() })
    }

    /// The rule.
    pub fn config(&self) -> &OptimiserConfig {
        &self.config
    }

    /// Each parameter's name, and whether weight decay takes it.
    pub fn decaying(&self) -> impl Iterator<Item = (&str, bool)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), slot.decays))
    }

    /// One step. A parameter without a gradient stays as it is, its moments too.
    ///
    /// The module must be the one the optimiser was made for, with its gradients; a parameter whose length differs stays as it is.
    pub fn step<M: Module>(&mut self, module: M, gradients: &ModuleGradients, learning_rate: f64) -> M {
        update_parameters(module, |place, weights| {
            let (Some(slot), Some(Some(gradient))) = (self.slots.get_mut(place), gradients.values.get(place)) else { return };
            match (weights, gradient) {
                (SliceMut::F32(weights), Values::F32(gradient)) if weights.len() == gradient.len() => {
                    let mut moments = slot.moments.iter_mut().filter_map(|values| match values {
                        Values::F32(values) => Some(values.as_mut_slice()),
                        Values::F64(_) => None,
                    });
                    slot.steps += 1;
                    step(&self.config, slot.decays, slot.steps, learning_rate, weights, gradient, &mut moments);
                }
                (SliceMut::F64(weights), Values::F64(gradient)) if weights.len() == gradient.len() => {
                    let mut moments = slot.moments.iter_mut().filter_map(|values| match values {
                        Values::F64(values) => Some(values.as_mut_slice()),
                        Values::F32(_) => None,
                    });
                    slot.steps += 1;
                    step(&self.config, slot.decays, slot.steps, learning_rate, weights, gradient, &mut moments);
                }
                _ => {}
            }
        })
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn from_slots(config: OptimiserConfig, slots: Vec<Slot>) -> Self {
        Self { config, slots }
    }
}

/// One step of one parameter. `steps` counts this one; scalars are computed in f64 and rounded once, as torch does.
fn step<'a, T: Real + 'a>(
    config: &OptimiserConfig,
    decays: bool,
    steps: u64,
    learning_rate: f64,
    weights: &mut [T],
    gradient: &[T],
    moments: &mut impl Iterator<Item = &'a mut [T]>,
) {
    let mut next = || moments.next().unwrap_or_default();
    let penalty = |l2: f64| T::from_f64(if decays { l2 } else { 0.0 });
    let correction = |beta: f64| 1.0 - beta.powf(steps as f64);
    match *config {
        OptimiserConfig::AdamW { beta1, beta2, epsilon, weight_decay, amsgrad } => {
            let (first, second) = (next(), next());
            let largest = if amsgrad { Some(next()) } else { None };
            let keep = T::from_f64(if decays { 1.0 - learning_rate * weight_decay } else { 1.0 });
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use burn::tensor::{Device, Tensor};

    #[derive(Module, Debug)]
    struct Pair {
        gain: Param<Tensor<1>>,
        weight: Param<Tensor<2>>,
    }

    fn pair() -> Pair {
        let device = Device::flex().autodiff();
        Pair {
            gain: Param::from_tensor(Tensor::from_floats([1.0, 1.0], &device)),
            weight: Param::from_tensor(Tensor::from_floats([[1.0, 2.0], [3.0, 4.0]], &device)),
        }
    }

    fn values(module: &Pair) -> [Vec<f64>; 2] {
        let parameters = read_parameters(module).unwrap();
        assert_eq!(parameters[0].name, "gain");
        [parameters[0].values.iter_f64().collect(), parameters[1].values.iter_f64().collect()]
    }

    #[test]
    fn decay_spares_what_the_rule_says() {
        assert!(decays("blocks.0.in_projection", &[8, 4]) && decays("head.weight", &[8, 1]));
        for (name, shape) in [
            ("a.a_log", vec![16, 8]),
            ("A_log", vec![16, 8]),
            ("d", vec![8]),
            ("conv.bias", vec![8]),
            ("b.delta_bias", vec![1, 8]),
            ("volatility_bias", vec![1, 8]),
            ("norm.gain", vec![8]),
        ] {
            assert!(!decays(name, &shape), "{name}");
        }
        let module = pair();
        let mut optimiser = Optimiser::new(OptimiserConfig::adamw(0.5), &module, decays).unwrap();
        assert_eq!(optimiser.decaying().collect::<Vec<_>>(), [("gain", false), ("weight", true)]);
        // No gradient, but zeros: Adam's step is nothing, decay alone acts.
        let zeros = ModuleGradients { values: vec![Some(Values::F32(vec![0.0; 2])), Some(Values::F32(vec![0.0; 4]))] };
        let module = optimiser.step(module, &zeros, 0.5);
        assert_eq!(values(&module), [vec![1.0, 1.0], vec![0.75, 1.5, 2.25, 3.0]]);
    }

    #[test]
    fn a_step_goes_against_the_gradient_and_keeps_training() {
        let module = pair();
        let mut optimiser =
            Optimiser::new(OptimiserConfig::Sgd { momentum: 0.0, nesterov: false, l2: 0.0 }, &module, decays).unwrap();
        let mut step = |module: Pair| {
            let loss = (module.weight.val() * module.weight.val()).sum();
            let gradients = ModuleGradients::take(&module, &mut loss.backward()).unwrap();
            assert_eq!(gradients.values[0], None);
            optimiser.step(module, &gradients, 0.25)
        };
        // w - 0.25 * 2 w is half of it, twice; what the loss does not see stays.
        let module = step(module);
        let module = step(module);
        assert_eq!(values(&module), [vec![1.0, 1.0], vec![0.25, 0.5, 0.75, 1.0]]);
        assert!(module.gain.is_require_grad());
    }

    #[test]
    fn a_frozen_parameter_stays() {
        let mut module = pair();
        module.weight = module.weight.set_require_grad(false);
        let mut optimiser = Optimiser::new(OptimiserConfig::adam(0.1), &module, everything_decays).unwrap();
        let loss = (module.weight.val() * module.gain.val().unsqueeze()).sum();
        let gradients = ModuleGradients::take(&module, &mut loss.backward()).unwrap();
        let module = optimiser.step(module, &gradients, 0.1);
        let [gain, weight] = values(&module);
        assert!(gain[0] < 0.95 && weight == [1.0, 2.0, 3.0, 4.0], "{gain:?} {weight:?}");
        assert!(module.gain.is_require_grad() && !module.weight.is_require_grad());
    }

    #[test]
    fn accumulated_gradients_add_up() {
        let one = || ModuleGradients { values: vec![None, Some(Values::F32(vec![3.0, 4.0]))] };
        let mut sum = one();
        sum.add(ModuleGradients { values: vec![Some(Values::F32(vec![1.0])), Some(Values::F32(vec![1.0, 2.0]))] });
        assert_eq!(sum.values, [Some(Values::F32(vec![1.0])), Some(Values::F32(vec![4.0, 6.0]))]);
        let mut clipped = one();
        assert_eq!(clipped.clip(10.0), 5.0);
        assert_eq!(clipped, one());
        clipped.clip(0.5);
        assert!((clipped.norm() - 0.5).abs() < 1e-6);
    }
}

//! Optimisers: how gradients change parameters.
//!
//! Own code over flat slices, element by element: the same bits on any number of threads, and a state that is a list. Formulas are
//! those of torch 2.4, in the precision of the parameters.

mod rule;
mod schedule;

pub use rule::OptimiserConfig;
pub use schedule::Schedule;

use crate::parameters::{ModuleGradients, ParameterError, SliceMut, Values, read_parameters, update_parameters};
use burn::module::Module;
use rule::Step;

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
    /// # Errors
    /// [`ParameterError::Other`] where the gradients are not those of the module that the optimiser was made for.
    pub fn step<M: Module>(&mut self, module: M, gradients: &ModuleGradients, learning_rate: f64) -> Result<M, ParameterError> {
        self.check(gradients)?;
        Ok(update_parameters(module, |place, weights| {
            let (Some(slot), Some(Some(gradient))) = (self.slots.get_mut(place), gradients.values.get(place)) else { return };
            slot.steps += 1;
            let step = Step { config: &self.config, decays: slot.decays, steps: slot.steps, learning_rate };
            match (weights, gradient) {
                (SliceMut::F32(weights), Values::F32(gradient)) => {
                    let moments = slot.moments.iter_mut().filter_map(|values| match values {
                        Values::F32(values) => Some(values.as_mut_slice()),
                        Values::F64(_) => None,
                    });
                    step.take(weights, gradient, moments);
                }
                (SliceMut::F64(weights), Values::F64(gradient)) => {
                    let moments = slot.moments.iter_mut().filter_map(|values| match values {
                        Values::F64(values) => Some(values.as_mut_slice()),
                        Values::F32(_) => None,
                    });
                    step.take(weights, gradient, moments);
                }
                // Gradients and moments are of one precision, and gradients are taken from the parameters.
                _ => {}
            }
        }))
    }

    /// Every gradient is as long, and of the precision, as the moments kept for its parameter.
    fn check(&self, gradients: &ModuleGradients) -> Result<(), ParameterError> {
        let form = |values: Option<&Values>| match values {
            Some(Values::F32(values)) => format!("{} f32", values.len()),
            Some(Values::F64(values)) => format!("{} f64", values.len()),
            None => "nothing".to_owned(),
        };
        for place in 0..self.slots.len().max(gradients.values.len()) {
            let (slot, gradient) = (self.slots.get(place), gradients.values.get(place));
            let expected = slot.and_then(|slot| slot.moments.first());
            let is_of_it = match (expected, gradient) {
                (Some(Values::F32(moment)), Some(Some(Values::F32(gradient)))) => moment.len() == gradient.len(),
                (Some(Values::F64(moment)), Some(Some(Values::F64(gradient)))) => moment.len() == gradient.len(),
                (Some(_), Some(None)) => true,
                _ => false,
            };
            if !is_of_it {
                let found = format!("a gradient of {}", form(gradient.and_then(Option::as_ref)));
                let name = slot.map_or("nothing", |slot| slot.name.as_str());
                return Err(ParameterError::Other { place, found, expected: format!("{name} of {}", form(expected)) });
            }
        }
        Ok(())
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn from_slots(config: OptimiserConfig, slots: Vec<Slot>) -> Self {
        Self { config, slots }
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
        let module = optimiser.step(module, &zeros, 0.5).unwrap();
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
            optimiser.step(module, &gradients, 0.25).unwrap()
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
        let module = optimiser.step(module, &gradients, 0.1).unwrap();
        let [gain, weight] = values(&module);
        assert!(gain[0] < 0.95 && weight == [1.0, 2.0, 3.0, 4.0], "{gain:?} {weight:?}");
        assert!(module.gain.is_require_grad() && !module.weight.is_require_grad());
    }

    #[test]
    fn gradients_of_another_module_are_refused() {
        let module = pair();
        let mut optimiser = Optimiser::new(OptimiserConfig::rms_prop(), &module, decays).unwrap();
        let wrong = [
            vec![None],
            vec![None, None, None],
            vec![None, Some(Values::F32(vec![0.0; 3]))],
            vec![Some(Values::F64(vec![0.0; 2])), None],
        ];
        for values in wrong {
            let refused = optimiser.step(module.clone(), &ModuleGradients { values: values.clone() }, 0.1);
            assert!(matches!(refused, Err(ParameterError::Other { .. })), "{values:?}");
        }
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

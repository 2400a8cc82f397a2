//! Several models asked as one: their mean, and how far they disagree.
//!
//! Members trained from different seeds agree where the data taught them something and differ where it did not (Lakshminarayanan,
//! Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", 2017).

use crate::spec::CLASSES;
use crate::step::{Engine, InferenceError, Prediction, StepInput, StepModel};

/// Models with the same inputs, each with its own state. A step asks all of them: probabilities and forecast are the members' means,
/// [`Prediction::spread`] is the standard deviation of their signals. Allocates nothing of its own after it is made.
pub struct Ensemble {
    members: Vec<Box<dyn StepModel>>,
    predictions: Vec<Prediction>,
    /// Whose turn [`StepModel::keep_near`] is.
    near: usize,
}

impl Ensemble {
    /// An ensemble of these members; `None` without any.
    pub fn new(members: Vec<Box<dyn StepModel>>) -> Option<Ensemble> {
        let predictions = vec![Prediction::default(); members.len()];
        (!members.is_empty()).then_some(Ensemble { members, predictions, near: 0 })
    }
}

impl StepModel for Ensemble {
    fn step(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> Result<(), InferenceError> {
        for (member, prediction) in self.members.iter_mut().zip(&mut self.predictions) {
            member.step(input, prediction)?;
        }
        *out = mean(&self.predictions);
        out.check()
    }

    fn reset(&mut self) {
        for member in &mut self.members {
            member.reset();
        }
    }

    fn keep_near(&mut self) {
        self.members[self.near].keep_near();
        self.near = (self.near + 1) % self.members.len();
    }

    fn engine(&self) -> Engine {
        self.members[0].engine()
    }
}

/// The mean of what members say; of a single one exactly that.
fn mean(predictions: &[Prediction]) -> Prediction {
    if let [single] = predictions {
        return *single;
    }
    let count = predictions.len() as f64;
    let mut probabilities = [0.0; CLASSES];
    let (mut forecast, mut signal, mut square) = (0.0, 0.0, 0.0);
    for prediction in predictions {
        let member = prediction.probabilities();
        for (sum, value) in probabilities.iter_mut().zip(member) {
            *sum += value / count;
        }
        forecast += f64::from(prediction.forecast) / count;
        let member_signal = member[2] - member[0];
        signal += member_signal / count;
        square += member_signal * member_signal;
    }
    let variance = ((square - count * signal * signal) / (count - 1.0)).max(0.0);
    Prediction {
        logits: probabilities.map(|probability| probability.max(f64::MIN_POSITIVE).ln() as f32),
        forecast: forecast as f32,
        spread: variance.sqrt() as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::NativeModel;
    use crate::spec::StepSpec;
    use crate::weights::StepWeights;

    /// Says always the same.
    struct Constant(Prediction);

    impl StepModel for Constant {
        fn step(&mut self, _: &StepInput<'_>, out: &mut Prediction) -> Result<(), InferenceError> {
            *out = self.0;
            Ok(())
        }
        fn reset(&mut self) {}
        fn engine(&self) -> Engine {
            Engine::Native
        }
    }

    const INPUT: StepInput<'static> = StepInput { features: &[0.5, -1.0], dt_s: 0.1, regime: &[0.0; 128] };

    fn constant(weights: [f32; 3], forecast: f32) -> Box<dyn StepModel> {
        Box::new(Constant(Prediction { logits: weights.map(f32::ln), forecast, spread: 0.0 }))
    }

    #[test]
    fn probabilities_and_forecasts_are_averaged_and_signals_spread() {
        // Signals 0.5 - 0.25 and 0.25 - 0.5: their mean is 0, their standard deviation sqrt(2 * 0.25^2).
        let members = vec![constant([1.0, 1.0, 2.0], 3.0), constant([4.0, 2.0, 2.0], 5.0)];
        let mut out = Prediction::default();
        Ensemble::new(members).expect("two members").step(&INPUT, &mut out).expect("constants");
        for (got, wanted) in out.probabilities().into_iter().zip([0.375, 0.25, 0.375]) {
            assert!((got - wanted).abs() < 1e-7, "{got} {wanted}");
        }
        assert_eq!(out.forecast, 4.0);
        assert!((f64::from(out.spread) - (2.0_f64 * 0.25 * 0.25).sqrt()).abs() < 1e-7);
    }

    #[test]
    fn a_class_that_every_member_excludes_stays_finite() {
        let certain =
            || Box::new(Constant(Prediction { logits: [1e30, 0.0, 0.0], forecast: 0.0, spread: 0.0 })) as Box<dyn StepModel>;
        let mut out = Prediction::default();
        Ensemble::new(vec![certain(), certain()]).expect("two members").step(&INPUT, &mut out).expect("finite");
        let [down, flat, up] = out.probabilities();
        assert!(down == 1.0 && flat < 1e-300 && up < 1e-300);
    }

    #[test]
    fn an_ensemble_of_one_says_its_bits_and_members_keep_their_own_state() {
        let spec = StepSpec { d_model: 8, layers: 1, head_hidden: 4, ..StepSpec::standard(2) };
        let native = |seed: u64| Box::new(NativeModel::new(&StepWeights::untrained(&spec, seed))) as Box<dyn StepModel>;
        let mut singles = [native(1), native(2)];
        let mut one = Ensemble::new(vec![native(1)]).expect("a member");
        let mut two = Ensemble::new(vec![native(1), native(2)]).expect("two members");
        for _ in 0..5 {
            let mut said = [Prediction::default(); 4];
            for (model, out) in singles.iter_mut().zip(&mut said) {
                model.step(&INPUT, out).expect("a sound input");
            }
            one.step(&INPUT, &mut said[2]).expect("a sound input");
            two.step(&INPUT, &mut said[3]).expect("a sound input");
            assert_eq!(said[2], said[0]);
            assert_eq!(said[3], mean(&said[..2]));
        }
        assert!(Ensemble::new(Vec::new()).is_none());
    }
}

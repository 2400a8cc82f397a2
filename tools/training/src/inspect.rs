//! Whether a model is alive: which of its parameters are dead, what each of its parts is worth, and whether it is more than an affine map.
//!
//! A part is *ablated*: left out, or, where it is an output or a feature, set to its mean over the windows looked at. What then changes
//! in the predictions and in the loss is what the part is worth there. A part that changes next to nothing is dead: what it costs to
//! compute is wasted, and what is said of its meaning is empty.

use crate::network::{Ablation, Network, Read, WindowInput};
use crate::parameters::{Parameter, ParameterError, Values, read_parameters};
use burn::Tensor;
use burn::module::Module;
use burn::tensor::{DType, TensorData};
use serde::Serialize;

/// A block, a gate or a feature is dead where leaving it out moves the predictions by less than this share of their own spread.
pub const DEAD_BELOW: f64 = 1e-3;
/// The head of the classes is dead where the probabilities spread by less than this, and that of the forecast where forecasts spread by
/// less than this share of the targets' spread.
pub const HEAD_DEAD_BELOW: f64 = 1e-3;
/// A model is affine where its [`nonlinearity`] is below this.
pub const AFFINE_BELOW: f64 = 1e-3;
/// What rounding in f32 may do to an output, as a share of the outputs' size.
const ROUNDING: f64 = 1e-5;

/// Windows of a batch with what came after the last step of each.
#[derive(Clone, Debug)]
pub struct LabelledWindows {
    /// The windows.
    pub input: WindowInput,
    /// Class of each window: 0 down, 1 flat, 2 up.
    pub classes: Vec<usize>,
    /// Target of each window's forecast.
    pub targets: Vec<f32>,
}

/// Why a network cannot be inspected.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum InspectError {
    /// Fewer than two windows.
    #[error("{0} windows are too few to see anything vary; give at least 2")]
    TooFew(usize),
    /// Windows and labels of a batch do not go together.
    #[error("batch {batch} has {windows} windows, {classes} classes (0 to 2) and {targets} targets; each window needs one of both")]
    Labels {
        /// Which batch.
        batch: usize,
        /// Windows in it.
        windows: usize,
        /// Valid classes in it.
        classes: usize,
        /// Targets in it.
        targets: usize,
    },
    /// Windows or names do not have the network's number of features.
    #[error("the network takes {expected} features; {found} were given")]
    Features {
        /// What the network takes.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// An output that is infinite or not a number.
    #[error("the network's outputs are not finite; its weights or the features have gone wrong")]
    NonFinite,
    /// The parameters cannot be read.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
}

/// Everything found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Inspection {
    /// Windows looked at.
    pub windows: usize,
    /// Mean distance of the class probabilities from their mean: half the sum of absolute differences, 0 to 1.
    pub probability_spread: f64,
    /// Root mean square distance of the forecasts from their mean.
    pub forecast_spread: f64,
    /// Mean log-loss of the classes, nats.
    pub log_loss: f64,
    /// Mean squared error of the forecasts.
    pub squared_error: f64,
    /// Every parameter, in the network's order.
    pub tensors: Vec<TensorReport>,
    /// Every block, from the first.
    pub blocks: Vec<Effect>,
    /// The encoding of time and the volatility gate.
    pub gates: Vec<Effect>,
    /// The heads: the classes, the forecast.
    pub heads: Vec<Effect>,
    /// Every feature, in the network's order.
    pub features: Vec<Effect>,
    /// [`nonlinearity`] of the logits, less their mean, in the features.
    pub logits_nonlinearity: f64,
    /// [`nonlinearity`] of the forecast in the features.
    pub forecast_nonlinearity: f64,
    /// Whether both are next to nothing: an affine map would say the same.
    pub is_affine: bool,
}

/// The values of one parameter.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// How many values it has.
    pub values: usize,
    /// Share of them that are zero.
    pub zero_share: f64,
    /// Share of them that are denormal: nearer to zero than the least normal number of their precision.
    pub denormal_share: f64,
    /// Largest magnitude.
    pub largest: f64,
}

/// What leaving out a part changes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Effect {
    /// Which part.
    pub part: String,
    /// Mean distance by which the class probabilities move, 0 to 1.
    pub probability_change: f64,
    /// Root mean square by which the forecasts move.
    pub forecast_change: f64,
    /// Log-loss without the part, less that with it: above 0 where the part helps.
    pub log_loss_change: f64,
    /// The same of the squared error.
    pub squared_error_change: f64,
    /// Whether it does anything.
    pub verdict: Verdict,
}

/// Whether a part does anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It moves the predictions.
    Alive,
    /// It does not.
    Dead,
}

/// Looks at a network over windows; `feature_names` are the network's, in its order.
///
/// # Errors
/// [`InspectError`].
pub fn inspect(network: &Network, feature_names: &[String], windows: &[LabelledWindows]) -> Result<Inspection, InspectError> {
    let network = &network.valid();
    check(network, feature_names, windows)?;
    let labels = Labels::of(windows);
    let whole = Outputs::of(network, Ablation::None, windows, |input| input)?;
    let judge = Judge::new(&whole, &labels);
    let without = |part: String, ablation| -> Result<Effect, InspectError> {
        Ok(judge.effect(part, &Outputs::of(network, ablation, windows, |input| input)?))
    };
    let blocks = (0..network.spec().layers).map(|layer| without(format!("layers.{layer}"), Ablation::Block(layer)));
    let gates = [("time", Ablation::Time), ("volatility", Ablation::VolatilityGate)];
    let gates = gates.map(|(part, ablation)| without(part.to_owned(), ablation));
    let means = feature_means(windows, network.spec().features);
    let features = feature_names.iter().enumerate().map(|(place, name)| {
        let held = Outputs::of(network, Ablation::None, windows, |input| hold(input, place, means[place]))?;
        Ok(judge.effect(name.clone(), &held))
    });
    let (blocks, features) = (blocks.collect::<Result<_, InspectError>>()?, features.collect::<Result<_, InspectError>>()?);
    let [logits_nonlinearity, forecast_nonlinearity] = network_nonlinearity(network, windows);
    Ok(Inspection {
        windows: labels.targets.len(),
        probability_spread: judge.probability_spread,
        forecast_spread: judge.forecast_spread,
        log_loss: judge.log_loss,
        squared_error: judge.squared_error,
        tensors: read_parameters(network)?.iter().map(TensorReport::of).collect(),
        blocks,
        gates: gates.into_iter().collect::<Result<_, InspectError>>()?,
        heads: judge.heads(),
        features,
        logits_nonlinearity,
        forecast_nonlinearity,
        is_affine: logits_nonlinearity < AFFINE_BELOW && forecast_nonlinearity < AFFINE_BELOW,
    })
}

/// How far a model is from an affine map between pairs of inputs, each a row of `one` and of `other`:
///
/// ```text
/// rms(f((x + y) / 2) - (f(x) + f(y)) / 2) / rms((f(x) - f(y)) / 2)
/// ```
///
/// An affine map meets every midpoint, so it gives 0, and a continuous function that meets the midpoints of all pairs is affine: over
/// pairs of observed inputs the measure tells of the region where the data lie, and needs no more pairs than it takes to see a mean
/// (a least-squares fit would need more windows than a window has values, and would be exact for any model below that). Deviations that
/// rounding in f32 explains count as 0, and so does a model that says the same to both of every pair.
///
/// # Panics
/// Where the shapes differ.
pub fn nonlinearity<const D: usize>(model: impl Fn(Tensor<D>) -> Tensor<2>, one: Tensor<D>, other: Tensor<D>) -> f64 {
    let middle = model((one.clone() + other.clone()) * 0.5);
    let (one, other) = (model(one), model(other));
    let deviation = rms(&values(middle - (one.clone() + other.clone()) * 0.5));
    let size = rms(&values(one.clone())).max(rms(&values(other.clone())));
    let half_difference = rms(&values((one - other) * 0.5));
    if deviation <= ROUNDING * size || half_difference == 0.0 { 0.0 } else { deviation / half_difference }
}

/// The [`nonlinearity`] of logits and forecast in the features: windows of each batch's first half against those of its second, with the
/// times and regimes of the first.
fn network_nonlinearity(network: &Network, windows: &[LabelledWindows]) -> [f64; 2] {
    let (mut squares, mut pairs) = ([0.0; 2], 0);
    for batch in windows {
        let half = batch.targets.len() / 2;
        if half == 0 {
            continue;
        }
        let WindowInput { features, dt_s, regime } = &batch.input;
        let (dt_s, regime) = (dt_s.clone().narrow(0, 0, half), regime.as_ref().map(|regime| regime.clone().narrow(0, 0, half)));
        let says = |features: Tensor<3>| {
            let input = WindowInput { features, dt_s: dt_s.clone(), regime: regime.clone() };
            network.forward(input, Read::Last, None)
        };
        let logits = |features: Tensor<3>| {
            let logits = says(features).logits;
            logits.clone() - logits.mean_dim(1)
        };
        let forecast = |features: Tensor<3>| says(features).forecast.unsqueeze_dim(1);
        let (one, other) = (features.clone().narrow(0, 0, half), features.clone().narrow(0, half, half));
        let of_batch = [nonlinearity(logits, one.clone(), other.clone()), nonlinearity(forecast, one, other)];
        for (sum, value) in squares.iter_mut().zip(of_batch) {
            *sum += value * value * half as f64;
        }
        pairs += half;
    }
    squares.map(|sum| if pairs == 0 { 0.0 } else { (sum / pairs as f64).sqrt() })
}

fn check(network: &Network, names: &[String], windows: &[LabelledWindows]) -> Result<(), InspectError> {
    let expected = network.spec().features;
    let mut count = 0;
    for (batch, of) in windows.iter().enumerate() {
        let [windows, _, found] = of.input.features.dims();
        if found != expected {
            return Err(InspectError::Features { expected, found });
        }
        let (classes, targets) = (of.classes.iter().filter(|class| **class < 3).count(), of.targets.len());
        if of.classes.len() != classes || windows != classes || windows != targets {
            return Err(InspectError::Labels { batch, windows, classes, targets });
        }
        count += windows;
    }
    match (names.len() == expected, count < 2) {
        (false, _) => Err(InspectError::Features { expected, found: names.len() }),
        (true, true) => Err(InspectError::TooFew(count)),
        (true, false) => Ok(()),
    }
}

/// Mean of each feature over all steps of all windows.
fn feature_means(windows: &[LabelledWindows], features: usize) -> Vec<f64> {
    let (mut sums, mut rows) = (vec![0.0; features], 0);
    for batch in windows {
        for row in values(batch.input.features.clone()).chunks(features.max(1)) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            rows += 1;
        }
    }
    sums.into_iter().map(|sum| sum / f64::from(rows.max(1))).collect()
}

/// The input with one feature at the same value everywhere.
fn hold(input: WindowInput, place: usize, value: f64) -> WindowInput {
    let [batch, steps, _] = input.features.dims();
    let held = Tensor::full([batch, steps, 1], value, (&input.features.device(), input.features.dtype()));
    let features = input.features.slice_assign([0..batch, 0..steps, place..place + 1], held);
    WindowInput { features, ..input }
}

impl TensorReport {
    fn of(parameter: &Parameter) -> TensorReport {
        let least = match parameter.values {
            Values::F32(_) => f64::from(f32::MIN_POSITIVE),
            Values::F64(_) => f64::MIN_POSITIVE,
        };
        let (mut zeros, mut denormals, mut largest) = (0_usize, 0_usize, 0.0_f64);
        for value in parameter.values.iter_f64() {
            zeros += usize::from(value == 0.0);
            denormals += usize::from(value != 0.0 && value.abs() < least);
            largest = largest.max(value.abs());
        }
        let share = |count: usize| count as f64 / parameter.values.len().max(1) as f64;
        TensorReport {
            name: parameter.name.clone(),
            values: parameter.values.len(),
            zero_share: share(zeros),
            denormal_share: share(denormals),
            largest,
        }
    }
}

/// What came after each window, batch after batch.
struct Labels {
    classes: Vec<usize>,
    targets: Vec<f64>,
}

impl Labels {
    fn of(windows: &[LabelledWindows]) -> Labels {
        Labels {
            classes: windows.iter().flat_map(|batch| &batch.classes).copied().collect(),
            targets: windows.iter().flat_map(|batch| &batch.targets).map(|target| f64::from(*target)).collect(),
        }
    }
}

/// What a network says to each window, batch after batch.
struct Outputs {
    log_probabilities: Vec<[f64; 3]>,
    forecasts: Vec<f64>,
}

impl Outputs {
    fn of(
        network: &Network,
        ablation: Ablation,
        windows: &[LabelledWindows],
        change: impl Fn(WindowInput) -> WindowInput,
    ) -> Result<Outputs, InspectError> {
        let mut outputs = Outputs { log_probabilities: Vec::new(), forecasts: Vec::new() };
        for batch in windows {
            let said = network.forward_without(ablation, change(batch.input.clone()), Read::Last, None);
            outputs.log_probabilities.extend(values(said.logits).as_chunks().0.iter().map(log_softmax));
            outputs.forecasts.extend(values(said.forecast));
        }
        let is_finite = outputs.log_probabilities.iter().flatten().chain(&outputs.forecasts).all(|value| value.is_finite());
        if is_finite { Ok(outputs) } else { Err(InspectError::NonFinite) }
    }

    fn log_loss(&self, labels: &Labels) -> f64 {
        mean(self.log_probabilities.iter().zip(&labels.classes).map(|(log, class)| -log[*class]))
    }

    fn squared_error(&self, labels: &Labels) -> f64 {
        mean(self.forecasts.iter().zip(&labels.targets).map(|(forecast, target)| (forecast - target).powi(2)))
    }
}

/// Compares what is said without a part with what the whole says.
struct Judge<'a> {
    whole: &'a Outputs,
    labels: &'a Labels,
    mean_probabilities: [f64; 3],
    mean_forecast: f64,
    probability_spread: f64,
    forecast_spread: f64,
    log_loss: f64,
    squared_error: f64,
}

impl<'a> Judge<'a> {
    fn new(whole: &'a Outputs, labels: &'a Labels) -> Judge<'a> {
        let mean_of = |class: usize| mean(whole.log_probabilities.iter().map(|log| log[class].exp()));
        let mean_probabilities = [mean_of(0), mean_of(1), mean_of(2)];
        let mean_forecast = mean(whole.forecasts.iter().copied());
        let mean_log = mean_probabilities.map(f64::ln);
        Judge {
            whole,
            labels,
            mean_probabilities,
            mean_forecast,
            probability_spread: mean(whole.log_probabilities.iter().map(|log| distance(log, &mean_log))),
            forecast_spread: mean(whole.forecasts.iter().map(|forecast| (forecast - mean_forecast).powi(2))).sqrt(),
            log_loss: whole.log_loss(labels),
            squared_error: whole.squared_error(labels),
        }
    }

    fn effect(&self, part: String, without: &Outputs) -> Effect {
        let log_probabilities = self.whole.log_probabilities.iter().zip(&without.log_probabilities);
        let probability_change = mean(log_probabilities.map(|(whole, without)| distance(whole, without)));
        let forecasts = self.whole.forecasts.iter().zip(&without.forecasts);
        let forecast_change = mean(forecasts.map(|(whole, without)| (whole - without).powi(2))).sqrt();
        // Where nothing varies, nothing is alive.
        let moves = |change: f64, spread: f64| spread > 0.0 && change >= DEAD_BELOW * spread;
        let is_alive = moves(probability_change, self.probability_spread) || moves(forecast_change, self.forecast_spread);
        Effect {
            part,
            probability_change,
            forecast_change,
            log_loss_change: without.log_loss(self.labels) - self.log_loss,
            squared_error_change: without.squared_error(self.labels) - self.squared_error,
            verdict: Verdict::of(is_alive),
        }
    }

    /// Each head held at its mean.
    fn heads(&self) -> Vec<Effect> {
        let count = self.whole.forecasts.len();
        let flat_classes = Outputs {
            log_probabilities: vec![self.mean_probabilities.map(f64::ln); count],
            forecasts: self.whole.forecasts.clone(),
        };
        let flat_forecast =
            Outputs { log_probabilities: self.whole.log_probabilities.clone(), forecasts: vec![self.mean_forecast; count] };
        let mean_target = mean(self.labels.targets.iter().copied());
        let target_spread = mean(self.labels.targets.iter().map(|target| (target - mean_target).powi(2))).sqrt();
        let is_alive = [
            self.probability_spread >= HEAD_DEAD_BELOW,
            self.forecast_spread > 0.0 && self.forecast_spread >= HEAD_DEAD_BELOW * target_spread,
        ];
        let heads = [("logits", flat_classes), ("forecast", flat_forecast)].into_iter().zip(is_alive);
        heads
            .map(|((part, held), is_alive)| Effect { verdict: Verdict::of(is_alive), ..self.effect(part.to_owned(), &held) })
            .collect()
    }
}

impl Verdict {
    fn of(is_alive: bool) -> Verdict {
        if is_alive { Verdict::Alive } else { Verdict::Dead }
    }
}

/// Half the sum of absolute differences of two distributions.
fn distance(one: &[f64; 3], other: &[f64; 3]) -> f64 {
    one.iter().zip(other).map(|(one, other)| (one.exp() - other.exp()).abs()).sum::<f64>() / 2.0
}

fn log_softmax(logits: &[f64; 3]) -> [f64; 3] {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    logits.map(|logit| logit - largest - total)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

fn rms(values: &[f64]) -> f64 {
    mean(values.iter().map(|value| value * value)).sqrt()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let data: TensorData = tensor.cast(DType::F64).into_data();
    // Cast to f64 just above.
    data.try_into_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests;

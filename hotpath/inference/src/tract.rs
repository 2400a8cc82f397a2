//! A step model run by tract: any graph with the step graph's signature.

use crate::spec::CLASSES;
use crate::step::{Engine, InferenceError, Prediction, StepInput, StepModel};
use chronos_market::REGIME_EMBEDDING;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

/// A graph with inputs `features`, `dt_s`, `regime`, outputs `logits` and `forecast`, and any number of states: an input `name`
/// and an output `name_next` of the same shape each. It allocates at every step.
pub struct TractModel {
    state: TypedSimpleState,
    /// What fills each input of the graph.
    sources: Vec<Source>,
    /// What becomes of each output.
    sinks: Vec<Sink>,
    features: usize,
    /// State tensors before the first tick.
    zeros: Vec<TValue>,
    /// State tensors as the last step left them. While tract holds them zeros stand here, so that a failed run leaves a reset state.
    carried: Vec<TValue>,
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    Features,
    Elapsed,
    Regime,
    State(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Sink {
    Logits,
    Forecast,
    State(usize),
}

impl TractModel {
    /// Prepares an ONNX model; the reason where tract or the signature forbids it.
    pub(crate) fn new(proto: &ModelProto) -> Result<TractModel, String> {
        let model = optimised(proto).map_err(|error| format!("{error:#}"))?;
        let (inputs, outputs) = signature(proto);
        let mut sources = Vec::new();
        let mut zeros = Vec::new();
        let mut names = Vec::new();
        let mut features = 0;
        for (place, name) in inputs.iter().enumerate() {
            let shape =
                input_shape(&model, place).ok_or_else(|| format!("input `{name}` is not of 32-bit floats of a fixed shape"))?;
            let (source, is_fitting) = match name.as_str() {
                "features" => (Source::Features, shape.len() == 2 && shape[0] == 1),
                "dt_s" => (Source::Elapsed, shape == [1, 1]),
                "regime" => (Source::Regime, shape == [1, REGIME_EMBEDDING]),
                _ => (Source::State(zeros.len()), true),
            };
            if !is_fitting {
                return Err(format!("input `{name}` has the shape {shape:?}"));
            }
            match source {
                Source::Features => features = shape.iter().product(),
                Source::State(_) => {
                    names.push(format!("{name}_next"));
                    zeros.push(Tensor::zero::<f32>(&shape).map_err(|error| error.to_string())?.into_tvalue());
                }
                _ => {}
            }
            sources.push(source);
        }
        let mut sinks = Vec::new();
        for name in &outputs {
            let state = names.iter().position(|next| next == name);
            sinks.push(match (name.as_str(), state) {
                ("logits", _) => Sink::Logits,
                ("forecast", _) => Sink::Forecast,
                (_, Some(state)) => Sink::State(state),
                _ => return Err(format!("output `{name}` belongs to no input")),
            });
        }
        for (source, name) in [(Source::Features, "features"), (Source::Elapsed, "dt_s"), (Source::Regime, "regime")] {
            if !sources.contains(&source) {
                return Err(format!("input `{name}` is missing"));
            }
        }
        let states = names.iter().enumerate().map(|(state, name)| (Sink::State(state), name.as_str()));
        for (sink, name) in [(Sink::Logits, "logits"), (Sink::Forecast, "forecast")].into_iter().chain(states) {
            if !sinks.contains(&sink) {
                return Err(format!("output `{name}` is missing"));
            }
        }
        let state = model.into_runnable().and_then(|plan| plan.spawn()).map_err(|error| format!("{error:#}"))?;
        let carried = zeros.clone();
        Ok(TractModel { state, sources, sinks, features, zeros, carried })
    }

    fn run(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> TractResult<()> {
        let mut values = TVec::with_capacity(self.sources.len());
        for source in &self.sources {
            values.push(match *source {
                Source::Features => row(input.features)?,
                Source::Elapsed => row(&[input.dt_s])?,
                Source::Regime => row(input.regime)?,
                Source::State(state) => std::mem::replace(&mut self.carried[state], self.zeros[state].clone()),
            });
        }
        for (sink, value) in self.sinks.iter().zip(self.state.run(values)?) {
            match *sink {
                Sink::Logits => out.logits.copy_from_slice(floats(&value, CLASSES)?),
                Sink::Forecast => out.forecast = floats(&value, 1)?.iter().sum(),
                Sink::State(state) => self.carried[state] = value,
            }
        }
        Ok(())
    }
}

impl StepModel for TractModel {
    fn step(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> Result<(), InferenceError> {
        input.check(self.features)?;
        self.run(input, out).map_err(|_| InferenceError::Engine)?;
        out.check()
    }

    fn reset(&mut self) {
        self.carried.clone_from(&self.zeros);
    }

    fn engine(&self) -> Engine {
        Engine::Tract
    }
}

fn optimised(proto: &ModelProto) -> TractResult<TypedModel> {
    tract_onnx::onnx().model_for_proto_model(proto)?.into_typed()?.into_decluttered()?.into_optimized()
}

/// Names of the inputs that are not constants, and of the outputs, in the graph's order, which is tract's.
fn signature(proto: &ModelProto) -> (Vec<String>, Vec<String>) {
    let Some(graph) = &proto.graph else { return (Vec::new(), Vec::new()) };
    let is_constant = |name: &String| graph.initializer.iter().any(|tensor| tensor.name == *name);
    let inputs = graph.input.iter().map(|value| value.name.clone()).filter(|name| !is_constant(name)).collect();
    (inputs, graph.output.iter().map(|value| value.name.clone()).collect())
}

fn input_shape(model: &TypedModel, place: usize) -> Option<Vec<usize>> {
    let fact = model.input_fact(place).ok()?;
    let is_float = fact.datum_type == f32::datum_type();
    fact.shape.as_concrete().filter(|_| is_float).map(<[usize]>::to_vec)
}

fn row(values: &[f32]) -> TractResult<TValue> {
    Ok(Tensor::from_shape(&[1, values.len()], values)?.into_tvalue())
}

fn floats(value: &TValue, count: usize) -> TractResult<&[f32]> {
    let values = value.try_as_plain_ram()?.as_slice::<f32>()?;
    if values.len() == count {
        Ok(values)
    } else {
        tract_onnx::tract_core::internal::bail!("{} values instead of {count}", values.len())
    }
}

//! A step model run by tract: any graph with the step graph's signature.

mod product;

use crate::matrix::{Matrix, TILES_NEAR};
use crate::step::{Engine, InferenceError, Prediction, StepInput, StepModel};
use chronos_market::REGIME_EMBEDDING;
use product::{RowProduct, with_row_products};
use std::hint::black_box;
use std::panic::catch_unwind;
use std::sync::Arc;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::type_proto::Value::TensorType;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{TractErrorContext, bail, ensure};

/// A graph with inputs `features`, `dt_s`, `regime`, outputs `logits` and `forecast`, and any number of states: an input `name`
/// and an output `name_next` of the same shape each. It allocates at every step.
pub struct TractModel {
    plan: TypedSimpleState,
    signature: Signature,
    /// States before the first tick.
    zeros: Vec<TValue>,
    /// States as the last step left them. While tract holds them zeros stand here, so that a failed run leaves a reset state.
    carried: Vec<TValue>,
    /// The weights of every product of a row.
    matrices: Vec<Arc<Matrix>>,
    /// Where [`StepModel::keep_near`] goes on: the matrix and its tile.
    near: (usize, usize),
}

impl TractModel {
    /// Prepares an ONNX model; the reason where tract or the signature forbids it.
    pub(crate) fn new(proto: &ModelProto) -> Result<TractModel, String> {
        // Some malformed graphs make tract panic rather than fail.
        match catch_unwind(|| TractModel::prepare(proto)) {
            Ok(prepared) => prepared.map_err(|error| format!("{error:#}")),
            Err(_) => Err("the graph is malformed".to_owned()),
        }
    }

    fn prepare(proto: &ModelProto) -> TractResult<TractModel> {
        let signature = Signature::of(proto)?;
        let graph = tract_onnx::onnx().model_for_proto_model(proto)?.into_typed()?.into_decluttered()?;
        let optimised = with_row_products(graph)?.into_optimized()?;
        let products = optimised.nodes().iter().filter_map(|node| node.op_as::<RowProduct>());
        let matrices = products.filter_map(|product| product.matrix().cloned()).collect();
        let plan = optimised.into_runnable()?.spawn()?;
        let zero = |state: &State| Ok(Tensor::zero::<f32>(&state.shape)?.into_tvalue());
        let zeros = signature.states.iter().map(zero).collect::<TractResult<Vec<TValue>>>()?;
        let features = vec![0.0; signature.features];
        let mut model = TractModel { plan, signature, carried: zeros.clone(), zeros, matrices, near: (0, 0) };
        // Two steps, the second on the first one's states: what cannot run is told now and not at the first tick.
        for _ in 0..2 {
            let input = StepInput { features: &features, dt_s: 0.0, regime: &[0.0; REGIME_EMBEDDING] };
            model.run(&input, &mut Prediction::default())?;
        }
        model.reset();
        Ok(model)
    }

    fn run(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> TractResult<()> {
        let mut values = TVec::with_capacity(self.signature.sources.len());
        for source in &self.signature.sources {
            values.push(match *source {
                Source::Features => row(input.features)?,
                Source::Elapsed => row(&[input.dt_s])?,
                Source::Regime => row(input.regime)?,
                Source::State(state) => std::mem::replace(&mut self.carried[state], self.zeros[state].clone()),
            });
        }
        for (sink, value) in self.signature.sinks.iter().zip(self.plan.run(values)?) {
            match *sink {
                Sink::Logits => out.logits = floats(&value)?,
                Sink::Forecast => [out.forecast] = floats(&value)?,
                Sink::State(state) => self.carried[state] = value,
            }
        }
        Ok(())
    }
}

impl StepModel for TractModel {
    fn step(&mut self, input: &StepInput<'_>, out: &mut Prediction) -> Result<(), InferenceError> {
        input.check(self.signature.features)?;
        self.run(input, out).map_err(|_| InferenceError::Engine)?;
        out.check()
    }

    fn reset(&mut self) {
        self.carried.clone_from(&self.zeros);
    }

    fn keep_near(&mut self) {
        let (place, tile) = self.near;
        let Some(matrix) = self.matrices.get(place) else {
            self.near = (0, 0);
            return;
        };
        black_box(matrix.touch(tile..tile + TILES_NEAR));
        self.near = if tile + TILES_NEAR < matrix.tiles() { (place, tile + TILES_NEAR) } else { (place + 1, 0) };
    }

    fn engine(&self) -> Engine {
        Engine::Tract
    }
}

/// What fills the inputs of a graph and what becomes of its outputs, in their order.
struct Signature {
    features: usize,
    states: Vec<State>,
    sources: Vec<Source>,
    sinks: Vec<Sink>,
}

struct State {
    shape: Vec<usize>,
    next: String,
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

impl Signature {
    fn of(proto: &ModelProto) -> TractResult<Signature> {
        let graph = proto.graph.as_ref().context("the file holds no graph")?;
        let mut found = Signature { features: 0, states: Vec::new(), sources: Vec::new(), sinks: Vec::new() };
        let is_constant = |value: &&ValueInfoProto| graph.initializer.iter().any(|tensor| tensor.name == value.name);
        for value in graph.input.iter().filter(|value| !is_constant(value)) {
            let name = value.name.as_str();
            let shape = fixed_shape(value).with_context(|| format!("input `{name}` has no fixed shape of a moderate size"))?;
            let source = match (name, shape.as_slice()) {
                ("features", &[1, count]) => {
                    found.features = count;
                    Source::Features
                }
                ("dt_s", [1, 1]) => Source::Elapsed,
                ("regime", &[1, REGIME_EMBEDDING]) => Source::Regime,
                ("features" | "dt_s" | "regime", _) => bail!("input `{name}` has the shape {shape:?}"),
                _ => {
                    found.states.push(State { shape, next: format!("{name}_next") });
                    Source::State(found.states.len() - 1)
                }
            };
            found.sources.push(source);
        }
        for value in &graph.output {
            let state = found.states.iter().position(|state| state.next == value.name);
            found.sinks.push(match (value.name.as_str(), state) {
                ("logits", _) => Sink::Logits,
                ("forecast", _) => Sink::Forecast,
                (_, Some(state)) => Sink::State(state),
                (name, None) => bail!("output `{name}` belongs to no input"),
            });
        }
        for (source, name) in [(Source::Features, "features"), (Source::Elapsed, "dt_s"), (Source::Regime, "regime")] {
            ensure!(found.sources.contains(&source), "input `{name}` is missing");
        }
        for (sink, name) in [(Sink::Logits, "logits"), (Sink::Forecast, "forecast")] {
            ensure!(found.sinks.contains(&sink), "output `{name}` is missing");
        }
        for (state, State { next, .. }) in found.states.iter().enumerate() {
            ensure!(found.sinks.contains(&Sink::State(state)), "output `{next}` is missing");
        }
        Ok(found)
    }
}

/// The shape of an input, if each side is fixed and all of it is below 2^24 values.
fn fixed_shape(value: &ValueInfoProto) -> Option<Vec<usize>> {
    let TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let side = |dimension: &Dimension| match dimension.value {
        Some(Value::DimValue(length)) => usize::try_from(length).ok(),
        _ => None,
    };
    let shape: Vec<usize> = tensor.shape.as_ref()?.dim.iter().map(side).collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1_usize, |count, side| count.checked_mul(*side))?;
    (count < 1 << 24).then_some(shape)
}

fn row(values: &[f32]) -> TractResult<TValue> {
    Ok(Tensor::from_shape(&[1, values.len()], values)?.into_tvalue())
}

fn floats<const COUNT: usize>(value: &TValue) -> TractResult<[f32; COUNT]> {
    let values = value.try_as_plain_ram()?.as_slice::<f32>()?;
    values.try_into().with_context(|| format!("an output has {} values instead of {COUNT}", values.len()))
}

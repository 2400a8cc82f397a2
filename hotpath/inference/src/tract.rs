//! A step model run by tract: any graph with the step graph's signature.

use crate::step::{Engine, InferenceError, Prediction, StepInput, StepModel};
use chronos_market::REGIME_EMBEDDING;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::sync::Arc;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::type_proto::Value::TensorType;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{Blob, InletId, TractErrorContext, bail, ensure};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::matmul::optimized::{MatMulOperand, OptMatMul, ProtoFusedSpec};
use tract_onnx::tract_core::tract_linalg::mmm::EagerPackedInput;

/// A graph with inputs `features`, `dt_s`, `regime`, outputs `logits` and `forecast`, and any number of states: an input `name`
/// and an output `name_next` of the same shape each. It allocates at every step.
pub struct TractModel {
    plan: TypedSimpleState,
    signature: Signature,
    /// States before the first tick.
    zeros: Vec<TValue>,
    /// States as the last step left them. While tract holds them zeros stand here, so that a failed run leaves a reset state.
    carried: Vec<TValue>,
    /// The weights of every product, as tract laid them out.
    packed: Vec<Arc<Blob>>,
    /// Where [`StepModel::keep_near`] goes on: the product and its byte.
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
        let mut graph = tract_onnx::onnx().model_for_proto_model(proto)?.into_typed()?.into_decluttered()?;
        halve(&mut graph)?;
        let optimised = graph.into_optimized()?;
        let packed = packed_weights(&optimised);
        let plan = optimised.into_runnable()?.spawn()?;
        let zero = |state: &State| Ok(Tensor::zero::<f32>(&state.shape)?.into_tvalue());
        let zeros = signature.states.iter().map(zero).collect::<TractResult<Vec<TValue>>>()?;
        let features = vec![0.0; signature.features];
        let mut model = TractModel { plan, signature, carried: zeros.clone(), zeros, packed, near: (0, 0) };
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
        let (product, from) = self.near;
        let Some(bytes) = self.packed.get(product).map(|packed| packed.as_bytes()) else {
            self.near = (0, 0);
            return;
        };
        let part = bytes.get(from..).unwrap_or_default();
        black_box(part.iter().take(NEAR_BYTES).step_by(CACHE_LINE).fold(0, |all, byte| all ^ byte));
        self.near = if part.len() > NEAR_BYTES { (product, from + NEAR_BYTES) } else { (product + 1, 0) };
    }

    fn engine(&self) -> Engine {
        Engine::Tract
    }
}

/// Bytes of weights that one call of [`StepModel::keep_near`] reads.
const NEAR_BYTES: usize = 8_192;
/// Bytes of a cache line.
const CACHE_LINE: usize = 64;

/// Keeps the weights of products as 16-bit floats where those hold every value exactly; sums stay in 32 bits. A step reads each
/// weight once, and half of a usual model fits into a core's own cache.
fn halve(graph: &mut TypedModel) -> TractResult<()> {
    for id in 0..graph.nodes().len() {
        let node = graph.node(id);
        if node.op_as::<EinSum>().is_none_or(|product| product.q_params.is_some()) || node.inputs.len() != 2 {
            continue;
        }
        for (slot, outlet) in node.inputs.to_vec().into_iter().enumerate() {
            let Some(whole) = graph.outlet_fact(outlet)?.konst.clone() else { continue };
            if whole.datum_type() != f32::datum_type() {
                continue;
            }
            let half = whole.cast_to::<f16>()?.into_owned();
            if *half.cast_to::<f32>()? == *whole {
                let constant = graph.add_const(format!("{}.half.{id}", graph.node(outlet.node).name), half)?;
                graph.add_edge(constant, InletId::new(id, slot))?;
            }
        }
    }
    Ok(())
}

fn packed_weights(optimised: &TypedModel) -> Vec<Arc<Blob>> {
    let products = optimised.nodes().iter().filter_map(|node| node.op_as::<OptMatMul>());
    let operands = products.flat_map(|product| &product.micro_ops).filter_map(|part| match part {
        ProtoFusedSpec::AddMatMul { a, b, .. } => Some([a, b]),
        _ => None,
    });
    let constants = operands.flatten().filter_map(|operand| match operand {
        MatMulOperand::Const(value) => value.downcast_ref::<EagerPackedInput>(),
        MatMulOperand::Input(_) => None,
    });
    constants.map(|constant| Arc::clone(&constant.packed)).collect()
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

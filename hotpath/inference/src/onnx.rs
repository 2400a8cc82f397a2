//! Step models as ONNX files: written, read back, and recognised.

use crate::graph::{OPSET, float_tensor, step_graph, window_graph};
use crate::load::LoadError;
use crate::spec::{Head, HeadTensor, LayerTensor, StepSpec, Tensor};
use crate::weights::StepWeights;
use prost::Message;
use std::fmt;
use std::io;
use std::path::Path;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};

/// Version of the ONNX file format written; the one that came with operator set 17.
const IR_VERSION: i64 = 8;

/// A step model as an ONNX file holds it.
#[derive(Clone, PartialEq, Debug)]
pub struct OnnxStepModel {
    /// Sizes and tensors.
    pub weights: StepWeights,
    /// The file's metadata, in its order.
    pub metadata: Vec<(String, String)>,
}

/// The first place where a graph is not the step graph that the native kernel computes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// What kind of part differs: node, input, output, initialiser.
    pub part: &'static str,
    /// Its name in the file; where it has none, or is missing there, in the step graph.
    pub name: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` is not as in the step graph", self.part, self.name)
    }
}

/// The model as the bytes of an ONNX file: operator set [`OPSET`], the same bytes for the same arguments.
pub fn encode_onnx(weights: &StepWeights, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut graph = step_graph(weights.spec());
    graph.initializer.extend(tensors_of(weights));
    encode(graph, metadata)
}

/// The model over windows of any number of steps, for checks and for other tools: names, shapes and states as in the step graph, with a
/// row a step in `features`, `dt_s`, `regime`, `logits` and `forecast`. Start states of zeros make it what training saw. Operator set
/// [`OPSET`], the same bytes for the same arguments.
pub fn encode_window_onnx(weights: &StepWeights, metadata: &[(&str, &str)]) -> Vec<u8> {
    encode(window_graph(weights.spec(), tensors_of(weights)), metadata)
}

fn tensors_of(weights: &StepWeights) -> impl Iterator<Item = TensorProto> {
    let spec = *weights.spec();
    let tensor = move |tensor: Tensor| float_tensor(tensor.to_string(), tensor.shape(&spec), weights.values(tensor));
    spec.tensors().into_iter().map(tensor)
}

fn encode(graph: GraphProto, metadata: &[(&str, &str)]) -> Vec<u8> {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        metadata_props: metadata.iter().map(entry).collect(),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// Writes [`encode_onnx`] to a file.
///
/// # Errors
/// The file cannot be written.
pub fn write_onnx(weights: &StepWeights, metadata: &[(&str, &str)], path: &Path) -> io::Result<()> {
    std::fs::write(path, encode_onnx(weights, metadata))
}

/// Reads a step model from an ONNX file.
///
/// # Errors
/// The file cannot be read, is not ONNX, or holds another graph than the one [`encode_onnx`] writes.
pub fn read_onnx(path: &Path) -> Result<OnnxStepModel, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let model = decode(&bytes).map_err(|source| LoadError::Decode { path: path.to_owned(), source })?;
    recognise(&model).map_err(|mismatch| LoadError::Unmatched { path: path.to_owned(), mismatch })
}

/// Reads the bytes of an ONNX file, whatever graph it holds.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, prost::DecodeError> {
    ModelProto::decode(bytes)
}

/// The step model that an ONNX model holds: its sizes are told from the shapes of its tensors, and all else must be as the builder
/// makes it for these sizes.
pub(crate) fn recognise(model: &ModelProto) -> Result<OnnxStepModel, Mismatch> {
    let differs = |part: &'static str, name: &str| Err(Mismatch { part, name: name.to_owned() });
    let Some(graph) = &model.graph else { return differs("graph", "step") };
    match model.opset_import.as_slice() {
        [opset] if opset.version == OPSET && (opset.domain.is_empty() || opset.domain == "ai.onnx") => {}
        _ => return differs("operator set", "ai.onnx"),
    }
    if let Some(function) = model.functions.first() {
        return differs("function", function.name.as_deref().unwrap_or_default());
    }
    let spec = recover_spec(graph)?;
    let wanted = step_graph(&spec);
    if let Some(name) = first_difference(&graph.input, &wanted.input, |value| &value.name) {
        return differs("input", name);
    }
    if let Some(name) = first_difference(&graph.output, &wanted.output, |value| &value.name) {
        return differs("output", name);
    }
    if let Some(name) = first_difference(&graph.node, &wanted.node, |node| &node.name) {
        return differs("node", name);
    }
    let (constants, trained) = graph.initializer.split_at_checked(wanted.initializer.len()).unwrap_or_default();
    if let Some(name) = first_difference(constants, &wanted.initializer, |tensor| &tensor.name) {
        return differs("initialiser", name);
    }
    let tensors = spec.tensors();
    if let Some(unknown) = trained.get(tensors.len()) {
        return differs("initialiser", &unknown.name);
    }
    let mut trained = trained.iter();
    let mut faulty = None;
    let weights = StepWeights::from_fn(&spec, |tensor| {
        let values = trained.next().and_then(|proto| float_values(proto, tensor, &spec));
        values.unwrap_or_else(|| {
            faulty = Some(tensor);
            Vec::new()
        })
    });
    match (weights, faulty) {
        (Some(weights), _) => {
            let entry = |entry: &StringStringEntryProto| (entry.key.clone(), entry.value.clone());
            Ok(OnnxStepModel { weights, metadata: model.metadata_props.iter().map(entry).collect() })
        }
        (None, Some(tensor)) => differs("initialiser", &tensor.to_string()),
        (None, None) => differs("initialiser", &Tensor::Layer(0, LayerTensor::ConvWeight).to_string()),
    }
}

/// The longest side of a tensor that is taken from a file: well above any model of a few milliseconds, and low enough that no
/// product of two overflows.
const SIDE_MAX: i64 = 1 << 16;

fn recover_spec(graph: &GraphProto) -> Result<StepSpec, Mismatch> {
    let shape = |tensor: Tensor| -> Result<[usize; 2], Mismatch> {
        let name = tensor.to_string();
        let proto = graph.initializer.iter().find(|proto| proto.name == name);
        match proto.map(|proto| proto.dims.as_slice()) {
            Some(&[rows @ 1..=SIDE_MAX, columns @ 1..=SIDE_MAX]) => Ok([rows as usize, columns as usize]),
            _ => Err(Mismatch { part: "initialiser", name }),
        }
    };
    let [features, d_model] = shape(Tensor::InputWeight)?;
    let [d_state, d_inner] = shape(Tensor::Layer(0, LayerTensor::ALog))?;
    let [d_conv, _] = shape(Tensor::Layer(0, LayerTensor::ConvWeight))?;
    let [dt_rank, _] = shape(Tensor::Layer(0, LayerTensor::DtProjWeight))?;
    let [_, head_hidden] = shape(Tensor::Head(Head::Logits, HeadTensor::HiddenWeight))?;
    let layers = graph.initializer.iter().filter(|proto| proto.name.ends_with(".a_log")).count();
    if d_inner % d_model != 0 {
        return Err(Mismatch { part: "initialiser", name: Tensor::Layer(0, LayerTensor::ALog).to_string() });
    }
    Ok(StepSpec { features, d_model, layers, d_state, d_conv, expand: d_inner / d_model, dt_rank, head_hidden })
}

/// Name of the first element that differs: as found, or as wanted where nothing is found or it has no name.
fn first_difference<'a, T: PartialEq>(found: &'a [T], wanted: &'a [T], name: fn(&T) -> &str) -> Option<&'a str> {
    let place = (0..found.len().max(wanted.len())).find(|&place| found.get(place) != wanted.get(place))?;
    let names = [found, wanted].map(|part| part.get(place).map_or("", name));
    Some(if names[0].is_empty() { names[1] } else { names[0] })
}

fn float_values(proto: &TensorProto, tensor: Tensor, spec: &StepSpec) -> Option<Vec<f32>> {
    let shape = tensor.shape(spec).map(|length| length as i64);
    let is_as_written = proto.name == tensor.to_string()
        && proto.dims == shape
        && proto.data_type == DataType::Float as i32
        && proto.external_data.is_empty()
        && proto.raw_data.len() == tensor.len(spec) * size_of::<f32>();
    let values = || proto.raw_data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    (is_as_written && values().all(f32::is_finite)).then(|| values().collect())
}

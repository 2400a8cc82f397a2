//! The step graph (`step_graph.md`) as ONNX operators; and the window graph, a loop over it.

use crate::spec::{CLASSES, Head, HeadTensor, LayerTensor, NORM_EPSILON, StepSpec, TIME_SCALES, Tensor};
use chronos_market::REGIME_EMBEDDING;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

/// Version of the ONNX operator set that the step graph is written in.
pub const OPSET: i64 = 17;

/// The graph of `spec` without its weights: inputs, outputs, nodes, and as initialisers only the constants.
pub(crate) fn step_graph(spec: &StepSpec) -> GraphProto {
    let mut graph = Graph { proto: GraphProto { name: "step".to_owned(), ..GraphProto::default() } };
    graph.signature(spec);
    graph.constants(spec);
    let mut residual = graph.input();
    for layer in 0..spec.layers {
        residual = graph.block(layer, &residual);
    }
    let normed = graph.norm("norm", &residual, &Tensor::NormWeight.to_string());
    for head in [Head::Logits, Head::Forecast] {
        graph.head(head, &normed);
    }
    graph.proto
}

/// The graph that runs the step graph over the rows of a window: one `Scan` whose body is that graph with `initializer` in it. Names and
/// shapes are the step graph's, but that `features`, `dt_s`, `regime`, `logits` and `forecast` have a row a step.
pub(crate) fn window_graph(spec: &StepSpec, initializer: impl IntoIterator<Item = TensorProto>) -> GraphProto {
    let mut body = step_graph(spec);
    body.initializer.extend(initializer);
    let mut graph = Graph { proto: GraphProto { name: "window".to_owned(), ..GraphProto::default() } };
    graph.proto.input = body.input.iter().map(with_a_row_a_step).collect();
    graph.proto.output = body.output.iter().map(with_a_row_a_step).collect();
    graph.proto.initializer = vec![index_tensor(ROW_AXIS, &[1])];
    // A Scan hands its body slices of the first axis: a row more in front of each row keeps the step's shapes.
    let is_state = |value: &&ValueInfoProto| is_state(&value.name);
    let (states, rows): (Vec<&ValueInfoProto>, Vec<&ValueInfoProto>) = body.input.iter().partition(is_state);
    let mut inputs: Vec<String> = states.iter().map(|state| state.name.clone()).collect();
    for row in &rows {
        inputs.push(graph.node("Unsqueeze", &format!("{}.rows", row.name), &[&row.name, ROW_AXIS]));
    }
    let (states_next, rows_out): (Vec<&ValueInfoProto>, Vec<&ValueInfoProto>) = body.output.iter().partition(is_state);
    let mut outputs: Vec<String> = states_next.iter().map(|state| state.name.clone()).collect();
    outputs.extend(rows_out.iter().map(|row| format!("{}.rows", row.name)));
    let mut step = body.clone();
    step.input = states.into_iter().chain(rows.iter().copied()).cloned().collect();
    step.output = states_next.into_iter().chain(rows_out.iter().copied()).cloned().collect();
    // A name stands for one value, inside and outside of the loop.
    step.input.iter_mut().chain(&mut step.output).for_each(|value| inside(&mut value.name));
    step.initializer.iter_mut().for_each(|tensor| inside(&mut tensor.name));
    for node in &mut step.node {
        inside(&mut node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(inside);
    }
    let attributes = vec![
        AttributeProto { name: "body".to_owned(), r#type: AttributeType::Graph as i32, g: Some(step), ..AttributeProto::default() },
        int_attribute("num_scan_inputs", rows.len() as i64),
    ];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    graph.nodes("Scan", "steps", &inputs, &outputs, attributes);
    for row in rows_out {
        graph.node("Squeeze", &row.name, &[&format!("{}.rows", row.name), ROW_AXIS]);
    }
    graph.proto
}

/// An initialiser of 32-bit floats.
pub(crate) fn float_tensor(name: String, shape: [usize; 2], values: &[f32]) -> TensorProto {
    TensorProto {
        name,
        dims: shape.map(|length| length as i64).to_vec(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

const ONE: &str = "one";
const TWO: &str = "two";
const EPSILON: &str = "epsilon";
const SCALES: &str = "time.scales";
const TAP_SUM: &str = "conv.ones";
const FIRST_AXIS: &str = "axis.first";
const WINDOW_START: &str = "window.start";
const WINDOW_END: &str = "window.end";
const SPLIT_GATE: &str = "split.gate";
const SPLIT_SELECTION: &str = "split.selection";
const ROW_AXIS: &str = "axis.row";
/// Name of a window's first dimension.
const STEPS: &str = "steps";

struct Graph {
    proto: GraphProto,
}

impl Graph {
    fn signature(&mut self, spec: &StepSpec) {
        self.proto.input.push(value("features", [1, spec.features]));
        self.proto.input.push(value("dt_s", [1, 1]));
        self.proto.input.push(value("regime", [1, REGIME_EMBEDDING]));
        self.proto.output.push(value("logits", [1, CLASSES]));
        self.proto.output.push(value("forecast", [1, 1]));
        for layer in 0..spec.layers {
            let shapes = [("ssm", spec.d_state), ("conv", spec.d_conv.saturating_sub(1))];
            for (state, rows) in shapes {
                self.proto.input.push(value(&format!("{state}_{layer}"), [rows, spec.d_inner()]));
                self.proto.output.push(value(&format!("{state}_{layer}_next"), [rows, spec.d_inner()]));
            }
        }
    }

    fn constants(&mut self, spec: &StepSpec) {
        let gate = [spec.d_inner(), spec.d_inner()];
        let selection = [spec.dt_rank, spec.d_state, spec.d_state];
        self.proto.initializer = vec![
            float_tensor(ONE.to_owned(), [1, 1], &[1.0]),
            float_tensor(TWO.to_owned(), [1, 1], &[2.0]),
            float_tensor(EPSILON.to_owned(), [1, 1], &[NORM_EPSILON]),
            float_tensor(SCALES.to_owned(), [1, TIME_SCALES.len()], &TIME_SCALES),
            float_tensor(TAP_SUM.to_owned(), [1, spec.d_conv], &vec![1.0; spec.d_conv]),
            index_tensor(FIRST_AXIS, &[0]),
            index_tensor(WINDOW_START, &[1]),
            index_tensor(WINDOW_END, &[spec.d_conv]),
            index_tensor(SPLIT_GATE, &gate),
            index_tensor(SPLIT_SELECTION, &selection),
        ];
    }

    fn input(&mut self) -> String {
        let weight = |tensor: Tensor| tensor.to_string();
        let regime = self.node("Gemm", "regime.projected", &["regime", &weight(Tensor::RegimeWeight), &weight(Tensor::InputBias)]);
        let features = self.node("Gemm", "input", &["features", &weight(Tensor::InputWeight), &regime]);
        let scaled = self.node("Mul", "time.scaled", &["dt_s", SCALES]);
        let above_one = self.node("Add", "time.above_one", &[&scaled, ONE]);
        let encoded = self.node("Log", "time.encoded", &[&above_one]);
        let projected = self.node("Gemm", "time.projected", &[&encoded, &weight(Tensor::TimeWeight), &features]);
        let (gate_weight, gate_bias) = (weight(Tensor::VolatilityWeight), weight(Tensor::VolatilityBias));
        let volatility = self.node("Gemm", "volatility", &["features", &gate_weight, &gate_bias]);
        let half_gate = self.node("Sigmoid", "volatility.sigmoid", &[&volatility]);
        let gate = self.node("Mul", "volatility.gate", &[&half_gate, TWO]);
        self.node("Mul", "encoded", &[&projected, &gate])
    }

    fn block(&mut self, layer: usize, residual: &str) -> String {
        let weight = |tensor: LayerTensor| Tensor::Layer(layer, tensor).to_string();
        let at = |name: &str| format!("layers.{layer}.{name}");
        let normed = self.norm(&at("norm"), residual, &weight(LayerTensor::NormWeight));
        let projected = self.node("MatMul", &at("in_proj"), &[&normed, &weight(LayerTensor::InProjWeight)]);
        let (x, z) = (at("x"), at("z"));
        self.nodes("Split", &at("gate"), &[&projected, SPLIT_GATE], &[&x, &z], vec![int_attribute("axis", 1)]);

        let kept = format!("conv_{layer}");
        let window = self.node_with("Concat", &at("window"), &[&kept, &x], vec![int_attribute("axis", 0)]);
        let next = format!("conv_{layer}_next");
        self.nodes("Slice", &next, &[&window, WINDOW_START, WINDOW_END, FIRST_AXIS], &[&next], Vec::new());
        let taps = self.node("Mul", &at("conv.taps"), &[&window, &weight(LayerTensor::ConvWeight)]);
        // A product with ones: tract sums rows so in half the time of a ReduceSum.
        let sum = self.node("MatMul", &at("conv.sum"), &[TAP_SUM, &taps]);
        let convolved = self.node("Add", &at("conv"), &[&sum, &weight(LayerTensor::ConvBias)]);
        let u = self.silu(&at("u"), &convolved);

        let selection = self.node("MatMul", &at("x_proj"), &[&u, &weight(LayerTensor::XProjWeight)]);
        let (low, b, c) = (at("low"), at("b"), at("c"));
        self.nodes("Split", &at("selection"), &[&selection, SPLIT_SELECTION], &[&low, &b, &c], vec![int_attribute("axis", 1)]);
        let (dt_weight, dt_bias) = (weight(LayerTensor::DtProjWeight), weight(LayerTensor::DtProjBias));
        let raw = self.node("Gemm", &at("dt_proj"), &[&low, &dt_weight, &dt_bias]);
        let delta = self.node("Softplus", &at("delta"), &[&raw]);

        let rate = self.node("Exp", &at("rate"), &[&weight(LayerTensor::ALog)]);
        let a = self.node("Neg", &at("a"), &[&rate]);
        let exponent = self.node("Mul", &at("decay.exponent"), &[&delta, &a]);
        let decay = self.node("Exp", &at("decay"), &[&exponent]);
        let decayed = self.node("Mul", &at("decayed"), &[&decay, &format!("ssm_{layer}")]);
        let b_column = self.node_with("Transpose", &at("b.column"), &[&b], vec![ints_attribute("perm", &[1, 0])]);
        let step = self.node("Mul", &at("step"), &[&delta, &u]);
        let entering = self.node("Mul", &at("entering"), &[&b_column, &step]);
        let state = self.node("Add", &format!("ssm_{layer}_next"), &[&decayed, &entering]);
        let read = self.node("MatMul", &at("read"), &[&c, &state]);
        let around = self.node("Mul", &at("around"), &[&u, &weight(LayerTensor::D)]);
        let y = self.node("Add", &at("y"), &[&read, &around]);

        let gate = self.silu(&at("z.silu"), &z);
        let gated = self.node("Mul", &at("gated"), &[&y, &gate]);
        self.node("Gemm", &at("out"), &[&gated, &weight(LayerTensor::OutProjWeight), residual])
    }

    fn head(&mut self, head: Head, normed: &str) {
        let weight = |tensor: HeadTensor| Tensor::Head(head, tensor).to_string();
        let (hidden_weight, hidden_bias) = (weight(HeadTensor::HiddenWeight), weight(HeadTensor::HiddenBias));
        let hidden = self.node("Gemm", &format!("{head}.hidden"), &[normed, &hidden_weight, &hidden_bias]);
        let active = self.silu(&format!("{head}.active"), &hidden);
        let (output_weight, output_bias) = (weight(HeadTensor::OutputWeight), weight(HeadTensor::OutputBias));
        self.node("Gemm", &head.to_string(), &[&active, &output_weight, &output_bias]);
    }

    fn norm(&mut self, output: &str, input: &str, gain: &str) -> String {
        let at = |name: &str| format!("{output}.{name}");
        let square = self.node("Mul", &at("square"), &[input, input]);
        let attributes = vec![ints_attribute("axes", &[-1]), int_attribute("keepdims", 1)];
        let mean = self.node_with("ReduceMean", &at("mean"), &[&square], attributes);
        let above = self.node("Add", &at("above"), &[&mean, EPSILON]);
        let root = self.node("Sqrt", &at("root"), &[&above]);
        let unit = self.node("Div", &at("unit"), &[input, &root]);
        self.node("Mul", output, &[&unit, gain])
    }

    fn silu(&mut self, output: &str, input: &str) -> String {
        let gate = self.node("Sigmoid", &format!("{output}.sigmoid"), &[input]);
        self.node("Mul", output, &[input, &gate])
    }

    /// Appends a node with one output, named as the node, and gives that name.
    fn node(&mut self, op: &str, output: &str, inputs: &[&str]) -> String {
        self.node_with(op, output, inputs, Vec::new())
    }

    fn node_with(&mut self, op: &str, output: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        self.nodes(op, output, inputs, &[output], attribute);
        output.to_owned()
    }

    fn nodes(&mut self, op: &str, name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) {
        self.proto.node.push(NodeProto {
            name: name.to_owned(),
            op_type: op.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.iter().map(|&output| output.to_owned()).collect(),
            attribute,
            ..NodeProto::default()
        });
    }
}

fn value(name: &str, shape: [usize; 2]) -> ValueInfoProto {
    let dim = |length: usize| Dimension { value: Some(dimension::Value::DimValue(length as i64)), ..Dimension::default() };
    let shape = Some(TensorShapeProto { dim: shape.map(dim).to_vec() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

/// Whether an input or output of the step graph is a state rather than a row.
fn is_state(name: &str) -> bool {
    name.starts_with("ssm_") || name.starts_with("conv_")
}

/// A value of the step graph as the window graph has it.
fn with_a_row_a_step(step: &ValueInfoProto) -> ValueInfoProto {
    let mut value = step.clone();
    if !is_state(&value.name)
        && let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &mut value.r#type
        && let Some(rows) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
    {
        rows.value = Some(dimension::Value::DimParam(STEPS.to_owned()));
    }
    value
}

/// The name of a value inside the loop over the steps.
fn inside(name: &mut String) {
    name.insert_str(0, "step.");
}

fn index_tensor(name: &str, values: &[usize]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
}

fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Ints as i32, ints: values.to_vec(), ..AttributeProto::default() }
}

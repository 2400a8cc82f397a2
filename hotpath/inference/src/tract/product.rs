//! The small products of a step, as one node of tract each.
//!
//! tract's own product is made for large matrices: it packs both sides and sets up a kernel, which takes longer than the product of a
//! row; its product of a column and a row goes element by element. A step model has some fifty of these. Here operands are read as they
//! stand, constant matrices are laid out once as the native kernel's are, and what is added to a product is where its sum starts.

use crate::instruction_set::{InstructionSet, for_each_instruction_set};
use crate::matrix::Matrix;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedOp, as_op, bail, op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{Add, Mul};

/// `y = start + x M`: `x` is a row, or the column of an outer product, of any rank; `M` a constant or the next input, row after row.
/// The last input is `start`, where there is one: as many values as `y` has.
#[derive(Clone, Debug)]
pub(super) struct RowProduct {
    /// Values that a row of `x` has.
    inputs: usize,
    /// Values that a row of `y` has.
    outputs: usize,
    /// `None`: the matrix is the second input.
    matrix: Option<Arc<Matrix>>,
    has_start: bool,
    /// Shape of `y`.
    shape: TVec<usize>,
    instruction_set: InstructionSet,
}

impl RowProduct {
    fn new([inputs, outputs]: [usize; 2], shape: &[usize]) -> RowProduct {
        let instruction_set = InstructionSet::widest();
        RowProduct { inputs, outputs, matrix: None, has_start: false, shape: shape.into(), instruction_set }
    }

    /// The constant matrix, where it is one.
    pub(super) fn matrix(&self) -> Option<&Arc<Matrix>> {
        self.matrix.as_ref()
    }
}

/// Puts a [`RowProduct`] in place of every product of a row and a matrix or of a column and a row, together with the sum that its
/// result goes to and nowhere else.
pub(super) fn with_row_products(mut graph: TypedModel) -> TractResult<TypedModel> {
    for id in graph.eval_order()? {
        if let Some(patch) = row_product(&graph, id)? {
            patch.apply(&mut graph)?;
        } else if let Some(patch) = outer_product(&graph, id)? {
            patch.apply(&mut graph)?;
        }
    }
    // Sums anew: a patch moves nodes, so that places of before are not those of now.
    for id in graph.eval_order()? {
        if let Some(patch) = with_start(&graph, id)? {
            patch.apply(&mut graph)?;
        }
    }
    graph.compact()?;
    Ok(graph)
}

fn row_product(graph: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let node = graph.node(id);
    let Some(product) = node.op_as::<EinSum>() else { return Ok(None) };
    let is_plain = product.q_params.is_none() && product.operating_dt == f32::datum_type() && node.inputs.len() == 2;
    let facts = graph.node_input_facts(id)?;
    let output = &node.outputs[0].fact;
    let is_float = facts.iter().copied().chain([output]).all(|fact| fact.datum_type == f32::datum_type());
    let (Some(shape), true, true) = (output.shape.as_concrete(), is_plain, is_float) else { return Ok(None) };
    // A constant is rather the matrix than the row.
    let roles = if facts[0].konst.is_some() && facts[1].konst.is_none() { [[1, 0], [0, 1]] } else { [[0, 1], [1, 0]] };
    for [row, matrix] in roles {
        let Some([inputs, outputs]) = sides(product, &facts, shape, row, matrix) else { continue };
        let mut operands = tvec!(node.inputs[row]);
        let constant = match &facts[matrix].konst {
            Some(values) => Some(Arc::new(Matrix::new(values.try_as_plain_ram()?.as_slice::<f32>()?, [inputs, outputs]))),
            None => {
                operands.push(node.inputs[matrix]);
                None
            }
        };
        let operation = RowProduct { matrix: constant, ..RowProduct::new([inputs, outputs], shape) };
        return TypedModelPatch::replace_single_op(graph, node, &operands, operation).map(Some);
    }
    Ok(None)
}

/// A product of a column `[rows, 1]` and a row `[1, columns]`, which is one of matrices that share a side of length 1.
fn outer_product(graph: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let node = graph.node(id);
    if node.op_as::<TypedBinOp>().is_none_or(|product| !product.0.is::<Mul>()) {
        return Ok(None);
    }
    let facts = graph.node_input_facts(id)?;
    if facts.iter().any(|fact| fact.datum_type != f32::datum_type()) {
        return Ok(None);
    }
    for (column, row) in [(0, 1), (1, 0)] {
        if let (Some(&[rows, 1]), Some(&[1, columns])) = (facts[column].shape.as_concrete(), facts[row].shape.as_concrete())
            && columns > 1
        {
            let operation = RowProduct::new([1, columns], &[rows, columns]);
            let operands = [node.inputs[column], node.inputs[row]];
            return TypedModelPatch::replace_single_op(graph, node, &operands, operation).map(Some);
        }
    }
    Ok(None)
}

/// `[inputs, outputs]` of a product whose operand `row` is a row and whose operand `matrix` has a row for each of its values; `None`
/// where it is another kind of product.
fn sides(product: &EinSum, facts: &[&TypedFact], output: &[usize], row: usize, matrix: usize) -> Option<[usize; 2]> {
    let shapes = [facts[row].shape.as_concrete()?, facts[matrix].shape.as_concrete()?];
    let [mut inputs, mut outputs] = [None, None];
    for axis in product.axes.iter_all_axes() {
        let side = |places: &[usize], shape: &[usize]| match *places {
            [] => Some((None, 1)),
            [place] => Some((Some(place), shape[place])),
            _ => None,
        };
        let (in_row, in_matrix) = (side(&axis.inputs[row], shapes[0])?, side(&axis.inputs[matrix], shapes[1])?);
        let in_output = side(&axis.outputs[0], output)?;
        match (in_row.1, in_matrix.1, in_output.1) {
            (1, 1, 1) => {}
            (in_row, count, 1) if in_row == count && in_output.0.is_none() && inputs.is_none() => {
                inputs = Some((count, in_matrix.0))
            }
            (1, count, in_output) if in_output == count && in_row.0.is_none() && outputs.is_none() => {
                outputs = Some((count, in_matrix.0));
            }
            _ => return None,
        }
    }
    let ((inputs, row_axis), (outputs, column_axis)) = (inputs?, outputs.unwrap_or((1, None)));
    // Rows one after the other.
    (column_axis.is_none() || row_axis < column_axis).then_some([inputs, outputs])
}

fn with_start(graph: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let sum = graph.node(id);
    if sum.op_as::<TypedBinOp>().is_none_or(|sum| !sum.0.is::<Add>()) {
        return Ok(None);
    }
    let shape = sum.outputs[0].fact.shape.clone();
    for (slot, outlet) in sum.inputs.iter().enumerate() {
        let (node, start) = (graph.node(outlet.node), sum.inputs[1 - slot]);
        let Some(product) = node.op_as::<RowProduct>().filter(|product| !product.has_start) else { continue };
        let is_alone = node.outputs[0].successors.len() == 1 && !graph.output_outlets()?.contains(outlet);
        if !is_alone || graph.outlet_fact(start)?.shape != shape || node.outputs[0].fact.shape != shape {
            continue;
        }
        let mut patch = TypedModelPatch::default();
        let operands = node.inputs.iter().chain([&start]).map(|operand| patch.tap_model(graph, *operand));
        let operands = operands.collect::<TractResult<TVec<OutletId>>>()?;
        let wire = patch.wire_node(&sum.name, RowProduct { has_start: true, ..product.clone() }, &operands)?;
        patch.shunt_outside(graph, OutletId::new(id, 0), wire[0])?;
        return Ok(Some(patch));
    }
    Ok(None)
}

// tract compares operations to find twins: two products are the same where they read the same matrix in memory.
impl PartialEq for RowProduct {
    fn eq(&self, other: &RowProduct) -> bool {
        let is_same = match (&self.matrix, &other.matrix) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        is_same && self.inputs == other.inputs && self.has_start == other.has_start && self.shape == other.shape
    }
}

impl Eq for RowProduct {}

impl Op for RowProduct {
    fn name(&self) -> StaticName {
        "RowProduct".into()
    }

    op_as_typed_op!();
}

impl EvalOp for RowProduct {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut y = match self.has_start.then(|| inputs.pop()) {
            Some(start) => start.context("a product without its inputs")?.into_tensor(),
            None => Tensor::zero::<f32>(&self.shape)?,
        };
        let mut values = y.try_as_plain_ram_mut()?;
        let sums = values.as_slice_mut::<f32>()?;
        let operand = |place: usize| inputs[place].try_as_plain_ram()?.as_slice::<f32>();
        match (&self.matrix, inputs.len()) {
            (Some(matrix), 1) => accumulate(self.instruction_set, matrix, operand(0)?, sums),
            (None, 2) => {
                let (x, rows) = (operand(0)?, operand(1)?);
                for (x, sums) in x.chunks_exact(self.inputs).zip(sums.chunks_exact_mut(self.outputs)) {
                    accumulate_rows(self.instruction_set, x, rows, sums);
                }
            }
            (_, count) => bail!("a product of {count} inputs"),
        }
        Ok(tvec!(y.into_tvalue()))
    }
}

impl TypedOp for RowProduct {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&self.shape)))
    }
}

for_each_instruction_set! {
    fn accumulate(matrix: &Matrix, x: &[f32], y: &mut [f32]) {
        matrix.accumulate(x, y)
    }
}

for_each_instruction_set! {
    /// `y += x M`, where `rows` holds `M` row after row, each as long as `y`.
    fn accumulate_rows(x: &[f32], rows: &[f32], y: &mut [f32]) {
        for (input, row) in x.iter().zip(rows.chunks_exact(y.len().max(1))) {
            for (sum, weight) in y.iter_mut().zip(row) {
                *sum += input * weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tract_onnx::tract_core::internal::{AxesMapping, IntoTValue};
    use tract_onnx::tract_core::ops::math::{add, mul};

    fn tensor(rng: &mut fastrand::Rng, shape: &[usize]) -> Tensor {
        // Small integers: every order of summation gives the same, exact result.
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.i16(-9..=9).into()).collect();
        Tensor::from_shape(shape, &values).unwrap()
    }

    /// Runs a graph as tract would, and with its products replaced; gives how many are left and how many were made.
    fn run_both(graph: TypedModel, inputs: &[Tensor]) -> ([Tensor; 2], [usize; 2]) {
        let replaced = with_row_products(graph.clone()).unwrap();
        let made = replaced.nodes().iter().filter(|node| node.op_is::<RowProduct>()).count();
        let left = replaced.nodes().iter().filter(|node| node.op_is::<EinSum>() || node.op_is::<TypedBinOp>()).count();
        let outputs = [graph, replaced].map(|graph| {
            let inputs = inputs.iter().map(|tensor| tensor.clone().into_tvalue()).collect();
            graph.into_optimized().unwrap().into_runnable().unwrap().run(inputs).unwrap()[0].clone().into_tensor()
        });
        (outputs, [left, made])
    }

    proptest! {
        #[test]
        fn equals_the_product_and_sum_of_tract(
            inputs in 2usize..70,
            outputs in 2usize..140,
            expression in prop::sample::select(vec!["mk,kn->mn", "mk,kn->n", "k,kn->mn", "k,kn->n", "kn,k->n", "kn,mk->nm"]),
            is_constant in any::<bool>(),
            is_half in any::<bool>(),
            has_start in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut graph = TypedModel::default();
            let side = |letter: char| match letter {
                'k' => inputs,
                'n' => outputs,
                _ => 1,
            };
            let shape = |letters: &str| letters.chars().map(side).collect::<Vec<usize>>();
            let (operands, result) = expression.split_once("->").unwrap();
            let (mut wires, mut values) = (Vec::new(), Vec::new());
            for (slot, letters) in operands.split(',').enumerate() {
                let mut value = tensor(&mut rng, &shape(letters));
                if letters == "kn" && is_constant {
                    if !is_half {
                        // Not a value of bfloat16.
                        value.try_as_plain_ram_mut().unwrap().as_slice_mut::<f32>().unwrap()[0] = 257.0;
                    }
                    wires.push(graph.add_const("constant", value).unwrap());
                } else {
                    wires.push(graph.add_source(format!("source {slot}"), f32::fact(value.shape())).unwrap());
                    values.push(value);
                }
            }
            let product = EinSum::new(expression.parse::<AxesMapping>().unwrap(), f32::datum_type());
            let mut wire = graph.wire_node("product", product, &wires).unwrap();
            if has_start {
                let start = tensor(&mut rng, &shape(result));
                wire.push(graph.add_source("start", f32::fact(start.shape())).unwrap());
                values.push(start);
                wire = graph.wire_node("sum", add(), &wire).unwrap();
            }
            graph.select_output_outlets(&wire).unwrap();
            let ([tracts, ours], [left, made]) = run_both(graph, &values);
            prop_assert_eq!(tracts, ours);
            prop_assert_eq!([left, made], [0, 1]);
        }

        #[test]
        fn equals_the_outer_product_of_tract(rows in 1usize..20, columns in 2usize..70, is_swapped in any::<bool>(), seed in any::<u64>()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut graph = TypedModel::default();
            let values = [&[rows, 1], &[1, columns], &[rows, columns]].map(|shape| tensor(&mut rng, shape));
            let mut source = |place: usize| graph.add_source(format!("source {place}"), f32::fact(values[place].shape())).unwrap();
            let [column, row, start] = [source(0), source(1), source(2)];
            let operands = if is_swapped { [row, column] } else { [column, row] };
            let product = graph.wire_node("product", mul(), &operands).unwrap();
            let sum = graph.wire_node("sum", add(), &[start, product[0]]).unwrap();
            graph.select_output_outlets(&sum).unwrap();
            let ([tracts, ours], [left, made]) = run_both(graph, &values);
            prop_assert_eq!(tracts, ours);
            prop_assert_eq!([left, made], [0, 1]);
        }
    }

    #[test]
    fn a_product_that_goes_elsewhere_too_keeps_its_own_value() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut graph = TypedModel::default();
        let values = [&[1, 3], &[1, 5]].map(|shape| tensor(&mut rng, shape));
        let x = graph.add_source("x", f32::fact(values[0].shape())).unwrap();
        let start = graph.add_source("start", f32::fact(values[1].shape())).unwrap();
        let matrix = graph.add_const("matrix", tensor(&mut rng, &[3, 5])).unwrap();
        let product = EinSum::new("mk,kn->mn".parse().unwrap(), f32::datum_type());
        let product = graph.wire_node("product", product, &[x, matrix]).unwrap()[0];
        let sum = graph.wire_node("sum", add(), &[product, start]).unwrap()[0];
        let both = graph.wire_node("both", mul(), &[product, sum]).unwrap();
        graph.select_output_outlets(&both).unwrap();
        let ([tracts, ours], [left, made]) = run_both(graph, &values);
        assert_eq!(tracts, ours);
        assert_eq!([left, made], [2, 1]);
    }

    #[test]
    fn products_of_two_matrices_stay_tracts() {
        let mut rng = fastrand::Rng::with_seed(1);
        for [rows, expression] in [["2", "mk,kn->mn"], ["2", "mk,kn->nm"], ["1", "mk,nk->mn"]] {
            let mut graph = TypedModel::default();
            let rows = rows.parse().unwrap();
            let second = if expression.contains("nk") { [5, 3] } else { [3, 5] };
            let values = [[rows, 3], second].map(|shape| tensor(&mut rng, &shape));
            let x = graph.add_source("x", f32::fact(values[0].shape())).unwrap();
            let matrix = graph.add_source("matrix", f32::fact(values[1].shape())).unwrap();
            let wire =
                graph.wire_node("product", EinSum::new(expression.parse().unwrap(), f32::datum_type()), &[x, matrix]).unwrap();
            graph.select_output_outlets(&wire).unwrap();
            let ([tracts, ours], [left, made]) = run_both(graph, &values);
            assert_eq!(tracts, ours);
            assert_eq!([left, made], [1, 0], "{rows} {expression}");
        }
    }
}

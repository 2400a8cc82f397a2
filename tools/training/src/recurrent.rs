//! Recurrent layers: long short-term memory and gated recurrent units, with torch's gates.
//!
//! Own forms rather than burn's: all gates of a step are one product, the inputs of all steps another, and they work in f64 too.

use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Long short-term memory (Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000). Gates stand in the order input,
/// forget, cell, output, as torch has them.
#[derive(Module, Debug)]
pub struct Lstm {
    gates: Gates,
}

/// Gated recurrent units (Cho et al., 2014). Gates stand in the order reset, update, new; the reset gate takes the hidden part of the new
/// one with its bias, as torch has it.
#[derive(Module, Debug)]
pub struct Gru {
    gates: Gates,
}

/// Weights of all gates side by side.
#[derive(Module, Debug)]
pub struct Gates {
    /// `[input, gates * hidden]`: torch's `weight_ih` turned.
    pub input_weight: Param<Tensor<2>>,
    /// `[hidden, gates * hidden]`: torch's `weight_hh` turned.
    pub hidden_weight: Param<Tensor<2>>,
    /// `[gates * hidden]`.
    pub input_bias: Param<Tensor<1>>,
    /// `[gates * hidden]`.
    pub hidden_bias: Param<Tensor<1>>,
}

impl Lstm {
    /// A layer of its first weights, uniform up to `1 / sqrt(hidden)`, the same for one seed.
    pub fn new(input: usize, hidden: usize, seed: u64, device: &Device) -> Self {
        Self { gates: Gates::new(input, hidden, 4, seed, device) }
    }

    /// A layer of these weights, four gates.
    pub fn from_gates(gates: Gates) -> Self {
        Self { gates }
    }

    /// Runs over `inputs` `[batch, steps, input]` from zeros: the output of every step `[batch, steps, hidden]` and the last cell
    /// `[batch, hidden]`. With `backwards` the last step comes first; outputs stay at their steps.
    pub fn forward(&self, inputs: Tensor<3>, backwards: bool) -> (Tensor<3>, Tensor<2>) {
        let zeros = self.gates.zeros(&inputs);
        let width = zeros.dims()[1];
        self.gates.run(inputs, backwards, zeros.clone(), zeros, |from_input, from_hidden, _, cell| {
            let gates = from_input + from_hidden;
            let gate = |place: usize| gates.clone().narrow(1, place * width, width);
            let cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * tanh(gate(2));
            (sigmoid(gate(3)) * tanh(cell.clone()), cell)
        })
    }
}

impl Gru {
    /// A layer of its first weights, uniform up to `1 / sqrt(hidden)`, the same for one seed.
    pub fn new(input: usize, hidden: usize, seed: u64, device: &Device) -> Self {
        Self { gates: Gates::new(input, hidden, 3, seed, device) }
    }

    /// A layer of these weights, three gates.
    pub fn from_gates(gates: Gates) -> Self {
        Self { gates }
    }

    /// Runs over `inputs` `[batch, steps, input]` from zeros: the output of every step `[batch, steps, hidden]`. With `backwards` the last
    /// step comes first; outputs stay at their steps.
    pub fn forward(&self, inputs: Tensor<3>, backwards: bool) -> Tensor<3> {
        let zeros = self.gates.zeros(&inputs);
        let width = zeros.dims()[1];
        let outputs = self.gates.run(inputs, backwards, zeros, (), |from_input, from_hidden, hidden, ()| {
            let gate = |of: &Tensor<2>, place: usize| of.clone().narrow(1, place * width, width);
            let sum = |place: usize| gate(&from_input, place) + gate(&from_hidden, place);
            let (reset, update) = (sigmoid(sum(0)), sigmoid(sum(1)));
            let new = tanh(gate(&from_input, 2) + reset * gate(&from_hidden, 2));
            (new.clone() + update * (hidden - new), ())
        });
        outputs.0
    }
}

impl Gates {
    fn new(input: usize, hidden: usize, gates: usize, seed: u64, device: &Device) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut uniform = |count: usize| -> Vec<f32> { (0..count).map(|_| bound * (2.0 * random.f32() - 1.0)).collect() };
        let width = gates * hidden;
        let mut matrix = |rows: usize| {
            Param::from_tensor(Tensor::from_data(TensorData::new(uniform(rows * width), [rows, width]), (device, DType::F32)))
        };
        let (input_weight, hidden_weight) = (matrix(input), matrix(hidden));
        let mut row = || Param::from_tensor(Tensor::from_data(TensorData::new(uniform(width), [width]), (device, DType::F32)));
        Self { input_weight, hidden_weight, input_bias: row(), hidden_bias: row() }
    }

    fn zeros(&self, inputs: &Tensor<3>) -> Tensor<2> {
        let hidden = self.hidden_weight.dims()[0];
        Tensor::zeros([inputs.dims()[0], hidden], (&inputs.device(), inputs.dtype()))
    }

    /// Each step's output from the gates' inputs, their hidden parts, the output before and what else is carried; and what is carried last.
    fn run<C>(
        &self,
        inputs: Tensor<3>,
        backwards: bool,
        mut hidden: Tensor<2>,
        mut carried: C,
        step: impl Fn(Tensor<2>, Tensor<2>, Tensor<2>, C) -> (Tensor<2>, C),
    ) -> (Tensor<3>, C) {
        let [batch, steps, width] = inputs.dims();
        let gates = self.input_bias.dims()[0];
        let from_inputs =
            inputs.reshape([batch * steps, width]).matmul(self.input_weight.val()) + self.input_bias.val().unsqueeze();
        let from_inputs = from_inputs.reshape([batch, steps, gates]);
        let (weight, bias) = (self.hidden_weight.val(), self.hidden_bias.val().unsqueeze::<2>());
        let mut outputs = Vec::with_capacity(steps);
        for step_at in 0..steps {
            let at = if backwards { steps - 1 - step_at } else { step_at };
            let from_input = from_inputs.clone().narrow(1, at, 1).reshape([batch, gates]);
            let from_hidden = hidden.clone().matmul(weight.clone()) + bias.clone();
            (hidden, carried) = step(from_input, from_hidden, hidden, carried);
            outputs.push(hidden.clone());
        }
        if backwards {
            outputs.reverse();
        }
        (Tensor::stack(outputs, 1), carried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn backwards_is_forward_over_turned_steps() {
        let device = Device::flex();
        let mut random = fastrand::Rng::with_seed(3);
        let inputs: Vec<f32> = (0..2 * 5 * 3).map(|_| random.f32() - 0.5).collect();
        let inputs = Tensor::<3>::from_data(TensorData::new(inputs, [2, 5, 3]), &device);
        let (lstm, gru) = (Lstm::new(3, 4, 1, &device), Gru::new(3, 4, 2, &device));
        let turned = inputs.clone().flip([1]);
        assert_eq!(values(lstm.forward(inputs.clone(), true).0), values(lstm.forward(turned.clone(), false).0.flip([1])));
        assert_eq!(values(gru.forward(inputs.clone(), true)), values(gru.forward(turned, false).flip([1])));
        assert_eq!(gru.forward(inputs, false).dims(), [2, 5, 4]);
    }
}

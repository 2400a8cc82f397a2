//! A matrix laid out for one product: a row vector from the left.

/// Outputs that one pass over the inputs computes: as many as stay in the registers of the plainest x86-64 and keep its adders busy.
const TILE: usize = 32;

/// A matrix `[inputs, outputs]`, kept as tiles of 32 columns, each read from start to end in one product. The last tile is padded
/// with zeros.
///
/// Each output is summed in the order of the inputs, whatever the vector width, so that results do not depend on the machine.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    inputs: usize,
    tiles: Vec<[f32; TILE]>,
}

impl Matrix {
    /// Lays out `values`, row after row of `outputs` each.
    pub(crate) fn new(values: &[f32], [inputs, outputs]: [usize; 2]) -> Matrix {
        let mut tiles = Vec::with_capacity(inputs * outputs.div_ceil(TILE));
        for first in (0..outputs).step_by(TILE) {
            for row in values.chunks_exact(outputs.max(1)) {
                let mut tile = [0.0; TILE];
                for (slot, value) in tile.iter_mut().zip(row.iter().skip(first)) {
                    *slot = *value;
                }
                tiles.push(tile);
            }
        }
        Matrix { inputs, tiles }
    }

    /// `y += x M`.
    #[inline]
    pub(crate) fn accumulate(&self, x: &[f32], y: &mut [f32]) {
        for (rows, outputs) in self.tiles.chunks_exact(self.inputs.max(1)).zip(y.chunks_mut(TILE)) {
            let mut sums = [0.0; TILE];
            for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
                *sum = *output;
            }
            for (input, row) in x.iter().zip(rows) {
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum += input * weight;
                }
            }
            for (output, sum) in outputs.iter_mut().zip(&sums) {
                *output = *sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_sum_by_definition(inputs in 1usize..40, outputs in 1usize..100, seed in any::<u64>()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            // Small integers: every order of summation gives the same, exact result.
            let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.i8(-8..=8).into()).collect() };
            let (values, x, start) = (draw(inputs * outputs), draw(inputs), draw(outputs));
            let mut y = start.clone();
            Matrix::new(&values, [inputs, outputs]).accumulate(&x, &mut y);
            for output in 0..outputs {
                let sum: f32 = (0..inputs).map(|input| x[input] * values[input * outputs + output]).sum();
                prop_assert_eq!(y[output], start[output] + sum);
            }
        }
    }
}

//! A matrix laid out for one product: a row vector from the left.

use std::ops::Range;

/// Outputs that one pass over the inputs computes: enough independent sums to keep the adders of the widest registers busy.
const TILE: usize = 64;
/// Half of a tile.
const HALF: usize = TILE / 2;

/// Tiles that one call of [`StepModel::keep_near`](crate::StepModel::keep_near) reads: 8 or 16 KiB.
pub(crate) const TILES_NEAR: usize = 64;

/// A matrix `[inputs, outputs]`, kept as tiles of 64 columns, each read from start to end in one product. The last tile is padded
/// with zeros.
///
/// Where every value is one of bfloat16 (the upper half of an f32), only those halves are kept, two to a word: a step reads each
/// weight once, and half of a usual model fits into a core's own cache. Nothing is rounded here, so both forms give the same bits.
///
/// Each output is summed in the order of the inputs, whatever the vector width, so that results do not depend on the machine.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    inputs: usize,
    tiles: Tiles,
}

#[derive(Clone, Debug)]
enum Tiles {
    Whole(Vec<[f32; TILE]>),
    /// A word holds column `i` of the tile in its lower half and column `i + 32` in its upper.
    Halves(Vec<[u32; HALF]>),
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
        let is_half = |value: &f32| value.to_bits() & 0xffff == 0;
        let tiles =
            if values.iter().all(is_half) { Tiles::Halves(tiles.iter().map(packed).collect()) } else { Tiles::Whole(tiles) };
        Matrix { inputs, tiles }
    }

    /// Number of tiles.
    pub(crate) fn tiles(&self) -> usize {
        match &self.tiles {
            Tiles::Whole(tiles) => tiles.len(),
            Tiles::Halves(tiles) => tiles.len(),
        }
    }

    /// Reads every cache line of some tiles; what comes back depends on all of them, so that nothing is left out.
    pub(crate) fn touch(&self, tiles: Range<usize>) -> u32 {
        /// Words of 4 bytes in a cache line.
        const LINE: usize = 16;
        let sum = |words: &mut dyn Iterator<Item = u32>| words.fold(0, |sum: u32, word| sum ^ word);
        match &self.tiles {
            Tiles::Whole(all) => {
                let tiles = all.get(tiles).unwrap_or_default();
                sum(&mut tiles.iter().flat_map(|tile| tile.iter().step_by(LINE).map(|value| value.to_bits())))
            }
            Tiles::Halves(all) => {
                let tiles = all.get(tiles).unwrap_or_default();
                sum(&mut tiles.iter().flat_map(|tile| tile.iter().step_by(LINE).copied()))
            }
        }
    }

    /// `y += x M`.
    // Inlined, as all that a step calls, into the step of each instruction set.
    #[inline(always)]
    pub(crate) fn accumulate(&self, x: &[f32], y: &mut [f32]) {
        match &self.tiles {
            Tiles::Whole(tiles) => accumulate(tiles, self.inputs, x, y, |tile| *tile),
            Tiles::Halves(tiles) => accumulate(tiles, self.inputs, x, y, widened),
        }
    }
}

#[inline(always)]
fn accumulate<T>(tiles: &[T], inputs: usize, x: &[f32], y: &mut [f32], widened: impl Fn(&T) -> [f32; TILE]) {
    for (rows, outputs) in tiles.chunks_exact(inputs.max(1)).zip(y.chunks_mut(TILE)) {
        let mut sums = [0.0; TILE];
        for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
            *sum = *output;
        }
        for (input, row) in x.iter().zip(rows) {
            for (sum, weight) in sums.iter_mut().zip(widened(row)) {
                *sum += input * weight;
            }
        }
        for (output, sum) in outputs.iter_mut().zip(&sums) {
            *output = *sum;
        }
    }
}

fn packed(tile: &[f32; TILE]) -> [u32; HALF] {
    std::array::from_fn(|place| tile[place].to_bits() >> 16 | tile[place + HALF].to_bits())
}

#[inline(always)]
fn widened(words: &[u32; HALF]) -> [f32; TILE] {
    let mut tile = [0.0; TILE];
    let (low, high) = tile.split_at_mut(HALF);
    for ((low, high), word) in low.iter_mut().zip(high).zip(words) {
        *low = f32::from_bits(word << 16);
        *high = f32::from_bits(word & 0xffff_0000);
    }
    tile
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_sum_by_definition(inputs in 1usize..40, outputs in 1usize..100, is_half in any::<bool>(), seed in any::<u64>()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            // Small integers: every order of summation gives the same, exact result. Those above 256 need not be bfloat16's.
            let bound = if is_half { 8 } else { 1_000 };
            let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.i16(-bound..=bound).into()).collect() };
            let (values, x, start) = (draw(inputs * outputs), draw(inputs), draw(outputs));
            let mut y = start.clone();
            let matrix = Matrix::new(&values, [inputs, outputs]);
            if is_half {
                prop_assert!(matches!(matrix.tiles, Tiles::Halves(_)));
            }
            matrix.accumulate(&x, &mut y);
            for output in 0..outputs {
                let sum: f32 = (0..inputs).map(|input| x[input] * values[input * outputs + output]).sum();
                prop_assert_eq!(y[output], start[output] + sum);
            }
        }
    }
}

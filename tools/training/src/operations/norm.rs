//! RMS normalisation and its gradients, fused. Rows are worked on in parallel, a fixed number together, and sums over them run in their
//! order.

use super::NORM_EPSILON;
use super::real::{Kernel, Real, dot, sum_rows, vectorised};
use chronos_inference::instruction_set::InstructionSet;
use rayon::prelude::*;

/// Rows that one piece of work takes.
const ROWS: usize = 128;

/// Rows of `gain.len()` values each.
#[derive(Clone, Copy)]
pub(super) struct RmsNorm<'a, F> {
    pub(super) x: &'a [F],
    pub(super) gain: &'a [F],
}

impl<F: Real> RmsNorm<'_, F> {
    pub(super) fn forward(&self) -> Vec<F> {
        let instruction_set = InstructionSet::widest();
        let mut y = vec![F::ZERO; self.x.len()];
        y.par_chunks_mut(self.piece_len()).zip(self.x.par_chunks(self.piece_len())).for_each(|(y, x)| {
            vectorised(instruction_set, Forward { norm: RmsNorm { x, ..*self }, y });
        });
        y
    }

    /// From the gradient of what [`RmsNorm::forward`] gives: the gradients of `x` and `gain`.
    pub(super) fn backward(&self, gradient: &[F]) -> (Vec<F>, Vec<F>) {
        let instruction_set = InstructionSet::widest();
        let mut of_x = vec![F::ZERO; self.x.len()];
        let mut of_gain = vec![F::ZERO; self.x.len().div_ceil(self.piece_len()) * self.gain.len()];
        let outputs = (of_x.par_chunks_mut(self.piece_len()), of_gain.par_chunks_mut(self.gain.len().max(1)));
        outputs.into_par_iter().enumerate().for_each(|(place, (of_x, of_gain))| {
            let piece = place * self.piece_len()..place * self.piece_len() + of_x.len();
            let (norm, gradient) = (RmsNorm { x: &self.x[piece.clone()], ..*self }, &gradient[piece]);
            vectorised(instruction_set, Backward { norm, gradient, of_x, of_gain });
        });
        (of_x, sum_rows(&of_gain, self.gain.len()))
    }

    fn piece_len(&self) -> usize {
        (ROWS * self.gain.len()).max(1)
    }

    /// `1 / sqrt(mean(x^2) + epsilon)`.
    #[inline(always)]
    fn scale(&self, x: &[F]) -> F {
        F::ONE / (dot(x, x) / F::from_f64(x.len() as f64) + F::from_f64(NORM_EPSILON)).sqrt()
    }
}

struct Forward<'a, F> {
    norm: RmsNorm<'a, F>,
    y: &'a mut [F],
}

impl<F: Real> Kernel for Forward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let width = self.norm.gain.len();
        for (y, x) in self.y.chunks_exact_mut(width).zip(self.norm.x.chunks_exact(width)) {
            let scale = self.norm.scale(x);
            for ((y, x), gain) in y.iter_mut().zip(x).zip(self.norm.gain) {
                *y = *x * scale * *gain;
            }
        }
    }
}

struct Backward<'a, F> {
    norm: RmsNorm<'a, F>,
    gradient: &'a [F],
    of_x: &'a mut [F],
    /// From zeros.
    of_gain: &'a mut [F],
}

impl<F: Real> Kernel for Backward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let width = self.norm.gain.len();
        let rows = self.norm.x.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        for ((x, gradient), of_x) in rows.zip(self.of_x.chunks_exact_mut(width)) {
            let scale = self.norm.scale(x);
            for ((of_x, gradient), gain) in of_x.iter_mut().zip(gradient).zip(self.norm.gain) {
                *of_x = *gradient * *gain;
            }
            // With g' = g gain: dx = scale (g' - x scale^2 mean(g' x)).
            let along = dot(of_x, x) / F::from_f64(width as f64) * scale * scale;
            for (((of_x, of_gain), gradient), x) in of_x.iter_mut().zip(self.of_gain.iter_mut()).zip(gradient).zip(x) {
                *of_gain += *gradient * *x * scale;
                *of_x = (*of_x - *x * along) * scale;
            }
        }
    }
}

//! The causal convolution with its silu, and its gradients, fused. Sequences of a batch are worked on in parallel; sums over them run in
//! the order of the batch.

use super::real::{Kernel, Real, sum_rows, vectorised};
use chronos_inference::instruction_set::InstructionSet;
use rayon::prelude::*;

/// Everything a convolution reads, row after row; the shapes are [`super::causal_conv_silu`]'s.
#[derive(Clone, Copy)]
pub(super) struct Convolution<'a, F> {
    pub(super) steps: usize,
    pub(super) channels: usize,
    pub(super) x: &'a [F],
    pub(super) taps: &'a [F],
    pub(super) bias: &'a [F],
}

/// Gradients in the order and shapes of the inputs.
pub(super) struct ConvolutionGradients<F> {
    pub(super) x: Vec<F>,
    pub(super) taps: Vec<F>,
    pub(super) bias: Vec<F>,
}

impl<F: Real> Convolution<'_, F> {
    /// `[batch, steps, channels]`.
    pub(super) fn forward(&self) -> Vec<F> {
        let instruction_set = InstructionSet::widest();
        let mut y = vec![F::ZERO; self.x.len()];
        y.par_chunks_mut(self.sequence_len()).enumerate().for_each(|(place, y)| {
            vectorised(instruction_set, Forward { convolution: self.sequence(place), y });
        });
        y
    }

    /// From the gradient of what [`Convolution::forward`] gives.
    pub(super) fn backward(&self, gradient: &[F]) -> ConvolutionGradients<F> {
        let instruction_set = InstructionSet::widest();
        let batch = self.x.len() / self.sequence_len();
        let parameters_len = self.taps.len() + self.bias.len();
        let mut x = vec![F::ZERO; self.x.len()];
        let mut parameters = vec![F::ZERO; batch * parameters_len];
        let outputs = (x.par_chunks_mut(self.sequence_len()), parameters.par_chunks_mut(parameters_len.max(1)));
        outputs.into_par_iter().enumerate().for_each(|(place, (x, parameters))| {
            let convolution = self.sequence(place);
            let gradient = &gradient[place * self.sequence_len()..][..convolution.x.len()];
            let (taps, bias) = parameters.split_at_mut(self.taps.len());
            vectorised(instruction_set, Backward { convolution, gradient, x, taps, bias });
        });
        let mut taps = sum_rows(&parameters, parameters_len);
        let bias = taps.split_off(self.taps.len());
        ConvolutionGradients { x, taps, bias }
    }

    /// One sequence of the batch.
    fn sequence(&self, place: usize) -> Self {
        Convolution { x: &self.x[place * self.sequence_len()..][..self.sequence_len()], ..*self }
    }

    fn sequence_len(&self) -> usize {
        (self.steps * self.channels).max(1)
    }

    /// The taps that reach `step`, each with the step it reads.
    #[inline(always)]
    fn reach(&self, step: usize) -> impl Iterator<Item = (usize, usize)> {
        let count = self.taps.len() / self.channels.max(1);
        (0..count).filter_map(move |tap| (step + tap + 1).checked_sub(count).map(|read| (tap, read)))
    }

    #[inline(always)]
    fn row(&self, step: usize) -> &[F] {
        &self.x[step * self.channels..][..self.channels]
    }

    #[inline(always)]
    fn tap(&self, tap: usize) -> &[F] {
        &self.taps[tap * self.channels..][..self.channels]
    }

    /// What the silu takes at `step`.
    #[inline(always)]
    fn convolve(&self, step: usize, sums: &mut [F]) {
        sums.copy_from_slice(self.bias);
        for (tap, read) in self.reach(step) {
            for ((sum, x), weight) in sums.iter_mut().zip(self.row(read)).zip(self.tap(tap)) {
                *sum += *x * *weight;
            }
        }
    }
}

struct Forward<'a, F> {
    convolution: Convolution<'a, F>,
    y: &'a mut [F],
}

impl<F: Real> Kernel for Forward<'_, F> {
    #[inline(always)]
    fn run(self) {
        for (step, y) in self.y.chunks_exact_mut(self.convolution.channels).enumerate() {
            self.convolution.convolve(step, y);
            for value in y {
                *value = *value * value.sigmoid();
            }
        }
    }
}

/// One sequence's gradients, all from zeros.
struct Backward<'a, F> {
    convolution: Convolution<'a, F>,
    gradient: &'a [F],
    x: &'a mut [F],
    taps: &'a mut [F],
    bias: &'a mut [F],
}

impl<F: Real> Kernel for Backward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Backward { convolution, gradient, x, taps, bias } = self;
        let channels = convolution.channels;
        let mut row = vec![F::ZERO; channels];
        for (step, gradient) in gradient.chunks_exact(channels).enumerate() {
            convolution.convolve(step, &mut row);
            for ((value, gradient), bias) in row.iter_mut().zip(gradient).zip(bias.iter_mut()) {
                let open = value.sigmoid();
                *value = *gradient * open * (F::ONE + *value * (F::ONE - open));
                *bias += *value;
            }
            for (tap, read) in convolution.reach(step) {
                let of_taps = &mut taps[tap * channels..][..channels];
                for ((of_tap, gradient), x) in of_taps.iter_mut().zip(&row).zip(convolution.row(read)) {
                    *of_tap += *gradient * *x;
                }
                let of_x = &mut x[read * channels..][..channels];
                for ((of_x, gradient), weight) in of_x.iter_mut().zip(&row).zip(convolution.tap(tap)) {
                    *of_x += *gradient * *weight;
                }
            }
        }
    }
}

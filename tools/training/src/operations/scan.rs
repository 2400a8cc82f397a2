//! The selective scan and its gradients, fused: softplus, discretisation, scan, path around and gate in one pass.
//!
//! A tile of channels is taken through all steps, one state after the other, so that what is carried stays in registers and what the
//! backward pass needs of every step is computed again in the core's own cache instead of being kept: `exp` costs less than memory.
//! Sequences of a batch are worked on in parallel; sums over them run in the order of the batch, whatever the number of threads.

use super::real::{Kernel, LANES, Real, load, store, sum, sum_rows, vectorised};
use chronos_inference::instruction_set::InstructionSet;
use rayon::prelude::*;
use std::f64::consts::LOG2_E;

/// Half of the lanes.
const HALF: usize = LANES / 2;

/// Everything a scan reads, row after row; the shapes are [`super::ScanInput`]'s.
pub(super) struct Scan<'a, F> {
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) channels: usize,
    pub(super) states: usize,
    pub(super) u: &'a [F],
    pub(super) delta: &'a [F],
    pub(super) delta_bias: &'a [F],
    pub(super) a_log: &'a [F],
    pub(super) b: &'a [F],
    pub(super) c: &'a [F],
    pub(super) d: &'a [F],
    pub(super) z: &'a [F],
}

/// Gradients in the order and shapes of the inputs.
pub(super) struct ScanGradients<F> {
    pub(super) u: Vec<F>,
    pub(super) delta: Vec<F>,
    pub(super) delta_bias: Vec<F>,
    pub(super) a_log: Vec<F>,
    pub(super) b: Vec<F>,
    pub(super) c: Vec<F>,
    pub(super) d: Vec<F>,
    pub(super) z: Vec<F>,
}

impl<F: Real> Scan<'_, F> {
    /// `[batch, steps, channels]`.
    pub(super) fn forward(&self) -> Vec<F> {
        let (instruction_set, rates) = (InstructionSet::widest(), self.rates());
        let mut y = vec![F::ZERO; self.u.len()];
        y.par_chunks_mut(self.sequence_len()).enumerate().for_each(|(place, y)| {
            vectorised(instruction_set, Forward { scan: self.sequence(place), rates: &rates, y });
        });
        y
    }

    /// From the gradient of what [`Scan::forward`] gives.
    pub(super) fn backward(&self, gradient: &[F]) -> ScanGradients<F> {
        let (instruction_set, rates) = (InstructionSet::widest(), self.rates());
        let parameters_len = (self.states + 2) * self.channels;
        let zeros = |count: usize| vec![F::ZERO; count];
        let (mut u, mut delta, mut z) = (zeros(self.u.len()), zeros(self.u.len()), zeros(self.u.len()));
        let (mut b, mut c) = (zeros(self.b.len()), zeros(self.b.len()));
        let mut parameters = zeros(self.batch * parameters_len);
        let states_len = (self.steps * self.states).max(1);
        let outputs = (
            u.par_chunks_mut(self.sequence_len()),
            delta.par_chunks_mut(self.sequence_len()),
            z.par_chunks_mut(self.sequence_len()),
            b.par_chunks_mut(states_len),
            c.par_chunks_mut(states_len),
            parameters.par_chunks_mut(parameters_len.max(1)),
        );
        outputs.into_par_iter().enumerate().for_each(|(place, (u, delta, z, b, c, parameters))| {
            let scan = self.sequence(place);
            let gradient = &gradient[place * scan.u.len()..][..scan.u.len()];
            let (a_log, vectors) = parameters.split_at_mut(self.states * self.channels);
            let (d, delta_bias) = vectors.split_at_mut(self.channels);
            vectorised(instruction_set, Backward { scan, rates: &rates, gradient, u, delta, delta_bias, a_log, b, c, d, z });
        });
        let mut a_log = sum_rows(&parameters, parameters_len);
        let mut d = a_log.split_off(self.states * self.channels);
        let delta_bias = d.split_off(self.channels);
        ScanGradients { u, delta, delta_bias, a_log, b, c, d, z }
    }

    /// One sequence of the batch.
    fn sequence(&self, place: usize) -> Scan<'_, F> {
        let channels = place * self.steps * self.channels..(place + 1) * self.steps * self.channels;
        let states = place * self.steps * self.states..(place + 1) * self.steps * self.states;
        Scan {
            batch: 1,
            u: &self.u[channels.clone()],
            delta: &self.delta[channels.clone()],
            z: &self.z[channels],
            b: &self.b[states.clone()],
            c: &self.c[states],
            ..*self
        }
    }

    fn sequence_len(&self) -> usize {
        (self.steps * self.channels).max(1)
    }

    fn rates(&self) -> Rates<F> {
        let natural = |a_log: &F| -a_log.to_f64().exp();
        Rates {
            natural: self.a_log.iter().map(|a_log| F::from_f64(natural(a_log))).collect(),
            binary: self.a_log.iter().map(|a_log| F::from_f64(natural(a_log) * LOG2_E)).collect(),
        }
    }
}

/// `A`, and `A / ln 2` for powers of 2, as the native step takes them.
struct Rates<F> {
    natural: Vec<F>,
    binary: Vec<F>,
}

/// What a tile of channels holds of one step. All of it in one place, so that the compiler knows its parts apart.
#[derive(Clone, Copy)]
struct Row<F> {
    /// `delta'`.
    delta: [F; LANES],
    /// `delta' u`.
    entering: [F; LANES],
    /// `y` before the gate.
    y: [F; LANES],
    /// Of one state.
    decay: [F; LANES],
    /// Of one state.
    state: [F; LANES],
    /// Gradient of `y` before the gate.
    of_y: [F; LANES],
    /// Gradient of `delta'`, where it sets the decay.
    of_delta: [F; LANES],
    /// Gradient of `delta' u`.
    of_entering: [F; LANES],
}

/// One row a step.
fn rows<F: Real>(steps: usize) -> Vec<Row<F>> {
    let zeros = [F::ZERO; LANES];
    let row = Row {
        delta: zeros,
        entering: zeros,
        y: zeros,
        decay: zeros,
        state: zeros,
        of_y: zeros,
        of_delta: zeros,
        of_entering: zeros,
    };
    vec![row; steps]
}

/// Everything that does not depend on the state, for the channels from `first`.
#[inline(always)]
fn enter<F: Real>(rows: &mut [Row<F>], scan: &Scan<'_, F>, first: usize) {
    let (bias, d) = (load(scan.delta_bias, first), load(scan.d, first));
    let inputs = scan.u.chunks_exact(scan.channels).zip(scan.delta.chunks_exact(scan.channels));
    for (row, (u, raw)) in rows.iter_mut().zip(inputs) {
        let (u, raw) = (load(u, first), load(raw, first));
        for lane in 0..LANES {
            row.delta[lane] = (raw[lane] + bias[lane]).softplus();
            row.entering[lane] = row.delta[lane] * u[lane];
            row.y[lane] = d[lane] * u[lane];
        }
    }
}

/// One step of one state: `state = 2^(delta rate) state + b entering`, `y += c state`.
#[inline(always)]
fn advance<F: Real>(state: &mut [F; LANES], rate: &[F; LANES], row: &mut Row<F>, (b, c): (F, F)) {
    for lane in 0..LANES {
        row.decay[lane] = (row.delta[lane] * rate[lane]).exp2();
        state[lane] = row.decay[lane] * state[lane] + b * row.entering[lane];
        row.y[lane] += c * state[lane];
    }
}

struct Forward<'a, F> {
    scan: Scan<'a, F>,
    rates: &'a Rates<F>,
    y: &'a mut [F],
}

impl<F: Real> Kernel for Forward<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Forward { scan, rates, y } = self;
        let mut rows = rows(scan.steps);
        for first in (0..scan.channels).step_by(LANES) {
            enter(&mut rows, &scan, first);
            for place in 0..scan.states {
                let rate = load(&rates.binary[place * scan.channels..][..scan.channels], first);
                let mut state = [F::ZERO; LANES];
                for (step, row) in rows.iter_mut().enumerate() {
                    let at = step * scan.states + place;
                    advance(&mut state, &rate, row, (scan.b[at], scan.c[at]));
                }
            }
            let outputs = y.chunks_exact_mut(scan.channels).zip(scan.z.chunks_exact(scan.channels));
            for ((output, z), row) in outputs.zip(&rows) {
                let mut gated = load(z, first);
                for (gated, y) in gated.iter_mut().zip(&row.y) {
                    *gated = *y * (*gated * gated.sigmoid());
                }
                store(output, first, &gated);
            }
        }
    }
}

/// One sequence's gradients.
struct Backward<'a, F> {
    scan: Scan<'a, F>,
    rates: &'a Rates<F>,
    gradient: &'a [F],
    u: &'a mut [F],
    delta: &'a mut [F],
    delta_bias: &'a mut [F],
    a_log: &'a mut [F],
    b: &'a mut [F],
    c: &'a mut [F],
    d: &'a mut [F],
    z: &'a mut [F],
}

impl<F: Real> Kernel for Backward<'_, F> {
    #[inline(always)]
    fn run(mut self) {
        let mut rows = rows(self.scan.steps);
        // Of B and C, which every channel adds to: summed over the tiles lane by lane, and over the lanes once. A row a state, so that
        // a state's steps lie side by side.
        let mut of_b = vec![[F::ZERO; HALF]; self.scan.b.len()];
        let mut of_c = of_b.clone();
        for first in (0..self.scan.channels).step_by(LANES) {
            enter(&mut rows, &self.scan, first);
            self.through_gate(first, &mut rows);
            for place in 0..self.scan.states {
                self.through_state(first, place, &mut rows, (&mut of_b, &mut of_c));
            }
            self.gradients_of_inputs(first, &rows);
        }
        for step in 0..rows.len() {
            for place in 0..self.scan.states {
                self.b[step * self.scan.states + place] = sum(of_b[place * rows.len() + step]);
                self.c[step * self.scan.states + place] = sum(of_c[place * rows.len() + step]);
            }
        }
    }
}

impl<F: Real> Backward<'_, F> {
    /// From the gradient of the output to that of `y`; clears what the states add up.
    #[inline(always)]
    fn through_gate(&self, first: usize, rows: &mut [Row<F>]) {
        let channels = self.scan.channels;
        let inputs = self.gradient.chunks_exact(channels).zip(self.scan.z.chunks_exact(channels));
        for (row, (gradient, z)) in rows.iter_mut().zip(inputs) {
            let (gradient, z) = (load(gradient, first), load(z, first));
            for lane in 0..LANES {
                row.of_y[lane] = gradient[lane] * (z[lane] * z[lane].sigmoid());
            }
            row.of_delta = [F::ZERO; LANES];
            row.of_entering = [F::ZERO; LANES];
        }
    }

    /// Runs one state forward once more, then its gradient backward.
    #[inline(always)]
    fn through_state(
        &mut self,
        first: usize,
        place: usize,
        rows: &mut [Row<F>],
        (of_b, of_c): (&mut [[F; HALF]], &mut [[F; HALF]]),
    ) {
        let (states, channels) = (self.scan.states, self.scan.channels);
        let of_state = place * channels..(place + 1) * channels;
        let (rate, binary) =
            (load(&self.rates.natural[of_state.clone()], first), load(&self.rates.binary[of_state.clone()], first));
        let mut state = [F::ZERO; LANES];
        for (step, row) in rows.iter_mut().enumerate() {
            let at = step * states + place;
            advance(&mut state, &binary, row, (self.scan.b[at], self.scan.c[at]));
            row.state = state;
        }
        let (of_b, of_c) = (&mut of_b[place * rows.len()..][..rows.len()], &mut of_c[place * rows.len()..][..rows.len()]);
        // The gradient that comes back through the state from later steps, and that of the rate.
        let (mut carried, mut of_rate) = ([F::ZERO; LANES], [F::ZERO; LANES]);
        for step in (0..rows.len()).rev() {
            let at = step * states + place;
            let (b, c) = (self.scan.b[at], self.scan.c[at]);
            let previous = if step == 0 { [F::ZERO; LANES] } else { rows[step - 1].state };
            let row = &mut rows[step];
            let (mut to_b, mut to_c) = ([F::ZERO; LANES], [F::ZERO; LANES]);
            for lane in 0..LANES {
                let of_state = carried[lane] + c * row.of_y[lane];
                carried[lane] = of_state * row.decay[lane];
                to_c[lane] = row.of_y[lane] * row.state[lane];
                to_b[lane] = of_state * row.entering[lane];
                row.of_entering[lane] += of_state * b;
                let of_exponent = carried[lane] * previous[lane];
                row.of_delta[lane] += of_exponent * rate[lane];
                of_rate[lane] += of_exponent * row.delta[lane];
            }
            let (of_b, of_c) = (&mut of_b[step], &mut of_c[step]);
            for lane in 0..HALF {
                of_b[lane] += to_b[lane] + to_b[lane + HALF];
                of_c[lane] += to_c[lane] + to_c[lane + HALF];
            }
        }
        for lane in 0..LANES {
            // A = -exp(a_log) is its own derivative.
            of_rate[lane] = of_rate[lane] * rate[lane];
        }
        store(&mut self.a_log[of_state], first, &of_rate);
    }

    /// From what the states added up to the gradients of the inputs.
    #[inline(always)]
    fn gradients_of_inputs(&mut self, first: usize, rows: &[Row<F>]) {
        let channels = self.scan.channels;
        let (bias, d) = (load(self.scan.delta_bias, first), load(self.scan.d, first));
        let (mut of_d, mut of_bias) = ([F::ZERO; LANES], [F::ZERO; LANES]);
        for (step, row) in rows.iter().enumerate() {
            let at = step * channels..(step + 1) * channels;
            let read = |sequence: &[F]| load(&sequence[at.clone()], first);
            let (u, raw, z, gradient) = (read(self.scan.u), read(self.scan.delta), read(self.scan.z), read(self.gradient));
            let (mut to_u, mut to_delta, mut to_z) = ([F::ZERO; LANES], [F::ZERO; LANES], [F::ZERO; LANES]);
            for lane in 0..LANES {
                let open = z[lane].sigmoid();
                to_z[lane] = gradient[lane] * row.y[lane] * open * (F::ONE + z[lane] * (F::ONE - open));
                to_u[lane] = row.of_entering[lane] * row.delta[lane] + row.of_y[lane] * d[lane];
                let of_delta = row.of_delta[lane] + row.of_entering[lane] * u[lane];
                to_delta[lane] = of_delta * (raw[lane] + bias[lane]).sigmoid();
                of_d[lane] += row.of_y[lane] * u[lane];
                of_bias[lane] += to_delta[lane];
            }
            store(&mut self.u[at.clone()], first, &to_u);
            store(&mut self.delta[at.clone()], first, &to_delta);
            store(&mut self.z[at], first, &to_z);
        }
        store(self.d, first, &of_d);
        store(self.delta_bias, first, &of_bias);
    }
}

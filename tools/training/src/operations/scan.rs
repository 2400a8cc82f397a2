//! The selective scan and its gradients, fused: softplus, discretisation, scan, path around and gate in one pass.
//!
//! A tile of channels is taken through all steps, one state after the other, so that what is carried stays in registers and what the
//! backward pass needs of every step is computed again in the core's own cache instead of being kept: `exp` costs less than memory.
//! Sequences of a batch are worked on in parallel; sums over them run in the order of the batch, whatever the number of threads.

use super::real::{Kernel, LANES, Real, load, store, sum, sum_rows, vectorised};
use chronos_inference::instruction_set::InstructionSet;
use rayon::prelude::*;
use std::f64::consts::LOG2_E;

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
        let natural: Vec<f64> = self.a_log.iter().map(|a_log| -a_log.to_f64().exp()).collect();
        Rates {
            binary: natural.iter().map(|rate| F::from_f64(rate * LOG2_E)).collect(),
            natural: natural.into_iter().map(F::from_f64).collect(),
        }
    }
}

/// `A`, and `A / ln 2` for powers of 2, as the native step takes them.
struct Rates<F> {
    natural: Vec<F>,
    binary: Vec<F>,
}

/// What the states do to a tile of channels, a row a step.
struct Tile<F> {
    /// `delta'`.
    delta: Vec<[F; LANES]>,
    /// `delta' u`.
    entering: Vec<[F; LANES]>,
    /// `y` before the gate.
    y: Vec<[F; LANES]>,
}

impl<F: Real> Tile<F> {
    fn new(steps: usize) -> Tile<F> {
        let rows = || vec![[F::ZERO; LANES]; steps];
        Tile { delta: rows(), entering: rows(), y: rows() }
    }

    /// Everything that does not depend on the state, for the channels from `first`.
    #[inline(always)]
    fn enter(&mut self, scan: &Scan<'_, F>, first: usize) {
        let (bias, d) = (load(scan.delta_bias, first), load(scan.d, first));
        let rows = scan.u.chunks_exact(scan.channels).zip(scan.delta.chunks_exact(scan.channels));
        let tile = self.delta.iter_mut().zip(&mut self.entering).zip(&mut self.y);
        for ((u, raw), ((delta, entering), y)) in rows.zip(tile) {
            let (u, raw) = (load(u, first), load(raw, first));
            for lane in 0..LANES {
                delta[lane] = (raw[lane] + bias[lane]).softplus();
                entering[lane] = delta[lane] * u[lane];
                y[lane] = d[lane] * u[lane];
            }
        }
    }
}

/// One step of one state: `state = 2^(delta rate) state + b entering`, `y += c state`. Gives the decay.
#[inline(always)]
fn advance<F: Real>(
    state: &mut [F; LANES],
    rate: &[F; LANES],
    (delta, entering, y): (&[F; LANES], &[F; LANES], &mut [F; LANES]),
    (b, c): (F, F),
) -> [F; LANES] {
    let mut decay = [F::ZERO; LANES];
    for lane in 0..LANES {
        decay[lane] = (delta[lane] * rate[lane]).exp2();
        state[lane] = decay[lane] * state[lane] + b * entering[lane];
        y[lane] += c * state[lane];
    }
    decay
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
        let mut tile = Tile::new(scan.steps);
        for first in (0..scan.channels).step_by(LANES) {
            tile.enter(&scan, first);
            for place in 0..scan.states {
                let rate = load(&rates.binary[place * scan.channels..][..scan.channels], first);
                let mut state = [F::ZERO; LANES];
                for step in 0..scan.steps {
                    let (b, c) = (scan.b[step * scan.states + place], scan.c[step * scan.states + place]);
                    advance(&mut state, &rate, (&tile.delta[step], &tile.entering[step], &mut tile.y[step]), (b, c));
                }
            }
            let rows = y.chunks_exact_mut(scan.channels).zip(scan.z.chunks_exact(scan.channels));
            for ((row, z), y) in rows.zip(&tile.y) {
                let mut z = load(z, first);
                for lane in 0..LANES {
                    z[lane] = y[lane] * (z[lane] * z[lane].sigmoid());
                }
                store(row, first, &z);
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

/// Gradients of a tile of channels, and what of the scan they need, a row a step.
struct TileGradients<F> {
    decay: Vec<[F; LANES]>,
    /// Before the first step, and after each.
    state: Vec<[F; LANES]>,
    /// Of `y` before the gate.
    y: Vec<[F; LANES]>,
    /// Of `delta'`, where it sets the decay.
    delta: Vec<[F; LANES]>,
    /// Of `delta' u`.
    entering: Vec<[F; LANES]>,
}

/// Lanes that are left of a tile's while its channels are summed up.
const SHARED_LANES: usize = 8;

/// Gradients of what the channels share in one state at one step. They stay lanes until all tiles are through: a sum across a register
/// costs more than a sum of two.
#[derive(Clone)]
struct Shared<F> {
    b: [F; SHARED_LANES],
    c: [F; SHARED_LANES],
}

impl<F: Real> Shared<F> {
    #[inline(always)]
    fn add(&mut self, b: &[F; LANES], c: &[F; LANES]) {
        for lane in 0..SHARED_LANES {
            let (mut of_b, mut of_c) = (b[lane], c[lane]);
            for group in 1..LANES / SHARED_LANES {
                of_b += b[group * SHARED_LANES + lane];
                of_c += c[group * SHARED_LANES + lane];
            }
            self.b[lane] += of_b;
            self.c[lane] += of_c;
        }
    }
}

impl<F: Real> Kernel for Backward<'_, F> {
    #[inline(always)]
    fn run(mut self) {
        let (steps, states) = (self.scan.steps, self.scan.states);
        let rows = |count: usize| vec![[F::ZERO; LANES]; count];
        let mut tile = Tile::new(steps);
        let mut gradients =
            TileGradients { decay: rows(steps), state: rows(steps + 1), y: rows(steps), delta: rows(steps), entering: rows(steps) };
        let mut shared = vec![Shared { b: [F::ZERO; SHARED_LANES], c: [F::ZERO; SHARED_LANES] }; steps * states];
        for first in (0..self.scan.channels).step_by(LANES) {
            tile.enter(&self.scan, first);
            self.through_gate(first, &mut gradients);
            for place in 0..states {
                self.through_state(first, place, &mut tile, &mut gradients, &mut shared[place * steps..][..steps]);
            }
            self.reach_inputs(first, &tile, &gradients);
        }
        for (place, shared) in shared.chunks_exact(steps.max(1)).enumerate() {
            for (step, of) in shared.iter().enumerate() {
                self.b[step * states + place] = sum(of.b);
                self.c[step * states + place] = sum(of.c);
            }
        }
    }
}

impl<F: Real> Backward<'_, F> {
    /// From the gradient of the output to that of `y`; clears what the states add up.
    #[inline(always)]
    fn through_gate(&self, first: usize, gradients: &mut TileGradients<F>) {
        let channels = self.scan.channels;
        for (step, y) in gradients.y.iter_mut().enumerate() {
            let gradient = load(&self.gradient[step * channels..][..channels], first);
            let z = load(&self.scan.z[step * channels..][..channels], first);
            for lane in 0..LANES {
                y[lane] = gradient[lane] * (z[lane] * z[lane].sigmoid());
            }
        }
        gradients.delta.fill([F::ZERO; LANES]);
        gradients.entering.fill([F::ZERO; LANES]);
    }

    /// Runs one state forward once more, then its gradient backward.
    #[inline(always)]
    fn through_state(
        &mut self,
        first: usize,
        place: usize,
        tile: &mut Tile<F>,
        gradients: &mut TileGradients<F>,
        shared: &mut [Shared<F>],
    ) {
        let (steps, states, channels) = (self.scan.steps, self.scan.states, self.scan.channels);
        let row = place * channels..(place + 1) * channels;
        let (rate, binary) = (load(&self.rates.natural[row.clone()], first), load(&self.rates.binary[row.clone()], first));
        // Slices of one length each: nothing is checked within the loops.
        let (delta, entering, y) = (&tile.delta[..steps], &tile.entering[..steps], &mut tile.y[..steps]);
        let (decay, states_after) = (&mut gradients.decay[..steps], &mut gradients.state[1..][..steps]);
        let (b, c) = (&self.scan.b[..steps * states], &self.scan.c[..steps * states]);
        let mut state = [F::ZERO; LANES];
        for step in 0..steps {
            let at = step * states + place;
            decay[step] = advance(&mut state, &binary, (&delta[step], &entering[step], &mut y[step]), (b[at], c[at]));
            states_after[step] = state;
        }
        let (before, after) = (&gradients.state[..steps], &gradients.state[1..][..steps]);
        let (of_y, of_delta, of_entering) =
            (&gradients.y[..steps], &mut gradients.delta[..steps], &mut gradients.entering[..steps]);
        let shared = &mut shared[..steps];
        // The gradient that comes back through the state from later steps, and that of the rate.
        let (mut carried, mut of_rate) = ([F::ZERO; LANES], [F::ZERO; LANES]);
        for step in (0..steps).rev() {
            let at = step * states + place;
            let (b, c) = (b[at], c[at]);
            // Copies: of the rows themselves the compiler does not know that they are apart, and takes a lane after the other.
            let (of_y, decay, before, after) = (of_y[step], decay[step], before[step], after[step]);
            let (delta, entering) = (delta[step], entering[step]);
            let (mut to_delta, mut to_entering) = (of_delta[step], of_entering[step]);
            let (mut to_b, mut to_c) = ([F::ZERO; LANES], [F::ZERO; LANES]);
            for lane in 0..LANES {
                let of_state = carried[lane] + c * of_y[lane];
                carried[lane] = of_state * decay[lane];
                let of_exponent = carried[lane] * before[lane];
                to_c[lane] = of_y[lane] * after[lane];
                to_b[lane] = of_state * entering[lane];
                to_entering[lane] += of_state * b;
                to_delta[lane] += of_exponent * rate[lane];
                of_rate[lane] += of_exponent * delta[lane];
            }
            (of_delta[step], of_entering[step]) = (to_delta, to_entering);
            shared[step].add(&to_b, &to_c);
        }
        for lane in 0..LANES {
            // A = -exp(a_log) is its own derivative.
            of_rate[lane] = of_rate[lane] * rate[lane];
        }
        store(&mut self.a_log[row], first, &of_rate);
    }

    /// From what the states added up to the gradients of the inputs.
    #[inline(always)]
    fn reach_inputs(&mut self, first: usize, tile: &Tile<F>, gradients: &TileGradients<F>) {
        let channels = self.scan.channels;
        let (bias, d) = (load(self.scan.delta_bias, first), load(self.scan.d, first));
        let (mut of_d, mut of_bias) = ([F::ZERO; LANES], [F::ZERO; LANES]);
        for step in 0..self.scan.steps {
            let row = step * channels..(step + 1) * channels;
            let read = |sequence: &[F]| load(&sequence[row.clone()], first);
            let (u, raw, z, gradient) = (read(self.scan.u), read(self.scan.delta), read(self.scan.z), read(self.gradient));
            let (delta, y) = (&tile.delta[step], &tile.y[step]);
            let (of_y, of_entering, of_delta) = (&gradients.y[step], &gradients.entering[step], &gradients.delta[step]);
            let (mut to_u, mut to_delta, mut to_z) = ([F::ZERO; LANES], [F::ZERO; LANES], [F::ZERO; LANES]);
            for lane in 0..LANES {
                let open = z[lane].sigmoid();
                to_z[lane] = gradient[lane] * y[lane] * open * (F::ONE + z[lane] * (F::ONE - open));
                to_u[lane] = of_entering[lane] * delta[lane] + of_y[lane] * d[lane];
                to_delta[lane] = (of_delta[lane] + of_entering[lane] * u[lane]) * (raw[lane] + bias[lane]).sigmoid();
                of_d[lane] += of_y[lane] * u[lane];
                of_bias[lane] += to_delta[lane];
            }
            store(&mut self.u[row.clone()], first, &to_u);
            store(&mut self.delta[row.clone()], first, &to_delta);
            store(&mut self.z[row], first, &to_z);
        }
        store(self.d, first, &of_d);
        store(self.delta_bias, first, &of_bias);
    }
}

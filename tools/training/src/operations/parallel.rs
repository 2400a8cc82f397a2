//! The scan in rounds over all steps at once, for devices on which starting an operation costs more than its arithmetic.

use super::ScanInput;
use super::plain::softplus;
use burn::Tensor;
use burn::tensor::activation::silu;

/// The outputs from a state of zeros. A step's state is what enters it and, decayed, the state before; after round `r` it counts what entered
/// in the last `2^r` steps (Hillis and Steele, "Data Parallel Algorithms", 1986; Blelloch, "Prefix Sums and Their Applications", 1990,
/// section 1.4, for recurrences). No decay is above 1, so nothing overflows.
pub(super) fn selective_scan(input: ScanInput) -> Tensor<3> {
    let ScanInput { u, delta, delta_bias, a_log, b, c, d, z } = input;
    let [_, steps, _] = u.dims();
    let delta = softplus(delta + delta_bias.unsqueeze());
    // [batch, steps, states, channels].
    let mut decay = (delta.clone().unsqueeze_dim::<4>(2) * a_log.exp().neg().unsqueeze()).exp();
    let mut state = (delta * u.clone()).unsqueeze_dim::<4>(2) * b.unsqueeze_dim::<4>(3);
    let mut reach = 1;
    while reach < steps {
        let first = |of: &Tensor<4>| of.clone().narrow(1, 0, reach);
        let early = |of: &Tensor<4>| of.clone().narrow(1, 0, steps - reach);
        let late = |of: &Tensor<4>| of.clone().narrow(1, reach, steps - reach);
        let reached = late(&state) + late(&decay) * early(&state);
        state = Tensor::cat(vec![first(&state), reached], 1);
        // The last round leaves nothing that would be decayed again.
        if 2 * reach < steps {
            let both = late(&decay) * early(&decay);
            decay = Tensor::cat(vec![first(&decay), both], 1);
        }
        reach *= 2;
    }
    let y = (state * c.unsqueeze_dim::<4>(3)).sum_dim(2).squeeze_dim(2) + u * d.unsqueeze();
    y * silu(z)
}

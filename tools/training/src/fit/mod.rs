//! The training loop.
//!
//! A [`Fit`] takes a module that knows its loss for a batch ([`Objective`]), something that makes batches of samples ([`Samples`]), an
//! order of samples for each epoch and a value to watch after it, and a [`Plan`]. It gives the module with the best and with the last
//! parameters, and [`Curves`]. Everything random comes from the plan's seed and the place in the run, sums run in a fixed order, and time
//! enters only through a clock that the caller gives, for the progress: so one seed gives the same parameters, bit for bit on one machine
//! whatever the number of threads, and a run that goes on from its checkpoint gives those of one that never stopped.
//!
//! Where a loss is a mean over samples ([`Samples::weight`]), a batch is cut into pieces of 16 samples that are computed at the same time, a
//! thread each, and averaged by what they weigh: on two cores a step of the default model takes two thirds of what it takes with each of its
//! products shared between them. A graphics card takes whole batches.
//!
//! Training is in f32 or f64, the precision of the module's parameters; lower ones are refused
//! ([`crate::parameters::ParameterError::Precision`]). A module may round within its forward pass, as the network does for
//! `mixed_precision`; parameters, gradients and moments stay in the precision above. Nothing is gained from that on a processor (on one busy core a
//! product of 2048 x 128 by 128 x 512 took as long in f16 as in f32 and 1.8 times as long in bf16, silu five and nine times).

mod augmentation;
mod checkpoint;
mod curves;
mod error;
mod health;
mod pieces;
mod plan;
mod run;
mod seeds;
mod steps;
mod windows;

pub use augmentation::Augmentation;
pub use checkpoint::{CheckpointError, load_parameters, save_parameters};
pub use curves::{Curves, EpochRecord};
pub use error::{FitError, Saved};
pub use health::ParameterHealth;
pub use plan::{Plan, PlanError, ScheduleBy};
pub use run::{Best, Checkpoints, Ended, Event, Fit, Fitted, Progress, Watch};
pub use seeds::{seed_of, shuffled};
pub use windows::{WindowError, Windows};

use crate::losses::{Loss, scalar};
use burn::module::Module;

/// A module that can be trained.
pub trait Objective: Module {
    /// What a loss is computed from.
    type Batch;

    /// The mean loss of a batch. In training `random` is the generator of this batch, for dropout; it is `None` where the loss is only
    /// judged, and then nothing is random.
    fn loss(&self, batch: &Self::Batch, random: Option<&mut fastrand::Rng>) -> Loss;

    /// What the loss is multiplied by before its gradients are taken, and these divided by: a power of two that lifts small gradients into the range
    /// of float16 (Micikevicius et al., "Mixed Precision Training", 2018).
    fn loss_scale(&self) -> f64 {
        1.0
    }

    /// Whether weight decay takes a parameter: the common rule, unless the module has its own.
    fn decays(&self, name: &str, shape: &[usize]) -> bool {
        crate::optimiser::decays(name, shape)
    }
}

/// What batches are made of. Samples are numbers whose meaning is its own: rows of a table, last rows of windows.
pub trait Samples: Sync {
    /// What an objective takes.
    type Batch;

    /// What these samples weigh in the loss of a batch, where that is the weighted mean of its samples' losses: their number where all
    /// weigh the same. A batch is then cut into pieces that are computed at the same time; `None` leaves it whole.
    fn weight(&self, _samples: &[usize]) -> Option<f64> {
        None
    }

    /// A batch of these samples; in training, of the epoch for which they are augmented.
    fn batch(&self, samples: &[usize], training_epoch: Option<u64>) -> Self::Batch;

    /// What is saved of a batch at which training broke: its samples, and whatever shows what is wrong with them.
    fn record(&self, samples: &[usize]) -> serde_json::Value {
        serde_json::json!({ "samples": samples })
    }
}

/// Mean loss of samples without training, in batches of `batch`: what a run may watch. NaN for no samples.
pub fn mean_loss<M: Objective, S: Samples<Batch = M::Batch>>(module: &M, of: &S, samples: &[usize], batch: usize) -> f64 {
    let module = module.valid();
    let sum: f64 = samples
        .chunks(batch.max(1))
        .map(|samples| samples.len() as f64 * scalar(&module.loss(&of.batch(samples, None), None).total))
        .sum();
    sum / samples.len() as f64
}

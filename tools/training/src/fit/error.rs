//! Why a run stops.

use super::checkpoint::CheckpointError;
use super::plan::PlanError;
use crate::parameters::ParameterError;
use std::path::PathBuf;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// A setting.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A file.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is a run already.
    #[error("{path} exists; resume it, or name another folder", path = path.display())]
    Exists {
        /// Its checkpoint.
        path: PathBuf,
    },
    /// The checkpoint is of another run.
    #[error("{path} is of a run with another {what}; give that one, or name another folder", path = path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// No samples.
    #[error("epoch {epoch} has no samples; give an order that holds some")]
    NoSamples {
        /// Which epoch.
        epoch: u64,
    },
    /// Threads to compute on.
    #[error("cannot start the threads to train on: {0}; fewer are asked for by RAYON_NUM_THREADS")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// No gradients.
    #[error("the loss depends on no parameter that is trained; build the module on a device with autodiff (`device.autodiff()`)")]
    NoGradients,
    /// A loss or gradient that is not finite, or far above those of the start.
    #[error(
        "{what} at step {step} of epoch {epoch} is {value}; {saved}: look at its samples, lower the learning rate, or clip gradients"
    )]
    Diverged {
        /// What: the loss, the gradients' norm, the watched value.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Epoch, from 0.
        epoch: u64,
        /// Step, from 0.
        step: u64,
        /// Where its batch is.
        saved: Saved,
    },
}

/// Where the batch at which training broke is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Saved {
    /// In this file, which names the file of the parameters it met.
    In(PathBuf),
    /// Nowhere: the run has no checkpoints.
    NoCheckpoints,
    /// No batch is to blame: a watched value is of many.
    NoBatch,
}

impl std::fmt::Display for Saved {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::In(path) => write!(out, "its batch is in {}", path.display()),
            Self::NoCheckpoints => write!(out, "its batch is saved where a run has checkpoints"),
            Self::NoBatch => write!(out, "it is of no single batch"),
        }
    }
}

//! One run: what it is told, what it tells, and how it begins.

use super::curves::{Curves, EpochRecord};
use super::error::FitError;
use super::health::ParameterHealth;
use super::plan::Plan;
use super::steps::Run;
use super::{Objective, Samples};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// A run to be: what is trained on, watched and told. [`Fit::new`] has what is needed, the rest may be set.
pub struct Fit<'a, M: Objective, S: Samples<Batch = M::Batch>> {
    /// How to train.
    pub plan: Plan,
    /// What batches are made of.
    pub samples: &'a S,
    /// The samples of an epoch in their order; for one epoch always the same.
    pub order: Box<dyn Fn(u64) -> Vec<usize> + 'a>,
    /// The watched value after an epoch, by the module without gradients; less is better.
    pub watch: Watch<'a, M>,
    /// What the samples are, a hash for example: a run goes on only with the same.
    pub data: String,
    /// Where the run is kept; `None` keeps nothing.
    pub checkpoints: Option<Checkpoints>,
    /// Seconds since anything, for the progress alone.
    pub clock: Box<dyn Fn() -> f64 + 'a>,
    /// Is told what happens; a break ends the run after a checkpoint.
    pub observe: Box<dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a>,
}

/// A value of a module after an epoch.
pub type Watch<'a, M> = Box<dyn Fn(&M, u64) -> f64 + 'a>;

/// Where and how often a run is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoints {
    /// Holds `latest.checkpoint`, `best-EPOCH.parameters` and what a diverged run leaves; made if it is missing.
    pub folder: PathBuf,
    /// Steps after which one is written within an epoch; one is written after each epoch.
    pub every_steps: Option<u64>,
    /// How many epochs' parameters are kept, those of the best watched values.
    pub keep: usize,
    /// Goes on from `latest.checkpoint` where there is one; otherwise one there is an error.
    pub resume: bool,
}

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// A step was made.
    Step(Progress),
    /// An epoch ended.
    Epoch(&'e EpochRecord),
    /// A parameter is dying, told once.
    Dying {
        /// How it began.
        start: &'e ParameterHealth,
        /// How it stands.
        now: &'e ParameterHealth,
    },
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Epochs at most.
    pub epochs: u64,
    /// Steps made.
    pub step: u64,
    /// Steps at most.
    pub steps: u64,
    /// Mean loss of the step's samples.
    pub loss: f64,
    /// Its rate.
    pub learning_rate: f64,
    /// Norm of its gradients before clipping.
    pub gradient_norm: f64,
    /// Samples a second since this process began; 0 where the clock stands.
    pub samples_per_s: f64,
    /// Seconds left at that pace, without patience.
    pub left_s: f64,
}

/// The best epoch.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Best {
    /// Which, from 0.
    pub epoch: u64,
    /// Its watched value.
    pub value: f64,
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// All epochs are done.
    Epochs,
    /// The watched value did not get better for as long as the plan's patience.
    Patience,
    /// The observer asked for it.
    Asked,
}

/// A module that was trained.
#[derive(Clone, Debug)]
pub struct Fitted<M> {
    /// With the parameters of the best epoch; of the last where no epoch ended.
    pub best: M,
    /// With the last parameters.
    pub last: M,
    /// The best epoch.
    pub best_epoch: Option<Best>,
    /// Every epoch.
    pub curves: Curves,
    /// Why it ended.
    pub ended: Ended,
}

impl<'a, M: Objective, S: Samples<Batch = M::Batch>> Fit<'a, M, S> {
    /// A run that keeps nothing and tells nobody.
    pub fn new(plan: Plan, samples: &'a S, order: impl Fn(u64) -> Vec<usize> + 'a, watch: impl Fn(&M, u64) -> f64 + 'a) -> Self {
        Self {
            plan,
            samples,
            order: Box::new(order),
            watch: Box::new(watch),
            data: String::new(),
            checkpoints: None,
            clock: Box::new(|| 0.0),
            observe: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// Trains the module, from its parameters or from those of the checkpoint.
    ///
    /// # Errors
    /// [`FitError`]; checkpoints written until then stay.
    pub fn run(self, module: M) -> Result<Fitted<M>, FitError> {
        self.plan.check()?;
        let (module, run) = Run::begin(&self, module)?;
        run.go_on(self, module)
    }
}

impl Checkpoints {
    /// What a run goes on from.
    pub fn latest(&self) -> PathBuf {
        self.folder.join("latest.checkpoint")
    }

    /// The parameters of a kept epoch.
    pub fn best(&self, epoch: u64) -> PathBuf {
        self.folder.join(format!("best-{epoch:05}.parameters"))
    }
}

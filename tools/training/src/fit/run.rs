//! One run: epochs of steps, from nothing or from a checkpoint.

use super::checkpoint::{Checkpoint, CheckpointError, save_parameters};
use super::curves::{Curves, EpochRecord};
use super::health::ParameterHealth;
use super::plan::{Plan, PlanError};
use super::seeds::seed_of;
use super::{Objective, Samples};
use crate::losses::scalar;
use crate::optimiser::Optimiser;
use crate::parameters::{ModuleGradients, Parameter, ParameterError, read_parameters, write_parameters};
use chronos_research::{WholeFileError, write_whole_file};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Steps whose losses say how large a loss is at the start.
const FIRST_STEPS: u64 = 10;

/// A run to be: what is trained on, watched and told. [`Fit::new`] has what is needed, the rest may be set.
pub struct Fit<'a, M: Objective, S: Samples<Batch = M::Batch>> {
    /// How to train.
    pub plan: Plan,
    /// What batches are made of.
    pub samples: &'a S,
    /// The samples of an epoch in their order; for one epoch always the same.
    pub order: Box<dyn Fn(u64) -> Vec<usize> + 'a>,
    /// The watched value after an epoch, by the module without gradients; less is better.
    pub watch: Box<dyn Fn(&M, u64) -> f64 + 'a>,
    /// What the samples are, a hash for example: a run goes on only with the same.
    pub data: String,
    /// Where the run is kept; `None` keeps nothing.
    pub checkpoints: Option<Checkpoints>,
    /// Seconds since anything, for the progress alone.
    pub clock: Box<dyn Fn() -> f64 + 'a>,
    /// Is told what happens; a break ends the run after a checkpoint.
    pub observe: Box<dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a>,
}

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
        /// Where the batch was saved, in words.
        saved: Saved,
    },
}

/// The file of a batch at which training broke, if any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved(pub Option<PathBuf>);

impl std::fmt::Display for Saved {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(path) => write!(out, "its batch is in {}", path.display()),
            None => write!(out, "its batch is kept where there are checkpoints"),
        }
    }
}

/// All of a run that is not parameters: what a checkpoint's header holds.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    data: String,
    epoch: u64,
    /// Steps of this epoch.
    epoch_steps: u64,
    step: u64,
    largest_first_loss: f64,
    since_best: u64,
    dying: Vec<String>,
    plan: Plan,
    best: Option<Best>,
    sums: Sums,
    kept: Vec<Best>,
    start: Vec<ParameterHealth>,
    epochs: Vec<EpochRecord>,
}

/// Sums over the steps of an epoch.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    samples: u64,
    loss: f64,
    norm: f64,
    parts: Vec<(String, f64)>,
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
        let (module, run) = self.begin(module)?;
        run.go_on(self, module)
    }

    fn begin(&self, module: M) -> Result<(M, Run), FitError> {
        if let Some(checkpoints) = &self.checkpoints {
            let path = checkpoints.latest();
            if path.exists() {
                if !checkpoints.resume {
                    return Err(FitError::Exists { path });
                }
                let Checkpoint { state, parameters, optimiser, best } = Checkpoint::read(&path)?;
                if state.plan != self.plan {
                    return Err(FitError::OtherRun { path, what: "plan" });
                }
                if state.data != self.data {
                    return Err(FitError::OtherRun { path, what: "data" });
                }
                return Ok((write_parameters(module, &parameters)?, Run { state, optimiser, best }));
            }
            std::fs::create_dir_all(&checkpoints.folder).map_err(|source| io_error("create", &checkpoints.folder, source))?;
        }
        let optimiser = Optimiser::new(self.plan.optimiser, &module, |name, shape| module.decays(name, shape))?;
        let state = State {
            data: self.data.clone(),
            epoch: 0,
            epoch_steps: 0,
            step: 0,
            largest_first_loss: 0.0,
            since_best: 0,
            dying: Vec::new(),
            plan: self.plan.clone(),
            best: None,
            sums: Sums::default(),
            kept: Vec::new(),
            start: read_parameters(&module)?.iter().map(ParameterHealth::of).collect(),
            epochs: Vec::new(),
        };
        Ok((module, Run { state, optimiser, best: None }))
    }
}

/// A run on its way, but for the module.
struct Run {
    state: State,
    optimiser: Optimiser,
    best: Option<Vec<Parameter>>,
}

/// What one step was.
struct Step {
    loss: f64,
    norm: f64,
    learning_rate: f64,
}

impl Run {
    fn go_on<M: Objective, S: Samples<Batch = M::Batch>>(
        mut self,
        mut fit: Fit<'_, M, S>,
        mut module: M,
    ) -> Result<Fitted<M>, FitError> {
        let (clock_start, mut samples_here) = ((fit.clock)(), 0_u64);
        let ended = 'run: loop {
            if self.state.epoch >= fit.plan.epochs {
                break Ended::Epochs;
            }
            if fit.plan.patience.is_some_and(|patience| self.state.since_best >= patience.max(1)) {
                break Ended::Patience;
            }
            let order = (fit.order)(self.state.epoch);
            let group = fit.plan.batch.saturating_mul(fit.plan.accumulate);
            let steps = order.chunks(group).len() as u64;
            if steps == 0 {
                return Err(FitError::NoSamples { epoch: self.state.epoch });
            }
            let mut learning_rate = fit.plan.learning_rate_at(self.state.step.saturating_sub(1), self.state.epoch);
            for samples in order.chunks(group).skip(self.state.epoch_steps as usize) {
                let step;
                (module, step) = self.step(&fit, module, samples)?;
                learning_rate = step.learning_rate;
                samples_here += samples.len() as u64;
                let seconds = (fit.clock)() - clock_start;
                let samples_per_s = if seconds > 0.0 { samples_here as f64 / seconds } else { 0.0 };
                let samples_left =
                    (fit.plan.epochs - self.state.epoch) as f64 * order.len() as f64 - self.state.sums.samples as f64;
                let event = Event::Step(Progress {
                    epoch: self.state.epoch,
                    epochs: fit.plan.epochs,
                    step: self.state.step,
                    steps: self.state.step + steps * (fit.plan.epochs - self.state.epoch) - self.state.epoch_steps,
                    loss: step.loss,
                    learning_rate,
                    gradient_norm: step.norm,
                    samples_per_s,
                    left_s: if samples_per_s > 0.0 { samples_left / samples_per_s } else { 0.0 },
                });
                let is_asked = (fit.observe)(event).is_break();
                if let Some(checkpoints) = &fit.checkpoints {
                    let is_due = checkpoints.every_steps.is_some_and(|every| self.state.step.is_multiple_of(every.max(1)));
                    // The end of an epoch writes its own, with what was watched.
                    if is_asked || (is_due && self.state.epoch_steps < steps) {
                        self.save(&module, checkpoints)?;
                    }
                }
                if is_asked {
                    break 'run Ended::Asked;
                }
            }
            if self.end_epoch(&mut fit, &module, learning_rate)?.is_break() {
                break Ended::Asked;
            }
        };
        let best = match &self.best {
            Some(best) => write_parameters(module.clone(), best)?,
            None => module.clone(),
        };
        Ok(Fitted { best, last: module, best_epoch: self.state.best, curves: Curves { epochs: self.state.epochs }, ended })
    }

    /// One optimiser step over batches of these samples.
    fn step<M: Objective, S: Samples<Batch = M::Batch>>(
        &mut self,
        fit: &Fit<'_, M, S>,
        module: M,
        samples: &[usize],
    ) -> Result<(M, Step), FitError> {
        let (plan, state) = (&fit.plan, &mut self.state);
        let learning_rate = plan.learning_rate_at(state.step, state.epoch);
        let (mut gradients, mut mean_loss) = (None::<ModuleGradients>, 0.0);
        for (place, batch_samples) in samples.chunks(plan.batch).enumerate() {
            let batch = fit.samples.batch(batch_samples, Some(state.epoch));
            let mut random = fastrand::Rng::with_seed(seed_of(plan.seed, &[state.step, place as u64]));
            let loss = module.loss(&batch, Some(&mut random));
            let value = scalar(&loss.total);
            let is_exploding = state.step >= FIRST_STEPS && value.abs() > plan.explosion * state.largest_first_loss;
            if !value.is_finite() || is_exploding {
                return Err(diverged("the loss", value, state, fit, Some((&module, batch_samples))));
            }
            if !loss.total.is_tracked() {
                return Err(FitError::NoGradients);
            }
            let mut of_batch = ModuleGradients::take(&module, &mut loss.total.backward())?;
            let share = batch_samples.len() as f64 / samples.len() as f64;
            if samples.len() > batch_samples.len() {
                of_batch.scale(share);
            }
            match &mut gradients {
                Some(gradients) => gradients.add(of_batch),
                None => gradients = Some(of_batch),
            }
            mean_loss += share * value;
            state.sums.add(batch_samples.len() as u64, value, &loss.parts);
        }
        let Some(mut gradients) = gradients else { return Err(FitError::NoSamples { epoch: state.epoch }) };
        let norm = match plan.clip_norm {
            Some(norm_max) => gradients.clip(norm_max),
            None => gradients.norm(),
        };
        if !norm.is_finite() {
            return Err(diverged("the norm of the gradients", norm, state, fit, Some((&module, samples))));
        }
        if state.step < FIRST_STEPS {
            state.largest_first_loss = state.largest_first_loss.max(mean_loss.abs());
        }
        state.sums.norm += norm;
        let module = self.optimiser.step(module, &gradients, learning_rate);
        state.step += 1;
        state.epoch_steps += 1;
        Ok((module, Step { loss: mean_loss, norm, learning_rate }))
    }

    fn end_epoch<M: Objective, S: Samples<Batch = M::Batch>>(
        &mut self,
        fit: &mut Fit<'_, M, S>,
        module: &M,
        learning_rate: f64,
    ) -> Result<ControlFlow<()>, FitError> {
        let state = &mut self.state;
        let epoch = state.epoch;
        let validation = (fit.watch)(&module.valid(), epoch);
        if !validation.is_finite() {
            return Err(diverged("the watched value", validation, state, fit, None));
        }
        let parameters = read_parameters(module)?;
        let mut flow = ControlFlow::Continue(());
        for (parameter, start) in parameters.iter().zip(&state.start) {
            let now = ParameterHealth::of(parameter);
            if now.is_dying(start) && !state.dying.contains(&now.name) {
                state.dying.push(now.name.clone());
                flow = if (fit.observe)(Event::Dying { start, now: &now }).is_break() { ControlFlow::Break(()) } else { flow };
            }
        }
        let (steps, sums) = (state.epoch_steps.max(1) as f64, std::mem::take(&mut state.sums));
        state.epochs.push(EpochRecord {
            epoch,
            steps: state.step,
            training_loss: sums.loss / sums.samples as f64,
            validation,
            learning_rate,
            gradient_norm: sums.norm / steps,
            parts: sums.parts.into_iter().map(|(name, sum)| (name, sum / sums.samples as f64)).collect(),
        });
        (state.epoch, state.epoch_steps) = (epoch + 1, 0);
        if state.best.is_none_or(|best| validation < best.value) {
            (state.best, state.since_best) = (Some(Best { epoch, value: validation }), 0);
            self.best = Some(parameters.clone());
        } else {
            state.since_best += 1;
        }
        if let Some(checkpoints) = &fit.checkpoints {
            self.keep(Best { epoch, value: validation }, &parameters, checkpoints)?;
            self.save(module, checkpoints)?;
        }
        let is_asked = self.state.epochs.last().is_some_and(|record| (fit.observe)(Event::Epoch(record)).is_break());
        Ok(if is_asked { ControlFlow::Break(()) } else { flow })
    }

    /// Keeps the parameters of an epoch that is among the best, and drops those that are no more.
    fn keep(&mut self, epoch: Best, parameters: &[Parameter], checkpoints: &Checkpoints) -> Result<(), FitError> {
        let kept = &mut self.state.kept;
        let place = kept.partition_point(|one| one.value <= epoch.value);
        if place >= checkpoints.keep {
            return Ok(());
        }
        kept.insert(place, epoch);
        // A run cut down after this file and before its checkpoint writes it anew.
        remove(&checkpoints.best(epoch.epoch))?;
        save_parameters(&checkpoints.best(epoch.epoch), parameters)?;
        for dropped in kept.drain(checkpoints.keep.min(kept.len())..) {
            remove(&checkpoints.best(dropped.epoch))?;
        }
        Ok(())
    }

    fn save<M: Objective>(&self, module: &M, checkpoints: &Checkpoints) -> Result<(), FitError> {
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            parameters: read_parameters(module)?,
            optimiser: self.optimiser.clone(),
            best: self.best.clone(),
        };
        Ok(checkpoint.write(&checkpoints.latest())?)
    }
}

impl Sums {
    fn add(&mut self, samples: u64, loss: f64, parts: &[(&'static str, f64)]) {
        self.samples += samples;
        self.loss += samples as f64 * loss;
        for (place, (name, value)) in parts.iter().enumerate() {
            let sum = samples as f64 * value;
            match self.parts.get_mut(place) {
                Some(part) => part.1 += sum,
                None => self.parts.push(((*name).to_owned(), sum)),
            }
        }
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

/// The error of a run that diverged, once its batch, and the parameters it met, are saved. Where they cannot be, the error says why instead.
fn diverged<M: Objective, S: Samples<Batch = M::Batch>>(
    what: &'static str,
    value: f64,
    state: &State,
    fit: &Fit<'_, M, S>,
    batch: Option<(&M, &[usize])>,
) -> FitError {
    let save = |checkpoints: &Checkpoints, module: &M, samples: &[usize]| -> Result<PathBuf, FitError> {
        let parameters = checkpoints.folder.join(format!("diverged-{}.parameters", state.step));
        let path = checkpoints.folder.join(format!("diverged-{}.json", state.step));
        remove(&parameters)?;
        remove(&path)?;
        save_parameters(&parameters, &read_parameters(module)?)?;
        let record = serde_json::json!({
            "what": what, "value": format!("{value:?}"), "epoch": state.epoch, "step": state.step,
            "learning_rate": fit.plan.learning_rate_at(state.step, state.epoch),
            "parameters": parameters.file_name().map(|name| name.to_string_lossy()),
            "batch": fit.samples.record(samples),
        });
        write_whole_file(&path, |out| writeln!(out, "{record:#}")).map_err(CheckpointError::from)?;
        Ok(path)
    };
    let saved = match (&fit.checkpoints, batch) {
        (Some(checkpoints), Some((module, samples))) => save(checkpoints, module, samples).map(Some),
        _ => Ok(None),
    };
    match saved {
        Ok(path) => FitError::Diverged { what, value, epoch: state.epoch, step: state.step, saved: Saved(path) },
        Err(error) => error,
    }
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, error)),
        _ => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Write(WholeFileError::Io { action, path: path.to_owned(), source })
}

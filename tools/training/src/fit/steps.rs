//! The steps of a run, and what ends an epoch.

use super::checkpoint::{Checkpoint, CheckpointError, io_error, remove, save_parameters};
use super::curves::{Curves, EpochRecord};
use super::error::{FitError, Saved};
use super::health::ParameterHealth;
use super::pieces::{Computed, Threads};
use super::plan::Plan;
use super::run::{Best, Checkpoints, Ended, Event, Fit, Fitted, Progress};
use super::seeds::seed_of;
use super::{Objective, Samples};
use crate::optimiser::Optimiser;
use crate::parameters::{ModuleGradients, Parameter, read_parameters, write_parameters};
use chronos_research::write_whole_file;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Steps whose losses say how large a loss is at the start.
const FIRST_STEPS: u64 = 10;

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

/// A run on its way, but for the module.
pub(super) struct Run {
    state: State,
    optimiser: Optimiser,
    best: Option<Vec<Parameter>>,
    threads: Threads,
}

/// What one step was.
struct Step {
    loss: f64,
    norm: f64,
    learning_rate: f64,
}

impl Run {
    /// From the checkpoint where there is one to go on from, or from nothing.
    pub(super) fn begin<M: Objective, S: Samples<Batch = M::Batch>>(fit: &Fit<'_, M, S>, module: M) -> Result<(M, Self), FitError> {
        let threads = Threads::new(&module, fit.plan.batch, fit.plan.accumulate)?;
        if let Some(checkpoints) = &fit.checkpoints {
            let path = checkpoints.latest();
            if path.exists() {
                if !checkpoints.resume {
                    return Err(FitError::Exists { path });
                }
                let Checkpoint { state, parameters, optimiser, best } = Checkpoint::read(&path)?;
                if state.plan != fit.plan {
                    return Err(FitError::OtherRun { path, what: "plan" });
                }
                if state.data != fit.data {
                    return Err(FitError::OtherRun { path, what: "data" });
                }
                return Ok((write_parameters(module, &parameters)?, Self { state, optimiser, best, threads }));
            }
            std::fs::create_dir_all(&checkpoints.folder).map_err(|source| io_error("create", &checkpoints.folder, source))?;
        }
        let optimiser = Optimiser::new(fit.plan.optimiser, &module, |name, shape| module.decays(name, shape))?;
        let state = State {
            data: fit.data.clone(),
            epoch: 0,
            epoch_steps: 0,
            step: 0,
            largest_first_loss: 0.0,
            since_best: 0,
            dying: Vec::new(),
            plan: fit.plan.clone(),
            best: None,
            sums: Sums::default(),
            kept: Vec::new(),
            start: read_parameters(&module)?.iter().map(ParameterHealth::of).collect(),
            epochs: Vec::new(),
        };
        Ok((module, Self { state, optimiser, best: None, threads }))
    }

    /// Every step that is left.
    pub(super) fn go_on<M: Objective, S: Samples<Batch = M::Batch>>(
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
                    steps: (self.state.step - self.state.epoch_steps)
                        .saturating_add(steps.saturating_mul(fit.plan.epochs - self.state.epoch)),
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
        let (pieces, shares): (Vec<&[usize]>, Vec<f64>) = self.threads.cut(fit.samples, samples, plan.batch).into_iter().unzip();
        let seed = |place: usize| seed_of(plan.seed, &[state.step, place as u64]);
        let computed = self.threads.compute(&module, fit.samples, state.epoch, &pieces, seed);
        for ((computed, piece), share) in computed.into_iter().zip(pieces).zip(shares) {
            let Computed { loss, parts, gradients: mut of_piece } = computed?;
            let first = state.largest_first_loss;
            let is_exploding = state.step >= FIRST_STEPS && first > 0.0 && loss.abs() > plan.explosion * first;
            if !loss.is_finite() || is_exploding {
                return Err(diverged("the loss", loss, state, fit, Some((&module, piece))));
            }
            if share != 1.0 {
                of_piece.scale(share);
            }
            match &mut gradients {
                Some(gradients) => gradients.add(of_piece),
                None => gradients = Some(of_piece),
            }
            mean_loss += share * loss;
            state.sums.add(piece.len() as u64, loss, &parts);
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
        let module = self.optimiser.step(module, &gradients, learning_rate)?;
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
        (Some(checkpoints), Some((module, samples))) => save(checkpoints, module, samples).map(Saved::In),
        (None, Some(_)) => Ok(Saved::NoCheckpoints),
        (_, None) => Ok(Saved::NoBatch),
    };
    match saved {
        Ok(saved) => FitError::Diverged { what, value, epoch: state.epoch, step: state.step, saved },
        Err(error) => error,
    }
}

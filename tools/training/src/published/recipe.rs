//! How each model of the comparison is trained.

use super::baselines::{Baseline, BaselineKind};
use super::data::Splits;
use super::metrics::PriceErrors;
use super::model::PublishedModel;
use super::network::{Blocks, CryptoMamba};
use super::order::epoch_order;
use super::prepared::{Prepared, PriceBatch, Scaling};
use super::weights::{Architecture, WeightsError};
use crate::fit::{Checkpoints, Event, Fit, FitError, Objective, Plan, ScheduleBy, seed_of, shuffled};
use crate::losses::{self, Loss};
use crate::optimiser::{OptimiserConfig, Schedule, decays, everything_decays};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use std::cell::Cell;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Data channels of every model: time, open, high, low, close, volume.
const CHANNELS: usize = 6;
/// Days of a sample.
pub const WINDOW: usize = 14;
/// A bound that nothing reaches. Neither `None` nor infinity: a checkpoint gives back another plan for those.
const NEVER: f64 = 1e300;
/// Epochs in a row without an effect of the blocks after which the published recipe goes on without them.
const DEAD_EPOCHS: u64 = 3;

/// A model of the comparison, with the way it is trained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// CryptoMamba as published: raw inputs, Adam with L2 on everything.
    Published,
    /// The same network kept alive: scaled inputs, the change predicted, decay that spares what it would kill.
    Live,
    /// Long short-term memory, trained as [`Recipe::Live`].
    Lstm,
    /// The same in both directions.
    BiLstm,
    /// Gated recurrent units, trained as [`Recipe::Live`].
    Gru,
}

/// What a training gave.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Trained {
    /// The model.
    pub model: Recipe,
    /// The seed of its first weights.
    pub seed: u64,
    /// Values it learnt.
    pub parameters: usize,
    /// Hexadecimal SHA-256 of the files it was trained, chosen and judged on.
    pub data_sha256: [String; 3],
    /// Epochs at most.
    pub epochs_max: u64,
    /// Epochs it was trained for.
    pub epochs: u64,
    /// The epoch, from 0, whose weights were kept.
    pub best_epoch: u64,
    /// The value that chose it: the mean of batch RMSE for the published recipe, RMSE of the split for the others.
    pub watched: f64,
    /// Errors of the chosen weights on the validation split.
    pub validation: PriceErrors,
    /// Errors on the test split.
    pub test: PriceErrors,
    /// Prices it predicts for the test split.
    pub predictions: Vec<f64>,
    /// What the blocks do at the end; nothing for models without.
    pub blocks: Option<BlockEffect>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Whether the blocks of a trained CryptoMamba still matter.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct BlockEffect {
    /// How many there are.
    pub count: usize,
    /// Those whose removal changes a prediction of the test split.
    pub alive: usize,
    /// Root mean square of what the removal of all changes, in dollars.
    pub all_removed_rms: f64,
    /// The epoch from which they were left out because they changed no prediction of the validation split.
    pub left_out_from: Option<u64>,
}

/// How far a training is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Training {
    /// Epochs done.
    pub epoch: u64,
    /// Epochs at most.
    pub epochs: u64,
    /// The watched value of the last.
    pub watched: f64,
}

/// Why a training ended without a model.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The loop.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The first weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A file of the run.
    #[error("{path}: {source}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Recipe {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Published, Self::Live, Self::Lstm, Self::BiLstm, Self::Gru];

    /// Its name in commands and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Live => "live",
            Self::Lstm => "lstm",
            Self::BiLstm => "bilstm",
            Self::Gru => "gru",
        }
    }

    /// The published errors of the model with volume on the test split: the table of the repository's README. The live recipe is not the
    /// published one and has none.
    pub fn published_errors(self) -> Option<PriceErrors> {
        let (rmse, mape_percent, mae) = match self {
            Self::Published => (1598.1, 2.034, 1120.7),
            Self::Live => return None,
            Self::Lstm => (2202.1, 2.896, 1668.9),
            Self::BiLstm => (2080.2, 2.738, 1562.5),
            Self::Gru => (1978.0, 2.526, 1454.3),
        };
        Some(PriceErrors { rmse, mape_percent, mae })
    }

    /// How it is trained; `epochs` overrides the recipe's number.
    pub fn plan(self, seed: u64, epochs: Option<u64>) -> Plan {
        let plan = match self {
            Self::Published => Plan {
                epochs: 1000,
                learning_rate: 0.01,
                schedule: Schedule::Step { every: 100, factor: 0.5 },
                schedule_by: ScheduleBy::Epoch,
                optimiser: OptimiserConfig::adam(1e-3),
                clip_norm: Some(NEVER),
                explosion: NEVER,
                ..Plan::default()
            },
            _ => Plan {
                epochs: 60,
                learning_rate: 3e-4,
                schedule: Schedule::Constant,
                optimiser: OptimiserConfig::adamw(0.1),
                clip_norm: Some(1.0),
                patience: Some(12),
                ..Plan::default()
            },
        };
        Plan { seed, batch: 32, epochs: epochs.unwrap_or(plan.epochs), ..plan }
    }

    /// Trains it and judges it. `checkpoints` is the run's own folder: a run that was cut down goes on from there. `clock` gives seconds;
    /// `observe` hears of every epoch and ends the run by a break.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn train(
        self,
        splits: &Splits,
        seed: u64,
        epochs: Option<u64>,
        checkpoints: &Path,
        clock: &dyn Fn() -> f64,
        observe: &mut dyn FnMut(Training) -> ControlFlow<()>,
    ) -> Result<Option<Trained>, RecipeError> {
        let device = Device::flex().autodiff();
        let scaling = if self == Self::Published { Scaling::Raw } else { Scaling::of(&splits.train) };
        let [train, validation, test] =
            [&splits.train, &splits.validation, &splits.test].map(|split| Prepared::new(split, scaling, CHANNELS, &device));
        let run = Run { recipe: self, plan: self.plan(seed, epochs), splits, train, validation, test, checkpoints, clock };
        let baseline = |kind| Predictor::Baseline(Baseline::new(kind, CHANNELS, seed_of(seed, &[1]), &device));
        let module = match self {
            Self::Published | Self::Live => {
                let weights = Architecture::published(CHANNELS).first_weights(seed_of(seed, &[1]));
                let network = CryptoMamba::new(&PublishedModel::new(&weights)?, &device);
                Predictor::CryptoMamba(if self == Self::Live { network.with_zero_merge() } else { network })
            }
            Self::Lstm => baseline(BaselineKind::Lstm),
            Self::BiLstm => baseline(BaselineKind::BiLstm),
            Self::Gru => baseline(BaselineKind::Gru),
        };
        run.go(Regressor { predictor: module, is_published: self == Self::Published, with_blocks: true }, observe)
    }
}

/// Any of the networks, with what its loss needs.
#[derive(Module, Debug)]
struct Regressor {
    predictor: Predictor,
    is_published: bool,
    with_blocks: bool,
}

#[derive(Module, Debug)]
enum Predictor {
    CryptoMamba(CryptoMamba),
    Baseline(Baseline),
}

impl Regressor {
    fn forward(&self, inputs: Tensor<3>, blocks: Blocks) -> Tensor<1> {
        match &self.predictor {
            Predictor::CryptoMamba(network) => network.forward(inputs, blocks),
            Predictor::Baseline(network) => network.forward(inputs),
        }
    }

    /// What it predicts with, as it is trained.
    fn working(&self) -> Blocks {
        if self.with_blocks { Blocks::All } else { Blocks::None }
    }

    fn prices(&self, samples: &Prepared, blocks: Blocks) -> Vec<f64> {
        samples.prices(|inputs| self.forward(inputs, blocks))
    }
}

impl Objective for Regressor {
    type Batch = PriceBatch;

    /// RMSE of the batch, in dollars or in the scaled unit.
    fn loss(&self, batch: &PriceBatch, _random: Option<&mut fastrand::Rng>) -> Loss {
        let said = self.forward(batch.inputs.clone(), self.working());
        Loss::of(losses::squared(said, batch.targets.clone()).mean().sqrt())
    }

    fn decays(&self, name: &str, shape: &[usize]) -> bool {
        if self.is_published { everything_decays(name, shape) } else { decays(name, shape) }
    }
}

/// One training.
struct Run<'a> {
    recipe: Recipe,
    plan: Plan,
    splits: &'a Splits,
    train: Prepared,
    validation: Prepared,
    test: Prepared,
    checkpoints: &'a Path,
    clock: &'a dyn Fn() -> f64,
}

impl Run<'_> {
    fn go(&self, module: Regressor, observe: &mut dyn FnMut(Training) -> ControlFlow<()>) -> Result<Option<Trained>, RecipeError> {
        let began = (self.clock)();
        let mut module = module;
        let mut left_out_from = self.left_out();
        module.with_blocks = left_out_from.is_none();
        loop {
            // Epochs in a row without an effect of the blocks.
            let without_effect = Cell::new(0);
            let mut is_asked = false;
            let is_raw = self.recipe == Recipe::Published;
            let seed = self.plan.seed;
            let all: Vec<usize> = (0..self.train.len()).collect();
            let mut fit = Fit::new(
                self.plan.clone(),
                &self.train,
                move |epoch| if is_raw { epoch_order(all.len(), epoch as u32) } else { shuffled(&all, seed, epoch) },
                |module: &Regressor, epoch| {
                    let prices = module.prices(&self.validation, module.working());
                    if is_raw && module.with_blocks {
                        let is_dead = prices == module.prices(&self.validation, Blocks::None);
                        without_effect.set(if is_dead { without_effect.get() + 1 } else { 0 });
                    }
                    self.watched(&prices, epoch)
                },
            );
            fit.checkpoints = Some(Checkpoints { folder: self.checkpoints.to_owned(), every_steps: None, keep: 1, resume: true });
            fit.data = format!("{} {}", self.recipe.name(), self.splits.sha256.join(" "));
            let epochs = self.plan.epochs;
            fit.observe = Box::new(|event| match event {
                Event::Epoch(record) => {
                    let training = Training { epoch: record.epoch + 1, epochs, watched: record.validation };
                    if observe(training).is_break() {
                        is_asked = true;
                        return ControlFlow::Break(());
                    }
                    if without_effect.get() == DEAD_EPOCHS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                _ => ControlFlow::Continue(()),
            });
            let fitted = fit.run(module.clone())?;
            let epochs = fitted.curves.epochs.len() as u64;
            if is_asked {
                return Ok(None);
            }
            if module.with_blocks && without_effect.get() == DEAD_EPOCHS && epochs < self.plan.epochs {
                self.leave_out(epochs)?;
                (left_out_from, module.with_blocks) = (Some(epochs), false);
                continue;
            }
            let Some(best) = fitted.best_epoch else { return Ok(None) };
            let mut chosen = fitted.best;
            // Weights of an epoch before the blocks were left out are judged with them.
            chosen.with_blocks = left_out_from.is_none_or(|from| best.epoch < from);
            let predictions = chosen.prices(&self.test, chosen.working());
            let validation = chosen.prices(&self.validation, chosen.working());
            return Ok(Some(Trained {
                model: self.recipe,
                seed: self.plan.seed,
                parameters: chosen.num_params(),
                data_sha256: self.splits.sha256.clone(),
                epochs_max: self.plan.epochs,
                epochs,
                best_epoch: best.epoch,
                watched: best.value,
                validation: PriceErrors::of(&validation, &self.splits.validation.targets()),
                test: PriceErrors::of(&predictions, &self.splits.test.targets()),
                blocks: self.effect(&chosen, left_out_from),
                predictions,
                seconds: (self.clock)() - began,
            }));
        }
    }

    /// The value that chooses the epoch.
    fn watched(&self, prices: &[f64], epoch: u64) -> f64 {
        let targets = self.splits.validation.targets();
        if self.recipe != Recipe::Published {
            return PriceErrors::of(prices, &targets).rmse;
        }
        // As published: the mean over batches of their RMSE, in that epoch's order.
        let order = epoch_order(prices.len(), epoch as u32);
        let batches = order.chunks(self.plan.batch).map(|batch| {
            let of = |values: &[f64]| batch.iter().map(|sample| values[*sample]).collect::<Vec<f64>>();
            PriceErrors::of(&of(prices), &of(&targets)).rmse
        });
        batches.clone().sum::<f64>() / batches.len() as f64
    }

    fn effect(&self, module: &Regressor, left_out_from: Option<u64>) -> Option<BlockEffect> {
        let Predictor::CryptoMamba(network) = &module.predictor else { return None };
        let all = module.prices(&self.test, Blocks::All);
        let change = |blocks| -> Vec<f64> {
            module.prices(&self.test, blocks).iter().zip(&all).map(|(without, with)| without - with).collect()
        };
        let alive = |place: &usize| change(Blocks::Without(*place)).iter().any(|change| *change != 0.0);
        let removed = change(Blocks::None);
        let rms = (removed.iter().map(|change| change * change).sum::<f64>() / removed.len() as f64).sqrt();
        Some(BlockEffect {
            count: network.blocks(),
            alive: (0..network.blocks()).filter(alive).count(),
            all_removed_rms: rms,
            left_out_from,
        })
    }

    /// Where it is kept from which epoch the blocks are left out, for a run that goes on.
    fn left_out_path(&self) -> PathBuf {
        self.checkpoints.join("blocks-left-out-from")
    }

    fn left_out(&self) -> Option<u64> {
        fs::read_to_string(self.left_out_path()).ok()?.trim().parse().ok()
    }

    fn leave_out(&self, epoch: u64) -> Result<(), RecipeError> {
        let path = self.left_out_path();
        fs::write(&path, epoch.to_string()).map_err(|source| RecipeError::Write { path, source })
    }
}

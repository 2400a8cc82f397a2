//! The whole way: parts, labels, scaler, members, scores, directory.

use super::config::{TickTrainConfig, TickTrainConfigError};
use super::objective::{DirectionModel, TickWindows};
use crate::device::{DeviceError, TrainingDevice, half_precision};
use crate::fit::{Checkpoints, Curves, Ended, Event, Fit, FitError, WindowError};
use crate::network::{Network, NetworkError};
use crate::parameters::ParameterError;
use crate::uncertainty::{Temperature, fit_temperature};
use burn::tensor::Device;
use chronos_inference::{Head, HeadTensor, NativeModel, Prediction, StepModel, StepWeights, Tensor};
use chronos_market::features::{FeatureSpec, index_of, registry};
use chronos_research::ledger::{Ledger, LedgerError, Trial};
use chronos_research::scores::{Baselines, JudgeError, Probabilities, ScoreTable, Yardstick, judge};
use chronos_research::ticks::{
    CLASSES, Direction, Parts, Samples, Scaler, Target, TickData, Ticks, TicksError, split_folds, step_through,
};
use chronos_research::validation::performance::{periods_per_year, sharpe_ratio};
use chronos_research::validation::{Backtest, FitError as BaselineError, OwnedSamples, Sizing, Target as LabelKind, bets};
use chronos_research::{SeriesError, WholeFileError, write_whole_file};
use chronos_session::format::sha256_hex;
use chronos_session::model::{Manifest, ModelDirectory, ModelError, OutputsEntry, ScalerEntry, as_one};
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

/// The file with everything that is known of a training, in the model directory.
pub const TRAINING_FILE: &str = "training.json";
/// Version of the file.
const FORMAT: u32 = 1;
/// Ticks that warm the state before validation is watched.
const CONTEXT_TICKS: usize = 4_096;

/// What is beside data and configuration.
pub struct TickTrainOptions<'a> {
    /// Networks, each from a seed of its own; several are a deep ensemble.
    pub members: usize,
    /// What they are trained on; judging and everything else is the processor's.
    pub device: TrainingDevice,
    /// Folder that checkpoints of each member are kept in; `None` keeps none.
    pub checkpoints: Option<PathBuf>,
    /// Go on from the checkpoints that are there.
    pub resume: bool,
    /// Cost of trading one unit of notional once, basis points, in the Sharpe ratio that goes to the ledger.
    pub cost_bps: f64,
    /// Now, nanoseconds since 1970, for the ledger.
    pub time_ns: i64,
    /// Version of the code, for the ledger.
    pub code: &'a str,
    /// Seconds since anything, for the progress alone.
    pub clock: &'a dyn Fn() -> f64,
    /// Is told which training does what; a break ends the run after a checkpoint.
    pub observe: &'a mut dyn FnMut(TrainingPlace, Event<'_>) -> ControlFlow<()>,
}

/// Which training of a run: the member of a fold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrainingPlace {
    /// Of which fold, from 0.
    pub fold: usize,
    /// Of which member, from 0.
    pub member: usize,
}

impl TrainingPlace {
    /// The folder of its checkpoints, in a run of so many folds.
    fn folder(self, folds: usize) -> PathBuf {
        let member = format!("member-{}", self.member + 1);
        if folds > 1 { PathBuf::from(format!("fold-{}", self.fold + 1)).join(member) } else { member.into() }
    }
}

/// A fold of several.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FoldReport {
    /// The first and the last sample it was judged by, nanoseconds since 1970.
    pub span_ns: [i64; 2],
    /// Samples trained on.
    pub train: usize,
    /// Samples that chose the epoch.
    pub validation: usize,
    /// Its members.
    pub members: Vec<MemberReport>,
    /// What it scored, beside baselines of its own training part.
    pub scores: ScoreTable,
}

/// How one member was trained.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MemberReport {
    /// Its seed.
    pub seed: u64,
    /// The epoch whose parameters it has, from 0.
    pub best_epoch: u64,
    /// What its logits were divided by, so that it is as sure as it was right on the validation part; 1 where nothing was gained by any.
    pub temperature: f64,
    /// What rounding its matrices to bfloat16 adds to the log-loss of the validation part.
    pub rounding_loss: f64,
    /// Whether they are rounded: a step then reads half the bytes.
    pub is_rounded: bool,
    /// Log-loss of the validation part with all that.
    pub validation_log_loss: f64,
    /// Why the run ended.
    pub ended: &'static str,
    /// Parameters that were dying, by the check after each epoch.
    pub dying: Vec<String>,
    /// Its learning curves.
    pub curves: Curves,
}

/// `training.json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TickTraining {
    /// Version of this shape.
    pub format: u32,
    /// When, nanoseconds since 1970.
    pub time_ns: i64,
    /// Version of the code.
    pub code: String,
    /// What the instrument is called.
    pub instrument: String,
    /// SHA-256 that tells the data.
    pub data_sha256: String,
    /// What it was trained on.
    pub device: &'static str,
    /// The configuration, as TOML.
    pub config: String,
    /// Labels and baselines, of the last fold.
    pub yardstick: Yardstick,
    /// Ticks, samples, and samples of each part.
    pub counts: Counts,
    /// Features that the model is not given.
    pub left_out: Vec<String>,
    /// The members, of the last fold.
    pub members: Vec<MemberReport>,
    /// Every fold, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<FoldReport>,
    /// What the model, stepping from tick to tick as in a replay, scores on the test part; of several folds, what each said of its own.
    pub test: ScoreTable,
    /// Bets one at a time on the test part, and the Sharpe ratio of one net of costs; 0 of a model that never bets.
    pub bets: usize,
    /// See `bets`.
    pub sharpe: f64,
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// How many of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Counts {
    /// Decision ticks.
    pub ticks: usize,
    /// Unbroken runs of them.
    pub segments: usize,
    /// Those with a label.
    pub samples: usize,
    /// Samples trained on, in the last fold.
    pub train: usize,
    /// Samples that chose the epoch, in the last fold.
    pub validation: usize,
    /// Samples that judged, of all folds.
    pub test: usize,
}

/// A model of ticks with all that is known of it.
#[derive(Clone, Debug)]
pub struct TrainedTicks {
    /// The members' weights.
    pub members: Vec<StepWeights>,
    /// The manifest to be.
    pub manifest: Manifest,
    /// What came of it.
    pub report: TickTraining,
    /// What goes to the ledger.
    pub trial: Trial,
}

/// What a run gives: a model, or nothing where the observer ended it.
#[derive(Clone, Debug)]
pub enum Training {
    /// It was trained to its end.
    Done(Box<TrainedTicks>),
    /// The observer asked it to stop; its checkpoints stand.
    Stopped,
}

/// Why nothing was trained.
#[derive(Debug, thiserror::Error)]
pub enum TickTrainError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] TickTrainConfigError),
    /// The ticks.
    #[error(transparent)]
    Ticks(#[from] TicksError),
    /// A series.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// A baseline.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// The scores.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The network.
    #[error(transparent)]
    Network(Box<NetworkError>),
    /// Windows.
    #[error(transparent)]
    Windows(#[from] WindowError),
    /// The run.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Its parameters.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// No member.
    #[error("a model has at least one member")]
    NoMember,
    /// No window.
    #[error(
        "no window of {steps} ticks ends in the training part: give longer captures, or a smaller `window.steps` (the warm-up of {warmup} \
         ticks has no labels)"
    )]
    NoWindow {
        /// Ticks of a window.
        steps: usize,
        /// Ticks of the warm-up.
        warmup: u32,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A device without half precision.
    #[error(
        "{0} on this machine has neither bfloat16 nor float16: leave out `network.mixed_precision`, or train on another --device"
    )]
    NoMixedPrecision(TrainingDevice),
    /// The directory.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file beside it.
    #[error(transparent)]
    File(#[from] WholeFileError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<NetworkError> for TickTrainError {
    fn from(error: NetworkError) -> Self {
        TickTrainError::Network(Box::new(error))
    }
}

/// Trains a model of ticks and judges it. Where `split.folds` asks for several it walks forward: each is trained on all before its test part, and
/// the model is that of the last. The same data, configuration and members give the same model on one device of one machine.
///
/// # Errors
/// [`TickTrainError`], with the place and the remedy.
pub fn train_ticks(
    data: TickData,
    config: &TickTrainConfig,
    options: &mut TickTrainOptions<'_>,
) -> Result<Training, TickTrainError> {
    config.check()?;
    if options.members == 0 {
        return Err(TickTrainError::NoMember);
    }
    let device = options.device.open()?;
    if config.network.mixed_precision && half_precision(&device).is_none() {
        return Err(TickTrainError::NoMixedPrecision(options.device));
    }
    let TickData { ticks, samples, sha256, mut notices } = data;
    let rule =
        config.split_rule().ok_or(TickTrainConfigError::Range { key: "split.at", message: "is no time and no share".into() })?;
    let parts = split_folds(&samples, &rule, config.split.folds)?;
    let run = Run { samples: &samples, sha256: &sha256, config, device };
    // `split_folds` gives at least one.
    let (last, earlier) =
        parts.split_last().ok_or(TickTrainConfigError::Range { key: "split.folds", message: "must be at least 1".into() })?;
    let seed = config.training.seed;
    let mut pooled = Pooled::default();
    let mut folds = Vec::new();
    for (number, parts) in earlier.iter().enumerate() {
        let Some((fold, said)) = run.train_fold(number, parts, ticks.clone(), options)? else { return Ok(Training::Stopped) };
        folds.push(fold.report(&samples, parts, &said, seed)?);
        pooled.add(said);
    }
    let Some((fold, said)) = run.train_fold(earlier.len(), last, ticks, options)? else { return Ok(Training::Stopped) };
    if !earlier.is_empty() {
        folds.push(fold.report(&samples, last, &said, seed)?);
    }
    pooled.add(said);
    let Fold { ticks, yardstick, left_out, scaler, members, reports } = fold;
    if !left_out.is_empty() {
        notices.push(format!("the model is not given {}", left_out.join(", ")));
    }
    let test = samples.len() - pooled.so.len()..samples.len();
    let worth = Worth::of(&samples, &pooled, test.clone(), config.outputs.entry_threshold, options.cost_bps);
    let table = judge(&pooled.so, pooled.baselines, &samples, test.clone(), &pooled.said, seed)?;
    let manifest = manifest(config, &ticks, scaler, &sha256, samples.horizon_ns);
    let described = json!({ "kind": "ticks", "members": options.members, "horizon_ns": samples.horizon_ns, "network": config.network,
        "window": config.window, "loss": config.loss, "training": config.training, "features": ticks.columns() });
    let text = config.to_toml();
    let trial = Trial {
        time_ns: options.time_ns,
        command: "train".into(),
        model: described,
        config_sha256: sha256_hex(format!("{text}\nmembers = {}\ncost_bps = {}\n", options.members, options.cost_bps).as_bytes()),
        dataset_sha256: sha256.clone(),
        seed,
        code: options.code.to_owned(),
        periods_per_year: worth.periods_per_year,
        bets: worth.bets as u64,
        path_sharpes: vec![worth.sharpe],
    };
    let counts = Counts {
        ticks: ticks.rows(),
        segments: ticks.starts.len(),
        samples: samples.len(),
        train: last.train.len(),
        validation: last.validation.len(),
        test: test.len(),
    };
    let report = TickTraining {
        format: FORMAT,
        time_ns: options.time_ns,
        code: options.code.to_owned(),
        instrument: ticks.instrument.clone(),
        data_sha256: sha256,
        device: options.device.name(),
        config: text,
        yardstick,
        counts,
        left_out,
        members: reports,
        folds,
        test: table,
        bets: worth.bets,
        sharpe: worth.sharpe,
        notices,
    };
    Ok(Training::Done(Box::new(TrainedTicks { members, manifest, report, trial })))
}

impl TrainedTicks {
    /// Writes the model directory with `training.json` and `curves.html` in it, and appends the trial to the ledger.
    ///
    /// # Errors
    /// [`TickTrainError`]: the folder holds a model already, or a file cannot be written.
    pub fn write(mut self, folder: &Path, ledger: &Ledger) -> Result<ModelDirectory, TickTrainError> {
        ledger.append(std::slice::from_ref(&self.trial))?;
        if let Some(name) = folder.file_name() {
            self.manifest.model.name = name.to_string_lossy().into_owned();
        }
        let directory = ModelDirectory::write(folder, &self.members, self.manifest)?;
        write_whole_file(&folder.join(TRAINING_FILE), |out| {
            serde_json::to_writer_pretty(&mut *out, &self.report)?;
            out.write_all(b"\n")
        })?;
        for (place, member) in self.report.members.iter().enumerate() {
            let (name, title) = match place {
                0 => ("curves.html".to_owned(), "Training".to_owned()),
                place => (format!("curves_{}.html", place + 1), format!("Training, member {}", place + 1)),
            };
            write_whole_file(&folder.join(name), |out| out.write_all(member.curves.to_html(&title).as_bytes()))?;
        }
        Ok(directory)
    }
}

/// What every fold is trained with.
struct Run<'a> {
    samples: &'a Samples,
    sha256: &'a str,
    config: &'a TickTrainConfig,
    device: Device,
}

/// A trained fold.
struct Fold {
    /// With the features that the model has, scaled.
    ticks: Ticks,
    yardstick: Yardstick,
    left_out: Vec<String>,
    scaler: Scaler,
    members: Vec<StepWeights>,
    reports: Vec<MemberReport>,
}

/// What was said of test samples, one after the other, and what was so.
#[derive(Clone, Default)]
struct Pooled {
    so: Vec<Direction>,
    said: Vec<Probabilities>,
    signals: Vec<f64>,
    baselines: Vec<(&'static str, Vec<Probabilities>)>,
}

impl Pooled {
    /// What a later fold said.
    fn add(&mut self, later: Pooled) {
        self.so.extend(later.so);
        self.said.extend(later.said);
        self.signals.extend(later.signals);
        if self.baselines.is_empty() {
            self.baselines = later.baselines;
            return;
        }
        // The same baselines in the same order in every fold.
        for ((_, said), (_, later)) in self.baselines.iter_mut().zip(later.baselines) {
            said.extend(later);
        }
    }
}

impl Run<'_> {
    /// Trains the members of a fold and has them, and the baselines, say what they do of its test part; `None` where the observer ended it.
    fn train_fold(
        &self,
        number: usize,
        parts: &Parts,
        mut ticks: Ticks,
        options: &mut TickTrainOptions<'_>,
    ) -> Result<Option<(Fold, Pooled)>, TickTrainError> {
        let (samples, config) = (self.samples, self.config);
        let target = Target::choose(samples, &parts.train, config.target_rule())?;
        let directions = target.directions(samples);
        let baselines = Baselines::fit(&ticks, samples, &directions, &target, &parts.train)?;
        let test: Vec<usize> = parts.test.clone().collect();
        let said_by_baselines = baselines.predict(&ticks, samples, &target, &test)?;
        let yardstick = Yardstick { horizon_ns: samples.horizon_ns, target, baselines };
        let left_out = choose_features(&mut ticks, samples, parts, &config.features.leave_out)?;
        let train_rows: Vec<usize> = parts.train.iter().map(|sample| samples.rows[*sample]).collect();
        let scaler = Scaler::fit(&ticks, &train_rows, config.features.clip)?;
        scaler.apply(&mut ticks);
        let labelled = Labelled { ticks: &ticks, samples, directions: &directions, target: &yardstick.target, parts };
        let (mut members, mut reports) = (Vec::new(), Vec::new());
        for member in 0..options.members {
            let place = TrainingPlace { fold: number, member };
            let Some((weights, report)) = self.train_member(&labelled, place, options)? else { return Ok(None) };
            members.push(weights);
            reports.push(report);
        }
        let (first, last) = (samples.rows[parts.test.start], samples.rows[parts.test.end - 1]);
        let rows = ticks.segment_of(first).start..last + 1;
        let native = |weights: &StepWeights| Box::new(NativeModel::new(weights)) as Box<dyn StepModel>;
        let predictions = step_through(as_one(members.iter().map(native).collect()).as_mut(), &ticks, rows.clone())?;
        let of = |sample: usize| &predictions[samples.rows[sample] - rows.start];
        let said = Pooled {
            so: directions[parts.test.clone()].to_vec(),
            said: parts.test.clone().map(|sample| of(sample).probabilities()).collect(),
            signals: parts.test.clone().map(|sample| of(sample).signal()).collect(),
            baselines: said_by_baselines,
        };
        Ok(Some((Fold { ticks, yardstick, left_out, scaler, members, reports }, said)))
    }

    /// Trains one member; `None` where the observer ended it.
    fn train_member(
        &self,
        of: &Labelled<'_>,
        place: TrainingPlace,
        options: &mut TickTrainOptions<'_>,
    ) -> Result<Option<(StepWeights, MemberReport)>, TickTrainError> {
        let Labelled { ticks, samples, parts, .. } = of;
        let Run { config, sha256, .. } = self;
        let device = self.device.clone().autodiff();
        let seed = config.training.seed.wrapping_add(place.member as u64);
        let mut windows =
            TickWindows::new(ticks, config.window.steps, config.window.read, &device)?.augmented(config.augmentation, seed);
        for sample in &parts.train {
            let target = of.target.forecast(samples.returns[*sample]) as f32;
            windows.label(samples.rows[*sample], of.directions[*sample].index(), target, samples.weights[*sample]);
        }
        if windows.order(seed, 0).is_empty() {
            return Err(TickTrainError::NoWindow { steps: config.window.steps, warmup: ticks.tick.warmup_ticks });
        }
        let mut network = config.network.clone();
        let is_of_volatility = |name: &str| index_of(name).and_then(|place| registry().get(place)).is_some_and(tells_volatility);
        network.volatility = (0..ticks.columns()).filter(|place| is_of_volatility(&ticks.features[*place].0)).collect();
        let mut start = StepWeights::untrained(&network.spec(ticks.columns()), seed);
        // The regime is not looked at until training finds a use for it: what the data never showed then changes nothing.
        start.values_mut(Tensor::RegimeWeight).fill(0.0);
        network.check(ticks.columns())?;
        let model = DirectionModel::new(Network::from_weights(&start, &network, seed, &device)?, config.loss.clone());
        let mut dying = Vec::new();
        let mut fit = Fit::new(
            crate::fit::Plan { seed, ..config.training.clone() },
            &windows,
            |epoch| windows.order(seed, epoch),
            // A watched value that is not a number stops the run, and says where.
            |model: &DirectionModel, _| match model.network.to_weights() {
                Ok(weights) => validation_log_loss(&weights, of).unwrap_or(f64::NAN),
                Err(_) => f64::NAN,
            },
        );
        fit.data = format!("{sha256} {} {}", sha256_hex(config.to_toml().as_bytes()), options.device);
        fit.checkpoints = options.checkpoints.as_ref().map(|folder| Checkpoints {
            folder: folder.join(place.folder(config.split.folds)),
            every_steps: None,
            keep: 1,
            resume: options.resume,
        });
        let clock = options.clock;
        fit.clock = Box::new(clock);
        let observe = &mut *options.observe;
        let fitted = {
            let dying = &mut dying;
            fit.observe = Box::new(move |event| {
                if let Event::Dying { now, .. } = event {
                    dying.push(now.name.clone());
                }
                observe(place, event)
            });
            fit.run(model)?
        };
        if fitted.ended == Ended::Asked {
            return Ok(None);
        }
        let mut weights = fitted.best.network.to_weights()?;
        let temperature = calibrate(&mut weights, of)?;
        let rounded = weights.rounded_to_bfloat16();
        let (mut validation, of_rounded) = (validation_log_loss(&weights, of)?, validation_log_loss(&rounded, of)?);
        let rounding_loss = of_rounded - validation;
        let is_rounded = rounding_loss <= config.outputs.rounding_loss_max;
        if is_rounded {
            (weights, validation) = (rounded, of_rounded);
        }
        let report = MemberReport {
            seed,
            best_epoch: fitted.best_epoch.map_or(0, |best| best.epoch),
            temperature,
            rounding_loss,
            is_rounded,
            validation_log_loss: validation,
            ended: if fitted.ended == Ended::Patience { "patience" } else { "epochs" },
            dying,
            curves: fitted.curves,
        };
        Ok(Some((weights, report)))
    }
}

impl Fold {
    fn report(&self, samples: &Samples, parts: &Parts, said: &Pooled, seed: u64) -> Result<FoldReport, TickTrainError> {
        let test = parts.test.clone();
        Ok(FoldReport {
            span_ns: [samples.times_ns[test.start], samples.times_ns[test.end - 1]],
            train: parts.train.len(),
            validation: parts.validation.len(),
            members: self.reports.clone(),
            scores: judge(&said.so, said.baselines.clone(), samples, test, &said.said, seed)?,
        })
    }
}

/// What members are trained on.
struct Labelled<'a> {
    ticks: &'a Ticks,
    samples: &'a Samples,
    directions: &'a [Direction],
    target: &'a Target,
    parts: &'a Parts,
}

/// Keeps the features that can be learnt and are wanted; gives the names of the others.
fn choose_features(
    ticks: &mut Ticks,
    samples: &Samples,
    parts: &Parts,
    unwanted: &[String],
) -> Result<Vec<String>, TickTrainError> {
    let all: Vec<String> = ticks.features.iter().map(|(name, _)| name.clone()).collect();
    if let Some(name) = unwanted.iter().find(|name| !all.contains(name)) {
        let nearest = all.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name)).cloned().unwrap_or_default();
        return Err(TicksError::UnknownFeature { name: name.clone(), nearest }.into());
    }
    let rows: Vec<usize> = parts.train.iter().map(|sample| samples.rows[*sample]).collect();
    let kept: Vec<String> = ticks.features_within(&rows).into_iter().filter(|name| !unwanted.contains(name)).collect();
    ticks.keep_features(&kept)?;
    Ok(all.into_iter().filter(|name| !kept.contains(name)).collect())
}

/// Whether a feature tells how much the price moves.
fn tells_volatility(spec: &FeatureSpec) -> bool {
    spec.name.contains("volatility") || spec.unit == chronos_market::features::Unit::BasisPointsPerRootSecond
}

/// What a model, stepping from tick to tick, says of the validation part.
fn validation_predictions(weights: &StepWeights, of: &Labelled<'_>) -> Result<Vec<Prediction>, TickTrainError> {
    let Labelled { ticks, samples, parts, .. } = of;
    let (Some(first), Some(last)) = (parts.validation.first(), parts.validation.last()) else { return Ok(Vec::new()) };
    let (first, last) = (samples.rows[*first], samples.rows[*last]);
    let from = ticks.segment_of(first).start.max(first.saturating_sub(CONTEXT_TICKS));
    let predictions = step_through(&mut NativeModel::new(weights), ticks, from..last + 1)?;
    Ok(parts.validation.iter().map(|sample| predictions[samples.rows[*sample] - from]).collect())
}

/// Log-loss of the validation part.
fn validation_log_loss(weights: &StepWeights, of: &Labelled<'_>) -> Result<f64, TickTrainError> {
    let loss = |(sample, said): (&usize, &Prediction)| -said.probabilities()[of.directions[*sample].index()].max(f64::EPSILON).ln();
    let predictions = validation_predictions(weights, of)?;
    Ok(of.parts.validation.iter().zip(&predictions).map(loss).sum::<f64>() / predictions.len() as f64)
}

/// Divides the logits by the temperature of the least validation log-loss, within the last layer; gives it. Where there is none, because
/// the model says nothing of that part or knows it all, nothing is divided.
fn calibrate(weights: &mut StepWeights, of: &Labelled<'_>) -> Result<f64, TickTrainError> {
    let logits: Vec<f64> = validation_predictions(weights, of)?.iter().flat_map(|said| said.logits.map(f64::from)).collect();
    let labels: Vec<usize> = of.parts.validation.iter().map(|sample| of.directions[*sample].index()).collect();
    let Ok(Temperature(temperature)) = fit_temperature(&logits, CLASSES, &labels) else { return Ok(1.0) };
    for tensor in [HeadTensor::OutputWeight, HeadTensor::OutputBias] {
        let values = weights.values_mut(Tensor::Head(Head::Logits, tensor));
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / temperature) as f32);
    }
    Ok(temperature)
}

fn manifest(config: &TickTrainConfig, ticks: &Ticks, scaler: Scaler, data_sha256: &str, horizon_ns: i64) -> Manifest {
    let scaler = ScalerEntry { mean: scaler.mean, std: scaler.std, clip: scaler.clip };
    let outputs =
        OutputsEntry { horizon_ns, entry_threshold: config.outputs.entry_threshold, exit_threshold: config.outputs.exit_threshold };
    let mut manifest = Manifest::new("ticks", &ticks.features, scaler, &ticks.tick, outputs);
    data_sha256.clone_into(&mut manifest.data.sha256);
    manifest
}

/// What bets on the signals earn.
struct Worth {
    bets: usize,
    sharpe: f64,
    periods_per_year: f64,
}

impl Worth {
    fn of(samples: &Samples, said: &Pooled, part: Range<usize>, threshold: f64, cost_bps: f64) -> Worth {
        let rows = OwnedSamples {
            features: Vec::new(),
            events_ns: samples.times_ns[part.clone()].to_vec(),
            ends_ns: samples.ends_ns[part.clone()].to_vec(),
            labels: said.so.iter().map(|direction| direction.index() as f64 - 1.0).collect(),
            returns: samples.returns[part.clone()].to_vec(),
            weights: vec![1.0; part.len()],
            target: LabelKind::Direction,
        };
        let rows = rows.samples();
        let chosen = bets(&rows, |_| true);
        let backtest = Backtest { cost_bps, threshold, sizing: Sizing::Unit };
        let returns = backtest.returns(&rows, &chosen, &said.signals).returns;
        let sharpe = Some(sharpe_ratio(&returns, 1.0)).filter(|sharpe| sharpe.is_finite()).unwrap_or_default();
        let times_ns: Vec<i64> = chosen.iter().map(|row| rows.events_ns[*row]).collect();
        Worth { bets: chosen.len(), sharpe, periods_per_year: periods_per_year(&times_ns).unwrap_or_default() }
    }
}

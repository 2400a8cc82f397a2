//! A trained model on other captures, as a replay runs it.

use super::{JudgeError, Probabilities, ScoreTable, Yardstick, judge, yardstick::DIRECTION_BINS};
use crate::ticks::{Direction, Scaler, TickData, TicksError, read_ticks, step_through};
use crate::trees::{ReliabilityBin, reliability_curve};
use chronos_inference::EngineChoice;
use chronos_session::Progress;
use chronos_session::config::Config;
use chronos_session::model::{ModelDirectory, ModelError};
use serde::Serialize;
use std::path::PathBuf;

/// What to judge a model on.
#[derive(Clone, Debug)]
pub struct TickEvaluationOptions {
    /// Captures: files and folders, which continue each other.
    pub paths: Vec<PathBuf>,
    /// Only samples from this time on, nanoseconds since the epoch. The ticks before it warm the model's state.
    pub from_ns: Option<i64>,
    /// Features, instruments and parameters are read of it; decision ticks are the model's.
    pub config: Config,
    /// What runs the model.
    pub engine: EngineChoice,
    /// Of the bootstrap.
    pub seed: u64,
}

/// What a model is worth on some captures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TickEvaluation {
    /// What the instrument is called.
    pub instrument: String,
    /// SHA-256 that tells the data.
    pub data_sha256: String,
    /// What labels look ahead, nanoseconds.
    pub horizon_ns: i64,
    /// Time of the first and the last sample.
    pub span_ns: [i64; 2],
    /// What computed the steps.
    pub engine: String,
    /// The scores beside the baselines.
    pub scores: ScoreTable,
    /// What was said of each direction against how often it was so, ten bins each: down, flat, up.
    pub reliability: [Vec<ReliabilityBin>; 3],
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// Why there is no evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The captures.
    #[error(transparent)]
    Ticks(#[from] TicksError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scores.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// There is nothing from that time on.
    #[error("no sample from {from_ns} ns on; samples run from {first_ns} to {last_ns} ns: name an earlier time, or later captures")]
    Nothing {
        /// The time asked for.
        from_ns: i64,
        /// Time of the first sample.
        first_ns: i64,
        /// Time of the last.
        last_ns: i64,
    },
}

/// Steps a model through captures and judges it by the yardstick it was trained with.
///
/// # Errors
/// [`EvaluationError`], with the place and the remedy.
pub fn evaluate_ticks(
    model: &ModelDirectory,
    yardstick: &Yardstick,
    options: &TickEvaluationOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<TickEvaluation, EvaluationError> {
    let config = options.config.clone().with_tick(&model.tick());
    let data = read_ticks(&options.paths, yardstick.horizon_ns, &config, progress)?;
    let TickData { mut ticks, samples, sha256, mut notices } = data;
    let from_ns = options.from_ns.unwrap_or(i64::MIN);
    let first = samples.times_ns.partition_point(|time_ns| *time_ns < from_ns);
    let part = first..samples.len();
    if part.is_empty() {
        let first_ns = samples.times_ns.first().copied().unwrap_or_default();
        let last_ns = samples.times_ns.last().copied().unwrap_or_default();
        return Err(EvaluationError::Nothing { from_ns, first_ns, last_ns });
    }
    let of: Vec<usize> = part.clone().collect();
    let baselines = yardstick.baselines.predict(&ticks, &samples, &yardstick.target, &of).map_err(JudgeError::from)?;
    let manifest = &model.manifest;
    ticks.keep_features(&manifest.features.names)?;
    let scaler = &manifest.scaler;
    Scaler { mean: scaler.mean.clone(), std: scaler.std.clone(), clip: scaler.clip }.apply(&mut ticks);
    let (mut steps, engine) = model.step_model(options.engine)?;
    let rows = ticks.segment_of(samples.rows[part.start]).start..ticks.rows();
    let predictions = step_through(steps.as_mut(), &ticks, rows.clone())?;
    let probabilities = |sample: usize| predictions[samples.rows[sample] - rows.start].probabilities();
    let said: Vec<Probabilities> = part.clone().map(probabilities).collect();
    let directions = yardstick.target.directions(&samples);
    let scores = judge(&directions[part.clone()], baselines, &samples, part.clone(), &said, options.seed)?;
    if manifest.data.sha256 == sha256 {
        notices.push(
            "these are the captures that the model was trained on; `--from` with the time of its split judges it on what it has not seen"
                .into(),
        );
    }
    let reliability = Direction::ALL.map(|class| {
        let said: Vec<f64> = said.iter().map(|of| of[class.index()]).collect();
        let so: Vec<bool> = directions[part.clone()].iter().map(|direction| *direction == class).collect();
        reliability_curve(&said, &so, None, DIRECTION_BINS)
    });
    Ok(TickEvaluation {
        instrument: ticks.instrument.clone(),
        data_sha256: sha256,
        horizon_ns: samples.horizon_ns,
        span_ns: [samples.times_ns[part.start], samples.times_ns[part.end - 1]],
        engine,
        scores,
        reliability,
        notices,
    })
}

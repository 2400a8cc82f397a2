//! A model with its weights rounded to bfloat16, once it is known what that does on the user's own data.
//!
//! A step of the native kernel waits for its weights, and matrices that bfloat16 holds exactly are read in half the time. Whether a trained
//! model bears the rounding is not to be assumed: both forms step side by side over captures, and the rounded one is written only where
//! their probabilities stay close.

use crate::config::Config;
use crate::features::{Followed, follow};
use crate::model::{ModelDirectory, as_one};
use crate::replay::{Progress, SessionError};
use chronos_inference::{NativeModel, Prediction, StepModel, StepWeights};
use chronos_market::{EventKind, Frame, Instrument, MarketEvent, REGIME_EMBEDDING};
use chronos_pipeline::predictor::Predictor;
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::Crossing;
use serde::Serialize;
use std::path::PathBuf;

/// Version of [`RoundingReport`]'s fields.
pub const ROUNDING_SCHEMA: u32 = 1;

/// What to round, and on what to measure it.
#[derive(Clone, Debug)]
pub struct RoundingOptions {
    /// Folder of the model.
    pub model: PathBuf,
    /// Captures: files and folders.
    pub paths: Vec<PathBuf>,
    /// Features and instruments are read of it; decision ticks are the model's.
    pub config: Config,
    /// Stop after so many lines.
    pub limit: Option<u64>,
    /// Folder to write the rounded model to.
    pub out: PathBuf,
    /// Largest difference of a probability that is borne.
    pub difference_max: f64,
}

/// What rounding does.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RoundingReport {
    /// [`ROUNDING_SCHEMA`].
    pub schema: u32,
    /// Lines read.
    pub messages: u64,
    /// Steps compared: decision ticks with a usable book.
    pub steps: u64,
    /// Weights that rounding changed.
    pub weights_changed: u64,
    /// Largest difference of one of the three probabilities.
    pub probability_difference_max: f64,
    /// Mean over the steps of the largest of the three.
    pub probability_difference_mean: f64,
    /// Largest difference of the forecast.
    pub forecast_difference_max: f64,
    /// Steps at which one form would open a position, by the entry threshold of the manifest, and the other not, or the other way.
    pub decisions_changed: u64,
    /// Largest difference of a probability that is borne.
    pub difference_max: f64,
    /// Whether the rounded model was written.
    pub is_written: bool,
    /// SHA-256 of its file; empty where it was not.
    pub sha256: String,
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// Rounds a model's matrices and compares both forms over captures, the regime's embedding being zeros. The rounded one is written where
/// no probability differs by more than is borne. `progress` is called now and then.
///
/// # Errors
/// [`SessionError`], with the place and the remedy.
pub fn round_to_bfloat16(options: &RoundingOptions, progress: &mut dyn FnMut(Progress)) -> Result<RoundingReport, SessionError> {
    ModelDirectory::refuse_taken(&options.out)?;
    let model = ModelDirectory::open(&options.model)?;
    let weights = model.weights()?;
    let rounded: Vec<StepWeights> = weights.iter().map(StepWeights::rounded_to_bfloat16).collect();
    let config = options.config.clone().with_tick(&model.tick());
    let begin = |instruments: &[Instrument]| {
        let native = |weights: &StepWeights| Box::new(NativeModel::new(weights)) as Box<dyn StepModel>;
        let predictor = |weights: &[StepWeights]| Predictor::new(as_one(weights.iter().map(native).collect()), model.scales());
        let pairs = instruments.iter().map(|_| [predictor(&weights), predictor(&rounded)]).collect();
        Ok(Comparison { pairs, entry_threshold: model.manifest.outputs.entry_threshold, ..Comparison::default() })
    };
    let (found, followed) = follow(&options.paths, &config, options.limit, begin, |_| false, progress)?;
    let Followed { messages, mut notices, .. } = followed;
    let is_borne = found.steps > 0 && found.probability_max <= options.difference_max;
    if found.steps == 0 {
        notices
            .push("no decision tick with a usable book: nothing was compared; `chronos inspect` tells what the files hold".into());
    }
    if found.failures > 0 {
        notices.push(format!("{} steps failed in one form or both and were not compared", found.failures));
    }
    let mut sha256 = String::new();
    if is_borne {
        let written = ModelDirectory::write(&options.out, &rounded, model.manifest.clone())?;
        sha256 = written.manifest.model.sha256;
        if model.is_promoted() {
            notices
                .push("the evidence spoke for the model as it was: the rounded one has to be validated and promoted anew".into());
        }
    }
    let changed = |(weights, rounded): (&StepWeights, &StepWeights)| {
        let differing = |tensor| {
            let pairs = weights.values(tensor).iter().zip(rounded.values(tensor));
            pairs.filter(|(before, after)| before != after).count() as u64
        };
        weights.spec().tensors().into_iter().map(differing).sum::<u64>()
    };
    Ok(RoundingReport {
        schema: ROUNDING_SCHEMA,
        messages,
        steps: found.steps,
        weights_changed: weights.iter().zip(&rounded).map(changed).sum(),
        probability_difference_max: found.probability_max,
        probability_difference_mean: found.probability_sum / found.steps.max(1) as f64,
        forecast_difference_max: found.forecast_max,
        decisions_changed: found.decisions_changed,
        difference_max: options.difference_max,
        is_written: is_borne,
        sha256,
        notices,
    })
}

/// Both forms of the model for each instrument, and how they differ.
#[derive(Default)]
struct Comparison {
    pairs: Vec<[Predictor; 2]>,
    entry_threshold: f64,
    steps: u64,
    failures: u64,
    probability_max: f64,
    probability_sum: f64,
    forecast_max: f64,
    decisions_changed: u64,
}

impl Crossing for Comparison {
    fn event(&mut self, event: &MarketEvent) {
        // As the trade group does: a state belongs to an unbroken book.
        if matches!(event.kind, EventKind::BookSynced | EventKind::BookStale)
            && let Some(pair) = self.pairs.get_mut(event.instrument.index())
        {
            pair.iter_mut().for_each(Predictor::reset);
        }
    }

    fn frame(&mut self, frame: &Frame, _started: Started) {
        let Some([whole, rounded]) = self.pairs.get_mut(frame.instrument.index()) else { return };
        let regime = [0.0; REGIME_EMBEDDING];
        let (Ok(whole), Ok(rounded)) = (whole.step(frame, &regime), rounded.step(frame, &regime)) else {
            self.failures += 1;
            return;
        };
        let pairs = whole.probabilities().into_iter().zip(rounded.probabilities());
        let difference = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f64::max);
        self.steps += 1;
        self.probability_max = self.probability_max.max(difference);
        self.probability_sum += difference;
        self.forecast_max = self.forecast_max.max(f64::from((whole.forecast - rounded.forecast).abs()));
        let bet = |prediction: &Prediction| {
            let signal = prediction.signal();
            if signal.abs() >= self.entry_threshold { signal.signum() as i8 } else { 0 }
        };
        self.decisions_changed += u64::from(bet(whole) != bet(rounded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_inference::StepSpec;
    use chronos_market::features::registry;

    #[test]
    fn a_folder_that_is_taken_is_refused_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        let spec = StepSpec { d_model: 16, layers: 1, head_hidden: 16, ..StepSpec::standard(registry().len()) };
        ModelDirectory::create(&model, &StepWeights::untrained(&spec, 3), "small").unwrap();
        let options = RoundingOptions {
            model: model.clone(),
            paths: vec![folder.path().join("no-such-capture")],
            config: Config::default(),
            limit: None,
            out: model,
            difference_max: 1.0,
        };
        let refusal = |options: &RoundingOptions| round_to_bfloat16(options, &mut |_| {}).unwrap_err().to_string();
        assert!(refusal(&options).contains("holds a model already"), "{}", refusal(&options));
        let elsewhere = RoundingOptions { out: folder.path().join("other"), ..options };
        assert!(refusal(&elsewhere).contains("no-such-capture"), "{}", refusal(&elsewhere));
    }
}

//! How a model of ticks is trained: TOML, every key documented here, unknown keys refused with the nearest name.

use crate::fit::{Augmentation, Plan, ScheduleBy};
use crate::losses::HeadLoss;
use crate::network::NetworkConfig;
use crate::optimiser::{OptimiserConfig, Schedule};
use chronos_research::bars::{parse_duration, time_ns};
use chronos_research::ticks::{SplitAt, SplitRule, TargetRule};
use chronos_session::config::{Config, unknown_key_remedy};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that can be set. The default of each key is what holds where it is left out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct TickTrainConfig {
    /// What is to be predicted.
    pub labels: LabelSection,
    /// What is trained on, chosen by and judged by.
    pub split: SplitSection,
    /// What the model is given.
    pub features: FeatureSection,
    /// Windows.
    pub window: WindowSection,
    /// Sizes of the network. Its `auxiliary_after` are the blocks after which auxiliary heads stand.
    pub network: NetworkConfig,
    /// The loss.
    pub loss: HeadLoss,
    /// Changes to training windows.
    pub augmentation: Augmentation,
    /// The run; its `seed` is that of the first member.
    pub training: Plan,
    /// What the model's signals mean to the strategy.
    pub outputs: OutputSection,
    /// How captures are read: the configuration of `chronos replay`, of which ticks, features, instruments and parameters count.
    pub session: Config,
}

/// `[labels]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSection {
    /// What labels look ahead: `1s`, `500ms`. A dataset has its own.
    pub horizon: String,
    /// Share of the training samples that are to be flat; from it and their returns comes the threshold.
    pub flat_share: f64,
    /// The threshold itself in basis points, in place of the share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_bps: Option<f64>,
}

/// `[split]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitSection {
    /// Where the test begins: a time such as `2024-08-09T00:00:00Z`, or a share of the samples such as `0.7`.
    pub at: String,
    /// Folds that the test is cut into, one after the other: each is judged by a model trained on all before it, and the last one's is written.
    pub folds: usize,
    /// Share of the samples before a test that validate: the last of them.
    pub validation_share: f64,
    /// Time by which a label must have ended before the next part begins: `0s`, `1s`.
    pub embargo: String,
}

/// `[features]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct FeatureSection {
    /// Largest magnitude of a scaled feature.
    pub clip: f64,
    /// Features that the model is not given. Those of a cycle longer than the training data are left out in any case.
    pub leave_out: Vec<String>,
}

/// `[window]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSection {
    /// Ticks of a window.
    pub steps: usize,
    /// How many of its last ticks are trained on; windows overlap so that each tick is read once an epoch. The ticks before them warm the
    /// state.
    pub read: usize,
}

/// `[outputs]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputSection {
    /// Signal from which a position is opened, above 0.
    pub entry_threshold: f64,
    /// Signal against the position from which it is closed.
    pub exit_threshold: f64,
    /// Matrices are rounded to bfloat16, which a step of the hot path reads in half the time, where that adds no more than this to the
    /// log-loss of the validation part; negative for never.
    pub rounding_loss_max: f64,
}

impl Default for TickTrainConfig {
    fn default() -> Self {
        TickTrainConfig {
            labels: LabelSection::default(),
            split: SplitSection::default(),
            features: FeatureSection::default(),
            window: WindowSection::default(),
            network: NetworkConfig::default(),
            // Cross-entropy: it is log-loss that is watched and judged, and what a focal loss trains is not calibrated.
            loss: HeadLoss { gamma: 0.0, forecast_weight: 0.2, ..HeadLoss::default() },
            augmentation: Augmentation::default(),
            training: Plan {
                epochs: 20,
                batch: 16,
                learning_rate: 5e-4,
                schedule: Schedule::WarmupCosine { warmup: 1, total: 20, floor: 1e-5 },
                schedule_by: ScheduleBy::Epoch,
                optimiser: OptimiserConfig::adamw(0.05),
                patience: Some(5),
                ..Plan::default()
            },
            outputs: OutputSection::default(),
            session: Config::default(),
        }
    }
}

impl Default for LabelSection {
    fn default() -> Self {
        LabelSection { horizon: "1s".into(), flat_share: 1.0 / 3.0, threshold_bps: None }
    }
}

impl Default for SplitSection {
    fn default() -> Self {
        SplitSection { at: "0.7".into(), folds: 1, validation_share: 0.2, embargo: "0s".into() }
    }
}

impl Default for FeatureSection {
    fn default() -> Self {
        FeatureSection { clip: 5.0, leave_out: Vec::new() }
    }
}

impl Default for WindowSection {
    fn default() -> Self {
        WindowSection { steps: 64, read: 16 }
    }
}

impl Default for OutputSection {
    fn default() -> Self {
        OutputSection { entry_threshold: 0.1, exit_threshold: 0.05, rounding_loss_max: 1e-4 }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum TickTrainConfigError {
    /// The file could not be read.
    #[error("config {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or a value has the wrong type.
    #[error("config {path}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A key that does not exist.
    #[error("config {path}: unknown key `{key}`; {remedy}", path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key with its sections.
        key: String,
        /// The nearest name, or those that exist.
        remedy: String,
    },
    /// A value out of its range.
    #[error("config: `{key}` {message}")]
    Range {
        /// The key with its section.
        key: &'static str,
        /// What it must be.
        message: String,
    },
}

impl TickTrainConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`TickTrainConfigError`], with the place and the remedy.
    pub fn load(path: &Path) -> Result<TickTrainConfig, TickTrainConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| TickTrainConfigError::Read { path: path.to_owned(), source })?;
        TickTrainConfig::parse(&text, path)
    }

    /// Reads the text of a file; `path` is for messages only.
    ///
    /// # Errors
    /// [`TickTrainConfigError`], with the place and the remedy.
    pub fn parse(text: &str, path: &Path) -> Result<TickTrainConfig, TickTrainConfigError> {
        let syntax = |message: String| TickTrainConfigError::Syntax { path: path.to_owned(), message };
        let table: Table = text.parse().map_err(|error: toml::de::Error| syntax(error.to_string()))?;
        refuse_unknown_keys(&table, &known_keys(), "", path)?;
        let config: TickTrainConfig = toml::from_str(text).map_err(|error| syntax(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as a file, every key with its value.
    pub fn to_toml(&self) -> String {
        // Plain numbers, strings and lists of them can always be written.
        toml::to_string(self).unwrap_or_default()
    }

    /// Checks what no other part checks.
    ///
    /// # Errors
    /// [`TickTrainConfigError::Range`] names the key and what it must be.
    pub fn check(&self) -> Result<(), TickTrainConfigError> {
        let range = |is_good: bool, key: &'static str, message: &str| match is_good {
            true => Ok(()),
            false => Err(TickTrainConfigError::Range { key, message: message.to_owned() }),
        };
        range(self.horizon_ns().is_some(), "labels.horizon", "must be a time such as 1s or 500ms, above 0")?;
        range((0.0..1.0).contains(&self.labels.flat_share), "labels.flat_share", "must be 0 to below 1")?;
        let threshold = self.labels.threshold_bps.unwrap_or_default();
        range(threshold.is_finite() && threshold >= 0.0, "labels.threshold_bps", "must be 0 or more")?;
        range(
            self.split_at().is_some(),
            "split.at",
            "must be a time such as 2024-08-09T00:00:00Z, or a share above 0 and below 1",
        )?;
        range(self.split.folds > 0, "split.folds", "must be at least 1")?;
        range(self.embargo_ns().is_some(), "split.embargo", "must be a time such as 0s or 1s")?;
        range(self.window.steps > 0, "window.steps", "must be at least 1")?;
        range((1..=self.window.steps).contains(&self.window.read), "window.read", "must be 1 to `window.steps`")?;
        range(
            self.window.read == 1 || self.augmentation.time_warp == 0.0,
            "augmentation.time_warp",
            "moves all ticks but the last against their labels: set `window.read` to 1, or this to 0",
        )?;
        let outputs = &self.outputs;
        range(
            outputs.entry_threshold > 0.0 && outputs.entry_threshold <= 1.0,
            "outputs.entry_threshold",
            "must be above 0, at most 1",
        )?;
        range((0.0..=1.0).contains(&outputs.exit_threshold), "outputs.exit_threshold", "must be 0 to 1")?;
        range(outputs.rounding_loss_max.is_finite(), "outputs.rounding_loss_max", "must be a number; negative for never")
    }

    /// What labels look ahead, nanoseconds; `None` where the text is no time.
    pub fn horizon_ns(&self) -> Option<i64> {
        parse_duration(&self.labels.horizon).filter(|horizon_ns| *horizon_ns > 0)
    }

    /// How the target is chosen.
    pub fn target_rule(&self) -> TargetRule {
        match self.labels.threshold_bps {
            Some(threshold_bps) => TargetRule::Threshold(threshold_bps * 1e-4),
            None => TargetRule::FlatShare(self.labels.flat_share),
        }
    }

    fn split_at(&self) -> Option<SplitAt> {
        match self.split.at.parse::<f64>() {
            Ok(share) if share > 0.0 && share < 1.0 => Some(SplitAt::Share(share)),
            _ => time_ns(&self.split.at).map(SplitAt::Time),
        }
    }

    /// How samples are parted; `None` where a text is neither time nor share.
    pub fn split_rule(&self) -> Option<SplitRule> {
        let embargo_ns = self.embargo_ns()?;
        Some(SplitRule { at: self.split_at()?, validation_share: self.split.validation_share, embargo_ns })
    }

    fn embargo_ns(&self) -> Option<i64> {
        let text = &self.split.embargo;
        if text == "0s" { Some(0) } else { parse_duration(text) }
    }
}

/// A table with every key there is, those that are absent by default too.
fn known_keys() -> Table {
    let mut all = TickTrainConfig::default();
    all.labels.threshold_bps = Some(0.0);
    all.network.auxiliary_after = Some(Vec::new());
    (all.training.clip_norm, all.training.patience) = (Some(1.0), Some(1));
    Table::try_from(all).unwrap_or_default()
}

/// Sections whose keys depend on a choice within them; reading them refuses what is not theirs.
const CHOICES: [&str; 2] = ["training.schedule", "training.optimiser"];

fn refuse_unknown_keys(given: &Table, known: &Table, section: &str, path: &Path) -> Result<(), TickTrainConfigError> {
    for (key, value) in given {
        let full = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        let Some(known_value) = known.get(key) else {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let remedy = unknown_key_remedy(key, &names);
            return Err(TickTrainConfigError::UnknownKey { path: path.to_owned(), key: full, remedy });
        };
        if let (Value::Table(given), Value::Table(known), false) = (value, known_value, CHOICES.contains(&full.as_str())) {
            refuse_unknown_keys(given, known, &full, path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TickTrainConfig, String> {
        TickTrainConfig::parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_reads_back_and_an_empty_file_is_the_default() {
        assert_eq!(parse(&TickTrainConfig::default().to_toml()), Ok(TickTrainConfig::default()));
        assert_eq!(parse(""), Ok(TickTrainConfig::default()));
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_nearest_name() {
        for (text, key, name) in [
            ("[labels]\nhorizn = \"1s\"\n", "labels.horizn", "horizon"),
            ("[trainig]\n", "trainig", "training"),
            ("[network]\nlayer = 2\n", "network.layer", "layers"),
            ("[session.tick]\ntop_level = 2\n", "session.tick.top_level", "top_levels"),
            ("[training]\npatienc = 2\n", "training.patienc", "patience"),
        ] {
            let wanted = format!("config c.toml: unknown key `{key}`; did you mean `{name}`?");
            assert_eq!(parse(text), Err(wanted));
        }
        assert!(parse("[training.schedule.step]\nevery = 2\nfactr = 0.5\n").is_err_and(|error| error.contains("factr")));
        assert!(parse("[training]\nschedule = \"constant\"\n").is_ok());
    }

    #[test]
    fn values_out_of_range_are_told_with_their_key() {
        for (text, key) in [
            ("[labels]\nhorizon = \"soon\"\n", "labels.horizon"),
            ("[labels]\nhorizon = \"0s\"\n", "labels.horizon"),
            ("[labels]\nflat_share = 1.0\n", "labels.flat_share"),
            ("[labels]\nthreshold_bps = -1.0\n", "labels.threshold_bps"),
            ("[split]\nat = \"1.5\"\n", "split.at"),
            ("[split]\nembargo = \"x\"\n", "split.embargo"),
            ("[split]\nfolds = 0\n", "split.folds"),
            ("[window]\nsteps = 0\n", "window.steps"),
            ("[window]\nread = 65\n", "window.read"),
            ("[augmentation]\ntime_warp = 0.1\n", "augmentation.time_warp"),
            ("[outputs]\nentry_threshold = 0.0\n", "outputs.entry_threshold"),
            ("[outputs]\nexit_threshold = 2.0\n", "outputs.exit_threshold"),
        ] {
            assert!(parse(text).is_err_and(|error| error.contains(key)), "{text}: {:?}", parse(text));
        }
        let config = parse("[split]\nat = \"2024-08-09T00:00:00Z\"\n[labels]\nthreshold_bps = 0.5\n").unwrap();
        assert_eq!(config.split_rule().unwrap().at, SplitAt::Time(1_723_161_600_000_000_000));
        assert_eq!(config.target_rule(), TargetRule::Threshold(0.5e-4));
    }
}

//! The model directory: `model.onnx` and `manifest.toml`, bound together by hashes; for a deep ensemble a file for each further member.
//!
//! The manifest says what the model was trained on: features with their versions, in order, the scaler, the decision ticks, the
//! warm-up. Whatever this build computes differently is refused at load, so that a model never sees other inputs than it was
//! trained on.

use crate::config::Config;
use crate::evidence;
pub use crate::evidence::subject_sha256;
use crate::format::sha256_hex;
use chronos_inference::trees::ForestError;
use chronos_inference::{EngineChoice, Ensemble, LoadError, StepModel, StepSpec, StepWeights, encode_onnx, load, read_onnx};
use chronos_market::features::{FeatureSpec, features_hash, index_of, levels_needed, registry};
use chronos_market::tick::TickConfig;
use chronos_pipeline::predictor::{Predictor, Scale};
use serde::{Deserialize, Serialize};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Version of the manifest's shape.
const FORMAT: u32 = 1;
/// Name of the model's file.
const MODEL_FILE: &str = "model.onnx";
/// Name of the manifest's file.
pub(crate) const MANIFEST_FILE: &str = "manifest.toml";
/// Key of the ONNX metadata that holds the hash of the feature list.
const HASH_KEY: &str = "chronos.features_hash";

/// `manifest.toml`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this shape.
    pub format: u32,
    /// The file beside it.
    pub model: ModelEntry,
    /// Further members of a deep ensemble, each trained from a seed of its own; none for a single model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberEntry>,
    /// What the model is given.
    pub features: FeaturesEntry,
    /// How what it is given is scaled.
    pub scaler: ScalerEntry,
    /// When it is asked.
    pub tick: TickEntry,
    /// Its memory.
    pub state: StateEntry,
    /// What it answers.
    pub outputs: OutputsEntry,
    /// What it was trained on.
    pub data: DataEntry,
    /// What speaks for it, as `chronos promote` wrote it; empty allows replay and paper only.
    pub evidence: toml::Table,
}

impl Manifest {
    /// A manifest of a model of these features, names and versions, with nothing said of its data; [`ModelDirectory::write`] completes
    /// `[model]`.
    pub fn new(name: &str, features: &[(String, u16)], scaler: ScalerEntry, tick: &TickConfig, outputs: OutputsEntry) -> Manifest {
        let (names, versions): (Vec<String>, Vec<u16>) = features.iter().cloned().unzip();
        Manifest {
            format: FORMAT,
            model: ModelEntry { name: name.to_owned(), sha256: String::new(), parameters: 0 },
            members: Vec::new(),
            features: FeaturesEntry { hash: list_hash(&names, &versions), names, versions },
            scaler,
            tick: TickEntry { min_interval_ns: tick.min_interval_ns, top_levels: tick.top_levels },
            state: StateEntry { warmup_ticks: tick.warmup_ticks },
            outputs,
            data: DataEntry { sha256: String::new() },
            evidence: toml::Table::new(),
        }
    }
}

/// `[model]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// `untrained`, or a name.
    pub name: String,
    /// SHA-256 of `model.onnx`, lower-case hex.
    pub sha256: String,
    /// Number of parameters, of a single member.
    pub parameters: usize,
}

/// One of `[[members]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// Its file, beside the manifest.
    pub file: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
}

/// `[features]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesEntry {
    /// Hash of names and versions in their order; the model file holds the same.
    pub hash: String,
    /// Names in the order of the model's input.
    pub names: Vec<String>,
    /// Version of each.
    pub versions: Vec<u16>,
}

/// `[scaler]`: `clamp((value - mean) / std, -clip, clip)`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalerEntry {
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// Standard deviation of each feature, above 0.
    pub std: Vec<f64>,
    /// Largest magnitude after scaling.
    pub clip: f64,
}

/// `[tick]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TickEntry {
    /// Shortest time between decision ticks, nanoseconds.
    pub min_interval_ns: i64,
    /// A batch that changes one of the best so many levels asks for a tick.
    pub top_levels: usize,
}

/// `[state]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEntry {
    /// Ticks after a reset before a signal may be acted on.
    pub warmup_ticks: u32,
}

/// `[outputs]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputsEntry {
    /// What the forecast looks ahead, nanoseconds.
    pub horizon_ns: i64,
    /// Signal from which a position is opened.
    pub entry_threshold: f64,
    /// Signal against the position from which it is closed.
    pub exit_threshold: f64,
}

/// `[data]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataEntry {
    /// SHA-256 of the training data; empty for an untrained model.
    pub sha256: String,
}

/// Why a model directory was refused, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("model {path}: {source}{remedy}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// What to do, beginning with `; `, or nothing.
        remedy: &'static str,
    },
    /// The folder holds something already.
    #[error("model folder {path} holds a model already; name another, or remove it", path = path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The manifest is not what it should be.
    #[error("model manifest {path}: {message}", path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// The feed has fewer levels than the model's features are computed from.
    #[error(
        "`book.levels` says that the feed has {levels} best level(s) of a side, and the model has features of more: {features}; use a \
         feed of deeper books, or a model of other features"
    )]
    Levels {
        /// Levels the feed has.
        levels: usize,
        /// The features, each with the levels it needs.
        features: String,
    },
    /// The model file was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file of a forest was refused, or cannot hold it.
    #[error("{path}: {source}", path = path.display())]
    Forest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ForestError,
    },
}

/// A model directory that was found good.
#[derive(Clone, Debug)]
pub struct ModelDirectory {
    folder: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
}

impl ModelDirectory {
    /// Makes an untrained model of about 540,000 parameters over every registered feature. Same seed, same bytes.
    ///
    /// # Errors
    /// [`ModelError`] where the folder holds a model already or cannot be written.
    pub fn create_untrained(folder: &Path, seed: u64) -> Result<ModelDirectory, ModelError> {
        ModelDirectory::create_untrained_of(folder, seed, usize::MAX)
    }

    /// The same over the features that need no more than so many best levels of a side.
    fn create_untrained_of(folder: &Path, seed: u64, levels: usize) -> Result<ModelDirectory, ModelError> {
        let features = features_of(levels);
        let weights = StepWeights::untrained(&StepSpec::standard(features.len()), seed);
        ModelDirectory::create_with(folder, &weights, "untrained", &features)
    }

    /// Writes weights over every registered feature as a model directory, features unscaled.
    ///
    /// # Errors
    /// [`ModelError`] where the folder holds a model already or cannot be written.
    pub fn create(folder: &Path, weights: &StepWeights, name: &str) -> Result<ModelDirectory, ModelError> {
        ModelDirectory::create_with(folder, weights, name, &features_of(usize::MAX))
    }

    fn create_with(
        folder: &Path,
        weights: &StepWeights,
        name: &str,
        features: &[(String, u16)],
    ) -> Result<ModelDirectory, ModelError> {
        let scaler = ScalerEntry { mean: vec![0.0; features.len()], std: vec![1.0; features.len()], clip: 5.0 };
        let outputs = OutputsEntry { horizon_ns: 5_000_000_000, entry_threshold: 0.1, exit_threshold: 0.05 };
        let manifest = Manifest::new(name, features, scaler, &TickConfig::default(), outputs);
        ModelDirectory::write(folder, std::slice::from_ref(weights), manifest)
    }

    /// Writes the members of an ensemble, or one model, under a manifest made for others of the same inputs; the hashes of the files in it
    /// are set, and evidence, which spoke for the others, is left out.
    ///
    /// # Errors
    /// [`ModelError`] where the folder holds a model already or cannot be written, or there is no member.
    pub fn write(folder: &Path, members: &[StepWeights], mut manifest: Manifest) -> Result<ModelDirectory, ModelError> {
        let Some((first, others)) = members.split_first() else {
            return Err(ModelError::Manifest {
                path: folder.join(MANIFEST_FILE),
                message: "a model has at least one member".into(),
            });
        };
        create_folder(folder, MODEL_FILE)?;
        let onnx = |weights: &StepWeights| encode_onnx(weights, &[(HASH_KEY, &manifest.features.hash)]);
        let model = onnx(first);
        let others: Vec<(String, Vec<u8>)> =
            others.iter().enumerate().map(|(place, weights)| (format!("member_{}.onnx", place + 2), onnx(weights))).collect();
        manifest.model.sha256 = sha256_hex(&model);
        manifest.model.parameters = first.spec().parameter_count();
        manifest.members = others.iter().map(|(file, onnx)| MemberEntry { file: file.clone(), sha256: sha256_hex(onnx) }).collect();
        manifest.evidence = toml::Table::new();
        let manifest_path = folder.join(MANIFEST_FILE);
        let text = toml::to_string(&manifest)
            .map_err(|error| ModelError::Manifest { path: manifest_path.clone(), message: error.to_string() })?;
        write_file(&folder.join(MODEL_FILE), &model)?;
        for (file, onnx) in &others {
            write_file(&folder.join(file), onnx)?;
        }
        write_file(&manifest_path, text.as_bytes())?;
        Ok(ModelDirectory { folder: folder.to_owned(), manifest })
    }

    /// Refuses a folder that [`ModelDirectory::write`] would refuse for what it holds: to be asked before the work of making a model.
    ///
    /// # Errors
    /// [`ModelError::Exists`] where the folder holds a model already.
    pub fn refuse_taken(folder: &Path) -> Result<(), ModelError> {
        refuse_taken(folder, MODEL_FILE)
    }

    /// Opens a model directory and checks it against the registry and its own hashes.
    ///
    /// # Errors
    /// [`ModelError`], with the file and the remedy.
    pub fn open(folder: &Path) -> Result<ModelDirectory, ModelError> {
        let manifest_path = folder.join(MANIFEST_FILE);
        let refuse = |message: String| ModelError::Manifest { path: manifest_path.clone(), message };
        let manifest: Manifest =
            read_manifest(folder, FORMAT, "; a model folder holds model.onnx and manifest.toml, `chronos model new` makes one")?;
        check(&manifest).map_err(refuse)?;
        evidence::check(&manifest, folder).map_err(refuse)?;
        let directory = ModelDirectory { folder: folder.to_owned(), manifest };
        let manifest = &directory.manifest;
        for (file, sha256) in directory.files() {
            if file.contains(['/', '\\']) {
                return Err(refuse(format!("the member `{file}` is not a file of this folder")));
            }
            let path = folder.join(file);
            let bytes = std::fs::read(&path).map_err(|source| ModelError::Io { path: path.clone(), source, remedy: "" })?;
            if sha256_hex(&bytes) != sha256 {
                return Err(refuse(format!(
                    "{file} is not the file this manifest was written for (SHA-256 differs); export both again"
                )));
            }
            // A graph that only tract can run has no metadata of ours to compare with.
            if let Ok(model) = read_onnx(&path) {
                let held = model.metadata.iter().find(|(key, _)| key == HASH_KEY).map(|(_, hash)| hash.as_str());
                if held != Some(manifest.features.hash.as_str()) {
                    return Err(refuse(format!(
                        "the features, or their order, are not those {file} was made for; export both again"
                    )));
                }
                if model.weights.spec().features != manifest.features.names.len() {
                    return Err(refuse(format!("the number of features is not that of the input of {file}; export both again")));
                }
            }
        }
        Ok(directory)
    }

    /// Writes what speaks for the model into its manifest, sealed: a change of the model, the manifest or the evidence is found
    /// when the directory is next opened. The evidence has a table `files`: names of files beside the manifest it rests on, and
    /// their SHA-256.
    ///
    /// # Errors
    /// [`ModelError`] where the evidence is no table or the manifest cannot be written.
    pub fn record_evidence(&mut self, evidence: &impl Serialize) -> Result<(), ModelError> {
        let path = self.folder.join(MANIFEST_FILE);
        let refuse = |message: String| ModelError::Manifest { path: path.clone(), message };
        let evidence = toml::Table::try_from(evidence).map_err(|error| refuse(error.to_string()))?;
        evidence::seal(&mut self.manifest, evidence).map_err(refuse)?;
        let text = toml::to_string(&self.manifest).map_err(|error| refuse(error.to_string()))?;
        // The old manifest stands until the new one is whole.
        let new = self.folder.join("manifest.toml.new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).map_err(|source| ModelError::Io {
            path: path.clone(),
            source,
            remedy: "",
        })
    }

    /// Whether evidence speaks for the model.
    pub fn is_promoted(&self) -> bool {
        !self.manifest.evidence.is_empty()
    }

    /// Loads the model, an ensemble with all its members, for one instrument; with the name of the engine.
    ///
    /// # Errors
    /// [`ModelError::Load`] where the engine refuses it.
    pub fn predictor(&self, engine: EngineChoice) -> Result<(Predictor, String), ModelError> {
        let (model, name) = self.step_model(engine)?;
        Ok((Predictor::new(model, self.scales()), name))
    }

    /// The model without its scaler, an ensemble with all its members; with the name of the engine.
    ///
    /// # Errors
    /// [`ModelError::Load`] where the engine refuses it.
    pub fn step_model(&self, engine: EngineChoice) -> Result<(Box<dyn StepModel>, String), ModelError> {
        let mut members: Vec<Box<dyn StepModel>> = Vec::new();
        for (file, _) in self.files() {
            members.push(load(&self.folder.join(file), engine)?);
        }
        let (name, count) = (members[0].engine().to_string(), members.len());
        let name = if count == 1 { name } else { format!("{name} x {count}") };
        Ok((as_one(members), name))
    }

    /// The weights of every member, where the files hold the step graph that the native kernel knows.
    ///
    /// # Errors
    /// [`ModelError::Load`] where one holds another, or cannot be read.
    pub fn weights(&self) -> Result<Vec<StepWeights>, ModelError> {
        self.files().map(|(file, _)| Ok(read_onnx(&self.folder.join(file))?.weights)).collect()
    }

    /// Files of the members and their hashes, the model's own first.
    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = (MODEL_FILE, self.manifest.model.sha256.as_str());
        let others = self.manifest.members.iter().map(|member| (member.file.as_str(), member.sha256.as_str()));
        std::iter::once(first).chain(others)
    }

    /// What the model is given, and how it is scaled.
    pub fn scales(&self) -> Vec<Scale> {
        let manifest = &self.manifest;
        manifest
            .features
            .names
            .iter()
            .zip(manifest.scaler.mean.iter().zip(&manifest.scaler.std))
            .filter_map(|(name, (&mean, &std))| Some(Scale { feature: index_of(name)?, mean, std, clip: manifest.scaler.clip }))
            .collect()
    }

    /// The decision ticks the model was trained with.
    pub fn tick(&self) -> TickConfig {
        TickConfig {
            min_interval_ns: self.manifest.tick.min_interval_ns,
            top_levels: self.manifest.tick.top_levels,
            warmup_ticks: self.manifest.state.warmup_ticks,
        }
    }

    /// Whether nothing speaks for the model and nobody trained it.
    pub fn is_untrained(&self) -> bool {
        self.manifest.model.name == "untrained" && self.manifest.data.sha256.is_empty()
    }
}

/// One model of several members; a single one as it is.
///
/// # Panics
/// Without a member.
pub fn as_one(mut members: Vec<Box<dyn StepModel>>) -> Box<dyn StepModel> {
    assert!(!members.is_empty(), "a model has at least one member");
    match (members.len(), members.pop()) {
        (1, Some(single)) => single,
        (_, last) => Box::new(Ensemble::new(members.into_iter().chain(last).collect()).expect("checked above")),
    }
}

/// The model a configuration asks for.
#[derive(Debug)]
pub enum ChosenModel {
    /// A folder the user named.
    Directory(ModelDirectory),
    /// One made from the seed for this session; the folder goes with this value.
    Untrained(ModelDirectory, tempfile::TempDir),
    /// No inference.
    None,
}

impl ChosenModel {
    /// Opens or makes the model.
    ///
    /// # Errors
    /// [`ModelError`] as it is opened or made.
    pub fn of(config: &Config) -> Result<ChosenModel, ModelError> {
        match config.model.path.as_str() {
            "none" => Ok(ChosenModel::None),
            "untrained" => {
                let folder = tempfile::tempdir().map_err(|source| ModelError::Io {
                    path: std::env::temp_dir(),
                    source,
                    remedy: "; an untrained model is made in the temporary folder",
                })?;
                let levels = config.levels().map_or(usize::MAX, NonZeroUsize::get);
                let model = ModelDirectory::create_untrained_of(&folder.path().join("model"), config.model.seed, levels)?;
                Ok(ChosenModel::Untrained(model, folder))
            }
            path => {
                let model = ModelDirectory::open(Path::new(path))?;
                check_levels(&model.manifest.features.names, config.levels())?;
                Ok(ChosenModel::Directory(model))
            }
        }
    }

    /// The directory, where there is one.
    pub fn directory(&self) -> Option<&ModelDirectory> {
        match self {
            ChosenModel::Directory(model) | ChosenModel::Untrained(model, _) => Some(model),
            ChosenModel::None => None,
        }
    }
}

fn check(manifest: &Manifest) -> Result<(), String> {
    check_features(&manifest.features)?;
    let names = &manifest.features.names;
    let scaler = &manifest.scaler;
    if scaler.mean.len() != names.len() || scaler.std.len() != names.len() {
        return Err("[scaler] needs one mean and one std for each feature".into());
    }
    let is_good = scaler.mean.iter().all(|mean| mean.is_finite()) && scaler.std.iter().all(|std| std.is_finite() && *std > 0.0);
    if !is_good || scaler.clip.is_nan() || scaler.clip <= 0.0 {
        return Err("[scaler] needs finite means, and stds and a clip above 0".into());
    }
    if !(0..=60_000_000_000).contains(&manifest.tick.min_interval_ns) || !(1..=10).contains(&manifest.tick.top_levels) {
        return Err("[tick] needs min_interval_ns of 0 to 60e9 and top_levels of 1 to 10".into());
    }
    let outputs = &manifest.outputs;
    let is_good = outputs.horizon_ns > 0 && outputs.entry_threshold > 0.0 && outputs.exit_threshold >= 0.0;
    if is_good {
        Ok(())
    } else {
        Err("[outputs] needs a horizon and an entry threshold above 0, and an exit threshold of 0 or more".into())
    }
}

/// Makes a folder for a model file of this name and its manifest.
pub(crate) fn create_folder(folder: &Path, model_file: &str) -> Result<(), ModelError> {
    refuse_taken(folder, model_file)?;
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Io { path: folder.to_owned(), source, remedy: "" })
}

fn refuse_taken(folder: &Path, model_file: &str) -> Result<(), ModelError> {
    if folder.join(model_file).exists() || folder.join(MANIFEST_FILE).exists() {
        return Err(ModelError::Exists { path: folder.to_owned() });
    }
    Ok(())
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    std::fs::write(path, bytes).map_err(|source| ModelError::Io { path: path.to_owned(), source, remedy: "" })
}

/// The manifest of a folder, of this format alone; `remedy` is said where there is none.
pub(crate) fn read_manifest<T: serde::de::DeserializeOwned>(
    folder: &Path,
    format_known: u32,
    remedy: &'static str,
) -> Result<T, ModelError> {
    // The format first: a later one may have other fields.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = folder.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Io { path: path.clone(), source, remedy })?;
    let refuse = |message: String| ModelError::Manifest { path: path.clone(), message };
    let Format { format } = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    if format != format_known {
        return Err(refuse(format!(
            "format {format} is not known to this build, which reads {format_known}; make the model again with this build, or use \
             the one that wrote it"
        )));
    }
    toml::from_str(&text).map_err(|error| refuse(error.to_string()))
}

/// Whether this build's registry has these features in these versions, in this order.
pub(crate) fn check_features(features: &FeaturesEntry) -> Result<(), String> {
    let FeaturesEntry { hash, names, versions } = features;
    if names.is_empty() || names.len() != versions.len() {
        return Err("[features] needs as many versions as names, and at least one".into());
    }
    for (name, version) in names.iter().zip(versions) {
        match index_of(name).and_then(|place| registry().get(place)) {
            None => return Err(format!("feature `{name}` is not in this build's registry (`chronos features list` will show it)")),
            Some(known) if known.version != *version => {
                return Err(format!(
                    "feature `{name}` is version {version} in the model and {} here; train again, or use the build it was trained with",
                    known.version
                ));
            }
            Some(_) => {}
        }
    }
    if list_hash(names, versions) != *hash {
        return Err("the feature list was changed or permuted since the model was exported (its hash differs); export again".into());
    }
    Ok(())
}

/// Names and versions of the features that need no more than so many best levels of a side.
fn features_of(levels: usize) -> Vec<(String, u16)> {
    let is_of_them = |feature: &&FeatureSpec| levels_needed(feature.name).is_some_and(|needed| needed <= levels);
    registry().iter().filter(is_of_them).map(|feature| (feature.name.to_owned(), feature.version)).collect()
}

/// Whether a feed of so many best levels has what a model's features need.
fn check_levels(names: &[String], levels: Option<NonZeroUsize>) -> Result<(), ModelError> {
    let Some(levels) = levels else { return Ok(()) };
    let needed = |name: &String| levels_needed(name).filter(|needed| *needed > levels.get());
    let missing: Vec<String> = names.iter().filter_map(|name| Some(format!("`{name}` ({})", needed(name)?))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ModelError::Levels { levels: levels.get(), features: missing.join(", ") })
}

pub(crate) fn list_hash(names: &[String], versions: &[u16]) -> String {
    let list: Vec<(&str, u16)> = names.iter().map(String::as_str).zip(versions.iter().copied()).collect();
    features_hash(&list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Bbo, BookState, Frame, InstrumentId};

    fn edited(edit: impl Fn(&mut Manifest)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelDirectory::create_untrained(folder.path(), 3).unwrap();
        let mut manifest = model.manifest;
        edit(&mut manifest);
        std::fs::write(folder.path().join(MANIFEST_FILE), toml::to_string(&manifest).unwrap()).unwrap();
        match ModelDirectory::open(folder.path()) {
            Ok(_) => "accepted".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_new_model_opens_and_the_same_seed_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        ModelDirectory::create_untrained(&one, 5).unwrap();
        ModelDirectory::create_untrained(&two, 5).unwrap();
        assert_eq!(std::fs::read(one.join(MODEL_FILE)).unwrap(), std::fs::read(two.join(MODEL_FILE)).unwrap());
        let opened = ModelDirectory::open(&one).unwrap();
        assert!(opened.is_untrained());
        assert!((500_000..600_000).contains(&opened.manifest.model.parameters));
        assert!(ModelDirectory::create_untrained(&one, 5).is_err_and(|error| error.to_string().contains("holds a model already")));
    }

    #[test]
    fn unknown_and_permuted_features_are_refused() {
        assert!(edited(|_| {}).contains("accepted"));
        assert!(
            edited(|manifest| manifest.features.names[3] = "nonsense".into())
                .contains("`nonsense` is not in this build's registry")
        );
        assert!(edited(|manifest| manifest.features.versions[0] += 1).contains("train again"));
        assert!(edited(|manifest| manifest.features.names.swap(0, 1)).contains("permuted"));
        let rehashed = |manifest: &mut Manifest| {
            manifest.features.names.swap(0, 1);
            manifest.features.hash = list_hash(&manifest.features.names, &manifest.features.versions);
        };
        assert!(edited(rehashed).contains("not those model.onnx was made for"));
    }

    #[test]
    fn a_manifest_of_another_model_is_refused() {
        assert!(edited(|manifest| manifest.model.sha256 = "00".into()).contains("SHA-256 differs"));
        assert!(edited(|manifest| manifest.scaler.std[0] = 0.0).contains("[scaler]"));
        assert!(edited(|manifest| manifest.format = 9).contains("format 9"));
        let empty = tempfile::tempdir().unwrap();
        assert!(ModelDirectory::open(empty.path()).is_err_and(|error| error.to_string().contains("chronos model new")));
    }

    #[test]
    fn members_step_as_one_and_each_is_bound_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let spec = StepSpec { d_model: 8, layers: 1, head_hidden: 4, ..StepSpec::standard(registry().len()) };
        let members = [1, 2, 3].map(|seed| StepWeights::untrained(&spec, seed));
        let single = ModelDirectory::create(&folder.path().join("single"), &members[0], "single").unwrap();
        let path = folder.path().join("ensemble");
        let written = ModelDirectory::write(&path, &members, single.manifest.clone()).unwrap();
        let opened = ModelDirectory::open(&path).unwrap();
        assert_eq!(opened.manifest, written.manifest);
        assert_eq!(opened.weights().unwrap(), members);

        let frame = Frame {
            seq: 0,
            recv_ns: 0,
            elapsed_ns: 0,
            instrument: InstrumentId(0),
            book: BookState::Synced,
            warmup_left: 0,
            bbo: Bbo::default(),
            features: std::array::from_fn(|place| place as f64 * 0.01),
        };
        let (mut predictor, engine) = opened.predictor(EngineChoice::Native).unwrap();
        assert_eq!(engine, "native-f32 x 3");
        let said = *predictor.step(&frame, &[0.0; 128]).unwrap();
        assert!(said.spread > 0.0);
        let (mut alone, engine) = single.predictor(EngineChoice::Native).unwrap();
        assert_eq!((engine.as_str(), alone.step(&frame, &[0.0; 128]).unwrap().spread), ("native-f32", 0.0));

        std::fs::copy(path.join("model.onnx"), path.join("member_3.onnx")).unwrap();
        assert!(ModelDirectory::open(&path).unwrap_err().to_string().contains("member_3.onnx is not the file"));
        let manifest = std::fs::read_to_string(path.join("manifest.toml")).unwrap();
        std::fs::write(path.join("manifest.toml"), manifest.replace("member_3.onnx", "../single/model.onnx")).unwrap();
        assert!(ModelDirectory::open(&path).unwrap_err().to_string().contains("not a file of this folder"));
    }
}

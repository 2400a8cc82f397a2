//! The directory of a meta model: `meta.json`, a forest in XGBoost's JSON format, and `manifest.toml`, bound to it by a hash.
//!
//! The manifest says which of the frame's features the forest is given, with their versions; after them come the side and the strength
//! of the primary signal. What this build computes differently is refused at load, as it is for a model (see [`mod@crate::model`]).

use crate::format::sha256_hex;
use crate::model::{
    ChosenModel, DataEntry, FeaturesEntry, ModelError, check_features, create_folder, list_hash, read_manifest, write_file,
};
use chronos_inference::trees::{Calibration, Forest, IsotonicMap, Iterations, parse_xgboost, write_xgboost};
use chronos_market::features::{index_of, registry};
use chronos_pipeline::decision::{MetaModel, PRIMARY_SIDE, PRIMARY_STRENGTH};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the manifest's shape.
const FORMAT: u32 = 1;
/// Name of the forest's file.
const FOREST_FILE: &str = "meta.json";

/// `manifest.toml` of a meta model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaManifest {
    /// Version of this shape.
    pub format: u32,
    /// The file beside it.
    pub meta: MetaEntry,
    /// What of the frame the forest is given.
    pub features: FeaturesEntry,
    /// What its answer is worth.
    pub decision: MetaDecisionEntry,
    /// From its answer to how often it is right.
    pub calibration: CalibrationEntry,
    /// What it was trained on.
    pub data: DataEntry,
    /// Whose bets it was trained on.
    pub primary: PrimaryEntry,
    /// What speaks for it; empty allows replay and paper only.
    pub evidence: toml::Table,
}

/// `[meta]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaEntry {
    /// A name.
    pub name: String,
    /// SHA-256 of `meta.json`, lower-case hex.
    pub sha256: String,
    /// Number of trees.
    pub trees: usize,
}

/// `[primary]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrimaryEntry {
    /// [`STRATEGY`], or the feature whose sign is the side of a bet, with a minus before it where it is the other way round.
    pub signal: String,
}

/// The primary model of a session without a model: what the strategy makes of the features alone.
pub const STRATEGY: &str = "strategy";

/// `[decision]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaDecisionEntry {
    /// Calibrated probability below which a decision is neutral, 0 to 1.
    pub threshold: f64,
}

/// `[calibration]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CalibrationEntry {
    /// [`Calibration::None`].
    None {},
    /// [`Calibration::Platt`].
    Platt {
        /// Slope.
        a: f64,
        /// Intercept.
        b: f64,
    },
    /// [`Calibration::Isotonic`].
    Isotonic {
        /// Predictions, rising.
        predictions: Vec<f64>,
        /// Probabilities, not falling.
        probabilities: Vec<f64>,
    },
}

/// What a meta directory is made from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MetaParts<'a> {
    /// A name.
    pub name: &'a str,
    /// The forest, over the features and then [`PRIMARY_SIDE`] and [`PRIMARY_STRENGTH`], named so.
    pub forest: &'a Forest,
    /// From its answer to how often it is right.
    pub calibration: &'a Calibration,
    /// Probability below which a decision is neutral.
    pub threshold: f64,
    /// SHA-256 of the training data, lower-case hex.
    pub data_sha256: &'a str,
    /// Whose bets it was trained on: [`STRATEGY`], or a feature.
    pub primary: &'a str,
}

/// A meta directory that was found good.
#[derive(Clone, PartialEq, Debug)]
pub struct MetaDirectory {
    /// The manifest.
    pub manifest: MetaManifest,
    /// The model.
    pub model: MetaModel,
}

impl MetaDirectory {
    /// Writes a meta directory.
    ///
    /// # Errors
    /// [`ModelError`] where the folder holds a model already or cannot be written, or the forest is none for this build's features.
    pub fn create(folder: &Path, parts: &MetaParts<'_>) -> Result<MetaDirectory, ModelError> {
        let refuse = |message: String| ModelError::Manifest { path: folder.to_owned(), message };
        let (names, versions) = frame_features(parts.forest).map_err(refuse)?;
        let json = write_xgboost(parts.forest).map_err(|source| ModelError::Forest { path: folder.join(FOREST_FILE), source })?;
        let manifest = MetaManifest {
            format: FORMAT,
            meta: MetaEntry { name: parts.name.to_owned(), sha256: sha256_hex(json.as_bytes()), trees: parts.forest.trees().len() },
            features: FeaturesEntry { hash: list_hash(&names, &versions), names, versions },
            decision: MetaDecisionEntry { threshold: parts.threshold },
            calibration: CalibrationEntry::of(parts.calibration),
            data: DataEntry { sha256: parts.data_sha256.to_owned() },
            primary: PrimaryEntry { signal: parts.primary.to_owned() },
            evidence: toml::Table::new(),
        };
        create_folder(folder, FOREST_FILE)?;
        write_file(&folder.join(FOREST_FILE), json.as_bytes())?;
        let text = toml::to_string(&manifest).map_err(|error| refuse(error.to_string()))?;
        write_file(&manifest_path(folder), text.as_bytes())?;
        MetaDirectory::open(folder)
    }

    /// Opens a meta directory and checks it against the registry and its own hashes.
    ///
    /// # Errors
    /// [`ModelError`], with the file and the remedy.
    pub fn open(folder: &Path) -> Result<MetaDirectory, ModelError> {
        let refuse = |message: String| ModelError::Manifest { path: manifest_path(folder), message };
        let manifest: MetaManifest =
            read_manifest(folder, FORMAT, "; a meta folder holds meta.json and manifest.toml, `chronos meta train` makes one")?;
        check_features(&manifest.features).map_err(refuse)?;
        let path = folder.join(FOREST_FILE);
        let bytes = std::fs::read(&path).map_err(|source| ModelError::Io { path: path.clone(), source, remedy: "" })?;
        if sha256_hex(&bytes) != manifest.meta.sha256 {
            return Err(refuse(format!(
                "{FOREST_FILE} is not the file this manifest was written for (SHA-256 differs); export both again"
            )));
        }
        let text = String::from_utf8_lossy(&bytes);
        let forest = parse_xgboost(&text, Iterations::Best).map_err(|source| ModelError::Forest { path, source })?;
        let (names, _) = frame_features(&forest).map_err(refuse)?;
        if names != manifest.features.names {
            return Err(refuse("the features, or their order, are not those the forest was made for; export both again".into()));
        }
        let places = names.iter().filter_map(|name| index_of(name)).collect();
        let calibration = manifest.calibration.calibration().map_err(refuse)?;
        let model = MetaModel::new(forest, calibration, places, manifest.decision.threshold);
        let model = model.map_err(|error| refuse(error.to_string()))?;
        Ok(MetaDirectory { manifest, model })
    }

    /// What a reader has to know where the bets it judges are not those it was trained on.
    pub(crate) fn notice(&self, model: &ChosenModel) -> Option<String> {
        let signal = &self.manifest.primary.signal;
        let is_its_own = signal == STRATEGY && model.directory().is_none();
        let judged = if model.directory().is_some() { "the model's signal" } else { "the features alone" };
        (!is_its_own).then(|| {
            format!(
                "meta: trained on bets by `{signal}`, and it judges bets the strategy makes by {judged}; what was found of the ones \
                 need not hold for the others"
            )
        })
    }
}

fn manifest_path(folder: &Path) -> PathBuf {
    folder.join(crate::model::MANIFEST_FILE)
}

/// The frame's features a forest names, with their versions here.
fn frame_features(forest: &Forest) -> Result<(Vec<String>, Vec<u16>), String> {
    let Some((names, [side, strength])) = forest.feature_names().split_last_chunk() else {
        return Err(format!("the forest has to name its features, `{PRIMARY_SIDE}` and `{PRIMARY_STRENGTH}` last"));
    };
    if side != PRIMARY_SIDE || strength != PRIMARY_STRENGTH {
        return Err(format!(
            "the forest's last features are `{side}` and `{strength}`, and must be `{PRIMARY_SIDE}` and `{PRIMARY_STRENGTH}`"
        ));
    }
    let version = |name: &String| {
        let known = index_of(name).and_then(|place| registry().get(place));
        let missing = || format!("feature `{name}` is not in this build's registry (`chronos features list` will show it)");
        known.map(|known| known.version).ok_or_else(missing)
    };
    Ok((names.to_vec(), names.iter().map(version).collect::<Result<_, _>>()?))
}

impl CalibrationEntry {
    fn of(calibration: &Calibration) -> CalibrationEntry {
        match calibration {
            Calibration::None => CalibrationEntry::None {},
            Calibration::Platt { a, b } => CalibrationEntry::Platt { a: *a, b: *b },
            Calibration::Isotonic(map) => {
                CalibrationEntry::Isotonic { predictions: map.predictions().to_vec(), probabilities: map.probabilities().to_vec() }
            }
        }
    }

    fn calibration(&self) -> Result<Calibration, String> {
        match self {
            CalibrationEntry::None {} => Ok(Calibration::None),
            CalibrationEntry::Platt { a, b } if a.is_finite() && b.is_finite() => Ok(Calibration::Platt { a: *a, b: *b }),
            CalibrationEntry::Platt { .. } => Err("[calibration] needs finite a and b".into()),
            CalibrationEntry::Isotonic { predictions, probabilities } => {
                let map = IsotonicMap::new(predictions.clone(), probabilities.clone());
                map.map(Calibration::Isotonic).map_err(|error| format!("[calibration] {error}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_inference::trees::{ForestParts, Link, Node, Precision, Split, Tree, below};

    fn forest(names: &[&str]) -> Forest {
        let split =
            Split { feature: 0, threshold: below(0.25), missing_left: true, zero_is_missing: false, left: 1, right: 2, gain: 1.0 };
        Forest::new(ForestParts {
            link: Link::Logistic { slope: 1.0 },
            precision: Precision::Single,
            features: names.len(),
            feature_names: names.iter().map(|name| (*name).to_owned()).collect(),
            base_margins: vec![0.0],
            trees: vec![Tree {
                output: 0,
                root: 0,
                nodes: vec![Node::split(split, 2.0), Node::leaf(-1.5, 1.0), Node::leaf(0.5, 1.0)],
            }],
        })
        .unwrap()
    }

    fn create(folder: &Path, names: &[&str], calibration: &Calibration) -> Result<MetaDirectory, ModelError> {
        let parts =
            MetaParts { name: "test", forest: &forest(names), calibration, threshold: 0.65, data_sha256: "ab", primary: STRATEGY };
        MetaDirectory::create(folder, &parts)
    }

    const NAMES: [&str; 4] = ["ofi_1_1s", "imbalance_1", PRIMARY_SIDE, PRIMARY_STRENGTH];

    fn edited(edit: impl Fn(&mut MetaManifest)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let made = create(folder.path(), &NAMES, &Calibration::None).unwrap();
        let mut manifest = made.manifest;
        edit(&mut manifest);
        std::fs::write(manifest_path(folder.path()), toml::to_string(&manifest).unwrap()).unwrap();
        MetaDirectory::open(folder.path()).map_or_else(|error| error.to_string(), |_| "accepted".into())
    }

    #[test]
    fn what_was_written_is_opened_with_each_calibration() {
        let map = IsotonicMap::new(vec![0.1, 0.7], vec![0.2, 0.9]).unwrap();
        for calibration in [Calibration::None, Calibration::Platt { a: -0.7, b: 0.1 }, Calibration::Isotonic(map)] {
            let folder = tempfile::tempdir().unwrap();
            let made = create(folder.path(), &NAMES, &calibration).unwrap();
            let places = vec![index_of(NAMES[0]).unwrap(), index_of(NAMES[1]).unwrap()];
            let model = MetaModel::new(forest(&NAMES), calibration.clone(), places, 0.65).unwrap();
            assert!(made.model == model && MetaDirectory::open(folder.path()).unwrap() == made);
            let again = create(folder.path(), &NAMES, &calibration);
            assert!(again.is_err_and(|error| error.to_string().contains("holds a model already")));
        }
    }

    #[test]
    fn what_this_build_computes_differently_is_refused() {
        assert_eq!(edited(|_| {}), "accepted");
        assert!(edited(|manifest| manifest.format = 2).contains("format 2"));
        assert!(edited(|manifest| manifest.features.versions[0] += 1).contains("train again"));
        let permuted = edited(|manifest| {
            manifest.features.names.swap(0, 1);
            manifest.features.versions.swap(0, 1);
        });
        assert!(permuted.contains("permuted"), "{permuted}");
        let rehashed = |manifest: &mut MetaManifest| {
            manifest.features.names.swap(0, 1);
            manifest.features.versions.swap(0, 1);
            manifest.features.hash = list_hash(&manifest.features.names, &manifest.features.versions);
        };
        assert!(edited(rehashed).contains("not those the forest was made for"));
        assert!(edited(|manifest| manifest.meta.sha256 = "00".into()).contains("SHA-256 differs"));
        assert!(edited(|manifest| manifest.decision.threshold = 1.5).contains("must be 0 to 1"));
        let broken = CalibrationEntry::Isotonic { predictions: vec![0.1, 0.1], probabilities: vec![0.1, 0.2] };
        assert!(edited(|manifest| manifest.calibration = broken.clone()).contains("[calibration] point 1"));
    }

    #[test]
    fn bets_of_another_primary_model_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = create(folder.path(), &NAMES, &Calibration::None).unwrap();
        assert_eq!(made.notice(&ChosenModel::None), None);
        made.manifest.primary.signal = "-ofi_1_1s".into();
        assert!(made.notice(&ChosenModel::None).is_some_and(|notice| notice.contains("bets by `-ofi_1_1s`")));
    }

    #[test]
    fn a_forest_of_other_features_makes_no_directory() {
        let folder = tempfile::tempdir().unwrap();
        let refused =
            |names: &[&str]| create(folder.path(), names, &Calibration::None).err().map(|error| error.to_string()).unwrap();
        assert!(refused(&["nonsense", PRIMARY_SIDE, PRIMARY_STRENGTH]).contains("`nonsense` is not in this build's registry"));
        assert!(refused(&["ofi_1_1s", "imbalance_1"]).contains("must be `primary_side`"));
        let empty = tempfile::tempdir().unwrap();
        assert!(MetaDirectory::open(empty.path()).is_err_and(|error| error.to_string().contains("chronos meta train")));
    }
}

//! What a stored dataset is, and from what it was made.

use super::source::Observed;
use super::{Built, Counts, DatasetError, Recipe};
use chronos_market::features::features_hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Version of the manifest and of the columns.
pub const FORMAT: u32 = 1;

/// `manifest.toml` beside the samples.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// From what.
    pub source: SourceSection,
    /// The features.
    pub features: FeaturesSection,
    /// How.
    pub recipe: Recipe,
    /// How many.
    pub counts: Counts,
    /// What was checked.
    pub look_ahead: LookAheadSection,
    /// The samples.
    pub data: DataSection,
}

/// `[source]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// `history` or `capture`.
    pub kind: String,
    /// What the instrument is called.
    pub instrument: String,
    /// Rule of the bars whose closes are the prices; absent for a history's own bars and for mids at decision ticks.
    pub bars: Option<String>,
    /// Hash of the session's configuration, for captures.
    pub config_hash: Option<String>,
    /// Every file.
    pub files: Vec<SourceFile>,
}

/// One file that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name, without folders.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Hexadecimal SHA-256 of the file as it is.
    pub sha256: String,
}

/// `[features]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesSection {
    /// Hash over names and versions in order.
    pub registry_hash: String,
    /// Names, in the order of a row.
    pub names: Vec<String>,
    /// Version of each.
    pub versions: Vec<u16>,
}

/// `[look_ahead]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookAheadSection {
    /// Times the future was cut off.
    pub cuts: u32,
    /// Where, drawn from this.
    pub seed: u64,
    /// Rows that were the same.
    pub rows: u64,
}

/// `[data]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// The file, beside the manifest.
    pub file: String,
    /// Samples.
    pub rows: u64,
    /// Hexadecimal SHA-256.
    pub sha256: String,
}

impl Manifest {
    /// A manifest of what was built; [`write_dataset`](super::write_dataset) completes `data`.
    pub fn of(built: &Built, source: SourceSection, recipe: &Recipe, seed: u64) -> Manifest {
        let Observed { features, .. } = &built.observed;
        let pairs: Vec<(&str, u16)> = features.features.iter().map(|(name, version)| (name.as_str(), *version)).collect();
        Manifest {
            format: FORMAT,
            source,
            features: FeaturesSection {
                registry_hash: features_hash(&pairs),
                names: pairs.iter().map(|(name, _)| (*name).to_owned()).collect(),
                versions: pairs.iter().map(|(_, version)| *version).collect(),
            },
            recipe: recipe.clone(),
            counts: built.counts.clone(),
            look_ahead: LookAheadSection { cuts: built.look_ahead.cuts, seed, rows: built.look_ahead.rows },
            data: DataSection { file: String::new(), rows: built.dataset.rows() as u64, sha256: String::new() },
        }
    }
}

/// Name, length and hash of every file of `paths`; a folder stands for its files, in order of their names.
///
/// # Errors
/// A file or folder cannot be read.
pub fn source_files(paths: &[PathBuf]) -> Result<Vec<SourceFile>, DatasetError> {
    let mut files = Vec::new();
    for path in paths {
        let read = |source: io::Error| DatasetError::Io { action: "read", path: path.clone(), source };
        if path.is_dir() {
            let entries: io::Result<Vec<PathBuf>> =
                fs::read_dir(path).map_err(read)?.map(|entry| entry.map(|entry| entry.path())).collect();
            let mut entries = entries.map_err(read)?;
            entries.retain(|entry| entry.is_file());
            entries.sort();
            files.extend(source_files(&entries)?);
            continue;
        }
        let mut hash = Sha256::new();
        let bytes = File::open(path).and_then(|mut file| io::copy(&mut file, &mut HashWriter(&mut hash))).map_err(read)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(SourceFile { name, bytes, sha256: hexadecimal(&hash.finalize()) });
    }
    Ok(files)
}

/// Hexadecimal SHA-256 of a file.
pub(super) fn file_sha256(path: &Path) -> Result<String, DatasetError> {
    let mut files = source_files(&[path.to_owned()])?;
    Ok(files.pop().map(|file| file.sha256).unwrap_or_default())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

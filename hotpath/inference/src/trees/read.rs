//! From a model file to a forest.

use super::forest::Forest;
use super::lightgbm::parse_lightgbm;
use super::xgboost::{Iterations, parse_xgboost};
use std::io;
use std::path::{Path, PathBuf};

/// Why a model of trees was refused.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is neither format.
    #[error("{}: neither an XGBoost model in JSON nor a LightGBM model in text; save it with `save_model(\"model.json\")` (XGBoost) or `save_model(\"model.txt\")` (LightGBM)", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// A part of it is broken, or not known here.
    #[error("{format} model, {place}: {reason}")]
    Refused {
        /// `XGBoost` or `LightGBM`.
        format: &'static str,
        /// Where: a line, a tree, a field.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The same, of a file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        source: Box<ForestError>,
    },
}

/// Reads an XGBoost model in JSON or a LightGBM model in text, told from its content. Of an XGBoost model that was stopped early the
/// trees up to its best iteration are taken, see [`Iterations`].
///
/// # Errors
/// [`ForestError`], with the file, the place and what to do.
pub fn read_forest(path: &Path) -> Result<Forest, ForestError> {
    let bytes = std::fs::read(path).map_err(|source| ForestError::Read { path: path.to_owned(), source })?;
    let unknown = || ForestError::Unknown { path: path.to_owned() };
    let text = str::from_utf8(&bytes).map_err(|_| unknown())?;
    let forest = if text.trim_start().starts_with('{') {
        parse_xgboost(text, Iterations::Best)
    } else if text.starts_with("tree") {
        parse_lightgbm(text)
    } else {
        return Err(unknown());
    };
    forest.map_err(|source| ForestError::File { path: path.to_owned(), source: Box::new(source) })
}

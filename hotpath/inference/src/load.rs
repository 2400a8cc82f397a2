//! From a model file to something that steps.

use crate::native::NativeModel;
use crate::onnx::{Mismatch, decode, recognise};
use crate::step::StepModel;
use crate::tract::TractModel;
use std::io;
use std::path::{Path, PathBuf};

/// Which engine is to run a model.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum EngineChoice {
    /// The native kernel where it knows the graph, else tract; [`StepModel::engine`] tells which.
    #[default]
    Auto,
    /// The native kernel or nothing.
    Native,
    /// tract.
    Tract,
}

/// Why a model file was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not ONNX.
    #[error("{}: not an ONNX file, or a damaged one: {source}; export the model again", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: prost::DecodeError,
    },
    /// The graph is not the step graph.
    #[error("{}: not a step graph the native kernel knows: {mismatch}; run it with tract", path.display())]
    Unmatched {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        mismatch: Mismatch,
    },
    /// tract cannot run the graph as a step model.
    #[error("{}: tract cannot run this as a step model: {reason}", path.display())]
    Tract {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Loads a model file for an engine.
///
/// # Errors
/// [`LoadError`], with the file and what to do.
pub fn load(path: &Path, choice: EngineChoice) -> Result<Box<dyn StepModel>, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let model = decode(&bytes).map_err(|source| LoadError::Decode { path: path.to_owned(), source })?;
    if choice != EngineChoice::Tract {
        match recognise(&model) {
            Ok(found) => return Ok(Box::new(NativeModel::new(&found.weights))),
            Err(mismatch) if choice == EngineChoice::Native => {
                return Err(LoadError::Unmatched { path: path.to_owned(), mismatch });
            }
            Err(_) => {}
        }
    }
    let model = TractModel::new(&model).map_err(|reason| LoadError::Tract { path: path.to_owned(), reason })?;
    Ok(Box::new(model))
}

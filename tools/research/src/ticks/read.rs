//! Ticks and samples from whatever the user has: captures, or the folder of a dataset.

use super::{Samples, Ticks, TicksError, dataset_ticks, horizon_samples, observe_ticks};
use crate::dataset::{read_dataset, source_files};
use crate::hash::sha256_hex;
use chronos_session::Progress;
use chronos_session::config::Config;
use std::path::PathBuf;

/// Ticks with their samples, and where they are from.
#[derive(Clone, PartialEq, Debug)]
pub struct TickData {
    /// The ticks, not scaled.
    pub ticks: Ticks,
    /// Those with a label.
    pub samples: Samples,
    /// SHA-256 that tells the data: of a dataset its own, of captures that of the hashes of their files in order.
    pub sha256: String,
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// Reads captures (files and folders, which continue each other), labelled at the horizon, or the one folder of a dataset, whose labels
/// are its own.
///
/// # Errors
/// [`TicksError`], with the place and the remedy.
pub fn read_ticks(
    paths: &[PathBuf],
    horizon_ns: i64,
    config: &Config,
    progress: &mut dyn FnMut(Progress),
) -> Result<TickData, TicksError> {
    if let Some(folder) = paths.iter().find(|path| path.join("manifest.toml").is_file()) {
        if paths.len() > 1 {
            return Err(TicksError::Unfit {
                message: format!("{} is a dataset, which is read alone; name one path, or captures alone", folder.display()),
            });
        }
        let (dataset, manifest) = read_dataset(folder)?;
        let (ticks, samples) = dataset_ticks(&dataset, &manifest, config.tick())?;
        let notices = vec![
            "a dataset has its own labels, and a model trained on it steps from event to event; in a replay it steps at every decision tick"
                .into(),
        ];
        return Ok(TickData { ticks, samples, sha256: manifest.data.sha256, notices });
    }
    let files: String = source_files(paths)?.iter().map(|file| format!("{}\n", file.sha256)).collect();
    let (ticks, followed) = observe_ticks(paths, config, None, progress)?;
    let samples = horizon_samples(&ticks, horizon_ns)?;
    Ok(TickData { ticks, samples, sha256: sha256_hex(files.as_bytes()), notices: followed.notices })
}

//! Files a run leaves: checkpoints it goes on from, and parameters.
//!
//! One file, whole or absent: a line that names the format, the length of a TOML header (u32), the header, values of every list one after
//! another as little-endian floats, and the CRC-32C of all before. The header tells names, shapes and precisions, in the order of the
//! lists: parameters, the optimiser's moments, the best parameters so far.

use super::steps::State;
use crate::optimiser::{Optimiser, OptimiserConfig, Slot};
use crate::parameters::{Parameter, Values};
use chronos_research::{WholeFileError, write_whole_file};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// First line of the format.
const MAGIC: &[u8] = b"chronos parameters 1\n";

/// A file of parameters that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WholeFileError),
    /// It is no such file, or damaged.
    #[error("{path} is no checkpoint that can be used: {wrong}; remove it, or take one that was not cut or changed", path = path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        wrong: String,
    },
}

/// All a run needs to go on.
pub(super) struct Checkpoint {
    pub(super) state: State,
    pub(super) parameters: Vec<Parameter>,
    pub(super) optimiser: Optimiser,
    pub(super) best: Option<Vec<Parameter>>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    parameters: Vec<Form>,
    has_best: bool,
    run: Option<RunHeader>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    shape: Vec<usize>,
    is_f64: bool,
    /// Of the optimiser; nothing in a file of parameters alone.
    decays: bool,
    steps: u64,
    moments: usize,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RunHeader {
    state: State,
    optimiser: OptimiserConfig,
}

/// Writes a new file of parameters alone.
///
/// # Errors
/// The file exists or cannot be written.
pub fn save_parameters(path: &Path, parameters: &[Parameter]) -> Result<(), CheckpointError> {
    let header =
        Header { parameters: parameters.iter().map(|parameter| form(parameter, None)).collect(), has_best: false, run: None };
    write(path, &header, parameters.iter().map(|parameter| &parameter.values))
}

/// Reads the parameters of a file, a checkpoint's too.
///
/// # Errors
/// The file cannot be read, or is none of these.
pub fn load_parameters(path: &Path) -> Result<Vec<Parameter>, CheckpointError> {
    let (header, bytes) = read(path)?;
    parameters(&header.parameters, &mut bytes.as_slice()).ok_or_else(|| damaged(path, SHORT))
}

impl Checkpoint {
    /// Writes it in the place of the one before, which stands until this one is whole.
    pub(super) fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let forms = self.parameters.iter().zip(self.optimiser.slots()).map(|(parameter, slot)| form(parameter, Some(slot)));
        let header = Header {
            parameters: forms.collect(),
            has_best: self.best.is_some(),
            run: Some(RunHeader { state: self.state.clone(), optimiser: *self.optimiser.config() }),
        };
        let values = self.parameters.iter().map(|parameter| &parameter.values);
        let moments = self.optimiser.slots().iter().flat_map(|slot| &slot.moments);
        let best = self.best.iter().flatten().map(|parameter| &parameter.values);
        let next = path.with_extension("next");
        remove(&next)?;
        write(&next, &header, values.chain(moments).chain(best))?;
        std::fs::rename(&next, path).map_err(|source| io_error("rename", &next, source))
    }

    /// Reads one.
    pub(super) fn read(path: &Path) -> Result<Self, CheckpointError> {
        let (header, bytes) = read(path)?;
        let bytes = &mut bytes.as_slice();
        let short = || damaged(path, SHORT);
        let Some(run) = header.run else { return Err(damaged(path, "it holds parameters, but no run")) };
        let read = parameters(&header.parameters, bytes).ok_or_else(short)?;
        let mut slots = Vec::with_capacity(read.len());
        for (form, parameter) in header.parameters.iter().zip(&read) {
            let moments: Option<Vec<Values>> =
                (0..form.moments).map(|_| values(form.is_f64, parameter.values.len(), bytes)).collect();
            let moments = moments.ok_or_else(short)?;
            slots.push(Slot { name: form.name.clone(), decays: form.decays, steps: form.steps, moments });
        }
        let best = if header.has_best { Some(parameters(&header.parameters, bytes).ok_or_else(short)?) } else { None };
        Ok(Self { state: run.state, parameters: read, optimiser: Optimiser::from_slots(run.optimiser, slots), best })
    }
}

const SHORT: &str = "it ends before its values do";

fn form(parameter: &Parameter, slot: Option<&Slot>) -> Form {
    Form {
        name: parameter.name.clone(),
        shape: parameter.shape.clone(),
        is_f64: matches!(parameter.values, Values::F64(_)),
        decays: slot.is_some_and(|slot| slot.decays),
        steps: slot.map_or(0, |slot| slot.steps),
        moments: slot.map_or(0, |slot| slot.moments.len()),
    }
}

fn write<'a>(path: &Path, header: &Header, lists: impl Iterator<Item = &'a Values>) -> Result<(), CheckpointError> {
    let header = toml::to_string(header).map_err(|error| damaged(path, &format!("its header cannot be written: {error}")))?;
    let mut bytes = [MAGIC, &(header.len() as u32).to_le_bytes(), header.as_bytes()].concat();
    for values in lists {
        match values {
            Values::F32(values) => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
            Values::F64(values) => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
        }
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    Ok(write_whole_file(path, |out| out.write_all(&bytes))?)
}

/// The header, and the values behind it.
fn read(path: &Path) -> Result<(Header, Vec<u8>), CheckpointError> {
    let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(damaged(path, "it does not begin as one")) };
    let parts = rest.split_last_chunk::<4>().and_then(|(rest, sum)| Some((*sum, rest.split_first_chunk::<4>()?)));
    let Some((sum, (length, rest))) = parts else { return Err(damaged(path, SHORT)) };
    if crc32c::crc32c(&bytes[..bytes.len() - 4]) != u32::from_le_bytes(sum) {
        return Err(damaged(path, "its checksum differs"));
    }
    let (header, values) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(|| damaged(path, SHORT))?;
    let header = std::str::from_utf8(header).map_err(|error| damaged(path, &error.to_string()))?;
    let header = toml::from_str(header).map_err(|error| damaged(path, &format!("its header is of another version: {error}")))?;
    Ok((header, values.to_vec()))
}

fn parameters(forms: &[Form], bytes: &mut &[u8]) -> Option<Vec<Parameter>> {
    let read = |form: &Form| {
        let count = form.shape.iter().try_fold(1_usize, |count, extent| count.checked_mul(*extent))?;
        Some(Parameter { name: form.name.clone(), shape: form.shape.clone(), values: values(form.is_f64, count, bytes)? })
    };
    forms.iter().map(read).collect()
}

fn values(is_f64: bool, count: usize, bytes: &mut &[u8]) -> Option<Values> {
    let (taken, rest) = bytes.split_at_checked(count.checked_mul(if is_f64 { 8 } else { 4 })?)?;
    *bytes = rest;
    Some(if is_f64 {
        Values::F64(taken.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect())
    } else {
        Values::F32(taken.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
    })
}

/// Removes a file that may be there.
pub(super) fn remove(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, error)),
        _ => Ok(()),
    }
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Write(WholeFileError::Io { action, path: path.to_owned(), source })
}

fn damaged(path: &Path, wrong: &str) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), wrong: wrong.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parameters_come_back_bit_for_bit(
            singles in prop::collection::vec(any::<f32>(), 0..20),
            doubles in prop::collection::vec(any::<f64>(), 0..20),
            name in "[a-z._0-9]{1,12}",
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let parameters = [
                Parameter { name: name.clone(), shape: vec![1, singles.len()], values: Values::F32(singles) },
                Parameter { name, shape: vec![doubles.len()], values: Values::F64(doubles) },
            ];
            save_parameters(&path, &parameters).unwrap();
            prop_assert_eq!(format!("{:?}", load_parameters(&path).unwrap()), format!("{parameters:?}"));
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        save_parameters(&path, &[Parameter { name: "w".into(), shape: vec![3], values: Values::F32(vec![1.0, 2.0, 3.0]) }])
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(load_parameters(&path), Err(CheckpointError::Damaged { .. })), "{length}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(load_parameters(&path).is_err(), "{place}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::Damaged { wrong, .. }) if wrong.contains("no run")));
        assert!(load_parameters(&folder.path().join("absent")).unwrap_err().to_string().contains("cannot read"));
    }

    #[test]
    fn numbers_of_the_header_come_back_bit_for_bit() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Numbers {
            numbers: Vec<f64>,
        }
        let mut random = fastrand::Rng::with_seed(4);
        let numbers: Vec<f64> = (0..20_000).map(|_| f64::from_bits(random.u64(..))).filter(|number| !number.is_nan()).collect();
        let text = toml::to_string(&Numbers { numbers: numbers.clone() }).unwrap();
        let read = toml::from_str::<Numbers>(&text).unwrap().numbers;
        assert!(numbers.iter().zip(&read).all(|(one, two)| one.to_bits() == two.to_bits()) && read.len() == numbers.len());
    }
}

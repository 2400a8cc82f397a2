//! Files that are whole or absent.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WholeFileError {
    /// It is there already.
    #[error("{path} exists; name another file, or move that one away", path = path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

/// Writes a new file: with `.part` behind its name until it is complete.
///
/// # Errors
/// The file exists, or cannot be written.
pub fn write_whole_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), WholeFileError> {
    if path.exists() {
        return Err(WholeFileError::Exists { path: path.to_owned() });
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |action, source| WholeFileError::Io { action, path: part.clone(), source };
    let file = File::create(&part).map_err(|source| failed("create", source))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out).and_then(|()| out.flush()).map_err(|source| failed("write", source))?;
    let file = out.into_inner().map_err(|error| failed("write", error.into_error()))?;
    file.sync_all().map_err(|source| failed("sync", source))?;
    fs::rename(&part, path).map_err(|source| failed("complete", source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let failed = write_whole_file(&path, |out| out.write_all(b"half").and(Err(io::Error::other("the disk is full"))));
        assert!(failed.unwrap_err().to_string().contains("the disk is full") && !path.exists());
        write_whole_file(&path, |out| out.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(write_whole_file(&path, |_| Ok(())).unwrap_err().to_string().contains("exists"));
    }
}

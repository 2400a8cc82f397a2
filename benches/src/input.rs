//! Captures, decompressed.

use chronos_exchange::{GeneratorConfig, generate};
use chronos_market::decode::split_capture_line;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The seed of every generated market.
const SEED: u64 = 1;
/// The real capture the product's targets are stated for, below the data folder.
const REAL_CAPTURE: &str = "binance_ws/usdm_btcusdt_20240808.gz";

/// A capture on the disk, decompressed, in a folder that goes with this value.
pub struct Input {
    /// What it is.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    _folder: tempfile::TempDir,
}

impl Input {
    fn new(name: String, bytes: Vec<u8>) -> io::Result<Input> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("capture.txt");
        File::create(&path)?.write_all(&bytes)?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Input { name, path, bytes, sha256, _folder: folder })
    }

    /// A generated session of so many seconds.
    ///
    /// # Errors
    /// Where the temporary folder cannot be written.
    pub fn demo(seconds: u32) -> io::Result<Input> {
        Input::new(format!("demo session, seed {SEED}, {seconds} s"), demo_bytes(seconds)?)
    }

    /// The real capture, below [`data_folder`]; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn real() -> io::Result<Option<Input>> {
        match Input::capture(&data_folder().join(REAL_CAPTURE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            input => input.map(|input| Some(Input { name: REAL_CAPTURE.to_owned(), ..input })),
        }
    }

    /// A capture packed by gzip.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn capture(path: &Path) -> io::Result<Input> {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(io::BufReader::new(File::open(path)?)).read_to_end(&mut bytes)?;
        Input::new(path.display().to_string(), bytes)
    }

    /// The capture that the argument `--capture` names, the real one without it, or a generated session where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn asked_for(capture: Option<&str>) -> io::Result<Input> {
        match capture {
            Some(path) => Input::capture(Path::new(path)),
            None => Input::real()?.map_or_else(|| Input::demo(60), Ok),
        }
    }
}

/// The folder of captures: what `CHRONOS_DATA` names or, without it, `../shared/data` as seen from the workspace.
pub fn data_folder() -> PathBuf {
    let beside_workspace = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    std::env::var_os("CHRONOS_DATA").map_or_else(beside_workspace, PathBuf::from)
}

/// The lines of a generated session of so many seconds.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn demo_bytes(seconds: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    generate(&GeneratorConfig { seed: SEED, seconds, ..GeneratorConfig::default() }, &mut bytes, &mut |_| {})?;
    Ok(bytes)
}

/// The REST snapshot of so many levels a side that such a session holds.
///
/// # Errors
/// Where the session holds none.
pub fn demo_snapshot(levels: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let config = GeneratorConfig { seed: SEED, seconds: 5, snapshot_levels: levels, ..GeneratorConfig::default() };
    generate(&config, &mut bytes, &mut |_| {})?;
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.windows(14).any(|word| word == b"\"lastUpdateId\""));
    let message = line.and_then(|line| split_capture_line(line).ok()).map(|line| line.message.to_vec());
    message.ok_or_else(|| io::Error::other("the generated session holds no snapshot"))
}

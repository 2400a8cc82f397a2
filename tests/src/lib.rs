//! What the tests of every crate share: where fixtures are, and how their absence is told.
//!
//! Golden values are read from the folder `CHRONOS_GOLDEN` (default `../shared/golden` beside the workspace), captures from
//! `CHRONOS_DATA` (default `../shared/data`), documented messages and requests from `CHRONOS_FORMATS` (default `../shared/formats`),
//! the published CryptoMamba from `CHRONOS_CRYPTOMAMBA` (default `../shared/cryptomamba`).
//! Where a folder is missing a test prints `skipped:` and why, and passes; with `CHRONOS_REQUIRE_FIXTURES=1` it fails instead.

pub mod allocation;
pub mod page;

use std::path::{Path, PathBuf};

/// A file of the golden folder; `None`, after saying so, where it is missing.
///
/// # Panics
/// Where it is missing and `CHRONOS_REQUIRE_FIXTURES=1`.
pub fn golden_file(name: &str) -> Option<PathBuf> {
    fixture("CHRONOS_GOLDEN", "golden", name)
}

/// A golden file parsed as JSON; `None`, after saying so, where it is missing.
///
/// # Panics
/// Where it is missing and `CHRONOS_REQUIRE_FIXTURES=1`, and where it is not JSON.
pub fn golden_json(name: &str) -> Option<serde_json::Value> {
    let path = golden_file(name)?;
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// A file (or folder) of the captures' folder; `None`, after saying so, where it is missing.
///
/// # Panics
/// Where it is missing and `CHRONOS_REQUIRE_FIXTURES=1`.
pub fn data_file(name: &str) -> Option<PathBuf> {
    fixture("CHRONOS_DATA", "data", name)
}

/// A file of the folder of wire formats, `CHRONOS_FORMATS` (default `../shared/formats`); `None`, after saying so, where it is
/// missing.
///
/// # Panics
/// Where it is missing and `CHRONOS_REQUIRE_FIXTURES=1`.
pub fn formats_file(name: &str) -> Option<PathBuf> {
    fixture("CHRONOS_FORMATS", "formats", name)
}

/// Every file of weights in the folder `CHRONOS_CRYPTOMAMBA` (default `../shared/cryptomamba`) with the JSON of the same name, parsed, in
/// the order of the names; empty, after saying so, where the folder or its files are missing.
///
/// # Panics
/// Where there are none and `CHRONOS_REQUIRE_FIXTURES=1`, and where a JSON is missing or none.
pub fn cryptomamba_files() -> Vec<(PathBuf, serde_json::Value)> {
    let Some(folder) = fixture("CHRONOS_CRYPTOMAMBA", "cryptomamba", "") else { return Vec::new() };
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut weights: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    weights.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    weights.sort();
    if weights.is_empty() {
        missing(&folder.join("*.safetensors"), "CHRONOS_CRYPTOMAMBA");
    }
    let parsed = |weights: PathBuf| {
        let path = weights.with_extension("json");
        println!("reading {} and {}", weights.display(), path.display());
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (weights, serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    weights.into_iter().map(parsed).collect()
}

/// A certificate for `host`, made and signed by itself for a test.
#[cfg(feature = "certificates")]
pub struct TestCertificate {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS#8 in DER.
    pub key: Vec<u8>,
}

/// Makes a certificate that only this test knows.
///
/// # Panics
/// Where `host` is not a host name.
#[cfg(feature = "certificates")]
pub fn test_certificate(host: &str) -> TestCertificate {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap_or_else(|error| panic!("{host}: {error}"));
    TestCertificate { certificate: made.cert.der().to_vec(), key: made.signing_key.serialize_der() }
}

/// The root of the workspace.
pub fn workspace_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn fixture(variable: &str, folder: &str, name: &str) -> Option<PathBuf> {
    let base = std::env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| workspace_root().join("../shared").join(folder));
    let path = base.join(name);
    if path.exists() {
        println!("reading {}", path.display());
        return Some(path);
    }
    missing(&path, variable);
    None
}

/// Tells that a fixture is missing.
fn missing(path: &Path, variable: &str) {
    assert!(
        std::env::var_os("CHRONOS_REQUIRE_FIXTURES").is_none_or(|value| value != "1"),
        "{} is missing and CHRONOS_REQUIRE_FIXTURES=1; set {variable} to the folder that holds it",
        path.display()
    );
    println!("skipped: {} is missing; set {variable} to the folder that holds it", path.display());
}

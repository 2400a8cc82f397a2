//! What speaks for a model: the manifest's `[evidence]`, sealed together with all else the manifest says.
//!
//! The seal is a hash, not a signature: it finds a model file, a figure or a threshold that was changed after promotion, not
//! somebody who computes it anew.

use crate::format::sha256_hex;
use crate::model::{MANIFEST_FILE, Manifest, ModelError};
use std::path::Path;

/// Key of the seal.
const SEAL: &str = "seal";
/// Key of the table of files that the evidence rests on: name and SHA-256.
const FILES: &str = "files";

/// Puts evidence into a manifest, and the seal on both.
pub(crate) fn seal(manifest: &mut Manifest, evidence: toml::Table) -> Result<(), String> {
    manifest.evidence = evidence;
    let seal = seal_of(manifest)?;
    manifest.evidence.insert(SEAL.into(), toml::Value::String(seal));
    Ok(())
}

/// Checks the seal of a manifest, and the files its evidence rests on; empty evidence has neither.
pub(crate) fn check(manifest: &Manifest, folder: &Path) -> Result<(), String> {
    if manifest.evidence.is_empty() {
        return Ok(());
    }
    let again = "`chronos promote` decides anew";
    if manifest.evidence.get(SEAL).and_then(toml::Value::as_str) != Some(seal_of(manifest)?.as_str()) {
        return Err(format!("[evidence] was not written for this manifest, or one of them was changed since; {again}"));
    }
    let Some(files) = manifest.evidence.get(FILES).and_then(toml::Value::as_table) else {
        return Err(format!("[evidence] names no files; {again}"));
    };
    for (name, sha256) in files {
        let bytes = std::fs::read(folder.join(name))
            .map_err(|error| format!("[evidence] rests on {name}, and it cannot be read: {error}"))?;
        if sha256.as_str() != Some(sha256_hex(&bytes).as_str()) {
            return Err(format!("{name} is not the file that [evidence] rests on (SHA-256 differs); {again}"));
        }
    }
    Ok(())
}

/// What makes a model this model and no other: SHA-256 of its manifest, which names the model's file by its hash and holds every
/// setting, without the evidence. `None` for a folder that holds no manifest, or is not there.
///
/// # Errors
/// Where the manifest cannot be read or is not TOML.
pub fn subject_sha256(folder: &Path) -> Result<Option<String>, ModelError> {
    let path = folder.join(MANIFEST_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ModelError::Io { path, source, remedy: "" }),
    };
    let refuse = |message: String| ModelError::Manifest { path: path.clone(), message };
    let mut manifest: toml::Table = text.parse().map_err(|error: toml::de::Error| refuse(error.to_string()))?;
    manifest.remove("evidence");
    let text = toml::to_string(&manifest).map_err(|error| refuse(error.to_string()))?;
    Ok(Some(sha256_hex(text.as_bytes())))
}

/// SHA-256 of everything in the manifest but the seal.
fn seal_of(manifest: &Manifest) -> Result<String, String> {
    let mut unsealed = manifest.clone();
    unsealed.evidence.remove(SEAL);
    let text = toml::to_string(&unsealed).map_err(|error| error.to_string())?;
    Ok(sha256_hex(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::subject_sha256;
    use crate::model::ModelDirectory;
    use serde::Serialize;
    use std::path::{Path, PathBuf};

    #[derive(Serialize)]
    struct Evidence {
        pbo: f64,
        files: std::collections::BTreeMap<&'static str, String>,
    }

    fn promoted(folder: &Path) -> PathBuf {
        let mut model = ModelDirectory::create_untrained(folder, 3).unwrap();
        assert!(!model.is_promoted());
        std::fs::write(folder.join("validation.json"), "{}").unwrap();
        let files = [("validation.json", crate::format::sha256_hex(b"{}"))].into();
        model.record_evidence(&Evidence { pbo: 0.25, files }).unwrap();
        assert!(model.is_promoted());
        folder.join("manifest.toml")
    }

    /// What opening says after an edit of the folder.
    fn after(edit: impl Fn(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let manifest = promoted(folder.path());
        edit(&manifest);
        match ModelDirectory::open(folder.path()) {
            Ok(model) => format!("promoted: {}", model.is_promoted()),
            Err(error) => error.to_string(),
        }
    }

    fn replace(path: &Path, from: &str, to: &str) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    #[test]
    fn evidence_is_read_back_and_any_change_is_found() {
        assert_eq!(after(|_| {}), "promoted: true");
        assert!(
            after(|manifest| replace(manifest, "pbo = 0.25", "pbo = 0.2")).contains("[evidence] was not written for this manifest")
        );
        assert!(after(|manifest| replace(manifest, "entry_threshold = 0.1", "entry_threshold = 0.01")).contains("changed since"));
        assert!(
            after(|manifest| std::fs::write(manifest.with_file_name("validation.json"), "[]").unwrap()).contains("SHA-256 differs")
        );
        assert!(
            after(|manifest| std::fs::remove_file(manifest.with_file_name("validation.json")).unwrap()).contains("cannot be read")
        );
    }

    #[test]
    fn a_subject_is_model_and_settings_and_not_the_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let subject = || subject_sha256(folder.path()).unwrap();
        assert_eq!(subject(), None);
        let manifest = promoted(folder.path());
        let promoted = subject();
        let mut model = ModelDirectory::open(folder.path()).unwrap();
        model
            .record_evidence(&std::collections::BTreeMap::from([("files", std::collections::BTreeMap::<&str, &str>::new())]))
            .unwrap();
        assert!(promoted.is_some() && subject() == promoted);
        replace(&manifest, "entry_threshold = 0.1", "entry_threshold = 0.01");
        assert!(subject().is_some() && subject() != promoted);
        std::fs::write(&manifest, "= 1").unwrap();
        assert!(subject_sha256(folder.path()).unwrap_err().to_string().contains("manifest.toml"));
    }

    #[test]
    fn another_model_under_the_same_evidence_is_found() {
        let other = tempfile::tempdir().unwrap();
        ModelDirectory::create_untrained(other.path(), 4).unwrap();
        let onnx = std::fs::read(other.path().join("model.onnx")).unwrap();
        let said = after(|manifest| {
            let path = manifest.with_file_name("model.onnx");
            let old = crate::format::sha256_hex(&std::fs::read(&path).unwrap());
            std::fs::write(&path, &onnx).unwrap();
            // The hash of the file is put right, the seal is not.
            replace(manifest, &old, &crate::format::sha256_hex(&onnx));
        });
        assert!(said.contains("[evidence] was not written for this manifest"), "{said}");
    }
}

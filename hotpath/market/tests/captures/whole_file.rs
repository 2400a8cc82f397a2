//! A captured file, whole and decompressed.

use std::io::Read;

/// A file decompressed; `None` where it is missing.
pub(crate) fn unpacked(name: &str) -> Option<Vec<u8>> {
    let path = chronos_tests::data_file(name)?;
    let bytes = std::fs::read(&path).unwrap();
    let mut plain = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => plain = zstd::decode_all(bytes.as_slice()).unwrap(),
        Some("xz") => drop(lzma_rust2::XzReader::new(bytes.as_slice(), true).read_to_end(&mut plain).unwrap()),
        Some("gz") => drop(flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap()),
        Some("zip") => {
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
            archive.by_index(0).unwrap().read_to_end(&mut plain).unwrap();
        }
        _ => plain = bytes,
    }
    Some(plain)
}

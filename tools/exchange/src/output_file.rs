//! A file that is gzip, zstd or plain by its name.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A file to write once, front to back. Without [`OutputFile::finish`] its end may be missing.
pub(crate) enum OutputFile {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

const BUFFER_BYTES: usize = 1 << 20;

impl OutputFile {
    /// Makes the file, or replaces it: gzip where the name ends in `.gz`, zstd where it ends in `.zst`, plain otherwise.
    pub(crate) fn create(path: &Path) -> io::Result<OutputFile> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
        let is = |extension: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
        Ok(if is("gz") {
            OutputFile::Gzip(GzEncoder::new(file, Compression::fast()))
        } else if is("zst") {
            OutputFile::Zstd(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?)
        } else {
            OutputFile::Plain(file)
        })
    }

    /// Writes what is still held.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            OutputFile::Plain(file) => file,
            OutputFile::Gzip(gzip) => gzip.finish()?,
            OutputFile::Zstd(zstd) => zstd.finish()?,
        }
        .flush()
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            OutputFile::Plain(file) => file.write(bytes),
            OutputFile::Gzip(gzip) => gzip.write(bytes),
            OutputFile::Zstd(zstd) => zstd.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            OutputFile::Plain(file) => file.flush(),
            OutputFile::Gzip(gzip) => gzip.flush(),
            OutputFile::Zstd(zstd) => zstd.flush(),
        }
    }
}

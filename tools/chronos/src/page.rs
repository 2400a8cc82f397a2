//! HTML pages as files.

use anyhow::{Context, Result};
use std::path::Path;

/// Writes a page over what was there before.
pub(crate) fn write_page(path: &Path, page: &str) -> Result<()> {
    std::fs::write(path, page).with_context(|| format!("cannot write the page {}", path.display()))
}

//! Recorded encodings of texts: folders with a `tokenizer.json` and a `vectors.json`.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folders in `folder` that have recorded encodings, in order.
pub fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.join("vectors.json").is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a folder's case.
pub fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Compares a folder, and says how many rows agree. Whole numbers and texts have no tolerance.
pub fn check(folder: &Path) -> anyhow::Result<usize> {
    Ok(tcmax_pretrained::check_recorded(folder)?)
}

//! Files that appear under their name only when complete.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::error::at;

/// Writes a file under another name, then renames it.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = File::create(&part).map_err(at(&part))?;
    file.write_all(bytes).map_err(at(&part))?;
    file.sync_all().map_err(at(&part))?;
    std::fs::rename(&part, path).map_err(at(path))
}

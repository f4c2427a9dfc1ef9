//! Files that appear under their name only when complete.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file under another name, `path` with `.part` added, then renames it. Where that fails, on
/// a full disk above all, nothing is left behind.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial_path(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|source| {
        // If it cannot be removed either, the next attempt overwrites it.
        let _ = std::fs::remove_file(&partial);
        Error::io(path)(source)
    })
}

/// The name under which [`write_whole`] writes `path`: what a killed process may leave.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(!partial_path(&path).exists());
    }

    #[test]
    fn what_cannot_take_its_name_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        let error = write_whole(&path, b"bytes").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert!(!partial_path(&path).exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_whole(&path, b"first").unwrap();
        // Every write to this device fails as on a full disk.
        std::os::unix::fs::symlink("/dev/full", partial_path(&path)).unwrap();
        let error = write_whole(&path, b"second").unwrap_err();
        assert!(error.to_string().contains("x.json: No space left"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert!(partial_path(&path).symlink_metadata().is_err(), "the part file is left");
    }
}

//! One process at a time in a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::at;
use crate::{Error, Result};

/// The file that is locked; it stays in the folder, empty.
const FILE: &str = ".lock";

/// A folder that no other process trains in while this value lives. The system gives the lock up
/// however the process ends, so a kill leaves nothing to clean.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder if need be, and locks it.
    ///
    /// # Errors
    /// When the folder cannot be made, or another process has it.
    pub fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let path = folder.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: folder.to_owned() }),
            // A file system without locks: nothing is protected, and nothing is lost by going on.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _file: file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let lock = FolderLock::take(&run).unwrap();
        let error = FolderLock::take(&run).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        assert!(!error.is_setting());
        drop(lock);
        FolderLock::take(&run).unwrap();
    }
}

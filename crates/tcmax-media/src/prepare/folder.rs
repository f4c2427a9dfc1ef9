//! The folder that clips are made in: which of its files are ours.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use tcmax_data::Error as DataError;
use tcmax_data::shards::{MANIFEST_FILE, PREPARED_FILE, SKIPPED_FILE, shard_index};

use crate::error::{Error, Result};

/// What is added to the names of files while they are written.
const PARTIAL: &str = ".part";

/// The file that is locked; it stays in the folder, empty.
const LOCK: &str = ".lock";

/// A folder that no other process makes clips in while this value lives. The system gives the lock up
/// however the process ends.
pub(super) struct Taken {
    _file: File,
}

/// Checks that clips may be made in `out`, locks it, and removes what a killed run was writing there.
///
/// # Errors
/// When it holds files and none of them says that the folder is one of prepared clips, or another process
/// is making clips there.
pub(super) fn take_over(out: &Path) -> Result<Taken> {
    if !out.exists() {
        return lock(out);
    }
    if !out.is_dir() {
        return Err(Error::option("out", format!("{} is a file; give a folder", out.display())));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out).map_err(DataError::io(out))? {
        names.push(entry.map_err(DataError::io(out))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let described = has(PREPARED_FILE);
    if described && !is_description(&out.join(PREPARED_FILE)) {
        return Err(foreign(out, &[PREPARED_FILE.to_owned()]));
    }
    // Whether a shard is one of ours is checked by its note.
    let ours = described || names.iter().any(|name| shard_index(name).is_some());
    // Hidden files are the system's.
    let is_other = |name: &&String| !is_partial(name) && !name.starts_with('.');
    let others: Vec<String> = names.iter().filter(is_other).cloned().collect();
    if !ours && !others.is_empty() {
        return Err(foreign(out, &others));
    }
    let taken = lock(out)?;
    for name in names.iter().filter(|name| is_partial(name)) {
        let path = out.join(name);
        std::fs::remove_file(&path).map_err(DataError::io(&path))?;
    }
    Ok(taken)
}

fn lock(out: &Path) -> Result<Taken> {
    std::fs::create_dir_all(out).map_err(DataError::io(out))?;
    let path = out.join(LOCK);
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(DataError::io(&path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let problem = format!(
                "another process makes clips in {}; wait until it is done, or choose another folder",
                out.display()
            );
            Err(Error::option("out", problem))
        }
        // A file system without locks: nothing is protected, and nothing is lost by going on.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Taken { _file: file }),
    }
}

/// Whether a file is one that this program was writing when it was killed.
fn is_partial(name: &str) -> bool {
    let whole = name.strip_suffix(PARTIAL);
    whole.is_some_and(|name| {
        [PREPARED_FILE, MANIFEST_FILE, SKIPPED_FILE].contains(&name) || shard_index(name).is_some()
    })
}

/// Whether a `dataset.json` is a description of prepared clips, of this version or another.
fn is_description(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    ["version", "shards", "manifest-sha256"].iter().all(|key| value.get(key).is_some())
}

fn foreign(out: &Path, names: &[String]) -> Error {
    let more = if names.len() > 3 { ", ..." } else { "" };
    let problem = format!(
        "{} is not a folder of prepared clips but holds other files ({}{more}); nothing of it was \
         touched: choose a folder that is new or empty",
        out.display(),
        names.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
    );
    Error::option("out", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("clips");
        let taken = take_over(&out).unwrap();
        std::fs::write(out.join("clips.csv.part"), "being written").unwrap();
        let error = take_over(&out).map(drop).unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
        assert!(out.join("clips.csv.part").exists());
        drop(taken);
        drop(take_over(&out).unwrap());
        assert!(!out.join("clips.csv.part").exists());
    }

    #[test]
    fn only_names_of_ours_are_partial_files_of_ours() {
        for ours in ["clips.csv.part", "dataset.json.part", "shard-00012.safetensors.part"] {
            assert!(is_partial(ours), "{ours}");
        }
        for foreign in ["holiday.mp4.part", "clips.csv", "shard-1.safetensors.part", ".part"] {
            assert!(!is_partial(foreign), "{foreign}");
        }
    }
}

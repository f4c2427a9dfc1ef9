//! Whether a folder of prepared clips still holds what was written.

use std::path::Path;

use rayon::prelude::*;

use super::description::Description;
use crate::digest::sha256_of_file;
use crate::error::Result;
use crate::problems::{Position, Problems};

/// Reads every shard of a folder of prepared clips and compares its SHA-256 with the description's;
/// `checked` is called after each. Takes as long as reading the whole folder, which is why opening
/// clips for training compares the manifest's checksum and the lengths of shards only.
///
/// # Errors
/// When the description cannot be read. Shards that are missing or differ go to `problems`.
pub fn verify(folder: &Path, problems: &mut Problems, checked: &(dyn Fn() + Sync)) -> Result<()> {
    let description = Description::read(folder)?;
    let found = description.shards.par_iter().map(|entry| {
        let path = folder.join(&entry.file);
        let found = sha256_of_file(&path);
        checked();
        (path, found.map(|sum| sum == entry.sha256))
    });
    let found: Vec<_> = found.collect();
    for (path, same) in found {
        match same {
            Ok(true) => {}
            Ok(false) => {
                let what = "its bytes changed after `tcmax prepare` wrote it: its SHA-256 is not the \
                            one in dataset.json; delete it and run the same `tcmax prepare` again";
                problems.add(&path, Position::File, "", what);
            }
            Err(error) => problems.add(&path, Position::File, "", error.to_string()),
        }
    }
    Ok(())
}

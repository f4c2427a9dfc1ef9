//! Checksums of prepared clips: whether a folder still holds what was written.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::Description;
use crate::error::at;
use crate::{Place, Problems, Result};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 16;

/// SHA-256 of bytes, hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(at(path))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut buffer).map_err(at(path))? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

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
                problems.add(&path, Place::File, "", what);
            }
            Err(error) => problems.add(&path, Place::File, "", error.to_string()),
        }
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Checksums of files and of what is inside them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::RemoteFile;
use crate::error::at;
use crate::{Error, Result};

/// Unpacked content beyond this is taken for an archive bomb.
const LARGEST_CONTENT: u64 = 1 << 30;

/// Checks the file at `path` against the card: its bytes, or what is inside.
pub(super) fn verify(path: &Path, file: &RemoteFile) -> Result<()> {
    let found = hash(File::open(path).map_err(at(path))?, path)?;
    if found == file.sha256 {
        return Ok(());
    }
    let mut problem = format!("its SHA-256 is {found}, wanted {}", file.sha256);
    if let Some(wanted) = &file.content_sha256 {
        match content(path, &file.name) {
            Ok(found) if found == *wanted => return Ok(()),
            Ok(found) => problem += &format!(", and that of its content {found}, wanted {wanted}"),
            Err(error) => problem += &format!(", and its content cannot be read ({error})"),
        }
    }
    Err(Error::bad_file(path, problem))
}

/// The digest of what is inside, as `datasets/README.md` defines it.
fn content(path: &Path, name: &str) -> Result<String> {
    let file = BufReader::new(File::open(path).map_err(at(path))?);
    if name.ends_with(".tar.gz") {
        archive_content(GzDecoder::new(file).take(LARGEST_CONTENT), path)
    } else if name.ends_with(".gz") {
        hash(GzDecoder::new(file).take(LARGEST_CONTENT), path)
    } else {
        hash(file, path)
    }
}

fn archive_content(reader: impl Read, path: &Path) -> Result<String> {
    let mut digests = BTreeMap::new();
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(at(path))?.raw(true) {
        let entry = entry.map_err(at(path))?;
        let member = entry.path().map_err(at(path))?.into_owned();
        let folder = member.parent().and_then(Path::file_name);
        let is_recording = folder.is_some_and(|folder| folder == "recordings");
        let is_recording = is_recording && entry.header().entry_type().is_file();
        if let Some(name) = member.file_name().filter(|_| is_recording) {
            digests.insert(name.to_string_lossy().into_owned(), hash(entry, path)?);
        }
    }
    let mut total = Sha256::new();
    for (name, digest) in digests {
        total.update(format!("{digest}  {name}\n"));
    }
    Ok(hexadecimal(&total.finalize()))
}

fn hash(mut reader: impl Read, path: &Path) -> Result<String> {
    let mut hash = Hashing(Sha256::new());
    std::io::copy(&mut reader, &mut hash).map_err(at(path))?;
    Ok(hexadecimal(&hash.0.finalize()))
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

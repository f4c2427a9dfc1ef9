//! Checksums of files and of what is inside them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tcmax_data::{Error, Result, hexadecimal, sha256_of_file, sha256_of_reader};

use crate::catalog::RemoteFile;

/// Unpacked content beyond this is taken for an archive bomb.
const LARGEST_CONTENT: u64 = 1 << 30;

/// Checks the file at `path` against the card: its bytes, or what is inside.
pub(super) fn verify(path: &Path, file: &RemoteFile) -> Result<()> {
    let found = sha256_of_file(path)?;
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
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    if name.ends_with(".tar.gz") {
        archive_content(GzDecoder::new(file).take(LARGEST_CONTENT), path)
    } else if name.ends_with(".gz") {
        sha256_of_reader(GzDecoder::new(file).take(LARGEST_CONTENT)).map_err(Error::io(path))
    } else {
        sha256_of_file(path)
    }
}

fn archive_content(reader: impl Read, path: &Path) -> Result<String> {
    let mut digests = BTreeMap::new();
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(Error::io(path))?.raw(true) {
        let entry = entry.map_err(Error::io(path))?;
        let member = entry.path().map_err(Error::io(path))?.into_owned();
        let folder = member.parent().and_then(Path::file_name);
        let is_recording = folder.is_some_and(|folder| folder == "recordings");
        let is_recording = is_recording && entry.header().entry_type().is_file();
        if let Some(name) = member.file_name().filter(|_| is_recording) {
            digests.insert(
                name.to_string_lossy().into_owned(),
                sha256_of_reader(entry).map_err(Error::io(path))?,
            );
        }
    }
    let mut total = Sha256::new();
    for (name, digest) in digests {
        total.update(format!("{digest}  {name}\n"));
    }
    Ok(hexadecimal(&total.finalize()))
}

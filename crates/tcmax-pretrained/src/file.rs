//! How files are opened, and what is checked before they are decoded.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use crate::error::{Error, Result};

/// Files beside the weights that are of use.
pub(crate) const BESIDE: [&str; 4] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"];

/// Small files (configurations, vocabularies) have at most this many bytes.
const LARGEST_TEXT: u64 = 256 << 20;

/// Refuses the first bytes of a Git LFS pointer, which a clone without Git LFS has in place of a file.
pub(crate) fn refuse_pointer(path: &Path, start: &[u8]) -> Result<()> {
    if !start.starts_with(b"version https://git-lfs") {
        return Ok(());
    }
    let problem = "this is a Git LFS pointer, not the file; run `git lfs pull` in the repository it \
                   comes from";
    Err(Error::bad_file(path, problem))
}

/// Opens a regular file that has bytes and is not a Git LFS pointer, and returns its length too. Pipes and
/// devices are refused unopened: reading them might never end.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let data = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            Error::Missing { path: path.to_owned(), fix: "check the path".to_owned() }
        }
        _ => Error::io(path)(error),
    })?;
    if !data.is_file() {
        return Err(Error::bad_file(path, "it is not a regular file; name a file"));
    }
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut start = Vec::new();
    (&mut file).take(64).read_to_end(&mut start).map_err(Error::io(path))?;
    if start.is_empty() {
        return Err(Error::bad_file(path, "the file is empty; fetch it again"));
    }
    refuse_pointer(path, &start)?;
    file.rewind().map_err(Error::io(path))?;
    Ok((file, data.len()))
}

/// The bytes of a configuration or vocabulary.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, length) = open(path)?;
    if length > LARGEST_TEXT {
        let problem = format!("it has {length} bytes, too many for a configuration or vocabulary");
        return Err(Error::bad_file(path, problem));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

/// A JSON file.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::bad_file(path, format!("not the JSON expected ({error}); fetch it again"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| open(path).unwrap_err().to_string();
        let path = folder.path().join("a.bin");
        assert!(message(&path).contains("a.bin does not exist"));
        assert!(message(folder.path()).contains("not a regular file"));
        std::fs::write(&path, "").unwrap();
        assert!(message(&path).contains("empty"));
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
            .unwrap();
        assert!(message(&path).contains("`git lfs pull`"));
    }
}

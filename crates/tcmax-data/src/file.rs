//! The one way in which files of the user are opened, and what is checked before they are decoded.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Refuses the first bytes of a Git LFS pointer, which a clone without Git LFS has in place of the file.
///
/// # Errors
/// When it is one.
pub fn refuse_pointer(path: &Path, start: &[u8]) -> Result<()> {
    if !start.starts_with(b"version https://git-lfs") {
        return Ok(());
    }
    let problem = "this is a Git LFS pointer, not the file; run `git lfs pull` in the repository it \
                   comes from";
    Err(Error::bad_file(path, problem))
}

/// The ending of a file's name, in lower case; empty where there is none.
pub fn ending(path: &Path) -> String {
    path.extension().map_or_else(String::new, |ending| ending.to_string_lossy().to_lowercase())
}

/// Text without the byte order mark that some programs put before it.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Checks that a path is a regular file, has bytes and is not a Git LFS pointer, and returns its length.
/// `what` says what it should be, for the fix; it may be empty.
///
/// # Errors
/// When it is not so. Pipes and devices are refused without being opened: reading them might never
/// end.
pub fn check(path: &Path, what: &str) -> Result<u64> {
    open(path, what).map(|(_, length)| length)
}

/// Opens a regular file after the checks of [`check`], and returns its length in bytes too.
///
/// # Errors
/// As [`check`].
pub fn open(path: &Path, what: &str) -> Result<(File, u64)> {
    let what = if what.is_empty() { "check the path" } else { what };
    let data = match std::fs::metadata(path) {
        Ok(data) => data,
        Err(error) => {
            use std::io::ErrorKind::{NotADirectory, NotFound};
            return Err(match error.kind() {
                NotFound | NotADirectory => {
                    Error::Missing { path: path.to_owned(), fix: what.to_owned() }
                }
                _ => Error::io(path)(error),
            });
        }
    };
    if data.is_dir() {
        return Err(Error::bad_file(path, format!("it is a folder, not a file; {what}")));
    }
    if !data.is_file() {
        let problem = "it is a pipe or a device, not a regular file; save its content to a file";
        return Err(Error::bad_file(path, problem));
    }
    let mut start = Vec::new();
    let mut file = File::open(path).map_err(Error::io(path))?;
    (&mut file).take(64).read_to_end(&mut start).map_err(Error::io(path))?;
    if start.is_empty() {
        return Err(Error::bad_file(path, "the file is empty; fetch it again"));
    }
    refuse_pointer(path, &start)?;
    std::io::Seek::rewind(&mut file).map_err(Error::io(path))?;
    Ok((file, data.len()))
}

/// The bytes of a regular file, after the checks of [`check`].
///
/// # Errors
/// As [`check`], or when there is no memory for so many bytes.
pub fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    let (file, length) = open(path, what)?;
    let mut bytes = Vec::new();
    let room = usize::try_from(length).is_ok_and(|length| bytes.try_reserve_exact(length).is_ok());
    if !room {
        let problem = format!("its {length} bytes do not fit into memory");
        return Err(Error::bad_file(path, problem));
    }
    file.take(length).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| check(path, "").unwrap_err().to_string();
        let named = folder.path().join("a.csv");
        assert!(message(&named).contains("does not exist"));
        assert!(message(&named.join("b")).contains("does not exist"));
        std::fs::create_dir(&named).unwrap();
        assert!(message(&named).contains("a.csv: it is a folder"), "{}", message(&named));
        #[cfg(unix)]
        {
            let link = folder.path().join("x.npy");
            std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
            assert!(message(&link).contains("a pipe or a device"), "{}", message(&link));
        }
        let whole = folder.path().join("whole");
        std::fs::write(&whole, "12").unwrap();
        assert_eq!(read(&whole, "").unwrap(), b"12");
    }
}

//! What can be said of a file before it is decoded.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::at;
use crate::{Error, Result};

/// What a file fetched without Git LFS begins with.
const LFS_START: &[u8] = b"version https://git-lfs";

/// Checks that a file is there, has bytes and is not a Git LFS pointer. `what` says what it should
/// be, for the mend; it may be empty.
///
/// # Errors
/// When it is not so.
pub fn check(path: &Path, what: &str) -> Result<()> {
    let what = if what.is_empty() { "check the path" } else { what };
    let missing = || Error::Missing { path: path.to_owned(), mend: what.to_owned() };
    if !path.is_file() {
        return Err(missing());
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(64).read_to_end(&mut start)).map_err(at(path))?;
    if start.is_empty() {
        return Err(Error::bad_file(path, "the file is empty; fetch it again"));
    }
    if start.starts_with(LFS_START) {
        let problem = "this is a Git LFS pointer, not the file; run `git lfs pull` in the \
                       repository it comes from";
        return Err(Error::bad_file(path, problem));
    }
    Ok(())
}

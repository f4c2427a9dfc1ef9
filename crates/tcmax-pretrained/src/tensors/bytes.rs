//! What the formats share.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;

use crate::error::{Error, Result};

/// What weights are read from.
pub(super) trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

/// Shapes of the entries of a file, and the problems of those that cannot be read.
pub(super) type Entries = BTreeMap<String, (Vec<usize>, Option<String>)>;

/// An empty vector with room for `length` bytes, or an error instead of an end for lack of memory.
pub(super) fn room(path: &Path, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match usize::try_from(length).map(|length| bytes.try_reserve_exact(length)) {
        Ok(Ok(())) => Ok(bytes),
        _ => Err(Error::bad_file(path, format!("{length} bytes of it do not fit into memory"))),
    }
}

//! NumPy's npz format: a zip archive of npy files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::{Array, npy};
use crate::error::at;
use crate::{Error, Result};

/// Every npy member, in the order of the archive.
pub(super) fn read(path: &Path) -> Result<Vec<Array>> {
    let file = BufReader::new(File::open(path).map_err(at(path))?);
    let bad = |problem: String| Error::bad_file(path, problem);
    let mut archive =
        ZipArchive::new(file).map_err(|e| bad(format!("not a readable npz (zip) file: {e}")))?;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|e| bad(e.to_string()))?;
        let full_name = member.name().map_err(|e| bad(e.to_string()))?.into_owned();
        let Some(name) = full_name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let compression = member.compression();
        let mut bytes = Vec::new();
        // The archive library is built without decompression; flate2 is here anyway.
        let done = if compression == CompressionMethod::STORE {
            let mut member = member;
            member.read_to_end(&mut bytes)
        } else if compression == CompressionMethod::DEFLATE {
            DeflateDecoder::new(member).read_to_end(&mut bytes)
        } else {
            return Err(bad(format!("'{full_name}' is compressed by {compression}; use savez")));
        };
        done.map_err(|e| bad(format!("'{full_name}': {e}")))?;
        arrays.push(npy::parse(path, name, &bytes)?);
    }
    Ok(arrays)
}

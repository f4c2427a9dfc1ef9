//! NumPy's npz format: a zip archive of npy files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::{Array, npy};
use crate::error::at;
use crate::{Error, Result};

/// Unpacked arrays beyond this are taken for an archive bomb.
const LARGEST_CONTENT: u64 = 8 << 30;

/// Every npy member, in the order of the archive.
pub(super) fn read(path: &Path) -> Result<Vec<Array>> {
    let file = BufReader::new(File::open(path).map_err(at(path))?);
    let bad = |problem: String| Error::bad_file(path, problem);
    let mut archive =
        ZipArchive::new(file).map_err(|e| bad(format!("not a readable npz (zip) file: {e}")))?;
    let mut arrays = Vec::new();
    let mut room = LARGEST_CONTENT;
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|e| bad(e.to_string()))?;
        let full_name = member.name().map_err(|e| bad(e.to_string()))?.into_owned();
        let Some(name) = full_name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let compression = member.compression();
        let mut bytes = Vec::new();
        // The archive library is built without decompression; flate2 is here anyway.
        let declared = member.size();
        // One byte more than declared tells an honest end from a cut one.
        let most = declared.min(room).saturating_add(1);
        let done = if compression == CompressionMethod::STORE {
            member.take(most).read_to_end(&mut bytes)
        } else if compression == CompressionMethod::DEFLATE {
            DeflateDecoder::new(member).take(most).read_to_end(&mut bytes)
        } else {
            return Err(bad(format!("'{full_name}' is compressed by {compression}; use savez")));
        };
        let unpacked = done.map_err(|e| bad(format!("'{full_name}': {e}")))? as u64;
        if unpacked > room {
            return Err(bad(format!(
                "it unpacks to more than {LARGEST_CONTENT} bytes; save such arrays as safetensors"
            )));
        }
        if unpacked != declared {
            return Err(bad(format!(
                "'{full_name}' does not unpack to the {declared} bytes it declares; the archive is \
                 damaged"
            )));
        }
        room -= unpacked;
        arrays.push(npy::parse(path, name, &bytes)?);
    }
    Ok(arrays)
}

//! The header of a safetensors file, without its tensors.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// Headers beyond this are refused: a shard of a thousand clips has some hundred kilobytes.
const LARGEST_HEADER: u64 = 100 << 20;

/// The header of a safetensors file.
///
/// # Errors
/// When the file cannot be read or has no valid header.
pub fn header(path: &Path) -> Result<Metadata> {
    Ok(header_and_length(path)?.0)
}

/// The header, and the offset at which tensors begin.
pub(super) fn header_and_length(path: &Path) -> Result<(Metadata, u64)> {
    let bad = |problem: String| {
        Error::bad_file(path, format!("not a complete safetensors file ({problem})"))
    };
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| bad(e.to_string()))?;
    let size = u64::from_le_bytes(length);
    if size > LARGEST_HEADER {
        return Err(bad(format!("its header claims {size} bytes")));
    }
    let mut bytes = Vec::new();
    let got = file.take(size).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if got as u64 != size {
        return Err(bad("it ends within the header".to_owned()));
    }
    parse_header(&bytes).map(|header| (header, size + 8)).map_err(bad)
}

/// A header's JSON, without the length before it. Deserialising checks that the tensors follow each
/// other without a gap.
///
/// # Errors
/// What is wrong with it.
pub fn parse_header(json: &[u8]) -> std::result::Result<Metadata, String> {
    serde_json::from_slice(json).map_err(|e| e.to_string())
}

//! The bytes of a checkpoint: tensors, a header of one key, and a digest of both.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Device;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tcmax_data::{file, hexadecimal};
use tcmax_ops::State;

use crate::error::at;
use crate::{Error, Result};

const HEADER_KEY: &str = "tcmax";
/// What comes before the digest in a file's header.
const BEFORE_DIGEST: &[u8] = br#""tcmax":"{\"sha256\":\""#;
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// The header of a checkpoint; the digest is first, where [`BEFORE_DIGEST`] finds it.
#[derive(Serialize, Deserialize)]
struct Sealed<H> {
    sha256: String,
    content: H,
}

/// Writes tensors and a header; the file appears only when it is complete.
///
/// # Errors
/// When the file cannot be written.
pub fn save<H: Serialize>(path: &Path, tensors: &State, header: &H) -> Result<()> {
    let header = Sealed { sha256: "0".repeat(DIGITS), content: header };
    let header = serde_json::to_string(&header)
        .map_err(|e| Error::bad_file(path, format!("cannot write the header: {e}")))?;
    let header = HashMap::from([(HEADER_KEY.to_owned(), header)]);
    let mut bytes = safetensors::serialize(tensors, Some(header))
        .map_err(|e| Error::bad_file(path, format!("cannot write the tensors: {e}")))?;
    seal(&mut bytes);
    write_whole(path, &bytes)
}

/// Writes a file beside its place and moves it there, so that a kill leaves the old one or the new.
///
/// # Errors
/// When the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(tcmax_data::write_whole(path, bytes)?)
}

/// Puts the digest of a checkpoint's bytes into its header; does nothing to other bytes.
pub fn seal(bytes: &mut [u8]) {
    if let Some(start) = digest_start(bytes) {
        let digest = digest_without(bytes, start);
        bytes[start..start + DIGITS].copy_from_slice(digest.as_bytes());
    }
}

/// Where the digest is.
fn digest_start(bytes: &[u8]) -> Option<usize> {
    let found = bytes.windows(BEFORE_DIGEST.len()).position(|window| window == BEFORE_DIGEST)?;
    let start = found + BEFORE_DIGEST.len();
    (start + DIGITS <= bytes.len()).then_some(start)
}

/// The digest of the bytes, with zeros where the digest is.
fn digest_without(bytes: &[u8], start: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..start]);
    hash.update([b'0'; DIGITS]);
    hash.update(&bytes[start + DIGITS..]);
    hexadecimal(&hash.finalize())
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// When the file is missing, truncated, changed, or not a checkpoint of this program.
pub fn load<H: DeserializeOwned>(path: &Path, device: &Device) -> Result<(State, H)> {
    parse(path, &read_file(path)?, device)
}

/// The bytes of a regular file; anything else might have no end.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    if !std::fs::metadata(path).map_err(at(path))?.is_file() {
        return Err(Error::bad_file(path, "not a file"));
    }
    std::fs::read(path).map_err(at(path))
}

/// Reads the bytes of a checkpoint; `path` is for messages.
///
/// # Errors
/// As [`load`].
pub fn parse<H: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    device: &Device,
) -> Result<(State, H)> {
    file::refuse_pointer(path, bytes)?;
    let broken = |e: &dyn std::fmt::Display| {
        Error::bad_file(path, format!("not a complete safetensors file ({e}); train it again"))
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
    let header = header.ok_or_else(|| {
        Error::bad_file(path, "not a checkpoint of tcmax: its header has no 'tcmax' entry")
    })?;
    check_digest(path, bytes, header)?;
    let header: Sealed<H> = serde_json::from_str(header).map_err(|e| {
        Error::bad_file(path, format!("its header is of another version of tcmax ({e})"))
    })?;
    let known = [Dtype::F32, Dtype::F64, Dtype::I64, Dtype::U32];
    let tensors = metadata.tensors();
    if let Some((name, info)) = tensors.iter().find(|(_, info)| !known.contains(&info.dtype)) {
        let problem = format!("tensor '{name}' has elements {:?}", info.dtype);
        return Err(Error::bad_file(path, problem));
    }
    let tensors = candle_core::safetensors::load_buffer(bytes, device).map_err(|e| broken(&e))?;
    Ok((tensors.into_iter().collect(), header.content))
}

fn check_digest(path: &Path, bytes: &[u8], header: &str) -> Result<()> {
    let (Some(start), true) = (digest_start(bytes), header.starts_with(r#"{"sha256":""#)) else {
        let problem = "it has no checksum: it is of another version of tcmax; train it again";
        return Err(Error::bad_file(path, problem));
    };
    if digest_without(bytes, start).as_bytes() != &bytes[start..start + DIGITS] {
        let problem = "it is damaged or was edited: its checksum is not that of its content; restore \
                       it from a copy, or train it again";
        return Err(Error::bad_file(path, problem));
    }
    Ok(())
}

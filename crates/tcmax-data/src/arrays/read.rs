//! Arrays from the bytes of a file, or from a file by its ending.

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor};
use std::path::Path;

use super::array::Array;
use super::{csv, npy, npz, safetensors};
use crate::error::{Error, Result};
use crate::file::{self, ending};
use crate::shards::header;

/// One array from the bytes of an npy file; `path` and `name` are for messages.
///
/// # Errors
/// When the bytes are not a whole npy file of numbers or words.
pub fn parse_npy(path: &Path, name: &str, bytes: &[u8]) -> Result<Array> {
    npy::read(path, name.to_owned(), &mut &bytes[..], bytes.len() as u64)
}

/// Every array from the bytes of an npz file; `path` is for messages.
///
/// # Errors
/// When the bytes are not a whole zip archive of npy files, a checksum is wrong, two arrays have one
/// name, or it unpacks to far more than its size.
pub fn parse_npz(path: &Path, bytes: &[u8]) -> Result<Vec<Array>> {
    npz::read(path, Cursor::new(bytes), bytes.len() as u64)
}

/// Every tensor from the bytes of a safetensors file, by name; `path` is for messages.
///
/// # Errors
/// When the bytes are not a whole safetensors file, or a tensor has a type that is not read.
pub fn parse_safetensors(path: &Path, bytes: &[u8]) -> Result<Vec<Array>> {
    Ok(safetensors::read(path, Cursor::new(bytes), bytes.len() as u64)?.0)
}

/// Every column of a CSV file's bytes; `path` is for messages. In files that end in `.tsv` tabs
/// separate the cells, in others commas, semicolons or tabs, as the first line shows.
///
/// # Errors
/// When the bytes are not text, there is no row, or rows differ in length.
pub fn parse_csv(path: &Path, bytes: &[u8]) -> Result<Vec<Array>> {
    csv::parse(path, bytes)
}

/// Reads every array of a file, by its ending: `.safetensors`, `.npy`, `.npz`, `.csv` or `.tsv`.
///
/// # Errors
/// When the file cannot be read, has another ending, or is not what its ending says.
pub fn read_arrays(path: &Path) -> Result<Vec<Array>> {
    Ok(read_with_metadata(path)?.0)
}

/// The names of the arrays in an `.npz` or `.safetensors` file, whose values are not read.
///
/// # Errors
/// When the file cannot be read, or is not what its ending says.
pub(crate) fn array_names(path: &Path) -> Result<Vec<String>> {
    let (bytes, _) = file::open(path, "")?;
    match ending(path).as_str() {
        "npz" => npz::names(path, bytes),
        _ => Ok(header(path)?.tensors().into_keys().collect()),
    }
}

/// As [`read_arrays`], with the metadata of a safetensors file.
pub(crate) fn read_with_metadata(path: &Path) -> Result<(Vec<Array>, BTreeMap<String, String>)> {
    let (bytes, length) = file::open(path, "")?;
    let mut metadata = BTreeMap::new();
    let arrays = match ending(path).as_str() {
        "safetensors" => {
            let (arrays, found) = safetensors::read(path, BufReader::new(bytes), length)?;
            metadata = found;
            arrays
        }
        "npy" => {
            let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into());
            vec![npy::read(path, name, &mut BufReader::new(bytes), length)?]
        }
        "npz" => npz::read(path, BufReader::new(bytes), length)?,
        "csv" | "tsv" => parse_csv(path, &file::read(path, "")?)?,
        _ => {
            let problem = "unknown kind of file; give .safetensors, .npy, .npz, .csv or .tsv";
            return Err(Error::bad_file(path, problem));
        }
    };
    if arrays.is_empty() {
        return Err(Error::bad_file(path, "there is no array in it"));
    }
    Ok((arrays, metadata))
}

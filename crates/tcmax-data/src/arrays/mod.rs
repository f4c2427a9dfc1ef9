//! Named arrays of numbers from files of others: safetensors, NumPy's npy and npz, CSV.
//!
//! Every array comes out as N rows of D numbers; further dimensions are laid side by side. What the
//! numbers mean (a label, a variable of several columns) is for the caller to say.
//!
//! Whatever the bytes of a file, memory stays within a few times what they describe: sizes are checked
//! against the length of the file before anything is allocated, and values are converted as they are
//! read.

mod csv;
mod npy;
mod npz;
mod safetensors;
mod values;

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor};
use std::path::Path;

use crate::csv_records::delimiter;
use crate::own::media_file;
use crate::words::{Words, WordsBuilder};
use crate::{Error, Result};

pub use values::Values;

/// What the file says of an array's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayKind {
    /// Numbers with a fraction.
    Real,
    /// Whole numbers or truth values.
    Integer,
    /// Words; the values are their indices into the distinct words, sorted.
    Text,
}

/// One array of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The name in the file; of an npy file the file's own, of CSV the column's.
    pub name: String,
    /// What the file says of its values.
    pub kind: ArrayKind,
    /// Dimensions of one row; empty for one number a row.
    pub shape: Vec<usize>,
    /// Columns D, the product of `shape`.
    pub width: usize,
    /// N x D values, row by row. Missing CSV cells are NaN.
    pub values: Values,
    /// The distinct words of [`ArrayKind::Text`], sorted; empty otherwise.
    pub words: Vec<String>,
    /// Why a CSV column that was read as words may be none: a few words among numbers, or too many
    /// different ones. To be asked before the array is used.
    pub doubt: Option<String>,
}

impl Array {
    /// The number of rows N.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Checks that the values make whole rows.
    fn new(
        path: &Path,
        name: String,
        kind: ArrayKind,
        shape: &[usize],
        values: Values,
    ) -> Result<Self> {
        let Some((&rows, rest)) = shape.split_first() else {
            return Err(Error::bad_file(
                path,
                format!("'{name}' is a single number, not an array"),
            ));
        };
        let width = rest.iter().product();
        if width == 0 || rows == 0 {
            return Err(Error::bad_file(
                path,
                format!("'{name}' is empty: its shape is {shape:?}"),
            ));
        }
        let shape = rest.to_vec();
        Ok(Self { name, kind, shape, width, values, words: Vec::new(), doubt: None })
    }

    /// An array of one word a row.
    fn of_words(path: &Path, name: String, words: WordsBuilder) -> Result<Self> {
        let Words { names, codes } = words.finish();
        let rows = codes.len();
        let values = if names.len() < 1 << f32::MANTISSA_DIGITS {
            Values::F32(codes.into_iter().map(|code| code as f32).collect())
        } else {
            Values::F64(codes.into_iter().map(f64::from).collect())
        };
        Ok(Self { words: names, ..Self::new(path, name, ArrayKind::Text, &[rows], values)? })
    }
}

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
    csv::parse(path, bytes, delimiter(&ending(path), bytes))
}

/// Reads every array of a file, told by its ending: `.safetensors`, `.npy`, `.npz`, `.csv` or `.tsv`.
///
/// # Errors
/// When the file cannot be read, has another ending, or is not what its ending says.
pub fn read_arrays(path: &Path) -> Result<Vec<Array>> {
    Ok(read_with_metadata(path)?.0)
}

/// As [`read_arrays`], with the metadata of a safetensors file.
pub(crate) fn read_with_metadata(path: &Path) -> Result<(Vec<Array>, BTreeMap<String, String>)> {
    let (file, length) = media_file::open(path, "")?;
    let mut metadata = BTreeMap::new();
    let arrays = match ending(path).as_str() {
        "safetensors" => {
            let (arrays, found) = safetensors::read(path, BufReader::new(file), length)?;
            metadata = found;
            arrays
        }
        "npy" => {
            let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into());
            vec![npy::read(path, name, &mut BufReader::new(file), length)?]
        }
        "npz" => npz::read(path, BufReader::new(file), length)?,
        "csv" | "tsv" => parse_csv(path, &media_file::read(path, "")?)?,
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

fn ending(path: &Path) -> String {
    path.extension().map_or_else(String::new, |ending| ending.to_string_lossy().to_lowercase())
}

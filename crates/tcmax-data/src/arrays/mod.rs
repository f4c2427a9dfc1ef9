//! Named arrays of numbers from files of others: safetensors, NumPy's npy and npz, CSV.
//!
//! Every array comes out as N rows of D numbers in f64; further dimensions are laid side by side. What
//! the numbers mean (a label, a variable of several columns) is for the caller to say.

mod csv;
mod npy;
mod npz;

use std::path::Path;

use candle_core::{DType, Device};

use crate::error::at;
use crate::{Error, Result};

/// What the file says of an array's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayKind {
    /// Numbers with a fraction.
    Real,
    /// Whole numbers or truth values.
    Integer,
    /// Words; the values are their places among the distinct words, sorted.
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
    pub values: Vec<f64>,
    /// The distinct words of [`ArrayKind::Text`], sorted; empty otherwise.
    pub words: Vec<String>,
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
        values: Vec<f64>,
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
        Ok(Self { name, kind, shape: rest.to_vec(), width, values, words: Vec::new() })
    }

    /// An array of one word a row.
    fn of_words(path: &Path, name: String, cells: &[String]) -> Result<Self> {
        let mut words = cells.to_vec();
        words.sort();
        words.dedup();
        let place = |cell: &String| words.partition_point(|word| word < cell) as f64;
        let values = cells.iter().map(place).collect();
        Ok(Self { words, ..Self::new(path, name, ArrayKind::Text, &[cells.len()], values)? })
    }
}

/// One array from the bytes of an npy file; `path` and `name` are for messages.
///
/// # Errors
/// When the bytes are not a whole npy file of numbers or words.
pub fn parse_npy(path: &Path, name: &str, bytes: &[u8]) -> Result<Array> {
    npy::parse(path, name.to_owned(), bytes)
}

/// Reads every array of a file, told by its ending: `.safetensors`, `.npy`, `.npz`, `.csv` or `.tsv`.
///
/// # Errors
/// When the file cannot be read, has another ending, or is not what its ending says.
pub fn read_arrays(path: &Path) -> Result<Vec<Array>> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    if !path.exists() {
        let mend = "check the path".to_owned();
        return Err(Error::Missing { path: path.to_owned(), mend });
    }
    let arrays = match ending.as_deref() {
        Some("safetensors") => safetensors(path)?,
        Some("npy") => {
            let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into());
            vec![npy::parse(path, name, &std::fs::read(path).map_err(at(path))?)?]
        }
        Some("npz") => npz::read(path)?,
        Some("csv") => csv::parse(path, &read_text(path)?, b',')?,
        Some("tsv") => csv::parse(path, &read_text(path)?, b'\t')?,
        _ => {
            let problem = "unknown kind of file; give .safetensors, .npy, .npz, .csv or .tsv";
            return Err(Error::bad_file(path, problem));
        }
    };
    if arrays.is_empty() {
        return Err(Error::bad_file(path, "there is no array in it"));
    }
    Ok(arrays)
}

fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    String::from_utf8(bytes).map_err(|_| Error::bad_file(path, "the text is not UTF-8"))
}

fn safetensors(path: &Path) -> Result<Vec<Array>> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)
        .map_err(|e| Error::bad_file(path, format!("not a readable safetensors file: {e}")))?;
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let array = |name: &String| {
        let tensor = &tensors[name];
        let kind = if tensor.dtype().is_float() { ArrayKind::Real } else { ArrayKind::Integer };
        let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Array::new(path, name.clone(), kind, tensor.dims(), values)
    };
    names.into_iter().map(array).collect()
}

//! One array of a file.

use std::path::Path;

use super::values::Values;
use crate::error::{Error, Result};
use crate::words::{Words, WordsBuilder};

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
    /// Dimensions of one row; empty for one number per row.
    pub shape: Vec<usize>,
    /// Columns D, the product of `shape`.
    pub width: usize,
    /// N x D values, row by row. Missing CSV cells are NaN.
    pub values: Values,
    /// The distinct words of [`ArrayKind::Text`], sorted; empty otherwise.
    pub words: Vec<String>,
    /// Why a CSV column that was read as words may not be one: a few words among numbers, or too many
    /// different ones. Check it before using the array.
    pub doubt: Option<String>,
}

impl Array {
    /// The number of rows N.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Checks that the values make whole rows.
    pub(super) fn new(
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

    /// An array of one word per row.
    pub(super) fn of_words(path: &Path, name: String, words: WordsBuilder) -> Result<Self> {
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

/// The number of values of a shape; `None` where it, or that of any of its slices, is beyond counting: a
/// dimension of 0 hides no others.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size.max(1)))?;
    Some(shape.iter().product())
}

//! Named arrays of numbers from files that others wrote: safetensors, NumPy's npy and npz, CSV.
//!
//! Every array comes out as N rows of D numbers; further dimensions are flattened. What the
//! numbers mean (a label, a variable of several columns) is up to the caller.
//!
//! Whatever the bytes of a file, memory stays within a few times what they describe: sizes are checked
//! against the length of the file before anything is allocated, and values are converted as they are
//! read.

mod array;
mod csv;
mod npy;
mod npz;
mod read;
mod safetensors;
mod values;

pub use crate::words::is_missing;
pub use array::{Array, ArrayKind};
pub(crate) use read::{array_names, read_with_metadata};
pub use read::{parse_csv, parse_npy, parse_npz, parse_safetensors, read_arrays};
pub use values::Values;

//! Numbers of files in the smaller of two types that holds them exactly.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Numbers as 32-bit floats where these hold every value of the file's type, otherwise as 64-bit ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// From 8- and 16-bit numbers, truth values and 32-bit floats.
    F32(Vec<f32>),
    /// From all others.
    F64(Vec<f64>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index`; panics when there is none, as slices do.
    pub fn get(&self, index: usize) -> f64 {
        match self {
            Self::F32(values) => f64::from(values[index]),
            Self::F64(values) => values[index],
        }
    }

    /// All values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The values as 32-bit floats, rounded to the nearest.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        }
    }
}

/// A type of numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Bool,
    Unsigned(usize),
    Signed(usize),
    /// IEEE floats.
    Float(usize),
    BFloat16,
}

/// Bytes converted at a time: a multiple of every number's size.
const CHUNK: usize = 1 << 16;

impl Number {
    /// Bytes of one.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::BFloat16 => 2,
            Self::Unsigned(size) | Self::Signed(size) | Self::Float(size) => size,
        }
    }

    pub(super) fn is_real(self) -> bool {
        matches!(self, Self::Float(_) | Self::BFloat16)
    }

    fn fits_f32(self) -> bool {
        self.size() <= 2 || self == Self::Float(4)
    }

    /// The value of some little-endian bits.
    fn value(self, bits: u64) -> f64 {
        match self {
            Self::Bool => f64::from(u8::from(bits != 0)),
            Self::Unsigned(_) => bits as f64,
            // Shift the sign to the top and back.
            Self::Signed(size) => ((bits << (64 - 8 * size)) as i64 >> (64 - 8 * size)) as f64,
            Self::Float(2) => half::f16::from_bits(bits as u16).to_f64(),
            Self::Float(4) => f64::from(f32::from_bits(bits as u32)),
            Self::Float(_) => f64::from_bits(bits),
            Self::BFloat16 => half::bf16::from_bits(bits as u16).to_f64(),
        }
    }

    /// Reads `count` numbers. The caller has checked that so many are there.
    pub(super) fn read(
        self,
        path: &Path,
        name: &str,
        reader: &mut dyn Read,
        count: usize,
        big_endian: bool,
    ) -> Result<Values> {
        let mut values = if self.fits_f32() {
            Values::F32(with_room(path, name, count)?)
        } else {
            Values::F64(with_room(path, name, count)?)
        };
        let size = self.size();
        let mut buffer = vec![0; CHUNK.min(count * size)];
        let mut left = count * size;
        while left > 0 {
            let bytes = &mut buffer[..left.min(CHUNK)];
            reader.read_exact(bytes).map_err(|e| ends_early(path, name, &e))?;
            left -= bytes.len();
            let numbers = bytes.chunks_exact(size).map(|bytes| {
                let mut raw = [0u8; 8];
                raw[..size].copy_from_slice(bytes);
                if big_endian {
                    raw[..size].reverse();
                }
                self.value(u64::from_le_bytes(raw))
            });
            match &mut values {
                Values::F32(values) => values.extend(numbers.map(|number| number as f32)),
                Values::F64(values) => values.extend(numbers),
            }
        }
        Ok(values)
    }
}

pub(super) fn ends_early(path: &Path, name: &str, error: &std::io::Error) -> Error {
    Error::bad_file(path, format!("'{name}': the file ends early or cannot be read ({error})"))
}

/// An empty vector with room for `count` values.
pub(super) fn with_room<T>(path: &Path, name: &str, count: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| {
        Error::bad_file(path, format!("'{name}': its {count} values do not fit into memory"))
    })?;
    Ok(values)
}

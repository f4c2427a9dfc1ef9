//! Safetensors files that others wrote: a header in JSON, then the bytes of the tensors.
//!
//! The header is read by a visitor written here: that of the `safetensors` crate keeps the JSON in memory
//! as a tree, at 50 bytes per byte, and only then sees that it does not describe tensors. Source of the format:
//! the README of `safetensors`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::array::{Array, ArrayKind, elements};
use super::values::Number;
use crate::error::{Error, Result};

/// A tensor of the published models has a hundred bytes of header.
const LARGEST_HEADER: u64 = 32 << 20;
const MOST_DIMENSIONS: usize = 64;

/// What a header says.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// The entry `__metadata__`.
    pub(crate) metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Info>,
}

#[derive(Debug)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    offsets: [u64; 2],
}

/// Every tensor of `length` bytes of safetensors, by name, and the header's metadata.
pub(super) fn read(
    path: &Path,
    mut file: impl Read + Seek,
    length: u64,
) -> Result<(Vec<Array>, BTreeMap<String, String>)> {
    let bad = |problem: String| {
        Error::bad_file(path, format!("not a readable safetensors file: {problem}"))
    };
    let (header, start) = header(&mut file, length).map_err(bad)?;
    let mut arrays = Vec::with_capacity(header.tensors.len());
    for (name, info) in header.tensors {
        let number = number(&info.dtype).ok_or_else(|| {
            Error::bad_file(
                path,
                format!(
                    "'{name}' has values of type {}, which are not supported; save it as F32 (in \
                     PyTorch, tensor.float())",
                    info.dtype
                ),
            )
        })?;
        let count = count(&info, number).ok_or_else(|| {
            bad(format!("shape {:?} of '{name}' does not fit its bytes", info.shape))
        })?;
        file.seek(SeekFrom::Start(start + info.offsets[0])).map_err(Error::io(path))?;
        let values = number.read(path, &name, &mut file, count, false)?;
        let kind = if number.is_real() { ArrayKind::Real } else { ArrayKind::Integer };
        arrays.push(Array::new(path, name, kind, &info.shape, values)?);
    }
    Ok((arrays, header.metadata))
}

/// The header and where the tensors begin; all of them are inside the file and none overlap.
fn header(file: &mut impl Read, length: u64) -> std::result::Result<(Header, u64), String> {
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| "it ends within the header".to_owned())?;
    let size = u64::from_le_bytes(size);
    if size > length.saturating_sub(8) {
        return Err("it ends within the header".to_owned());
    }
    if size > LARGEST_HEADER {
        return Err(format!("its header has {size} bytes, more than {LARGEST_HEADER}"));
    }
    let mut json = vec![0; size as usize];
    file.read_exact(&mut json).map_err(|e| e.to_string())?;
    let header: Header = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
    let start = size + 8;
    let mut offsets: Vec<[u64; 2]> = header.tensors.values().map(|info| info.offsets).collect();
    offsets.sort_unstable();
    let mut end = 0;
    for [from, to] in offsets {
        if from != end || to < from {
            return Err("its tensors do not follow each other".to_owned());
        }
        end = to;
    }
    if start.checked_add(end) != Some(length) {
        return Err(format!("its tensors end at {end}, but {} bytes are there", length - start));
    }
    Ok((header, start))
}

/// Numbers in a tensor, if its shape fits its bytes.
fn count(info: &Info, number: Number) -> Option<usize> {
    let count = elements(&info.shape)?;
    let bytes = count.checked_mul(number.size())? as u64;
    (info.offsets[1] - info.offsets[0] == bytes).then_some(count)
}

fn number(dtype: &str) -> Option<Number> {
    Some(match dtype {
        "BOOL" => Number::Bool,
        "U8" => Number::Unsigned(1),
        "U16" => Number::Unsigned(2),
        "U32" => Number::Unsigned(4),
        "U64" => Number::Unsigned(8),
        "I8" => Number::Signed(1),
        "I16" => Number::Signed(2),
        "I32" => Number::Signed(4),
        "I64" => Number::Signed(8),
        "F16" => Number::Float(2),
        "BF16" => Number::BFloat16,
        "F32" => Number::Float(4),
        "F64" => Number::Float(8),
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if std::mem::replace(&mut seen_metadata, true) {
                    return Err(de::Error::custom("two tables of metadata"));
                }
                header.metadata = map.next_value()?;
                continue;
            }
            let info = map.next_value::<Info>()?;
            if header.tensors.contains_key(&name) {
                return Err(de::Error::custom(format!("two tensors are called '{name}'")));
            }
            header.tensors.insert(name, info);
        }
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Info {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            dtype: String,
            shape: Sizes,
            data_offsets: [u64; 2],
        }
        let Fields { dtype, shape, data_offsets } = Fields::deserialize(deserializer)?;
        Ok(Self { dtype, shape: shape.0, offsets: data_offsets })
    }
}

/// A shape of a bounded number of dimensions.
struct Sizes(Vec<usize>);

impl<'de> Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(SizesVisitor)
    }
}

struct SizesVisitor;

impl<'de> Visitor<'de> for SizesVisitor {
    type Value = Sizes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {MOST_DIMENSIONS} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Sizes, A::Error> {
        let mut sizes = Vec::new();
        while let Some(size) = seq.next_element()? {
            if sizes.len() == MOST_DIMENSIONS {
                return Err(de::Error::invalid_length(sizes.len() + 1, &self));
            }
            sizes.push(size);
        }
        Ok(Sizes(sizes))
    }
}

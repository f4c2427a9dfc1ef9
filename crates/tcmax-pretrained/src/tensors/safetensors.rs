//! The safetensors format: a table as JSON, then the numbers.

use std::collections::BTreeMap;
use std::io::{Read, SeekFrom};
use std::path::Path;

use candle_core::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::bytes::{Bytes, Entries, room};
use crate::error::{Error, Result};

/// Most bytes of a table, as the format says.
const LARGEST_TABLE: u64 = 100_000_000;

/// Where a tensor's bytes are.
struct Span {
    start: u64,
    length: u64,
    dtype: DType,
}

pub(super) struct File {
    bytes: Box<dyn Bytes>,
    spans: BTreeMap<String, Span>,
}

/// Reads the table of a file of `length` bytes.
pub(super) fn open(path: &Path, mut bytes: Box<dyn Bytes>, length: u64) -> Result<(File, Entries)> {
    let bad = |problem: String| Error::bad_file(path, problem);
    let mut word = [0; 8];
    let is_word = bytes.read_exact(&mut word).is_ok();
    let table = u64::from_le_bytes(word);
    let unknown = "it is neither a safetensors file nor a PyTorch archive; name a file of weights";
    if !is_word || table > LARGEST_TABLE {
        return Err(bad(unknown.to_owned()));
    }
    if table > length - 8 {
        return Err(bad(format!("{unknown}, or fetch it again if it was cut off")));
    }
    let mut text = room(path, table)?;
    bytes.by_ref().take(table).read_to_end(&mut text).map_err(Error::io(path))?;
    if text.first() != Some(&b'{') {
        return Err(bad(unknown.to_owned()));
    }
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("its table is damaged ({error}); fetch it again")))?;
    let (wanted, there) = (metadata.data_len() as u64, length - 8 - table);
    if wanted != there {
        let problem = format!(
            "it holds {there} bytes of tensors where its table says {wanted}; it was cut off or changed, \
             fetch it again"
        );
        return Err(bad(problem));
    }
    let (mut spans, mut entries) = (BTreeMap::new(), Entries::new());
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        let dtype = candle_type(info.dtype);
        let problem = match dtype {
            Some(dtype) => {
                let start = 8 + table + start as u64;
                let length = end as u64 + 8 + table - start;
                spans.insert(name.clone(), Span { start, length, dtype });
                None
            }
            None => Some(format!("its type {:?} cannot be read; convert it", info.dtype)),
        };
        entries.insert(name, (info.shape.clone(), problem));
    }
    Ok((File { bytes, spans }, entries))
}

impl File {
    pub(super) fn read(&mut self, path: &Path, name: &str) -> Result<(Vec<u8>, DType)> {
        let span = &self.spans[name];
        let mut bytes = room(path, span.length)?;
        self.bytes.seek(SeekFrom::Start(span.start)).map_err(Error::io(path))?;
        let count = self.bytes.by_ref().take(span.length).read_to_end(&mut bytes);
        if count.map_err(Error::io(path))? as u64 != span.length {
            return Err(Error::bad_file(path, format!("it ends within tensor '{name}'")));
        }
        Ok((bytes, span.dtype))
    }
}

fn candle_type(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        // Truth values are bytes of 0 and 1.
        Dtype::U8 | Dtype::BOOL => DType::U8,
        Dtype::U32 => DType::U32,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

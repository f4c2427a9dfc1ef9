//! Writing shards.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, TensorView};

use super::header::header_and_length;
use crate::error::{Error, Result};
use crate::whole::write_whole;

/// The only entry of the header beside the tensors: the order of several would be random.
const NOTE: &str = "tcmax";

/// The tensors of one clip, by modality.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Its name.
    pub id: String,
    /// Modality names and tensors; an absent modality has none.
    pub tensors: Vec<(String, ClipTensor)>,
}

/// One tensor of a clip.
#[derive(Clone, Debug, PartialEq)]
pub enum ClipTensor {
    /// Numbers of a shape.
    Values(Vec<usize>, Vec<f32>),
    /// Numbers of a shape, stored with 16 bits.
    Halves(Vec<usize>, Vec<f32>),
    /// Bytes of shape (frames, height, width, channels).
    Pixels([usize; 4], Vec<u8>),
}

/// The file name of shard `index`.
pub fn shard_name(index: usize) -> String {
    format!("shard-{index:05}.safetensors")
}

/// The number of the shard that is called `name`, if a shard is.
///
/// ```
/// use tcmax_data::shards::{shard_index, shard_name};
///
/// assert_eq!(shard_index(&shard_name(12)), Some(12));
/// assert_eq!(shard_index("model.safetensors"), None);
/// ```
pub fn shard_index(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("shard-")?.strip_suffix(".safetensors")?;
    let index = digits.parse().ok()?;
    (shard_name(index) == name).then_some(index)
}

/// Writes a shard whole. The same clips and note give the same bytes.
///
/// # Errors
/// When a tensor's bytes do not fit its shape or the file cannot be written.
pub fn write_shard(path: &Path, clips: Vec<Clip>, note: &str) -> Result<()> {
    let mut bytes: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for clip in clips {
        for (modality, tensor) in clip.tensors {
            let name = tensor_name(&clip.id, &modality);
            bytes.push(match tensor {
                ClipTensor::Values(shape, values) => {
                    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    (name, Dtype::F32, shape, raw)
                }
                ClipTensor::Halves(shape, values) => {
                    let half = |&value: &f32| f16::from_f32(value).to_le_bytes();
                    (name, Dtype::F16, shape, values.iter().flat_map(half).collect())
                }
                ClipTensor::Pixels(shape, raw) => (name, Dtype::U8, shape.to_vec(), raw),
            });
        }
    }
    let bad = |e: safetensors::SafeTensorError| Error::bad_file(path, e.to_string());
    let mut views = Vec::with_capacity(bytes.len());
    for (name, dtype, shape, raw) in &bytes {
        views.push((name.as_str(), TensorView::new(*dtype, shape.clone(), raw).map_err(bad)?));
    }
    let note = HashMap::from([(NOTE.to_owned(), note.to_owned())]);
    let whole = safetensors::serialize(views, Some(note)).map_err(bad)?;
    write_whole(path, &whole)
}

/// The note in a shard's header.
///
/// # Errors
/// When the file is not a complete shard.
pub fn read_note(path: &Path) -> Result<String> {
    let (header, start) = header_and_length(path)?;
    let wanted = start + header.data_len() as u64;
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length != wanted {
        let problem = format!("{length} bytes instead of {wanted}; delete it and prepare again");
        return Err(Error::bad_file(path, problem));
    }
    let note = header.metadata().as_ref().and_then(|metadata| metadata.get(NOTE)).cloned();
    note.ok_or_else(|| Error::bad_file(path, "this is not a shard of `tcmax prepare`"))
}

/// How a clip's tensor of a modality is called.
pub(super) fn tensor_name(id: &str, modality: &str) -> String {
    format!("{id}/{modality}")
}

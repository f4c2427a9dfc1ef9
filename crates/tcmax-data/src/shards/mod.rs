//! Prepared clips on disk: shards, a manifest and a description.
//!
//! ```text
//! dataset.json          what it is, the modalities, the shards with their checksums; written last
//! clips.csv             a line a clip: id, split, label, group, shard, sources, their SHA-256
//! skipped.csv           what was left out or kept in part, and why
//! shard-00000.safetensors ...   tensors `ID/MODALITY`, so many clips a file
//! ```
//!
//! Safetensors, because a tensor's place in the file is known from the header alone (one positional
//! read a tensor, nothing to decode, the system's cache does the rest), Python reads it with one
//! call, and frames of different sizes stand side by side. An absent tensor is an absent modality.
//!
//! Opening compares `clips.csv` with its checksum, so that edited labels do not go unnoticed, and the
//! lengths of shards; [`verify`], which `tcmax inspect` calls, compares the shards' checksums too.

mod checksum;
mod clip_manifest;
mod description;
mod prepared;
mod read_at;
mod view;
mod writer;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::error::at;
use crate::{Error, Result};

pub use checksum::{sha256_of, sha256_of_file, verify};
pub use clip_manifest::{
    ClipRow, MANIFEST_FILE, SKIPPED_FILE, SkippedClip, parse_rows, read_rows, skipped_csv,
    write_rows,
};
pub use description::{Augment, Description, PartCount, ShardEntry, Storage, StoredModality};
pub use prepared::Prepared;
pub use view::{normalisation, random_view};
pub use writer::{Clip, ClipTensor, read_note, shard_index, shard_name, write_shard};

/// Headers beyond this are refused: a shard of a thousand clips has some hundred kilobytes.
const LARGEST_HEADER: u64 = 100 << 20;

/// The header of a safetensors file, without its tensors.
///
/// # Errors
/// When the file cannot be read or has no valid header.
pub fn header(path: &Path) -> Result<Metadata> {
    Ok(header_and_length(path)?.0)
}

/// The header, and the place where tensors begin.
fn header_and_length(path: &Path) -> Result<(Metadata, u64)> {
    let bad = |problem: String| {
        Error::bad_file(path, format!("not a complete safetensors file ({problem})"))
    };
    let mut file = File::open(path).map_err(at(path))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| bad(e.to_string()))?;
    let size = u64::from_le_bytes(length);
    if size > LARGEST_HEADER {
        return Err(bad(format!("its header claims {size} bytes")));
    }
    let mut bytes = Vec::new();
    let got = file.take(size).read_to_end(&mut bytes).map_err(at(path))?;
    if got as u64 != size {
        return Err(bad("it ends within the header".to_owned()));
    }
    parse_header(&bytes).map(|header| (header, size + 8)).map_err(bad)
}

/// A header's JSON, without the length before it. Deserialising checks that the tensors' places follow each other without a gap.
///
/// # Errors
/// What is wrong with it.
pub fn parse_header(json: &[u8]) -> std::result::Result<Metadata, String> {
    serde_json::from_slice(json).map_err(|e| e.to_string())
}

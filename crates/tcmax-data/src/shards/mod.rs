//! Prepared clips on disk: shards, a manifest and a description.
//!
//! ```text
//! dataset.json          what it is, the modalities, the shards with their checksums; written last
//! clips.csv             one line per clip: id, split, label, group, shard, sources, their SHA-256
//! skipped.csv           what was left out or kept in part, and why
//! shard-00000.safetensors ...   tensors `ID/MODALITY`, a fixed number of clips per file
//! ```
//!
//! Safetensors, because the offset of a tensor is known from the header alone (one positional read per
//! tensor, nothing to decode, the system's cache does the rest), Python reads it with one call, and
//! frames may differ in size. An absent tensor is an absent modality.
//!
//! Opening compares `clips.csv` with its checksum, so that edited labels do not go unnoticed, and the
//! lengths of shards; [`verify`], which `tcmax inspect` calls, compares the shards' checksums too.

mod clip_manifest;
mod description;
mod header;
mod prepared;
mod read_at;
mod verify;
mod view;
mod writer;

pub use clip_manifest::{
    ClipRow, MANIFEST_FILE, SKIPPED_FILE, SkippedClip, parse_rows, read_rows, skipped_csv,
    write_rows,
};
pub use description::{
    Augment, Description, PREPARED_FILE, ShardEntry, SplitCount, Storage, StoredModality,
};
pub use header::{header, parse_header};
pub use prepared::Prepared;
pub use verify::verify;
pub use view::{View, normalisation};
pub use writer::{Clip, ClipTensor, read_note, shard_index, shard_name, write_shard};

//! `clips.csv`: one line per clip.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::description::PREPARED_FILE;
use crate::digest::sha256_of;
use crate::error::{Error, Result};
use crate::identity::identity_of;
use crate::split::Split;

/// The name of the manifest in a folder of shards; not `manifest.csv`, which names media.
pub const MANIFEST_FILE: &str = "clips.csv";
/// The name of the list of what was left out or kept in part.
pub const SKIPPED_FILE: &str = "skipped.csv";

/// A clip and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipRow {
    /// Its name, unlike any other's.
    pub id: String,
    /// Its split, where the data have a split of their own.
    pub split: Option<Split>,
    /// Its class.
    pub label: String,
    /// What a split by group keeps together: speaker, source video.
    pub group: String,
    /// The shard that holds it, counted from 0.
    pub shard: usize,
    /// The files it was made of, relative to the root, separated by `;`.
    pub source: String,
    /// SHA-256 of each of them, separated by `;`.
    pub sha256: String,
}

impl ClipRow {
    /// What identifies the clip wherever it is stored: its name and the digests of its files.
    pub(crate) fn identity(&self) -> u64 {
        identity_of(&[b"clip", self.id.as_bytes(), self.sha256.as_bytes()])
    }
}

/// Rows as CSV with a header.
pub fn write_rows(rows: &[ClipRow]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // Writing plain strings into memory does not fail.
        let written = writer.serialize(row);
        debug_assert!(written.is_ok());
    }
    writer.into_inner().unwrap_or_default()
}

/// A clip that could not be made whole: it was left out, or kept without some modalities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedClip {
    /// Its name.
    pub id: String,
    /// Its split, where the data have a split of their own.
    pub split: Option<Split>,
    /// Whether it was kept, without the modalities of the reason.
    pub kept: bool,
    /// What is wrong, by modality.
    pub reason: String,
}

/// What was left out or kept in part, as CSV with a header: id, split, kept and reason.
pub fn skipped_csv(skipped: &[SkippedClip]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if skipped.is_empty() {
        let _ = writer.write_record(["id", "split", "kept", "reason"]);
    }
    for clip in skipped {
        // Writing plain strings into memory does not fail.
        let written = writer.serialize(clip);
        debug_assert!(written.is_ok());
    }
    writer.into_inner().unwrap_or_default()
}

/// Reads the rows of a manifest whose bytes have the SHA-256 `sha256`, as its description says.
///
/// # Errors
/// When the file cannot be read, was changed after it was written, or a line is not as [`write_rows`]
/// writes it.
pub fn read_rows(path: &Path, sha256: &str) -> Result<Vec<ClipRow>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    if sha256_of(&bytes) != sha256 {
        let problem = format!(
            "it was changed after `tcmax prepare` wrote it: its SHA-256 is not the one in \
             {PREPARED_FILE}; run the same `tcmax prepare` again, which restores it, and change labels \
             or splits in the lists or the manifest that the clips are made from"
        );
        return Err(Error::bad_file(path, problem));
    }
    parse_rows(&bytes[..]).map_err(|problem| Error::bad_file(path, problem))
}

/// Reads rows from CSV text.
///
/// # Errors
/// The first line that is wrong.
pub fn parse_rows(reader: impl std::io::Read) -> std::result::Result<Vec<ClipRow>, String> {
    let mut reader = csv::Reader::from_reader(reader);
    reader.deserialize().collect::<csv::Result<_>>().map_err(|e| e.to_string())
}

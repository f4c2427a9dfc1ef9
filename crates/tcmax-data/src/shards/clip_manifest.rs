//! `clips.csv`: a line a clip.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::at;
use crate::own::partition::Part;
use crate::{Error, Result};

/// The name of the manifest in a folder of shards; not `manifest.csv`, which names media.
pub const MANIFEST_FILE: &str = "clips.csv";
/// The name of the list of what was left out.
pub const SKIPPED_FILE: &str = "skipped.csv";

/// A clip and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipRow {
    /// Its name, unlike any other's.
    pub id: String,
    /// Its part, where the data have a split of their own.
    pub split: Option<Part>,
    /// Its class.
    pub label: String,
    /// What must not be in two parts of a group-disjoint split: speaker, source video.
    pub group: String,
    /// The shard that holds it, counted from 0.
    pub shard: usize,
    /// The files it was made of, relative to the root, separated by `;`.
    pub source: String,
    /// SHA-256 of each of them, separated by `;`.
    pub sha256: String,
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

/// What was left out, as CSV with a header: id and reason.
pub fn skipped_csv(skipped: &[(String, String)]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let _ = writer.write_record(["id", "reason"]);
    for (id, reason) in skipped {
        let _ = writer.write_record([id, reason]);
    }
    writer.into_inner().unwrap_or_default()
}

/// Reads the rows of a manifest.
///
/// # Errors
/// When the file cannot be read or a line is not as [`write_rows`] writes it.
pub fn read_rows(path: &Path) -> Result<Vec<ClipRow>> {
    let file = std::fs::File::open(path).map_err(at(path))?;
    parse_rows(std::io::BufReader::new(file)).map_err(|problem| Error::bad_file(path, problem))
}

/// Reads rows from CSV text.
///
/// # Errors
/// The first line that is wrong.
pub fn parse_rows(reader: impl std::io::Read) -> std::result::Result<Vec<ClipRow>, String> {
    let mut reader = csv::Reader::from_reader(reader);
    reader.deserialize().collect::<csv::Result<_>>().map_err(|e| e.to_string())
}

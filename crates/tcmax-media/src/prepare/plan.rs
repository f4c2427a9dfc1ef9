//! What is to be made of which files.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tcmax_data::Place;
use tcmax_data::own::partition::Part;

use crate::recipe::Transform;

/// Everything that a preparation does, in a fixed order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The data set's name.
    pub name: String,
    /// The folder that sources start from.
    pub root: PathBuf,
    /// What is made of each clip.
    pub modalities: Vec<(String, Transform)>,
    /// The clips.
    pub items: Vec<Item>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// The manifest, if clips come from one: then whatever cannot be decoded is an error at its row.
    pub manifest: Option<PathBuf>,
}

/// One clip to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name, unlike any other's.
    pub id: String,
    /// Its part, where the lists say.
    pub part: Option<Part>,
    /// Its class.
    pub label: String,
    /// Its group.
    pub group: String,
    /// A source a modality.
    pub sources: Vec<Source>,
    /// Where it stands in its list.
    pub place: Place,
}

/// Where one modality of a clip comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file below the root.
    File(String),
    /// Words.
    Words(String),
    /// The clip does not have it.
    Absent,
    /// It should be there but is not, for this reason.
    Missing(String),
}

impl Plan {
    /// The recipe as text, for the description and for telling plans apart.
    pub fn recipe_text(&self) -> String {
        let lines = self.modalities.iter().map(|(name, transform)| {
            // Transforms are plain values; they always have a JSON form.
            format!("{name} = {}", serde_json::to_string(transform).unwrap_or_default())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// SHA-256 of all that decides the result but the files' content.
    pub fn digest(&self, shard_size: usize) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{}\n{shard_size}\n", self.name, self.recipe_text()));
        for item in &self.items {
            hash.update(format!("{item:?}\n"));
        }
        hexadecimal(&hash.finalize())
    }
}

impl Plan {
    /// As [`Plan::digest`], with the sizes and times of change of all files: when it is the same, the
    /// files very likely are.
    pub fn fingerprint(&self, shard_size: usize) -> String {
        let mut hash = Sha256::new();
        hash.update(self.digest(shard_size));
        let sources = self.items.iter().flat_map(|item| &item.sources);
        for source in sources {
            let Source::File(name) = source else { continue };
            let Ok(data) = std::fs::metadata(self.root.join(name)) else { continue };
            let changed = data.modified().ok();
            let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            hash.update(format!("{name} {} {changed:?}\n", data.len()));
        }
        hexadecimal(&hash.finalize())
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

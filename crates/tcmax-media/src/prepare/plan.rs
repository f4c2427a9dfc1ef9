//! What is to be made of which files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tcmax_data::{Position, Split, sha256_of};

use super::options::PrepareOptions;
use crate::decode::ffmpeg_version;
use crate::error::{Error, Result};
use crate::transform::Transform;

/// Raise it with every change after which the same files and recipe give other bytes, so that shards made
/// before and after do not mix.
const DECODING: u32 = 3;

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
    /// Its split, where the lists say.
    pub split: Option<Split>,
    /// Its class.
    pub label: String,
    /// Its group.
    pub group: String,
    /// One source per modality.
    pub sources: Vec<Source>,
    /// Where it is in its list.
    pub position: Position,
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

/// How a plan is carried out: what decides the bytes of shards beside the plan and the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Making {
    pub shard_size: usize,
    pub keep_partial: bool,
    pub skip_broken: bool,
    /// Programs and libraries that decode, with their versions.
    pub decoders: String,
}

impl Making {
    pub fn of(plan: &Plan, options: &PrepareOptions) -> Self {
        let PrepareOptions { shard_size, keep_partial, skip_broken } = *options;
        Self { shard_size, keep_partial, skip_broken, decoders: plan.decoders() }
    }

    /// The options and decoders in which `other` differs.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.shard_size != other.shard_size {
            differences.push(format!("`shard-size` {}", other.shard_size));
        }
        for (name, here, there) in [
            ("keep-partial", self.keep_partial, other.keep_partial),
            ("skip-broken", self.skip_broken, other.skip_broken),
        ] {
            if here != there {
                differences
                    .push(format!("{} `{name}`", if there { "option" } else { "no option" }));
            }
        }
        if self.decoders != other.decoders {
            differences.push(format!("{}, now there is {}", other.decoders, self.decoders));
        }
        differences
    }
}

/// The inverse of [`Plan::recipe_text`].
///
/// # Errors
/// When a line is not a name and a transform, or a number is out of range.
pub(super) fn parse_recipe_text(text: &str) -> Result<BTreeMap<String, Transform>> {
    let mut transforms = BTreeMap::new();
    for line in text.lines() {
        let wrong = |why: String| Error::option("recipe", format!("'{line}': {why}"));
        let Some((name, transform)) = line.split_once(" = {") else {
            return Err(wrong("not a name and a transform".to_owned()));
        };
        let transform: Transform =
            serde_json::from_str(&format!("{{{transform}")).map_err(|e| wrong(e.to_string()))?;
        transform.check(name)?;
        transforms.insert(name.to_owned(), transform);
    }
    Ok(transforms)
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

    /// SHA-256 of what is to be made: names, recipe, and every clip but for its files.
    pub fn digest(&self) -> String {
        let mut text = format!("{}\n{}\n", self.name, self.recipe_text());
        for Item { id, split, label, group, position, .. } in &self.items {
            text += &format!("{id:?} {split:?} {label:?} {group:?} {position:?}\n");
        }
        sha256_of(text.as_bytes())
    }

    /// SHA-256 of the files of some items: names and sizes, and what there is instead of files.
    pub fn files_digest(&self, items: &[Item]) -> String {
        let mut text = String::new();
        for source in items.iter().flat_map(|item| &item.sources) {
            text += &format!("{source:?} {:?}\n", self.metadata(source).map(|data| data.len()));
        }
        sha256_of(text.as_bytes())
    }

    /// SHA-256 of everything that decides the bytes of shards, with the times of change of all files
    /// for their content: when it is the same, the shards very likely are.
    pub fn fingerprint(&self, options: &PrepareOptions) -> String {
        let mut text = format!("{}\n{:?}\n", self.digest(), Making::of(self, options));
        text += &self.files_digest(&self.items);
        for source in self.items.iter().flat_map(|item| &item.sources) {
            let changed = self.metadata(source).and_then(|data| data.modified().ok());
            let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            text += &format!("{changed:?}\n");
        }
        sha256_of(text.as_bytes())
    }

    fn metadata(&self, source: &Source) -> Option<std::fs::Metadata> {
        match source {
            Source::File(name) => std::fs::metadata(self.root.join(name)).ok(),
            _ => None,
        }
    }

    /// What decodes the plan's media, with versions.
    pub fn decoders(&self) -> String {
        let mut decoders = format!("tcmax {}.{DECODING}", env!("CARGO_PKG_VERSION"));
        if self.needs_ffmpeg() {
            let version = ffmpeg_version().unwrap_or_else(|_| "that is not installed".to_owned());
            decoders += &format!(", ffmpeg {version}");
        }
        decoders
    }

    /// Whether some file may go through the ffmpeg program.
    fn needs_ffmpeg(&self) -> bool {
        let is_wav = |source: &Source| match source {
            Source::File(name) => name.to_lowercase().ends_with(".wav"),
            _ => true,
        };
        self.modalities.iter().enumerate().any(|(m, (_, transform))| match transform {
            Transform::Frames { .. } | Transform::Flow { .. } | Transform::FlowFields { .. } => {
                true
            }
            Transform::Spectrogram { .. } | Transform::FilterBank { .. } => {
                !self.items.iter().all(|item| is_wav(&item.sources[m]))
            }
            Transform::Image { .. }
            | Transform::Text { .. }
            | Transform::Tokens { .. }
            | Transform::Features { .. } => false,
        })
    }
}

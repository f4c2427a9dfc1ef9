//! `dataset.json`: what a folder of shards is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dataset::{Modality, ModalityKind};
use crate::error::{Error, Result};
use crate::identity::identity_of;
use crate::split::Split;

/// The file that describes a folder of prepared clips, and marks it as one.
pub const PREPARED_FILE: &str = "dataset.json";

/// The version of the layout that is written and read.
const VERSION: u32 = 1;

/// What a folder of prepared clips is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// The layout's version.
    pub version: u32,
    /// The data set's name.
    pub name: String,
    /// The recipe, as it was applied.
    pub recipe: String,
    /// What there is of each clip.
    pub modalities: Vec<StoredModality>,
    /// The shards, in the order of the manifest.
    pub shards: Vec<ShardEntry>,
    /// SHA-256 of `clips.csv`.
    pub manifest_sha256: String,
    /// How many clips the lists had and how many were kept, by split.
    #[serde(default, alias = "parts")]
    pub splits: Vec<SplitCount>,
    /// The programs and libraries that decoded the media.
    #[serde(default)]
    pub decoders: String,
    /// What a reader should know: overlaps between lists and the like.
    pub notes: Vec<String>,
}

/// What became of the clips of one split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SplitCount {
    /// The split; absent for clips without one.
    #[serde(alias = "part")]
    pub split: Option<Split>,
    /// Clips in the lists or the manifest.
    pub listed: usize,
    /// Of them those that were left out, since files are missing or broken.
    pub left_out: usize,
    /// Of them those that were kept without a modality that could not be made.
    pub partial: usize,
}

impl SplitCount {
    /// What a reader of results should know; nothing when every clip was kept whole.
    fn notes(&self) -> Vec<String> {
        let name = self.split.map_or_else(String::new, |split| format!(" {}", split.name()));
        let share = |count: usize| 100.0 * count as f64 / self.listed.max(1) as f64;
        let mut notes = Vec::new();
        if self.left_out > 0 {
            notes.push(format!(
                "{} of the {} listed{name} clips ({:.1} %) were left out, their files missing or \
                 broken: results are of the other {}",
                self.left_out,
                self.listed,
                share(self.left_out),
                self.listed.saturating_sub(self.left_out)
            ));
        }
        if self.partial > 0 {
            notes.push(format!(
                "{} of the {} listed{name} clips ({:.1} %) lack a modality, its file missing or broken",
                self.partial,
                self.listed,
                share(self.partial)
            ));
        }
        notes
    }
}

/// Random crops and flips in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// One draw for all frames of a clip, the same for all its modalities with this setting.
    #[default]
    Clip,
    /// A draw of its own for every frame.
    Frame,
    /// None: training sees what testing sees.
    None,
}

/// A modality and how it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoredModality {
    /// Its name.
    pub name: String,
    /// How it is stored.
    pub storage: Storage,
}

/// How a modality's tensors look in a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "form")]
pub enum Storage {
    /// Numbers as they are used, of one shape: f32, or f16 to save space.
    Values {
        /// What they are.
        kind: ModalityKind,
        /// The shape of one clip.
        shape: Vec<usize>,
    },
    /// Pixels u8 of shape (frames, height, width, channels), of any height and width: cropped and
    /// flipped at random to `side` x `side` in training, resized to it in testing, then normalised.
    Pixels {
        /// Frames per clip.
        frames: usize,
        /// Channels of a pixel, at most 4.
        channels: usize,
        /// Height and width of the input made of them.
        side: usize,
        /// The mean that is subtracted from each channel of pixels in \[0, 1\].
        mean: Vec<f32>,
        /// The standard deviation they are divided by afterwards.
        deviation: Vec<f32>,
        /// Crops and flips in training.
        #[serde(default)]
        augment: Augment,
    },
    /// Displacements between frames, u8 of shape (fields, height, width, 2), 128 for none: treated
    /// as pixels, fields side by side in the channels, horizontal ones negated when flipped.
    Flow {
        /// Fields of displacements per clip.
        fields: usize,
        /// Height and width of the input made of them.
        side: usize,
        /// Pixels of displacement at 0 and 255.
        bound: f32,
    },
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShardEntry {
    /// Its file name.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl StoredModality {
    /// The modality as a model sees it.
    pub fn modality(&self) -> Modality {
        let (kind, shape) = match &self.storage {
            Storage::Values { kind, shape } => (*kind, shape.clone()),
            Storage::Pixels { frames: 1, channels, side, .. } => {
                (ModalityKind::Image, vec![*channels, *side, *side])
            }
            Storage::Pixels { frames, channels, side, .. } => {
                (ModalityKind::Image, vec![*channels, *frames, *side, *side])
            }
            Storage::Flow { fields, side, .. } => {
                (ModalityKind::Image, vec![2 * fields, *side, *side])
            }
        };
        Modality { name: self.name.clone(), kind, shape }
    }
}

impl Description {
    /// A description of the current version.
    pub fn new(name: &str, recipe: &str, modalities: Vec<StoredModality>) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            recipe: recipe.to_owned(),
            modalities,
            shards: Vec::new(),
            manifest_sha256: String::new(),
            splits: Vec::new(),
            decoders: String::new(),
            notes: Vec::new(),
        }
    }

    /// What a reader of results should know: the notes, and how many clips were left out of each split.
    pub fn all_notes(&self) -> Vec<String> {
        let counts = self.splits.iter().flat_map(SplitCount::notes);
        self.notes.iter().cloned().chain(counts).collect()
    }

    /// A digest of how clips are stored and of the bytes of all shards.
    pub(crate) fn storage_digest(&self) -> String {
        let mut strings = vec![self.recipe.clone(), format!("{:?}", self.modalities)];
        strings.extend(self.shards.iter().map(|shard| shard.sha256.clone()));
        let strings: Vec<&[u8]> = strings.iter().map(String::as_bytes).collect();
        format!("{:016x}", identity_of(&strings))
    }

    /// Reads `dataset.json` of a folder.
    ///
    /// # Errors
    /// When it is not there, or not of this version.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(PREPARED_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        Self::parse(&text).map_err(|problem| Error::bad_file(&path, problem))
    }

    /// Reads the text of a `dataset.json` and checks what later code relies on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let description: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if description.version != VERSION {
            let version = description.version;
            return Err(format!(
                "layout version {version}, wanted {VERSION}; run `tcmax prepare` again"
            ));
        }
        for entry in &description.shards {
            if entry.file.contains(['/', '\\']) || entry.file.starts_with('.') {
                return Err(format!("shard '{}' is not a plain file name", entry.file));
            }
        }
        for modality in &description.modalities {
            let fits = match &modality.storage {
                Storage::Values { shape, .. } => !shape.is_empty() && product(shape),
                Storage::Pixels { frames, channels, side, mean, deviation, .. } => {
                    (1..=4).contains(channels)
                        && mean.len() == *channels
                        && deviation.len() == *channels
                        && product(&[*frames, *channels, *side, *side])
                }
                Storage::Flow { fields, side, .. } => product(&[*fields, 2, *side, *side]),
            };
            if !fits {
                return Err(format!("the storage of '{}' is out of range", modality.name));
            }
        }
        Ok(description)
    }
}

/// Whether a shape has some numbers, and fewer than any clip could.
fn product(shape: &[usize]) -> bool {
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    count.is_some_and(|count| (1..1 << 30).contains(&count))
}

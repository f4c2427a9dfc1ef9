//! What is done to media, as data sets' cards and users write it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tcmax_data::ModalityKind;
use tcmax_data::shards::{Augment, Storage};

use crate::{Error, Result};

/// What a card's own recipe is called beside its variants.
pub const DEFAULT_RECIPE: &str = "default";

/// Mean and deviation of the photographs most image networks were trained on.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Numbers or pixels of one modality of a clip; more are refused.
const LARGEST_CLIP: usize = 1 << 27;

/// How clips are made of a data set's media: the `[prepare]` table of its card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Where ids, labels and parts come from.
    pub lists: Lists,
    /// How a clip's group follows from its id.
    pub group: GroupRule,
    /// Which clips of the train list validate, where there is no validation list.
    pub validation: Validation,
    /// What is made of each clip.
    pub modalities: Vec<ModalityRecipe>,
    /// Other recipes of the data set, by name.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
}

/// Another recipe of a data set: what it does otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// What it is and how it differs, in words.
    pub description: String,
    /// Which clips validate.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// What is made of some modalities, by name.
    #[serde(default)]
    pub transforms: BTreeMap<String, Transform>,
}

impl Recipe {
    /// The recipe called `name`; absent: the card's own, which is called [`DEFAULT_RECIPE`].
    ///
    /// # Errors
    /// When there is no such recipe, or it names a modality that the card does not have.
    pub fn variant(mut self, name: Option<&str>) -> Result<Self> {
        let Some(name) = name.filter(|name| *name != DEFAULT_RECIPE) else { return Ok(self) };
        let Some(variant) = self.variants.remove(name) else {
            let known: Vec<&str> = self.variants.keys().map(String::as_str).collect();
            let problem = format!(
                "no recipe '{name}' of this data set; choose one of: {}",
                [&[DEFAULT_RECIPE], &known[..]].concat().join(", ")
            );
            return Err(Error::option("--recipe", problem));
        };
        self.validation = variant.validation.unwrap_or(self.validation);
        for (modality, transform) in variant.transforms {
            let found = self.modalities.iter_mut().find(|recipe| recipe.name == modality);
            let Some(found) = found else {
                let problem = format!("the recipe has no modality '{modality}'");
                return Err(Error::option(format!("--recipe {name}"), problem));
            };
            found.transform = transform;
        }
        Ok(self)
    }
}

/// Which clips of a train list validate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Validation {
    /// Their part of the list, at least 0 and below 1.
    pub fraction: f64,
    /// How they are chosen.
    pub rule: ValidationRule,
}

/// How validation clips are chosen of a train list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationRule {
    /// Drawn once and for all, within each class.
    Stratified,
    /// Drawn once and for all, groups as a whole, classes balanced as well as that allows.
    Grouped,
    /// The last of the clips whose files are there, as the paper's code has it: only for lists that
    /// are in random order.
    Last,
}

/// Lists of a data set. Every name is looked for below `--lists` and `--root`; the first found of
/// several is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "format"
)]
pub enum Lists {
    /// Files of `id,label` lines.
    IdLabel {
        /// Train lists.
        train: Vec<String>,
        /// Validation lists; may be empty.
        #[serde(default)]
        validation: Vec<String>,
        /// Test lists.
        test: Vec<String>,
        /// One file of `video,start,label,part` lines, as VGGSound has it, instead of a train list.
        #[serde(default)]
        combined: Vec<String>,
    },
    /// Files of `picture,title,label` lines: the title is the text.
    Titles {
        /// Train lists.
        train: Vec<String>,
        /// Test lists.
        test: Vec<String>,
    },
    /// MVSA's `id<TAB>text,image` lines of sentiments, of one or more annotators.
    Sentiments {
        /// The file.
        labels: Vec<String>,
    },
}

/// How a clip's group (speaker, source video) follows from its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GroupRule {
    /// Of the id's parts between underscores, so many from the front; absent: all.
    pub keep: Option<usize>,
    /// And so many from the back left out.
    #[serde(default)]
    pub drop: usize,
}

impl GroupRule {
    /// The group of an id.
    ///
    /// ```
    /// use tcmax_media::GroupRule;
    ///
    /// let speaker = GroupRule { keep: Some(1), drop: 0 };
    /// assert_eq!(speaker.group("1001_DFA_ANG_XX"), "1001");
    /// let video = GroupRule { keep: None, drop: 2 };
    /// assert_eq!(video.group("a_b-c_000034_000044"), "a_b-c");
    /// ```
    pub fn group(&self, id: &str) -> String {
        let parts: Vec<&str> = id.split('_').collect();
        let most = parts.len().saturating_sub(self.drop).max(1);
        parts[..self.keep.unwrap_or(most).clamp(1, most)].join("_")
    }
}

/// One modality of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModalityRecipe {
    /// Its name.
    pub name: String,
    /// Where its file is below the root, with `{id}`, `{label}`, `{part}`; the first that exists.
    /// Empty when the text comes from the list.
    #[serde(default)]
    pub path: Vec<String>,
    /// What is made of it.
    pub transform: Transform,
}

/// What is made of one media file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind"
)]
pub enum Transform {
    /// Mono sound at `rate`, repeated and cut to `seconds` from `start`, clipped to [-1, 1], to
    /// log(|STFT| + 1e-7).
    Spectrogram {
        /// Samples a second.
        rate: u32,
        /// A rate that the sound is brought to before, and rounded to 16 bits there, as when a WAV
        /// file of this rate is made first: nothing is left above half of it.
        #[serde(default)]
        via: Option<u32>,
        /// Where the cut begins, s, in the repeated sound.
        #[serde(default)]
        start: f64,
        /// It begins up to so many seconds later: drawn once and for all, by the file's name.
        #[serde(default)]
        draw: f64,
        /// Length of the cut, s.
        seconds: f64,
        /// Samples of a frame.
        n_fft: usize,
        /// Samples between frames.
        hop: usize,
    },
    /// Kaldi's log-mel filter bank of sound without its mean, cut or padded with zeros.
    FilterBank {
        /// Samples a second; absent: the file's own.
        #[serde(default)]
        rate: Option<u32>,
        /// Filters.
        bins: usize,
        /// Frames of 10 ms.
        frames: usize,
        /// What becomes of several channels.
        #[serde(default)]
        channel: Channel,
        /// Which comes first in the input.
        #[serde(default)]
        order: Order,
    },
    /// Frames at `rate` a second, of which `frames` are taken.
    Frames {
        /// Frames a second.
        rate: f64,
        /// Frames a clip.
        frames: usize,
        /// Which are taken.
        #[serde(default)]
        pick: Pick,
        /// Longest shorter side that is stored; absent: frames are stored as large as they are.
        #[serde(default)]
        stored: Option<usize>,
        /// Height and width of the input.
        side: usize,
        /// Crops and flips in training.
        #[serde(default)]
        augment: Augment,
    },
    /// One picture.
    Image {
        /// Longest shorter side that is stored; absent: pictures are stored as large as they are.
        #[serde(default)]
        stored: Option<usize>,
        /// Height and width of the input.
        side: usize,
    },
    /// Counts of words and pairs of words in so many buckets.
    Text {
        /// Numbers of the vector.
        buckets: usize,
    },
    /// A vector as it is in an `.npy` file.
    Features {
        /// Its length.
        width: usize,
    },
    /// Farneback's optical flow from a frame to the next, taken evenly in time, in 8 bits; cropped and
    /// flipped in training as the frames of the same clip are. Each field's displacements across and
    /// down follow each other.
    Flow {
        /// Displacement fields a clip.
        fields: usize,
        /// Longest shorter side that is stored; absent: as large as the frames are.
        #[serde(default)]
        stored: Option<usize>,
        /// Height and width of the input.
        side: usize,
        /// Largest displacement kept, pixels of what is stored.
        bound: f32,
    },
    /// Farneback's optical flow in pixels of the original frames, one field a second from the first
    /// second on, resized to the input without antialiasing and stored in 16-bit floats; never cropped
    /// or flipped. All displacements across come before all down.
    FlowFields {
        /// Displacement fields a clip; the last is repeated in shorter ones.
        fields: usize,
        /// Height and width of the input.
        side: usize,
    },
}

/// What becomes of the channels of a sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Their mean.
    #[default]
    Mean,
    /// The first is taken; the mean that is subtracted is that of all.
    First,
}

/// The order of a filter bank's two axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// \[1, frequencies, times\], as spectrograms.
    #[default]
    FrequenciesFirst,
    /// \[1, times, frequencies\].
    TimesFirst,
}

/// Which frames of a video are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// Of those at `rate` a second some evenly in time.
    #[default]
    Evenly,
    /// The first ones, by number: every n-th, n being the file's frames a second, rounded down, over
    /// `rate`, rounded down. The last is repeated in shorter videos.
    First,
}

impl Transform {
    /// How its result is stored.
    pub fn storage(&self) -> Storage {
        let values = |kind, shape: &[usize]| Storage::Values { kind, shape: shape.to_vec() };
        let pixels = |frames, side, augment| Storage::Pixels {
            frames,
            channels: 3,
            side,
            mean: IMAGENET.0.to_vec(),
            deviation: IMAGENET.1.to_vec(),
            augment,
        };
        match *self {
            Self::Spectrogram { rate, seconds, n_fft, hop, .. } => {
                let samples = crate::transform::samples(seconds, rate);
                let [frequencies, times] = tcmax_data::Spectrogram::new(n_fft, hop).shape(samples);
                values(ModalityKind::Spectrogram, &[1, frequencies, times])
            }
            Self::FilterBank { bins, frames, order, .. } => {
                let [rows, columns] = match order {
                    Order::FrequenciesFirst => [bins, frames],
                    Order::TimesFirst => [frames, bins],
                };
                values(ModalityKind::Spectrogram, &[1, rows, columns])
            }
            Self::Frames { frames, side, augment, .. } => pixels(frames, side, augment),
            Self::Image { side, .. } => pixels(1, side, Augment::Clip),
            Self::Text { buckets } => values(ModalityKind::Features, &[buckets]),
            Self::Features { width } => values(ModalityKind::Features, &[width]),
            Self::Flow { fields, side, bound, .. } => Storage::Flow { fields, side, bound },
            Self::FlowFields { fields, side } => {
                values(ModalityKind::Image, &[2 * fields, side, side])
            }
        }
    }

    /// Whether OpenCV computes it.
    pub(crate) fn needs_opencv(&self) -> bool {
        matches!(self, Self::Flow { .. } | Self::FlowFields { .. })
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn check(&self, name: &str) -> Result<()> {
        let holds = match *self {
            Self::Spectrogram { rate, via, start, draw, seconds, n_fft, hop } => {
                (1_000..=384_000).contains(&rate)
                    && (1_000..=384_000).contains(&via.unwrap_or(rate))
                    && (0.0..=600.0).contains(&start)
                    && (0.0..=600.0).contains(&draw)
                    && (0.01..=600.0).contains(&seconds)
                    && (2..=1 << 16).contains(&n_fft)
                    && hop >= 1
                    && fits(n_fft / 2 + 1, crate::transform::samples(seconds, rate) / hop + 1)
            }
            Self::FilterBank { rate, bins, frames, .. } => {
                (1_000..=384_000).contains(&rate.unwrap_or(1_000))
                    && (1..=1_024).contains(&bins)
                    && (1..=100_000).contains(&frames)
                    && fits(bins, frames)
            }
            Self::Frames { rate, frames, stored, side, .. } => {
                (0.001..=240.0).contains(&rate)
                    && (1..=1_000).contains(&frames)
                    && sides(stored, side)
                    && stored.is_none_or(|stored| fits(frames, stored * stored))
            }
            Self::Image { stored, side } => sides(stored, side),
            Self::Text { buckets: width } | Self::Features { width } => {
                (1..=1 << 24).contains(&width)
            }
            Self::Flow { fields, stored, side, bound } => {
                (1..=1_000).contains(&fields)
                    && sides(stored, side)
                    && stored.is_none_or(|stored| fits(fields, stored * stored))
                    && bound > 0.0
            }
            Self::FlowFields { fields, side } => {
                (1..=1_000).contains(&fields) && sides(None, side) && fits(2 * fields, side * side)
            }
        };
        match holds {
            true => Ok(()),
            false => Err(Error::option(name, format!("a number is out of range in {self:?}"))),
        }
    }
}

/// Whether so many numbers of a clip fit in memory many times.
fn fits(rows: usize, columns: usize) -> bool {
    rows.checked_mul(columns).is_some_and(|values| values <= LARGEST_CLIP)
}

fn sides(stored: Option<usize>, side: usize) -> bool {
    (4..=8_192).contains(&stored.unwrap_or(4)) && (4..=4_096).contains(&side)
}

/// Reads a recipe for the columns of a manifest: TOML, a table of a transform for each.
///
/// # Errors
/// When it is not such a file, or a number is out of range.
pub fn parse_column_recipes(text: &str) -> Result<BTreeMap<String, Transform>> {
    let recipes: BTreeMap<String, Transform> =
        toml::from_str(text).map_err(|e| Error::option("recipe", e.to_string()))?;
    for (column, transform) in &recipes {
        transform.check(column)?;
    }
    Ok(recipes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_beyond_memory_are_refused_although_each_number_is_in_range() {
        let spectrogram = |seconds, rate, hop| {
            let (via, start, draw, n_fft) = (None, 0.0, 0.0, 512);
            Transform::Spectrogram { rate, via, start, draw, seconds, n_fft, hop }.check("sound")
        };
        spectrogram(3.0, 22_050, 353).unwrap();
        spectrogram(600.0, 22_050, 353).unwrap();
        let error = spectrogram(600.0, 384_000, 1).unwrap_err().to_string();
        assert!(error.starts_with("sound: ") && error.contains("hop: 1"), "{error}");
        let frames = |frames, stored| {
            let (pick, stored, augment) = (Pick::Evenly, Some(stored), Augment::Clip);
            Transform::Frames { rate: 1.0, frames, pick, stored, side: 224, augment }
                .check("frames")
        };
        frames(1_000, 256).unwrap();
        assert!(frames(1_000, 8_192).is_err());
        let bank = |frames| {
            let (channel, order) = (Channel::Mean, Order::FrequenciesFirst);
            Transform::FilterBank { rate: None, bins: 128, frames, channel, order }.check("bank")
        };
        bank(100_000).unwrap();
        assert!(
            Transform::Flow { fields: 1_000, stored: Some(4_096), side: 224, bound: 20.0 }
                .check("f")
                .is_err()
        );
        assert!(spectrogram(f64::NAN, 22_050, 353).is_err());
    }
}

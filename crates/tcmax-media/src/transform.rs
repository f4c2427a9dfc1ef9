//! What is made of one media file, as cards and users write it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tcmax_data::ModalityKind;
use tcmax_data::shards::{Augment, Storage};

use crate::error::{Error, Result};
use crate::signal::{Spectrogram, samples};

/// Mean and standard deviation of the photographs most image networks were trained on.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Numbers or pixels of one modality of a clip; more are refused.
const LARGEST_CLIP: usize = 1 << 27;

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
        /// Samples per second.
        rate: u32,
        /// A rate that the sound is brought to before, and rounded to 16 bits there, as when a WAV
        /// file of this rate is made first: nothing is left above half of it.
        #[serde(default)]
        via: Option<u32>,
        /// Where the cut begins, s, in the repeated sound.
        #[serde(default)]
        start: f64,
        /// How many seconds later it may begin: drawn once and for all, by the file's name.
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
        /// Samples per second; absent: the file's own.
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
    /// Frames at `rate` per second, of which `frames` are taken.
    Frames {
        /// Frames per second.
        rate: f64,
        /// Frames per clip.
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
    /// The numbers of a text's tokens, and -1 where it is shorter; longer texts are cut, but keep their special
    /// tokens.
    Tokens {
        /// Where the `tokenizer.json` is: the file, its folder, or a repository, `hub:owner/name@revision`.
        tokenizer: String,
        /// Most tokens of a text, special ones included.
        tokens: usize,
        /// SHA-256 of the tokenizer's file; another one is refused. Absent: any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
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
        /// Displacement fields per clip.
        fields: usize,
        /// Longest shorter side that is stored; absent: as large as the frames are.
        #[serde(default)]
        stored: Option<usize>,
        /// Height and width of the input.
        side: usize,
        /// Largest displacement kept, pixels of what is stored.
        bound: f32,
    },
    /// Farneback's optical flow in pixels of the original frames, one field per second from the first
    /// second on, resized to the input without antialiasing and stored in 16-bit floats; never cropped
    /// or flipped. All displacements across come before all down.
    FlowFields {
        /// Displacement fields per clip; the last is repeated in shorter ones.
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
    /// Frames evenly in time, of those at `rate` per second.
    #[default]
    Evenly,
    /// The first ones, by number: every n-th, n being the file's frames per second, rounded down, over
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
                let samples = samples(seconds, rate);
                let [frequencies, times] = Spectrogram::new(n_fft, hop).shape(samples);
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
            Self::Tokens { tokens, .. } => values(ModalityKind::Tokens, &[tokens]),
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
                    && fits(n_fft / 2 + 1, samples(seconds, rate) / hop + 1)
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
            Self::Tokens { tokens, .. } => (1..=1 << 16).contains(&tokens),
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

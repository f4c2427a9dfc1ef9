//! `av-digits`: spoken digits paired with handwritten ones, both real.
//!
//! 3,000 recordings of the digits 0 to 9 by six speakers (Free Spoken Digit Dataset, 8 kHz) and the
//! 10,000 MNIST test images. A recording becomes a log-spectrogram \[1, 129, 51\] (1 s, repeated or
//! cut; n_fft 256, hop 160), an image \[1, 28, 28\] in \[0, 1\]. Each training and validation
//! recording is paired with one image of its digit, each test recording with five; no image is used
//! twice. Draws are integers from a seeded ChaCha8 stream: the same on every machine.

mod idx;
mod pairing;
mod recordings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::spectrogram::{Spectrogram, tile};
use crate::{Modality, ModalityKind, Result, Splits};

pub use idx::idx_items;
use recordings::Recording;
pub use recordings::parse_recordings;

/// Samples a second of every recording.
pub const SAMPLE_RATE: u32 = 8_000;
/// Names of the classes.
const DIGITS: usize = 10;

/// Which recordings are for testing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AvDigitsSplit {
    /// The data set's own: of each speaker and digit, recordings 0 to 4 are for testing.
    #[default]
    Standard,
    /// Two of the six speakers are for testing, another pair each seed (seed modulo 3).
    Speaker,
}

/// Options of the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AvDigitsConfig {
    /// Training pairs, as balanced over the classes as the number allows; absent: all that the
    /// validation split leaves.
    pub train_size: Option<usize>,
    /// Validation pairs, likewise.
    pub val_size: usize,
    /// Which recordings are for testing.
    pub split: AvDigitsSplit,
    /// Blank a square of this many pixels a side at a seeded place of every image.
    pub occlusion: Option<usize>,
    /// Mix another talker, saying another digit, into every recording at this signal-to-noise
    /// ratio in dB.
    pub talker_snr_db: Option<f64>,
}

impl Default for AvDigitsConfig {
    fn default() -> Self {
        Self {
            train_size: None,
            val_size: 200,
            split: AvDigitsSplit::Standard,
            occlusion: None,
            talker_snr_db: None,
        }
    }
}

/// The decoded data, from which the splits of any seed are drawn.
pub struct AvDigits {
    recordings: Vec<Recording>,
    /// Recordings one after the other, each \[129, 51\].
    spectrograms: Arc<Vec<f32>>,
    /// Images one after the other, each \[28, 28\].
    pixels: Arc<Vec<f32>>,
    image_labels: Vec<u8>,
    /// What stands for each recording, and for each image.
    identities: [Vec<u64>; 2],
    modalities: Arc<Vec<Modality>>,
    classes: Arc<Vec<String>>,
}

impl AvDigits {
    /// Reads and transforms everything in `folder`: `free-spoken-digit-dataset.tar.gz` (or an
    /// unpacked `recordings` folder) and the two `t10k-*-ubyte.gz` files (or unpacked ones).
    ///
    /// # Errors
    /// When a file is missing, truncated, a Git LFS pointer or otherwise not what it should be, or
    /// a digit has no recording or image; the message names the file and the mend.
    pub fn open(folder: &Path) -> Result<Self> {
        let recordings = recordings::read(folder)?;
        let images = idx::read(folder)?;
        let transform = spectrogram();
        let second = SAMPLE_RATE as usize;
        let spectrograms: Vec<Vec<f32>> = recordings
            .par_iter()
            .map(|recording| transform.transform(&tile(&recording.samples, second)))
            .collect();
        let modality = |name: &str, kind, shape: &[usize]| Modality {
            name: name.to_owned(),
            kind,
            shape: shape.to_vec(),
        };
        let [frequencies, times] = transform.shape(second);
        let modalities = vec![
            modality("audio", ModalityKind::Spectrogram, &[1, frequencies, times]),
            modality("visual", ModalityKind::Image, &[1, idx::SIDE, idx::SIDE]),
        ];
        // Of what the files say, not of spectrograms, whose last bits are the machine's.
        let heard = recordings.par_iter().map(|recording| digest_of(&recording.samples));
        let seen = images.pixels.par_chunks(idx::SIDE * idx::SIDE).map(digest_of);
        let identities = [heard.collect(), seen.collect()];
        let data = Self {
            identities,
            recordings,
            spectrograms: Arc::new(spectrograms.concat()),
            pixels: Arc::new(images.pixels),
            image_labels: images.labels,
            modalities: Arc::new(modalities),
            classes: Arc::new((0..DIGITS).map(|digit| digit.to_string()).collect()),
        };
        data.check_classes(folder)?;
        Ok(data)
    }

    /// The splits of one seed. Decoded data are shared, not copied.
    ///
    /// # Errors
    /// When an option does not fit the data, naming the largest value that does.
    pub fn splits(&self, config: &AvDigitsConfig, seed: u64) -> Result<Splits> {
        pairing::splits(self, config, seed)
    }

    /// What stands for a pair of a recording and an image.
    fn identity(&self, (recording, image): (usize, usize)) -> u64 {
        let [heard, seen] = [self.identities[0][recording], self.identities[1][image]];
        crate::identity_of(&[b"av-digits", &heard.to_le_bytes(), &seen.to_le_bytes()])
    }

    fn check_classes(&self, folder: &Path) -> Result<()> {
        for digit in 0..DIGITS as u8 {
            let empty = |what| crate::Error::EmptyClass {
                class: digit.to_string(),
                what,
                mend: format!("complete the files in {}", folder.display()),
            };
            if !self.recordings.iter().any(|recording| recording.digit == digit) {
                return Err(empty("recording"));
            }
            if !self.image_labels.contains(&digit) {
                return Err(empty("image"));
            }
        }
        Ok(())
    }
}

fn digest_of(values: &[f32]) -> u64 {
    crate::identity_of(&[&crate::identity::bytes_of(values)])
}

/// The transform of every recording: 129 frequencies x 51 times a second.
fn spectrogram() -> Spectrogram {
    Spectrogram::new(256, 160)
}

/// The first of `names` in `folder` that exists.
fn find(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    if !folder.is_dir() {
        return Err(crate::Error::Missing {
            path: folder.to_owned(),
            mend: "give the folder of the data set's files with --data-dir or TCMAX_DATA_DIR, or \
                   leave both out to download them"
                .to_owned(),
        });
    }
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| crate::Error::Missing {
        path: folder.join(names[0]),
        mend: format!(
            "put it there (any of: {}), or leave --data-dir out to download it",
            names.join(", ")
        ),
    })
}

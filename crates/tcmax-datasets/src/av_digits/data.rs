//! The decoded data.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tcmax_data::{Modality, ModalityKind, identity_of, identity_of_values};
use tcmax_media::signal::{Spectrogram, tile};

use super::idx;
use super::recordings::{self, Recording, SAMPLE_RATE};
use crate::error::{Error, Result};

/// Number of classes.
pub(super) const DIGITS: usize = 10;

/// The decoded data, from which the splits of any seed are drawn.
pub struct AvDigits {
    pub(super) recordings: Vec<Recording>,
    /// Recordings one after the other, each \[129, 51\].
    pub(super) spectrograms: Arc<Vec<f32>>,
    /// Images one after the other, each \[28, 28\].
    pub(super) pixels: Arc<Vec<f32>>,
    pub(super) image_labels: Vec<u8>,
    /// What identifies each recording, and each image.
    pub(super) identities: [Vec<u64>; 2],
    pub(super) modalities: Arc<Vec<Modality>>,
    pub(super) classes: Arc<Vec<String>>,
}

impl AvDigits {
    /// Reads and transforms everything in `folder`: `free-spoken-digit-dataset.tar.gz` (or an
    /// unpacked `recordings` folder) and the two `t10k-*-ubyte.gz` files (or unpacked ones).
    ///
    /// # Errors
    /// When a file is missing, truncated, a Git LFS pointer or otherwise not what it should be, or
    /// a digit has no recording or image; the message names the file and the fix.
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
        // Digests of the files' content, not of spectrograms, whose last bits depend on the machine.
        let heard = recordings.par_iter().map(|recording| identity_of_values(&recording.samples));
        let seen = images.pixels.par_chunks(idx::SIDE * idx::SIDE).map(identity_of_values);
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

    /// What identifies a pair of a recording and an image.
    pub(super) fn identity(&self, (recording, image): (usize, usize)) -> u64 {
        let [heard, seen] = [self.identities[0][recording], self.identities[1][image]];
        identity_of(&[b"av-digits", &heard.to_le_bytes(), &seen.to_le_bytes()])
    }

    fn check_classes(&self, folder: &Path) -> Result<()> {
        for digit in 0..DIGITS as u8 {
            let empty = |what| Error::EmptyClass {
                class: digit.to_string(),
                what,
                fix: format!("complete the files in {}", folder.display()),
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

/// The transform of every recording: 129 frequencies x 51 times per second.
pub(super) fn spectrogram() -> Spectrogram {
    Spectrogram::new(256, 160)
}

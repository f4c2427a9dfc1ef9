//! `av-digits`: spoken digits paired with handwritten ones, both real.
//!
//! 3,000 recordings of the digits 0 to 9 by six speakers (Free Spoken Digit Dataset, 8 kHz) and the
//! 10,000 MNIST test images. A recording becomes a log-spectrogram \[1, 129, 51\] (1 s, repeated or
//! cut; n_fft 256, hop 160), an image \[1, 28, 28\] in \[0, 1\]. Each training and validation
//! recording is paired with one image of its digit, each test recording with five; no image is used
//! twice. Draws are integers from a seeded ChaCha8 stream: the same on every machine.

mod config;
mod data;
mod files;
mod idx;
mod pairing;
mod recordings;
mod source;

pub use config::{AvDigitsConfig, AvDigitsSplit};
pub use data::AvDigits;
pub use idx::idx_items;
pub use recordings::{SAMPLE_RATE, parse_recordings};
pub use source::AV_DIGITS;

//! Signal processing: sound at another rate, spectrograms, filter banks.

mod filter_bank;
mod sound;
mod spectrogram;

pub use filter_bank::FilterBank;
pub use sound::{Sound, resample, samples};
pub use spectrogram::{Spectrogram, tile};

#![doc = include_str!("../README.md")]

pub mod arrays;
pub mod av_digits;
mod dataset;
mod error;
pub mod fetch;
mod loader;
mod spectrogram;
pub mod synthetic;
mod table;

pub use av_digits::{AvDigits, AvDigitsConfig, AvDigitsSplit};
pub use dataset::{Dataset, Modality, ModalityKind, Splits};
pub use error::{Error, Result};
pub use loader::{Batch, Epoch, Loader, LoaderOptions};
pub use spectrogram::Spectrogram;
pub use synthetic::{SyntheticConfig, SyntheticModality};

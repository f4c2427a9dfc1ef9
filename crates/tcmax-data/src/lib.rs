#![doc = include_str!("../README.md")]

pub mod arrays;
pub mod av_digits;
mod csv_records;
mod dataset;
mod error;
pub mod fetch;
mod filter_bank;
mod identity;
mod loader;
mod memory;
pub mod own;
mod problems;
mod resize;
pub mod shards;
mod spectrogram;
pub mod split_list;
pub mod synthetic;
mod table;
mod whole;
mod words;

pub use av_digits::{AvDigits, AvDigitsConfig, AvDigitsSplit};
pub use dataset::{Dataset, Modality, ModalityKind, Splits};
pub use error::{Error, Result};
pub use filter_bank::FilterBank;
pub use identity::identity_of;
pub use loader::{Batch, Epoch, Loader, LoaderOptions};
pub use memory::memory_bytes;
pub use own::{OwnConfig, OwnData};
pub use problems::{Place, Problem, Problems};
pub use resize::{Crop, resize};
pub use spectrogram::{Spectrogram, tile};
pub use synthetic::{SyntheticConfig, SyntheticModality};
pub use whole::{part_of, write_whole};

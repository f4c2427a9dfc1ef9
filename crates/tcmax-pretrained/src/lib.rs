#![doc = include_str!("../README.md")]

mod error;
mod file;
mod hub;
mod load;
mod preprocess;
mod recorded;
mod source;
mod tensors;
mod tokenizer;

pub use error::{Error, Result};
pub use hub::{DownloadProgress, Hub, NoProgress};
pub use load::{
    Adapted, Channels, Interpolation, Loading, NameRules, Positions, Renamed, Report, load,
};
pub use preprocess::{Preprocess, Resample, Resize};
pub use recorded::check_recorded;
pub use source::{Files, Source};
pub use tensors::Tensors;
pub use tokenizer::{Encoded, Length, Tokenizer};

#![doc = include_str!("../README.md")]

pub mod av_digits;
mod catalog;
mod error;
pub mod fetch;
pub mod synthetic;

pub use av_digits::{AvDigits, AvDigitsConfig, AvDigitsSplit};
pub use catalog::{DatasetCard, HubFile, RemoteFile, card, catalog, recipe_of};
pub use error::{Error, Result};
pub use synthetic::{SyntheticConfig, SyntheticModality};

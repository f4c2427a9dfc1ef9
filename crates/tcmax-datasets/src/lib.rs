#![doc = include_str!("../README.md")]

pub mod av_digits;
mod catalog;
mod error;
pub mod fetch;
mod files;
mod list;
pub mod regimes;
mod source;
pub mod synthetic;

pub use av_digits::{AV_DIGITS, AvDigits, AvDigitsConfig, AvDigitsSplit};
pub use catalog::{DatasetCard, HubFile, RemoteFile, card, catalog, recipe_of};
pub use error::{Error, Result};
pub use files::{FILES, Unlabelled, open_unlabelled};
pub use list::{DATA, data};
pub use regimes::{REGIMES, Regime, RegimesConfig};
pub use source::{DataSource, DataSpec, OpenData, Opening};
pub use synthetic::{SYNTHETIC, SyntheticConfig, SyntheticModality};

#![doc = include_str!("../README.md")]

mod catalogue;
mod error;
mod options;

pub use catalogue::{Catalogue, Spec};
pub use error::{Error, Result};
pub use options::{OptionDoc, OptionSet, Options, Table, read, require};

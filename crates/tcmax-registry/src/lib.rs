#![doc = include_str!("../README.md")]

mod catalogue;
mod choice;
mod error;
mod nearest;
mod options;
mod task;

pub use catalogue::{Catalogue, Spec};
pub use choice::Choice;
pub use error::{Error, Result};
pub use nearest::nearest;
pub use options::{OptionDoc, OptionSet, Options, Table, read, require};
pub use task::Task;

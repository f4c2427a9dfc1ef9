#![doc = include_str!("../README.md")]

mod additive;
mod critic;
mod discrete;
mod error;
mod labels;

pub use additive::BatchBound;
pub use critic::Critic;
pub use discrete::JointTable;
pub use error::{Error, Result};
pub use labels::Labels;

#![doc = include_str!("../README.md")]

mod cross_entropy;
mod error;
mod objective;
mod tcmax;

pub use cross_entropy::cross_entropy;
pub use error::{Error, Result};
pub use objective::{Objective, ObjectiveOutput, unimodal};
pub use tcmax::tcmax;

#![doc = include_str!("../README.md")]

mod error;
mod graph;
mod operators;
pub mod proto;

pub use error::{Error, Result};
pub use graph::{Attribute, Graph, OPERATORS, Value, parse};

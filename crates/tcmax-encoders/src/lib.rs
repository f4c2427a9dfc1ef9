#![doc = include_str!("../README.md")]

mod encoder;
mod error;
mod resnet;

pub use encoder::Encoder;
pub use error::{Error, Result};
pub use resnet::{ResNet, ResNetConfig, Stem};

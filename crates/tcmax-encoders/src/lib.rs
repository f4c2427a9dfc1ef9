#![doc = include_str!("../README.md")]

mod encoder;
mod error;
mod mlp;
mod resnet;

pub use encoder::Encoder;
pub use error::{Error, Result};
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{ResNet, ResNetConfig, Stem};

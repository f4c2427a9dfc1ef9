#![doc = include_str!("../README.md")]

mod encoder;
mod error;
mod list;
mod mlp;
mod resnet;
mod spec;

pub use encoder::Encoder;
pub use error::{Error, Result};
pub use list::{ENCODERS, encoders};
pub use mlp::{MLP, Mlp, MlpConfig, MlpOptions};
pub use resnet::{RESNET_SLIM, RESNET18, ResNet, ResNetConfig, SlimOptions, Stem};
pub use spec::{EncoderSpec, Input, InputKind};

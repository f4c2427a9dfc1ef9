#![doc = include_str!("../README.md")]

mod encoder;
mod error;
mod mlp;
mod resnet;
mod spec;

pub use encoder::Encoder;
pub use error::{Error, Result};
pub use mlp::{MLP, Mlp, MlpConfig, MlpOptions};
pub use resnet::{RESNET_SLIM, RESNET18, ResNet, ResNetConfig, SlimOptions, Stem};
pub use spec::{ENCODERS, EncoderSpec, Input, InputKind, encoders};

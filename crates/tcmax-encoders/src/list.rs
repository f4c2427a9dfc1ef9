//! The list of encoders.

use tcmax_registry::Catalogue;

use crate::image::{CLIP_IMAGE, VIT, VIT_TORCHVISION};
use crate::mlp::MLP;
use crate::resnet::{RESNET_SLIM, RESNET18, RESNET34, RESNET50};
use crate::sequence::{CONVOLUTION, GRU, LSTM, MEAN, SEQUENCE_TRANSFORMER};
use crate::spec::EncoderSpec;
use crate::text::{BERT, CAUSAL_TEXT, CLIP_TEXT, DISTILBERT, ROBERTA};

/// The built-in encoders, in the order to list them.
pub static ENCODERS: [&EncoderSpec; 18] = [
    &RESNET_SLIM,
    &RESNET18,
    &RESNET34,
    &RESNET50,
    &VIT,
    &VIT_TORCHVISION,
    &CLIP_IMAGE,
    &MLP,
    &GRU,
    &LSTM,
    &CONVOLUTION,
    &SEQUENCE_TRANSFORMER,
    &MEAN,
    &BERT,
    &DISTILBERT,
    &ROBERTA,
    &CLIP_TEXT,
    &CAUSAL_TEXT,
];

/// A catalogue of the built-in encoders, to which others can be added.
pub fn encoders() -> Catalogue<EncoderSpec> {
    Catalogue::new("encoder", &ENCODERS)
}

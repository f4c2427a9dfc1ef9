//! The list of encoders.

use tcmax_registry::Catalogue;

use crate::mlp::MLP;
use crate::resnet::{RESNET_SLIM, RESNET18};
use crate::spec::EncoderSpec;

/// The built-in encoders, in the order to list them.
pub static ENCODERS: [&EncoderSpec; 3] = [&RESNET_SLIM, &RESNET18, &MLP];

/// A catalogue of the built-in encoders, to which others can be added.
pub fn encoders() -> Catalogue<EncoderSpec> {
    Catalogue::new("encoder", &ENCODERS)
}

//! The mean over the steps of a sequence.

use candle_core::Tensor;
use tcmax_registry::Options;

use super::steps::{Steps, features_of};
use crate::encoder::Encoder;
use crate::error::Result;
use crate::spec::{EncoderSpec, InputKind};
use crate::text::pooling::mean_of_there;

/// The specification of the mean over steps.
pub static MEAN: EncoderSpec = EncoderSpec {
    name: "mean",
    description: "the mean over the steps of a sequence; it learns nothing",
    source: "",
    inputs: &[InputKind::Sequence],
    options: Options::NONE,
    pretrained: None,
    make: |_, input, _| Ok(Box::new(Mean::new(features_of("mean", input)?))),
};

/// The mean (B, D) of the steps (B, T, D + 1) that are there; zeros of a sequence without any.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    features: usize,
}

impl Mean {
    /// Of so many features.
    pub fn new(features: usize) -> Self {
        Self { features }
    }
}

impl Encoder for Mean {
    fn encode(&self, input: &Tensor, _: bool) -> Result<Tensor> {
        let steps = Steps::read("mean", input, self.features)?;
        mean_of_there(&steps.x, &steps.there)
    }

    fn feature_width(&self) -> usize {
        self.features
    }
}

//! What an encoder is chosen by: its specification.

use std::fmt;

use tcmax_ops::ParamBuilder;
use tcmax_registry::{Options, Spec, Table};

use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::pretrained::Pretrained;

/// What an encoder is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Log-magnitudes of shape \[channels, frequencies, times\].
    Spectrogram,
    /// Pixels of shape \[channels, height, width\], or of a clip, \[channels, frames, height, width\].
    Image,
    /// A vector without spatial order.
    Vector,
    /// Features of steps with their flags, \[steps, features + 1\]: the last column is 1 where a step is
    /// there and 0 where the sequence is shorter.
    Sequence,
    /// Token ids \[tokens\], and -1 where a text is shorter.
    Tokens,
}

impl fmt::Display for InputKind {
    /// What they are, in the plural.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spectrogram => "spectrograms",
            Self::Image => "images",
            Self::Vector => "vectors",
            Self::Sequence => "sequences",
            Self::Tokens => "tokens",
        })
    }
}

/// The inputs of one modality: what they are, and the shape of one example's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// What they are.
    pub kind: InputKind,
    /// The shape of one example's input, without the batch.
    pub shape: &'a [usize],
}

/// The specification of an encoder: a constant in the encoder's file.
pub struct EncoderSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it is.
    pub description: &'static str,
    /// Where it comes from; empty where there is no one source.
    pub source: &'static str,
    /// What it takes.
    pub inputs: &'static [InputKind],
    /// Its options.
    pub options: Options,
    /// How its parameters are called in published files; none where nobody publishes any.
    pub pretrained: Option<&'static Pretrained>,
    /// Makes the encoder for inputs that it takes: (options, input, parameters).
    pub make: fn(&Table, Input<'_>, &ParamBuilder) -> Result<Box<dyn Encoder>>,
}

impl EncoderSpec {
    /// Builds the encoder for the inputs of one modality.
    ///
    /// # Errors
    /// When it does not take such inputs, or an option is wrong.
    pub fn build(
        &self,
        options: &Table,
        input: Input<'_>,
        builder: &ParamBuilder,
    ) -> Result<Box<dyn Encoder>> {
        if !self.takes(input.kind) {
            return Err(self.refusal(input));
        }
        (self.make)(options, input, builder)
    }

    /// Whether it takes such inputs.
    pub fn takes(&self, kind: InputKind) -> bool {
        self.inputs.contains(&kind)
    }

    /// That it does not take such inputs.
    pub fn refusal(&self, input: Input<'_>) -> Error {
        let wanted = self.inputs.iter().map(InputKind::to_string);
        Error::WrongShape {
            encoder: self.name,
            got: input.shape.to_vec(),
            wanted: wanted.collect::<Vec<_>>().join(" or "),
        }
    }
}

impl Spec for EncoderSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for EncoderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

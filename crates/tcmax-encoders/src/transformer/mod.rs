//! Parts that all transformers share: layer norm, attention, the block of both, dropout.
//!
//! Parameters have the names of the network's upstream checkpoint files, which a [`Names`] gives.

mod attention;
mod block;
mod dropout;
mod norm;
mod packed;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Gelu, Hidden, Init, Linear, ParamBuilder};

use crate::error::{Error, Result};

pub(crate) use self::attention::Projections;
pub(crate) use self::block::{Blocks, BlocksConfig, Names, Order};
pub(crate) use self::dropout::{Dropout, Pass};
pub(crate) use self::norm::LayerNorm;
pub(crate) use self::packed::Packed;

/// The function between the two layers of a block's perceptron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HiddenActivation {
    /// max(x, 0).
    Relu,
    /// x Phi(x).
    Gelu,
    /// The approximation of x Phi(x) by tanh.
    GeluNew,
    /// x / (1 + exp(-1.702 x)).
    QuickGelu,
}

impl HiddenActivation {
    pub(crate) fn apply(self, x: &Hidden) -> candle_core::Result<Hidden> {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu(Gelu::Exact),
            Self::GeluNew => x.gelu(Gelu::Tanh),
            Self::QuickGelu => x.gelu(Gelu::Quick),
        }
    }
}

/// How BERT, CLIP and ViT start: normal with this standard deviation, biases at 0.
pub(crate) const START: Init = Init::Normal { mean: 0.0, std: 0.02 };

/// How a projection of normalised vectors starts: to numbers of about the same size.
pub(crate) fn projected(width: usize) -> Init {
    Init::Normal { mean: 0.0, std: 1.0 / (width as f64).sqrt() }
}

/// A linear layer that starts as transformers do.
pub(crate) fn linear(from: usize, to: usize, builder: &ParamBuilder) -> Result<Linear> {
    let weight = builder.param("weight", (to, from), START)?;
    Ok(Linear::from_tensors(weight, builder.param("bias", to, Init::Const(0.0))?)?)
}

/// Refuses sizes that no transformer has.
pub(crate) fn check_sizes(
    encoder: &'static str,
    sizes: &[(&'static str, usize)],
    [width, heads]: [usize; 2],
) -> Result<()> {
    for (field, size) in sizes.iter().copied().chain([("width", width), ("heads", heads)]) {
        if size == 0 {
            return Err(Error::Zero { encoder, field });
        }
    }
    if width % heads != 0 {
        return Err(Error::Heads { encoder, width, heads });
    }
    Ok(())
}

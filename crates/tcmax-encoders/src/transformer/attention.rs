//! Self-attention with its parameters.

use tcmax_ops::{AttentionMask, Hidden, Init, Linear, ParamBuilder};

use super::{START, linear};
use crate::error::Result;

/// What the projections to queries, keys and values are called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Projections {
    /// Three linear layers.
    Separate([&'static str; 3]),
    /// `in_proj_weight` and `in_proj_bias` of a module: PyTorch's `nn.MultiheadAttention`.
    Joint(&'static str),
}

#[derive(Clone, Debug)]
enum Layers {
    Separate([Linear; 3]),
    Joint(Linear),
}

/// Multi-head self-attention and its output projection.
#[derive(Clone, Debug)]
pub(crate) struct SelfAttention {
    layers: Layers,
    out: Linear,
    heads: usize,
}

impl SelfAttention {
    pub(crate) fn new(
        [width, heads]: [usize; 2],
        projections: Projections,
        out: &str,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let layers = match projections {
            Projections::Separate([q, k, v]) => {
                let layer = |name: &str| linear(width, width, &builder.pp(name));
                Layers::Separate([layer(q)?, layer(k)?, layer(v)?])
            }
            Projections::Joint(module) => {
                let module = builder.pp(module);
                let weight = module.param("in_proj_weight", (3 * width, width), START)?;
                let bias = module.param("in_proj_bias", 3 * width, Init::Const(0.0))?;
                Layers::Joint(Linear::from_tensors(weight, bias)?)
            }
        };
        Ok(Self { layers, out: linear(width, width, &builder.pp(out))?, heads })
    }

    /// (B, T, D) to (B, T, D).
    pub(crate) fn forward(&self, x: &Hidden, mask: &AttentionMask) -> Result<Hidden> {
        let [q, k, v] = match &self.layers {
            Layers::Separate([q, k, v]) => [x.linear(q)?, x.linear(k)?, x.linear(v)?],
            Layers::Joint(layer) => {
                let all = x.linear(layer)?;
                let width = layer.outputs() / 3;
                let part = |number: usize| all.columns(number * width, width);
                [part(0)?, part(1)?, part(2)?]
            }
        };
        Ok(Hidden::attention([&q, &k, &v], self.heads, mask)?.linear(&self.out)?)
    }
}

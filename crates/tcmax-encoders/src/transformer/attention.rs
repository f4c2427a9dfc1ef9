//! Self-attention with its parameters.

use tcmax_ops::{Hidden, Init, Linear, ParamBuilder, Sequences};

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

    /// Of rows (N, D) to all of them, or to one of each sequence, `queries` (B, D).
    pub(crate) fn forward(
        &self,
        x: &Hidden,
        queries: Option<&Hidden>,
        sequences: &Sequences,
    ) -> Result<Hidden> {
        let [q, k, v] = match (&self.layers, queries) {
            (Layers::Separate([q, k, v]), queries) => {
                [queries.unwrap_or(x).linear(q)?, x.linear(k)?, x.linear(v)?]
            }
            (Layers::Joint(layer), None) => {
                let all = x.linear(layer)?;
                let width = layer.outputs() / 3;
                let part = |number: usize| all.columns(number * width, width);
                [part(0)?, part(1)?, part(2)?]
            }
            (Layers::Joint(layer), Some(queries)) => {
                let width = layer.outputs() / 3;
                let both = x.linear(&outputs(layer, width, 2 * width)?)?;
                let q = queries.linear(&outputs(layer, 0, width)?)?;
                [q, both.columns(0, width)?, both.columns(width, width)?]
            }
        };
        Ok(Hidden::attention([&q, &k, &v], self.heads, sequences)?.linear(&self.out)?)
    }
}

/// `count` outputs of a layer, from `start` on.
fn outputs(layer: &Linear, start: usize, count: usize) -> Result<Linear> {
    let [weight, bias] = layer.parameters();
    Ok(Linear::from_tensors(weight.narrow(0, start, count)?, bias.narrow(0, start, count)?)?)
}

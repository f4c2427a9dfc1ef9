//! The blocks of a transformer: attention and a perceptron, each with a residual and a layer norm.
//!
//! ```text
//! norm first:  x += A(norm_1(x));   x += F(norm_2(x))
//! norm last:   x = norm_1(x + A(x));  x = norm_2(x + F(x))
//! F(x) = W_2 a(W_1 x + b_1) + b_2;  dropout after A and F
//! ```

use candle_core::Tensor;
use tcmax_ops::{AttentionMask, Hidden, Linear, ParamBuilder};

use super::attention::{Projections, SelfAttention};
use super::dropout::Pass;
use super::{HiddenActivation, LayerNorm, linear};
use crate::error::Result;

/// Where the layer norms are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Before attention and perceptron: ViT, CLIP.
    NormFirst,
    /// After the residuals: BERT.
    NormLast,
}

/// What the parts of a block are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) projections: Projections,
    pub(crate) out: &'static str,
    pub(crate) norms: [&'static str; 2],
    pub(crate) perceptron: [&'static str; 2],
}

/// The sizes of a stack of blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlocksConfig {
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) eps: f64,
    pub(crate) activation: HiddenActivation,
    pub(crate) order: Order,
}

/// A stack of blocks.
#[derive(Clone, Debug)]
pub(crate) struct Blocks(Vec<Block>);

impl Blocks {
    /// Blocks called by what `name` makes of their number.
    pub(crate) fn new(
        config: &BlocksConfig,
        names: &Names,
        builder: &ParamBuilder,
        name: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let block = |number| Block::new(config, names, &builder.pp(name(number)));
        (0..config.layers).map(block).collect::<Result<_>>().map(Self)
    }

    /// (B, T, D) to (B, T, D).
    pub(crate) fn forward(&self, x: &Tensor, mask: &AttentionMask, pass: &Pass) -> Result<Tensor> {
        let mut x = Hidden::of(x)?;
        for block in &self.0 {
            x = block.forward(&x, mask, pass)?;
        }
        Ok(x.tensor()?)
    }
}

#[derive(Clone, Debug)]
struct Block {
    attention: SelfAttention,
    norms: [LayerNorm; 2],
    perceptron: [Linear; 2],
    activation: HiddenActivation,
    order: Order,
}

impl Block {
    fn new(config: &BlocksConfig, names: &Names, builder: &ParamBuilder) -> Result<Self> {
        let &BlocksConfig { width, heads, hidden, eps, activation, order, .. } = config;
        let norm = |name: &str| LayerNorm::new(width, eps, &builder.pp(name));
        let [first, second] = names.perceptron;
        Ok(Self {
            attention: SelfAttention::new([width, heads], names.projections, names.out, builder)?,
            norms: [norm(names.norms[0])?, norm(names.norms[1])?],
            perceptron: [
                linear(width, hidden, &builder.pp(first))?,
                linear(hidden, width, &builder.pp(second))?,
            ],
            activation,
            order,
        })
    }

    fn forward(&self, x: &Hidden, mask: &AttentionMask, pass: &Pass) -> Result<Hidden> {
        let attend = |x: &Hidden| pass.apply_hidden(self.attention.forward(x, mask)?);
        let perceive = |x: &Hidden| -> Result<Hidden> {
            let hidden = self.activation.apply(&x.linear(&self.perceptron[0])?)?;
            pass.apply_hidden(hidden.linear(&self.perceptron[1])?)
        };
        let [first, second] = &self.norms;
        match self.order {
            Order::NormFirst => {
                let x = x.add(&attend(&first.forward_hidden(x)?)?)?;
                Ok(x.add(&perceive(&second.forward_hidden(&x)?)?)?)
            }
            Order::NormLast => {
                let x = first.forward_hidden(&x.add(&attend(x)?)?)?;
                second.forward_hidden(&x.add(&perceive(&x)?)?)
            }
        }
    }
}

//! The blocks of a transformer: attention and a perceptron, each with a residual and a layer norm.
//!
//! ```text
//! norm first:  x += A(norm_1(x));   x += F(norm_2(x))
//! norm last:   x = norm_1(x + A(x));  x = norm_2(x + F(x))
//! F(x) = W_2 a(W_1 x + b_1) + b_2;  dropout after A and F
//! ```

use candle_core::Tensor;
use tcmax_ops::{Hidden, Linear, ParamBuilder, Sequences};

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

    /// The vectors (N, D) of all rows (N, D).
    pub(crate) fn forward(&self, x: &Tensor, sequences: &Sequences, pass: &Pass) -> Result<Hidden> {
        Self::through(&self.0, Hidden::of(x)?, sequences, pass)
    }

    /// The vectors (B, D) of one row of each sequence, with these numbers (B,); of causal sequences the last.
    ///
    /// The last block computes only what these need: of the other rows keys and values, which is a sixth of its
    /// products.
    pub(crate) fn read(
        &self,
        x: &Tensor,
        sequences: &Sequences,
        rows: &Tensor,
        pass: &Pass,
    ) -> Result<Hidden> {
        let x = Hidden::of(x)?;
        match self.0.split_last() {
            Some((last, before)) => {
                let x = Self::through(before, x, sequences, pass)?;
                last.forward(&x, Some(rows), sequences, pass)
            }
            None => Ok(x.rows(rows)?),
        }
    }

    fn through(
        blocks: &[Block],
        mut x: Hidden,
        sequences: &Sequences,
        pass: &Pass,
    ) -> Result<Hidden> {
        for block in blocks {
            x = block.forward(&x, None, sequences, pass)?;
        }
        Ok(x)
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

    /// Of all rows (N, D), or of those with the numbers `read`.
    fn forward(
        &self,
        x: &Hidden,
        read: Option<&Tensor>,
        sequences: &Sequences,
        pass: &Pass,
    ) -> Result<Hidden> {
        let chosen = |x: &Hidden| read.map(|rows| x.rows(rows)).transpose();
        let attend = |x: &Hidden, queries: Option<&Hidden>| {
            pass.apply_hidden(self.attention.forward(x, queries, sequences)?)
        };
        let perceive = |x: &Hidden| -> Result<Hidden> {
            let hidden = self.activation.apply(&x.linear(&self.perceptron[0])?)?;
            pass.apply_hidden(hidden.linear(&self.perceptron[1])?)
        };
        let [first, second] = &self.norms;
        match self.order {
            Order::NormFirst => {
                let normal = first.forward_hidden(x)?;
                let attended = attend(&normal, chosen(&normal)?.as_ref())?;
                let x = chosen(x)?.as_ref().unwrap_or(x).add(&attended)?;
                Ok(x.add(&perceive(&second.forward_hidden(&x)?)?)?)
            }
            Order::NormLast => {
                let queries = chosen(x)?;
                let attended = attend(x, queries.as_ref())?;
                let x = first.forward_hidden(&queries.as_ref().unwrap_or(x).add(&attended)?)?;
                second.forward_hidden(&x.add(&perceive(&x)?)?)
            }
        }
    }
}

//! A transformer encoder on sequences of features: a linear map, learned positions, blocks, the mean.
//!
//! The blocks are those of PyTorch's `nn.TransformerEncoder`, by its names
//! (`layers.0.self_attn.in_proj_weight`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Hidden, Linear, ParamBuilder, embedding};
use tcmax_registry::{OptionSet, Options, read};

use super::steps::{Steps, features_of};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::pretrained::check_transformer;
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Names, Order, Packed, Projections,
    START, check_sizes,
};

/// The specification of the transformer on sequences.
pub static SEQUENCE_TRANSFORMER: EncoderSpec = EncoderSpec {
    name: "transformer",
    description: "a transformer encoder on sequences",
    source: "Vaswani et al., NeurIPS 2017",
    inputs: &[InputKind::Sequence],
    options: Options::of::<SequenceTransformerOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let features = features_of("transformer", input)?;
        let steps = input.shape[0];
        let options: SequenceTransformerOptions = read(options)?;
        Ok(Box::new(SequenceTransformer::new(&options, [steps, features], builder)?))
    },
};

/// Options of the transformer on sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SequenceTransformerOptions {
    /// Features of a step.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention; they share the width.
    pub heads: usize,
    /// Units between the two layers of a block's perceptron.
    pub hidden: usize,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
    /// Layer norms before attention and perceptron, and one at the end, instead of after the residuals.
    pub norm_first: bool,
    /// The part of values that dropout sets to 0 in training.
    pub dropout: f64,
}

impl Default for SequenceTransformerOptions {
    fn default() -> Self {
        Self {
            width: 128,
            layers: 2,
            heads: 4,
            hidden: 256,
            activation: HiddenActivation::Gelu,
            norm_first: true,
            dropout: 0.1,
        }
    }
}

impl OptionSet for SequenceTransformerOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let sizes = [("layers", self.layers), ("hidden", self.hidden)];
        check_transformer(&sizes, [self.width, self.heads], self.dropout)
    }
}

/// Epsilon of the layer norms.
const EPS: f64 = 1e-5;

const BLOCK: Names = Names {
    projections: Projections::Joint("self_attn"),
    out: "self_attn.out_proj",
    norms: ["norm1", "norm2"],
    perceptron: ["linear1", "linear2"],
};

/// PyTorch's `nn.TransformerEncoder`: blocks, and where asked for a norm after the last.
#[derive(Clone, Debug)]
pub struct TransformerStack {
    blocks: Blocks,
    norm: Option<LayerNorm>,
    dropout: Dropout,
}

impl TransformerStack {
    /// Blocks of the options, with a norm after the last if `final_norm`.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(
        options: &SequenceTransformerOptions,
        final_norm: bool,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let &SequenceTransformerOptions { width, layers, heads, hidden, activation, .. } = options;
        check_sizes("transformer", &[("layers", layers), ("hidden", hidden)], [width, heads])?;
        let order = if options.norm_first { Order::NormFirst } else { Order::NormLast };
        let config = BlocksConfig { width, heads, layers, hidden, eps: EPS, activation, order };
        let norm = final_norm.then(|| LayerNorm::new(width, EPS, &builder.pp("norm")));
        Ok(Self {
            blocks: Blocks::new(&config, &BLOCK, builder, |number| format!("layers.{number}"))?,
            norm: norm.transpose()?,
            dropout: Dropout::new(options.dropout, builder)?,
        })
    }

    /// (B, T, D) to (B, T, D); no step sees one that is not `there` (B, T).
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, x: &Tensor, there: &Tensor, train: bool) -> Result<Tensor> {
        let packed = Packed::padded(there)?;
        Ok(self.vectors(&packed.of(x)?, &packed, train)?.tensor()?.reshape(x.shape())?)
    }

    /// Those of the rows (N, D) that are computed.
    fn vectors(&self, x: &Tensor, packed: &Packed, train: bool) -> Result<Hidden> {
        let pass = self.dropout.pass(train)?;
        let y = self.blocks.forward(&pass.apply(x.clone())?, packed.sequences(), &pass)?;
        match &self.norm {
            Some(norm) => norm.forward_hidden(&y),
            None => Ok(y),
        }
    }
}

/// A transformer on sequences (B, T, D + 1); the features are the mean over the steps.
#[derive(Clone, Debug)]
pub struct SequenceTransformer {
    input: Linear,
    positions: Tensor,
    stack: TransformerStack,
    features: usize,
    width: usize,
}

impl SequenceTransformer {
    /// A new network for at most so many [steps, features]; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(
        options: &SequenceTransformerOptions,
        [steps, features]: [usize; 2],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        if steps == 0 || features == 0 {
            return Err(Error::Zero { encoder: "transformer", field: "steps and features" });
        }
        let width = options.width;
        Ok(Self {
            input: Linear::new(features, width, &builder.pp("projection"))?,
            positions: builder.param("positions", (steps, width), START)?,
            stack: TransformerStack::new(options, options.norm_first, builder)?,
            features,
            width,
        })
    }
}

impl Encoder for SequenceTransformer {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let steps = Steps::read("transformer", input, self.features)?;
        let (batch, length, _) = steps.x.dims3()?;
        let most = self.positions.dim(0)?;
        if length > most {
            return Err(Error::WrongShape {
                encoder: "transformer",
                got: input.dims().to_vec(),
                wanted: format!("at most {most} steps"),
            });
        }
        let packed = Packed::of_there(&steps.there)?;
        let x = self.input.forward(&packed.of(&steps.x)?)?.to_dtype(self.positions.dtype())?;
        let places = Tensor::arange(0u32, length as u32, x.device())?.broadcast_as((batch, length));
        let x = (x + embedding(&self.positions, &packed.of(&places?)?)?)?;
        let y = self.stack.vectors(&x, &packed, train)?;
        Ok(y.mean(packed.sequences())?.tensor()?)
    }

    fn feature_width(&self) -> usize {
        self.width
    }
}

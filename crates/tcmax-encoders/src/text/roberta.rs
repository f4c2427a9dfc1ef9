//! RoBERTa (Liu et al. 2019): BERT's network, whose positions count from the padding id on.
//!
//! Parameter names are those of `transformers`.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::ParamBuilder;
use tcmax_registry::{OptionSet, Options, read};

use super::bert::{self, Bert, BertOptions};
use super::pooling::TextPooling;
use super::tokens::Tokens;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName, strip};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::HiddenActivation;

/// The specification of RoBERTa.
pub static ROBERTA: EncoderSpec = EncoderSpec {
    name: "roberta",
    description: "RoBERTa on token ids",
    source: "Liu et al. 2019",
    inputs: &[InputKind::Tokens],
    options: Options::of::<RobertaOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            let name = strip(name, &["roberta."]);
            match name.starts_with("lm_head.") {
                true => UpstreamName::Ignored,
                false => bert::names(&name),
            }
        },
        options: |config| bert::published_options(config, ("pad_token_id", "padding")),
        first_layer: None,
        positions: None,
    }),
    make: |options, _, builder| Ok(Box::new(Roberta::new(&read(options)?, builder)?)),
};

/// Options of RoBERTa; the defaults are those of the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RobertaOptions {
    /// Features of a token.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention; they share the width.
    pub heads: usize,
    /// Units between the two layers of a block's perceptron.
    pub hidden: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Rows of the table of positions: the padding id and 1 more than the most tokens of a text.
    pub positions: usize,
    /// The id of padding.
    pub padding: usize,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
    /// The part of values that dropout sets to 0 in training.
    pub dropout: f64,
    /// What the features of a text are.
    pub pooling: TextPooling,
}

impl Default for RobertaOptions {
    fn default() -> Self {
        let bert = BertOptions::default();
        Self {
            width: bert.width,
            layers: bert.layers,
            heads: bert.heads,
            hidden: bert.hidden,
            vocabulary: 50_265,
            positions: 514,
            padding: 1,
            eps: 1e-5,
            activation: bert.activation,
            dropout: bert.dropout,
            pooling: bert.pooling,
        }
    }
}

impl RobertaOptions {
    fn network(&self) -> BertOptions {
        BertOptions {
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            hidden: self.hidden,
            vocabulary: self.vocabulary,
            positions: self.positions,
            segments: 1,
            eps: self.eps,
            activation: self.activation,
            dropout: self.dropout,
            pooling: self.pooling,
        }
    }
}

impl OptionSet for RobertaOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let room = self.padding + 1 < self.positions && self.padding < self.vocabulary;
        tcmax_registry::require(room, "padding", "must be below positions - 1 and vocabulary")?;
        self.network().check()
    }
}

/// RoBERTa on token ids (B, T).
#[derive(Clone, Debug)]
pub struct Roberta {
    network: Bert,
    positions: usize,
    padding: usize,
}

impl Roberta {
    /// A new network; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// As [`Bert::new`].
    pub fn new(options: &RobertaOptions, builder: &ParamBuilder) -> Result<Self> {
        let network = Bert::new(&options.network(), builder)?;
        Ok(Self { network, positions: options.positions, padding: options.padding })
    }

    /// Where tokens (B, T) are: those that are not padding are counted from `padding` + 1 on, the others
    /// are at `padding`.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn positions(&self, tokens: &Tokens) -> Result<Tensor> {
        let is_token = tokens.ids.ne(self.padding as u32)?.to_dtype(DType::F32)?;
        let positions = ((is_token.cumsum(1)? * is_token)? + self.padding as f64)?;
        Ok(positions.to_dtype(DType::U32)?)
    }

    /// The last block's vectors, (B, T, D).
    ///
    /// # Errors
    /// When an id is out of range.
    pub fn hidden(&self, tokens: &Tokens, train: bool) -> Result<Tensor> {
        self.network.hidden(tokens, &self.positions(tokens)?, None, train)
    }

    /// As [`Bert::pool`].
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn pool(&self, hidden: &Tensor, tokens: &Tokens, pooling: TextPooling) -> Result<Tensor> {
        self.network.pool(hidden, tokens, pooling)
    }
}

impl Encoder for Roberta {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let most = self.positions - self.padding - 1;
        let tokens = Tokens::read("RoBERTa", input, self.padding, most)?;
        self.network.features(&tokens, Some(&self.positions(&tokens)?), train)
    }

    fn feature_width(&self) -> usize {
        self.network.feature_width()
    }
}

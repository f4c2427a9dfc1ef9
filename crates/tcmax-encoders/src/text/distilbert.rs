//! DistilBERT (Sanh et al. 2019): BERT with half the blocks, without segments and pooler.
//!
//! Parameter names are those of `transformers` (`transformer.layer.0.attention.q_lin.weight`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::ParamBuilder;
use tcmax_registry::{OptionSet, Options, read, require};

use super::pooling::{TextPooling, features, pooled};
use super::tokens::Tokens;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName, check_transformer, options_from, strip};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Names, Order, Packed, Pass,
    Projections, START, check_sizes,
};

/// The specification of DistilBERT.
pub static DISTILBERT: EncoderSpec = EncoderSpec {
    name: "distilbert",
    description: "DistilBERT on token ids",
    source: "Sanh et al. 2019",
    inputs: &[InputKind::Tokens],
    options: Options::of::<DistilBertOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            let name = strip(name, &["distilbert."]);
            let heads = ["vocab_", "pre_classifier.", "classifier.", "qa_outputs."];
            match heads.iter().any(|head| name.starts_with(head)) || name.ends_with("position_ids")
            {
                true => UpstreamName::Ignored,
                false => UpstreamName::Parameter(name),
            }
        },
        options: |config| {
            options_from(
                config,
                &[
                    ("dim", "width"),
                    ("n_layers", "layers"),
                    ("n_heads", "heads"),
                    ("hidden_dim", "hidden"),
                    ("vocab_size", "vocabulary"),
                    ("max_position_embeddings", "positions"),
                    ("hidden_act", "activation"),
                    ("activation", "activation"),
                    ("dropout", "dropout"),
                ],
            )
        },
        first_layer: None,
        positions: None,
    }),
    make: |options, _, builder| Ok(Box::new(DistilBert::new(&read(options)?, builder)?)),
};

/// Options of DistilBERT; the defaults are those of the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DistilBertOptions {
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
    /// Most tokens of a text.
    pub positions: usize,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
    /// The part of values that dropout sets to 0 in training.
    pub dropout: f64,
    /// What the features of a text are: the mean or the first token's.
    pub pooling: TextPooling,
}

impl Default for DistilBertOptions {
    fn default() -> Self {
        Self {
            width: 768,
            layers: 6,
            heads: 12,
            hidden: 3072,
            vocabulary: 30_522,
            positions: 512,
            activation: HiddenActivation::Gelu,
            dropout: 0.1,
            pooling: TextPooling::Mean,
        }
    }
}

impl OptionSet for DistilBertOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let pooled = self.pooling != TextPooling::Pooler;
        require(pooled, "pooling", "must be mean or cls: DistilBERT has no pooler")?;
        check_transformer(
            &[
                ("layers", self.layers),
                ("hidden", self.hidden),
                ("vocabulary", self.vocabulary),
                ("positions", self.positions),
            ],
            [self.width, self.heads],
            self.dropout,
        )
    }
}

/// Epsilon of DistilBERT's layer norms.
const EPS: f64 = 1e-12;

const BLOCK: Names = Names {
    projections: Projections::Separate(["attention.q_lin", "attention.k_lin", "attention.v_lin"]),
    out: "attention.out_lin",
    norms: ["sa_layer_norm", "output_layer_norm"],
    perceptron: ["ffn.lin1", "ffn.lin2"],
};

/// DistilBERT on token ids (B, T).
#[derive(Clone, Debug)]
pub struct DistilBert {
    options: DistilBertOptions,
    words: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    blocks: Blocks,
    dropout: Dropout,
}

impl DistilBert {
    /// A new network; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(options: &DistilBertOptions, builder: &ParamBuilder) -> Result<Self> {
        let DistilBertOptions { width, layers, heads, hidden, activation, .. } = *options;
        let sizes = [
            ("layers", layers),
            ("hidden", hidden),
            ("vocabulary", options.vocabulary),
            ("positions", options.positions),
        ];
        check_sizes("DistilBERT", &sizes, [width, heads])?;
        let of = builder.pp("embeddings");
        let table = |name: &str, rows: usize| of.pp(name).param("weight", (rows, width), START);
        let order = Order::NormLast;
        let config = BlocksConfig { width, heads, layers, hidden, eps: EPS, activation, order };
        Ok(Self {
            words: table("word_embeddings", options.vocabulary)?,
            positions: table("position_embeddings", options.positions)?,
            norm: LayerNorm::new(width, EPS, &of.pp("LayerNorm"))?,
            blocks: Blocks::new(&config, &BLOCK, builder, |n| format!("transformer.layer.{n}"))?,
            dropout: Dropout::new(options.dropout, builder)?,
            options: options.clone(),
        })
    }

    /// The last block's vectors, (B, T, D).
    ///
    /// # Errors
    /// When an id is out of range.
    pub fn hidden(&self, tokens: &Tokens, train: bool) -> Result<Tensor> {
        let pass = self.dropout.pass(train)?;
        let packed = Packed::padded(&tokens.there)?;
        let x = self.embedded(tokens, &packed, &pass)?;
        tokens.vectors(&self.blocks.forward(&x, packed.sequences(), &pass)?)
    }

    /// What goes into the first block, (N, D).
    fn embedded(&self, tokens: &Tokens, packed: &Packed, pass: &Pass) -> Result<Tensor> {
        let x = tokens.embedded([&self.words, &self.positions], packed)?;
        pass.apply(self.norm.forward(&x)?)
    }

    /// The features of texts from the vectors of their tokens: the mean, or the first token's.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn pool(&self, hidden: &Tensor, tokens: &Tokens, pooling: TextPooling) -> Result<Tensor> {
        pooled(hidden, tokens, pooling, None)
    }
}

impl Encoder for DistilBert {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let tokens = Tokens::read("DistilBERT", input, 0, self.options.positions)?;
        let pass = self.dropout.pass(train)?;
        let packed = Packed::of_there(&tokens.there)?;
        let x = self.embedded(&tokens, &packed, &pass)?;
        features(&self.blocks, (&x, &packed), &pass, self.options.pooling, None)
    }

    fn feature_width(&self) -> usize {
        self.options.width
    }
}

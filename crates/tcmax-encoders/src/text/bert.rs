//! BERT (Devlin et al. 2019): word, position and segment embeddings, and blocks with the norm last.
//!
//! Parameter names are those of `transformers` (`encoder.layer.0.attention.self.query.weight`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Linear, ParamBuilder, embedding};
use tcmax_registry::{OptionSet, Options, Table, read};

use super::pooling::{TextPooling, features, pooled};
use super::tokens::Tokens;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName, check_transformer, options_from, strip};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Names, Order, Packed, Pass,
    Projections, START, check_sizes, linear,
};

/// The specification of BERT.
pub static BERT: EncoderSpec = EncoderSpec {
    name: "bert",
    description: "BERT on token ids",
    source: "Devlin et al., NAACL 2019",
    inputs: &[InputKind::Tokens],
    options: Options::of::<BertOptions>(),
    pretrained: Some(&Pretrained {
        names,
        options: |config| published_options(config, ("type_vocab_size", "segments")),
        first_layer: None,
        positions: None,
    }),
    make: |options, _, builder| Ok(Box::new(Bert::new(&read(options)?, builder)?)),
};

/// Names of checkpoint files: with the prefix of a larger model or without, norms by their old names, heads
/// of the pre-training left out.
pub(crate) fn names(name: &str) -> UpstreamName {
    let name = strip(name, &["bert."]);
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight");
    let name = name.replace("LayerNorm.beta", "LayerNorm.bias");
    let is_other = name.starts_with("cls.")
        || name.starts_with("classifier.")
        || name.ends_with("position_ids")
        || name.ends_with("token_type_ids");
    if is_other { UpstreamName::Ignored } else { UpstreamName::Parameter(name) }
}

/// The options that a `config.json` gives BERT or RoBERTa: what both have, and an entry of its own with the
/// option that it is.
///
/// # Errors
/// When an entry is no number, text or truth value.
pub(super) fn published_options(config: &serde_json::Value, own: (&str, &str)) -> Result<Table> {
    let common = [
        ("hidden_size", "width"),
        ("num_hidden_layers", "layers"),
        ("num_attention_heads", "heads"),
        ("intermediate_size", "hidden"),
        ("vocab_size", "vocabulary"),
        ("max_position_embeddings", "positions"),
        ("layer_norm_eps", "eps"),
        ("hidden_act", "activation"),
        ("hidden_dropout_prob", "dropout"),
    ];
    let mut options = options_from(config, &common)?;
    options.extend(options_from(config, &[own])?);
    Ok(options)
}

/// Options of BERT; the defaults are those of the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BertOptions {
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
    /// Segments; texts are segment 0.
    pub segments: usize,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
    /// The part of values that dropout sets to 0 in training.
    pub dropout: f64,
    /// What the features of a text are.
    pub pooling: TextPooling,
}

impl Default for BertOptions {
    fn default() -> Self {
        Self {
            width: 768,
            layers: 12,
            heads: 12,
            hidden: 3072,
            vocabulary: 30_522,
            positions: 512,
            segments: 2,
            eps: 1e-12,
            activation: HiddenActivation::Gelu,
            dropout: 0.1,
            pooling: TextPooling::Mean,
        }
    }
}

impl OptionSet for BertOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        check_transformer(
            &[
                ("layers", self.layers),
                ("hidden", self.hidden),
                ("vocabulary", self.vocabulary),
                ("positions", self.positions),
                ("segments", self.segments),
            ],
            [self.width, self.heads],
            self.dropout,
        )
    }
}

/// What blocks of BERT and RoBERTa are called.
pub(crate) const BLOCK: Names = Names {
    projections: Projections::Separate([
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    ]),
    out: "attention.output.dense",
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    perceptron: ["intermediate.dense", "output.dense"],
};

/// BERT on token ids (B, T).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_encoders::{Bert, BertOptions, Encoder};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> tcmax_encoders::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let small =
///     BertOptions { width: 32, layers: 2, heads: 4, hidden: 64, vocabulary: 99, ..Default::default() };
/// let encoder = Bert::new(&small, &builder)?;
/// // The second text has two tokens.
/// let ids = Tensor::new(&[[2f32, 17.0, 44.0, 3.0], [2.0, 3.0, -1.0, -1.0]], &Device::Cpu)?;
/// assert_eq!(encoder.encode(&ids, false)?.dims(), [2, 32]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bert {
    options: BertOptions,
    words: Tensor,
    positions: Tensor,
    segments: Tensor,
    norm: LayerNorm,
    blocks: Blocks,
    pooler: Option<Linear>,
    dropout: Dropout,
}

impl Bert {
    /// A new network; its parameters go into `builder`'s store. There is a pooler where the options ask for
    /// its features.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(options: &BertOptions, builder: &ParamBuilder) -> Result<Self> {
        let BertOptions { width, layers, heads, hidden, eps, activation, .. } = *options;
        let sizes = [
            ("layers", layers),
            ("hidden", hidden),
            ("vocabulary", options.vocabulary),
            ("positions", options.positions),
            ("segments", options.segments),
        ];
        check_sizes("BERT", &sizes, [width, heads])?;
        let of = builder.pp("embeddings");
        let table = |name: &str, rows: usize| of.pp(name).param("weight", (rows, width), START);
        let config =
            BlocksConfig { width, heads, layers, hidden, eps, activation, order: Order::NormLast };
        let pooler = (options.pooling == TextPooling::Pooler)
            .then(|| linear(width, width, &builder.pp("pooler.dense")));
        Ok(Self {
            words: table("word_embeddings", options.vocabulary)?,
            positions: table("position_embeddings", options.positions)?,
            segments: table("token_type_embeddings", options.segments)?,
            norm: LayerNorm::new(width, eps, &of.pp("LayerNorm"))?,
            blocks: Blocks::new(&config, &BLOCK, builder, |n| format!("encoder.layer.{n}"))?,
            pooler: pooler.transpose()?,
            dropout: Dropout::new(options.dropout, builder)?,
            options: options.clone(),
        })
    }

    /// The last block's vectors (B, T, D) of tokens at `positions` (T,) or (B, T) in `segments` (B, T), of
    /// segment 0 where none are given.
    ///
    /// # Errors
    /// When an id, a position or a segment is out of range.
    pub fn hidden(
        &self,
        tokens: &Tokens,
        positions: &Tensor,
        segments: Option<&Tensor>,
        train: bool,
    ) -> Result<Tensor> {
        let pass = self.dropout.pass(train)?;
        let packed = Packed::padded(&tokens.there)?;
        let x = self.embedded(tokens, &packed, [Some(positions), segments], &pass)?;
        tokens.vectors(&self.blocks.forward(&x, packed.sequences(), &pass)?)
    }

    /// What goes into the first block, (N, D), of [positions, segments]; absent: 0 to T - 1, and 0.
    fn embedded(
        &self,
        tokens: &Tokens,
        packed: &Packed,
        [positions, segments]: [Option<&Tensor>; 2],
        pass: &Pass,
    ) -> Result<Tensor> {
        let of_tokens = |table: &Tensor, numbers: &Tensor| -> Result<Tensor> {
            let numbers = packed.of(&numbers.broadcast_as(tokens.ids.shape())?)?;
            Ok(embedding(table, &numbers)?)
        };
        let segments = match segments {
            Some(segments) => of_tokens(&self.segments, segments)?,
            None => self.segments.narrow(0, 0, 1)?,
        };
        let positions = match positions {
            Some(positions) => of_tokens(&self.positions, positions)?,
            None => of_tokens(&self.positions, &tokens.positions()?)?,
        };
        let x = of_tokens(&self.words, &tokens.ids)?.broadcast_add(&segments)?;
        pass.apply(self.norm.forward(&(x + positions)?)?)
    }

    /// The features of texts at `positions` (T,) or (B, T), of 0 to T - 1 where none are given.
    pub(super) fn features(
        &self,
        tokens: &Tokens,
        positions: Option<&Tensor>,
        train: bool,
    ) -> Result<Tensor> {
        let pass = self.dropout.pass(train)?;
        let packed = Packed::of_there(&tokens.there)?;
        let x = self.embedded(tokens, &packed, [positions, None], &pass)?;
        let pooler = self.pooler.as_ref();
        features(&self.blocks, (&x, &packed), &pass, self.options.pooling, pooler)
    }

    /// The features of texts from the vectors of their tokens; [`TextPooling::Pooler`] where the network has
    /// one, else the first token's.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn pool(&self, hidden: &Tensor, tokens: &Tokens, pooling: TextPooling) -> Result<Tensor> {
        pooled(hidden, tokens, pooling, self.pooler.as_ref())
    }
}

impl Encoder for Bert {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let tokens = Tokens::read("BERT", input, 0, self.options.positions)?;
        self.features(&tokens, None, train)
    }

    fn feature_width(&self) -> usize {
        self.options.width
    }
}

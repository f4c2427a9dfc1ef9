//! CLIP's text tower (Radford et al. 2021): a causal transformer, read at the token that ends the text.
//!
//! Parameter names are those of `transformers` (`text_model.encoder.layers.0.self_attn.q_proj.weight`).

use candle_core::{D, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Hidden, ParamBuilder};
use tcmax_registry::{OptionSet, Options, read};

use super::tokens::Tokens;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName, check_transformer, options_from, part};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Names, Order, Packed, Pass,
    Projections, START, check_sizes, projected,
};

/// The specification of CLIP's text tower.
pub static CLIP_TEXT: EncoderSpec = EncoderSpec {
    name: "clip-text",
    description: "CLIP's text tower on token ids",
    source: "Radford et al., ICML 2021",
    inputs: &[InputKind::Tokens],
    options: Options::of::<ClipTextOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            let own = name.starts_with("text_model.") || name.starts_with("text_projection.");
            match own && !name.ends_with("position_ids") {
                true => UpstreamName::Parameter(name.to_owned()),
                false => UpstreamName::Ignored,
            }
        },
        options: |config| {
            let tower = part(config, ["text_config", "text"]);
            let mut options = options_from(
                tower,
                &[
                    ("hidden_size", "width"),
                    ("num_hidden_layers", "layers"),
                    ("num_attention_heads", "heads"),
                    ("intermediate_size", "hidden"),
                    ("vocab_size", "vocabulary"),
                    ("max_position_embeddings", "positions"),
                    ("eos_token_id", "end"),
                    ("layer_norm_eps", "eps"),
                    ("hidden_act", "activation"),
                ],
            )?;
            options.extend(options_from(config, &[("projection_dim", "projection")])?);
            Ok(options)
        },
        first_layer: None,
        positions: None,
    }),
    make: |options, _, builder| Ok(Box::new(ClipText::new(&read(options)?, builder)?)),
};

/// Options of CLIP's text tower; the defaults are those of ViT-B/32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClipTextOptions {
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
    /// The id of the token that ends a text; 2, as in older files, means the largest id of the text.
    pub end: usize,
    /// Features of a text.
    pub projection: usize,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
}

impl Default for ClipTextOptions {
    fn default() -> Self {
        Self {
            width: 512,
            layers: 12,
            heads: 8,
            hidden: 2048,
            vocabulary: 49_408,
            positions: 77,
            end: 49_407,
            projection: 512,
            eps: 1e-5,
            activation: HiddenActivation::QuickGelu,
        }
    }
}

impl OptionSet for ClipTextOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        check_transformer(
            &[
                ("layers", self.layers),
                ("hidden", self.hidden),
                ("vocabulary", self.vocabulary),
                ("positions", self.positions),
                ("projection", self.projection),
            ],
            [self.width, self.heads],
            0.0,
        )
    }
}

/// What blocks of both of CLIP's towers are called.
pub(crate) const BLOCK: Names = Names {
    projections: Projections::Separate([
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
    ]),
    out: "self_attn.out_proj",
    norms: ["layer_norm1", "layer_norm2"],
    perceptron: ["mlp.fc1", "mlp.fc2"],
};

/// The end of texts in older files: the largest id.
const LARGEST: usize = 2;

/// CLIP's text tower on token ids (B, T): the projected vector of the token that ends a text.
#[derive(Clone, Debug)]
pub struct ClipText {
    options: ClipTextOptions,
    words: Tensor,
    positions: Tensor,
    blocks: Blocks,
    norm: LayerNorm,
    projection: Tensor,
    none: Dropout,
}

impl ClipText {
    /// A new network; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(options: &ClipTextOptions, builder: &ParamBuilder) -> Result<Self> {
        let ClipTextOptions { width, layers, heads, hidden, eps, activation, .. } = *options;
        let sizes = [
            ("layers", layers),
            ("hidden", hidden),
            ("vocabulary", options.vocabulary),
            ("positions", options.positions),
            ("projection", options.projection),
        ];
        check_sizes("CLIP", &sizes, [width, heads])?;
        let tower = builder.pp("text_model");
        let table = |name: &str, rows: usize| {
            tower.pp("embeddings").pp(name).param("weight", (rows, width), START)
        };
        let order = Order::NormFirst;
        let config = BlocksConfig { width, heads, layers, hidden, eps, activation, order };
        let projection = builder.pp("text_projection");
        Ok(Self {
            words: table("token_embedding", options.vocabulary)?,
            positions: table("position_embedding", options.positions)?,
            blocks: Blocks::new(&config, &BLOCK, &tower, |n| format!("encoder.layers.{n}"))?,
            norm: LayerNorm::new(width, eps, &tower.pp("final_layer_norm"))?,
            projection: projection.param(
                "weight",
                (options.projection, width),
                projected(width),
            )?,
            none: Dropout::new(0.0, builder)?,
            options: options.clone(),
        })
    }

    /// The normalised vectors (B, T, D) of the last block; a query sees tokens that are there, up to its own.
    ///
    /// # Errors
    /// When an id is out of range.
    pub fn hidden(&self, tokens: &Tokens) -> Result<Tensor> {
        let packed = Packed::padded(&tokens.there)?.causal();
        let x = tokens.embedded([&self.words, &self.positions], &packed)?;
        let x = self.blocks.forward(&x, packed.sequences(), &self.none.pass(false)?)?;
        tokens.vectors(&self.norm.forward_hidden(&x)?)
    }

    /// Where texts end, (B,), u32: the first token with the id of the end, or the first of the largest id.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn ends(&self, tokens: &Tokens) -> Result<Tensor> {
        let ids = &tokens.ids;
        let wanted = match self.options.end {
            LARGEST => ids.max_keepdim(1)?,
            end => Tensor::full(end as u32, (ids.dim(0)?, 1), ids.device())?,
        };
        let length = ids.dim(1)? as u32;
        let places = Tensor::arange(0u32, length, ids.device())?.broadcast_as(ids.shape())?;
        let none = Tensor::full(length, ids.shape(), ids.device())?;
        let first = ids.broadcast_eq(&wanted)?.where_cond(&places, &none)?.min(1)?;
        // A text that was cut has no end: PyTorch's argmax of no hit is the first place.
        Ok(first.lt(length)?.where_cond(&first, &first.zeros_like()?)?)
    }

    /// The vectors (B, D) at the ends of texts.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn pool(&self, hidden: &Tensor, tokens: &Tokens) -> Result<Tensor> {
        at(hidden, &self.ends(tokens)?)
    }

    /// The features (B, projection) of the vectors at the ends of texts.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn project(&self, pooled: &Tensor) -> Result<Tensor> {
        Ok(pooled.matmul(&self.projection.t()?)?)
    }
}

/// The vectors (B, D) of (B, T, D) at places (B,).
pub(super) fn at(hidden: &Tensor, places: &Tensor) -> Result<Tensor> {
    let (batch, length, width) = hidden.dims3()?;
    let starts = Tensor::arange(0u32, batch as u32, hidden.device())?;
    let starts = (starts * length as f64)?;
    let rows = hidden.reshape((batch * length, width))?;
    debug_assert_eq!(rows.dim(D::Minus1)?, width);
    Ok(rows.index_select(&(starts + places)?, 0)?)
}

/// The vectors (B, D) at the ends (B,) of texts, of causal blocks: no token after an end is seen there, so none
/// is computed.
pub(super) fn at_ends(
    blocks: &Blocks,
    tables: [&Tensor; 2],
    tokens: &Tokens,
    ends: &Tensor,
    pass: &Pass,
) -> Result<Hidden> {
    if ends.device().is_cpu() {
        let packed = Packed::up_to(&ends.to_vec1::<u32>()?, &tokens.there)?.causal();
        let x = tokens.embedded(tables, &packed)?;
        return blocks.read(&x, packed.sequences(), &packed.last_rows()?, pass);
    }
    let packed = Packed::padded(&tokens.there)?.causal();
    let x = tokens.embedded(tables, &packed)?;
    let rows = (packed.first_rows()? + ends)?;
    Ok(blocks.forward(&x, packed.sequences(), pass)?.rows(&rows)?)
}

impl Encoder for ClipText {
    fn encode(&self, input: &Tensor, _: bool) -> Result<Tensor> {
        let tokens = Tokens::read("CLIP", input, 0, self.options.positions)?;
        let (tables, pass) = ([&self.words, &self.positions], self.none.pass(false)?);
        let x = at_ends(&self.blocks, tables, &tokens, &self.ends(&tokens)?, &pass)?;
        self.project(&self.norm.forward_hidden(&x)?.tensor()?)
    }

    fn feature_width(&self) -> usize {
        self.options.projection
    }
}

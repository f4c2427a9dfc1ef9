//! The small causal text transformer of the paper's experiments on image and text: CLIP's text tower as
//! first published (Radford et al. 2021), trained from scratch.
//!
//! Parameter names are those of that publication's files (`transformer.resblocks.0.attn.in_proj_weight`). The
//! files themselves are TorchScript, which is not read: save their state dict first.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Init, ParamBuilder};
use tcmax_registry::{OptionSet, Options, read};

use super::clip::at_ends;
use super::tokens::Tokens;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName, check_transformer};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Names, Order, Projections, START,
    check_sizes,
};

/// The specification of the causal text transformer.
pub static CAUSAL_TEXT: EncoderSpec = EncoderSpec {
    name: "causal-text",
    description: "a causal text transformer, as in the paper",
    source: "Radford et al., ICML 2021",
    inputs: &[InputKind::Tokens],
    options: Options::of::<CausalOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            let parts =
                ["visual.", "logit_scale", "input_resolution", "context_length", "vocab_size"];
            match parts.iter().any(|part| name.starts_with(part)) {
                true => UpstreamName::Ignored,
                false => UpstreamName::Parameter(name.to_owned()),
            }
        },
        options: |_| Ok(Default::default()),
        first_layer: None,
        positions: None,
    }),
    make: |options, _, builder| Ok(Box::new(CausalText::new(&read(options)?, builder)?)),
};

/// Options of the causal text transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CausalOptions {
    /// Features of a token.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention; they share the width.
    pub heads: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Most tokens of a text.
    pub positions: usize,
    /// Features of a text.
    pub projection: usize,
}

impl Default for CausalOptions {
    fn default() -> Self {
        Self {
            width: 512,
            layers: 12,
            heads: 8,
            vocabulary: 49_408,
            positions: 77,
            projection: 512,
        }
    }
}

impl OptionSet for CausalOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        check_transformer(
            &[
                ("layers", self.layers),
                ("vocabulary", self.vocabulary),
                ("positions", self.positions),
                ("projection", self.projection),
            ],
            [self.width, self.heads],
            0.0,
        )
    }
}

const BLOCK: Names = Names {
    projections: Projections::Joint("attn"),
    out: "attn.out_proj",
    norms: ["ln_1", "ln_2"],
    perceptron: ["mlp.c_fc", "mlp.c_proj"],
};

/// A causal transformer on token ids (B, T), read at the largest id of each text, which ends it.
#[derive(Clone, Debug)]
pub struct CausalText {
    options: CausalOptions,
    words: Tensor,
    positions: Tensor,
    blocks: Blocks,
    norm: LayerNorm,
    projection: Tensor,
    none: Dropout,
}

impl CausalText {
    /// A new network; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(options: &CausalOptions, builder: &ParamBuilder) -> Result<Self> {
        let &CausalOptions { width, layers, heads, vocabulary, positions, projection } = options;
        let sizes = [
            ("layers", layers),
            ("vocabulary", vocabulary),
            ("positions", positions),
            ("projection", projection),
        ];
        check_sizes("causal text transformer", &sizes, [width, heads])?;
        let config = BlocksConfig {
            width,
            heads,
            layers,
            hidden: 4 * width,
            eps: 1e-5,
            activation: HiddenActivation::QuickGelu,
            order: Order::NormFirst,
        };
        let name = |n| format!("transformer.resblocks.{n}");
        let small = Init::Normal { mean: 0.0, std: 0.01 };
        let spread = Init::Normal { mean: 0.0, std: 1.0 / (width as f64).sqrt() };
        Ok(Self {
            words: builder.pp("token_embedding").param("weight", (vocabulary, width), START)?,
            positions: builder.param("positional_embedding", (positions, width), small)?,
            blocks: Blocks::new(&config, &BLOCK, builder, name)?,
            norm: LayerNorm::new(width, 1e-5, &builder.pp("ln_final"))?,
            projection: builder.param("text_projection", (width, projection), spread)?,
            none: Dropout::new(0.0, builder)?,
            options: options.clone(),
        })
    }
}

impl Encoder for CausalText {
    fn encode(&self, input: &Tensor, _: bool) -> Result<Tensor> {
        let tokens = Tokens::read("causal text transformer", input, 0, self.options.positions)?;
        let ends = tokens.ids.to_dtype(DType::F32)?.argmax(1)?;
        // There is no mask: what is no token counts as the one with id 0.
        let tokens = Tokens { there: tokens.there.ones_like()?, ..tokens };
        let (tables, pass) = ([&self.words, &self.positions], self.none.pass(false)?);
        let x = at_ends(&self.blocks, tables, &tokens, &ends, &pass)?;
        Ok(self.norm.forward_hidden(&x)?.tensor()?.matmul(&self.projection)?)
    }

    fn feature_width(&self) -> usize {
        self.options.projection
    }
}

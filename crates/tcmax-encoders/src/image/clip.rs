//! CLIP's image tower (Radford et al. 2021): ViT with a norm before the blocks and a projection after them.
//!
//! Parameter names are those of `transformers` (`vision_model.encoder.layers.0.self_attn.q_proj.weight`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::ParamBuilder;
use tcmax_registry::{OptionSet, Options, read};

use super::frames::by_frame;
use super::patches::Patches;
use super::positions::resized;
use super::vit::channels_and_size;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName, check_transformer, options_from, part};
use crate::spec::{EncoderSpec, InputKind};
use crate::text::CLIP_BLOCK;
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Order, Packed, START, check_sizes,
    projected,
};

/// The specification of CLIP's image tower.
pub static CLIP_IMAGE: EncoderSpec = EncoderSpec {
    name: "clip-image",
    description: "CLIP's image tower",
    source: "Radford et al., ICML 2021",
    inputs: &[InputKind::Image],
    options: Options::of::<ClipImageOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            let own = name.starts_with("vision_model.") || name.starts_with("visual_projection.");
            match own && !name.ends_with("position_ids") {
                true => UpstreamName::Parameter(name.to_owned()),
                false => UpstreamName::Ignored,
            }
        },
        options: |config| {
            let tower = part(config, ["vision_config", "vision"]);
            let mut options = options_from(
                tower,
                &[
                    ("hidden_size", "width"),
                    ("num_hidden_layers", "layers"),
                    ("num_attention_heads", "heads"),
                    ("intermediate_size", "hidden"),
                    ("patch_size", "patch"),
                    ("image_size", "image-size"),
                    ("layer_norm_eps", "eps"),
                    ("hidden_act", "activation"),
                ],
            )?;
            options.extend(options_from(config, &[("projection_dim", "projection")])?);
            Ok(options)
        },
        first_layer: Some("vision_model.embeddings.patch_embedding.weight"),
        positions: Some("vision_model.embeddings.position_embedding.weight"),
    }),
    make: |options, input, builder| {
        let options: ClipImageOptions = read(options)?;
        let (channels, size) = channels_and_size(&CLIP_IMAGE, input)?;
        Ok(Box::new(ClipImage::new(&options, channels, size, builder)?))
    },
};

/// Options of CLIP's image tower; the defaults are those of ViT-B/32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClipImageOptions {
    /// Features of a patch.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention; they share the width.
    pub heads: usize,
    /// Units between the two layers of a block's perceptron.
    pub hidden: usize,
    /// Pixels of a side of a patch.
    pub patch: usize,
    /// Pixels of a side of the images that the table of positions is for; 0: the size of the data's. The
    /// table is interpolated for images of another size.
    pub image_size: usize,
    /// Features of an image.
    pub projection: usize,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
}

impl Default for ClipImageOptions {
    fn default() -> Self {
        Self {
            width: 768,
            layers: 12,
            heads: 12,
            hidden: 3072,
            patch: 32,
            image_size: 0,
            projection: 512,
            eps: 1e-5,
            activation: HiddenActivation::QuickGelu,
        }
    }
}

impl OptionSet for ClipImageOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        check_transformer(
            &[
                ("layers", self.layers),
                ("hidden", self.hidden),
                ("patch", self.patch),
                ("projection", self.projection),
            ],
            [self.width, self.heads],
            0.0,
        )
    }
}

/// CLIP's image tower on images (B, C, H, W), or clips (B, C, T, H, W) frame by frame: the projected vector
/// of the class token, of any length.
#[derive(Clone, Debug)]
pub struct ClipImage {
    options: ClipImageOptions,
    class: Tensor,
    patches: Patches,
    positions: Tensor,
    grid: [usize; 2],
    first_norm: LayerNorm,
    blocks: Blocks,
    last_norm: LayerNorm,
    projection: Tensor,
    none: Dropout,
}

impl ClipImage {
    /// A new network for images of `channels` channels and a [height, width]; its parameters go into
    /// `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(
        options: &ClipImageOptions,
        channels: usize,
        size: [usize; 2],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let ClipImageOptions { width, layers, heads, hidden, patch, eps, activation, .. } =
            *options;
        let sizes = [
            ("layers", layers),
            ("hidden", hidden),
            ("patch", patch),
            ("projection", options.projection),
            ("the number of channels", channels),
        ];
        check_sizes("CLIP", &sizes, [width, heads])?;
        let size = if options.image_size == 0 { size } else { [options.image_size; 2] };
        let grid = size.map(|side| (side / patch).max(1));
        let tower = builder.pp("vision_model");
        let of = tower.pp("embeddings");
        let config =
            BlocksConfig { width, heads, layers, hidden, eps, activation, order: Order::NormFirst };
        let positions = of.pp("position_embedding");
        let sizes = [channels, width, patch];
        let name = |number| format!("encoder.layers.{number}");
        Ok(Self {
            class: of.param("class_embedding", width, START)?,
            patches: Patches::new("CLIP", sizes, false, &of.pp("patch_embedding"))?,
            positions: positions.param("weight", (1 + grid[0] * grid[1], width), START)?,
            grid,
            // The name is misspelt in the files.
            first_norm: LayerNorm::new(width, eps, &tower.pp("pre_layrnorm"))?,
            blocks: Blocks::new(&config, &CLIP_BLOCK, &tower, name)?,
            last_norm: LayerNorm::new(width, eps, &tower.pp("post_layernorm"))?,
            projection: builder.pp("visual_projection").param(
                "weight",
                (options.projection, width),
                projected(width),
            )?,
            none: Dropout::new(0.0, builder)?,
            options: options.clone(),
        })
    }

    /// The last block's vectors (B, 1 + patches, D), the class token's first, before the last norm.
    ///
    /// # Errors
    /// When the input has another shape.
    pub fn hidden(&self, images: &Tensor) -> Result<Tensor> {
        let (x, packed) = self.embedded(images)?;
        let x = self.blocks.forward(&x, packed.sequences(), &self.none.pass(false)?)?.tensor()?;
        Ok(x.reshape((images.dim(0)?, (), self.options.width))?)
    }

    /// What goes into the first block, (B (1 + patches), D).
    fn embedded(&self, images: &Tensor) -> Result<(Tensor, Packed)> {
        let grid = self.patches.grid(images)?;
        let patches = self.patches.forward(images)?.to_dtype(self.class.dtype())?;
        let (batch, count, width) = patches.dims3()?;
        let class = self.class.reshape((1, 1, width))?.broadcast_as((batch, 1, width))?;
        let table = resized(&self.positions.unsqueeze(0)?, 1, self.grid, grid)?;
        let x = Tensor::cat(&[class, patches], 1)?.broadcast_add(&table)?;
        let packed = Packed::full([batch, 1 + count], x.device())?;
        Ok((packed.of(&self.first_norm.forward(&x)?)?, packed))
    }

    /// The normalised vectors (B, D) of the class token of images (B, C, H, W), as [`Self::pool`] of
    /// [`Self::hidden`].
    fn of_class(&self, images: &Tensor) -> Result<Tensor> {
        let (x, packed) = self.embedded(images)?;
        let (rows, pass) = (packed.first_rows()?, self.none.pass(false)?);
        let class = self.blocks.read(&x, packed.sequences(), &rows, &pass)?;
        Ok(self.last_norm.forward_hidden(&class)?.tensor()?)
    }

    /// The normalised vectors (B, D) of the class token.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn pool(&self, hidden: &Tensor) -> Result<Tensor> {
        self.last_norm.forward(&hidden.narrow(1, 0, 1)?.squeeze(1)?)
    }

    /// The features (B, projection) of the class token's vectors.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn project(&self, pooled: &Tensor) -> Result<Tensor> {
        Ok(pooled.matmul(&self.projection.t()?)?)
    }
}

impl Encoder for ClipImage {
    fn encode(&self, input: &Tensor, _: bool) -> Result<Tensor> {
        by_frame(input, self.options.projection, |images| self.project(&self.of_class(images)?))
    }

    fn feature_width(&self) -> usize {
        self.options.projection
    }
}

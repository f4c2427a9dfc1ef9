//! ViT (Dosovitskiy et al. 2021): an image as a sequence of patches through a transformer.
//!
//! Parameter names are those of the files that `transformers` reads and writes
//! (`encoder.layer.0.attention.attention.query.weight`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Linear, ParamBuilder};
use tcmax_registry::{OptionSet, Options, read, require};

use super::frames::by_frame;
use super::patches::Patches;
use super::positions::resized;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::pretrained::{Pretrained, UpstreamName, check_transformer, options_from, strip};
use crate::spec::{EncoderSpec, Input, InputKind};
use crate::transformer::{
    Blocks, BlocksConfig, Dropout, HiddenActivation, LayerNorm, Names, Order, Packed, Pass,
    Projections, START, check_sizes, linear,
};

/// The specification of ViT.
pub static VIT: EncoderSpec = EncoderSpec {
    name: "vit",
    description: "a vision transformer, with the names of transformers' files",
    source: "Dosovitskiy et al., ICLR 2021",
    inputs: &[InputKind::Image, InputKind::Spectrogram],
    options: Options::of::<VitOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            let name = strip(name, &["vit."]);
            match name.starts_with("classifier.") {
                true => UpstreamName::Ignored,
                false => UpstreamName::Parameter(name),
            }
        },
        options: |config| {
            options_from(
                config,
                &[
                    ("hidden_size", "width"),
                    ("num_hidden_layers", "layers"),
                    ("num_attention_heads", "heads"),
                    ("intermediate_size", "hidden"),
                    ("patch_size", "patch"),
                    ("image_size", "image-size"),
                    ("layer_norm_eps", "eps"),
                    ("hidden_act", "activation"),
                    ("hidden_dropout_prob", "dropout"),
                ],
            )
        },
        first_layer: Some("embeddings.patch_embeddings.projection.weight"),
        positions: Some("embeddings.position_embeddings"),
    }),
    make: |options, input, builder| {
        let options: VitOptions = read(options)?;
        let (channels, size) = channels_and_size(&VIT, input)?;
        Ok(Box::new(Vit::new(&options, channels, size, builder)?))
    },
};

/// What the features of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VitPooling {
    /// The normalised vector of the class token.
    Cls,
    /// The mean over the patches.
    Mean,
    /// tanh(W x + b) of the class token's vector.
    Pooler,
}

/// Options of vision transformers; the defaults are those of ViT-B/16.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct VitOptions {
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
    /// Epsilon of the layer norms; absent: that of the files, 1e-12 of transformers' and 1e-6 of torchvision's.
    pub eps: Option<f64>,
    /// The function between the layers of the perceptron.
    pub activation: HiddenActivation,
    /// The part of values that dropout sets to 0 in training.
    pub dropout: f64,
    /// What the features of an image are.
    pub pooling: VitPooling,
}

impl Default for VitOptions {
    fn default() -> Self {
        Self {
            width: 768,
            layers: 12,
            heads: 12,
            hidden: 3072,
            patch: 16,
            image_size: 0,
            eps: None,
            activation: HiddenActivation::Gelu,
            dropout: 0.0,
            pooling: VitPooling::Cls,
        }
    }
}

impl OptionSet for VitOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.image_size == 0 || self.image_size >= self.patch;
        require(fits, "image-size", "must be 0 or at least the size of a patch")?;
        check_transformer(
            &[("layers", self.layers), ("hidden", self.hidden), ("patch", self.patch)],
            [self.width, self.heads],
            self.dropout,
        )
    }
}

/// Channels, and height and width of images and frames.
pub(super) fn channels_and_size(
    spec: &EncoderSpec,
    input: Input<'_>,
) -> Result<(usize, [usize; 2])> {
    match *input.shape {
        [channels, height, width] | [channels, _, height, width] => Ok((channels, [height, width])),
        _ => Err(Error::WrongShape {
            encoder: spec.name,
            got: input.shape.to_vec(),
            wanted: "images or spectrograms of [channels, height, width]".to_owned(),
        }),
    }
}

/// What the parts of a ViT are called.
pub(super) struct VitNames {
    pub(super) class: &'static str,
    pub(super) patches: &'static str,
    pub(super) positions: &'static str,
    pub(super) block: fn(usize) -> String,
    pub(super) parts: Names,
    pub(super) norm: &'static str,
    /// Epsilon of the norms where the options say nothing of it.
    pub(super) eps: f64,
    /// None where there is no pooler.
    pub(super) pooler: Option<&'static str>,
}

/// What transformers calls them.
const NAMES: VitNames = VitNames {
    class: "embeddings.cls_token",
    patches: "embeddings.patch_embeddings.projection",
    positions: "embeddings.position_embeddings",
    block: |number| format!("encoder.layer.{number}"),
    parts: Names {
        projections: Projections::Separate([
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
        ]),
        out: "attention.output.dense",
        norms: ["layernorm_before", "layernorm_after"],
        perceptron: ["intermediate.dense", "output.dense"],
    },
    norm: "layernorm",
    eps: 1e-12,
    pooler: Some("pooler.dense"),
};

/// ViT on images (B, C, H, W), or clips (B, C, T, H, W) frame by frame.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_encoders::{Encoder, Vit, VitOptions};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> tcmax_encoders::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let small =
///     VitOptions { width: 32, layers: 2, heads: 2, hidden: 64, patch: 8, ..Default::default() };
/// let encoder = Vit::new(&small, 3, [32, 32], &builder)?;
/// let images = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// assert_eq!(encoder.encode(&images, false)?.dims(), [2, 32]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Vit {
    options: VitOptions,
    class: Tensor,
    patches: Patches,
    positions: Tensor,
    grid: [usize; 2],
    blocks: Blocks,
    norm: LayerNorm,
    pooler: Option<Linear>,
    dropout: Dropout,
}

impl Vit {
    /// A new network for images of `channels` channels and a [height, width]; its parameters go into
    /// `builder`'s store. There is a pooler where the options ask for its features.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, or a parameter name is taken.
    pub fn new(
        options: &VitOptions,
        channels: usize,
        size: [usize; 2],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        Self::named(&NAMES, options, channels, size, builder)
    }

    /// A new network whose parts are called so.
    pub(super) fn named(
        names: &VitNames,
        options: &VitOptions,
        channels: usize,
        size: [usize; 2],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let &VitOptions { width, layers, heads, hidden, patch, activation, .. } = options;
        let eps = options.eps.unwrap_or(names.eps);
        let sizes = [
            ("layers", layers),
            ("hidden", hidden),
            ("patch", patch),
            ("the number of channels", channels),
        ];
        check_sizes("ViT", &sizes, [width, heads])?;
        let pooler = match (options.pooling == VitPooling::Pooler, names.pooler) {
            (true, Some(name)) => Some(linear(width, width, &builder.pp(name))?),
            (true, None) => return Err(without_pooler()),
            (false, _) => None,
        };
        let size = if options.image_size == 0 { size } else { [options.image_size; 2] };
        let grid = size.map(|side| (side / patch).max(1));
        let order = Order::NormFirst;
        let config = BlocksConfig { width, heads, layers, hidden, eps, activation, order };
        let table = (1, 1 + grid[0] * grid[1], width);
        let sizes = [channels, width, patch];
        Ok(Self {
            class: builder.param(names.class, (1, 1, width), START)?,
            patches: Patches::new("ViT", sizes, true, &builder.pp(names.patches))?,
            positions: builder.param(names.positions, table, START)?,
            grid,
            blocks: Blocks::new(&config, &names.parts, builder, names.block)?,
            norm: LayerNorm::new(width, eps, &builder.pp(names.norm))?,
            pooler,
            dropout: Dropout::new(options.dropout, builder)?,
            options: options.clone(),
        })
    }

    /// The normalised vectors (B, 1 + patches, D) of images (B, C, H, W): the class token's first.
    ///
    /// # Errors
    /// When the input has another shape.
    pub fn hidden(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let pass = self.dropout.pass(train)?;
        let (x, packed) = self.embedded(images, &pass)?;
        let x = self.blocks.forward(&x, packed.sequences(), &pass)?;
        let hidden = self.norm.forward_hidden(&x)?.tensor()?;
        Ok(hidden.reshape((images.dim(0)?, (), self.options.width))?)
    }

    /// What goes into the first block, (B (1 + patches), D).
    fn embedded(&self, images: &Tensor, pass: &Pass) -> Result<(Tensor, Packed)> {
        let grid = self.patches.grid(images)?;
        let patches = self.patches.forward(images)?.to_dtype(self.class.dtype())?;
        let (batch, count, width) = patches.dims3()?;
        let class = self.class.broadcast_as((batch, 1, width))?;
        let x = Tensor::cat(&[class, patches], 1)?.broadcast_add(&resized(
            &self.positions,
            1,
            self.grid,
            grid,
        )?)?;
        let packed = Packed::full([batch, 1 + count], x.device())?;
        Ok((packed.of(&pass.apply(x)?)?, packed))
    }

    /// The normalised vectors (B, D) of the class token.
    fn of_class(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let pass = self.dropout.pass(train)?;
        let (x, packed) = self.embedded(images, &pass)?;
        let class = self.blocks.read(&x, packed.sequences(), &packed.first_rows()?, &pass)?;
        Ok(self.norm.forward_hidden(&class)?.tensor()?)
    }

    fn features(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        match (self.options.pooling, &self.pooler) {
            (VitPooling::Mean, _) => self.pool(&self.hidden(images, train)?),
            (VitPooling::Pooler, Some(pooler)) => {
                Ok(pooler.forward(&self.of_class(images, train)?)?.tanh()?)
            }
            _ => self.of_class(images, train),
        }
    }

    /// The features of images from their vectors.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn pool(&self, hidden: &Tensor) -> Result<Tensor> {
        let class = hidden.narrow(1, 0, 1)?.squeeze(1)?;
        match (self.options.pooling, &self.pooler) {
            (VitPooling::Mean, _) => Ok(hidden.narrow(1, 1, hidden.dim(1)? - 1)?.mean(1)?),
            (VitPooling::Pooler, Some(pooler)) => Ok(pooler.forward(&class)?.tanh()?),
            _ => Ok(class),
        }
    }
}

fn without_pooler() -> Error {
    let problem = "must be cls or mean: there is no pooler under these names".to_owned();
    Error::from(tcmax_registry::Error::OutOfRange { option: "pooling", problem })
}

impl Encoder for Vit {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        by_frame(input, self.options.width, |images| self.features(images, train))
    }

    fn feature_width(&self) -> usize {
        self.options.width
    }
}

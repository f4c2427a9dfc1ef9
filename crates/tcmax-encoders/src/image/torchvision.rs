//! ViT with the parameter names of torchvision (`encoder.layers.encoder_layer_0.ln_1.weight`).

use candle_core::Tensor;
use tcmax_ops::{AttentionMask, ParamBuilder};
use tcmax_registry::{Options, read};

use super::frames::by_frame;
use super::patches::Patches;
use super::positions::resized;
use super::vit::{VitOptions, VitPooling, blocks_config, channels_and_size, check, table_grid};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::pretrained::{Pretrained, UpstreamName};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{Blocks, Dropout, LayerNorm, Names, Projections, START};

/// The specification of torchvision's ViT.
pub static VIT_TORCHVISION: EncoderSpec = EncoderSpec {
    name: "vit-torchvision",
    description: "a vision transformer, with the names of torchvision's files",
    source: "Dosovitskiy et al., ICLR 2021",
    inputs: &[InputKind::Image, InputKind::Spectrogram],
    options: Options::of::<VitOptions>(),
    pretrained: Some(&Pretrained {
        names: |name| {
            // Files from before torchvision 0.14.
            let name = name.replace("mlp.linear_1.", "mlp.0.").replace("mlp.linear_2.", "mlp.3.");
            match name.starts_with("heads.") {
                true => UpstreamName::Ignored,
                false => UpstreamName::Parameter(name),
            }
        },
        options: |_| Ok(Default::default()),
        first_layer: Some("conv_proj.weight"),
        positions: Some("encoder.pos_embedding"),
    }),
    make: |options, input, builder| {
        let options: VitOptions = read(options)?;
        let (channels, size) = channels_and_size(&VIT_TORCHVISION, input)?;
        Ok(Box::new(TorchvisionVit::new(&options, channels, size, builder)?))
    },
};

const BLOCK: Names = Names {
    projections: Projections::Joint("self_attention"),
    out: "self_attention.out_proj",
    norms: ["ln_1", "ln_2"],
    perceptron: ["mlp.0", "mlp.3"],
};

/// Epsilon of the layer norms in torchvision's files.
const EPS: f64 = 1e-6;

/// ViT on images (B, C, H, W), or clips (B, C, T, H, W) frame by frame.
#[derive(Clone, Debug)]
pub struct TorchvisionVit {
    options: VitOptions,
    class: Tensor,
    patches: Patches,
    positions: Tensor,
    grid: [usize; 2],
    blocks: Blocks,
    norm: LayerNorm,
    dropout: Dropout,
}

impl TorchvisionVit {
    /// A new network for images of `channels` channels and a [height, width]; its parameters go into
    /// `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0, the heads do not divide the width, a pooler is asked for, which it does not have,
    /// or a parameter name is taken.
    pub fn new(
        options: &VitOptions,
        channels: usize,
        size: [usize; 2],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        check("ViT", options, channels)?;
        if options.pooling == VitPooling::Pooler {
            let problem = "must be cls or mean: torchvision's ViT has no pooler".to_owned();
            return Err(Error::from(tcmax_registry::Error::OutOfRange {
                option: "pooling",
                problem,
            }));
        }
        let width = options.width;
        let grid = table_grid(options, size);
        let encoder = builder.pp("encoder");
        let config = blocks_config(options, EPS);
        let table = (1, 1 + grid[0] * grid[1], width);
        let sizes = [channels, width, options.patch];
        let name = |number| format!("layers.encoder_layer_{number}");
        Ok(Self {
            class: builder.param("class_token", (1, 1, width), START)?,
            patches: Patches::new("ViT", sizes, true, &builder.pp("conv_proj"))?,
            positions: encoder.param("pos_embedding", table, START)?,
            grid,
            blocks: Blocks::new(&config, &BLOCK, &encoder, name)?,
            norm: LayerNorm::new(width, config.eps, &encoder.pp("ln"))?,
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
        let grid = self.patches.grid(images)?;
        let patches = self.patches.forward(images)?;
        let (batch, _, width) = patches.dims3()?;
        let class = self.class.broadcast_as((batch, 1, width))?;
        let x = Tensor::cat(&[class, patches], 1)?.broadcast_add(&resized(
            &self.positions,
            1,
            self.grid,
            grid,
        )?)?;
        let x = self.blocks.forward(pass.apply(x)?, &AttentionMask::default(), &pass)?;
        self.norm.forward(&x)
    }
}

impl Encoder for TorchvisionVit {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        by_frame(input, self.options.width, |images| {
            let hidden = self.hidden(images, train)?;
            Ok(match self.options.pooling {
                VitPooling::Mean => hidden.narrow(1, 1, hidden.dim(1)? - 1)?.mean(1)?,
                _ => hidden.narrow(1, 0, 1)?.squeeze(1)?,
            })
        })
    }

    fn feature_width(&self) -> usize {
        self.options.width
    }
}

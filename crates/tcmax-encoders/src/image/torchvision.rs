//! ViT with the parameter names of torchvision (`encoder.layers.encoder_layer_0.ln_1.weight`).

use tcmax_ops::ParamBuilder;
use tcmax_registry::{Options, read};

use super::vit::{Vit, VitNames, VitOptions, channels_and_size};
use crate::error::Result;
use crate::pretrained::{Pretrained, UpstreamName};
use crate::spec::{EncoderSpec, InputKind};
use crate::transformer::{Names, Projections};

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
        Ok(Box::new(Vit::torchvision(&options, channels, size, builder)?))
    },
};

/// What torchvision calls the parts of a ViT.
const NAMES: VitNames = VitNames {
    class: "class_token",
    patches: "conv_proj",
    positions: "encoder.pos_embedding",
    block: |number| format!("encoder.layers.encoder_layer_{number}"),
    parts: Names {
        projections: Projections::Joint("self_attention"),
        out: "self_attention.out_proj",
        norms: ["ln_1", "ln_2"],
        perceptron: ["mlp.0", "mlp.3"],
    },
    norm: "encoder.ln",
    eps: 1e-6,
    pooler: None,
};

impl Vit {
    /// As [`Vit::new`], with torchvision's names; it has no pooler.
    ///
    /// # Errors
    /// As [`Vit::new`], and when a pooler is asked for.
    pub fn torchvision(
        options: &VitOptions,
        channels: usize,
        size: [usize; 2],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        Self::named(&NAMES, options, channels, size, builder)
    }
}

//! ResNet (He et al. 2016, "Deep Residual Learning for Image Recognition"), as the paper uses it for every
//! modality.
//!
//! ```text
//! stem:   conv 7x7/2 (or 3x3/1) - batch norm - ReLU - max pool 3x3/2
//! stage:  blocks of relu(bn(conv 3x3(relu(bn(conv 3x3(x))))) + shortcut(x)); stages 2 to 4 halve
//!         the resolution, the shortcut then is a 1x1/2 convolution with batch norm. Bottlenecks
//!         have convolutions 1x1, 3x3 and 1x1, the last to four times the width
//! end:    mean over height and width (and frames): (B, D)
//! ```
//!
//! Convolutions have no bias and start Kaiming normal (fan-out); batch-norm weights start
//! normal(1, 0.02). Parameter names are torchvision's (`layer2.0.downsample.0.weight`).

mod block;
mod config;
mod onnx;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{ConvUnit, Hidden, ParamBuilder, channels_last};
use tcmax_registry::{OptionSet, Options, read, require};

use self::block::{Block, unit};
use self::config::{POOL, stride_of};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::image::frames::split;
use crate::pretrained::{Pretrained, UpstreamName};
use crate::spec::{EncoderSpec, Input, InputKind};
use crate::staged::{FeatureMaps, Staged};

pub use self::config::{BlockKind, ResNetConfig, Stem};

/// The specification of the small [`ResNet`].
pub static RESNET_SLIM: EncoderSpec = EncoderSpec {
    name: "resnet-slim",
    description: "a ResNet with one block in each stage, of widths w, 2w, 4w, 8w",
    source: "He et al., CVPR 2016",
    inputs: &[InputKind::Spectrogram, InputKind::Image],
    options: Options::of::<SlimOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let SlimOptions { width } = read(options)?;
        let (channels, stem) = stem_of(input, &RESNET_SLIM)?;
        Ok(Box::new(ResNet::new(&ResNetConfig::slim(channels, stem, width), builder)?))
    },
};

/// The specification of ResNet-18.
pub static RESNET18: EncoderSpec = EncoderSpec {
    name: "resnet18",
    description: "ResNet-18, as in the paper",
    source: "He et al., CVPR 2016",
    inputs: &[InputKind::Spectrogram, InputKind::Image],
    options: Options::NONE,
    pretrained: Some(&TORCHVISION),
    make: |_, input, builder| {
        let (channels, stem) = stem_of(input, &RESNET18)?;
        Ok(Box::new(ResNet::new(&ResNetConfig::resnet18(channels, stem), builder)?))
    },
};

/// The specification of ResNet-34.
pub static RESNET34: EncoderSpec = EncoderSpec {
    name: "resnet34",
    description: "ResNet-34",
    source: "He et al., CVPR 2016",
    inputs: &[InputKind::Spectrogram, InputKind::Image],
    options: Options::NONE,
    pretrained: Some(&TORCHVISION),
    make: |_, input, builder| {
        let (channels, stem) = stem_of(input, &RESNET34)?;
        Ok(Box::new(ResNet::new(&ResNetConfig::resnet34(channels, stem), builder)?))
    },
};

/// The specification of ResNet-50.
pub static RESNET50: EncoderSpec = EncoderSpec {
    name: "resnet50",
    description: "ResNet-50",
    source: "He et al., CVPR 2016",
    inputs: &[InputKind::Spectrogram, InputKind::Image],
    options: Options::NONE,
    pretrained: Some(&TORCHVISION),
    make: |_, input, builder| {
        let (channels, stem) = stem_of(input, &RESNET50)?;
        Ok(Box::new(ResNet::new(&ResNetConfig::resnet50(channels, stem), builder)?))
    },
};

/// torchvision's files: the classifier and the counters of batches are left out.
static TORCHVISION: Pretrained = Pretrained {
    names: |name| match name.starts_with("fc.") || name.ends_with("num_batches_tracked") {
        true => UpstreamName::Ignored,
        false => UpstreamName::Parameter(name.to_owned()),
    },
    options: |_| Ok(Default::default()),
    first_layer: Some("conv1.weight"),
    positions: None,
};

/// Options of the small ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlimOptions {
    /// Channels of the first stage, 1 to 2048; the last has eight times as many.
    pub width: usize,
}

impl Default for SlimOptions {
    fn default() -> Self {
        Self { width: 8 }
    }
}

impl OptionSet for SlimOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((1..=WIDEST).contains(&self.width), "width", &format!("must be 1 to {WIDEST}"))
    }
}

/// Most channels of the first stage.
const WIDEST: usize = 2_048;

/// Images up to this many pixels a side keep their resolution in the stem.
const SMALL_IMAGE: usize = 64;

/// The channels of an input, and the stem that suits it.
fn stem_of(input: Input<'_>, spec: &EncoderSpec) -> Result<(usize, Stem)> {
    match (input.kind, input.shape) {
        (InputKind::Spectrogram, &[channels, _, _]) => Ok((channels, Stem::Conv7x7)),
        (InputKind::Image, &[channels, .., height, width]) => {
            let is_small = height.max(width) <= SMALL_IMAGE;
            Ok((channels, if is_small { Stem::Conv3x3 } else { Stem::Conv7x7 }))
        }
        _ => Err(Error::WrongShape {
            encoder: spec.name,
            got: input.shape.to_vec(),
            wanted: "images or spectrograms of [channels, height, width]".to_owned(),
        }),
    }
}

/// A ResNet on inputs (B, C, H, W), or on clips of T frames (B, C, T, H, W) whose frames are encoded
/// one by one and averaged.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_encoders::{Encoder, ResNet, ResNetConfig, Stem};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> tcmax_encoders::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let encoder = ResNet::new(&ResNetConfig::slim(1, Stem::Conv7x7, 8), &builder)?;
/// let spectrograms = Tensor::zeros((2, 1, 129, 51), DType::F32, &Device::Cpu)?;
/// assert_eq!(encoder.encode(&spectrograms, false)?.dims(), [2, 64]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ResNet {
    config: ResNetConfig,
    stem: ConvUnit,
    stages: Vec<Vec<Block>>,
}

impl ResNet {
    /// A new network; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a width, depth or channel count is 0, or a parameter name is taken.
    pub fn new(config: &ResNetConfig, builder: &ParamBuilder) -> Result<Self> {
        config.check()?;
        let (size, stride) = config.stem.size_and_stride();
        let mut channels = config.widths[0];
        let names = [builder.pp("conv1"), builder.pp("bn1")];
        let stem = unit([config.in_channels, channels], size, stride, names)?;
        let mut stages = Vec::with_capacity(4);
        for (s, (&width, &blocks)) in config.widths.iter().zip(&config.blocks).enumerate() {
            let layer = builder.pp(format!("layer{}", s + 1));
            let mut stage = Vec::with_capacity(blocks);
            for b in 0..blocks {
                let stride = stride_of(s, b);
                let block = Block::new(config.kind, [channels, width], stride, &layer.pp(b))?;
                stage.push(block);
                channels = width * config.kind.expansion();
            }
            stages.push(stage);
        }
        Ok(Self { config: config.clone(), stem, stages })
    }

    /// The last stage's activation (B, H', W', D) of inputs (B, C, H, W), before pooling.
    ///
    /// # Errors
    /// When the input has another rank or number of channels.
    pub fn feature_map(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        self.check_input(input)?;
        Ok(self.last_maps(input, train)?.maps)
    }

    /// The maps after the last stage.
    fn last_maps(&self, input: &Tensor, train: bool) -> Result<FeatureMaps> {
        let (begun, frames) = self.after_stem(input, train)?;
        let mut blocks = self.stages.iter().flatten();
        let maps = blocks.try_fold(begun, |maps, block| block.forward(&maps, train))?;
        Ok(FeatureMaps::new(maps.tensor()?, frames))
    }

    /// The maps before the first stage, and the frames of an example.
    fn after_stem(&self, input: &Tensor, train: bool) -> Result<(Hidden, usize)> {
        let (images, frames) = split(input)?;
        self.check_input(&images)?;
        // Channels last, as everything inside; for one channel only the shape changes.
        let x = Hidden::of(&channels_last(&images)?)?;
        Ok((x.pooled_conv_unit(&self.stem, POOL, train)?, frames))
    }

    fn check_input(&self, input: &Tensor) -> Result<()> {
        let channels = self.config.in_channels;
        match input.dims() {
            &[b, c, h, w] if c == channels && b * h * w > 0 => Ok(()),
            got => Err(Error::WrongShape {
                encoder: "ResNet",
                got: got.to_vec(),
                wanted: format!("[batch, {channels}, height, width]"),
            }),
        }
    }
}

impl Encoder for ResNet {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        self.end(&self.last_maps(input, train)?)
    }

    fn staged(&self) -> Option<&dyn Staged> {
        Some(self)
    }

    fn to_onnx(
        &self,
        graph: &mut Graph,
        input: &Value,
        shape: &[usize],
    ) -> tcmax_onnx::Result<Value> {
        let &[channels, frames, height, width] = shape else {
            return onnx::features(&self.config, graph, input);
        };
        let images = graph.transpose(input, &[0, 2, 1, 3, 4]);
        let sizes = [channels, height, width].map(|size| size as i64);
        let images = graph.reshape(&images, &[-1, sizes[0], sizes[1], sizes[2]]);
        let features = onnx::features(&self.config, graph, &images)?;
        let shape = [-1, frames as i64, self.feature_width() as i64];
        let features = graph.reshape(&features, &shape);
        Ok(graph.mean(&features, 1))
    }

    fn feature_width(&self) -> usize {
        self.config.feature_width()
    }
}

impl Staged for ResNet {
    fn channels(&self) -> Vec<usize> {
        self.config.channels().to_vec()
    }

    fn begin(&self, input: &Tensor, train: bool) -> Result<FeatureMaps> {
        let (maps, frames) = self.after_stem(input, train)?;
        Ok(FeatureMaps::new(maps.tensor()?, frames))
    }

    fn stage(&self, stage: usize, maps: FeatureMaps, train: bool) -> Result<FeatureMaps> {
        let FeatureMaps { maps, frames } = maps;
        let mut maps = Hidden::of(&maps)?;
        for block in self.stages.get(stage).into_iter().flatten() {
            maps = block.forward(&maps, train)?;
        }
        Ok(FeatureMaps { maps: maps.tensor()?, frames })
    }

    fn end(&self, maps: &FeatureMaps) -> Result<Tensor> {
        // Every frame has the same number of pixels, so the mean of the frames' means is the mean over time
        // and space.
        maps.means()
    }
}

//! ResNet with basic blocks (He et al. 2016, "Deep Residual Learning for Image Recognition"),
//! trained from scratch, as the paper uses it for every modality.
//!
//! ```text
//! stem:   conv 7x7/2 (or 3x3/1) - batch norm - ReLU - max pool 3x3/2
//! stage:  blocks of relu(bn(conv 3x3(relu(bn(conv 3x3(x))))) + shortcut(x)); stages 2 to 4 halve
//!         the resolution, the shortcut then is a 1x1/2 convolution with batch norm
//! end:    mean over height and width (and frames): (B, widths\[3\])
//! ```
//!
//! Convolutions have no bias and start Kaiming normal (fan-out); batch-norm weights start
//! normal(1, 0.02). Parameter names are torchvision's (`layer2.0.downsample.0.weight`).

mod config;
mod onnx;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Init, ParamBuilder, global_avg_pool2d,
};
use tcmax_registry::{OptionSet, Options, read, require};

use self::config::{POOL, stride_of};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::spec::{EncoderSpec, Input, InputKind};

pub use self::config::{ResNetConfig, Stem};

/// The specification of the small [`ResNet`].
pub static RESNET_SLIM: EncoderSpec = EncoderSpec {
    name: "resnet-slim",
    description: "a ResNet with one block in each stage, of widths w, 2w, 4w, 8w",
    source: "He et al., CVPR 2016",
    inputs: &[InputKind::Spectrogram, InputKind::Image],
    options: Options::of::<SlimOptions>(),
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
    make: |_, input, builder| {
        let (channels, stem) = stem_of(input, &RESNET18)?;
        Ok(Box::new(ResNet::new(&ResNetConfig::resnet18(channels, stem), builder)?))
    },
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
    stages: Vec<Vec<BasicBlock>>,
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
                stage.push(BasicBlock::new([channels, width], stride, &layer.pp(b))?);
                channels = width;
            }
            stages.push(stage);
        }
        Ok(Self { config: config.clone(), stem, stages })
    }

    /// The last stage's activation (B, H', W', widths\[3\]) of inputs (B, C, H, W), before pooling.
    ///
    /// # Errors
    /// When the input has another rank or number of channels.
    pub fn feature_map(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        self.check_input(input)?;
        // Channels last, as everything inside; for one channel only the shape changes.
        let x = input.permute((0, 2, 3, 1))?.contiguous()?;
        let mut x = self.stem.forward_pooled(&x, POOL, train)?;
        for block in self.stages.iter().flatten() {
            x = block.forward(&x, train)?;
        }
        Ok(x)
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
        let &[batch, channels, frames, height, width] = input.dims() else {
            return Ok(global_avg_pool2d(&self.feature_map(input, train)?)?);
        };
        // Frames join the batch; every frame has the same number of pixels, so the mean of the
        // frames' means is the mean over time and space.
        let images = input.transpose(1, 2)?.reshape((batch * frames, channels, height, width))?;
        let features = global_avg_pool2d(&self.feature_map(&images, train)?)?;
        Ok(features.reshape((batch, frames, self.feature_width()))?.mean(1)?)
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
        self.config.widths[3]
    }
}

/// A convolution without bias, padded to keep the size at stride 1, and its batch norm.
fn unit(
    [from, to]: [usize; 2],
    size: usize,
    stride: usize,
    [conv, norm]: [ParamBuilder; 2],
) -> Result<ConvUnit> {
    let filters = conv.filters("weight", [to, from, size, size], Init::KaimingNormalFanOut)?;
    let config = Conv2dConfig { stride: (stride, stride), padding: (size / 2, size / 2) };
    let weight_init = Init::Normal { mean: 1.0, std: 0.02 };
    let norm_config = BatchNormConfig { weight_init, ..BatchNormConfig::default() };
    let norm = BatchNorm2d::new(&norm, to, norm_config)?;
    Ok(ConvUnit::new(filters, config, norm)?)
}

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).
#[derive(Clone, Debug)]
struct BasicBlock {
    first: ConvUnit,
    second: ConvUnit,
    downsample: Option<ConvUnit>,
}

impl BasicBlock {
    fn new([from, to]: [usize; 2], stride: usize, builder: &ParamBuilder) -> Result<Self> {
        let downsample = if stride != 1 || from != to {
            let shortcut = builder.pp("downsample");
            let names = [shortcut.pp(0), shortcut.pp(1)];
            Some(unit([from, to], 1, stride, names)?)
        } else {
            None
        };
        let names = |number: usize| {
            [builder.pp(format!("conv{number}")), builder.pp(format!("bn{number}"))]
        };
        Ok(Self {
            first: unit([from, to], 3, stride, names(1))?,
            second: unit([to, to], 3, 1, names(2))?,
            downsample,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let shortcut = match &self.downsample {
            Some(unit) => unit.forward(x, None, false, train)?,
            None => x.clone(),
        };
        let hidden = self.first.forward(x, None, true, train)?;
        Ok(self.second.forward(&hidden, Some(&shortcut), true, train)?)
    }
}

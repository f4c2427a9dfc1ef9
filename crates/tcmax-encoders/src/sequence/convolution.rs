//! Temporal convolutions: blocks of convolution, batch norm and ReLU along the steps.
//!
//! Steps that are not there are 0 before the first convolution and after every block; the batch's statistics
//! are over all steps of all sequences, padding too, as those of PyTorch's `nn.BatchNorm1d`. Parameters are
//! called `conv0.weight`, `bn0.weight`, ...

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{BatchNorm2d, BatchNormConfig, Conv2dConfig, Init, Linear, ParamBuilder, conv2d};
use tcmax_registry::{OptionSet, Options, read, require};

use super::steps::{Steps, features_of};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::spec::{EncoderSpec, InputKind};
use crate::text::pooling::mean_of_there;

/// The specification of the temporal convolution.
pub static CONVOLUTION: EncoderSpec = EncoderSpec {
    name: "temporal-convolution",
    description: "convolutions along the steps of a sequence",
    source: "Bai et al. 2018",
    inputs: &[InputKind::Sequence],
    options: Options::of::<ConvolutionOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let options: ConvolutionOptions = read(options)?;
        let features = features_of("temporal-convolution", input)?;
        Ok(Box::new(Convolution::new(&options.blocks(), features, builder)?))
    },
};

/// Options of the temporal convolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConvolutionOptions {
    /// Channels of each block; the last is the number of features.
    pub widths: Vec<usize>,
    /// Steps that a filter sees; odd.
    pub kernel: usize,
    /// Double the distance between the steps that a filter sees from block to block.
    pub dilated: bool,
}

impl Default for ConvolutionOptions {
    fn default() -> Self {
        Self { widths: vec![128, 128], kernel: 3, dilated: true }
    }
}

impl OptionSet for ConvolutionOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let blocks = (1..=16).contains(&self.widths.len());
        let widths = self.widths.iter().all(|width| (1..=16_384).contains(width));
        require(blocks && widths, "widths", "must be 1 to 16 widths of 1 to 16384")?;
        let kernel = self.kernel % 2 == 1 && self.kernel < 1_000;
        require(kernel, "kernel", "must be odd and below 1000")
    }
}

impl ConvolutionOptions {
    fn blocks(&self) -> Vec<ConvolutionBlock> {
        let block = |(number, &channels): (usize, &usize)| {
            let dilation = if self.dilated { 1 << number } else { 1 };
            let padding = self.kernel / 2 * dilation;
            ConvolutionBlock { channels, kernel: self.kernel, stride: 1, padding, dilation }
        };
        self.widths.iter().enumerate().map(block).collect()
    }
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionBlock {
    /// Channels that come out.
    pub channels: usize,
    /// Steps that a filter sees.
    pub kernel: usize,
    /// Steps from one result to the next.
    pub stride: usize,
    /// Zeros before the first and after the last step.
    pub padding: usize,
    /// Distance of the steps that a filter sees.
    pub dilation: usize,
}

impl ConvolutionBlock {
    /// Steps from the first to the last that a filter sees, both of them counted.
    fn reach(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    /// Steps that come out of so many.
    fn steps(&self, steps: usize) -> usize {
        let rest = (steps + 2 * self.padding).checked_sub(self.reach());
        rest.map_or(0, |rest| rest / self.stride + 1)
    }
}

/// Temporal convolutions on sequences (B, T, D + 1); the features are the mean over the last block's steps.
#[derive(Clone, Debug)]
pub struct Convolution {
    features: usize,
    blocks: Vec<ConvolutionBlock>,
    layers: Vec<(Weights, BatchNorm2d)>,
    width: usize,
}

impl Convolution {
    /// A new network on so many features; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When there is no block, a size is 0, or a parameter name is taken.
    pub fn new(
        blocks: &[ConvolutionBlock],
        features: usize,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let sizes = blocks.iter().flat_map(|b| [b.channels, b.kernel, b.stride, b.dilation]);
        if blocks.is_empty() || sizes.chain([features]).any(|size| size == 0) {
            return Err(Error::Zero {
                encoder: NAME,
                field: "the number of blocks and every size",
            });
        }
        let mut from = features;
        let mut layers = Vec::with_capacity(blocks.len());
        for (number, block) in blocks.iter().enumerate() {
            let conv = builder.pp(format!("conv{number}"));
            let bound = 1.0 / ((from * block.kernel) as f64).sqrt();
            let start = Init::Uniform { bound };
            let weight = conv.param("weight", (block.channels, from, block.kernel), start)?;
            let bias = conv.param("bias", block.channels, start)?;
            let norm = builder.pp(format!("bn{number}"));
            let norm = BatchNorm2d::new(&norm, block.channels, BatchNormConfig::default())?;
            layers.push((Weights { weight, bias }, norm));
            from = block.channels;
        }
        Ok(Self { features, blocks: blocks.to_vec(), layers, width: from })
    }

    /// The last block's steps.
    ///
    /// # Errors
    /// When the steps have another number of features, or are too few.
    pub fn run(&self, steps: &Steps, train: bool) -> Result<Steps> {
        let mut steps = steps.clone();
        for (block, (conv, norm)) in self.blocks.iter().zip(&self.layers) {
            let x = conv.forward(&steps.x, block)?;
            let (batch, length, channels) = x.dims3()?;
            // Channels last: a step is a pixel of an image of one row.
            let x = norm.forward_relu(&x.reshape((batch, 1, length, channels))?, train)?;
            let x = x.reshape((batch, length, channels))?;
            let there = shortened(&steps.there, block, length)?;
            let x = x.to_dtype(there.dtype())?.broadcast_mul(&there.unsqueeze(2)?)?;
            steps = Steps { x, there };
        }
        Ok(steps)
    }
}

const NAME: &str = "temporal convolution";

/// Which of the steps that come out are there: as many as come out of a sequence of that length alone, and at
/// least one of a sequence that has any.
fn shortened(there: &Tensor, block: &ConvolutionBlock, length: usize) -> Result<Tensor> {
    let counts = there.to_dtype(DType::F32)?.sum_keepdim(1)?;
    // As `ConvolutionBlock::steps`, of all sequences at once and where they are: no device is waited for.
    let rest = (&counts + (2.0 * block.padding as f64 - block.reach() as f64))?;
    let kept = ((rest / block.stride as f64)?.floor()? + 1.0)?.maximum(1.0)?;
    let kept = kept.broadcast_minimum(&(counts * length as f64)?)?;
    let steps = Tensor::arange(0f32, length as f32, there.device())?.unsqueeze(0)?;
    Ok(steps.broadcast_lt(&kept)?.to_dtype(there.dtype())?)
}

/// The filters (to, from, kernel) of one block.
#[derive(Clone, Debug)]
struct Weights {
    weight: Tensor,
    bias: Tensor,
}

impl Weights {
    /// (B, T, from) to (B, T', to).
    fn forward(&self, x: &Tensor, block: &ConvolutionBlock) -> Result<Tensor> {
        let (batch, length, from) = x.dims3()?;
        let steps = block.steps(length);
        if steps == 0 {
            return Err(Error::WrongShape {
                encoder: NAME,
                got: x.dims().to_vec(),
                wanted: "more steps than a filter sees".to_owned(),
            });
        }
        let &ConvolutionBlock { stride, padding, dilation, .. } = block;
        if padding % dilation != 0 || (stride > 1 && dilation > 1) {
            return self.by_windows(x, block, steps);
        }
        // Images with every `dilation`th step in a column of its own, and filters of one column.
        let rows = length.div_ceil(dilation);
        let x = x.pad_with_zeros(1, 0, rows * dilation - length)?;
        let x = x.reshape((batch, rows, dilation, from))?;
        let config = Conv2dConfig { stride: (stride, 1), padding: (padding / dilation, 0) };
        let filters = self.weight.permute((2, 1, 0))?.contiguous()?.unsqueeze(1)?;
        let y = conv2d(&x, &filters, config)?.flatten(1, 2)?.narrow(1, 0, steps)?;
        Ok(y.to_dtype(self.bias.dtype())?.broadcast_add(&self.bias)?)
    }

    /// The steps that a filter sees side by side, then one product.
    fn by_windows(&self, x: &Tensor, block: &ConvolutionBlock, steps: usize) -> Result<Tensor> {
        let (to, from, kernel) = self.weight.dims3()?;
        let x = x.pad_with_zeros(1, block.padding, block.padding)?;
        let picks: Vec<u32> = (0..steps).map(|step| (step * block.stride) as u32).collect();
        let mut taps = Vec::with_capacity(kernel);
        for tap in 0..kernel {
            let seen = x.narrow(1, tap * block.dilation, (steps - 1) * block.stride + 1)?;
            taps.push(match block.stride {
                1 => seen,
                _ => seen.contiguous()?.index_select(&Tensor::new(&picks[..], x.device())?, 1)?,
            });
        }
        let windows = Tensor::cat(&taps, 2)?;
        let weight = self.weight.permute((0, 2, 1))?.contiguous()?.reshape((to, kernel * from))?;
        Ok(Linear::from_tensors(weight, self.bias.clone())?.forward(&windows)?)
    }
}

impl Encoder for Convolution {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let steps = self.run(&Steps::read(NAME, input, self.features)?, train)?;
        mean_of_there(&steps.x, &steps.there)
    }

    fn feature_width(&self) -> usize {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn of_every_sequence_as_many_steps_come_out_as_of_it_alone() {
        const LONGEST: usize = 13;
        let flags = |count: usize| (0..LONGEST).map(move |step| f32::from(step < count));
        let there: Vec<f32> = (0..=LONGEST).flat_map(flags).collect();
        let there = Tensor::from_vec(there, (LONGEST + 1, LONGEST), &Device::Cpu).unwrap();
        for (kernel, stride, padding, dilation) in
            [(1, 1, 0, 1), (3, 1, 1, 1), (3, 1, 4, 4), (5, 2, 2, 1), (4, 3, 0, 2), (2, 2, 3, 1)]
        {
            let block = ConvolutionBlock { channels: 1, kernel, stride, padding, dilation };
            let length = block.steps(LONGEST);
            let kept = shortened(&there, &block, length).unwrap().to_vec2::<f32>().unwrap();
            for (count, kept) in kept.iter().enumerate() {
                let alone = if count == 0 { 0 } else { block.steps(count).max(1) };
                let wanted: Vec<f32> = (0..length).map(|step| f32::from(step < alone)).collect();
                assert_eq!(kept, &wanted, "{block:?} of {count} steps");
            }
        }
    }
}

//! The layout of a [`ResNet`](super::ResNet): what its network and its ONNX graph share.

use serde::{Deserialize, Serialize};
use tcmax_ops::MaxPool2dConfig;

use crate::error::{Error, Result};

/// The first convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7x7, stride 2: photographs and spectrograms.
    Conv7x7,
    /// 3x3, stride 1: images of about 32 pixels.
    Conv3x3,
}

impl Stem {
    /// Height (and width) and stride of the convolution.
    pub(super) fn size_and_stride(self) -> (usize, usize) {
        match self {
            Self::Conv7x7 => (7, 2),
            Self::Conv3x3 => (3, 1),
        }
    }
}

/// The maximum after the first convolution.
pub(super) const POOL: MaxPool2dConfig =
    MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };

/// What the blocks of the stages are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// Two 3x3 convolutions: ResNet-18 and -34.
    #[default]
    Basic,
    /// 1x1, 3x3 with the stride, and 1x1 to four times the width: ResNet-50.
    Bottleneck,
}

impl BlockKind {
    /// Channels of a block's result for each of its width.
    pub(super) fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// The layout of a [`ResNet`](super::ResNet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResNetConfig {
    /// Channels of the input: 1 for a spectrogram or grey image, 3 for colour.
    pub in_channels: usize,
    /// The first convolution.
    pub stem: Stem,
    /// Widths of the four stages; bottlenecks have four times as many channels. Those of the last stage are
    /// the features.
    pub widths: [usize; 4],
    /// Blocks in each stage.
    pub blocks: [usize; 4],
    /// What the blocks are.
    pub kind: BlockKind,
}

impl ResNetConfig {
    /// ResNet-18: widths 64 to 512, two blocks in each stage; 512 features, 11.2 million parameters.
    pub fn resnet18(in_channels: usize, stem: Stem) -> Self {
        Self::full(in_channels, stem, [2; 4], BlockKind::Basic)
    }

    /// ResNet-34: 3, 4, 6 and 3 blocks; 512 features, 21.3 million parameters.
    pub fn resnet34(in_channels: usize, stem: Stem) -> Self {
        Self::full(in_channels, stem, [3, 4, 6, 3], BlockKind::Basic)
    }

    /// ResNet-50: 3, 4, 6 and 3 bottlenecks; 2048 features, 23.5 million parameters.
    pub fn resnet50(in_channels: usize, stem: Stem) -> Self {
        Self::full(in_channels, stem, [3, 4, 6, 3], BlockKind::Bottleneck)
    }

    fn full(in_channels: usize, stem: Stem, blocks: [usize; 4], kind: BlockKind) -> Self {
        Self { in_channels, stem, widths: [64, 128, 256, 512], blocks, kind }
    }

    /// The same layout with one block in each stage and widths w, 2w, 4w, 8w.
    pub fn slim(in_channels: usize, stem: Stem, width: usize) -> Self {
        let widths = [width, 2 * width, 4 * width, 8 * width];
        Self { in_channels, stem, widths, blocks: [1; 4], kind: BlockKind::Basic }
    }

    /// Channels after each stage.
    pub(super) fn channels(&self) -> [usize; 4] {
        self.widths.map(|width| width * self.kind.expansion())
    }

    /// The number of features.
    pub(super) fn feature_width(&self) -> usize {
        self.channels()[3]
    }

    pub(super) fn check(&self) -> Result<()> {
        let zero = |field| Err(Error::Zero { encoder: "ResNet", field });
        if self.in_channels == 0 {
            return zero("the number of input channels");
        }
        if self.widths.contains(&0) {
            return zero("every stage's width");
        }
        if self.blocks.contains(&0) {
            return zero("every stage's number of blocks");
        }
        Ok(())
    }
}

/// The stride of the first convolution of block `block` in stage `stage`, both from 0.
pub(super) fn stride_of(stage: usize, block: usize) -> usize {
    if stage > 0 && block == 0 { 2 } else { 1 }
}

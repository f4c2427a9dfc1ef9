//! Encoders that can be run stage by stage, so that others change their feature maps in between.

use candle_core::Tensor;
use tcmax_ops::global_avg_pool2d;

use crate::error::Result;

/// An encoder of several stages: begin, every stage in turn and the end make exactly what
/// [`Encoder::encode`](crate::Encoder::encode) makes.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_encoders::{Encoder, ResNet, ResNetConfig, Staged, Stem};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> tcmax_encoders::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let encoder = ResNet::new(&ResNetConfig::slim(3, Stem::Conv3x3, 4), &builder)?;
/// let stages: &dyn Staged = encoder.staged().unwrap();
/// assert_eq!(stages.channels(), [4, 8, 16, 32]);
///
/// let images = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// let mut maps = stages.begin(&images, false)?;
/// for stage in 0..4 {
///     maps = stages.stage(stage, maps, false)?;
/// }
/// let features = stages.end(&maps)?.to_vec2::<f32>()?;
/// assert_eq!(features, encoder.encode(&images, false)?.to_vec2::<f32>()?);
/// # Ok(())
/// # }
/// ```
pub trait Staged: Send + Sync {
    /// Channels after each stage.
    fn channels(&self) -> Vec<usize>;

    /// Everything before the first stage, of a batch of inputs (B, ...). `train` is as in
    /// [`Encoder::encode`](crate::Encoder::encode).
    ///
    /// # Errors
    /// When the input has another shape than the encoder was made for.
    fn begin(&self, input: &Tensor, train: bool) -> Result<FeatureMaps>;

    /// Stage `stage`, from 0.
    ///
    /// # Errors
    /// When the maps are not those of the stage before.
    fn stage(&self, stage: usize, maps: FeatureMaps, train: bool) -> Result<FeatureMaps>;

    /// Features (B, D) of the last stage's maps.
    ///
    /// # Errors
    /// When the maps are not those of the last stage.
    fn end(&self, maps: &FeatureMaps) -> Result<Tensor>;
}

/// The feature maps of a batch between two stages.
#[derive(Clone, Debug)]
pub struct FeatureMaps {
    /// (B T, H, W, C), the frames of an example one after the other.
    pub(crate) maps: Tensor,
    /// Frames T of an example; 1 of what has none.
    pub(crate) frames: usize,
}

impl FeatureMaps {
    /// Maps (B T, H, W, C) of examples of `frames` frames each.
    pub fn new(maps: Tensor, frames: usize) -> Self {
        Self { maps, frames: frames.max(1) }
    }

    /// (B T, H, W, C), the frames of an example one after the other.
    pub fn maps(&self) -> &Tensor {
        &self.maps
    }

    /// The mean of every channel over the pixels and frames of each example: (B, C).
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn means(&self) -> Result<Tensor> {
        let of_frames = global_avg_pool2d(&self.maps)?;
        if self.frames == 1 {
            return Ok(of_frames);
        }
        let (rows, channels) = of_frames.dims2()?;
        Ok(of_frames.reshape((rows / self.frames, self.frames, channels))?.mean(1)?)
    }

    /// The maps times one factor (B, C) for every channel of an example, the same in all of its frames.
    ///
    /// # Errors
    /// When there are not as many factors as examples and channels.
    pub fn scaled(&self, factors: &Tensor) -> Result<Self> {
        let (rows, height, width, channels) = self.maps.dims4()?;
        let factors =
            factors.reshape((rows / self.frames, 1, channels))?.to_dtype(self.maps.dtype())?;
        let pixels = (rows / self.frames, self.frames * height * width, channels);
        let scaled = self.maps.reshape(pixels)?.broadcast_mul(&factors)?;
        let maps = scaled.reshape((rows, height, width, channels))?;
        Ok(Self { maps, frames: self.frames })
    }
}

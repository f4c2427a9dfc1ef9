//! Clips, frame by frame.

use candle_core::Tensor;

use crate::error::Result;

/// Images (B, C, H, W) as they are, and the frames of clips (B, C, T, H, W) as images (B T, C, H, W); with the number T
/// of frames, 1 of images.
pub(crate) fn split(input: &Tensor) -> Result<(Tensor, usize)> {
    let &[batch, channels, frames, height, columns] = input.dims() else {
        return Ok((input.clone(), 1));
    };
    let images = input.transpose(1, 2)?.reshape((batch * frames, channels, height, columns))?;
    Ok((images, frames))
}

/// Features (B, D) of images (B, C, H, W), or of clips (B, C, T, H, W), whose frames join the batch and
/// whose frames' features are averaged.
pub(crate) fn by_frame(
    input: &Tensor,
    width: usize,
    encode: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (images, frames) = split(input)?;
    if input.rank() != 5 {
        return encode(&images);
    }
    Ok(encode(&images)?.reshape((input.dim(0)?, frames, width))?.mean(1)?)
}

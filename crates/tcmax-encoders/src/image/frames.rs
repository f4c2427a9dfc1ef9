//! Clips, frame by frame.

use candle_core::Tensor;

use crate::error::Result;

/// Features (B, D) of images (B, C, H, W), or of clips (B, C, T, H, W), whose frames join the batch and
/// whose frames' features are averaged.
pub(crate) fn by_frame(
    input: &Tensor,
    width: usize,
    encode: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let &[batch, channels, frames, height, columns] = input.dims() else { return encode(input) };
    let images = input.transpose(1, 2)?.reshape((batch * frames, channels, height, columns))?;
    Ok(encode(&images)?.reshape((batch, frames, width))?.mean(1)?)
}

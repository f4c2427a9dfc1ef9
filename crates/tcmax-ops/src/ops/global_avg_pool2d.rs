//! Mean over height and width: (B, H, W, C) to (B, C).

use candle_core::{Result, Tensor, bail};

use crate::precision::widened;
use crate::reading::seen;

/// The mean of every channel of `x` (B, H, W, C): (B, C); of bf16, in f32.
///
/// candle's `avg_pool2d` has a wrong gradient where the window does not divide the image; this is a
/// plain mean, whose gradient is right.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[1f32, 2.0, 3.0, 6.0], &Device::Cpu)?.reshape((1, 2, 2, 1))?;
/// assert_eq!(tcmax_ops::global_avg_pool2d(&x)?.to_vec2::<f32>()?, [[3.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the rank is not 4.
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    if x.rank() != 4 {
        bail!(
            "global_avg_pool2d: got input {:?}, wanted [batch, height, width, channels]",
            x.dims()
        );
    }
    widened(&seen(x))?.flatten(1, 2)?.mean(1)
}

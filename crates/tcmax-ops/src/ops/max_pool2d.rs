//! Maximum over a sliding window, with the right gradient, channels last.
//!
//! y\[b, i, j, c\] = max over u, v of x\[b, s_h i + u - p_h, s_w j + v - p_w, c\]; the padding counts
//! as minus infinity. The gradient goes to the first maximum of the window, row by row, as in
//! PyTorch, on every device; NaN is larger than all, so that it is seen.
//!
//! candle 0.11's own pool gives 1/k^2 of the true gradient, and refuses a kernel that differs from the
//! stride, as in a ResNet's 3x3/2 pool.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::cpu::pool::{self, PooledGradient};
use crate::cpu::storage::{check_dtype, dispatch, open, tensor_of, values};
use crate::device;
use crate::geometry::{Window, check_elements};
use crate::precision::preserving;

const OP: &str = "max_pool2d";

/// Window, stride and padding, as (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dConfig {
    /// Size of the window, at least 1, at most 254 values.
    pub kernel: (usize, usize),
    /// Step of the window, at least 1.
    pub stride: (usize, usize),
    /// Padding on each side, at most half the window.
    pub padding: (usize, usize),
}

/// The largest value in each window of `x` (B, H, W, C): (B, H', W', C).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{MaxPool2dConfig, max_pool2d};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[1f32, 5.0, 2.0, 3.0], &Device::Cpu)?.reshape((1, 1, 4, 1))?;
/// let config = MaxPool2dConfig { kernel: (1, 3), stride: (1, 2), padding: (0, 1) };
/// assert_eq!(max_pool2d(&x, config)?.flatten_all()?.to_vec1::<f32>()?, [5.0, 5.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the rank or element type does not fit, the image has no pixel, the padding is more than half
/// the window, the window is larger than the padded image or than 254 values, or the output is too
/// large for memory.
pub fn max_pool2d(x: &Tensor, config: MaxPool2dConfig) -> Result<Tensor> {
    let &[batch, height, width, channels] = x.dims() else {
        bail!("{OP}: got input {:?}, wanted [batch, height, width, channels]", x.dims());
    };
    if height == 0 || width == 0 {
        bail!("{OP}: got input {:?}, wanted an image of at least one pixel", x.dims());
    }
    let window = config.window((height, width))?;
    check_elements(OP, &[batch, window.out.0, window.out.1, channels])?;
    preserving(x, |x| {
        if !x.device().is_cpu() {
            return device::max_pool2d(x, &window);
        }
        check_dtype(x, OP)?;
        x.contiguous()?.apply_op1(Forward { window, taps: OnceLock::new() })
    })
}

impl MaxPool2dConfig {
    /// The window over an image of this size, after checking that it fits.
    pub(crate) fn window(&self, image: (usize, usize)) -> Result<Window> {
        let MaxPool2dConfig { kernel, stride, padding } = *self;
        if padding.0 > kernel.0 / 2 || padding.1 > kernel.1 / 2 {
            bail!("{OP}: padding {padding:?} is more than half the window {kernel:?}");
        }
        if kernel.0.saturating_mul(kernel.1) >= usize::from(pool::NO_TAP) {
            bail!("{OP}: the window {kernel:?} has more than 254 values");
        }
        Window::new(OP, image, kernel, stride, padding)
    }
}

struct Forward {
    window: Window,
    /// Which tap of each window was the largest; the backward pass reads it.
    taps: OnceLock<Vec<u8>>,
}

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, _, _, channels) = layout.shape().dims4()?;
        let shape = Shape::from((batch, self.window.out.0, self.window.out.1, channels));
        let storage = dispatch!(x, OP, |T| {
            let x = values::<T>(x, layout, OP)?;
            if x.is_empty() {
                Vec::new()
            } else {
                let pooled = pool::max(x, &self.window, channels, None);
                // Set once, because an operation is applied once.
                let _ = self.taps.set(pooled.taps);
                pooled.values
            }
        });
        Ok((storage, shape))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Some(taps) = self.taps.get() else { return x.zeros_like().map(Some) };
        let grad = grad.contiguous()?;
        let opened = open(&grad, OP);
        let (window, channels) = (self.window, x.dim(3)?);
        let dx = dispatch!(opened.storage()?, OP, |T| {
            PooledGradient::<T> { window, channels, grad: opened.values()?, taps }.all()
        });
        tensor_of(dx, x).map(Some)
    }
}

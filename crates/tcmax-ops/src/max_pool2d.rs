//! Maximum over a sliding window, with the right gradient.
//!
//! y\[b, c, i, j\] = max over u, v of x\[b, c, s_h i + u - p_h, s_w j + v - p_w\]; the padding counts
//! as minus infinity. The gradient goes to the first maximum of the window, row by row, as in
//! PyTorch.
//!
//! candle 0.11's own gives 1/k^2 of the true gradient, and refuses a kernel other than the stride,
//! which a ResNet's 3x3/2 pool has.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, FloatDType, Layout, Result, Shape, Tensor, bail,
};
use rayon::prelude::*;

use crate::composed;
use crate::cpu::{check_dtype, dispatch, values};
use crate::window::Window;

const OP: &str = "max_pool2d";

/// Window, stride and padding, as (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dConfig {
    /// Size of the window, at least 1.
    pub kernel: (usize, usize),
    /// Step of the window, at least 1.
    pub stride: (usize, usize),
    /// Padding on each side, at most half the window.
    pub padding: (usize, usize),
}

/// The largest value in each window of `x` (B, C, H, W): (B, C, H', W').
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{MaxPool2dConfig, max_pool2d};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[1f32, 5.0, 2.0, 3.0], &Device::Cpu)?.reshape((1, 1, 1, 4))?;
/// let config = MaxPool2dConfig { kernel: (1, 3), stride: (1, 2), padding: (0, 1) };
/// assert_eq!(max_pool2d(&x, config)?.flatten_all()?.to_vec1::<f32>()?, [5.0, 5.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the rank or element type does not fit, the padding is more than half the window, or the
/// window is larger than the padded image.
pub fn max_pool2d(x: &Tensor, config: MaxPool2dConfig) -> Result<Tensor> {
    let &[_, _, height, width] = x.dims() else {
        bail!("{OP}: got input {:?}, wanted [batch, channels, height, width]", x.dims());
    };
    let MaxPool2dConfig { kernel, stride, padding } = config;
    if 2 * padding.0 > kernel.0 || 2 * padding.1 > kernel.1 {
        bail!("{OP}: padding {padding:?} is more than half the window {kernel:?}");
    }
    let window = Window::new(OP, (height, width), kernel, stride, padding)?;
    if !x.device().is_cpu() {
        return composed::max_pool2d(x, &window);
    }
    check_dtype(x, OP)?;
    x.contiguous()?.apply_op1(Forward(window))
}

/// The place of the first maximum of a window in its channel.
fn first_maximum<T: FloatDType>(window: &Window, channel: &[T], i: usize, j: usize) -> usize {
    let mut best: Option<usize> = None;
    for y in (0..window.kernel.0).filter_map(|u| window.row(i, u)) {
        for x in (0..window.kernel.1).filter_map(|v| window.column(j, v)) {
            let place = y * window.image.1 + x;
            // NaN wins, so that it is seen rather than dropped.
            let larger = best.is_none_or(|b| {
                let is_nan = |p: usize| channel[p].to_f64().is_nan();
                channel[place] > channel[b] || (is_nan(place) && !is_nan(b))
            });
            if larger {
                best = Some(place);
            }
        }
    }
    // Padding of at most half the window leaves at least one pixel in every window.
    best.unwrap_or(0)
}

struct Forward(Window);

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let out = dispatch!(x, OP, forward(&self.0, x, layout));
        Ok((out, Shape::from((batch, channels, self.0.out.0, self.0.out.1))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = x.contiguous()?.apply_op2_no_bwd(&grad.contiguous()?, &Backward(self.0))?;
        Ok(Some(dx))
    }
}

fn forward<T: FloatDType>(window: &Window, x: &CpuStorage, layout: &Layout) -> Result<Vec<T>> {
    let x = values::<T>(x, layout, OP)?;
    let channels = x.len() / window.pixels();
    let mut out = vec![T::zero(); channels * window.positions()];
    let outs = out.par_chunks_mut(window.positions());
    outs.zip(x.par_chunks(window.pixels())).for_each(|(out, channel)| {
        for (i, row) in out.chunks_exact_mut(window.out.1).enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value = channel[first_maximum(window, channel, i, j)];
            }
        }
    });
    Ok(out)
}

struct Backward(Window);

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "max_pool2d-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dx = dispatch!(x, OP, backward(&self.0, x, x_layout, grad, grad_layout));
        Ok((dx, x_layout.shape().clone()))
    }
}

fn backward<T: FloatDType>(
    window: &Window,
    x: &CpuStorage,
    x_layout: &Layout,
    grad: &CpuStorage,
    grad_layout: &Layout,
) -> Result<Vec<T>> {
    let x = values::<T>(x, x_layout, OP)?;
    let grad = values::<T>(grad, grad_layout, OP)?;
    let mut dx = vec![T::zero(); x.len()];
    let channels = x.par_chunks(window.pixels()).zip(grad.par_chunks(window.positions()));
    dx.par_chunks_mut(window.pixels()).zip(channels).for_each(|(dx, (channel, grad))| {
        for (i, row) in grad.chunks_exact(window.out.1).enumerate() {
            for (j, value) in row.iter().enumerate() {
                dx[first_maximum(window, channel, i, j)] += *value;
            }
        }
    });
    Ok(dx)
}

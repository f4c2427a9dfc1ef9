//! Two-dimensional convolution with gradients for every shape, channels last.
//!
//! y\[b, i, j, o\] = sum over u, v, c of w\[u, v, c, o\] x\[b, s_h i + u - p_h, s_w j + v - p_w, c\],
//! zero outside the image, without bias. x is (B, H, W, C), w is (K_h, K_w, C, O), y is
//! (B, H', W', O) with H' = floor((H + 2 p_h - K_h) / s_h) + 1.
//!
//! candle 0.11's own convolution works on (B, C, H, W); its backward fails on some non-square inputs at stride
//! 2, a spectrogram of 257 x 188 among them, and always computes the gradient of the input, needed or
//! not.
//!
//! On the CPU, f32 goes through the kernels of this crate and f64 through plain matrix products.
//! Results have the same bits for every number of threads.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::cpu::conv2d::{forward, input_grad, weight_grad};
use crate::cpu::storage::{check_dtype, dispatch, values};
use crate::device;
use crate::geometry::{ConvShape, Window, check_elements};
use crate::graph::backward::hand_over;
use crate::precision::product;

const OP: &str = "conv2d";

/// Stride and zero padding, as (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Step of the window, at least 1.
    pub stride: (usize, usize),
    /// Zeros added on each side.
    pub padding: (usize, usize),
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0) }
    }
}

/// Convolves `x` (B, H, W, C) with `weight` (K_h, K_w, C, O): (B, H', W', O).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{Conv2dConfig, conv2d};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu)?;
/// let sum_of_four = Tensor::ones((2, 2, 1, 1), DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x.reshape((1, 2, 3, 1))?, &sum_of_four, Conv2dConfig::default())?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [12.0, 16.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When ranks, channels or element types do not fit, the window is larger than the padded image, or
/// the output or the padded image is too large for memory.
pub fn conv2d(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    product([x, weight], |[x, weight]| of_one_type(x, weight, config))
}

fn of_one_type(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let shape = shape_of(x, weight, config)?;
    if !x.device().is_cpu() {
        return device::conv2d(x, weight, &shape);
    }
    check_dtype(x, OP)?;
    x.contiguous()?.apply_op2(&weight.contiguous()?, Forward(shape))
}

/// The sizes of a convolution, after checking that the tensors fit.
pub(crate) fn shape_of(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<ConvShape> {
    let (&[batch, height, width, from], &[k_h, k_w, weight_from, to]) = (x.dims(), weight.dims())
    else {
        bail!(
            "{OP}: got input {:?} and weight {:?}, wanted [batch, height, width, channels] and \
             [kernel height, kernel width, channels, out channels]",
            x.dims(),
            weight.dims()
        );
    };
    if from != weight_from || x.dtype() != weight.dtype() {
        bail!(
            "{OP}: input {:?} {:?} and weight {:?} {:?} differ in channels or element type",
            x.dims(),
            x.dtype(),
            weight.dims(),
            weight.dtype()
        );
    }
    let (stride, padding) = (config.stride, config.padding);
    let window = Window::new(OP, (height, width), (k_h, k_w), stride, padding)?;
    let (padded, out) = (window.padded(), window.out);
    check_elements(OP, &[batch, padded.0, padded.1, from])?;
    check_elements(OP, &[batch, out.0, out.1, to])?;
    // The windows of one image, which the plain way in f64 writes out.
    check_elements(OP, &[out.0, out.1, k_h, k_w, from])?;
    Ok(ConvShape { batch, from, to, window })
}

struct Forward(ConvShape);

impl CustomOp2 for Forward {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let run = dispatch!(x, OP, |T| {
            let (x, w) = (values::<T>(x, x_layout, OP)?, values::<T>(weight, weight_layout, OP)?);
            forward(&self.0, x, w)
        });
        Ok((run, self.0.out_dims()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        // Both arguments were made contiguous before the op, but may since be seen through views.
        let (x, weight) = (x.contiguous()?, weight.contiguous()?);
        // The input of a stem is not tracked, and its gradient would be the most expensive of all.
        let dx = x.track_op().then(|| weight.apply_op2_no_bwd(&grad, &InputGrad(self.0)));
        let dw = weight.track_op().then(|| x.apply_op2_no_bwd(&grad, &WeightGrad(self.0)));
        Ok((dx.transpose()?, dw.transpose()?.and_then(|dw| hand_over(&weight, dw))))
    }
}

struct InputGrad(ConvShape);

impl CustomOp2 for InputGrad {
    fn name(&self) -> &'static str {
        "conv2d-input-gradient"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        weight_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dx = dispatch!(grad, OP, |T| {
            let weight = values::<T>(weight, weight_layout, OP)?;
            input_grad(&self.0, weight, values::<T>(grad, grad_layout, OP)?)
        });
        let (height, width) = self.0.window.image;
        Ok((dx, Shape::from((self.0.batch, height, width, self.0.from))))
    }
}

struct WeightGrad(ConvShape);

impl CustomOp2 for WeightGrad {
    fn name(&self) -> &'static str {
        "conv2d-weight-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dw = dispatch!(grad, OP, |T| {
            let x = values::<T>(x, x_layout, OP)?;
            weight_grad(&self.0, x, values::<T>(grad, grad_layout, OP)?)
        });
        let (k_h, k_w) = self.0.window.kernel;
        Ok((dw, Shape::from((k_h, k_w, self.0.from, self.0.to))))
    }
}

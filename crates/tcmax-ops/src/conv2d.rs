//! Two-dimensional convolution with gradients for every shape.
//!
//! y\[b, o, i, j\] = sum over c, u, v of w\[o, c, u, v\] x\[b, c, s_h i + u - p_h, s_w j + v - p_w\],
//! zero outside the image, without bias. x is (B, C, H, W), w is (O, C, K_h, K_w), y is
//! (B, O, H', W') with H' = floor((H + 2 p_h - K_h) / s_h) + 1.
//!
//! candle 0.11's own backward fails on some non-square inputs at stride 2, a spectrogram of
//! 257 x 188 among them, and always computes the gradient of the input, even of a plain one.
//!
//! On the CPU an image is unfolded into a matrix of windows and multiplied with the weights, images
//! in parallel. The weight gradient adds partial sums of a fixed number of images in order, so the
//! result has the same bits for every number of threads.

use candle_core::{CpuStorage, CustomOp2, FloatDType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::composed;
use crate::cpu::{Matrix, check_dtype, dispatch, multiply, values};
use crate::window::Window;

const OP: &str = "conv2d";

/// Images whose weight gradients are summed by one task. Part of the result's bits.
const IMAGES_PER_SUM: usize = 4;

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

/// Convolves `x` (B, C, H, W) with `weight` (O, C, K_h, K_w): (B, O, H', W').
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{Conv2dConfig, conv2d};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu)?;
/// let sum_of_squares_of_two = Tensor::ones((1, 1, 2, 2), candle_core::DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x.reshape((1, 1, 2, 3))?, &sum_of_squares_of_two, Conv2dConfig::default())?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [12.0, 16.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When ranks, channels or element types do not fit, or the window is larger than the padded image.
pub fn conv2d(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let geometry = Geometry::new(x, weight, config)?;
    if !x.device().is_cpu() {
        return composed::conv2d(x, weight, &geometry);
    }
    check_dtype(x, OP)?;
    x.contiguous()?.apply_op2(&weight.contiguous()?, Forward(geometry))
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) window: Window,
}

impl Geometry {
    pub(crate) fn new(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Self> {
        let (&[batch, from, height, width], &[to, weight_from, k_h, k_w]) =
            (x.dims(), weight.dims())
        else {
            bail!(
                "{OP}: got input {:?} and weight {:?}, wanted [batch, channels, height, width] and \
                 [out channels, channels, kernel height, kernel width]",
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
        Ok(Self { batch, from, to, window })
    }

    fn image_len(&self) -> usize {
        self.from * self.window.pixels()
    }

    fn out_len(&self) -> usize {
        self.to * self.window.positions()
    }

    /// Rows of the matrix of windows, and length of one filter.
    fn filter_len(&self) -> usize {
        self.from * self.window.taps()
    }

    /// Whether an image is its own matrix of windows.
    fn is_pointwise(&self) -> bool {
        self.window.kernel == (1, 1)
            && self.window.stride == (1, 1)
            && self.window.padding == (0, 0)
    }

    fn columns_len(&self) -> usize {
        if self.is_pointwise() { 0 } else { self.filter_len() * self.window.positions() }
    }

    /// The matrix of windows (filter_len, positions) of one image, in `columns` if need be.
    fn unfold<'a, T: FloatDType>(&self, image: &'a [T], columns: &'a mut [T]) -> &'a [T] {
        if self.is_pointwise() {
            return image;
        }
        let window = &self.window;
        let width = window.image.1;
        let mut rows = columns.chunks_exact_mut(window.positions());
        for channel in image.chunks_exact(window.pixels()) {
            for u in 0..window.kernel.0 {
                for v in 0..window.kernel.1 {
                    let Some(row) = rows.next() else { return columns };
                    for (i, out) in row.chunks_exact_mut(window.out.1).enumerate() {
                        match window.row(i, u) {
                            Some(y) => {
                                unfold_row(window, v, &channel[y * width..][..width], out);
                            }
                            None => out.fill(T::zero()),
                        }
                    }
                }
            }
        }
        columns
    }

    /// The adjoint of [`Self::unfold`]: adds a matrix of windows back into an image.
    fn fold<T: FloatDType>(&self, columns: &[T], image: &mut [T]) {
        let window = &self.window;
        let width = window.image.1;
        let mut rows = columns.chunks_exact(window.positions());
        for channel in image.chunks_exact_mut(window.pixels()) {
            for u in 0..window.kernel.0 {
                for v in 0..window.kernel.1 {
                    let Some(row) = rows.next() else { return };
                    for (i, out) in row.chunks_exact(window.out.1).enumerate() {
                        if let Some(y) = window.row(i, u) {
                            fold_row(window, v, out, &mut channel[y * width..][..width]);
                        }
                    }
                }
            }
        }
    }
}

fn unfold_row<T: FloatDType>(window: &Window, v: usize, line: &[T], out: &mut [T]) {
    let inside = window.inside(v);
    out[..inside.start].fill(T::zero());
    out[inside.end..].fill(T::zero());
    if inside.is_empty() {
        return;
    }
    let start = inside.start * window.stride.1 + v - window.padding.1;
    let out = &mut out[inside];
    if window.stride.1 == 1 {
        out.copy_from_slice(&line[start..][..out.len()]);
    } else {
        for (value, source) in out.iter_mut().zip(line[start..].iter().step_by(window.stride.1)) {
            *value = *source;
        }
    }
}

fn fold_row<T: FloatDType>(window: &Window, v: usize, out: &[T], line: &mut [T]) {
    let inside = window.inside(v);
    if inside.is_empty() {
        return;
    }
    let start = inside.start * window.stride.1 + v - window.padding.1;
    let sums = line[start..].iter_mut().step_by(window.stride.1);
    for (sum, value) in sums.zip(&out[inside]) {
        *sum += *value;
    }
}

struct Forward(Geometry);

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
        let g = &self.0;
        let out = dispatch!(x, OP, forward(g, x, x_layout, weight, weight_layout));
        Ok((out, Shape::from((g.batch, g.to, g.window.out.0, g.window.out.1))))
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
        // A plain input, as the stem has, needs no gradient, and its is the dearest of all.
        let dx = x.track_op().then(|| weight.apply_op2_no_bwd(&grad, &InputGrad(self.0)));
        let dw = weight.track_op().then(|| x.apply_op2_no_bwd(&grad, &WeightGrad(self.0)));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

fn forward<T: FloatDType>(
    g: &Geometry,
    x: &CpuStorage,
    x_layout: &Layout,
    weight: &CpuStorage,
    weight_layout: &Layout,
) -> Result<Vec<T>> {
    let x = values::<T>(x, x_layout, OP)?;
    let weight = values::<T>(weight, weight_layout, OP)?;
    let mut out = vec![T::zero(); g.batch * g.out_len()];
    if out.is_empty() {
        return Ok(out);
    }
    out.par_chunks_mut(g.out_len()).zip(x.par_chunks(g.image_len())).for_each_init(
        || vec![T::zero(); g.columns_len()],
        |columns, (out, image)| {
            let windows = g.unfold(image, columns);
            let windows = Matrix::new(windows, g.filter_len(), g.window.positions());
            multiply(out, Matrix::new(weight, g.to, g.filter_len()), windows, false);
        },
    );
    Ok(out)
}

struct InputGrad(Geometry);

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
        let g = &self.0;
        let dx = dispatch!(grad, OP, input_grad(g, weight, weight_layout, grad, grad_layout));
        Ok((dx, Shape::from((g.batch, g.from, g.window.image.0, g.window.image.1))))
    }
}

fn input_grad<T: FloatDType>(
    g: &Geometry,
    weight: &CpuStorage,
    weight_layout: &Layout,
    grad: &CpuStorage,
    grad_layout: &Layout,
) -> Result<Vec<T>> {
    let weight = values::<T>(weight, weight_layout, OP)?;
    let grad = values::<T>(grad, grad_layout, OP)?;
    let mut dx = vec![T::zero(); g.batch * g.image_len()];
    if dx.is_empty() || grad.is_empty() {
        return Ok(dx);
    }
    dx.par_chunks_mut(g.image_len()).zip(grad.par_chunks(g.out_len())).for_each_init(
        || vec![T::zero(); g.columns_len()],
        |columns, (dx, grad)| {
            let weight = Matrix::new(weight, g.to, g.filter_len()).transposed();
            let grad = Matrix::new(grad, g.to, g.window.positions());
            if g.is_pointwise() {
                multiply(dx, weight, grad, false);
            } else {
                multiply(columns, weight, grad, false);
                g.fold(columns, dx);
            }
        },
    );
    Ok(dx)
}

struct WeightGrad(Geometry);

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
        let g = &self.0;
        let dw = dispatch!(grad, OP, weight_grad(g, x, x_layout, grad, grad_layout));
        Ok((dw, Shape::from((g.to, g.from, g.window.kernel.0, g.window.kernel.1))))
    }
}

fn weight_grad<T: FloatDType>(
    g: &Geometry,
    x: &CpuStorage,
    x_layout: &Layout,
    grad: &CpuStorage,
    grad_layout: &Layout,
) -> Result<Vec<T>> {
    let x = values::<T>(x, x_layout, OP)?;
    let grad = values::<T>(grad, grad_layout, OP)?;
    let mut total = vec![T::zero(); g.to * g.filter_len()];
    if x.is_empty() || grad.is_empty() {
        return Ok(total);
    }
    let images = x.par_chunks(IMAGES_PER_SUM * g.image_len());
    let grads = grad.par_chunks(IMAGES_PER_SUM * g.out_len());
    let partial_sum = |columns: &mut Vec<T>, (images, grads): (&[T], &[T])| {
        let mut sum = vec![T::zero(); g.to * g.filter_len()];
        for (image, grad) in images.chunks(g.image_len()).zip(grads.chunks(g.out_len())) {
            let windows = g.unfold(image, columns);
            let windows = Matrix::new(windows, g.filter_len(), g.window.positions());
            let grad = Matrix::new(grad, g.to, g.window.positions());
            multiply(&mut sum, grad, windows.transposed(), true);
        }
        sum
    };
    let buffer = || vec![T::zero(); g.columns_len()];
    let sums: Vec<Vec<T>> = images.zip(grads).map_init(buffer, partial_sum).collect();
    for sum in sums {
        for (total, part) in total.iter_mut().zip(sum) {
            *total += part;
        }
    }
    Ok(total)
}

//! softmax(x)_i = exp(x_i - max x) / sum_j exp(x_j - max x).

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{ROWS_AT_ONCE, row_len};
use crate::cpu::{Element, dispatch, storage_of, tensor_of, values, written};
use crate::kernels::run;

const OP: &str = "softmax";

/// The softmax over the last dimension of `x`, any rank from 1: a tensor of the same shape.
///
/// The largest value of a row is subtracted first, so that no exponential overflows. The gradient
/// is y (g - sum_j g_j y_j).
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1000f64, 1000.0, -1000.0]], &Device::Cpu)?;
/// assert_eq!(tcmax_ops::softmax(&x)?.to_vec2::<f64>()?, [[0.5, 0.5, 0.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the element type is neither f32 nor f64, or there is no last dimension.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    row_len(x, OP)?;
    if !x.device().is_cpu() {
        // Composed, so that the gradient is candle's own.
        let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
        let exp = shifted.exp()?;
        return exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?);
    }
    x.contiguous()?.apply_op1(Softmax)
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let len = layout.dims()[layout.dims().len() - 1];
        let y = dispatch!(x, OP, |T| { forward(values::<T>(x, layout, OP)?, len) });
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (y, grad) = (y.contiguous()?, grad.contiguous()?);
        let len = y.dim(D::Minus1)?;
        let (y_guard, y_layout) = y.storage_and_layout();
        let (grad_guard, grad_layout) = grad.storage_and_layout();
        let (y_storage, grad_storage) = (storage_of(&y_guard, OP)?, storage_of(&grad_guard, OP)?);
        let dx = dispatch!(y_storage, OP, |T| {
            let y = values::<T>(y_storage, y_layout, OP)?;
            backward(y, values::<T>(grad_storage, grad_layout, OP)?, len)
        });
        tensor_of(dx, &y).map(Some)
    }
}

fn forward<T: Element>(x: &[T], len: usize) -> Vec<T> {
    let write = |y: &mut [MaybeUninit<T>]| {
        let band = len * ROWS_AT_ONCE;
        y.par_chunks_mut(band).zip(x.par_chunks(band)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
                forward_row(x, y);
            }
        });
    };
    // SAFETY: x is whole rows, and every value of a row is written.
    unsafe { written(x.len(), write) }
}

fn forward_row<T: Element>(x: &[T], y: &mut [MaybeUninit<T>]) {
    let most = x.iter().fold(x[0], |most, value| if *value > most { *value } else { most });
    let mut sum = 0.0;
    for (y, x) in y.iter_mut().zip(x) {
        let value = (*x - most).exponential();
        sum += value.to_f64();
        y.write(value);
    }
    let inverse = T::from_f64(1.0 / sum);
    for y in y {
        // SAFETY: written just above.
        let value = unsafe { y.assume_init_mut() };
        *value *= inverse;
    }
}

fn backward<T: Element>(y: &[T], grad: &[T], len: usize) -> Vec<T> {
    let write = |dx: &mut [MaybeUninit<T>]| {
        let band = len * ROWS_AT_ONCE;
        let inputs = y.par_chunks(band).zip(grad.par_chunks(band));
        dx.par_chunks_mut(band).zip(inputs).for_each(|(dx, (y, grad))| {
            run(Backward { y, grad, len, dx });
        });
    };
    // SAFETY: y is whole rows, and every value of a row is written.
    unsafe { written(y.len(), write) }
}

struct Backward<'a, T> {
    y: &'a [T],
    grad: &'a [T],
    len: usize,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { y, grad, len, dx } = self;
        assert!(y.len() == dx.len() && grad.len() == dx.len());
        let rows = y.chunks_exact(len).zip(grad.chunks_exact(len));
        for (dx, (y, grad)) in dx.chunks_exact_mut(len).zip(rows) {
            let mut inner = 0.0;
            for (y, grad) in y.iter().zip(grad) {
                inner += y.to_f64() * grad.to_f64();
            }
            let inner = T::from_f64(inner);
            for (dx, (y, grad)) in dx.iter_mut().zip(y.iter().zip(grad)) {
                dx.write(*y * (*grad - inner));
            }
        }
    }
}

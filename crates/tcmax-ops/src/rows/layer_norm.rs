//! Normalisation of rows: y = w (x - mean) / sqrt(var + eps) + b.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{ROWS_AT_ONCE, row_len};
use crate::backward::hand_over;
use crate::cpu::{Element, dispatch, storage_of, tensor_of, values, written};
use crate::kernels::run;

const OP: &str = "layer_norm";

/// Layer normalisation over the last dimension of `x` (..., D) with weight and bias (D,).
///
/// Mean and biased variance are each row's own, in f64. Source: Ba, Kiros and Hinton 2016, "Layer
/// Normalization".
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f64, 3.0], [10.0, 30.0]], &Device::Cpu)?;
/// let (weight, bias) = (Tensor::new(&[1f64, 2.0], &Device::Cpu)?, x.get(0)?.zeros_like()?);
/// let y = tcmax_ops::layer_norm(&x, &weight, &bias, 0.0)?;
/// assert_eq!(y.to_vec2::<f64>()?, [[-1.0, 2.0], [-1.0, 2.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When weight or bias have another length or element type than the rows.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let len = row_len(x, OP)?;
    for (name, tensor) in [("weight", weight), ("bias", bias)] {
        if tensor.dims() != [len] || tensor.dtype() != x.dtype() {
            let (got, kind) = (tensor.dims(), tensor.dtype());
            bail!("{OP}: got {name} {got:?} {kind:?} for rows of {len} {:?}", x.dtype());
        }
    }
    if !x.device().is_cpu() {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(var + eps)?.sqrt()?)?;
        return normal.broadcast_mul(weight)?.broadcast_add(bias);
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, LayerNorm { eps })
}

struct LayerNorm {
    eps: f64,
}

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn moments<T: Element>(x: &[T], eps: f64) -> (f64, f64) {
    let count = x.len() as f64;
    let mut sum = 0.0;
    for value in x {
        sum += value.to_f64();
    }
    let mean = sum / count;
    let mut squares = 0.0;
    for value in x {
        squares += (value.to_f64() - mean).powi(2);
    }
    (mean, 1.0 / (squares / count + eps).sqrt())
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = dispatch!(x, OP, |T| {
            let weight = values::<T>(weight, weight_layout, OP)?;
            let bias = values::<T>(bias, bias_layout, OP)?;
            self.forward(values::<T>(x, x_layout, OP)?, weight, bias)
        });
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x, scale, grad) = (x.contiguous()?, weight.contiguous()?, grad.contiguous()?);
        let (x_guard, x_layout) = x.storage_and_layout();
        let (scale_guard, scale_layout) = scale.storage_and_layout();
        let (grad_guard, grad_layout) = grad.storage_and_layout();
        let x_storage = storage_of(&x_guard, OP)?;
        let (scale_storage, grad_storage) =
            (storage_of(&scale_guard, OP)?, storage_of(&grad_guard, OP)?);
        let parameters;
        let dx = dispatch!(x_storage, OP, |T| {
            let x = values::<T>(x_storage, x_layout, OP)?;
            let scale = values::<T>(scale_storage, scale_layout, OP)?;
            let grad = values::<T>(grad_storage, grad_layout, OP)?;
            let (dx, sums) = self.backward(x, scale, grad);
            parameters = sums;
            dx
        });
        let vector = |values: &[f64], like: &Tensor| {
            Tensor::new(values, like.device())?.to_dtype(like.dtype())
        };
        let dx = x.track_op().then(|| tensor_of(dx, &x)).transpose()?;
        let dw = hand_over(weight, vector(&parameters[0], weight)?);
        Ok((dx, dw, hand_over(bias, vector(&parameters[1], bias)?)))
    }
}

impl LayerNorm {
    fn forward<T: Element>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let write = |y: &mut [MaybeUninit<T>]| {
            let band = weight.len() * ROWS_AT_ONCE;
            y.par_chunks_mut(band).zip(x.par_chunks(band)).for_each(|(y, x)| {
                run(Forward { x, weight, bias, eps: self.eps, y });
            });
        };
        // SAFETY: x is whole rows, and every value of a row is written.
        unsafe { written(x.len(), write) }
    }

    /// The gradient of x, and those of weight and bias. Bands of rows are summed in order.
    fn backward<T: Element>(&self, x: &[T], weight: &[T], grad: &[T]) -> (Vec<T>, [Vec<f64>; 2]) {
        let len = weight.len();
        let mut sums = [vec![0.0; len], vec![0.0; len]];
        let write = |dx: &mut [MaybeUninit<T>]| {
            let band = len * ROWS_AT_ONCE;
            let inputs = x.par_chunks(band).zip(grad.par_chunks(band));
            let bands: Vec<[Vec<f64>; 2]> = dx
                .par_chunks_mut(band)
                .zip(inputs)
                .map(|(dx, (x, grad))| run(Backward { x, weight, grad, eps: self.eps, dx }))
                .collect();
            for band in bands {
                for (totals, band) in sums.iter_mut().zip(band) {
                    for (total, value) in totals.iter_mut().zip(band) {
                        *total += value;
                    }
                }
            }
        };
        // SAFETY: x is whole rows, and every value of a row is written.
        let dx = unsafe { written(x.len(), write) };
        (dx, sums)
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    eps: f64,
    y: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, weight, bias, eps, y } = self;
        let len = weight.len();
        assert!(x.len() == y.len() && bias.len() == len);
        for (y, x) in y.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
            let (mean, inverse) = moments(x, eps);
            let (mean, inverse) = (T::from_f64(mean), T::from_f64(inverse));
            for ((y, x), (weight, bias)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                y.write((*x - mean) * inverse * *weight + *bias);
            }
        }
    }
}

/// With n the normalised row and h = g w: dx = (h - mean h - n mean(h n)) / std, dw = sum g n,
/// db = sum g.
struct Backward<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    grad: &'a [T],
    eps: f64,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [Vec<f64>; 2] {
        let Self { x, weight, grad, eps, dx } = self;
        let len = weight.len();
        assert!(x.len() == dx.len() && grad.len() == dx.len());
        let (mut dw, mut db) = (vec![0.0; len], vec![0.0; len]);
        let rows = x.chunks_exact(len).zip(grad.chunks_exact(len));
        for (dx, (x, grad)) in dx.chunks_exact_mut(len).zip(rows) {
            let (mean, inverse) = moments(x, eps);
            let (mut sum, mut inner) = (0.0, 0.0);
            let sums = dw.iter_mut().zip(&mut db);
            for (((x, grad), weight), (dw, db)) in x.iter().zip(grad).zip(weight).zip(sums) {
                let normal = (x.to_f64() - mean) * inverse;
                let (g, h) = (grad.to_f64(), grad.to_f64() * weight.to_f64());
                *dw += g * normal;
                *db += g;
                sum += h;
                inner += h * normal;
            }
            let (sum, inner) = (sum / len as f64, inner / len as f64);
            for ((dx, x), (grad, weight)) in dx.iter_mut().zip(x).zip(grad.iter().zip(weight)) {
                let normal = (x.to_f64() - mean) * inverse;
                let h = grad.to_f64() * weight.to_f64();
                dx.write(T::from_f64((h - sum - normal * inner) * inverse));
            }
        }
        [dw, db]
    }
}

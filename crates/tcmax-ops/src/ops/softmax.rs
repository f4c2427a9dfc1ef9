//! softmax(x)_i = exp(x_i - max x) / sum_j exp(x_j - max x), of rows.
//!
//! candle-nn 0.11's fast `softmax_last_dim` has no backward pass, and cuts the graph without an error.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};

use crate::cpu::softmax::{backward, forward};
use crate::cpu::storage::{dispatch, open, tensor_of, values};
use crate::device;
use crate::ops::check::row_len;
use crate::reading::seen;

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
    let x = &seen(x);
    if !x.device().is_cpu() {
        return device::softmax(x);
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
        let (opened, grad) = (open(&y, OP), open(&grad, OP));
        let dx = dispatch!(opened.storage()?, OP, |T| {
            backward::<T>(opened.values()?, grad.values()?, len)
        });
        tensor_of(dx, &y).map(Some)
    }
}

//! The quadratic form y = u^T Q u of every row u, as one operation of candle's graph.
//!
//! Gradients: dQ = sum_rows dy u u^T, du = dy (Q + Q^T) u.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::composed;
use crate::cpu::quadratic_form::{backward, forward};
use crate::cpu::storage::{open, tensor_of, values};
use crate::graph::backward::hand_over;
use crate::reading::seen;

const OP: &str = "quadratic_form";

/// u^T Q u of the rows of `u` (N, D) with `q` (D, D), not necessarily symmetric: (N, 1).
///
/// On a CPU f32 runs through one kernel; everything else is composed of candle operations.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let u = Tensor::new(&[[1f32, 2.0], [0.0, 3.0]], &Device::Cpu)?;
/// let q = Tensor::new(&[[1f32, 1.0], [0.0, 2.0]], &Device::Cpu)?;
/// assert_eq!(tcmax_ops::quadratic_form(&u, &q)?.to_vec2::<f32>()?, [[11.0], [18.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When `q` is not square and as wide as `u`, `u` has no column, or element types differ.
pub fn quadratic_form(u: &Tensor, q: &Tensor) -> Result<Tensor> {
    let (rows, width) = u.dims2()?;
    if q.dims() != [width, width] || width == 0 || q.dtype() != u.dtype() {
        bail!("{OP}: got {:?} {:?} for rows of {width} {:?}", q.dims(), q.dtype(), u.dtype());
    }
    let (u, q) = (&seen(u), &seen(q));
    if !u.device().is_cpu() || u.dtype() != DType::F32 || rows == 0 {
        return composed::quadratic_form::quadratic_form(u, q);
    }
    u.contiguous()?.apply_op2(&q.contiguous()?, QuadraticForm)
}

struct QuadraticForm;

impl CustomOp2 for QuadraticForm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        u: &CpuStorage,
        u_layout: &Layout,
        q: &CpuStorage,
        q_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = u_layout.shape().dims2()?;
        let y = forward(values(u, u_layout, OP)?, values(q, q_layout, OP)?, width);
        Ok((CpuStorage::F32(y), Shape::from((rows, 1))))
    }

    fn bwd(
        &self,
        u: &Tensor,
        q: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = u.dim(1)?;
        let gradient = gradient.contiguous()?;
        let [u_opened, q_opened, gradient] = [u, q, &gradient].map(|t| open(t, OP));
        let (u_values, q_values, gradient) =
            (u_opened.values()?, q_opened.values()?, gradient.values()?);
        let (dq, du) = backward(u_values, q_values, width, gradient, u.track_op());
        let du = du.map(|du| tensor_of(CpuStorage::F32(du), u)).transpose()?;
        Ok((du, hand_over(q, tensor_of(CpuStorage::F32(dq), q)?)))
    }
}

//! Tensors of all members.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, DType, Device, Error, Layout, Result, Shape, Tensor, bail,
};
use tcmax_parallel::{Group, Purpose};

use crate::cpu::storage::{check_dtype, dispatch, values};

const OP: &str = "gathered";

/// The rows of all members' tensors, (N_r, ...) each, in the order of ranks; some of them may have none.
///
/// The gradient is that of this member's own rows, and nothing is exchanged for it: it is right where every member
/// computes the same of the rows, as a loss of the whole batch.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::gathered;
/// use tcmax_parallel::{Alone, Threads, run};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let alone: std::sync::Arc<dyn tcmax_parallel::Group> = std::sync::Arc::new(Alone);
/// let rows = run(Threads::members(2, &alone)?, |member| {
///     let own = Tensor::full(member.rank() as f64, (1 + member.rank(), 1), &Device::Cpu)?;
///     gathered(&own, member.as_ref())?.flatten_all()?.to_vec1::<f64>()
/// });
/// for rows in rows {
///     assert_eq!(rows?, [0.0, 1.0, 1.0]);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the members' rows differ in shape or element type, are neither f32 nor f64, or cannot be exchanged.
pub fn gathered(x: &Tensor, group: &dyn Group) -> Result<Tensor> {
    if group.size() == 1 {
        return Ok(x.clone());
    }
    let all = group.all_gather(&to_bytes(x)?, Purpose::Features).map_err(Error::wrap)?;
    let (before, after) = (&all[..group.rank()], &all[group.rank() + 1..]);
    let mut parts = Vec::with_capacity(3);
    parts.extend(rows_like(before, x)?);
    if x.elem_count() > 0 {
        parts.push(x.clone());
    }
    parts.extend(rows_like(after, x)?);
    Tensor::cat(&parts, 0)
}

/// The numbers of a tensor, row by row.
fn to_bytes(x: &Tensor) -> Result<Vec<u8>> {
    if x.elem_count() == 0 {
        return Ok(Vec::new());
    }
    let flat = x.detach().to_device(&Device::Cpu)?.flatten_all()?;
    Ok(match flat.dtype() {
        DType::F32 => flat.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
        DType::F64 => flat.to_vec1::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect(),
        other => bail!("{OP}: element type {other:?}; f32 and f64 are supported"),
    })
}

/// The rows of some members, of the shape, type and device of those of `like`; none where there are none.
fn rows_like(messages: &[Vec<u8>], like: &Tensor) -> Result<Option<Tensor>> {
    let bytes = messages.concat();
    let mut shape = like.dims().to_vec();
    let Some((first, rest)) = shape.split_first_mut() else { bail!("{OP}: a scalar has no rows") };
    let of_row = rest.iter().product::<usize>() * like.dtype().size_in_bytes();
    if bytes.is_empty() {
        return Ok(None);
    }
    if of_row == 0 || bytes.len() % of_row != 0 {
        bail!("{OP}: {} bytes are no rows of {of_row} bytes", bytes.len());
    }
    *first = bytes.len() / of_row;
    let rows = Tensor::from_raw_buffer(&bytes, like.dtype(), &shape, &Device::Cpu)?;
    rows.to_device(like.device()).map(Some)
}

/// `x` itself, whose gradient is summed over the members: of rows that all members hold, and of which each computes a
/// part of the loss.
///
/// # Errors
/// When the tensor is neither f32 nor f64; the backward pass fails where the members cannot exchange.
pub fn with_summed_gradient(x: &Tensor, group: &Arc<dyn Group>) -> Result<Tensor> {
    if group.size() == 1 {
        return Ok(x.clone());
    }
    check_dtype(x, OP)?;
    let on_host = x.to_device(&Device::Cpu)?.contiguous()?;
    on_host.apply_op1(SummedGradient(group.clone()))?.to_device(x.device())
}

struct SummedGradient(Arc<dyn Group>);

impl CustomOp1 for SummedGradient {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let same = dispatch!(x, OP, |T| { values::<T>(x, layout, OP)?.to_vec() });
        Ok((same, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let flat = grad.flatten_all()?;
        let sum = match flat.dtype() {
            DType::F32 => {
                let mut values = flat.to_vec1::<f32>()?;
                self.0.sum_f32(&mut values, Purpose::Features).map_err(Error::wrap)?;
                Tensor::from_vec(values, x.shape(), x.device())?
            }
            _ => {
                let mut values = flat.to_vec1::<f64>()?;
                self.0.sum_f64(&mut values, Purpose::Features).map_err(Error::wrap)?;
                Tensor::from_vec(values, x.shape(), x.device())?
            }
        };
        Ok(Some(sum))
    }
}

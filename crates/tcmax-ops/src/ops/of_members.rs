//! Batch statistics of several members, and the sums that their gradients need.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, Device, Error, Layout, Result, Shape, Tensor, WithDType, bail,
};
use tcmax_parallel::{Group, Purpose};

use crate::composed::normalise::scale_and_shift;
use crate::cpu::normalise::Sums;
use crate::cpu::statistics::Moments;
use crate::cpu::storage::{dispatch, values};
use crate::precision::widened;
use crate::training::members::Members;
use crate::wide::{placed_like, to_vec_f64};

/// The moments of all members' values, in the order of ranks.
pub(crate) fn merged(members: &Members, own: &Moments, channels: usize) -> Result<Moments> {
    let all = members.group().all_gather(&own.to_bytes(), Purpose::BatchNorm);
    let all = all.map_err(Error::wrap)?;
    let moments: Option<Vec<Moments>> =
        all.iter().map(|bytes| Moments::from_bytes(bytes, channels)).collect();
    let Some(moments) = moments else { bail!("batch_norm: members have other channels") };
    Ok(Moments::merged(moments, channels))
}

/// The sums over all members' values.
pub(crate) fn added(members: &Members, own: Sums) -> Result<Sums> {
    let channels = own.weight.len();
    let mut numbers = [own.weight, own.bias].concat();
    members.group().sum_f64(&mut numbers, Purpose::BatchNorm).map_err(Error::wrap)?;
    let bias = numbers.split_off(channels);
    Ok(Sums { weight: numbers, bias })
}

/// `x` (..., C) normalised with weight and bias by mean and biased variance of each channel of all members' values, made
/// of candle's operations; those statistics, and of how many values of each channel they are.
///
/// Sums of channels go through the host, twice in each direction.
pub(crate) fn batch_norm(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    members: &Members,
) -> Result<(Tensor, [Tensor; 2], usize)> {
    let channels = weight.elem_count();
    let rows = widened(x)?.reshape((x.elem_count() / channels, channels))?;
    let counts = members.counts();
    let mut count = [if counts { rows.dim(0)? as f64 } else { 0.0 }];
    members.group().sum_f64(&mut count, Purpose::BatchNorm).map_err(Error::wrap)?;
    if count[0] < 2.0 {
        bail!("batch_norm: training needs at least 2 values in each channel, got {}", count[0]);
    }
    let share = if counts { 1.0 / count[0] } else { 0.0 };
    // A tensor, because candle leaves out what a number 0 is multiplied with: its gradient is exchanged all the same.
    let share = Tensor::full(share, channels, &Device::Cpu)?;
    let share = placed_like(&share, &rows)?;
    let mean_of_all = |rows: &Tensor| added_over(&(rows.sum(0)? * &share)?, members.group());
    let mean = mean_of_all(&rows)?;
    let centred = rows.broadcast_sub(&mean)?;
    let var = mean_of_all(&centred.sqr()?)?;
    let y = scale_and_shift(&centred, &var.unsqueeze(0)?, eps, [weight, bias])?;
    let y = y.reshape(x.shape())?.to_dtype(x.dtype())?;
    Ok((y, [mean.detach(), var.detach()], count[0] as usize))
}

/// The sum of all members' `x`. Each has a part of the loss, so the gradient is the sum of all members' too.
fn added_over(x: &Tensor, group: &Arc<dyn Group>) -> Result<Tensor> {
    let on_host = x.to_device(&Device::Cpu)?.contiguous()?;
    on_host.apply_op1(Added(Arc::clone(group)))?.to_device(x.device())
}

struct Added(Arc<dyn Group>);

impl Added {
    fn sum(&self, mut numbers: Vec<f64>) -> Result<Vec<f64>> {
        self.0.sum_f64(&mut numbers, Purpose::BatchNorm).map_err(Error::wrap)?;
        Ok(numbers)
    }
}

impl CustomOp1 for Added {
    fn name(&self) -> &'static str {
        "added-over-members"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let sum = dispatch!(x, "added-over-members", |T| {
            let own = values::<T>(x, layout, "added-over-members")?;
            let sum = self.sum(own.iter().map(|value| value.to_f64()).collect())?;
            sum.into_iter().map(T::from_f64).collect::<Vec<T>>()
        });
        Ok((sum, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let sum = self.sum(to_vec_f64(grad)?)?;
        Ok(Some(placed_like(&Tensor::from_vec(sum, x.shape(), &Device::Cpu)?, x)?))
    }
}

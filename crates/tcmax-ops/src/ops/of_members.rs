//! Batch statistics of several members, and the sums that their gradients need.

use candle_core::{Error, Result, bail};
use tcmax_parallel::Purpose;

use crate::cpu::normalise::Sums;
use crate::cpu::statistics::Moments;
use crate::training::members::Members;

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

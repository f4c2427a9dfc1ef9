//! What members agree on while they train: when to end, and whose statistics count.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use tcmax_ops::to_vec_f64;
use tcmax_parallel::{Group, Purpose};

use super::run::Run;
use crate::Result;
use crate::stop::Stop;

/// The signal that asked one of the members to end; all hear of it after the same batch.
///
/// # Errors
/// When the members cannot exchange.
pub(super) fn asked(group: &Arc<dyn Group>, stop: Option<&Stop>) -> Result<Option<i32>> {
    let own = stop.and_then(Stop::asked);
    if group.size() == 1 {
        return Ok(own);
    }
    let all = group.all_gather(&own.unwrap_or(0).to_le_bytes(), Purpose::Control)?;
    let signals = all.iter().filter_map(|bytes| bytes[..].try_into().ok().map(i32::from_le_bytes));
    Ok(signals.max().filter(|signal| *signal != 0))
}

/// What the first member says.
///
/// # Errors
/// When the members cannot exchange.
pub(super) fn said_by_first(group: &Arc<dyn Group>, own: bool) -> Result<bool> {
    if group.size() == 1 {
        return Ok(own);
    }
    let all = group.all_gather(&[u8::from(own)], Purpose::Control)?;
    Ok(all.first().is_some_and(|bytes| bytes[..] == [1]))
}

/// Whether all members say so.
///
/// # Errors
/// When the members cannot exchange.
pub(super) fn said_by_all(group: &Arc<dyn Group>, own: bool) -> Result<bool> {
    if group.size() == 1 {
        return Ok(own);
    }
    let all = group.all_gather(&[u8::from(own)], Purpose::Control)?;
    Ok(all.iter().all(|bytes| bytes[..] == [1]))
}

impl Run<'_> {
    /// Gives the first member's buffers to all, such as running statistics of its own examples: members evaluate one
    /// model, and go on from a checkpoint as they would have without it.
    pub(super) fn share_buffers(&self) -> Result<()> {
        let group = self.model.members().group();
        if group.size() == 1 {
            return Ok(());
        }
        let mut own = Vec::new();
        if group.rank() == 0 {
            for (_, var) in self.model.params().buffers() {
                own.extend(to_vec_f64(var.as_tensor())?.into_iter().flat_map(f64::to_le_bytes));
            }
        }
        let all = group.all_gather(&own, Purpose::Control)?;
        let (numbers, _) = all[0].as_chunks::<8>();
        let mut numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes));
        for (_, var) in self.model.params().buffers() {
            let values: Vec<f64> = numbers.by_ref().take(var.elem_count()).collect();
            let values = Tensor::from_vec(values, var.shape(), &Device::Cpu)?;
            var.set(&values.to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
        Ok(())
    }
}

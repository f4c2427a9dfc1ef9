//! Batches that members encode in turn.

use candle_core::Tensor;
use tcmax_data::{Batch, Loader};
use tcmax_ops::{Members, Seed, gathered, only_reading};

use crate::Result;

/// Rows of all examples of `loader`, which must neither shuffle nor drop: what `encode` makes of each batch, (B, D) for
/// each of `widths`, one batch after the other. Of several members each encodes every so many batches, and all
/// have all rows.
///
/// # Errors
/// When the data cannot be read, `encode` fails, or the members cannot exchange.
pub(crate) fn in_turn(
    members: &Members,
    (loader, seed): (&Loader, Seed),
    widths: &[usize],
    mut encode: impl FnMut(&Batch) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let group = members.group();
    let (rank, size) = (group.rank(), group.size());
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); widths.len()];
    let mut device = None;
    for batch in loader.epoch_of_every(seed, rank, size) {
        let batch = batch?;
        for (all, own) in parts.iter_mut().zip(only_reading(|| encode(&batch))?) {
            device.get_or_insert_with(|| own.device().clone());
            all.push(own.detach());
        }
    }
    let device = device.unwrap_or(candle_core::Device::Cpu);
    let rows = parts.iter().zip(widths).map(|(parts, &width)| {
        let own = match parts.is_empty() {
            // There are fewer batches than members.
            true => Tensor::zeros((0, width), candle_core::DType::F32, &device)?,
            false => Tensor::cat(parts, 0)?,
        };
        if size == 1 {
            return Ok(own);
        }
        let all = gathered(&own, group.as_ref())?;
        let order = Tensor::new(order(loader, all.dim(0)?, size), all.device())?;
        Ok(all.index_select(&order, 0)?)
    });
    rows.collect()
}

/// Where each example is among the rows of the members, one member's after the other's.
fn order(loader: &Loader, examples: usize, members: usize) -> Vec<u32> {
    let batches: Vec<usize> = (0..examples).step_by(loader.batch_size().max(1)).collect();
    let mut places = vec![0; examples];
    let mut next = 0;
    for member in 0..members {
        for &start in batches.iter().skip(member).step_by(members) {
            let end = examples.min(start + loader.batch_size());
            for place in &mut places[start..end] {
                *place = next;
                next += 1;
            }
        }
    }
    places
}

//! What a run takes of memory, roughly.

use candle_core::Device;
use tcmax_data::Splits;
use tcmax_ops::Seed;

use crate::{CheckedConfig, Model, Outputs, Result};

/// Copies of the weights that a run holds: values, gradients, what the optimiser remembers, the kept weights and
/// those on their way to the disk.
const COPIES: u64 = 8;

/// Numbers that a network keeps for the gradient, for each number of its input: ResNets keep most, and of
/// those the measured ones kept below sixty.
const KEPT_PER_INPUT: u64 = 60;

/// Bytes that training with these settings takes beside the data, within a factor of two or so: parameters with
/// their copies, and what a batch leaves for the gradient.
///
/// # Errors
/// When the settings do not fit the data.
pub fn memory_of_run(config: &CheckedConfig, splits: &Splits) -> Result<u64> {
    let data = splits.train.as_ref();
    let outputs = Outputs::of(data);
    let model = Model::new(config, data.modalities(), outputs, Seed::new(0), &Device::Cpu)?;
    let numbers: usize = model.params().trainable().map(|(_, var)| var.elem_count()).sum();
    let inputs: usize = model.used_modalities().iter().map(|&m| data.modalities()[m].len()).sum();
    let settings = &config.config().train;
    // Evaluation takes larger batches, but keeps nothing for a gradient.
    let batch = settings.batch_size as u64 * KEPT_PER_INPUT * inputs as u64;
    // Every shard has a model of its own, and its part of the batch.
    let models = settings.shards.unwrap_or(1) as u64;
    Ok(4 * (models * COPIES * numbers as u64 + batch))
}

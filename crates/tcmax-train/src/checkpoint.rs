//! Checkpoints: safetensors files that Python reads too.
//!
//! `model.safetensors` holds the kept weights and running statistics under PyTorch-style names, a
//! number for each example they were learned from (`data.learned`), and, once the run is finished,
//! what takes the place of absent modalities (`marginals.*`).
//! `last.safetensors` holds all that is needed to go on after an interruption: the live weights
//! (`model.*`), the optimiser's momentum (`optimiser.*`), what the method remembers (`method.*`) and
//! the kept weights (`best.*`). Times are in a file of their own, `seconds.json`, so that checkpoints
//! are functions of settings, data and seed.
//!
//! What cannot be a tensor is one JSON text in the header, under the key `tcmax`; one key, because
//! safetensors writes several in hash order and the same run must give the same bytes. It starts with
//! the SHA-256 of the whole file, computed with zeros in its own place, and is checked before anything
//! else is believed.
//! Files appear under their name only when complete.

mod format;
mod saved_model;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use tcmax_data::Modality;
use tcmax_ops::State;

use crate::config::TrainConfig;
use crate::identity::DataIdentity;
use crate::results::EpochRecord;
use crate::{Result, Task};

pub(crate) use format::read_file;
pub use format::{load, parse, save, seal, write_whole};
pub use saved_model::{SavedModel, open_model, parse_model};

/// Prefix of the tensors in `model.safetensors` that take the place of absent modalities.
pub(crate) const MARGINALS: &str = "marginals";
/// The tensor in `model.safetensors` that says what was learned from: the identities of the training
/// and validation examples.
pub(crate) const LEARNED: &str = "data.learned";

/// What a saved model needs to be rebuilt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Settings of the run.
    pub config: TrainConfig,
    /// Seed of the run: it fixes the split too.
    pub seed: u64,
    /// The epoch (from 1) the weights come from.
    pub epoch: usize,
    /// Modalities of the data set.
    pub modalities: Vec<Modality>,
    /// Class names of the data set, or those of the labels or numbers to predict.
    pub classes: Vec<String>,
    /// What is predicted.
    #[serde(default, skip_serializing_if = "Task::is_classes")]
    pub task: Task,
    /// What the data were.
    pub data: DataIdentity,
    /// What made the inputs of media ([`Dataset::recipe`](tcmax_data::Dataset::recipe)), by which others are
    /// made alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
}

/// Where an interrupted run stands after a finished epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Settings of the run; it goes on only with the same.
    pub config: TrainConfig,
    /// Seed of the run.
    pub seed: u64,
    /// What the data are; it goes on only with the same.
    pub data: DataIdentity,
    /// The epoch (from 1) whose weights are the best so far.
    pub best_epoch: usize,
    /// Every finished epoch, without its time.
    pub history: Vec<EpochRecord>,
}

/// The tensor [`LEARNED`] of the identities of some examples.
pub(crate) fn learned_tensor(examples: &[u64]) -> Result<Tensor> {
    let examples: Vec<i64> = examples.iter().map(|example| example.cast_signed()).collect();
    let count = examples.len();
    Ok(Tensor::from_vec(examples, count, &Device::Cpu)?)
}

/// The tensors of `state` with `prefix` and a dot in front of their names.
pub(crate) fn with_prefix<'a>(
    prefix: &'a str,
    state: &'a State,
) -> impl Iterator<Item = (String, Tensor)> + 'a {
    state.iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor.clone()))
}

/// The tensors under `prefix` and a dot, without them.
pub(crate) fn under_prefix(prefix: &str, state: &State) -> State {
    let inside = state.iter().filter_map(|(name, tensor)| {
        let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
        Some((rest.to_owned(), tensor.clone()))
    });
    inside.collect()
}

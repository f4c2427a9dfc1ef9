//! Checkpoints: safetensors files that Python reads too.
//!
//! `model.safetensors` holds the kept weights and running statistics under PyTorch-style names, and,
//! once the run is finished, what takes the place of absent modalities (`stand.*`).
//! `last.safetensors` holds all that is needed to go on after an interruption: the live weights
//! (`model.*`), the optimiser's momentum (`momentum.*`) and the kept weights (`best.*`).
//! What cannot be a tensor is one JSON text in the header, under the key `tcmax`; one key, because
//! safetensors writes several in hash order and the same run must give the same bytes.
//! Files appear under their name only when complete.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tcmax_data::Modality;
use tcmax_losses::Stand;
use tcmax_ops::{Seed, State};

use crate::config::{CheckedConfig, TrainConfig};
use crate::error::at;
use crate::results::EpochRecord;
use crate::{Error, Model, Result};

const HEADER_KEY: &str = "tcmax";

/// Prefix of the tensors in `model.safetensors` that take the place of absent modalities.
pub(crate) const STAND: &str = "stand";

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
    /// Class names of the data set.
    pub classes: Vec<String>,
}

/// Where an interrupted run stands after a finished epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Settings of the run; it goes on only with the same.
    pub config: TrainConfig,
    /// Seed of the run.
    pub seed: u64,
    /// The epoch (from 1) whose weights are the best so far.
    pub best_epoch: usize,
    /// Every finished epoch.
    pub history: Vec<EpochRecord>,
}

/// Names of the files in a run directory.
#[derive(Clone, Debug)]
pub struct RunFiles {
    folder: PathBuf,
}

impl RunFiles {
    /// The files of the run in `folder`, which is made if need be.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The kept weights.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// The state to go on from.
    pub fn last(&self) -> PathBuf {
        self.folder.join("last.safetensors")
    }

    /// The figures of the run.
    pub fn result(&self) -> PathBuf {
        self.folder.join("result.json")
    }
}

/// Writes tensors and a header; the file appears only when it is complete.
///
/// # Errors
/// When the file cannot be written.
pub fn save<H: Serialize>(path: &Path, tensors: &State, header: &H) -> Result<()> {
    let header = serde_json::to_string(header)
        .map_err(|e| Error::bad_file(path, format!("cannot write the header: {e}")))?;
    let header = HashMap::from([(HEADER_KEY.to_owned(), header)]);
    let bytes = safetensors::serialize(tensors, Some(header))
        .map_err(|e| Error::bad_file(path, format!("cannot write the tensors: {e}")))?;
    write_whole(path, &bytes)
}

/// Writes a file beside its place and moves it there, so that a kill leaves the old one or the new.
///
/// # Errors
/// When the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(tcmax_data::write_whole(path, bytes)?)
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// When the file is missing, truncated, or not a checkpoint of this program.
pub fn load<H: DeserializeOwned>(path: &Path, device: &Device) -> Result<(State, H)> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    if bytes.starts_with(b"version https://git-lfs") {
        let problem = "this is a Git LFS pointer, not the file; run `git lfs pull`";
        return Err(Error::bad_file(path, problem));
    }
    let broken = |e: &dyn std::fmt::Display| {
        Error::bad_file(path, format!("not a complete safetensors file ({e}); train it again"))
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(&e))?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
    let header = header.ok_or_else(|| {
        Error::bad_file(path, "not a checkpoint of tcmax: its header has no 'tcmax' entry")
    })?;
    let header = serde_json::from_str(header).map_err(|e| {
        Error::bad_file(path, format!("its header is of another version of tcmax ({e})"))
    })?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, device).map_err(|e| broken(&e))?;
    Ok((tensors.into_iter().collect(), header))
}

/// A model from the file of a run.
pub struct SavedModel {
    /// What it was made with.
    pub card: ModelCard,
    /// Its settings, checked.
    pub config: CheckedConfig,
    /// The model with the kept weights.
    pub model: Model,
    /// What takes the place of absent modalities; `None` while the run was not finished.
    pub stand: Option<Stand>,
}

/// Rebuilds the model of a run from its folder, or from its `model.safetensors`.
///
/// # Errors
/// When the file is missing, damaged, or not of this program.
pub fn open_model(path: &Path, device: &Device) -> Result<SavedModel> {
    let path = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let (mut state, card): (State, ModelCard) = load(&path, device)?;
    let of_stand = under_prefix(STAND, &state);
    state.retain(|name, _| !name.starts_with("stand."));
    let config = card.config.clone().check()?;
    let seed = Seed::new(card.seed);
    let model = Model::new(&config, &card.modalities, card.classes.len(), seed, device)?;
    let broken = |error: &dyn std::fmt::Display| Error::bad_file(&path, error.to_string());
    model.params().load(&state).map_err(|error| broken(&error))?;
    let names = model.used_names(&card.modalities);
    let stand = (!of_stand.is_empty()).then(|| Stand::from_state(model.head(), &of_stand, &names));
    let stand = stand.transpose().map_err(|error| broken(&error))?;
    Ok(SavedModel { card, config, model, stand })
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

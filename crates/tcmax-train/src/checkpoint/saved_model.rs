//! The model in a checkpoint.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tcmax_losses::Marginals;
use tcmax_ops::{Seed, State};

use super::format::{parse, read_file};
use super::{LEARNED, MARGINALS, ModelCard, under_prefix};
use crate::config::CheckedConfig;
use crate::error::at;
use crate::{Error, Model, Outputs, Registry, Result};

/// A model from the file of a run.
pub struct SavedModel {
    /// What it was made with.
    pub card: ModelCard,
    /// Its settings, checked.
    pub config: CheckedConfig,
    /// The model with the kept weights.
    pub model: Model,
    /// What takes the place of absent modalities; `None` while the run was not finished.
    pub marginals: Option<Marginals>,
    /// The identities of the examples it was trained or chosen on, sorted.
    pub learned: Vec<u64>,
}

/// Rebuilds the model of a run from its folder, or from its `model.safetensors`.
///
/// # Errors
/// When the file is missing, damaged, or not of this program.
pub fn open_model(path: &Path, registry: &Registry, device: &Device) -> Result<SavedModel> {
    let file = model_file(path)?;
    parse_model(&file, &read_file(&file)?, registry, device)
}

/// The file of a model, from that of its run, or from itself.
fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let file = path.join("model.safetensors");
    if file.exists() {
        return Ok(file);
    }
    let runs = std::fs::read_dir(path).map_err(at(path))?;
    let mut runs: Vec<PathBuf> = runs.filter_map(|entry| Some(entry.ok()?.path())).collect();
    runs.sort();
    let run = runs.into_iter().find(|run| run.join("model.safetensors").exists());
    let problem = match run {
        Some(run) => format!(
            "there is no model.safetensors in it, but there are runs; give one, such as {}",
            run.display()
        ),
        None => "there is no model.safetensors in it: no epoch was finished here".to_owned(),
    };
    Err(Error::bad_file(path, problem))
}

/// Rebuilds a model from the bytes of its file; `path` is for messages.
///
/// # Errors
/// As [`open_model`].
pub fn parse_model(
    path: &Path,
    bytes: &[u8],
    registry: &Registry,
    device: &Device,
) -> Result<SavedModel> {
    let broken = |error: &dyn std::fmt::Display| Error::bad_file(path, error.to_string());
    let (mut state, card): (State, ModelCard) = parse(path, bytes, device)?;
    check_card(&card).map_err(|problem| Error::bad_file(path, problem))?;
    let learned = match state.remove(LEARNED) {
        Some(tensor) => learned_of(&tensor).map_err(|error| broken(&error))?,
        None => return Err(Error::bad_file(path, format!("it has no '{LEARNED}'"))),
    };
    let of_marginals = under_prefix(MARGINALS, &state);
    state.retain(|name, _| !name.starts_with("marginals."));
    let config = card.config.clone().check_with(registry).map_err(|error| broken(&error))?;
    let seed = Seed::new(card.seed);
    // Whatever the card claims: no larger a model is made than the file has numbers for.
    let numbers = state.values().map(Tensor::elem_count).sum();
    let outputs = Outputs { task: card.task, count: card.classes.len() };
    let model = Model::at_most(numbers, &config, &card.modalities, outputs, seed, device)
        .map_err(|error| broken(&error))?;
    model.params().load(&state).map_err(|error| broken(&error))?;
    let names = model.used_names(&card.modalities);
    let marginals = (!of_marginals.is_empty())
        .then(|| Marginals::from_state(model.head(), &of_marginals, &names));
    let marginals = marginals.transpose().map_err(|error| broken(&error))?;
    Ok(SavedModel { card, config, model, marginals, learned })
}

/// What later code relies on.
fn check_card(card: &ModelCard) -> std::result::Result<(), String> {
    if !(1..=card.config.train.epochs).contains(&card.epoch) {
        return Err(format!(
            "its weights are of epoch {} of {}",
            card.epoch, card.config.train.epochs
        ));
    }
    for modality in &card.modalities {
        let numbers = modality.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        if numbers.is_none_or(|numbers| numbers > LARGEST_INPUT) {
            return Err(format!("'{}' has shape {:?}", modality.name, modality.shape));
        }
    }
    Ok(())
}

/// Numbers of one example's input beyond which a card is not believed.
const LARGEST_INPUT: usize = 1 << 31;

fn learned_of(tensor: &Tensor) -> candle_core::Result<Vec<u64>> {
    let mut learned: Vec<u64> =
        tensor.to_vec1::<i64>()?.into_iter().map(i64::cast_unsigned).collect();
    learned.sort_unstable();
    Ok(learned)
}

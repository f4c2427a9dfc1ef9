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

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tcmax_data::{Modality, file, hexadecimal};
use tcmax_losses::Marginals;
use tcmax_ops::{Seed, State};

use crate::config::{CheckedConfig, TrainConfig};
use crate::error::at;
use crate::identity::DataIdentity;
use crate::results::EpochRecord;
use crate::{Error, Model, Registry, Result};

const HEADER_KEY: &str = "tcmax";
/// What comes before the digest in a file's header.
const BEFORE_DIGEST: &[u8] = br#""tcmax":"{\"sha256\":\""#;
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

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
    /// Class names of the data set.
    pub classes: Vec<String>,
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

/// The header of a checkpoint; the digest is first, where [`BEFORE_DIGEST`] finds it.
#[derive(Serialize, Deserialize)]
struct Sealed<H> {
    sha256: String,
    content: H,
}

/// Writes tensors and a header; the file appears only when it is complete.
///
/// # Errors
/// When the file cannot be written.
pub fn save<H: Serialize>(path: &Path, tensors: &State, header: &H) -> Result<()> {
    let header = Sealed { sha256: "0".repeat(DIGITS), content: header };
    let header = serde_json::to_string(&header)
        .map_err(|e| Error::bad_file(path, format!("cannot write the header: {e}")))?;
    let header = HashMap::from([(HEADER_KEY.to_owned(), header)]);
    let mut bytes = safetensors::serialize(tensors, Some(header))
        .map_err(|e| Error::bad_file(path, format!("cannot write the tensors: {e}")))?;
    seal(&mut bytes);
    write_whole(path, &bytes)
}

/// Writes a file beside its place and moves it there, so that a kill leaves the old one or the new.
///
/// # Errors
/// When the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(tcmax_data::write_whole(path, bytes)?)
}

/// Puts the digest of a checkpoint's bytes into its header; does nothing to other bytes.
pub fn seal(bytes: &mut [u8]) {
    if let Some(start) = digest_start(bytes) {
        let digest = digest_without(bytes, start);
        bytes[start..start + DIGITS].copy_from_slice(digest.as_bytes());
    }
}

/// Where the digest is.
fn digest_start(bytes: &[u8]) -> Option<usize> {
    let found = bytes.windows(BEFORE_DIGEST.len()).position(|window| window == BEFORE_DIGEST)?;
    let start = found + BEFORE_DIGEST.len();
    (start + DIGITS <= bytes.len()).then_some(start)
}

/// The digest of the bytes, with zeros where the digest is.
fn digest_without(bytes: &[u8], start: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..start]);
    hash.update([b'0'; DIGITS]);
    hash.update(&bytes[start + DIGITS..]);
    hexadecimal(&hash.finalize())
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// When the file is missing, truncated, changed, or not a checkpoint of this program.
pub fn load<H: DeserializeOwned>(path: &Path, device: &Device) -> Result<(State, H)> {
    parse(path, &read_file(path)?, device)
}

/// The bytes of a regular file; anything else might have no end.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    if !std::fs::metadata(path).map_err(at(path))?.is_file() {
        return Err(Error::bad_file(path, "not a file"));
    }
    std::fs::read(path).map_err(at(path))
}

/// Reads the bytes of a checkpoint; `path` is for messages.
///
/// # Errors
/// As [`load`].
pub fn parse<H: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    device: &Device,
) -> Result<(State, H)> {
    file::refuse_pointer(path, bytes)?;
    let broken = |e: &dyn std::fmt::Display| {
        Error::bad_file(path, format!("not a complete safetensors file ({e}); train it again"))
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
    let header = header.ok_or_else(|| {
        Error::bad_file(path, "not a checkpoint of tcmax: its header has no 'tcmax' entry")
    })?;
    check_digest(path, bytes, header)?;
    let header: Sealed<H> = serde_json::from_str(header).map_err(|e| {
        Error::bad_file(path, format!("its header is of another version of tcmax ({e})"))
    })?;
    let known = [Dtype::F32, Dtype::F64, Dtype::I64, Dtype::U32];
    let tensors = metadata.tensors();
    if let Some((name, info)) = tensors.iter().find(|(_, info)| !known.contains(&info.dtype)) {
        let problem = format!("tensor '{name}' has elements {:?}", info.dtype);
        return Err(Error::bad_file(path, problem));
    }
    let tensors = candle_core::safetensors::load_buffer(bytes, device).map_err(|e| broken(&e))?;
    Ok((tensors.into_iter().collect(), header.content))
}

fn check_digest(path: &Path, bytes: &[u8], header: &str) -> Result<()> {
    let (Some(start), true) = (digest_start(bytes), header.starts_with(r#"{"sha256":""#)) else {
        let problem = "it has no checksum: it is of another version of tcmax; train it again";
        return Err(Error::bad_file(path, problem));
    };
    if digest_without(bytes, start).as_bytes() != &bytes[start..start + DIGITS] {
        let problem = "it is damaged or was edited: its checksum is not that of its content; restore \
                       it from a copy, or train it again";
        return Err(Error::bad_file(path, problem));
    }
    Ok(())
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
    let classes = card.classes.len();
    let model = Model::at_most(numbers, &config, &card.modalities, classes, seed, device)
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

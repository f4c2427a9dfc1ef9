//! A trained model for other programs: weights, what they are, and a graph that runs by itself.
//!
//! ```text
//! model.safetensors   weights and running statistics under PyTorch's names, in PyTorch's layout
//! config.json         classes, modalities, encoders, head, settings, what the data were
//! model.onnx          the inference graph
//! README.md           the model card
//! ```
//!
//! Paths of the user's data are in none of them.

mod card;
mod description;
mod onnx;
mod rule;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tcmax_ops::State;

use self::description::Description;
use self::rule::Rule;
use crate::checkpoint::{MARGINALS, SavedModel, with_prefix, write_whole};
use crate::error::at;
use crate::results::RunResult;
use crate::{Error, Result};

/// The exported files, in the order of writing.
const FILES: [&str; 4] = ["model.safetensors", "config.json", "model.onnx", "README.md"];

/// How a model is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Leave the inference graph out.
    pub weights_only: bool,
    /// Replace files that are there.
    pub force: bool,
}

/// Writes the model of a run into the folder `out` and returns the files. `path` is the run's folder or
/// model file, beside which its `result.json` is looked for: the card shows it.
///
/// # Errors
/// When a file is there already or cannot be written, or the model has no ONNX graph and one is asked
/// for; nothing is written then.
pub fn export(
    saved: &SavedModel,
    path: &Path,
    out: &Path,
    options: ExportOptions,
) -> Result<Vec<PathBuf>> {
    let there = FILES.iter().map(|name| out.join(name)).find(|file| file.exists());
    if let Some(file) = there.filter(|_| !options.force) {
        let problem = "it is there already; choose another folder, or `force` replaces it";
        return Err(Error::bad_file(&file, problem));
    }
    let rule = Rule::of(saved)?;
    let graph = match options.weights_only {
        true => None,
        false => Some(onnx::graph(saved, rule).map_err(|error| no_graph(path, error))?),
    };
    let description = Description::of(saved, rule)?;
    let config = serde_json::to_vec_pretty(&description)
        .map_err(|error| Error::bad_file(&out.join(FILES[1]), error.to_string()))?;
    let result = result_of(path, saved);
    let card = card::text(saved, &description, result.as_ref(), graph.is_some())?;
    std::fs::create_dir_all(out).map_err(at(out))?;
    let contents = [Some(weights(saved)?), Some(config), graph, Some(card.into_bytes())];
    let mut written = Vec::new();
    for (name, content) in FILES.iter().zip(contents) {
        let file = out.join(name);
        match content {
            Some(bytes) => write_whole(&file, &bytes)?,
            // A graph that was there is of another model.
            None => match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(at(&file)(error));
                }
                _ => continue,
            },
        }
        written.push(file);
    }
    Ok(written)
}

/// That there is no graph, and what can be done without.
fn no_graph(path: &Path, error: Error) -> Error {
    match error {
        Error::Onnx(error @ tcmax_onnx::Error::NoGraph { .. }) => {
            let problem = format!("{error}; `weights-only` exports the model without the graph");
            Error::bad_file(path, problem)
        }
        error => error,
    }
}

/// The bytes of `model.safetensors`.
fn weights(saved: &SavedModel) -> Result<Vec<u8>> {
    let mut state: State = saved.model.params().snapshot()?;
    if let Some(marginals) = &saved.marginals {
        let marginals = marginals.state(&saved.model.used_names(&saved.card.modalities));
        state.extend(with_prefix(MARGINALS, &marginals));
    }
    // One entry: several would be written in hash order.
    let header = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(&state, Some(header))
        .map_err(|error| Error::bad_file(Path::new(FILES[0]), error.to_string()))
}

/// What the run found out, if its file is there and of this model.
fn result_of(path: &Path, saved: &SavedModel) -> Option<RunResult> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let result: RunResult =
        serde_json::from_slice(&std::fs::read(folder.join("result.json")).ok()?).ok()?;
    let of_this = result.seed == saved.card.seed && result.best_epoch == saved.card.epoch;
    of_this.then_some(result)
}

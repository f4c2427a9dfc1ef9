//! Which files of a repository are its weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, Result, listed};
use crate::file;

/// Names under which weights are usually kept, the best first: safetensors before pickles.
const USUAL: [&[&str]; 2] = [
    &["model.safetensors", "model.safetensors.index.json"],
    &["pytorch_model.bin", "pytorch_model.bin.index.json"],
];

/// Endings of other files of weights, in the same order.
const ENDINGS: [&[&str]; 2] = [&[".safetensors"], &[".bin", ".pth", ".pt"]];

/// What training leaves beside weights.
const NO_WEIGHTS: [&str; 5] = ["training_args", "optimizer", "scheduler", "rng_state", "scaler"];

/// The file of weights among the files of a folder, or the index of its shards.
///
/// # Errors
/// What is wrong, as a part of a sentence.
pub(super) fn weights(names: &[String]) -> std::result::Result<String, String> {
    for (usual, endings) in USUAL.iter().zip(ENDINGS) {
        if let Some(name) = usual.iter().find(|name| names.iter().any(|other| other == *name)) {
            return Ok((*name).to_owned());
        }
        let others: Vec<String> =
            names.iter().filter(|name| is_weights(name, endings)).cloned().collect();
        match &others[..] {
            [] => {}
            [name] => return Ok(name.clone()),
            _ => {
                return Err(format!(
                    "several files may be the weights: {}; name one",
                    listed(&others)
                ));
            }
        }
    }
    let there = match names {
        [] => "nothing".to_owned(),
        names => listed(names),
    };
    Err(format!(
        "no weights there (*.safetensors, *.bin, *.pth or *.pt), but {there}; name a folder or file with \
         the weights of a PyTorch network"
    ))
}

fn is_weights(name: &str, endings: &[&str]) -> bool {
    let is_inside = name.contains('/');
    let is_other = NO_WEIGHTS.iter().any(|other| name.starts_with(other));
    !is_inside && !is_other && endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether a file lists shards.
pub(super) fn is_index(name: &str) -> bool {
    name.ends_with(".index.json")
}

/// The name of a file in the folder of another.
pub(super) fn beside(name: &str, other: &str) -> String {
    name.rsplit_once('/').map_or(other.to_owned(), |(folder, _)| format!("{folder}/{other}"))
}

/// The shards that an index names.
pub(super) fn shards(path: &Path) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = file::read_json(path)?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() {
        return Err(Error::bad_file(path, "it names no shard"));
    }
    // A shard lies beside its index, never elsewhere.
    let is_name =
        |shard: &String| !shard.contains(['/', '\\']) && shard != ".." && !shard.is_empty();
    match shards.iter().find(|shard| !is_name(shard)) {
        Some(shard) => {
            Err(Error::bad_file(path, format!("shard '{shard}' is not a file beside the index")))
        }
        None => Ok(shards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> std::result::Result<String, String> {
        weights(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn safetensors_come_before_pickles() {
        for (names, wanted) in [
            (&["config.json", "pytorch_model.bin", "model.safetensors"][..], "model.safetensors"),
            (
                &[
                    "model-00001-of-00002.safetensors",
                    "model-00002-of-00002.safetensors",
                    "model.safetensors.index.json",
                    "pytorch_model.bin",
                ],
                "model.safetensors.index.json",
            ),
            (&["training_args.bin", "pytorch_model.bin"], "pytorch_model.bin"),
            (&["training_args.bin", "optimizer.pt", "resnet.pth"], "resnet.pth"),
            (&["x.safetensors", "a.pth", "b.pth"], "x.safetensors"),
            (&["onnx/model.bin", "model.pt"], "model.pt"),
        ] {
            assert_eq!(chosen(names).as_deref(), Ok(wanted), "{names:?}");
        }
        assert!(chosen(&["a.pth", "b.pth"]).unwrap_err().contains("'a.pth', 'b.pth'; name one"));
        assert!(chosen(&["tf_model.h5"]).unwrap_err().contains("no weights there"));
        assert!(chosen(&[]).unwrap_err().contains("but nothing"));
    }
}

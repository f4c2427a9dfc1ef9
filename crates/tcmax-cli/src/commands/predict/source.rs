//! Where the examples to predict come from.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tcmax_data::Dataset;
use tcmax_data::user_data::has_labels;
use tcmax_datasets::Unlabelled;
use tcmax_train::checkpoint::SavedModel;
use tcmax_train::{Error, Registry, open_unlabelled_for};

use super::Predict;
use crate::progress::PrepareBar;

/// The data set that is a manifest on standard input.
const STANDARD_INPUT: &str = "-";
/// What standard input is called in messages.
const NAME: &str = "standard input";
/// Bytes of a manifest on standard input; more are refused.
const LONGEST: u64 = 1 << 30;

impl Predict {
    /// The examples: with their labels where the data have any, with the checks of `tcmax eval` then.
    pub(super) fn open(
        &self,
        saved: &SavedModel,
        registry: &Registry,
    ) -> anyhow::Result<Arc<dyn Dataset>> {
        let unlabelled = match self.data.dataset() {
            Some(STANDARD_INPUT) => {
                Unlabelled::Manifest(Path::new(NAME), read_all(std::io::stdin())?)
            }
            Some(name) if is_path(name, registry) && self.leaves_labels_out(name, saved)? => {
                Unlabelled::Path(Path::new(name))
            }
            _ => return Ok(self.data.open(saved, &self.model, &self.without)?.data),
        };
        Ok(open_unlabelled_for(saved, unlabelled, &self.without, &PrepareBar::new())?)
    }

    /// Whether the data at a path have no labels, or these are not wanted. Where a label column or a split
    /// is asked for, it is looked for.
    fn leaves_labels_out(&self, path: &str, saved: &SavedModel) -> Result<bool, Error> {
        if self.unlabelled || self.data.names_labels() {
            return Ok(self.unlabelled);
        }
        let label = saved.card.config.data.options.get("label").and_then(|label| label.as_str());
        Ok(!has_labels(Path::new(path), label, &saved.card.modalities)?)
    }
}

/// Whether a name is a path and not that of a data set, which comes first.
fn is_path(name: &str, registry: &Registry) -> bool {
    registry.data.get(name).is_err() && Path::new(name).exists()
}

fn read_all(reader: impl Read) -> Result<Vec<u8>, Error> {
    let path = Path::new(NAME);
    let mut bytes = Vec::new();
    let read = reader.take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::File { path: path.to_owned(), source })?;
    if bytes.is_empty() {
        return Err(Error::bad_file(path, "it is empty; pipe a manifest into this command"));
    }
    if bytes.len() as u64 > LONGEST {
        return Err(Error::bad_file(path, format!("it is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}

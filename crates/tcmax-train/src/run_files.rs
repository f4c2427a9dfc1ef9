//! The folder of a run: its files, who may write them, and what is done with those that are there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tcmax_data::partial_path;

use crate::checkpoint::write_whole;
use crate::error::at;
use crate::lock::FolderLock;
use crate::results::EpochRecord;
use crate::{Error, Result, tensorboard};

/// What to do with a run that is in the folder already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to touch it.
    #[default]
    Refuse,
    /// Go on with it; start where there is none.
    Resume,
    /// Remove it and start.
    Replace,
}

/// Names of what a run leaves in its folder, most telling first.
const FILES: [&str; 6] =
    ["result.json", "last.safetensors", "model.safetensors", "log.jsonl", "seconds.json", FAILURE];
/// Why a run failed, where it was the only one of its process.
const FAILURE: &str = "failure.txt";
/// Names of what a comparison leaves beside its runs.
const OF_COMPARISON: [&str; 2] = ["results.json", "report.html"];

/// The files of one run, held by this process alone.
#[derive(Debug)]
pub struct RunFiles {
    folder: PathBuf,
    _lock: FolderLock,
}

impl RunFiles {
    /// The files of the run in `folder`, which is made if need be. What a killed process left half
    /// written is removed.
    ///
    /// # Errors
    /// When the folder cannot be made, another process is training in it, or there is a run and it is
    /// to be refused.
    pub fn open(folder: &Path, existing: Existing) -> Result<Self> {
        let lock = FolderLock::take(folder)?;
        let files = Self { folder: folder.to_owned(), _lock: lock };
        match existing {
            Existing::Refuse => refuse_run(folder)?,
            Existing::Resume => {}
            Existing::Replace => {
                for path in FILES.map(|name| folder.join(name)) {
                    remove(&path)?;
                }
                tensorboard::files(folder)?.iter().try_for_each(|path| remove(path))?;
            }
        }
        for path in FILES.map(|name| folder.join(name)) {
            remove(&partial_path(&path))?;
        }
        Ok(files)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kept weights.
    pub fn model(&self) -> PathBuf {
        model_of(&self.folder)
    }

    /// The state to go on from.
    pub fn last(&self) -> PathBuf {
        last_of(&self.folder)
    }

    /// The metrics of the run.
    pub fn result(&self) -> PathBuf {
        result_of(&self.folder)
    }

    /// What was logged of its steps and epochs.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log.jsonl")
    }

    fn seconds(&self) -> PathBuf {
        self.folder.join("seconds.json")
    }

    /// Writes down how long the run has taken so far.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_seconds(&self, history: &[EpochRecord], total: f64) -> Result<()> {
        let epochs = history.iter().map(|record| record.seconds).collect();
        let path = self.seconds();
        let text = serde_json::to_string(&Seconds { epochs, total })
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;
        write_whole(&path, text.as_bytes())
    }

    /// How long the epochs of `history` took, and the processes before this one: zero where it is not
    /// known, for nothing but the report depends on it.
    pub fn load_seconds(&self, history: &mut [EpochRecord]) -> f64 {
        let text = std::fs::read(self.seconds()).unwrap_or_default();
        let seconds: Seconds = serde_json::from_slice(&text).unwrap_or_default();
        for (record, seconds) in history.iter_mut().zip(&seconds.epochs) {
            record.seconds = *seconds;
        }
        seconds.total
    }
}

/// `seconds.json`.
#[derive(Default, Serialize, Deserialize)]
struct Seconds {
    epochs: Vec<f64>,
    total: f64,
}

/// The state of the run in `folder` to go on from.
pub(crate) fn last_of(folder: &Path) -> PathBuf {
    folder.join("last.safetensors")
}

/// The kept weights of the run in `folder`.
pub(crate) fn model_of(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

/// The metrics of the run in `folder`, once it is finished.
pub(crate) fn result_of(folder: &Path) -> PathBuf {
    folder.join("result.json")
}

/// Why the run in `folder` failed.
pub(crate) fn failure_of(folder: &Path) -> PathBuf {
    folder.join(FAILURE)
}

/// A variant's name as that of a folder.
pub(crate) fn folder_name(name: &str) -> String {
    // Of what is no letter or digit, the sign of a number alone tells names apart.
    let name = name.replace(" -", " minus-").replace("=-", "=minus-");
    let word = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().map(word).collect();
    name.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Refuses a folder that holds a run, or the comparison of some, before anything is done for another.
///
/// # Errors
/// When it does, with what to do.
pub fn refuse_comparison(folder: &Path, runs: impl IntoIterator<Item = PathBuf>) -> Result<()> {
    refuse(OF_COMPARISON.iter().map(|name| folder.join(name)))?;
    runs.into_iter().try_for_each(|run| refuse_run(&run))
}

fn refuse_run(folder: &Path) -> Result<()> {
    refuse(FILES.iter().map(|name| folder.join(name)))
}

fn refuse(mut paths: impl Iterator<Item = PathBuf>) -> Result<()> {
    match paths.find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(Error::setting(
            "out",
            format!(
                "{} is there already; `resume` goes on with the run, `force` replaces it, or choose \
                 another folder",
                path.display()
            ),
        )),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

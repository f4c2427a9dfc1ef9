//! A run that chooses its settings: it trains with each candidate, and keeps the one of the best validation.

use std::path::Path;

use tcmax_data::Splits;

use super::RunOptions;
use super::best::Score;
use super::start::train_here;
use crate::checkpoint::{save, write_whole};
use crate::config::Candidate;
use crate::error::at;
use crate::observer::RunLabel;
use crate::results::RunResult;
use crate::run_files::{Existing, RunFiles, folder_name, last_of};
use crate::{CheckedConfig, Error, Result, resume};

/// The folder of the candidates' runs, in that of the run.
const CANDIDATES: &str = "candidates";

/// Trains every candidate in a folder of its own; the files of the run are those of the chosen one.
pub(super) fn train_candidates(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    if splits.validation.is_empty() {
        let problem = "chooses by validation accuracy, and there is no validation split";
        return Err(Error::setting("choose", problem));
    }
    let is_first = options.group.is_none_or(|group| group.rank() == 0);
    let folder = options.folder.filter(|_| is_first);
    let files = folder.map(|folder| RunFiles::open(folder, options.existing)).transpose()?;
    if let Some(folder) = folder {
        look_at(config, (folder, seed), options)?;
    }
    let mut results = Vec::with_capacity(config.candidates().len());
    for candidate in config.candidates() {
        let method = format!("{}, {}", options.label.method, candidate.name);
        let label = RunLabel { method, ..options.label.clone() };
        let own = options.folder.map(|folder| folder_of(folder, candidate));
        let options = RunOptions { folder: own.as_deref(), label: &label, ..options };
        results.push(train_here(&candidate.config, splits, seed, options)?);
    }
    let chosen = best_of(&results);
    let candidate = &config.candidates()[chosen];
    let seconds = results.iter().map(|result| result.seconds).sum();
    let values = candidate.values.clone();
    let result = RunResult { chosen: values, seconds, ..results.swap_remove(chosen) };
    options
        .observer
        .note(options.label, &format!("chosen on the validation split: {}", candidate.name));
    if let Some(files) = &files {
        take_files(config, files, &folder_of(files.folder(), candidate), options)?;
        let text = serde_json::to_string_pretty(&result)
            .map_err(|error| Error::bad_file(&files.result(), error.to_string()))?;
        write_whole(&files.result(), text.as_bytes())?;
    }
    Ok(result)
}

fn folder_of(run: &Path, candidate: &Candidate) -> std::path::PathBuf {
    run.join(CANDIDATES).join(folder_name(&candidate.name))
}

/// Refuses to go on with a run of other settings, and removes what is to be replaced.
fn look_at(
    config: &CheckedConfig,
    (folder, seed): (&Path, u64),
    options: RunOptions<'_>,
) -> Result<()> {
    match options.existing {
        Existing::Refuse => {}
        Existing::Resume => {
            if let Some((_, progress)) = resume::read(folder, options.devices.first())? {
                resume::continued(config, (&progress, seed), folder)?;
            }
        }
        Existing::Replace => {
            let candidates = folder.join(CANDIDATES);
            if candidates.exists() {
                std::fs::remove_dir_all(&candidates).map_err(at(&candidates))?;
            }
        }
    }
    Ok(())
}

/// The first of the results whose kept epoch has the best validation.
fn best_of(results: &[RunResult]) -> usize {
    let mut best = (0, Score::NONE);
    for (n, result) in results.iter().enumerate() {
        let kept = result.history.iter().find(|record| record.epoch == result.best_epoch);
        let score =
            kept.and_then(|record| record.validation.as_ref()).map_or(Score::NONE, Score::of);
        if score.better_than(best.1) {
            best = (n, score);
        }
    }
    best.0
}

/// The chosen run's files in the place of the run's own. Its state says what the run was asked for; the model says
/// what it was made with.
fn take_files(
    config: &CheckedConfig,
    files: &RunFiles,
    chosen: &Path,
    options: RunOptions<'_>,
) -> Result<()> {
    for name in ["model.safetensors", "log.jsonl", "seconds.json"] {
        let from = chosen.join(name);
        if from.exists() {
            let bytes = std::fs::read(&from).map_err(at(&from))?;
            write_whole(&files.folder().join(name), &bytes)?;
        }
    }
    let Some((state, mut progress)) = resume::read(chosen, options.devices.first())? else {
        return Err(Error::bad_file(&last_of(chosen), "it is not there"));
    };
    let shards = progress.config.train.shards;
    progress.config = config.config().clone();
    progress.config.train.shards = shards;
    save(&files.last(), &state, &progress)
}

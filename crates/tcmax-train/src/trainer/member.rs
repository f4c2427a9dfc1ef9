//! What one member does in a run: all of it, if it is alone.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use tcmax_data::Splits;
use tcmax_ops::{Members, State};

use super::RunOptions;
use super::agreed::{asked, said_by_first};
use super::exchanged::{Exchanged, described};
use super::log::Logs;
use super::run::Run;
use crate::checkpoint::{Progress, write_whole};
use crate::identity::Identified;
use crate::results::{RunResult, StepRecord};
use crate::run_files::RunFiles;
use crate::{CheckedConfig, Error, Result, resume};

/// What a member begins with.
pub(super) struct Beginning {
    /// The files that it writes.
    pub(super) files: Option<RunFiles>,
    /// The state to go on from, and the file it was in.
    pub(super) before: Option<(PathBuf, State, Progress)>,
    /// What the data are.
    pub(super) data: Identified,
}

/// Trains and tests on a device.
pub(super) fn train_member(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
    beginning: Beginning,
    (members, device): (Members, &Device),
) -> Result<RunResult> {
    let start = Instant::now();
    let RunOptions { observer, label, .. } = options;
    let Beginning { files, before, data } = beginning;
    let is_new = before.is_none();
    let mut run = Run::new(config, splits, data, seed, (device, is_new), members)?;
    if let Some((file, tensors, progress)) = before {
        resume::check_data(&file, &progress, &run.data.data)?;
        run.restore(&tensors, progress).map_err(|error| resume::in_file(&file, error))?;
        if let Some(files) = &files {
            run.seconds_before = files.load_seconds(&mut run.history);
        }
    }
    run.encode_frozen()?;
    let mut logs = files.as_ref().map(|files| Logs::open(files, &run)).transpose()?;
    let exchanged = Exchanged::from_now(&run);
    train_epochs(&mut run, (files.as_ref(), logs.as_mut()), start, &options)?;
    let exchanged = exchanged.per_step(&run);
    if let Some(note) = described(&exchanged) {
        observer.note(label, &note);
    }
    let mut result = run.finish(start)?;
    (result.fold, result.exchanged) = (label.fold, exchanged);
    if let Some(files) = &files {
        run.save_finished(files)?;
        if let Some(logs) = &mut logs {
            logs.test(&result.test)?;
        }
        let text = serde_json::to_string_pretty(&result)
            .map_err(|e| Error::bad_file(&files.result(), e.to_string()))?;
        write_whole(&files.result(), text.as_bytes())?;
    }
    observer.finished(label, &result);
    Ok(result)
}

/// The epochs that are left, each of which is logged and saved.
fn train_epochs(
    run: &mut Run<'_>,
    (files, mut logs): (Option<&RunFiles>, Option<&mut Logs>),
    start: Instant,
    options: &RunOptions<'_>,
) -> Result<()> {
    let RunOptions { observer, label, .. } = *options;
    let settings = &run.config.config().train;
    let epochs = settings.epochs;
    observer.started(label, epochs, run.train.num_batches(), run.history.len());
    for note in &run.notes {
        observer.note(label, note);
    }
    for note in run.joined_batch().iter().chain(&run.unmeasured()) {
        observer.note(label, note);
    }
    if settings.tensorboard && files.is_none() {
        observer.note(label, "train.tensorboard writes into the run's folder, and there is none");
    }
    let mut ended = false;
    while run.history.len() < epochs && !run.is_stuck() && !ended {
        let mut on_step = |run: &Run<'_>, step: &StepRecord| {
            logs.as_deref_mut().map_or(Ok(()), |logs| logs.step(step))?;
            observer.step(label, step);
            interrupted(run, options)
        };
        let trained = run.epoch(&mut on_step);
        let record = trained.inspect_err(|error| {
            // A loss that left the finite numbers did so in these steps. What the epoch failed of is the error
            // to report, whether they can be written or not.
            if !matches!(error, Error::Interrupted { .. }) {
                let _ = logs.as_deref_mut().map(Logs::write);
            }
        })?;
        if let (Some(files), Some(logs)) = (files, logs.as_deref_mut()) {
            logs.epoch(&record)?;
            run.save(files, start)?;
        }
        observer.epoch(label, &record);
        let group = run.model.members().group();
        ended = said_by_first(group, observer.ends_after(label, &record))?;
        interrupted(run, options)?;
    }
    Ok(())
}

/// An error where the run was asked to end.
fn interrupted(run: &Run<'_>, options: &RunOptions<'_>) -> Result<()> {
    match asked(run.model.members().group(), options.stop)? {
        Some(signal) => Err(Error::Interrupted {
            signal,
            epochs: run.history.len(),
            folder: options.folder.map(Path::to_owned),
        }),
        None => Ok(()),
    }
}

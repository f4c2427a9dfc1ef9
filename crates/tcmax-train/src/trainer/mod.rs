//! The training loop: epochs of steps, the weights to keep copied, one test at the end.

mod best;
mod epoch;
mod finish;
mod frozen;
mod loaders;
mod log;
mod run;
mod saved;
mod update;

use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use tcmax_data::Splits;

use crate::identity::Identified;
use crate::observer::{Observer, RunLabel};
use crate::results::{RunResult, StepRecord};
use crate::resume;
use crate::run_files::{Existing, RunFiles};
use crate::stop::Stop;
use crate::{CheckedConfig, Error, Result};
use log::Logs;
use run::Run;

pub use loaders::evaluation_loader;

/// Where and how a run runs; nothing here changes its results.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Where tensors live.
    pub device: &'a Device,
    /// Where checkpoints go; absent: nothing is written.
    pub folder: Option<&'a Path>,
    /// What to do with a run that is in the folder already.
    pub existing: Existing,
    /// Asked after every batch whether to end early; absent: never.
    pub stop: Option<&'a Stop>,
    /// Who listens.
    pub observer: &'a dyn Observer,
    /// The name the observer is told.
    pub label: &'a RunLabel,
}

/// Trains one model from one seed and tests it once.
///
/// The weights kept are a copy of those after the epoch with the best validation accuracy, among
/// equals the one with the lowest validation cross-entropy; later epochs do not touch them. Without a
/// validation split, or with `keep = "last"`, they are those of the last epoch.
///
/// A run that is gone on with may have more epochs than before, see [`resume::continued`].
///
/// # Errors
/// When data cannot be read, settings do not fit the data, the loss leaves the finite numbers, a file
/// cannot be written, another process has the folder, or the run in it is of other settings or data.
pub fn train(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    let mut result = None;
    // On a thread of the pool that the operations share out their work to: from outside, every
    // single one of them would be handed over and waited for.
    rayon::scope(|_| result = Some(train_here(config, splits, seed, options)));
    result.unwrap_or_else(|| unreachable!("the scope has run its body"))
}

fn train_here(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    let start = Instant::now();
    let RunOptions { observer, label, existing, .. } = options;
    let files = options.folder.map(|folder| RunFiles::open(folder, existing)).transpose()?;
    let before = match &files {
        Some(files) if existing == Existing::Resume => {
            resume::read(files.folder(), options.device)?
        }
        _ => None,
    };
    let continued;
    let config = match (&files, &before) {
        (Some(files), Some((_, progress))) => {
            continued = resume::continued(config, (progress, seed), files.folder())?;
            &continued
        }
        _ => config,
    };
    let data = Identified::of(splits)?;
    let is_new = before.is_none();
    let mut run = Run::new(config, splits, data, seed, (options.device, is_new))?;
    if let (Some(files), Some((tensors, progress))) = (&files, before) {
        let file = files.last();
        resume::check_data(&file, &progress, &run.data.data)?;
        run.restore(&tensors, progress).map_err(|error| resume::in_file(&file, error))?;
        run.seconds_before = files.load_seconds(&mut run.history);
    }
    run.encode_frozen()?;
    let mut logs = files.as_ref().map(|files| Logs::open(files, &run)).transpose()?;
    train_epochs(&mut run, (files.as_ref(), logs.as_mut()), start, &options)?;
    let mut result = run.finish(start)?;
    result.fold = label.fold;
    if let Some(files) = &files {
        run.save_finished(files)?;
        if let Some(logs) = &mut logs {
            logs.test(result.history.len(), &result.test)?;
        }
        let text = serde_json::to_string_pretty(&result)
            .map_err(|e| Error::bad_file(&files.result(), e.to_string()))?;
        crate::checkpoint::write_whole(&files.result(), text.as_bytes())?;
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
    if let Some(note) = run.joined_batch() {
        observer.note(label, &note);
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
        ended = observer.ends_after(label, &record);
        interrupted(run, options)?;
    }
    Ok(())
}

/// An error where the run was asked to end.
fn interrupted(run: &Run<'_>, options: &RunOptions<'_>) -> Result<()> {
    match options.stop.and_then(Stop::asked) {
        Some(signal) => Err(Error::Interrupted {
            signal,
            epochs: run.history.len(),
            folder: options.folder.map(Path::to_owned),
        }),
        None => Ok(()),
    }
}

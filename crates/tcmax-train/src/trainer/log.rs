//! What a run leaves of its steps and epochs: `log.jsonl`, and event files for TensorBoard if they are wanted.
//!
//! The lines of an epoch are written when it ends, before its checkpoint; going on with a run cuts off those of
//! epochs that the checkpoint does not have. So a run that was killed has the bytes of one that was not.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::run::Run;
use crate::checkpoint::write_whole;
use crate::error::at;
use crate::results::{EpochRecord, Evaluation, LogRecord, StepRecord};
use crate::run_files::RunFiles;
use crate::tensorboard::TensorBoard;
use crate::{Error, Result};

/// The logs of a run.
pub(super) struct Logs {
    path: PathBuf,
    /// Steps from one that is logged to the next; 0 for none.
    every: usize,
    /// The lines of the epoch so far.
    lines: Vec<u8>,
    tensorboard: Option<TensorBoard>,
}

impl Logs {
    /// The logs of a run that starts, or goes on after its finished epochs.
    ///
    /// # Errors
    /// When the log of the epochs before cannot be read or written.
    pub(super) fn open(files: &RunFiles, run: &Run<'_>) -> Result<Self> {
        let settings = &run.config.config().train;
        let path = files.log();
        cut_off(&path, run.history.len())?;
        let names = run.splits.train.modalities().iter().map(|modality| modality.name.clone());
        let (done, batches) = (run.steps_before(), run.train.num_batches());
        let tensorboard = settings
            .tensorboard
            .then(|| TensorBoard::new(files.folder(), done, batches, names.collect()));
        Ok(Self { path, every: settings.log_steps, lines: Vec::new(), tensorboard })
    }

    /// Takes a step, if it is to be logged.
    ///
    /// # Errors
    /// When TensorBoard's file cannot be written.
    pub(super) fn step(&mut self, record: &StepRecord) -> Result<()> {
        // No step is a multiple of 0.
        if !record.step.is_multiple_of(self.every) {
            return Ok(());
        }
        self.add(&LogRecord::Step(record.clone()))?;
        self.tensorboard.as_mut().map_or(Ok(()), |board| board.step(record))
    }

    /// Takes a finished epoch, and writes what there is of it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.add(&LogRecord::Epoch(record.timeless()))?;
        self.write()?;
        self.tensorboard.as_mut().map_or(Ok(()), |board| board.epoch(record))
    }

    /// Takes the metrics of the test: for TensorBoard alone, as `result.json` has them.
    ///
    /// # Errors
    /// When TensorBoard's file cannot be written.
    pub(super) fn test(&mut self, test: &Evaluation) -> Result<()> {
        self.tensorboard.as_mut().map_or(Ok(()), |board| board.test(test))
    }

    fn add(&mut self, record: &LogRecord) -> Result<()> {
        serde_json::to_writer(&mut self.lines, record)
            .map_err(|error| Error::bad_file(&self.path, error.to_string()))?;
        self.lines.push(b'\n');
        Ok(())
    }

    /// Writes the lines that are not written yet: of an epoch that fails, they show how it came to that.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let append = || {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(&lines)?;
            // The checkpoint that says that these epochs are finished comes after it.
            file.sync_data()
        };
        append().map_err(at(&self.path))
    }
}

/// Cuts off what a log has after so many epochs: whole lines of later ones, and a line that is not whole.
fn cut_off(path: &Path, epochs: usize) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if !path.is_file() {
        return Err(Error::bad_file(path, "not a file"));
    }
    let bytes = std::fs::read(path).map_err(at(path))?;
    let mut kept = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let record = serde_json::from_slice::<LogRecord>(line).ok();
        if !line.ends_with(b"\n") || record.is_none_or(|record| record.epoch() > epochs) {
            break;
        }
        kept += line.len();
    }
    if kept == bytes.len() {
        return Ok(());
    }
    write_whole(path, &bytes[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_off_after_the_last_finished_epoch() {
        let line = |epoch: usize| {
            format!(
                r#"{{"kind":"epoch","epoch":{epoch},"learning_rate":0.1,"train_loss":"NaN","train_accuracy":0.5,"validation":null}}"#
            ) + "\n"
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        cut_off(&path, 3).unwrap();
        assert!(!path.exists());
        let two = line(1) + &line(2);
        for (after, epochs, kept) in [
            (String::new(), 2, two.as_str()),
            (line(3), 2, &two),
            (line(3), 1, &line(1)),
            (line(3), 0, ""),
            (line(3)[..40].to_owned(), 2, &two),
            (line(3).trim_end().to_owned(), 3, &two),
            ("nonsense\n".to_owned() + &line(3), 3, &two),
        ] {
            std::fs::write(&path, two.clone() + &after).unwrap();
            cut_off(&path, epochs).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), kept, "{after} {epochs}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(cut_off(&path, 1).unwrap_err().to_string().contains("log.jsonl: not a file"));
    }
}

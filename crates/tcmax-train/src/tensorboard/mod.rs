//! Event files that TensorBoard shows: curves of the steps and the epochs of a run.
//!
//! An event file is a sequence of records (see `record`), each of which holds one message (see `message`). The first
//! gives the version of the format, the second says from which step on earlier files of the folder no longer
//! count. They hold clock times, so no two runs have the same.

mod message;
mod record;
mod scalars;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::Result;
use crate::error::at;
use crate::results::{EpochRecord, Evaluation, StepRecord};
use message::{Content, Event, SessionLog, Summary};

/// The version that TensorBoard expects before it lets later files replace what is in earlier ones.
const VERSION: &str = "brain.Event:2";
/// What files are called, up to a time in seconds; by their names TensorBoard finds and sorts them.
const BEFORE_TIME: &str = "events.out.tfevents.";
/// What files of ours end with.
const AFTER_TIME: &str = ".tcmax";

/// The event files of a run. The file of this process is made when there is something to write.
pub(crate) struct TensorBoard {
    folder: PathBuf,
    file: Option<(File, PathBuf)>,
    /// The first step that this process makes.
    first_step: usize,
    /// Steps of the epochs so far.
    done: usize,
    /// Batches of an epoch that no method plans.
    batches: usize,
    /// Names of the modalities.
    modalities: Vec<String>,
}

impl TensorBoard {
    /// The event files of the run in `folder`, of which `done` steps are finished; an epoch has so many batches, unless
    /// it was planned.
    pub(crate) fn new(folder: &Path, done: usize, batches: usize, modalities: Vec<String>) -> Self {
        let (folder, first_step) = (folder.to_owned(), done + 1);
        Self { folder, file: None, first_step, done, batches, modalities }
    }

    /// Adds the numbers of a step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn step(&mut self, record: &StepRecord) -> Result<()> {
        self.write(record.step, &scalars::of_step(record))
    }

    /// Adds the numbers of an epoch, at its last step: so a curve of epochs has the scale of those of steps.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.done += record.planned_batches.unwrap_or(self.batches);
        self.write(self.done, &scalars::of_epoch(record, &self.modalities))
    }

    /// Adds the metrics of the test, at the last step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn test(&mut self, test: &Evaluation) -> Result<()> {
        self.write(self.done, &scalars::of_test(test, &self.modalities))
    }

    fn write(&mut self, step: usize, scalars: &[(String, f64)]) -> Result<()> {
        let begin = self.file.is_none();
        let (file, path) = match self.file.take() {
            Some(open) => self.file.insert(open),
            None => self.file.insert(create(&self.folder)?),
        };
        let mut bytes = Vec::new();
        if begin {
            // Those of an epoch that was not finished are written again.
            let start = Content::SessionLog(SessionLog::start());
            bytes.extend(event(0, Content::FileVersion(VERSION.to_owned())));
            bytes.extend(event(self.first_step, start));
        }
        bytes.extend(event(step, Content::Summary(Summary::of(scalars))));
        // At once, so that it is seen while the run goes on.
        file.write_all(&bytes).map_err(at(path))
    }
}

/// The record of an event that happens now.
fn event(step: usize, content: Content) -> Vec<u8> {
    let wall_time = now().as_secs_f64();
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    record::framed(&Event { wall_time, step, content: Some(content) }.encode_to_vec())
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Makes a file whose name comes after those of all others, whatever the clock says.
fn create(folder: &Path) -> Result<(File, PathBuf)> {
    let last = files(folder)?.iter().filter_map(|path| time_of(path)).max();
    let time = last.map_or(0, |last| last + 1).max(now().as_secs());
    let path = folder.join(format!("{BEFORE_TIME}{time:010}{AFTER_TIME}"));
    let file = File::create_new(&path).map_err(at(&path))?;
    Ok((file, path))
}

/// The event files in a folder that are of this program.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(at(folder))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| time_of(path).is_some()).collect())
}

/// The time in the name of an event file.
fn time_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let time = name.strip_prefix(BEFORE_TIME)?.strip_suffix(AFTER_TIME)?;
    time.parse().ok().filter(|time| *time < u64::MAX)
}

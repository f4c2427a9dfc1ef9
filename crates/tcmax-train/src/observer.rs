//! How a run tells what it is doing, without printing anything itself.

use std::fmt;

use crate::Error;
use crate::results::{EpochRecord, RunResult, StepRecord};

/// Which run of which comparison is speaking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunLabel {
    /// The method's short name.
    pub method: String,
    /// The run's seed.
    pub seed: u64,
    /// The fold that it is tested on, of a cross-validation.
    pub fold: Option<usize>,
}

impl RunLabel {
    /// A run of a method from a seed, on no fold.
    pub fn new(method: &str, seed: u64) -> Self {
        Self { method: method.to_owned(), seed, fold: None }
    }
}

impl fmt::Display for RunLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seed {}", self.method, self.seed)?;
        self.fold.map_or(Ok(()), |fold| write!(f, " fold {fold}"))
    }
}

/// Listens to training runs; several may speak at once from several threads.
pub trait Observer: Sync {
    /// A run starts (or goes on after `done` finished epochs).
    fn started(&self, run: &RunLabel, epochs: usize, batches: usize, done: usize);
    /// Something about a run that its user should know, such as how an odd number of examples is cut into
    /// batches; it is no error, and the same for every run of the same settings.
    fn note(&self, run: &RunLabel, text: &str) {
        let _ = (run, text);
    }
    /// A training batch is done.
    fn step(&self, run: &RunLabel, record: &StepRecord);
    /// An epoch is done and its checkpoint, if any, is on disk.
    fn epoch(&self, run: &RunLabel, record: &EpochRecord);
    /// Whether training is to end after this epoch, of which [`Observer::epoch`] was told; the run is then
    /// tested as it is. By default it goes on.
    fn ends_after(&self, run: &RunLabel, record: &EpochRecord) -> bool {
        let _ = (run, record);
        false
    }
    /// The run failed, and others of the same command go on.
    fn failed(&self, run: &RunLabel, error: &Error) {
        let _ = (run, error);
    }
    /// The run is done and tested.
    fn finished(&self, run: &RunLabel, result: &RunResult);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn step(&self, _: &RunLabel, _: &StepRecord) {}
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

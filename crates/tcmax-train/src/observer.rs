//! How a run tells what it is doing, without printing anything itself.

use crate::results::{EpochRecord, RunResult};

/// Which run of which comparison is speaking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunLabel {
    /// The method's short name.
    pub method: String,
    /// The run's seed.
    pub seed: u64,
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
    fn batch(&self, run: &RunLabel);
    /// An epoch is done and its checkpoint, if any, is on disk.
    fn epoch(&self, run: &RunLabel, record: &EpochRecord);
    /// The run is done and tested.
    fn finished(&self, run: &RunLabel, result: &RunResult);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn batch(&self, _: &RunLabel) {}
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

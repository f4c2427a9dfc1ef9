//! The training loop: epochs of steps, the weights to keep copied, one test at the end.

mod agreed;
mod best;
mod choose;
mod epoch;
mod exchanged;
mod finish;
mod frozen;
mod loaders;
mod log;
mod measure;
mod member;
mod planned;
mod run;
mod saved;
mod start;
mod step;
mod sums;
mod teacher;
mod update;

use std::path::Path;
use std::sync::Arc;

use tcmax_data::Splits;
use tcmax_ops::on_its_own;
use tcmax_parallel::Group;

use crate::observer::{Observer, RunLabel};
use crate::results::RunResult;
use crate::run_files::Existing;
use crate::stop::Stop;
use crate::{CheckedConfig, Devices, Result};
use choose::train_candidates;
use start::train_here;

pub use loaders::evaluation_loader;

/// Where and how a run runs; nothing here changes its results, but for the last digits on another device.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Where tensors live: those of each member of this process on the next of these devices.
    pub devices: Devices<'a>,
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
    /// The processes that train together, of whom this is one; absent: it is alone. All call [`train`] with the same
    /// settings and data; the first one reads and writes the folder and speaks to its observer.
    pub group: Option<&'a Arc<dyn Group>>,
}

/// Trains one model from one seed and tests it once.
///
/// The weights kept are a copy of those after the epoch with the best validation accuracy, among
/// equals the one with the lowest validation cross-entropy; later epochs do not touch them. Without a
/// validation split, or with `keep = "last"`, they are those of the last epoch.
///
/// Several processes ([`RunOptions::group`]), and several shards ([`shards`](crate::TrainingOptions::shards)), train
/// one model: each encodes its share of every batch, and the result is the same for all. Calls of the group come from
/// different threads, one at a time.
///
/// Where there are settings to choose from ([`CheckedConfig::candidates`]), one model is trained with each, and the one
/// of the best validation accuracy is the run's; only its test counts.
///
/// A run that is gone on with may have more epochs than before, see [`continued`](crate::resume::continued).
///
/// # Errors
/// When data cannot be read, settings do not fit the data, the loss leaves the finite numbers, a file
/// cannot be written, another process has the folder, or the run in it is of other settings or data; when
/// processes have different settings, data or versions, or one of them has ended.
pub fn train(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    let mut result = None;
    // On a thread of the pool that the operations share out their work to: from outside, every
    // single one of them would be handed over and waited for.
    rayon::scope(|_| {
        // The thread may have taken it up while another training waits.
        result = Some(on_its_own(|| match config.candidates() {
            [] => train_here(config, splits, seed, options),
            _ => train_candidates(config, splits, seed, options),
        }));
    });
    result.unwrap_or_else(|| unreachable!("the scope has run its body"))
}

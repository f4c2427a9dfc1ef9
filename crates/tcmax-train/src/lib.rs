#![doc = include_str!("../README.md")]

mod absence;
pub mod balance;
pub mod checkpoint;
mod config;
mod dataset;
mod error;
mod evaluate;
mod model;
mod observer;
mod probe;
pub mod process;
mod progress;
pub mod report;
pub mod results;
mod schedule;
mod standardise;
pub mod stats;
mod suite;
mod survey;
pub mod table;
mod trainer;
mod warnings;

pub use absence::{absence, stand_ins};
pub use config::{CheckedConfig, EncoderConfig, TrainConfig};
pub use dataset::{DatasetConfig, OpenDataset, manifest_clips};
pub use error::{Error, Result};
pub use evaluate::{Classifier, EncodedSplit, MOST_TUPLES, evaluate};
pub use model::Model;
pub use observer::{Observer, RunLabel, Silent};
pub use probe::probe;
pub use progress::{DownloadBar, PrepareBar, TrainingProgress};
pub use schedule::StepDecay;
pub use suite::{Contender, Suite, versions};
pub use trainer::{RunOptions, evaluation_loader, train};

/// The examples of the workspace's README, compiled and run with those of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct WorkspaceReadme;

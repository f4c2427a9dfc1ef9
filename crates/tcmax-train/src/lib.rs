#![doc = include_str!("../README.md")]
// `eprintln!` panics where standard error cannot be written to: `say` does not.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

mod absence;
pub mod balance;
pub mod checkpoint;
mod config;
mod dataset;
mod epoch_context;
mod error;
mod evaluate;
mod examples;
pub mod identity;
mod lock;
mod model;
mod observer;
pub mod palette;
mod probe;
pub mod process;
mod progress;
mod registry;
pub mod report;
pub mod results;
pub mod resume;
mod run_files;
mod schedule;
mod standardise;
pub mod stats;
mod suite;
pub mod table;
mod tested;
mod trainer;
mod warnings;

pub use absence::{absence, marginals_of};
pub use config::{CheckedConfig, EncoderConfig, TrainConfig};
pub use dataset::{DatasetConfig, OpenDataset, manifest_clips};
pub use error::{Error, Result, describe_error};
pub use evaluate::{Classifier, EncodedSplit, MOST_TUPLES, evaluate};
pub use examples::write_examples;
pub use lock::FolderLock;
pub use model::Model;
pub use observer::{Observer, RunLabel, Silent};
pub use probe::probe;
pub use process::Stop;
pub use progress::{DownloadBar, PrepareBar, TrainingProgress, say};
pub use registry::Registry;
pub use run_files::{Existing, RunFiles, refuse_comparison};
pub use schedule::StepDecay;
pub use suite::{Suite, Variant, check_seeds, keep, versions};
pub use tested::{Tested, TestedData, TestedPart};
pub use trainer::{RunOptions, evaluation_loader, train};

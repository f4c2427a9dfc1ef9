#![doc = include_str!("../README.md")]
// A library prints nothing; it speaks to its `Observer`.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

mod absence;
pub mod checkpoint;
mod config;
mod dataset;
mod epoch_context;
mod error;
mod evaluate;
pub mod identity;
mod lock;
mod model;
mod observer;
mod probe;
mod registry;
pub mod results;
pub mod resume;
mod run_files;
pub mod schedule;
mod standardise;
mod stop;
mod suite;
mod tested;
mod trainer;
mod warnings;

pub use absence::{absence, marginals_of};
pub use config::{CheckedConfig, EncoderConfig, TrainConfig};
pub use dataset::{DatasetConfig, OpenDataset, manifest_clips};
pub use error::{Error, Result, describe_error};
pub use evaluate::{Classifier, EncodedSplit, MOST_TUPLES, evaluate};
pub use lock::FolderLock;
pub use model::Model;
pub use observer::{Observer, RunLabel, Silent};
pub use probe::probe;
pub use registry::Registry;
pub use run_files::{Existing, RunFiles, refuse_comparison};
pub use schedule::StepDecay;
pub use stop::Stop;
pub use suite::{Suite, Variant, check_seeds, keep, versions};
pub use tested::{Tested, TestedData, TestedPart};
pub use trainer::{RunOptions, evaluation_loader, train};

#![doc = include_str!("../README.md")]
// A library prints nothing; it speaks to its `Observer`.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

mod absence;
mod any_number;
pub mod checkpoint;
mod comparison;
mod config;
mod dataset;
mod dealt;
mod devices;
mod encoded;
mod encoded_data;
mod epoch_context;
mod error;
mod evaluate;
mod evaluate_targets;
mod experiment;
mod export;
mod host;
pub mod identity;
mod information;
mod lock;
mod metrics;
mod model;
mod observer;
mod predict;
mod pretrained;
mod probe;
mod registry;
pub mod results;
pub mod resume;
mod run_files;
pub mod schedule;
mod standardise;
mod stop;
mod tensorboard;
mod tested;
mod trainer;
mod truth;
mod warnings;

pub use absence::{absence, marginals_of};
pub use comparison::{
    PlannedRun, Suite, Variant, check_seeds, collect, keep, memory_of_run, variants, versions,
};
pub use config::{
    BatchNorm, CheckedConfig, ClassWeights, EncoderChoice, EncoderTraining, FirstLayer, Keep,
    Precision, TextPosition, TrainConfig, TrainingOptions, WeightRule, parse_value, position_of,
    with_position,
};
pub use dataset::{choose_data, open_data, open_data_quietly, summary, truth};
pub use devices::Devices;
pub use encoded::{Classifier, EncodedSplit, MOST_TUPLES};
pub use error::{Error, Result, describe_error};
pub use evaluate::evaluate;
pub use experiment::{CompareOptions, Experiment};
pub use export::{ExportOptions, export};
pub use host::host_name;
pub use information::{MOST_MEASURED, feature_information};
pub use lock::FolderLock;
pub use metrics::{contributions, test_metrics};
pub use model::{Model, Outputs, check_stages};
pub use observer::{Observer, RunLabel, Silent};
pub use predict::{Prediction, Predictor};
pub use pretrained::with_published_settings;
pub use probe::probe;
pub use registry::Registry;
pub use run_files::{Existing, RunFiles, refuse_comparison};
pub use schedule::{SCHEDULES, Schedule, ScheduleSpec, StepDecay, WarmUpOptions, schedules};
pub use stop::Stop;
pub use tcmax_registry::{Choice, Task};
pub use tested::{Tested, TestedData, TestedPart, open_unlabelled_for};
pub use trainer::{RunOptions, evaluation_loader, train};
pub use truth::Truth;

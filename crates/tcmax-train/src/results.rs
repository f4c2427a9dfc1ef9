//! What a run and a comparison of runs leave behind, as plain serialisable values.
//!
//! Accuracies are fractions in [0, 1], information is in nats, times are in seconds. Per-modality
//! vectors follow the order of [`DatasetSummary::modalities`].

mod information;
mod score;
mod suite;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tcmax_metrics::{ClassScores, Summary};

use crate::any_number;

pub use information::{FeatureInformation, InformationBound, PairInformation};
pub use score::{Metric, TargetScores};
pub use suite::{
    DatasetSummary, FailedRun, InformationTruth, MethodResult, PairTruth, StepCost, SuiteResult,
};

/// The outcome of evaluating one model on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of examples.
    pub examples: usize,
    /// Accuracy of the fused prediction. This and what else is about classes is NaN or empty, and not written,
    /// for other tasks.
    #[serde(default = "undefined", skip_serializing_if = "is_undefined")]
    pub accuracy: f64,
    /// Mean over the classes of the fraction of their examples that are predicted right: what accuracy
    /// would be if all classes were equally frequent.
    #[serde(default = "undefined", skip_serializing_if = "is_undefined")]
    pub balanced_accuracy: f64,
    /// Accuracy of always answering the most frequent class of the split.
    #[serde(default = "undefined", skip_serializing_if = "is_undefined")]
    pub majority_rate: f64,
    /// Accuracy of each modality's own logits on the examples that have it; `None` where the model does
    /// not use the modality, or no example has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modality_accuracy: Vec<Option<f64>>,
    /// Mean cross-entropy of the fused prediction of classes or labels, nats.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "any_number::option")]
    pub cross_entropy: Option<f64>,
    /// Donsker-Varadhan bound on the total correlation of all features and the label (of several labels, its
    /// sum over them), over all tuples of the examples that have every modality; `None` when there are fewer than two.
    #[serde(default, with = "any_number::option")]
    pub total_correlation: Option<f64>,
    /// `confusion[true class][predicted class]`, counts; empty for the validation split after an epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u32>>,
    /// Metrics of labels or numbers; absent for classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetScores>,
}

/// One batch of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The batch in the epoch, from 1.
    pub batch: usize,
    /// The batch in the run, from 1.
    pub step: usize,
    /// The learning rate.
    #[serde(with = "any_number")]
    pub learning_rate: f64,
    /// The loss, nats.
    #[serde(with = "any_number")]
    pub loss: f64,
    /// The bound on the total correlation, where the method computes it, nats.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "any_number::option")]
    pub total_correlation: Option<f64>,
    /// The norm of all gradients of the last step, where they are clipped.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "any_number::option")]
    pub gradient_norm: Option<f64>,
    /// Metrics of the method's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "any_number::map")]
    pub metrics: BTreeMap<String, f64>,
}

/// One epoch of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch number, from 1.
    pub epoch: usize,
    /// Learning rate at the start of this epoch.
    #[serde(with = "any_number")]
    pub learning_rate: f64,
    /// Mean training loss over the epoch's batches.
    #[serde(with = "any_number")]
    pub train_loss: f64,
    /// Accuracy on the training batches, as they were seen; NaN, and not written, for other tasks than classes.
    #[serde(default = "undefined", skip_serializing_if = "is_undefined")]
    pub train_accuracy: f64,
    /// Mean bound on the total correlation over the training batches, nats, where the method computes
    /// it; no other step is made longer for it.
    #[serde(default, with = "any_number::option")]
    pub train_total_correlation: Option<f64>,
    /// Means over the batches of metrics of the method's own, such as `coefficient 0`.
    #[serde(default, with = "any_number::map")]
    pub metrics: BTreeMap<String, f64>,
    /// Whether the weights after the epoch are those of a model that can be used; others, such as those of teachers that
    /// a method trains first, are not kept.
    #[serde(default = "usable", skip_serializing_if = "is_usable")]
    pub usable: bool,
    /// Batches of the epoch, where the method planned others than each example once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_batches: Option<usize>,
    /// The validation split after the epoch; `None` where there is none.
    pub validation: Option<Evaluation>,
    /// Bounds on the information in the features, where they were measured after this epoch
    /// ([`information_every`](crate::TrainingOptions::information_every)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub information: Option<FeatureInformation>,
    /// Wall-clock seconds of the epoch, validation included; 0, and not written, in files that hold no times.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds: f64,
}

impl EpochRecord {
    /// The same without its time, which differs from run to run.
    #[must_use]
    pub fn timeless(&self) -> Self {
        Self { seconds: 0.0, ..self.clone() }
    }
}

fn usable() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usable(usable: &bool) -> bool {
    *usable
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

fn undefined() -> f64 {
    f64::NAN
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_undefined(value: &f64) -> bool {
    value.is_nan()
}

/// A line of a run's `log.jsonl`. Numbers that are not finite, which JSON has not, are words: `"NaN"`, `"inf"`
/// and `"-inf"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum LogRecord {
    /// A step.
    Step(StepRecord),
    /// An epoch, without its time.
    Epoch(EpochRecord),
}

impl LogRecord {
    /// The epoch that it is about, from 1.
    pub fn epoch(&self) -> usize {
        match self {
            Self::Step(record) => record.epoch,
            Self::Epoch(record) => record.epoch,
        }
    }
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run's seed.
    pub seed: u64,
    /// The fold that it was tested on, of a cross-validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// SHA-256 of what the data were, split by split: runs that are compared pairwise have the same.
    #[serde(default)]
    pub data: String,
    /// The epoch (from 1) whose weights were kept: the best validation accuracy (mAP of labels, RMSE of
    /// numbers), among equals the lowest validation cross-entropy.
    pub best_epoch: usize,
    /// What the run chose on the validation split from values that it was given, by key; empty where there was nothing
    /// to choose. Seconds are then those of all that it trained.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen: BTreeMap<String, String>,
    /// Numbers that training changes: those of encoders, head and method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// The one evaluation on the test split, with the kept weights.
    pub test: Evaluation,
    /// Further metrics of the test split, of classes. This, contributions, probes and absence are measured for
    /// classes alone.
    #[serde(default)]
    pub metrics: Option<TestMetrics>,
    /// The Shapley value of each modality for the test accuracy: what it adds on average over all orders in
    /// which modalities could be added; `None` where the model does not use the modality, or for a model of
    /// one or more than six.
    #[serde(default)]
    pub contributions: Option<Vec<Option<f64>>>,
    /// Test accuracy of a linear probe on each modality's frozen features, fitted and tested on the
    /// examples that have it; `None` where the model does not use the modality, or no example has it.
    #[serde(default)]
    pub probe_accuracy: Vec<Option<f64>>,
    /// What the model does on the test split with a modality absent, and whether it tells matched from
    /// shuffled modalities; `None` for a model of one modality.
    #[serde(default)]
    pub absence: Option<Absence>,
    /// Bounds on the information in the features under the kept weights, measured on the test split; `None` for other
    /// tasks than classes, where too few examples have every modality, and where nothing was to be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub information: Option<FeatureInformation>,
    /// Every epoch.
    pub history: Vec<EpochRecord>,
    /// What to be wary of, in plain sentences, such as a test split unlike the validation split.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Wall-clock seconds of the whole run, in all the processes that it took.
    pub seconds: f64,
    /// Bytes that the first of several members gave to the others, an average step with its share of
    /// validations, by purpose; empty for a member alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exchanged: BTreeMap<String, f64>,
}

/// Metrics of the fused prediction on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestMetrics {
    /// Metrics of all classes together.
    pub summary: Summary,
    /// The fraction of examples whose class is among the k of highest probability, for k = 1, 2, ...
    pub top_k: Vec<f64>,
    /// Metrics of each class.
    pub classes: Vec<ClassScores>,
}

/// A model of several modalities without one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Absence {
    /// Accuracy with each modality absent from every example and averaged out over the training split;
    /// `None` where the model does not use the modality.
    pub accuracy_without: Vec<Option<f64>>,
    /// Accuracy with features of zero in its place.
    pub accuracy_with_zeros: Vec<Option<f64>>,
    /// Area under the curve of the pair score: examples that have every modality against examples whose
    /// modalities are drawn from different ones at random; `None` when there are too few.
    #[serde(default)]
    pub matching_auc: Option<f64>,
}

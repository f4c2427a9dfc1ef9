//! What a run and a comparison of runs leave behind, as plain serialisable values.
//!
//! Accuracies are fractions in [0, 1], information is in nats, times are in seconds. Per-modality
//! vectors follow the order of [`DatasetSummary::modalities`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tcmax_metrics::{ClassScores, Summary};

use crate::any_number;

/// The outcome of evaluating one model on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of examples.
    pub examples: usize,
    /// Accuracy of the fused prediction.
    pub accuracy: f64,
    /// Mean over the classes of the fraction of their examples that are predicted right: what accuracy
    /// would be if all classes were equally frequent.
    #[serde(default)]
    pub balanced_accuracy: f64,
    /// Accuracy of always answering the most frequent class of the split.
    #[serde(default)]
    pub majority_rate: f64,
    /// Accuracy of each modality's own logits on the examples that have it; `None` where the model does
    /// not use the modality, or no example has it.
    pub modality_accuracy: Vec<Option<f64>>,
    /// Mean cross-entropy of the fused prediction.
    #[serde(with = "any_number")]
    pub cross_entropy: f64,
    /// Donsker-Varadhan bound on the total correlation of all features and the label, over all
    /// tuples of the examples that have every modality; `None` when there are fewer than two.
    #[serde(default, with = "any_number::option")]
    pub total_correlation: Option<f64>,
    /// `confusion[true class][predicted class]`, counts; empty for the validation split after an epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u32>>,
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
    /// Accuracy on the training batches, as they were seen.
    pub train_accuracy: f64,
    /// Mean bound on the total correlation over the training batches, nats, where the method computes
    /// it; no other step is made longer for it.
    #[serde(default, with = "any_number::option")]
    pub train_total_correlation: Option<f64>,
    /// Means over the batches of metrics of the method's own, such as `coefficient 0`.
    #[serde(default, with = "any_number::map")]
    pub metrics: BTreeMap<String, f64>,
    /// The validation split after the epoch; `None` where there is none.
    pub validation: Option<Evaluation>,
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

/// A line of a run's `log.jsonl`. Numbers that are not finite, which JSON has not, are words: `"NaN"`, `"inf"`
/// and `"-inf"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
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
    /// The epoch (from 1) whose weights were kept: the best validation accuracy, among equals the
    /// lowest validation cross-entropy.
    pub best_epoch: usize,
    /// The one evaluation on the test split, with the kept weights.
    pub test: Evaluation,
    /// Further metrics of the test split.
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
    /// Every epoch.
    pub history: Vec<EpochRecord>,
    /// What to be wary of, in plain sentences, such as a test split unlike the validation split.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Wall-clock seconds of the whole run, in all the processes that it took.
    pub seconds: f64,
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

/// All runs of one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// Short name, such as `joint`, `tcmax`, `only audio`.
    pub name: String,
    /// One line on what the method does.
    pub description: String,
    /// One entry per seed.
    pub runs: Vec<RunResult>,
    /// Seeds whose run failed, the others being finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRun>,
    /// What a training step costs, where it was measured.
    #[serde(default)]
    pub cost: Option<StepCost>,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedRun {
    /// Its seed.
    pub seed: u64,
    /// Its fold, of a cross-validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Why.
    pub problem: String,
}

/// What one training step costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepCost {
    /// Seconds of the median step.
    pub seconds: f64,
    /// The same of each run alone, in the order of the seeds.
    #[serde(default)]
    pub runs: Vec<f64>,
    /// Bytes in use at the peak of a step beyond those in use between steps.
    pub peak_bytes: u64,
}

/// The data set of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// Short name.
    pub name: String,
    /// What it is, one or two sentences.
    pub description: String,
    /// Modality names, in the order of every per-modality vector.
    pub modalities: Vec<String>,
    /// Class names.
    pub classes: Vec<String>,
    /// Examples in train, validation and test.
    pub sizes: [usize; 3],
    /// What a reader should know of the data, such as clips left out or speakers in several splits.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What makes results doubtful, such as copies of training examples in the test split.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether each seed drew training and test examples anew from the same ones. Runs then share examples,
    /// which makes their differences alike, and tests over the seeds have to allow for that.
    #[serde(default)]
    pub resampled: bool,
}

/// The information in a data set whose distribution is known, nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InformationTruth {
    /// H(y).
    pub label_entropy: f64,
    /// I(y; x_m) for each modality.
    pub label_information: Vec<f64>,
    /// I(y; x_1, ..., x_M).
    pub joint_information: f64,
    /// TC(x_1, ..., x_M, y): no correct estimate lies above it but by chance.
    pub total_correlation: f64,
    /// The part of the total correlation that a sum of per-modality logits cannot express
    /// (I(x_1; ...; x_M | y), the nuisance the modalities share).
    pub additive_gap: f64,
    /// Accuracy of the best possible classifier of all modalities.
    pub bayes_accuracy: f64,
    /// Accuracy of the best possible classifier of each modality alone.
    pub bayes_modality_accuracy: Vec<f64>,
    /// Area under the curve of the best score for telling matched from shuffled modalities.
    #[serde(default)]
    pub matching_auc: f64,
    /// The same for scores that see the modalities through the label alone, as sums of logits do.
    #[serde(default)]
    pub additive_matching_auc: f64,
}

/// A comparison of methods on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// Short name, such as `quick`.
    pub suite: String,
    /// One line on what is compared.
    pub title: String,
    /// The data.
    pub dataset: DatasetSummary,
    /// Truth, where the distribution is known.
    pub truth: Option<InformationTruth>,
    /// Settings as (name, value), in the order to show them.
    pub settings: Vec<(String, String)>,
    /// Versions as (component, version).
    pub versions: Vec<(String, String)>,
    /// The methods, in the order to show them.
    pub methods: Vec<MethodResult>,
    /// The name of the method that the others are compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// Published accuracies in percent, by the names of the methods, to stand beside the results.
    #[serde(default)]
    pub published: BTreeMap<String, f64>,
    /// Wall-clock seconds of the whole comparison.
    pub seconds: f64,
}

impl SuiteResult {
    /// Whether every run is finished.
    ///
    /// # Errors
    /// The runs that failed, with the reasons.
    pub fn complete(&self) -> crate::Result<()> {
        let of_method = |method: &MethodResult| {
            let line =
                |run: &FailedRun| format!("{} seed {}: {}", method.name, run.seed, run.problem);
            method.failed.iter().map(line).collect::<Vec<_>>()
        };
        let failed: Vec<String> = self.methods.iter().flat_map(of_method).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let finished: usize = self.methods.iter().map(|method| method.runs.len()).sum();
        let total = finished + failed.len();
        Err(crate::Error::RunsFailed { failed, total })
    }
}

//! A comparison of runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tcmax_registry::Task;

use super::RunResult;

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
    /// Names of the classes, of the labels or of the numbers to predict.
    pub classes: Vec<String>,
    /// What is to be predicted.
    #[serde(default, skip_serializing_if = "Task::is_classes")]
    pub task: Task,
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
    /// I(x_1; ...; x_M): what the modalities share.
    #[serde(default)]
    pub shared_information: f64,
    /// What any two modalities share.
    #[serde(default)]
    pub pairs: Vec<PairTruth>,
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

/// What two modalities share in a data set whose distribution is known, nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairTruth {
    /// Which.
    pub modalities: [usize; 2],
    /// I(x_a; x_b).
    pub shared: f64,
    /// I(x_a; x_b | y).
    pub given_label: f64,
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

//! The one number by which epochs are kept and methods compared, and the metrics of targets other than classes.

use serde::{Deserialize, Serialize};
use tcmax_registry::Task;

use super::Evaluation;
use crate::any_number;

/// Metrics of labels or numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
pub enum TargetScores {
    /// Of several labels; one is predicted where its probability is at least one half.
    Labels {
        /// Mean over the labels of the average precision (mAP).
        #[serde(with = "any_number")]
        mean_average_precision: f64,
        /// Mean over the labels of F1.
        #[serde(with = "any_number")]
        macro_f1: f64,
        /// F1 of all decisions together.
        #[serde(with = "any_number")]
        micro_f1: f64,
        /// Mean over the labels of the area under the ROC curve.
        #[serde(with = "any_number")]
        auroc: f64,
        /// The fraction of examples of which every label is decided right.
        #[serde(with = "any_number")]
        exact_match: f64,
        /// The mAP of each modality's own logits on the examples that have it; `None` where the model does not
        /// use the modality, or no example has it.
        modality_mean_average_precision: Vec<Option<f64>>,
    },
    /// Of numbers, in their units; means over several.
    Regression {
        /// Root of the mean squared error.
        #[serde(with = "any_number")]
        rmse: f64,
        /// Mean absolute error.
        #[serde(with = "any_number")]
        mae: f64,
        /// The share of the variance that is explained.
        #[serde(with = "any_number")]
        r2: f64,
        /// Pearson's correlation of predictions and numbers.
        #[serde(with = "any_number")]
        pearson: f64,
        /// The RMSE of each modality's own outputs, their mean error taken off, on the examples that have it;
        /// `None` as above.
        modality_rmse: Vec<Option<f64>>,
    },
}

impl TargetScores {
    /// The metrics of the fused prediction with their names.
    pub fn all(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Labels {
                mean_average_precision, macro_f1, micro_f1, auroc, exact_match, ..
            } => vec![
                ("mAP", *mean_average_precision),
                ("macro_F1", *macro_f1),
                ("micro_F1", *micro_f1),
                ("AUROC", *auroc),
                ("exact_match", *exact_match),
            ],
            Self::Regression { rmse, mae, r2, pearson, .. } => {
                vec![("RMSE", *rmse), ("MAE", *mae), ("R2", *r2), ("Pearson", *pearson)]
            }
        }
    }
}

/// The metric by which epochs are kept and methods compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Accuracy, of classes.
    Accuracy,
    /// Mean average precision, of labels.
    MeanAveragePrecision,
    /// Root mean squared error, of numbers: less is better.
    Rmse,
}

impl Metric {
    /// That of a task.
    pub fn of(task: Task) -> Self {
        match task {
            Task::Classes => Self::Accuracy,
            Task::Labels => Self::MeanAveragePrecision,
            Task::Regression => Self::Rmse,
        }
    }

    /// What it is called in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanAveragePrecision => "mAP",
            Self::Rmse => "RMSE",
        }
    }

    /// Whether it is a fraction, which is shown in percent.
    pub fn is_fraction(self) -> bool {
        self != Self::Rmse
    }

    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        self != Self::Rmse
    }

    /// A value as it is printed, with `digits` after the point of a percentage.
    pub fn text(self, value: f64, digits: usize) -> String {
        match self.is_fraction() {
            true => format!("{:.digits$} %", 100.0 * value),
            false => format!("{value:.4}"),
        }
    }
}

impl Evaluation {
    /// The metric of [`Evaluation::score`].
    pub fn metric(&self) -> Metric {
        match &self.targets {
            None => Metric::Accuracy,
            Some(TargetScores::Labels { .. }) => Metric::MeanAveragePrecision,
            Some(TargetScores::Regression { .. }) => Metric::Rmse,
        }
    }

    /// What models are compared by: accuracy, mAP or RMSE. NaN where no example has any label.
    pub fn score(&self) -> f64 {
        match &self.targets {
            None => self.accuracy,
            Some(TargetScores::Labels { mean_average_precision, .. }) => *mean_average_precision,
            Some(TargetScores::Regression { rmse, .. }) => *rmse,
        }
    }

    /// The same of each modality's own outputs, on the examples that have it.
    pub fn modality_scores(&self) -> &[Option<f64>] {
        match &self.targets {
            None => &self.modality_accuracy,
            Some(TargetScores::Labels { modality_mean_average_precision, .. }) => {
                modality_mean_average_precision
            }
            Some(TargetScores::Regression { modality_rmse, .. }) => modality_rmse,
        }
    }

    /// The score as a number of which more is better, whatever the metric; what is undefined is below all.
    pub fn gain(&self) -> f64 {
        let score = self.score();
        match self.metric().more_is_better() {
            _ if score.is_nan() => f64::NEG_INFINITY,
            true => score,
            false => -score,
        }
    }

    /// The mean loss: cross-entropy of classes and labels, RMSE of numbers.
    pub(crate) fn loss(&self) -> f64 {
        self.cross_entropy.unwrap_or_else(|| self.score())
    }
}

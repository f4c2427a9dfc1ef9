//! One number per metric, and the metrics of single classes.

use serde::{Deserialize, Serialize};

use crate::calibration::Reliability;
use crate::classification::confusion::Confusion;
use crate::classification::counts::{Averages, Counts, defined_mean};
use crate::classification::ranking::Ranking;
use crate::classification::rows::RowScores;
use crate::nullable;

/// Metrics of a classifier, one number each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of rows N.
    pub rows: u64,
    /// The fraction of rows predicted right; of equal scores the class of the smaller index is predicted.
    pub accuracy: f64,
    /// Mean recall over the classes that occur among the labels.
    pub balanced_accuracy: f64,
    /// Means over all C classes, in which undefined values count 0 (scikit-learn's `zero_division=0`).
    pub macro_average: Averages,
    /// Of all decisions together: each is the accuracy.
    pub micro_average: Averages,
    /// Means weighted by the classes' numbers of rows.
    pub weighted_average: Averages,
    /// Mean F1 over the classes that occur among labels or predictions, which is what scikit-learn's macro
    /// average is unless it is told the classes.
    pub f1_macro_present: f64,
    /// Mean of the classes' areas under the ROC curve (one against the rest), where defined.
    #[serde(with = "nullable")]
    pub auroc_macro: f64,
    /// The same, weighted by the classes' numbers of rows.
    #[serde(with = "nullable")]
    pub auroc_weighted: f64,
    /// Mean of the classes' average precisions, where defined (mAP).
    #[serde(with = "nullable")]
    pub average_precision_macro: f64,
    /// Mean of -log p(label) in nats; infinite (written as null) where a label has probability 0.
    #[serde(with = "nullable")]
    pub log_loss: f64,
    /// The same with probabilities clipped to [2.2e-16, 1 - 2.2e-16], as scikit-learn clips them.
    pub log_loss_clipped: f64,
    /// Mean of sum_c (p_c - [c = label])^2, from 0 to 2 (Brier 1950).
    pub brier: f64,
    /// Expected calibration error over 15 bins (Guo et al. 2017).
    pub ece: f64,
    /// Largest calibration error of a bin.
    pub mce: f64,
    /// Cohen's kappa; NaN where labels and predictions are all one and the same class.
    #[serde(with = "nullable")]
    pub kappa: f64,
    /// Matthews' correlation of labels and predictions (Gorodkin 2004), 0 where either is constant.
    pub matthews: f64,
}

impl Summary {
    pub(crate) fn of(
        confusion: &Confusion,
        classes: &[ClassScores],
        rows: &RowScores,
        reliability: &Reliability,
    ) -> Self {
        let aurocs = classes.iter().map(|class| (class.auroc, 1.0));
        let weighted = classes.iter().map(|class| (class.auroc, class.support as f64));
        let precisions = classes.iter().map(|class| (class.average_precision, 1.0));
        Self {
            rows: confusion.rows(),
            accuracy: confusion.accuracy(),
            balanced_accuracy: confusion.balanced_accuracy(),
            macro_average: confusion.macro_average(),
            micro_average: confusion.micro_average(),
            weighted_average: confusion.weighted_average(),
            f1_macro_present: confusion.f1_macro_present(),
            auroc_macro: defined_mean(aurocs),
            auroc_weighted: defined_mean(weighted),
            average_precision_macro: defined_mean(precisions),
            log_loss: rows.log_loss,
            log_loss_clipped: rows.log_loss_clipped,
            brier: rows.brier,
            ece: reliability.ece,
            mce: reliability.mce,
            kappa: confusion.kappa(),
            matthews: confusion.matthews(),
        }
    }

    /// Half the Brier score: with two classes, the mean squared error of one probability.
    pub fn half_brier(&self) -> f64 {
        self.brier / 2.0
    }
}

/// Metrics of one class, or one label, against all others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Rows of this class.
    pub support: u64,
    /// Rows predicted as this class.
    pub predicted: u64,
    /// Rows of this class among those predicted so; NaN when none is.
    #[serde(with = "nullable")]
    pub precision: f64,
    /// Rows predicted so among those of this class; NaN when there is none.
    #[serde(with = "nullable")]
    pub recall: f64,
    /// 2 TP / (2 TP + FP + FN); NaN when the class is in neither labels nor predictions.
    #[serde(with = "nullable")]
    pub f1: f64,
    /// Area under the ROC curve; NaN when all rows or none are of this class.
    #[serde(with = "nullable")]
    pub auroc: f64,
    /// Average precision; NaN when no row is of this class.
    #[serde(with = "nullable")]
    pub average_precision: f64,
}

impl ClassScores {
    pub(crate) fn of(counts: &Counts, ranking: Ranking) -> Self {
        Self {
            support: counts.support,
            predicted: counts.predicted,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            auroc: ranking.auroc,
            average_precision: ranking.average_precision,
        }
    }
}

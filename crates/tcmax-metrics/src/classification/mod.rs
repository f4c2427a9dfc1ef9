//! Metrics of one class per row.
//!
//! Definitions are those of scikit-learn, and where it has two, the module says which. What is undefined is
//! NaN, and written as null.

mod confusion;
mod counts;
mod ranking;
mod rows;
mod summary;
mod top_k;

use serde::{Deserialize, Serialize};

use crate::calibration::Reliability;
use crate::error::Result;
use crate::predictions::Predictions;

pub use confusion::{Confusion, ConfusionCell};
pub use counts::Averages;
pub(crate) use counts::{Counts, defined_mean};
pub use ranking::Ranking;
pub use summary::{ClassScores, Summary};
pub use top_k::{Ties, top_k};

use rows::RowScores;

/// Bins of the calibration error.
pub const CALIBRATION_BINS: usize = 15;

/// The largest k of [`Classification::top_k`].
pub const LARGEST_K: usize = 10;

/// Everything that is measured of a classifier on labelled rows.
///
/// ```
/// use tcmax_metrics::Classification;
///
/// let logits = [2.0, 0.0, 0.0, 1.0, 3.0, 1.0]; // three rows of two classes
/// let metrics = Classification::of(&logits, &[0, 1, 1], 2)?;
/// assert_eq!(metrics.summary.accuracy, 2.0 / 3.0);
/// assert_eq!(metrics.confusion.count(1, 0), 1); // the last row: class 1, taken for class 0
/// assert_eq!(metrics.classes[1].support, 2);
/// # Ok::<(), tcmax_metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// One number per metric.
    pub summary: Summary,
    /// Accuracy among the k classes of the largest scores, at index k - 1, for k up to C or 10; of equal
    /// scores the class of the smaller index comes first.
    pub top_k: Vec<f64>,
    /// Metrics of each class against all others (C,).
    pub classes: Vec<ClassScores>,
    /// How often which class was taken for which.
    pub confusion: Confusion,
    /// Confidence against accuracy, in 15 bins.
    pub reliability: Reliability,
}

impl Classification {
    /// Of logits (N, C), row by row, and labels (N,). Ranks are those of the probabilities, so that classes
    /// whose probabilities round to the same number tie.
    ///
    /// Takes O(N C log N) time, and O(N + C) memory per thread beside the result.
    ///
    /// # Errors
    /// As [`Predictions::from_logits`].
    pub fn of(logits: &[f64], labels: &[u32], classes: usize) -> Result<Self> {
        Self::of_predictions(&Predictions::from_logits(logits, labels, classes)?)
    }

    /// Of probabilities (N, C), row by row, and labels (N,).
    ///
    /// # Errors
    /// As [`Predictions::from_probabilities`].
    pub fn of_probabilities(probabilities: &[f64], labels: &[u32], classes: usize) -> Result<Self> {
        Self::of_predictions(&Predictions::from_probabilities(probabilities, labels, classes)?)
    }

    /// Of checked predictions.
    ///
    /// # Errors
    /// None at present: checked predictions have every metric.
    pub fn of_predictions(predictions: &Predictions<'_>) -> Result<Self> {
        let rows = RowScores::of(predictions);
        let (labels, classes) = (predictions.labels(), predictions.classes());
        let confusion = Confusion::of(&rows.predicted, labels, classes)?;
        let correct: Vec<bool> = rows.ranks.iter().map(|rank| *rank == 0).collect();
        let reliability = Reliability::of(&rows.confidences, &correct, CALIBRATION_BINS)?;
        let rankings = ranking::one_against_rest(predictions);
        let counts = confusion.counts();
        let scores = counts.iter().zip(rankings);
        let scores: Vec<_> =
            scores.map(|(counts, ranking)| ClassScores::of(counts, ranking)).collect();
        let top_k = top_k::from_ranks(&rows.ranks, classes.min(LARGEST_K));
        let summary = Summary::of(&confusion, &scores, &rows, &reliability);
        Ok(Self { summary, top_k, classes: scores, confusion, reliability })
    }
}

//! Metrics of rows that may have any number of L labels, each decided by itself.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::classification::{Averages, ClassScores, Counts, Ranking, defined_mean};
use crate::error::{Error, Result, require_finite, require_rows};
use crate::nullable;

/// Everything that is measured of a multi-label classifier. Definitions are those of scikit-learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiLabel {
    /// The number of rows N.
    pub rows: u64,
    /// The fraction of rows of which every label is decided right.
    pub subset_accuracy: f64,
    /// The fraction of the N L decisions that is wrong.
    pub hamming_loss: f64,
    /// Means over all L labels, in which undefined values count 0.
    pub macro_average: Averages,
    /// Of all decisions together.
    pub micro_average: Averages,
    /// Mean over the rows of each row's F1; a row without labels, true or predicted, counts 0.
    pub f1_samples: f64,
    /// Mean area under the ROC curve over the labels for which it is defined.
    #[serde(with = "nullable")]
    pub auroc_macro: f64,
    /// Mean average precision (mAP) over the labels that some row has.
    #[serde(with = "nullable")]
    pub average_precision_macro: f64,
    /// Average precision of all N L scores together.
    #[serde(with = "nullable")]
    pub average_precision_micro: f64,
    /// Mean over the rows of the average precision within a row; rows without labels count 0.
    pub average_precision_samples: f64,
    /// The same, but rows without labels count 1 (label ranking average precision).
    pub label_ranking_average_precision: f64,
    /// Mean binary cross-entropy of the N L decisions, in nats; NaN for scores that are not logits.
    #[serde(with = "nullable")]
    pub log_loss: f64,
    /// Metrics of each label (L,), the rows that have it against the others.
    pub labels: Vec<ClassScores>,
}

impl MultiLabel {
    /// Of logits (N, L), row by row, whose sigmoids are the labels' probabilities, and the labels that each
    /// row has (N, L). A label is predicted from a probability of one half on.
    ///
    /// ```
    /// use tcmax_metrics::MultiLabel;
    ///
    /// let logits = [1.0, -2.0, 3.0, 0.5]; // two rows of two labels
    /// let metrics = MultiLabel::of_logits(&logits, &[true, false, true, false], 2)?;
    /// assert_eq!((metrics.subset_accuracy, metrics.hamming_loss), (0.5, 0.25));
    /// assert_eq!(metrics.labels[0].f1, 1.0);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`MultiLabel::of_scores`].
    pub fn of_logits(logits: &[f64], has: &[bool], labels: usize) -> Result<Self> {
        let mut metrics = Self::of_scores(logits, has, labels, 0.0)?;
        let losses = logits.iter().zip(has).map(|(logit, has)| binary_cross_entropy(*logit, *has));
        metrics.log_loss = losses.sum::<f64>() / has.len() as f64;
        Ok(metrics)
    }

    /// Of scores (N, L), row by row, say probabilities; a label is predicted where its score is at least
    /// `threshold`. The log loss is left undefined.
    ///
    /// # Errors
    /// Without rows or labels, when the lengths differ or are not rows of L, and when a score or the threshold
    /// is not finite.
    pub fn of_scores(scores: &[f64], has: &[bool], labels: usize, threshold: f64) -> Result<Self> {
        if labels == 0 {
            return Err(Error::Empty { what: "the list of labels", unit: "label" });
        }
        if has.is_empty() {
            return Err(Error::Empty { what: "the list of rows", unit: "row" });
        }
        let rows = has.len() / labels;
        require_rows("labels of rows", has.len(), rows.max(1), labels)?;
        require_rows("scores", scores.len(), rows, labels)?;
        require_finite("score", scores, labels)?;
        if !threshold.is_finite() {
            let wanted = "a finite number";
            return Err(Error::BadParameter { name: "the threshold", value: threshold, wanted });
        }
        Ok(measure(scores, has, labels, threshold))
    }
}

/// log(1 + exp(-x)) for a label that is there, log(1 + exp(x)) for one that is not.
fn binary_cross_entropy(logit: f64, has: bool) -> f64 {
    let margin = if has { logit } else { -logit };
    (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
}

fn measure(scores: &[f64], has: &[bool], labels: usize, threshold: f64) -> MultiLabel {
    let counts = count(scores, has, labels, threshold);
    let rankings: Vec<Ranking> = (0..labels)
        .into_par_iter()
        .map(|label| {
            let column = scores.iter().zip(has).skip(label).step_by(labels);
            rank(&column)
        })
        .collect();
    let by_row: Vec<RowScores> = scores
        .par_chunks_exact(labels)
        .zip(has.par_chunks_exact(labels))
        .map(|(scores, has)| RowScores::of(scores, has, threshold))
        .collect();
    let rows = by_row.len() as f64;
    let mean = |value: &dyn Fn(&RowScores) -> f64| by_row.iter().map(value).sum::<f64>() / rows;
    let or = |value: f64, other: f64| if value.is_nan() { other } else { value };
    let of_labels = counts.iter().zip(rankings);
    let labels: Vec<ClassScores> =
        of_labels.map(|(counts, ranking)| ClassScores::of(counts, ranking)).collect();
    let defined =
        |value: fn(&ClassScores) -> f64| defined_mean(labels.iter().map(|l| (value(l), 1.0)));
    MultiLabel {
        rows: by_row.len() as u64,
        subset_accuracy: mean(&|row| f64::from(u8::from(row.wrong == 0))),
        hamming_loss: by_row.iter().map(|row| row.wrong).sum::<u64>() as f64 / has.len() as f64,
        macro_average: Averages::unweighted(&counts),
        micro_average: Averages::of_decisions(&counts),
        f1_samples: mean(&|row| or(row.f1, 0.0)),
        auroc_macro: defined(|label| label.auroc),
        average_precision_macro: defined(|label| label.average_precision),
        average_precision_micro: rank(&scores.iter().zip(has)).average_precision,
        average_precision_samples: mean(&|row| or(row.average_precision, 0.0)),
        label_ranking_average_precision: mean(&|row| or(row.average_precision, 1.0)),
        log_loss: f64::NAN,
        labels,
    }
}

fn count(scores: &[f64], has: &[bool], labels: usize, threshold: f64) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); labels];
    for (index, (score, has)) in scores.iter().zip(has).enumerate() {
        counts[index % labels].add(*has, *score >= threshold);
    }
    counts
}

fn rank<'a>(pairs: &(impl Iterator<Item = (&'a f64, &'a bool)> + Clone)) -> Ranking {
    let group = |wanted: bool| {
        pairs.clone().filter(move |(_, has)| **has == wanted).map(|(score, _)| *score)
    };
    Ranking::of_groups(group(true), group(false))
}

/// What is measured of one row.
struct RowScores {
    /// Wrong decisions.
    wrong: u64,
    /// NaN without labels, true or predicted.
    f1: f64,
    /// NaN without labels.
    average_precision: f64,
}

impl RowScores {
    fn of(scores: &[f64], has: &[bool], threshold: f64) -> Self {
        let (mut counts, mut wrong) = (Counts::default(), 0);
        for (score, has) in scores.iter().zip(has) {
            counts.add(*has, *score >= threshold);
            wrong += u64::from(*has != (*score >= threshold));
        }
        let average_precision = rank(&scores.iter().zip(has)).average_precision;
        Self { wrong, f1: counts.f1(), average_precision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_of_large_logits_is_exact() {
        assert_eq!(binary_cross_entropy(0.0, true), 2f64.ln());
        assert_eq!(binary_cross_entropy(-800.0, true), 800.0);
        assert_eq!(binary_cross_entropy(40.0, true), (-40f64).exp());
        assert_eq!(binary_cross_entropy(-1e308, false), 0.0);
    }

    #[test]
    fn bad_input_is_named() {
        let error = MultiLabel::of_logits(&[0.0, f64::INFINITY], &[true, true], 1).unwrap_err();
        let wanted = "row 1, column 0: the score is inf; wanted a finite number";
        assert_eq!(error.to_string(), wanted);
        let error = MultiLabel::of_logits(&[0.0; 4], &[true; 3], 2).unwrap_err().to_string();
        assert_eq!(error, "labels of rows: got 3 values, wanted 2 (1 rows of 2)");
        assert!(MultiLabel::of_logits(&[], &[], 2).is_err());
        assert!(MultiLabel::of_scores(&[0.0], &[true], 1, f64::NAN).is_err());
    }
}

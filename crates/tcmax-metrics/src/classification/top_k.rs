//! Whether the label is among the k largest scores.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::predictions::Predictions;

/// Which of equal scores counts as larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// The class of the smaller index, as the prediction is chosen.
    SmallerFirst,
    /// The class of the larger index, as scikit-learn's `top_k_accuracy_score` has it.
    LargerFirst,
}

/// The fraction of rows whose label is among the `k` classes of the largest scores.
///
/// ```
/// use tcmax_metrics::{Predictions, Ties, top_k};
///
/// let tied = Predictions::from_logits(&[1.0, 1.0, 0.0], &[1], 3)?;
/// assert_eq!(top_k(&tied, 1, Ties::SmallerFirst)?, 0.0);
/// assert_eq!(top_k(&tied, 1, Ties::LargerFirst)?, 1.0);
/// assert_eq!(top_k(&tied, 2, Ties::SmallerFirst)?, 1.0);
/// # Ok::<(), tcmax_metrics::Error>(())
/// ```
///
/// # Errors
/// When `k` is 0; more than C counts as C.
pub fn top_k(predictions: &Predictions<'_>, k: usize, ties: Ties) -> Result<f64> {
    if k == 0 {
        return Err(Error::BadParameter { name: "k", value: 0.0, wanted: "at least 1" });
    }
    let rows = predictions.scores().par_chunks_exact(predictions.classes());
    let ranks = rows.zip(predictions.labels()).map(|(row, label)| rank(row, *label as usize, ties));
    let right = ranks.filter(|rank| *rank < k).count();
    Ok(right as f64 / predictions.rows() as f64)
}

/// How many classes come before the label.
fn rank(row: &[f64], label: usize, ties: Ties) -> usize {
    let own = row[label];
    let is_before = |(class, score): &(usize, &f64)| {
        let wins_tie = match ties {
            Ties::SmallerFirst => *class < label,
            Ties::LargerFirst => *class > label,
        };
        **score > own || (**score == own && wins_tie)
    };
    row.iter().enumerate().filter(is_before).count()
}

/// The fractions for k = 1, ..., `largest`, from the number of classes before each label.
pub(crate) fn from_ranks(ranks: &[u32], largest: usize) -> Vec<f64> {
    let mut counts = vec![0u64; largest];
    for rank in ranks {
        if let Some(count) = counts.get_mut(*rank as usize) {
            *count += 1;
        }
    }
    let mut right = 0;
    let fraction = |count: u64| {
        right += count;
        right as f64 / ranks.len() as f64
    };
    counts.into_iter().map(fraction).collect()
}

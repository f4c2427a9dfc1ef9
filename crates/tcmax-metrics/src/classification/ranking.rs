//! Area under the ROC curve and average precision.
//!
//! Both depend on the negatives only through how many of them lie between two positives. The positives are
//! sorted, and each negative is counted where a binary search finds it: O(N log P) without sorting the N
//! scores, and exact, since all counts are whole numbers.

use rayon::prelude::*;

use crate::error::{Error, Result, require_finite, require_length};
use crate::predictions::Predictions;

/// How well a score ranks positives before negatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranking {
    /// Probability that a positive has a larger score than a negative, where equal scores count half; NaN
    /// without positives or without negatives.
    pub auroc: f64,
    /// sum_n (R_n - R_(n-1)) P_n over the distinct scores, largest first, with recall R and precision P;
    /// NaN without positives.
    pub average_precision: f64,
}

impl Ranking {
    /// Of scores (N,) and whether each belongs to a positive.
    ///
    /// ```
    /// use tcmax_metrics::Ranking;
    ///
    /// let ranking = Ranking::of(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false])?;
    /// assert_eq!(ranking.auroc, 0.875); // three of four pairs are right, and one ties
    /// assert_eq!(ranking.average_precision, 0.5 * 1.0 + 0.5 * 2.0 / 3.0);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without scores, when one is not finite, or when the lengths differ.
    pub fn of(scores: &[f64], positive: &[bool]) -> Result<Self> {
        if scores.is_empty() {
            return Err(Error::Empty { what: "the list of scores", unit: "row" });
        }
        require_length("positive", positive.len(), scores.len(), || "one per score".to_owned())?;
        require_finite("score", scores, 1)?;
        let of = |wanted: bool| {
            let pairs = scores.iter().zip(positive).filter(move |(_, is)| **is == wanted);
            pairs.map(|(score, _)| *score)
        };
        Ok(Self::of_groups(of(true), of(false)))
    }

    /// Of the scores, none NaN, of positives and negatives.
    pub(crate) fn of_groups(
        positives: impl Iterator<Item = f64>,
        negatives: impl Iterator<Item = f64>,
    ) -> Self {
        let positives = Positives::of(positives.collect());
        let mut slots = vec![0u64; positives.slots()];
        negatives.for_each(|score| slots[positives.slot(score)] += 1);
        positives.ranking(&slots)
    }
}

/// The distinct scores of positives, ascending, and how many positives have each.
struct Positives {
    scores: Vec<f64>,
    counts: Vec<u64>,
}

impl Positives {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_unstable_by(f64::total_cmp);
        let (mut scores, mut counts) = (Vec::new(), Vec::new());
        // By `==`, for which 0 and -0 are one score.
        for tied in all.chunk_by(|a, b| a == b) {
            scores.push(tied[0]);
            counts.push(tied.len() as u64);
        }
        Self { scores, counts }
    }

    /// Where negatives can lie: below the first score, at it, between it and the second, ...
    fn slots(&self) -> usize {
        2 * self.scores.len() + 1
    }

    fn slot(&self, score: f64) -> usize {
        let below = self.scores.partition_point(|positive| *positive < score);
        let ties = self.scores.get(below).is_some_and(|positive| *positive == score);
        2 * below + usize::from(ties)
    }

    /// From the number of negatives in each slot.
    fn ranking(&self, slots: &[u64]) -> Ranking {
        let positives: u64 = self.counts.iter().sum();
        let negatives: u64 = slots.iter().sum();
        if positives == 0 {
            return Ranking { auroc: f64::NAN, average_precision: f64::NAN };
        }
        // Twice the pairs in the right order, and in halves those that tie.
        let (mut pairs, mut below) = (0u128, 0u64);
        for (count, slots) in self.counts.iter().zip(slots.chunks(2)) {
            let (between, tied) = (slots[0], slots[1]);
            below += between;
            pairs += u128::from(*count) * (2 * u128::from(below) + u128::from(tied));
            below += tied;
        }
        let all = 2 * u128::from(positives) * u128::from(negatives);
        let auroc = if negatives == 0 { f64::NAN } else { pairs as f64 / all as f64 };
        Ranking { auroc, average_precision: self.average_precision(slots, positives) }
    }

    fn average_precision(&self, slots: &[u64], positives: u64) -> f64 {
        let (mut right, mut wrong, mut sum) = (0, 0, 0.0);
        for (index, count) in self.counts.iter().enumerate().rev() {
            right += count;
            wrong += slots[2 * index + 1] + slots[2 * index + 2];
            let precision = right as f64 / (right + wrong) as f64;
            sum += *count as f64 / positives as f64 * precision;
        }
        sum
    }
}

/// The ranking of each class by its probabilities, against all others (C,).
pub(crate) fn one_against_rest(predictions: &Predictions<'_>) -> Vec<Ranking> {
    let positives = positives_by_class(predictions);
    let mut starts = vec![0];
    for class in &positives {
        starts.push(starts[starts.len() - 1] + class.slots());
    }
    let slots = count_negatives(predictions, &positives, &starts);
    let of_class =
        |class: usize| positives[class].ranking(&slots[starts[class]..starts[class + 1]]);
    (0..positives.len()).map(of_class).collect()
}

fn positives_by_class(predictions: &Predictions<'_>) -> Vec<Positives> {
    let classes = predictions.classes();
    let rows = predictions.scores().par_chunks_exact(classes).zip(predictions.labels());
    let probabilities: Vec<f64> = rows
        .map(|(row, label)| predictions.normaliser(row).probability(row[*label as usize]))
        .collect();
    let mut by_class = vec![Vec::new(); classes];
    for (probability, label) in probabilities.into_iter().zip(predictions.labels()) {
        by_class[*label as usize].push(probability);
    }
    by_class.into_iter().map(Positives::of).collect()
}

/// Counts the negatives of all classes in one pass over the rows. Counts are whole numbers, so that the
/// order of addition does not matter.
fn count_negatives(
    predictions: &Predictions<'_>,
    positives: &[Positives],
    starts: &[usize],
) -> Vec<u64> {
    let classes = predictions.classes();
    let all = starts[starts.len() - 1];
    // One chunk per thread: each has counts of its own.
    let chunk = predictions.rows().div_ceil(rayon::current_num_threads());
    let chunks = predictions.scores().par_chunks(chunk * classes);
    let counted = chunks.zip(predictions.labels().par_chunks(chunk)).map(|(scores, labels)| {
        let mut slots = vec![0u64; all];
        for (row, label) in scores.chunks_exact(classes).zip(labels) {
            let normaliser = predictions.normaliser(row);
            for (class, score) in row.iter().enumerate() {
                if class != *label as usize {
                    let slot = positives[class].slot(normaliser.probability(*score));
                    slots[starts[class] + slot] += 1;
                }
            }
        }
        slots
    });
    let added = counted.reduce_with(|mut one, other| {
        one.iter_mut().zip(other).for_each(|(one, other)| *one += other);
        one
    });
    added.unwrap_or_else(|| vec![0; all])
}

//! A model on a whole split: accuracy, cross-entropy, confusion and total correlation.
//!
//! An example that lacks a modality is predicted from the others, the absent one averaged out as
//! `tcmax predict --without` does it; what belongs to a single modality is measured on the examples that
//! have it, and what belongs to all together on those that have all.

use candle_core::D;
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::{Bound, Reference, Tuples};
use tcmax_losses::cross_entropy;
use tcmax_ops::{Seed, only_reading, to_scalar_f64, wide};

use crate::encoded::{Classifier, EncodedSplit, MOST_TUPLES};
use crate::evaluate_targets::evaluate_targets;
use crate::results::Evaluation;
use crate::{Model, Result, Truth};

/// Evaluates a classifier on a split.
///
/// `modalities` is the number of modalities of the data set; those the model does not use get no
/// accuracy. The total correlation is bounded over the whole split at once, not batch by batch: over
/// all N^M tuples for additive heads, so that its cap is M log N + log C, and over as many as
/// [`MOST_TUPLES`] for others.
///
/// # Errors
/// When the split does not fit the model.
pub fn evaluate(
    classifier: &Classifier<'_>,
    split: &EncodedSplit,
    modalities: usize,
) -> Result<Evaluation> {
    let labels = match &split.truth {
        Truth::Classes(labels) => labels,
        Truth::Other(targets) => return evaluate_targets(classifier, split, targets, modalities),
    };
    let model = classifier.model;
    // In f64, so that sums over a split lose nothing.
    let logits = wide(&classifier.logits(&split.features, &split.present)?)?;
    let truth = split.truth.classes()?;
    let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let mut confusion = vec![vec![0; labels.classes()]; labels.classes()];
    for (&y, &guess) in truth.iter().zip(&predicted) {
        confusion[y as usize][guess as usize] += 1;
    }
    let total_correlation = match split.complete(2)? {
        Some(complete) => total_correlation(model, &complete)?,
        None => None,
    };
    Ok(Evaluation {
        examples: labels.len(),
        accuracy: accuracy(&predicted, &truth),
        balanced_accuracy: balanced_accuracy(&confusion),
        majority_rate: majority_rate(&confusion),
        modality_accuracy: modality_accuracy(model, split, modalities)?,
        cross_entropy: Some(to_scalar_f64(&cross_entropy(&logits, labels)?)?),
        total_correlation,
        confusion,
        targets: None,
    })
}

/// Accuracy of each modality's own logits on the examples that have it; none of other tasks than classes.
pub(crate) fn modality_accuracy(
    model: &Model,
    split: &EncodedSplit,
    modalities: usize,
) -> Result<Vec<Option<f64>>> {
    let mut found = vec![None; modalities];
    if split.truth.other().is_some() {
        return Ok(found);
    }
    let truth = split.truth.classes()?;
    let own = only_reading(|| model.head().modality_logits(&split.features))?;
    for ((position, own), &m) in own.iter().enumerate().zip(model.used_modalities()) {
        let predicted = wide(&own.detach())?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let has = split.present.of(position);
        let kept = |values: &[u32]| -> Vec<u32> {
            values.iter().zip(has).filter(|(_, has)| **has).map(|(value, _)| *value).collect()
        };
        let truth = kept(&truth);
        found[m] = (!truth.is_empty()).then(|| accuracy(&kept(&predicted), &truth));
    }
    Ok(found)
}

fn total_correlation(model: &Model, split: &EncodedSplit) -> Result<Option<f64>> {
    let (head, Truth::Classes(labels)) = (model.head(), &split.truth) else { return Ok(None) };
    if head.is_additive() {
        // In f64, so that sums over a split lose nothing.
        let exact = head.parts(&split.features)?.into_iter().map(|term| wide(&term.detach()));
        let terms = exact.collect::<candle_core::Result<Vec<_>>>()?;
        let critic = TermsCritic::new(terms.len(), labels.classes());
        let bound = Bound::new(&critic, &terms, labels, Reference::all())?;
        return Ok(Some(bound.total_correlation()?));
    }
    let (examples, modalities) = (labels.len(), split.features.len());
    let all = examples.checked_pow(modalities as u32).is_some_and(|all| all <= MOST_TUPLES);
    let reference = if all {
        Reference::all()
    } else {
        let seed = Seed::new(0).stream("evaluation");
        let count = (MOST_TUPLES / examples).max(1);
        Reference::of(Tuples::permutations(count, examples, modalities, seed)?)
    };
    Ok(Some(Bound::new(head, &split.features, labels, reference)?.total_correlation()?))
}

/// The fraction of guesses that are right.
pub(crate) fn accuracy(predicted: &[u32], truth: &[u32]) -> f64 {
    let right = predicted.iter().zip(truth).filter(|(guess, y)| guess == y).count();
    right as f64 / truth.len() as f64
}

/// The mean recall of the classes that occur.
fn balanced_accuracy(confusion: &[Vec<u32>]) -> f64 {
    let recall = |(class, row): (usize, &Vec<u32>)| {
        let total = row.iter().sum::<u32>();
        (total > 0).then(|| f64::from(row[class]) / f64::from(total))
    };
    let recalls: Vec<f64> = confusion.iter().enumerate().filter_map(recall).collect();
    recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
}

/// The fraction of examples in the most frequent class.
fn majority_rate(confusion: &[Vec<u32>]) -> f64 {
    let counts: Vec<u32> = confusion.iter().map(|row| row.iter().sum()).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    f64::from(most) / f64::from(counts.iter().sum::<u32>().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unbalanced_split_is_seen_through() {
        // 97 of one class, 3 of the other, and always the first answered.
        let confusion = [vec![97, 0, 0], vec![3, 0, 0], vec![0, 0, 0]];
        assert!((majority_rate(&confusion) - 0.97).abs() < 1e-12);
        assert!((balanced_accuracy(&confusion) - 0.5).abs() < 1e-12);
    }
}

//! A model on a whole split: accuracy, cross-entropy, confusion and total correlation.

use candle_core::{D, DType, Tensor};
use tcmax_data::Loader;
use tcmax_estimators::{BatchBound, Labels};
use tcmax_losses::cross_entropy;
use tcmax_ops::Seed;

use crate::results::Evaluation;
use crate::{Model, Result};

/// Evaluates `model` on every example of `loader` (which must neither shuffle nor drop).
///
/// `modalities` is the number of modalities of the data set; those the model does not use get no
/// accuracy. The total correlation is bounded over all N^M tuples of the split at once, not batch
/// by batch, so its cap is M log N + log C.
///
/// # Errors
/// When the data cannot be read or do not fit the model.
pub fn evaluate(model: &Model, loader: &Loader, modalities: usize) -> Result<Evaluation> {
    let outputs = outputs(model, loader)?;
    let Outputs { logits, terms, labels } = &outputs;
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let mut modality_accuracy = vec![None; modalities];
    for (own, &m) in terms.iter().zip(model.used_modalities()) {
        let predicted = own.argmax(D::Minus1)?.to_vec1::<u32>()?;
        modality_accuracy[m] = Some(accuracy(&predicted, &truth));
    }
    let mut confusion = vec![vec![0; model.classes()]; model.classes()];
    for (&y, &guess) in truth.iter().zip(&predicted) {
        confusion[y as usize][guess as usize] += 1;
    }
    Ok(Evaluation {
        examples: labels.len(),
        accuracy: accuracy(&predicted, &truth),
        modality_accuracy,
        cross_entropy: cross_entropy(logits, labels)?.to_scalar::<f64>()?,
        total_correlation: Some(BatchBound::new(terms, labels)?.total_correlation()?),
        confusion,
    })
}

/// Logits of a whole split, in f64 so that sums over it lose nothing.
struct Outputs {
    logits: Tensor,
    terms: Vec<Tensor>,
    labels: Labels,
}

fn outputs(model: &Model, loader: &Loader) -> Result<Outputs> {
    let mut logits = Vec::new();
    let mut terms: Vec<Vec<Tensor>> = vec![Vec::new(); model.used_modalities().len()];
    let mut labels: Vec<u32> = Vec::new();
    // Nothing is drawn from this seed: evaluation neither shuffles nor augments.
    for batch in loader.epoch(Seed::new(0).stream("evaluation")) {
        let batch = batch?;
        let features: Vec<Tensor> =
            model.features(&batch.inputs, false)?.iter().map(Tensor::detach).collect();
        logits.push(model.head().scores(&features)?.detach());
        for (all, own) in terms.iter_mut().zip(model.head().modality_logits(&features)?) {
            all.push(own.detach());
        }
        labels.extend(batch.labels.to_vec1::<u32>()?);
    }
    let join = |parts: &[Tensor]| Tensor::cat(parts, 0)?.to_dtype(DType::F64);
    let logits = join(&logits)?;
    Ok(Outputs {
        labels: Labels::new(&labels, model.classes(), logits.device())?,
        terms: terms.iter().map(|parts| join(parts)).collect::<candle_core::Result<_>>()?,
        logits,
    })
}

fn accuracy(predicted: &[u32], truth: &[u32]) -> f64 {
    let right = predicted.iter().zip(truth).filter(|(guess, y)| guess == y).count();
    right as f64 / truth.len() as f64
}

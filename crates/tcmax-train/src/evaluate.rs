//! A model on a whole split: accuracy, cross-entropy, confusion and total correlation.

use candle_core::{D, DType, Tensor};
use tcmax_data::Loader;
use tcmax_estimators::{BatchBound, Labels, Product, Tuples, log_mean_exp_chunked};
use tcmax_losses::{Method, cross_entropy};
use tcmax_ops::Seed;

use crate::results::Evaluation;
use crate::{Model, Result};

/// Evaluates `model`, predicting as `method` does, on every example of `loader` (which must neither
/// shuffle nor drop).
///
/// `modalities` is the number of modalities of the data set; those the model does not use get no
/// accuracy. The total correlation is bounded over the whole split at once, not batch by batch: over
/// all N^M tuples for additive heads, so that its cap is M log N + log C, and over as many as
/// [`MOST_TUPLES`] for others.
///
/// # Errors
/// When the data cannot be read or do not fit the model.
pub fn evaluate(
    model: &Model,
    method: &dyn Method,
    loader: &Loader,
    modalities: usize,
) -> Result<Evaluation> {
    let outputs = Outputs::of(model, method, loader)?;
    let Outputs { logits, own, labels, .. } = &outputs;
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let mut modality_accuracy = vec![None; modalities];
    for (own, &m) in own.iter().zip(model.used_modalities()) {
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
        total_correlation: Some(outputs.total_correlation(model)?),
        confusion,
    })
}

/// Tuples of a split that a head that is not additive is evaluated on.
pub const MOST_TUPLES: usize = 1 << 17;

/// Tuples in memory at a time.
const CHUNK: usize = 2048;

/// What a model makes of a whole split; logits in f64, so that sums over it lose nothing.
struct Outputs {
    features: Vec<Tensor>,
    logits: Tensor,
    own: Vec<Tensor>,
    labels: Labels,
}

impl Outputs {
    fn of(model: &Model, method: &dyn Method, loader: &Loader) -> Result<Self> {
        let (features, labels) = features(model, loader)?;
        let logits = method.predict(model.head(), &features)?.detach().to_dtype(DType::F64)?;
        let own = model.head().modality_logits(&features)?;
        let own = own.iter().map(|own| own.detach().to_dtype(DType::F64));
        Ok(Self { own: own.collect::<candle_core::Result<_>>()?, features, logits, labels })
    }

    fn total_correlation(&self, model: &Model) -> Result<f64> {
        let head = model.head();
        if let Some(terms) = head.additive_terms(&self.features)? {
            let exact = terms.iter().map(|term| term.detach().to_dtype(DType::F64));
            let terms = exact.collect::<candle_core::Result<Vec<_>>>()?;
            return Ok(BatchBound::new(&terms, &self.labels)?.total_correlation()?);
        }
        let (examples, modalities) = (self.labels.len(), self.features.len());
        let all = examples.checked_pow(modalities as u32).is_some_and(|all| all <= MOST_TUPLES);
        let product =
            if all { Product::All } else { Product::Permutations((MOST_TUPLES / examples).max(1)) };
        let seed = Seed::new(0).stream("evaluation");
        let tuples = Tuples::new(product, examples, modalities, seed)?;
        let scores = head.scores(&self.features)?.to_dtype(DType::F64)?;
        let joint = self.labels.pick(&scores)?.mean_all()?.to_scalar::<f64>()?;
        let product = log_mean_exp_chunked(head, &self.features, &tuples, CHUNK)?;
        Ok(joint - product - (model.classes() as f64).ln() + self.labels.entropy())
    }
}

/// Features (N, D_m) in evaluation mode, and labels, of every example of `loader`.
///
/// # Errors
/// When the data cannot be read or do not fit the model.
pub fn features(model: &Model, loader: &Loader) -> Result<(Vec<Tensor>, Labels)> {
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); model.used_modalities().len()];
    let mut labels: Vec<u32> = Vec::new();
    // Nothing is drawn from this seed: evaluation neither shuffles nor augments.
    for batch in loader.epoch(Seed::new(0).stream("evaluation")) {
        let batch = batch?;
        for (all, own) in parts.iter_mut().zip(model.features(&batch, false)?) {
            all.push(own.detach());
        }
        labels.extend(batch.labels.to_vec1::<u32>()?);
    }
    let features = parts.iter().map(|parts| Tensor::cat(parts, 0));
    let features = features.collect::<candle_core::Result<Vec<_>>>()?;
    let labels = Labels::new(&labels, model.classes(), model.device())?;
    Ok((features, labels))
}

/// The part of guesses that are right.
pub(crate) fn accuracy(predicted: &[u32], truth: &[u32]) -> f64 {
    let right = predicted.iter().zip(truth).filter(|(guess, y)| guess == y).count();
    right as f64 / truth.len() as f64
}

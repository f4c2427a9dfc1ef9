//! How well each modality does on a batch, as balancing methods measure it.

use candle_core::{DType, Tensor};
use tcmax_estimators::Labels;
use tcmax_ops::log_sum_exp;

use crate::Result;

/// log softmax(logits)\[i, y_i\] of every example, nats, without gradients: shape (N,), f64.
pub(crate) fn log_likelihoods(logits: &Tensor, labels: &Labels) -> Result<Vec<f64>> {
    let logits = logits.detach().to_dtype(DType::F64)?;
    let own = labels.pick(&logits)?;
    Ok((own - log_sum_exp(&logits, 1)?)?.to_vec1::<f64>()?)
}

/// The sum over the batch of each modality's probability of the label.
pub(crate) fn label_probability_sums(logits: &[Tensor], labels: &Labels) -> Result<Vec<f64>> {
    let sum = |logits| -> Result<f64> {
        Ok(log_likelihoods(logits, labels)?.iter().map(|log| log.exp()).sum())
    };
    logits.iter().map(sum).collect()
}

/// The two entries of a list that a method for two modalities works on. Its head and settings have
/// been checked before training.
pub(crate) fn pair(values: &[f64]) -> [f64; 2] {
    [values.first().copied().unwrap_or(0.0), values.get(1).copied().unwrap_or(0.0)]
}

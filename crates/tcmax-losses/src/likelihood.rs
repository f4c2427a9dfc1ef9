//! The likelihood of labels under logits, by which balancing methods compare modalities.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_ops::{log_sum_exp, to_vec_f64, wide};

use crate::Result;

/// log softmax(logits)\[i, y_i\] of every example, nats, without gradients: shape (N,), f64.
pub(crate) fn log_likelihoods(logits: &Tensor, labels: &Labels) -> Result<Vec<f64>> {
    let logits = wide(&logits.detach())?;
    let own = labels.pick(&logits)?;
    Ok(to_vec_f64(&(own - log_sum_exp(&logits, 1)?)?)?)
}

/// The sum over the batch of each modality's probability of the label.
pub(crate) fn label_probability_sums(logits: &[Tensor], labels: &Labels) -> Result<Vec<f64>> {
    let sum = |logits| -> Result<f64> {
        Ok(log_likelihoods(logits, labels)?.iter().map(|log| log.exp()).sum())
    };
    logits.iter().map(sum).collect()
}

/// 1 for every example whose largest logit is that of its label, else 0, without gradients: shape (N,).
pub(crate) fn right(logits: &Tensor, labels: &Labels) -> Result<Tensor> {
    let flags = logits.detach().argmax(1)?.eq(&labels.tensor()?)?;
    Ok(flags.to_dtype(logits.dtype())?)
}

//! How well each modality does on a batch, as balancing methods measure it.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_ops::{log_sum_exp, to_vec_f64, wide};

use crate::{Error, Result};

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

/// The two entries of a list that a method for two modalities works on.
///
/// # Errors
/// When there are not two.
pub(crate) fn pair<T: Copy>(method: &'static str, values: &[T]) -> Result<[T; 2]> {
    <[T; 2]>::try_from(values).map_err(|_| Error::NeedsTwoModalities { method, got: values.len() })
}

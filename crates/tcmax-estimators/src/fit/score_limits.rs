//! Limits of scores in training.

use candle_core::Tensor;
use tcmax_ops::log_sum_exp_all;

use crate::error::Result;

/// Scores with those far below the largest raised to a floor. Their share of a sum of exponentials is
/// below f32's resolution either way, but as gradients they are subnormal numbers, on which processors
/// are slow.
pub(super) fn floor(scores: &Tensor) -> Result<Tensor> {
    let top = scores.max_all()?.to_scalar::<f32>()?;
    Ok(scores.maximum(f64::from(top) - 50.0)?)
}

/// Joint scores, no higher than K product tuples can answer for: log K above their log-mean-exp. Beyond
/// it, joint scores could be raised at no cost, and a critic that does so is worthless on other tuples.
pub(super) fn ceiling(joint: &Tensor, product: &Tensor) -> Result<Tensor> {
    let log_sum = log_sum_exp_all(&product.detach())?.to_scalar::<f32>()?;
    Ok(joint.minimum(f64::from(log_sum))?)
}

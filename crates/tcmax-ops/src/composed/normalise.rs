//! What every normalisation ends with.

use candle_core::{Result, Tensor};

/// w (x - mean) / sqrt(var + eps) + b, given x - mean.
pub(crate) fn scale_and_shift(
    centred: &Tensor,
    var: &Tensor,
    eps: f64,
    [weight, bias]: [&Tensor; 2],
) -> Result<Tensor> {
    let normal = centred.broadcast_div(&(var + eps)?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

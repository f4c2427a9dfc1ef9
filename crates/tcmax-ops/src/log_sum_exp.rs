//! log sum exp: the one place of the workspace that computes it.
//!
//! logsumexp(x) = m + log sum_i exp(x_i - m) with m = max_i x_i, so that nothing overflows. The
//! maximum is held constant in the gradient, which is softmax(x) exactly.

use candle_core::{Result, Tensor};

/// log sum exp over one dimension, which disappears.
///
/// Entries may be minus infinity where at least one other along `dim` is finite.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::log_sum_exp;
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1000f64, 1000.0], [-1000.0, f64::NEG_INFINITY]], &Device::Cpu)?;
/// assert_eq!(log_sum_exp(&x, 1)?.to_vec1::<f64>()?, [1000.0 + 2f64.ln(), -1000.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the dimension does not exist.
pub fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let max = x.max_keepdim(dim)?.detach();
    x.broadcast_sub(&max)?.exp()?.sum(dim)?.log()? + max.squeeze(dim)?
}

/// log sum exp over all entries: a scalar.
///
/// # Errors
/// When the tensor is empty.
pub fn log_sum_exp_all(x: &Tensor) -> Result<Tensor> {
    log_sum_exp(&x.flatten_all()?, 0)
}

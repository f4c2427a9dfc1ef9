//! Divergences of class probabilities, from their logarithms.
//!
//! ```text
//! KL(p || q) = mean_i sum_c p_i[c] (log p_i[c] - log q_i[c])      (nats)
//! ```
//!
//! Logarithms are by log-sum-exp, of mixtures too, so that logits of any size give finite values.

use candle_core::Tensor;
use tcmax_ops::log_sum_exp;

use crate::Result;

/// log softmax of logits (N, C).
///
/// # Errors
/// When they are no matrix.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.broadcast_sub(&log_sum_exp(logits, 1)?.unsqueeze(1)?)?)
}

/// log((p + q) / 2) from log p and log q of one shape.
///
/// # Errors
/// When the shapes differ.
pub fn log_mixture(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    let column = |x: &Tensor| x.reshape((x.elem_count(), 1));
    let pairs = Tensor::cat(&[column(log_p)?, column(log_q)?], 1)?;
    Ok((log_sum_exp(&pairs, 1)? - 2f64.ln())?.reshape(log_p.shape())?)
}

/// The mean over the rows of KL(p || q), nats, from log p and log q (N, C): a scalar.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_losses::methods::divergence::{kl, log_softmax};
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let even = log_softmax(&Tensor::new(&[[0f64, 0.0]], &Device::Cpu)?)?;
/// let sure = log_softmax(&Tensor::new(&[[500f64, -500.0]], &Device::Cpu)?)?;
/// assert!((kl(&sure, &even)?.to_scalar::<f64>()? - 2f64.ln()).abs() < 1e-12);
/// assert!((kl(&even, &sure)?.to_scalar::<f64>()? - (500.0 - 2f64.ln())).abs() < 1e-9);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the shapes differ.
pub fn kl(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    Ok((log_p.exp()? * (log_p - log_q)?)?.sum(1)?.mean_all()?)
}

/// 1/2 KL(p || m) + 1/2 KL(q || m) with m = (p + q) / 2, from log p and log q (N, C): the Jensen-Shannon divergence, at most
/// log 2 nats.
///
/// # Errors
/// When the shapes differ.
pub fn to_mixture(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    let log_m = log_mixture(log_p, log_q)?;
    Ok(((kl(log_p, &log_m)? + kl(log_q, &log_m)?)? * 0.5)?)
}

/// 1/2 KL(m || p) + 1/2 KL(m || q), which has no bound, nats.
///
/// # Errors
/// When the shapes differ.
pub fn from_mixture(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    let log_m = log_mixture(log_p, log_q)?;
    Ok(((kl(&log_m, log_p)? + kl(&log_m, log_q)?)? * 0.5)?)
}

//! Cross-entropy of logits and labels.
//!
//! CE = 1/N sum_i (logsumexp_c f_i\[c\] - f_i\[y_i\]), nats. The gradient with respect to f is
//! (softmax(f) - onehot(y)) / N. Labels may be smoothed and weighted by class: f_i\[y_i\] is then the expected
//! score under the target, and the mean over the examples a weighted one.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_ops::log_sum_exp;

use crate::Result;

/// Mean cross-entropy of logits (N, C): a scalar, nats.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Labels;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let logits = Tensor::new(&[[0f64, 0.0], [1000.0, 0.0]], &Device::Cpu)?;
/// let labels = Labels::new(&[0, 0], 2, &Device::Cpu)?;
/// let loss = tcmax_losses::cross_entropy(&logits, &labels)?.to_scalar::<f64>()?;
/// assert!((loss - 2f64.ln() / 2.0).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the shapes of logits and labels do not fit.
pub fn cross_entropy(logits: &Tensor, labels: &Labels) -> Result<Tensor> {
    let own = labels.expected(logits)?;
    Ok(labels.mean(&(log_sum_exp(logits, 1)? - own)?)?)
}

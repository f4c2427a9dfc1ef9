//! Total correlation maximisation: the classifier is the critic.
//!
//! ```text
//! L = -1/B sum_i f(z^i)[y_i] + logsumexp over all (j_1..j_M, c) of f(z_1^{j_1}, .., z_M^{j_M})[c]
//!     - M log B - log C
//! ```
//!
//! is the negative Donsker-Varadhan bound on the total correlation of all features and the label,
//! with the head's own logits as the critic and a uniform reference for the label.
//! It has no hyper-parameter, and softmax(f) remains p(y | z), so prediction does not change.
//!
//! Source: "Multimodal Classification via Total Correlation Maximization" (ICLR 2026). The paper's
//! reference code adds the constant M log B + log C - log B; gradients are the same.

use candle_core::Tensor;
use tcmax_estimators::{BatchBound, Critic, Error, Labels};

use crate::Result;

/// The bound whose negative is the TCMax loss, for features z_m of shape (B, D_m).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Labels;
/// use tcmax_fusion::ConcatHead;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let weight = Tensor::new(&[[1f64, 1.0], [-1.0, -1.0]], &Device::Cpu)?;
/// let head = ConcatHead::from_tensors(&[1, 1], weight, Tensor::new(&[0f64, 0.0], &Device::Cpu)?)?;
/// let z = Tensor::new(&[[9f64], [-9.0]], &Device::Cpu)?;
/// let labels = Labels::new(&[0, 1], 2, &Device::Cpu)?;
/// let bound = tcmax_losses::tcmax(&head, &[z.clone(), z], &labels)?;
/// // Three copies of one fair bit share 2 log 2 nats.
/// assert!((bound.value().to_scalar::<f64>()? - 2.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the shapes do not fit, or the head is not additive.
pub fn tcmax(head: &dyn Critic, features: &[Tensor], labels: &Labels) -> Result<BatchBound> {
    let terms = head.additive_terms(features)?.ok_or(Error::NotAdditive)?;
    Ok(BatchBound::new(&terms, labels)?)
}

//! SMILE: Donsker-Varadhan's value with clipped product scores.
//!
//! ```text
//! SMILE(tau) = 1/N sum_i T(joint_i) - log 1/K sum_k exp clip(T(product_k), -tau, tau)  (nats)
//! ```
//!
//! Song and Ermon (2020). Bias: clipping bounds the variance and biases the value, upward where scores
//! above tau are cut; **SMILE is not a lower bound** and may overshoot. tau -> infinity is
//! Donsker-Varadhan's bound. Cap: none. The authors train the critic with [`super::jensen_shannon`] and
//! use this as the value; the gradient here is that of the expression above, zero where it clips.

use candle_core::Tensor;

use super::{check_vector, log_mean_exp};
use crate::error::{Error, Result};

/// The SMILE value from the scores of joint examples (N,) and product tuples (K,): a scalar, nats.
/// Not a lower bound.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::smile;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let joint = Tensor::new(&[3f64], &Device::Cpu)?;
/// let product = Tensor::new(&[9f64, 9.0], &Device::Cpu)?;
/// assert!((smile(&joint, &product, 1.0)?.to_scalar::<f64>()? - 2.0).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When one of the two is not a vector with entries, or tau is not positive.
pub fn smile(joint: &Tensor, product: &Tensor, tau: f64) -> Result<Tensor> {
    check_vector("joint scores", joint)?;
    check_vector("product scores", product)?;
    check_tau(tau)?;
    Ok((joint.mean_all()? - log_mean_exp(&product.clamp(-tau, tau)?)?)?)
}

/// tau must be a positive number; infinity is Donsker-Varadhan's bound.
pub(crate) fn check_tau(tau: f64) -> Result<()> {
    if tau > 0.0 {
        return Ok(());
    }
    Err(Error::Setting { field: "tau", problem: format!("must be above 0; got {tau}") })
}

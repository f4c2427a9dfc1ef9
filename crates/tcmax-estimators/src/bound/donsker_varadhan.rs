//! The Donsker-Varadhan bound: MINE for two variables, TCNE for n.
//!
//! ```text
//! TC(x_1, ..., x_n) >= 1/N sum_i T(joint_i) - log 1/K sum_k exp T(product_k)          (nats)
//! ```
//!
//! tight for T = log p(x_1, ..., x_n) / prod_m p(x_m) + any constant. Donsker and Varadhan (1983); for
//! n = 2 the bound of MINE (Belghazi et al. 2018), for n variables that of TCNE.
//!
//! Bias: the logarithm of a mean over K tuples is below the logarithm of the expectation on average
//! (Jensen), by about Var(exp T) / (2 K E\[exp T\]^2). So the *value* is too high for small K, and its
//! gradient is biased; [`super::MovingAverage`] corrects the gradient. Cap: where the N joint examples are
//! themselves among the K equally weighted tuples, the value cannot exceed log (K / N), which is
//! (n - 1) log N for all N^n tuples; otherwise there is none, and only scores of held-out examples
//! keep a critic from running away.

use candle_core::Tensor;
use tcmax_ops::log_sum_exp_all;

use super::scores::check_vector;
use crate::error::{Error, Result};

/// log 1/K sum_k exp T_k of scores of any shape: a scalar.
///
/// # Errors
/// When there is no score.
pub fn log_mean_exp(scores: &Tensor) -> Result<Tensor> {
    if scores.elem_count() == 0 {
        return Err(Error::Empty { what: "the scores", unit: "score" });
    }
    Ok((log_sum_exp_all(scores)? - (scores.elem_count() as f64).ln())?)
}

/// The Donsker-Varadhan bound from the scores of joint examples (N,) and product tuples (K,): a
/// scalar, nats.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::donsker_varadhan;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // Two equal fair bits: log p / (p p) is log 2 where they agree, and -inf where they do not.
/// let joint = Tensor::new(&[2f64.ln(); 2], &Device::Cpu)?;
/// let product = Tensor::new(&[2f64.ln(), -1e3, 2f64.ln(), -1e3], &Device::Cpu)?;
/// let bound = donsker_varadhan(&joint, &product)?.to_scalar::<f64>()?;
/// assert!((bound - 2f64.ln()).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When one of the two is not a vector with entries.
pub fn donsker_varadhan(joint: &Tensor, product: &Tensor) -> Result<Tensor> {
    check_vector("joint scores", joint)?;
    check_vector("product scores", product)?;
    Ok((joint.mean_all()? - log_mean_exp(product)?)?)
}

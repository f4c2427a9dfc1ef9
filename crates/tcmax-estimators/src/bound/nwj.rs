//! The bound of Nguyen, Wainwright and Jordan, also called f-GAN KL or MINE-f.
//!
//! ```text
//! TC >= 1/N sum_i T(joint_i) - 1/(e K) sum_k exp T(product_k)                         (nats)
//! ```
//!
//! tight for T = 1 + log p / prod p: unlike in Donsker-Varadhan's bound the constant matters. Nguyen,
//! Wainwright and Jordan (2010); Nowozin et al. (f-GAN, 2016). Bias: none, neither in the value nor in
//! the gradient, because no logarithm of a mean is taken; the variance grows like exp(TC), so single
//! values may lie far above the truth. Cap: none. For any one critic it is below Donsker-Varadhan's.

use candle_core::Tensor;
use tcmax_registry::Options;

use super::donsker_varadhan::log_mean_exp;
use super::objective::Objective;
use super::scores::check_vector;
use crate::error::Result;
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The specification of the NWJ bound.
pub static NWJ: EstimatorSpec = EstimatorSpec {
    name: "nwj",
    description: "bound of Nguyen, Wainwright and Jordan; unbiased, large variance",
    source: "Nguyen, Wainwright and Jordan, Estimating divergence functionals and the likelihood ratio \
             by convex risk minimization (2010)",
    lower_bound: true,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Critic(|_| Ok(Box::new(Nwj))),
};

struct Nwj;

impl Objective for Nwj {
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        nwj(joint, product)
    }

    fn reported(&self, mean: f64, log_mean_exp: f64) -> f64 {
        mean - (log_mean_exp - 1.0).exp()
    }

    fn offset(&self) -> f64 {
        1.0
    }
}

/// The NWJ bound from the scores of joint examples (N,) and product tuples (K,): a scalar, nats.
///
/// The mean of exp T is formed as exp(log-mean-exp - 1), so it is infinite only if it really is out
/// of range.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::nwj;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // The critic T = 1 says "independent", and is right to.
/// let ones = Tensor::new(&[1f64, 1.0], &Device::Cpu)?;
/// assert!(nwj(&ones, &ones)?.to_scalar::<f64>()?.abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When one of the two is not a vector with entries.
pub fn nwj(joint: &Tensor, product: &Tensor) -> Result<Tensor> {
    check_vector("joint scores", joint)?;
    check_vector("product scores", product)?;
    Ok((joint.mean_all()? - (log_mean_exp(product)? - 1.0)?.exp()?)?)
}

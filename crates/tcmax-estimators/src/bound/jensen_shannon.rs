//! The Jensen-Shannon objective.
//!
//! ```text
//! JS = -1/N sum_i softplus(-T(joint_i)) - 1/K sum_k softplus(T(product_k))
//! ```
//!
//! the logistic loss of telling joint from product tuples, negated; its supremum is 2 JSD(p, prod) -
//! log 4, reached for T = log p / prod p (f-GAN, Nowozin et al. 2016; Deep InfoMax, Hjelm et al. 2019).
//! It bounds a Jensen-Shannon divergence, **not** information: always at most 0, and saturating where
//! joint and product are far apart. But its best critic is the log ratio that the other bounds need, and
//! its gradient is unbiased and of small variance: train with it, then report
//! [`super::donsker_varadhan`] of the same scores.

use candle_core::Tensor;
use tcmax_registry::Options;

use super::objective::Objective;
use super::scores::check_vector;
use crate::error::Result;
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The specification of Donsker and Varadhan's bound under a critic of the Jensen-Shannon objective.
pub static JENSEN_SHANNON: EstimatorSpec = EstimatorSpec {
    name: "js",
    description: "critic of the Jensen-Shannon objective in Donsker-Varadhan's bound",
    source: "Hjelm et al., Learning deep representations by mutual information estimation and \
             maximization (ICLR 2019)",
    lower_bound: true,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Critic(|_| Ok(Box::new(JensenShannon))),
};

struct JensenShannon;

impl Objective for JensenShannon {
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        jensen_shannon(joint, product)
    }
}

/// The Jensen-Shannon objective from the scores of joint examples (N,) and product tuples (K,): a
/// scalar, at most 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::jensen_shannon;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let zero = Tensor::new(&[0f64], &Device::Cpu)?;
/// assert!((jensen_shannon(&zero, &zero)?.to_scalar::<f64>()? + 4f64.ln()).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When one of the two is not a vector with entries.
pub fn jensen_shannon(joint: &Tensor, product: &Tensor) -> Result<Tensor> {
    check_vector("joint scores", joint)?;
    check_vector("product scores", product)?;
    let joint = softplus(&joint.neg()?)?.mean_all()?;
    Ok((joint + softplus(product)?.mean_all()?)?.neg()?)
}

/// log(1 + exp x) = max(x, 0) + log(1 + exp(-|x|)), which never overflows.
///
/// max(x, 0) is (x + |x|) / 2, so that whatever slope candle gives |x| at 0 cancels: the gradient is
/// the logistic function everywhere.
fn softplus(x: &Tensor) -> Result<Tensor> {
    let magnitude = x.abs()?;
    let positive = ((x + &magnitude)? * 0.5)?;
    Ok((positive + (magnitude.neg()?.exp()? + 1.0)?.log()?)?)
}

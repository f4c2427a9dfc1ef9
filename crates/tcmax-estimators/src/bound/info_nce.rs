//! InfoNCE: which of N partners belongs to x_i?
//!
//! ```text
//! I(x; y) >= 1/N sum_i (S_ii - logsumexp_j S_ij) + log N                              (nats)
//! ```
//!
//! van den Oord et al. (2018); Poole et al. (2019). Bias: a lower bound in expectation, for any critic
//! and any N, with small variance, but loose where the truth nears the cap. Cap: log N, whatever the
//! truth.

use candle_core::Tensor;
use tcmax_ops::log_sum_exp;
use tcmax_registry::Options;

use super::objective::Objective;
use super::scores::{diagonal, side};
use crate::error::Result;
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The specification of InfoNCE.
pub static INFO_NCE: EstimatorSpec = EstimatorSpec {
    name: "infonce",
    description: "InfoNCE; small variance, cannot exceed the log of the block size",
    source: "van den Oord et al., Representation Learning with Contrastive Predictive Coding (2018)",
    lower_bound: true,
    pairs_only: true,
    options: Options::NONE,
    kind: EstimatorKind::Critic(|_| Ok(Box::new(InfoNce))),
};

struct InfoNce;

impl Objective for InfoNce {
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        let n = joint.elem_count();
        symmetric_info_nce(&product.reshape((n, n))?)
    }

    fn all_pairs(&self) -> bool {
        true
    }
}

/// InfoNCE from pair scores S_ij = T(x_i, y_j), (N, N), with the negatives of x_i in row i: a scalar,
/// nats, at most log N.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::info_nce;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let scores = Tensor::new(&[[50f64, 0.0], [0.0, 50.0]], &Device::Cpu)?;
/// assert!((info_nce(&scores)?.to_scalar::<f64>()? - 2f64.ln()).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the matrix is empty or not square.
pub fn info_nce(scores: &Tensor) -> Result<Tensor> {
    let n = side(scores)?;
    let own = diagonal(scores)?;
    Ok(((own - log_sum_exp(scores, 1)?)?.mean_all()? + (n as f64).ln())?)
}

/// The mean of InfoNCE over rows and over columns (as in CLIP, Radford et al. 2021).
///
/// # Errors
/// When the matrix is empty or not square.
pub fn symmetric_info_nce(scores: &Tensor) -> Result<Tensor> {
    Ok(((info_nce(scores)? + info_nce(&scores.t()?)?)? * 0.5)?)
}

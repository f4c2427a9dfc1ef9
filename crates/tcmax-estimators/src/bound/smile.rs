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
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use super::donsker_varadhan::log_mean_exp;
use super::jensen_shannon::jensen_shannon;
use super::objective::Objective;
use super::scores::check_vector;
use crate::error::{Error, Result};
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The specification of SMILE.
pub static SMILE: EstimatorSpec = EstimatorSpec {
    name: "smile",
    description: "SMILE; clipped, not a lower bound",
    source: "Song and Ermon, Understanding the Limitations of Variational Mutual Information Estimators \
             (ICLR 2020)",
    lower_bound: false,
    pairs_only: false,
    options: Options::of::<SmileOptions>(),
    kind: EstimatorKind::Critic(|options| Ok(Box::new(Smile(read(options)?)))),
};

/// Options of SMILE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmileOptions {
    /// Held-out product scores are clipped to plus or minus this, above 0.
    pub tau: f64,
}

impl Default for SmileOptions {
    fn default() -> Self {
        Self { tau: 5.0 }
    }
}

impl OptionSet for SmileOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.tau > 0.0, "tau", "must be above 0")
    }
}

struct Smile(SmileOptions);

impl Objective for Smile {
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        jensen_shannon(joint, product)
    }

    fn clip(&self) -> f64 {
        self.0.tau
    }
}

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
    // Infinity is Donsker and Varadhan's bound.
    if tau.is_nan() || tau <= 0.0 {
        return Err(Error::Setting {
            field: "tau",
            problem: format!("must be above 0; got {tau}"),
        });
    }
    Ok((joint.mean_all()? - log_mean_exp(&product.clamp(-tau, tau)?)?)?)
}

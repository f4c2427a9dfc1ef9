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
//! gradient is biased; [`MovingAverage`] corrects the gradient. Cap: where the N joint examples are
//! themselves among the K equally weighted tuples, the value cannot exceed log (K / N), which is
//! (n - 1) log N for all N^n tuples; otherwise there is none, and only scores of held-out examples
//! keep a critic from running away.

use candle_core::Tensor;
use tcmax_ops::{log_sum_exp_all, to_scalar_f64};

use super::check_vector;
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

/// The Donsker-Varadhan bound whose gradient divides by an exponential moving average of
/// mean exp T instead of the batch's own mean (MINE, section 3.2, equation 12).
///
/// With the average a, a <- (1 - rate) a + rate mean exp T, the gradient is
/// grad mean T(joint) - mean(exp(T) grad T) / a: its bias vanishes as the rate does. The value is the
/// plain bound's. The average is kept as a logarithm, so it never overflows.
#[derive(Clone, Debug)]
pub struct MovingAverage {
    rate: f64,
    log_average: Option<f64>,
}

impl MovingAverage {
    /// An average that has seen nothing; `rate` is the weight of the newest batch, in (0, 1].
    ///
    /// # Errors
    /// When the rate is out of range.
    pub fn new(rate: f64) -> Result<Self> {
        if !(rate > 0.0 && rate <= 1.0) {
            let problem = format!("must be above 0 and at most 1; got {rate}");
            return Err(Error::Setting { field: "moving average rate", problem });
        }
        Ok(Self { rate, log_average: None })
    }

    /// The logarithm of the average so far.
    pub fn log_average(&self) -> Option<f64> {
        self.log_average
    }

    /// Takes the batch into the average and returns the bound with the corrected gradient: a scalar,
    /// nats.
    ///
    /// # Errors
    /// As [`donsker_varadhan`].
    pub fn bound(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        check_vector("joint scores", joint)?;
        check_vector("product scores", product)?;
        let log_mean = log_mean_exp(product)?;
        let now = to_scalar_f64(&log_mean)?;
        let average = match self.log_average {
            None => now,
            Some(old) => log_add_exp(old + (1.0 - self.rate).ln(), now + self.rate.ln()),
        };
        self.log_average = Some(average);
        // Value of the plain bound, gradient of `corrected`.
        let corrected = (&log_mean - average)?.exp()?;
        let log_term = (log_mean.detach() + (&corrected - corrected.detach())?)?;
        Ok((joint.mean_all()? - log_term)?)
    }
}

fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}

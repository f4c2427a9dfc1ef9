//! MINE: the Donsker-Varadhan bound of two variables, trained with a moving average.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::to_scalar_f64;
use tcmax_registry::{OptionSet, Options, read, require};

use super::donsker_varadhan::{donsker_varadhan, log_mean_exp};
use super::objective::Objective;
use super::scores::check_vector;
use crate::error::{Error, Result};
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The specification of MINE.
pub static MINE: EstimatorSpec = EstimatorSpec {
    name: "mine",
    description: "tcne's bound on two variables, trained with the moving average of MINE",
    source: "Belghazi et al., Mutual Information Neural Estimation (ICML 2018)",
    lower_bound: true,
    pairs_only: true,
    options: Options::of::<MineOptions>(),
    kind: EstimatorKind::Critic(|options| {
        let MineOptions { moving_average } = read(options)?;
        Ok(Box::new(DonskerVaradhan::new(moving_average)?))
    }),
};

/// Options of MINE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MineOptions {
    /// Weight of the newest batch in the moving average of the product term that gradients are divided
    /// by, above 0 and at most 1; 1 divides by the mean of the batch alone.
    pub moving_average: f64,
}

impl Default for MineOptions {
    fn default() -> Self {
        Self { moving_average: 0.01 }
    }
}

impl OptionSet for MineOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        check_rate(self.moving_average)
    }
}

/// A moving average's rate must be in (0, 1].
pub(super) fn check_rate(rate: f64) -> tcmax_registry::Result<()> {
    require(rate > 0.0 && rate <= 1.0, "moving-average", "must be above 0 and at most 1")
}

/// The Donsker-Varadhan bound as an objective, with a moving average or without.
pub(crate) struct DonskerVaradhan(Option<MovingAverage>);

impl DonskerVaradhan {
    /// The bound whose gradient is divided by a moving average of this rate; the plain bound for 1.
    pub(super) fn new(rate: f64) -> Result<Self> {
        let average = MovingAverage::new(rate)?;
        Ok(Self((rate < 1.0).then_some(average)))
    }

    /// The bound with its plain gradient.
    pub(crate) fn plain() -> Self {
        Self(None)
    }
}

impl Objective for DonskerVaradhan {
    fn of_batch(&mut self, joint: &Tensor, product: &Tensor) -> Result<Tensor> {
        match &mut self.0 {
            Some(average) => average.bound(joint, product),
            None => donsker_varadhan(joint, product),
        }
    }
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

    /// Updates the average with the batch, and returns the bound with the corrected gradient: a scalar,
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

//! Multi-loss balanced training (MLB): modalities that lag behind get larger gradients, those ahead smaller ones.
//!
//! Every modality has a head of its own. With P_m the batch's mean probability of the label by that head,
//!
//! ```text
//! L   = CE(f, y) + sum_m CE(f_m, y)
//! r_m = mean_{l != m} P_l / P_m
//! k_m = 1 + (beta - 1) tanh(alpha (r_m - 1))   if r_m > 1
//!       1 + tanh(alpha (r_m - 1))              otherwise
//! ```
//!
//! the gradients of encoder m, and those of its columns of the fused head's weight, are multiplied by k_m. The bias
//! of the fused head and the modalities' own heads keep theirs. Any number of modalities.
//!
//! The form without beta is beta = 2, the default. Probabilities are those of the head's logits of one modality
//! alone, so a head without layers for them is possible, but not what the paper has.
//!
//! Source: Kontras et al., "Improving Multimodal Learning with Multi-Loss Gradient Modulation" (BMVC 2024), and its
//! released code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{Modalities, SPECIFIC};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::gradients::scale_modality;
use crate::likelihood::log_likelihoods;
use crate::{Heads, Method, MethodSpec, Result, Step, StepOutput, Tasks, cross_entropy, unimodal};

/// The specification of MLB.
pub static MLB: MethodSpec = MethodSpec {
    name: "mlb",
    description: "larger gradients for modalities that lag behind, smaller ones for those ahead",
    source: "Kontras et al., BMVC 2024",
    modalities: Modalities::Several,
    usual_head: &SPECIFIC,
    heads: Heads::Any,
    tasks: Tasks::Classes(
        "its coefficients compare the modalities' probabilities of the one right class",
    ),
    needs_stages: false,
    options: Options::of::<MlbOptions>(),
    make: |options, _| Ok(Box::new(Mlb::new(read(options)?)?)),
};

/// Options of MLB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MlbOptions {
    /// Strength of the modulation.
    pub alpha: f64,
    /// The largest coefficient; with 1 no gradient grows.
    pub beta: f64,
}

impl Default for MlbOptions {
    fn default() -> Self {
        Self { alpha: 0.8, beta: 2.0 }
    }
}

impl OptionSet for MlbOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.alpha.is_finite() && self.alpha >= 0.0;
        require(fits, "alpha", "must be a number of at least 0")?;
        let fits = self.beta.is_finite() && self.beta >= 1.0;
        require(fits, "beta", "must be a number of at least 1")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Mlb {
    options: MlbOptions,
}

impl Mlb {
    /// The method.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: MlbOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }
}

impl Method for Mlb {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = step.head.all_logits(step.features)?;
        let loss = (cross_entropy(&logits, step.labels)? + unimodal(&own, step.labels)?)?;
        let value = crate::finite(&loss)?;
        let log_means = own
            .iter()
            .map(|own| Ok(log_mean_exp(&log_likelihoods(own, step.labels)?)))
            .collect::<Result<Vec<f64>>>()?;
        let of = |r: &f64| coefficient(*r, self.options.alpha, self.options.beta);
        let coefficients: Vec<f64> = ratios(&log_means).iter().map(of).collect();
        let mut gradients = step.gradients(&loss)?;
        for (m, &factor) in coefficients.iter().enumerate() {
            scale_modality(&mut gradients, step, m, factor)?;
        }
        (step.update)(&mut gradients)?;
        Ok(StepOutput::new(value, &logits).with_metrics("coefficient", &coefficients))
    }
}

/// r_m from ln P_m: logarithms, because a probability may be too small for a number.
///
/// ```
/// let ratios = tcmax_losses::methods::mlb::ratios(&[0.5f64.ln(), 0.25f64.ln()]);
/// assert!((ratios[0] - 0.5).abs() < 1e-15 && (ratios[1] - 2.0).abs() < 1e-15);
/// ```
pub fn ratios(log_means: &[f64]) -> Vec<f64> {
    let ratio = |m: usize| {
        let others = log_means.iter().enumerate().filter(|(l, _)| *l != m);
        let others: Vec<f64> = others.map(|(_, &log)| log).collect();
        // The largest number in place of infinity, of which alpha = 0 would make NaN.
        (log_mean_exp(&others) - log_means[m]).exp().min(f64::MAX)
    };
    (0..log_means.len()).map(ratio).collect()
}

/// k_m from r_m.
///
/// ```
/// use tcmax_losses::methods::mlb::coefficient;
///
/// assert_eq!(coefficient(1.0, 0.8, 10.0), 1.0);
/// assert_eq!(coefficient(1e9, 0.8, 10.0), 10.0);
/// assert_eq!(coefficient(0.0, 0.8, 10.0), 1.0 - 0.8f64.tanh());
/// ```
pub fn coefficient(ratio: f64, alpha: f64, beta: f64) -> f64 {
    let lag = (alpha * (ratio - 1.0)).tanh();
    if ratio > 1.0 { 1.0 + (beta - 1.0) * lag } else { 1.0 + lag }
}

/// ln of the mean of exp of some numbers.
fn log_mean_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}

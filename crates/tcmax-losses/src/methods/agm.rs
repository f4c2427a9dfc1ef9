//! Adaptive gradient modulation (AGM).
//!
//! With s_m modality m's mean cross-entropy on the batch and S_m its running mean before this step,
//!
//! ```text
//! r_m = exp(mean_{l != m} s_l - s_m),   R_m = exp(mean_{l != m} S_l - S_m)
//! k_m = exp(alpha min(R_m - r_m, 10))
//! ```
//!
//! every gradient of encoder m is multiplied by k_m: a modality that is further ahead than it usually
//! is slows down. Any number of modalities. Probabilities below 1e-8 count as 1e-8, and modulation
//! ends half way through training.
//!
//! Source: Li, Li, Hu, Deng, Tang, "Boosting Multi-modal Model Performance with Adaptive Gradient
//! Modulation" (ICCV 2023), equations 8 to 12; the bound of 10 and that of 1e-8 are from the TCMax
//! paper's code. Modalities are measured by their own logits, not by leaving them out.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::State;
use tcmax_registry::{OptionSet, Options, read, require};

use crate::gradients::scale;
use crate::likelihood::log_likelihoods;
use crate::{
    Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of AGM.
pub static AGM: MethodSpec = MethodSpec {
    name: "agm",
    description: "slows down encoders that are further ahead than they usually are",
    source: "Li et al., ICCV 2023",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes(
        "its coefficients compare the modalities' probabilities of the one right class",
    ),
    needs_stages: false,
    options: Options::of::<AgmOptions>(),
    make: |options, setup| Ok(Box::new(Agm::new(read(options)?, setup)?)),
};

/// Options of AGM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgmOptions {
    /// Strength of the modulation.
    pub alpha: f64,
    /// The last epoch (from 0) with modulation; absent: half of all epochs.
    pub last_epoch: Option<usize>,
}

impl Default for AgmOptions {
    fn default() -> Self {
        Self { alpha: 1.0, last_epoch: None }
    }
}

impl OptionSet for AgmOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.alpha.is_finite() && self.alpha >= 0.0;
        require(fits, "alpha", "must be a number of at least 0")
    }
}

/// Probabilities of the label below this count as this.
const LEAST_PROBABILITY: f64 = 1e-8;
/// The exponent over alpha never exceeds this.
const LARGEST_LEAD: f64 = 10.0;

/// The running scores and the coefficients they give.
#[derive(Clone, Debug, PartialEq)]
pub struct Modulation {
    /// Running means S_m, nats.
    pub scores: Vec<f64>,
    /// Steps they are the mean of.
    pub steps: u64,
    alpha: f64,
}

/// The scores and coefficients of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Modulated {
    /// r_m.
    pub ratios: Vec<f64>,
    /// k_m.
    pub coefficients: Vec<f64>,
}

impl Modulation {
    /// At the start, every running score is 0.
    pub fn new(modalities: usize, alpha: f64) -> Self {
        Self { scores: vec![0.0; modalities], steps: 0, alpha }
    }

    /// The coefficients of a batch in which the modalities have the cross-entropies `losses`, nats;
    /// then updates the running means.
    ///
    /// ```
    /// use tcmax_losses::methods::agm::Modulation;
    ///
    /// let mut modulation = Modulation::new(2, 1.0);
    /// // Equal so far, and now the first is ahead by log 2.
    /// let step = modulation.step(&[0.0, 2f64.ln()]);
    /// assert!((step.coefficients[0] - (1f64 - 2.0).exp()).abs() < 1e-15);
    /// assert!((step.coefficients[1] - (1f64 - 0.5).exp()).abs() < 1e-15);
    /// ```
    pub fn step(&mut self, losses: &[f64]) -> Modulated {
        let ratios = leads(losses);
        let usual = leads(&self.scores);
        let coefficient =
            |(r, usual): (&f64, &f64)| (self.alpha * (usual - r).min(LARGEST_LEAD)).exp();
        let coefficients = ratios.iter().zip(&usual).map(coefficient).collect();
        self.steps += 1;
        let steps = self.steps as f64;
        for (score, loss) in self.scores.iter_mut().zip(losses) {
            *score = *score * (steps - 1.0) / steps + loss / steps;
        }
        Modulated { ratios, coefficients }
    }
}

/// exp(mean of the others - own) for every entry.
fn leads(losses: &[f64]) -> Vec<f64> {
    let total: f64 = losses.iter().sum();
    let others = (losses.len() as f64 - 1.0).max(1.0);
    losses.iter().map(|own| ((total - own) / others - own).exp()).collect()
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Agm {
    options: AgmOptions,
    modulation: Modulation,
}

impl Agm {
    /// AGM for the modalities of `setup`.
    ///
    /// # Errors
    /// When alpha is negative or not finite.
    pub fn new(options: AgmOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        Ok(Self { options, modulation: Modulation::new(setup.widths.len(), options.alpha) })
    }
}

impl Method for Agm {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = step.head.logits_and_readings(step.features)?;
        let loss = cross_entropy(&logits, step.labels)?;
        let value = crate::finite(&loss)?;
        let mut gradients = step.gradients(&loss)?;
        let losses = own
            .iter()
            .map(|own| clamped_loss(&log_likelihoods(own, step.labels)?))
            .collect::<Result<Vec<f64>>>()?;
        let mut factors = vec![1.0; losses.len()];
        if step.clock.epoch <= self.options.last_epoch.unwrap_or(step.clock.epochs / 2) {
            factors = self.modulation.step(&losses).coefficients;
            for (vars, &factor) in step.groups.encoders.iter().zip(&factors) {
                scale(&mut gradients, vars, factor)?;
            }
        }
        (step.update)(&mut gradients)?;
        Ok(StepOutput::new(value, &logits).with_metrics("coefficient", &factors))
    }

    fn state(&self) -> Result<State> {
        let scores = Tensor::new(&self.modulation.scores[..], &Device::Cpu)?;
        let steps = Tensor::new(self.modulation.steps as f64, &Device::Cpu)?;
        Ok(BTreeMap::from([("scores".to_owned(), scores), ("steps".to_owned(), steps)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let scores = crate::state::vector(state, "scores", self.modulation.scores.len())?;
        self.modulation.scores = scores;
        self.modulation.steps = crate::state::vector(state, "steps", 1)?[0] as u64;
        Ok(())
    }
}

/// -mean log max(p, 1e-8) from log p, nats.
///
/// # Errors
/// When there is no example.
pub fn clamped_loss(log_likelihoods: &[f64]) -> Result<f64> {
    if log_likelihoods.is_empty() {
        let what = "the batch";
        return Err(Error::Estimator(tcmax_estimators::Error::Empty { what, unit: "example" }));
    }
    let least = LEAST_PROBABILITY.ln();
    let sum: f64 = log_likelihoods.iter().map(|log| log.max(least)).sum();
    Ok(-sum / log_likelihoods.len() as f64)
}

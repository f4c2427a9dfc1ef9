//! On-the-fly gradient modulation (OGM), with generalisation enhancement (OGM-GE).
//!
//! With s_m the batch's sum of modality m's probabilities of the label and r = s_2 / s_1,
//!
//! ```text
//! k_2 = 1 - tanh(alpha r),  k_1 = 1     if r > 1
//! k_1 = 1 - tanh(alpha / r), k_2 = 1    otherwise
//! ```
//!
//! the gradient of every convolution of encoder m is multiplied by k_m; OGM-GE then adds Gaussian
//! noise of the gradient's own standard deviation. Encoders without convolutions are modulated at
//! their matrices. Modulation ends half way through training.
//!
//! Two things are as in the paper's code though one would not expect them: with equal scores the
//! first modality is held back, and the noise goes to both modalities, whichever is held back.
//!
//! Source: Peng, Wei, Deng, Wang, Hu, "Balanced Multimodal Learning via On-the-fly Gradient
//! Modulation" (CVPR 2022), equations 9, 10 and 14.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{Seed, placed_like, to_vec_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::pair::pair;
use crate::likelihood::label_probability_sums;
use crate::{Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy};

/// Why OGM is for classes alone.
const WHY: &str = "its coefficients compare the modalities' probabilities of the one right class";

/// The specification of OGM.
pub static OGM: MethodSpec = MethodSpec {
    name: "ogm",
    description: "slows down the convolutions of the leading encoder",
    source: "Peng et al., CVPR 2022",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes(WHY),
    needs_stages: false,
    options: Options::of::<OgmOptions>(),
    make: |options, setup| Ok(Box::new(Ogm::new(read(options)?, false, setup)?)),
};

/// The specification of OGM-GE.
pub static OGM_GE: MethodSpec = MethodSpec {
    name: "ogm-ge",
    description: "OGM, with noise in the gradients of the encoders",
    source: "Peng et al., CVPR 2022",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes(WHY),
    needs_stages: false,
    options: Options::of::<OgmOptions>(),
    make: |options, setup| Ok(Box::new(Ogm::new(read(options)?, true, setup)?)),
};

/// Options of OGM and OGM-GE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OgmOptions {
    /// Strength of the modulation.
    pub alpha: f64,
    /// The last epoch (from 0) with modulation; absent: half of all epochs.
    pub last_epoch: Option<usize>,
}

impl Default for OgmOptions {
    fn default() -> Self {
        Self { alpha: 0.8, last_epoch: None }
    }
}

impl OptionSet for OgmOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.alpha.is_finite() && self.alpha >= 0.0;
        require(fits, "alpha", "must be a number of at least 0")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Ogm {
    options: OgmOptions,
    enhanced: bool,
}

impl Ogm {
    /// OGM, or OGM-GE when `enhanced`, for the modalities of `setup`.
    ///
    /// # Errors
    /// When alpha is negative or not finite, or there are not two modalities.
    pub fn new(options: OgmOptions, enhanced: bool, setup: &Setup) -> Result<Self> {
        options.check()?;
        let ogm = Self { options, enhanced };
        pair(ogm.name(), &setup.widths)?;
        Ok(ogm)
    }

    fn name(self) -> &'static str {
        if self.enhanced { OGM_GE.name } else { OGM.name }
    }
}

impl Method for Ogm {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = step.head.logits_and_readings(step.features)?;
        let loss = cross_entropy(&logits, step.labels)?;
        let value = crate::finite(&loss)?;
        let mut gradients = step.gradients(&loss)?;
        let scores = pair(self.name(), &label_probability_sums(&own, step.labels)?)?;
        let last = self.options.last_epoch.unwrap_or(step.clock.epochs / 2);
        let mut factors = [1.0; 2];
        if step.clock.epoch <= last {
            factors = coefficients(scores, self.options.alpha);
            for (m, (vars, factor)) in step.groups.encoders.iter().zip(factors).enumerate() {
                let noise = self.enhanced.then(|| step.seed.stream("noise").index(m as u64));
                modulate(&mut gradients, vars, factor, noise)?;
            }
        }
        (step.update)(&mut gradients)?;
        Ok(StepOutput::new(value, &logits).with_metrics("coefficient", &factors))
    }
}

/// k_1 and k_2 from the scores s_1 and s_2.
///
/// ```
/// let [first, second] = tcmax_losses::methods::ogm::coefficients([3.0, 1.0], 0.8);
/// assert_eq!(second, 1.0);
/// assert!((first - (1.0 - (0.8f64 * 3.0).tanh())).abs() < 1e-15);
/// ```
pub fn coefficients([first, second]: [f64; 2], alpha: f64) -> [f64; 2] {
    let ratio = second / first;
    if ratio > 1.0 {
        [1.0, 1.0 - (alpha * ratio).tanh()]
    } else {
        [1.0 - (alpha / ratio).tanh(), 1.0]
    }
}

/// Modulates the gradients of one encoder.
fn modulate(
    gradients: &mut GradStore,
    vars: &[Var],
    factor: f64,
    noise: Option<Seed>,
) -> Result<()> {
    let has_filters = vars.iter().any(|var| var.rank() == 4);
    let rank = if has_filters { 4 } else { 2 };
    for (number, var) in vars.iter().enumerate().filter(|(_, var)| var.rank() == rank) {
        let Some(gradient) = gradients.remove(var.as_tensor()) else { continue };
        let noise = match noise {
            Some(seed) => Some(standard_normal(&gradient, seed.index(number as u64))?),
            None => None,
        };
        gradients.insert(var.as_tensor(), modulated(&gradient, factor, noise.as_ref())?);
    }
    Ok(())
}

/// `factor * gradient`, plus `noise` (standard normal) times the gradient's standard deviation.
///
/// # Errors
/// When the noise has another shape.
pub fn modulated(gradient: &Tensor, factor: f64, noise: Option<&Tensor>) -> Result<Tensor> {
    let scaled = (gradient * factor)?;
    let Some(noise) = noise else { return Ok(scaled) };
    Ok((scaled + (noise * (standard_deviation(gradient)? + 1e-8))?)?)
}

/// The unbiased standard deviation of all entries.
///
/// # Errors
/// Only if the device fails.
pub fn standard_deviation(values: &Tensor) -> Result<f64> {
    let values = to_vec_f64(values)?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Ok((squares / (count - 1.0).max(1.0)).sqrt())
}

fn standard_normal(like: &Tensor, seed: Seed) -> Result<Tensor> {
    let mut rng = seed.rng();
    let draws: Vec<f32> = (0..like.elem_count()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Ok(placed_like(&Tensor::from_vec(draws, like.shape(), &Device::Cpu)?, like)?)
}

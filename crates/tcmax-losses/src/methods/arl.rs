//! Asymmetric representation learning (ARL): encoders learn in proportion to what their modality can contribute.
//!
//! With u_m = f(0, .., z_m, .., 0),
//!
//! ```text
//! L = CE(f, y) + gamma (CE(u_1, y) + CE(u_2, y))
//! ```
//!
//! and the gradient that arrives at the output of encoder m is multiplied by 1 + w_m, which says how certain a modality is,
//! and how much the other one dominates:
//!
//! ```text
//! h_m = max(least, H_m / (H_1 + H_2)),      H_m = mean entropy of softmax(u_m)
//! c_m = (1 / h_m) / (1 / h_1 + 1 / h_2)
//! d_m = n_m / (n_1 + n_2),                  n_m = sum_c mean |u_m[c]|
//! (w_1, w_2) = softmax(T d_2 c_1, T d_1 c_2)
//! ```
//!
//! w carries no gradient. In the first epochs gamma is 1 and no gradient is multiplied. The norm of all gradients
//! together is clipped at 40. Two modalities.
//!
//! The option `as`: `paper` is the above; `code` (the default) has w = 1/2 for both, because the released program
//! never hands its weights to the layer that multiplies, so every gradient is multiplied by 1.5. The released
//! program begins after its epoch 5, counted from 0: so do both.
//!
//! Source: Wei, Luo, Luo, "Improving Multimodal Learning via Imbalanced Learning" (ICCV 2025), and its released
//! code, of which the defaults are those of CREMA-D.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{log_sum_exp, only_reading, to_scalar_f64, wide};
use tcmax_registry::{OptionSet, Options, read, require};

use super::padded::padded_logits;
use super::pair::pair;
use super::reading::Reading;
use crate::{
    Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy, unimodal,
};

/// The specification of ARL.
pub static ARL: MethodSpec = MethodSpec {
    name: "arl",
    description: "larger gradients for encoders of modalities that can contribute more",
    source: "Wei et al., ICCV 2025",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it weighs modalities by the entropy of exclusive classes"),
    needs_stages: false,
    options: Options::of::<ArlOptions>(),
    make: |options, setup| Ok(Box::new(Arl::new(read(options)?, setup)?)),
};

/// The norm at which all gradients together are clipped.
const CLIP_NORM: f64 = 40.0;
/// A modality's share of the entropies counts as at least this.
const LEAST_SHARE: f64 = 0.3;

/// Options of ARL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ArlOptions {
    /// Factor of the modalities' own losses.
    pub gamma: f64,
    /// Sharpness T of the weights.
    pub sharpness: f64,
    /// The last epoch (from 0) with a factor of 1 and without weights.
    pub last_plain_epoch: usize,
    /// Equal weights (code), or those of the equations (paper).
    #[serde(rename = "as")]
    pub reading: Reading,
}

impl Default for ArlOptions {
    fn default() -> Self {
        Self { gamma: 4.0, sharpness: 8.0, last_plain_epoch: 5, reading: Reading::Code }
    }
}

impl OptionSet for ArlOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        for (option, value) in [("gamma", self.gamma), ("sharpness", self.sharpness)] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        Ok(())
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Arl {
    options: ArlOptions,
}

impl Arl {
    /// ARL for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or there are not two modalities.
    pub fn new(options: ArlOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        pair(ARL.name, &setup.widths)?;
        Ok(Self { options })
    }

    /// What the gradients at the encoders' outputs are multiplied by.
    fn factors(&self, step: &Step<'_>) -> Result<[f64; 2]> {
        if self.options.reading == Reading::Code {
            return Ok([1.5; 2]);
        }
        let detached: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
        let own = only_reading(|| padded_logits(step.head, &detached))?;
        Ok(Asymmetry::of(&own, self.options.sharpness)?.weights.map(|weight| 1.0 + weight))
    }
}

impl Method for Arl {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let is_plain = step.clock.epoch <= self.options.last_plain_epoch;
        let (gamma, factors) =
            if is_plain { (1.0, [1.0; 2]) } else { (self.options.gamma, self.factors(step)?) };
        let [first, second] = step.features else {
            let got = step.features.len();
            return Err(crate::Error::NeedsTwoModalities { method: ARL.name, got });
        };
        let features = [amplified(first, factors[0])?, amplified(second, factors[1])?];
        let (loss, logits) = loss(step.head, &features, step.labels, gamma)?;
        let value = step.descend(&loss)?;
        Ok(StepOutput::new(value, &logits).with_metrics("factor", &factors))
    }

    fn usual_clip_norm(&self) -> Option<f64> {
        Some(CLIP_NORM)
    }
}

/// L, and the fused logits.
///
/// # Errors
/// When shapes do not fit.
pub fn loss(
    head: &dyn FusionHead,
    features: &[Tensor],
    labels: &Labels,
    gamma: f64,
) -> Result<(Tensor, Tensor)> {
    let logits = head.logits(features)?;
    let own = (unimodal(&padded_logits(head, features)?, labels)? * gamma)?;
    Ok(((cross_entropy(&logits, labels)? + own)?, logits))
}

/// The same numbers, whose gradient is multiplied by `factor` on its way back.
fn amplified(features: &Tensor, factor: f64) -> Result<Tensor> {
    if factor == 1.0 {
        return Ok(features.clone());
    }
    let held = features.detach();
    Ok((&held + ((features - &held)? * factor)?)?)
}

/// How unlike two modalities are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asymmetry {
    /// H_m, nats.
    pub entropies: [f64; 2],
    /// h_m.
    pub shares: [f64; 2],
    /// c_m.
    pub certainties: [f64; 2],
    /// d_m.
    pub dominances: [f64; 2],
    /// w_m.
    pub weights: [f64; 2],
}

impl Asymmetry {
    /// Of the logits u_m (N, C) of two modalities.
    ///
    /// # Errors
    /// When there are not two.
    pub fn of(own: &[Tensor], sharpness: f64) -> Result<Self> {
        let by = |f: &dyn Fn(&Tensor) -> Result<f64>| -> Result<[f64; 2]> {
            pair(ARL.name, &own.iter().map(f).collect::<Result<Vec<f64>>>()?)
        };
        let entropies = by(&mean_entropy)?;
        let shares = normalised(entropies).map(|share| share.max(LEAST_SHARE));
        let certainties = normalised(shares.map(|share| 1.0 / share));
        let dominances = normalised(by(&size)?);
        let [first, second] =
            [dominances[1] * certainties[0], dominances[0] * certainties[1]].map(|x| x * sharpness);
        let weight = 1.0 / (1.0 + (second - first).exp());
        let weights = [weight, 1.0 - weight];
        Ok(Self { entropies, shares, certainties, dominances, weights })
    }
}

/// Two numbers over their sum; one half each where both are 0.
fn normalised([first, second]: [f64; 2]) -> [f64; 2] {
    let sum = first + second;
    if sum > 0.0 { [first / sum, second / sum] } else { [0.5; 2] }
}

/// The mean entropy of softmax of logits (N, C), nats.
fn mean_entropy(logits: &Tensor) -> Result<f64> {
    let logits = wide(&logits.detach())?;
    let log_p = logits.broadcast_sub(&log_sum_exp(&logits, 1)?.unsqueeze(1)?)?;
    Ok(-to_scalar_f64(&(log_p.exp()? * log_p)?.sum(1)?.mean_all()?)?)
}

/// sum_c mean |u\[c\]| of logits (N, C).
fn size(logits: &Tensor) -> Result<f64> {
    Ok(to_scalar_f64(&wide(&logits.detach())?.abs()?.mean(0)?.sum_all()?)?)
}

//! Adaptive mask co-optimisation (AMCo): classes of a modality that the others depend on are masked.
//!
//! With o_m the logits of each modality and a layer (A, a) of the method's own,
//!
//! ```text
//! o~_m = o_m * mask if modality m is depended on, o_m otherwise
//! L = CE(A sum_m o~_m + a, y) + sum_m CE(o~_m, y)                  (nats)
//! ```
//!
//! The mask is one for the whole batch, with zeros at N random classes, and a masked logit is 0, not minus infinity:
//!
//! ```text
//! N = floor(C sin(pi/2 min(eps, l) / eps)),   l = 0 at the start of an epoch, l <- l + epoch / 10 after each mask
//! ```
//!
//! (epochs from 0), so that the first epoch masks nothing, and later ones soon mask all classes. Modality m is depended
//! on in the next batch if its share of the softmax over all modalities' logits together, mean over the batch, is above
//! sigma; in the first batch of an epoch none is. Predictions are A sum_m o_m + a. Additive heads, any number of
//! modalities.
//!
//! Source: Zhou et al., "Adaptive Mask Co-Optimization for Modal Dependence in Multimodal Learning" (ICASSP 2023),
//! of whose authors no code is known; this is what BalanceBenchmark runs, whose further constants (alpha, U) have no
//! effect there either.

use std::f64::consts::FRAC_PI_2;

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{Linear, log_sum_exp, placed_like, sum_of, to_vec_f64, wide};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::{
    EpochContext, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of AMCo.
pub static AMCO: MethodSpec = MethodSpec {
    name: "amco",
    description: "masks classes of the modality that the others depend on",
    source: "Zhou et al., ICASSP 2023",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Additive,
    tasks: Tasks::Classes("it masks some of the exclusive classes"),
    needs_stages: false,
    options: Options::of::<AmcoOptions>(),
    make: |options, setup| Ok(Box::new(Amco::new(read(options)?, setup)?)),
};

/// Options of AMCo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AmcoOptions {
    /// The share of the softmax over all modalities' logits above which a modality is depended on.
    pub sigma: f64,
    /// How far l has to come until all classes are masked.
    pub eps: f64,
}

impl Default for AmcoOptions {
    fn default() -> Self {
        Self { sigma: 0.5, eps: 0.3 }
    }
}

impl OptionSet for AmcoOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((0.0..=1.0).contains(&self.sigma), "sigma", "must be a number from 0 to 1")?;
        let fits = self.eps.is_finite() && self.eps > 0.0;
        require(fits, "eps", "must be a positive number")
    }
}

/// What one epoch adds to l in each batch, per epoch before it.
const PACE: f64 = 0.1;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Amco {
    options: AmcoOptions,
    /// (A, a).
    mix: Linear,
    progress: f64,
    dependent: Vec<bool>,
}

impl Amco {
    /// AMCo for the modalities and classes of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or the name of a parameter is taken.
    pub fn new(options: AmcoOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let mix = Linear::new(setup.classes, setup.classes, &setup.own.pp("mix"))?;
        let dependent = vec![false; setup.widths.len()];
        Ok(Self { options, mix, progress: 0.0, dependent })
    }

    /// l, of the next batch.
    pub fn progress(&self) -> f64 {
        self.progress
    }

    /// Which modalities are depended on, in the next batch.
    pub fn dependent(&self) -> &[bool] {
        &self.dependent
    }

    /// A step that masks the first of the classes in this order.
    ///
    /// # Errors
    /// As [`Method::step`].
    pub fn step_in_order(&mut self, step: &mut Step<'_>, order: &[usize]) -> Result<StepOutput> {
        let share = masked_share(self.progress, self.options.eps);
        // Where it is not whole, the classes that are kept are rounded up.
        let masked = (share * order.len() as f64).floor() as usize;
        self.progress += step.clock.epoch as f64 * PACE;
        let own = step.head.modality_logits(step.features)?;
        let own = masked_logits(&own, &mask(order, masked), &self.dependent)?;
        let logits = self.mixed(&own)?;
        let mut losses = vec![cross_entropy(&logits, step.labels)?];
        for logits in &own {
            losses.push(cross_entropy(logits, step.labels)?);
        }
        let loss = step.descend(&sum_of(&losses)?)?;
        let masses = masses(&own)?;
        let used = std::mem::take(&mut self.dependent);
        self.dependent = masses.iter().map(|&mass| mass > self.options.sigma).collect();
        let used: Vec<f64> = used.into_iter().map(|flag| f64::from(u8::from(flag))).collect();
        let mut output = StepOutput::new(loss, &logits);
        output.metrics.push(("masked classes".to_owned(), masked as f64));
        Ok(output.with_metrics("share", &masses).with_metrics("depended on", &used))
    }

    /// A sum_m o_m + a.
    fn mixed(&self, own: &[Tensor]) -> Result<Tensor> {
        Ok(self.mix.forward(&sum_of(own)?)?)
    }
}

impl Method for Amco {
    fn begin_epoch(&mut self, _: &mut dyn EpochContext) -> Result<()> {
        self.progress = 0.0;
        self.dependent.fill(false);
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let mut order: Vec<usize> = (0..self.mix.outputs()).collect();
        order.shuffle(&mut step.seed.stream("mask").rng());
        self.step_in_order(step, &order)
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        self.mixed(&head.modality_logits(features)?)
    }
}

/// sin(pi/2 min(eps, l) / eps): the share of the classes that is masked.
///
/// ```
/// use tcmax_losses::methods::amco::masked_share;
///
/// assert_eq!(masked_share(0.0, 0.3), 0.0);
/// assert_eq!(masked_share(0.7, 0.3), 1.0);
/// assert!((masked_share(0.1, 0.3) - 0.5).abs() < 1e-15);
/// ```
pub fn masked_share(progress: f64, eps: f64) -> f64 {
    (FRAC_PI_2 * (progress.min(eps) / eps)).sin()
}

/// One entry per class: 0 for the first `masked` classes of `order`, 1 for the others.
pub fn mask(order: &[usize], masked: usize) -> Vec<f64> {
    let mut mask = vec![1.0; order.len()];
    for &class in order.iter().take(masked) {
        mask[class] = 0.0;
    }
    mask
}

/// Logits (B, C) of each modality, those of modalities that are depended on times the mask (C,).
///
/// # Errors
/// When shapes do not fit.
pub fn masked_logits(own: &[Tensor], mask: &[f64], dependent: &[bool]) -> Result<Vec<Tensor>> {
    let of = |(logits, &dependent): (&Tensor, &bool)| -> Result<Tensor> {
        if !dependent {
            return Ok(logits.clone());
        }
        let mask = placed_like(&Tensor::new(mask, &Device::Cpu)?, logits)?;
        Ok(logits.broadcast_mul(&mask)?)
    };
    own.iter().zip(dependent).map(of).collect()
}

/// Each modality's share of the softmax over all modalities' logits (B, C) together, mean over the batch.
///
/// # Errors
/// When shapes differ.
pub fn masses(own: &[Tensor]) -> Result<Vec<f64>> {
    let of = |logits: &Tensor| log_sum_exp(&wide(&logits.detach())?, 1);
    let own = own.iter().map(of).collect::<candle_core::Result<Vec<_>>>()?;
    let all = log_sum_exp(&Tensor::stack(&own, 1)?, 1)?;
    let mean = |own: &Tensor| -> Result<f64> {
        let logs = to_vec_f64(&(own - &all)?)?;
        Ok(logs.iter().map(|log| log.exp()).sum::<f64>() / logs.len() as f64)
    };
    own.iter().map(mean).collect()
}

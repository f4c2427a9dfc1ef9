//! ReconBoost: modalities are boosted in turn, each on what the others do not know yet.
//!
//! One head Phi for all modalities makes o_k = Phi(z_k), and the ensemble is F = rho sum_k o_k with a trained number rho
//! ([`BoostedHead`]). A stage works on one modality m, the next one each stage. In its first phase only encoder m and
//! Phi are trained, by
//!
//! ```text
//! L = -1/N sum_i (w1 - w2 q_i) / C log softmax(o_m)[y_i],    q_i = softmax(rho sum over k != m of o_k)[y_i]
//! ```
//!
//! where q carries no gradient: what the others know counts less. In its second phase everything is trained, rho
//! included, by CE(F, y). Each phase begins with an optimiser that has forgotten the one before.
//!
//! From the second stage on the paper adds alpha times the mean square of softmax(o_m) - softmax(o_p), with p the
//! modality of the stage before. The released code takes it without a gradient, so that it only shows in the loss:
//! `as = "code"`, the default. With `as = "paper"` it trains, through o_m and, unless `through-previous` is off, through
//! o_p too, as far as Phi.
//!
//! Departures: the released code trains from unimodal encoders; without them (`encoder.weights`) its first stages know
//! the modalities that came before alone, and here all from the start. Batch statistics of all encoders follow the
//! batches in both phases.
//!
//! Source: Hua, Xu, Bao, Yang, Huang, "ReconBoost: Boosting Can Achieve Modality Reconcilement" (ICML 2024), and its
//! released code, of which the defaults are.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::{FusionHead, Modalities, SHARED};
use tcmax_ops::{log_sum_exp, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, Task, read, require};

pub use super::boosted_head::{BoostedHead, PhiKind};
use super::reading::Reading;
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, Way,
    cross_entropy,
};

/// The specification of ReconBoost.
pub static RECONBOOST: MethodSpec = MethodSpec {
    name: "reconboost",
    description: "boosts the modalities in turn, each on what the others get wrong",
    source: "Hua et al., ICML 2024",
    modalities: Modalities::Several,
    usual_head: &SHARED,
    heads: Heads::Usual,
    tasks: Tasks::Classes("it weighs examples by the probability of the one right class"),
    needs_stages: false,
    options: Options::of::<ReconBoostOptions>(),
    make: |options, setup| Ok(Box::new(ReconBoost::new(read(options)?, setup)?)),
};

/// Options of ReconBoost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReconBoostOptions {
    /// The head of all modalities: `mlp`, two layers, or `linear`, one (as in BalanceBenchmark).
    pub phi: PhiKind,
    /// Units of the first layer of `mlp`.
    pub hidden: usize,
    /// What the number rho starts at (0.01 in BalanceBenchmark).
    pub rho: f64,
    /// Epochs of the first phase of a stage, which trains one modality.
    pub boosting_epochs: usize,
    /// Epochs of the second phase, which trains everything.
    pub rectifying_epochs: usize,
    /// Weight of the cross-entropy in the first phase.
    pub w1: f64,
    /// Weight of what the other modalities know of it.
    pub w2: f64,
    /// Weight of the alignment with the modality of the stage before.
    pub alpha: f64,
    /// `code`: the alignment has no gradient, as in the released code; `paper`: it trains.
    #[serde(rename = "as")]
    pub reading: Reading,
    /// Whether the alignment of `paper` also trains through the logits of the modality before.
    pub through_previous: bool,
}

impl Default for ReconBoostOptions {
    fn default() -> Self {
        Self {
            phi: PhiKind::Mlp,
            hidden: 256,
            rho: 1.0,
            boosting_epochs: 4,
            rectifying_epochs: 4,
            w1: 5.0,
            w2: 1.0,
            alpha: 0.5,
            reading: Reading::Code,
            through_previous: true,
        }
    }
}

impl OptionSet for ReconBoostOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.hidden > 0, "hidden", "must be at least 1")?;
        require(self.boosting_epochs > 0, "boosting-epochs", "must be at least 1")?;
        let fits = self.rho.is_finite() && self.rho > 0.0;
        require(fits, "rho", "must be a positive number")?;
        for (option, value) in [("w1", self.w1), ("w2", self.w2), ("alpha", self.alpha)] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        Ok(())
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct ReconBoost {
    options: ReconBoostOptions,
    head: BoostedHead,
}

impl ReconBoost {
    /// The method for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or the features are not of one width.
    pub fn new(options: ReconBoostOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        if setup.widths.windows(2).any(|pair| pair[0] != pair[1]) {
            let (method, widths) = (RECONBOOST.name, setup.widths.clone());
            return Err(Error::UnequalWidths { method, widths });
        }
        let kind = (options.phi, options.hidden);
        let head = BoostedHead::new(&setup.widths, setup.classes, kind, options.rho, &setup.own)?;
        Ok(Self { options, head })
    }

    /// The stage of an epoch, and the epoch in it.
    fn stage(&self, epoch: usize) -> (usize, usize) {
        let epochs = self.options.boosting_epochs + self.options.rectifying_epochs;
        (epoch / epochs, epoch % epochs)
    }

    /// The first phase of a stage.
    fn boost(&self, step: &mut Step<'_>, stage: usize) -> Result<StepOutput> {
        let own = self.head.modality_logits(step.features)?;
        let m = stage % own.len();
        let known = known(&own, m, self.head.rho(), step.labels)?;
        let (w1, w2) = (self.options.w1, self.options.w2);
        let boosting = step.weighed(boosting_loss(&own[m], &known, (w1, w2), step.labels)?)?;
        let aligned = match stage.checked_sub(1) {
            Some(before) => {
                let before = &own[before % own.len()];
                let through = self.options.through_previous;
                let before = if through { before.clone() } else { before.detach() };
                let aligned = alignment(&own[m], &before, step.labels)?;
                Some((step.weighed(aligned)? * self.options.alpha)?)
            }
            None => None,
        };
        let trained = match &aligned {
            Some(aligned) if self.options.reading == Reading::Paper => (&boosting + aligned)?,
            _ => boosting.clone(),
        };
        let total = |part: &Tensor| step.spread.total(to_scalar_f64(part)?);
        let parts = [total(&boosting)?, aligned.as_ref().map_or(Ok(0.0), total)?];
        let value = parts.iter().sum::<f64>();
        if !value.is_finite() {
            return Err(Error::NotFinite { value });
        }
        let mut gradients = step.gradients(&trained)?;
        let others = step.groups.encoders.iter().enumerate().filter(|(k, _)| *k != m);
        for var in others.flat_map(|(_, vars)| vars) {
            gradients.remove(var.as_tensor());
        }
        (step.update)(&mut gradients)?;
        let mut output = StepOutput::new(value, &self.head.fused(&own)?);
        let names = ["boosting loss", "alignment"].map(str::to_owned);
        output.metrics.extend(names.into_iter().zip(parts));
        Ok(output)
    }
}

impl Method for ReconBoost {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let epoch = context.clock().epoch;
        let begins = [0, self.options.boosting_epochs].contains(&self.stage(epoch).1);
        if epoch > 0 && begins { context.reset_optimiser() } else { Ok(()) }
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (stage, epoch) = self.stage(step.clock.epoch);
        let mut output = if epoch < self.options.boosting_epochs {
            self.boost(step, stage)?
        } else {
            let logits = self.head.logits(step.features)?;
            let loss = step.descend(&step.weighed(cross_entropy(&logits, step.labels)?)?)?;
            StepOutput::new(loss, &logits)
        };
        output.metrics.push(("rho".to_owned(), to_scalar_f64(self.head.rho())?));
        Ok(output)
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }

    fn own_head(&self) -> Option<Box<dyn FusionHead>> {
        Some(Box::new(self.head.clone()))
    }

    fn predict(&self, _: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        Ok(self.head.logits(features)?)
    }
}

/// q_i = softmax(rho sum over k != m of o_k)\[y_i\] without a gradient: shape (N,).
///
/// # Errors
/// When shapes do not fit.
pub fn known(own: &[Tensor], m: usize, rho: &Tensor, labels: &Labels) -> Result<Tensor> {
    let others = own.iter().enumerate().filter(|(k, _)| *k != m);
    let others: Vec<Tensor> = others.map(|(_, logits)| logits.detach()).collect();
    let logits = sum_of(&others)?.broadcast_mul(&rho.detach())?;
    Ok(labels.expected(&log_softmax(&logits)?.exp()?)?)
}

/// The mean of -(w1 - w2 q_i) / C log softmax(o_i)\[y_i\]: a scalar.
///
/// # Errors
/// When shapes do not fit.
pub fn boosting_loss(
    logits: &Tensor,
    known: &Tensor,
    (w1, w2): (f64, f64),
    labels: &Labels,
) -> Result<Tensor> {
    let weights = known.affine(w2, -w1)?;
    let log_p = labels.expected(&log_softmax(logits)?)?;
    Ok((labels.mean(&(log_p * weights)?)? / labels.classes() as f64)?)
}

/// The mean square of softmax(o) - softmax(o'): a scalar.
///
/// # Errors
/// When shapes do not fit.
pub fn alignment(logits: &Tensor, others: &Tensor, labels: &Labels) -> Result<Tensor> {
    let difference = (log_softmax(logits)?.exp()? - log_softmax(others)?.exp()?)?;
    Ok(labels.mean(&difference.sqr()?.mean(1)?)?)
}

fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.broadcast_sub(&log_sum_exp(logits, 1)?.unsqueeze(1)?)?)
}

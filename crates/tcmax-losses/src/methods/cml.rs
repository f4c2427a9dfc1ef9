//! Calibrating multimodal learning (CML): a prediction must not become more confident when a modality is removed.
//!
//! Modalities are removed one after the other, from the end of an order that is drawn for every epoch; one stays.
//! With s^0 = f(z_1, .., z_M), s^i the logits with zeros in place of the features of the i modalities that are
//! removed, and conf^i the largest probability softmax(s^i)\[c\] of each example,
//!
//! ```text
//! L = 1/M sum_{i=0}^{M-1} CE(s^i, y) + lambda sum_{i=0}^{M-2} max(0, sum_batch (conf^{i+1} - conf^i))
//! ```
//!
//! Gradient flows through both confidences. The hinge is on a sum, not a mean, so lambda belongs to a batch size.
//! Of a linear head, s^{i+1} is s^i less the logits of the modality, and keeps the whole bias. Any number of
//! modalities, and any head.
//!
//! The option `as`: `code` (the default, and what the equation says) is the hinge on the sum of the batch, as
//! BalanceBenchmark computes it. With `paper` each example has a hinge of its own, sum_batch max(0, ..), and those whose
//! right prediction becomes a wrong one are left out: they have to lose confidence anyway. BalanceBenchmark computes that
//! selection, and does not use it.
//!
//! Source: Ma et al., "Calibrating Multimodal Learning" (ICML 2023); its code, and that of BalanceBenchmark
//! (arXiv 2502.10816).

use candle_core::{D, Tensor};
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{log_sum_exp, relu, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::reading::Reading;
use crate::likelihood::right;
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks,
    cross_entropy,
};

/// The specification of CML.
pub static CML: MethodSpec = MethodSpec {
    name: "cml",
    description: "confidence must not rise when a modality is removed",
    source: "Ma et al., ICML 2023",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it compares probabilities of the most likely class"),
    needs_stages: false,
    options: Options::of::<CmlOptions>(),
    make: |options, setup| Ok(Box::new(Cml::new(read(options)?, setup)?)),
};

/// Options of CML.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CmlOptions {
    /// Weight of the rise of confidence.
    pub lambda: f64,
    /// The rise of the batch together (code), or of each example (paper).
    #[serde(rename = "as")]
    pub reading: Reading,
}

impl Default for CmlOptions {
    fn default() -> Self {
        Self { lambda: 0.1, reading: Reading::Code }
    }
}

impl OptionSet for CmlOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.lambda.is_finite() && self.lambda >= 0.0;
        require(fits, "lambda", "must be a number of at least 0")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Cml {
    options: CmlOptions,
    /// Modalities are removed from its end. It is drawn anew for every epoch, so nothing is remembered.
    order: Vec<usize>,
}

impl Cml {
    /// CML for the modalities of `setup`, which leave from the last one until an epoch begins.
    ///
    /// # Errors
    /// When lambda is negative or not finite.
    pub fn new(options: CmlOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        Ok(Self { options, order: (0..setup.widths.len()).collect() })
    }

    /// With a given order, from whose end modalities leave.
    ///
    /// # Errors
    /// When it is not one of the same modalities.
    pub fn in_order(self, order: Vec<usize>) -> Result<Self> {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        let (got, wanted) = (order.len(), self.order.len());
        if sorted != (0..wanted).collect::<Vec<usize>>() {
            return Err(Error::WrongLength { what: "the order of modalities", got, wanted });
        }
        Ok(Self { order, ..self })
    }
}

impl Method for Cml {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.order.sort_unstable();
        self.order.shuffle(&mut context.seed().stream("order").rng());
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let remaining = removals(step.head, step.features, &self.order)?;
        let mut rises = Vec::with_capacity(remaining.len());
        let mut terms = Vec::with_capacity(2 * remaining.len());
        for logits in &remaining {
            terms.push((cross_entropy(logits, step.labels)? / remaining.len() as f64)?);
        }
        for pair in remaining.windows(2) {
            let rise = match self.options.reading {
                Reading::Code => rise(&pair[0], &pair[1])?.sum_all()?,
                Reading::Paper => rise_of_each(&pair[0], &pair[1], step.labels)?,
            };
            let value = to_scalar_f64(&rise)?;
            // A hinge by its value: at 0 no gradient passes.
            if value > 0.0 {
                terms.push((rise * self.options.lambda)?);
            }
            rises.push(value);
        }
        let loss = step.descend(&sum_of(&terms)?)?;
        Ok(StepOutput::new(loss, &remaining[0]).with_metrics("rise of confidence", &rises))
    }
}

/// s^0, .., s^{M-1}: the fused logits (N, C), and those after each removal from the end of `order`.
///
/// # Errors
/// When the features do not fit the head.
pub fn removals(
    head: &dyn FusionHead,
    features: &[Tensor],
    order: &[usize],
) -> Result<Vec<Tensor>> {
    let mut left = features.to_vec();
    let mut all = vec![head.logits(&left)?];
    for &removed in order.iter().skip(1).rev() {
        left[removed] = left[removed].zeros_like()?;
        all.push(head.logits(&left)?);
    }
    Ok(all)
}

/// The largest probability of each row of logits (N, C): shape (N,).
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let logits = Tensor::new(&[[0f64, 0.0], [1000.0, 0.0]], &Device::Cpu)?;
/// let confidence = tcmax_losses::methods::cml::confidence(&logits)?;
/// assert_eq!(confidence.to_vec1::<f64>()?, [0.5, 1.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the logits are not of rank 2.
pub fn confidence(logits: &Tensor) -> Result<Tensor> {
    Ok((logits.max(D::Minus1)? - log_sum_exp(logits, 1)?)?.exp()?)
}

/// How much more confident the second logits are, for each example: shape (N,).
fn rise(before: &Tensor, after: &Tensor) -> Result<Tensor> {
    Ok((confidence(after)? - confidence(before)?)?)
}

/// The sum of the rises of each example, without those whose right prediction becomes a wrong one.
fn rise_of_each(before: &Tensor, after: &Tensor, labels: &Labels) -> Result<Tensor> {
    // 1 - right before + both right: 0 exactly where a right prediction becomes a wrong one.
    let (was, is) = (right(before, labels)?, right(after, labels)?);
    let counted = (((&was * is)? - was)? + 1.0)?;
    Ok(relu(&(rise(before, after)? * counted)?)?.sum_all()?)
}

//! MMCosine: cross-entropy of cosines, so that no modality wins by the length of its vectors.
//!
//! ```text
//! f\[c\] = s sum_m cos(z_m, w_m^c),     L = CE(f, y)      (nats)
//! ```
//!
//! with w_m^c the columns of modality m in the weight of class c. Heads that are linear in the features, any
//! number of modalities; their biases are not used. Predictions use the same f.
//!
//! Source: Xu, Feng, Lan, Lu, Wu, Xu, "MMCosine: Multi-Modal Cosine Loss Towards Balanced
//! Audio-Visual Fine-Grained Learning" (ICASSP 2023), equation 5.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities, normalised};
use tcmax_ops::sum_of;
use tcmax_registry::{OptionSet, Options, Task, read, require};

use crate::{
    Error, Heads, Method, MethodSpec, Result, Step, StepOutput, Target, Targets, Tasks, Way,
};

/// The specification of MMCosine.
pub static MM_COSINE: MethodSpec = MethodSpec {
    name: "mm-cosine",
    description: "cross-entropy of cosines instead of products",
    source: "Xu et al., ICASSP 2023",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Additive,
    tasks: Tasks::Discrete("its outputs are cosines, which are bounded, and numbers are not"),
    needs_stages: false,
    options: Options::of::<MmCosineOptions>(),
    make: |options, _| Ok(Box::new(MmCosine::new(read(options)?)?)),
};

/// Options of MMCosine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MmCosineOptions {
    /// Factor s of the cosines.
    pub scale: f64,
}

impl Default for MmCosineOptions {
    fn default() -> Self {
        Self { scale: 10.0 }
    }
}

impl OptionSet for MmCosineOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.scale.is_finite() && self.scale > 0.0;
        require(fits, "scale", "must be a positive number")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct MmCosine {
    options: MmCosineOptions,
}

impl MmCosine {
    /// The method.
    ///
    /// # Errors
    /// When the scale is not a positive number.
    pub fn new(options: MmCosineOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }

    fn train<Y: Target>(self, step: &mut Step<'_, Y>) -> Result<StepOutput> {
        let logits = cosine_logits(step.head, step.features, self.options.scale)?;
        let loss = step.descend(&step.weighed(step.labels.loss(&logits)?)?)?;
        Ok(StepOutput::new(loss, &logits))
    }
}

impl Method for MmCosine {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        self.train(step)
    }

    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        self.train(step)
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        cosine_logits(head, features, self.options.scale)
    }
}

/// s sum_m cos(z_m, w_m^c): (N, C).
///
/// # Errors
/// When the head is not linear in the features, or they do not fit it.
pub fn cosine_logits(head: &dyn FusionHead, features: &[Tensor], scale: f64) -> Result<Tensor> {
    let vectors = head.class_vectors()?.ok_or(Error::NotLinear { method: MM_COSINE.name })?;
    let cosines = |(z, weight): (&Tensor, &Tensor)| -> Result<Tensor> {
        Ok((normalised(z)?.matmul(&normalised(weight)?.t()?)? * scale)?)
    };
    Ok(sum_of(&features.iter().zip(&vectors).map(cosines).collect::<Result<Vec<_>>>()?)?)
}

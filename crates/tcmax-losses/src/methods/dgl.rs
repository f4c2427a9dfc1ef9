//! Disentangled gradient learning (DGL): encoders and head are trained by different losses.
//!
//! ```text
//! encoders:  alpha sum_m CE(u_m, y),    u_m = f(0, .., z_m, .., 0)
//! head:      CE(f(z_1, .., z_M), y)     with the features detached
//! ```
//!
//! so that no modality holds back another's encoder. One step of the optimiser takes both, after the norm of
//! all gradients together is clipped at 40. Any number of modalities, and any head.
//!
//! Source: Wei et al., "Boosting Multimodal Learning via Disentangled Gradient Learning" (ICCV 2025), and its
//! released code, of which the defaults are.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::sum_of;
use tcmax_registry::{OptionSet, Options, read, require};

use super::padded::padded_logits;
use crate::{Heads, Method, MethodSpec, Result, Step, StepOutput, Tasks, cross_entropy};

/// The specification of DGL.
pub static DGL: MethodSpec = MethodSpec {
    name: "dgl",
    description: "encoders learn from their own logits, the head from the fused ones",
    source: "Wei et al., ICCV 2025",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("its losses are cross-entropies of the one right class"),
    needs_stages: false,
    options: Options::of::<DglOptions>(),
    make: |options, _| Ok(Box::new(Dgl::new(read(options)?)?)),
};

/// The norm at which all gradients together are clipped.
const CLIP_NORM: f64 = 40.0;

/// Options of DGL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DglOptions {
    /// Factor of the losses that train the encoders.
    pub alpha: f64,
}

impl Default for DglOptions {
    fn default() -> Self {
        Self { alpha: 4.0 }
    }
}

impl OptionSet for DglOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.alpha.is_finite() && self.alpha > 0.0;
        require(fits, "alpha", "must be a positive number")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Dgl {
    options: DglOptions,
}

impl Dgl {
    /// The method.
    ///
    /// # Errors
    /// When alpha is not a positive number.
    pub fn new(options: DglOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }
}

impl Method for Dgl {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let own = padded_logits(step.head, step.features)?;
        let own = own.iter().map(|logits| cross_entropy(logits, step.labels));
        let own = (sum_of(&own.collect::<Result<Vec<_>>>()?)? * self.options.alpha)?;
        let detached: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
        let logits = step.head.logits(&detached)?;
        let fused = cross_entropy(&logits, step.labels)?;
        let losses = [crate::finite(&own)?, crate::finite(&fused)?];
        let mut gradients = step.gradients(&own)?;
        let mut of_head = step.gradients(&fused)?;
        for var in &step.groups.head {
            // What the encoders' loss says to the head does not count.
            gradients.remove(var.as_tensor());
            if let Some(gradient) = of_head.remove(var.as_tensor()) {
                gradients.insert(var.as_tensor(), gradient);
            }
        }
        (step.update)(&mut gradients)?;
        let mut output = StepOutput::new(losses.iter().sum::<f64>(), &logits);
        let names = ["loss of the encoders", "loss of the head"];
        output.metrics.extend(names.map(str::to_owned).into_iter().zip(losses));
        Ok(output)
    }

    fn usual_clip_norm(&self) -> Option<f64> {
        Some(CLIP_NORM)
    }
}

//! Cross-entropy of the fused logits blended with the TCMax loss.
//!
//! ```text
//! L = (1 - w) CE(f(z), y) + w L_TCMax(z, y)      (nats)
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_losses::{
    Heads, Method, MethodSpec, Result, Step, StepOutput, Tasks, cross_entropy, tcmax,
};
use tcmax_registry::{OptionSet, Options, read, require};

/// The specification of the blend.
pub static BLEND: MethodSpec = MethodSpec {
    name: "blend",
    description: "cross-entropy and total correlation, weighed",
    source: "",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it is written for class labels"),
    needs_stages: false,
    options: Options::of::<Blend>(),
    make: |options, _| Ok(Box::new(read::<Blend>(options)?)),
};

/// The method, which is nothing but its options.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Blend {
    /// Weight w of the TCMax loss, 0 to 1.
    weight: f64,
}

impl Default for Blend {
    fn default() -> Self {
        Self { weight: 0.5 }
    }
}

impl OptionSet for Blend {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((0.0..=1.0).contains(&self.weight), "weight", "must be 0 to 1")
    }
}

impl Method for Blend {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let logits = step.head.logits(step.features)?;
        let joint = (cross_entropy(&logits, step.labels)? * (1.0 - self.weight))?;
        let total_correlation = (tcmax(step.head, step.features, step.labels)? * self.weight)?;
        let loss = step.descend(&(joint + total_correlation)?)?;
        Ok(StepOutput::new(loss, &logits))
    }
}

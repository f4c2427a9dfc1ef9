//! Joint training: cross-entropy of the fused logits.
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_registry::Options;

use crate::{Heads, Method, MethodSpec, Result, Step, StepOutput, cross_entropy};

/// The specification of joint training.
pub static JOINT: MethodSpec = MethodSpec {
    name: "joint",
    description: "cross-entropy of the fused logits",
    source: "",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    options: Options::NONE,
    make: |_, _| Ok(Box::new(Joint)),
};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Joint;

impl Method for Joint {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let logits = step.head.logits(step.features)?;
        let loss = step.descend(&cross_entropy(&logits, step.labels)?)?;
        Ok(StepOutput::new(loss, &logits))
    }
}

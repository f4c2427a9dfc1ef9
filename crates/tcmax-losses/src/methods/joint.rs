//! Joint training: cross-entropy of the fused logits.

use crate::{Method, Result, Step, StepOutput, cross_entropy};

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

//! Joint training: the loss of the fused outputs, which is the cross-entropy of classes and labels, and the mean
//! squared error of numbers.

use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_registry::{Options, Task};

use crate::{Heads, Method, MethodSpec, Result, Step, StepOutput, Target, Targets, Tasks, Way};

/// The specification of joint training.
pub static JOINT: MethodSpec = MethodSpec {
    name: "joint",
    description: "cross-entropy of the fused logits; of numbers their squared error",
    source: "",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Any,
    needs_stages: false,
    options: Options::NONE,
    make: |_, _| Ok(Box::new(Joint)),
};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Joint;

impl Method for Joint {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        joint(step)
    }

    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        joint(step)
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }
}

fn joint<Y: Target>(step: &mut Step<'_, Y>) -> Result<StepOutput> {
    let logits = step.head.logits(step.features)?;
    let loss = step.descend(&step.weighed(step.labels.loss(&logits)?)?)?;
    Ok(StepOutput::new(loss, &logits))
}
